"""Exact tails of a sum of n independent steps of -1, 0 or +1, in logarithms.

The binomial is the case without -1. The sum is tilted until its mean lies at the point asked for
(Cramér), and the tilted distribution is summed through its characteristic function, so that a tail of
1e-200 keeps as many digits as one of 0.1.
"""

import math
from typing import Final

import numpy as np
from numpy.typing import NDArray

# Twelve standard deviations of the tilted sum: what lies beyond is below 1e-30 of what is summed, and what
# wraps around is added, which errs towards a larger tail.
_DEVIATIONS: Final = 12.0
_MARGIN: Final = 64
_NEGLIGIBLE: Final = -45.0
_FLAT: Final = 1e-9  # below this coefficient the quadratic in `_frequencies` has no steady roots
# A smaller chance of +1 counts as this one, which errs towards a larger tail: the tilt would overflow.
_LEAST: Final = 1e-300


def log_upper_tail(n: int, total: int, *, minus: float, plus: float) -> float:
    """Return ln P(S >= total) for a sum S of n steps.

    Parameters
    ----------
    n : int
        How many steps.
    total : int
    minus, plus : float
        The probabilities of a step of -1 and of +1; the rest is 0.

    Returns
    -------
    float
        In nats, at most 0; ``-inf`` where the event cannot be. The error grows with n and stays below
        `rounding_slack`.

    Notes
    -----
    With M(t) = minus/t + zero + plus t and the t at which the tilted mean is x = total/n,
    P(S >= s) = M(t)^n t^-s sum_{m >= 0} t^-m P'(S = s + m), P' the tilted law.

    Examples
    --------
    >>> round(math.exp(log_upper_tail(10, 8, minus=0.0, plus=0.5)) * 1024)
    56
    """
    plus = max(plus, _LEAST) if plus > 0 else 0.0
    zero = max(0.0, 1.0 - minus - plus)
    edge = _edge(n, total, minus, zero, plus)
    if edge is not None:
        return edge
    if total <= n * (plus - minus):
        below = log_upper_tail(n, 1 - total, minus=plus, plus=minus)
        return math.log(-math.expm1(below)) if below < 0 else -math.inf
    tilt = _tilt(total / n, minus, zero, plus)
    theta = math.log(tilt)
    # log1p of the excess over 1: n times a rounding error of 1e-16 would show in the answer.
    log_moment = math.log1p(plus * (tilt - 1.0) + minus * (1.0 / tilt - 1.0))
    moment = math.exp(log_moment)
    tail = _tilted_tail(n, total, theta, minus / tilt / moment, plus * tilt / moment)
    return min(0.0, n * log_moment - theta * total + math.log(tail))


def rounding_slack(n: int) -> float:
    """Return how far `log_upper_tail` may be from the truth, in nats, with room to spare."""
    return 1e-9 + 1e-14 * n


def _edge(n: int, total: int, minus: float, zero: float, plus: float) -> float | None:
    """Return the tail where it has a closed form: beyond the support, at its end, for a sure step."""
    if total <= -n:
        return 0.0
    if total > n or (plus == 0.0 and total > 0):
        return -math.inf
    if minus == 0.0 and total <= 0:
        return 0.0
    if max(minus, zero, plus) == 1.0:
        sure = n if plus == 1.0 else -n if minus == 1.0 else 0
        return 0.0 if sure >= total else -math.inf
    if total == n:
        return n * math.log(plus)
    if plus == 0.0 and total == 0:
        return n * math.log1p(-minus)
    return None


def _tilt(mean: float, minus: float, zero: float, plus: float) -> float:
    """Return e^theta at which the tilted mean is `mean`: plus (1-x) t^2 - zero x t - minus (1+x) = 0."""
    linear = mean * zero
    root = math.sqrt(linear * linear + 4.0 * plus * minus * (1.0 - mean * mean))
    # Two forms of one root: each loses its digits where the other keeps them.
    if linear >= 0:
        return (linear + root) / (2.0 * plus * (1.0 - mean))
    return 2.0 * minus * (1.0 + mean) / (root - linear)


def _tilted_tail(n: int, total: int, theta: float, minus: float, plus: float) -> float:
    """Return sum over m >= 0 of e^(-theta m) P'(S = total + m)."""
    mean = total / n
    deviation = math.sqrt(max(0.0, n * (plus + minus - mean * mean)))
    half = min(2 * n + 2, int(_DEVIATIONS * deviation) + _MARGIN)
    omega, log_size, angle = _characteristic(_frequencies(n, half, minus, plus), minus, plus)
    kept = n * log_size > _NEGLIGIBLE
    omega, log_size, angle = omega[kept], log_size[kept], angle[kept]
    decay = max(theta, 1e-300) + 1j * omega
    ladder = np.expm1(-decay * half) / np.expm1(-decay)
    terms = np.exp(n * log_size + 1j * (n * angle - omega * total)) * ladder
    # The frequencies in between stand for their mirror images too.
    ends = (omega == 0.0) | (omega == np.pi)
    return float(np.sum(np.where(ends, 1.0, 2.0) * terms.real)) / (2 * half)


def _frequencies(n: int, half: int, minus: float, plus: float) -> NDArray[np.float64]:
    """Return those of the frequencies 0, pi/half ... pi whose terms may count: some dozens, whatever n.

    The squared size of the characteristic function, (p^2 - q^2) c^2 + 2 zero p c + zero^2 + q^2 with p and q the sum
    and the difference of plus and minus, is convex in c = cos(omega). It is large near 0 and, where nearly every
    step moves the sum, near pi.
    """
    moved, drift = plus + minus, plus - minus
    zero = max(0.0, 1.0 - moved)
    square, linear = moved * moved - drift * drift, 2.0 * zero * moved
    constant = zero * zero + drift * drift - math.exp(2.0 * _NEGLIGIBLE / n)
    discriminant = linear * linear - 4.0 * square * constant
    if square < _FLAT or discriminant <= 0.0:
        return np.pi * (np.arange(half + 1) / half)
    root = math.sqrt(discriminant)
    edges = [min(1.0, max(-1.0, (-linear + sign * root) / (2.0 * square))) for sign in (1.0, -1.0)]
    last, first = (half * math.acos(edge) / math.pi for edge in edges)
    lower = np.arange(min(half, math.ceil(last) + 1) + 1)
    upper = np.arange(max(len(lower), math.floor(first) - 1), half + 1)
    return np.pi * (np.concatenate([lower, upper]) / half)


def _characteristic(
    omega: NDArray[np.float64], minus: float, plus: float
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Return frequencies, and ln size and angle of one step's characteristic function there."""
    real_loss = (plus + minus) * 2.0 * np.sin(omega / 2.0) ** 2
    imaginary = (plus - minus) * np.sin(omega)
    squared = real_loss * (real_loss - 2.0) + imaginary**2
    # Where it vanishes, its logarithm is minus infinity, which is right and is left out of the sum.
    with np.errstate(divide="ignore"):
        log_size = 0.5 * np.log1p(np.maximum(squared, -1.0))
    return omega, log_size, np.arctan2(imaginary, 1.0 - real_loss)
