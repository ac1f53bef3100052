"""Samples, sorted rows, shuffles, sequences and repetitions: what each promises about which rows come when."""

import math

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from foldstore.errors import ColumnNotFoundError, UsageError
from foldstore.views.combination import make_blend
from foldstore.views.rows import ordered_rows
from foldstore.views.view import View
from tests.views.table_source import TableSource


def _view(engine, **columns):
    return View(TableSource(pa.table(columns)), engine=engine)


def _numbers(view, name="n"):
    return view.to_arrow()[name].to_pylist()


class TestSample:
    @given(rows=st.integers(0, 300), wanted=st.integers(0, 320), seed=st.integers(0, 2**64 - 1))
    def test_it_has_exactly_so_many_rows_each_once_in_their_order(self, engine, rows, wanted, seed):
        found = _numbers(_view(engine, n=np.arange(rows)).sample(rows=wanted, seed=seed))
        assert len(found) == min(rows, wanted)
        assert found == sorted(set(found))

    @pytest.mark.parametrize(("fraction", "rows"), [(0.1, 100), ("1/3", 333), (0, 0), (1.0, 1000), (0.0005, 1)])
    def test_a_fraction_is_rounded_to_whole_rows(self, engine, fraction, rows):
        view = _view(engine, n=np.arange(1000)).sample(fraction)
        assert view.count() == len(_numbers(view)) == rows

    def test_every_row_is_chosen_equally_often(self, engine):
        view = _view(engine, n=np.arange(50))
        counts = np.bincount(np.concatenate([_numbers(view.sample(rows=10, seed=seed)) for seed in range(1000)]))
        # 200 expected of each; the sum of squares over 50 rows is near chi-squared with 49 degrees of freedom.
        assert ((counts - 200) ** 2 / (200 * 0.8)).sum() < 100

    @given(rows=st.integers(0, 300), wanted=st.integers(0, 320))
    def test_it_is_the_same_whether_hashes_are_kept_or_computed_again(self, engine, rows, wanted):
        view = _view(engine, n=np.arange(rows)).sample(rows=wanted, seed=7)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(ordered_rows, "_MOST_KEPT", -1)
            again = _numbers(view.select("n"))
        assert _numbers(view) == again

    def test_another_seed_is_another_sample(self, engine):
        view = _view(engine, n=np.arange(1000))
        assert _numbers(view.sample(rows=100, seed=1)) != _numbers(view.sample(rows=100, seed=2))

    def test_rows_that_come_later_change_a_sample_little(self, engine):
        before = set(_numbers(_view(engine, n=np.arange(10_000)).sample(0.1, seed=3)))
        after = set(_numbers(_view(engine, n=np.arange(11_000)).sample(0.1, seed=3)))
        assert len(before - after) < 50

    @given(
        values=st.lists(st.sampled_from([None, "a", "b", "c"]), max_size=120), wanted=st.integers(0, 120),
        seed=st.integers(0, 9),
    )  # fmt: skip
    def test_strata_keep_their_shares_exactly(self, engine, values, wanted, seed):
        view = _view(engine, s=pa.array(values, pa.string()))
        found = _numbers(view.sample(rows=wanted, seed=seed, stratify="s"), "s")
        total = min(wanted, len(values))
        assert len(found) == total
        for stratum in set(values):
            assert abs(found.count(stratum) - total * values.count(stratum) / len(values)) < 1

    def test_elements_of_one_row_are_sampled_apart(self, engine):
        view = _view(engine, v=[list(range(1000))]).explode("v").sample(rows=100, seed=1)
        found = _numbers(view, "v")
        assert len(set(found)) == 100
        assert max(found) - min(found) > 800

    @pytest.mark.parametrize("how", [{}, {"fraction": 0.1, "rows": 5}, {"fraction": -0.1}, {"fraction": 1.5},
                                     {"fraction": math.nan}, {"fraction": "many"}, {"rows": -1}, {"rows": 1.5},
                                     {"rows": 5, "seed": -1}, {"rows": 5, "seed": True}])  # fmt: skip
    def test_what_is_no_size_or_seed_is_refused(self, engine, how):
        with pytest.raises(UsageError):
            _view(engine, n=[1]).sample(**how)


