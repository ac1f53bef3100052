"""Confidence limits for fractions."""

from math import asin, pi, sin, sqrt
from statistics import NormalDist
from typing import Final

# One-sided 99 %.
Z_CHECK: Final = 2.3263478740408408
# Batches differ more than chance alone: a null fraction may rise by a small effect (Cohen) before it fails.
NULL_SLACK: Final = 0.10


def wilson(count: int, n: int, z: float) -> tuple[float, float]:
    """Return the Wilson score interval for a fraction (Wilson 1927).

    ``(p + z^2/2n -+ z sqrt(p(1-p)/n + z^2/4n^2)) / (1 + z^2/n)`` with p = count/n.

    Examples
    --------
    >>> [round(limit, 4) for limit in wilson(10, 100, 1.959964)]
    [0.0552, 0.1744]
    """
    if n == 0:
        return 0.0, 1.0
    p = count / n
    centre = p + z * z / (2 * n)
    spread = z * sqrt(p * (1 - p) / n + z * z / (4 * n * n))
    scale = 1 + z * z / n
    # At the ends the exact limits are 0 and 1; rounding must not move them.
    low = 0.0 if count == 0 else max(0.0, (centre - spread) / scale)
    high = 1.0 if count == n else min(1.0, (centre + spread) / scale)
    return low, high


def is_more(count: int, n: int, allowed: float, confidence: float | None) -> bool:
    """Whether a count of n is more than an allowed share: as it is, or so that chance rarely brings as many.

    With a confidence, n draws of which a share `allowed` hits must give so many hits or more with a probability below
    ``1 - confidence``: the exact binomial test. Where nothing is allowed, one is more.

    Examples
    --------
    >>> is_more(1, 10, 0.01, None), is_more(1, 10, 0.01, 0.99), is_more(2, 10, 0.01, 0.99)
    (True, False, True)
    """
    # A share was rounded when it was written down.
    if count <= allowed * n * (1 + 1e-12):
        return False
    if confidence is None or allowed <= 0:
        return True
    from scipy import special

    return bool(special.bdtrc(count - 1, n, allowed) < 1 - confidence)


def newcombe(count: int, n: int, other: int, m: int, z: float) -> tuple[float, float]:
    """Return the score interval for the difference of two fractions, ``count/n - other/m``.

    ``d - sqrt((p - l)^2 + (u' - q)^2)`` to ``d + sqrt((u - p)^2 + (q - l')^2)``, where p and q are the fractions,
    ``l, u`` and ``l', u'`` their Wilson limits: method 10 of Newcombe (1998, Statistics in Medicine 17, 873-890).

    Examples
    --------
    >>> [round(limit, 4) for limit in newcombe(56, 70, 48, 80, 1.959964)]
    [0.0524, 0.3339]
    """
    p, q = count / max(n, 1), other / max(m, 1)
    low, high = wilson(count, n, z)
    other_low, other_high = wilson(other, m, z)
    below = sqrt((p - low) ** 2 + (other_high - q) ** 2)
    above = sqrt((high - p) ** 2 + (q - other_low) ** 2)
    return max(-1.0, p - q - below), min(1.0, p - q + above)


def two_sided(confidence: float) -> float:
    """Return the z between whose two signs a standard normal lies with a probability.

    Examples
    --------
    >>> round(two_sided(0.95), 6)
    1.959964
    """
    return NormalDist().inv_cdf((1 + confidence) / 2)


def cohen_h(p: float, q: float) -> float:
    """Return the effect size of two fractions, ``|2 asin sqrt p - 2 asin sqrt q|`` (Cohen 1988, 6.2)."""
    return abs(2 * asin(sqrt(p)) - 2 * asin(sqrt(q)))


def fraction_above(p: float, h: float) -> float:
    """Return the fraction above p whose Cohen h from it is h, at most 1."""
    return sin(min(asin(sqrt(p)) + h / 2, pi / 2)) ** 2


def allowed_null_share(nulls: int, rows: int) -> float:
    """Return the share of nulls that later data may have: chance (Wilson, z = 3) or a small effect more."""
    _, upper = wilson(nulls, rows, 3.0)
    return max(upper, fraction_above(nulls / rows, NULL_SLACK))
