"""Specifications of folds: how rows are shared out to be held out in turn, as immutable plain data."""

from collections.abc import Mapping, Sequence
from dataclasses import KW_ONLY, dataclass, replace
from fractions import Fraction
from typing import Any, ClassVar, Final

from foldstore.errors import UsageError
from foldstore.views.splits.sharing import Instant, Sharing, check_instants, drop_algorithms, format_instants
from foldstore.views.splits.split import ALGORITHM as HASH

ALGORITHM: Final = "folds/v1"
FORMAT: Final = 1
MOST_FOLDS: Final = 250

_DEFAULT_FOLDS: Final = 5


@dataclass(frozen=True, slots=True)
class FoldSpec(Sharing):
    """How a dataset's rows are shared out to k folds, each of which is held out once.

    By hash unless `by_time` or `by_column` is given: the fold of a hash is ``floor(hash * k / 2^64) + 1``. Strata are
    exact when the folds are made, and whatever hangs together is in one fold, as for splits.

    Parameters
    ----------
    name : str
        The name; it belongs to the dataset.
    dataset : str
        The dataset's name.
    k : int, optional
        How many folds: 2 to 250, 5 unless given; with `by_column` as many as there are values.
    inner : int
        How many inner folds the rest of each fold is shared out to, for nested cross-validation; 0 for none.
    past_only : bool
        With `by_time`: train is only what lies before the fold that is held out. A first block is never held out.
    boundaries : sequence of str, datetime or date
        With `by_time`: where folds begin; quantiles of the times when they are made unless given.
    inner_boundaries : sequence of sequences
        The same of the inner folds; they are found when the folds are made.

    Raises
    ------
    InvalidNameError
        When a name is outside the grammar.
    UsageError
        When parts contradict each other.

    Examples
    --------
    >>> FoldSpec("cv", dataset="flights", key=["id"], k=3).parts
    ('1', '2', '3')
    """

    _: KW_ONLY
    k: int | None = None
    inner: int = 0
    past_only: bool = False
    boundaries: Sequence[Instant] = ()
    inner_boundaries: Sequence[Sequence[Instant]] = ()

    KIND: ClassVar[str] = "A k-fold split"
    MAKES_PARTS: ClassVar[bool] = True

    def check_kind(self) -> None:
        """See `Sharing.check_kind`."""
        Sharing.check_kind(self)
        if not isinstance(self.past_only, bool):
            raise UsageError("past_only is True or False.", hint="It is False unless given.")
        object.__setattr__(self, "boundaries", _ascending(() if self.boundaries is None else self.boundaries))
        if self.by_time is None and (self.past_only or self.boundaries or self.inner_boundaries):
            raise UsageError("past_only and boundaries belong to folds by time.", hint="Give by_time=.")
        if self.by_column is not None and self.inner:
            raise UsageError(
                "Folds by column have no inner folds: the column does not say them.",
                hint="Share out a train part: folds[0].train.folds('inner', k=4, ...).",
            )
        object.__setattr__(self, "inner_boundaries", tuple(map(_ascending, self.inner_boundaries)))
        if self.by_column is not None and self.values is not None:
            _check_count("k", self.k, len(self.values), "values= names")
        elif self.boundaries:
            _check_count("k", self.k, self._folds_between(self.boundaries), "the boundaries make")
        self._settle_count()

    def _settle_count(self) -> None:
        found = None
        if self.by_column is not None:
            found = self.k if self.values is None else len(self.values)
        elif self.boundaries:
            found = self._folds_between(self.boundaries)
        else:
            found = _DEFAULT_FOLDS if self.k is None else self.k
        least = 1 if self.past_only else 2
        if found is not None:
            _check_size("k", found, least)
        if isinstance(self.inner, bool) or not isinstance(self.inner, int) or self.inner:
            _check_size("inner", self.inner, least)
        object.__setattr__(self, "k", found)

    def _folds_between(self, boundaries: Sequence[Instant]) -> int:
        return len(boundaries) + (0 if self.past_only else 1)

    @property
    def count(self) -> int:
        """How many folds there are; 0 before a column has said it."""
        return self.k or 0

    @property
    def parts(self) -> tuple[str, ...]:
        """The names of the folds: numbers from 1, or what a column's values stand for."""
        if self.values is not None:
            return tuple(name for name, _ in self.meanings)
        return tuple(str(number) for number in range(1, self.count + 1))

    @property
    def part_shares(self) -> tuple[Fraction, ...]:
        """The share of each fold; all 0 where a column or times decide."""
        share = Fraction(1, self.count) if self.is_hashed else Fraction(0)
        return (share,) * self.count

    @property
    def is_settled(self) -> bool:
        """Whether what is found in the data at the making (values, boundaries) is known."""
        if self.by_column is not None:
            return self.values is not None
        return self.by_time is None or bool(self.boundaries and len(self.inner_boundaries) == self.inner_layers)

    @property
    def inner_layers(self) -> int:
        """How many times the rest of a fold is shared out again."""
        return self.count if self.inner else 0

    @property
    def layers(self) -> int:
        """How many codes are kept of each row: of the fold and of each inner sharing; by time three each."""
        return (1 + self.inner_layers) * (3 if self.by_time is not None else 1)

    def held_block(self, number: int) -> int:
        """Return the block of times that a fold holds out."""
        return number + 1 if self.past_only else number

    def with_values(self, values: Sequence[str]) -> "FoldSpec":
        """Return the specification with a fold for each value of the column.

        Raises
        ------
        UsageError
            When there are not as many as `k` says, or too many.
        """
        if self.k is not None and self.k != len(values):
            raise UsageError(
                f"{self.by_column!r} has {len(values):,} values, not k={self.k}.",
                hint="Leave k= out, or say with values={'1': [...], ...} which values make a fold.",
            )
        if not 2 <= len(values) <= MOST_FOLDS:
            raise UsageError(
                f"{self.by_column!r} has {len(values):,} values, and there are 2 to {MOST_FOLDS} folds.",
                hint="Say with values={'1': [...], ...} which values make a fold.",
            )
        return replace(self, values=tuple((value, (value,)) for value in values))

    def with_boundaries(self, outer: Sequence[int], inner: Sequence[Sequence[int]]) -> "FoldSpec":
        """Return the specification with boundaries, as nanoseconds since 1970."""
        return replace(
            self, boundaries=format_instants(outer), inner_boundaries=tuple(format_instants(each) for each in inner)
        )

    def to_dict(self) -> dict[str, Any]:
        """Return the specification as plain data, the same for the same folds."""
        return {"format": FORMAT, "algorithm": ALGORITHM, "hash": HASH, **self._plain()}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> "FoldSpec":
        """Read what `to_dict` wrote; every part is checked as if it were typed anew."""
        try:
            given = dict(data)
            found = given.pop("format"), given.pop("algorithm"), given.pop("hash")
            if found != (FORMAT, ALGORITHM, HASH):
                raise UsageError(f"Folds of format {found} are not known.", hint="Use a newer Foldstore.")
            drop_algorithms(given)
            return cls(given.pop("name"), **given)
        except (KeyError, TypeError, AttributeError, ValueError) as error:
            if isinstance(error, UsageError):
                raise
            raise UsageError(f"This is not the definition of folds: {error!r}.", hint="Make them anew.") from None


def _ascending(boundaries: Any) -> tuple[str, ...]:
    instants = check_instants(boundaries)
    if instants != sorted(set(instants)):
        raise UsageError(
            "Boundaries ascend, each later than the one before.", hint='Write ["2013-10-01", "2013-11-01"].'
        )
    return format_instants(instants)


def _check_count(role: str, given: int | None, found: int, what: str) -> None:
    if given is not None and given != found:
        raise UsageError(f"{role}={given} folds, but {what} {found}.", hint=f"Leave {role}= out.")


def _check_size(role: str, given: Any, least: int) -> None:
    if isinstance(given, bool) or not isinstance(given, int) or not least <= given <= MOST_FOLDS:
        raise UsageError(
            f"{role}={ascii(given)[:40]} is not a number of folds.",
            hint=f"Give a whole number from {least} to {MOST_FOLDS}.",
        )
