"""What is bound to the parameters of a query: counted, typed, and never text."""

# ruff: noqa: DTZ001 - times without a zone are a type of their own in SQL

import datetime as dt
import uuid
from decimal import Decimal

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from foldstore.datastore.engine import Engine
from foldstore.errors import InvalidQueryError

HOSTILE = ["'; DROP TABLE t; --", '"', "\\", "\0", "$$", "?", "$1", "{}", "%s", "\u202e", "' OR 1=1 --", "x" * 100_000]


@pytest.fixture(scope="module")
def engine():
    with Engine(threads=1) as engine:
        yield engine


def _answer(engine, query, params):
    return engine.run_query(query, {}, params).to_arrow().column(0).to_pylist()


@pytest.mark.parametrize("text", HOSTILE)
def test_a_text_comes_back_as_it_is(engine, text):
    assert _answer(engine, "SELECT ?", [text]) == [text]
    assert _answer(engine, "SELECT $a", {"a": text}) == [text]
    assert _answer(engine, "SELECT [?]", [text]) == [[text]]


@given(st.text(st.characters(codec="utf-8"), max_size=50))
def test_any_text_comes_back(text):
    with Engine(threads=1) as engine:
        assert _answer(engine, "SELECT $1 || ''", [text]) == [text]


@pytest.mark.parametrize(
    "value",
    [
        None, True, 0, -(2**63), 2**64, 1.5, float("inf"), b"\0a", Decimal("1.50"), dt.date(2026, 1, 2),
        dt.datetime(2026, 1, 2, 3, 4, 5, 6), dt.time(1, 2, 3), [1, None], {"a": 1, "b": ["x"]}, [],
    ],
    ids=repr,
)  # fmt: skip
def test_a_value_of_sql_comes_back(engine, value):
    (found,) = _answer(engine, "SELECT ?", [value])
    assert found == value


@pytest.mark.parametrize(
    ("value", "plain"),
    [
        (np.int64(3), 3),
        (np.float32(1.5), 1.5),
        (np.bool_(True), True),
        (np.str_("a"), "a"),
        (np.array([1, 2]), [1, 2]),
        (pa.scalar(7), 7),
        (pa.scalar("x"), "x"),
        (pa.scalar(None, pa.int64()), None),
        (pa.array([1, None]), [1, None]),
        ((1, 2), [1, 2]),
        (np.datetime64("2026-01-02"), dt.date(2026, 1, 2)),
    ],
    ids=lambda value: type(value).__name__,  # the repr of an array has its address
)
def test_values_of_numpy_and_arrow_are_taken(engine, value, plain):
    assert _answer(engine, "SELECT ?", [value]) == [plain]


def test_a_uuid_is_taken(engine):
    value = uuid.UUID(int=5)
    assert _answer(engine, "SELECT ?::VARCHAR", [value]) == [str(value)]


class Strange:
    def __str__(self):
        raise AssertionError("never made a text")

    __repr__ = __str__


@pytest.mark.parametrize(
    "value",
    [Strange(), {1}, 1j, object, len, range(3), iter([1]), ..., 2**200, "\udcff", [{"a": [Strange()]}], {"a": {1}}],
    ids=lambda value: type(value).__name__,
)
def test_what_sql_has_no_type_for_is_refused_in_words(engine, value):
    for query, params in (("SELECT ?", [value]), ("SELECT $a", {"a": value})):
        with pytest.raises(InvalidQueryError, match=r"parameter 1|\$a") as caught:
            engine.run_query(query, {}, params)
        assert caught.value.code == "invalid-parameters"
        assert "0x" not in str(caught.value)


def test_what_holds_itself_is_refused(engine):
    circle: list[object] = []
    circle.append(circle)
    with pytest.raises(InvalidQueryError, match="nested deeper"):
        engine.run_query("SELECT ?", {}, [circle])


@pytest.mark.parametrize(
    ("query", "params", "says"),
    [
        ("SELECT ?", None, "has 1 parameter, and there are 0 values"),
        ("SELECT ?", [], "has 1 parameter, and there are 0 values"),
        ("SELECT ?", [1, 2], "has 1 parameter, and there are 2 values"),
        ("SELECT ?, ?", [1], "has 2 parameters, and there are 1 value"),
        ("SELECT 1", [1], "has 0 parameters, and there are 1 value"),
        ("SELECT $2", [1], "has 2 parameters"),
        ("SELECT $a", [1], "names its parameters: a"),
        ("SELECT $a", None, "names its parameters: a"),
        ("SELECT $a", {}, r"no value for \$a"),
        ("SELECT $name", {"nam": 1}, "Did you mean 'name'"),
        ("SELECT $a", {"a": 1, "b": 2}, r"no parameter \$b"),
        ("SELECT ?", {"a": 1}, r"no parameter \$a"),
        ("SELECT 1", {"a": 1}, "leave params out"),
        ("SELECT $a", {1: 2}, "named by a str"),
        ("SELECT ?", "x", "a str, not a list or a dict"),
        ("SELECT ?", b"x", "a bytes, not a list or a dict"),
        ("SELECT ?", 5, "a int, not a list or a dict"),
        ("SELECT ?", {1, 2}, "a set, not a list or a dict"),
        ("SELECT ?", (n for n in [1]), "a generator, not a list or a dict"),
    ],
)
def test_values_that_do_not_fit_the_parameters_are_refused_in_words(engine, query, params, says):
    with pytest.raises(InvalidQueryError, match=says) as caught:
        engine.run_query(query, {}, params)
    assert caught.value.code == "invalid-parameters"


def test_a_parameter_may_be_used_twice_and_anywhere(engine):
    assert _answer(engine, "SELECT $1 + $1", [2]) == [4]
    assert _answer(engine, "SELECT $n + $N", {"N": 2}) == [4]
    assert _answer(engine, "SELECT i FROM range(10) t(i) WHERE i > ? ORDER BY i DESC LIMIT ?", [3, 2]) == [9, 8]
    assert _answer(engine, "EXPLAIN SELECT ?", [1])


def test_a_wrong_type_is_an_error_of_the_query(engine):
    with pytest.raises(InvalidQueryError):
        engine.run_query("SELECT i FROM range(10) t(i) WHERE i > ?", {}, ["x"]).to_arrow()


def test_a_parameter_is_no_name(engine):
    with pytest.raises(InvalidQueryError):
        engine.run_query("SELECT * FROM ?", {}, ["t"])
    with pytest.raises(InvalidQueryError):
        engine.run_query("SELECT * FROM query_table(?)", {}, ["t"])
