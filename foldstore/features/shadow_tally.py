"""What two versions of a service answered to the same requests, compared and counted; tallies merge."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from foldstore.features.bit_equality import find_different
from foldstore.views.online.result import OnlineResult
from foldstore.views.online.status import STATUS_CODES

_STATUS: Final = "__status"
_STATUS_NAMES: Final = {code: str(status) for status, code in STATUS_CODES.items()}


@dataclass(slots=True, kw_only=True)
class FeatureTally:
    """How a feature of the live version compares with that of the candidate.

    Attributes
    ----------
    equal, unequal : int
        Values that are the same to the bit, and others; null equals null.
    status_changes : dict of str to int
        ``"PRESENT > NOT_FOUND"``: the live status, the candidate's, and how often.
    numbers : int
        Pairs of finite numbers; the other three are of these.
    sum_difference, sum_absolute, max_absolute : float
        Of candidate less live.
    """

    equal: int = 0
    unequal: int = 0
    status_changes: dict[str, int] = field(default_factory=dict)
    numbers: int = 0
    sum_difference: float = 0.0
    sum_absolute: float = 0.0
    max_absolute: float = 0.0

    @property
    def compared(self) -> int:
        """How many values were compared."""
        return self.equal + self.unequal

    def add(self, other: "FeatureTally") -> None:
        """Count another tally in."""
        self.equal += other.equal
        self.unequal += other.unequal
        self.status_changes = dict(Counter(self.status_changes) + Counter(other.status_changes))
        self.numbers += other.numbers
        self.sum_difference += other.sum_difference
        self.sum_absolute += other.sum_absolute
        self.max_absolute = max(self.max_absolute, other.max_absolute)


@dataclass(slots=True, kw_only=True)
class ShadowTally:
    """What was compared of some requests.

    Attributes
    ----------
    requests, entities : int
        What the candidate was asked too, and did answer.
    left_out : int
        Requests whose turn it was, and that were left out because the candidate did not keep up.
    errors : dict of str to int
        Requests that the candidate did not answer, by the code of the error.
    features : dict of str to FeatureTally
        Those that both have.
    only_live, only_candidate : list of str
        Features that one of the two has.
    """

    requests: int = 0
    entities: int = 0
    left_out: int = 0
    errors: dict[str, int] = field(default_factory=dict)
    features: dict[str, FeatureTally] = field(default_factory=dict)
    only_live: list[str] = field(default_factory=list)
    only_candidate: list[str] = field(default_factory=list)

    @property
    def is_empty(self) -> bool:
        """Whether nothing was counted."""
        return not (self.requests or self.left_out or self.errors)

    def add(self, other: "ShadowTally") -> None:
        """Count another tally in."""
        self.requests += other.requests
        self.entities += other.entities
        self.left_out += other.left_out
        self.errors = dict(Counter(self.errors) + Counter(other.errors))
        for name, tally in other.features.items():
            self.features.setdefault(name, FeatureTally()).add(tally)
        self.only_live = sorted({*self.only_live, *other.only_live})
        self.only_candidate = sorted({*self.only_candidate, *other.only_candidate})

    def to_dict(self) -> dict[str, Any]:
        """Return plain data."""
        return asdict(self)

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> "ShadowTally":
        """Read what `to_dict` gave."""
        features = {name: FeatureTally(**tally) for name, tally in data["features"].items()}
        return cls(**{**data, "features": features})


def compare_answers(live: OnlineResult, candidate: OnlineResult) -> ShadowTally:
    """Compare two answers to one request, feature by feature."""
    tables = [answer.to_arrow(include_statuses=True) for answer in (live, candidate)]
    names, others = live.names, set(candidate.names)
    features = {
        name: _compare(*(each.column(name) for each in tables), *(each.column(name + _STATUS) for each in tables))
        for name in names
        if name in others
    }
    return ShadowTally(
        requests=1,
        entities=len(live),
        features=features,
        only_live=[name for name in names if name not in others],
        only_candidate=sorted(others - set(names)),
    )


def _compare(
    live: pa.ChunkedArray, candidate: pa.ChunkedArray, live_status: pa.ChunkedArray, status: pa.ChunkedArray
) -> FeatureTally:
    one, other = live.combine_chunks(), candidate.combine_chunks()
    unequal = int(_different(one, other).sum())
    pairs = zip(live_status.to_pylist(), status.to_pylist(), strict=True)
    changes = Counter(f"{_STATUS_NAMES[a]} > {_STATUS_NAMES[b]}" for a, b in pairs if a != b)
    tally = FeatureTally(equal=len(one) - unequal, unequal=unequal, status_changes=dict(changes))
    if _is_number(one.type) and _is_number(other.type):
        _count_numbers(tally, one, other)
    return tally


def _different(one: pa.Array, other: pa.Array) -> NDArray[np.bool_]:
    """Say where the values differ; of two types that do not go together, by what they look like."""
    try:
        return find_different(one, other)
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError, pa.ArrowTypeError):
        pairs = zip(one.to_pylist(), other.to_pylist(), strict=True)
        return np.array([repr(mine) != repr(theirs) for mine, theirs in pairs], np.bool_)


def _count_numbers(tally: FeatureTally, one: pa.Array, other: pa.Array) -> None:
    values = [pc.cast(each, pa.float64(), safe=False).to_numpy(zero_copy_only=False) for each in (one, other)]
    both = np.isfinite(values[0]) & np.isfinite(values[1])
    with np.errstate(over="ignore"):  # two numbers at the ends of the range differ by more than a float holds
        difference = np.clip(values[1][both] - values[0][both], -_LARGEST, _LARGEST)
    if not len(difference):
        return
    tally.numbers = len(difference)
    tally.sum_difference = float(np.clip(difference.sum(), -_LARGEST, _LARGEST))
    tally.sum_absolute = float(np.clip(np.abs(difference).sum(), 0, _LARGEST))
    tally.max_absolute = float(np.abs(difference).max())


# Sums of sums stay finite: JSON has no infinity.
_LARGEST: Final = 1e300


def _is_number(kind: pa.DataType) -> bool:
    return bool(pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_decimal(kind))
