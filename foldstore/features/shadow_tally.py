"""What two versions of a service answered to the same requests, compared and counted; tallies merge."""

import math
from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from decimal import Decimal
from typing import Any, Final

from foldstore.views.online.result import OnlineColumn, OnlineResult

# Sums stay finite: JSON has no infinity.
_LARGEST: Final = 1e300


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
        self.sum_difference = _bounded(self.sum_difference + other.sum_difference)
        self.sum_absolute = _bounded(self.sum_absolute + other.sum_absolute)
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
    others = {column.name: column for column in candidate.columns()}
    features: dict[str, FeatureTally] = {}
    only_live = []
    for column in live.columns():
        if column.name in others:
            features[column.name] = _compare(column, others[column.name])
        else:
            only_live.append(column.name)
    return ShadowTally(
        requests=1,
        entities=len(live),
        features=features,
        only_live=only_live,
        only_candidate=sorted(others.keys() - features.keys()),
    )


def _compare(live: OnlineColumn, candidate: OnlineColumn) -> FeatureTally:
    # Plain values: of the few entities of a request they are compared in a tenth of the time that Arrow's kernels take.
    tally = FeatureTally()
    changes: Counter[str] = Counter()
    for one, other in zip(live.values, candidate.values, strict=True):
        if _is_same(one, other):
            tally.equal += 1
        else:
            tally.unequal += 1
        if _is_number(one) and _is_number(other):
            difference = _bounded(float(other) - float(one))
            tally.numbers += 1
            tally.sum_difference += difference
            tally.sum_absolute += abs(difference)
            tally.max_absolute = max(tally.max_absolute, abs(difference))
    for before, after in zip(live.statuses, candidate.statuses, strict=True):
        if before != after:
            changes[f"{before} > {after}"] += 1
    tally.status_changes = dict(changes)
    return tally


def _bounded(value: float) -> float:
    return max(-_LARGEST, min(_LARGEST, value))


def _is_same(one: Any, other: Any) -> bool:
    """Say whether two values are the same to the bit; null is null, any NaN another, and 0.0 is not -0.0."""
    if one is None or other is None:
        return one is other
    if isinstance(one, float) and isinstance(other, float):
        both_nan = math.isnan(one) and math.isnan(other)
        return both_nan or (one == other and math.copysign(1.0, one) == math.copysign(1.0, other))
    if isinstance(one, list | dict | tuple):
        return repr(one) == repr(other)
    return bool(one == other)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float | Decimal) and not isinstance(value, bool) and math.isfinite(value)
