"""Windows give what a loop over the rows gives, to the bit: however rows are cut into tiles, and whoever asks."""

import json
import math
from fractions import Fraction
from itertools import pairwise
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from foldstore.errors import SchemaMismatchError, UsageError
from foldstore.views.features.aggregation import FUNCTIONS, Aggregation
from foldstore.views.features.entity import Entity
from foldstore.views.features.feature_view import FeatureView
from foldstore.views.features.key_parts import number_parts
from foldstore.views.features.tile_parts import TileParts
from foldstore.views.features.window import output_type, window_of
from foldstore.views.features.window_index import WindowIndex
from foldstore.views.features.window_tiles import Tile
from foldstore.views.instant import LIMIT
from foldstore.views.time_column import Instants

CASES = json.loads((Path(__file__).parent / "point_in_time.json").read_text())["window_cases"]
NS = pa.timestamp("ns", "UTC")
LEAST, GREATEST = 1 - LIMIT, LIMIT - 1

floats = st.one_of(
    st.none(),
    st.sampled_from([0.0, -0.0, 1.0, -1.0, 0.1, 1e16, -1e16, 1e300, -1e300, 5e-324, 2.0**-53]),
    st.floats(-1e6, 1e6),
)
odd_floats = st.one_of(floats, st.sampled_from([math.nan, math.inf, -math.inf]))
values = {
    "double": (pa.float64(), odd_floats),
    "int64": (pa.int64(), st.none() | st.integers(-5, 5) | st.integers(-(2**60), 2**60)),
    "bool": (pa.bool_(), st.none() | st.booleans()),
    "string": (pa.string(), st.none() | st.sampled_from(["", "a", "b", "é"])),
    "date": (pa.date32(), st.none() | st.integers(-3, 3)),
}
durations = st.sampled_from(["1ns", "2ns", "3ns", "7ns", "20ns", "1s", "90d"])
times = st.one_of(
    st.integers(-20, 20),
    st.sampled_from([LEAST, LEAST + 1, LEAST + 8, GREATEST, GREATEST - 1, GREATEST - 8]),
    st.integers(-(10**9), 10**9),
)


def functions_of(kind):
    numbers = kind in ("double", "int64", "bool")
    return [name for name in FUNCTIONS if numbers or name not in ("sum", "mean", "std", "quantile")]


@st.composite
def aggregations(draw, kind):
    function = draw(st.sampled_from(functions_of(kind)))
    window = draw(st.sampled_from(["sliding", "sliding", "tumbling", "session"]))
    length = draw(durations)
    hop = draw(st.sampled_from([None, "1ns", "2ns", "3ns", "5ns"])) if window == "sliding" else None
    if hop is not None and length in ("1ns", "2ns", "3ns"):
        hop = "1ns"
    quantile = draw(st.sampled_from([0, 0.25, 0.5, 0.9, 1])) if function == "quantile" else None
    return Aggregation(function, "x", time_window=length, window=window, hop=hop, quantile=quantile)


@st.composite
def cases(draw):
    kind = draw(st.sampled_from(sorted(values)))
    row = st.tuples(st.sampled_from([None, 1, 2]), st.none() | times, st.none() | st.integers(0, 2), values[kind][1])
    rows = draw(st.lists(row, max_size=25))
    asked = draw(st.lists(st.tuples(st.sampled_from([None, 1, 2, 3]), st.none() | times), max_size=12))
    cuts = sorted(draw(st.lists(st.integers(0, len(rows)), max_size=3)))
    parts = draw(st.sampled_from([(1, 1, 1, 1), (4, 2, 1, 2), (1, 4, 4, 1)]))
    return kind, draw(aggregations(kind)), rows, asked, list(zip(parts, [0, *cuts], strict=False)), draw(st.booleans())


def view_of(*given, created=True):
    return FeatureView(
        "v", entity=Entity("e", keys={"id": "int64"}), source="s", event_time="ts",
        created_time="made" if created else None, aggregations=given,
    )  # fmt: skip


def table_of(kind, rows):
    ids, moments, made, given = zip(*rows, strict=True) if rows else ([], [], [], [])
    return pa.table(
        {
            "id": pa.array(ids, pa.int64()),
            "ts": pa.array(moments, pa.int64()).view(NS),
            "made": pa.array(made, pa.int64()).cast(pa.timestamp("s", "UTC")),
            "x": pa.array(given, values[kind][0]),
        }
    )


def in_parts(table, view, count):
    numbers = number_parts([table.column("id")], view.keys, count)
    return TileParts(tuple(Tile.of(table.filter(pa.array(numbers == n)), view) for n in range(count)))


def ask(view, table, asked, cuts=((1, 0),)):
    """Ask tiles: into how many parts each is cut, and where its rows begin."""
    edges = [*(start for _, start in cuts), table.num_rows]
    rows = [table.slice(low, high - low) for low, high in pairwise(edges)]
    tiles = [in_parts(own, view, count) for own, (count, _) in zip(rows, cuts, strict=True)]
    keys, moments = zip(*asked, strict=True) if asked else ([], [])
    nulls = np.array([moment is None for moment in moments], dtype=np.bool_)
    at = Instants(np.array([moment or 0 for moment in moments], dtype=np.int64), nulls if nulls.any() else None)
    index = WindowIndex(view, table, tiles)
    return index.aggregate([pa.chunked_array([pa.array(keys, pa.int64())])], at, view.features)[0]


