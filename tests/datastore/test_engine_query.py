from collections.abc import Iterator
from datetime import UTC, datetime

import pyarrow as pa
import pytest

from foldstore.datastore.engine import Engine, parse_query, run_query
from foldstore.errors import InvalidQueryError, NotFoundError

TABLE = pa.table({"a": [1, 2, None], "s": ["x", "y", None]})


@pytest.fixture(scope="module")
def engine() -> Iterator[Engine]:
    with Engine(threads=2) as engine:
        yield engine


@pytest.mark.parametrize(
    ("text", "tables"),
    [
        ("SELECT 1", ()),
        ("VALUES (1), (2)", ()),
        ("FROM flights", ("flights",)),
        ('SELECT * FROM "flights@3#by_month.train"', ("flights@3#by_month.train",)),
        ("SELECT * FROM a JOIN b USING (k), c WHERE x IN (SELECT y FROM d)", ("a", "b", "c", "d")),
        ("SELECT (SELECT max(x) FROM b) FROM a", ("b", "a")),
        ("WITH a AS (FROM b) FROM a", ("b",)),
        ("WITH flights AS (FROM flights) FROM flights", ("flights",)),
        ("WITH a AS (FROM b), b AS (FROM c) FROM a, b", ("b", "c")),
        ("WITH a AS (SELECT 1) SELECT * FROM A", ()),
        ("SELECT * FROM (WITH z AS (SELECT 1) FROM z), z", ("z",)),
        ("WITH RECURSIVE r AS (SELECT 1 n UNION ALL SELECT n + 1 FROM r, limits WHERE n < m) FROM r", ("limits",)),
        ("FROM a UNION ALL FROM b", ("a", "b")),
        ("DESCRIBE a", ("a",)),
        ("SUMMARIZE a", ("a",)),
        ("DESCRIBE SELECT * FROM a", ("a",)),
        ("EXPLAIN SELECT * FROM a", ("a",)),
        ("explain analyze FROM a", ("a",)),
        ("FROM a PIVOT (sum(x) FOR k IN ('u', 'v'))", ("a",)),
        ("UNPIVOT a ON x, y", ("a",)),
        ("SELECT * FROM range(3), unnest([1, 2]), a", ("a",)),
        ("FROM a SELECT random(), now()", ("a",)),
        ("FROM 'x.parquet'", ("x.parquet",)),
        ("FROM foldstore.versions", ("foldstore.versions",)),
        ("SELECT a FROM a;", ("a",)),
    ],
)
def test_it_names_the_tables_that_a_query_uses(engine: Engine, text: str, tables: tuple[str, ...]) -> None:
    assert sorted(engine.parse_query(text).tables) == sorted(tables)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("INSERT INTO t VALUES (1)", "INSERT is not allowed"),
        ("WITH a AS (INSERT INTO t VALUES (1) RETURNING *) FROM a", "INSERT is not allowed"),
        ("WITH a AS (DELETE FROM t RETURNING *) FROM a", "not allowed"),
        ("CREATE TABLE x AS SELECT 1", "CREATE is not allowed"),
        ("DROP VIEW t", "DROP is not allowed"),
        ("COPY t TO 'x.csv'", "COPY is not allowed"),
        ("EXPLAIN COPY t TO 'x.csv'", "only queries"),
        ("ATTACH 'x.db'", "ATTACH is not allowed"),
        ("PRAGMA version", "PRAGMA is not allowed"),
        ("SET threads = 1", "SET is not allowed"),
        ("LOAD httpfs", "LOAD is not allowed"),
        ("CALL pragma_version()", "CALL is not allowed"),
        ("SHOW TABLES", "SHOW is not allowed"),
        ("SHOW DATABASES", "SHOW is not allowed"),
        ("PIVOT t ON a USING sum(b)", "PIVOT"),
        ("SELECT 1; SELECT 2", "2 statements"),
        ("SELECT 1; DROP TABLE x", "not allowed|statements"),
        (";", "no statement|empty"),
        ("-- nothing", "no statement"),
        ("", "empty"),
        ("SELECT 1\0", "NUL"),
        ("SELECT '\udcff'", "half a character"),
        ("SELECT * FROM read_csv('/etc/passwd')", "read_csv"),
        ("SELECT * FROM read_parquet('x')", "read_parquet"),
        ("FROM glob('*')", "glob"),
        ("FROM query('SELECT 1')", "query"),
        ("FROM query_table('t')", "query_table"),
        ("FROM duckdb_settings()", "duckdb_settings"),
        ("FROM pragma_table_info('t')", "pragma_table_info"),
        ("FROM json_execute_serialized_sql('{}')", "json_execute_serialized_sql"),
        ("SELECT (SELECT count(*) FROM read_text('/etc/passwd'))", "read_text"),
        ("FROM main.t", "names a schema"),
        ("FROM memory.main.t", "names a schema"),
        ("FROM information_schema.tables", "names a schema"),
        ("FROM t AT (VERSION => 3)", "does not choose a version"),
        ("SELECT current_setting('threads')", "current_setting"),
        ("SELECT getvariable('x')", "getvariable"),
        ("SELECT sleep_ms(1000)", "sleep_ms"),
        ("SELECT pg_get_viewdef(1)", "pg_get_viewdef"),
        ("SELEC 1", "does not parse"),
        ("SELECT \u2018a\u2019", None),
        ("SELECT " + "(" * 20_000 + "1" + ")" * 20_000, "depth"),
        ("SELECT * FROM " + "(SELECT * FROM " * 2_000 + "t" + ")" * 2_000, "depth|deeply"),
        ("SELECT '" + "x" * 1_000_000 + "'", "limit is 100,000"),
    ],
)
def test_what_does_more_than_read_is_refused_in_words(engine: Engine, text: str, says: str | None) -> None:
    with pytest.raises(InvalidQueryError, match=says):
        engine.run_query(text, {"t": TABLE})


