"""Measures of how far two sets of counts on the same cells lie apart.

Each is a function of count vectors along the last axis, so that thousands of dealt tables are measured at once.
What is averaged over such tables and taken off is a *raw* value that adds up, such as a divergence or a square;
`Measure.show` makes of it what people read.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

from foldstore.errors import InvalidSchemaError, did_you_mean
from foldstore.validation.column_bounds import ORDERED

Counts: TypeAlias = NDArray[np.int64]
Floats: TypeAlias = NDArray[np.float64]

LN2: Final = float(np.log(2))
# The quartiles of a normal lie 1.349 standard deviations apart.
_QUARTILES_OF_NORMAL: Final = 1.349
# Of greater edges, differences may be infinite.
_LARGE: Final = 2.0**1000


@dataclass(frozen=True, slots=True, kw_only=True)
class Measure:
    """One way to say how far two distributions lie apart.

    Attributes
    ----------
    name : str
        As a drift policy names it.
    raw : callable
        Of two count vectors (or stacks of them), what adds up: 0 when the shares are equal.
    show : callable
        From a raw value to what is shown and held against the limits.
    chi2 : float or None
        ``raw * chi2 / s`` is asymptotically chi-squared with B - 1 degrees of freedom when nothing changed, where
        ``s = 1/N + 1/M``; None where there is no such law.
    title : str
        What it is called in a report.
    """

    name: str
    raw: Callable[[Counts, Counts], Floats]
    show: Callable[[float], float]
    chi2: float | None
    title: str


def divergence(f: Counts, g: Counts) -> Floats:
    """Return the Jensen-Shannon divergence in nats between count vectors, along the last axis.

    ``J = 1/2 sum p ln(p/m) + 1/2 sum q ln(q/m)``, with m the mean of p and q (Lin 1991).
    """
    p, q = _shares(f), _shares(g)
    m = (p + q) / 2
    with np.errstate(divide="ignore", invalid="ignore"):
        terms = np.where(p > 0, p * np.log(p / m), 0.0) + np.where(q > 0, q * np.log(q / m), 0.0)
    return np.asarray(np.maximum(terms.sum(axis=-1) / 2, 0.0))


def distance(f: Sequence[int] | Counts, g: Sequence[int] | Counts) -> float:
    """Return the Jensen-Shannon distance, base 2: ``sqrt(J / ln 2)``, 0 for equal and 1 for disjoint shares.

    Examples
    --------
    >>> round(distance([50, 30, 20], [40, 40, 20]), 10)
    0.0958432338
    """
    return _distance(float(divergence(np.asarray(f, np.int64), np.asarray(g, np.int64))))


def kullback_leibler(f: Counts, g: Counts) -> Floats:
    """Return ``sum p ln(p/q)`` in nats (Kullback and Leibler 1951); infinite where g lacks what f has.

    Examples
    --------
    >>> round(float(kullback_leibler(np.array([5, 3, 2]), np.array([4, 4, 2]))), 10)
    0.0252671539
    """
    p, q = _shares(f), _shares(g)
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.asarray(np.where(p > 0, p * np.log(p / q), 0.0).sum(axis=-1))


def population_stability(f: Counts, g: Counts) -> Floats:
    """Return the population stability index, ``sum (p - q) ln(p/q)``; no cell is empty, see Notes.

    Notes
    -----
    Half a row is added to every cell of both sides (Jeffreys), so that an empty cell does not make the sum infinite;
    over many rows that does not show.

    Examples
    --------
    >>> many = 100_000
    >>> round(float(population_stability(np.array([5, 3, 2]) * many, np.array([4, 4, 2]) * many)), 5)
    0.05108
    """
    p, q = _shares(f + 0.5), _shares(g + 0.5)
    return np.asarray(((p - q) * np.log(p / q)).sum(axis=-1))


def hellinger_squared(f: Counts, g: Counts) -> Floats:
    """Return the square of the Hellinger distance, ``1/2 sum (sqrt p - sqrt q)^2``."""
    return np.asarray(((np.sqrt(_shares(f)) - np.sqrt(_shares(g))) ** 2).sum(axis=-1) / 2)


def total_variation(f: Counts, g: Counts) -> Floats:
    """Return ``1/2 sum |p - q|``: the share of rows that would have to move."""
    return np.asarray(np.abs(_shares(f) - _shares(g)).sum(axis=-1) / 2)


def greatest_change(f: Counts, g: Counts) -> Floats:
    """Return ``max |p - q|``, the L-infinity distance."""
    return np.asarray(np.abs(_shares(f) - _shares(g)).max(axis=-1))


def kolmogorov(f: Counts, g: Counts) -> Floats:
    """Return ``max |F - G|`` at the ends of the cells: at most the Kolmogorov-Smirnov statistic of the rows."""
    return np.asarray(np.abs(np.cumsum(_shares(f) - _shares(g), axis=-1)).max(axis=-1))


def earth_mover(edges: Sequence[int | float]) -> Callable[[Counts, Counts], Floats]:
    """Return the Wasserstein-1 distance on cells with these edges, in reference standard deviations.

    Parameters
    ----------
    edges : sequence of numbers
        Between the cells ``(-inf, e0], ..., (en, inf)``; a further cell, of NaN, is left out.

    Notes
    -----
    ``integral |F - G| dx`` between the outermost edges, with F and G straight inside a cell; what lies beyond them
    does not count. The unit is the first side's interquartile range on the same straight lines over 1.349 (the
    standard deviation of a normal), or the distance of the outermost edges where that is nothing. So it does not
    depend on the unit of the column.
    """
    ends = np.asarray(edges, np.float64)
    if ends.size and np.abs(ends).max() > _LARGE:  # a width could be more than a double can say
        ends = ends / _LARGE
    widths = np.diff(ends)

    def measure(f: Counts, g: Counts) -> Floats:
        first = np.cumsum(_shares(f[..., : len(ends) + 1]), axis=-1)[..., :-1]
        moved = first - np.cumsum(_shares(g[..., : len(ends) + 1]), axis=-1)[..., :-1]
        before, after = moved[..., :-1], moved[..., 1:]
        a, b = np.abs(before), np.abs(after)
        with np.errstate(divide="ignore", invalid="ignore"):
            crossing = np.where(a + b > 0, (a * a + b * b) / (2 * (a + b)), 0.0)
        areas = np.where(before * after >= 0, (a + b) / 2, crossing) * widths
        return np.asarray(areas.sum(axis=-1) / _unit(first, ends))

    return measure


def _unit(cumulated: Floats, ends: Floats) -> Floats:
    flat = cumulated.reshape(-1, len(ends))
    quartiles = np.array([np.diff(np.interp([0.25, 0.75], row, ends))[0] for row in flat]).reshape(cumulated.shape[:-1])
    # Whole numbers may be so large that floats do not tell them apart: then nothing moves, and any unit will do.
    spread = (ends[-1] - ends[0]) or 1.0
    return np.where(quartiles > 0, quartiles / _QUARTILES_OF_NORMAL, spread)


def contingency(f: Sequence[int] | Counts, g: Sequence[int] | Counts) -> dict[str, float]:
    """Return the chi-squared and G tests of a table of two rows, and Cramer's V with and without its bias.

    Returns
    -------
    dict
        ``chi2``, ``chi2_p``, ``g``, ``g_p``, ``df``, ``cramers_v`` and ``cramers_v_corrected`` (Bergsma 2013:
        ``max(0, chi2/n - df/(n-1))`` over ``min(B~ - 1, 1)`` with ``B~ = B - (B-1)^2/(n-1)``).

    Examples
    --------
    >>> found = contingency([50, 30, 20], [40, 40, 20])
    >>> [round(found[name], 8) for name in ("chi2", "chi2_p", "g", "cramers_v")]
    [2.53968254, 0.2808762, 2.54687933, 0.11268723]
    """
    from scipy import special

    table = np.array([f, g], np.float64)
    table = table[:, table.sum(axis=0) > 0]
    n, cells = float(table.sum()), table.shape[1]
    nothing = dict.fromkeys(("chi2", "g", "df", "cramers_v", "cramers_v_corrected"), 0.0) | {"chi2_p": 1.0, "g_p": 1.0}
    if cells < 2 or not table.sum(axis=1).all():
        return nothing
    expected = table.sum(axis=1, keepdims=True) * table.sum(axis=0) / n
    chi2 = float(((table - expected) ** 2 / expected).sum())
    with np.errstate(divide="ignore", invalid="ignore"):
        g_statistic = 2 * float(np.where(table > 0, table * np.log(table / expected), 0.0).sum())
    df = cells - 1
    corrected = max(0.0, chi2 / n - df / (n - 1))
    room = min(1 - 1 / (n - 1), df - df * df / (n - 1)) if corrected else 1.0
    return {
        "chi2": chi2,
        "chi2_p": float(special.chdtrc(df, chi2)),
        "g": g_statistic,
        "g_p": float(special.chdtrc(df, max(g_statistic, 0.0))),
        "df": float(df),
        "cramers_v": float(np.sqrt(chi2 / n)),
        "cramers_v_corrected": float(np.sqrt(corrected / room)) if room > 0 else 0.0,
    }


def measure_named(name: str, edges: Sequence[int | float] | None = None) -> Measure:
    """Return a measure by the name that policies use.

    Parameters
    ----------
    name : str
        ``js``, ``psi``, ``hellinger``, ``tvd``, ``l_inf``, ``ks`` or ``wasserstein``.
    edges : sequence of numbers, optional
        Of a grid of numbers: ``ks`` and ``wasserstein`` need its order.

    Raises
    ------
    InvalidSchemaError
        When there is no such measure, or the cells have no order.
    """
    if name not in TITLES:
        raise InvalidSchemaError(f"There is no measure of drift {name!r}.", hint=did_you_mean(name, TITLES))
    if name in ORDERED and not edges:
        raise InvalidSchemaError(
            f"{name} needs numbers in order; this column has categories.", hint="Use js, tvd or l_inf.", metric=name
        )
    if name == "wasserstein":
        moved = earth_mover(edges or ())
        return Measure(name=name, raw=_square(moved), show=_root, chi2=None, title=TITLES[name])
    return _MEASURES[name]


def measure_all(f: Counts, g: Counts, edges: Sequence[int | float] | None = None) -> dict[str, float]:
    """Return every measure that fits the cells, by name, as it is (what chance alone would give included)."""
    if not f.sum() or not g.sum():
        return {}
    names = [name for name in TITLES if name not in ORDERED or (edges and len(edges) > 1)]
    shown = {}
    for name in names:
        measure = measure_named(name, edges)
        shown[name] = measure.show(float(measure.raw(f, g)))
    return shown | {"cramers_v": contingency(f, g)["cramers_v_corrected"]}


def _shares(counts: NDArray[Any]) -> Floats:
    return np.asarray(counts / np.maximum(counts.sum(axis=-1, keepdims=True), 1))


def _square(measure: Callable[[Counts, Counts], Floats]) -> Callable[[Counts, Counts], Floats]:
    return lambda f, g: measure(f, g) ** 2


def _distance(nats: float) -> float:
    return float(np.sqrt(max(nats, 0.0) / LN2))


def _root(value: float) -> float:
    return float(np.sqrt(max(value, 0.0)))


def _itself(value: float) -> float:
    return max(value, 0.0)


TITLES: Final = {
    "js": "Jensen-Shannon distance",
    "psi": "population stability index",
    "hellinger": "Hellinger distance",
    "tvd": "total variation",
    "l_inf": "greatest change of a share",
    "ks": "Kolmogorov-Smirnov statistic on the cells",
    "wasserstein": "Wasserstein distance in standard deviations",
}
_LAWS: Final[dict[str, tuple[Callable[[Counts, Counts], Floats], Callable[[float], float], float | None]]] = {
    "js": (divergence, _distance, 8.0),
    "psi": (population_stability, _itself, 1.0),
    "hellinger": (hellinger_squared, _root, 8.0),
    "tvd": (_square(total_variation), _root, None),
    "l_inf": (_square(greatest_change), _root, None),
    "ks": (_square(kolmogorov), _root, None),
}
_MEASURES: Final = {
    name: Measure(name=name, raw=raw, show=show, chi2=chi2, title=TITLES[name])
    for name, (raw, show, chi2) in _LAWS.items()
}
