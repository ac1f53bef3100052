"""Inferring a schema from a profile alone: presence, domains, soft bounds, keys, pinned grids, limits of drift.

Whatever a later batch of sound data would break by chance or by the calendar is left out, and why each part is there
is kept as evidence.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any, Final, TypeAlias
from weakref import WeakKeyDictionary

from foldstore.datastore.statistics.column import ColumnProfile
from foldstore.datastore.statistics.pinned import PinnedGrid, counts_from_column
from foldstore.datastore.statistics.profile import Profile
from foldstore.datastore.statistics.reading import Kind
from foldstore.errors import column_not_found
from foldstore.types import Severity
from foldstore.validation.column_bounds import DriftPolicy, Uniqueness
from foldstore.validation.column_domains import Domain, NumericDomain
from foldstore.validation.column_schema import ColumnSchema, plain_type
from foldstore.validation.inferred_bounds import infer_bounds
from foldstore.validation.inferred_domain import floor_share, infer_domain, reads_as_names, tells_rows_apart
from foldstore.validation.inferred_grid import constant_grid, infer_grid, is_calendar, is_identifier
from foldstore.validation.inferred_week import infer_week
from foldstore.validation.intervals import NULL_SLACK, allowed_null_share
from foldstore.validation.nested_paths import is_inside
from foldstore.validation.schema import DataSchema
from foldstore.validation.text_types import suggest_type

# Rule of three: with 300 rows and no null, at most 1 % are null with 95 % confidence.
_ROWS_FOR_NO_NULLS: Final = 300
_ROWS_FOR_CONSTANT: Final = 100
# Instants are those of single events when at least half of so many differ.
_ROWS_FOR_MOMENTS: Final = 1_000
_MOMENTS: Final = 0.5
_USUAL: Final = DriftPolicy()
_USUAL_LIMITS: Final = (
    f"the usual limits, {_USUAL.tau_warn:g} and {_USUAL.tau_error:g}: no versions before were looked at"
)
# Fields, and why by the path of each.
_Reasoned: TypeAlias = tuple[dict[str, Any], dict[str, str]]
# What an inferred limit says is worth a look; a person who sets one may want more.
_SOFT: Final = {
    "bounds": ("quantile_out_of_bounds",),
    "unique": ("duplicate_key",),
    "domain": ("length_low", "length_high"),
}


def infer_schema(
    profile: Profile,
    *,
    keys: Sequence[str] = (),
    name: str | None = None,
    label: str | None = None,
    serving: Profile | None = None,
    categorical: Sequence[str] = (),
    is_unique: Callable[[str], bool] | None = None,
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
    categorical : Sequence[str]
        Columns of whole numbers that are names: their values are listed, their size says nothing.
    is_unique : callable, optional
        Says of a column, from the rows, whether no value occurs twice: asked where the values are too many to be
        counted in the profile. Without it such columns are no keys.

    Raises
    ------
    ColumnNotFoundError
        When a key, the label or a categorical column is not there.

    Examples
    --------
    >>> import pyarrow as pa
    >>> from foldstore.datastore.statistics.profile import profile_table
    >>> schema = infer_schema(profile_table(pa.table({"id": [1, 2, 3, 4]})), keys=["id"])
    >>> schema.columns["id"].type, schema.columns["id"].evidence["why"]["min_fraction"]
    ('int64', 'none of 4 rows is null: at most 3/4 are (rule of three)')
    """
    for each in (*keys, *(() if label is None else (label,))):
        if each not in profile.columns:
            raise column_not_found(each, profile.columns, where="the profile")
    found = dict(profile.walk())
    for each in categorical:
        if each not in found:
            raise column_not_found(each, found, where="the profile")
    columns = {
        each: infer_column(
            each,
            column,
            is_key=each in keys,
            is_categorical=each in categorical,
            is_unique=is_unique,
            is_nested=each not in profile.columns,
        )
        for each, column in found.items()
    }
    provenance: dict[str, Any] = {"inferred_from": profile.id, "rows": profile.rows}
    schema = DataSchema(columns=columns, name=name, keys=tuple(keys), provenance=provenance)
    return schema if label is None and serving is None else place_columns(schema, label, serving)


