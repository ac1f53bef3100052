from typing import Any

import polars as pl
import pyarrow as pa
import pytest

from foldstore.datastore.engine import Engine
from foldstore.errors import InvalidQueryError, NotFoundError
from foldstore.views.sql import SqlResult, run_sql
from foldstore.views.view import View
from tests.views.table_source import TableSource

OLD = TableSource(pa.table({"k": [1, 2, 3], "x": [1.0, 2.0, 3.0]}), "flights@1", "v-1")
NEW = TableSource(pa.table({"k": [2, 3, 4], "x": [2.0, 3.5, 4.0]}), "flights@2", "v-2")


class Names:
    """What a store knows, and what it was asked for."""

    def __init__(self, **more: Any) -> None:
        self.known: dict[str, Any] = {"flights@1": OLD, "flights@2": NEW, **more}
        self.asked: list[str] = []

    def __call__(self, name: str) -> Any:
        self.asked.append(name)
        if name not in self.known:
            raise NotFoundError(f"There is no dataset {name!r}.", hint="Did you mean 'flights'?")
        return self.known[name]


def sql(engine: Engine, query: str, params: Any = None, names: Names | None = None) -> SqlResult:
    return run_sql(query, params, names or Names(), engine=engine)


def test_two_versions_meet_in_one_query(engine: Engine) -> None:
    names = Names(unused=OLD)
    result = sql(
        engine,
        'SELECT o.k, n.x - o.x AS change FROM "flights@1" o JOIN "flights@2" n USING (k) WHERE o.x <> n.x',
        names=names,
    )
    assert result.rows() == [(3, 0.5)]
    assert sorted(names.asked) == ["flights@1", "flights@2"]


def test_a_view_can_be_queried(engine: Engine) -> None:
    names = Names(late=View(OLD, engine=engine).where("x > 1"))
    assert sql(engine, "SELECT count(*) FROM late", names=names).rows() == [(2,)]


def test_an_unknown_name_is_answered_by_the_store(engine: Engine) -> None:
    with pytest.raises(NotFoundError, match="no dataset 'flihgts'") as caught:
        sql(engine, "FROM flihgts")
    assert caught.value.hint == "Did you mean 'flights'?"


def test_a_table_is_not_found_behind_the_back_of_the_store(engine: Engine) -> None:
    OTHER = pa.table({"i": [1]})  # noqa: F841, N806 - what a replacement scan would find
    for query in ("FROM OTHER", "FROM duckdb_settings", "FROM '/etc/passwd'", "FROM foldstore.versions"):
        with pytest.raises(NotFoundError):
            sql(engine, query)


def test_every_end_gives_the_rows_again(engine: Engine) -> None:
    result = sql(engine, 'FROM "flights@1" ORDER BY k DESC')
    expected = OLD.table.take([2, 1, 0])
    assert result.to_arrow().equals(expected)
    assert result.to_arrow().equals(expected)
    assert result.to_reader().read_all().equals(expected)
    assert pa.Table.from_batches(result.to_batches()).equals(expected)
    assert pa.table(result).equals(expected)
    assert result.to_polars().equals(pl.DataFrame(expected))
    assert result.rows() == [(3, 3.0), (2, 2.0), (1, 1.0)]
    assert result.arrow_schema == expected.schema


def test_parameters_are_bound(engine: Engine) -> None:
    assert sql(engine, 'SELECT k FROM "flights@1" WHERE x > ? ORDER BY 1', [1.5]).rows() == [(2,), (3,)]
    assert sql(engine, "SELECT $who AS who", {"who": "'; DROP"}).rows() == [("'; DROP",)]


def test_a_wrong_query_fails_where_it_is_written(engine: Engine) -> None:
    with pytest.raises(InvalidQueryError, match="only queries"):
        sql(engine, "DELETE FROM flights")
    with pytest.raises(InvalidQueryError) as caught:
        sql(engine, 'SELECT kk FROM "flights@1"')
    assert "Available: k, x." in str(caught.value) or "Did you mean 'k'" in str(caught.value)


def test_the_repr_is_one_line_and_html_is_escaped(engine: Engine) -> None:
    result = sql(engine, "SELECT '<b>' AS \"<i>\",\n i FROM range(100_000) t(i)")
    assert repr(result) == "<SqlResult (<i>: string, i: int64) of SELECT '<b>' AS \"<i>\", i FROM range(100_000) t(i)>"
    html = result._repr_html_()
    assert "<b>" not in html
    assert "<i>" not in html
    assert html.count("<tr>") == 11
    assert len(result.rows()) == 100_000


