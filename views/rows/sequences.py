"""Rows cut into sequences: runs of rows of one group in the order of time."""

import math
from collections.abc import Sequence
from functools import cached_property
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from foldstore.views.instant import parse_duration
from foldstore.views.ordering.keys import Words, derive_key, permutation
from foldstore.views.ordering.shard import Shard
from foldstore.views.rows.ordered_rows import OrderedIndex
from foldstore.views.rows.rows import Batches, Change, Index, Ranks, Rows, pick_shard, stream_index
from foldstore.views.splits.hashing import hash_keys
from foldstore.views.steps.order import Sequences
from foldstore.views.time_column import to_nanoseconds

# No two words of 64 bits lie further apart.
_FARTHEST = 2**64 - 1
_NO_WORDS = np.empty(0, np.uint64)


class SequenceRows:
    """Sequences of rows, one after the other, or in a random order.

    Parameters
    ----------
    before : Rows
        The rows.
    step : Sequences
        How they are cut.
    seed : int, optional
        Of the order of the sequences; the rows of each stay in theirs.
    """

    def __init__(self, before: Rows, step: Sequences, seed: int | None = None) -> None:
        self.before = before
        self.step = step
        self._seed = seed

    @property
    def arrow_schema(self) -> pa.Schema:
        """Names and types of the columns."""
        return self.step.arrow_schema

    @property
    def is_endless(self) -> bool:
        """They end."""
        return False

    def shuffled(self, seed: int) -> "SequenceRows":
        """Return the same sequences in a random order."""
        return SequenceRows(self.before, self.step, seed)

    @property
    def change(self) -> Change:
        """Another epoch has the sequences in another order, where that is random."""
        return Change.NOTHING if self._seed is None else Change.ORDER

    def count(self, epoch: int = 0) -> int:  # noqa: ARG002
        """Count the rows that are in a sequence."""
        return len(self._cut[0])

    def stream(self, columns: Sequence[str], *, epoch: int = 0, start: int = 0, shard: Shard | None = None) -> Batches:
        """Yield the rows, sequence after sequence."""
        return pick_shard(stream_index(self.index(epoch), columns, start), shard, start)

    def index(self, epoch: int = 0) -> Index:
        """Return the index of the rows."""
        return self._index if not epoch or self._seed is None else self._make_index(epoch)

    def until(self, rows: int, epoch: int = 0) -> Rows:  # noqa: ARG002
        """They end."""
        return self

    @cached_property
    def _index(self) -> OrderedIndex:
        return self._make_index(0)

    @cached_property
    def _cut(self) -> tuple[Ranks, NDArray[np.int64]]:
        return cut_sequences(self.before.index(), self.step)

    def _make_index(self, epoch: int) -> OrderedIndex:
        ranks, numbers = self._cut
        if self._seed is not None and len(ranks):
            sizes = np.bincount(numbers)
            order = permutation(len(sizes), derive_key(self._seed, "sequences", epoch))
            starts = (np.cumsum(sizes) - sizes)[order]
            ends = np.cumsum(sizes[order])
            places = np.arange(len(ranks)) + np.repeat(starts - (ends - sizes[order]), sizes[order])
            ranks, numbers = ranks[places], numbers[places]
        return OrderedIndex(self.before.index(), ranks, (self.step.into, numbers) if self.step.into else None)


def cut_sequences(index: Index, step: Sequences) -> tuple[Ranks, NDArray[np.int64]]:
    """Return the ranks of the rows that are in a sequence, in order, and the number of the sequence of each.

    Rows without a group or a time are in none. Groups come in the order of their first rows.
    """
    groups, times, known = _read(index, step)
    ranks = np.flatnonzero(known)
    _, first, codes = np.unique(groups[known], return_index=True, return_inverse=True)
    by_appearance = np.empty(len(first), np.int64)
    by_appearance[np.argsort(first)] = np.arange(len(first))
    codes, times = by_appearance[codes], times[known]
    order = np.lexsort((times, codes))
    ranks, codes, times = ranks[order], codes[order], times[order]
    breaks = np.diff(codes, prepend=-1) != 0
    if step.max_gap is not None:
        gap = parse_duration(step.max_gap) if isinstance(step.max_gap, str) else step.max_gap
        breaks[1:] |= _distances(times[1:], times[:-1]) > _as_distance(gap, times)
    kept, numbers = _cut_runs(breaks, times, step)
    ranks, numbers = ranks[kept], numbers[kept]
    _, numbers, sizes = np.unique(numbers, return_inverse=True, return_counts=True)
    long = (sizes >= step.min_length)[numbers]
    _, numbers = np.unique(numbers[long], return_inverse=True)
    return ranks[long], numbers.astype(np.int64, copy=False)


