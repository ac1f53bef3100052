"""Power: what a test part of some rows can show, and what it cannot.

How exactly it tells an accuracy, how exactly the recall of a rare class, and which difference of two models on the
same rows it would find.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from foldstore.errors import UsageError
from foldstore.validation.pools.estimators.proportion import clopper_pearson

CONFIDENCE: Final = 0.95
LEVEL: Final = 0.05
POWER: Final = 0.8

_DISAGREEMENTS: Final = (0.02, 0.05, 0.1, 0.2, 0.3)


@dataclass(frozen=True, slots=True, kw_only=True)
class PartPower:
    """What the rows of a test part can show.

    Attributes
    ----------
    rows : int
        How many have a label.
    accuracy : float
        The accuracy, or any other share of rows, that `half_width` is of.
    half_width : float or None
        Half the width of its 95 % interval; None without rows.
    worst_half_width : float or None
        The same at a half, where it is widest.
    rare_class : str or None
        The rarer class of the label.
    rare_rows : int or None
        How many rows of it there are.
    recall_half_width : float or None
        Half the width of the 95 % interval of its recall, at `accuracy`.
    differences : mapping of float to (float or None)
        For how often two models disagree, the smallest difference of their accuracies that is found at level 0.05
        with power 0.8; None where not even models that always disagree in one direction would be told apart.
    """

    rows: int
    accuracy: float
    half_width: float | None
    worst_half_width: float | None
    rare_class: str | None
    rare_rows: int | None
    recall_half_width: float | None
    differences: Mapping[float, float | None]

    def half_width_at(self, accuracy: float) -> float | None:
        """Return half the width of the 95 % interval of another accuracy."""
        return interval_half_width(self.rows, accuracy)

    def smallest_difference(self, disagreement: float) -> float | None:
        """Return the smallest difference that is found between two models that disagree so often."""
        return smallest_difference(self.rows, disagreement)

    def to_dict(self) -> dict[str, Any]:
        """Return plain, JSON-safe data."""
        plain = {name: getattr(self, name) for name in self.__slots__}
        return plain | {"differences": {str(each): found for each, found in self.differences.items()}}


def power_of_part(rows: int, *, accuracy: float = 0.9, classes: Mapping[str, int] | None = None) -> PartPower:
    """Say what a test part can show.

    Parameters
    ----------
    rows : int
        How many of its rows have a label.
    accuracy : float
        The accuracy that is expected, or asked for.
    classes : mapping of str to int, optional
        The rows of each class of the label.

    Examples
    --------
    >>> power = power_of_part(1_000, classes={"late": 200, "in time": 800})
    >>> round(power.half_width, 4), power.rare_class, round(power.recall_half_width, 4)
    (0.0191, 'late', 0.044)
    >>> round(power.differences[0.1], 4)
    0.028
    """
    rare = min(classes.items(), key=lambda item: (item[1], item[0])) if classes and len(classes) > 1 else None
    return PartPower(
        rows=rows,
        accuracy=accuracy,
        half_width=interval_half_width(rows, accuracy),
        worst_half_width=interval_half_width(rows, 0.5),
        rare_class=rare[0] if rare else None,
        rare_rows=rare[1] if rare else None,
        recall_half_width=interval_half_width(rare[1], accuracy) if rare else None,
        differences={each: smallest_difference(rows, each) for each in _DISAGREEMENTS},
    )


def interval_half_width(rows: int, share: float, *, confidence: float = CONFIDENCE) -> float | None:
    """Return half the width of the exact confidence interval (Clopper and Pearson 1934) of a share of rows.

    Parameters
    ----------
    rows : int
        How many rows it is a share of.
    share : float
        The share that is found, taken to the nearest whole number of rows.
    confidence : float
        Between 0 and 1.

    Raises
    ------
    UsageError
        When the share is not between 0 and 1.

    Examples
    --------
    >>> round(interval_half_width(100, 0.5), 4)
    0.1017
    """
    _check_share(share, "accuracy")
    if rows < 1:
        return None
    low, high = clopper_pearson(round(share * rows), rows, confidence=confidence)
    return (high - low) / 2


def smallest_difference(rows: int, disagreement: float, *, level: float = LEVEL, power: float = POWER) -> float | None:
    """Return the smallest difference of two models' accuracies that McNemar's test finds on the same rows.

    Parameters
    ----------
    rows : int
        How many rows both are asked about.
    disagreement : float
        How often exactly one of them is right.
    level, power : float
        Of the two-sided test: how often it may be wrong without a difference, how often it finds one.

    Returns
    -------
    float or None
        None when it would exceed the disagreement: no such difference can be found.

    Raises
    ------
    UsageError
        When a share is not between 0 and 1.

    Notes
    -----
    Connor (Biometrics 43, 1987): with disagreement psi and difference d,
    ``n = (z sqrt(psi) + y sqrt(psi - d^2))^2 / d^2``, z and y the normal quantiles of 1 - level/2 and of the power.
    Solved for d: ``d = sqrt(psi) (z sqrt(n) + y sqrt(n + y^2 - z^2)) / (n + y^2)``.

    Examples
    --------
    >>> round(smallest_difference(10_000, 0.1), 5)
    0.00886
    """
    from scipy import special

    _check_share(disagreement, "disagreement")
    for value, role in ((level, "level"), (power, "power")):
        _check_share(value, role)
    z, y = float(special.ndtri(1 - level / 2)), float(special.ndtri(power))
    inside = rows + y * y - z * z
    if rows < 1 or not disagreement or inside < 0:
        return None
    found = math.sqrt(disagreement) * (z * math.sqrt(rows) + y * math.sqrt(inside)) / (rows + y * y)
    return found if found <= disagreement else None


def _check_share(value: float, role: str) -> None:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= 1:
        raise UsageError(f"{role}={value!r} is not a share.", hint="Give a number between 0 and 1, such as 0.9.")
