"""SQL of strangers runs in a process that holds the rows it may read, is locked, and ends within its limits."""

import io
import os
import threading
import time
from pathlib import Path

import duckdb
import pyarrow as pa
import pytest

from foldstore.api.problem import SqlUnavailableError
from foldstore.api.sandbox import pool as pools
from foldstore.api.sandbox.escapes import find_escapes
from foldstore.api.sandbox.pool import QueryPool
from foldstore.api.sandbox.process import QueryProcess, QueryQuota, SandboxedQuery
from foldstore.errors import InvalidQueryError

ARROW = "application/vnd.apache.arrow.stream"
ROWS = pa.table({"a": list(range(1000)), "s": [f"n{i % 7}" for i in range(1000)]})


@pytest.fixture(scope="module")
def pool():
    pool = QueryPool()
    yield pool
    pool.close()


def asked(query, *, params=None, tables=None, media=ARROW, limit=None):
    tables = {"t": ROWS} if tables is None else tables
    columns = [name for table in tables.values() for name in table.column_names]
    return SandboxedQuery(query=query, params=params, tables=tables, columns=columns, media=media, limit=limit)


def run(pool, query, quota=None, **how):
    answer = b"".join(pool.run(asked(query, **how), quota or QueryQuota()))
    return pa.ipc.open_stream(io.BytesIO(answer)).read_all()


class TestAnswers:
    def test_are_what_the_rows_say(self, pool):
        found = run(pool, "SELECT s, sum(a) AS n FROM t WHERE a >= ? GROUP BY s ORDER BY s", params=[500])
        expected = {}
        for a, s in zip(*ROWS.to_pydict().values(), strict=True):
            if a >= 500:
                expected[s] = expected.get(s, 0) + a
        assert dict(zip(found["s"].to_pylist(), map(int, found["n"].to_pylist()), strict=True)) == expected

    def test_several_tables_of_many_types_arrive_whole(self, pool):
        wide = pa.table(
            {
                "day": pa.array([0, None, 20_000], pa.date32()),
                "words": pa.array([["a"], [], None]),
                "kind": pa.array(["x", "y", "x"]).dictionary_encode(),
                "t": pa.array([1, 2, None], pa.timestamp("us", "UTC")),
            }
        )
        sliced = pa.concat_tables([ROWS.slice(10, 5), ROWS.slice(500, 2)])
        found = run(pool, "SELECT * EXCLUDE (a, s) FROM w, u WHERE u.a = 12", tables={"w": wide, "u": sliced})
        assert found["day"].to_pylist() == wide["day"].to_pylist()
        assert found["words"].to_pylist() == wide["words"].to_pylist()
        assert found["kind"].to_pylist() == ["x", "y", "x"]
        assert run(pool, "SELECT list(a ORDER BY a) AS a FROM u", tables={"u": sliced})["a"].to_pylist() == [
            [10, 11, 12, 13, 14, 500, 501]
        ]

    def test_nothing_is_left_for_the_next_query(self, pool):
        run(pool, "WITH mine AS (SELECT 1 AS x) SELECT x FROM mine")
        with pytest.raises(Exception, match="no table"):
            run(pool, "FROM mine")

    def test_errors_keep_their_class_their_code_and_their_hint(self, pool):
        with pytest.raises(InvalidQueryError) as caught:
            run(pool, "SELECT aa FROM t")
        assert caught.value.code == "invalid-query"
        assert "Available: a, s" in caught.value.hint


