"""The online stores: the embedded one and Redis do the same."""

import multiprocessing

import pytest

from foldstore.errors import RefusedError, StoreError, UnreadableError, UsageError
from foldstore.views.online.embedded_store import EmbeddedStore
from foldstore.views.online.redis_store import RedisStore
from foldstore.views.online.store import above
from tests.redis import empty_server
from tests.views.online.conformance import ANNA, VIEW, OnlineStoreConformance, row, value


class TestEmbeddedStore(OnlineStoreConformance):
    @pytest.fixture
    def open_store(self, tmp_path):
        opened = []

        def open_one(**options):
            opened.append(EmbeddedStore(tmp_path / "pushes", **options))
            return opened[-1]

        yield open_one
        for store in opened:
            store.close()

    def test_it_can_be_read_only(self, open_store):
        store = open_store()
        store.write(VIEW, [row(ANNA, 5, b"five")])
        reader = open_store(read_only=True)
        assert value(reader.find(VIEW, [ANNA], above(9))[0]) == b"five"
        with pytest.raises(RefusedError, match="read only"):
            reader.write(VIEW, [row(ANNA, 6, b"six")])

    def test_other_processes_see_and_write_the_same_rows(self, open_store, tmp_path):
        store = open_store()
        store.write(VIEW, [row(ANNA, 5, b"five")])
        for method in ("spawn", "fork"):
            with multiprocessing.get_context(method).Pool(1) as pool:
                assert pool.apply(_see_and_write, (tmp_path / "pushes",)) in (b"five", b"eight")
        assert value(store.find(VIEW, [ANNA], above(9))[0]) == b"eight"

    def test_what_a_parent_opened_is_opened_anew_by_its_child(self, open_store):
        store = open_store()
        store.write(VIEW, [row(ANNA, 5, b"five")])
        queue = multiprocessing.get_context("fork").Queue()
        child = multiprocessing.get_context("fork").Process(
            target=lambda: queue.put(value(store.find(VIEW, [ANNA], above(9))[0]))
        )
        child.start()
        assert queue.get(timeout=60) == b"five"
        child.join()

    def test_a_file_that_is_no_store_is_an_error_in_words(self, tmp_path):
        (tmp_path / "pushes").mkdir()
        (tmp_path / "pushes" / "data.mdb").write_bytes(b"no store" * 4096)
        with pytest.raises(UnreadableError, match="cannot be used"):
            EmbeddedStore(tmp_path / "pushes")

    def test_a_closed_store_says_so(self, open_store):
        store = open_store()
        store.close()
        store.close()
        with pytest.raises(StoreError, match="closed"):
            store.mark()


def _see_and_write(folder):
    store = EmbeddedStore(folder)
    found = value(store.find(VIEW, [ANNA], above(9))[0])
    store.write(VIEW, [row(ANNA, 8, b"eight")])
    store.close()
    return found


class TestRedisStore(OnlineStoreConformance):
    @pytest.fixture
    def open_store(self):
        opened = []
        with empty_server() as (url, prefix):

            def open_one():
                opened.append(RedisStore(url, prefix=prefix))
                return opened[-1]

            yield open_one
            for store in opened:
                store.close()

    def test_a_server_that_does_not_answer_is_an_error_in_words(self):
        pytest.importorskip("redis")
        with pytest.raises(StoreError, match="does not answer") as caught:
            RedisStore("redis://127.0.0.1:1/0", prefix="x")
        assert caught.value.code == "online-store-unreachable"

    def test_what_is_no_url_is_refused(self):
        pytest.importorskip("redis")
        with pytest.raises(UsageError, match="no URL"):
            RedisStore("nonsense", prefix="x")
