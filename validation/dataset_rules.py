"""Rules about a dataset as a whole: conditions on rows, references to other datasets, segments."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Literal, TypeVar

from foldstore.errors import InvalidSchemaError, did_you_mean
from foldstore.types import Severity
from foldstore.validation.column_bounds import DriftPolicy
from foldstore.validation.document import (
    is_number,
    plain_record,
    read_choice,
    read_count,
    read_enum,
    read_fraction,
    read_names,
    read_record,
    read_text,
)

Rule = TypeVar("Rule")


class Compatibility(StrEnum):
    """What a dataset's next schema owes the one before.

    `backward`: whatever the old one accepted, the new one accepts; `forward`: the other way round;
    `full`: both.
    """

    NONE = "none"
    BACKWARD = "backward"
    FORWARD = "forward"
    FULL = "full"


@dataclass(frozen=True, slots=True, kw_only=True)
class RowRule:
    """A condition on every row, or on every value inside of a column.

    Attributes
    ----------
    expr : str
        An SQL expression over the row's columns. As in SQL's CHECK, a row passes unless it is false.
    min_pass_fraction : float
        The share of rows that must pass.
    name : str, optional
        What reports call it.
    severity : Severity or None
        None for that of ``row_rule_failed``.
    each : str or None
        A path such as ``stops[]``: the condition is asked of each value there, over its fields, or over ``item`` where
        it has none. Shares are of values then.

    Examples
    --------
    >>> RowRule(expr="arr_time >= dep_time").to_dict()
    {'expr': 'arr_time >= dep_time'}
    """

    expr: str
    min_pass_fraction: float = 1.0
    name: str | None = None
    severity: Severity | None = None
    each: str | None = None

    def __post_init__(self) -> None:
        if self.each is not None:
            read_text(self.each, "each")
        if not read_text(self.expr, "expr").strip():
            raise InvalidSchemaError("A row rule has an expression.", hint="For example: arr_time >= dep_time.")
        read_fraction(self.min_pass_fraction, "min_pass_fraction")
        if self.name is not None:
            read_text(self.name, "name")
        if self.severity is not None:
            object.__setattr__(self, "severity", read_enum(self.severity, Severity, "severity"))

    def to_dict(self) -> dict[str, Any]:
        """Return plain data, defaults left out."""
        return plain_record(self)


@dataclass(frozen=True, slots=True, kw_only=True)
class ForeignKey:
    """Columns whose values occur in another dataset.

    Attributes
    ----------
    columns : tuple of str
    dataset : str
        The other dataset.
    to : tuple of str
        Its columns; the same names unless given.
    max_missing_fraction : float
        The share of rows that may find none.
    """

    columns: tuple[str, ...]
    dataset: str
    to: tuple[str, ...] = ()
    max_missing_fraction: float = 0.0

    def __post_init__(self) -> None:
        read_names(self.columns, "columns")
        read_names(self.to, "to")
        read_text(self.dataset, "dataset")
        read_fraction(self.max_missing_fraction, "max_missing_fraction")
        if not self.columns or len(self.to) not in (0, len(self.columns)):
            raise InvalidSchemaError(
                "A foreign key has columns, and as many columns in the other dataset or none named."
            )

    def to_dict(self) -> dict[str, Any]:
        """Return plain data, defaults left out."""
        return plain_record(self)


@dataclass(frozen=True, slots=True, kw_only=True)
class Segment:
    """Rows that are judged for themselves as well.

    Attributes
    ----------
    name : str
    by : tuple of str
        The columns whose values tell segments apart.
    where : str, optional
        An SQL condition: only rows for which it is true.
    drift : DriftPolicy, optional
        When a distribution in a slice differs too far from that of the same slice of versions before; its `vs` says
        which.
    """

    name: str
    by: tuple[str, ...] = ()
    where: str | None = None
    drift: DriftPolicy | None = None

    def __post_init__(self) -> None:
        read_text(self.name, "name")
        read_names(self.by, "by")
        if not self.by and self.where is None:
            raise InvalidSchemaError("A segment has columns in by, or a condition in where.")
        if self.where is not None:
            read_text(self.where, "where")
        given: Any = self.drift
        if given is not None and not isinstance(given, DriftPolicy):  # as a document holds it
            object.__setattr__(self, "drift", read_record(DriftPolicy, given, "drift"))
        if self.drift is not None and self.drift.vs == "baseline":
            raise InvalidSchemaError(
                "The schema has no reference for slices: they are compared with versions before.",
                hint="Write vs: previous, rolling or seasonal.",
                where="drift",
            )

    def to_dict(self) -> dict[str, Any]:
        """Return plain data, defaults left out."""
        return plain_record(self)


@dataclass(frozen=True, slots=True, kw_only=True)
class JointDrift:
    """Comparisons of columns together with those of versions before.

    Attributes
    ----------
    vs : {"previous", "rolling", "seasonal"}
        Which versions.
    window : int, optional
        How many versions, for ``rolling``.
    lag : int, optional
        How many versions ago, for ``seasonal``.
    concept : bool
        Whether the label must depend on each feature as it did.
    correlation : float, optional
        By how much a correlation may change, as the difference of two Pearson coefficients.
    multivariate : float, optional
        How far above 0.5 the AUC of a classifier may lie that tells the rows from those before.
    alpha : float
        The rate of false alarms allowed, after adjustment over pairs.

    Examples
    --------
    >>> JointDrift(concept=True, vs="rolling", window=5).window_text
    'rolling(5)'
    """

    vs: Literal["previous", "rolling", "seasonal"] = "previous"
    window: int | None = None
    lag: int | None = None
    concept: bool = False
    correlation: float | None = None
    multivariate: float | None = None
    alpha: float = 0.01

    def __post_init__(self) -> None:
        read_choice(self.vs, ("previous", "rolling", "seasonal"), "vs")
        for name, needed_by in (("window", "rolling"), ("lag", "seasonal")):
            value = getattr(self, name)
            if (value is not None) != (self.vs == needed_by) or (value is not None and not read_count(value, name)):
                raise InvalidSchemaError(
                    f"vs: {needed_by} needs a {name} of 1 or more, and no other has one.",
                    hint=f"Write vs: {needed_by} and {name}: 7, or neither.",
                )
        if not isinstance(self.concept, bool):
            raise InvalidSchemaError(f"concept is true or false, not {self.concept!r}.")
        for name, most in (("correlation", 2.0), ("multivariate", 0.5), ("alpha", 1.0)):
            value = getattr(self, name)
            if value is not None and not (is_number(value) and 0 < value <= most):
                raise InvalidSchemaError(f"{name} lies above 0 and is at most {most:g}, not {value!r}.")
        if not (self.concept or self.correlation is not None or self.multivariate is not None):
            raise InvalidSchemaError(
                "joint_drift compares nothing.", hint="Write concept: true, correlation: 0.2 or multivariate: 0.1."
            )

    @property
    def window_text(self) -> str:
        """The versions, as `Version.drift` takes them."""
        count = self.window if self.vs == "rolling" else self.lag
        return self.vs if count is None else f"{self.vs}({count})"

    def to_dict(self) -> dict[str, Any]:
        """Return plain data, defaults left out."""
        return plain_record(self)


@dataclass(frozen=True, slots=True, kw_only=True)
class TrendRule:
    """That no column's level changes over the versions.

    Attributes
    ----------
    season : int
        Each version is compared with that so many before: 12 for months whose year repeats.
    """

    season: int = 1

    def __post_init__(self) -> None:
        if not read_count(self.season, "season"):
            raise InvalidSchemaError("A season has one version or more.", hint="Write season: 12.")

    def to_dict(self) -> dict[str, Any]:
        """Return plain data, defaults left out."""
        return plain_record(self)


def read_rules(kind: type[Rule], data: object, where: str) -> tuple[Rule, ...]:
    """Read a list of rules of a kind."""
    if not isinstance(data, list | tuple):
        raise InvalidSchemaError(f"{where} is a list, not {data!r}.", where=where)
    return tuple(read_record(kind, each, f"{where}[{place}]") for place, each in enumerate(data))


def check_named(names: Iterable[str], columns: Mapping[str, object], what: str) -> None:
    """Refuse a name that is no column of the schema."""
    for name in names:
        if name not in columns:
            raise InvalidSchemaError(
                f"The {what} names a column {name!r} that the schema lacks.", hint=did_you_mean(name, columns)
            )
