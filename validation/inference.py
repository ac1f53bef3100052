"""Inferring a schema from a profile alone: presence, provable ranges, vocabularies, pinned grids.

Whatever a later batch of sound data would break by chance or by the calendar is left out, and what
the inference saw is kept as evidence.
"""

import re
from collections.abc import Sequence
from dataclasses import replace
from math import sqrt
from typing import Any, Final, Literal

import numpy as np

from foldstore.datastore.statistics.column import ColumnProfile
from foldstore.datastore.statistics.pinned import CategoryGrid, NumericGrid, PinnedGrid, counts_from_column
from foldstore.datastore.statistics.profile import Profile
from foldstore.datastore.statistics.reading import Kind, parse_type
from foldstore.errors import column_not_found
from foldstore.validation.column_bounds import DriftPolicy
from foldstore.validation.column_domains import CategoryDomain, Domain, NumericDomain
from foldstore.validation.column_schema import ColumnSchema, plain_type
from foldstore.validation.intervals import fraction_above, wilson
from foldstore.validation.schema import DataSchema

# Rule of three: with 300 rows and no null, at most 1 % are null with 95 % confidence.
_ROWS_FOR_NO_NULLS: Final = 300
_ROWS_FOR_RANGES: Final = 1_000
_ROWS_FOR_CONSTANT: Final = 100
_GRID_CELLS: Final = 20
_POINT_MASS: Final = 0.05
_VOCABULARY: Final = 1_000
_VOCABULARY_MASS: Final = 0.99
_DOMAIN_VALUES: Final = 100
# Share of different values above which whole numbers are taken for identifiers.
_IDENTIFIER: Final = 0.95
# Batches differ more than chance alone: a null fraction may rise by a small effect (Cohen) before it fails.
_NULL_SLACK: Final = 0.10
_CALENDAR: Final = frozenset(
    ("year", "quarter", "month", "week", "weekday", "day", "dow", "doy", "date", "yyyymm", "yyyymmdd", "epoch")
)
_DAY_OF: Final = re.compile(r"day_of_(week|month|year)")
_LATITUDE: Final = frozenset({"lat", "latitude"})
_LONGITUDE: Final = frozenset({"lon", "lng", "longitude"})


def infer_schema(
    profile: Profile,
    *,
    keys: Sequence[str] = (),
    name: str | None = None,
    label: str | None = None,
    serving: Profile | None = None,
) -> DataSchema:
    """Describe what data like this must look like.

    Parameters
    ----------
    profile : Profile
    keys : Sequence[str]
        The columns that together tell rows apart.
    name : str, optional
        The dataset.
    label : str, optional
        What is learnt: it belongs to training, and not to serving.
    serving : Profile, optional
        The statistics of rows as they are served; columns that one side alone has belong to it alone.

    Raises
    ------
    ColumnNotFoundError
        When a key is not a column.

    Examples
    --------
    >>> import pyarrow as pa
    >>> from foldstore.datastore.statistics.profile import profile_table
    >>> infer_schema(profile_table(pa.table({"id": [1, 2]})), keys=["id"]).columns["id"].type
    'int64'
    """
    for key in keys:
        if key not in profile.columns:
            raise column_not_found(key, profile.columns, where="the profile")
    columns = {each: infer_column(each, column, is_key=each in keys) for each, column in profile.columns.items()}
    provenance: dict[str, Any] = {"inferred_from": profile.id, "rows": profile.rows}
    if label is None and serving is None:
        return DataSchema(columns=columns, name=name, keys=tuple(keys), provenance=provenance)
    if label is not None and label not in columns:
        raise column_not_found(label, columns, where="the profile")
    served = None if serving is None else set(serving.columns)
    for each, column in list(columns.items()):
        if each == label or (served is not None and each not in served):
            columns[each] = replace(column, not_in_environment=("serving",))
    if serving is not None:
        provenance["served_from"] = serving.id
        for each, found in serving.columns.items():
            if each not in columns:
                columns[each] = replace(infer_column(each, found), not_in_environment=("training",))
    return DataSchema(
        columns=columns,
        name=name,
        keys=tuple(keys),
        label=label,
        environments=("training", "serving"),
        provenance=provenance,
    )


