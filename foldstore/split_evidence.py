"""What the data says about how it should be split: its times, its entities, its duplicates, its label.

Profiles say most of it; rows are read once more, batch by batch, for the label's change over time, its dependence on
entities, and repeated rows. Memory is bounded: what would grow with the rows is sampled by hash, always alike.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final, Protocol

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from foldstore.datastore.catalog.records import DatasetRecord
from foldstore.datastore.statistics.column import ColumnProfile
from foldstore.datastore.statistics.hashing import hash_column, hash_rows
from foldstore.datastore.statistics.pinned import CategoryGrid, GridCounts
from foldstore.datastore.statistics.profile import Profile
from foldstore.datastore.statistics.reading import Kind, kind_of, parse_type
from foldstore.errors import column_not_found
from foldstore.validation.column_bounds import DriftPolicy
from foldstore.validation.drift.comparison import ColumnDrift, DriftTarget, detect_drift
from foldstore.validation.inferred_grid import is_calendar
from foldstore.views.instant import UNITS
from foldstore.views.splits.sharing import check_column
from foldstore.views.time_column import to_nanoseconds

Words = NDArray[np.uint64]

_MOST_CLASSES: Final = 50
_FEWEST_ENTITIES: Final = 20
_MOST_ENTITIES: Final = 3
_BINS: Final = 20
_BEYOND_CHANCE: Final = 4.0
_MATTERS: Final = 0.01
_UNIQUE: Final = 0.95
_SAMPLED: Final = 1 << 19
# Words of a column's name that say that it names things: few values are enough then.
_ID_WORDS: Final = frozenset(
    (
        "id", "ids", "key", "uuid", "guid", "user", "customer", "client", "patient", "subject", "person", "member",
        "account", "session", "device", "machine", "sensor", "store", "shop", "site", "household", "tailnum", "number",
        "num", "no", "nr", "sku", "product", "item",
    )
)  # fmt: skip


class Shared(Protocol):
    """The version that is looked at."""

    @property
    def address(self) -> str:
        """Its address."""

    @property
    def dataset(self) -> DatasetRecord:
        """What the catalog says of its dataset."""

    @property
    def arrow_schema(self) -> pa.Schema:
        """Names and types of its columns."""

    def profile(self) -> Profile:
        """Return its statistics."""

    def to_batches(self, columns: Sequence[str] | None = None) -> Iterator[pa.RecordBatch]:
        """Yield its rows."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LabelEvidence:
    """What is known of the label.

    Attributes
    ----------
    name : str
    rows : int
        How many rows have one.
    classes : mapping of str to int
        The rows of each class, the largest first; empty for numbers.
    positive : str
        What is counted over time and entities: the largest class but one, or ``above <median>``.
    value : object
        That class, or the median.
    """

    name: str
    rows: int
    classes: dict[str, int]
    positive: str
    value: Any

    @property
    def is_class(self) -> bool:
        """Whether it has few values."""
        return bool(self.classes)


@dataclass(frozen=True, slots=True, kw_only=True)
class TimeEvidence:
    """What is known of a column of times.

    Attributes
    ----------
    name : str
    values : int
        How many different times there are.
    first, last : int
        The first and the last instant, in nanoseconds since 1970.
    quantiles : tuple of int
        The instants before which 70 % and 85 % of the rows lie.
    rates : tuple of float
        The share of the label's positive class in twenty runs of time of equal length that have rows.
    change : ColumnDrift or None
        How the label of the last 15 % compares with that of the first 70 %.
    """

    name: str
    values: int
    first: int
    last: int
    quantiles: tuple[int, int]
    rates: tuple[float, ...]
    change: ColumnDrift | None


