"""What a query must not do: read or write anything but the rows of the store, look at the engine, or change it."""

import os
from pathlib import Path

import pytest

import foldstore
from foldstore.errors import InvalidNameError, InvalidQueryError, NotFoundError

SECRET = "canary-secret"
REFUSED = (InvalidQueryError, NotFoundError, InvalidNameError)


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    folder = tmp_path_factory.mktemp("sandbox")
    (folder / "secret.csv").write_text(f"x\n{SECRET}\n")
    (folder / "secret.json").write_text(f'{{"x": "{SECRET}"}}\n')
    return folder


@pytest.fixture(scope="module")
def store(place):
    with foldstore.connect(place / "store") as store:
        store.create_dataset("t").append({"a": [1, 2, 3], "s": ["x", "y", "z"]})
        yield store


FILES = [
    "FROM '{f}/secret.csv'",
    'FROM "{f}/secret.csv"',
    "FROM 'file://{f}/secret.csv'",
    "FROM '{f}/*.csv'",
    "SELECT * FROM t, '{f}/secret.csv'",
    "SELECT * FROM t WHERE s IN (SELECT x FROM '{f}/secret.csv')",
    "FROM 'https://example.com/x.parquet'",
    "FROM 's3://bucket/x.parquet'",
    "FROM 'sqlite_catalog.db'",
    "FROM read_csv('{f}/secret.csv')",
    "FROM read_csv_auto('{f}/secret.csv')",
    "FROM sniff_csv('{f}/secret.csv')",
    "FROM read_json('{f}/secret.json')",
    "FROM read_json_auto('{f}/secret.json')",
    "FROM read_ndjson('{f}/secret.json')",
    "FROM read_ndjson_objects('{f}/secret.json')",
    "FROM read_parquet('{f}/x.parquet')",
    "FROM parquet_scan('{f}/x.parquet')",
    "FROM parquet_metadata('{f}/x.parquet')",
    "FROM parquet_schema('{f}/x.parquet')",
    "FROM parquet_kv_metadata('{f}/x.parquet')",
    "FROM read_text('{f}/secret.csv')",
    "FROM read_blob('{f}/secret.csv')",
    "FROM glob('{f}/*')",
    "FROM arrow_scan(0, 0, 0)",
    "FROM pandas_scan(0)",
    "FROM python_arrow_scan(0)",
    "FROM sqlite_scan('{f}/store/catalog.db', 'datasets')",
    "FROM postgres_scan('', '', '')",
    "FROM iceberg_scan('{f}')",
    "FROM delta_scan('{f}')",
    "SELECT (SELECT content FROM read_text('{f}/secret.csv'))",
    "SELECT * FROM t, LATERAL (SELECT * FROM read_text('{f}/secret.csv'))",
    "WITH x AS (FROM read_text('{f}/secret.csv')) FROM x",
    "DESCRIBE FROM read_csv('{f}/secret.csv')",
    "DESCRIBE '{f}/secret.csv'",
    "SUMMARIZE '{f}/secret.csv'",
    "SUMMARIZE FROM read_csv('{f}/secret.csv')",
    "EXPLAIN FROM read_csv('{f}/secret.csv')",
    "EXPLAIN ANALYZE FROM read_csv('{f}/secret.csv')",
    "PIVOT (FROM read_csv('{f}/secret.csv')) ON x IN ('a') USING count(*)",
    "UNPIVOT (FROM read_csv('{f}/secret.csv')) ON x",
    "FROM t UNION ALL BY NAME FROM read_csv('{f}/secret.csv')",
    "FROM t ORDER BY (SELECT count(*) FROM read_text('{f}/secret.csv'))",
    "FROM t LIMIT (SELECT count(*) FROM read_text('{f}/secret.csv'))",
    "FROM t QUALIFY row_number() OVER (ORDER BY (SELECT content FROM read_text('{f}/secret.csv'))) = 1",
    "SELECT list_transform([1], lambda x: (SELECT content FROM read_text('{f}/secret.csv')))",
    "SELECT CASE WHEN true THEN (SELECT content FROM read_text('{f}/secret.csv')) END",
    "VALUES ((SELECT content FROM read_text('{f}/secret.csv')))",
]
STATEMENTS = [
    "COPY t TO '{f}/out.csv'",
    "COPY (SELECT 1) TO '{f}/out.parquet' (FORMAT parquet)",
    "COPY t FROM '{f}/secret.csv'",
    "EXPLAIN COPY t TO '{f}/out.csv'",
    "EXPLAIN ANALYZE COPY (SELECT 1) TO '{f}/out.csv'",
    "EXPORT DATABASE '{f}/out'",
    "IMPORT DATABASE '{f}/out'",
    "ATTACH '{f}/out.db'",
    "ATTACH '{f}/store/catalog.db' AS c (TYPE sqlite)",
    "DETACH memory",
    "USE memory",
    "INSTALL httpfs",
    "LOAD httpfs",
    "LOAD '{f}/x.duckdb_extension'",
    "UPDATE EXTENSIONS",
    "PRAGMA database_list",
    "PRAGMA enable_external_access = true",
    "SET enable_external_access = true",
    "SET VARIABLE x = 1",
    "RESET threads",
    "CALL pragma_version()",
    "CREATE TABLE x AS SELECT 1",
    "CREATE VIEW x AS SELECT 1",
    "CREATE MACRO f(x) AS x + 1",
    "CREATE MACRO f() AS TABLE FROM t",
    "CREATE FUNCTION f(x) AS x + 1",
    "CREATE SEQUENCE q",
    "CREATE SECRET s (TYPE s3)",
    "CREATE TYPE m AS ENUM ('a')",
    "CREATE SCHEMA q",
    "DROP TABLE t",
    "DROP VIEW t",
    "ALTER TABLE t ADD COLUMN b INT",
    "INSERT INTO t VALUES (1, 'a')",
    "UPDATE t SET a = 1",
    "DELETE FROM t",
    "TRUNCATE t",
    "MERGE INTO t USING t AS u ON true WHEN MATCHED THEN DELETE",
    "WITH x AS (INSERT INTO t VALUES (1, 'a') RETURNING a) FROM x",
    "WITH x AS (DELETE FROM t RETURNING a) FROM x",
    "WITH x AS (UPDATE t SET a = 1 RETURNING a) FROM x",
    "BEGIN",
    "COMMIT",
    "ROLLBACK",
    "CHECKPOINT",
    "VACUUM",
    "ANALYZE",
    "PREPARE p AS SELECT 1",
    "EXECUTE p",
    "DEALLOCATE p",
    "COMMENT ON TABLE t IS 'x'",
    "SHOW TABLES",
    "SHOW ALL TABLES",
    "SHOW DATABASES",
    "SHOW VARIABLES",
    "SELECT 1; SELECT 2",
    "SELECT 1; DROP TABLE t",
    "SELECT 1 -- one\n; DROP TABLE t",
    "SELECT 1 /* one */; /* two */ COPY t TO '{f}/out.csv'",
    "SELECT $$a;b$$; COPY t TO '{f}/out.csv'",
    "SELECT $x$ ; $x$; ATTACH '{f}/out.db'",
    "/* SELECT */ COPY t TO '{f}/out.csv'",
    "-- SELECT 1\nCOPY t TO '{f}/out.csv'",
    "EXPLAIN SELECT 1; COPY t TO '{f}/out.csv'",
    "EXPLAIN EXPLAIN SELECT 1",
    "\ufeffCOPY t TO '{f}/out.csv'",
    "\u00a0COPY t TO '{f}/out.csv'",
    "SELECT 1\uff1b COPY t TO '{f}/out.csv'",
    "\uff23\uff2f\uff30\uff39 t TO '{f}/out.csv'",
    "SELECT 1\u2028; ATTACH '{f}/out.db'",
]
ENGINE = [
    "SELECT getenv('HOME')",
    "SELECT current_setting('memory_limit')",
    "SELECT getvariable('x')",
    "SELECT current_query()",
    "SELECT txid_current()",
    "SELECT nextval('q')",
    "SELECT setseed(0.5)",
    "SELECT sleep_ms(10)",
    "SELECT write_log('x')",
    "SELECT pg_get_viewdef(1)",
    "SELECT json_serialize_plan('SELECT 1')",
    "SELECT * FROM json_execute_serialized_sql(json_serialize_sql('SELECT 1'))",
    "FROM query('FROM t')",
    "FROM query_table('t')",
    "FROM query_table(['t', '{f}/secret.csv'])",
    "FROM duckdb_settings()",
    "FROM duckdb_functions()",
    "FROM duckdb_tables()",
    "FROM duckdb_secrets()",
    "FROM duckdb_extensions()",
    "FROM duckdb_logs()",
    "FROM duckdb_memory()",
    "FROM duckdb_temporary_files()",
    "FROM pragma_database_size()",
    "FROM pragma_table_info('t')",
    "FROM pragma_storage_info('t')",
    "FROM test_all_types()",
    "FROM repeat_row(1, num_rows = 5)",
    "FROM sql_auto_complete('SEL')",
    "FROM duckdb_settings",
    "FROM duckdb_tables",
    "FROM sqlite_master",
    "FROM sqlite_schema",
    "FROM pragma_database_list",
    "FROM information_schema.tables",
    "FROM information_schema.schemata",
    "FROM pg_catalog.pg_class",
    "FROM pg_class",
    "FROM system.main.duckdb_settings",
    "FROM temp.main.t",
    "FROM main.t",
    "FROM memory.t",
    "FROM memory.main.t",
    "FROM foldstore_rows",
    "FROM foldstore.nothing",
    'FROM "foldstore.nothing"',
    "FROM t AT (VERSION => 1)",
    "FROM t AT (TIMESTAMP => now())",
    "SELECT * FROM t JOIN information_schema.tables ON true",
    "SELECT getenv ('HOME')",
    "SELECT \"getenv\"('HOME')",
    "SELECT GetEnv('HOME')",
    "SELECT system.main.getenv('HOME')",
    "SELECT 'HOME'.getenv()",
    "SELECT list_transform(['HOME'], lambda x: getenv(x))",
    "SELECT list_transform(['threads'], lambda x: current_setting(x))",
    "SELECT 'threads'.current_setting()",
]


