"""What the second format of profiles added, against plain Python; hostile values; old profiles."""

import datetime as dt
import ipaddress
import json
import math
import re
import uuid
from collections import Counter
from decimal import Decimal
from itertools import pairwise

import numpy as np
import pyarrow as pa
import pytest
import scipy.stats
from hypothesis import example, given
from hypothesis import strategies as st

from foldstore.datastore.statistics import text_shape
from foldstore.datastore.statistics.column import profile_array
from foldstore.datastore.statistics.profile import Profile, profile_table
from foldstore.datastore.statistics.record import FORMAT
from foldstore.datastore.statistics.text_shape import CLASSES, classify_texts, mask_texts
from foldstore.errors import FoldstoreError, StoreFormatError, UsageError

CUTS = st.lists(st.integers(0, 40), max_size=4)
FLOATS = st.one_of(st.floats(), st.sampled_from([5e-324, -5e-324, 1e308, -1e308, 0.0, -0.0]))
TIMES = st.datetimes(min_value=dt.datetime(1, 1, 1), max_value=dt.datetime(9999, 12, 31, 23, 59, 59))  # noqa: DTZ001
COLUMNS = {
    "float": (st.none() | FLOATS, pa.float64()),
    "int": (st.none() | st.integers(-(2**63), 2**63 - 1), pa.int64()),
    "uint": (st.none() | st.integers(0, 2**64 - 1), pa.uint64()),
    "bool": (st.none() | st.booleans(), pa.bool_()),
    "decimal": (st.none() | st.decimals(-999, 999, places=2), pa.decimal128(9, 2)),
    "text": (st.none() | st.text(max_size=12), pa.string()),
    "bytes": (st.none() | st.binary(max_size=5), pa.binary()),
    "time": (st.none() | TIMES, pa.timestamp("us")),
    "date": (st.none() | st.dates(), pa.date32()),
    "clock": (st.none() | st.times(), pa.time64("us")),
    "list": (st.none() | st.lists(st.integers(0, 9), max_size=4), pa.list_(pa.int64())),
    "lists": (st.none() | st.lists(st.lists(st.integers(0, 9)), max_size=3), pa.list_(pa.list_(pa.int64()))),
    "map": (st.none() | st.lists(st.tuples(st.text(max_size=2), st.integers(0, 9))), pa.map_(pa.string(), pa.int64())),
}


@pytest.mark.parametrize("name", COLUMNS)
def test_the_whole_profile_is_the_same_to_the_byte_for_any_cut(name):
    values, kind = COLUMNS[name]

    @given(st.lists(values, max_size=40), CUTS)
    def check(items, places):
        table = pa.table({"x": pa.array(items, kind)})
        bounds = [0, *sorted(min(place, len(items)) for place in places), len(items)]
        parts = [profile_table(table.slice(a, b - a)) for a, b in pairwise(bounds)]
        assert Profile.merge(*parts).to_bytes() == profile_table(table).to_bytes()
        assert Profile.from_bytes(profile_table(table).to_bytes()).to_bytes() == profile_table(table).to_bytes()

    check()


def test_only_moments_and_sketched_counts_depend_on_the_cut_once_values_are_many():
    x = np.random.default_rng(5).normal(size=40_000)
    table = pa.table({"x": x, "s": pa.array(x).cast(pa.string()), "t": pa.array((x * 1e9).astype("datetime64[us]"))})
    halves = [profile_table(table.slice(a, b - a)) for a, b in pairwise([0, 123, 15_000, 40_000])]
    free = {"mean", "m2", "m3", "m4", "skewness", "kurtosis", "values", "value_counts", "values_missed"}
    whole, joined = profile_table(table).to_arrow(), Profile.merge(*halves).to_arrow()
    kept = [name for name in whole.schema.names if name not in free]
    assert joined.select(kept).equals(whole.select(kept))


@given(st.lists(st.none() | FLOATS, max_size=40))
@example([math.nan, None, -0.0, 0.0])
@example([math.inf, -math.inf, math.nan])
def test_the_rows_of_the_extremes_are_the_first_that_hold_them(values):
    column = profile_array(pa.array(values, pa.float64()))
    held = [value for value in values if value is not None and not math.isnan(value)]
    if not held:
        assert column.low_at is column.high_at is None
        return
    assert column.low_at == values.index(min(held))
    assert column.high_at == values.index(max(held))


