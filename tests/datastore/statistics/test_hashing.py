"""Golden vectors and the invariances of `key/v1`."""

import datetime as dt
from decimal import Decimal

import numpy as np
import pyarrow as pa
import pytest
import xxhash
from hypothesis import given
from hypothesis import strategies as st

from foldstore.datastore.statistics.hashing import hash_column, hash_rows
from foldstore.errors import UsageError

MASK = 2**64 - 1
NULL = 0x243F6A8885A308D3


def splitmix64(value: int) -> int:
    """Follow the published definition, in Python integers."""
    z = (value + 0x9E3779B97F4A7C15) & MASK
    z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & MASK
    z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & MASK
    return z ^ (z >> 31)


GOLDEN = [
    (pa.array([0, 1, -1]), [0xE220A8397B1DCDAF, 0x910A2DEC89025CC1, 0xE4D971771B652C20]),
    (pa.array([1.5, -0.0, float("nan")]), [0xD6DAB18E1392608A, 0xE220A8397B1DCDAF, 0xC72971D82E15BB46]),
    (pa.array(["a", ""]), [0xE6C632B61E964E1F, 0x2D06800538D394C2]),
    (pa.array([b"ab"], pa.binary(2)), [0xA873719C24D5735C]),
    (pa.array([dt.date(2020, 1, 1)]), [0x843E7F2E7A55B8A7]),
    (pa.array([dt.datetime(2020, 1, 1, tzinfo=dt.UTC)], pa.timestamp("us", "UTC")), [0x05B407CFAE5E813E]),
    (pa.array([Decimal("1.50")]), [0x0E230C23EEF5A7BF]),
]


@pytest.mark.parametrize(("array", "expected"), GOLDEN, ids=[str(array.type) for array, _ in GOLDEN])
def test_golden_vectors_hold(array, expected):
    assert hash_column(array).tolist() == expected


def test_rows_have_a_golden_vector():
    rows = hash_rows([pa.array([1, 2]), pa.array(["a", None])])
    assert rows.tolist() == [0xD541D91E2814EF58, 0x8C17F2910847EC27]


@given(st.lists(st.integers(-(2**63), 2**63 - 1)))
def test_integers_follow_splitmix64(values):
    expected = [splitmix64(value & MASK) for value in values]
    assert hash_column(pa.array(values, pa.int64())).tolist() == expected


@given(st.lists(st.one_of(st.none(), st.text())))
def test_text_is_xxh3_of_its_bytes_in_every_encoding(values):
    expected = [NULL if value is None else xxhash.xxh3_64_intdigest(value.encode()) for value in values]
    array = pa.array(values, pa.string())
    for same in (array, array.cast(pa.large_string()), array.cast(pa.string_view()), array.dictionary_encode()):
        assert hash_column(same).tolist() == expected


@given(st.lists(st.one_of(st.none(), st.integers(-100, 100))), st.integers(0, 20))
def test_hashes_do_not_depend_on_the_cut(values, cut):
    array = pa.array(values, pa.int32())
    chunked = pa.chunked_array([array.slice(0, cut), array.slice(cut)], pa.int32())
    assert hash_column(chunked).tolist() == hash_column(array).tolist()


@pytest.mark.parametrize("narrow", [pa.int8(), pa.int32(), pa.uint16()], ids=str)
def test_integers_of_every_width_agree(narrow):
    values = [0, 7, None, 127]
    assert hash_column(pa.array(values, narrow)).tolist() == hash_column(pa.array(values, pa.int64())).tolist()


def test_floats_of_every_width_agree():
    values = [0.0, 1.5, None, float("inf"), float("nan")]
    narrow, wide = pa.array(values, pa.float32()), pa.array(values, pa.float64())
    assert hash_column(narrow).tolist() == hash_column(wide).tolist()


def test_null_behind_a_dictionary_is_null():
    array = pa.DictionaryArray.from_arrays(pa.array([0, 1, None]), pa.array(["x", None]))
    assert hash_column(array).tolist()[1:] == [NULL, NULL]


def test_the_order_of_columns_matters():
    a, b = pa.array([1]), pa.array([2])
    assert hash_rows([a, b])[0] != hash_rows([b, a])[0]


def test_distinct_values_do_not_collide():
    assert len(np.unique(hash_column(pa.array(np.arange(200_000))))) == 200_000


@pytest.mark.parametrize("array", [pa.array([[1]]), pa.array([{"a": 1}])], ids=["list", "struct"])
def test_nested_values_are_refused(array):
    with pytest.raises(UsageError, match="no stable hash"):
        hash_column(array)