@dataclass(frozen=True, slots=True, kw_only=True)
class EntityEvidence:
    """What is known of a column whose values repeat.

    Attributes
    ----------
    name : str
    values, rows : int
        How many different values there are, and how many rows have one.
    largest : str
        The most frequent value.
    largest_rows : int
        Its rows.
    dispersion : float or None
        How much more the label's share differs between values than chance would make it: chi-squared by its degrees
        of freedom, 1 for no more.

    Notes
    -----
    `correlation` is that of two rows of one entity, estimated as (dispersion - 1) / (n - 1) with n rows an entity
    (Fleiss, Levin and Paik 2003, chapter 15, for groups of about one size).
    """

    name: str
    values: int
    rows: int
    largest: str
    largest_rows: int
    dispersion: float | None

    @property
    def correlation(self) -> float | None:
        """How alike the label is in two rows of one entity: 0 for no more than in any two."""
        each = self.rows / max(1, self.values)
        return None if self.dispersion is None or each <= 1 else max(0.0, (self.dispersion - 1) / (each - 1))

    @property
    def decides(self) -> bool:
        """Whether the label depends on the entity: by more than chance, and by enough to matter."""
        if self.dispersion is None or self.correlation is None:
            return False
        # Chi-squared by its degrees of freedom has the variance 2 / degrees.
        beyond = (self.dispersion - 1) / (2 / max(1, self.values - 1)) ** 0.5
        return beyond > _BEYOND_CHANCE and self.correlation >= _MATTERS


@dataclass(frozen=True, slots=True, kw_only=True)
class SplitEvidence:
    """What the data says.

    Attributes
    ----------
    rows : int
    label : LabelEvidence or None
    time : TimeEvidence or None
        The event time, or a column that could be it.
    has_event_time : bool
        Whether the dataset says so.
    entities : tuple of EntityEvidence
        The most likely first.
    repeated : float
        The share of rows that agree with another in all columns but the key and the label.
    features : tuple of str
        These columns.
    has_key : bool
        Whether the dataset has a key.
    key : tuple of str
        What tells rows apart where the dataset has no key: a column whose values hardly repeat, or all features.
    """

    rows: int
    label: LabelEvidence | None
    time: TimeEvidence | None
    has_event_time: bool
    entities: tuple[EntityEvidence, ...]
    repeated: float
    features: tuple[str, ...]
    has_key: bool
    key: tuple[str, ...]


def gather_evidence(version: Shared, label: str | None) -> SplitEvidence:
    """Look at the data.

    Raises
    ------
    ColumnNotFoundError
        When there is no such label.
    """
    names = version.arrow_schema.names
    check_column(label, "label")
    if label is not None and label not in names:
        raise column_not_found(label, names, where=version.address)
    profile, record = version.profile(), version.dataset
    known = None if label is None else _look_at_label(label, profile.columns[label])
    moment = _find_time(profile, record)
    entities = _find_entities(profile, {label, moment})
    features = tuple(
        field.name
        for field in version.arrow_schema
        if field.name not in (*record.key, label) and kind_of(field.type) is not Kind.OPAQUE
    )
    return SplitEvidence(
        rows=profile.rows,
        label=known,
        time=None if moment is None else _look_at_time(version, profile, moment, known),
        has_event_time=record.event_time is not None,
        entities=tuple(_look_at_entity(version, profile, name, known) for name in entities),
        repeated=_share_repeated(version, features),
        features=features,
        has_key=bool(record.key),
        key=() if record.key else _find_key(profile, features or tuple(_hashable(version, label))),
    )


def _look_at_label(name: str, column: ColumnProfile) -> LabelEvidence | None:
    if column.values is None or not column.present:
        return None
    if column.values.exact and len(column.values) <= _MOST_CLASSES:
        top = column.top(_MOST_CLASSES)
        value = top[min(1, len(top) - 1)][0]
        classes = {str(each): count for each, count in top}
        return LabelEvidence(name=name, rows=column.present, classes=classes, positive=str(value), value=value)
    median = column.quantile(0.5) if column.kind.is_numeric and column.kind is not Kind.TEMPORAL else None
    if median is None:
        return LabelEvidence(name=name, rows=column.present, classes={}, positive="", value=None)
    return LabelEvidence(
        name=name, rows=column.present, classes={}, positive=f"above {median:.6g}", value=float(median)
    )


