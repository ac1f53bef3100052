"""Rows that do not fit in memory are laid out range by range, into the very file that all at once would make."""

import tracemalloc
from decimal import Decimal

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from foldstore.views.features.aggregation import Aggregation
from foldstore.views.features.entity import Entity
from foldstore.views.features.feature_view import FeatureView
from foldstore.views.features.window_index import compute_steps
from foldstore.views.online import key_ranges, materialize, sorted_rows
from foldstore.views.online.materialize import Work, materialize_view
from foldstore.views.online.reader import OnlineReader
from foldstore.views.splits.hashing import hash_keys
from tests.views.online.rides import driver_view, ride_table

ROW = st.fixed_dictionaries(
    {
        "driver": st.none() | st.text(alphabet="abcé", max_size=2),
        "ts": st.none() | st.integers(0, 4),
        "created": st.none() | st.integers(0, 2),
        "x": st.none() | st.integers(-(2**63), 2**63 - 1),
        "f": st.none() | st.floats(width=32),
        "s": st.none() | st.text(max_size=3),
        "b": st.none() | st.booleans(),
        "t": st.none() | st.integers(0, 9),
    }
)
KINDS = {
    "n": (pa.list_(pa.int64()), st.lists(st.integers(0, 9), max_size=3)),
    "m": (pa.decimal128(5, 2), st.sampled_from([Decimal("1.25"), Decimal("-3.00")])),
    "l": (pa.large_string(), st.text(max_size=3)),
    "y": (pa.binary(2), st.binary(min_size=2, max_size=2)),
    "o": (pa.null(), st.none()),
}


@pytest.fixture(autouse=True)
def few_rows_at_once(monkeypatch):
    """Lots of a few rows, so that small tables are put aside in many."""
    monkeypatch.setattr(key_ranges, "_ROWS_AT_ONCE", 3)


@settings(max_examples=30, deadline=None)
@given(st.lists(ROW, max_size=30), st.integers(0, 2_000), st.none() | st.integers(0, 4), st.integers(1, 7))
def test_law_ranges_make_the_file_that_all_at_once_makes(tmp_path_factory, rows, memory, since, size):
    folder = tmp_path_factory.mktemp("online")
    table, view = ride_table(rows), driver_view()
    at = None if since is None else since * 10**9
    whole = materialize_view(table, view, folder, sources=["rides@1"], since=at)
    reader = pa.RecordBatchReader.from_batches(table.schema, table.to_batches(max_chunksize=size))
    parts = materialize_view(reader, view, folder, sources=["rides@1"], since=at, work=Work(memory=memory))
    assert parts == whole
    assert [path.name for path in folder.iterdir()] == [whole.path.name]


@settings(max_examples=12, deadline=None)
@given(st.data())
def test_law_values_of_every_type_are_joined(tmp_path_factory, data):
    folder = tmp_path_factory.mktemp("online")
    count = data.draw(st.integers(1, 25))
    columns = {"driver": pa.array([str(number % 9) for number in range(count)])}
    columns["ts"] = pa.array(np.arange(count), pa.timestamp("s", "UTC"))
    for name, (kind, values) in KINDS.items():
        columns[name] = pa.array(data.draw(st.lists(st.none() | values, min_size=count, max_size=count)), kind)
    view = driver_view(features=list(KINDS), created_time=None)
    whole = materialize_view(pa.table(columns), view, folder)
    assert materialize_view(pa.table(columns), view, folder, work=Work(memory=100)) == whole


def test_dictionaries_of_several_ranges_are_put_together(tmp_path):
    names = pa.array([None if number % 7 == 0 else f"n{number % 5}" for number in range(60)])
    parts = [pa.chunked_array([names[:30].dictionary_encode(), names[30:].dictionary_encode()])]
    table = pa.table(
        {
            "driver": [str(number % 40) for number in range(60)],
            "ts": pa.array(range(60), pa.timestamp("s", "UTC")),
            "s": parts[0],
        }
    )
    view = driver_view(features=["s"], created_time=None)
    whole = OnlineReader(materialize_view(table, view, tmp_path).path)
    cut = OnlineReader(materialize_view(table, view, tmp_path, work=Work(memory=100)).path)
    assert cut.column("s").type == whole.column("s").type
    assert cut.column("s").to_pylist() == whole.column("s").to_pylist()


