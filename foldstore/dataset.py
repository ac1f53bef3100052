"""The handle of a dataset: a named line of versions, written and looked up."""

from collections.abc import Mapping, Sequence
from typing import Any

import pyarrow as pa

from foldstore.datastore.add_columns import AddColumns
from foldstore.datastore.append import Append, complete_table, with_source
from foldstore.datastore.arrow_schema import plain_schema
from foldstore.datastore.catalog.records import DatasetRecord, VersionRecord
from foldstore.datastore.commit import CommitOptions, commit_steps, load_head
from foldstore.datastore.ingest.source import open_source
from foldstore.datastore.storage import Storage
from foldstore.errors import InvalidSchemaError, NotFoundError, UsageError, did_you_mean
from foldstore.names import LATEST, Address, parse_address
from foldstore.types import Progress, format_time
from foldstore.validation.check import validate
from foldstore.validation.gate import SchemaGate
from foldstore.validation.report import Report
from foldstore.validation.schema import DataSchema
from foldstore.validation.schema_history import find_schema, keep_schema, list_schemas
from foldstore.validation.subject import TableSubject
from foldstore.version import Version


class Dataset:
    """A named line of versions with an optional key and event time.

    Examples
    --------
    >>> import foldstore
    >>> store = foldstore.connect(folder)
    >>> people = store.create_dataset("people", key=["id"])
    >>> v1 = people.append({"id": [1, 2], "age": [34, 51]}, message="first")
    >>> v2 = people.add_columns({"adult": "age >= 18"})
    >>> people.latest
    <Version people@2: 2 rows, published>
    >>> people.version(1).arrow_schema.names
    ['id', 'age']
    """

    def __init__(self, storage: Storage, record: DatasetRecord, author: str) -> None:
        self._storage = storage
        self._record = record
        self._author = author
        self._gate = SchemaGate(storage)

    def __repr__(self) -> str:
        key = f", key {'+'.join(self.key)}" if self.key else ""
        return f"<Dataset {self.name!r}{key}>"

    @property
    def name(self) -> str:
        """Its name."""
        return self._record.name

    @property
    def key(self) -> tuple[str, ...]:
        """The columns whose values are unique together; empty when there is none."""
        return self._record.key

    @property
    def event_time(self) -> str | None:
        """The column that says when a row's event happened, or None."""
        return self._record.event_time

    @property
    def record(self) -> DatasetRecord:
        """What the catalog says."""
        return self._record

    @property
    def latest(self) -> Version:
        """The newest published version.

        Raises
        ------
        NotFoundError
            When nothing has been published yet.
        """
        return self.version(LATEST)

    def version(self, ref: int | str) -> Version:
        """Return a version.

        Parameters
        ----------
        ref : int or str
            A number, ``"latest"``, or the name of a branch, alias or tag.

        Raises
        ------
        NotFoundError
            When there is none.
        """
        address = parse_address(f"{self.name}@{ref}")
        found = self._find(address)
        if found is None:
            raise NotFoundError(
                f"There is no version {address}.", hint=self._say_what_exists(address), address=str(address)
            )
        return Version(self._storage, self._record, found)

    def versions(self) -> list[Version]:
        """List all versions, oldest first, the quarantined ones included."""
        return [Version(self._storage, self._record, v) for v in self._storage.catalog.list_versions(self._record.id)]

    def append(
        self,
        data: Any,
        *,
        order_by: Sequence[str] = (),
        message: str = "",
        author: str | None = None,
        properties: Mapping[str, Any] | None = None,
        idempotency_key: str | None = None,
        progress: Progress | None = None,
        **read_options: Any,
    ) -> Version:
        """Commit more rows as a new version.

        With a schema set, the rows are judged first: a version that fails comes back ``quarantined``, with
        its `report`, and `latest` stays where it is.

        Parameters
        ----------
        data : object
            A path (Parquet, CSV, Arrow, Feather), anything that speaks Arrow, a dict of lists, or an
            iterable of record batches.
        order_by : sequence of str
            Sort the rows by these columns first. Row order can give an outcome away.
        message, author, properties
            Kept with the version.
        idempotency_key : str, optional
            A second append with the same key returns the version of the first, whatever it brings.
        progress : callable, optional
            Told the rows done and the rows in all.
        **read_options
            How to read a CSV file: ``types={"zip": "string"}``, ``null_tokens=["", "NA"]``.

        Raises
        ------
        IngestError
            When the data cannot be read; a broken CSV row is named by line and column.
        SchemaMismatchError
            When columns do not fit the dataset and no schema is set to judge that.
        DuplicateKeyError
            When a key value occurs twice and no schema is set.
        """
        source = open_source(data, self._known_columns(), **read_options)
        options = with_source(self._options(message, author, properties, idempotency_key, progress), source)
        record = commit_steps(self._storage, self._record, [Append(source, order_by)], options=options, gate=self._gate)
        return Version(self._storage, self._record, record)

    def add_columns(
        self,
        expressions: Mapping[str, str],
        *,
        message: str = "",
        author: str | None = None,
        progress: Progress | None = None,
    ) -> Version:
        """Commit columns computed by SQL expressions; only the new columns are written.

        Later appends compute them too.

        Raises
        ------
        InvalidExpressionError
            When an expression is not allowed, or fails on a row.
        """
        options = self._options(message, author, None, None, progress)
        record = commit_steps(self._storage, self._record, [AddColumns(expressions)], options=options, gate=self._gate)
        return Version(self._storage, self._record, record)

    def validate(self, data: Any, *, schema: DataSchema | None = None, **read_options: Any) -> Report:
        """Judge data before it is committed; nothing is written.

        Parameters
        ----------
        data : object
            What `append` takes.
        schema : DataSchema, optional
            The dataset's newest schema unless given.
        """
        chosen = schema or find_schema(self._storage.catalog, self.name)
        source = open_source(data, self._known_columns(), **read_options)
        table = complete_table(self._storage, self._record, source)
        name = str(source.description.get("file", "the data"))
        return validate(TableSubject(table, name), chosen, created_at=format_time(self._storage.clock()))

    def set_schema(self, schema: DataSchema, *, message: str = "", author: str | None = None) -> DataSchema:
        """Keep a schema as the dataset's newest: from now on it gates what is published.

        Raises
        ------
        InvalidSchemaError
            When it leaves the dataset's key out: the gate checks the keys that the schema names.
        """
        if not isinstance(schema, DataSchema):
            raise UsageError(
                f"{type(schema).__name__!r} is not a schema.", hint="DataSchema.from_yaml(text) reads one."
            )
        if self.key and set(schema.keys) != set(self.key):
            raise InvalidSchemaError(
                f"The schema's keys are {list(schema.keys)}, the dataset's {list(self.key)}.",
                hint=f"Write keys: {list(self.key)} in the schema.",
                dataset=self.name,
            )
        return keep_schema(self._storage, self.name, schema, author=author or self._author, message=message)

    @property
    def schema(self) -> DataSchema | None:
        """The newest schema, or None."""
        kept = self.schemas()
        return kept[-1] if kept else None

    def schemas(self) -> list[DataSchema]:
        """List the schemas that were set, oldest first."""
        return list_schemas(self._storage.catalog, self.name)

    def _known_columns(self) -> pa.Schema | None:
        head = load_head(self._storage, self._record)
        return plain_schema(head.schema) if head.schema is not None else None

    def _options(
        self,
        message: str,
        author: str | None,
        properties: Mapping[str, Any] | None,
        idempotency_key: str | None,
        progress: Progress | None,
    ) -> CommitOptions:
        return CommitOptions(
            author=author or self._author,
            message=message,
            properties=properties or {},
            idempotency_key=idempotency_key,
            progress=progress,
        )

    def _find(self, address: Address) -> VersionRecord | None:
        catalog = self._storage.catalog
        if address.ref.isdigit():
            return catalog.find_version(self._record.id, int(address.ref))
        ref = catalog.find_ref(self._record.id, "main" if address.ref == LATEST else address.ref)
        return catalog.find_version_by_id(ref.version_id) if ref and ref.version_id else None

    def _say_what_exists(self, address: Address) -> str:
        numbers = [version.number for version in self.versions()]
        if not numbers:
            return f"{self.name!r} has no version yet: append some rows."
        if address.ref.isdigit():
            return f"Versions run from 1 to {numbers[-1]}."
        refs = [ref.name for ref in self._storage.catalog.list_refs(self._record.id)]
        return did_you_mean(address.ref, [*refs, LATEST])
