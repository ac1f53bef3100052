"""Reports of splits and folds: sizes, how the parts differ, and what they share though they should not."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Final, cast

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from foldstore.datastore.statistics.reading import Kind, kind_of
from foldstore.errors import UsageError, column_not_found
from foldstore.names import PARTS
from foldstore.views.instant import format_instant
from foldstore.views.splits.column_parts import count_values, meanings_of
from foldstore.views.splits.findings import Stratum, find_short_strata
from foldstore.views.splits.folds import FoldSpec
from foldstore.views.splits.hashing import hash_keys
from foldstore.views.splits.memory import number_hashes
from foldstore.views.splits.placement import Parts
from foldstore.views.splits.sharing import Sharing
from foldstore.views.splits.split import PART_CODES, SplitSpec
from foldstore.views.splits.xxh3 import Words
from foldstore.views.time_column import to_nanoseconds

_TOP: Final = 10


@dataclass(frozen=True, slots=True)
class ColumnSummary:
    """A column within one part.

    Attributes
    ----------
    nulls : int
        Rows without a value; a NaN is a value of numbers and left out of mean and deviation.
    mean, deviation : float or None
        Of numbers and booleans; the deviation is the population's.
    top : mapping
        Of other columns, the shares of the most frequent values (as text) among those that are not null.
    difference : float or None
        From train: of numbers |mean - mean| / sqrt((variance + variance) / 2), the standardised mean difference
        (Cohen 1988); of other columns half the sum of |share - share|, the total variation distance.
    """

    nulls: int
    mean: float | None
    deviation: float | None
    top: Mapping[str, float]
    difference: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class PartsReport:
    """What a split did to the rows it was given.

    Attributes
    ----------
    sizes : mapping of str to int
        Rows of train, validation, test, and ``unassigned``.
    shares : mapping of str to float
        The same as shares of the assigned rows; without ``unassigned``.
    columns : mapping
        For each column, for each part that has rows, its summary.
    groups_in_several_parts : int or None
        Groups that are torn apart; None when there are none to look at. 0 whenever the split is by group.
    duplicates_of_train : mapping of str to int, or None
        Rows of validation and test whose features also occur in train.
    times : mapping of str to (str, str), or None
        First and last instant of each part.
    times_overlap : bool or None
        Whether a part begins before an earlier one ends.
    unknown_values : mapping of str to int, or None
        Of a split by column, the values that mean no part, and how many rows have them.
    short_strata : tuple of Stratum
        Strata that are not in each part.
    """

    sizes: Mapping[str, int]
    shares: Mapping[str, float]
    columns: Mapping[str, Mapping[str, ColumnSummary]]
    groups_in_several_parts: int | None
    duplicates_of_train: Mapping[str, int] | None
    times: Mapping[str, tuple[str, str]] | None
    times_overlap: bool | None
    unknown_values: Mapping[str, int] | None = None
    short_strata: tuple[Stratum, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """Return the report as plain data."""
        return asdict(self)


@dataclass(frozen=True, slots=True, kw_only=True)
class FoldsReport:
    """What was shared out to folds.

    Attributes
    ----------
    sizes : mapping of str to int
        Rows of each fold by name, and ``unassigned``.
    shares : mapping of str to float
        The same as shares of the assigned rows; without ``unassigned``.
    columns : mapping
        For each column, for each fold that has rows, its summary; differences are from all assigned rows.
    groups_in_several_folds, duplicates_in_several_folds : int or None
        Groups, and sets of equal features, that are torn apart.
    times : mapping of str to (str, str), or None
        First and last instant of each fold.
    unknown_values : mapping of str to int, or None
        Of folds by column, the values that mean no fold, and how many rows have them.
    short_strata : tuple of Stratum
        Strata that are not in each fold.
    """

    sizes: Mapping[str, int]
    shares: Mapping[str, float]
    columns: Mapping[str, Mapping[str, ColumnSummary]]
    groups_in_several_folds: int | None
    duplicates_in_several_folds: int | None
    times: Mapping[str, tuple[str, str]] | None
    unknown_values: Mapping[str, int] | None = None
    short_strata: tuple[Stratum, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """Return the report as plain data."""
        return asdict(self)


def report_split(
    spec: SplitSpec | FoldSpec,
    parts: Parts,
    table: pa.Table,
    *,
    columns: Sequence[str] = (),
    group_by: Sequence[str] | Sequence[Sequence[str]] = (),
    duplicates: Sequence[str] = (),
    time: str | None = None,
) -> PartsReport:
    """Report on a split, or on one fold, of a table's rows.

    Parameters
    ----------
    spec : SplitSpec or FoldSpec
        The split; its own groups, duplicates and time are looked at unless others are named.
    parts : ndarray of uint8
        The part of each row, as `SplitAssignment.parts` gives them.
    table : pyarrow.Table
        The rows.
    columns : sequence of str
        Whose distributions are compared, the label first of all; the columns to stratify by are always among them.
    group_by, duplicates : sequence of str
        Columns of groups (perhaps several lists of them) and of features to look for in several parts.
    time : str, optional
        The column of times to look for overlaps in.

    Examples
    --------
    >>> spec = SplitSpec("s", dataset="d", train=0.5, test=0.5, key=["id"])
    >>> table = pa.table({"id": [1, 2, 3, 4], "late": [True, False, True, False]})
    >>> report = report_split(spec, np.array([1, 1, 3, 3], dtype=np.uint8), table, columns=["late"])
    >>> report.sizes["train"], report.columns["late"]["test"].difference
    (2, 0.0)
    """
    groups, features, moment = _lists(group_by) or spec.groups, duplicates or spec.duplicates, time or spec.by_time
    compared = list(dict.fromkeys([*spec.strata, *columns]))
    _check(parts, table, [*compared, *features, *(name for group in groups for name in group), moment])
    ranges = None if moment is None else _ranges(table.column(moment), parts, PART_CODES)
    sizes = _sizes(parts, PART_CODES)
    is_split = isinstance(spec, SplitSpec)
    return PartsReport(
        sizes=sizes,
        shares=_shares(sizes),
        columns={column: _summaries(table.column(column), parts) for column in compared},
        groups_in_several_parts=count_torn(table, groups, parts) if groups else None,
        duplicates_of_train=count_repeated(table.select(list(features)), parts) if features else None,
        times=_shown(ranges),
        times_overlap=None if ranges is None else _overlap(list(ranges.values())),
        unknown_values=_unknown(spec, table) if is_split else None,
        short_strata=tuple(find_short_strata(spec, [table], parts)) if is_split else (),
    )


def report_folds(
    spec: FoldSpec,
    parts: Parts,
    table: pa.Table,
    *,
    columns: Sequence[str] = (),
    group_by: Sequence[str] | Sequence[Sequence[str]] = (),
    duplicates: Sequence[str] = (),
    time: str | None = None,
) -> FoldsReport:
    """Report on folds of a table's rows; the arguments are those of `report_split`.

    Parameters
    ----------
    parts : ndarray of uint8
        The fold of each row, as `FoldAssignment.parts` gives them.
    """
    groups, features, moment = _lists(group_by) or spec.groups, duplicates or spec.duplicates, time or spec.by_time
    compared = list(dict.fromkeys([*spec.strata, *columns]))
    _check(parts, table, [*compared, *features, *(name for group in groups for name in group), moment])
    codes = {name: code for code, name in enumerate(spec.parts, start=1)}
    sizes = _sizes(parts, codes)
    return FoldsReport(
        sizes=sizes,
        shares=_shares(sizes),
        columns={column: _fold_summaries(table.column(column), parts, codes) for column in compared},
        groups_in_several_folds=count_torn(table, groups, parts) if groups else None,
        duplicates_in_several_folds=count_torn(table, [features], parts, nulls=True) if features else None,
        times=None if moment is None else _shown(_ranges(table.column(moment), parts, codes)),
        unknown_values=_unknown(spec, table),
        short_strata=tuple(find_short_strata(spec, [table], parts)),
    )


def count_torn(table: pa.Table, groups: Sequence[Sequence[str]], parts: Parts, *, nulls: bool = False) -> int:
    """Count keys in more than one part; unassigned rows are in none.

    Parameters
    ----------
    table : pyarrow.Table
        The rows.
    groups : sequence of sequence of str
        Lists of columns; the keys of each are counted.
    parts : ndarray of uint8
        The part of each row.
    nulls : bool
        Whether a null is a value like any other; of groups it is none.
    """
    return sum(_torn(table.select(list(group)), parts, nulls=nulls) for group in groups)


def count_repeated(features: pa.Table, parts: Parts) -> dict[str, int]:
    """Count the rows of validation and test whose values all occur together in train."""
    hashes: Words = hash_keys(features.columns, "duplicate")
    train = np.unique(hashes[parts == PART_CODES["train"]])
    found: NDArray[np.bool_] = np.isin(hashes, train)
    return {part: int(np.count_nonzero(found & (parts == PART_CODES[part]))) for part in PARTS if part != "train"}


def count_between(table: pa.Table, groups: Sequence[Sequence[str]], parts: Parts) -> int:
    """Count unassigned rows whose keys are in several parts: what they would tie to each other is kept apart.

    Parameters
    ----------
    table : pyarrow.Table
        The rows.
    groups : sequence of sequence of str
        Lists of columns that make keys; a null is none.
    parts : ndarray of uint8
        The part of each row.
    """
    low, high = np.full(len(parts), 255, dtype=np.uint8), np.zeros(len(parts), dtype=np.uint8)
    for group in groups:
        columns = [table.column(name) for name in group]
        whole = np.ones(len(parts), dtype=np.bool_)
        for column in columns:
            whole &= column.is_valid().to_numpy()
        _, codes = number_hashes(hash_keys(columns, "group"))
        assigned = whole & (parts > 0)
        count = int(codes.max(initial=-1)) + 1
        least, most = np.full(count, 255, dtype=np.uint8), np.zeros(count, dtype=np.uint8)
        np.minimum.at(least, codes[assigned], parts[assigned])
        np.maximum.at(most, codes[assigned], parts[assigned])
        low[whole] = np.minimum(low, least[codes])[whole]
        high[whole] = np.maximum(high, most[codes])[whole]
    return int(np.count_nonzero((parts == 0) & (high > 0) & (low < high)))


def _lists(group_by: Sequence[str] | Sequence[Sequence[str]]) -> tuple[tuple[str, ...], ...]:
    """Return lists of columns, whether one was given or several."""
    if not group_by:
        return ()
    if isinstance(group_by[0], str):
        return (tuple(cast("Sequence[str]", group_by)),)
    return tuple(tuple(each) for each in group_by)


def _check(parts: Parts, table: pa.Table, needed: Sequence[str | None]) -> None:
    if len(parts) != table.num_rows:
        raise UsageError(f"There are {table.num_rows} rows and {len(parts)} places.", hint="Give the rows split.")
    for column in needed:
        if column is not None and column not in table.column_names:
            raise column_not_found(column, table.column_names, where="the rows of the split")


def _sizes(parts: Parts, codes: Mapping[str, int]) -> dict[str, int]:
    sizes = {part: int(np.count_nonzero(parts == code)) for part, code in codes.items()}
    return sizes | {"unassigned": len(parts) - sum(sizes.values())}


def _shares(sizes: Mapping[str, int]) -> dict[str, float]:
    assigned = sum(sizes.values()) - sizes["unassigned"]
    return {part: size / assigned if assigned else 0.0 for part, size in sizes.items() if part != "unassigned"}


def _shown(ranges: Mapping[str, tuple[int, int]] | None) -> dict[str, tuple[str, str]] | None:
    if ranges is None:
        return None
    return {part: (format_instant(first), format_instant(last)) for part, (first, last) in ranges.items()}


def _unknown(spec: Sharing, table: pa.Table) -> dict[str, int] | None:
    if spec.by_column is None or spec.by_column not in table.column_names:
        return None
    known = meanings_of(spec)
    return {
        value: rows for value, rows in count_values(spec, table.column(spec.by_column)).items() if value not in known
    }


def _fold_summaries(column: pa.ChunkedArray, parts: Parts, codes: Mapping[str, int]) -> dict[str, ColumnSummary]:
    """Summarise each fold beside all assigned rows."""
    assigned = column.filter(pa.array(parts > 0))
    numeric = _is_numeric(column.type)
    whole = _numbers(assigned, None) if numeric else None
    shares = None if numeric else _value_shares(assigned)
    summaries: dict[str, ColumnSummary] = {}
    for name, code in codes.items():
        values = column.filter(pa.array(parts == code))
        if len(values):
            summaries[name] = _numbers(values, whole) if numeric else _categories(values, _value_shares(values), shares)
    return summaries


def _summaries(column: pa.ChunkedArray, parts: Parts) -> dict[str, ColumnSummary]:
    numeric = _is_numeric(column.type)
    summaries: dict[str, ColumnSummary] = {}
    reference: dict[str, float] | None = None
    for part, code in PART_CODES.items():
        values = column.filter(pa.array(parts == code))
        if not len(values):
            continue
        if numeric:
            summaries[part] = _numbers(values, summaries.get("train"))
        else:
            shares = _value_shares(values)
            summaries[part] = _categories(values, shares, reference)
            reference = shares if part == "train" else reference
    return summaries


def _is_numeric(kind: pa.DataType) -> bool:
    return bool(pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_boolean(kind))


def _numbers(values: pa.ChunkedArray, train: ColumnSummary | None) -> ColumnSummary:
    # Whole numbers beyond 2**53 are rounded: these are means, not identities.
    present = values.drop_null().cast(pa.float64(), safe=False).to_numpy()
    present = present[~np.isnan(present)]
    if not len(present):
        return ColumnSummary(values.null_count, None, None, {}, None)
    mean, deviation = float(present.mean()), float(present.std())
    difference = None
    if train is not None and train.mean is not None and train.deviation is not None:
        pooled = float(np.sqrt((deviation**2 + train.deviation**2) / 2))
        apart = abs(mean - train.mean)
        difference = apart / pooled if pooled else (float("inf") if apart else 0.0)
    return ColumnSummary(values.null_count, mean, deviation, {}, difference)


def _value_shares(values: pa.ChunkedArray) -> dict[str, float]:
    """Return the share of each value; of lists and the like, which have no order and no hash, none."""
    if kind_of(values.type) is Kind.OPAQUE:
        return {}
    plain = values.cast(values.type.value_type) if pa.types.is_dictionary(values.type) else values
    counts = pc.value_counts(plain.drop_null())
    total = sum(counts.field("counts").to_pylist())
    return {str(item["values"]): item["counts"] / total for item in counts.to_pylist()}


def _categories(values: pa.ChunkedArray, shares: dict[str, float], train: dict[str, float] | None) -> ColumnSummary:
    top = dict(sorted(shares.items(), key=lambda item: (-item[1], item[0]))[:_TOP])
    difference = None
    if train:
        names = sorted(shares.keys() | train.keys())
        difference = sum(abs(shares.get(name, 0.0) - train.get(name, 0.0)) for name in names) / 2
    return ColumnSummary(values.null_count, None, None, top, difference)


def _torn(groups: pa.Table, parts: Parts, *, nulls: bool) -> int:
    whole = parts > 0
    for column in groups.columns if not nulls else ():
        whole &= column.is_valid().to_numpy()
    hashes = hash_keys(groups.columns, "group")[whole]
    _, codes = number_hashes(hashes)
    pairs = np.unique((codes << 8) | parts[whole])
    return int(np.count_nonzero(np.bincount(pairs >> 8) > 1)) if len(pairs) else 0


def _ranges(column: pa.ChunkedArray, parts: Parts, codes: Mapping[str, int]) -> dict[str, tuple[int, int]]:
    times = to_nanoseconds(column)
    present = np.ones(len(parts), dtype=np.bool_) if times.nulls is None else ~times.nulls
    ranges = {}
    for part, code in codes.items():
        values = times.values[present & (parts == code)]
        if len(values):
            ranges[part] = (int(values.min()), int(values.max()))
    return ranges


def _overlap(ranges: Sequence[tuple[int, int]]) -> bool:
    return any(later[0] <= earlier[1] for place, later in enumerate(ranges) for earlier in ranges[:place])
