"""P-values of many tests, adjusted so that their number does not raise alarms."""

from collections.abc import Sequence
from typing import Literal, TypeAlias, get_args

import numpy as np

from foldstore.errors import UsageError

Adjustment: TypeAlias = Literal["bh", "by", "holm"]


def adjust(p_values: Sequence[float], method: Adjustment = "bh") -> list[float]:
    """Return p-values adjusted for their number.

    Parameters
    ----------
    p_values : sequence of float
    method : {'bh', 'by', 'holm'}
        ``bh`` bounds the share of false alarms among the alarms (Benjamini and Hochberg 1995), ``by`` does so under
        any dependence (Benjamini and Yekutieli 2001), ``holm`` bounds the chance of a single false alarm (Holm 1979),
        as a gate that any column may close should.

    Raises
    ------
    UsageError
        When there is no such method.

    Examples
    --------
    >>> adjust([0.01, 0.02, 0.03])
    [0.03, 0.03, 0.03]
    >>> adjust([0.01, 0.02, 0.04], "holm")
    [0.03, 0.04, 0.04]
    """
    if method not in get_args(Adjustment):
        raise UsageError(
            f"{ascii(method)[:40]} adjusts no p-values.", hint=f"Write one of {', '.join(get_args(Adjustment))}."
        )
    if not p_values:
        return []
    if method == "holm":
        ordered = np.sort(np.asarray(p_values, np.float64))
        stepped = np.maximum.accumulate(ordered * np.arange(len(ordered), 0, -1))
        ranks = np.argsort(np.argsort(p_values, kind="stable"), kind="stable")
        held: list[float] = np.minimum(stepped, 1.0)[ranks].tolist()
        return held
    given = np.asarray(p_values, np.float64)
    order = np.argsort(given, kind="stable")
    ranks = np.arange(1, len(given) + 1)
    scale = len(given) / ranks * (float((1 / ranks).sum()) if method == "by" else 1.0)
    adjusted = np.empty(len(given))
    adjusted[order] = np.minimum(np.minimum.accumulate((given[order] * scale)[::-1])[::-1], 1.0)
    found: list[float] = adjusted.tolist()
    return found
