"""What one column must look like: type, presence, domain, and the distribution it is compared with.

Plain, immutable values that check themselves; `to_dict` leaves defaults out, `from_dict` refuses
what it does not know.
"""

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from types import MappingProxyType
from typing import Any, Final, Literal

from foldstore.datastore.statistics.pinned import (
    CategoryGrid,
    GridCounts,
    NumericGrid,
    PinnedGrid,
    WeekGrid,
    grid_from_dict,
)
from foldstore.datastore.statistics.reading import Kind, kind_of, parse_type
from foldstore.errors import InvalidSchemaError, did_you_mean
from foldstore.types import Severity
from foldstore.validation.column_bounds import ORDERED, Bounds, DriftPolicy, Uniqueness, Valency
from foldstore.validation.column_domains import Domain, domain_fits, is_list, read_domain, values_fit
from foldstore.validation.document import (
    check_keys,
    located,
    read_choice,
    read_count,
    read_enum,
    read_fraction,
    read_mapping,
    read_names,
    read_plain,
    read_record,
    read_text,
    written,
)
from foldstore.validation.evolution import WIDER


class Stage(StrEnum):
    """Where a column stands in its life; only `beta` and `production` columns must be there.

    `disabled` columns are not looked at; `derived` ones are made from others after ingest.
    """

    PLANNED = "planned"
    ALPHA = "alpha"
    BETA = "beta"
    PRODUCTION = "production"
    DEPRECATED = "deprecated"
    DEBUG = "debug"
    DISABLED = "disabled"
    DERIVED = "derived"

    @property
    def is_required(self) -> bool:
        """Whether data without the column fails."""
        return self in (Stage.BETA, Stage.PRODUCTION)


# In the order in which they are written.
_SCALARS: Final[Mapping[str, Any]] = MappingProxyType(
    {"nullable": True, "min_fraction": 0.0, "min_count": 0, "constant": True, "monotone": None, "doc": "", "pii": False,
     "inferred": False}
)  # fmt: skip
_RECORDS: Final = ("domain", "valency", "unique", "bounds", "drift", "skew", "grid", "reference")
_CELLS: Final = {CategoryGrid: "categories", NumericGrid: "two cells only", WeekGrid: "hours and days"}
_LISTS: Final = ("coerce_from", "fixed_shape", "in_environment", "not_in_environment", "derived_from", "tags")
_TYPE_WORDS: Final = (
    *("string", "bool", "double", "float", "binary", "date32[day]", "timestamp[us]", "timestamp[us, tz=UTC]"),
    *(f"{sign}int{bits}" for sign in ("", "u") for bits in (8, 16, 32, 64)),
)
_FIELDS: Final = ("type", *_SCALARS, *_RECORDS, *_LISTS, "severity", "stage", "evidence")


