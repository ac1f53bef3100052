"""What is to be made of a comparison, from its effect and its p-value."""

from collections.abc import Iterable
from enum import StrEnum
from typing import Final


class DriftVerdict(StrEnum):
    """What is to be made of a column."""

    STABLE = "stable"
    WARN = "warn"
    ERROR = "error"
    UNTESTABLE = "untestable"


FLAGS: Final = (DriftVerdict.WARN, DriftVerdict.ERROR)
_ORDER: Final = (DriftVerdict.ERROR, DriftVerdict.WARN, DriftVerdict.UNTESTABLE, DriftVerdict.STABLE)


def gravest(verdicts: Iterable[DriftVerdict]) -> DriftVerdict:
    """Return the gravest of some verdicts; ``stable`` of none.

    Examples
    --------
    >>> gravest([DriftVerdict.STABLE, DriftVerdict.WARN]).value, gravest([]).value
    ('warn', 'stable')
    """
    return min(verdicts, key=_ORDER.index, default=DriftVerdict.STABLE)


def verdict_of(effect: float, p: float, limits: tuple[float, float], alpha: float) -> DriftVerdict:
    """Return ``warn`` or ``error`` of what is both significant and as great as a limit, else ``stable``.

    Examples
    --------
    >>> verdict_of(0.3, 0.001, (0.1, 0.2), 0.01).value, verdict_of(0.3, 0.05, (0.1, 0.2), 0.01).value
    ('error', 'stable')
    """
    warn, error = limits
    if p >= alpha or effect < warn:
        return DriftVerdict.STABLE
    return DriftVerdict.ERROR if effect >= error else DriftVerdict.WARN
