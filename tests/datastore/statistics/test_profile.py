"""Law 6: a profile does not depend on how the data was cut; its numbers agree with independent ones."""

import datetime as dt
import json
import math
from collections import Counter
from decimal import Decimal
from itertools import pairwise

import numpy as np
import pyarrow as pa
import pytest
import scipy.stats
from hypothesis import example, given
from hypothesis import strategies as st

from foldstore.datastore.statistics import frequent, profile
from foldstore.datastore.statistics.column import ColumnProfile, empty_column, profile_array
from foldstore.datastore.statistics.profile import Profile, empty_profile, profile_batches, profile_table
from foldstore.errors import ColumnNotFoundError, CorruptObjectError, SchemaMismatchError, StoreFormatError

NASTY = st.one_of(
    st.none(),
    st.floats(),
    st.sampled_from([0.0, -0.0, 5e-324, -5e-324, 1e308, -1.7976931348623157e308, math.nan, math.inf, -math.inf]),
)
CUTS = st.lists(st.integers(0, 60), max_size=4)


def cut(table: pa.Table, places: list[int]) -> list[pa.Table]:
    bounds = [0, *sorted(min(place, table.num_rows) for place in places), table.num_rows]
    return [table.slice(a, b - a) for a, b in pairwise(bounds)]


def merged(table: pa.Table, places: list[int]) -> Profile:
    return Profile.merge(*(profile_table(part) for part in cut(table, places)))


def test_a_profile_merges_others_behind_itself():
    table = pa.table({"x": [3, 1, 2]})
    parts = cut(table, [1, 2])
    first, *others = (profile_table(part) for part in parts)
    assert first.merge(*others).id == profile_table(table).id


@given(st.lists(NASTY, max_size=60), CUTS)
@example([-5e-324, 1e308], [1])
@example([-0.0, 0.0], [1])
@example([5e-324, -1e-320, None, math.nan], [2])
def test_floats_profile_alike_in_every_cut(values, places):
    table = pa.table({"x": pa.array(values, pa.float64())})
    assert merged(table, places).id == profile_table(table).id


@given(st.lists(st.one_of(st.none(), st.integers(-(2**63), 2**63 - 1)), max_size=60), CUTS)
def test_integers_profile_alike_in_every_cut(values, places):
    table = pa.table({"x": pa.array(values, pa.int64())})
    assert merged(table, places).id == profile_table(table).id


@given(st.lists(st.one_of(st.none(), st.text(max_size=5)), max_size=60), CUTS)
def test_text_profiles_alike_in_every_cut_and_encoding(values, places):
    table = pa.table({"x": pa.array(values, pa.string())})
    encoded = pa.table({"x": table["x"].dictionary_encode()})
    assert merged(table, places).id == profile_table(table).id == profile_table(encoded).id


@pytest.mark.parametrize("kind", ["normal", "heavy", "many ints", "text"])
def test_columns_beyond_every_limit_profile_alike_in_every_cut(kind):
    generator = np.random.default_rng(5)
    x = generator.normal(size=90_000)
    arrays = {
        "normal": pa.array(x),
        "heavy": pa.array(np.exp(30 * x) * np.sign(x)),
        "many ints": pa.array((x * 2**40).astype(np.int64)),
        "text": pa.array((x * 2**30).astype(np.int64)).cast(pa.string()),
    }
    table = pa.table({"x": arrays[kind]})
    whole = profile_table(table)
    assert not whole.columns["x"].values.exact
    assert not whole.columns["x"].hashes.exact
    for places in ([1], [9_999, 10_001, 70_000], list(range(0, 90_000, 7_000))):
        assert merged(table, places).id == whole.id
    assert merged(table.slice(0, 30_000), [11_000]).id == profile_table(table.slice(0, 30_000)).id


@given(st.permutations(list(range(12))))
def test_row_order_does_not_matter(order):
    values = [1.5, -2.0, None, math.nan, math.inf, 0.0, -0.0, 3.25, 1e-310, -1e300, 7.0, 7.0]
    table = pa.table({"x": pa.array(values, pa.float64())})
    assert profile_table(table.take(pa.array(order))).id == profile_table(table).id


def test_batches_of_any_size_give_the_same_bytes(monkeypatch):
    monkeypatch.setattr(profile, "_CHUNK_ROWS", 1_000)
    x = np.random.default_rng(1).normal(size=5_500)
    table = pa.table({"x": x, "y": pa.array(x).cast(pa.string())})
    batches = (profile_batches(table.schema, table.to_batches(max_chunksize=size)) for size in (7, 999, 6_000))
    assert len({each.to_bytes() for each in batches}) == 1