class TestOrderBy:
    def test_null_comes_last_and_nan_before_it_both_ways(self, engine):
        view = _view(engine, x=[None, 2.0, math.nan, -1.0])
        assert repr(_numbers(view.order_by("x"), "x")) == "[-1.0, 2.0, nan, None]"
        assert repr(_numbers(view.order_by("x", descending=True), "x")) == "[2.0, -1.0, nan, None]"

    def test_equal_rows_stay_in_their_order(self, engine):
        view = _view(engine, k=["b", "a", "b", "a"], n=[0, 1, 2, 3])
        assert _numbers(view.order_by("k")) == [1, 3, 0, 2]
        assert _numbers(view.order_by("k", "n", descending=["n"])) == [3, 1, 2, 0]

    def test_dictionaries_are_sorted_by_their_values(self, engine):
        column = pa.array(["b", "c", "a", None]).dictionary_encode()
        assert _numbers(_view(engine, s=column).order_by("s"), "s") == ["a", "b", "c", None]

    @pytest.mark.parametrize(
        ("build", "error", "says"),
        [
            (lambda v: v.order_by(), UsageError, "at least one"),
            (lambda v: v.order_by("m"), ColumnNotFoundError, "no column 'm'"),
            (lambda v: v.order_by("n", "n"), UsageError, "twice"),
            (lambda v: v.order_by("n", descending=["v"]), UsageError, "not sorted by"),
            (lambda v: v.order_by("v"), UsageError, "cannot be sorted"),
        ],
    )
    def test_what_cannot_be_sorted_by_is_refused(self, engine, build, error, says):
        with pytest.raises(error, match=says):
            build(_view(engine, n=[1], v=[[1]]))


class TestShuffle:
    @given(
        rows=st.integers(0, 500),
        seed=st.integers(0, 2**64 - 1),
        buffer_rows=st.integers(1, 90),
        blocks=st.integers(1, 9),
    )
    def test_a_permutation_is_a_permutation(self, engine, rows, seed, buffer_rows, blocks):
        view = _view(engine, n=np.arange(rows)).shuffle(seed, buffer_rows=buffer_rows, blocks=blocks)
        assert sorted(_numbers(view)) == list(range(rows))

    def test_each_epoch_has_an_order_of_its_own_and_the_same_one_every_time(self, engine):
        view = _view(engine, n=np.arange(1000)).shuffle(5)
        epochs = [
            _numbers(View(view._inputs, engine=engine).shuffle(5).repeat(3).limit(1000 * (e + 1)))[-1000:]
            for e in range(3)
        ]
        assert epochs[0] == _numbers(view)
        assert len({tuple(epoch) for epoch in epochs}) == 3
        assert all(sorted(epoch) == list(range(1000)) for epoch in epochs)

    def test_rows_of_the_whole_view_are_mixed(self, engine):
        view = _view(engine, n=np.arange(100_000)).shuffle(1, buffer_rows=8_192)
        found = np.array(_numbers(view))
        means = found[:98_304].reshape(-1, 8_192).mean(axis=1)
        # A buffer of 16 runs of rows from anywhere: its mean has a standard deviation of 28,900 / 4.
        assert np.abs(means - 50_000).max() < 4 * 7_200
        assert np.corrcoef(found[:-1], found[1:])[0, 1] < 0.2

    def test_the_last_shuffle_counts(self, engine):
        view = _view(engine, n=np.arange(300))
        assert _numbers(view.shuffle(1).shuffle(2)) == _numbers(view.shuffle(2))
        assert _numbers(view.shuffle(1).select(n="n").shuffle(2)) == _numbers(view.shuffle(2))

    def test_what_is_limited_before_is_shuffled_after(self, engine):
        view = _view(engine, n=np.arange(300)).shuffle(1).limit(20)
        assert sorted(_numbers(view.shuffle(2))) == sorted(_numbers(view))

    @pytest.mark.parametrize(
        "how", [{"seed": -1}, {"seed": 1.5}, {"buffer_rows": 0}, {"buffer_rows": True}, {"blocks": 0}]
    )
    def test_what_is_no_number_is_refused(self, engine, how):
        with pytest.raises(UsageError):
            _view(engine, n=[1]).shuffle(**how)