def update_schema(schema: DataSchema, profile: Profile, *, reason: str | None = None) -> DataSchema:
    """Return a child for which newer data was looked at: what a person has edited stays, the rest is inferred anew.

    Columns that no person has edited are inferred again, their baseline and grid excepted (moving these is a decision
    of its own); new columns are added; columns that are gone stay, for a person to take away.

    Examples
    --------
    >>> import pyarrow as pa
    >>> from foldstore.datastore.statistics.profile import profile_table
    >>> old = infer_schema(profile_table(pa.table({"x": [1] * 300, "y": [1] * 300})))
    >>> edited = old.with_column("y", doc="a person was here")
    >>> new = update_schema(edited, profile_table(pa.table({"x": [1, None], "y": [1, None]})))
    >>> new.columns["x"].nullable, new.columns["y"].nullable
    (True, False)
    """
    columns = dict(schema.columns)
    for name, found in profile.columns.items():
        old = schema.columns.get(name)
        if old is not None and not old.inferred:
            continue
        column = infer_column(name, found, is_key=name in schema.keys)
        if old is not None and old.type == column.type and old.grid is not None:
            column = replace(column, grid=old.grid, reference=old.reference, drift=old.drift)
        columns[name] = column
    provenance = {**schema.provenance, "updated_from": profile.id}
    if reason is not None:
        provenance["reason"] = reason
    if columns == dict(schema.columns):
        return schema
    return schema.with_changes(columns=columns, provenance=provenance)


def infer_column(name: str, column: ColumnProfile, *, is_key: bool = False) -> ColumnSchema:
    """Describe what a column like this must look like."""
    fields: dict[str, Any] = {"type": plain_type(column.type), "inferred": True, "evidence": _evidence(column)}
    fields |= _presence(column)
    if _varies(name, column):
        fields["constant"] = column.present < _ROWS_FOR_CONSTANT
        fields["domain"] = _domain(name, column, is_key=is_key)
        fields |= _distribution(name, column, is_key=is_key)
    return ColumnSchema(**fields)


def infer_distributions(profile: Profile) -> dict[str, ColumnSchema]:
    """Choose grids as `infer_schema` does, without the rest; for the columns worth comparing."""
    return {
        name: ColumnSchema(type=plain_type(column.type), **chosen)
        for name, column in profile.columns.items()
        if _varies(name, column) and (chosen := _distribution(name, column, is_key=False))
    }


def _varies(name: str, column: ColumnProfile) -> bool:
    return column.distinct is not None and column.distinct > 1 and not is_calendar(name, column)


def _distribution(name: str, column: ColumnProfile, *, is_key: bool) -> dict[str, Any]:
    grid = infer_grid(name, column, is_key=is_key)
    reference = None if grid is None else counts_from_column(column, grid)
    if grid is None or reference is None:
        return {}
    return {"grid": grid, "reference": reference, "drift": DriftPolicy()}


def is_calendar(name: str, column: ColumnProfile) -> bool:
    """Whether a column tells when a row is from, and so moves with every batch.

    Dates and timestamps do, and whole numbers with a name such as ``year`` or ``order_month``; hours
    and minutes are not counted, since batches rarely span less than a day.
    """
    kind = parse_type(column.type)
    if column.kind is Kind.TEMPORAL:
        return kind is not None and not column.type.startswith(("time32", "time64", "duration"))
    if column.kind not in (Kind.INTEGER, Kind.UNSIGNED):
        return False
    lowered = re.sub(r"(?<=[a-z])(?=[A-Z])", "_", name).lower()
    return lowered.rsplit("_", 1)[-1] in _CALENDAR or _DAY_OF.search(lowered) is not None


def infer_grid(name: str, column: ColumnProfile, *, is_key: bool = False) -> PinnedGrid | None:
    """Choose the cells to compare distributions on; None where a comparison would say nothing.

    Numbers: 20 cells of equal mass, ties joined, and a cell of its own for each value with more than
    5 % of the mass. The edges are values, or ends of the free grid's bins, so that the reference
    counts follow from the profile exactly. Text: the most frequent values that cover 99 %, at most
    1,000. Identifiers, calendar columns and constants have none.
    """
    if column.values is None or not column.present or is_calendar(name, column):
        return None
    if column.kind is Kind.BOOLEAN:
        return CategoryGrid((False, True))
    if column.kind is Kind.TEXT:
        return _vocabulary(column)
    if not column.kind.is_numeric or is_key or _is_identifier(column):
        return None
    return _equal_mass(column)