NAMELESS = [
    "SELECT * FROM t",
    "SELECT t FROM t",
    "SELECT x FROM t AS x",
    "SELECT x.q FROM t AS x(p, q)",
    "SELECT #2 FROM t",
    "SELECT a FROM t NATURAL JOIN u",
    "SELECT a FROM t POSITIONAL JOIN u",
    "FROM t",
    "DESCRIBE t",
    "SELECT COLUMNS('a|b') FROM t",
    "SELECT a FROM (SELECT * FROM t)",
]


@pytest.mark.parametrize("query", NAMELESS)
def test_a_query_that_means_columns_without_their_names_reads_all(query):
    with Engine() as engine:
        assert engine.parse_query(query).names is None


@pytest.mark.parametrize(
    ("query", "read"),
    [
        ("SELECT a FROM t", ["a"]),
        ("SELECT t.a FROM t", ["a"]),
        ("SELECT count(*) FROM t", ["a"]),
        ("SELECT 1 FROM t WHERE B > 1", ["b"]),
        ("SELECT x.a FROM t x JOIN u USING (c)", ["a", "c"]),
        ("SELECT a FROM t ORDER BY b", ["a", "b"]),
        ("SELECT sum(a) FROM t GROUP BY c HAVING max(b) > 0", ["a", "b", "c"]),
        ("SELECT a, row_number() OVER (PARTITION BY b ORDER BY c) FROM t", ["a", "b", "c"]),
        ("WITH v AS (SELECT a FROM t) SELECT (SELECT max(b) FROM t) FROM v", ["a", "b"]),
    ],
)
def test_a_query_reads_the_columns_that_it_names(query, read):
    source = TableSource(pa.table({"a": [1], "b": [2], "c": [3], "d": [4]}), "t@1")
    other = pa.table({"c": [3], "z": [0]})
    with Engine() as engine:
        run_sql(query, None, {"t": source, "u": other}.__getitem__, engine=engine).to_arrow()
    assert source.asked == [read]


def test_a_misspelt_column_is_still_told_what_there_is():
    source = TableSource(pa.table({"arr_delay": [1], "carrier": ["AA"]}), "t@1")
    with Engine() as engine, pytest.raises(InvalidQueryError) as caught:
        run_sql("SELECT arr_dely FROM t", None, {"t": source}.__getitem__, engine=engine)
    assert "arr_delay" in str(caught.value)


def test_a_result_that_repeats_a_name_goes_where_columns_have_places(engine: Engine) -> None:
    result = sql(engine, "SELECT 1 AS a, 2 AS a")
    assert result.rows() == [(1, 2)]
    assert result.to_arrow().column_names == ["a", "a"]
    assert "<td>2</td>" in result._repr_html_()
    with pytest.raises(InvalidQueryError, match="several named 'a'") as caught:
        result.to_polars()
    assert caught.value.code == "repeated-column"


def test_a_value_that_python_does_not_have_is_shown_and_refused_as_a_row(engine: Engine) -> None:
    result = sql(engine, "SELECT 1 AS i, TIMESTAMP '290000-01-01' AS far")
    with pytest.raises(InvalidQueryError, match=r"290000-01-01T00:00:00\.000000 in column 'far'") as caught:
        result.rows()
    assert "to_arrow()" in str(caught.value.hint)
    assert "290000-01-01T00:00:00" in result._repr_html_()
    with pytest.raises(InvalidQueryError, match="000000001"):
        sql(engine, "SELECT TIMESTAMP_NS '2020-01-01 00:00:00.000000001' AS x").rows()


def test_names_of_datasets_are_found_whatever_their_case(engine: Engine) -> None:
    names = Names(flights=NEW)
    for written in ("FLIGHTS", "Flights", '"Flights"', '"FLIGHTS@1"'):
        assert sql(engine, f"SELECT count(*) FROM {written}", names=names).rows() == [(3,)]
    assert sql(engine, "SELECT FLIGHTS.k FROM Flights WHERE flights.K = 2", names=names).rows() == [(2,)]
    with pytest.raises(NotFoundError, match="no dataset 'other'"):
        sql(engine, "FROM Other")
