"""What one column must look like: type, presence, domain, and the distribution it is compared with.

Plain, immutable values that check themselves; `to_dict` leaves defaults out, `from_dict` refuses
what it does not know.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from math import inf
from types import MappingProxyType
from typing import Any, Final, Literal, TypeAlias

from foldstore.datastore.statistics.pinned import Category, GridCounts, NumericGrid, PinnedGrid, grid_from_dict
from foldstore.datastore.statistics.reading import Kind, kind_of, parse_type
from foldstore.errors import InvalidSchemaError, did_you_mean
from foldstore.types import Severity
from foldstore.validation.document import (
    check_keys,
    is_number,
    read_enum,
    read_fraction,
    read_mapping,
    read_plain,
    read_text,
)
from foldstore.validation.evolution import WIDER


class Stage(StrEnum):
    """Where a column stands in its life; only `beta` and `production` columns must be there."""

    PLANNED = "planned"
    ALPHA = "alpha"
    BETA = "beta"
    PRODUCTION = "production"
    DEPRECATED = "deprecated"
    DEBUG = "debug"

    @property
    def is_required(self) -> bool:
        """Whether data without the column fails."""
        return self in (Stage.BETA, Stage.PRODUCTION)


@dataclass(frozen=True, slots=True, kw_only=True)
class NumericDomain:
    """The numbers a column may hold.

    Attributes
    ----------
    min, max : int or float, optional
        Hard limits, both allowed values.
    nan : {"allow", "deny"}
        Whether NaN may occur.
    """

    min: int | float | None = None
    max: int | float | None = None
    nan: Literal["allow", "deny"] = "allow"

    def __post_init__(self) -> None:
        for limit in (self.min, self.max):
            # Compared, not converted: an int may be greater than every float.
            if limit is not None and not (is_number(limit) and -inf < limit < inf):
                raise InvalidSchemaError(f"A limit of a domain is a finite number, not {limit!r}.")
        if self.min is not None and self.max is not None and self.min > self.max:
            raise InvalidSchemaError(f"The domain is empty: min {self.min} lies above max {self.max}.")
        if self.nan not in ("allow", "deny"):
            raise InvalidSchemaError(f"nan is 'allow' or 'deny', not {self.nan!r}.")

    def to_dict(self) -> dict[str, Any]:
        """Return plain data, defaults left out."""
        plain = {key: value for key, value in (("min", self.min), ("max", self.max)) if value is not None}
        return plain | ({"nan": "deny"} if self.nan == "deny" else {})


@dataclass(frozen=True, slots=True, kw_only=True)
class CategoryDomain:
    """The values a column may hold.

    Attributes
    ----------
    values : tuple of str, int or bool
    min_mass : float
        The share of rows (null apart) that must hold one of them.
    """

    values: tuple[Category, ...]
    min_mass: float = 1.0

    def __post_init__(self) -> None:
        kinds = {type(value) for value in self.values}
        if len(kinds) != 1 or not kinds <= {str, int, bool}:
            raise InvalidSchemaError("The values of a domain are all text, all whole numbers or all booleans.")
        if len(set(self.values)) != len(self.values):
            raise InvalidSchemaError("A value occurs twice in a domain.")
        read_fraction(self.min_mass, "min_mass")

    def to_dict(self) -> dict[str, Any]:
        """Return plain data, defaults left out."""
        return {"values": list(self.values)} | ({"min_mass": self.min_mass} if self.min_mass != 1.0 else {})


Domain: TypeAlias = NumericDomain | CategoryDomain


DRIFT_METRICS: Final = ("js", "psi", "hellinger", "tvd", "l_inf", "ks", "wasserstein")


@dataclass(frozen=True, slots=True, kw_only=True)
class DriftPolicy:
    """When a change of distribution counts: both significant and at least this great.

    Attributes
    ----------
    tau_warn, tau_error : float
        Limits of the debiased Jensen-Shannon distance (base 2). 0.10 is a shift of a normal's mean
        by about a quarter of its standard deviation.
    null_warn, null_error : float
        Limits of Cohen's h between the null fractions.
    alpha : float
        The rate of false alarms allowed, after adjustment over columns.
    metric : str
        What the limits are of: ``js``, ``psi``, ``hellinger``, ``tvd``, ``l_inf``, and for numbers ``ks`` and
        ``wasserstein``, each debiased; see `foldstore.validation.drift.measures`.
    """

    tau_warn: float = 0.10
    tau_error: float = 0.20
    null_warn: float = 0.10
    null_error: float = 0.20
    alpha: float = 0.01
    metric: str = "js"

    def __post_init__(self) -> None:
        if self.metric not in DRIFT_METRICS:
            raise InvalidSchemaError(
                f"There is no metric of drift {self.metric!r}.", hint=did_you_mean(str(self.metric), DRIFT_METRICS)
            )
        for name in ("tau_warn", "tau_error", "alpha"):
            read_fraction(getattr(self, name), name)
        for warn, error in ((self.tau_warn, self.tau_error), (self.null_warn, self.null_error)):
            if not (is_number(warn) and is_number(error) and 0 <= warn <= error):
                raise InvalidSchemaError(f"A warning limit lies between 0 and the error limit: {warn!r}, {error!r}.")

    def to_dict(self) -> dict[str, Any]:
        """Return plain data, defaults left out."""
        return {key: getattr(self, key) for key in self.__slots__ if getattr(self, key) != getattr(_POLICY, key)}


_POLICY: Final = DriftPolicy()
_FIELDS: Final = (
    "type", "coerce_from", "nullable", "min_fraction", "domain", "constant", "drift", "grid", "reference",
    "severity", "stage", "doc", "inferred", "evidence",
)  # fmt: skip


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
    domain : NumericDomain, CategoryDomain or None
    constant : bool
        Whether the column may hold one value only.
    drift : DriftPolicy or None
        None turns the distribution check off.
    grid, reference : PinnedGrid and GridCounts, or None
        The cells that distributions are compared on, and the counts to compare with.
    severity : Mapping[str, Severity]
        Overrides by anomaly code.
    stage : Stage
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
    domain: Domain | None = None
    constant: bool = True
    drift: DriftPolicy | None = None
    grid: PinnedGrid | None = None
    reference: GridCounts | None = None
    severity: Mapping[str, Severity] = field(default_factory=dict)
    stage: Stage = Stage.PRODUCTION
    doc: str = ""
    inferred: bool = False
    evidence: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not isinstance(self.type, str) or not self.type:
            raise InvalidSchemaError("A column needs its Arrow type as text.", hint="For example: int64, string.")
        read_fraction(self.min_fraction, "min_fraction")
        for name in ("nullable", "constant", "inferred"):
            if not isinstance(getattr(self, name), bool):
                raise InvalidSchemaError(f"{name} is true or false, not {getattr(self, name)!r}.")
        if self.drift is not None and (self.grid is None or self.reference is None):
            raise InvalidSchemaError(
                "A drift check needs a grid and reference counts.", hint="Infer the column, or turn drift off."
            )
        if self.grid is not None and self.reference is not None and len(self.reference.cells) != self.grid.cells:
            raise InvalidSchemaError(
                f"The grid has {self.grid.cells} cells, the reference {len(self.reference.cells)}."
            )
        for source in self.coerce_from:
            if self.type not in WIDER.get(source, ()):
                raise InvalidSchemaError(
                    f"{source} values cannot be read as {self.type} without loss.", hint="Change the column's type."
                )
        for cells in (self.domain, self.grid):
            if cells is not None and not _fits(cells, self.type):
                raise InvalidSchemaError(f"{type(cells).__name__} does not fit values of type {self.type}.")
        object.__setattr__(self, "severity", MappingProxyType(dict(self.severity)))
        object.__setattr__(self, "evidence", MappingProxyType(read_plain(self.evidence, "evidence")))

    def to_dict(self) -> dict[str, Any]:
        """Return plain data, defaults left out."""
        plain: dict[str, Any] = {"type": self.type}
        for name in ("nullable", "min_fraction", "constant", "doc", "inferred"):
            if getattr(self, name) != _default(name):
                plain[name] = getattr(self, name)
        for name in ("domain", "drift", "grid", "reference"):
            if getattr(self, name) is not None:
                plain[name] = getattr(self, name).to_dict()
        if self.coerce_from:
            plain["coerce_from"] = list(self.coerce_from)
        if self.severity:
            plain["severity"] = {code: str(severity) for code, severity in self.severity.items()}
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
        made = dict(plain)
        if "coerce_from" in plain:
            made["coerce_from"] = tuple(
                read_text(each, f"{where}.coerce_from") for each in _items(plain, "coerce_from")
            )
        if "domain" in plain:
            made["domain"] = _read_domain(plain["domain"], f"{where}.domain")
        if "drift" in plain:
            policy = read_mapping(plain["drift"], f"{where}.drift")
            check_keys(policy, DriftPolicy.__slots__, f"{where}.drift")
            made["drift"] = DriftPolicy(**policy)
        if "grid" in plain:
            made["grid"] = grid_from_dict(read_mapping(plain["grid"], f"{where}.grid"))
        if "reference" in plain:
            counts = read_mapping(plain["reference"], f"{where}.reference")
            if "cells" in counts:
                _items(counts, "cells")
            made["reference"] = GridCounts.from_dict(counts)
        made["severity"] = read_severities(plain.get("severity", {}), f"{where}.severity")
        made["stage"] = read_enum(plain.get("stage", Stage.PRODUCTION), Stage, f"{where}.stage")
        made["evidence"] = read_mapping(plain.get("evidence", {}), f"{where}.evidence")
        made["doc"] = read_text(plain.get("doc", ""), f"{where}.doc")
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


def _read_domain(data: object, where: str) -> Domain:
    plain = read_mapping(data, where)
    if "values" in plain:
        check_keys(plain, ("values", "min_mass"), where)
        return CategoryDomain(values=tuple(_items(plain, "values")), min_mass=plain.get("min_mass", 1.0))
    check_keys(plain, ("min", "max", "nan"), where)
    return NumericDomain(**plain)


def _items(plain: Mapping[str, Any], key: str) -> list[Any]:
    if not isinstance(plain[key], list):
        raise InvalidSchemaError(f"{key} is a list, not {plain[key]!r}.")
    items: list[Any] = plain[key]
    return items


def _fits(cells: Domain | PinnedGrid, type_text: str) -> bool:
    """Whether values of a type can be compared with the limits, values or edges."""
    try:
        parsed = parse_type(type_text)
    except OverflowError as error:  # a width beyond 32 bits
        raise InvalidSchemaError(f"{type_text!r} is not an Arrow type.") from error
    kind = Kind.OPAQUE if parsed is None else kind_of(parsed)
    if isinstance(cells, NumericDomain | NumericGrid):
        return kind.is_numeric
    held = {Kind.TEXT: str, Kind.INTEGER: int, Kind.UNSIGNED: int, Kind.BOOLEAN: bool}.get(kind)
    return all(type(value) is held for value in cells.values)


def _default(name: str) -> Any:
    return {"nullable": True, "min_fraction": 0.0, "constant": True, "doc": "", "inferred": False}[name]
