"""Long work that a client waits for elsewhere: what is known of each operation, in a folder of its own in the store.

Every process that serves the store sees the same files. Whoever works on an operation holds a lock in its folder,
which the operating system lets go of when the process dies: an operation that is not finished and not locked is lost,
and whoever sees that first writes it down. Nothing here is needed to read the store; nothing is fsync'ed.
"""

import errno
import fcntl
import hashlib
import json
import os
import re
import shutil
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Final
from uuid import uuid4

from foldstore.errors import NotFoundError, StoreError
from foldstore.types import Clock, format_time, parse_time

FOLDER: Final = "operations"
KEPT_FOR: Final = timedelta(hours=24)
MOST_KEPT: Final = 1_000
_ID: Final = re.compile(r"[0-9a-f]{32}", re.ASCII)
_STATE: Final = "state.json"
_RESULT: Final = "result"
_LOCK: Final = "lock"
_CANCEL: Final = "cancel"
_FORGOTTEN: Final = "forgotten"
_UNFINISHED: Final = frozenset({"queued", "running"})


@dataclass(frozen=True, slots=True, kw_only=True)
class OperationRecord:
    """What is known of an operation.

    Attributes
    ----------
    id : str
        32 hexadecimal digits.
    starter : str
        Who may ask for the result: the id of a token.
    verb, named
        What is done, and with what: a route, and what its path names.
    request, access : str
        Hashes of what was asked, and of what its starter might read then.
    created_at, finished_at : str or None
        Instants.
    state : str
        ``queued``, ``running``, ``succeeded``, ``failed`` or ``cancelled``.
    done, total : int or None
        How much of the work is done; `total` where it is known.
    unit : str
        What is counted.
    answer : dict or None
        The status and the headers of the result.
    problem : dict or None
        What went wrong.
    """

    id: str
    starter: str
    verb: str
    named: dict[str, str]
    request: str
    access: str
    created_at: str
    finished_at: str | None = None
    state: str = "queued"
    done: int = 0
    total: int | None = None
    unit: str = "rows read"
    answer: dict[str, Any] | None = None
    problem: dict[str, Any] | None = None

    @property
    def is_finished(self) -> bool:
        """Whether nothing changes any more."""
        return self.state not in _UNFINISHED

    @property
    def is_lost(self) -> bool:
        """Whether the process that worked on it ended before it was done."""
        return self.problem is not None and self.problem["code"] == "operation-lost"

    @property
    def may_begin_anew(self) -> bool:
        """Whether the same request is worked on again: it was lost, or met somebody else's work at the time."""
        return self.is_lost or (self.problem is not None and self.problem.get("retry") is True)

    def to_dict(self) -> dict[str, Any]:
        """Return it as plain data."""
        return asdict(self)