def place_columns(schema: DataSchema, label: str | None, serving: Profile | None) -> DataSchema:
    """Return a schema whose columns say whether they belong to training, to serving, or to both."""
    provenance = {**schema.provenance, **({} if serving is None else {"served_from": serving.id})}
    return replace(
        schema,
        columns=_by_environment(schema.columns, label, serving),
        label=label,
        environments=("training", "serving"),
        provenance=provenance,
    )


def _by_environment(
    columns: Mapping[str, ColumnSchema], label: str | None, serving: Profile | None
) -> dict[str, ColumnSchema]:
    """Return columns that say where they belong: the label to training, what one side alone has to that side."""
    served = None if serving is None else dict(serving.walk())
    settled = {
        each: replace(column, not_in_environment=("serving",))
        if each == label
        or (label is not None and is_inside(each, label, columns[label].type))
        or (served is not None and each not in served)
        else column
        for each, column in columns.items()
    }
    for each, found in (served or {}).items():
        if each not in settled:
            settled[each] = replace(infer_column(each, found), not_in_environment=("training",))
    return settled


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
    for name, found in profile.walk():
        old = schema.columns.get(name)
        if old is not None and not old.inferred:
            continue
        column = infer_column(name, found, is_key=name in schema.keys, is_nested=name not in profile.columns)
        if old is not None and old.type == column.type and old.grid is not None:
            column = _with_baseline(column, old)
        columns[name] = column
    provenance = {**schema.provenance, "updated_from": profile.id}
    if reason is not None:
        provenance["reason"] = reason
    if columns == dict(schema.columns):
        return schema
    return schema.with_changes(columns=columns, provenance=provenance)


def _with_baseline(column: ColumnSchema, old: ColumnSchema) -> ColumnSchema:
    """Return a column that is compared with what an older one was, with the older reasons for that."""
    before, why = old.evidence.get("why", {}), dict(column.evidence.get("why", {}))
    why |= {part: before[part] for part in ("grid", "drift") if part in before}
    evidence = {**column.evidence, "why": why} if why else column.evidence
    return replace(column, grid=old.grid, reference=old.reference, drift=old.drift, evidence=evidence)


def infer_column(
    name: str,
    column: ColumnProfile,
    *,
    is_key: bool = False,
    is_categorical: bool = False,
    is_unique: Callable[[str], bool] | None = None,
    is_nested: bool = False,
) -> ColumnSchema:
    """Describe what a column like this must look like, and keep why as ``evidence.why``.

    Values inside of others tell no rows apart.
    """
    fields: dict[str, Any] = {"type": plain_type(column.type), "inferred": True}
    why: dict[str, str] = {}
    _add(fields, why, _presence(column))
    if _varies(name, column):
        _add(fields, why, _variation(column))
        if (found := infer_domain(name, column, is_key=is_key, is_categorical=is_categorical)) is not None:
            _add(fields, why, ({"domain": found[0]}, found[1]))
        if not (is_key or is_categorical):
            _add(fields, why, _range(name, column, fields.get("domain")))
        _add(fields, why, _distribution(name, column, is_key=is_key, is_categorical=is_categorical))
    elif _is_constant(name, column):
        # Another value is news, and may be right: a warning.
        if column.kind is Kind.TEXT and (found := infer_domain(name, column)) is not None:
            _add(fields, why, ({"domain": found[0], "severity": {"value_outside_domain": Severity.WARN}}, found[1]))
        _add(fields, why, _range(name, column, None))
    elif is_calendar(name, column):
        _add(fields, why, _moments_vary(column))
        _add(fields, why, _week(column))
        if column.kind is Kind.TEXT and (found := infer_domain(name, column)) is not None:
            _add(fields, why, ({"domain": found[0]}, found[1]))
    _add(fields, why, _uniqueness(name, column, is_unique, tells=not (is_key or is_nested)))
    soft = [code for part, codes in _SOFT.items() if part in fields for code in codes if _is_asked(code, fields)]
    if soft:
        fields["severity"] = {**fields.get("severity", {}), **dict.fromkeys(soft, Severity.WARN)}
    return ColumnSchema(**fields, evidence=_evidence(column, why))