def _files(place):
    return {path: path.stat().st_mtime_ns for path in Path(place).rglob("*") if "-wal" not in path.name
            and "-shm" not in path.name and path.is_file()}  # fmt: skip


@pytest.mark.parametrize("query", [*FILES, *STATEMENTS, *ENGINE])
def test_it_is_refused_and_nothing_is_read_or_written(store, place, query, monkeypatch):
    monkeypatch.chdir(place)
    text = query.replace("{f}", str(place))
    before = _files(place)
    with pytest.raises(REFUSED) as caught:
        store.sql(text).to_arrow()
    assert SECRET not in str(caught.value)
    assert os.environ.get("HOME", "-") not in str(caught.value).replace(text, "")
    assert _files(place) == before
    assert store.sql("SELECT sum(a) FROM t").rows() == [(6,)]


@pytest.mark.parametrize(
    "query",
    [
        "SELECT ';', '--', '/*', $$; COPY$$ FROM t LIMIT 1",
        "SELECT 1 -- ; DROP TABLE t",
        "SELECT /* ; COPY t TO 'x' */ 1;",
        "SELECT 'read_csv(''/etc/passwd'')'",
        'SELECT a AS "read_csv(" FROM t LIMIT 1',
        "EXPLAIN SELECT 'COPY'",
    ],
)
def test_what_only_looks_like_an_escape_runs(store, query):
    assert store.sql(query).to_arrow().num_rows == 1


