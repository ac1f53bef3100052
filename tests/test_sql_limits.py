"""Limits, stops, progress and forks: a query takes what it may take, and ends when somebody says so."""

import gc
import os
import signal
import threading
import time
import warnings

import pyarrow as pa
import pytest

import foldstore
from foldstore.errors import InvalidQueryError, UsageError

# Minutes of work, and no row before the end.
ENDLESS = "SELECT count(*) FROM range(4_000_000_000) a(i) WHERE hash(i) % 1_000_003 = 7"
# A first row at once, then minutes without one.
LATE = f"SELECT 0 AS n UNION ALL ({ENDLESS})"
# More than the smallest limit holds.
LARGE = "SELECT i, md5(i::VARCHAR) AS s FROM range(3_000_000) t(i) ORDER BY s"


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    with foldstore.connect(tmp_path_factory.mktemp("limits") / "store") as store:
        store.create_dataset("n").append({"i": list(range(500_000))})
        store.view("n@1").where("i % 2 = 0").save("even")
        yield store


def _open_queries(store):
    gc.collect()
    return len(store._storage.engine._running._queries)


class TestTimeout:
    @pytest.mark.parametrize("query", [ENDLESS, LATE])
    def test_a_query_that_takes_too_long_is_stopped(self, store, query):
        started = time.monotonic()
        with pytest.raises(InvalidQueryError, match=r"timeout=0\.2 seconds") as caught:
            store.sql(query, timeout=0.2).rows()
        assert caught.value.code == "query-timeout"
        assert time.monotonic() - started < 60
        assert _open_queries(store) == 0

    def test_what_the_reader_does_between_batches_does_not_count(self, store):
        result = store.sql("FROM n", timeout=2)
        rows = 0
        for batch in result.to_batches():
            time.sleep(0.7)
            rows += batch.num_rows
        assert rows == 500_000

    def test_each_run_of_a_result_has_its_time(self, store):
        result = store.sql("SELECT count(*) FROM n", timeout=30)
        assert result.rows() == result.rows() == [(500_000,)]

    def test_a_view_that_takes_too_long_is_stopped_too(self, store, monkeypatch):
        from foldstore.views.rows.chain_rows import ChainRows

        stream = ChainRows.stream

        def slowly(self, columns, **how):
            for batch in stream(self, columns, **how):
                time.sleep(0.3)
                yield batch

        monkeypatch.setattr(ChainRows, "stream", slowly)
        with pytest.raises(InvalidQueryError) as caught:
            store.sql("SELECT sum(i) FROM even", timeout=0.1)
        assert caught.value.code == "query-timeout"


class TestMemoryAndThreads:
    def test_a_query_that_needs_more_memory_says_which_setting(self, store):
        with pytest.raises(InvalidQueryError, match="memory_limit") as caught:
            store.sql(LARGE, memory_limit="20MB").to_arrow()
        assert caught.value.code == "out-of-memory"
        assert "sql_memory_limit" in str(caught.value.hint)

    def test_a_limit_holds_for_its_call_alone(self, store):
        limit = "SELECT count(*) FROM n"
        assert store.sql(limit, memory_limit="50MB", threads=1).rows() == [(500_000,)]
        assert store.sql(LARGE).to_arrow().num_rows == 3_000_000

    def test_a_limit_of_the_settings_is_named_as_well(self, folder, monkeypatch):
        monkeypatch.setenv("FOLDSTORE_SQL_MEMORY_LIMIT", "20MB")
        with foldstore.connect(folder) as store:
            with pytest.raises(InvalidQueryError) as caught:
                store.sql(LARGE).to_arrow()
            assert caught.value.code == "out-of-memory"
            assert store.sql("SELECT 1").rows() == [(1,)]

    def test_nothing_is_spilled_to_disk(self, store, tmp_path, monkeypatch):
        monkeypatch.chdir(tmp_path)
        with pytest.raises(InvalidQueryError):
            store.sql(LARGE, memory_limit="20MB").to_arrow()
        assert list(tmp_path.iterdir()) == []

    def test_threads_are_those_of_the_call(self, store, monkeypatch):
        from foldstore.datastore import engine

        opened = []
        real = engine.open_database
        monkeypatch.setattr(engine, "open_database", lambda options: opened.append(options) or real(options))
        assert store.sql("SELECT 1", threads=1).rows() == [(1,)]
        (options,) = opened
        assert options.threads == 1
        assert options.memory_limit is None

    @pytest.mark.parametrize(
        "limit",
        [{"memory_limit": "much"}, {"memory_limit": "-1GB"}, {"memory_limit": 5}, {"memory_limit": "1GB; DROP"},
         {"threads": 0}, {"threads": 2.5}, {"threads": True}, {"threads": 10**6}, {"timeout": 0}, {"timeout": -1},
         {"timeout": float("nan")}, {"timeout": float("inf")}, {"timeout": "1"}, {"timeout": True}, {"progress": 1}],
    )  # fmt: skip
    def test_a_limit_that_is_none_is_refused(self, store, limit):
        with pytest.raises(UsageError) as caught:
            store.sql("SELECT 1", **limit)
        assert caught.value.code == "invalid-setting"
        assert next(iter(limit)) in str(caught.value)


