"""What columns are kept as: plain arrays at every depth, and no extension types anywhere."""

import math

import polars as pl
import pyarrow as pa
import pytest

from foldstore.datastore.arrow_schema import check_columns, storage_type
from foldstore.errors import FoldstoreError, SchemaMismatchError


@pytest.mark.parametrize(
    ("found", "kept"),
    [
        (pa.string_view(), pa.string()),
        (pa.list_(pa.string_view()), pa.list_(pa.string())),
        (pa.large_list_view(pa.binary_view()), pa.large_list(pa.binary())),
        (pa.list_(pa.string_view(), 2), pa.list_(pa.string(), 2)),
        (pa.struct({"a": pa.list_(pa.string_view())}), pa.struct({"a": pa.list_(pa.string())})),
        (pa.map_(pa.string_view(), pa.string_view()), pa.map_(pa.string(), pa.string())),
        (pa.dictionary(pa.int8(), pa.string_view()), pa.dictionary(pa.int32(), pa.string())),
        (pa.dictionary(pa.uint32(), pa.large_string()), pa.dictionary(pa.int32(), pa.large_string())),
        (pa.dictionary(pa.int32(), pa.float64()), pa.float64()),
        (pa.dictionary(pa.int32(), pa.list_(pa.string_view())), pa.list_(pa.string())),
        (pa.list_(pa.dictionary(pa.int8(), pa.string())), pa.list_(pa.string())),
        (pa.run_end_encoded(pa.int32(), pa.string_view()), pa.string()),
        (pa.list_(pa.field("item", pa.int8(), nullable=False)), pa.list_(pa.int8())),
        (pa.decimal32(5, 2), pa.decimal128(5, 2)),
        (pa.struct({"d": pa.decimal64(12, 2)}), pa.struct({"d": pa.decimal128(12, 2)})),
        (pa.int8(), pa.int8()),
    ],
    ids=str,
)
def test_a_type_is_kept_as_a_plain_one_at_every_depth(found, kept):
    assert storage_type(found) == kept
    assert storage_type(kept) == kept


@pytest.mark.parametrize(
    "kind",
    [
        pa.uuid(),
        pa.list_(pa.uuid()),
        pa.struct({"a": pa.map_(pa.string(), pa.uuid())}),
        pa.list_(pa.field("item", pa.binary(16), metadata={"ARROW:extension:name": "arrow.uuid"})),
        pa.sparse_union([pa.field("a", pa.string_view())]),
    ],
    ids=str,
)
def test_what_cannot_be_kept_is_refused_at_every_depth(kind):
    with pytest.raises(SchemaMismatchError, match="Column 'odd'"):
        check_columns(pa.schema([("fine", pa.int8()), ("odd", kind)]))


def test_an_ordinary_polars_frame_can_be_kept_and_asked(store):
    frame = pl.DataFrame(
        {
            "text": ["a", "b"],
            "list": [["x"], None],
            "struct": [{"s": "u"}, {"s": None}],
            "category": pl.Series(["c", "d"], dtype=pl.Categorical),
            "categories": pl.Series([["c"], ["d"]], dtype=pl.List(pl.Categorical)),
            "enum": pl.Series(["lo", "hi"], dtype=pl.Enum(["lo", "hi"])),
            "array": pl.Series([[1, 2], [3, 4]], dtype=pl.Array(pl.Int8, 2)),
        }
    )
    version = store.create_dataset("frame").append(frame)
    assert version.to_arrow().to_pylist() == frame.to_dicts()
    assert all(column.rows == 2 for column in version.profile().columns.values())
    assert store.view("frame").where("list[1] = 'x' AND struct.s = 'u'").to_arrow()["text"].to_pylist() == ["a"]


@pytest.mark.parametrize(
    "pair",
    [
        [pa.array([["a"]]).cast(pa.list_(pa.dictionary(pa.int8(), pa.string()))) for _ in range(2)],
        [pa.array([[t]]).cast(pa.list_(pa.dictionary(pa.int8(), pa.string()))) for t in "ab"],
        [pa.DictionaryArray.from_arrays([0, 1], ["a", None]), pa.DictionaryArray.from_arrays([1, 0], [None, "b"])],
        [pa.DictionaryArray.from_arrays([0, 1], [1.5, None]), pa.DictionaryArray.from_arrays([0, 1], [2.5, math.inf])],
        [pa.DictionaryArray.from_arrays([0], [[1]]), pa.DictionaryArray.from_arrays([1], [[1], [2]])],
        [
            pa.DictionaryArray.from_arrays(pa.array(range(100), pa.int8()), [f"{part}{n}" for n in range(100)])
            for part in "ab"
        ],
        [pa.DictionaryArray.from_arrays([0, 1], ["lo", "hi"], ordered=True) for _ in range(2)],
    ],
    ids=["nested", "nested and other", "nulls inside", "floats", "lists", "more than 8 bits", "ordered"],
)
def test_dictionaries_of_any_kind_come_back_as_their_values(store, pair):
    batches = [pa.record_batch({"d": array}) for array in pair]
    version = store.create_dataset("d").append(batches)
    assert version.to_arrow()["d"].to_pylist() == [value for array in pair for value in array.to_pylist()]
    assert version.profile().columns["d"].rows == sum(map(len, pair))
    again = store.dataset("d").append(batches)
    assert again.to_arrow().combine_chunks().num_rows == 2 * version.num_rows


def test_small_decimals_keep_their_values(store):
    values = pa.array(["1.25", None, "-99.99"]).cast(pa.decimal128(5, 2))
    table = pa.table({"a": values.cast(pa.decimal32(5, 2)), "b": values.cast(pa.decimal64(5, 2))})
    dataset = store.create_dataset("money")
    dataset.append(table)
    version = dataset.append(table, order_by=["a"])
    assert version.to_arrow()["a"].to_pylist()[:3] == values.to_pylist()
    assert version.to_arrow()["b"].to_pylist()[3:] == [values[2].as_py(), values[0].as_py(), None]
    assert version.profile().columns["a"].rows == 6


def test_odd_types_never_end_in_a_foreign_error(store):
    odd = {
        "union": pa.UnionArray.from_sparse(pa.array([0, 1], pa.int8()), [pa.array([1, 2]), pa.array(["a", "b"])]),
        "interval": pa.nulls(2, pa.month_day_nano_interval()),
        "empty": pa.array([{}, {}], pa.struct([])),
        "views": pa.array([["a"], None], pa.list_view(pa.string_view())),
    }
    for name, column in odd.items():
        try:
            version = store.create_dataset(name).append(pa.table({"v": column}))
        except FoldstoreError:
            continue
        assert version.to_arrow()["v"].to_pylist() == column.to_pylist()
