"""What an expression makes of a row has a bound; a query has the memory that it is given."""

from collections.abc import Iterator

import pyarrow as pa
import pytest

from foldstore.datastore.engine import Engine
from foldstore.errors import InvalidExpressionError, InvalidQueryError, UsageError

SCHEMA = pa.schema({"x": pa.int64(), "s": pa.string(), "l": pa.list_(pa.int64())})


@pytest.fixture(scope="module")
def engine() -> Iterator[Engine]:
    with Engine(threads=2) as engine:
        yield engine


@pytest.mark.parametrize(
    "text",
    [
        "list_sum(range(x, 300000000))",
        "range(x)",
        "generate_series(1, x)",
        "len(range(10001))",
        "repeat(s, x)",
        "repeat(s, 200000000)",
        "REPEAT(s, 200000000)",
        "s.repeat(200000000)",
        "repeat(l, x)",
        "lpad(s, x::INTEGER, 'x')",
        "rpad(s, 300000000, 'x')",
        "list_resize(l, x)",
        "bitstring('0', 300000000)",
        "format('{:>500000000}', x)",
        "format('{:>{}}', x, x)",
        "format(s, x)",
        "printf('%500000000d', x)",
        "printf('%*d', x, x)",
        "list_reduce([s, s, s], lambda a, b: a || a)",
        "list_transform(l, lambda a: list_transform(l, lambda b: list_transform(l, lambda c: c)))",
        "list_transform(range(10000), lambda a: range(10000))",
        "hex(" * 30 + "s" + ")" * 30,
        "to_json(" * 30 + "s" + ")" * 30,
        "replace(" * 8 + "s" + ", 'a', 'aaaaaaaaaa')" * 8,
        "replace(replace(replace(s, 'a', s), 'a', s), 'a', s)",
    ],
)
def test_values_without_a_bound_are_refused_before_anything_runs(engine: Engine, text: str) -> None:
    with pytest.raises(InvalidExpressionError) as caught:
        engine.parse_expression(text, SCHEMA)
    assert caught.value.hint


@pytest.mark.parametrize(
    "text",
    [
        "lpad(s, 8, '0')",
        "repeat('-', 3)",
        "list_transform(range(1, 13), lambda m: m * 2)",
        "replace(replace(replace(s, ',', ''), '.', ''), ' ', '_')",
        "regexp_replace(s, '[^a-z]+', '', 'g')",
        "format('{:>8.2f}', x::DOUBLE)",
        "printf('%05d', x)",
        "upper(hex(md5(s)))",
        "list_sum(list_filter(l, lambda a: a > 2))",
        "range(5, -5, -1)",
    ],
)
def test_what_people_write_is_allowed(engine: Engine, text: str) -> None:
    assert engine.parse_expression(text, SCHEMA).type != pa.null()


def test_a_query_may_make_as_much_as_it_is_given_memory_for(engine: Engine) -> None:
    found = engine.run_query("SELECT list_sum(range(0, 100000)) AS n", {}).to_arrow()
    assert found["n"].to_pylist() == [4_999_950_000]


def test_a_query_that_outgrows_its_memory_says_what_to_set() -> None:
    with Engine(memory_limit="50MB", threads=1) as small, pytest.raises(InvalidQueryError) as caught:
        small.run_query("SELECT list(i) FROM range(100000000) t(i)", {}).to_arrow()
    assert "sql_memory_limit" in str(caught.value.hint)


def test_the_default_limit_is_less_than_duckdb_would_take(engine: Engine) -> None:
    def limit(opened: Engine) -> float:
        connection = opened.connection()
        (row,) = connection.execute("SELECT current_setting('memory_limit')").fetchall()
        connection.close()
        number, unit = str(row[0]).split()
        return float(number) * {"MiB": 1, "GiB": 2**10, "TiB": 2**20}[unit]

    with Engine(memory_limit="80%") as duckdb_would, Engine(memory_limit="300MiB") as asked:
        assert limit(engine) == pytest.approx(limit(duckdb_would) * 5 / 8, rel=0.05)
        assert limit(asked) == 300


def test_a_limit_that_the_engine_does_not_know_is_refused_in_words() -> None:
    with pytest.raises(UsageError, match="5iB") as caught:
        Engine(memory_limit="5iB")
    assert caught.value.code == "invalid-setting"
