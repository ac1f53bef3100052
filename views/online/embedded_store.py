"""The online store that needs no server: an LMDB file beside the mapped ones, shared by the processes of one machine.

Keys are the view, the entity and the order, so that a lookup is one step back from where a later row would be.
Writes are transactions of LMDB: durable when they return, one at a time, never in the way of readers.
"""

import os
import secrets
import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import lmdb

from foldstore.errors import StoreError, UnreadableError, refuse_writing
from foldstore.views.online.store import ENTITY_BYTES, ORDER_BYTES, FoundPushed, NewRow, PushedQuestion, StoredRow

FOLDER: Final = "pushes"
_ID: Final = b"\x00id"
_DOCUMENT: Final = b"\x01"
_ROW: Final = b"\x02"
_TRIMMED: Final = b"\x03"
_VIEW_BYTES: Final = 8
_AT_MOST: Final = 64 * 2**30  # of address space; the file is as large as what is in it
_READERS: Final = 1024
_NONE_KNOWN: Final = -1

# LMDB wants a file opened once in a process, however many stores look at it. A child has its own.
_lock = threading.Lock()


@dataclass(slots=True)
class _Held:
    """A file that is open, whether it can be written to, and how many use it."""

    env: Any
    read_only: bool
    users: int = 0


_opened: dict[tuple[int, int, int], _Held] = {}


def is_there(root: Path) -> bool:
    """Say whether a store's folder has pushed rows, or had some."""
    return (root / FOLDER / "data.mdb").is_file()


class EmbeddedStore:
    """Pushed rows in an LMDB file.

    Parameters
    ----------
    folder : pathlib.Path
        Where the file is, or will be.
    read_only : bool
        Make nothing, and refuse to write.

    Raises
    ------
    UnreadableError
        When the file is there and is none of LMDB's.

    Examples
    --------
    >>> from foldstore.views.online.store import NewRow, above, pack_times
    >>> store = EmbeddedStore(folder)
    >>> store.write(b"view-one", [NewRow(b"k" * 16, pack_times(5, 0), b"five")])
    2
    >>> [row.value for row in store.find(b"view-one", [b"k" * 16], above(7))]
    [b'five']
    """

    def __init__(self, folder: Path, *, read_only: bool = False) -> None:
        self._folder = folder
        self._read_only = read_only
        self._process = os.getpid()
        self._held: _Held | None = _open(folder, read_only=read_only)
        # What was seen of views, and after which write: replaced, never changed by another write's.
        self._states: tuple[int, dict[bytes, tuple[bool, int]]] = (_NONE_KNOWN, {})
        self.id = self._identity()

    @property
    def base(self) -> None:
        """Nothing: what a version holds is in files beside it."""
        return

    def mark(self) -> int:
        """Return the number of the newest write."""
        with self._reading() as read:
            return int(read.id())

    def write(self, view: bytes, rows: Sequence[NewRow], documents: Mapping[bytes, bytes] | None = None) -> int:
        """Add rows, all or none, durably; return the number of the write."""
        with self._writing() as write:
            number = int(write.id())
            last = number.to_bytes(8, "big")
            for name, text in (documents or {}).items():
                write.put(_DOCUMENT + name, text, overwrite=False)
            prefix = _ROW + view
            for row in rows:
                write.put(prefix + row.entity + row.times + last, row.value)
        return number

    def document(self, name: bytes) -> bytes | None:
        """Return a document that came with rows."""
        with self._reading() as read:
            return self._plain(read.get(_DOCUMENT + name))

    def state(self, view: bytes) -> tuple[bool, int]:
        """Say whether a view has rows, and the `known` of its newest `trim`."""
        read = self._environment().begin(buffers=True)  # no context: this is in the way of every lookup
        try:
            number = read.id()
            known, states = self._states
            if number != known:
                states = {}
                self._states = number, states
            found = states.get(view)
            if found is None:
                found = states[view] = _state(read, view)
            return found
        finally:
            read.abort()

    def find(self, view: bytes, entities: Sequence[bytes], below: bytes) -> list[StoredRow | None]:
        """Return of each entity the row with the greatest order that is less than `below`."""
        with self._reading() as read:
            cursor, prefix = read.cursor(), _ROW + view
            return [_last_below(cursor, prefix + entity, below) for entity in entities]

    def find_all(self, questions: Sequence[PushedQuestion]) -> list[FoundPushed]:
        """Do what `find` and then `state` do for several views."""
        found = [self.find(each.view, each.entities, each.below) for each in questions]
        return [FoundPushed(self.state(each.view), rows) for each, rows in zip(questions, found, strict=True)]

    def rows(self, view: bytes) -> Iterator[StoredRow]:
        """Yield the rows of a view: by entity, and of each in order."""
        with self._reading() as read:
            cursor, prefix = read.cursor(), _ROW + view
            going = cursor.set_range(prefix)
            while going and bytes(cursor.key()).startswith(prefix):
                yield _row(cursor)
                going = cursor.next()

    def count(self, view: bytes) -> int:
        """Return how many rows a view has."""
        return sum(1 for _ in self.rows(view))

    def trim(self, view: bytes, rows: Iterable[tuple[bytes, bytes]], known: int) -> int:
        """Remove rows by entity and order, and keep `known`, both at once; return how many rows there were."""
        with self._writing() as write:
            number = max(known, _trimmed(write, view))
            write.put(_TRIMMED + view, number.to_bytes(8, "big"))
            return sum(bool(write.delete(_ROW + view + entity + order)) for entity, order in rows)

    def clear(self, view: bytes) -> int:
        """Remove all rows of a view; return how many there were."""
        with self._writing() as write:
            cursor, prefix, removed = write.cursor(), _ROW + view, 0
            while cursor.set_range(prefix) and bytes(cursor.key()).startswith(prefix):
                cursor.delete()
                removed += 1
            return removed

    def close(self) -> None:
        """Let go of the file; another of this process may still use it."""
        if self._process == os.getpid() and self._held is not None:
            _release(self._held)
        self._held = None

    @contextmanager
    def _reading(self) -> Iterator[Any]:
        read = self._environment().begin(buffers=True)
        try:
            yield read
        finally:
            read.abort()

    @contextmanager
    def _writing(self) -> Iterator[Any]:
        if self._read_only:
            raise refuse_writing()
        try:
            with self._environment().begin(write=True) as write:
                yield write
        except lmdb.MapFullError as error:
            raise StoreError(
                f"The pushed rows are more than {_AT_MOST // 2**30} GiB.",
                hint="Push to the datasets too and materialize: what the base holds is dropped here.",
                code="pushes-full",
            ) from error
        except lmdb.Error as error:
            raise _not_usable(self._folder, error) from error

    def _environment(self) -> Any:
        if self._held is None:
            raise StoreError("The store is closed.", hint="Open it again.")
        if self._process != os.getpid():  # what a parent opened must not be used by its child
            self._held = _open(self._folder, read_only=self._read_only)
            self._process, self._states = os.getpid(), (_NONE_KNOWN, {})
        return self._held.env

    def _identity(self) -> str:
        with self._reading() as read:
            known = self._plain(read.get(_ID))
        if known is None and not self._read_only:
            with self._writing() as write:
                write.put(_ID, secrets.token_hex(16).encode(), overwrite=False)
                known = bytes(write.get(_ID))
        return "" if known is None else known.decode()

    @staticmethod
    def _plain(held: Any) -> bytes | None:
        return None if held is None else bytes(held)


