"""Indexes in files: what is mapped finds what was built, in parts too; what was torn is told."""

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from foldstore.errors import CorruptObjectError
from foldstore.views.features.index_file import IndexedColumns, PartitionedIndex, open_index, write_index
from foldstore.views.features.sorted_index import Lookback
from foldstore.views.time_column import to_nanoseconds

FAR = 2**63 - 2
times = st.integers(-3, 6) | st.sampled_from([-FAR, -(10**9), 10**9, FAR])
numbers = st.integers(-2, 3) | st.sampled_from([-(2**63), 2**40, 2**63 - 1])
VALUES = {
    "int64": numbers,
    "uint64": st.sampled_from([0, 1, 2**63, 2**64 - 1]),
    "int8": st.integers(-2, 2),
    "string": st.sampled_from(["", "a", "né", "b"]),
    "binary": st.sampled_from([b"", b"a", b"\0"]),
    "bool": st.booleans(),
    "date32": st.integers(-1, 2),
}
KEYS = [(), *((kind,) for kind in VALUES), ("int64", "string"), ("int64", "int64", "int64"), ("string", "bool")]


def table_of(rows, kinds):
    columns = {f"k{n}": pa.array([row[0][n] for row in rows], pa.type_for_alias(kind)) for n, kind in enumerate(kinds)}
    for name, place in (("event", 1), ("created", 2)):
        columns[name] = pa.array([row[place] for row in rows], pa.int64()).cast(pa.timestamp("ns"))
    whole = pa.table(columns)
    return pa.concat_tables([whole.slice(0, 7), whole.slice(7, 5), whole.slice(12)])


@pytest.mark.parametrize("kinds", KEYS, ids=["-".join(kinds) or "none" for kinds in KEYS])
@settings(max_examples=25)
@given(
    data=st.data(),
    rules=st.builds(
        Lookback,
        ttl_nanoseconds=st.sampled_from([0, 3, FAR]),
        allow_exact_match=st.booleans(),
        filter_by_created_timestamp=st.booleans(),
    ),
    parts=st.sampled_from([1, 3, 100]),
)
def test_law_a_mapped_index_finds_what_a_built_one_finds(tmp_path_factory, kinds, data, rules, parts):
    key = st.tuples(*(st.none() | VALUES[kind] for kind in kinds))
    rows = data.draw(st.lists(st.tuples(key, st.none() | times, st.none() | times), max_size=25))
    asked = data.draw(st.lists(st.tuples(key, st.none() | times), max_size=25))
    table = table_of(rows, kinds)
    columns = IndexedColumns(
        keys={f"k{n}": kind for n, kind in enumerate(kinds)}, event_time="event", created_time="created"
    )
    path = tmp_path_factory.mktemp("index") / "a.asof"
    write_index(table, columns, path, rows_in_memory=parts)
    mapped = open_index(table, columns.keys, path)
    assert list(path.parent.iterdir()) == [path]
    keys = [
        pa.chunked_array([pa.array([k[n] for k, _ in asked], pa.type_for_alias(kind))]) for n, kind in enumerate(kinds)
    ]
    at = to_nanoseconds(pa.array([at for _, at in asked], pa.int64()).cast(pa.timestamp("ns")))
    expected = columns.build(table).search(keys, at, rules).visible_rows()
    found = mapped.find_visible(keys, at, rules)
    assert found.in_order().tolist() == expected.tolist()
    assert mapped.find_visible(keys, at, rules, found.askers).in_order().tolist() == expected.tolist()
    backwards = np.arange(len(asked))[::-1].copy()
    assert mapped.find_visible(keys, at, rules, backwards).in_order().tolist() == expected.tolist()


@pytest.fixture
def made(tmp_path):
    rng = np.random.default_rng(3)
    table = pa.table(
        {"id": rng.integers(0, 300, 20_000), "ts": pa.array(rng.integers(0, 10**6, 20_000), pa.timestamp("us"))}
    )
    columns = IndexedColumns(keys={"id": "int64"}, event_time="ts", created_time=None)
    write_index(table, columns, tmp_path / "a.asof", rows_in_memory=6_000)
    return table, columns, tmp_path / "a.asof"


def test_a_large_table_is_in_parts_and_equal(made):
    table, columns, path = made
    mapped = open_index(table, columns.keys, path)
    assert isinstance(mapped, PartitionedIndex)
    assert mapped.num_parts == 4
    rng = np.random.default_rng(4)
    ids = [pa.chunked_array([rng.integers(-5, 310, 9_000)])]
    at = to_nanoseconds(pa.array(rng.integers(0, 10**6, 9_000), pa.timestamp("us")))
    rules = Lookback(ttl_nanoseconds=10**7)
    expected = columns.build(table).search(ids, at, rules).visible_rows()
    assert 0 < (expected >= 0).sum() < 9_000
    assert mapped.find_visible(ids, at, rules).in_order().tolist() == expected.tolist()


def test_arrays_are_mapped_and_not_copied(made):
    table, columns, path = made
    before = pa.total_allocated_bytes()
    mapped = open_index(table, columns.keys, path)
    assert pa.total_allocated_bytes() - before < 10_000
    assert mapped.table is table


@pytest.mark.parametrize("place", [0.2, 0.5, 0.9])
def test_a_byte_that_changed_is_told(made, place):
    table, columns, path = made
    data = bytearray(path.read_bytes())
    data[int(len(data) * place)] ^= 1
    path.write_bytes(data)
    with pytest.raises(CorruptObjectError, match=r"a\.asof is no index of this table"):
        open_index(table, columns.keys, path)


@pytest.mark.parametrize("size", [0, 10, 5_000, 100_000])
def test_a_file_that_was_cut_short_is_told(made, size):
    table, columns, path = made
    path.write_bytes(path.read_bytes()[:size])
    with pytest.raises(CorruptObjectError):
        open_index(table, columns.keys, path)


def test_an_index_of_another_table_is_told(made):
    table, columns, path = made
    with pytest.raises(CorruptObjectError):
        open_index(table.slice(1), columns.keys, path)
