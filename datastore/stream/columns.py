"""The columns of a stream: fixed by the dataset or by the first write, so that a later one is refused at once."""

from collections.abc import Mapping, Sequence
from typing import Any

import pyarrow as pa

from foldstore.datastore.arrow_schema import conform_batch, expressions_of, plain_schema, storage_schema
from foldstore.datastore.catalog.records import DatasetRecord
from foldstore.datastore.column_plan import plan_columns
from foldstore.datastore.commit import load_head
from foldstore.datastore.ingest.source import open_source
from foldstore.datastore.storage import Storage
from foldstore.errors import SchemaMismatchError, UsageError, did_you_mean


class StreamColumns:
    """Fits what is written to the columns that a stream has.

    Parameters
    ----------
    recovered : pyarrow.Schema or None
        The columns of rows that an earlier writer took and did not commit.

    Attributes
    ----------
    schema : pyarrow.Schema or None
        The columns; None before the first write to a dataset without versions.
    """

    def __init__(self, storage: Storage, dataset: DatasetRecord, branch: str, recovered: pa.Schema | None) -> None:
        self._storage = storage
        self._dataset = dataset
        self._head = load_head(storage, dataset, branch)
        self.schema = recovered
        if self._head.schema is not None:
            derived = expressions_of(self._head.schema)
            known = pa.schema([field for field in plain_schema(self._head.schema) if field.name not in derived])
            self.schema = _with_types(known, recovered) if recovered is not None else known

    def fit(self, data: Any) -> pa.Table:
        """Return rows as a table with the stream's columns; the first rows decide what those are.

        Raises
        ------
        SchemaMismatchError
            When they have other columns, or values that the columns cannot hold unchanged.
        IngestError
            When they cannot be read.
        """
        table = self._read(data)
        found = storage_schema(table.schema)
        if self.schema is None:
            plan = plan_columns(self._storage.engine, self._dataset, self._head.draft, found, judged=False)
            self.schema = pa.schema([found.field(name) for name in plan.given])
        _refuse_other(self._dataset.name, self.schema, found)
        # A column with nothing but nulls so far takes the type of its first values.
        self.schema = _with_types(self.schema, found)
        wanted = self.schema
        return pa.Table.from_batches([conform_batch(batch, wanted) for batch in table.to_batches()], wanted)

    def _read(self, data: Any) -> pa.Table:
        table = read_rows(data, self.schema)
        return self.fill(table) if are_records(data) else table

    def fill(self, table: pa.Table) -> pa.Table:
        """Return rows with nulls in the columns of the stream that they lack."""
        for name in self.schema.names if self.schema is not None else ():
            if name not in table.column_names:
                table = table.append_column(name, pa.nulls(table.num_rows))
        return table


def are_records(data: Any) -> bool:
    """Say whether rows are a list of dicts."""
    return isinstance(data, list | tuple) and all(isinstance(each, Mapping) for each in data)


def read_rows(data: Any, known: pa.Schema | None) -> pa.Table:
    """Return what is written to a stream as a table; `known` says which types some columns have.

    Raises
    ------
    UsageError
        When it is a file.
    IngestError
        When it cannot be read.
    """
    if isinstance(data, str | bytes) or hasattr(data, "__fspath__"):
        raise UsageError("A stream takes rows, not a file.", hint="dataset.append(path) commits a file.")
    source = open_source(_to_columns(data) if are_records(data) else data, known)
    return pa.Table.from_batches(source.batches, source.schema)


def _to_columns(records: Sequence[Mapping[Any, Any]]) -> dict[Any, list[Any]]:
    """Turn records into columns; what a record lacks is null."""
    names: dict[Any, None] = {}
    for record in records:
        names.update(dict.fromkeys(record))
    if not names:
        raise SchemaMismatchError("The records have no fields.", hint="Give a list of dicts with values.")
    return {name: [record.get(name) for record in records] for name in names}


def _with_types(schema: pa.Schema, found: pa.Schema) -> pa.Schema:
    """Give columns of no type yet the type that other rows have."""
    return pa.schema(
        [
            found.field(field.name) if pa.types.is_null(field.type) and field.name in found.names else field
            for field in schema
        ]
    )


def _refuse_other(dataset: str, known: pa.Schema, found: pa.Schema) -> None:
    new = [name for name in found.names if name not in known.names]
    absent = [name for name in known.names if name not in found.names]
    if new:
        raise SchemaMismatchError(
            f"The stream into {dataset!r} has no column {new[0]!r}.",
            hint=f"{did_you_mean(new[0], known.names)} None of these rows was taken.",
            code="column-new",
            columns=new,
        )
    if absent:
        raise SchemaMismatchError(
            f"The rows have no column {absent[0]!r}, which the stream into {dataset!r} has.",
            hint="Bring every column (nulls are fine). None of these rows was taken.",
            code="column-missing",
            columns=absent,
        )
