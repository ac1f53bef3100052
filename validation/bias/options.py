"""How bias is measured where there is a choice: ranges of numbers, the norm, limits."""

from collections.abc import Sequence
from dataclasses import dataclass, fields
from itertools import pairwise
from math import inf, isfinite, isnan
from typing import Any, TypeAlias

from foldstore.errors import UsageError, did_you_mean

# Edges of ranges, or how many ranges of about equally many rows to make.
Bins: TypeAlias = Sequence[float] | int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class BiasOptions:
    """How bias is measured.

    Parameters
    ----------
    label_bins, sensitive_bins, condition_bins : sequence of numbers, or int, optional
        Where a column of numbers is cut into ranges: the edges, each the end of the range below it, or how many
        ranges with about equally many rows to make (that takes a second pass over the rows).
    p : float
        The norm of the L-p measure, 1 or more; infinity is allowed.
    smoothing : float
        What is added to each label's count on both sides before KL is taken, so that it stays finite.
    confidence : float
        Of the intervals; tests are called chance where p is above ``1 - confidence``.
    min_rows : int
        A facet is flagged `too_few` when it or the others have fewer rows than this.
    max_values : int
        How many values the label and the sensitive column may have.
    max_strata : int
        How many values the columns that are conditioned on may have, together.

    Raises
    ------
    UsageError
        When one of them is no such value.

    Examples
    --------
    >>> BiasOptions(sensitive_bins=[25, 65]).sensitive_bins
    (25, 65)
    """

    label_bins: Bins = None
    sensitive_bins: Bins = None
    condition_bins: Bins = None
    p: float = 2.0
    smoothing: float = 0.0
    confidence: float = 0.95
    min_rows: int = 30
    max_values: int = 100
    max_strata: int = 1_000

    def __post_init__(self) -> None:
        for name in ("label_bins", "sensitive_bins", "condition_bins"):
            object.__setattr__(self, name, _check_bins(name, getattr(self, name)))
        for name, low, high, words in (
            ("p", 1, inf, "a number from 1"),
            ("smoothing", 0, 1e9, "a number from 0"),
            ("confidence", 0.5, 1 - 1e-9, "between 0.5 and 1, such as 0.95"),
        ):
            _check_number(name, getattr(self, name), low, high, words)
        for name, low, high in (("min_rows", 0, 10**9), ("max_values", 2, 500), ("max_strata", 1, 10_000)):
            _check_whole(name, getattr(self, name), low, high)

    @classmethod
    def of(cls, how: dict[str, Any]) -> "BiasOptions":
        """Read options that were given by name.

        Raises
        ------
        UsageError
            When there is no such option, with those that there are.
        """
        known = [field.name for field in fields(cls)]
        for name in how:
            if name not in known:
                raise UsageError(f"measure_bias() has no option {name!r}.", hint=did_you_mean(name, known))
        return cls(**how)


def _check_bins(name: str, bins: object) -> tuple[float, ...] | int | None:
    if bins is None:
        return None
    if isinstance(bins, int) and not isinstance(bins, bool):
        _check_whole(name, bins, 2, 100)
        return bins
    if isinstance(bins, Sequence) and not isinstance(bins, str | bytes) and bins:
        edges = tuple(bins)
        if all(_is_number(edge) and isfinite(edge) for edge in edges) and all(a < b for a, b in pairwise(edges)):
            return edges
    raise UsageError(
        f"{name}={bins!r} does not cut numbers into ranges.",
        hint=f"Give ascending edges, {name}=[25, 65], or how many ranges to make, {name}=4.",
    )


def _check_number(name: str, value: object, low: float, high: float, words: str) -> None:
    if not _is_number(value) or isnan(value) or not low <= value <= high:  # type: ignore[arg-type, operator]
        raise UsageError(f"{name}={value!r} does not fit.", hint=f"Give {words}.")


def _check_whole(name: str, value: object, low: int, high: int) -> None:
    if not isinstance(value, int) or isinstance(value, bool) or not low <= value <= high:
        raise UsageError(f"{name}={value!r} does not fit.", hint=f"Give a whole number from {low} to {high:,}.")


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
