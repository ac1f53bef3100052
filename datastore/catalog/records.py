"""What the catalog's rows are called above it: plain, frozen records."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from foldstore.names import MAIN_BRANCH
from foldstore.types import Operation, Status


@dataclass(frozen=True, slots=True, kw_only=True)
class DatasetRecord:
    """A named line of versions."""

    id: str
    name: str
    key: tuple[str, ...]
    event_time: str | None
    derive: Mapping[str, str]
    created_at: str
    key_policy: str = "error"


@dataclass(frozen=True, slots=True, kw_only=True)
class VersionRecord:
    """An immutable state of a dataset; `number` is what people write behind the ``@``."""

    id: str
    dataset_id: str
    number: int
    parent_id: str | None
    arrow_schema_id: str
    next_field: int
    operation: Operation
    status: Status
    author: str
    message: str
    properties: Mapping[str, Any]
    created_at: str
    num_rows: int
    rows_added: int
    bytes_added: int
    transaction_id: str
    idempotency_key: str | None = None
    recorded: bool = False
    merge_parent_id: str | None = None
    branch: str = MAIN_BRANCH
    expired_at: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ObjectRecord:
    """An immutable file of the object area.

    Attributes
    ----------
    num_bytes : int
        Its size as Arrow.
    cold_bytes, cold_hash : int and str, or None
        The size and the hash of its Parquet file, when it lies in the cold tier instead.
    """

    id: str
    kind: str
    num_bytes: int
    num_rows: int
    zones: bytes = field(repr=False)
    cold_bytes: int | None = None
    cold_hash: str | None = None

    @property
    def is_cold(self) -> bool:
        """Whether it lies in the cold tier."""
        return self.cold_hash is not None

    @property
    def stored_hash(self) -> str:
        """The content address of the file that lies on the disk: its own, or that of its Parquet form."""
        return self.cold_hash or self.id

    @property
    def stored_bytes(self) -> int:
        """The size of the file that lies on the disk."""
        return self.num_bytes if self.cold_bytes is None else self.cold_bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class PageRecord:
    """An encoded manifest page, and the objects and the bitmaps of deleted rows that it names."""

    hash: str
    encoded: bytes = field(repr=False)
    num_fragments: int
    num_rows: int
    objects: tuple[str, ...]
    deletions: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class DeletionRecord:
    """An encoded bitmap of deleted rows."""

    hash: str
    encoded: bytes = field(repr=False)
    num_deleted: int


@dataclass(frozen=True, slots=True, kw_only=True)
class RefRecord:
    """A branch, alias or tag; `generation` counts its moves."""

    name: str
    kind: str
    version_id: str | None
    generation: int


@dataclass(frozen=True, slots=True, kw_only=True)
class SealedFile:
    """A file of the sealed area: its content address and size."""

    hash: str
    num_bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class PendingSeal:
    """What is left to do once sealed cells are out of the catalog's sight: both are done again after a crash.

    Attributes
    ----------
    objects : tuple of str
        Files that still hold the cells.
    versions : tuple of str
        Versions whose commit objects still name those files.
    """

    objects: tuple[str, ...] = ()
    versions: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class SealRecord:
    """Cells that were moved out of a dataset's ordinary files.

    Attributes
    ----------
    columns : tuple of str
        The sealed columns.
    files : mapping of str to SealedFile
        The files of the sealed area by name; ``cells`` holds the cells.
    num_rows : int
        How many rows have sealed cells.
    state : {'open', 'flipped', 'sealed'}
        Being copied; out of every version, traces being removed; done.
    """

    id: str
    dataset_id: str
    columns: tuple[str, ...]
    files: Mapping[str, SealedFile]
    num_rows: int
    state: str
    pending: PendingSeal = PendingSeal()
    created_at: str


@dataclass(frozen=True, slots=True)
class Basis:
    """The newest version of a document that a decision rests on; version 0 says that there is none.

    Attributes
    ----------
    besides : Basis or None
        A further document that it rests on.
    """

    kind: str
    name: str
    version: int
    besides: "Basis | None" = None

    @property
    def is_set(self) -> bool:
        """Whether there is such a document."""
        return self.version > 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Document:
    """One immutable version of a named document of some kind."""

    kind: str
    name: str
    version: int
    hash: str
    body: Any
    author: str
    message: str
    created_at: str


@dataclass(frozen=True, slots=True, kw_only=True)
class RunRecord:
    """An execution that read or wrote versions.

    Attributes
    ----------
    status : {'running', 'succeeded', 'failed'}
        A run whose process was killed stays ``running``: nobody knows when it ended.
    params, code, environment : mapping
        What it was asked to do, by which code, with which libraries.
    error : mapping, optional
        The type and the message of the exception that ended it.
    repeats_id : str, optional
        The run whose inputs it reads again.
    """

    id: str
    name: str
    status: str
    author: str
    message: str
    params: Mapping[str, Any]
    code: Mapping[str, Any]
    environment: Mapping[str, Any]
    error: Mapping[str, str] | None = None
    repeats_id: str | None = None
    started_at: str
    ended_at: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class RunLink:
    """That a run read or wrote a version, and how it was named: ``flights@champion``, or a saved view's ``jfk@1``."""

    run_id: str
    role: str
    position: int
    version_id: str
    address: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ConsumerRecord:
    """That somebody depends on a version: a model, a view, a service, or a person who keeps it (kind ``pin``)."""

    version_id: str
    kind: str
    name: str
    reason: str
    author: str
    created_at: str


@dataclass(frozen=True, slots=True)
class NamedVersion:
    """A version together with the name of its dataset."""

    dataset: str
    version: VersionRecord

    @property
    def address(self) -> str:
        """The address with the number."""
        return f"{self.dataset}@{self.version.number}"