@pytest.mark.parametrize("name", ["duckdb_settings", "sqlite_master", "pg_catalog", "'/etc/passwd'", "'x.csv'"])
def test_a_name_that_the_caller_did_not_give_is_not_found(engine: Engine, name: str) -> None:
    with pytest.raises(NotFoundError, match="There is no table"):
        engine.run_query(f"SELECT * FROM {name}", {"flights": TABLE})


def test_two_versions_meet_in_one_query(engine: Engine) -> None:
    tables = {"flights@1": TABLE, "flights@2": TABLE.slice(0, 1), "unused": TABLE}
    query = 'SELECT o.a FROM "flights@1" o ANTI JOIN "flights@2" n ON o.a = n.a ORDER BY 1'
    assert engine.run_query(query, tables).to_arrow()["a"].to_pylist() == [2, None]


def test_describe_summarize_and_explain_run(engine: Engine) -> None:
    for verb in ("DESCRIBE", "SUMMARIZE"):
        assert engine.run_query(f"{verb} t", {"t": TABLE}).to_arrow()["column_name"].to_pylist() == ["a", "s"]
    plan = engine.run_query("EXPLAIN SELECT * FROM t", {"t": TABLE}).to_arrow()
    assert plan.num_rows == 1


def test_parameters_are_bound_and_never_text(engine: Engine) -> None:
    hostile = "x'; DROP TABLE t; --"
    assert engine.run_query("SELECT ? AS v", {}, [hostile]).to_arrow()["v"].to_pylist() == [hostile]
    found = engine.run_query("SELECT a FROM t WHERE s = $name", {"t": TABLE}, {"name": "y"}).to_arrow()
    assert found["a"].to_pylist() == [2]
    moment = datetime(2026, 1, 1, tzinfo=UTC)
    assert engine.run_query("SELECT $1 AS m", {}, [moment]).to_arrow()["m"].to_pylist() == [moment]


