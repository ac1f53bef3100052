"""Whether a label can be predicted as well as is wanted: asked before anybody trains a model."""

from typing import Any

from foldstore.errors import RefusedError
from foldstore.validation.feasibility.result import Feasibility
from foldstore.validation.feasibility.study import study_feasibility
from foldstore.views.view import View


def feasibility(rows: Any, *, label: str, target_error: float, **how: Any) -> Feasibility:
    """Estimate the least error at which a label can be predicted from the other columns, and compare it with a target.

    The errors of nearest neighbours in several embeddings bound the Bayes error from both sides (Cover and Hart 1967;
    Devroye 1981), as in Snoopy (Renggli et al. 2022); here each has an interval, all of them together hold at the
    confidence, and rows that say too little are inconclusive.

    Parameters
    ----------
    rows : View, part of a split, Version, SQL result, table or frame
        Rows to learn from: the train part. Rows without a label are left out.
    label : str
        The column that is to be predicted, of 2 to 50 different values.
    target_error : float
        The share of wrong predictions that would be good enough.
    **how
        ``features=, leave_out=, embeddings=, own_embeddings=, max_rows=, seed=, confidence=``; see
        `foldstore.validation.feasibility.options.FeasibilityOptions`. Leave keys out, and what is known only after the
        label.

    Raises
    ------
    RefusedError
        When rows belong to a test pool: a study of them is a question to it.
    UsageError
        When there are too few rows, no feature, or one class or too many.

    Examples
    --------
    >>> import numpy as np
    >>> import pyarrow as pa
    >>> draw = np.random.default_rng(1)
    >>> side = draw.random(3000) < 0.5
    >>> table = pa.table({"x": draw.normal(size=3000) + 2 * side, "y": draw.normal(size=3000), "side": side})
    >>> [str(feasibility(table, label="side", target_error=each).verdict) for each in (0.05, 0.3)]
    ['infeasible', 'realistic']
    """
    _refuse_pools(rows)
    return study_feasibility(rows, label=label, target_error=target_error, how=how)


def _refuse_pools(rows: Any) -> None:
    view = rows if isinstance(rows, View) else rows.view() if hasattr(rows, "column_sizes") else None
    pools = {} if view is None else view.leakage().pools
    for name, count in pools.items():
        raise RefusedError(
            f"{count:,} of the rows belong to the test pool {name!r}: a study of them would be a question to it.",
            hint="Study the train part of the split that the pool was sealed from.",
            code="rows-sealed",
            pool=name,
        )
