import threading
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pytest

from foldstore.datastore.engine import Engine, evaluate, filter_table, mask, parse_expression, parse_predicate
from foldstore.errors import ColumnNotFoundError, InvalidExpressionError, InvalidQueryError

NAN = float("nan")


@pytest.fixture(scope="module")
def engine() -> Iterator[Engine]:
    with Engine(threads=2) as engine:
        yield engine


@pytest.fixture(scope="module")
def mapped(tmp_path_factory: pytest.TempPathFactory) -> pa.Table:
    """300,000 rows in batches of 7,001, memory-mapped."""
    path = tmp_path_factory.mktemp("engine") / "rows.arrow"
    rows = 300_000
    kinds = pa.array(["a", "b", None] * (rows // 3)).dictionary_encode()
    table = pa.table({"i": pa.array(range(rows)), "kind": kinds, "x": pa.array([0.5, NAN, None] * (rows // 3))})
    with pa.OSFile(str(path), "wb") as file, pa.ipc.new_file(file, table.schema) as writer:
        writer.write_table(table, max_chunksize=7_001)
    with pa.memory_map(str(path)) as file:
        return pa.ipc.open_file(file).read_all()


class TestEvaluate:
    def test_it_keeps_rows_and_order_over_many_mapped_batches(self, engine: Engine, mapped: pa.Table) -> None:
        expressions = {
            "double": engine.parse_expression("i * 2", mapped.schema),
            "is_a": engine.parse_expression("kind = 'a'", mapped.schema),
            "one": engine.parse_expression("1", mapped.schema),
        }
        out = list(engine.evaluate(expressions, mapped.schema, mapped.to_batches()))
        assert [batch.num_rows for batch in out] == [batch.num_rows for batch in mapped.to_batches()]
        result = pa.Table.from_batches(out)
        assert result["double"].to_pylist() == [2 * i for i in range(300_000)]
        assert result["is_a"].to_pylist() == [True, False, None] * 100_000
        assert set(result["one"].to_pylist()) == {1}

    def test_it_gives_one_batch_for_each_even_for_empty_ones(self, engine: Engine) -> None:
        schema = pa.schema({"i": pa.int64()})
        sizes = [0, 3, 0, 0, 5000, 1, 0]
        batches = [pa.record_batch({"i": pa.array(range(size), pa.int64())}) for size in sizes]
        next_one = engine.parse_expression("i + 1", schema)
        assert [batch.num_rows for batch in engine.evaluate({"n": next_one}, schema, batches)] == sizes
        assert list(engine.evaluate({"n": next_one}, schema, [])) == []

    def test_it_names_the_expression_that_fails_on_a_value(self, engine: Engine) -> None:
        table = pa.table({"s": ["1", "abc"]})
        good, bad = (engine.parse_expression(text, table.schema) for text in ("length(s)", "s::INTEGER"))
        with pytest.raises(InvalidExpressionError, match=r"number failed: .*'abc'") as caught:
            list(engine.evaluate({"length": good, "number": bad}, table.schema, table.to_batches()))
        assert "LINE 1: s::INTEGER" in caught.value.message
        assert caught.value.hint is not None

    def test_an_error_of_the_input_comes_through_as_it_was(self, engine: Engine) -> None:
        def broken() -> Iterator[pa.RecordBatch]:
            yield pa.record_batch({"i": [1]})
            raise KeyError("the file is gone")

        schema = pa.schema({"i": pa.int64()})
        with pytest.raises(KeyError, match="the file is gone"):
            list(engine.evaluate({"i": engine.parse_expression("i", schema)}, schema, broken()))

    def test_stopping_early_leaves_the_rest_unread(self, engine: Engine, mapped: pa.Table) -> None:
        pulled = []
        batch = mapped.to_batches()[0]

        def watched() -> Iterator[pa.RecordBatch]:
            for number in range(5_000):
                pulled.append(number)
                yield batch

        rows = engine.evaluate({"i": engine.parse_expression("i", mapped.schema)}, mapped.schema, watched())
        next(rows)
        rows.close()  # type: ignore[attr-defined]  # it is a generator
        assert len(pulled) < 1_000

    def test_columns_that_sql_cannot_read_do_not_stand_in_the_way(self, engine: Engine) -> None:
        table = pa.table({"i": [1, 2], "half": pa.array([1, 2], pa.float16())})
        assert engine.filter_table(table, engine.parse_predicate("i > 1", table.schema)) == table.slice(1)
        with pytest.raises(InvalidExpressionError, match="half"):
            engine.parse_expression("half + 1", table.schema, where="half")

    def test_columns_that_differ_in_case_only_can_be_used_one_at_a_time(self, engine: Engine) -> None:
        table = pa.table({"A": [1], "a": [2]})
        (batch,) = engine.evaluate(
            {"x": engine.parse_expression("a + 0", table.schema)}, table.schema, table.to_batches()
        )
        assert batch["x"].to_pylist() == [2]
        with pytest.raises(InvalidExpressionError, match="differ in case only"):
            engine.parse_expression("A + a", table.schema)

    def test_threads_share_an_engine(self, engine: Engine, mapped: pa.Table) -> None:
        predicate = engine.parse_predicate("i % 3 = 0", mapped.schema)
        counts = []

        def count() -> None:
            counts.append(sum(held.true_count for held in engine.mask(predicate, mapped.schema, mapped.to_batches())))

        threads = [threading.Thread(target=count) for _ in range(6)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert counts == [100_000] * 6


class TestSemantics:
    VALUES = (None, NAN, float("-inf"), float("inf"), -1.5, -0.0, 0.0, 2.0)

    @staticmethod
    def order(value: float) -> tuple[bool, float]:
        """NaN equals NaN and is above everything."""
        return (value != value, 0.0 if value != value else value)  # noqa: PLR0124 - NaN

    @pytest.mark.parametrize("operator", ["=", "<>", "<", "<=", ">", ">="])
    def test_comparisons_treat_nan_as_the_greatest_and_null_as_unknown(self, engine: Engine, operator: str) -> None:
        pairs = [(x, y) for x in self.VALUES for y in self.VALUES]
        table = pa.table({"x": pa.array([x for x, _ in pairs]), "y": pa.array([y for _, y in pairs])})
        compare = {
            "=": lambda x, y: x == y, "<>": lambda x, y: x != y, "<": lambda x, y: x < y,
            "<=": lambda x, y: x <= y, ">": lambda x, y: x > y, ">=": lambda x, y: x >= y,
        }[operator]  # fmt: skip
        expected = [None if x is None or y is None else compare(self.order(x), self.order(y)) for x, y in pairs]
        predicate = engine.parse_predicate(f"x {operator} y", table.schema)
        (computed,) = engine.evaluate({"p": predicate}, table.schema, table.to_batches())
        assert computed["p"].to_pylist() == expected
        (held,) = engine.mask(predicate, table.schema, table.to_batches())
        assert held.to_pylist() == [bool(value) for value in expected]
        assert held.null_count == 0

    def test_and_or_not_follow_three_valued_logic(self, engine: Engine) -> None:
        values = (True, False, None)
        pairs = [(p, q) for p in values for q in values]
        table = pa.table({"p": [p for p, _ in pairs], "q": [q for _, q in pairs]})
        texts = {"both": "p AND q", "either": "p OR q", "neither": "NOT p"}
        checked = {name: engine.parse_expression(text, table.schema) for name, text in texts.items()}
        (batch,) = engine.evaluate(checked, table.schema, table.to_batches())
        both = [False if False in pair else None if None in pair else True for pair in pairs]
        either = [True if True in pair else None if None in pair else False for pair in pairs]
        assert batch["both"].to_pylist() == both
        assert batch["either"].to_pylist() == either
        assert batch["neither"].to_pylist() == [None if p is None else not p for p, _ in pairs]

    def test_times_are_read_in_utc_whatever_the_zone_of_the_process(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("TZ", "Asia/Tokyo")
        table = pa.table({"t": pa.array([0], pa.timestamp("us", "America/New_York"))})
        with Engine() as fresh:
            hour = fresh.parse_expression("hour(t)", table.schema)
            shifted = fresh.parse_expression("t + INTERVAL 1 HOUR", table.schema)
            (batch,) = fresh.evaluate({"hour": hour, "shifted": shifted}, table.schema, table.to_batches())
        assert batch["hour"].to_pylist() == [0]
        assert shifted.type == pa.timestamp("us", "UTC")

    def test_a_filter_keeps_types_and_whole_batches_uncopied(self, engine: Engine, mapped: pa.Table) -> None:
        kept = engine.filter_table(mapped, engine.parse_predicate("i >= 7001", mapped.schema))
        assert kept.schema == mapped.schema
        assert kept["i"].chunk(0).buffers()[1].address == mapped["i"].chunk(1).buffers()[1].address
        assert kept["i"].to_pylist() == list(range(7_001, 300_000))
        assert kept["kind"].equals(mapped["kind"].slice(7_001))


class TestModuleFunctions:
    def test_they_open_an_engine_of_their_own(self) -> None:
        table = pa.table({"i": [1, 2, 3]})
        predicate = parse_predicate("i > 1", table.schema)
        assert filter_table(table, predicate)["i"].to_pylist() == [2, 3]
        assert [held.to_pylist() for held in mask(predicate, table.schema, table.to_batches())] == [[False, True, True]]
        expression = parse_expression("i * 10", table.schema, where="ten")
        (batch,) = evaluate({"ten": expression}, table.schema, table.to_batches())
        assert batch["ten"].to_pylist() == [10, 20, 30]

    def test_a_closed_engine_says_so(self) -> None:
        engine = Engine()
        engine.close()
        engine.close()
        with pytest.raises(InvalidQueryError, match="closed"):
            engine.parse_query("SELECT 1")

    def test_a_predicate_must_be_boolean(self) -> None:
        with pytest.raises(InvalidExpressionError, match="gives int64, not true or false"):
            parse_predicate("i + 1", pa.schema({"i": pa.int64()}))

    def test_a_misspelled_column_is_answered_with_what_was_meant(self) -> None:
        with pytest.raises(ColumnNotFoundError) as caught:
            parse_expression("arr_dely > 1", pa.schema({"arr_delay": pa.int64()}), where="the rule")
        assert "Did you mean 'arr_delay'" in str(caught.value)


class TestLock:
    @pytest.mark.parametrize(
        "statement",
        [
            "COPY (SELECT 1) TO '{path}'",
            "SELECT * FROM read_csv('/etc/passwd')",
            "SELECT * FROM read_text('/etc/passwd')",
            "FROM glob('/*')",
            "ATTACH '{path}'",
            "INSTALL httpfs",
            "LOAD httpfs",
            "SET enable_external_access = true",
            "SET python_enable_replacements = true",
            "EXPORT DATABASE '{path}'",
            "SELECT * FROM local_table",
        ],
    )
    def test_a_raw_connection_cannot_reach_files_or_python(
        self, engine: Engine, tmp_path: Path, statement: str
    ) -> None:
        local_table = pa.table({"i": [1]})  # noqa: F841 - what a replacement scan would find
        connection = engine.connection()
        with pytest.raises(Exception, match=r"."):
            connection.execute(statement.format(path=tmp_path / "out")).fetchall()
        connection.close()
        assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("query", "repeatable"),
    [
        ("SELECT a + 1, lower(c), hour(ts), list_filter(x, y -> y > 1) FROM t WHERE a > 3 AND c LIKE 'x%'", True),
        ("SELECT count(*), avg(x), date_trunc('hour', ts) FROM t GROUP BY ALL", True),
        ("SELECT *, row_number() OVER (ORDER BY x), sum(x) OVER (PARTITION BY a) FROM t", True),
        ("SELECT * FROM t ASOF JOIN s USING (id, ts)", True),
        ("SELECT age(ts, t2) FROM t", True),
        ("SELECT age(ts) FROM t", False),
        ("SELECT now() FROM t", False),
        ("SELECT * FROM t WHERE ts > current_date", False),
        ("SELECT * FROM t WHERE ts > CURRENT_TIMESTAMP - INTERVAL 1 DAY", False),
        ("WITH q AS (SELECT today() AS d) SELECT * FROM t, q", False),
        ("SELECT a FROM t ORDER BY random()", False),
        ("SELECT * FROM (SELECT gen_random_uuid() FROM t)", False),
        ("SELECT * FROM t USING SAMPLE 10", False),
        ("SELECT * FROM (SELECT * FROM t TABLESAMPLE 10%)", False),
    ],
)
def test_a_query_that_looks_at_the_clock_or_draws_is_not_repeatable(
    engine: Engine, query: str, repeatable: bool
) -> None:
    assert engine.is_repeatable(query) is repeatable
