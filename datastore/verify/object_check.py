"""One object against its name: is it there, whole, and what the catalog says of it; if not, what of it is damaged."""

from pathlib import Path
from typing import Final

from foldstore.datastore.catalog.records import ObjectRecord
from foldstore.datastore.column_group import map_batches
from foldstore.datastore.files import hash_file
from foldstore.datastore.freezing import check_cold
from foldstore.datastore.objects import OpenObject
from foldstore.datastore.storage import Storage
from foldstore.datastore.verify.verification import Fault, Kind
from foldstore.datastore.zones import measure_zones, read_zones
from foldstore.errors import CorruptObjectError, FoldstoreError

# An Arrow file ends with its magic, so zeros at its end are none that were written.
_ZEROS: Final = 8


def check_object(storage: Storage, record: ObjectRecord, *, read: bool = True) -> Fault | None:
    """Check an object.

    Parameters
    ----------
    read : bool
        Whether its bytes are read; its presence and size alone are looked at else.
    """
    if record.cold_hash is not None:
        return _check_cold(storage, record)
    path = storage.objects.path_of(record.id)
    try:
        size = path.stat().st_size
    except FileNotFoundError:
        return _fault(record, Kind.MISSING, f"Object {record.id} is missing from the store.")
    if size != record.num_bytes:
        return _check_size(record, path, size)
    if not read:
        return None
    if hash_file(path) != record.id:
        return _diagnose(record, path)
    if not agrees(record, path):
        return _fault(record, Kind.INCONSISTENT, f"What the catalog says of object {record.id} is damaged.")
    return None


def _check_cold(storage: Storage, record: ObjectRecord) -> Fault | None:
    try:
        check_cold(storage, record)
    except CorruptObjectError as error:
        return _fault(record, Kind.CORRUPT, error.message)
    return None


def agrees(record: ObjectRecord, path: Path) -> bool:
    """Say whether the catalog says of whole bytes what they are."""
    batches = map_batches(path, record.num_bytes, record.id)
    if sum(batch.num_rows for batch in batches) != record.num_rows:
        return False
    measured = measure_zones(batches)
    if measured == record.zones:
        return True
    try:
        return bool(read_zones(measured).equals(read_zones(record.zones)))  # another Arrow may pack them otherwise
    except Exception:  # noqa: BLE001  # damage can fail in any way
        return False


def _check_size(record: ObjectRecord, path: Path, size: int) -> Fault:
    message = f"Object {record.id} has {size} bytes, expected {record.num_bytes}."
    if hash_file(path) == record.id:
        return _fault(record, Kind.INCONSISTENT, message)
    return _fault(record, Kind.TRUNCATED if size < record.num_bytes else Kind.CORRUPT, message)


def _diagnose(record: ObjectRecord, path: Path) -> Fault:
    kind = Kind.ZERO_FILLED if _ends_in_zeros(path) else Kind.CORRUPT
    try:
        damaged = _damaged_columns(record, path)
    except FoldstoreError as error:
        return _fault(record, kind, error.message)
    except Exception as error:  # noqa: BLE001  # damage can fail in any way
        return _fault(record, kind, f"Object {record.id} is not readable: {type(error).__name__}.")
    if not damaged:
        return _fault(record, kind, f"Object {record.id} is damaged outside its columns.")
    (column, batch), more = damaged[0], len(damaged) - 1
    message = f"Column {column!r} of object {record.id} is damaged (record batch {batch})."
    if more:
        message = f"{message[:-1]}, and {more:,} more column{'s' if more > 1 else ''} of record batches."
    return _fault(record, kind, message, tuple(damaged))


def _damaged_columns(record: ObjectRecord, path: Path) -> list[tuple[str, int]]:
    batches = map_batches(path, record.num_bytes, record.id)
    opened = OpenObject(record, batches)
    damaged = []
    for index, batch in enumerate(batches):
        for position, name in enumerate(batch.schema.names):
            try:
                opened.verify(index, [position])
            except CorruptObjectError:
                damaged.append((name, index))
    return damaged


def _ends_in_zeros(path: Path) -> bool:
    with path.open("rb") as file:
        file.seek(-min(_ZEROS, path.stat().st_size), 2)
        return not any(file.read(_ZEROS))


def _fault(record: ObjectRecord, kind: Kind, message: str, columns: tuple[tuple[str, int], ...] = ()) -> Fault:
    return Fault(what="object", name=record.id, message=message, kind=kind, columns=columns)
