"""Scores of a row that a user registers: bounded numbers, from a prediction and a label or sent with predictions.

A function never meets a label: it is shown each pair of a value that was predicted and a class that the pool has,
and its answers are looked up row by row. So it cannot tell, nor keep, which row has which label.
"""

import math
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from foldstore.errors import UsageError
from foldstore.validation.pools.grammar import BUILT_IN
from foldstore.validation.pools.scores import VARIABLES, MeanScore

# Values predicted times classes: what a function is asked at once.
_MOST_PAIRS: Final = 4_000_000
_NAME: Final = re.compile(r"[A-Za-z_][A-Za-z_0-9]{0,49}\Z")
_TAKEN: Final = frozenset({*BUILT_IN, *VARIABLES, "and", "true", "false", "prediction", "pool_row"})

Values = NDArray[np.float64]
ScoreFunction = Callable[[pa.Array, pa.Array], Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class RegisteredScore:
    """A score of a row, and between which numbers it lies.

    Attributes
    ----------
    name : str
    low, high : Fraction
    function : callable or None
        Of predictions and labels, two arrays of one length; None when the values come with the predictions.
    """

    name: str
    low: Fraction
    high: Fraction
    function: ScoreFunction | None

    @property
    def template(self) -> MeanScore:
        """What a condition makes of the name."""
        return MeanScore(name=self.name, low=self.low, high=self.high, given=self.function is None)


_REGISTERED: Final[dict[str, RegisteredScore]] = {}


def register_score(name: str, function: ScoreFunction | None = None, *, low: float, high: float) -> RegisteredScore:
    """Let conditions name a bounded score: ``name(n) > 0.8 +/- 0.02`` is then about its mean over the rows.

    Parameters
    ----------
    name : str
        A word; what has the name already is replaced.
    function : callable, optional
        Takes two Arrow arrays of one length, predictions and labels, and returns a number for each pair. Without one
        the values come with the predictions, in a column of that name, and need no label.
    low, high : float
        Between them every value lies, both included.

    Raises
    ------
    UsageError
        With code ``invalid-score``.

    Examples
    --------
    >>> import foldstore
    >>> import pyarrow.compute as pc
    >>> def nearness(predictions, labels):
    ...     return pc.max_element_wise(0.0, pc.subtract(1.0, pc.divide(pc.abs(pc.subtract(predictions, labels)), 10.0)))
    >>> foldstore.register_score("nearness", nearness, low=0, high=1).name
    'nearness'
    >>> str(foldstore.plan_pool("nearness(n) > 0.6 +/- 0.05", reliability=0.99, steps=4).condition)
    'nearness(n) > 0.6 +/- 0.05'
    """
    if not isinstance(name, str) or not _NAME.match(name) or name.lower() in _TAKEN:
        raise _invalid(
            f"A score cannot be called {ascii(name)[:60]}.",
            "Take a word of letters, digits and _ that means nothing yet.",
        )
    bounds = [_read_bound(each) for each in (low, high)]
    if bounds[0] >= bounds[1]:
        raise _invalid(f"Nothing lies between {low} and {high}.", "low is smaller than high.")
    if function is not None and not callable(function):
        raise _invalid(f"{type(function).__name__!r} cannot be called.", "Give a function of predictions and labels.")
    _REGISTERED[name] = RegisteredScore(name=name, low=bounds[0], high=bounds[1], function=function)
    return _REGISTERED[name]


def registered_templates() -> tuple[MeanScore, ...]:
    """Return what conditions may name at the moment."""
    return tuple(each.template for each in _REGISTERED.values())


def functions_for(scores: Iterable[MeanScore]) -> dict[str, ScoreFunction]:
    """Return the functions of scores that a plan was made with, as they are registered now.

    Raises
    ------
    UsageError
        With code ``score-not-registered``: there is none, or it has other bounds.
    """
    found: dict[str, ScoreFunction] = {}
    for score in scores:
        known = _REGISTERED.get(score.name)
        same = known is not None and (known.low, known.high) == (score.low, score.high)
        if not score.given and (known is None or known.function is None or not same):
            raise UsageError(
                f"The condition asks for {score.name!r}, which is not registered here with these bounds.",
                hint=f"foldstore.register_score({score.name!r}, function, low={float(score.low):g}, "
                f"high={float(score.high):g}); nothing was charged.",
                code="score-not-registered",
                name=score.name,
            )
        if known is not None and known.function is not None:
            found[score.name] = known.function
    return found


def score_rows(function: ScoreFunction, score: MeanScore, predictions: pa.Array, labels: pa.Array) -> Values:
    """Return the score of each row, looked up among the answers for all pairs of a prediction and a class.

    Raises
    ------
    UsageError
        With code ``invalid-score``: too many pairs, or a value that is none or out of bounds.
    """
    predicted, classes = predictions.dictionary_encode(), labels.dictionary_encode()
    # In an order of their own: the order of rows would tell something of the labels.
    ranks = pc.array_sort_indices(classes.dictionary)
    values, kinds = predicted.dictionary, classes.dictionary.take(ranks)
    if len(values) * len(kinds) > _MOST_PAIRS:
        raise _invalid(
            f"{len(values):,} values predicted and {len(kinds):,} classes are too many pairs.",
            "Predict rounder values.",
        )
    pairs = np.indices((len(values), len(kinds))).reshape(2, -1)
    answer = function(values.take(pa.array(pairs[0])), kinds.take(pa.array(pairs[1])))
    grid = read_values(answer, score, pairs.shape[1]).reshape(len(values), len(kinds))
    places = np.empty(len(kinds), np.int64)
    places[ranks.to_numpy()] = np.arange(len(kinds))
    rows: Values = grid[predicted.indices.to_numpy(), places[classes.indices.to_numpy()]]
    return rows


def read_values(given: Any, score: MeanScore, length: int) -> Values:
    """Return values as floats, all within the bounds of a score.

    Raises
    ------
    UsageError
        With code ``invalid-score``.
    """
    try:
        if isinstance(given, pa.ChunkedArray):
            given = given.combine_chunks()
        if isinstance(given, pa.Array):
            given = given.cast(pa.float64()).to_numpy(zero_copy_only=False)
        values = np.asarray(given, dtype=np.float64)
    except (TypeError, ValueError, pa.ArrowException) as error:
        raise _invalid(f"The values of {score.name!r} are no numbers.", "A number for each row.") from error
    if values.shape != (length,):
        raise _invalid(f"The values of {score.name!r} are not {length:,} numbers.", "A number for each row.")
    low, high = float(score.low), float(score.high)
    wrong = ~((values >= low) & (values <= high))
    if wrong.any():
        raise _invalid(
            f"{int(wrong.sum()):,} values of {score.name!r} are not between {low:g} and {high:g}.",
            "Clip them, or register wider bounds: the promise rests on them.",
        )
    return values


def _read_bound(value: object) -> Fraction:
    if isinstance(value, bool) or not isinstance(value, int | float | Fraction) or not math.isfinite(value):
        raise _invalid(f"{ascii(value)[:60]} is no bound of a score.", "low and high are numbers.")
    return Fraction(str(value))


def _invalid(message: str, hint: str) -> UsageError:
    return UsageError(message, hint=hint, code="invalid-score")