def _add(fields: dict[str, Any], why: dict[str, str], found: _Reasoned) -> None:
    fields |= found[0]
    why |= found[1]


def _is_asked(code: str, fields: Mapping[str, Any]) -> bool:
    side = {"length_low": "min_length", "length_high": "max_length"}.get(code)
    return side is None or getattr(fields["domain"], side, None) is not None


def infer_distributions(profile: Profile) -> dict[str, ColumnSchema]:
    """Choose grids as `infer_schema` does, without the rest; for the columns worth comparing."""
    found = {name: _distribution_alone(name, column) for name, column in profile.columns.items()}
    return {name: chosen for name, chosen in found.items() if chosen is not None}


def infer_constant(name: str, before: ColumnProfile, after: ColumnProfile) -> ColumnSchema | None:
    """Choose the grid of a column that has one value or none, where other rows are not the same; None elsewhere.

    Where all rows of both sides are alike no p-value could be below 1, and nothing is compared.
    """
    has_one = (before.distinct or 0) < 2 or (before.kind.is_numeric and len(before.mass()[0]) < 2)
    if not has_one or not before.rows or before.values is None or is_same(before, after):
        return None
    chosen = _on_grid(before, constant_grid(name, before))[0]
    return ColumnSchema(type=plain_type(before.type), **chosen) if chosen else None


def is_same(before: ColumnProfile, after: ColumnProfile) -> bool:
    """Whether all rows of both sides hold the same, be it null."""
    if (before.distinct or 0) > 1 or (after.distinct or 0) > 1:
        return False
    held = _held(before)
    return len(held) == 1 and held == _held(after)


def _held(column: ColumnProfile) -> set[tuple[str, Any]]:
    """Return what a column holds, while that is little: a null, a NaN, and two of its values."""
    found: set[tuple[str, Any]] = {("value", value) for value, _ in column.top(2)} if column.present else set()
    apart = {"null": column.nulls, "nan": column.nan}
    return found | {(name, None) for name, count in apart.items() if count}


# A column is the reference of many comparisons, and its profile never changes.
_ALONE: WeakKeyDictionary[ColumnProfile, dict[str, ColumnSchema | None]] = WeakKeyDictionary()


def _distribution_alone(name: str, column: ColumnProfile) -> ColumnSchema | None:
    known = _ALONE.setdefault(column, {})
    if name not in known:
        chosen = _distribution(name, column)[0] if _varies(name, column) else _week(column)[0]
        known[name] = ColumnSchema(type=plain_type(column.type), **chosen) if chosen else None
    return known[name]


def _varies(name: str, column: ColumnProfile) -> bool:
    return column.distinct is not None and column.distinct > 1 and not is_calendar(name, column)


def _is_constant(name: str, column: ColumnProfile) -> bool:
    """Whether so many values are one that another would be news."""
    return column.distinct == 1 and column.present >= _ROWS_FOR_CONSTANT and not is_calendar(name, column)


def _presence(column: ColumnProfile) -> _Reasoned:
    n, nulls = column.rows, column.nulls
    if not nulls and n >= _ROWS_FOR_NO_NULLS:
        return {"nullable": False, "min_fraction": 1.0}, {"nullable": f"none of {n:,} rows is null"}
    if nulls:
        rest = allowed_null_share(nulls, n)
        why = f"{nulls:,} of {n:,} rows are null: Wilson's upper limit, z = 3, or Cohen's h of {NULL_SLACK:g} more"
    else:
        rest, why = 3 / max(n, 1), f"none of {n:,} rows is null: at most 3/{n:,} are (rule of three)"
    share = floor_share(rest)
    return ({"min_fraction": share}, {"min_fraction": why}) if share else ({}, {})