def test_counts_and_extremes_are_those_of_the_values():
    column = profile_array(pa.array([1.5, -2.0, None, math.nan, math.inf, -math.inf, 0.0, -0.0]))
    counts = (column.rows, column.nulls, column.nan, column.pos_inf, column.neg_inf, column.zero, column.negative)
    assert counts == (8, 1, 1, 1, 1, 2, 2)
    assert (column.minimum, column.maximum) == (-math.inf, math.inf)
    assert column.distinct == 5


def test_moments_agree_with_scipy():
    x = np.random.default_rng(2).gamma(2.0, size=100_000) + 1e6
    whole = merged(pa.table({"x": x}), [10, 50_000, 99_000]).columns["x"]
    assert whole.mean == pytest.approx(x.mean(), rel=1e-14)
    assert whole.std == pytest.approx(x.std(ddof=1), rel=1e-9)
    assert whole.moments.skewness == pytest.approx(scipy.stats.skew(x), rel=1e-6)
    assert whole.moments.kurtosis == pytest.approx(scipy.stats.kurtosis(x), rel=1e-6)


@pytest.mark.parametrize("scale", [1.0, 1e-5, 1e9])
def test_quantiles_of_many_values_are_close(scale):
    x = np.random.default_rng(3).normal(loc=5, size=50_000) * scale
    column = profile_array(pa.array(x))
    for q in (0.01, 0.25, 0.5, 0.75, 0.99):
        assert column.quantile(q) == pytest.approx(np.quantile(x, q), abs=2e-3 * scale)


def test_quantiles_of_heavy_tails_are_close_in_proportion():
    x = np.exp(5 * np.random.default_rng(3).normal(size=50_000))
    column = profile_array(pa.array(x))
    for q in (0.01, 0.25, 0.5, 0.75, 0.99):
        assert column.quantile(q) == pytest.approx(np.quantile(x, q), rel=0.01)


@given(st.lists(st.integers(-50, 50), min_size=1), st.floats(0, 1))
def test_quantiles_of_few_values_are_exact(values, q):
    expected = np.quantile(values, q, method="inverted_cdf")
    assert profile_array(pa.array(values)).quantile(q) == expected


@given(st.lists(st.sampled_from("abcdef")))
def test_top_values_are_the_most_common(values):
    expected = sorted(Counter(values).items(), key=lambda pair: (-pair[1], pair[0]))
    assert profile_array(pa.array(values, pa.string())).top(3) == expected[:3]


def test_sketched_counts_fall_short_by_at_most_what_they_say(monkeypatch):
    monkeypatch.setattr(frequent, "EXACT_LIMIT", 50)
    monkeypatch.setattr(frequent, "COUNTERS", 20)
    values = np.random.default_rng(4).zipf(1.5, 20_000)
    true = Counter(values.tolist())
    tally = merged(pa.table({"x": values}), list(range(0, 20_000, 1_500))).columns["x"].values
    assert len(tally) <= 20
    assert tally.missed <= 20_000 / 20
    for value, count in tally.top(20):
        assert true[value] - tally.missed <= count <= true[value]


def test_distinct_is_exact_then_within_three_standard_errors():
    numbers = pa.array(np.arange(65_536))
    assert profile_array(numbers).distinct == 65_536
    many = profile_array(pa.array(np.arange(1_000_000)))
    assert not many.distinct_exact
    assert many.distinct == pytest.approx(1_000_000, rel=3 * 0.0157)


TYPED = {
    "date": (pa.array([dt.date(2020, 1, 1), None]), dt.date(2020, 1, 1)),
    "timestamp": (pa.array([0], pa.timestamp("us")), dt.datetime(1970, 1, 1)),  # noqa: DTZ001  (a time without a zone)
    "zoned": (pa.array([dt.datetime(2020, 1, 1, tzinfo=dt.UTC)]), dt.datetime(2020, 1, 1, tzinfo=dt.UTC)),
    "time": (pa.array([dt.time(3)]), dt.time(3)),
    "duration": (pa.array([dt.timedelta(3)]), dt.timedelta(3)),
    "nanoseconds": (pa.array([5], pa.timestamp("ns")), np.datetime64(5, "ns")),
    "far year": (pa.array([2**62], pa.timestamp("s")), np.datetime64(2**62, "s")),
    "bool": (pa.array([True, None]), True),
    "decimal": (pa.array([Decimal("1.50")]), Decimal("1.50")),
    "uint64": (pa.array([2**64 - 1], pa.uint64()), 2**64 - 1),
    "half": (pa.array([1.5], pa.float16()), 1.5),
    "binary": (pa.array([b"\xff"]), b"\xff"),
    "fixed": (pa.array([b"ab"], pa.binary(2)), b"ab"),
    "view": (pa.array(["a"], pa.string_view()), "a"),
    "null": (pa.nulls(3), None),
    "list": (pa.array([[1], None]), None),
    "struct": (pa.array([{"a": 1}]), None),
    "dictionary": (pa.array(["a", None]).dictionary_encode(), "a"),
}


