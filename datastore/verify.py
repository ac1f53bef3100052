"""Verification: every object, page, commit object, seal and journal against its hash. Nothing is changed."""

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from foldstore.datastore.catalog.records import ObjectRecord, SealRecord, VersionRecord
from foldstore.datastore.catalog.seals import list_seals
from foldstore.datastore.column_group import map_batches
from foldstore.datastore.commit_object import check_commit_object
from foldstore.datastore.files import hash_file
from foldstore.datastore.freezing import check_cold
from foldstore.datastore.objects import OpenObject
from foldstore.datastore.seal_area import check_sealed
from foldstore.datastore.storage import Storage
from foldstore.datastore.zones import measure_zones
from foldstore.errors import CorruptObjectError, FoldstoreError, StoreError
from foldstore.types import Progress


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """One thing that is not as it was written."""

    what: str
    name: str
    message: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Verification:
    """What a verification found.

    Attributes
    ----------
    objects, versions, journals : int
        How many were checked.
    num_bytes : int
        How many bytes were read.
    faults : tuple of Fault
        What is not as it was written; empty when all is well.
    """

    objects: int
    versions: int
    journals: int
    num_bytes: int
    faults: tuple[Fault, ...] = field(default=())

    @property
    def passed(self) -> bool:
        """Whether everything is as it was written."""
        return not self.faults

    def to_dict(self) -> dict[str, Any]:
        """Return the finding as plain data."""
        faults = [{"what": fault.what, "name": fault.name, "message": fault.message} for fault in self.faults]
        return {
            "passed": self.passed,
            "objects": self.objects,
            "versions": self.versions,
            "journals": self.journals,
            "bytes": self.num_bytes,
            "faults": faults,
        }


def verify_storage(storage: Storage, progress: Progress | None = None) -> Verification:
    """Check a store from end to end.

    Parameters
    ----------
    progress : callable, optional
        Told the bytes read and the bytes in all.
    """
    records = list(storage.catalog.read_objects(storage.catalog.list_object_ids()).values())
    total = sum(record.num_bytes for record in records)
    faults: list[Fault] = []
    done = 0
    for record in records:
        _try(faults, "object", record.id, partial(_verify_object, storage, record))
        done += record.num_bytes
        if progress:
            progress(done, total)
    versions = [v for d in storage.catalog.list_datasets() for v in storage.catalog.list_versions(d.id)]
    known = {record.id for record in records}
    for version in versions:
        _try(faults, "version", version.id, partial(_verify_version, storage, version, known))
    streams = storage.journal.list_streams()
    for stream in streams:
        _try(faults, "journal", stream, partial(storage.journal.verify, stream))
    for seal in list_seals(storage.catalog):
        _try(faults, "seal", seal.id, partial(_verify_seal, storage, seal))
    return Verification(
        objects=len(records), versions=len(versions), journals=len(streams), num_bytes=total, faults=tuple(faults)
    )


def _try(faults: list[Fault], what: str, name: str, check: Callable[[], object]) -> None:
    try:
        check()
    except StoreError:
        raise  # the catalog itself cannot be read: that is no finding about one thing
    except Exception as error:  # noqa: BLE001  # damage can fail in any way, and the rest is still to be checked
        message = error.message if isinstance(error, FoldstoreError) else f"{type(error).__name__}: {error}"
        faults.append(Fault(what=what, name=name, message=message))


def _verify_object(storage: Storage, record: ObjectRecord) -> None:
    if record.cold_hash is not None:
        check_cold(storage, record)
        return
    path = storage.objects.path_of(record.id)
    try:
        whole = hash_file(path) == record.id
    except OSError:
        whole = False  # opening it says what is wrong
    batches = map_batches(path, record.num_bytes, record.id)
    if not whole:
        opened = OpenObject(record, batches)
        for index in range(len(batches)):
            opened.verify(index, range(batches[index].num_columns))  # names the column when it is one
        raise CorruptObjectError(f"Object {record.id} is damaged outside its columns.", object=record.id)
    if measure_zones(batches) != record.zones:
        raise CorruptObjectError(f"What the catalog says of object {record.id} is damaged.", object=record.id)


def _verify_seal(storage: Storage, seal: SealRecord) -> None:
    if seal.state != "open":  # an open one has sealed nothing yet
        for name, file in seal.files.items():
            check_sealed(storage, seal.id, name, file)


def _verify_version(storage: Storage, version: VersionRecord, known: set[str]) -> None:
    pages = storage.pages.read(version)
    needed = {group.object_id for page in pages for fragment in page.fragments for group in fragment.groups}
    if not needed <= known:
        raise CorruptObjectError(f"Version {version.number} needs objects that are not known.", version=version.id)
    storage.catalog.read_arrow_schema(version.arrow_schema_id)  # checks it
    if version.recorded:
        check_commit_object(storage, version)
