"""Near misses: rare texts that are almost a frequent one: another case, spaces, Unicode form, or a few typing errors.

A rare value is a near miss of a frequent one when it occurs at most a tenth as often and either both have one plain
form (NFKC, case folded, spaces joined), or few edits part them: one, two from 12 characters on, three from 20 on.
Edits are insertions, deletions, replacements and swaps of neighbours (optimal string alignment). Values that differ
in their digits, or in words of letters and digits, are never near misses: ``room 12`` is no ``room 13``, and the
aircraft ``N508MJ`` no ``N508MQ``.
"""

import re
import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

MIN_COUNT: Final = 5
MIN_RATIO: Final = 10
# Shorter texts are codes, where each letter means something.
MIN_LENGTH: Final = 4
MOST_FREQUENT: Final = 1_000
MOST_RARE: Final = 10_000
_BLOCK: Final = 256
_WORDS: Final = re.compile(r"\w+")
_BUCKETS: Final = 64


@dataclass(frozen=True, slots=True, kw_only=True)
class NearMiss:
    """A rare value, and the frequent one that was probably meant.

    Attributes
    ----------
    value, meant : str
    count, meant_count : int
        Rows that have them.
    kind : {'space', 'unicode', 'case', 'edit'}
        What parts them.
    distance : int
        Edits; 0 when the plain forms are one.
    confidence : float
    """

    value: str
    meant: str
    count: int
    meant_count: int
    kind: str
    distance: int
    confidence: float

    def to_dict(self) -> dict[str, Any]:
        """Return plain, JSON-safe data."""
        return {name: getattr(self, name) for name in self.__slots__}


def find_near_misses(
    counts: Mapping[str, int], *, min_count: int = MIN_COUNT, min_ratio: float = MIN_RATIO
) -> tuple[NearMiss, ...]:
    """Find the near misses among counted values, the surest first.

    Parameters
    ----------
    counts : mapping of str to int
        How often each value occurs. At most the 1,000 most frequent are compared with the 10,000 rarest.
    min_count : int
        How often a frequent value occurs at least.
    min_ratio : float
        How many times as often as its near miss.

    Examples
    --------
    >>> found = find_near_misses({"Birmingham": 40, "birmingham": 2, "Birminghxm": 1, "Boston": 30})
    >>> [(each.value, each.meant, each.kind) for each in found]
    [('birmingham', 'Birmingham', 'case'), ('Birminghxm', 'Birmingham', 'edit')]
    """
    ordered = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    frequent = [(text, count) for text, count in ordered[:MOST_FREQUENT] if count >= min_count and text.strip()]
    most = frequent[0][1] if frequent else 0
    rare = [(text, count) for text, count in reversed(ordered) if count * min_ratio <= most][:MOST_RARE]
    same, left = _same_forms(frequent, rare, min_ratio)
    found = [*same, *_edited(frequent, left, min_ratio)]
    return tuple(sorted(found, key=lambda each: (-each.confidence, -each.count, each.value)))


def edit_distance(first: str, second: str, limit: int) -> int:
    """Return the optimal string alignment distance of two texts, or `limit` + 1 when it is larger.

    Examples
    --------
    >>> edit_distance("hospital", "hopsital", 3), edit_distance("kitten", "sitting", 2)
    (1, 3)
    """
    if abs(len(first) - len(second)) > limit:
        return limit + 1
    before: list[int] = []
    row = list(range(len(second) + 1))
    for i, a in enumerate(first, 1):
        older, before, row = before, row, [i]
        for j, b in enumerate(second, 1):
            cost = min(before[j] + 1, row[j - 1] + 1, before[j - 1] + (a != b))
            if i > 1 and j > 1 and a == second[j - 2] and first[i - 2] == b:
                cost = min(cost, older[j - 2] + 1)
            row.append(cost)
        if min(row) > limit and min(before) > limit:
            return limit + 1
    return min(row[-1], limit + 1)


def edits_allowed(length: int) -> int:
    """Return how many edits part a text of some length from a near miss at most."""
    return 0 if length < MIN_LENGTH else 1 if length < 12 else 2 if length < 20 else 3


def plain_form(text: str) -> str:
    """Return a text in NFKC, case folded, with single spaces."""
    return " ".join(unicodedata.normalize("NFKC", text).casefold().split())


