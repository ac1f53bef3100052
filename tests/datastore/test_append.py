"""Appends: derived columns hold for every row, order is what was asked for, and what fails leaves nothing."""

import datetime as dt
import math

import duckdb
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import foldstore
from foldstore.datastore.derivation import plan_derivation
from foldstore.datastore.engine import Engine
from foldstore.errors import FoldstoreError, InvalidExpressionError, SchemaMismatchError, UsageError
from foldstore.types import Status


def computed(table, expressions):
    """Compute each derived column over the whole table by DuckDB alone, in the order given."""
    for name, text in expressions.items():
        with duckdb.connect() as connection:
            connection.register("t", table)
            rows = connection.sql(f"SELECT {text} AS v FROM t").to_arrow_table()["v"]
        table = table.drop_columns([name] if name in table.column_names else []).append_column(name, rows)
    return table


class TestDerivedColumns:
    def test_a_derived_column_of_a_derived_column_is_computed_on_append(self, store):
        dataset = store.create_dataset("d")
        dataset.append({"x": [1, 2]})
        dataset.add_columns({"y": "x * 2"})
        dataset.add_columns({"z": "y + 1"})
        version = dataset.append({"x": [3]})
        assert version.to_arrow().to_pydict() == {"x": [1, 2, 3], "y": [2, 4, 6], "z": [3, 5, 7]}

    def test_one_call_may_define_columns_by_each_other_in_any_order(self, store):
        wanted = {"x": [1, 5], "z": [3, 11], "y": [2, 10], "w": [-1, -5]}
        made = store.create_dataset("made", derive={"z": "y + 1", "y": "x * 2", "w": "-x"}).append({"x": [1, 5]})
        assert made.to_arrow().to_pydict() == wanted
        added = store.create_dataset("added")
        added.append({"x": [1, 5]})
        version = added.add_columns({"z": "y + 1", "y": "x * 2", "w": "-x"})
        assert version.to_arrow().to_pydict() == wanted
        assert version.arrow_schema.names == ["x", "z", "y", "w"]

    @pytest.mark.parametrize("derive", [{"y": "y + 1"}, {"y": "z + x", "z": "w", "w": "y"}], ids=["itself", "three"])
    def test_columns_derived_in_a_circle_are_refused(self, store, derive):
        with pytest.raises(InvalidExpressionError, match="in a circle: 'y' -> "):
            store.create_dataset("made", derive=derive).append({"x": [1]})
        assert store.dataset("made").versions() == []
        dataset = store.create_dataset("added")
        dataset.append({"x": [1]})
        with pytest.raises(InvalidExpressionError, match="in a circle"):
            dataset.add_columns(derive)
        assert dataset.latest.number == 1

    @settings(max_examples=25)
    @given(
        appends=st.lists(st.lists(st.integers(-1_000, 1_000) | st.none(), min_size=1, max_size=30), max_size=5),
        data=st.data(),
    )
    def test_after_any_append_each_derived_column_is_its_expression_over_all_rows(
        self, tmp_path_factory, appends, data
    ):
        expressions = {"a": "x * 2", "b": "a + x", "c": "coalesce(b, -1) / 4", "d": "c > 0 AND a IS NOT NULL"}
        first = data.draw(st.integers(0, 4))
        names = list(expressions)
        mixed = data.draw(st.permutations(names[:first]))
        with foldstore.connect(tmp_path_factory.mktemp("s") / "store") as store:
            dataset = store.create_dataset("d", derive={name: expressions[name] for name in mixed})
            dataset.append({"x": [7, None]})
            for position, rows in enumerate(appends):
                if first + position < 4:
                    dataset.add_columns({names[first + position]: expressions[names[first + position]]})
                dataset.append(
                    [pa.record_batch({"x": pa.array(rows[n : n + 7], pa.int64())}) for n in range(0, len(rows), 7)]
                )
                found = dataset.latest.to_arrow()
                there = {name: text for name, text in expressions.items() if name in found.column_names}
                wanted = computed(found.select(["x"]), there)
                assert {n: found[n].to_pylist() for n in there} == {n: wanted[n].to_pylist() for n in there}

    def test_what_cannot_be_computed_is_refused_and_never_null(self, store):
        dataset = store.create_dataset("d", derive={"y": "x + 1"})
        dataset.append(pa.table({"x": pa.nulls(2)}))
        with pytest.raises(FoldstoreError):
            dataset.append({"x": ["text"]})
        assert dataset.latest.number == 1

    def test_columns_that_were_all_null_are_computed_from_their_first_values(self, store):
        dataset = store.create_dataset("d", derive={"y": "x", "z": "y IS NULL"})
        dataset.append(pa.table({"x": pa.nulls(1)}))
        version = dataset.append({"x": [5]})
        assert version.to_arrow().to_pydict() == {"x": [None, 5], "y": [None, 5], "z": [True, False]}
        assert dataset.append({"x": [6]}).to_arrow()["y"].to_pylist() == [None, 5, 6]

    @pytest.mark.parametrize(
        ("brought", "fits"),
        [
            ([2], True),
            ([2.0], True),
            ([2.9], False),
            ([3], False),
            (["2"], False),
            ([None], False),
        ],
    )
    def test_what_the_data_brings_for_a_derived_column_must_be_equal(self, store, brought, fits):
        dataset = store.create_dataset("d", derive={"y": "x + 1"})
        dataset.append({"x": [0]})
        if fits:
            assert dataset.append({"x": [1], "y": brought}).to_arrow()["y"].to_pylist() == [1, 2]
        else:
            with pytest.raises(SchemaMismatchError, match="'y' is derived"):
                dataset.append({"x": [1], "y": brought})
            assert dataset.latest.number == 1

    def test_nan_equals_nan_when_the_data_brings_it(self, store):
        dataset = store.create_dataset("d", derive={"y": "x * 2", "z": "[x]"})
        rows = {"x": [math.nan, 1.5, None]}
        whole = dataset.append(rows).to_arrow()
        assert dataset.append(whole).num_rows == 6

    def test_waves_run_on_one_thread_and_in_many_small_batches(self):
        schema = pa.schema({"x": pa.int64()})
        batches = [pa.record_batch({"x": pa.array(range(n, n + 3), pa.int64())}) for n in range(0, 3_000, 3)]
        texts = {"d": "c + 1", "c": "b + 1", "b": "a + 1", "a": "x + 1"}
        with Engine(threads=1) as engine:
            derivation = plan_derivation(engine, texts, schema, where=str)
            assert [list(wave) for wave in derivation.waves] == [["a"], ["b"], ["c"], ["d"]]
            out = list(derivation.extend(engine, schema, iter(batches)))
        assert [batch.num_rows for batch in out] == [3] * 1_000
        assert [n for batch in out for n in batch["d"].to_pylist()] == list(range(4, 3_004))


