import json
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from foldstore.datastore.engine import Engine
from foldstore.errors import ColumnNotFoundError, InvalidExpressionError, InvalidNameError, UsageError
from foldstore.store import Store
from foldstore.views.view import View
from tests.learning import require
from tests.views.table_source import TableSource, ViewDrawer


def view_of(table: pa.Table | TableSource, engine: Engine, **more: Any) -> View:
    source = table if isinstance(table, TableSource) else TableSource(table)
    return View(source, engine=engine, **more)


class TestSteps:
    def test_where_select_and_limit_chain(self, flights: TableSource, engine: Engine) -> None:
        view = view_of(flights, engine).where("origin = 'JFK'").select("carrier", late="arr_delay > 15").limit(3)
        rows = flights.table.select(["origin", "carrier", "arr_delay"]).to_pylist()
        expected = [
            {"carrier": row["carrier"], "late": None if row["arr_delay"] is None else row["arr_delay"] > 15}
            for row in rows
            if row["origin"] == "JFK"
        ][:3]
        assert view.to_arrow().to_pylist() == expected
        assert view.arrow_schema.names == ["carrier", "late"]

    def test_the_order_of_the_steps_matters(self, engine: Engine) -> None:
        table = pa.table({"i": [1, 2, 3, 4]})
        assert view_of(table, engine).limit(2).where("i > 1").to_arrow()["i"].to_pylist() == [2]
        assert view_of(table, engine).where("i > 1").limit(2).to_arrow()["i"].to_pylist() == [2, 3]

    def test_repeated_conditions_narrow_further(self, engine: Engine) -> None:
        table = pa.table({"i": [0, 1, 2, 3]})
        view = view_of(table, engine).where("i <> 0").where("6 // i > 2")
        assert view.to_arrow()["i"].to_pylist() == [1, 2]

    def test_a_view_never_changes(self, engine: Engine) -> None:
        view = view_of(pa.table({"i": [1, 2]}), engine)
        view.where("i > 1")
        view.limit(0)
        assert view.count() == 2
        assert view.spec()["steps"] == []

    def test_computed_columns_can_be_used_by_later_steps(self, engine: Engine) -> None:
        view = (
            view_of(pa.table({"i": [1, 2, 3]}), engine)
            .select(double="i * 2")
            .where("double > 2")
            .select(x="double + 1")
        )
        assert view.to_arrow()["x"].to_pylist() == [5, 7]

    def test_only_the_columns_that_are_needed_are_read(self, engine: Engine) -> None:
        source = TableSource(pa.table({name: [1, 2] for name in "abcdef"}))
        view = view_of(source, engine).where("a > 1").select("b", "c", d2="d + e").select("b")
        view.to_arrow()
        assert source.asked == [["a", "b"]]
        view.count()
        assert source.asked[-1] == ["a"]

    @pytest.mark.parametrize(
        ("build", "error", "says"),
        [
            (lambda view: view.where("arr_dely > 1"), ColumnNotFoundError, "Did you mean 'arr_delay'"),
            (lambda view: view.where("arr_delay +"), InvalidExpressionError, "does not parse"),
            (lambda view: view.where("arr_delay"), InvalidExpressionError, "not true or false"),
            (lambda view: view.where("true) OR (true"), InvalidExpressionError, "not one expression"),
            (lambda view: view.select("arr_dely"), ColumnNotFoundError, "Did you mean 'arr_delay'"),
            (lambda view: view.select(), UsageError, "at least one"),
            (lambda view: view.select("carrier", "carrier"), UsageError, "twice"),
            (lambda view: view.select("carrier", carrier="1"), UsageError, "twice"),
            (lambda view: view.select("carrier").where("arr_delay > 1"), ColumnNotFoundError, "arr_delay"),
            (lambda view: view.select(n="count(*)"), InvalidExpressionError, "aggregate"),
            (lambda view: view.limit(-1), UsageError, "number of rows"),
            (lambda view: view.limit(True), UsageError, "number of rows"),
            (lambda view: view.limit("1"), UsageError, "number of rows"),
            (lambda view: view.limit(None), UsageError, "number of rows"),
            (lambda view: view.where(None), InvalidExpressionError, "is a str, not NoneType"),
            (lambda view: view.select(5), UsageError, "named by a str, not int"),
            (lambda view: view.select(["carrier"]), UsageError, "named by a str, not list"),
            (lambda view: view.select(""), UsageError, "cannot name a column"),
            (lambda view: view.select(x=5), InvalidExpressionError, "is a str, not int"),
            (lambda view: view.select(**{"\ud800": "1"}), UsageError, "cannot name a column"),
            (lambda view: view.select(**{"a\x1b[31m": "1"}), UsageError, "cannot name a column"),
        ],
    )
    def test_a_wrong_step_fails_when_it_is_written(
        self, flights: TableSource, engine: Engine, build: Any, error: type[Exception], says: str
    ) -> None:
        with pytest.raises(error) as caught:
            build(view_of(flights, engine))
        assert says in str(caught.value)

    def test_a_value_that_does_not_fit_fails_when_it_is_read(self, engine: Engine) -> None:
        view = view_of(pa.table({"s": ["1", "abc"]}), engine).select(n="s::INTEGER")
        with pytest.raises(InvalidExpressionError, match="abc"):
            view.to_arrow()


