"""Feedback: what models predicted and what came of it, kept as datasets and joined to the lookups as labels."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Final

import pyarrow as pa
import pyarrow.compute as pc

from foldstore.consumers import register_own
from foldstore.datastore.arrow_schema import check_columns
from foldstore.datastore.catalog.registry import Registry
from foldstore.datastore.free_text import check_text
from foldstore.datastore.ingest.source import open_source
from foldstore.datastore.statistics.reading import parse_type
from foldstore.datastore.storage import Storage
from foldstore.errors import NotFoundError, SchemaMismatchError, UsageError, column_not_found
from foldstore.features.definitions import Definitions
from foldstore.features.sources import Rows
from foldstore.lookup_log import MAX_REQUEST_ID, REQUEST_ID, REQUEST_ROW, REQUESTED, SERVED_AT, SERVICE, LookupLogs
from foldstore.names import check_name
from foldstore.types import format_time
from foldstore.version import Version
from foldstore.views.features.feature_service import FEEDBACK_KIND, FeatureService

MODEL: Final = "model"
PREDICTION: Final = "prediction"
PREDICTED_AT: Final = "predicted_at"
OBSERVED_AT: Final = "observed_at"
EVENT_TIMESTAMP: Final = "event_timestamp"
LABELS: Final = "labels"
_TIME: Final = pa.timestamp("us", "UTC")
_MOST_MODEL: Final = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class FeedbackDatasets:
    """Where the feedback of a service is kept.

    Attributes
    ----------
    predictions, outcomes, labels : str
        Names of datasets.
    """

    predictions: str
    outcomes: str
    labels: str


class Feedback:
    """Predictions and outcomes of a service, by the ids of the requests that its lookups were made with.

    Examples
    --------
    >>> import datetime as dt
    >>> import foldstore
    >>> store = foldstore.connect(folder)
    >>> day = [dt.datetime(2024, 1, n, tzinfo=dt.timezone.utc) for n in (1, 2, 3)]
    >>> _ = store.create_dataset("rides").append({"driver": [1, 2], "ts": [day[0]] * 2, "trips": [10, 20]})
    >>> driver = foldstore.Entity("driver", keys={"driver": "int64"})
    >>> stats = foldstore.FeatureView("stats", entity=driver, source="rides", event_time="ts", features=["trips"])
    >>> _ = store.features.materialize(store.features.apply(foldstore.FeatureService("model", [stats])))
    >>> _ = store.features.log_lookups("model")
    >>> for request, who in (("r1", 1), ("r2", 2)):
    ...     _ = store.features.get_online_features("model@1", [{"driver": who}], at=day[1], request_id=request)
    >>> feedback = store.features.feedback
    >>> predicted = {"request_id": ["r1", "r2"], "prediction": [0.3, 0.9]}
    >>> feedback.log_predictions("model@1", predicted, model="git:abc").address
    'model.predictions@1'
    >>> feedback.log_outcomes("model", {"request_id": ["r2"], "late": [True]}).address
    'model.outcomes@1'
    >>> labels = feedback.make_labels("model")
    >>> labels.to_arrow().select(["request_id", "driver", "event_timestamp", "late"]).to_pylist() == [
    ...     {"request_id": "r2", "driver": 2, "event_timestamp": day[1], "late": True}]
    True
    """

    def __init__(self, storage: Storage, rows: Rows, definitions: Definitions, logs: LookupLogs, author: str) -> None:
        self._storage = storage
        self._rows = rows
        self._definitions = definitions
        self._logs = logs
        self._author = author
        self._registry = Registry(storage.catalog, FEEDBACK_KIND)

    def __repr__(self) -> str:
        return f"<Feedback: {', '.join(self._registry.list_names()) or 'none'}>"

    def datasets(self, service: str) -> FeedbackDatasets:
        """Return the names of the datasets that hold the feedback of a service, whether there is any yet or not."""
        name = self._definitions.get(service)[0]
        document = self._registry.find(name)
        if document is not None:
            return FeedbackDatasets(**document.body)
        return FeedbackDatasets(predictions=f"{name}.predictions", outcomes=f"{name}.outcomes", labels=f"{name}.labels")

    def log_predictions(self, service: str, rows: Any, *, model: str) -> Version:
        """Keep what a model predicted for some requests; return the version that it is committed as.

        A request that a model predicted for before gets the new prediction, so sending again does no harm.

        Parameters
        ----------
        service : str
            The version that answered the lookups, as the answers name it: ``arrival@3``.
        rows : object
            Columns `request_id`, `prediction` and, where requests have several entities, `request_row`, from 0 on; also
            `predicted_at`, now unless given, and whatever else belongs to a prediction. Anything that can be appended.
        model : str
            Which model: ``git:abc123``.

        Raises
        ------
        SchemaMismatchError
            When a column is missing, or does not hold what it must.
        DuplicateKeyError
            When an entity of a request has two predictions.
        """
        name, _, number = self._definitions.get(service)
        check_text(model, "The model", _MOST_MODEL, line=True)
        table = self._read(rows, PREDICTED_AT, taken=(SERVICE, MODEL))
        if PREDICTION not in table.column_names:
            raise column_not_found(PREDICTION, table.column_names, where="the predictions")
        for column, value in ((MODEL, model), (SERVICE, f"{name}@{number}")):
            table = table.append_column(column, pa.array([value] * table.num_rows, pa.string()))
        dataset = self._rows.dataset(self._keep(name).predictions, (REQUEST_ID, REQUEST_ROW, MODEL), PREDICTED_AT)
        return self._commit(dataset, table, f"predictions of {model}")

    def log_outcomes(self, service: str, rows: Any) -> Version:
        """Keep what came of some requests; return the version that it is committed as.

        An outcome of an entity that has one replaces it: what is known better later is what counts.

        Parameters
        ----------
        service : str
            The service; all its versions have their outcomes in one dataset.
        rows : object
            Columns `request_id`, those of the outcome, and perhaps `request_row` and `observed_at`; see
            `log_predictions`.
        """
        name, _, _ = self._definitions.get(service)
        table = self._read(rows, OBSERVED_AT, taken=(SERVICE, EVENT_TIMESTAMP))
        if not _outcome_columns(table.column_names):
            raise SchemaMismatchError("There is no outcome.", hint="Give a column with it beside request_id: late.")
        dataset = self._rows.dataset(self._keep(name).outcomes, (REQUEST_ID, REQUEST_ROW), OBSERVED_AT)
        return self._commit(dataset, table, "outcomes")

    def make_labels(self, service: str, *, message: str = "") -> Version:
        """Join the outcomes to the lookups that were logged, and commit them as rows to learn from.

        A row has what the request brought (the keys), the instant of the lookup as `event_timestamp`, the version that
        answered, and the outcome. Split it, and make a training set of it as of any labels: joined at that instant, its
        features are those that were served. Done again, it adds what is new, and an outcome that changed replaces
        the one before; a row stays in its part of a split.

        Raises
        ------
        NotFoundError
            When there are no outcomes, or the service's lookups are not logged.
        """
        name, _, _ = self._definitions.get(service)
        kept = self.datasets(name)
        log = self._logs.find(name)
        self._logs.flush()
        lookups, outcomes = self._rows.version(log), self._open(kept.outcomes, name)
        if REQUEST_ID not in lookups.arrow_schema.names:
            raise NotFoundError(
                f"No lookup in {lookups.address} bears the id of a request.",
                hint='get_online_features(..., request_id="r1") names one; over HTTP the member "request_id".',
            )
        asked = self._asked(name, lookups)
        wanted = _outcome_columns(outcomes.arrow_schema.names)
        table = self._rows.query(_join(lookups.address, outcomes.address, asked, wanted))
        if not table.num_rows:
            raise NotFoundError(
                f"No outcome in {outcomes.address} is of a request in {lookups.address}.",
                hint="Outcomes and lookups are joined by request_id and request_row.",
            )
        dataset: Any = self._rows.dataset(self._keep(name).labels, (REQUEST_ID, REQUEST_ROW), EVENT_TIMESTAMP)
        inputs = [lookups.address, outcomes.address]
        made: Version = dataset.sync(
            _fit(dataset, self._typed(name, table)),
            delete_missing=False,
            message=message or f"labels from {outcomes.address}",
            properties={LABELS: {"inputs": inputs}},
        )
        register_own(self._storage, [lookups.version_id, outcomes.version_id], LABELS, made.address, self._author)
        return made

    def _open(self, dataset: str, service: str) -> Version:
        try:
            return self._rows.version(dataset)
        except (NotFoundError, UsageError) as error:
            raise NotFoundError(
                f"There are no outcomes of {service!r}.",
                hint=f'store.features.feedback.log_outcomes("{service}", …) keeps them.',
            ) from error

    def _asked(self, name: str, lookups: Version) -> dict[str, str]:
        """Return what requests bring along, and the column of the log that each is in."""
        logged = lookups.arrow_schema.names
        wanted = list(self._key_types(name))
        for service in self._definitions.list_versions(name).values():
            transform = self._definitions.find_transform(service)
            wanted += [] if transform is None else [e for e in transform.inputs if e not in service.output_names()]
        found = {}
        for column in dict.fromkeys(wanted):
            place = f"{column}{REQUESTED}" if f"{column}{REQUESTED}" in logged else column
            if place in logged:
                found[column] = place
        return found

    def _key_types(self, name: str) -> Mapping[str, str]:
        types: dict[str, str] = {}
        for service in self._definitions.list_versions(name).values():
            types |= _key_types(service)
        return types

    def _typed(self, name: str, table: pa.Table) -> pa.Table:
        """Return the keys in the types that their entities say; JSON knows one kind of whole numbers."""
        for column, text in self._key_types(name).items():
            kind = parse_type(text)
            if column in table.column_names and kind is not None:
                place = table.column_names.index(column)
                table = table.set_column(place, column, table.column(column).cast(kind))
        return table

    def _keep(self, name: str) -> FeedbackDatasets:
        kept = self.datasets(name)
        for each in asdict(kept).values():
            check_name(each)
        now = format_time(self._storage.clock())
        self._registry.put(name, asdict(kept), author=self._author, created_at=now)
        return kept

    def _commit(self, dataset: Any, table: pa.Table, message: str) -> Version:
        made: Version = dataset.upsert(_fit(dataset, table), message=message)
        return made

    def _read(self, rows: Any, time: str, *, taken: Sequence[str]) -> pa.Table:
        """Read what was sent, with an id for every row, its place in the request, and a time."""
        source = open_source(rows)
        check_columns(source.schema)
        table = pa.Table.from_batches(source.batches, source.schema)
        if not table.num_rows:
            raise UsageError("There are no rows.", hint="Give at least one.")
        for column in taken:
            if column in table.column_names:
                raise SchemaMismatchError(f"A column is called {column!r}.", hint="That one is written by the store.")
        table = _set(table, REQUEST_ID, _ids(table))
        table = _set(table, REQUEST_ROW, _request_rows(table))
        now = self._storage.clock()
        times = _times(table, time) if time in table.column_names else pa.array([now] * table.num_rows, _TIME)
        return _set(table, time, times)


def _key_types(service: FeatureService) -> dict[str, str]:
    types: dict[str, str] = {}
    for selection in service.selections:
        types |= dict(zip(selection.label_keys, selection.view.keys.values(), strict=True))
    return types


def _outcome_columns(names: Sequence[str]) -> list[str]:
    return [name for name in names if name not in (REQUEST_ID, REQUEST_ROW, OBSERVED_AT)]


def _join(lookups: str, outcomes: str, asked: Mapping[str, str], wanted: Sequence[str]) -> str:
    """Write the join; of a request that was sent twice, the last answer counts."""
    brought = [f"l.{quoted(place)} AS {quoted(name)}" for name, place in asked.items()]
    known = {*asked, REQUEST_ID, REQUEST_ROW, EVENT_TIMESTAMP, SERVICE}
    label = [f"o.{quoted(name)} AS {quoted(name)}" for name in wanted if name not in known]
    own = [f"l.{REQUEST_ID}", f"l.{REQUEST_ROW}", f"l.{SERVED_AT} AS {EVENT_TIMESTAMP}", f"l.{SERVICE}"]
    place = f"PARTITION BY l.{REQUEST_ID}, l.{REQUEST_ROW} ORDER BY l.{SERVED_AT} DESC, l.{SERVICE} DESC"
    return (
        f"SELECT {', '.join([*own, *brought, *label, f'o.{OBSERVED_AT}'])} "
        f"FROM {quoted(lookups)} l JOIN {quoted(outcomes)} o "
        f"ON l.{REQUEST_ID} = o.{REQUEST_ID} AND l.{REQUEST_ROW} = o.{REQUEST_ROW} "
        f"QUALIFY row_number() OVER ({place}) = 1 ORDER BY {EVENT_TIMESTAMP}, l.{REQUEST_ID}, l.{REQUEST_ROW}"
    )


def quoted(name: str) -> str:
    """Write a name as SQL does."""
    return '"' + name.replace('"', '""') + '"'


def _fit(dataset: Any, table: pa.Table) -> pa.Table:
    """Give a dataset the columns that are new, and rows those that they lack: each model has columns of its own."""
    try:
        known = dataset.latest.arrow_schema
    except NotFoundError:  # it has no version yet
        return table
    if set(table.column_names) - set(known.names):
        known = dataset.append(table.slice(0, 0), evolve=True, message="new columns").arrow_schema
    for field in known:
        if field.name not in table.column_names:
            table = table.append_column(field.name, pa.nulls(table.num_rows, field.type))
    return table


def _set(table: pa.Table, name: str, values: pa.Array | pa.ChunkedArray) -> pa.Table:
    if name in table.column_names:
        return table.set_column(table.column_names.index(name), name, values)
    return table.append_column(name, values)


def _ids(table: pa.Table) -> pa.ChunkedArray:
    if REQUEST_ID not in table.column_names:
        raise column_not_found(REQUEST_ID, table.column_names, where="the rows")
    ids = table.column(REQUEST_ID)
    if not (pa.types.is_string(ids.type) or pa.types.is_large_string(ids.type) or pa.types.is_string_view(ids.type)):
        raise SchemaMismatchError(f"{REQUEST_ID!r} is of type {ids.type}, not text.", hint="Give the ids as texts.")
    if ids.null_count or pc.any(pc.equal(pc.utf8_length(ids), 0)).as_py():
        raise SchemaMismatchError(f"A row has no {REQUEST_ID!r}.", hint="Leave rows without one out.")
    if pc.max(pc.utf8_length(ids)).as_py() > MAX_REQUEST_ID:
        raise SchemaMismatchError(
            f"A {REQUEST_ID!r} has more than {MAX_REQUEST_ID} characters.", hint="A lookup takes none that long."
        )
    return ids.cast(pa.string())


def _request_rows(table: pa.Table) -> pa.ChunkedArray | pa.Array:
    if REQUEST_ROW not in table.column_names:
        return pa.array([0] * table.num_rows, pa.int64())
    places = table.column(REQUEST_ROW)
    if not pa.types.is_integer(places.type) or places.null_count or pc.any(pc.less(places, 0)).as_py():
        raise SchemaMismatchError(
            f"{REQUEST_ROW!r} does not number entities.", hint="Write 0 for the first of a request; or leave it out."
        )
    return places.cast(pa.int64())


def _times(table: pa.Table, name: str) -> pa.ChunkedArray:
    """Read times; those without a zone are UTC, and JSON has them as text."""
    column = table.column(name)
    if column.null_count:
        raise SchemaMismatchError(f"A row has no {name!r}.", hint="Leave the column out for now.")
    try:
        if pa.types.is_timestamp(column.type) and column.type.tz is None:
            column = column.cast(pa.timestamp(column.type.unit, "UTC"))
        return column.cast(_TIME)
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
        raise SchemaMismatchError(
            f"{name!r} holds what is no time in whole microseconds.", hint='Write "2013-12-30T12:00:00Z".'
        ) from error