class OperationFolder:
    """Keeps operations.

    Parameters
    ----------
    root : Path
        The store's folder.
    clock : callable
        What time it is.
    """

    def __init__(self, root: Path, clock: Clock) -> None:
        self._folder = root / FOLDER
        self._clock = clock

    def now(self) -> datetime:
        """Return what time it is."""
        return self._clock()

    def add(self, record: OperationRecord) -> "Claim | None":
        """Keep a new operation, which this process works on until it lets go of it; None when its id is taken."""
        self._folder.mkdir(mode=0o700, exist_ok=True)
        self._forget_old()
        staged = self._folder / f"new-{uuid4().hex}"
        staged.mkdir(mode=0o700)
        claim = Claim(staged / _LOCK)
        _write(staged, record)
        try:
            staged.rename(self._place(record.id))  # a folder that is there has files, and is not replaced
        except OSError as error:
            claim.release()
            shutil.rmtree(staged, ignore_errors=True)
            if error.errno in (errno.EEXIST, errno.ENOTEMPTY):
                return None
            raise
        return claim

    def add_again(self, record: OperationRecord) -> "Claim | None":
        """Keep a new operation in the place of one of its id that may be begun anew; None when that may not."""
        try:
            descriptor = os.open(self._place(record.id) / _LOCK, os.O_RDWR)
        except FileNotFoundError:
            return self.add(record)
        try:
            # Held until the folder has gone: of two who do this one finds what the other has begun.
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if not self._load(record.id).may_begin_anew:
                return None
            gone = self._folder / f"old-{uuid4().hex}"
            self._place(record.id).rename(gone)
        except (BlockingIOError, FileNotFoundError):
            return None
        finally:
            os.close(descriptor)
        shutil.rmtree(gone, ignore_errors=True)
        return self.add(record)

    def write(self, record: OperationRecord) -> None:
        """Say anew what is known of an operation, at once and whole."""
        _write(self._place(record.id), record)

    def find(self, operation_id: str) -> OperationRecord:
        """Return what is known of an operation.

        Raises
        ------
        NotFoundError
            When there is none, or none any more.
        """
        found = self._read(operation_id) if _ID.fullmatch(operation_id) else None
        if found is None:
            raise NotFoundError(
                f"There is no operation {ascii(operation_id)[:60]}.",
                hint=f"One that is finished is kept for {KEPT_FOR.total_seconds() / 3600:.0f} hours.",
            )
        return found

    def list_operations(self) -> list[OperationRecord]:
        """List the operations, oldest first."""
        found = [self._read(name) for name in self._names()]
        return sorted((each for each in found if each is not None), key=lambda each: (each.created_at, each.id))

    def cancel(self, operation_id: str) -> None:
        """Ask whoever works on an operation to end it."""
        with suppress(FileNotFoundError):
            (self._place(operation_id) / _CANCEL).touch(mode=0o600)

    def is_cancelled(self, operation_id: str) -> bool:
        """Say whether somebody asked for the end of an operation."""
        return (self._place(operation_id) / _CANCEL).exists()

    def body_path(self, operation_id: str, ending: str) -> Path:
        """Return where the rows that an operation was sent lie while it works."""
        return self._place(operation_id) / f"body{ending}"

    def result_path(self, operation_id: str) -> Path:
        """Return where the bytes of an operation's result are."""
        return self._place(operation_id) / _RESULT

    def is_forgotten(self, operation_id: str) -> bool:
        """Say whether the result was removed because cells were sealed or erased meanwhile."""
        return (self._place(operation_id) / _FORGOTTEN).exists()

    def drop_body(self, operation_id: str) -> None:
        """Remove the rows that an operation was sent."""
        for body in self._place(operation_id).glob("body.*"):
            body.unlink(missing_ok=True)

    def drop_forgotten(self, operation_id: str) -> None:
        """Remove a result that was written after cells were sealed or erased."""
        if self.is_forgotten(operation_id):
            self.result_path(operation_id).unlink(missing_ok=True)

    def _place(self, operation_id: str) -> Path:
        assert _ID.fullmatch(operation_id)  # noqa: S101  # of our own making, or checked by `find`
        return self._folder / operation_id

    def _names(self) -> list[str]:
        try:
            return sorted(place.name for place in self._folder.iterdir() if _ID.fullmatch(place.name))
        except FileNotFoundError:
            return []

    def _read(self, operation_id: str) -> OperationRecord | None:
        try:
            record = self._load(operation_id)
            if not record.is_finished:
                record = self._find_lost(record)
        except FileNotFoundError:
            return None
        return record

    def _load(self, operation_id: str) -> OperationRecord:
        return OperationRecord(**json.loads((self._place(operation_id) / _STATE).read_text(encoding="utf-8")))

    def _find_lost(self, record: OperationRecord) -> OperationRecord:
        """Write down that an operation is lost, when nobody works on it."""
        descriptor = os.open(self._place(record.id) / _LOCK, os.O_RDWR)
        try:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                return record
            record = self._load(record.id)  # it may have been finished just now
            if record.is_finished:
                return record
            error = lost_error()
            lost = {"status": 503, "code": error.code, "detail": error.message, "hint": error.hint}
            record = replace(record, state="failed", problem=lost, finished_at=format_time(self._clock()))
            self.drop_body(record.id)
            self.write(record)
            return record
        finally:
            os.close(descriptor)

    def _forget_old(self) -> None:
        """Remove what was finished long ago, and the oldest of too many."""
        now, kept = self._clock(), []
        for record in self.list_operations():
            if not record.is_finished:
                continue
            if now - parse_time(record.finished_at or record.created_at) > KEPT_FOR:
                self._remove(record.id)
            else:
                kept.append(record.id)
        for operation_id in kept[: max(0, len(kept) - MOST_KEPT)]:
            self._remove(operation_id)

    def _remove(self, operation_id: str) -> None:
        shutil.rmtree(self._place(operation_id), ignore_errors=True)


def id_of_key(key: str) -> str:
    """Return the id of the operation that a key stands for, ``TOKEN:KEY``: whoever chose the key knows it before.

    Examples
    --------
    >>> id_of_key("abcd1234:k")
    '8bc90e44c6cdde7e0b886919a437e5ad'
    """
    return hashlib.blake2b(key.encode(), digest_size=16).hexdigest()


def lost_error() -> StoreError:
    """Build the error for work whose process ended before it was done."""
    return StoreError(
        "The process that worked on this ended before it was done.",
        hint="Ask again: what was not committed has changed nothing.",
        code="operation-lost",
    )


class Claim:
    """Says that this process works on an operation, until it is released or the process ends.

    Parameters
    ----------
    path : Path
        The file of the lock.
    """

    def __init__(self, path: Path) -> None:
        self._descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
        fcntl.flock(self._descriptor, fcntl.LOCK_EX)

    def release(self) -> None:
        """Let go of it."""
        os.close(self._descriptor)


def forget_results(root: Path) -> None:
    """Remove every result, and have those that are being made be none: cells are sealed or erased.

    Parameters
    ----------
    root : Path
        The store's folder.
    """
    folder = root / FOLDER
    if not folder.is_dir():
        return
    for place in folder.iterdir():
        if _ID.fullmatch(place.name):
            with suppress(FileNotFoundError):
                (place / _FORGOTTEN).touch(mode=0o600)
                (place / _RESULT).unlink(missing_ok=True)


def _write(folder: Path, record: OperationRecord) -> None:
    staged = folder / f"{_STATE}.{uuid4().hex}"
    staged.write_text(json.dumps(record.to_dict(), separators=(",", ":")), encoding="utf-8")
    staged.replace(folder / _STATE)
