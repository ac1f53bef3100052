"""The text of an answer says what the result says, whatever the types, nulls and statuses are."""

import datetime as dt
import json
import math
import tempfile
from pathlib import Path

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from foldstore.api.json_values import json_values
from foldstore.api.lookup_text import write_answer, write_feast_answer
from foldstore.views.features.entity import Entity
from foldstore.views.features.feature_service import FeatureService
from foldstore.views.features.feature_view import FeatureView
from foldstore.views.instant import format_instant
from foldstore.views.online.catalog import OnlineCatalog
from foldstore.views.online.materialize import materialize_view
from foldstore.views.online.reader import OnlineReader

NOON = dt.datetime(2024, 1, 10, 12, tzinfo=dt.UTC)
TYPES = {
    "f32": (pa.float32(), st.floats(width=32)),
    "f64": (pa.float64(), st.floats()),
    "i64": (pa.int64(), st.integers(-(2**63), 2**63 - 1)),
    "u64": (pa.uint64(), st.integers(0, 2**64 - 1)),
    "i8": (pa.int8(), st.integers(-128, 127)),
    "text": (pa.string(), st.text(st.characters(codec="utf-8"), max_size=5)),
    "flag": (pa.bool_(), st.booleans()),
    "day": (pa.date32(), st.dates()),
    "items": (pa.list_(pa.float64()), st.lists(st.floats(), max_size=2)),
}
ROWS = st.lists(
    st.fixed_dictionaries(
        {name: st.none() | values for name, (_, values) in TYPES.items()}
        | {"age": st.sampled_from([0, 1, 1_500, 3_600_000_001])}
    ),
    min_size=1,
    max_size=12,
)
ASKED = st.lists(st.integers(0, 14), min_size=1, max_size=20)


def look_up(folder, rows, asked, types=TYPES):
    schema = pa.schema(
        {"id": pa.int64(), "ts": pa.timestamp("us", "UTC")} | {n: kind for n, (kind, _) in types.items()}
    )
    full = [
        {**{name: row[name] for name in types}, "id": number, "ts": NOON - dt.timedelta(microseconds=row["age"])}
        for number, row in enumerate(rows)
    ]
    view = FeatureView(
        "things", entity=Entity("thing", keys={"id": "int64"}), source="x", event_time="ts", ttl="1h", features=[*types]
    )
    made = materialize_view(pa.Table.from_pylist(full, schema=schema), view, folder, sources=["x@1"])
    online = OnlineCatalog()
    online.add(FeatureService("svc", [view]), 1, [OnlineReader(made.path)])
    return online.get_online_features("svc", {"id": asked}, NOON)


def values_of(column, *, wide_as_text):
    return json.loads(json.dumps(list(json_values(column.values, column.type, wide_as_text=wide_as_text))))


def times_of(column, missing=None):
    return [missing if time is None else format_instant(time) for time in column.event_times]


def as_written(data):
    """Floats by their digits, so that -0.0 and 0.0 differ."""
    return repr(data)


@settings(max_examples=60)
@given(ROWS, ASKED, st.booleans())
def test_an_answer_has_what_the_result_has(rows, asked, wide):
    with tempfile.TemporaryDirectory() as name:
        result = look_up(Path(name), rows, asked)
        told = json.loads(write_answer(result, wide_as_text=wide, request_id="\ud800 7"))
        expected = {
            column.name: {
                "values": values_of(column, wide_as_text=wide),
                "statuses": [str(status) for status in column.statuses],
                "event_timestamps": times_of(column),
                "sources": list(column.sources),
            }
            for column in result.columns()
        }
    assert as_written(told["features"]) == as_written(expected)
    assert list(told["features"]) == list(TYPES)
    assert (told["entities"], told["service"], told["request_id"]) == ({"id": asked}, "svc@1", "\ud800 7")
    assert told["at"] == "2024-01-10T12:00:00Z"


NARROW = {"f32": TYPES["f32"], "other": TYPES["f32"]}  # of float32 alone: written at once
FINITE = st.floats(width=32, allow_nan=False, allow_infinity=False)


@settings(max_examples=60)
@given(st.data(), st.sampled_from([FINITE, st.floats(width=32), st.none() | FINITE]), ASKED)
def test_float32_values_that_are_written_at_once_are_what_the_result_has(data, values, asked):
    each = st.fixed_dictionaries({**dict.fromkeys(NARROW, values), "age": st.sampled_from([0, 1, 1_500])})
    rows = data.draw(st.lists(each, min_size=1, max_size=15))
    asked = [number % len(rows) for number in asked] if data.draw(st.booleans()) else asked
    with tempfile.TemporaryDirectory() as name:
        result = look_up(Path(name), rows, asked, NARROW)
        told = json.loads(write_answer(result))["features"]
        expected = {
            column.name: {
                "values": values_of(column, wide_as_text=False),
                "statuses": [str(status) for status in column.statuses],
                "event_timestamps": times_of(column),
                "sources": list(column.sources),
            }
            for column in result.columns()
        }
    assert as_written(told) == as_written(expected)


@settings(max_examples=40)
@given(ROWS, ASKED, st.booleans())
def test_feasts_answer_has_what_the_result_has(rows, asked, epoch):
    missing = "1970-01-01T00:00:00Z" if epoch else None
    with tempfile.TemporaryDirectory() as name:
        result = look_up(Path(name), rows, asked)
        told = json.loads(write_feast_answer(result, epoch_for_missing=epoch))
        expected = [
            {
                "values": values_of(column, wide_as_text=False),
                "statuses": [str(status) for status in column.statuses],
                "event_timestamps": times_of(column, missing),
            }
            for column in result.columns()
        ]
    keys, *columns = told["results"]
    assert as_written(columns) == as_written(expected)
    assert keys == {"values": asked, "statuses": ["PRESENT"] * len(asked), "event_timestamps": [missing] * len(asked)}
    assert told["metadata"]["feature_names"] == ["id", *TYPES]


@pytest.mark.parametrize("count", [1, 3, 20])
def test_what_json_has_no_number_for_is_text_and_null_has_a_status(count, tmp_path):
    row = dict.fromkeys(TYPES) | {"f32": math.nan, "f64": -math.inf, "age": 0}
    features = json.loads(write_answer(look_up(tmp_path, [row], [0] * count)))["features"]
    assert features["f32"]["values"] == ["NaN"] * count
    assert features["f64"]["values"] == ["-Infinity"] * count
    assert features["f32"]["statuses"] == ["PRESENT"] * count
    for name in set(TYPES) - {"f32", "f64"}:
        assert features[name]["values"] == [None] * count
        assert features[name]["statuses"] == ["NULL_VALUE"] * count
