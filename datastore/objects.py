"""The object area: immutable files under content addresses, staged, published, mapped and verified.

``objects/<2 hex>/<address>.arrow`` is what readers map, ``<address>.parquet`` the same in the cold tier;
``staging/<transaction>/`` is never read.
Mappings stay open as long as the store: opening one anew costs page faults on every read.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from threading import Lock
from types import MappingProxyType
from typing import Final, TypeAlias
from weakref import WeakValueDictionary

import pyarrow as pa

from foldstore.datastore.canonical import HASH_PREFIX, is_content_hash
from foldstore.datastore.catalog.records import ObjectRecord
from foldstore.datastore.cold_file import read_cold
from foldstore.datastore.column_group import StagedFile, map_batches
from foldstore.datastore.files import Files, hash_file
from foldstore.datastore.manifest import Deleted, Fragment
from foldstore.datastore.zones import checksum_chunk, read_zones
from foldstore.errors import CorruptObjectError, FoldstoreError, StoreError

_OBJECTS: Final = "objects"
_STAGING: Final = "staging"


_Place: TypeAlias = tuple[int, str]  # a fragment's id and a file that it names


@dataclass(frozen=True, slots=True)
class _Retired:
    """The files that were taken out of a dataset's fragments since the store was opened.

    Attributes
    ----------
    successors : mapping
        By place, the file that stands there now, and which retirement put it there.
    hidden : tuple
        By retirement, which bitmap of deleted rows goes with the new files.
    """

    successors: Mapping[_Place, tuple[str, int]] = field(default_factory=dict)
    hidden: tuple[Mapping[tuple[int, str | None], Deleted], ...] = ()


class OpenObject:
    """A mapped column-group file; each column chunk is verified once, when it is first read."""

    def __init__(self, record: ObjectRecord, batches: list[pa.RecordBatch]) -> None:
        self.record = record
        self.batches = batches
        self._zones: pa.Table | None = None
        self._checksums: dict[int, list[int]] = {}
        self._verified: set[tuple[int, int]] = set()

    @property
    def batch_rows(self) -> list[int]:
        """How many rows each record batch has."""
        return [batch.num_rows for batch in self.batches]

    @property
    def zones(self) -> pa.Table:
        """What is known of each column chunk; see `foldstore.datastore.zones`."""
        if self._zones is None:
            try:
                self._zones = read_zones(self.record.zones)
            except (pa.ArrowException, OSError) as error:  # what zstd cannot unpack is an OSError
                raise CorruptObjectError(
                    f"What the catalog says of object {self.record.id} is damaged.",
                    hint="`foldstore verify --repair` measures the object again.",
                    object=self.record.id,
                ) from error
        return self._zones

    def verify(self, batch: int, columns: Sequence[int]) -> None:
        """Check column chunks of one record batch against the checksums made when they were written.

        Raises
        ------
        CorruptObjectError
            When the bytes are not the ones that were written.
        """
        for column in columns:
            if (batch, column) in self._verified:
                continue
            if not self._is_whole(batch, column):
                name = self.batches[batch].schema.field(column).name
                raise CorruptObjectError(
                    f"Column {name!r} of object {self.record.id} is damaged (record batch {batch}).",
                    hint="Restore the object from a backup; `foldstore verify` lists every such file.",
                    object=self.record.id,
                    column=name,
                    batch=batch,
                )
            self._verified.add((batch, column))

    def _is_whole(self, batch: int, column: int) -> bool:
        chunk = self.batches[batch].column(column)
        try:
            chunk.validate()  # sizes fit each other: without that, even taking a checksum could reach outside
            return checksum_chunk(chunk) == self._expected(column)[batch]
        except pa.ArrowException:
            return False

    def _expected(self, column: int) -> list[int]:
        if column not in self._checksums:
            chunks = self.zones.column(str(column)).combine_chunks()
            self._checksums[column] = chunks.field("xxh3").to_pylist()
        return self._checksums[column]


class ObjectArea:
    """The folder that holds the bytes.

    Parameters
    ----------
    root : pathlib.Path
        The store's folder.
    files : Files
        The file system.
    has_objects : callable
        Whether the catalog has any.
    """

    def __init__(self, root: Path, files: Files, has_objects: Callable[[], bool] = lambda: False) -> None:
        self.root = root
        self.files = files
        self._has_objects = has_objects
        self._is_here = False
        self._open: dict[str, OpenObject] = {}
        self._decoded: WeakValueDictionary[str, OpenObject] = WeakValueDictionary()
        self._retired: dict[str, _Retired] = {}
        self._num_retired = 0
        self._lock = Lock()

    def is_elsewhere(self) -> bool:
        """Say whether the catalog has objects and the folder none: they lie in another one, or it is not mounted."""
        if not self._is_here:
            folder = self.root / _OBJECTS
            self._is_here = folder.is_dir() and any(folder.iterdir())
        return not self._is_here and self._has_objects()

    def refuse_elsewhere(self) -> None:
        """Refuse to read what is not here, and to write where readers on other machines would not find it.

        Raises
        ------
        StoreError
            With the code ``objects-elsewhere``.
        """
        if self.is_elsewhere():
            raise StoreError(
                f"The catalog has the rows of this store, and {self.root / _OBJECTS} has none of their files.",
                hint="Mount or copy the store's whole folder, the one that other machines write to; lookups from "
                "Redis and read_only=True need none.",
                code="objects-elsewhere",
                path=str(self.root),
            )

    def stage(self, transaction_id: str) -> Path:
        """Make the staging folder of a transaction; refuse it where the objects are elsewhere."""
        self.refuse_elsewhere()
        folder = self.root / _STAGING / transaction_id
        self.files.make_staging(folder)
        return folder

    def unstage(self, transaction_id: str) -> None:
        """Remove the staging folder of a transaction."""
        self.files.remove_tree(self.root / _STAGING / transaction_id)

    def has_staging(self, transaction_id: str) -> bool:
        """Say whether the staging folder of a transaction is there."""
        return (self.root / _STAGING / transaction_id).is_dir()

    def publish(self, staged: Sequence[StagedFile]) -> None:
        """Give staged files their names, durably; bytes that are there already are shared."""
        targets = [self.path_of(item.record.id) for item in staged]
        folders = {target.parent for target in targets}
        self.files.make_folder(*folders)
        for item, target in zip(staged, targets, strict=True):
            if not self.files.link(item.path, target) and hash_file(target) != item.record.id:
                self.files.replace(item.path, target)  # what was there was damaged: these are the right bytes
        self.files.sync_folders(folders)

    def path_of(self, object_id: str) -> Path:
        """Return where an object lies; anything but a content address is refused."""
        if not is_content_hash(object_id):
            raise FoldstoreError("That is not a content address.", hint="This is a fault in Foldstore.", code="bug")
        shard = object_id[len(HASH_PREFIX) :][:2]
        return self.root / _OBJECTS / shard / f"{object_id}.arrow"

    def stored_path(self, record: ObjectRecord) -> Path:
        """Return where an object lies now: in the object area's own form, or in the cold tier's."""
        return self.cold_path_of(record.id) if record.is_cold else self.path_of(record.id)

    def cold_path_of(self, object_id: str) -> Path:
        """Return where the Parquet form of an object lies."""
        return self.path_of(object_id).with_suffix(".parquet")

    def open(self, record: ObjectRecord) -> OpenObject:
        """Map an object, once; one of the cold tier is decoded into memory, which lasts as long as it is used."""
        with self._lock:
            found = self._open.get(record.id) or self._decoded.get(record.id)
            if found is None:
                found = OpenObject(record, self._read(record))
                if record.is_cold:
                    self._decoded[record.id] = found
                else:
                    self._open[record.id] = found
            return found

    def _read(self, record: ObjectRecord) -> list[pa.RecordBatch]:
        try:
            if record.is_cold:
                return read_cold(self.cold_path_of(record.id), record)
            return map_batches(self.path_of(record.id), record.num_bytes, record.id)
        except CorruptObjectError:
            self.refuse_elsewhere()  # it is not lost, nor is the rest
            raise

    def forget(self, *object_ids: str) -> None:
        """Let go of objects that lie elsewhere now, or nowhere; whoever reads them keeps them."""
        with self._lock:
            for object_id in object_ids:
                self._open.pop(object_id, None)
                self._decoded.pop(object_id, None)

    @property
    def num_retired(self) -> int:
        """How many files were taken out of fragments since the store was opened; `current` follows them."""
        return self._num_retired

    def retire(
        self,
        dataset_id: str,
        successors: Mapping[_Place, str],
        hidden: Mapping[tuple[int, str | None], Deleted] = MappingProxyType({}),
    ) -> None:
        """Forget files that fragments of a dataset named and that are going away.

        What stands in the place of each is known by dataset, fragment id and file. A file is named by its bytes: the
        same rows, appended to another dataset, come back under the same name, and are readable there.

        Parameters
        ----------
        dataset_id : str
            The dataset whose fragments named the files.
        successors : mapping of (int, str) to str
            By fragment id and file, the file in its place.
        hidden : mapping of (int, str or None) to Deleted
            Which bitmap of deleted rows goes with the new files, by fragment id and the bitmap before.
        """
        with self._lock:
            known = self._retired.get(dataset_id, _Retired())
            turn = len(known.hidden)
            newer = {place: (new, turn) for place, new in successors.items()}
            self._retired[dataset_id] = _Retired({**known.successors, **newer}, (*known.hidden, hidden))
            self._num_retired += len(successors)
        self.forget(*(object_id for _, object_id in successors))

    def current(self, dataset_id: str, fragments: tuple[Fragment, ...]) -> tuple[Fragment, ...]:
        """Return fragments of a dataset as they are stored now: those read before a seal name files that are gone."""
        known = self._retired.get(dataset_id)
        return tuple(_follow(fragment, known) for fragment in fragments) if known is not None else fragments

    def remove(self, object_ids: Iterable[str]) -> None:
        """Remove files from the disk at once, durably."""
        ids = list(object_ids)
        paths = [*map(self.path_of, ids), *map(self.cold_path_of, ids)]
        for path in paths:
            self.files.remove(path)
        self.files.sync_folders({path.parent for path in paths if path.parent.is_dir()})

    def close(self) -> None:
        """Forget every mapping; tables that were handed out keep theirs."""
        with self._lock:
            self._open.clear()
            self._decoded.clear()


def _follow(fragment: Fragment, retired: _Retired) -> Fragment:
    groups, turns = [], set[int]()
    for group in fragment.groups:
        object_id = group.object_id
        while (fragment.id, object_id) in retired.successors:  # taken out more than once
            object_id, turn = retired.successors[fragment.id, object_id]
            turns.add(turn)
        groups.append(replace(group, object_id=object_id))
    deleted = fragment.deleted
    for turn in sorted(turns):
        deleted = retired.hidden[turn].get((fragment.id, deleted.hash if deleted else None), deleted)
    return replace(fragment, groups=tuple(groups), deleted=deleted)
