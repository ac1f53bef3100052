"""Passes and schedules: each row once a pass, each part in its share, and any place reached by itself."""

import math
from fractions import Fraction

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from foldstore.views.ordering.passes import BlockPass, Passes
from foldstore.views.ordering.schedule import Schedule, arrange, share_out

COUNTS = st.lists(st.integers(0, 200), min_size=1, max_size=5).filter(sum)


def _rows(ranges):
    return [row for first, last in ranges for row in range(first, last)]


def _line(passes, start, stop):
    return _rows(run for _, *run in passes.ranges(start, stop))


@given(rows=st.integers(0, 500), block=st.integers(1, 60), key=st.one_of(st.none(), st.integers(0, 2**64 - 1)))
def test_a_pass_takes_each_row_once(rows, block, key):
    order = _rows(BlockPass(rows, block, key).ranges(0, rows))
    assert sorted(order) == list(range(rows))
    if key is None:
        assert order == list(range(rows))


@given(
    rows=st.integers(1, 300), block=st.integers(1, 40), seed=st.one_of(st.none(), st.integers(0, 99)), data=st.data()
)
def test_passes_can_be_begun_anywhere(rows, block, seed, data):
    start = data.draw(st.integers(0, 3 * rows))
    stop = data.draw(st.integers(start, 4 * rows))
    whole = _line(Passes(rows, block, seed, part=1), 0, 4 * rows)
    assert _line(Passes(rows, block, seed, part=1), start, stop) == whole[start:stop]
    for turn in range(4):
        assert sorted(whole[turn * rows : (turn + 1) * rows]) == list(range(rows))


@given(sizes=st.lists(st.integers(0, 30), min_size=1, max_size=6).filter(sum), block=st.integers(1, 8), data=st.data())
def test_passes_may_have_different_sizes(sizes, block, data):
    passes = Passes(sizes.__getitem__, block, None, part=0)
    whole = [(turn, row) for turn, size in enumerate(sizes) for row in range(size)]
    start = data.draw(st.integers(0, len(whole)))
    stop = data.draw(st.integers(start, len(whole)))
    found = [(turn, row) for turn, first, last in passes.ranges(start, stop) for row in range(first, last)]
    assert found == whole[start:stop]
    assert [passes.start(turn) for turn in range(len(sizes) + 1)] == [sum(sizes[:n]) for n in range(len(sizes) + 1)]


def test_blocks_are_cut_elsewhere_in_each_pass():
    firsts = {min(first for first, _ in BlockPass(1_000, 100, key).ranges(0, 1_000) if first) for key in range(50)}
    assert len(firsts) > 20


@given(counts=COUNTS, buffer_rows=st.integers(1, 64))
def test_fillings_have_all_rows_of_all_parts_in_turn(counts, buffer_rows):
    schedule = Schedule(counts, buffer_rows)
    fillings = [schedule.filling(number) for number in range(schedule.num_fillings)]
    for part, count in enumerate(counts):
        ranges = [filling.parts[part] for filling in fillings]
        assert _rows(ranges) == list(range(count))
    assert [filling.num_rows for filling in fillings[:-1]] == [buffer_rows] * (len(fillings) - 1)
    assert [filling.start for filling in fillings] == [n * buffer_rows for n in range(len(fillings))]
    assert all(schedule.find(filling.start + filling.num_rows - 1) == filling.number for filling in fillings)


@given(
    shares=st.lists(st.integers(1, 30), min_size=1, max_size=5), times=st.integers(1, 40), buffer_rows=st.integers(1, 9)
)
def test_any_filling_can_be_found_first(shares, times, buffer_rows):
    counts = [share * times for share in shares]
    in_turn = Schedule(counts, buffer_rows)
    found = [in_turn.filling(number) for number in range(in_turn.num_fillings)]
    for number in (in_turn.num_fillings - 1, in_turn.num_fillings // 2):
        assert Schedule(counts, buffer_rows).filling(number) == found[number]
    # A longer epoch of the same proportions begins in the same way, and repeats itself.
    longer = Schedule([count * 10**9 for count in counts], buffer_rows)
    assert longer.filling(0).parts == found[0].parts or len(found) == 1
    rows = math.lcm(sum(shares), buffer_rows)
    later = longer.filling(10**6 * rows // buffer_rows)
    assert [first for first, _ in later.parts] == [10**6 * rows * share // sum(shares) for share in shares]


@given(counts=COUNTS, buffer_rows=st.integers(1, 64))
def test_no_part_is_a_row_ahead_of_its_share_or_behind_it(counts, buffer_rows):
    schedule = Schedule(counts, buffer_rows)
    for number in range(schedule.num_fillings):
        filling = schedule.filling(number)
        done = filling.start + filling.num_rows
        for count, (_, taken) in zip(counts, filling.parts, strict=True):
            assert abs(taken - Fraction(count * done, schedule.num_rows)) < 1


@given(counts=COUNTS, seed=st.one_of(st.none(), st.integers(0, 9)), epoch=st.integers(0, 3))
def test_a_filling_is_handed_out_row_by_row(counts, seed, epoch):
    filling = Schedule(counts, sum(counts)).filling(0)
    assert sorted(arrange(filling, seed, epoch).tolist()) == list(range(sum(counts)))


@given(counts=st.lists(st.integers(1, 60), min_size=2, max_size=4))
def test_parts_that_are_not_shuffled_take_turns_evenly(counts):
    filling = Schedule(counts, sum(counts)).filling(0)
    owners = np.repeat(np.arange(len(counts)), counts)[arrange(filling, None, 0)]
    for part, count in enumerate(counts):
        for done in range(1, len(owners) + 1):
            share = count * done / len(owners)
            assert abs(np.count_nonzero(owners[:done] == part) - share) < 2


def test_counts_beyond_what_64_bits_multiply_are_exact():
    counts = [3 * 10**12, 10**12]
    schedule = Schedule(counts, 10**12)
    assert [schedule.filling(n).parts[1] for n in range(4)] == [
        (n * 10**12 // 4, (n + 1) * 10**12 // 4) for n in range(4)
    ]


@given(total=st.integers(0, 10_000), weights=st.lists(st.integers(1, 50), min_size=1, max_size=6))
def test_shares_add_up_and_are_within_a_row(total, weights):
    fractions = [Fraction(weight, sum(weights)) for weight in weights]
    shares = share_out(total, fractions)
    assert sum(shares) == total
    assert all(abs(share - total * fraction) < 1 for share, fraction in zip(shares, fractions, strict=True))
