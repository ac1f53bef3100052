"""Functional dependencies that nearly hold, and the cells that break them.

A dependency ``zip -> city`` holds when rows with one zip have one city. In dirty data it holds but for some rows;
its error g3 is the least share of rows that must go for it to hold (Kivinen and Mannila 1995). Dependencies are looked
for level by level as TANE does (Huhtala et al. 1999), with one or two determinants.

A small error says little where groups are small or one value is everywhere. So each row is also predicted by the
majority of the *other* rows of its group; `strength` is how much of what the most frequent value gets wrong that
prediction gets right: Goodman and Kruskal's lambda (1954), left one out. Rows with a value that is the majority of no
group, as a typing error is, count as errors and not for strength.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any, Final, TypeAlias

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from foldstore.errors import UsageError, column_not_found
from foldstore.validation.cleaning.coding import CodedColumn, Codes, code_column, group_codes

# For each row a code, -1 for none, and how much it weighs.
Ballot: TypeAlias = tuple[Codes, NDArray[np.float64]]

MAX_ERROR: Final = 0.05
MIN_STRENGTH: Final = 0.8
MIN_COVERAGE: Final = 0.3
# Candidates are judged on this many rows; what passes is judged again on all of them.
SAMPLE_ROWS: Final = 20_000
MOST_COLUMNS: Final = 40
# Pairs of determinants are looked at among so many columns, those that repeat most.
MOST_PAIRED: Final = 21
_SLACK: Final = 1.5


@dataclass(frozen=True, slots=True, kw_only=True)
class Dependency:
    """A functional dependency that holds, or nearly.

    Attributes
    ----------
    determinants : tuple of str
        The columns on the left.
    dependent : str
        The column on the right.
    error : float
        g3: the share of the covered rows that break it.
    strength : float
        From 0, no better than the most frequent value, to 1.
    rows : int
        Rows that are covered: in groups of two or more, nothing null.
    groups : int
        Such groups.
    """

    determinants: tuple[str, ...]
    dependent: str
    error: float
    strength: float
    rows: int
    groups: int

    def __str__(self) -> str:
        left = ", ".join(self.determinants)
        return (
            f"{left} -> {self.dependent} (error {self.error:.3g}, strength {self.strength:.2f}, {self.groups} groups)"
        )

    def to_dict(self) -> dict[str, Any]:
        """Return plain, JSON-safe data."""
        return {name: getattr(self, name) for name in self.__slots__} | {"determinants": list(self.determinants)}


def parse_dependency(text: str) -> tuple[tuple[str, ...], str]:
    """Read ``"zip, street -> city"``.

    Raises
    ------
    UsageError
        When it is not of that form.

    Examples
    --------
    >>> parse_dependency("zip, street -> city")
    (('zip', 'street'), 'city')
    """
    left, arrow, right = text.partition("->")
    determinants = tuple(each.strip() for each in left.split(",") if each.strip())
    dependent = right.strip()
    if not arrow or not determinants or not dependent or "," in dependent or dependent in determinants:
        raise UsageError(
            f"{text[:80]!r} is no dependency.",
            hint="Write 'zip -> city' or 'zip, street -> city'.",
            code="invalid-rule",
        )
    return determinants, dependent


def measure_dependency(table: pa.Table, determinants: Sequence[str], dependent: str) -> Dependency:
    """Say how nearly a dependency holds in all rows of a table.

    Examples
    --------
    >>> rows = pa.table({"zip": [1, 1, 1, 2, 2], "city": ["Ulm", "Ulm", "Uml", "Bonn", "Bonn"]})
    >>> measure_dependency(rows, ["zip"], "city").error
    0.2
    """
    coded = {name: code_column(_column(table, name), name=name) for name in (*determinants, dependent)}
    return _measure(tuple(determinants), dependent, {name: each.codes for name, each in coded.items()})


def find_dependencies(
    table: pa.Table,
    *,
    columns: Sequence[str] | None = None,
    max_error: float = MAX_ERROR,
    min_strength: float = MIN_STRENGTH,
    most_determinants: int = 2,
    sample_rows: int = SAMPLE_ROWS,
) -> tuple[Dependency, ...]:
    """Find dependencies that nearly hold; those with fewer determinants come first, then the stronger.

    Parameters
    ----------
    table : pyarrow.Table
    columns : sequence of str, optional
        Which columns; those whose values can be told apart unless given, at most 40: those that repeat most.
    max_error : float
        The largest g3.
    min_strength : float
        The least strength.
    most_determinants : {1, 2}
        How many columns may stand on the left. A pair is left out when one of its columns does alone.
    sample_rows : int
        Candidates are looked for in so many evenly spaced rows; what is found there is measured on all.

    Examples
    --------
    >>> zips = [1, 2, 3, 4] * 10
    >>> rows = pa.table({"zip": zips, "city": [f"city {zip // 2}" for zip in zips], "n": range(40)})
    >>> [str(each) for each in find_dependencies(rows)]
    ['zip -> city (error 0, strength 1.00, 4 groups)']
    """
    coded = _code_all(table, columns)
    step = max(1, -(-table.num_rows // sample_rows))
    sample = {name: np.ascontiguousarray(each.codes[::step]) for name, each in coded.items()}
    whole = {name: each.codes for name, each in coded.items()}
    loose = max_error * _SLACK
    found: list[Dependency] = []
    paired = sorted(coded, key=lambda name: len(coded[name].values))[:MOST_PAIRED]
    for size in range(1, most_determinants + 1):
        for determinants in combinations(coded if size == 1 else [name for name in coded if name in paired], size):
            groups = group_codes([sample[name] for name in determinants])
            if not _repeats(groups):
                continue
            for dependent in _open_dependents(determinants, coded, found):
                likely = _measure_groups(determinants, dependent, groups, sample[dependent])
                if not _passes(likely, loose, min_strength, len(groups)):
                    continue
                exact = likely if step == 1 else _measure(determinants, dependent, whole)
                if _passes(exact, max_error, min_strength, table.num_rows):
                    found.append(exact)
    return tuple(sorted(found, key=lambda each: (len(each.determinants), -each.strength, each.error, str(each))))


def _passes(candidate: Dependency, max_error: float, min_strength: float, rows: int) -> bool:
    covered = candidate.rows >= MIN_COVERAGE * rows and candidate.groups >= 2
    return covered and candidate.error <= max_error and candidate.strength >= min_strength


def _open_dependents(
    determinants: tuple[str, ...], columns: Mapping[str, CodedColumn], found: Sequence[Dependency]
) -> list[str]:
    """Return the columns that no part of the determinants is known to determine."""
    told = {each.dependent for each in found if set(each.determinants) < set(determinants)}
    # Where one determinant gives the other, the pair says no more than the first alone.
    implied = any(
        set(each.determinants) | {each.dependent} <= set(determinants) for each in found if len(determinants) > 1
    )
    if implied:
        return []
    return [name for name in columns if name not in determinants and name not in told]


def _repeats(groups: Codes) -> bool:
    known = groups[groups >= 0]
    return len(known) > 0 and int(np.count_nonzero(np.bincount(known) >= 2)) >= 2


def _code_all(table: pa.Table, columns: Sequence[str] | None) -> dict[str, CodedColumn]:
    names = list(table.column_names) if columns is None else list(columns)
    coded: dict[str, CodedColumn] = {}
    for name in names:
        column = _column(table, name)
        if columns is None and (pa.types.is_nested(column.type) or pa.types.is_floating(column.type)):
            continue
        each = code_column(column, name=name)
        if columns is not None or 2 <= len(each.values) < max(3, table.num_rows):
            coded[name] = each
    if len(coded) > MOST_COLUMNS:
        kept = set(sorted(coded, key=lambda name: len(coded[name].values))[:MOST_COLUMNS])
        coded = {name: each for name, each in coded.items() if name in kept}
    return coded


def _column(table: pa.Table, name: str) -> pa.ChunkedArray:
    if name not in table.column_names:
        raise column_not_found(name, table.column_names, where="the rows")
    return table.column(name)


def _measure(determinants: tuple[str, ...], dependent: str, codes: Mapping[str, Codes]) -> Dependency:
    groups = group_codes([codes[name] for name in determinants])
    return _measure_groups(determinants, dependent, groups, codes[dependent])


def _measure_groups(determinants: tuple[str, ...], dependent: str, groups: Codes, values: Codes) -> Dependency:
    tally = tally_groups(groups, values)
    rows = int(tally.sizes.sum())
    if not rows:
        return Dependency(determinants=determinants, dependent=dependent, error=1.0, strength=0.0, rows=0, groups=0)
    error = (rows - int(tally.tops.sum())) / rows
    return Dependency(
        determinants=determinants, dependent=dependent, error=error, strength=_strength(tally), rows=rows,
        groups=len(tally.sizes),
    )  # fmt: skip


def _strength(tally: "GroupTally") -> float:
    # Left out, a row of the majority is still predicted when the others of its value outnumber the runners-up.
    right = int(tally.tops[tally.tops - 1 > tally.seconds].sum())
    right_half = int(tally.tops[(tally.tops - 1 == tally.seconds) & (tally.seconds > 0)].sum()) / 2
    winning = tally.value_counts[np.unique(tally.winners[tally.tops >= 2])]
    if len(winning) < 2:
        return 0.0
    base, rows = int(winning.max()), int(winning.sum())
    return float(max(0.0, min(1.0, (right + right_half - base) / (rows - base))))


@dataclass(frozen=True, slots=True, eq=False)
class GroupTally:
    """What the groups with two rows or more hold: arrays with one entry a group.

    Attributes
    ----------
    groups, winners : array
        The code of the group and of its most frequent value; of equally frequent ones that with the lower code.
    sizes, tops, seconds : array
        Rows, rows with the most frequent value, rows with the next.
    value_counts : array
        How often each value occurs in these rows, by code.
    """

    groups: Codes
    winners: Codes
    sizes: Codes
    tops: Codes
    seconds: Codes
    value_counts: Codes


def tally_groups(groups: Codes, values: Codes) -> GroupTally:
    """Count the values within each group; rows with a null on either side do not count."""
    known = (groups >= 0) & (values >= 0)
    left, right = groups[known], values[known]
    width = int(right.max(initial=0)) + 1
    joint, counts = np.unique(left * width + right, return_counts=True)
    owners = joint // width
    order = np.lexsort((joint, -counts, owners))
    owners, counts, winners = owners[order], counts[order], (joint % width)[order]
    first = np.flatnonzero(np.r_[True, owners[1:] != owners[:-1]]) if len(owners) else np.empty(0, np.int64)
    sizes = np.add.reduceat(counts, first) if len(first) else np.empty(0, np.int64)
    following = np.minimum(first + 1, max(0, len(counts) - 1))
    has_second = np.r_[first[1:], len(counts)] - first > 1 if len(first) else np.empty(0, np.bool_)
    seconds = np.where(has_second, counts[following], 0) if len(first) else np.empty(0, np.int64)
    many = sizes >= 2
    kept_rows = np.isin(left, owners[first][many])
    value_counts = np.bincount(right[kept_rows], minlength=width)
    return GroupTally(
        owners[first][many], winners[first][many], sizes[many], counts[first][many], seconds[many], value_counts
    )


@dataclass(frozen=True, slots=True, eq=False)
class Proposal:
    """Values that dependencies propose for the rows of one column.

    Attributes
    ----------
    codes : array of int64
        The proposed code of each row; -1 where none is proposed, or the row has it already.
    confidence : array of float64
        The share of the votes that the proposed value has.
    """

    codes: Codes
    confidence: NDArray[np.float64]


def propose(lefts: Sequence[Codes], values: Codes, *, min_support: int = 2, min_confidence: float = 0.5) -> Proposal:
    """Let each dependency vote for the majority's value in a row's group; the row's own value has their votes too.

    A vote weighs the share of the group that has the value. A row with one wrong determinant breaks what that one
    determines; its other determinants vote for what it has.

    Parameters
    ----------
    lefts : sequence of arrays
        The groups of each dependency.
    values : array
        The dependent's codes.
    min_support : int
        How many rows must have the majority's value.
    min_confidence : float
        The least share of votes.
    """
    ballots = [_ballot(groups, values, min_support) for groups in lefts]
    winners, confidence = count_votes(ballots, values)
    sure = (winners >= 0) & (confidence >= min_confidence)
    return Proposal(np.where(sure, winners, -1), np.where(sure, confidence, 0.0))


def usual_values(lefts: Sequence[Codes], values: Codes) -> Codes:
    """Return the codes that are the majority of some group, in two rows or more."""
    tallies = [tally_groups(groups, values) for groups in lefts]
    winners = [tally.winners[(tally.tops >= 2) & (tally.tops > tally.seconds)] for tally in tallies]
    return np.unique(np.concatenate([np.empty(0, np.int64), *winners]))


def count_votes(ballots: Sequence[Ballot], own: Codes) -> Ballot:
    """Return the code that outvotes each row's own value, -1 for none, and how sure that is.

    Each ballot has for each row a code, -1 for none, and its weight: the share of the group that has the value. What
    is sure is the share of all votes, times the strongest vote.
    """
    rows = len(own)
    best, best_score, own_score = np.full(rows, -1, np.int64), np.zeros(rows), np.zeros(rows)
    total = np.sum([weight for _, weight in ballots], axis=0)
    for choice, weight in ballots:
        own_score += np.where(choice == own, weight, 0.0)
        score = np.sum([np.where(other == choice, w, 0.0) for other, w in ballots], axis=0)
        better = (choice >= 0) & (score > best_score)
        best, best_score = np.where(better, choice, best), np.where(better, score, best_score)
    share = np.divide(best_score, total, out=np.zeros(rows), where=total > 0)
    strongest = np.max([np.where(choice == best, weight, 0.0) for choice, weight in ballots], axis=0)
    wins = (best >= 0) & (best != own) & (best_score > own_score)
    return np.where(wins, best, -1), np.where(wins, share * strongest, 0.0)


def _ballot(groups: Codes, values: Codes, min_support: int) -> Ballot:
    tally = tally_groups(groups, values)
    size = int(groups.max(initial=-1)) + 1
    choice, weight = np.full(size + 1, -1, np.int64), np.zeros(size + 1)
    sure = (tally.tops >= min_support) & (tally.tops > tally.seconds)
    choice[tally.groups[sure]] = tally.winners[sure]
    weight[tally.groups[sure]] = tally.tops[sure] / tally.sizes[sure]
    return choice[groups], weight[groups]  # group -1 reads the last entry: no vote