DRIVES = {
    "car": ["a", "b", "a", "a", "b", "a", None, "a"],
    "t": [0, 0, 1, 9, 1, 10, 5, None],
    "n": [0, 1, 2, 3, 4, 5, 6, 7],
}


class TestSequences:
    def _cut(self, engine, **how):
        view = _view(engine, **DRIVES).sequences(["car"], "t", **how)
        found = {}
        for row in view.to_arrow().to_pylist():
            found.setdefault(row["sequence"], []).append(row["n"])
        return list(found.values())

    def test_rows_come_group_by_group_in_the_order_of_time(self, engine):
        assert self._cut(engine) == [[0, 2, 3, 5], [1, 4]]

    def test_a_gap_begins_another_sequence(self, engine):
        assert self._cut(engine, max_gap=5) == [[0, 2], [3, 5], [1, 4]]

    def test_a_length_in_rows_cuts(self, engine):
        assert self._cut(engine, length=3) == [[0, 2, 3], [5], [1, 4]]
        assert self._cut(engine, length=3, min_length=2) == [[0, 2, 3], [1, 4]]

    def test_a_jump_leaves_rows_out_behind_each_sequence(self, engine):
        assert self._cut(engine, length=1, jump=1) == [[0], [3], [1]]

    def test_a_jump_alone_thins_out(self, engine):
        assert self._cut(engine, jump=1) == [[0, 3], [1]]

    def test_spans_of_time_are_counted_from_the_first_row(self, engine):
        moments = pa.array([0, 50, 70, 130, 200], pa.timestamp("s"))
        view = _view(engine, k=["x"] * 5, t=moments, n=[0, 1, 2, 3, 4])
        cut = view.sequences(["k"], "t", length="1m", into=None)
        assert _numbers(cut) == [0, 1, 2, 3, 4]
        numbered = view.sequences(["k"], "t", length="1m", jump="1m").to_arrow()
        assert numbered["n"].to_pylist() == [0, 1, 3]
        assert numbered["sequence"].to_pylist() == [0, 0, 1]
        assert _numbers(view.sequences(["k"], "t", jump="2m")) == [0, 3]

    def test_a_shuffle_keeps_sequences_whole(self, engine):
        rows = 600
        view = _view(engine, k=np.arange(rows) % 40, t=np.arange(rows), n=np.arange(rows)).sequences(
            ["k"], "t", length=5
        )
        for seed in range(3):
            shuffled = view.shuffle(seed).to_arrow()
            numbers, found = np.array(shuffled["sequence"]), np.array(shuffled["n"])
            assert sorted(found.tolist()) == list(range(rows))
            starts = np.flatnonzero(np.diff(numbers, prepend=-1))
            assert len(starts) == len(np.unique(numbers))
            assert all((np.diff(part) == 40).all() for part in np.split(found, starts[1:]))
        assert numbers.tolist() != sorted(numbers.tolist())

    @pytest.mark.parametrize(
        ("times", "how", "numbers"),
        [
            (pa.array([-(2**63), 0, 2**63 - 1]), {"max_gap": 5}, [0, 1, 2]),
            (pa.array([-(2**63), 2**63 - 1]), {"max_gap": 2**64 - 1}, [0, 0]),
            (pa.array([-(2**63), 2**63 - 1]), {"max_gap": 2**64 - 2}, [0, 1]),
            (pa.array([0, 1, 2**64 - 1], pa.uint64()), {"max_gap": 1.5}, [0, 0, 1]),
            (pa.array([0, 2]), {"max_gap": 1.5}, [0, 1]),
            (pa.array([-math.inf, 0.0, math.inf, math.inf]), {"max_gap": 1.0}, [0, 1, 2, 2]),
            (pa.array([0, 1]), {"length": 2**70}, [0, 0]),
            (pa.array([0, 1]), {"jump": 2**70}, [0]),
            (pa.array([0, 1]), {"length": 2**62, "jump": 2**62}, [0, 0]),
            (pa.array([-9 * 10**18, 9 * 10**18], pa.timestamp("ns")), {"length": "1h"}, [0, 1]),
            (pa.array([-9 * 10**18, 9 * 10**18], pa.timestamp("ns")), {"max_gap": "1h"}, [0, 1]),
        ],
    )
    @pytest.mark.filterwarnings("error")
    def test_the_farthest_times_and_spans_are_cut_exactly(self, engine, times, how, numbers):
        view = _view(engine, k=["x"] * len(times), t=times).sequences(["k"], "t", **how)
        assert _numbers(view, "sequence") == numbers

    def test_a_shuffle_keeps_sequences_whole_behind_conditions_too(self, engine):
        view = _view(engine, k=np.arange(600) % 40, n=np.arange(600)).sequences(["k"], "n", length=5)
        shuffled = view.where("n % 7 > 0").select("n", "sequence").shuffle(2)
        assert sorted(_numbers(shuffled)) == [n for n in range(600) if n % 7]
        numbers = np.array(_numbers(shuffled, "sequence"))
        starts = np.flatnonzero(np.diff(numbers, prepend=-1))
        assert len(starts) == len(np.unique(numbers))
        assert numbers.tolist() != sorted(numbers.tolist())

    @pytest.mark.parametrize(
        ("how", "says"),
        [
            ({"group_by": []}, "has in common"),
            ({"order_by": "car"}, "no order of time"),
            ({"length": 0}, "no number of rows"),
            ({"length": "10m"}, "no number of rows"),
            ({"max_gap": -1}, "no distance"),
            ({"max_gap": math.inf}, "no distance"),
            ({"min_length": 0}, "no number from 1"),
            ({"into": "n"}, "there already"),
        ],
    )
    def test_what_cannot_be_cut_by_is_refused(self, engine, how, says):
        given_how = {"group_by": ["car"], "order_by": "t", **how}
        with pytest.raises(UsageError, match=says):
            _view(engine, **DRIVES).sequences(given_how.pop("group_by"), given_how.pop("order_by"), **given_how)

    def test_rows_and_time_are_not_mixed(self, engine):
        view = _view(engine, k=["x"], t=pa.array([0], pa.timestamp("s")))
        with pytest.raises(UsageError, match="both rows, or both spans"):
            view.sequences(["k"], "t", length=3, jump="5m")