ROWS = st.lists(
    st.tuples(
        st.one_of(st.none(), st.integers(-5, 5)),
        st.one_of(st.none(), st.floats(-2, 2, width=16), st.just(float("nan"))),
        st.sampled_from([None, "", "a", "b"]),
    ),
    max_size=40,
)
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("where_i"), st.integers(-5, 5)),
        st.tuples(st.just("where_x"), st.integers(-2, 2)),
        st.tuples(st.just("where_s"), st.sampled_from(["", "a"])),
        st.tuples(st.just("limit"), st.integers(0, 30)),
        st.tuples(st.just("shift"), st.integers(-3, 3)),
    ),
    max_size=4,
)


def run_in_python(rows: list[tuple[Any, ...]], steps: list[tuple[str, Any]]) -> list[tuple[Any, ...]]:
    for verb, value in steps:
        if verb == "where_i":
            rows = [row for row in rows if row[0] is not None and row[0] > value]
        elif verb == "where_x":
            # NaN is above everything.
            rows = [row for row in rows if row[1] is not None and (np.isnan(row[1]) or row[1] > value)]
        elif verb == "where_s":
            rows = [row for row in rows if row[2] != value]
        elif verb == "limit":
            rows = rows[:value]
        else:
            rows = [(None if row[0] is None else row[0] + value, *row[1:]) for row in rows]
    return rows


def run_as_view(view: View, steps: list[tuple[str, Any]]) -> View:
    for verb, value in steps:
        if verb == "where_i":
            view = view.where(f"i > {value}")
        elif verb == "where_x":
            view = view.where(f"x > {value}")
        elif verb == "where_s":
            view = view.where(f"s IS DISTINCT FROM '{value}'")
        elif verb == "limit":
            view = view.limit(value)
        else:
            view = view.select("x", "s", i=f"i + ({value})").select("i", "x", "s")
    return view


@given(rows=ROWS, steps=STEPS, cut=st.integers(1, 7))
def test_any_chain_of_steps_equals_a_loop_over_rows(
    rows: list[tuple[Any, ...]], steps: list[tuple[str, Any]], cut: int
) -> None:
    schema = pa.schema({"i": pa.int64(), "x": pa.float64(), "s": pa.string()})
    whole = pa.table([pa.array([row[k] for row in rows], schema.field(k).type) for k in range(3)], schema=schema)
    table = pa.Table.from_batches(whole.to_batches(max_chunksize=cut), schema)
    expected = run_in_python(rows, steps)
    with Engine(threads=2) as engine:
        view = run_as_view(view_of(table, engine), steps)
        found = view.to_arrow()
        assert view.count() == len(expected) == found.num_rows
    got = list(zip(*(found[name].to_pylist() for name in "ixs"), strict=True))
    assert [repr(row) for row in got] == [repr(row) for row in expected]


