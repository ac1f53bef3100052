"""The handle of a version: an immutable state of a dataset, read, profiled and judged."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import datetime
from functools import partial
from itertools import islice
from typing import TYPE_CHECKING, Any, overload

import pyarrow as pa

from foldstore.consumers import Consumed
from foldstore.datastore.arrow_schema import decode_schema
from foldstore.datastore.catalog.records import DatasetRecord, VersionRecord
from foldstore.datastore.catalog.registry import Registry
from foldstore.datastore.catalog.seals import list_seals
from foldstore.datastore.ingest.source import key_table
from foldstore.datastore.joint_profiling import FragmentRows
from foldstore.datastore.key_search import read_keys
from foldstore.datastore.lineage.catalog_relations import TRAINING_SET
from foldstore.datastore.manifest import Fragment
from foldstore.datastore.profiling import profile_fragments
from foldstore.datastore.reader import FragmentReader
from foldstore.datastore.row_directory import RowDirectory
from foldstore.datastore.statistics.segments import MAX_SEGMENTS, SegmentedProfile, profile_segments
from foldstore.datastore.storage import Storage
from foldstore.datastore.take import take_ids, take_keys
from foldstore.errors import UsageError
from foldstore.forms import Forms
from foldstore.names import parse_address
from foldstore.profile import VersionProfile
from foldstore.split import Base
from foldstore.split_making import SplitMaker
from foldstore.types import Operation, Progress, Status, format_time, parse_time
from foldstore.upkeep import VersionUpkeep
from foldstore.validation.check import validate
from foldstore.validation.drift.windows import BRINGING, count_added, has_own_rows
from foldstore.validation.drift_history import past_effects
from foldstore.validation.fragments import FragmentSubject
from foldstore.validation.gate_policy import find_policy
from foldstore.validation.history import history_of
from foldstore.validation.nested_paths import is_of
from foldstore.validation.other_datasets import OtherDatasets
from foldstore.validation.report import Report
from foldstore.validation.schema import DataSchema
from foldstore.validation.schema_history import NO_SCHEMA, choose_schema
from foldstore.validation.subject import sealed_columns
from foldstore.validation.surroundings import Surroundings
from foldstore.validation.user_checks import with_user_checks
from foldstore.version_cleaning import VersionCleaning
from foldstore.version_drift import VersionDrift
from foldstore.version_review import VersionReview
from foldstore.version_splits import VersionSplits
from foldstore.version_tiers import VersionTiers
from foldstore.views.display import html_table
from foldstore.views.source import ViewStore
from foldstore.views.transforms.registry import TransformRegistry
from foldstore.views.view import View

if TYPE_CHECKING:
    import numpy as np


_ABOUT_NULLS = frozenset(("null_fraction_high", "all_null", "missingness_drift"))


class Version(
    Forms, VersionCleaning, VersionDrift, VersionReview, VersionSplits, VersionTiers, VersionUpkeep, Consumed
):
    """An immutable state of a dataset: the same address gives the same bytes for ever.

    Examples
    --------
    >>> import foldstore
    >>> store = foldstore.connect(folder)
    >>> people = store.create_dataset("people", key=["id"])
    >>> first = people.append({"id": [1, 2], "age": [34, 51]})
    >>> first.address, first.num_rows, str(first.status)
    ('people@1', 2, 'published')
    >>> first.to_arrow(columns=["age"]).to_pydict()
    {'age': [34, 51]}
    """

    def __init__(
        self,
        storage: Storage,
        dataset: DatasetRecord,
        record: VersionRecord,
        author: str = "unknown",
        *,
        views: ViewStore | None = None,
    ) -> None:
        self._storage = storage
        self._views = views
        self._author = author
        self._dataset = dataset
        self._record = record
        self._whole: FragmentReader | None = None

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Version) and self.version_id == other.version_id

    def __hash__(self) -> int:
        return hash(self.version_id)

    def __repr__(self) -> str:
        return f"<Version {self.address}: {self.num_rows:,} rows, {self.status}>"

    def _repr_html_(self) -> str:
        names = self.arrow_schema.names[:20]
        first = list(islice(self._reader().batches(names), 1))
        head = pa.Table.from_batches(first, pa.schema([self.arrow_schema.field(n) for n in names])).slice(0, 10)
        return html_table(head, f"{self.address} · {self.num_rows:,} rows · {self.status}")

    @property
    def address(self) -> str:
        """The address with the number, such as ``flights@3``."""
        return f"{self._dataset.name}@{self._record.number}"

    @property
    def number(self) -> int:
        """What is written behind the ``@``; numbers only grow."""
        return self._record.number

    @property
    def version_id(self) -> str:
        """The identity of the version; it does not depend on contents."""
        return self._record.id

    @property
    def record(self) -> VersionRecord:
        """What the catalog says: author, message, time, operation, rows and bytes added, properties."""
        return self._record

    @property
    def status(self) -> Status:
        """``published``, ``quarantined``, ``draft`` or ``deprecated``."""
        return self._record.status

    @property
    def created_at(self) -> datetime:
        """When it was committed, in UTC."""
        return parse_time(self._record.created_at)

    @property
    def dataset(self) -> DatasetRecord:
        """What the catalog says of the dataset: its name, key and event time."""
        return self._dataset

    @property
    def rows(self) -> FragmentReader:
        """The reader of all rows, for the layers that compute inside the store."""
        return self._reader()

    @property
    def num_rows(self) -> int:
        """How many rows it has."""
        # Rows may have been erased since the version was opened, or a guard may hide some.
        own = self._storage.objects.num_retired or self._storage.guard is not None
        return self._reader().num_rows if own else self._record.num_rows

    @property
    def arrow_schema(self) -> pa.Schema:
        """Names and types of the columns."""
        return self._reader().arrow_schema

    @property
    def report(self) -> Report | None:
        """The report of the gate that judged the commit, or None when no schema was set."""
        document = Registry(self._storage.catalog, "report").find(self._record.id)
        return Report.from_dict({**document.body, "subject": self.address}) if document else None

    def to_dict(self) -> dict[str, Any]:
        """Return what is known of the version as plain data."""
        record = self._record
        return {
            "address": self.address,
            "version": record.number,
            "status": str(record.status),
            "operation": str(record.operation),
            "rows": record.num_rows,
            "rows_added": record.rows_added,
            "bytes_added": record.bytes_added,
            "author": record.author,
            "message": record.message,
            "created_at": record.created_at,
            "id": record.id,
            "properties": dict(record.properties),
        }

    def view(self) -> View:
        """Return the view of all rows and columns, to filter and to read in other forms."""
        return View(self, engine=self._storage.engine, store=self._views)

    def to_arrow(self, columns: Sequence[str] | None = None) -> pa.Table:
        """Return rows as a table over the memory-mapped files; nothing is copied.

        Parameters
        ----------
        columns : sequence of str, optional
            Which columns, in which order; all unless given.

        Raises
        ------
        ColumnNotFoundError
            When a column is not there.
        """
        return self._reader().to_table(columns)

    def to_table(self, columns: Sequence[str] | None = None) -> pa.Table:
        """Do what `to_arrow` does: views read versions by this name."""
        return self._reader().to_table(columns)

    def to_batches(self, columns: Sequence[str] | None = None) -> Iterator[pa.RecordBatch]:
        """Yield the mapped record batches one by one; each is verified when it is reached."""
        return self._reader().batches(columns)

    def take(self, row_ids: Any = None, *, keys: Any = None, columns: Sequence[str] | None = None) -> pa.Table:
        """Return some rows, by row id or by key, in the order asked for; only their record batches are touched.

        Parameters
        ----------
        row_ids : sequence of int, optional
            What `row_ids` gives.
        keys : table, dict of lists or list of dicts, optional
            Values of the key's columns.
        columns : sequence of str, optional
            Which columns; all unless given.

        Raises
        ------
        NotFoundError
            When a row is not in the version.

        Examples
        --------
        >>> import foldstore
        >>> people = foldstore.connect(folder).create_dataset("people", key=["id"])
        >>> version = people.append({"id": [1, 2, 3], "age": [34, 51, 7]})
        >>> version.take(keys={"id": [3, 1]}).to_pydict()
        {'id': [3, 1], 'age': [7, 34]}
        """
        if (row_ids is None) == (keys is None):
            raise UsageError("take() needs row ids or keys.", hint="Write take([...]) or take(keys={...}).")
        reader = self._reader()
        if keys is None:
            return take_ids(reader, row_ids, columns)
        table = key_table(keys, reader.arrow_schema, self._dataset.key)
        wanted = read_keys(self._dataset.key, reader.arrow_schema, table, self._dataset.name)
        return take_keys(reader, wanted, columns)

    def row_ids(self) -> "np.ndarray[Any, np.dtype[np.uint64]]":
        """Return the id of each row, in order: it stays the same in every version that has the row."""
        return self._reader().row_ids()

    @property
    def generation(self) -> int:
        """A number that grows when cells were sealed or rows erased since the store was opened."""
        return self._storage.objects.num_retired

    def find_rows(self) -> RowDirectory:
        """Return what reaches rows by rank, for views."""
        return RowDirectory(self._reader())

    def column_sizes(self, columns: Sequence[str]) -> dict[str, int]:
        """Return the bytes that columns take in the mapped files; no value is read for it."""
        return self._reader().column_sizes(columns)

    @overload
    def profile(
        self, *, by: None = None, rows: str = "all", max_segments: int = ..., progress: Progress | None = None
    ) -> VersionProfile: ...
    @overload
    def profile(
        self, *, by: str | Sequence[str], rows: str = "all", max_segments: int = ..., progress: Progress | None = None
    ) -> SegmentedProfile: ...
    def profile(
        self,
        *,
        by: str | Sequence[str] | None = None,
        rows: str = "all",
        max_segments: int = MAX_SEGMENTS,
        progress: Progress | None = None,
    ) -> VersionProfile | SegmentedProfile:
        """Return the statistics of the rows; only files that no profile has read before are read.

        Parameters
        ----------
        by : str or sequence of str, optional
            One column or two: a profile of each value, or of each pair of values.
        rows : {'all', 'added'}
            All rows, or those that this version added to its parent.
        max_segments : int
            How many segments stand alone, the largest; the rest is joined under `OTHER`.
        progress : callable, optional
            Told the rows done and the rows in all.

        Examples
        --------
        >>> import foldstore
        >>> store = foldstore.connect(folder)
        >>> trips = store.create_dataset("trips").append({"origin": ["JFK", "EWR", "JFK"], "delay": [4, 30, 6]})
        >>> {key: part.columns["delay"].mean for key, part in trips.profile(by="origin").items()}
        {'JFK': 5.0, 'EWR': 30.0}
        """
        source = FragmentRows(self._storage, self._reader(rows))
        if by is not None:
            return profile_segments(source, by, max_segments)
        profile = profile_fragments(self._storage, source.reader, progress)
        return VersionProfile(
            rows=profile.rows,
            columns=profile.columns,
            source=source,
            key=self._dataset.key,
            dataset=self._dataset.name,
            history=partial(past_effects, self._storage, self._record, self._dataset.name, own=rows == "all"),
        )

    def validate(
        self,
        schema: DataSchema | None = None,
        *,
        rows: str = "all",
        environment: str | None = None,
        checks: Sequence[Any] = (),
    ) -> Report:
        """Judge the rows by a schema; that sealed cells are null is not held against them.

        Parameters
        ----------
        schema : DataSchema, optional
            The dataset's newest schema unless given.
        rows : {'all', 'added'}
            All rows, or those that this version added to its parent.
        environment : str, optional
            Where the rows are from, such as ``serving``: only its columns are asked for. Unless it or a schema is
            given, that of the policy of the dataset's gate.
        checks : sequence of pandera's schemas or models
            What is asked besides, in code: `DataFrameSchema` and `DataFrameModel` of pandera's polars or pyarrow
            backend. What fails is in the report as ``user_check_failed``, what raises as ``user_check_broken``.

        Raises
        ------
        NotFoundError
            When no schema and no checks are given and the dataset has no schema.
        """
        if schema is not None and not isinstance(schema, DataSchema):
            raise UsageError(
                f"{type(schema).__name__!r} is not a schema.", hint="DataSchema.from_yaml(text) reads one."
            )
        chosen = schema or choose_schema(self._storage.catalog, self._dataset.name, required=not checks)
        if environment is None and schema is None and chosen is not NO_SCHEMA:
            environment = find_policy(self._storage.catalog, self._dataset.name).environment
        now = format_time(self._storage.clock())
        before = None if chosen.rows_vs_previous is None else self._count_previous(rows)
        subject = self._subject(rows)
        report = validate(
            subject,
            chosen,
            Surroundings(
                created_at=now,
                environment=environment,
                previous_rows=before,
                others=OtherDatasets(self._storage),
                transforms=TransformRegistry(self._storage).load,
                history=history_of(self._storage, self._record, self._dataset.name),
                engine=self._storage.engine,
            ),
        )
        sealed = sealed_columns(subject)
        # Cells that a test pool holds read as null; that says nothing about the data.
        kept = [a for a in report.anomalies if a.code not in _ABOUT_NULLS or not is_of(a.column, sealed)]
        return with_user_checks(replace(report, anomalies=tuple(kept)), subject, chosen, checks)

    @property
    def base(self) -> Base:
        """The version as its splits look at it, for the layers that compute inside the store."""
        return Base(
            self._dataset,
            self.address,
            self._record.id,
            self._reader(),
            self._maker(),
            self._views,
            _find_laid_out(self._record),
        )

    def _sibling(self, record: VersionRecord) -> "Version":
        return Version(self._storage, self._dataset, record, self._author, views=self._views)

    def _looked_at(self) -> "Version":
        return self

    def _maker(self) -> SplitMaker:
        return SplitMaker(self._storage, self._record.author)

    def _subject(self, rows: str) -> FragmentSubject:
        seals = [seal.columns for seal in list_seals(self._storage.catalog, self._dataset.id)]
        follows = self._record.operation is Operation.APPEND
        before = self._before(rows)
        return FragmentSubject(self._storage, self._reader(rows), self.address, before, seals, follows=follows)

    def _reader(self, rows: str = "all") -> FragmentReader:
        if rows not in ("all", "added"):
            raise UsageError(f"rows={rows!r} is not a choice.", hint="Write rows='all' or rows='added'.")
        if self._whole is None:
            catalog = self._storage.catalog
            schema = decode_schema(catalog.read_arrow_schema(self._record.arrow_schema_id))
            fragments = self._storage.pages.fragments(self._record)
            whole = FragmentReader(self._storage, self._dataset.id, fragments, schema, self.address)
            guard = self._storage.guard
            self._whole = whole if guard is None else guard.permit(self._dataset, self._record, whole)
        return self._whole if rows == "all" else self._whole.restricted(self._added())

    def _added(self) -> list[Fragment]:
        if not has_own_rows(self._record) or self._record.parent_id is None:
            return list(self._reader().fragments)
        parent = self._parent_fragments()
        return [fragment for fragment in self._reader().fragments if fragment.id not in parent]

    def _count_previous(self, rows: str) -> int | None:
        """Count what the version before has, or what the version that added rows before it added."""
        if rows == "added" and self._record.operation in BRINGING:
            return count_added(self._storage, self._record)
        parent = self._record.parent_id and self._storage.catalog.find_version_by_id(self._record.parent_id)
        return parent.num_rows if parent else None

    def _before(self, rows: str) -> FragmentReader | None:
        if rows == "all" or self._record.parent_id is None:
            return None
        parent = self._parent_fragments()
        return self._reader().restricted([f for f in self._reader().fragments if f.id in parent])

    def _parent_fragments(self) -> frozenset[int]:
        parent = self._storage.catalog.find_version_by_id(self._record.parent_id or "")
        assert parent is not None  # noqa: S101  # the callers looked
        return frozenset(fragment.id for fragment in self._storage.pages.fragments(parent))


def _find_laid_out(record: VersionRecord) -> dict[str, dict[str, int]]:
    """Return the split whose parts lie one after the other in a version, with the rows of each: a training set's."""
    match record.properties.get(TRAINING_SET):
        case {"labels": str(labels), "sizes": list(sizes)}:
            return {str(parse_address(labels).split): dict(sizes)}
    return {}
