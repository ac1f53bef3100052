"""Several views as one: unions, blends in exact proportions, rules for single inputs."""

import math
from fractions import Fraction

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

import foldstore
from foldstore.errors import UsageError
from foldstore.views.combination import make_blend, make_union
from foldstore.views.rule import Rule
from foldstore.views.view import View
from tests.views.table_source import TableSource


def _view(engine, address, **columns):
    source = TableSource(pa.table(columns), address=address, version_id=f"v-{address}")
    return View(source, engine=engine, opened_as=address)


def _rows(view, name="n"):
    return view.to_arrow()[name].to_pylist()


class TestUnion:
    def test_rows_come_one_view_after_the_other(self, engine):
        one, two = _view(engine, "a@1", n=[1, 2]), _view(engine, "b@2", n=[3])
        both = one.union(two.where("n > 0"))
        assert _rows(both) == [1, 2, 3]
        assert both.counts() == {"a@1": 2, "b@2": 1}
        assert repr(both) == "<View of a@1 and b@2>"

    def test_columns_are_the_same_the_common_or_all(self, engine):
        one, two = _view(engine, "a@1", n=[1], x=[0.5]), _view(engine, "b@2", n=[2], s=["t"])
        with pytest.raises(UsageError, match="different columns: s, x") as caught:
            one.union(two)
        assert caught.value.code == "columns-differ"
        assert one.union(two, columns="common").to_arrow().to_pydict() == {"n": [1, 2]}
        every = one.union(two, columns="all").to_arrow().to_pydict()
        assert every == {"n": [1, 2], "x": [0.5, None], "s": [None, "t"]}

    def test_types_must_be_the_same(self, engine):
        one, two = _view(engine, "a@1", n=[1]), _view(engine, "b@2", n=["1"])
        with pytest.raises(UsageError, match="'n' is int64 in a@1 and string in b@2"):
            one.union(two)

    def test_a_union_of_one_dataset_may_read_it_twice(self, engine):
        view = _view(engine, "a@1", n=[1, 2])
        assert _rows(view.where("n = 2").union(view.where("n = 1")).order_by("n")) == [1, 2]

    def test_too_many_or_no_views_are_refused(self, engine):
        with pytest.raises(UsageError, match="at least one view"):
            make_union([], "same")
        with pytest.raises(UsageError, match="at most 1,000"):
            make_union([_view(engine, "a@1", n=[1])] * 1_001, "same")
        with pytest.raises(UsageError, match="is no choice"):
            _view(engine, "a@1", n=[1]).union(columns="some")


