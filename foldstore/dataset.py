"""The handle of a dataset: a named line of versions, written and looked up."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

import pyarrow as pa

from foldstore.dataset_erasure import DatasetErasure
from foldstore.dataset_gate import DatasetGate
from foldstore.dataset_history import DatasetHistory
from foldstore.dataset_refs import DatasetRefs
from foldstore.dataset_writing import DatasetWriting
from foldstore.datastore.append import complete_table
from foldstore.datastore.arrow_schema import decode_schema, plain_schema
from foldstore.datastore.catalog.records import DatasetRecord, VersionRecord
from foldstore.datastore.catalog.statuses import find_published
from foldstore.datastore.commit import load_head
from foldstore.datastore.ingest.source import open_source
from foldstore.datastore.lineage.recording import note_input, resolve_in_run
from foldstore.datastore.storage import Storage
from foldstore.description import Described
from foldstore.errors import IngestError, InvalidSchemaError, NotFoundError, UsageError, did_you_mean
from foldstore.names import LATEST, MAIN_BRANCH, Address, parse_address
from foldstore.stream import StreamWriter, stream_options
from foldstore.types import Status, format_time, parse_time
from foldstore.upkeep import DatasetUpkeep
from foldstore.validation.check import unreadable, validate
from foldstore.validation.drift.windows import count_added
from foldstore.validation.gate import SchemaGate
from foldstore.validation.history import history_for
from foldstore.validation.other_datasets import OtherDatasets
from foldstore.validation.report import Report
from foldstore.validation.schema import DataSchema
from foldstore.validation.schema_history import NO_SCHEMA, choose_schema, keep_schema, list_schemas
from foldstore.validation.schema_references import check_references
from foldstore.validation.subject import TableSubject
from foldstore.validation.surroundings import Surroundings
from foldstore.validation.user_checks import with_user_checks
from foldstore.version import Version
from foldstore.views.source import ViewStore
from foldstore.views.transforms.registry import TransformRegistry


class Dataset(DatasetRefs, DatasetWriting, DatasetErasure, DatasetHistory, DatasetGate, DatasetUpkeep, Described):
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

    def __init__(
        self,
        storage: Storage,
        record: DatasetRecord,
        author: str,
        branch: str = MAIN_BRANCH,
        *,
        views: ViewStore | None = None,
    ) -> None:
        self._storage = storage
        self._record = record
        self._author = author
        self._branch = branch
        self._views = views
        self._gate = SchemaGate(storage)

    def __repr__(self) -> str:
        key = f", key {'+'.join(self.key)}" if self.key else ""
        branch = f", branch {self._branch!r}" if self._branch != MAIN_BRANCH else ""
        return f"<Dataset {self.name!r}{key}{branch}>"

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
        """The newest published version; on a branch's handle, that of the branch.

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
        on_branch = address.ref == LATEST and self._branch != MAIN_BRANCH
        asked = Address(self.name, self._branch) if on_branch else address
        found = resolve_in_run(self._storage, asked, self._find)
        if found is None:
            raise NotFoundError(
                f"There is no version {address}.", hint=self._say_what_exists(address), address=str(address)
            )
        return self._to_version(found)

    def as_of(self, moment: str | datetime) -> Version:
        """Return the version that was the newest published one at an instant; on a branch's handle, of its line.

        The line of a branch goes on before it was made: with the version that it was made at, and those before.

        Parameters
        ----------
        moment : str or datetime.datetime
            RFC 3339 text, or a datetime; a time without a zone is UTC.

        Raises
        ------
        NotFoundError
            When nothing had been published by then.
        UsageError
            When it is no time.

        Examples
        --------
        >>> import foldstore
        >>> people = foldstore.connect(folder).create_dataset("people")
        >>> first = people.append({"id": [1]})
        >>> people.as_of("2099-01-01") == first, people.as_of(first.created_at).number
        (True, 1)
        """
        try:
            instant = format_time(parse_time(moment) if isinstance(moment, str) else moment)
        except (ValueError, AttributeError, TypeError) as error:
            raise UsageError(
                f"{str(moment)[:60]!r} is not a time.", hint="Write '2026-01-31T00:00:00Z', or give a datetime."
            ) from error
        found = self._storage.catalog.find_version_as_of(self._record.id, self._branch, instant)
        if found is None:
            raise NotFoundError(f"{self.name!r} had no version at {instant}.", hint=self._say_when_it_began())
        note_input(self._storage, found.id, f"{self.name}@{found.number}")
        return self._to_version(found)

    def versions(self) -> list[Version]:
        """List all versions, oldest first, the quarantined ones included."""
        return [self._to_version(v) for v in self._storage.catalog.list_versions(self._record.id)]

    def stream(self, name: str = "main", **options: Any) -> StreamWriter:
        """Open a writer that cuts endless rows into versions; see `StreamOptions` for what can be said.

        Raises
        ------
        ConflictError
            With code ``stream-busy`` when another writer has a stream of that name.
        """
        return StreamWriter(
            self._storage,
            self._record,
            self._gate,
            self._author,
            stream_options(name, options),
            branch=self._branch,
            views=self._views,
        )

    def validate(
        self,
        data: Any,
        *,
        schema: DataSchema | None = None,
        environment: str | None = None,
        checks: Sequence[Any] = (),
        **read_options: Any,
    ) -> Report:
        """Judge data before it is committed; nothing is written.

        Parameters
        ----------
        data : object
            What `append` takes.
        schema : DataSchema, optional
            The dataset's newest schema unless given.
        environment : str, optional
            Where the rows are from, such as ``serving``: only its columns are asked for. Unless it or a schema is
            given, that of the gate's policy.
        checks : sequence of pandera's schemas or models
            What is asked besides, in code; see `Version.validate`.
        **read_options : object
            What `append` takes.
        """
        if schema is not None and not isinstance(schema, DataSchema):
            raise UsageError(
                f"{type(schema).__name__!r} is not a schema.", hint="DataSchema.from_yaml(text) reads one."
            )
        chosen = schema or choose_schema(self._storage.catalog, self.name, required=not checks)
        head = load_head(self._storage, self._record, self._branch)
        known = None if head.schema is None else plain_schema(head.schema)
        source = open_source(data, known, **read_options)
        name = str(source.description.get("file", "the data"))
        now, others = format_time(self._storage.clock()), OtherDatasets(self._storage)
        try:
            table = complete_table(self._storage.engine, self._record, head, source)
        except IngestError as error:
            if error.code != "invalid-utf8":
                raise
            return unreadable(chosen, name, str(error.facts["column"]), error.message, created_at=now)
        subject = TableSubject(table, name, sound=True)  # its source was looked at
        before, is_asked = head.version, chosen.rows_vs_previous is not None
        report = validate(
            subject,
            chosen,
            Surroundings(
                created_at=now,
                environment=self.gate.environment
                if environment is None and schema is None and chosen is not NO_SCHEMA
                else environment,
                previous_rows=count_added(self._storage, before, own=True) if before and is_asked else None,
                others=others,
                transforms=TransformRegistry(self._storage).load,
                history=history_for(self._storage, before, self.name, subject),
                engine=self._storage.engine,
            ),
        )
        return with_user_checks(report, subject, chosen, checks)

    def _head(self) -> VersionRecord | None:
        ref = self._storage.catalog.find_ref(self._record.id, self._branch)
        return None if ref is None else self._storage.catalog.find_version_by_id(ref.version_id or "")

    def set_schema(self, schema: DataSchema, *, message: str = "", author: str | None = None) -> DataSchema:
        """Keep a schema as the dataset's newest: from now on it gates what is published.

        Raises
        ------
        InvalidSchemaError
            When it leaves the dataset's key out: the gate checks the keys that the schema names. When a rule, a
            segment or a foreign key could never be judged: an expression that does not parse, a column or a dataset
            that is not there.
        """
        if not isinstance(schema, DataSchema):
            raise UsageError(
                f"{type(schema).__name__!r} is not a schema.", hint="DataSchema.from_yaml(text) reads one."
            )
        if self.key and set(schema.keys) != set(self.key):
            absent = [name for name in self.key if name not in schema.columns]
            first = f"Describe the column {absent[0]!r}, which tells rows apart, and write" if absent else "Write"
            raise InvalidSchemaError(
                f"The schema's keys are {list(schema.keys)}, the dataset's {list(self.key)}.",
                hint=f"{first} keys: {list(self.key)} in the schema.",
                dataset=self.name,
            )
        head = self._head()
        known = None if head is None else decode_schema(self._storage.catalog.read_arrow_schema(head.arrow_schema_id))
        check_references(schema, self._storage, known)
        return keep_schema(self._storage, self.name, schema, author=author or self._author, message=message)

    @property
    def schema(self) -> DataSchema | None:
        """The newest schema, or None."""
        kept = self.schemas()
        return kept[-1] if kept else None

    def schemas(self) -> list[DataSchema]:
        """List the schemas that were set, oldest first."""
        return list_schemas(self._storage.catalog, self.name)

    def _on_branch(self, name: str) -> "Dataset":
        return Dataset(self._storage, self._record, self._author, name, views=self._views)

    def _to_version(self, record: VersionRecord) -> Version:
        return Version(self._storage, self._record, record, self._author, views=self._views)

    def _known_columns(self) -> pa.Schema | None:
        head = load_head(self._storage, self._record, self._branch)
        return plain_schema(head.schema) if head.schema is not None else None

    def _find(self, address: Address) -> VersionRecord | None:
        catalog = self._storage.catalog
        if address.ref.isdigit():
            return catalog.find_version(self._record.id, int(address.ref))
        ref = catalog.find_ref(self._record.id, self._branch if address.ref == LATEST else address.ref)
        if address.ref == LATEST and ref and ref.version_id:
            return find_published(catalog, ref.version_id)
        return catalog.find_version_by_id(ref.version_id) if ref and ref.version_id else None

    def _say_when_it_began(self) -> str:
        published = [version for version in self.versions() if version.status is Status.PUBLISHED]
        if not published:
            return f"{self.name!r} has no published version yet: append some rows."
        return f"The first that is published, {published[0].address}, is of {format_time(published[0].created_at)}."

    def _say_what_exists(self, address: Address) -> str:
        numbers = [version.number for version in self.versions()]
        if not numbers:
            return f"{self.name!r} has no version yet: append some rows."
        if address.ref.isdigit():
            return f"Versions run from 1 to {numbers[-1]}."
        if address.ref == LATEST:
            versions = self.versions()
            if all(version.status is Status.QUARANTINED for version in versions):
                newest = versions[-1].address
                return (
                    f"Nothing has passed the gate yet; foldstore review release {newest} -r REASON publishes {newest}."
                )
            return f"No published version is left on the branch; versions run from 1 to {numbers[-1]}."
        refs = [ref.name for ref in self._storage.catalog.list_refs(self._record.id)]
        return did_you_mean(address.ref, [*refs, LATEST])


def check_declared(key: object, event_time: object, derive: object) -> list[str]:
    """Check what is said of the columns of a dataset that is to be made; return their names.

    Raises
    ------
    UsageError
        When it is no list of names, or no dict of expressions.
    """
    if isinstance(key, str) or not isinstance(key, Sequence) or not all(isinstance(name, str) for name in key):
        shown = [key] if isinstance(key, str) else ["id"]
        raise UsageError(f"key={key!r} is not a list of columns.", hint=f"Write key={shown}.")
    if len(set(key)) < len(key):
        raise UsageError(f"key={list(key)} names a column twice.", hint="Name each column once.")
    if event_time is not None and not isinstance(event_time, str):
        raise UsageError(f"event_time={event_time!r} is not the name of a column.")
    if derive is not None and (
        not isinstance(derive, Mapping) or not all(isinstance(t, str) for pair in derive.items() for t in pair)
    ):
        raise UsageError("derive is not a dict of expressions.", hint='Write derive={"total": "price * amount"}.')
    return list(dict.fromkeys([*key, *([event_time] if event_time else []), *(derive or {})]))