def _open(folder: Path, *, read_only: bool) -> _Held:
    if not read_only:
        folder.mkdir(exist_ok=True, parents=True)
    try:
        with _lock:
            file = folder / "data.mdb"
            if not file.exists() and not read_only:
                lmdb.open(str(folder), map_size=_AT_MOST, max_readers=_READERS).close()
            _let_go_of_a_parent_s()
            held = file.stat()
            key = (os.getpid(), held.st_dev, held.st_ino)
            known = _opened.get(key)
            if known is None:
                known = _opened[key] = _Held(_environment(folder, read_only=read_only), read_only)
            elif known.read_only and not read_only:
                known.env.close()
                known.env, known.read_only = _environment(folder, read_only=False), False
            known.users += 1
            return known
    except (lmdb.Error, OSError) as error:
        raise _not_usable(folder, error) from error


def _let_go_of_a_parent_s() -> None:
    """Close what a fork left open here: in a child that touches nothing but the child."""
    for key in [key for key in _opened if key[0] != os.getpid()]:
        _opened.pop(key).env.close()


def _environment(folder: Path, *, read_only: bool) -> Any:
    options: dict[str, Any] = {
        "map_size": _AT_MOST,
        "max_readers": _READERS,
        "readonly": read_only,
        "create": not read_only,
    }
    try:
        return lmdb.open(str(folder), **options)
    except (lmdb.Error, OSError):
        if not read_only:
            raise
        return lmdb.open(str(folder), lock=False, **options)  # a folder that nobody may write to


def _release(held: _Held) -> None:
    with _lock:
        held.users -= 1
        if not held.users:
            for key in [key for key, each in _opened.items() if each is held]:
                del _opened[key]
            held.env.close()


def _state(read: Any, view: bytes) -> tuple[bool, int]:
    prefix, cursor = _ROW + view, read.cursor()
    return bool(cursor.set_range(prefix) and bytes(cursor.key()).startswith(prefix)), _trimmed(read, view)


def _trimmed(transaction: Any, view: bytes) -> int:
    held = transaction.get(_TRIMMED + view)
    return 0 if held is None else int.from_bytes(held, "big")


def _last_below(cursor: Any, prefix: bytes, below: bytes) -> StoredRow | None:
    if not (cursor.prev() if cursor.set_range(prefix + below) else cursor.last()):
        return None
    key = bytes(cursor.key())
    if not key.startswith(prefix):
        return None
    return StoredRow(key[-ORDER_BYTES - ENTITY_BYTES : -ORDER_BYTES], key[-ORDER_BYTES:], bytes(cursor.value()))


def _row(cursor: Any) -> StoredRow:
    key = bytes(cursor.key())
    return StoredRow(key[-ORDER_BYTES - ENTITY_BYTES : -ORDER_BYTES], key[-ORDER_BYTES:], bytes(cursor.value()))


def _not_usable(folder: Path, error: Exception) -> UnreadableError:
    return UnreadableError(
        f"The pushed rows in {folder.name!r} cannot be used: {type(error).__name__}.",
        hint="Look at the folder's rights and room; without it, materialized values are served alone.",
        code="pushes-unreadable",
    )