class TestBlend:
    @given(
        sizes=st.lists(st.integers(0, 40), min_size=1, max_size=4),
        weights=st.data(),
        rows=st.one_of(st.sampled_from(["all", "once", "largest"]), st.integers(1, 120)),
        seed=st.one_of(st.none(), st.integers(0, 9)),
    )
    def test_the_proportions_are_exact(self, engine, sizes, weights, rows, seed):
        shares = weights.draw(st.lists(st.integers(1, 9), min_size=len(sizes), max_size=len(sizes)))
        views = [
            _view(engine, f"d{part}@1", part=[part] * size, n=list(range(size)))
            if size
            else _view(engine, f"d{part}@1", part=pa.array([], pa.int64()), n=pa.array([], pa.int64()))
            for part, size in enumerate(sizes)
        ]
        view = View(make_blend(views, shares, rows), engine=engine)
        view = view if seed is None else view.shuffle(seed, buffer_rows=16, blocks=2)
        found = view.to_arrow().to_pydict()
        total = sum(share for share, size in zip(shares, sizes, strict=True) if size)
        assert view.count() == len(found["n"])
        for part, (size, share) in enumerate(zip(sizes, shares, strict=True)):
            mine = [n for p, n in zip(found["part"], found["n"], strict=True) if p == part]
            wanted = Fraction(len(found["n"]) * share, total) if total and size else 0
            assert abs(len(mine) - wanted) < 1
            # Nothing comes again before all others of its part have come.
            times = np.bincount(mine, minlength=size)
            assert not size or times.max() - times.min() <= 1
            if size and rows == "all":
                assert times.min() >= 1
            if size and rows == "once":
                assert times.max() <= 1

    @given(shares=st.lists(st.integers(1, 9), min_size=2, max_size=4), buffer_rows=st.integers(8, 40))
    def test_every_stretch_of_a_shuffled_blend_has_the_proportions(self, engine, shares, buffer_rows):
        views = [_view(engine, f"d{part}@1", part=[part] * 30) for part in range(len(shares))]
        view = View(make_blend(views, shares, 40 * sum(shares)), engine=engine).shuffle(1, buffer_rows=buffer_rows)
        parts = np.array(_rows(view, "part"))
        for part, share in enumerate(shares):
            counts = np.cumsum(parts == part)[buffer_rows - 1 :: buffer_rows]
            exact = np.arange(1, len(counts) + 1) * buffer_rows * share / sum(shares)
            assert np.abs(counts - exact).max() < 1

    def test_a_blend_of_any_size_begins_at_once(self, engine):
        view = _view(engine, "a@1", n=[1, 2, 3])
        for rows in (3 * 10**10, 2**52):
            blend = View(make_blend([view, view], ["1/3", "2/3"], rows), engine=engine)
            assert blend.count() == rows
            assert len(_rows(blend.limit(6))) == 6
        thirds = View(make_blend([view, view], ["1/3", "2/3"], 3 * 10**10), engine=engine)
        loader = thirds.loader(2)
        loader.load_state_dict({**loader.state_dict(), "position": 3 * 10**10 - 3})
        assert sum(len(batch["n"]) for batch in loader) == 3

    def test_an_epoch_goes_on_where_the_last_one_stopped(self, engine):
        large, small = _view(engine, "a@1", n=list(range(10))), _view(engine, "b@1", n=[-1, -2, -3])
        view = View(make_blend([large, small], [1, 1], 4), engine=engine).repeat(3)
        assert [n for n in _rows(view) if n >= 0] == [0, 1, 2, 3, 4, 5]
        assert [n for n in _rows(view) if n < 0] == [-1, -2, -3, -1, -2, -3]

    def test_a_synthetic_epoch_is_as_long_as_the_largest_part_needs(self, engine):
        large, small = _view(engine, "a@1", n=list(range(9))), _view(engine, "b@1", n=[-1])
        assert View(make_blend([large, small], [1, 2], "largest"), engine=engine).count() == 27

    def test_views_in_any_order_can_be_blended(self, engine):
        view = _view(engine, "a@1", n=list(range(20)))
        blend = View(
            make_blend([view.shuffle(1).limit(4), view.order_by("n", descending=True)], [1, 1], 8), engine=engine
        )
        assert _rows(blend)[1::2] == [19, 18, 17, 16]

    @pytest.mark.parametrize("weight", [0, -1, math.nan, math.inf, "many", None, True, 1e-15])
    def test_weights_that_are_none_are_refused(self, engine, weight):
        views = [_view(engine, "a@1", n=[1]), _view(engine, "b@1", n=[2])]
        with pytest.raises(UsageError, match="is no weight"):
            make_blend(views, [1, weight], "all")

    @pytest.mark.parametrize("rows", [0, -5, 1.5, True, "some", None])
    def test_what_is_no_number_of_rows_is_refused(self, engine, rows):
        with pytest.raises(UsageError, match="how many rows a blend has"):
            make_blend([_view(engine, "a@1", n=[1])], None, rows)

    def test_each_view_has_one_weight(self, engine):
        with pytest.raises(UsageError, match="1 views and 2 weights"):
            make_blend([_view(engine, "a@1", n=[1])], [1, 2], "all")

    def test_a_view_that_never_ends_is_not_blended(self, engine):
        with pytest.raises(UsageError, match="never ends"):
            make_blend([_view(engine, "a@1", n=[1]).repeat()], None, "all")

    def test_conditions_of_one_view_are_blended(self, engine):
        view = _view(engine, "a@1", n=list(range(12)))
        assert _rows(view.blend({"n < 3": 1, "n >= 3": 3}, rows="once")) == [3, 0, 4, 5, 6, 1, 7, 8, 9, 2, 10, 11]
        with pytest.raises(UsageError, match="no condition"):
            view.blend({})

    def test_values_are_balanced(self, engine):
        view = _view(engine, "a@1", k=["x"] * 9 + ["y"] * 2 + [None], n=list(range(12)))
        balanced = view.balance("k")
        assert _rows(balanced, "k").count("x") == _rows(balanced, "k").count("y") == 9
        weighted = view.balance("k", {"x": 3, "y": 1}, rows="once")
        assert (_rows(weighted, "k").count("x"), _rows(weighted, "k").count("y")) == (6, 2)
        with pytest.raises(UsageError, match="no text, whole number or boolean"):
            view.balance("n", {1.5: 1})

    def test_a_quote_in_a_value_stays_in_it(self, engine):
        view = _view(engine, "a@1", k=["it's", "b'; DROP"], n=[1, 2])
        assert sorted(_rows(view.balance("k"), "k")) == ["b'; DROP", "it's"]