@dataclass(frozen=True, slots=True, kw_only=True)
class ColumnSchema:
    """What one column must look like.

    Attributes
    ----------
    type : str
        The Arrow type of the values, as text; see `plain_type`.
    coerce_from : tuple of str
        Other types that are accepted as they are, such as int32 for int64.
    nullable : bool
        False: a single null is an anomaly.
    min_fraction : float
        The share of rows that must not be null.
    min_count : int
        How many values must not be null.
    domain : NumericDomain, CategoryDomain, TextDomain, TimeDomain or another, or None
    valency : Valency or None
        How many items each list has.
    fixed_shape : tuple of int
        The one shape of all lists, from the outside in; empty for any.
    unique : Uniqueness or None
    monotone : {"increasing", "decreasing"} or None
        The order that the values keep, row after row; equal neighbours are allowed. Rows that are appended go on
        from the last value that was there.
    bounds : Bounds or None
        Between what mean, quantiles and the like lie.
    constant : bool
        Whether the column may hold one value only.
    drift : DriftPolicy or None
        None turns the distribution check off.
    skew : DriftPolicy or None
        When a difference between training and serving counts.
    grid, reference : PinnedGrid and GridCounts, or None
        The cells that distributions are compared on, and the counts to compare with. Without a grid the share of nulls
        alone is compared: with that of the counts, or of versions before.
    severity : Mapping[str, Severity]
        Overrides by anomaly code.
    stage : Stage
    in_environment, not_in_environment : tuple of str
        The only environments in which the column is expected, and those in which it is not.
    derived_from : tuple of str
        The columns that it is made of; told, not judged.
    tags : tuple of str
    pii : bool
        Whether it is about a person. As with `tags` and `doc`, nothing is judged by it.
    doc : str
    inferred : bool
        Whether no person has edited it.
    evidence : Mapping[str, Any]
        What the inference saw.
    """

    type: str
    coerce_from: tuple[str, ...] = ()
    nullable: bool = True
    min_fraction: float = 0.0
    min_count: int = 0
    domain: Domain | None = None
    valency: Valency | None = None
    fixed_shape: tuple[int, ...] = ()
    unique: Uniqueness | None = None
    monotone: Literal["increasing", "decreasing"] | None = None
    bounds: Bounds | None = None
    constant: bool = True
    drift: DriftPolicy | None = None
    skew: DriftPolicy | None = None
    grid: PinnedGrid | None = None
    reference: GridCounts | None = None
    severity: Mapping[str, Severity] = field(default_factory=dict)
    stage: Stage = Stage.PRODUCTION
    in_environment: tuple[str, ...] = ()
    not_in_environment: tuple[str, ...] = ()
    derived_from: tuple[str, ...] = ()
    tags: tuple[str, ...] = ()
    pii: bool = False
    doc: str = ""
    inferred: bool = False
    evidence: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not isinstance(self.type, str) or not self.type:
            raise InvalidSchemaError("A column needs its Arrow type as text.", hint="For example: int64, string.")
        read_fraction(self.min_fraction, "min_fraction")
        read_count(self.min_count, "min_count")
        for name in ("nullable", "constant", "inferred", "pii"):
            if not isinstance(getattr(self, name), bool):
                raise InvalidSchemaError(f"{name} is true or false, not {getattr(self, name)!r}.")
        if self.monotone is not None:
            read_choice(self.monotone, ("increasing", "decreasing"), "monotone")
        for name in ("in_environment", "not_in_environment", "derived_from", "tags"):
            read_names(getattr(self, name), name)
        _check_distribution(self)
        _check_types(self)
        object.__setattr__(self, "severity", MappingProxyType(dict(self.severity)))
        object.__setattr__(self, "evidence", MappingProxyType(read_plain(self.evidence, "evidence")))

    def is_expected(self, environment: str | None) -> bool:
        """Whether the column belongs to an environment; None stands for all of them together.

        Examples
        --------
        >>> ColumnSchema(type="bool", not_in_environment=("serving",)).is_expected("serving")
        False
        """
        if self.stage is Stage.DISABLED:
            return False
        if environment is None:
            return True
        listed = not self.in_environment or environment in self.in_environment
        return listed and environment not in self.not_in_environment

    @property
    def suggested_type(self) -> str | None:
        """The type that texts could have by what the inference saw, in words; None where they are texts.

        Examples
        --------
        >>> evidence = {"suggested": {"type": "int64", "share": 1.0, "of": 120}}
        >>> ColumnSchema(type="string", evidence=evidence).suggested_type
        '120 of 120 texts read as int64'
        """
        seen = self.evidence.get("suggested")
        if not isinstance(seen, Mapping) or not {"type", "share", "of"} <= seen.keys():
            return None
        blank = f"; {seen['blank']:,} are blank" if seen.get("blank") else ""
        return f"{round(seen['share'] * seen['of']):,} of {seen['of']:,} texts read as {seen['type']}{blank}"

    def to_dict(self) -> dict[str, Any]:
        """Return plain data, defaults left out."""
        plain: dict[str, Any] = {"type": self.type}
        plain |= {name: getattr(self, name) for name, usual in _SCALARS.items() if getattr(self, name) != usual}
        plain |= {name: written(getattr(self, name)) for name in _RECORDS if getattr(self, name) is not None}
        plain |= {name: list(getattr(self, name)) for name in _LISTS if getattr(self, name)}
        if self.severity:
            plain["severity"] = written(self.severity)
        if self.stage is not Stage.PRODUCTION:
            plain["stage"] = str(self.stage)
        return plain | ({"evidence": dict(self.evidence)} if self.evidence else {})

    @classmethod
    def from_dict(cls, data: object, *, where: str = "column") -> "ColumnSchema":
        """Read plain data; unknown keys and wrong types are refused.

        Raises
        ------
        InvalidSchemaError
        """
        plain = read_mapping(data, where)
        check_keys(plain, _FIELDS, where)
        if "type" not in plain:
            raise InvalidSchemaError(f"{where} has no type.", hint="For example: type: int64.")
        made = {key: read(plain[key], f"{where}.{key}") for key, read in _READERS.items() if key in plain}
        for name in _LISTS:
            if name in plain:
                made[name] = tuple(_items(plain, name, where))
        made |= {name: plain[name] for name in ("type", *_SCALARS) if name in plain and name not in made}
        with located(where):
            return cls(**made)