@pytest.mark.parametrize("name", TYPED)
def test_every_type_has_a_profile_that_round_trips(name):
    array, expected = TYPED[name]
    whole = profile_table(pa.table({"x": array}))
    back = Profile.from_bytes(whole.to_bytes())
    assert whole.columns["x"].minimum == whole.columns["x"].maximum == expected
    assert back.id == whole.id
    assert back.columns["x"].to_dict() == whole.columns["x"].to_dict()
    assert Profile.merge(whole, empty_profile(pa.schema([("x", array.type)]))).id == whole.id
    json.dumps(whole.to_dict(), allow_nan=False)


@given(st.lists(NASTY, max_size=30))
def test_bytes_round_trip_keeps_the_moments_too(values):
    whole = profile_table(pa.table({"x": pa.array(values, pa.float64())}))
    back = Profile.from_bytes(whole.to_bytes())
    assert back.id == whole.id
    assert back.to_bytes() == whole.to_bytes()


def test_a_column_that_a_part_lacks_counts_as_null_there():
    parts = profile_table(pa.table({"x": [1, 2]})), profile_table(pa.table({"x": [3], "y": ["a"]}))
    whole = profile_table(pa.table({"x": [1, 2, 3], "y": [None, None, "a"]}))
    assert Profile.merge(*parts).id == whole.id


def test_column_groups_join_beside_each_other_and_names_change():
    table = pa.table({"x": [1, 2], "y": ["a", "b"]})
    whole = profile_table(table)
    assert Profile.beside(whole.select(["y"]), whole.select(["x"])).id == whole.id
    assert whole.rename({"x": "z"}).id == profile_table(table.rename_columns(["z", "y"])).id
    assert whole.rename({"x": "z"}).id != whole.id


def test_impossible_joins_are_refused():
    a, b = profile_table(pa.table({"x": [1]})), profile_table(pa.table({"x": ["a"]}))
    with pytest.raises(SchemaMismatchError, match="int64 and string"):
        Profile.merge(a, b)
    with pytest.raises(SchemaMismatchError, match="no column in common"):
        Profile.beside(a, b)
    with pytest.raises(ColumnNotFoundError, match="'y'"):
        a.select(["y"])


def test_a_newer_format_and_a_foreign_table_are_refused():
    table = profile_table(pa.table({"x": [1]})).to_arrow()
    newer = table.replace_schema_metadata({b"foldstore.profile": b'{"format":5,"rows":1}'})
    with pytest.raises(StoreFormatError, match="format 5"):
        Profile.from_arrow(newer)
    with pytest.raises(CorruptObjectError, match="not a profile"):
        Profile.from_arrow(pa.table({"x": [1]}))


def test_the_stored_table_can_be_queried():
    table = profile_table(pa.table({"x": [1, 1, None], "s": ["a", "b", "c"]})).to_arrow()
    assert table.select(["name", "nulls", "minimum", "values", "value_counts"]).to_pylist()[0] == {
        "name": "x",
        "nulls": 1,
        "minimum": "1",
        "values": ["1"],
        "value_counts": [2],
    }


def test_display_is_escaped_and_short():
    shown = profile_table(pa.table({"<b>": ["<script>"]}))
    assert "<script>" not in shown._repr_html_()
    assert "&lt;script&gt;" in shown._repr_html_()
    assert "\n" not in repr(shown) + repr(shown.columns["<b>"])


def test_histogram_counts_every_finite_number():
    x = np.random.default_rng(0).normal(size=30_000)
    edges, counts = profile_array(pa.array([*x, math.inf, math.nan])).histogram(10)
    assert len(edges) == 11
    assert sum(counts) == 30_000


def test_progress_is_told_the_rows():
    seen = []
    profile_batches(
        pa.schema([("x", pa.int64())]), [pa.record_batch({"x": [1, 2]})], progress=lambda *a: seen.append(a)
    )
    assert seen == [(2, None)]


def test_an_empty_column_has_no_figures():
    column = empty_column(pa.float64(), rows=3)
    assert (column.nulls, column.mean, column.std, column.quantile(0.5), column.minimum) == (3, None, None, None, None)
    assert isinstance(column, ColumnProfile)
    assert column.histogram() == ([], [])