class TestRules:
    def _both(self, engine):
        one = _view(engine, "day@3", n=[1, 2, 3], light=[True, True, False])
        two = _view(engine, "night@1", n=[-1, -2], light=[False, False])
        return one.union(two)

    def test_conditions_are_joined_by_or(self, engine):
        assert _rows(self._both(engine).where_any("n = 1", "n < -1")) == [1, -2]

    def test_a_rule_speaks_of_one_input(self, engine):
        view = self._both(engine)
        assert _rows(view.where_any(Rule("light", source="day@3"), Rule("n = -2", source="night"))) == [1, 2, -2]
        assert _rows(view.where_any(Rule("light", source="day"), Rule("NOT light", source="*"))) == [1, 2, 3, -1, -2]
        assert _rows(view.where_any(Rule(source="night@1"))) == [-1, -2]

    def test_rules_weigh(self, engine):
        rules = [Rule("light", source="day", weight=2), Rule(source="night", weight=1)]
        assert _rows(self._both(engine).blend(rules, rows=6)) == [1, -1, 2, 1, -2, 2]

    def test_a_rule_for_what_is_not_read_says_what_is(self, engine):
        with pytest.raises(UsageError, match="does not read 'dya'") as caught:
            self._both(engine).where_any(Rule("light", source="dya"))
        assert "Did you mean 'day'" in str(caught.value)

    def test_rules_for_inputs_come_first(self, engine):
        with pytest.raises(UsageError, match="comes before all other steps"):
            self._both(engine).limit(3).where_any(Rule("light", source="day"))

    def test_each_condition_is_checked_by_itself(self, engine):
        with pytest.raises(UsageError, match="not one expression"):
            self._both(engine).where_any("n = 1) OR (true", "light")

    def test_what_is_no_rule_is_refused(self, engine):
        with pytest.raises(UsageError, match="is no condition"):
            self._both(engine).where_any(5)
        with pytest.raises(UsageError, match="There is no condition"):
            self._both(engine).where_any()
        assert foldstore.Rule is Rule


class TestIdentity:
    def test_a_combination_round_trips_as_plain_data(self, engine):
        views = [_view(engine, "a@1", n=[1, 2]), _view(engine, "b@1", n=[3])]
        sources = {view.sources()[0].source.version_id: view.sources()[0].source for view in views}
        union = views[0].union(views[1].where("n > 0")).shuffle(3)
        blend = View(make_blend([union, views[1]], ["1/3", 0.5], "once"), engine=engine).limit(3)
        again = View.from_spec(blend.spec(), lambda source: sources[source["version_id"]], engine=engine)
        assert again.hash == blend.hash
        assert again.to_arrow().equals(blend.to_arrow())
        assert blend.spec()["blend"] == {"weights": ["2/5", "3/5"], "rows": "once"}

    def test_inputs_weights_and_rules_change_the_hash(self, engine):
        one, two = _view(engine, "a@1", n=[1]), _view(engine, "b@1", n=[2])
        made = [one.union(two), two.union(one), one.union(two, columns="all"), one.union(one)]
        made += [
            View(make_blend([one, two], weights, rows), engine=engine)
            for weights, rows in (([1, 1], "all"), ([1, 2], "all"), ([1, 1], "once"))
        ]
        assert len({view.hash for view in made}) == len(made)

    @pytest.mark.parametrize(
        "change",
        [
            lambda spec: {**spec, "inputs": []},
            lambda spec: {**spec, "inputs": [spec["inputs"][0]] * 1_001},
            lambda spec: {**spec, "inputs": ["a@1"]},
            lambda spec: {**spec, "union": {"columns": "some"}},
            lambda spec: {**spec, "union": {}},
            lambda spec: {**spec, "blend": {"weights": ["1", "1"], "rows": "all"}},
            lambda spec: {"blend": {"weights": [1, 1], "rows": "all"}, **{k: spec[k] for k in ("inputs", "steps")}},
            lambda spec: {"blend": {"weights": ["1"], "rows": "all"}, **{k: spec[k] for k in ("inputs", "steps")}},
            lambda spec: {
                "blend": {"weights": ["1", "-1"], "rows": "all"},
                **{k: spec[k] for k in ("inputs", "steps")},
            },
            lambda spec: {**spec, "sources": []},
        ],
    )
    def test_a_hostile_combination_is_refused(self, engine, change):
        one, two = _view(engine, "a@1", n=[1]), _view(engine, "b@1", n=[2])
        sources = {view.sources()[0].source.version_id: view.sources()[0].source for view in (one, two)}
        spec = change(one.union(two).spec())
        with pytest.raises(UsageError):
            View.from_spec(spec, lambda source: sources[source["version_id"]], engine=engine)

    def test_views_of_views_have_a_bottom(self, engine):
        spec = _view(engine, "a@1", n=[1]).spec()
        for _ in range(20):
            spec = {"union": {"columns": "same"}, "inputs": [spec], "steps": []}
        with pytest.raises(UsageError, match="at most 16 deep"):
            View.from_spec(spec, lambda _: TableSource(pa.table({"n": [1]})), engine=engine)
