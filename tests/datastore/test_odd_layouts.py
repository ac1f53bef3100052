"""Columns whose layout Arrow's own kernels read wrongly, or end the process at, are kept and profiled as they are."""

import math

import numpy as np
import pyarrow as pa
import pytest

import foldstore
from foldstore.datastore.arrow_schema import storage_type
from foldstore.datastore.content_digest import digest_column
from foldstore.datastore.exact_cast import cast_exactly, struct_fields
from foldstore.datastore.memory_size import num_bytes
from foldstore.datastore.statistics.profile import profile_table
from foldstore.errors import SchemaMismatchError, UsageError
from foldstore.validation.schema import DataSchema


def union(mode):
    kinds = pa.array([0, 1, 0, 1], pa.int8())
    if mode == "sparse":
        return pa.UnionArray.from_sparse(kinds, [pa.array([1, 2, 3, 4]), pa.array(list("abcd"))])
    return pa.UnionArray.from_dense(kinds, pa.array([0, 0, 1, 1], pa.int32()), [pa.array([1, 3]), pa.array(["b", "d"])])


def runs(*values, kind=None):
    ends = pa.array(range(1, len(values) + 1), pa.int16())
    return pa.RunEndEncodedArray.from_arrays(ends, pa.array(values, kind))


def struct(*fields, nulls=(False, True, False, False)):
    return pa.StructArray.from_arrays(list(fields), [f"f{at}" for at in range(len(fields))], mask=pa.array(nulls))


def halves(*values):
    codes = pa.array([None if each is None else at for at, each in enumerate(values)], pa.uint16())
    return pa.DictionaryArray.from_arrays(codes, pa.array(np.array([each or 0 for each in values], np.float16)))


def maps(items):
    keys = pa.array([f"k{at}" for at in range(len(items))])
    return pa.MapArray.from_arrays(pa.array([0, 1, 3, len(items)], pa.int32()), keys, items)


VIEWS = pa.array([["a"], None, [], ["b", "long enough to be apart"]], pa.list_(pa.string_view()))
# Per name: the column, and the values that it holds.
LAYOUTS = {
    "sparse union in a struct": (
        struct(union("sparse"), pa.array(["x"] * 4, pa.string_view())),
        [{"f0": 1, "f1": "x"}, None, {"f0": 3, "f1": "x"}, {"f0": "d", "f1": "x"}],
    ),
    "dense union in a struct": (
        struct(pa.array([1, 2, 3, 4], pa.int8()).dictionary_encode(), union("dense")),
        [{"f0": 1, "f1": 1}, None, {"f0": 3, "f1": 3}, {"f0": 4, "f1": "d"}],
    ),
    "runs of views": (runs("a", "", None, "b", kind=pa.string_view()), ["a", "", None, "b"]),
    "runs of lists": (runs(["a"], None, [], kind=VIEWS.type), [["a"], None, []]),
    "runs in a struct": (struct(runs(1, 2, None, 4), pa.array([0] * 4).dictionary_encode()), [
        {"f0": 1, "f1": 0}, None, {"f0": None, "f1": 0}, {"f0": 4, "f1": 0}
    ]),
    "runs in maps": (maps(runs(1, 2, 3, 4)), [[("k0", 1)], [("k1", 2), ("k2", 3)], [("k3", 4)]]),
    "half floats of a dictionary in lists of one size": (
        pa.FixedSizeListArray.from_arrays(halves(0.5, 1.5, None, -1.5), 1, mask=pa.array([False, True, False, False])),
        [[0.5], None, [None], [-1.5]],
    ),
    "views of lists that share items": (
        pa.ListViewArray.from_arrays([1, 0, 1], [2, 2, 1], pa.array([{"a": 1}, {"a": 2}, {"a": None}])),
        [[{"a": 2}, {"a": None}], [{"a": 1}, {"a": 2}], [{"a": 2}]],
    ),
}  # fmt: skip