def _kind(value: str, meant: str) -> str:
    if value.split() == meant.split():
        return "space"
    if unicodedata.normalize("NFKC", value).split() == unicodedata.normalize("NFKC", meant).split():
        return "unicode"
    return "case"


def _same_forms(
    frequent: Sequence[tuple[str, int]], rare: Sequence[tuple[str, int]], min_ratio: float
) -> tuple[list[NearMiss], list[tuple[str, int]]]:
    """Find rare values with the plain form of a frequent one; return the others too."""
    forms: dict[str, tuple[str, int]] = {}
    for text, count in frequent:
        forms.setdefault(plain_form(text), (text, count))
    found, left = [], []
    for value, count in rare:
        meant, meant_count = forms.get(plain_form(value), (value, 0))
        if meant == value or meant_count < min_ratio * count:
            left.append((value, count))
            continue
        miss = NearMiss(
            value=value, meant=meant, count=count, meant_count=meant_count, kind=_kind(value, meant), distance=0,
            confidence=0.98,
        )  # fmt: skip
        found.append(miss)
    return found, left


def _edited(
    frequent: Sequence[tuple[str, int]], rare: Sequence[tuple[str, int]], min_ratio: float
) -> Iterator[NearMiss]:
    long_enough = [(text, count) for text, count in rare if len(text) >= MIN_LENGTH]
    if not frequent or not long_enough:
        return
    sizes = np.array([count for _, count in frequent])
    bags, lengths = _bags([text for text, _ in frequent])
    for start in range(0, len(long_enough), _BLOCK):
        block = long_enough[start : start + _BLOCK]
        own, own_lengths = _bags([text for text, _ in block])
        allowed = np.array([edits_allowed(len(text)) for text, _ in block])
        # Each edit changes a bag of letters by two at most.
        near = np.abs(own_lengths[:, None] - lengths[None, :]) <= allowed[:, None]
        near &= sizes[None, :] >= min_ratio * np.array([count for _, count in block])[:, None]
        for place, (value, count) in enumerate(block):
            likely = np.flatnonzero(near[place])
            likely = likely[np.abs(bags[likely] - own[place]).sum(axis=1) <= 2 * allowed[place]]
            candidates = [frequent[each] for each in likely if frequent[each][0] != value]
            miss = _closest(value, count, candidates)
            if miss is not None:
                yield miss


def _bags(texts: Sequence[str]) -> tuple[NDArray[np.int16], NDArray[np.int64]]:
    bags = np.zeros((len(texts), _BUCKETS), np.int16)
    for place, text in enumerate(texts):
        letters = np.frombuffer(text.encode("utf-32-le", "surrogatepass"), np.uint32) % _BUCKETS
        bags[place] = np.bincount(letters, minlength=_BUCKETS)
    return bags, np.array([len(text) for text in texts], np.int64)


def _closest(value: str, count: int, candidates: Sequence[tuple[str, int]]) -> NearMiss | None:
    """Return the near miss of the closest candidate; none where two are as close and as frequent."""
    limit = edits_allowed(len(value))
    measured = []
    for meant, meant_count in candidates:
        if _digits(value) == _digits(meant) and _codes(value) == _codes(meant) and len(meant) >= MIN_LENGTH:
            distance = edit_distance(value, meant, min(limit, edits_allowed(len(meant))))
            if distance <= min(limit, edits_allowed(len(meant))):
                measured.append((distance, -meant_count, meant))
    measured.sort()
    if not measured:
        return None
    distance, negative, meant = measured[0]
    rivals = [each for each in measured[1:] if each[0] == distance]
    share = -negative / sum(-each[1] for each in (measured[0], *rivals))
    if share < 0.8:
        return None
    # What is left of doubt grows with the edits for the length, and with how often the rare value comes.
    confidence = share * (1 - distance / max(4, len(value))) * (1 - count / -negative)
    return NearMiss(
        value=value, meant=meant, count=count, meant_count=-negative, kind="edit", distance=distance,
        confidence=round(float(min(0.97, confidence)), 4),
    )  # fmt: skip


def _codes(text: str) -> list[str]:
    """Return the words of letters and digits, such as the number of an aircraft: they have no near misses."""
    return [word for word in _WORDS.findall(text) if not word.isalpha() and not word.isdigit()]


def _digits(text: str) -> str:
    return "".join(letter for letter in text if letter.isdigit())