def _is_positive(label: LabelEvidence, column: pa.Array) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Return for each row whether the label is what is counted, and whether there is one."""
    there = column.is_valid().to_numpy(zero_copy_only=False)
    plain = column.dictionary_decode() if pa.types.is_dictionary(column.type) else column
    if not label.is_class:
        numbers = plain.cast(pa.float64(), safe=False) if pa.types.is_integer(plain.type) else plain
        found = pc.greater(numbers, label.value)
    elif pa.types.is_integer(plain.type):
        found = pc.equal(plain, pa.scalar(label.value, plain.type))
    else:
        found = pc.equal(plain, pa.scalar(label.value).cast(plain.type, safe=False))
    return found.fill_null(False).to_numpy(zero_copy_only=False), there  # noqa: FBT003


def _find_time(profile: Profile, record: DatasetRecord) -> str | None:
    if record.event_time is not None and record.event_time in profile.columns:
        return record.event_time if profile.columns[record.event_time].present else None
    for name, column in profile.columns.items():
        kind = parse_type(column.type)
        if kind is not None and (pa.types.is_timestamp(kind) or pa.types.is_date(kind)) and (column.distinct or 0) > 2:
            return name
    return None


def _hashable(version: Shared, label: str | None) -> Iterator[str]:
    """Yield the label, when there is nothing else to tell rows apart, and it can."""
    if label is not None and kind_of(version.arrow_schema.field(label).type) is not Kind.OPAQUE:
        yield label


def _find_key(profile: Profile, features: Sequence[str]) -> tuple[str, ...]:
    for name in features:
        column = profile.columns[name]
        whole = column.kind in (Kind.TEXT, Kind.INTEGER, Kind.UNSIGNED) and column.present == profile.rows
        if whole and (column.distinct or 0) >= _UNIQUE * profile.rows:
            return (name,)
    return tuple(features)


def _find_entities(profile: Profile, other: set[str | None]) -> list[str]:
    """Return columns whose values are many and repeat, those that are named like entities first.

    Categories stay few as rows become more: without such a name, there must be as many values as the root of the rows.
    """
    found = []
    for name, column in profile.columns.items():
        if name in other or is_calendar(name, column) or not column.present:
            continue
        words = set(re.split(r"[^a-z]+", re.sub(r"(?<=[a-z])(?=[A-Z])", "_", name).lower()))
        named = bool(words & _ID_WORDS) or any(word.endswith("id") for word in words)
        likely = column.kind is Kind.TEXT or (column.kind in (Kind.INTEGER, Kind.UNSIGNED) and named)
        values = column.distinct or 0
        least = max(_FEWEST_ENTITIES, 0 if named else column.present**0.5)
        if likely and least <= values <= column.present / 2:
            found.append((not named, -values, name))
    return [name for *_, name in sorted(found)[:_MOST_ENTITIES]]


def _look_at_time(version: Shared, profile: Profile, name: str, label: LabelEvidence | None) -> TimeEvidence:
    column = profile.columns[name]
    factor = _ticks(column)
    quantiles = [int(column.quantile(q) or 0) * factor for q in (0.7, 0.85)]
    first, last = (int(each) * factor for each in (column.low or 0, column.high or 0))
    rates, change = _change_of_label(version, name, label, first, last, quantiles)
    return TimeEvidence(
        name=name,
        values=column.distinct or 0,
        first=first,
        last=last,
        quantiles=(quantiles[0], quantiles[1]),
        rates=rates,
        change=change,
    )


def _ticks(column: ColumnProfile) -> int:
    kind = parse_type(column.type)
    if kind is not None and pa.types.is_timestamp(kind):
        return UNITS[kind.unit]
    return UNITS["d"] if kind == pa.date32() else UNITS["ms"]


def _change_of_label(
    version: Shared, name: str, label: LabelEvidence | None, first: int, last: int, quantiles: Sequence[int]
) -> tuple[tuple[float, ...], ColumnDrift | None]:
    if label is None or label.value is None or first == last:
        return (), None
    edges = np.linspace(first, last, _BINS + 1)[1:-1].astype(np.int64)
    counts = np.zeros((_BINS, 2), dtype=np.int64)
    sides = np.zeros((2, 2), dtype=np.int64)
    for batch in version.to_batches(list(dict.fromkeys([name, label.name]))):
        positive, there = _is_positive(label, batch.column(batch.schema.names.index(label.name)))
        times = to_nanoseconds(batch.column(batch.schema.names.index(name)), where=repr(name))
        if times.nulls is not None:
            there = there & ~times.nulls
        bins = np.searchsorted(edges, times.values[there], side="right")
        np.add.at(counts, (bins, positive[there].astype(np.int64)), 1)
        for side, inside in enumerate((times.values < quantiles[0], times.values >= quantiles[1])):
            sides[side] += np.bincount(positive[there & inside], minlength=2)
    totals = counts.sum(axis=1)
    rates = tuple((counts[totals > 0, 1] / totals[totals > 0]).tolist())
    before, after = (GridCounts((int(side[1]), int(side[0]))) for side in sides)
    target = DriftTarget(
        column=label.name, labels=CategoryGrid((label.positive,)).labels, reference=before, current=after,
        policy=DriftPolicy(),
    )  # fmt: skip
    return rates, detect_drift([target], seed=f"{version.address} {name}").columns[label.name]


def _look_at_entity(version: Shared, profile: Profile, name: str, label: LabelEvidence | None) -> EntityEvidence:
    column = profile.columns[name]
    (largest, rows), *_ = column.top(1)
    return EntityEvidence(
        name=name,
        values=column.distinct or 0,
        rows=column.present,
        largest=str(largest),
        largest_rows=rows,
        dispersion=None if label is None or label.value is None else _dispersion(version, name, label),
    )


def _dispersion(version: Shared, name: str, label: LabelEvidence) -> float | None:
    """Return chi-squared over its degrees of freedom, of the label's shares in the entities (Pearson 1900).

    Of many entities those with the smallest hashes are looked at.
    """
    kept = _Sample()
    for batch in version.to_batches([name, label.name]):
        positive, there = _is_positive(label, batch.column(1))
        there = there & batch.column(0).is_valid().to_numpy(zero_copy_only=False)
        kept.add(hash_column(batch.column(0))[there], positive[there])
    rows, hits = kept.rows, kept.hits
    share = hits.sum() / rows.sum() if rows.sum() else 0.0
    if not 0 < share < 1 or len(rows) < 2:
        return None
    chi = ((hits - rows * share) ** 2 / (rows * share * (1 - share))).sum()
    return float(chi / (len(rows) - 1))


def _share_repeated(version: Shared, features: Sequence[str]) -> float:
    """Return the share of rows that agree with another in all features; of many contents some are looked at."""
    if not features:
        return 0.0
    kept = _Sample()
    for batch in version.to_batches(list(features)):
        kept.add(hash_rows(batch.columns), np.zeros(batch.num_rows, dtype=np.bool_))
    rows = kept.rows
    return float(rows[rows > 1].sum() / rows.sum()) if len(rows) else 0.0


class _Sample:
    """Counts by hash, of those hashes alone that lie below a limit, which sinks as there are too many."""

    def __init__(self) -> None:
        self._limit = 2**64 - 1
        self._hashes: Words = np.empty(0, np.uint64)
        self.rows = np.empty(0, np.int64)
        self.hits = np.empty(0, np.int64)

    def add(self, hashes: Words, hits: NDArray[np.bool_]) -> None:
        """Count some rows."""
        inside = hashes <= np.uint64(self._limit)
        every = np.concatenate([self._hashes, hashes[inside]])
        self._hashes, places = np.unique(every, return_inverse=True)
        ones = np.ones(int(np.count_nonzero(inside)), np.int64)
        self.rows = np.bincount(places, np.concatenate([self.rows, ones])).astype(np.int64)
        self.hits = np.bincount(places, np.concatenate([self.hits, hits[inside]])).astype(np.int64)
        while len(self._hashes) > _SAMPLED:
            self._limit //= 2
            kept = self._hashes <= np.uint64(self._limit)
            self._hashes, self.rows, self.hits = self._hashes[kept], self.rows[kept], self.hits[kept]
