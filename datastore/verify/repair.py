"""Repairs that cannot lose anything: what is written is proven by a hash, or by a catalog that is whole.

Each repair is an entry of the journal ``repairs``.
"""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

from foldstore.datastore.catalog.inspection import replace_zones
from foldstore.datastore.catalog.records import ObjectRecord
from foldstore.datastore.column_group import map_batches
from foldstore.datastore.commit_object import rewrite_commit_object
from foldstore.datastore.files import hash_file
from foldstore.datastore.storage import Storage, new_id
from foldstore.datastore.verify.catalog_check import Findings
from foldstore.datastore.verify.strays import find_dead_staging
from foldstore.datastore.verify.verification import Fault, Kind
from foldstore.datastore.zones import measure_zones
from foldstore.errors import FoldstoreError, StoreError
from foldstore.types import format_time

STREAM: Final = "repairs"
_PIECE: Final = 4 << 20


def repair_faults(storage: Storage, found: Findings, source: Path | None, actor: str) -> list[str]:
    """Do what is safe about the faults that were found, and return in words what was done.

    Parameters
    ----------
    source : pathlib.Path, optional
        A backup or a copy of the store, from which objects are taken when their hash is right.
    """
    done: list[str] = []

    def note(kind: str, name: str, words: str) -> str:
        body = {"kind": kind, "name": name, "did": words}
        with storage.catalog.write() as connection:
            storage.journal.append(connection, STREAM, body, actor=actor, created_at=format_time(storage.clock()))
        done.append(f"{kind} {name}: {words}")
        return words

    _repair_objects(storage, found, source, note)
    if not any(fault.what in ("catalog", "dataset") for fault in found.faults):
        _repair_commit_objects(storage, found, note)
    for transaction_id in find_dead_staging(storage):
        storage.objects.unstage(transaction_id)
        note("staging", transaction_id, "removed the folder of a commit that is over")
    return done


def _repair_objects(
    storage: Storage, found: Findings, source: Path | None, note: Callable[[str, str, str], str]
) -> None:
    for place, fault in enumerate(found.faults):
        if fault.what != "object":
            continue
        record = storage.catalog.read_objects([fault.name]).get(fault.name)
        if record is None:
            continue
        words = None
        if fault.kind is Kind.INCONSISTENT:
            words = _measure_again(storage, record)
        elif source is not None and _fetch(storage, record, source):
            words = f"copied from {source.name}"
            _measure_again(storage, record)
        if words:
            found.faults[place] = replace(fault, repaired=note("object", record.id, words))


def _measure_again(storage: Storage, record: ObjectRecord) -> str | None:
    """Say anew of an object what its bytes are, when they are proven by their name."""
    path = storage.objects.path_of(record.id)
    if hash_file(path) != record.id:
        return None
    size = path.stat().st_size
    batches = map_batches(path, size, record.id)
    rows = sum(batch.num_rows for batch in batches)
    measured = replace(record, num_bytes=size, num_rows=rows, zones=measure_zones(batches))
    if measured != record:
        replace_zones(storage.catalog, measured)
    storage.objects.forget(record.id)  # a mapping that was made before shows the old bytes
    return "measured its proven bytes again"


def _fetch(storage: Storage, record: ObjectRecord, source: Path) -> bool:
    """Take an object from another folder; only bytes with the right hash are taken."""
    target = storage.objects.stored_path(record)
    copy = source / target.relative_to(storage.root)
    if not copy.is_file():
        return False
    files = storage.objects.files
    staging = storage.objects.stage(new_id())
    try:
        file = files.create(staging / target.name)
        with copy.open("rb") as bytes_:
            while piece := bytes_.read(_PIECE):
                file.write(piece)
        if file.finish() != record.stored_hash:
            return False
        files.make_folder(target.parent)
        files.replace(file.path, target)
        files.sync_folders([target.parent])
    except OSError as error:
        raise StoreError(
            f"Object {record.id} could not be copied: {error.strerror}.", hint="Free some space and try again."
        ) from error
    finally:
        files.remove_tree(staging)
    storage.objects.forget(record.id)
    return True


def _repair_commit_objects(storage: Storage, found: Findings, note: Callable[[str, str, str], str]) -> None:
    by_address: dict[str, Any] = {found.addresses[version.id]: version for version in found.unrecorded}
    for place, fault in enumerate(found.faults):
        version = by_address.get(fault.name) if fault.what == "commit object" else None
        if version is None:
            continue
        try:
            rewrite_commit_object(storage, version)
        except FoldstoreError:  # what it would say cannot be read: the fault stays
            continue
        found.faults[place] = _repaired(fault, note("commit object", fault.name, "written anew from the catalog"))


def _repaired(fault: Fault, words: str) -> Fault:
    return replace(fault, repaired=words)