class TestProgress:
    def test_it_grows_to_one_and_then_is_silent(self, store):
        told = []
        result = store.sql("SELECT sum(hash(i) % 7) FROM n, range(40)", progress=told.append)
        assert result.to_arrow().num_rows == 1
        assert told == sorted(set(told))
        assert told[-1] == 1
        assert all(0 <= share <= 1 for share in told)
        count = len(told)
        time.sleep(0.3)
        assert len(told) == count

    def test_a_result_that_is_dropped_is_not_told_to_be_done(self, store):
        told = []
        batches = store.sql("SELECT i, random() AS r FROM n, range(20)", progress=told.append).to_batches()
        next(batches)
        batches.close()
        assert 1 not in told
        assert _open_queries(store) == 0

    def test_the_answer_is_the_same_as_without(self, store):
        query = "SELECT a.i % 5 AS k, count(*) AS n FROM n a JOIN n b ON a.i = b.i WHERE a.i > 7 GROUP BY 1 ORDER BY 1"
        assert store.sql(query, progress=lambda _: None).rows() == store.sql(query).rows()

    def test_what_it_raises_stops_the_query(self, store):
        def fail(share):
            raise ZeroDivisionError(share)

        with pytest.raises(ZeroDivisionError):
            store.sql(f"{ENDLESS} AND i IN (FROM n)", progress=fail).rows()
        assert _open_queries(store) == 0


@pytest.fixture
def _heeds_ctrl_c():
    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # which a shell's background has ignored
    yield
    signal.signal(signal.SIGINT, before)


class TestStops:
    @pytest.mark.usefixtures("_heeds_ctrl_c")
    @pytest.mark.parametrize("query", [ENDLESS, LATE])
    def test_ctrl_c_stops_a_query(self, store, query):
        timer = threading.Timer(0.4, os.kill, (os.getpid(), signal.SIGINT))
        timer.start()
        started = time.monotonic()
        with pytest.raises(KeyboardInterrupt):
            store.sql(query).rows()
        assert time.monotonic() - started < 60
        timer.join()
        assert _open_queries(store) == 0
        assert store.sql("SELECT 1").rows() == [(1,)]

    def test_another_thread_stops_a_query(self, store):
        timer = threading.Timer(0.3, store.interrupt)
        timer.start()
        with pytest.raises(InvalidQueryError) as caught:
            store.sql(ENDLESS, memory_limit="1GB").rows()
        assert caught.value.code == "query-stopped"
        timer.join()

    def test_a_result_left_half_read_gives_its_connection_back(self, store):
        for drop in ("batches", "reader", "unread"):
            result = store.sql("SELECT i, random() AS r FROM n, range(20)")
            if drop == "batches":
                next(result.to_batches())
            elif drop == "reader":
                result.to_reader().read_next_batch()
            assert drop in ("batches", "reader", "unread")
            del result
            assert _open_queries(store) == 0

    def test_a_second_reading_runs_the_query_again(self, store):
        result = store.sql("SELECT random() AS r FROM range(3)")
        assert result.rows() != result.rows()

    def test_a_view_is_read_once_however_often_the_query_runs_or_fails(self, store, monkeypatch):
        from foldstore.views.rows.chain_rows import ChainRows

        read = []
        stream = ChainRows.stream
        monkeypatch.setattr(
            ChainRows, "stream", lambda self, columns, **how: read.append(columns) or stream(self, columns, **how)
        )
        result = store.sql("SELECT sum(i) FROM even")
        assert result.rows() == result.rows()
        assert read == [["i"]]
        with pytest.raises(InvalidQueryError, match="Available: i"):
            store.sql("SELECT j FROM even")
        with pytest.raises(InvalidQueryError):
            store.sql("SELECT (i || 'x')::INT FROM even")
        assert len(read) == 3


class TestStreams:
    def test_a_large_answer_streams_in_bounded_memory(self, store):
        before = pa.total_allocated_bytes()
        most = rows = 0
        for batch in store.sql("SELECT i, random() AS r, md5(i::VARCHAR) AS s FROM range(3_000_000) t(i)").to_batches():
            rows += batch.num_rows
            most = max(most, pa.total_allocated_bytes() - before)
        assert rows == 3_000_000
        assert most < 30_000_000

    @pytest.mark.parametrize("verb", ["EXPLAIN", "EXPLAIN ANALYZE", "explain  analyze"])
    def test_plans_are_shown(self, store, verb):
        (row,) = store.sql(f"{verb} SELECT sum(i) FROM n WHERE i > ?", [5]).rows()
        assert "i" in row[-1]


def _in_child(work):
    """Run work in a forked process; return whether it ended well."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        child = os.fork()
    if child == 0:
        code = 1
        try:
            signal.alarm(60)
            code = 0 if work() else 2
        finally:
            os._exit(code)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
class TestForks:
    def test_a_forked_process_asks_a_database_of_its_own(self, store):
        expected = store.sql("SELECT sum(i) FROM even").rows()
        half_read = store.sql("SELECT i, random() FROM n, range(20)").to_batches()
        next(half_read)

        def work():
            parents = store._storage.engine._database
            right = store.sql("SELECT sum(i) FROM even").rows() == expected
            filtered = store.view("n@1").where("i % 3 = 0 AND length(i::VARCHAR) < 99").count() == 166_667
            return parents is None and right and filtered and store._storage.engine._database is not None

        assert _in_child(work) == 0
        half_read.close()
        assert store.sql("SELECT sum(i) FROM even").rows() == expected

    def test_a_child_that_closes_the_store_leaves_the_parents_open(self, store):
        assert _in_child(lambda: store._storage.engine.close() is None) == 0
        assert store.sql("SELECT 1").rows() == [(1,)]

    def test_a_lock_that_was_held_at_the_fork_is_not_waited_for(self, store):
        engine = store._storage.engine
        with engine._lock:
            assert _in_child(lambda: store.sql("SELECT 1").rows() == [(1,)]) == 0

    def test_a_closed_engine_stays_closed(self, folder):
        store = foldstore.connect(folder)
        store.close()

        def work():
            try:
                store.sql("SELECT 1")
            except InvalidQueryError as error:
                return "closed" in str(error)
            return False

        assert _in_child(work) == 0
