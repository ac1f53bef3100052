"""`split/v1` against the xxhash package: golden vectors, every type, every width, every cut."""

import datetime as dt
import struct
from decimal import Decimal

import numpy as np
import pyarrow as pa
import pytest
import xxhash
from hypothesis import given
from hypothesis import strategies as st

from foldstore.errors import UsageError
from foldstore.views.splits.hashing import hash_keys
from foldstore.views.splits.xxh3 import Region, digest_messages

SALT = "flights/by_tail/0"


def canonical(value):
    """Follow the table in `hash_keys`, one value at a time."""
    if value is None:
        return b"\x00"
    if isinstance(value, bool):
        return b"\x01" + struct.pack("<q", value)
    if isinstance(value, int):
        return b"\x02" + struct.pack("<q", value) if value < 2**63 else b"\x03" + struct.pack("<Q", value)
    if isinstance(value, float):
        bits = 0x7FF8000000000000 if value != value else struct.unpack("<Q", struct.pack("<d", value + 0.0))[0]  # noqa: PLR0124
        return b"\x04" + struct.pack("<Q", bits)
    tag, raw = (b"\x05", value.encode()) if isinstance(value, str) else (b"\x06", value)
    return tag + struct.pack("<Q", len(raw)) + raw


def reference(rows, salt=SALT):
    hashes = []
    for row in rows:
        values = [canonical(value) for value in row]
        key = values[0] if len(values) == 1 else b"".join(struct.pack("<Q", len(v)) + v for v in values)
        hashes.append(xxhash.xxh3_64_intdigest(key + salt.encode()))
    return hashes


GOLDEN = [
    (pa.array([0, 1, -1, None]), [6595210623800700247, 10746361933988439219, 117212873412658180, 3116807444970354095]),
    (pa.array(["N14228", "", "né"]), [11443308103560494010, 6387328588315607470, 3535626608862864460]),
    (pa.array([1.5, -0.0, float("nan")]), [10835641439875133127, 1379691584954624925, 2752370567103449900]),
    (pa.array([True, False]), [13810741037846192175, 6132728337591568702]),
    (pa.array([2**63], pa.uint64()), [8658195609323537982]),
    (pa.array([b"ab"]), [16684895903156096968]),
    (pa.array([dt.datetime(2013, 10, 1, tzinfo=dt.UTC)], pa.timestamp("us", "UTC")), [16731728314345009849]),
    (pa.array([dt.date(2013, 10, 1)]), [8095097230697501082]),
    (pa.array([dt.time(1, 2, 3)], pa.time32("s")), [8963104421537108796]),
    (pa.array([dt.timedelta(seconds=5)], pa.duration("ms")), [17248426157478723614]),
    (pa.array([Decimal("1.50")]), [8121593380004685644]),
]


@pytest.mark.parametrize(("array", "expected"), GOLDEN, ids=[str(array.type) for array, _ in GOLDEN])
def test_golden_vectors_hold(array, expected):
    assert hash_keys([array], SALT).tolist() == expected


def test_golden_vector_of_several_columns_holds():
    assert hash_keys([pa.array([1]), pa.array(["UA"]), pa.array([None])], SALT).tolist() == [11113496386722796539]


@pytest.mark.parametrize("size", range(9, 241))
def test_every_length_of_message_equals_the_package(size):
    message = np.random.default_rng(size).integers(0, 256, size, dtype=np.uint8).tobytes()
    start = size // 3 if size >= 16 else 0
    value = np.frombuffer(message[start : start + 8], dtype="<u8")
    region = Region(start, 8, lambda place: value >> np.uint64(8 * place))
    template = message[:start] + bytes(8) + message[start + 8 :]
    assert digest_messages(template, [region]).tolist() == [xxhash.xxh3_64_intdigest(message)]
    assert digest_messages(message, []).tolist() == [xxhash.xxh3_64_intdigest(message)]


integers = st.integers(-(2**63), 2**63 - 1)
texts = st.text(max_size=300)
salts = st.text("abc_/0", min_size=5, max_size=220)
VALUES = [
    (pa.int64(), integers),
    (pa.uint64(), st.integers(0, 2**64 - 1)),
    (pa.float64(), st.floats()),
    (pa.string(), texts),
    (pa.binary(), st.binary(max_size=30)),
    (pa.bool_(), st.booleans()),
]