class TestInterrupts:
    @pytest.mark.parametrize("kind", [KeyboardInterrupt, SystemExit, MemoryError, ZeroDivisionError])
    @pytest.mark.parametrize("derive", [{}, {"y": "x + 1"}, {"y": "x + 1", "z": "y + 1"}], ids=len)
    def test_what_an_iterator_raises_comes_out_and_nothing_is_committed(self, store, derive, kind):
        dataset = store.create_dataset("d", derive=derive)

        def batches():
            for n in range(5):
                yield pa.record_batch({"x": [n]})
            raise kind("enough")

        wanted = FoldstoreError if kind is ZeroDivisionError else kind
        with pytest.raises(wanted, match="enough"):
            dataset.append(batches())
        assert dataset.versions() == []
        assert not list((store.root / "staging").iterdir())
        assert dataset.append({"x": [1]}).number == 1


class TestOrder:
    @pytest.mark.parametrize(
        "column",
        [
            pa.array([{"a": 2}, {"a": 1}]),
            pa.array([{}, {}], pa.struct([])),
            pa.array([[2], [1]]),
            pa.array([[("k", 1)], []], pa.map_(pa.string(), pa.int8())),
            pa.UnionArray.from_sparse(pa.array([0, 0], pa.int8()), [pa.array([2, 1])]),
            pa.nulls(2, pa.month_day_nano_interval()),
        ],
        ids=lambda column: str(column.type)[:12],
    )
    def test_values_without_an_order_are_refused_by_name(self, store, column):
        dataset = store.create_dataset("d")
        with pytest.raises(SchemaMismatchError, match="cannot be sorted by 'v'"):
            dataset.append(pa.table({"v": column}), order_by=["v"])
        assert dataset.versions() == []

    @pytest.mark.parametrize(
        "values",
        [
            pa.array(["b", None, "a", "b"]).dictionary_encode(),
            pa.array([2.5, None, 0.5, 2.5], pa.float16()),
            pa.array([True, None, False, True]),
            pa.array([b"b", None, b"a", b"b"], pa.binary(1)),
            pa.array([dt.timedelta(2), None, dt.timedelta(1), dt.timedelta(2)]),
            pa.array(["3.5", None, "-1.5", "3.5"]).cast(pa.decimal128(5, 2)).cast(pa.decimal32(5, 2)),
        ],
        ids=lambda column: str(column.type)[:12],
    )
    def test_rows_come_in_ascending_order_nulls_last_and_equal_ones_as_they_came(self, store, values):
        batches = pa.table({"v": values, "n": [0, 1, 2, 3]}).to_batches(max_chunksize=1)
        version = store.create_dataset("d").append(batches, order_by=["v"])
        assert version.to_arrow()["n"].to_pylist() == [2, 0, 3, 1]
        assert version.to_arrow()["v"].to_pylist() == values.take(pa.array([2, 0, 3, 1])).to_pylist()

    def test_dictionaries_that_differ_are_sorted_by_their_values(self, store):
        batches = [pa.record_batch({"v": pa.array(list(text)).dictionary_encode()}) for text in ("db", "ca")]
        assert store.create_dataset("d").append(batches, order_by=["v"]).to_arrow()["v"].to_pylist() == list("abcd")

    @pytest.mark.parametrize("order", [[5], [None], [["v"]]])
    def test_an_order_that_is_no_list_of_names_is_refused(self, store, order):
        with pytest.raises(UsageError, match="order_by is a list of column names"):
            store.create_dataset("d").append({"v": [1]}, order_by=order)