@given(st.lists(st.none() | st.text(max_size=4), min_size=1))
def test_the_rows_of_text_extremes_and_lengths_are_those_of_a_plain_loop(values):
    column = profile_array(pa.array(values, pa.string_view()))
    held = [value for value in values if value is not None]
    if held:
        least, greatest = (choose(held, key=str.encode) for choose in (min, max))
        assert (column.low_at, column.high_at) == (values.index(least), values.index(greatest))
    for grid, lengths in ((column.lengths, map(len, held)), (column.byte_lengths, (len(v.encode()) for v in held))):
        assert dict(zip(grid.bins.tolist(), grid.counts.tolist(), strict=True)) == Counter(lengths)
    assert column.empty == values.count("")


def test_moments_three_and_four_agree_with_scipy():
    x = np.random.default_rng(8).gamma(2.0, size=5_000).round(2)
    column = profile_array(pa.array(x))
    assert column.skewness == pytest.approx(scipy.stats.skew(x), rel=1e-9)
    assert column.kurtosis == pytest.approx(scipy.stats.kurtosis(x), rel=1e-9)
    assert profile_array(pa.array([2.0, 2.0])).skewness is None


def plain_mask(text):
    symbols = []
    for byte in text.encode()[: text_shape.MASK_BYTES]:
        char = chr(byte)
        if byte >= 128:
            symbol = "x"
        elif char in " \t\n\r\v\f":
            symbol = " "
        elif byte < 32 or byte == 127:
            symbol = "c"
        else:
            symbol = "9" if char.isdigit() else "A" if char.isupper() else "a" if char.islower() else char
        if not symbols or symbols[-1] != symbol:
            symbols.append(symbol)
    return "".join(symbols[: text_shape.MASK_RUNS])


@given(st.lists(st.text() | st.text("aA1-. \x00é", min_size=30, max_size=400), max_size=30))
def test_masks_are_those_of_a_plain_loop(texts):
    values = pa.array(["not looked at", *texts], pa.large_string()).slice(1)
    assert mask_texts(values).to_pylist() == list(map(plain_mask, texts))