def plain_type(text: str) -> str:
    """Return the type that a schema names: one word for all layouts of text, and one for bytes.

    Examples
    --------
    >>> plain_type("large_string")
    'string'
    """
    families = {"large_string": "string", "string_view": "string", "large_binary": "binary", "binary_view": "binary"}
    return families.get(text, text)


def read_severities(data: object, where: str) -> dict[str, Severity]:
    """Read overrides of severities by code."""
    return {code: read_enum(value, Severity, f"{where}.{code}") for code, value in read_mapping(data, where).items()}


def _items(plain: Mapping[str, Any], key: str, where: str) -> list[Any]:
    if not isinstance(plain[key], list):
        raise InvalidSchemaError(f"{where}.{key} is a list, not {plain[key]!r}.", where=f"{where}.{key}")
    items: list[Any] = plain[key]
    return items


def _read_grid(data: object, where: str) -> PinnedGrid:
    with located(where):
        return grid_from_dict(read_mapping(data, where))


def _read_reference(data: object, where: str) -> GridCounts:
    counts = read_mapping(data, where)
    if "cells" in counts:
        _items(counts, "cells", where)
    with located(where):
        return GridCounts.from_dict(counts)


_READERS: Final[Mapping[str, Callable[[object, str], Any]]] = MappingProxyType(
    {
        "domain": read_domain,
        "valency": lambda data, where: read_record(Valency, data, where),
        "unique": lambda data, where: read_record(Uniqueness, data, where),
        "bounds": lambda data, where: read_record(Bounds, data, where),
        "drift": lambda data, where: read_record(DriftPolicy, data, where),
        "skew": lambda data, where: read_record(DriftPolicy, data, where),
        "grid": _read_grid,
        "reference": _read_reference,
        "severity": read_severities,
        "stage": lambda data, where: read_enum(data, Stage, where),
        "evidence": read_mapping,
        "doc": read_text,
    }
)


def _check_distribution(column: ColumnSchema) -> None:
    if column.drift is not None and not has_reference(column, column.drift):
        raise InvalidSchemaError(
            "A drift check needs a grid and reference counts.",
            hint="Infer the column, turn drift off, or compare its nulls alone with versions before: vs: previous.",
        )
    for policy in (column.drift, column.skew):
        if policy is not None and column.grid is not None and not metric_fits(policy.metric, column.grid):
            raise InvalidSchemaError(
                f"{policy.metric} needs numbers in order; this column has {_CELLS[type(column.grid)]}.",
                hint="Use js, tvd or l_inf.",
            )
    if column.grid is not None and column.reference is not None and len(column.reference.cells) != column.grid.cells:
        raise InvalidSchemaError(
            f"The grid has {column.grid.cells} cells, the reference {len(column.reference.cells)}."
        )


