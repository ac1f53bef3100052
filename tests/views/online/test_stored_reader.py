"""Rows of versions in an online store: they answer as the files do, whole or not at all."""

import itertools
import uuid

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from foldstore.errors import ConflictError, RefusedError, SchemaMismatchError, StoreError
from foldstore.views.features.feature_view import FeatureView
from foldstore.views.online import stored_reader
from foldstore.views.online.layered import LayeredReader
from foldstore.views.online.pushed_rows import OutdatedError, PushedRows
from foldstore.views.online.redis_store import RedisStore
from foldstore.views.online.store import BaseRow, above, pack_times
from foldstore.views.online.stored_reader import StoredReader, copy_file, file_id, find_stored_file
from tests.redis import empty_server
from tests.views.online.rides import SECOND, driver_view, open_view, ride_table
from tests.views.online.test_changes import DRIVERS, KEYED, VIEW, answers, lay

ANNA, BERT, FILE = b"a" * 16, b"b" * 16, b"file-one"
FIRST, LAST = -(2**63), 2**63 - 1


@pytest.fixture
def store():
    with empty_server() as (url, prefix):
        opened = RedisStore(url, prefix=prefix)
        yield opened
        opened.close()


def stored(store, files, known=0):
    """Return the reader of files in the store, and that of the files themselves, under the same pushes."""
    for file in files:
        copy_file(file, store.base)
    pushed = PushedRows(store, VIEW, files[0].schema, known)
    found = tuple(find_stored_file(store.base, file.address) for file in files)
    return StoredReader(store, found, pushed), LayeredReader(tuple(files), pushed)


PUSHES = st.lists(
    st.tuples(
        st.sampled_from(DRIVERS), st.integers(0, 7), st.none() | st.integers(0, 3), st.none() | st.integers(0, 99)
    ),
    max_size=6,
)


@pytest.fixture(scope="module")
def server():
    with empty_server() as found:
        yield found


@settings(max_examples=25, deadline=None)
@given(st.lists(KEYED, min_size=1, max_size=4), PUSHES, PUSHES, st.integers(0, 1))
def test_files_and_pushes_in_the_store_answer_as_files_and_pushes_do(
    tmp_path_factory, server, states, before, after, deletes
):
    folder = tmp_path_factory.mktemp("online")
    tables = [[{"driver": driver, "ts": ts, **rest} for (driver, ts), rest in state.items()] for state in states]
    base = LayeredReader((open_view(ride_table(tables[0]), VIEW, folder),))
    for old, new in itertools.pairwise(tables):
        removed = [row for row in old if row not in new]
        base = lay(base, [row for row in new if row not in old], removed, folder, unique=True)
    url, prefix = server
    store = RedisStore(url, prefix=f"{prefix}:{uuid.uuid4().hex}")
    pushed = PushedRows(store, VIEW, base.files[0].schema)
    mark = 0
    for rows in (before, after):
        for driver, ts, created, x in rows:
            table = ride_table([{"driver": driver, "ts": ts, "x": x}]).select(base.files[0].schema.names)
            known = FIRST if created is None else created * SECOND
            pushed.write([(driver,)], [(ts * SECOND, known)], None if deletes and x is None else table)
        mark = store.mark() if rows is before else mark
    kept, files = stored(store, base.files, mark)
    assert answers(kept) == answers(files)
    assert [kept.latest((driver,)) for driver in DRIVERS] == [files.latest((driver,)) for driver in DRIVERS]
    store.close()


