"""Bounds of the Bayes error from the error of nearest neighbours and from a spanning tree."""

from math import sqrt
from typing import Final

_TWO: Final = 2


def cover_hart(error: float, classes: int) -> float:
    """Return the least Bayes error at which one nearest neighbour errs so often, once rows are plenty.

    ``(C-1)/C (1 - sqrt(max(0, 1 - C e / (C-1))))``, the inverse of ``e <= R (2 - C R / (C-1))`` (Cover and Hart 1967,
    Nearest neighbor pattern classification).

    Examples
    --------
    >>> round(cover_hart(0.2248, 2), 3), cover_hart(0.5, 2)
    (0.129, 0.5)
    """
    most = (classes - 1) / classes
    return most * (1 - sqrt(max(0.0, 1 - error / most)))


def neighbours_bound(error: float, k: int, classes: int) -> float:
    """Return a lower bound of the Bayes error from the error of a vote of k neighbours, once rows are plenty.

    Of two classes and k > 2 it is ``e / (1 + 1/sqrt k)``, for k = 2 ``e / (1 + sqrt(2/k))`` (Devroye 1981, On the
    asymptotic probability of error in nonparametric discrimination); otherwise Cover and Hart's, as in Snoopy. A bound
    never exceeds what guessing among the classes gives.

    Examples
    --------
    >>> round(neighbours_bound(0.191, 21, 2), 3)
    0.157
    """
    if k == 1 or classes != _TWO:
        return cover_hart(error, classes)
    bound = error / (1 + (1 / sqrt(k) if k > _TWO else sqrt(2 / k)))
    return min(bound, (classes - 1) / classes)


def tree_bounds(crossing: int, rows: int, classes: int) -> tuple[float, float]:
    """Return bounds of the Bayes error from the edges of a minimum spanning tree that join two classes.

    With ``s = R / 2N`` the upper is ``2 s``, the lower ``(C-1)/C (1 - sqrt(max(0, 1 - 2 C s / (C-1))))``: Friedman and
    Rafsky's statistic estimates the Henze-Penrose divergence (Berisha et al. 2016; Sekeh, Oselio and Hero 2020).

    Examples
    --------
    >>> low, high = tree_bounds(20, 100, 2)
    >>> round(low, 4), high
    (0.1127, 0.2)
    """
    share = crossing / rows
    return cover_hart(min(share, (classes - 1) / classes), classes), share


def noisy(error: float, rho: float, classes: int) -> float:
    """Return an error after a share of the labels was replaced uniformly at random (Renggli et al. 2021, FeeBee).

    ``e + rho ((C-1)/C - e)``, which holds of the Bayes error too.

    Examples
    --------
    >>> round(noisy(0.1, 0.5, 2), 3)
    0.3
    """
    return error + rho * ((classes - 1) / classes - error)
