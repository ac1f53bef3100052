from collections.abc import Iterator

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from foldstore.datastore.engine import Engine
from foldstore.errors import ColumnNotFoundError, InvalidExpressionError, UsageError

SCHEMA = pa.schema(
    {
        "i": pa.int64(),
        "x": pa.float64(),
        "s": pa.string(),
        "l": pa.list_(pa.int64()),
        "j": pa.string(),
        "t": pa.timestamp("us"),
        "st": pa.struct({"f": pa.int64()}),
        'we"ird': pa.int64(),
    }
)


@pytest.fixture(scope="module")
def engine() -> Iterator[Engine]:
    with Engine() as engine:
        yield engine


@pytest.mark.parametrize(
    ("text", "columns", "type_"),
    [
        ("i + 1", ("i",), pa.int64()),
        ("x > i -- a comment", ("i", "x"), pa.bool_()),
        ('"we""ird" * 2', ('we"ird',), pa.int64()),
        ("st.f IN (1, 2)", ("st",), pa.bool_()),
        ("list_transform(l, lambda i: i + 1)", ("l",), pa.list_(pa.int64())),
        ("list_filter(l, lambda e, n: e > n + i)", ("i", "l"), pa.list_(pa.int64())),
        ("[e * 2 for e in l if e > 2]", ("l",), pa.list_(pa.int64())),
        ("j -> '$.a'", ("j",), pa.string()),
        ("list_sum(l)", ("l",), pa.decimal128(38, 0)),
        ("CASE WHEN s LIKE 'a%' THEN 1 END", ("s",), pa.int32()),
        ("coalesce(nullif(i, 0), 1) BETWEEN 1 AND 2", ("i",), pa.bool_()),
        ("TRY_CAST(s AS DATE) < DATE '2020-01-01'", ("s",), pa.bool_()),
        ("t + i * INTERVAL 1 MINUTE", ("i", "t"), pa.timestamp("us")),
        ("age(t, t)", ("t",), pa.month_day_nano_interval()),
        ("range(3)[1]", (), pa.int64()),
        ("upper(s) || 'é'", ("s",), pa.string()),
    ],
)
def test_functions_of_a_row_are_expressions(
    engine: Engine, text: str, columns: tuple[str, ...], type_: pa.DataType
) -> None:
    expression = engine.parse_expression(text, SCHEMA)
    assert expression.columns == columns
    assert expression.type.equals(type_) or (pa.types.is_list(type_) and pa.types.is_list(expression.type))
    assert expression.text == text


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("(SELECT 1)", "subquery"),
        ("i IN (SELECT 1)", "subquery"),
        ("EXISTS (FROM t)", "subquery"),
        ("s::ENUM(SELECT 'a')", "does not parse|subquery"),
        ("row_number() OVER ()", "window"),
        ("sum(i) OVER (ORDER BY i)", "window"),
        ("*", r"'\*'"),
        ("COLUMNS('i')", r"'\*'"),
        ("struct_pack(*COLUMNS(*))", "operator unpack|'\\*'"),
        ("?", "parameter"),
        ("$1", "parameter"),
        ("$name", "parameter"),
        ("#1", "position"),
        ("sum(i)", "aggregate"),
        ("mean(i)", "aggregate"),
        ("avg(i)", "aggregate"),
        ("count(*)", "aggregate"),
        ("max(i) FILTER (WHERE i > 1)", "aggregate"),
        ("unnest(l)", "several rows"),
        ("random()", "more than the row"),
        ("uuid()", "more than the row"),
        ("now()", "more than the row"),
        ("get_current_timestamp()", "more than the row"),
        ("current_localtimestamp()", "more than the row"),
        ("age(t)", "more than the row"),
        ("ago(INTERVAL 1 DAY)", "more than the row"),
        ("nextval('q')", "more than the row"),
        ("current_setting('threads')", "more than the row"),
        ("getvariable('v')", "more than the row"),
        ("error('stop')", "more than the row"),
        ("sleep_ms(10)", "more than the row"),
        ("write_log('x')", "more than the row"),
        ("version()", "more than the row"),
        ("hash(i)", "more than the row"),
        ("RANDOM()", "more than the row"),
        ("main.random()", "not allowed"),
        ("system.main.random()", "not allowed"),
        ("s.upper()", "not allowed"),
        ("pg_get_viewdef(1)", "more than the row"),
        ("read_csv('x')", "several rows"),
        ("read_text('/etc/passwd')", "several rows"),
        ("query('select 1')", "several rows"),
        ("no_such_function(i)", "no function"),
        ("i + ", "does not parse"),
        ("i i i", "does not parse"),
        ("'abc", "does not parse"),
        ("/* i", "does not parse"),
        ("i) OR (i", "not one expression"),
        ("i), (x", "not one expression"),
        ("1) FROM t; SELECT (2", "not one expression"),
        ("1) UNION SELECT (2", "not one expression"),
        ("1) FROM t --", "does not parse"),
        ("1) FROM t WHERE (true", "does not parse"),
        ("i AS other", "does not parse"),
        ("i, x", "not one expression"),
        ("i FROM other", "does not parse"),
        ("DISTINCT i", "does not parse"),
        ("1; DROP TABLE t", "does not parse"),
        ("\u2019a\u2019 = s", "does not parse|no column"),
        ("i\0", "NUL"),
        ("'\ud800'", "half a character"),
        ("", "is empty"),
        ("  \n", "is empty"),
        ("-- only a comment", "not one expression"),
        ("x" * 1_000_000, "limit is 10,000"),
        ("(" * 4_999 + "1" + ")" * 4_999, "depth"),
        ("[" * 4_000 + "]" * 4_000, "depth"),
        ("- " * 4_000 + "1", "depth"),
        ("NOT " * 2_000 + "true", "depth"),
        ("1" + "+1" * 4_000, "depth"),
        ("case when true then " * 300 + "1" + " end" * 300, "depth|deeply"),
    ],
)
def test_what_is_no_function_of_a_row_is_refused(engine: Engine, text: str, says: str) -> None:
    with pytest.raises((InvalidExpressionError, ColumnNotFoundError), match=says):
        engine.parse_expression(text, SCHEMA, where="the rule")