def test_every_type_of_a_feature_comes_back_to_the_bit(store, tmp_path):
    rows = [
        {"driver": "Zoë", "ts": 1, "x": -(2**63), "f": float("nan"), "d": -0.0, "s": "", "b": False, "t": -(10**15)},
        {"driver": "a", "ts": 1},
    ]
    table = ride_table(rows)
    more = {
        "list": pa.array([[1, None], None], pa.list_(pa.int32())),
        "words": pa.array(["x", "y"]).dictionary_encode(),
        "ns": pa.array([1, None], pa.timestamp("ns")),
        "raw": pa.array([b"\x00\xff", None], pa.large_binary()),
    }
    for name, column in more.items():
        table = table.append_column(name, column)
    view = driver_view(features=("x", "f", "d", "s", "b", "t", *more))
    file = open_view(table, view, tmp_path)
    copy_file(file, store.base)
    kept = StoredReader(store, (find_stored_file(store.base, file.address),))
    found, there = (reader.search([["a", "Zoë", "nobody"]], 9 * SECOND) for reader in (kept, file))
    assert (found.event_times, found.statuses) == (there.event_times, there.statuses)
    for name in view.features:
        mine = found.layers[0].column(name).take(pa.array(found.rows, mask=[row < 0 for row in found.rows]))
        other = file.column(name).take(pa.array(there.rows, mask=[row < 0 for row in there.rows]))
        assert mine.type == other.type
        assert repr(mine.to_pylist()) == repr(other.to_pylist())


def test_what_the_store_says_of_a_file_is_what_the_file_is(store, tmp_path):
    file = open_view(ride_table([{"driver": "a", "ts": 1, "x": 1}]), VIEW, tmp_path)
    kept, files = stored(store, [file])
    assert (kept.view, kept.sources, kept.schema) == (files.view, files.sources, file.schema)
    assert (kept.num_rows, kept.num_bytes, kept.num_changes) == (1, file.num_bytes, 0)


def test_a_view_without_keys_and_one_without_rows_are_served(store, tmp_path):
    none = open_view(ride_table([]), VIEW, tmp_path)
    assert stored(store, [none])[0].search([["a"]], SECOND).statuses == ["NOT_FOUND"]
    view = FeatureView("stats", source="rides", event_time="ts", features=["x"])
    file = open_view(ride_table([{"driver": "a", "ts": 1, "x": 7}]), view, tmp_path)
    copy_file(file, store.base)
    kept = StoredReader(store, (find_stored_file(store.base, file.address),))
    assert kept.prepare_row([], ["x"])({}, SECOND) == ([7], SECOND, "PRESENT")
    found = kept.search([], SECOND, count=2)
    assert found.layers[0].cells["x"].many(found.rows) == [7, 7]


def test_an_entity_whose_rows_lie_in_several_parts_has_them_all(store, tmp_path, monkeypatch):
    monkeypatch.setattr(stored_reader, "_AT_ONCE", 2)
    rows = [
        {"driver": driver, "ts": ts, "x": ts}
        for driver, count in (("a", 5), ("b", 1), ("Zoë", 2))
        for ts in range(count)
    ]
    kept, files = stored(store, [open_view(ride_table(rows), VIEW, tmp_path)])
    assert answers(kept) == answers(files)


def test_keys_that_are_no_keys_are_refused_as_by_files(store, tmp_path):
    kept, _ = stored(store, [open_view(ride_table([{"driver": "a", "ts": 1}]), VIEW, tmp_path)])
    with pytest.raises(SchemaMismatchError, match="not a value of type string"):
        kept.search([[7]], SECOND)
    with pytest.raises(SchemaMismatchError, match="'driver' is missing"):
        kept.prepare_row(["driver"], ["x"])({}, SECOND)
    with pytest.raises(SchemaMismatchError, match="not columns of one length"):
        kept.search([["a"], ["b"]], SECOND)


def test_the_ends_of_int64_are_instants(store, tmp_path):
    kept, files = stored(store, [open_view(ride_table([{"driver": "a", "ts": 1, "x": 1}]), VIEW, tmp_path)])
    for at in (FIRST, LAST):
        assert kept.prepare_row(["driver"], ["x"])({"driver": "a"}, at) == files.prepare_row(["driver"], ["x"])(
            {"driver": "a"}, at
        )


