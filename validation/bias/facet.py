"""What was measured of one facet against all other rows."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

from foldstore.validation.bias.association import Association


@dataclass(frozen=True, slots=True, kw_only=True)
class StratumBias:
    """The rows of one stratum.

    Attributes
    ----------
    name : str
    rows, rows_others : int
        Of the facet, and of the others.
    positive, positive_others : int
        Those of them whose label is positive.
    dpl : float or None
        The difference in proportions within the stratum; None when it has rows of one side only.
    dd : float
        The demographic disparity within it.
    """

    name: str
    rows: int
    rows_others: int
    positive: int
    positive_others: int
    dpl: float | None
    dd: float

    def to_dict(self) -> dict[str, Any]:
        """Return plain data."""
        return {each: getattr(self, each) for each in self.__slots__}


@dataclass(frozen=True, slots=True, kw_only=True)
class FacetBias:
    """A facet of the sensitive column, measured against all other rows.

    Attributes
    ----------
    name : str
    rows, rows_others : int
        Of the facet, and all other measured rows.
    positive, positive_others : int
        Those of them whose label is positive.
    metrics : Mapping[str, float or None]
        By the keys of `foldstore.validation.bias.metrics.METRICS`; ``cddl`` is None without conditions.
    ci_interval, dpl_interval : (float, float)
        Wilson's score interval and Newcombe's (1998, method 10).
    most_imbalanced : str
        The label at which the shares differ most, as ``ks`` says by how much.
    association : Association
        Whether the labels of the facet and of the others are alike.
    p_adjusted : float
        Its p-value, adjusted for the number of facets (Benjamini and Hochberg 1995).
    too_few : bool
        Whether the facet or the others have fewer rows than `min_rows`.
    labels : Mapping[str, (int, int)]
        Rows of the facet and of the others, by label.
    strata : tuple of StratumBias
        Empty without conditions.
    large : tuple of str
        The metrics whose magnitude is large, see `foldstore.validation.bias.metrics.METRICS`.
    words : Mapping[str, str]
        What each large value means, by metric.
    """

    name: str
    rows: int
    rows_others: int
    positive: int
    positive_others: int
    metrics: Mapping[str, float | None]
    ci_interval: tuple[float, float]
    dpl_interval: tuple[float, float]
    most_imbalanced: str
    association: Association
    p_adjusted: float
    too_few: bool
    labels: Mapping[str, tuple[int, int]]
    strata: tuple[StratumBias, ...] = ()
    large: tuple[str, ...] = ()
    words: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name in ("metrics", "labels", "words"):
            object.__setattr__(self, name, MappingProxyType(dict(getattr(self, name))))

    def __repr__(self) -> str:
        shown = ", ".join(f"{key} {show(value)}" for key, value in self.metrics.items() if value is not None)
        return f"FacetBias({self.name!r}, {self.rows:,} rows: {shown})"

    def to_dict(self) -> dict[str, Any]:
        """Return plain, JSON-safe data; an infinite divergence is the text ``Infinity``."""
        plain: dict[str, Any] = {each: getattr(self, each) for each in self.__slots__}
        plain |= {key: list(plain[key]) for key in ("ci_interval", "dpl_interval")}
        plain["metrics"] = {key: plain_number(value) for key, value in self.metrics.items()}
        plain["labels"] = {key: list(value) for key, value in self.labels.items()}
        plain["association"] = self.association.to_dict()
        plain["strata"] = [stratum.to_dict() for stratum in self.strata]
        return plain | {"words": dict(self.words), "large": list(self.large)}


def plain_number(value: float | None) -> float | str | None:
    """Return a number as JSON can carry it."""
    return "Infinity" if value == float("inf") else value


def show(value: float | None) -> str:
    """Write a metric for people.

    Examples
    --------
    >>> show(0.12345), show(-0.00001), show(None)
    ('0.123', '0.000', '·')
    """
    if value is None:
        return "·"
    text = f"{value:.3f}"
    return text.lstrip("-") if float(text) == 0 else text
