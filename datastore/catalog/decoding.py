"""Rows of the catalog as records."""

import json
from typing import Any

import sqlalchemy as sa

from foldstore.datastore.catalog.records import (
    DatasetRecord,
    Document,
    ObjectRecord,
    PendingSeal,
    RefRecord,
    SealedFile,
    SealRecord,
    VersionRecord,
)
from foldstore.errors import CorruptObjectError
from foldstore.types import Operation, Status


def to_dataset(row: sa.Row[Any]) -> DatasetRecord:
    """Read a row of `dataset`."""
    return DatasetRecord(
        id=row.id,
        name=row.name,
        key=tuple(json.loads(row.key_columns)),
        event_time=row.event_time,
        derive=dict(json.loads(row.derive)),
        created_at=row.created_at,
        key_policy=row.key_policy,
    )


def to_version(row: sa.Row[Any]) -> VersionRecord:
    """Read a row of `version`."""
    values = dict(row._mapping)  # noqa: SLF001  # the documented name for a row as a mapping
    try:
        values["operation"] = Operation(row.operation)
        values["status"] = Status(row.status)
        values["properties"] = json.loads(row.properties)
    except ValueError as error:
        raise CorruptObjectError(
            f"The catalog's row of version {row.number} is damaged: {error}.", hint="Restore the catalog from a backup."
        ) from error
    return VersionRecord(**values)


def to_object(row: sa.Row[Any]) -> ObjectRecord:
    """Read a row of `object`."""
    return ObjectRecord(
        id=row.id,
        kind=row.kind,
        num_bytes=row.num_bytes,
        num_rows=row.num_rows,
        zones=bytes(row.zones),
        cold_bytes=row.cold_bytes,
        cold_hash=row.cold_hash,
    )


def to_ref(row: sa.Row[Any]) -> RefRecord:
    """Read a row of `ref`."""
    return RefRecord(name=row.name, kind=row.kind, version_id=row.version_id, generation=row.generation)


def to_document(row: sa.Row[Any]) -> Document:
    """Read a row of `document`."""
    values = dict(row._mapping)  # noqa: SLF001  # the documented name for a row as a mapping
    values["body"] = json.loads(row.body)
    return Document(**values)


def to_seal(row: sa.Row[Any]) -> SealRecord:
    """Read a row of `seal`."""
    pending = json.loads(row.pending)
    return SealRecord(
        id=row.id,
        dataset_id=row.dataset_id,
        columns=tuple(json.loads(row.columns)),
        files={name: SealedFile(**item) for name, item in json.loads(row.files).items()},
        num_rows=row.num_rows,
        state=row.state,
        pending=PendingSeal(objects=tuple(pending["objects"]), versions=tuple(pending["versions"])),
        created_at=row.created_at,
    )