@pytest.mark.parametrize(("query", "params"), [("SELECT ?", None), ("SELECT ?", [1, 2]), ("SELECT $a", {"b": 1})])
def test_parameters_that_do_not_fit_are_an_error(engine: Engine, query: str, params: object) -> None:
    with pytest.raises(InvalidQueryError):
        engine.run_query(query, {}, params)  # type: ignore[arg-type]  # what is tested


def test_an_unknown_column_is_answered_with_what_was_meant(engine: Engine) -> None:
    table = pa.table({"arr_delay": [1]})
    with pytest.raises(InvalidQueryError, match=r"arr_dely") as caught:
        engine.run_query("SELECT arr_dely FROM t", {"t": table})
    assert "Did you mean 'arr_delay'" in str(caught.value)


@pytest.mark.parametrize("query", ["SELECT t.zz FROM t", "FROM t WHERE zz = 1", "FROM t JOIN t u USING (zz)"])
def test_every_kind_of_unknown_column_is_answered_with_what_exists(engine: Engine, query: str) -> None:
    with pytest.raises(InvalidQueryError, match="zz") as caught:
        engine.run_query(query, {"t": TABLE})
    assert caught.value.hint == "Available: a, s."


def test_an_error_on_a_value_points_into_the_query(engine: Engine) -> None:
    with pytest.raises(InvalidQueryError, match=r"LINE 1: SELECT s::INT FROM t\n +\^"):
        engine.run_query("SELECT s::INT FROM t", {"t": TABLE}).to_arrow()


def test_a_result_is_read_once(engine: Engine) -> None:
    result = engine.run_query("SELECT * FROM range(10)", {})
    assert result.schema.names == ["range"]
    assert result.to_reader().read_all().num_rows == 10
    with pytest.raises(InvalidQueryError, match="has been read"):
        result.to_arrow()


def test_a_column_that_sql_cannot_read_matters_only_when_it_is_asked_for(engine: Engine) -> None:
    table = pa.table({"i": [1, 2], "half": pa.array([1, 2], pa.float16())})
    assert engine.run_query("SELECT sum(i) AS n FROM t", {"t": table}).to_arrow()["n"].to_pylist() == [3]
    with pytest.raises(InvalidQueryError, match=r"cannot read 'half' \(halffloat\)"):
        engine.run_query("SELECT * FROM t", {"t": table})


def test_names_that_sql_takes_for_one_are_refused(engine: Engine) -> None:
    with pytest.raises(InvalidQueryError, match="takes for one table"):
        engine.run_query('SELECT * FROM "A", "a"', {"A": TABLE, "a": TABLE})
    with pytest.raises(InvalidQueryError, match="differ in case only"):
        engine.run_query("SELECT * FROM t", {"t": pa.table({"A": [1], "a": [2]})})


def test_module_functions_open_an_engine_of_their_own() -> None:
    assert parse_query("FROM t").tables == ("t",)
    assert run_query("SELECT count(*) AS n FROM t", {"t": TABLE}).to_arrow()["n"].to_pylist() == [3]


def test_scanning_copies_nothing_of_the_table(engine: Engine) -> None:
    table = pa.table({"i": pa.array(range(2_000_000))})
    before = pa.total_allocated_bytes()
    result = engine.run_query("SELECT sum(i) AS n FROM t", {"t": table})
    batch = next(result.to_batches())
    assert batch["n"].to_pylist() == [1_999_999_000_000]
    assert pa.total_allocated_bytes() - before < 1_000_000


def test_a_query_that_was_parsed_before_is_not_parsed_again_unless_it_is_long(monkeypatch: pytest.MonkeyPatch) -> None:
    parsed: list[str] = []
    parse = Engine._parse_query
    monkeypatch.setattr(Engine, "_parse_query", lambda self, text: parsed.append(text) or parse(self, text))
    long = "SELECT '" + "x" * 5_000 + "'"
    with Engine(threads=1) as engine:
        for text in ("FROM t", "FROM t", long, long):
            assert engine.parse_query(text).text == text
    assert parsed == ["FROM t", long, long]