@pytest.mark.parametrize("start", [0, 1, 2])
@pytest.mark.parametrize("name", LAYOUTS)
def test_every_value_is_kept_from_wherever_a_column_begins(name, start):
    column, values = LAYOUTS[name]
    kept = cast_exactly(column.slice(start), storage_type(column.type), name="x")
    kept.validate(full=True)
    assert kept.to_pylist() == values[start:]


@pytest.mark.parametrize("name", LAYOUTS)
def test_a_store_takes_it_and_tells_of_it(tmp_path, name):
    column, values = LAYOUTS[name]
    store = foldstore.connect(tmp_path)
    version = store.create_dataset("odd").append(pa.table({"x": column}))
    assert version.to_arrow()["x"].to_pylist() == values
    profile = version.profile()
    assert profile.rows == len(values)
    assert profile.columns["x"].nulls == values.count(None)
    assert version.validate(profile.infer_schema()).passed


@pytest.mark.parametrize("name", LAYOUTS)
def test_statistics_are_the_same_however_it_is_cut(name):
    column, values = LAYOUTS[name]
    table = pa.table({"x": column})
    parts = [profile_table(table.slice(at, 1)) for at in range(len(values))]
    assert parts[0].merge(*parts[1:]).id == profile_table(table).id


def test_items_are_counted_that_views_of_lists_share():
    column = LAYOUTS["views of lists that share items"][0]
    inside = profile_table(pa.table({"x": column})).nested["x[].a"]
    assert (inside.rows, inside.nulls, inside.minimum, inside.maximum) == (5, 1, 1, 2)


def test_what_lies_under_the_null_of_a_struct_does_not_count():
    hidden = [struct(union(mode)) for mode in ("sparse", "dense")]
    for column in hidden:
        assert [each.to_pylist() for each in struct_fields(column)] == [[1, None, 3, "d"]]
    first, second = (pa.chunked_array([struct(pa.array([1, under, 3, 4]))]) for under in (2, 9))
    assert digest_column(first) == digest_column(second)


def test_half_floats_of_several_dictionaries_are_joined_as_they_are():
    chunks = pa.chunked_array([halves(0.5, None), halves(-1.5, math.inf)])
    found = profile_table(pa.table({"x": chunks})).columns["x"]
    assert (found.nulls, found.minimum, found.maximum) == (1, -1.5, math.inf)


def test_lists_of_no_items_are_refused(tmp_path):
    table = pa.table({"x": pa.array([[]], pa.list_(pa.string_view(), 0))})
    dataset = foldstore.connect(tmp_path).create_dataset("none")
    with pytest.raises(SchemaMismatchError, match="lists of no items"):
        dataset.append(table)


def test_what_no_statistics_are_made_of_is_named():
    column = pa.ListArray.from_arrays([0, 1], halves(0.5), mask=pa.array([True]))
    with pytest.raises(UsageError, match="Column 'x': no statistics are made of list"):
        profile_table(pa.table({"x": column}))


@pytest.mark.parametrize("mode", ["dense", "sparse"])
def test_unions_in_lists_are_refused_and_end_no_process(tmp_path, mode):
    lists = pa.ListArray.from_arrays(pa.array([0, 0, 0], pa.int32()), union(mode).slice(0, 0))
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, pa.schema({"x": lists.type, "i": pa.int64()})) as writer:
        writer.write_table(pa.table({"x": lists, "i": [1, 2]}))
    table = pa.ipc.open_stream(sink.getvalue()).read_all()  # whose unions have no buffers
    dataset = foldstore.connect(tmp_path).create_dataset("odd")
    for take in (dataset.append, lambda rows: dataset.validate(rows, schema=DataSchema(columns={}))):
        with pytest.raises(SchemaMismatchError, match="unions in lists or maps"):
            take(table)
    assert profile_table(table).columns["x"].empty == 2
    assert num_bytes(table) >= num_bytes(table.select(["i"])) == 16