def has_reference(column: ColumnSchema, policy: DriftPolicy) -> bool:
    """Whether there is something to compare a column with; of one without a grid the nulls alone are compared.

    Examples
    --------
    >>> text = ColumnSchema(type="string")
    >>> has_reference(text, DriftPolicy()), has_reference(text, DriftPolicy(vs="previous"))
    (False, True)
    """
    return column.reference is not None or (column.grid is None and policy.vs != "baseline")


def _check_types(column: ColumnSchema) -> None:
    """Refuse a word that is no type, and constraints that no value of the type could be judged by."""
    if column.type.isidentifier() and parse_type(column.type) is None:
        raise InvalidSchemaError(f"{column.type!r} is not an Arrow type.", hint=did_you_mean(column.type, _TYPE_WORDS))
    for source in column.coerce_from:
        if column.type not in WIDER.get(source, ()):
            raise InvalidSchemaError(
                f"{source} values cannot be read as {column.type} without loss.", hint="Change the column's type."
            )
    if column.domain is not None and not domain_fits(column.domain, column.type):
        raise InvalidSchemaError(f"{type(column.domain).__name__} does not fit values of type {column.type}.")
    kind = _kind(column.type)
    if column.grid is not None and not _grid_fits(column.grid, kind):
        raise InvalidSchemaError(f"{type(column.grid).__name__} does not fit values of type {column.type}.")
    has_lists = column.valency is not None or column.fixed_shape
    if has_lists and not is_list(column.type):
        raise InvalidSchemaError(f"A valency or shape is of lists, and {column.type} is none.")
    if not all(isinstance(size, int) and not isinstance(size, bool) and size >= 0 for size in column.fixed_shape):
        raise InvalidSchemaError(f"fixed_shape is a list of sizes, not {column.fixed_shape!r}.")
    if column.monotone is not None and not (kind.is_numeric or kind is Kind.TEXT):
        raise InvalidSchemaError(f"Values of type {column.type} have no order.")
    if column.bounds is not None and not _bounds_fit(column.bounds, kind):
        raise InvalidSchemaError(f"Means and quantiles are of numbers, and {column.type} is none.")


def _kind(type_text: str) -> Kind:
    try:
        parsed = parse_type(type_text)
    except OverflowError as error:  # a width beyond 32 bits
        raise InvalidSchemaError(f"{type_text!r} is not an Arrow type.") from error
    return Kind.OPAQUE if parsed is None else kind_of(parsed)


def metric_fits(metric: str, grid: PinnedGrid) -> bool:
    """Whether a metric of drift says something on a grid.

    Examples
    --------
    >>> metric_fits("wasserstein", NumericGrid((0, 1))), metric_fits("wasserstein", NumericGrid((0,)))
    (True, False)
    """
    edges = len(grid.edges) if isinstance(grid, NumericGrid) else 0
    return edges >= ORDERED.get(metric, 0)


def _grid_fits(grid: PinnedGrid, kind: Kind) -> bool:
    if isinstance(grid, WeekGrid):
        return kind is Kind.TEMPORAL
    return kind.is_numeric if isinstance(grid, NumericGrid) else values_fit(grid.values, kind)


def _bounds_fit(bounds: Bounds, kind: Kind) -> bool:
    is_shared = bounds.mean is None and bounds.std is None and not bounds.quantiles
    return kind.is_numeric or is_shared


def environments_named(columns: Collection[ColumnSchema]) -> set[str]:
    """Return the environments that columns speak of."""
    return {name for column in columns for name in (*column.in_environment, *column.not_in_environment)}