def look(aggregation, rows, key, at):
    """Return whether anything came before the window's end, and the values in the window, by plain integers."""
    window = window_of(aggregation)
    mine = [(ts, -1 if made is None else made, place, x) for place, (k, ts, made, x) in enumerate(rows)
            if k == key and key is not None and ts is not None]  # fmt: skip
    mine.sort(key=lambda each: each[:3])
    if window.kind == "tumbling":
        end = at // window.length * window.length
        start = end - window.length
    elif window.kind == "sliding":
        end, start = at, (at - window.length) // window.hop * window.hop
    else:
        end, start = at, at - window.length
        past = [each[0] for each in mine if each[0] < at]
        while past and past[-1] >= start:
            start = past.pop() - window.length
    held = [each[3] for each in mine if start <= each[0] < end and each[3] is not None]
    return any(each[0] < end for each in mine), held


def exact_sum(held):
    odd = [each for each in held if not math.isfinite(each)]
    if any(math.isnan(each) for each in odd) or len(set(odd)) > 1:
        return math.nan
    if odd:
        return odd[0]
    total = sum(map(Fraction, held), Fraction(0))
    try:
        return float(total)
    except OverflowError:
        return math.copysign(math.inf, total)


def std_of(held):
    if any(not math.isfinite(each) for each in held):
        return math.nan
    if any(abs(each) > 1e150 for each in held):
        return math.inf
    exact = [Fraction(each) for each in held]
    mean = sum(exact) / len(exact)
    return math.sqrt(sum((each - mean) ** 2 for each in exact) / (len(exact) - 1))


def quantile_of(held, share):
    with np.errstate(all="ignore"):
        ordered = np.sort(np.array([float(each) for each in held]))
        if np.isnan(ordered[-1]):
            return math.nan
        place = share * (len(held) - 1)
        below = math.floor(place)
        low, high = float(ordered[below]), float(ordered[min(below + 1, len(held) - 1)])
        share = place - below
        if low == high:
            return low
        return low + (high - low) * share if share < 0.5 else high - (high - low) * (1 - share)


def extreme_of(held, pick):
    return pick((each for each in held if not is_nan(each)), default=math.nan)


def is_nan(value):
    return isinstance(value, float) and math.isnan(value)


def sum_of(held):
    return exact_sum(held) if isinstance(held[0], float) else sum(held)


def mean_of(held):
    return float(sum_of(held)) / len(held)


OF_VALUES = {
    "first": lambda held: held[0],
    "last": lambda held: held[-1],
    "min": lambda held: extreme_of(held, min),
    "max": lambda held: extreme_of(held, max),
    "sum": sum_of,
    "mean": mean_of,
    "std": lambda held: std_of([float(each) for each in held]),
}


def expected(aggregation, rows, key, at):
    if at is None:
        return None
    seen, held = look(aggregation, rows, key, at)
    function = aggregation.function
    if not seen:
        return None
    if function in ("count", "distinct"):
        return len(held if function == "count" else {"nan" if is_nan(each) else each for each in held})
    if len(held) < (2 if function == "std" else 1):
        return None
    return quantile_of(held, aggregation.quantile) if function == "quantile" else OF_VALUES[function](held)


def same(one, other, function):
    if one is None or other is None or isinstance(one, str):
        return one is other or one == other
    if isinstance(one, float) and isinstance(other, float):
        if math.isnan(one) or math.isnan(other):
            return math.isnan(one) and math.isnan(other)
        return math.isclose(one, other, rel_tol=1e-9, abs_tol=1e-300) if function == "std" else one == other
    return one == other


@given(cases())
def test_windows_are_what_a_loop_over_the_rows_gives(case):
    kind, aggregation, rows, asked, cuts, created = case
    rows = rows if created else [(key, ts, None, x) for key, ts, _, x in rows]
    view = view_of(aggregation, created=created)
    table = table_of(kind, rows)
    got = ask(view, table, asked, cuts)
    if kind == "date" and aggregation.function in ("min", "max", "first", "last"):
        got = got.cast(pa.int32())
    for (key, at), value in zip(asked, got.to_pylist(), strict=True):
        wanted = expected(aggregation, rows, key, at)
        assert same(value, wanted, aggregation.function), (key, at, value, wanted)


