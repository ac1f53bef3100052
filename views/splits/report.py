"""Split reports: sizes, how the parts differ, and what they share though they should not."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from foldstore.errors import UsageError, column_not_found
from foldstore.names import PARTS
from foldstore.views.splits.hashing import hash_keys
from foldstore.views.splits.instant import format_instant
from foldstore.views.splits.placement import Parts
from foldstore.views.splits.split import PART_CODES, SplitSpec
from foldstore.views.splits.time_column import to_nanoseconds
from foldstore.views.splits.xxh3 import Words

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


@dataclass(frozen=True, slots=True)
class SplitReport:
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
    """

    sizes: Mapping[str, int]
    shares: Mapping[str, float]
    columns: Mapping[str, Mapping[str, ColumnSummary]]
    groups_in_several_parts: int | None
    duplicates_of_train: Mapping[str, int] | None
    times: Mapping[str, tuple[str, str]] | None
    times_overlap: bool | None

    def to_dict(self) -> dict[str, Any]:
        """Return the report as plain data."""
        return asdict(self)


def report_split(
    spec: SplitSpec,
    parts: Parts,
    table: pa.Table,
    *,
    columns: Sequence[str] = (),
    group_by: Sequence[str] = (),
    duplicates: Sequence[str] = (),
    time: str | None = None,
) -> SplitReport:
    """Report on a split of a table's rows.

    Parameters
    ----------
    spec : SplitSpec
        The split; its own groups, duplicates and time are looked at unless others are named.
    parts : ndarray of uint8
        The part of each row, as `SplitAssignment.parts` gives them.
    table : pyarrow.Table
        The rows.
    columns : sequence of str
        Whose distributions are compared, the label first of all; the column to stratify by is always among them.
    group_by, duplicates : sequence of str
        Columns of groups and of features to look for in several parts.
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
    if len(parts) != table.num_rows:
        raise UsageError(f"There are {table.num_rows} rows and {len(parts)} places.", hint="Give the rows split.")
    groups, features = group_by or spec.group_by, duplicates or spec.duplicates
    moment = time or spec.by_time
    compared = list(dict.fromkeys([*([spec.stratify] if spec.stratify else []), *columns]))
    for column in [*compared, *groups, *features, *([moment] if moment else [])]:
        if column not in table.column_names:
            raise column_not_found(column, table.column_names, where="the rows of the split")
    sizes = {part: int(np.count_nonzero(parts == code)) for part, code in PART_CODES.items()}
    assigned = sum(sizes.values())
    ranges = None if moment is None else _ranges(table.column(moment), parts)
    return SplitReport(
        sizes=sizes | {"unassigned": len(parts) - assigned},
        shares={part: size / assigned if assigned else 0.0 for part, size in sizes.items()},
        columns={column: _summaries(table.column(column), parts) for column in compared},
        groups_in_several_parts=_torn(table.select(list(groups)), parts) if groups else None,
        duplicates_of_train=_repeated(table.select(list(features)), parts) if features else None,
        times=None if ranges is None else {p: (format_instant(a), format_instant(b)) for p, (a, b) in ranges.items()},
        times_overlap=None if ranges is None else _overlap(list(ranges.values())),
    )


def _summaries(column: pa.ChunkedArray, parts: Parts) -> dict[str, ColumnSummary]:
    numeric = pa.types.is_integer(column.type) or pa.types.is_floating(column.type) or pa.types.is_boolean(column.type)
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


def _numbers(values: pa.ChunkedArray, train: ColumnSummary | None) -> ColumnSummary:
    present = values.drop_null().cast(pa.float64()).to_numpy()
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
    plain = values.cast(values.type.value_type) if pa.types.is_dictionary(values.type) else values
    counts = pc.value_counts(plain.drop_null())
    total = sum(counts.field("counts").to_pylist())
    return {str(item["values"]): item["counts"] / total for item in counts.to_pylist()}


def _categories(values: pa.ChunkedArray, shares: dict[str, float], train: dict[str, float] | None) -> ColumnSummary:
    top = dict(sorted(shares.items(), key=lambda item: (-item[1], item[0]))[:_TOP])
    difference = None
    if train is not None:
        names = sorted(shares.keys() | train.keys())
        difference = sum(abs(shares.get(name, 0.0) - train.get(name, 0.0)) for name in names) / 2
    return ColumnSummary(values.null_count, None, None, top, difference)


def _torn(groups: pa.Table, parts: Parts) -> int:
    """Count groups in more than one part; a null is no group, and unassigned rows are in none."""
    whole = np.ones(len(parts), dtype=np.bool_)
    for column in groups.columns:
        whole &= column.is_valid().to_numpy()
    hashes = hash_keys(groups.columns, "group")[whole & (parts > 0)]
    _, codes = np.unique(hashes, return_inverse=True)
    pairs = np.unique(codes * 4 + parts[whole & (parts > 0)])
    return int(np.count_nonzero(np.bincount(pairs // 4) > 1)) if len(pairs) else 0


def _repeated(features: pa.Table, parts: Parts) -> dict[str, int]:
    hashes: Words = hash_keys(features.columns, "duplicate")
    train = np.unique(hashes[parts == PART_CODES["train"]])
    found: NDArray[np.bool_] = np.isin(hashes, train)
    return {part: int(np.count_nonzero(found & (parts == PART_CODES[part]))) for part in PARTS if part != "train"}


def _ranges(column: pa.ChunkedArray, parts: Parts) -> dict[str, tuple[int, int]]:
    times = to_nanoseconds(column)
    present = np.ones(len(parts), dtype=np.bool_) if times.nulls is None else ~times.nulls
    ranges = {}
    for part, code in PART_CODES.items():
        values = times.values[present & (parts == code)]
        if len(values):
            ranges[part] = (int(values.min()), int(values.max()))
    return ranges


def _overlap(ranges: Sequence[tuple[int, int]]) -> bool:
    return any(later[0] <= earlier[1] for place, later in enumerate(ranges) for earlier in ranges[:place])