@pytest.mark.parametrize("text", ["localtime", "current_date", "CURRENT_TIMESTAMP", "current_user", "rowid"])
def test_words_that_read_the_clock_are_unknown_columns(engine: Engine, text: str) -> None:
    with pytest.raises((ColumnNotFoundError, InvalidExpressionError)):
        engine.parse_expression(text, SCHEMA)


def test_columns_are_spelled_as_declared(engine: Engine) -> None:
    with pytest.raises(ColumnNotFoundError, match="Did you mean 'i'"):
        engine.parse_expression("I + 1", SCHEMA)


def test_a_parse_error_points_into_the_text_of_the_user(engine: Engine) -> None:
    with pytest.raises(InvalidExpressionError) as caught:
        engine.parse_expression("i\n = 'é' i", SCHEMA, where="the rule")
    lines = caught.value.message.splitlines()
    assert lines[-2] == "LINE 2:  = 'é' i"
    assert lines[-1].index("^") == lines[-2].rindex("i")
    assert caught.value.facts["where"] == "the rule"


def test_something_that_is_no_text_is_refused(engine: Engine) -> None:
    with pytest.raises(InvalidExpressionError, match="not int"):
        engine.parse_expression(3, SCHEMA)  # type: ignore[arg-type]  # what is tested


@given(text=st.text(max_size=60))
def test_any_text_is_either_an_expression_or_refused_in_words(text: str) -> None:
    with Engine(threads=1) as engine:
        try:
            columns = engine.parse_expression(text, SCHEMA).columns
        except (UsageError, ColumnNotFoundError):
            columns = ()
    assert set(columns) <= set(SCHEMA.names)