class TestJudgedAppends:
    @pytest.fixture
    def dataset(self, store):
        dataset = store.create_dataset("d")
        dataset.append(pa.table({"n": pa.array([1, 2], pa.int64()), "t": ["a", "b"]}))
        dataset.add_columns({"double": "n * 2"})
        dataset.set_schema(dataset.latest.profile().infer_schema())
        return dataset

    def test_values_that_do_not_fit_reach_the_gate_as_what_they_are(self, dataset):
        batches = [pa.record_batch({"n": [v], "t": ["c"]}) for v in (3.0, 4.0, 1.5, 5.0)]
        version = dataset.append(iter(batches))
        assert version.status is Status.QUARANTINED
        assert version.arrow_schema.field("n").type == pa.float64()
        assert version.to_arrow()["n"].to_pylist()[-4:] == [3.0, 4.0, 1.5, 5.0]
        assert "type_lossy" in {anomaly.code for anomaly in version.report.anomalies}
        assert dataset.latest.number == 2

    def test_values_that_fit_are_cast_as_without_a_gate(self, dataset):
        version = dataset.append(iter([pa.record_batch({"n": [v], "t": ["a"]}) for v in (1.0, 2.0)]))
        assert version.status is Status.PUBLISHED
        assert version.arrow_schema.field("n").type == pa.int64()
        assert version.to_arrow()["double"].to_pylist() == [2, 4, 2, 4]

    def test_judging_before_a_commit_finds_the_same(self, dataset):
        report = dataset.validate(pa.table({"n": [1.5], "t": ["a"]}))
        assert not report.passed
        assert "type_lossy" in {anomaly.code for anomaly in report.anomalies}