def _evidence(column: ColumnProfile) -> dict[str, Any]:
    plain = column.to_dict()
    kept = ("rows", "nulls", "nan", "distinct", "distinct_exact", "minimum", "maximum")
    evidence = {key: plain[key] for key in kept if plain[key] is not None and (key != "nan" or plain[key])}
    if column.type.startswith("timestamp") and column.hours is not None and sum(map(bool, column.hours)) > 1:
        evidence["hours"] = list(column.hours)
    return evidence


def _presence(column: ColumnProfile) -> dict[str, Any]:
    n = column.rows
    if not n:
        return {}
    if not column.nulls:
        return {"nullable": False, "min_fraction": 1.0} if n >= _ROWS_FOR_NO_NULLS else {"min_fraction": _floor(3 / n)}
    return {"min_fraction": _floor(allowed_null_share(column.nulls, column.rows))}


def allowed_null_share(nulls: int, rows: int) -> float:
    """Return the share of nulls that later data may have: chance (Wilson, z = 3) or a small effect more."""
    _, upper = wilson(nulls, rows, 3.0)
    return max(upper, fraction_above(nulls / rows, _NULL_SLACK))


def _floor(null_share: float) -> float:
    return max(0.0, round(1 - null_share, 6))


def _domain(name: str, column: ColumnProfile, *, is_key: bool) -> Domain | None:
    if column.kind is Kind.TEXT:
        return _text_domain(column)
    ranged = column.kind in (Kind.INTEGER, Kind.UNSIGNED, Kind.FLOAT, Kind.DECIMAL)
    if not ranged or column.present < _ROWS_FOR_RANGES or (is_key and _is_identifier(column)):
        return None
    low, high = float(column.low or 0), float(column.high or 0)
    nan: Literal["allow", "deny"] = "deny" if column.kind is Kind.FLOAT and not column.nan else "allow"
    limits: dict[str, Any] = {}
    if name.lower() in _LATITUDE and low >= -90 and high <= 90:
        limits = {"min": -90, "max": 90}
    elif name.lower() in _LONGITUDE and low >= -180 and high <= 180:
        limits = {"min": -180, "max": 180}
    elif low >= 0 and high <= 1 and column.kind is Kind.FLOAT:
        limits = {"min": 0, "max": 1}
    elif low >= 0:
        limits = {"min": 0}
    return NumericDomain(**limits, nan=nan) if limits or nan == "deny" else None


def _text_domain(column: ColumnProfile) -> CategoryDomain | None:
    """Take the values for a domain when they are few and repeat.

    New values may take the mass that Good and Turing (1953) give to the unseen, f1/n, and three of
    its standard errors, with f1 the number of values seen once.
    """
    values, n = column.values, column.present
    if values is None or not values.exact or not 2 <= len(values) <= _DOMAIN_VALUES or len(values) > 0.1 * n:
        return None
    once = int((values.counts == 1).sum())
    unseen = (once + 3 * sqrt(max(once, 1))) / n
    return CategoryDomain(
        values=tuple(str(value) for value, _ in sorted(column.top(len(values)))), min_mass=_floor(unseen)
    )


def _vocabulary(column: ColumnProfile) -> CategoryGrid | None:
    if column.values is None or not column.values.exact:  # a reference must be exact
        return None
    top = column.top(_VOCABULARY)
    cumulated = np.cumsum([count for _, count in top])
    needed = int(np.searchsorted(cumulated, _VOCABULARY_MASS * column.present)) + 1
    # A value that covers little is no cell of its own in what is mostly other values: identifiers, free text.
    if needed > len(top) or needed > 0.1 * column.present:
        return None
    return CategoryGrid(tuple(str(value) for value, _ in top[:needed]))


def _is_identifier(column: ColumnProfile) -> bool:
    whole = column.kind in (Kind.INTEGER, Kind.UNSIGNED)
    return whole and column.present >= 100 and (column.distinct or 0) > _IDENTIFIER * column.present


def _equal_mass(column: ColumnProfile) -> NumericGrid | None:
    ends, counts = column.mass()
    total = int(counts.sum())
    if len(ends) < 2:
        return None
    targets = np.arange(1, _GRID_CELLS) * (total / _GRID_CELLS)
    places = set(np.searchsorted(np.cumsum(counts), targets).tolist())
    for heavy in np.flatnonzero(counts > _POINT_MASS * total).tolist():
        places |= {heavy - 1, heavy}
    # Above the greatest value there is nothing to set apart.
    edges = [ends[place].item() for place in sorted(places) if 0 <= place < len(ends) - 1]
    return NumericGrid(tuple(edges)) if edges else None