def test_python_variables_are_no_tables(store):
    import pyarrow as pa

    local_table = pa.table({"x": [SECRET]})
    for query in ("FROM local_table", "SELECT * FROM t JOIN local_table ON true", "FROM REFUSED", "FROM store"):
        with pytest.raises(NotFoundError):
            store.sql(query)
    assert local_table.num_rows == 1


def test_a_query_leaves_nothing_behind_for_the_next(store):
    store.sql("WITH mine AS (SELECT 1 AS x) FROM mine").to_arrow()
    for name in ("mine", "t@1", "T"):
        if name != "mine":
            assert store.sql(f'SELECT count(*) FROM "{name}"').rows() == [(3,)]
            continue
        with pytest.raises(NotFoundError):
            store.sql(f"FROM {name}")


def test_settings_stay_as_they_are(store):
    engine = store._storage.engine
    with engine._borrowed() as connection:
        settings = dict(connection.execute("SELECT name, value FROM duckdb_settings()").fetchall())
        assert settings["enable_external_access"] == "false"
        assert settings["lock_configuration"] == "true"
        assert settings["temp_directory"] in ("", None, "NULL")
        assert settings["TimeZone"] == "UTC"
        for text in ("SET threads = 1", "SET enable_external_access = true", "COPY (SELECT 1) TO 'x.csv'"):
            with pytest.raises(Exception, match=r"(?i)lock|disabled|permission"):
                connection.execute(text)