def _variation(column: ColumnProfile) -> _Reasoned:
    if column.present < _ROWS_FOR_CONSTANT:
        return {"constant": True}, {}
    return {"constant": False}, {"constant": f"{column.distinct:,} different values in {column.present:,}"}


def _moments_vary(column: ColumnProfile) -> _Reasoned:
    """Ask of instants that hardly any two rows share to go on; a day or an hour may be that of a whole batch."""
    if not column.type.startswith("timestamp") or column.present < _ROWS_FOR_MOMENTS:
        return {}, {}
    return _variation(column) if (column.distinct or 0) >= _MOMENTS * column.present else ({}, {})


def _uniqueness(name: str, column: ColumnProfile, is_unique: Callable[[str], bool] | None, *, tells: bool) -> _Reasoned:
    if not column.present and column.nulls >= _ROWS_FOR_CONSTANT:  # a value would be news, and may be right
        return {"unique": Uniqueness(max=0)}, {"unique.max": f"all of {column.rows:,} rows are null"}
    if not tells:
        return {}, {}
    found = tells_rows_apart(name, column)
    how = "counted"
    if found is None:
        found, how = is_unique is not None and is_unique(name), "the rows were looked at"
    if not found:
        return {}, {}
    why = f"each of {column.rows:,} values occurs once ({how})"
    return {"unique": Uniqueness(key=True)}, {"unique.key": why}


def _range(name: str, column: ColumnProfile, domain: Domain | None) -> _Reasoned:
    """Bound the quantiles of measures; what is a name has no size, and what tells rows apart grows."""
    if reads_as_names(name, column) or is_identifier(column):
        return {}, {}
    found = infer_bounds(column, domain.min if isinstance(domain, NumericDomain) else None)
    return ({}, {}) if found is None else ({"bounds": found[0]}, {"bounds.quantiles": found[1]})


def _distribution(name: str, column: ColumnProfile, *, is_key: bool = False, is_categorical: bool = False) -> _Reasoned:
    return _on_grid(column, infer_grid(name, column, is_key=is_key, is_categorical=is_categorical))


def _on_grid(column: ColumnProfile, grid: PinnedGrid | None) -> _Reasoned:
    reference = None if grid is None else counts_from_column(column, grid)
    if grid is None or reference is None:
        return {}, {}
    why = {"grid": f"{grid.cells} cells of {reference.total:,} values", "drift": _USUAL_LIMITS}
    return {"grid": grid, "reference": reference, "drift": _USUAL}, why


def _week(column: ColumnProfile) -> _Reasoned:
    """Compare times by hour of the day and day of the week; the calendar moves them with every batch."""
    grid = infer_week(column)
    reference = None if grid is None or (column.distinct or 0) < 2 else counts_from_column(column, grid)
    if grid is None or reference is None:
        return {}, {}
    span = f"{round((grid.last - grid.first) / (24 if grid.by_hour else 1)):,} days"
    why = {"grid": f"the week of {reference.total:,} times in {span}", "drift": _USUAL_LIMITS}
    return {"grid": grid, "reference": reference, "drift": _USUAL}, why


def _evidence(column: ColumnProfile, why: Mapping[str, str]) -> dict[str, Any]:
    plain = column.to_dict()
    kept = ("rows", "nulls", "nan", "distinct", "distinct_exact", "minimum", "maximum")
    evidence = {key: plain[key] for key in kept if plain[key] is not None and (key != "nan" or plain[key])}
    if column.type.startswith("timestamp") and column.hours is not None and sum(map(bool, column.hours)) > 1:
        evidence["hours"] = list(column.hours)
    if (suggested := suggest_type(column)) is not None:
        evidence["suggested"] = suggested
    return evidence | ({"why": dict(why)} if why else {})