@given(cases())
def test_the_steps_that_are_served_hold_at_every_instant_what_the_join_gives(case):
    kind, aggregation, rows, asked, cuts, _ = case
    view = view_of(aggregation)
    table = table_of(kind, rows)
    asked = [(key, at) for key, at in asked if at is not None]
    asked += [(key, ts + more) for key, ts, _, _ in rows if ts is not None for more in (0, 1) if ts + more < LIMIT]
    joined = ask(view, table, asked, cuts)
    steps = WindowIndex(view, table, [TileParts.of(table, view)]).to_steps()
    assert steps.schema.field(view.features[0]).type == joined.type
    instants = steps["ts"].cast(pa.int64()).to_pylist()
    ids = steps["id"].to_pylist()
    assert sorted(zip(ids, instants, strict=True)) == list(zip(ids, instants, strict=True))
    for place, (key, at) in enumerate(asked):
        held = [n for n, (one, since) in enumerate(zip(ids, instants, strict=True)) if one == key and since <= at]
        served = steps[view.features[0]].slice(held[-1], 1) if held else pa.chunked_array([pa.nulls(1, joined.type)])
        # Bits, not values: minus zero and NaN are compared as they are written.
        assert bits(served) == bits(joined.slice(place, 1)), (key, at)


def bits(column):
    value = column[0]
    if pa.types.is_floating(column.type) and value.is_valid and not math.isnan(value.as_py()):
        return np.float64(value.as_py()).tobytes()
    return str(value)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case["id"])
def test_hand_checked_cases(case):
    stamps = [np.datetime64(ts.removesuffix("Z"), "ns").astype(np.int64) for ts, _ in case["events"]]
    hop = f"{case['hop_seconds']}s" if "hop_seconds" in case else None
    length = f"{case['window_seconds']}s"
    wanted = case["expected"]
    for function, value in wanted.items():
        view = view_of(Aggregation(function, "x", time_window=length, hop=hop), created=False)
        rows = [(1, int(ts), None, x) for ts, (_, x) in zip(stamps, case["events"], strict=True)]
        at = int(np.datetime64(case["query"].removesuffix("Z"), "ns").astype(np.int64))
        assert ask(view, table_of("int64", rows), [(1, at)]).to_pylist() == [value]


def test_a_value_that_has_left_the_window_leaves_nothing_behind():
    rows = [(1, 0, None, 1e300), (1, 5, None, 0.1), (1, 6, None, 0.2)]
    view = view_of(Aggregation("sum", "x", time_window="3ns"), created=False)
    assert ask(view, table_of("double", rows), [(1, 7)]).to_pylist() == [0.1 + 0.2]


def test_many_long_windows_are_asked_by_structures_and_give_the_same_as_written_out():
    rng = np.random.default_rng(5)
    ts = np.sort(rng.integers(0, 4_000, 3_000))
    rows = [(int(k), int(t), None, int(x))
            for k, t, x in zip(rng.integers(1, 3, 3_000), ts, rng.integers(-9, 9, 3_000), strict=True)]  # fmt: skip
    table = table_of("int64", rows)
    asked = [(key, at) for key in (1, 2) for at in range(0, 6_000, 2)]
    for function in ("min", "max", "distinct", "quantile", "sum"):
        quantile = 0.3 if function == "quantile" else None
        aggregation = Aggregation(function, "x", time_window="900ns", hop="50ns", quantile=quantile)
        view = view_of(aggregation, created=False)
        got = ask(view, table, asked).to_pylist()
        for place in range(0, len(asked), 37):
            assert got[place] == expected(aggregation, rows, *asked[place])


def test_sums_of_integers_beyond_64_bits_are_refused_and_means_are_not():
    rows = [(1, 0, None, 2**62), (1, 1, None, 2**62)]
    table = table_of("int64", rows)
    with pytest.raises(UsageError, match="beyond 64 bits") as found:
        ask(view_of(Aggregation("sum", "x", time_window="9ns")), table, [(1, 5)])
    assert found.value.code == "sum-too-large"
    assert ask(view_of(Aggregation("mean", "x", time_window="9ns")), table, [(1, 5)]).to_pylist() == [2.0**62]


def test_a_function_that_means_nothing_for_a_column_is_refused():
    with pytest.raises(SchemaMismatchError, match="'mean' means nothing for 'x', which is string"):
        output_type(Aggregation("mean", "x", time_window="1d"), pa.string())


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"function": "avg", "column": "x", "time_window": "1d"}, "'avg' is no function"),
        ({"function": "mean", "time_window": "1d"}, "'mean' is of a column"),
        ({"function": "count"}, "no window"),
        ({"function": "count", "time_window": "1h", "hop": "2h"}, "does not fit"),
        ({"function": "count", "time_window": "1h", "hop": "1m", "window": "session"}, "does not fit"),
        ({"function": "count", "time_window": "1h", "window": "hopping"}, "'hopping' is no window"),
        ({"function": "quantile", "column": "x", "time_window": "1h"}, "says which"),
        ({"function": "quantile", "column": "x", "time_window": "1h", "quantile": 1.5}, "between 0 and 1"),
        ({"function": "mean", "column": "x", "time_window": "1h", "quantile": 0.5}, "has no quantile"),
        ({"function": "mean", "column": "x", "time_window": "1h", "windw": "sliding"}, "no member 'windw'"),
    ],
)
def test_a_wrong_aggregation_says_what_is_wrong(given, said):
    with pytest.raises(UsageError, match=said):
        Aggregation.from_dict(given)