class TestCopies:
    def test_a_view_without_conditions_is_the_mapped_file(self, flights: TableSource, engine: Engine) -> None:
        before = pa.total_allocated_bytes()
        table = view_of(flights, engine).select("distance", "carrier").limit(12_000).to_arrow()
        assert pa.total_allocated_bytes() - before < 10_000
        assert table.num_rows == 12_000
        for name in ("distance", "carrier"):
            for mine, stored in zip(table[name].chunks, flights.table[name].chunks, strict=False):
                for buffer, original in zip(mine.buffers(), stored.buffers(), strict=True):
                    assert (buffer is None) == (original is None)
                    assert buffer is None or buffer.address == original.address

    def test_the_first_batch_of_a_filter_comes_before_the_rest_is_read(self, engine: Engine) -> None:
        batch = pa.record_batch({"i": np.arange(100_000), "x": np.zeros(100_000)})
        source = TableSource(pa.Table.from_batches([batch] * 400))
        before = pa.total_allocated_bytes()
        batches = view_of(source, engine).where("i % 2 = 0").to_batches()
        assert next(batches).num_rows == 50_000
        assert pa.total_allocated_bytes() - before < 10_000_000
        del batches

    def test_columns_that_only_a_condition_reads_are_not_copied(self, engine: Engine) -> None:
        rows = 100_000
        table = pa.table({"i": np.arange(rows), "long": ["x" * 100] * rows})
        view = view_of(table, engine).where("long LIKE 'x%' AND i > 10").select("i")
        before = pa.total_allocated_bytes()
        kept = view.to_arrow()
        assert kept.num_rows == rows - 11
        assert pa.total_allocated_bytes() - before < 2_000_000

    def test_explain_says_what_copies(self, flights: TableSource, engine: Engine) -> None:
        plain = view_of(flights, engine).select("carrier", "distance").limit(10).explain()
        assert plain.zero_copy
        assert plain.copied_bytes == 0
        assert "2 of 19 columns, memory-mapped" in str(plain)
        assert str(plain).endswith("Zero-copy: Arrow reads the memory-mapped files themselves.")
        filtered = view_of(flights, engine).where("origin = 'JFK'").select("distance", far="distance > 100").explain()
        assert [part.zero_copy for part in filtered.parts] == [True, False, False]
        assert "copies the rows that pass: at most" in str(filtered)
        text = view_of(flights, engine).select(low="lower(carrier)").explain()
        assert text.copied_bytes is None
        assert "depends on the values" in str(text)

    def test_explain_counts_the_batches_that_zones_leave(self, store: Store) -> None:
        store.create_dataset("n").append(pa.table({"n": np.arange(400_000), "x": np.zeros(400_000)}))
        explained = store.view("n@1").where("n >= 399000").select("x").explain()
        assert "zones leave 1 of 4 record batches" in str(explained)
        assert explained.rows == 400_000 - 3 * 131_072
        assert explained.read_bytes == explained.rows * 16
        assert store.view("n@1").where("n >= 0").explain().rows == 400_000

    def test_explain_promises_no_bound_where_lists_decide(self, engine: Engine) -> None:
        view = View(TableSource(pa.table({"l": [["a"] * 10] * 100})), engine=engine)
        exploded = view.explode("l").explain()
        assert (exploded.rows, exploded.copied_bytes) == (None, None)
        assert "Rows without a known bound" in str(exploded)
        assert view.explode("l").limit(50).explain().rows == 50
        sorted_rows = view.explode("l").order_by("l").explain()
        assert (sorted_rows.held_bytes, "Holds what depends on values" in str(sorted_rows)) == (None, True)
        assert view.repeat().explain().rows is None
        assert view.repeat(3).explain().rows == 300
        assert view.union(view.explode("l").map("l", {"a": "b"}).select(l="[l]")).explain().rows is None

    def test_explain_says_what_an_order_holds(self, store: Store) -> None:
        store.create_dataset("n").append(pa.table({"n": np.arange(80_000)}))
        assert store.view("n@1").shuffle(1).explain().held_bytes == 0
        assert store.view("n@1").where("n % 2 = 0").shuffle(1).explain().held_bytes == 10_000
        assert store.view("n@1").order_by("n").explain().held_bytes == 640_000

    def test_explain_bounds_what_a_filter_allocates(self, flights: TableSource, engine: Engine) -> None:
        view = view_of(flights, engine).where("distance > 500").select("distance", "dep_delay")
        before = pa.total_allocated_bytes()
        table = view.to_arrow()
        copied = pa.total_allocated_bytes() - before
        bound = view.explain().copied_bytes
        assert bound is not None
        assert 0 < copied <= bound * 1.2
        assert table.num_rows


