"""Retention: which versions of a dataset give their rows up, and why. Nothing here reads or writes.

Each rule of a policy keeps versions; one that no rule keeps expires. `max_bytes` is a ceiling over that: the oldest
published versions expire until the rest fits. Without a policy everything is kept that a branch, an alias or a
tag reaches.
"""

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from typing import Any, Final

from foldstore.errors import UsageError
from foldstore.types import Status, parse_time

UNREACHABLE: Final = "no branch, alias or tag reaches it"
_SPAN: Final = re.compile(r"(\d{1,6}(?:\.\d{1,6})?)\s?([wdhms])", re.ASCII)
_UNITS: Final = {"w": "weeks", "d": "days", "h": "hours", "m": "minutes", "s": "seconds"}
_DAY: Final = timedelta(days=1)


def parse_span(value: str | float | timedelta) -> timedelta:
    """Return a length of time: a text such as ``"30d"``, a number of days, or a timedelta.

    Raises
    ------
    UsageError
        When it is none, or negative.

    Examples
    --------
    >>> parse_span("12h"), parse_span(30)
    (datetime.timedelta(seconds=43200), datetime.timedelta(days=30))
    """
    span = value if isinstance(value, timedelta) else _read_span(value)
    if span is None or span < timedelta(0):
        raise UsageError(
            f"{ascii(value)[:80]} is not a length of time.", hint='Write "30d", "12h" or a number of days.'
        )
    return span


def _read_span(value: object) -> timedelta | None:
    if isinstance(value, str):
        found = _SPAN.fullmatch(value.strip())
        return timedelta(**{_UNITS[found[2]]: float(found[1])}) if found else timedelta(0) if value == "0" else None
    if isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value <= 1_000_000:
        return timedelta(days=value)
    return None


@dataclass(frozen=True, slots=True, kw_only=True)
class RetentionPolicy:
    """What is kept of a dataset; see `Dataset.set_retention`.

    Attributes
    ----------
    keep_last : int or None
        This many versions of each branch, its head the first of them.
    keep_days : float or None
        Versions that are younger.
    quarantined_days : float or None
        Quarantined versions that are younger; all of them unless given.
    max_bytes : int or None
        How many bytes the files of the versions may take.
    """

    keep_last: int | None = None
    keep_days: float | None = None
    quarantined_days: float | None = None
    max_bytes: int | None = None

    def __post_init__(self) -> None:
        for name in ("keep_last", "max_bytes"):
            value = getattr(self, name)
            if value is not None and (not isinstance(value, int) or isinstance(value, bool) or value < 1):
                raise UsageError(f"{name}={ascii(value)[:40]} is not a whole number from 1 on.", hint="Write 10.")

    @property
    def is_set(self) -> bool:
        """Whether any rule is given."""
        return any(value is not None for value in asdict(self).values())

    def to_dict(self) -> dict[str, Any]:
        """Return the rules that are given, as plain data."""
        return {name: value for name, value in asdict(self).items() if value is not None}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> "RetentionPolicy":
        """Read what `to_dict` gave."""
        return cls(**data)


@dataclass(frozen=True, slots=True)
class Line:
    """What retention needs to know of a version that still has its rows, or had."""

    id: str
    number: int
    parent_id: str | None
    merge_parent_id: str | None
    status: str
    created_at: str
    expired: bool


@dataclass(frozen=True, slots=True)
class Parting:
    """A version that gives its rows up.

    Attributes
    ----------
    at_once : bool
        False when a clock or an absence says so: that must still hold in a later run.
    """

    line: Line
    reason: str
    at_once: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Weights:
    """How the bytes of a dataset hang on its versions.

    Attributes
    ----------
    total : int
        The files of all versions.
    last_use : mapping of int to int
        Bytes of files that no version behind this number lists, and that no version lists which must stay.
    """

    total: int
    last_use: Mapping[int, int]


def depths(lines: Mapping[str, Line], heads: Collection[str]) -> dict[str, int]:
    """Return how many commits each version lies behind the nearest of some heads; unreachable ones are left out."""
    found: dict[str, int] = {}
    layer, depth = [head for head in heads if head in lines], 0
    while layer:
        fresh = [each for each in dict.fromkeys(layer) if each not in found]
        found.update(dict.fromkeys(fresh, depth))
        parents = (parent for each in fresh for parent in (lines[each].parent_id, lines[each].merge_parent_id))
        layer, depth = [parent for parent in parents if parent is not None and parent in lines], depth + 1
    return found


def newest_published(lines: Mapping[str, Line], head: str) -> str | None:
    """Return the version that a branch shows: its head, or where that is deprecated the first published before it."""
    at: str | None = head
    while at is not None and at in lines:
        if lines[at].status == Status.PUBLISHED and not lines[at].expired:
            return at
        at = lines[at].parent_id
    return None


def choose_expired(
    lines: Mapping[str, Line],
    policy: RetentionPolicy,
    *,
    branches: Collection[str],
    refs: Collection[str],
    kept: Collection[str],
    now: datetime,
) -> list[Parting]:
    """Say which versions of a dataset expire by age, by number or because nothing reaches them.

    Parameters
    ----------
    lines : mapping of str to Line
        All versions of the dataset, by id.
    branches, refs : collection of str
        The heads of branches; the versions that any branch, alias or tag names.
    kept : collection of str
        Versions that must stay, whatever the policy says.
    """
    shown = {newest_published(lines, head) for head in branches}
    by_branch, reached = depths(lines, branches), depths(lines, refs)
    found = []
    for line in lines.values():
        if line.expired or line.id in kept or line.id in shown:
            continue
        parting = _judge(line, policy, by_branch.get(line.id), now, reached=line.id in reached)
        if parting is not None:
            found.append(parting)
    return found


def _judge(line: Line, policy: RetentionPolicy, depth: int | None, now: datetime, *, reached: bool) -> Parting | None:
    age = now - parse_time(line.created_at)
    if line.status == Status.QUARANTINED:
        old = policy.quarantined_days is not None and age >= policy.quarantined_days * _DAY
        return Parting(line, f"quarantined_days={policy.quarantined_days:g}", at_once=False) if old else None
    if line.status == Status.DRAFT:
        return None
    if not reached:
        return Parting(line, UNREACHABLE, at_once=False)
    if policy.keep_last is None and policy.keep_days is None:
        return None
    if policy.keep_last is not None and depth is not None and depth < policy.keep_last:
        return None
    if policy.keep_days is not None and age < policy.keep_days * _DAY:
        return None
    rules = {name: value for name, value in policy.to_dict().items() if name in ("keep_last", "keep_days")}
    reason = ", ".join(f"{name}={value:g}" for name, value in rules.items())
    return Parting(line, reason, at_once=policy.keep_days is None)


def choose_oldest(lines: Sequence[Line], policy: RetentionPolicy, weights: Weights) -> list[Parting]:
    """Say which of some versions, oldest first, expire so that the rest fits into `max_bytes`.

    Only as many go as free something: in a dataset that only grows, every version holds the bytes of those before.
    """
    if policy.max_bytes is None or weights.total <= policy.max_bytes:
        return []
    left, going, useful = weights.total, [], 0
    last_use = dict(weights.last_use)
    for line in lines:
        if left <= policy.max_bytes:
            break
        going.append(Parting(line, f"max_bytes={policy.max_bytes}", at_once=True))
        freed = sum(last_use.pop(number) for number in [n for n in last_use if n <= line.number])
        left -= freed
        useful = len(going) if freed else useful
    return going[:useful]