@pytest.mark.parametrize(("kind", "values"), VALUES, ids=[str(kind) for kind, _ in VALUES])
@given(data=st.data())
def test_a_column_equals_the_package_row_by_row(kind, values, data):
    rows = data.draw(st.lists(st.none() | values, max_size=20))
    repeated = rows * 60  # enough of each shape for the vectorised path
    salt = data.draw(salts)
    assert hash_keys([pa.array(rows, kind)], salt).tolist() == reference([(row,) for row in rows], salt)
    assert hash_keys([pa.array(repeated, kind)], salt).tolist() == reference([(row,) for row in rows], salt) * 60


@given(st.lists(st.tuples(st.none() | integers, st.none() | st.text(max_size=9), st.none() | texts), max_size=8), salts)
def test_several_columns_equal_the_package_row_by_row(rows, salt):
    columns = [
        pa.array([row[place] for row in rows], kind)
        for place, kind in enumerate([pa.int64(), pa.string(), pa.large_string()])
    ]
    assert hash_keys(columns, salt).tolist() == reference(rows, salt)
    many = [pa.concat_arrays([column] * 50) for column in columns]
    assert hash_keys(many, salt).tolist() == reference(rows, salt) * 50


@given(st.lists(st.none() | st.integers(-128, 127), max_size=30))
def test_the_width_of_an_integer_does_not_matter(values):
    wide = hash_keys([pa.array(values, pa.int64())], SALT).tolist()
    for kind in (pa.int8(), pa.int16(), pa.int32()):
        assert hash_keys([pa.array(values, kind)], SALT).tolist() == wide


@given(st.lists(st.none() | st.text(max_size=12)), st.integers(0, 10))
def test_neither_the_encoding_of_text_nor_the_cut_matters(values, cut):
    array = pa.array(values, pa.string())
    expected = hash_keys([array], SALT).tolist()
    encodings = (array.cast(pa.large_string()), array.cast(pa.string_view()), array.dictionary_encode())
    chunks = pa.chunked_array([array[:cut], array[cut:]], pa.string())
    for same in (*encodings, chunks, chunks.dictionary_encode()):
        assert hash_keys([same], SALT).tolist() == expected
        assert hash_keys([same, same], SALT).tolist() == hash_keys([array, array], SALT).tolist()


def test_a_sliced_column_hashes_like_a_copy():
    array = pa.array(["a", None, "ccc", "dd"] * 100)[101:307]
    assert hash_keys([array], SALT).tolist() == hash_keys([pa.array(array.to_pylist())], SALT).tolist()


def test_one_instant_has_one_hash_in_every_unit_and_zone():
    moment = dt.datetime(2013, 10, 1, 12, tzinfo=dt.UTC)
    kinds = [pa.timestamp(unit, zone) for unit in ("s", "ms", "us", "ns") for zone in (None, "UTC", "America/New_York")]
    naive = [pa.array([moment.replace(tzinfo=None) if kind.tz is None else moment], kind) for kind in kinds]
    assert len({hash_keys([array], SALT)[0] for array in naive}) == 1


def test_the_salt_moves_every_hash():
    column = pa.array(range(1000))
    assert not np.any(hash_keys([column], "a/b/0") == hash_keys([column], "a/b/1"))


def test_hashes_are_spread_evenly():
    top = hash_keys([pa.array(range(100_000))], SALT) >> np.uint64(60)
    counts = np.bincount(top.astype(np.int64), minlength=16)
    chi_square = float(((counts - 6250) ** 2 / 6250).sum())
    assert chi_square < 37.7  # the 0.999 quantile with 15 degrees of freedom


@pytest.mark.parametrize("columns", [[], [pa.array([[1]])], [pa.array([{"a": 1}])]], ids=["none", "list", "struct"])
def test_what_cannot_be_a_key_is_refused(columns):
    with pytest.raises(UsageError, match="split"):
        hash_keys(columns, SALT)