class TestLimits:
    @pytest.mark.parametrize(
        ("query", "code"),
        [
            ("SELECT count(*) FROM range(100_000_000_000) r(i) WHERE i % 7 = 3", {"query-timeout"}),
            (
                "WITH RECURSIVE r AS (SELECT 1 AS n UNION ALL SELECT n + 1 FROM r) SELECT sum(n) FROM r",
                {"query-timeout"},
            ),
            ("SELECT count(*) FROM t a, t b, t c, t d WHERE a.a + b.a + c.a + d.a = -1", {"query-timeout"}),
            ("SELECT length(repeat('x', 3_000_000_000))", {"out-of-memory"}),
            (
                "SELECT sum(length(repeat('x', 100_000_000 + i::INTEGER))) FROM range(100_000) r(i)",
                {"query-timeout", "query-stopped", "out-of-memory"},
            ),
            ("SELECT list(i) FROM range(1_000_000_000) r(i)", {"query-timeout", "out-of-memory", "query-stopped"}),
        ],
    )
    def test_a_bomb_is_stopped_and_the_next_query_runs(self, pool, query, code):
        began = time.monotonic()
        with pytest.raises(InvalidQueryError) as caught:
            run(pool, query, QueryQuota(seconds=1.0, memory=1 << 28))
        assert caught.value.code in code
        assert time.monotonic() - began < 40  # not the query's own time, which is for ever
        assert run(pool, "SELECT count(*) AS n FROM t")["n"].to_pylist() == [1000]

    def test_an_answer_without_end_is_broken_off(self, pool):
        pieces = pool.run(asked("SELECT * FROM range(1_000_000_000)"), QueryQuota(answer_bytes=1 << 20))
        with pytest.raises(InvalidQueryError) as caught:
            for _ in pieces:
                pass
        assert caught.value.code == "answer-too-large"

    def test_rows_beyond_the_limit_are_not_read(self, pool):
        with pytest.raises(InvalidQueryError) as caught:
            run(pool, "SELECT * FROM t", QueryQuota(rows_bytes=100))
        assert caught.value.code == "query-too-large"

    def test_who_does_not_listen_any_more_ends_the_process(self):
        process = QueryProcess()
        pieces = process.run(asked("SELECT * FROM range(1_000_000_000)"), QueryQuota())
        next(pieces)
        pieces.close()
        with pytest.raises(ProcessLookupError):
            os.kill(process.pid, 0)

    def test_a_process_that_is_killed_costs_its_own_query_alone(self):
        process = QueryProcess()
        pieces = process.run(asked("SELECT * FROM range(1_000_000_000)"), QueryQuota())
        next(pieces)
        os.kill(process.pid, 9)
        with pytest.raises(InvalidQueryError) as caught:
            for _ in pieces:
                pass
        assert caught.value.code == "query-stopped"

    def test_more_queries_than_may_run_at_once_wait_for_each_other(self):
        pool = QueryPool(most=1)
        found = []
        threads = [
            threading.Thread(target=lambda: found.append(run(pool, "SELECT count(*) AS n FROM t")["n"][0].as_py()))
            for _ in range(3)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        pool.close()
        assert found == [1000] * 3


class TestEscapes:
    def test_none_succeeds_in_a_process_for_queries(self):
        assert QueryProcess().try_escapes(QueryQuota(memory=1 << 28)) == []

    def test_they_are_found_where_nothing_is_locked(self, tmp_path, monkeypatch):
        from foldstore.api.sandbox import escapes

        open_ways = {
            "read a file as text": f"SELECT content FROM read_text('{__file__}')",
            "write a file": f"COPY (SELECT 1) TO '{tmp_path}/out.csv'",
            "name a file as a table": f"SELECT content FROM read_blob('{__file__}')",
            "use more threads": "SET threads = 2",
        }
        monkeypatch.setattr(escapes, "_STATEMENTS", open_ways)
        with duckdb.connect(":memory:") as connection:
            found = find_escapes(connection)
        assert set(open_ways) <= set(found)
        assert {"open a file", "open a socket", "open a pipe", "start a program"} <= set(found)

    def test_sql_is_not_offered_where_one_succeeds(self, monkeypatch):
        monkeypatch.setattr(pools, "_escapes", lambda: ("read a file as text",))
        with pytest.raises(SqlUnavailableError):
            QueryPool().check()
        with pytest.raises(SqlUnavailableError):
            run(QueryPool(), "SELECT 1")

    def test_a_process_has_no_environment_and_no_file_of_the_server(self):
        process = QueryProcess()
        pieces = process.run(asked("SELECT * FROM range(1_000_000_000)"), QueryQuota())
        try:
            next(pieces)  # it has read the modules that it needs
            inside = Path(f"/proc/{process.pid}")
            assert b"=" not in inside.joinpath("environ").read_bytes().replace(b"LC_CTYPE=C.UTF-8", b"")
            # The standard three, which lead nowhere, one end of the pair of sockets, and the nameless file of tables.
            open_files = [str(each.readlink()) for each in inside.joinpath("fd").iterdir() if each.is_symlink()]
            others = [each for each in open_files if each != "/dev/null" and not each.startswith("socket:")]
            given = {each for each in others if each.endswith(" (deleted)")}
            assert len(given) == 1
            assert all(each.startswith(("anon", "/proc")) for each in others if each not in given)
        finally:
            pieces.close()
