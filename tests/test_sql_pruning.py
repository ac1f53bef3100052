"""Record batches that no row of the answer can lie in are not read, and the answer is the same as without that."""

# ruff: noqa: DTZ001 - times without a zone are a type of their own in SQL

import datetime as dt
import math

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import foldstore
from foldstore.datastore.reader import FragmentReader
from foldstore.views import sql_tables

FRAGMENTS, EACH = 8, 40


def _rows(number):
    base = number * EACH
    n = np.arange(base, base + EACH)
    spread = [None if k % 7 == 0 else int(k) for k in n]
    floats = [math.nan if k % 11 == 0 else None if k % 13 == 0 else k / 4 for k in n]
    if number == 3:
        floats = [math.nan] * EACH
    if number == 5:
        spread = [None] * EACH
    return pa.table(
        {
            "i": pa.array(spread, pa.int64()),
            "f": pa.array(floats, pa.float64()),
            "s": pa.array([f"w{k:04}" for k in n]),
            "d": pa.array([dt.date(2020, 1, 1) + dt.timedelta(days=int(k)) for k in n]),
            "m": pa.array([dt.datetime(2020, 1, 1) + dt.timedelta(hours=int(k)) for k in n], pa.timestamp("us")),
            "k": pa.array(n % 5, pa.int32()),
        }
    )


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    """A version whose fragments lie apart, each of several record batches so that they have zones."""
    from foldstore.datastore import fragment_writer

    patch = pytest.MonkeyPatch()
    patch.setattr(fragment_writer, "ROWS_PER_BATCH", 10)
    patch.setattr(sql_tables, "_FEW_ROWS", 0)
    with foldstore.connect(tmp_path_factory.mktemp("pruning") / "store") as store:
        data = store.create_dataset("t")
        for number in range(FRAGMENTS):
            data.append(_batched(_rows(number)))
        data.delete("k = 4 AND i > 100")
        store.create_dataset("u").append({"k": [0, 1, 2, None], "w": [1.0, 2.0, 3.0, 4.0]})
        store.view("t").where("k < 3").select("i", "f", "s", "k", renamed="i + 1").save("v")
        store.view("t").limit(150).save("cut")
        store.view("t").select("k", i="-i").save("turned")
        yield store
    patch.undo()


def _batched(table):
    return pa.Table.from_batches(table.to_batches(max_chunksize=10))


def _unpruned(store, query, params):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sql_tables, "_FEW_ROWS", 10**9)
        return store.sql(query, params).rows()


def _same(store, query, params=None):
    found, expected = store.sql(query, params).rows(), _unpruned(store, query, params)
    assert _text(found) == _text(expected)
    return found


def _text(rows):
    return sorted(map(repr, rows))


def _batches_read(store, query, params=None):
    read = []
    one_batch = FragmentReader._one_batch
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(FragmentReader, "_one_batch", lambda self, *args: read.append(args[2]) or one_batch(self, *args))
        store.sql(query, params).to_arrow()
    return len(read)


LITERALS = {
    "i": st.integers(-5, FRAGMENTS * EACH + 5).map(str),
    "f": st.one_of(
        st.integers(-5, 90).map(str), st.decimals(0, 90, places=2).map(str), st.sampled_from(["'nan'", "'inf'", "1e2"])
    ),
    "s": st.integers(0, 330).map(lambda k: f"'w{k:04}'"),
    "d": st.integers(0, 330).map(lambda k: f"DATE '{dt.date(2020, 1, 1) + dt.timedelta(days=k)}'"),
    "m": st.integers(0, 330).map(lambda k: f"TIMESTAMP '{dt.datetime(2020, 1, 1) + dt.timedelta(hours=k)}'"),
    "k": st.integers(-1, 6).map(str),
}
OPERATORS = ["<", "<=", "=", "<>", ">=", ">", "IS DISTINCT FROM", "IS NOT DISTINCT FROM"]


@st.composite
def _condition(draw, prefix=""):
    column = draw(st.sampled_from(sorted(LITERALS)))
    value = LITERALS[column]
    name = prefix + draw(st.sampled_from([column, column.upper(), f'"{column}"']))
    shape = draw(st.sampled_from(["plain", "plain", "plain", "turned", "between", "in", "null", "not", "computed"]))
    operator = draw(st.sampled_from(OPERATORS))
    match shape:
        case "plain":
            return f"{name} {operator} {draw(value)}"
        case "turned":
            return f"{draw(value)} {operator} {name}"
        case "between":
            return f"{name} BETWEEN {draw(value)} AND {draw(value)}"
        case "in":
            return f"{name} IN ({draw(value)}, {draw(value)})"
        case "null":
            return f"{name} IS {draw(st.sampled_from(['', 'NOT ']))}NULL"
        case "not":
            return f"NOT ({name} {operator} {draw(value)})"
    return f"coalesce({name}, {draw(value)}) {operator} {draw(value)}"


@st.composite
def _where(draw, prefix="", depth=2):
    if depth == 0 or draw(st.booleans()):
        return draw(_condition(prefix))
    word = draw(st.sampled_from(["AND", "AND", "OR"]))
    return f"({draw(_where(prefix, depth - 1))} {word} {draw(_where(prefix, depth - 1))})"