def test_keys_that_collide_in_a_range_choose_another_salt_for_the_file(tmp_path, monkeypatch):
    def collide_twice(columns, salt):
        hashes = hash_keys(columns, salt)
        return hashes // 2**59 * 2**59 if salt in ("online/0", "online/1") else hashes

    rows = [{"driver": f"d{number}", "ts": number % 3, "x": number} for number in range(50)]
    monkeypatch.setattr(sorted_rows, "hash_keys", collide_twice)
    whole = materialize_view(ride_table(rows), driver_view(), tmp_path)
    assert materialize_view(ride_table(rows), driver_view(), tmp_path, work=Work(memory=300)) == whole
    assert OnlineReader(whole.path).header.salt == "online/2"


def test_rows_that_are_never_found_make_an_empty_file(tmp_path):
    rows = [{"driver": None, "ts": 1}] * 20
    made = materialize_view(ride_table(rows), driver_view(), tmp_path, work=Work(memory=1))
    assert (made.num_rows, made.num_entities) == (0, 0)
    assert OnlineReader(made.path).search([["a"]], 0).statuses == ["NOT_FOUND"]


def test_a_view_without_keys_is_one_entity(tmp_path):
    table = ride_table([{"driver": "a", "ts": number, "x": number} for number in range(20)])
    view = FeatureView("all", source="rides", event_time="ts", features=["x"])
    whole = materialize_view(table, view, tmp_path)
    assert materialize_view(table, view, tmp_path, work=Work(memory=1)) == whole


def test_windows_of_ranges_are_those_of_all_rows(tmp_path):
    chance = np.random.default_rng(3)
    table = pa.table(
        {
            "id": chance.integers(0, 40, 600),
            "ts": pa.array(chance.integers(0, 10**5, 600), pa.timestamp("s", "UTC")),
            "x": chance.normal(size=600) * 10.0 ** chance.integers(-9, 9, 600),
        }
    )
    windows = [
        Aggregation(function, "x", time_window="2h") for function in ("sum", "std", "distinct", "last", "max")
    ] + [Aggregation("quantile", "x", time_window="3h", window="session", quantile=0.3)]
    view = FeatureView("v", entity=Entity("e", keys={"id": "int64"}), source="s", event_time="ts", aggregations=windows)
    seen = []

    def compute(rows):
        seen.append(rows.num_rows)
        return compute_steps(view, rows)

    whole = materialize_view(compute(table), view, tmp_path)
    work = Work(compute=compute, weigh=lambda rows: rows.num_rows, memory=100)
    assert materialize_view(table, view, tmp_path, work=work) == whole
    assert len(seen) > 6
    assert max(seen[1:]) <= 100


def test_what_is_held_does_not_grow_with_the_table(tmp_path, monkeypatch):
    monkeypatch.setattr(key_ranges, "_ROWS_AT_ONCE", 2_000)
    view = driver_view(features=["x", "s"], created_time=None)
    memory = 200_000

    def rows(count):
        for start in range(0, count, 1_000):
            numbers = np.arange(start, start + 1_000)
            yield pa.record_batch(
                {
                    "driver": pa.array(np.char.add("d", (numbers % 7_919).astype(str))),
                    "ts": pa.array(numbers, pa.timestamp("s", "UTC")),
                    "x": pa.array(numbers),
                    "s": pa.array(np.char.add("text ", numbers.astype(str))),
                }
            )

    def peak(count):
        """Return how much Arrow and numpy held at most, less than a tenth of which may come from elsewhere."""
        reader = pa.RecordBatchReader.from_batches(next(rows(1_000)).schema, rows(count))
        pool = pa.proxy_memory_pool(pa.default_memory_pool())
        before = pa.default_memory_pool()
        pa.set_memory_pool(pool)
        tracemalloc.start()
        try:
            materialize_view(reader, view, tmp_path, work=Work(memory=memory))
            return pool.max_memory() + tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()
            pa.set_memory_pool(before)

    small, large = peak(20_000), peak(100_000)
    assert large < 1.3 * small
    assert large < 12 * memory


def test_the_rows_of_a_range_are_held_alone(tmp_path, monkeypatch):
    sizes = []
    sort = materialize.sort_rows
    monkeypatch.setattr(materialize, "sort_rows", lambda table, *rest: sizes.append(table.nbytes) or sort(table, *rest))
    rows = [{"driver": f"d{number % 500}", "ts": number, "x": number} for number in range(4_000)]
    materialize_view(ride_table(rows), driver_view(), tmp_path, work=Work(memory=20_000))
    assert len(sizes) > 10
    assert max(sizes) <= 20_000
