"""Which values, how often: exact counts while the values are few, then a Misra-Gries sketch."""

from dataclasses import dataclass
from typing import Any, Final, TypeAlias

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from foldstore.datastore.statistics.grid import Ints, join_equal

EXACT_LIMIT: Final = 10_000
COUNTERS: Final = 4_096

# Numbers as numpy, text and bytes as an Arrow array of a large type.
Values: TypeAlias = NDArray[Any] | pa.Array


@dataclass(frozen=True, slots=True, eq=False)
class ValueCounts:
    """Values and their counts, ascending by value.

    Exact up to 10,000 different values. Beyond, the 4,096 counters of Misra and Gries (1982), merged
    after Agarwal et al. (2012, "Mergeable summaries"): add, then take the 4,097-th greatest count off
    all. Whether counts are exact depends on the data alone; a sketch's counts depend on the cut too,
    and stay out of a profile's id.

    Attributes
    ----------
    values : ndarray or pa.Array
    counts : ndarray of int64
    exact : bool
    missed : int
        By how much a sketch's counts may fall short of the truth; 0 when exact.
    """

    values: Values
    counts: Ints
    exact: bool = True
    missed: int = 0

    def __len__(self) -> int:
        return len(self.counts)

    @classmethod
    def of(cls, values: Values, counts: Ints) -> "ValueCounts":
        """Hold different values with their counts, in the order given, which should ascend in the end."""
        return _settle(values, counts, exact=True, missed=0)

    def merge(self, other: "ValueCounts") -> "ValueCounts":
        """Add the counts of two."""
        values, counts = _add(self.values, self.counts, other.values, other.counts)
        return _settle(values, counts, exact=self.exact and other.exact, missed=self.missed + other.missed)

    def top(self, n: int) -> list[tuple[Any, int]]:
        """Return the n most frequent values with their counts; equal counts in order of value."""
        order = np.argsort(-self.counts, kind="stable")[:n]
        values = self.values.take(pa.array(order)) if isinstance(self.values, pa.Array) else self.values[order]
        plain = values.to_pylist() if isinstance(values, pa.Array) else values.tolist()
        return list(zip(plain, self.counts[order].tolist(), strict=True))


def _settle(values: Values, counts: Ints, *, exact: bool, missed: int) -> ValueCounts:
    if exact and len(counts) <= EXACT_LIMIT:
        return ValueCounts(values, counts)
    if len(counts) <= COUNTERS:
        return ValueCounts(values, counts, exact=False, missed=missed)
    cut = int(np.partition(counts, len(counts) - COUNTERS - 1)[len(counts) - COUNTERS - 1])
    kept = np.flatnonzero(counts > cut)
    values = values.take(pa.array(kept)) if isinstance(values, pa.Array) else values[kept]
    return ValueCounts(values, counts[kept] - cut, exact=False, missed=missed + cut)


def _add(a: Values, a_counts: Ints, b: Values, b_counts: Ints) -> tuple[Values, Ints]:
    counts = np.concatenate([a_counts, b_counts])
    if isinstance(a, pa.Array):
        both = pa.concat_arrays([a, b])
        order = pc.array_sort_indices(both).to_numpy()
        encoded = both.take(pa.array(order)).dictionary_encode()
        # Codes are given by first occurrence: over sorted values they ascend with them.
        _, summed = join_equal(encoded.indices.to_numpy(), counts[order])
        return encoded.dictionary, summed
    numbers = np.concatenate([a, b])
    order = np.argsort(numbers, kind="stable")
    return join_equal(numbers[order], counts[order])