class TestEnds:
    @pytest.fixture
    def view(self, engine: Engine) -> View:
        table = pa.table({"i": [1, 2, 3], "x": [1.0, None, 2.5], "s": ["a", None, "c"]})
        return view_of(table, engine).where("i > 1")

    def test_they_all_give_the_same_rows(self, view: View) -> None:
        expected = view.to_arrow()
        assert view.to_reader().read_all().equals(pa.table(view))
        assert pl.DataFrame(view).equals(view.to_polars())
        assert view.to_polars()["i"].to_list() == [2, 3]
        assert view.scan().collect().equals(view.to_polars())
        assert pa.Table.from_batches(view.to_batches())["s"].to_pylist() == expected["s"].to_pylist() == [None, "c"]
        assert view.num_rows == view.count() == 2

    def test_scan_reads_what_a_polars_query_needs(self, engine: Engine) -> None:
        source = TableSource(pa.table({"a": [1, 2, 3], "b": [4, 5, 6], "c": [7, 8, 9]}))
        lazy = view_of(source, engine).scan()
        assert source.asked == []
        assert lazy.filter(pl.col("a") > 1).select("a").collect()["a"].to_list() == [2, 3]
        assert source.asked == [["a"]]
        assert lazy.head(1).collect().rows() == [(1, 4, 7)]

    def test_rows_are_counted_when_no_column_is_needed(self, engine: Engine) -> None:
        view = view_of(pa.table({"a": [1, 2, 3]}), engine).where("a > 1")
        assert view.scan().select(pl.len()).collect().item() == 2
        assert view.select(one="1").to_arrow()["one"].to_pylist() == [1, 1]
        assert view.where("true").select(one="1").count() == 2

    def test_numpy_shares_flat_columns_and_copies_others(self, engine: Engine) -> None:
        table = pa.table({"i": [1, 2], "n": [1, None], "s": ["a", None], "b": [True, False]})
        arrays = view_of(table, engine).to_numpy()
        assert arrays["i"].ctypes.data == table["i"].chunk(0).buffers()[1].address
        assert np.isnan(arrays["n"][1])
        assert arrays["s"].tolist() == ["a", None]
        assert arrays["b"].tolist() == [True, False]

    def test_pandas_is_asked_for_in_words_when_it_is_missing(self, view: View, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setitem(__import__("sys").modules, "pandas", None)
        with pytest.raises(UsageError, match="not installed") as caught:
            view.to_pandas()
        assert "foldstore[pandas]" in str(caught.value)

    def test_a_view_has_statistics(self, view: View) -> None:
        profile = view.profile()
        assert (profile.rows, profile.columns["i"].minimum, profile.columns["x"].nulls) == (2, 2, 1)

    def test_pandas_gets_a_frame(self, view: View) -> None:
        require("pandas")
        assert view.to_pandas()["i"].tolist() == [2, 3]

    def test_empty_results_keep_their_columns(self, engine: Engine) -> None:
        view = view_of(pa.table({"i": pa.array([], pa.int32())}), engine).where("i > 0").select(j="i + 1")
        assert view.to_arrow().schema == view.arrow_schema
        assert view.to_polars().columns == ["j"]
        assert view.count() == 0
        assert view_of(pa.table({"i": [1]}), engine).limit(0).to_arrow().num_rows == 0


class TestSpecification:
    def test_it_round_trips_and_is_plain_json(self, flights: TableSource, engine: Engine) -> None:
        view = view_of(flights, engine).where("origin = 'JFK'").select("carrier", late="arr_delay > 15").limit(9)
        spec = json.loads(json.dumps(view.spec()))
        assert spec == {
            "sources": [{"address": "flights@5", "version_id": "v-5"}],
            "steps": [{"where": "origin = 'JFK'"}, {"select": ["carrier", {"late": "arr_delay > 15"}]}, {"limit": 9}],
        }
        again = View.from_spec(spec, lambda _: flights, engine=engine)
        assert again.hash == view.hash
        assert again.to_arrow().equals(view.to_arrow())

    def test_the_hash_is_the_same_for_ever(self, engine: Engine) -> None:
        view = view_of(pa.table({"i": [1]}), engine).where("i > 0").select("i", j="i + 1").limit(5)
        assert view.hash == "b3-9a00a11fc85945bda1441a63c3ef271defd3d14cdf3ef8784074f69702ada50e"

    def test_each_step_and_each_version_changes_the_hash(self, engine: Engine) -> None:
        table = pa.table({"i": [1], "j": [2]})
        base = view_of(table, engine)
        other = View(TableSource(table, version_id="v-6"), engine=engine)
        views = [
            base, other, base.limit(1), base.limit(2), base.where("i > 0"), base.where("i > 1"), base.select("i"),
            base.select("i", "j"), base.select("j", "i"), base.select("i", k="j"), base.limit(1).where("i > 0"),
            base.where("i > 0").limit(1),
        ]  # fmt: skip
        assert len({view.hash for view in views}) == len(views)

    def test_the_hash_does_not_depend_on_the_name_of_the_version(self, engine: Engine) -> None:
        table = pa.table({"i": [1]})
        one = View(TableSource(table, address="flights@5"), engine=engine)
        two = View(TableSource(table, address="renamed@5"), engine=engine)
        assert one.hash == two.hash

    @pytest.mark.parametrize(
        "change",
        [
            lambda _: [],
            lambda _: "spec",
            lambda spec: {**spec, "more": 1},
            lambda _: {"steps": []},
            lambda spec: {**spec, "sources": []},
            lambda spec: {**spec, "sources": spec["sources"] * 2},
            lambda spec: {**spec, "sources": [{"address": "x"}]},
            lambda spec: {**spec, "sources": [{"address": "x", "version_id": 5}]},
            lambda spec: {**spec, "sources": [{"address": "flights@5", "version_id": "other"}]},
            lambda spec: {**spec, "steps": {}},
            lambda spec: {**spec, "steps": [{"limit": 1}] * 1_000},
            lambda spec: {**spec, "steps": [{"where": "i > 0", "limit": 1}]},
            lambda spec: {**spec, "steps": [{"where": 1}]},
            lambda spec: {**spec, "steps": [{"where": "i > (SELECT 1)"}]},
            lambda spec: {**spec, "steps": [{"limit": True}]},
            lambda spec: {**spec, "steps": [{"limit": 1.5}]},
            lambda spec: {**spec, "steps": [{"limit": 2**80}]},
            lambda spec: {**spec, "steps": [{"select": "i"}]},
            lambda spec: {**spec, "steps": [{"select": []}]},
            lambda spec: {**spec, "steps": [{"select": [1]}]},
            lambda spec: {**spec, "steps": [{"select": [{"a": "i", "b": "i"}]}]},
            lambda spec: {**spec, "steps": [{"select": [{"a": "i"}, "i"]}]},
            lambda spec: {**spec, "steps": [{"select": [{"a": "i"}, {"a": "i"}]}]},
            lambda spec: {**spec, "steps": [{"select": [{"a": 1}]}]},
            lambda spec: {**spec, "steps": [{"drop": "table"}]},
        ],
    )
    def test_a_hostile_specification_is_refused(self, engine: Engine, change: Any) -> None:
        source = TableSource(pa.table({"i": [1]}))
        with pytest.raises(UsageError):
            View.from_spec(change(View(source, engine=engine).spec()), lambda _: source, engine=engine)

    def test_any_column_name_can_be_computed(self, engine: Engine) -> None:
        source = TableSource(pa.table({"i": [1]}))
        names = ["self", "columns", 'qu"ote', "a b", "ü", "select"]
        spec = View(source, engine=engine).select(**dict.fromkeys(names, "i + 1")).spec()
        assert View.from_spec(spec, lambda _: source, engine=engine).to_arrow().to_pylist() == [dict.fromkeys(names, 2)]

    def test_saving_stores_the_specification_only(self, flights: TableSource, engine: Engine) -> None:
        drawer = ViewDrawer()
        view = view_of(flights, engine, store=drawer).where("origin = 'JFK'")
        flights.asked.clear()
        assert view.save("jfk") == 1
        assert drawer.saved == [("jfk", view.spec())]
        assert flights.asked == []
        with pytest.raises(InvalidNameError):
            view.save("../jfk")
        with pytest.raises(UsageError, match="no store"):
            view_of(flights, engine).save("jfk")


class TestDisplay:
    def test_the_repr_is_one_short_line(self, engine: Engine) -> None:
        view = view_of(pa.table({"i": [1]}), engine).where("i\n >\n 0").select("i", j="i + 1").limit(5)
        assert repr(view) == "<View of flights@5 | where i > 0 | select i, j = i + 1 | limit 5>"
        assert len(repr(view.where("i IN (" + ", ".join(["1"] * 500) + ")"))) <= 200

    def test_html_is_escaped_and_small(self, engine: Engine) -> None:
        evil = "<script>alert(1)</script>"
        table = pa.table({evil: [evil] * 50, "long": ["x" * 5_000] * 50, **{f"c{n}": [n] * 50 for n in range(30)}})
        html = view_of(table, engine)._repr_html_()
        assert "<script" not in html
        assert html.count("<tr>") == 11
        assert html.count("<th>") == 20
        assert "x" * 80 not in html
        assert "12 more columns" in html

    def test_html_searches_the_beginning_only(self, engine: Engine) -> None:
        batch = pa.record_batch({"i": np.arange(100_000)})
        view = view_of(pa.Table.from_batches([batch] * 20), engine).where("i < 0")
        assert "found in the first 131,072 rows" in view._repr_html_()

    def test_html_shows_what_fails(self, engine: Engine) -> None:
        view = view_of(pa.table({"s": ["<b>"]}), engine).select(n="s::INTEGER")
        assert "Could not convert string &#x27;&lt;b&gt;" in view._repr_html_()


def test_polars_stays_in_one_module() -> None:
    views = Path(__file__).parents[2] / "views"
    importing = [path.name for path in views.glob("*.py") if "\nimport polars" in path.read_text()]
    assert importing == ["frames.py"]