class TestRepeat:
    def test_epochs_follow_each_other(self, engine):
        view = _view(engine, n=[1, 2]).repeat(3)
        assert _numbers(view) == [1, 2] * 3
        assert view.count() == 6

    def test_an_endless_view_is_cut_or_read_by_batches(self, engine):
        view = _view(engine, n=[1, 2]).repeat()
        assert _numbers(view.limit(5)) == [1, 2, 1, 2, 1]
        assert view.limit(5).count() == 5
        batches = view.to_batches()
        assert [next(batches).num_rows for _ in range(10)] == [2] * 10

    @pytest.mark.parametrize("end", ["to_arrow", "count", "to_polars", "to_numpy"])
    def test_a_form_that_holds_all_rows_of_an_endless_view_is_refused(self, engine, end):
        with pytest.raises(UsageError, match="never ends") as caught:
            getattr(_view(engine, n=[1]).repeat(), end)()
        assert caught.value.code == "endless-view"

    def test_nothing_repeated_is_nothing(self, engine):
        view = _view(engine, n=pa.array([], pa.int64())).repeat()
        assert list(view.to_batches()) == []

    def test_nothing_repeated_without_end_is_nothing_behind_a_limit_too(self, engine):
        view = _view(engine, n=[1, 2]).where("n < 0").repeat().limit(10)
        assert (view.count(), len(view.loader(2)), _numbers(view)) == (0, 0, [])
        never = _view(engine, n=[1, 2]).repeat().where("n < 0").limit(10)
        assert (never.count(), _numbers(never)) == (0, [])

    @pytest.mark.parametrize("repeated", [lambda v: v.repeat(2), lambda v: v.repeat().limit(25)])
    @pytest.mark.parametrize(
        "order", [lambda v: v.order_by("n"), lambda v: v.shuffle(1), lambda v: v.sample(rows=30), lambda v: v.limit(28)]
    )
    def test_repeated_rows_of_an_input_are_all_there(self, engine, repeated, order):
        view = _view(engine, n=np.arange(10))
        parts = repeated(view).union(view)
        ordered = order(parts)
        found = _numbers(ordered)
        assert (
            len(found)
            == ordered.count()
            == {"limit": 28, "sample": 30}.get(next(iter(ordered.spec()["steps"][-1])), parts.count())
        )
        counts = np.bincount(found)
        assert counts.max() <= np.bincount(_numbers(parts)).max()

    @pytest.mark.parametrize(
        "build",
        [
            lambda v: v.repeat(3).where("n % 3 = 1"),
            lambda v: v.repeat(3).limit(25),
            lambda v: v.repeat().limit(25),
            lambda v: v.shuffle(2).repeat(3).where("n % 3 = 1"),
            lambda v: v.shuffle(2).limit(4).where("n % 2 = 0").repeat(5),
            lambda v: v.repeat(2).union(v.repeat(), v).limit(40),
        ],
    )
    def test_a_repetition_is_resumed_anywhere(self, engine, build):
        view = build(_view(engine, n=np.arange(10)))
        whole = _numbers(view)
        for start in range(len(whole) + 1):
            loader = view.loader(4)
            loader.load_state_dict({**loader.state_dict(), "position": start})
            assert [n for batch in loader for n in batch["n"].tolist()] == whole[start:]

    def test_an_endless_input_is_resumed(self, engine):
        view = _view(engine, n=np.arange(10))
        both = view.repeat().union(view)
        loader = both.loader(4)
        loader.load_state_dict({**loader.state_dict(), "position": 15})
        assert next(iter(loader))["n"].tolist() == [5, 6, 7, 8]

    def test_shuffled_inputs_of_a_blend_come_in_a_new_order_each_time(self, engine):
        view = _view(engine, n=np.arange(100))
        parts = [view.shuffle(1), view.shuffle(2).select(n="n + 1000")]
        found = _numbers(View(make_blend(parts, None, "all"), engine=engine).repeat(2))
        assert sorted(found[:200]) == sorted(found[200:])
        assert found[:200] != found[200:]
        assert [n for n in found if n < 1000] == _numbers(view.shuffle(1).repeat(2))

    def test_the_rows_of_a_shuffle_of_other_rows_are_those_of_its_epoch(self, engine):
        inner = _view(engine, n=np.arange(100)).shuffle(1).limit(10).where("n % 3 = 0")
        shuffled = inner.shuffle(2)
        for epoch in range(5):
            one, two = (
                [n for batch in view.rows.stream(["n"], epoch=epoch) for n in batch.column(0).to_pylist()]
                for view in (inner, shuffled)
            )
            assert sorted(one) == sorted(two)
            assert shuffled.rows.count(epoch) == len(one)

    @pytest.mark.parametrize(
        "build",
        [
            lambda v: v.repeat(2).shuffle(1),
            lambda v: v.repeat().sample(0.5),
            lambda v: v.repeat(2).order_by("n"),
            lambda v: v.repeat(2).repeat(2),
        ],
    )
    def test_orders_come_before_repetitions(self, engine, build):
        with pytest.raises(UsageError, match="comes before repeat"):
            build(_view(engine, n=[1, 2]))

    def test_values_of_an_endless_view_are_not_looked_up(self, engine):
        view = _view(engine, g=["a", "b"]).repeat()
        for look in (lambda: view.balance("g"), lambda: view.enumerate("g")):
            with pytest.raises(UsageError, match="never ends"):
                look()
        assert view.enumerate("g", {"a": 0}).limit(3).to_arrow()["g"].to_pylist() == [0, -1, 0]

    @pytest.mark.parametrize("epochs", [0, -1, 1.5, True, "2"])
    def test_what_is_no_number_of_epochs_is_refused(self, engine, epochs):
        with pytest.raises(UsageError, match="number of epochs"):
            _view(engine, n=[1]).repeat(epochs)
