"""Split specifications: how rows are shared out, as immutable plain data with an identity."""

from collections.abc import Mapping, Sequence
from dataclasses import KW_ONLY, dataclass
from fractions import Fraction
from typing import Any, Final, TypeAlias

from foldstore.errors import UsageError, did_you_mean
from foldstore.names import PARTS
from foldstore.views.splits.sharing import (
    Instant,
    Sharing,
    check_instants,
    drop_algorithms,
    format_instants,
)

ALGORITHM: Final = "split/v1"
FORMAT: Final = 2
TRAIN: Final = 1
VALIDATION: Final = 2
TEST: Final = 3
PART_CODES: Final[Mapping[str, int]] = {name: code for code, name in enumerate(PARTS, start=TRAIN)}

Share: TypeAlias = float | str | Fraction | None

_DEFAULT_SHARES: Final = (Fraction(4, 5), Fraction(1, 10), Fraction(1, 10))
# Three thirds written as floats miss one by 1e-16; nobody means that row in 1e16.
_ROUNDING: Final = Fraction(1, 10**9)
_HASH_RANGE: Final = 2**64
_LATER: Final = ("near_duplicates", "by_column", "values", "ties")


@dataclass(frozen=True, slots=True)
class SplitSpec(Sharing):
    """How a dataset's rows are shared out to train, validation and test.

    By hash unless `by_time` or `by_column` is given. A row's part depends on its key, the dataset, the split's name
    and the seed, and on nothing else, unless strata are balanced or rows are tied together by more than one group:
    then it is fitted once.

    Parameters
    ----------
    name : str
        The split's name.
    dataset : str
        The dataset's name.
    train, validation, test : float, str or Fraction, optional
        The shares; 0.8, 0.1, 0.1 unless one is given. What they leave is unassigned. Decimals are meant exactly.
    key : sequence of str
        The columns that tell rows apart.
    group_by : sequence of str, or sequence of sequences of str
        Rows that agree here stay together. A null makes a row a group of its own, found by `key`. With several
        lists, rows that agree in any of them stay together.
    stratify : str or sequence of str, optional
        Columns whose values are spread evenly: exactly for single rows, as nearly as whole groups allow else.
    duplicates : sequence of str
        Rows that agree in all of these (the features) go together.
    near_duplicates : sequence of str
        Rows that are alike in these columns go together; `similarity` says how alike.
    by_column : str, optional
        The column that says where a row belongs: ``train``, ``validation``, ``test``, or what `values` names.
    by_time : str, optional
        The column of times to split by, at `boundaries`: one for train and test, two with validation between.
        A row at a boundary belongs to the later part.
    purge, embargo : str or timedelta
        How long before and after each boundary rows are left unassigned.
    seed : int
        Another seed is another split.

    Raises
    ------
    InvalidNameError
        When a name is outside the grammar.
    UsageError
        When parts contradict each other.

    Examples
    --------
    >>> spec = SplitSpec("by_tail", dataset="flights", train=0.7, validation=0.15, test=0.15, group_by=["tailnum"])
    >>> spec.salt
    'flights/by_tail/0'
    """

    _: KW_ONLY
    train: Share = None
    validation: Share = None
    test: Share = None
    boundaries: Sequence[Instant] = ()

    def check_kind(self) -> None:
        """See `Sharing.check_kind`."""
        if not self.is_hashed:
            self.refuse_others(*PARTS)
        Sharing.check_kind(self)
        if self.by_time is None and check_instants(() if self.boundaries is None else self.boundaries):
            raise UsageError("Boundaries belong to a split by time.", hint="Give by_time=.")
        if self.by_column is not None:
            self._check_values()
        elif self.by_time is not None:
            self._check_boundaries()
        else:
            shares = _shares([self.train, self.validation, self.test])
            for role, share in zip(PARTS, shares, strict=True):
                object.__setattr__(self, role, share)
        if self.by_time is None:
            object.__setattr__(self, "boundaries", ())

    def _check_values(self) -> None:
        for name, _ in self.meanings:
            if name not in PARTS:
                raise UsageError(f"{ascii(name)[:80]} is not a part of a split.", hint=did_you_mean(name, PARTS))

    def _check_boundaries(self) -> None:
        instants = check_instants(self.boundaries)
        if len(instants) not in (1, 2) or instants != sorted(set(instants)):
            raise UsageError(
                "A split by time needs one or two boundaries, the earlier first.",
                hint='Write boundaries=["2013-10-01", "2013-11-01"].',
            )
        object.__setattr__(self, "boundaries", format_instants(instants))

    @property
    def parts(self) -> tuple[str, ...]:
        """The names of the parts: the first has code 1."""
        return PARTS

    @property
    def shares(self) -> tuple[Fraction, Fraction, Fraction]:
        """The shares of train, validation and test; all 0 for a split by time or by a column."""
        train, validation, test = (Fraction(share or 0) for share in (self.train, self.validation, self.test))
        return train, validation, test

    @property
    def part_shares(self) -> tuple[Fraction, ...]:
        """The share of each part, as `shares`."""
        return self.shares

    def thresholds(self) -> tuple[int, int, int]:
        """Return the hashes at which train, validation and test end."""
        train, validation, test = self.shares
        ends = (train, train + validation, train + validation + test)
        first, second, third = (int(end * _HASH_RANGE) for end in ends)
        return first, second, third

    def to_dict(self) -> dict[str, Any]:
        """Return the specification as plain data, the same for the same split.

        What the first format could say is written as it wrote it: the same split has the same identity for ever.
        """
        plain = self._plain()
        is_first = not any(role in plain for role in _LATER) and not isinstance(self.stratify, tuple)
        return {"format": 1 if is_first else FORMAT, "algorithm": ALGORITHM, **plain}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> "SplitSpec":
        """Read what `to_dict` wrote; every part is checked as if it were typed anew."""
        try:
            given = dict(data)
            version, algorithm = given.pop("format"), given.pop("algorithm")
            if version not in (1, FORMAT) or algorithm != ALGORITHM:
                raise UsageError(
                    f"Splits of format {version}, {algorithm} are not known.", hint="Use a newer Foldstore."
                )
            drop_algorithms(given)
            return cls(given.pop("name"), **given)
        except (KeyError, TypeError, AttributeError, ValueError) as error:
            if isinstance(error, UsageError):
                raise
            raise UsageError(f"This is not the definition of a split: {error!r}.", hint="Make it anew.") from None


def _shares(given: Sequence[Share]) -> Sequence[Fraction]:
    if all(share is None for share in given):
        return _DEFAULT_SHARES
    shares = [_share(share) for share in given]
    total = sum(shares, Fraction(0))
    if total <= 0 or total > 1 + _ROUNDING:
        raise UsageError(
            f"The shares add up to {float(total):g}.", hint="They lie between 0 and 1, and so does their sum."
        )
    return [share / total for share in shares] if abs(total - 1) <= _ROUNDING else shares


def _share(share: Share) -> Fraction:
    try:
        # A float's shortest text is what was typed: 0.15 is meant, not 0.1499999999999999944.
        value = Fraction(repr(share) if isinstance(share, float) else share or 0)
    except (ValueError, ZeroDivisionError, TypeError):
        raise UsageError(f"{ascii(share)[:40]} is not a share.", hint="Give a number from 0 to 1.") from None
    if not 0 <= value <= 1 or isinstance(share, bool):
        raise UsageError(f"{ascii(share)[:40]} is not a share.", hint="Give a number from 0 to 1.")
    return value