SHAPES = [
    "SELECT * FROM t WHERE {0}",
    "SELECT s FROM t WHERE {0} ORDER BY s LIMIT 7",
    "SELECT count(*), sum(i), max(f) FROM t WHERE {0}",
    "SELECT k, count(*) FROM t WHERE {0} GROUP BY k HAVING count(*) > 1",
    "SELECT s, row_number() OVER (ORDER BY s) FROM t WHERE {0}",
    "SELECT s, count(*) OVER () FROM t WHERE {0} QUALIFY row_number() OVER (ORDER BY s) < 9",
    "SELECT k AS i, -i AS k, s AS f FROM t WHERE {0}",
    "SELECT count(*) FROM t WHERE {0} AND i > (SELECT avg(i) FROM t)",
    "WITH t AS (SELECT * FROM t WHERE k > 1) SELECT count(*) FROM t WHERE {0}",
    "WITH x AS (SELECT * FROM t) SELECT count(*) FROM x WHERE {0}",
    "SELECT count(*) FROM (SELECT * FROM t WHERE {0}) WHERE i > 50",
    "SELECT s FROM t WHERE {0} UNION ALL SELECT s FROM t WHERE i > 300",
    "SELECT (SELECT count(*) FROM t WHERE {0})",
    "SELECT DISTINCT k FROM t WHERE {0}",
    "SELECT count(*) FROM v WHERE i > 3 AND k < 2 AND renamed > 100",
]
JOINS = [
    "SELECT a.s, u.w FROM t a JOIN u ON a.k = u.k WHERE {0}",
    "SELECT a.s, u.w FROM t a, u WHERE a.k = u.k AND {0}",
    "SELECT a.s, u.w FROM u JOIN t a USING (k) WHERE {0}",
    "SELECT a.s, u.w FROM t a LEFT JOIN u ON a.k = u.k WHERE {0}",
    "SELECT a.s, u.w FROM u LEFT JOIN t a ON a.k = u.k WHERE {0}",
    "SELECT a.s, u.w FROM t a FULL JOIN u ON a.k = u.k WHERE {0}",
    "SELECT a.s FROM t a SEMI JOIN u ON a.k = u.k WHERE {0}",
    "SELECT a.s FROM t a ANTI JOIN u ON a.k = u.k WHERE {0}",
    "SELECT a.s, b.s FROM t a JOIN t b ON a.i = b.i + 1 WHERE {0}",
    "SELECT count(*) FROM t a WHERE {0} AND EXISTS (SELECT 1 FROM t b WHERE b.i = a.i + 1)",
]


@settings(max_examples=150)
@given(st.sampled_from(SHAPES), _where())
def test_the_answer_is_that_of_the_whole_table(store, shape, where):
    _same(store, shape.format(where))


@settings(max_examples=100)
@given(st.sampled_from(JOINS), _where(prefix="a."))
def test_so_is_that_of_joins(store, shape, where):
    _same(store, shape.format(where))


VALUES = st.one_of(
    st.integers(-(2**70), 2**70),
    st.integers(-5, 330),
    st.floats(),
    st.floats(0, 90),
    st.booleans(),
    st.integers(0, 330).map(lambda k: f"w{k:04}"),
    st.dates(dt.date(2019, 12, 1), dt.date(2021, 1, 1)),
    st.datetimes(dt.datetime(2019, 12, 31), dt.datetime(2020, 1, 20)),
    st.none(),
)


@settings(max_examples=150)
@given(st.sampled_from(sorted(LITERALS)), st.sampled_from(OPERATORS), VALUES)
def test_so_is_that_with_bound_values(store, column, operator, value):
    query = f"SELECT s FROM t WHERE {column} {operator} $1 AND k < 4"
    try:
        expected = _unpruned(store, query, [value])
    except foldstore.FoldstoreError as error:
        with pytest.raises(type(error)):
            store.sql(query, [value]).rows()
        return
    assert _text(store.sql(query, [value]).rows()) == _text(expected)


@pytest.mark.parametrize(
    ("query", "params"),
    [
        ("SELECT * FROM t WHERE i > 300", None),
        ("SELECT * FROM t WHERE i > ?", [300]),
        ("SELECT * FROM t WHERE i > $low AND s < $high", {"low": 300, "high": "w9"}),
        ("SELECT count(*) FROM t a JOIN u ON a.k = u.k WHERE a.s >= 'w0300'", None),
        ("SELECT count(*) FROM t WHERE T.I > 300", None),
        ("SELECT count(*) FROM v WHERE i > 300", None),
        ("SELECT count(*) FROM t WHERE d >= DATE '2020-10-27'", None),
        ("SELECT count(*) FROM t WHERE m >= ?", [dt.datetime(2020, 1, 13, 12)]),
    ],
)
def test_batches_that_cannot_hold_a_row_are_not_read(store, query, params):
    whole = _batches_read(store, "SELECT * FROM t")
    assert _batches_read(store, query, params) <= whole // 4
    _same(store, query, params)


@pytest.mark.parametrize(
    "query",
    [
        "SELECT count(*) FROM t",
        "SELECT count(*) FROM t WHERE i > 300 OR k = 1",
        "SELECT count(*) FILTER (WHERE i > 300) FROM t",
        "SELECT count(*) FROM t HAVING max(i) > 300",
        "SELECT k AS i FROM t WHERE i > 300",
        "SELECT * FROM t USING SAMPLE 5 ROWS",
        "SELECT count(*) FROM u LEFT JOIN t ON t.k = u.k AND t.i > 300",
        "SELECT count(*) FROM t WHERE i > 300 AND k IN (SELECT k FROM t)",
        "SELECT count(*) FROM cut WHERE i > 300",
        "SELECT count(*) FROM turned WHERE i > -5",
        "SELECT count(*) FROM t x(a, b, c) WHERE x.a > 300",
    ],
)
def test_where_it_is_not_certain_all_is_read(store, query):
    if "SAMPLE" not in query:
        _same(store, query)
    whole = min(_batches_read(store, "SELECT * FROM t"), _batches_read(store, "SELECT count(*) FROM cut"))
    assert _batches_read(store, query) >= whole