def _cut_runs(breaks: NDArray[np.bool_], times: NDArray[np.generic], step: Sequences) -> tuple[
    NDArray[np.bool_], NDArray[np.int64]
]:  # fmt: skip
    """Return which rows stay, and a number that ascends from sequence to sequence.

    Spans are counted from the first row of a run of rows, be they rows or time.
    """
    run = np.cumsum(breaks) - 1
    starts = np.flatnonzero(breaks)
    everything = np.ones(len(run), np.bool_)
    if step.length is None and step.jump is None:
        return everything, run
    firsts = starts[run] if len(run) else run
    if isinstance(step.length or step.jump, str):
        since = _distances(times, times[firsts])
        spans = [parse_duration(each) if isinstance(each, str) else 0 for each in (step.length, step.jump)]
    else:
        since = (np.arange(len(run)) - firsts).astype(np.uint64)
        spans = [each if isinstance(each, int) else 0 for each in (step.length, step.jump)]
    if step.length is None:
        # Thinned out: the first row of each span stays, and the run stays one sequence.
        window = since // np.uint64(min(spans[1] if isinstance(step.jump, str) else spans[1] + 1, _FARTHEST))
        return _changes(window) | breaks, run
    window, inside = np.divmod(since, np.uint64(min(spans[0] + spans[1], _FARTHEST)))
    return inside < min(spans[0], _FARTHEST), np.cumsum(breaks | _changes(window))


def _changes(values: NDArray[np.uint64]) -> NDArray[np.bool_]:
    """Return which values differ from the one before; the first does."""
    return np.concatenate([np.ones(min(1, len(values)), np.bool_), values[1:] != values[:-1]])


def _distances(later: NDArray[Any], earlier: NDArray[Any]) -> NDArray[Any]:
    """Return how far times lie behind others; of whole numbers exactly, whatever they are."""
    if later.dtype.kind == "f":
        with np.errstate(invalid="ignore", over="ignore"):  # infinity is as far from itself as it gets: nowhere
            return np.asarray(later - earlier)
    # Unsigned, the difference of any two words of 64 bits is right where it is not negative.
    return np.asarray(later.view(np.uint64) - earlier.view(np.uint64))


def _as_distance(gap: float, times: NDArray[Any]) -> Any:
    """Return a distance in the type of those of some times."""
    return np.float64(gap) if times.dtype.kind == "f" else np.uint64(min(math.floor(gap), _FARTHEST))


def _read(index: Index, step: Sequences) -> tuple[Words, NDArray[np.generic], NDArray[np.bool_]]:
    """Return a hash of the group and the time of each row, and which rows have both."""
    groups, known = [_NO_WORDS], [np.empty(0, np.bool_)]
    times: list[NDArray[np.generic]] = [_read_times(pa.array([], index.arrow_schema.field(step.order_by).type))]
    for batch in stream_index(index, list(dict.fromkeys([*step.group_by, step.order_by]))):
        columns = [batch.column(name) for name in step.group_by]
        groups.append(hash_keys(columns, "sequence"))
        moment = batch.column(step.order_by)
        here = moment.is_valid().to_numpy(zero_copy_only=False)
        for column in columns:
            here = here & column.is_valid().to_numpy(zero_copy_only=False)
        values = _read_times(moment)
        known.append(here & (values == values))  # noqa: PLR0124  # NaN is no time
        times.append(values)
    return np.concatenate(groups), np.concatenate(times), np.concatenate(known)


def _read_times(column: pa.Array) -> NDArray[np.generic]:
    if pa.types.is_timestamp(column.type) or pa.types.is_date(column.type):
        return to_nanoseconds(column).values
    if pa.types.is_floating(column.type):
        floats: NDArray[np.generic] = column.cast(pa.float64()).fill_null(0.0).to_numpy(zero_copy_only=False)
        return floats
    kind = pa.uint64() if pa.types.is_unsigned_integer(column.type) else pa.int64()
    whole: NDArray[np.generic] = column.cast(kind).fill_null(0).to_numpy(zero_copy_only=False)
    return whole
