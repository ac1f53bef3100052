"""How a feasibility study is made where there is a choice: columns, embeddings, sample, confidence."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from math import isfinite
from typing import Any, Final, TypeAlias

import pyarrow as pa

from foldstore.errors import UsageError, did_you_mean

EMBEDDINGS: Final = ("raw", "standardised", "pca", "lda", "random_projection")
MOST_ROWS: Final = 50_000
LEAST_ROWS: Final = 60
# What makes vectors of the features, or the columns that hold them.
Embedding: TypeAlias = Callable[[pa.Table], Any] | Sequence[str] | str


@dataclass(frozen=True, slots=True, kw_only=True)
class FeasibilityOptions:
    """How a study is made.

    Parameters
    ----------
    features : sequence of str, optional
        The columns to predict from; all that are numbers, times, booleans or texts unless given.
    leave_out : sequence of str
        Columns that are not predicted from: keys, and what is known only after the label.
    embeddings : sequence of str
        Which of ``raw, standardised, pca, lda, random_projection`` to try.
    own_embeddings : mapping of str to callable or columns
        More of them: a function that takes the features of rows as an Arrow table and returns one vector a row, or the
        names of columns that hold numbers or vectors.
    max_rows : int
        How many rows with a label to look at, at most 50,000; more are sampled.
    seed : int
        Of the sample and of the random projection.
    confidence : float
        Of all intervals together.

    Raises
    ------
    UsageError
        When one of them is no such value.
    """

    features: Sequence[str] | None = None
    leave_out: Sequence[str] = ()
    embeddings: Sequence[str] = EMBEDDINGS
    own_embeddings: Mapping[str, Embedding] = field(default_factory=dict)
    max_rows: int = 12_000
    seed: int = 0
    confidence: float = 0.95

    def __post_init__(self) -> None:
        if self.features is not None:
            object.__setattr__(self, "features", _names("features", self.features))
        object.__setattr__(self, "leave_out", _names("leave_out", self.leave_out))
        object.__setattr__(self, "embeddings", _names("embeddings", self.embeddings))
        for name in self.embeddings:
            if name not in EMBEDDINGS:
                raise UsageError(f"There is no embedding {name!r}.", hint=did_you_mean(name, EMBEDDINGS))
        _check_own(self.own_embeddings)
        if not self.embeddings and not self.own_embeddings:
            raise UsageError("No embedding is left.", hint=f"There are {', '.join(EMBEDDINGS)}.")
        _check_whole("max_rows", self.max_rows, LEAST_ROWS, MOST_ROWS)
        _check_whole("seed", self.seed, 0, 2**63 - 1)
        check_share("confidence", self.confidence, 0.5, 1 - 1e-9)

    @classmethod
    def of(cls, how: Mapping[str, Any]) -> "FeasibilityOptions":
        """Read options that were given by name.

        Raises
        ------
        UsageError
            When there is no such option, with those that there are.
        """
        known = [each.name for each in fields(cls)]
        for name in how:
            if name not in known:
                raise UsageError(f"feasibility() has no option {name!r}.", hint=did_you_mean(name, known))
        return cls(**how)


def check_share(name: str, value: object, low: float, high: float) -> float:
    """Return a number that lies between two others, both allowed.

    Raises
    ------
    UsageError
        When it is none.
    """
    if isinstance(value, bool) or not isinstance(value, int | float) or not isfinite(value):
        raise UsageError(f"{name}={value!r} is no number.", hint=f"Give a number such as {name}=0.2.")
    if not low <= value <= high:
        raise UsageError(f"{name}={value!r} does not fit.", hint=f"Give a number from {low:g} to {high:g}.")
    return float(value)


def _names(option: str, names: object) -> tuple[str, ...]:
    if isinstance(names, str) or not isinstance(names, Sequence) or not all(isinstance(name, str) for name in names):
        raise UsageError(f"{option}={names!r} is no list of names.", hint=f'E.g. {option}=["a", "b"].')
    repeated = [name for name in names if list(names).count(name) > 1]
    if repeated:
        raise UsageError(f"{option} names {repeated[0]!r} twice.", hint="Name each once.")
    return tuple(names)


def _check_own(own: object) -> None:
    if not isinstance(own, Mapping) or not all(isinstance(name, str) and name for name in own):
        raise UsageError("own_embeddings is no mapping of names.", hint='E.g. own_embeddings={"text": encode}.')
    for name in own:
        if name in EMBEDDINGS:
            raise UsageError(f"The embedding {name!r} is there already.", hint="Give yours another name.")
    for name, made in own.items():
        if not callable(made) and not isinstance(made, str):
            _names(f"own_embeddings[{name!r}]", made)


def _check_whole(name: str, value: object, low: int, high: int) -> None:
    if not isinstance(value, int) or isinstance(value, bool) or not low <= value <= high:
        raise UsageError(f"{name}={value!r} does not fit.", hint=f"Give a whole number from {low:,} to {high:,}.")
