"""Split specifications: how rows are shared out, as immutable plain data with an identity."""

import datetime as dt
import json
from collections.abc import Mapping, Sequence
from dataclasses import KW_ONLY, dataclass, fields
from fractions import Fraction
from typing import Any, Final, TypeAlias

from foldstore.errors import UsageError
from foldstore.names import PARTS, check_name, check_split_name
from foldstore.views.splits.instant import format_duration, format_instant, parse_duration, parse_instant

ALGORITHM: Final = "split/v1"
FORMAT: Final = 1
UNASSIGNED: Final = 0
TRAIN: Final = 1
VALIDATION: Final = 2
TEST: Final = 3
PART_CODES: Final[Mapping[str, int]] = {name: code for code, name in enumerate(PARTS, start=TRAIN)}

Share: TypeAlias = float | str | Fraction | None
Instant: TypeAlias = str | dt.datetime | dt.date

_DEFAULT_SHARES: Final = (Fraction(4, 5), Fraction(1, 10), Fraction(1, 10))
# Three thirds written as floats miss one by 1e-16; nobody means that row in 1e16.
_ROUNDING: Final = Fraction(1, 10**9)
_HASH_RANGE: Final = 2**64


@dataclass(frozen=True, slots=True)
class SplitSpec:
    """How a dataset's rows are shared out to train, validation and test.

    By hash unless `by_time` is given. A row's part depends on its key, the dataset, the split's name and the seed,
    and on nothing else, unless strata are balanced or duplicates tie groups together: then it is fitted once.

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
    group_by : sequence of str
        Rows that agree here stay together. A null makes a row a group of its own, found by `key`.
    stratify : str, optional
        A column whose values are spread evenly: exactly for single rows, as nearly as whole groups allow else.
    duplicates : sequence of str
        Rows that agree in all of these (the features) go together.
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

    name: str
    _: KW_ONLY
    dataset: str
    train: Share = None
    validation: Share = None
    test: Share = None
    key: Sequence[str] = ()
    group_by: Sequence[str] = ()
    stratify: str | None = None
    duplicates: Sequence[str] = ()
    by_time: str | None = None
    boundaries: Sequence[Instant] = ()
    purge: str | dt.timedelta = "0"
    embargo: str | dt.timedelta = "0"
    seed: int = 0

    def __post_init__(self) -> None:
        check_split_name(self.name)
        check_name(self.dataset)
        for role in ("key", "group_by", "duplicates"):
            object.__setattr__(self, role, _columns(getattr(self, role), role))
        for role in ("stratify", "by_time"):
            if getattr(self, role) is not None:
                _columns([getattr(self, role)], role)
        if isinstance(self.seed, bool) or not isinstance(self.seed, int) or not 0 <= self.seed < _HASH_RANGE:
            raise UsageError(f"{self.seed!r} is not a seed.", hint="Give a whole number from 0 to 2**64 - 1.")
        if self.by_time is None:
            self._check_hashed()
        else:
            self._check_timed()

    def _check_hashed(self) -> None:
        if self.boundaries or parse_duration(self.purge) or parse_duration(self.embargo):
            raise UsageError("Boundaries, purge and embargo belong to a split by time.", hint="Give by_time=.")
        if not (self.key or self.group_by or self.duplicates):
            raise UsageError("A split needs to tell rows apart.", hint="Give key=, the dataset's key, or group_by=.")
        shares = _shares([self.train, self.validation, self.test])
        for role, share in zip(PARTS, shares, strict=True):
            object.__setattr__(self, role, share)
        for role in ("purge", "embargo"):
            object.__setattr__(self, role, "0")
        object.__setattr__(self, "boundaries", ())

    def _check_timed(self) -> None:
        roles = (*PARTS, "stratify", "group_by", "duplicates")
        extra = [role for role in roles if getattr(self, role) not in (None, ())]
        if extra:
            raise UsageError(
                f"A split by time takes no {extra[0]}: the boundaries say it all.",
                hint="Groups and duplicates that lie in several parts are counted by its report.",
            )
        instants = [_boundary(boundary) for boundary in _boundaries(self.boundaries)]
        if len(instants) not in (1, 2) or instants != sorted(set(instants)):
            raise UsageError(
                "A split by time needs one or two boundaries, the earlier first.",
                hint='Write boundaries=["2013-10-01", "2013-11-01"].',
            )
        object.__setattr__(self, "boundaries", tuple(format_instant(instant) for instant in instants))
        for role in ("purge", "embargo"):
            object.__setattr__(self, role, format_duration(parse_duration(getattr(self, role))))

    @property
    def salt(self) -> str:
        """What is hashed behind each key."""
        return f"{self.dataset}/{self.name}/{self.seed}"

    @property
    def shares(self) -> tuple[Fraction, Fraction, Fraction]:
        """The shares of train, validation and test; all 0 for a split by time."""
        train, validation, test = (Fraction(share or 0) for share in (self.train, self.validation, self.test))
        return train, validation, test

    @property
    def is_fitted(self) -> bool:
        """Whether places depend on the rows that were there first, and are remembered."""
        return self.stratify is not None or bool(self.group_by and self.duplicates)

    def thresholds(self) -> tuple[int, int, int]:
        """Return the hashes at which train, validation and test end."""
        train, validation, test = self.shares
        ends = (train, train + validation, train + validation + test)
        first, second, third = (int(end * _HASH_RANGE) for end in ends)
        return first, second, third

    def columns(self) -> list[str]:
        """Return the columns that are read."""
        single = [column for column in (self.stratify, self.by_time) if column is not None]
        return list(dict.fromkeys([*self.key, *self.group_by, *self.duplicates, *single]))

    def to_dict(self) -> dict[str, Any]:
        """Return the specification as plain data, the same for the same split."""
        values: dict[str, Any] = {"format": FORMAT, "algorithm": ALGORITHM}
        for field in fields(self):
            if field.name == "_":
                continue
            value = getattr(self, field.name)
            values[field.name] = str(value) if isinstance(value, Fraction) else value
            if isinstance(value, tuple):
                values[field.name] = list(value)
        return values

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> "SplitSpec":
        """Read what `to_dict` wrote; every part is checked as if it were typed anew."""
        try:
            given = dict(data)
            version = (given.pop("format"), given.pop("algorithm"))
            if version != (FORMAT, ALGORITHM):
                raise UsageError(f"Splits of format {version} are not known.", hint="Use a newer Foldstore.")
            return cls(given.pop("name"), **given)
        except (KeyError, TypeError, AttributeError) as error:
            raise UsageError(f"This is not the definition of a split: {error!r}.", hint="Make it anew.") from None

    @property
    def hash(self) -> str:
        """The identity of the specification: BLAKE3 of its canonical JSON."""
        from blake3 import blake3

        text = json.dumps(self.to_dict(), sort_keys=True, separators=(",", ":"), ensure_ascii=True)
        return blake3(text.encode()).hexdigest()


def _columns(columns: Any, role: str) -> tuple[str, ...]:
    if isinstance(columns, str) or not isinstance(columns, Sequence):
        raise UsageError(f"{role}= takes a list of columns.", hint=f'Write {role}=["a"].')
    named = tuple(columns)
    if not all(isinstance(name, str) and name for name in named) or len(set(named)) != len(named):
        raise UsageError(f"{role}= names a column twice, or something that is none.", hint="Name each once, as text.")
    return named


def _boundaries(boundaries: Any) -> Sequence[Any]:
    if isinstance(boundaries, str | bytes) or not isinstance(boundaries, Sequence):
        raise UsageError(
            f"boundaries= takes a list of instants, not {ascii(boundaries)[:40]}.",
            hint='Write boundaries=["2013-10-01"].',
        )
    return boundaries


def _boundary(value: Any) -> int:
    if isinstance(value, str | dt.date):  # a datetime is a date
        return parse_instant(value)
    raise UsageError(
        f"{ascii(value)[:40]} is not an instant: a plain number does not say its unit.",
        hint='Write "2013-10-01" or "2013-10-01T00:00:00Z", or give a datetime.',
    )


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
