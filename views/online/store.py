"""What keeps pushed rows: the embedded store by default, Redis for stores that several machines share.

An online store knows nothing of features. It keeps rows of views: an entity (a digest of its key), an order, a value.
The order is the event time, the created time and the number of the write, each eight bytes, so that of two rows the
greater one counts: a late write can never take the place of a newer value, whoever comes first. Rows are never
changed, only added and removed.
"""

import struct
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Final, NamedTuple, Protocol

UNKNOWN_TIME: Final = -(2**63)  # below every instant: the created time of a row that has none
_TIMES: Final = struct.Struct(">QQ")
_ORDER: Final = struct.Struct(">QQQ")
_BIAS: Final = 2**63
ORDER_BYTES: Final = 24
TIMES_BYTES: Final = 16
ENTITY_BYTES: Final = 16
_ABOVE_ALL: Final = b"\xff" * 17
_LAST: Final = struct.Struct(">Q")


class StoredRow(NamedTuple):
    """A row of a view.

    Attributes
    ----------
    entity : bytes
        The digest of the entity's key, 16 bytes.
    order : bytes
        `pack_times` of its event and created time, then the number of the write that brought it, 24 bytes.
    value : bytes
        What the writer wrote.
    """

    entity: bytes
    order: bytes
    value: bytes


class NewRow(NamedTuple):
    """A row to be written; `times` is what `pack_times` gives."""

    entity: bytes
    times: bytes
    value: bytes


class BaseRow(NamedTuple):
    """A row of a file; `alone` when the file has no other of its entity."""

    entity: bytes
    times: bytes
    value: bytes
    alone: bool


class OverQuestion(NamedTuple):
    """What `BaseStore.find_over` is asked."""

    files: Sequence[bytes]
    view: bytes
    entities: Sequence[bytes]
    below: bytes


class FoundOver(NamedTuple):
    """The rows that files and pushes have of some entities, all of one moment.

    Attributes
    ----------
    complete : bool
        Whether all files are there whole; the rows mean nothing unless they are.
    state : tuple of bool and int
        Whether the view may have pushed rows, and the `known` of its newest trim.
    rows : list of lists
        Of each file, each entity's row or None; their orders are times alone.
    pushed : list
        Each entity's pushed row or None.
    """

    complete: bool
    state: tuple[bool, int]
    rows: list[list[StoredRow | None]]
    pushed: list[StoredRow | None]


class PushedQuestion(NamedTuple):
    """What `OnlineStore.find_all` is asked of a view."""

    view: bytes
    entities: Sequence[bytes]
    below: bytes


class FoundPushed(NamedTuple):
    """The rows that a view has of some entities, and its state of no earlier moment; see `OnlineStore.state`."""

    state: tuple[bool, int]
    rows: list[StoredRow | None]


class BaseStore(Protocol):
    """The rows of versions, for hosts that do not see the store's folder: immutable files, there whole or not at all.

    Files are named by eight bytes of their own.
    """

    def put(self, file: bytes, about: bytes, parts: int, read_part: Callable[[int], Sequence[BaseRow]]) -> bool:
        """Keep a file's rows, unless they are there; what was begun is taken up. Say whether any was written."""

    def about(self, file: bytes) -> bytes | None:
        """Return what was said of a file; None when not all of it is there."""

    def find_over(self, files: Sequence[bytes], view: bytes, entities: Sequence[bytes], below: bytes) -> FoundOver:
        """Return of each entity the newest row before `below` in each file and of what was pushed, of one moment."""

    def find_over_all(self, questions: Sequence[OverQuestion]) -> list[FoundOver]:
        """Do what `find_over` does for several views, in one round trip; each answer is of a moment of its own."""

    def files(self) -> Mapping[bytes, int]:
        """Return the files that are there, in part or whole, and how many seconds ago each was written to."""

    def remove(self, file: bytes) -> None:
        """Remove a file's rows."""


class OnlineStore(Protocol):
    """Rows of views, shared by processes. The tests hold every implementation to `tests/views/online/conformance.py`.

    Views are named by eight bytes of their own. Every method sees whole writes or nothing of them.
    """

    @property
    def id(self) -> str:
        """What this store is called, for ever; one that was made anew is another one."""

    @property
    def base(self) -> BaseStore | None:
        """The rows of versions, where this store has them; None where files alone do."""

    def mark(self) -> int:
        """Return the number of the newest write; rows of later writes have greater ones."""

    def write(self, view: bytes, rows: Sequence[NewRow], documents: Mapping[bytes, bytes] | None = None) -> int:
        """Add rows, all or none, durably; return the number of the write. Documents are kept by name, once."""

    def document(self, name: bytes) -> bytes | None:
        """Return a document that came with rows."""

    def state(self, view: bytes) -> tuple[bool, int]:
        """Say whether a view may have rows, and the `known` of its newest `trim`; as cheaply as can be."""

    def find(self, view: bytes, entities: Sequence[bytes], below: bytes) -> list[StoredRow | None]:
        """Return of each entity the row with the greatest order that is less than `below`."""

    def find_all(self, questions: Sequence[PushedQuestion]) -> list[FoundPushed]:
        """Do what `find` and then `state` do for several views; a store on a server does in one round trip."""

    def rows(self, view: bytes) -> Iterator[StoredRow]:
        """Yield the rows of a view: by entity, and of each in order."""

    def count(self, view: bytes) -> int:
        """Return how many rows a view has."""

    def trim(self, view: bytes, rows: Iterable[tuple[bytes, bytes]], known: int) -> int:
        """Remove rows by entity and order, and keep `known`, both at once; return how many rows there were.

        Whoever knows less than that must not look here: what was removed is in a version that it does not have.
        """

    def clear(self, view: bytes) -> int:
        """Remove all rows of a view; return how many there were."""

    def close(self) -> None:
        """Let go of files and connections."""


def pack_times(event: int, created: int) -> bytes:
    """Return an event and a created time, in nanoseconds, as bytes that sort as they do."""
    return _TIMES.pack(event + _BIAS, created + _BIAS)


def unpack_order(order: bytes) -> tuple[int, int, int]:
    """Return the event time, the created time and the number of the write of an order."""
    event, created, write = _ORDER.unpack(order)
    return event - _BIAS, created - _BIAS, write


def unpack_times(times: bytes) -> tuple[int, int]:
    """Return the event and the created time that `pack_times` was given."""
    event, created = _TIMES.unpack(times)
    return event - _BIAS, created - _BIAS


def above(at: int) -> bytes:
    """Return what is greater than every order with an event time at or before an instant, and than no other."""
    return _LAST.pack(at + _BIAS) + _ABOVE_ALL
