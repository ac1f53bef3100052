"""What a column's values must be like as a whole: counts, lengths of lists, moments, and when drift counts."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from math import inf
from types import MappingProxyType
from typing import Any, Final, Literal

from foldstore.errors import InvalidSchemaError, did_you_mean
from foldstore.validation.document import (
    is_number,
    plain_record,
    read_choice,
    read_confidence,
    read_count,
    read_fraction,
    read_mapping,
    read_span,
)

Span = tuple[float | None, float | None]
DRIFT_METRICS: Final = ("js", "psi", "hellinger", "tvd", "l_inf", "ks", "wasserstein")
# Those that need an order of the cells, with the least edges between them (two cells have no distance to move over),
# and those that may be greater than 1.
ORDERED: Final[Mapping[str, int]] = MappingProxyType({"ks": 1, "wasserstein": 2})
_UNBOUNDED: Final = frozenset({"psi", "wasserstein"})


@dataclass(frozen=True, slots=True, kw_only=True)
class DriftPolicy:
    """When a change of distribution counts: both significant and at least this great.

    Attributes
    ----------
    tau_warn, tau_error : float
        Limits of the debiased Jensen-Shannon distance (base 2). 0.10 is a shift of a normal's mean
        by about a quarter of its standard deviation. At most 1, but for ``psi`` and ``wasserstein``.
    null_warn, null_error : float
        Limits of Cohen's h between the null fractions.
    alpha : float
        The rate of false alarms allowed, after adjustment over columns.
    metric : str
        What the limits are of: ``js``, ``psi``, ``hellinger``, ``tvd``, ``l_inf``, and for numbers ``ks`` and
        ``wasserstein``, each debiased; see `foldstore.validation.drift.measures`.
    vs : {"baseline", "previous", "rolling", "seasonal"}
        What the rows are compared with: the schema's own reference counts, or versions before.
    window : int, optional
        How many versions, for ``rolling``.
    lag : int, optional
        How many versions ago, for ``seasonal``.
    """

    tau_warn: float = 0.10
    tau_error: float = 0.20
    null_warn: float = 0.10
    null_error: float = 0.20
    alpha: float = 0.01
    metric: str = "js"
    vs: Literal["baseline", "previous", "rolling", "seasonal"] = "baseline"
    window: int | None = None
    lag: int | None = None

    def __post_init__(self) -> None:
        if self.metric not in DRIFT_METRICS:
            raise InvalidSchemaError(
                f"There is no metric of drift {self.metric!r}.", hint=did_you_mean(str(self.metric), DRIFT_METRICS)
            )
        for name in ("alpha",) if self.metric in _UNBOUNDED else ("tau_warn", "tau_error", "alpha"):
            read_fraction(getattr(self, name), name)
        for warn, error in ((self.tau_warn, self.tau_error), (self.null_warn, self.null_error)):
            if not (is_number(warn) and is_number(error) and 0 <= warn <= error < inf):
                raise InvalidSchemaError(f"A warning limit lies between 0 and the error limit: {warn!r}, {error!r}.")
        read_choice(self.vs, ("baseline", "previous", "rolling", "seasonal"), "vs")
        for name, needed_by in (("window", "rolling"), ("lag", "seasonal")):
            value = getattr(self, name)
            if (value is not None) != (self.vs == needed_by) or (value is not None and not read_count(value, name)):
                raise InvalidSchemaError(
                    f"vs: {needed_by} needs a {name} of 1 or more, and no other has one.",
                    hint=f"Write vs: {needed_by} and {name}: 7, or neither.",
                )

    @property
    def greatest(self) -> float:
        """The greatest value that the metric can have."""
        return inf if self.metric in _UNBOUNDED else 1.0

    def to_dict(self) -> dict[str, Any]:
        """Return plain data, defaults left out."""
        return plain_record(self)


@dataclass(frozen=True, slots=True, kw_only=True)
class Valency:
    """How many items the lists of a column have.

    Attributes
    ----------
    min, max : int, optional
        Both allowed.

    Examples
    --------
    >>> Valency(min=1).to_dict()
    {'min': 1}
    """

    min: int | None = None
    max: int | None = None

    def __post_init__(self) -> None:
        if self.min is None and self.max is None:
            raise InvalidSchemaError("A valency has a min or a max.")
        for name in ("min", "max"):
            if getattr(self, name) is not None:
                read_count(getattr(self, name), name)
        if self.min is not None and self.max is not None and self.min > self.max:
            raise InvalidSchemaError(f"The valency is empty: min {self.min} lies above max {self.max}.")

    def to_dict(self) -> dict[str, Any]:
        """Return plain data, defaults left out."""
        return plain_record(self)


@dataclass(frozen=True, slots=True, kw_only=True)
class Uniqueness:
    """How many different values a column has.

    Attributes
    ----------
    min, max : int, optional
    min_ratio, max_ratio : float, optional
        Different values per value that is there.
    key : bool
        Whether no value may occur twice.
    """

    min: int | None = None
    max: int | None = None
    min_ratio: float | None = None
    max_ratio: float | None = None
    key: bool = False

    def __post_init__(self) -> None:
        for name in ("min", "max"):
            if getattr(self, name) is not None:
                read_count(getattr(self, name), name)
        for name in ("min_ratio", "max_ratio"):
            if getattr(self, name) is not None:
                read_fraction(getattr(self, name), name)
        for low, high in ((self.min, self.max), (self.min_ratio, self.max_ratio)):
            if low is not None and high is not None and low > high:
                raise InvalidSchemaError(
                    f"The least number of different values, {low}, lies above the greatest, {high}."
                )
        if not isinstance(self.key, bool):
            raise InvalidSchemaError(f"key is true or false, not {self.key!r}.")

    def to_dict(self) -> dict[str, Any]:
        """Return plain data, defaults left out."""
        return plain_record(self)


@dataclass(frozen=True, slots=True, kw_only=True)
class Bounds:
    """Between what the statistics of a column lie.

    Attributes
    ----------
    mean, std : tuple of two numbers, optional
        The least and the greatest; None for no limit on a side.
    quantiles : Mapping[str, tuple of two numbers]
        By the share of values below, written as text: ``{"0.5": [0, 10]}``.
    max_top_share : float, optional
        The greatest share that a single value may have.
    confidence : float, optional
        How sure it must be that more values lie beyond a quantile's limit than the quantile leaves, by the binomial
        distribution; without it the observed quantile decides, however few values it is from.

    Examples
    --------
    >>> Bounds(mean=(0, 10), quantiles={"0.99": (None, 60)}).to_dict()
    {'mean': [0, 10], 'quantiles': {'0.99': [None, 60]}}
    """

    mean: Span | None = None
    std: Span | None = None
    quantiles: Mapping[str, Span] = field(default_factory=dict)
    max_top_share: float | None = None
    confidence: float | None = None

    def __post_init__(self) -> None:
        for name in ("mean", "std"):
            if getattr(self, name) is not None:
                object.__setattr__(self, name, read_span(getattr(self, name), name))
        spans = read_mapping(self.quantiles, "quantiles")
        for share in spans:
            if not _is_share(share):
                raise InvalidSchemaError(f"A quantile is named by a share between 0 and 1, in quotes, not {share!r}.")
        read = {share: read_span(span, f"quantiles.{share}") for share, span in spans.items()}
        object.__setattr__(self, "quantiles", MappingProxyType(read))
        if self.max_top_share is not None:
            read_fraction(self.max_top_share, "max_top_share")
        read_confidence(self.confidence)

    def to_dict(self) -> dict[str, Any]:
        """Return plain data, defaults left out."""
        return plain_record(self)


def _is_share(text: str) -> bool:
    try:
        return 0 <= float(text) <= 1
    except ValueError:
        return False