class TestFilesOfTheStore:
    def parts(self, *lots):
        every = [entity for lot in lots for entity, _, _ in lot]
        lots = [
            [BaseRow(entity, pack_times(event, 0), value, every.count(entity) == 1) for entity, event, value in lot]
            for lot in lots
        ]
        return len(lots), lots.__getitem__

    def newest(self, store, entity, at=9):
        over = store.base.find_over([FILE], b"view-one", [entity], above(at))
        return over.complete, None if over.rows[0][0] is None else over.rows[0][0].value

    def test_a_file_is_there_when_all_of_it_is(self, store):
        count, read = self.parts([(ANNA, 1, b"one")], [(ANNA, 5, b"five"), (BERT, 2, b"two")])

        def killed(part):
            if part == 1:
                raise KeyboardInterrupt
            return read(part)

        with pytest.raises(KeyboardInterrupt):
            store.base.put(FILE, b"about", count, killed)
        assert store.base.about(FILE) is None
        assert not self.newest(store, ANNA)[0]
        taken = []
        assert store.base.put(FILE, b"about", count, lambda part: taken.append(part) or read(part))
        assert taken == [1]  # the first was there
        assert [self.newest(store, ANNA, at) for at in (0, 4, 5)] == [(True, None), (True, b"one"), (True, b"five")]
        assert not store.base.put(FILE, b"about", count, lambda part: taken.append(part) or read(part))
        assert taken == [1]

    def test_two_that_write_a_file_at_once_write_one(self, store):
        count, read = self.parts([(ANNA, 1, b"one")], [(BERT, 2, b"two")])
        begun = []

        def other_first(part):
            if not begun:
                begun.append(part)
                store.base.put(FILE, b"about", count, read)
            return read(part)

        store.base.put(FILE, b"about", count, other_first)
        assert self.newest(store, BERT) == (True, b"two")

    def test_what_is_removed_while_it_is_written_is_not_there(self, store):
        count, read = self.parts([(ANNA, 1, b"one")], [(BERT, 2, b"two")])

        def removed_between(part):
            if part == 1:
                store.base.remove(FILE)
            return read(part)

        with pytest.raises(ConflictError, match="removed"):
            store.base.put(FILE, b"about", count, removed_between)
        assert store.base.about(FILE) is None
        assert store.base.put(FILE, b"about", count, read)
        assert self.newest(store, ANNA) == (True, b"one")

    def test_nothing_is_left_of_what_is_removed(self, store):
        before = set(store.base._server.ask("KEYS", store.base._server.name(b"*")))
        count, read = self.parts([(ANNA, 1, b"one")], [(ANNA, 5, b"five"), (BERT, 2, b"two")])
        store.base.put(FILE, b"about", count, read)
        assert set(store.base.files()) == {FILE}
        store.base.remove(FILE)
        assert set(store.base._server.ask("KEYS", store.base._server.name(b"*"))) == before
        assert store.base.files() == {}
        store.base.remove(FILE)

    def test_a_file_of_no_rows_is_there(self, store):
        store.base.put(FILE, b"about", 0, None)
        assert self.newest(store, ANNA) == (True, None)

    def test_many_entities_are_asked_at_once(self, store):
        entities = [number.to_bytes(16, "big") for number in range(20_000)]
        rows = [BaseRow(entity, pack_times(1, 0), entity, True) for entity in entities[:10_000]]
        count, read = 1, lambda _: rows
        store.base.put(FILE, b"about", count, read)
        found = store.base.find_over([FILE], b"view-one", entities, above(1)).rows[0]
        assert [each and each.value for each in found] == entities[:10_000] + [None] * 10_000

    def test_a_server_that_drops_rows_is_refused(self, store, monkeypatch):
        monkeypatch.setattr(store.base._server, "memory_policy", lambda: "allkeys-lru")
        with pytest.raises(RefusedError, match="allkeys-lru") as caught:
            store.base.put(FILE, b"about", 0, None)
        assert caught.value.code == "online-store-forgets"

    def test_a_lookup_in_a_file_that_is_gone_is_told_so(self, store, tmp_path):
        file = open_view(ride_table([{"driver": "a", "ts": 1, "x": 1}]), VIEW, tmp_path)
        kept, _ = stored(store, [file])
        store.base.remove(file_id(file.address))
        with pytest.raises(OutdatedError):
            kept.search([["a"]], SECOND)
        with pytest.raises(StoreError, match="Materialize") as caught:
            find_stored_file(store.base, file.address)
        assert caught.value.code == "online-rows-missing"