def plain_class(text):
    def is_ip():
        try:
            return str(ipaddress.IPv4Address(text)) == text
        except ValueError:
            return False

    def is_json():
        try:
            return isinstance(json.loads(text), dict | list) and "NaN" not in text
        except ValueError:
            return False

    if re.fullmatch(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", text) and uuid.UUID(text):
        return "uuid"
    if is_ip():
        return "ipv4"
    if re.fullmatch(r"[+-]?[0-9]+(\.[0-9]*)?(e[+-]?[0-9]+)?|[+-]?\.[0-9]+(e[+-]?[0-9]+)?", text, re.IGNORECASE):
        return "number"
    return "json" if is_json() else "blank" if not text.strip() else None


@given(
    st.lists(
        st.uuids().map(str)
        | st.ip_addresses(v=4).map(str)
        | st.from_regex(r"\A[0-9]{1,3}(\.[0-9]{1,3}){3}\Z")
        | st.floats(allow_nan=False, allow_infinity=False).map(str)
        | st.integers().map(str)
        | st.recursive(st.integers() | st.text(), st.lists, max_leaves=4)
        .filter(lambda v: isinstance(v, list))
        .map(json.dumps)
        | st.text("[]{} \t1.-e", max_size=6),
        unique=True,
    )
)
def test_classes_that_python_can_tell_are_those_of_python(texts):
    values = pa.array(texts, pa.large_string())
    encoded = mask_texts(values).dictionary_encode()
    lengths = np.array([len(text.encode()) for text in texts], np.int64)
    found = classify_texts(values, lengths, encoded.dictionary, encoded.indices.to_numpy())
    for text, place in zip(texts, found.tolist(), strict=True):
        expected = plain_class(text)
        if expected is not None:
            assert CLASSES[place] == expected
        else:
            assert CLASSES[place] in ("other", "free_text", "date")


@pytest.mark.parametrize("few", [0, 256])
def test_masks_are_told_alike_by_python_and_by_arrow(monkeypatch, few):
    monkeypatch.setattr(text_shape, "_FEW", few)
    texts = [text for group in CLASSED.values() for text in group]
    found = profile_array(pa.array(texts)).text_classes
    assert found == {name: len(group) for name, group in CLASSED.items()}


CLASSED = {
    "uuid": ["123E4567-e89b-12d3-a456-426614174000"],
    "email": ["ann.lee+x@mail.example.org", "a1" * 20 + "@example.org"],
    "url": ["https://example.org/a?b=c#d", "s3://bucket/key", "https://x/" + "a1" * 500],
    "date": ["2013-01-05", "2013-01-05T05:00:00Z", "2013-01-05 05:00:00.25 +0100", "1/31/2013", "31.01.2013"],
    "number": ["12", "-1.5e-7", ".5"],
    "json": ['{"a": [1, 2]}', "[]"],
    "free_text": ["three small words", "Ün été chaud"],
    "blank": ["", " \t"],
    "other": ["EWR", "N12345", "two words", "300.1.1.1", "a@b", "2013-13-45", "[1, NaN]", "{" * 300, "1.2.3"],
}


@pytest.mark.parametrize("name", CLASSED)
def test_texts_belong_to_the_class_that_people_see(name):
    assert profile_array(pa.array(CLASSED[name])).text_classes == {name: len(CLASSED[name])}


@given(st.lists(TIMES, min_size=1, max_size=30))
def test_hours_weekdays_and_the_largest_gap_are_those_of_python(times):
    column = profile_array(pa.array(times, pa.timestamp("us")))
    assert column.hours == tuple(Counter(time.hour for time in times)[hour] for hour in range(24))
    assert column.weekdays == tuple(Counter(time.weekday() for time in times)[day] for day in range(7))
    ordered = sorted(set(times))
    if len(ordered) > 1:
        gap = max(b - a for a, b in pairwise(ordered))
        assert column.largest_gap.ticks == gap // dt.timedelta(microseconds=1)
        assert column.largest_gap.end - column.largest_gap.start == gap


@given(st.lists(st.dates(), min_size=1))
def test_dates_of_every_width_have_weekdays(dates):
    for kind in (pa.date32(), pa.date64()):
        column = profile_array(pa.array(dates, kind))
        assert column.hours is None
        assert column.weekdays == tuple(Counter(day.weekday() for day in dates)[place] for place in range(7))


def test_the_largest_gap_of_many_times_is_within_its_stated_error():
    seconds = np.cumsum(np.random.default_rng(9).integers(1, 900, 50_000))
    seconds[30_000:] += 86_400
    column = profile_array(pa.array(seconds.astype("datetime64[s]")))
    assert not column.values.exact
    assert abs(column.largest_gap.ticks - int(np.diff(seconds).max())) <= column.largest_gap.error < 86_400
    assert json.dumps(column.to_dict())


@pytest.mark.parametrize("kind", [pa.list_(pa.int8()), pa.large_list(pa.int8()), pa.list_view(pa.int8())])
def test_lists_are_counted_by_their_length(kind):
    column = profile_array(pa.array([[1, 2], [], None, [3, 4], [None]], kind))
    assert dict(zip(column.valency.bins.tolist(), column.valency.counts.tolist(), strict=True)) == {0: 1, 1: 1, 2: 2}
    assert (column.nulls, column.empty) == (1, 1)


def test_lists_that_a_part_lacks_keep_their_counts():
    parts = profile_table(pa.table({"a": [1]})), profile_table(pa.table({"a": [2], "x": [[1, 2]]}))
    assert Profile.merge(*parts).columns["x"].valency.total == 1


HOSTILE = {
    "nan": pa.array([math.nan] * 3),
    "infinities": pa.array([math.inf, -math.inf, math.inf]),
    "denormals": pa.array([5e-324, -5e-324, 2.5e-310]),
    "huge": pa.array([1e308, -1e308, 1.7976931348623157e308]),
    "all null": pa.nulls(4, pa.float64()),
    "untyped nulls": pa.nulls(4),
    "constant": pa.array([7] * 100),
    "empty": pa.array([], pa.string()),
    "one row": pa.array(["x"]),
    "lists of lists": pa.array([[[1], []], None, [], [[2, 3]]]),
    "structs": pa.array([{"a": [1]}, None]),
    "first and last year": pa.array([dt.date(1, 1, 1), dt.date(9999, 12, 31)]),
    "years beyond Python": pa.array([-(2**62), 2**62], pa.timestamp("s")),
    "least and greatest tick": pa.array([-(2**63), 2**63 - 1], pa.timestamp("ns")),
    "least and greatest day": pa.array([-(2**31), 2**31 - 1], pa.int32()).view(pa.date32()),
    "bytes that are no text": pa.array([b"\xff\xfe", b"\x00"]),
    "control characters": pa.array(["\x00", "\x1b[31m", "\u202e"]),
    "long text": pa.array(["a1" * 1_000_000, "[" * 60_000]),
    "big decimals": pa.array([Decimal("9" * 38), Decimal(-1)], pa.decimal128(38, 0)),
    "run ends": pa.RunEndEncodedArray.from_arrays(pa.array([2, 3], pa.int32()), pa.array(["a", "b"])),
    "months": pa.array([pa.MonthDayNano([1, 2, 3])]),
    "duration": pa.array([dt.timedelta(-1), dt.timedelta(100_000_000)], pa.duration("us")),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_values_have_a_profile_that_travels(name):
    array = HOSTILE[name]
    whole = profile_table(pa.table({"x": array}))
    column = whole.columns["x"]
    assert (column.rows, column.nulls) == (len(array), 4 if name in ("all null", "untyped nulls") else column.nulls)
    assert Profile.from_bytes(whole.to_bytes()).to_dict() == whole.to_dict()
    json.dumps(whole.to_dict(), allow_nan=False)
    repr(whole)
    whole._repr_html_()
    column.histogram()
    column.quantile(0.5)


def broken_text(kind):
    narrow = kind == pa.string()
    offsets = np.array([0, 1, 3], np.int32 if narrow else np.int64)
    return pa.Array.from_buffers(kind, 2, [None, pa.py_buffer(offsets), pa.py_buffer(b"a\xff\xfe")])


@pytest.mark.parametrize("kind", [pa.string(), pa.large_string()])
def test_text_that_is_not_utf8_is_refused_by_name(kind):
    array = broken_text(kind)
    for each in (array, array.dictionary_encode()):
        with pytest.raises(UsageError, match=r"'x'.*not UTF-8") as caught:
            profile_table(pa.table({"x": each}))
        assert caught.value.code == "invalid-text"


def unsound(name):
    def text(*offsets):
        return pa.Array.from_buffers(
            pa.string(), len(offsets) - 1, [None, pa.py_buffer(np.array(offsets, np.int32)), pa.py_buffer(b"abc")]
        )

    if name == "dictionary":
        return pa.DictionaryArray.from_arrays(pa.array([0, 99_999_999], pa.int32()), pa.array(["a"]), safe=False)
    return text(0, 2_000_000_000, 1, 3) if name == "falling" else text(0, -5, 3)


@pytest.mark.parametrize("name", ["falling", "negative", "dictionary"])
def test_data_that_points_outside_of_itself_is_refused(name):
    with pytest.raises(UsageError, match="'x'") as caught:
        profile_table(pa.table({"x": unsound(name)}))
    assert caught.value.code == "unsound-data"


def test_a_million_different_texts_take_bounded_memory():
    import tracemalloc

    schema = pa.schema([("x", pa.string())])
    from foldstore.datastore.statistics.profile import profile_batches

    def batches():
        for start in range(0, 1_000_000, 100_000):
            yield pa.record_batch([pa.array(np.arange(start, start + 100_000)).cast(pa.string())], schema)

    held = pa.total_allocated_bytes()
    tracemalloc.start()
    column = profile_batches(schema, batches()).columns["x"]
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert column.distinct == pytest.approx(1_000_000, rel=0.05)
    assert column.text_classes == {"number": 1_000_000}
    assert peak < 128 << 20
    assert pa.total_allocated_bytes() - held < 8 << 20


def test_a_profile_of_the_first_format_is_still_read():
    table = profile_table(pa.table({"x": [1.5, 2.5], "s": ["a", "b"]})).to_arrow()
    first = table.select(table.schema.names[: table.schema.get_field_index("value_counts") + 1])
    old = first.replace_schema_metadata({b"foldstore.profile": b'{"format":1,"rows":2}'})
    back = Profile.from_arrow(old)
    assert back.id == Profile.from_arrow(table).id
    assert back.columns["x"].mean == 2.0
    assert back.columns["s"].masks is None
    assert back.columns["s"].to_dict()["distinct"] == 2
    assert Profile.merge(back, Profile.from_arrow(table)).rows == 4
    with pytest.raises(FoldstoreError):
        Profile.from_arrow(first)
    with pytest.raises(StoreFormatError):
        Profile.from_arrow(
            table.replace_schema_metadata({b"foldstore.profile": b'{"format":%d,"rows":2}' % (FORMAT + 1)})
        )


def test_a_profile_of_the_third_format_knows_no_week():
    table = profile_table(pa.table({"at": pa.array([0, 3_600], pa.timestamp("s"))})).to_arrow()
    third = table.drop_columns(["week"]).replace_schema_metadata({b"foldstore.profile": b'{"format":3,"rows":2}'})
    back, now = Profile.from_arrow(third), Profile.from_arrow(table)
    assert (back.id, back.columns["at"].week) == (now.id, None)
    assert sum(now.columns["at"].week) == 2
    assert Profile.merge(back, now).columns["at"].week is None
