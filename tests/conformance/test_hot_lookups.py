"""Prepared handles for single lookups, and what is kept of lookups: the same in a folder and behind a server."""

import datetime as dt
import math
from decimal import Decimal

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import foldstore
from foldstore.remote.online import _read_single
from foldstore.views.online.status import FeatureStatus
from tests.conformance.conftest import raised

DAY = [dt.datetime(2024, 1, n, tzinfo=dt.UTC) for n in range(1, 11)]
DRIVER = foldstore.Entity("driver", keys={"driver": "int64"})
PLAIN = {
    "trips": pa.array([10, 30, 2**63 - 1, None, -(2**63)], pa.int64()),
    "small": pa.array([1, 2, 255, None, 0], pa.uint8()),
    "fare": pa.array([0.1, math.nan, -0.0, 1.5, math.inf], pa.float32()),
    "sum": pa.array([0.1, -math.inf, -0.0, None, 5e-324], pa.float64()),
    "note": ["a", 'b\n"</script>é\u2028', None, "", "NaN"],
    "new": [True, False, None, True, False],
}
OTHERS = {
    "seen": pa.array([DAY[0], DAY[1], DAY[2], None, DAY[4]], pa.timestamp("us", "UTC")),
    "fine": pa.array([1, 2, 3, None, 5], pa.timestamp("ns")),
    "price": pa.array([Decimal("1.10"), None, Decimal("-0.01"), Decimal("9.99"), None], pa.decimal128(9, 2)),
}


def apply(store, features, name="model"):
    view = foldstore.FeatureView("stats", entity=DRIVER, source="rides", event_time="ts", ttl="5d", features=features)
    return store.features.apply(foldstore.FeatureService(name, [view]), allow_breaking=True)


@pytest.fixture
def rides(store):
    table = {"driver": [1, 1, 2, 3, 4], "ts": [DAY[0], DAY[2], DAY[2], DAY[2], DAY[3]], **PLAIN, **OTHERS}
    return store.create_dataset("rides").append(pa.table(table))


def same(row, names, found, place):
    """A row says what the answer for many says of the same entity, in the same types."""
    assert list(row.values) == names
    for number, column in enumerate(found.columns()):
        value, wanted = row.values[column.name], column.values[place]
        assert type(value) is type(wanted)
        assert repr(value) == repr(wanted)
        assert row.statuses[number] is column.statuses[place]
        assert row.event_times[number] == column.event_times[place]


@pytest.mark.parametrize("names", [[*PLAIN], [*OTHERS], [*PLAIN, *OTHERS], ["trips"]], ids=len)
def test_a_handle_says_what_a_lookup_says(store, rides, names):
    service = apply(store, names)
    store.features.materialize(service)
    handle = store.features.online(service)
    for at in (DAY[3], DAY[0], DAY[9], "2024-01-04T00:00:00Z", int(DAY[4].timestamp()) * 10**9):
        asked = [{"driver": each} for each in (1, 2, 3, 4, 9)]
        found = store.features.get_online_features(service, asked, at=at)
        for place, entity in enumerate(asked):
            same(handle.get(entity, at=at), names, found, place)
    assert handle.get({"driver": 9}, at=DAY[3]).statuses == (FeatureStatus.NOT_FOUND,) * len(names)
    assert handle.get({"driver": 1}).statuses == (FeatureStatus.OUTSIDE_MAX_AGE,) * len(names)


def test_a_handle_follows_an_alias(store, rides):
    for names in (["trips", "note"], ["note", "seen"], ["fare"]):
        store.features.materialize(apply(store, names))
    store.features.aliases.set("model@live", "model@1")
    handle = store.features.online("model@live")
    assert handle.get({"driver": 1}, at=DAY[3]).values == {"trips": 30, "note": PLAIN["note"][1]}
    store.features.aliases.set("model@live", "model@2")
    again = store.features.online("model@live")
    assert again.get({"driver": 1}, at=DAY[3]).values["seen"] == DAY[1]


def test_over_the_network_an_alias_is_followed_at_once(behind):
    store = behind.connect()
    store.create_dataset("rides").append(pa.table({"driver": [1], "ts": [DAY[0]], "trips": [7], "seen": [DAY[0]]}))
    for names in (["trips"], ["seen"]):
        store.features.materialize(apply(store, names))
    store.features.aliases.set("model@live", "model@1")
    handle = store.features.online("model@live")
    assert handle.get({"driver": 1}, at=DAY[3]).values == {"trips": 7}
    store.features.aliases.set("model@live", "model@2")
    assert handle.get({"driver": 1}, at=DAY[3]).values == {"seen": DAY[0]}
    store.features.aliases.set("model@live", "model@1")
    assert handle.get({"driver": 1}, at=DAY[3]).values == {"trips": 7}
    assert handle.get({"driver": 2}, at=DAY[3]).values == {"trips": None}


def test_rows_that_are_pushed_are_seen(store, rides):
    service = apply(store, ["trips"])
    store.features.materialize(service)
    handle = store.features.online(service)
    assert handle.get({"driver": 1}, at=DAY[4]).values == {"trips": 30}
    store.features.push("stats", [{"driver": 1, "ts": DAY[3], "trips": 31}])
    assert handle.get({"driver": 1}, at=DAY[4]).values == {"trips": 31}


def test_bad_questions_are_refused(store, rides):
    service = apply(store, ["trips"])
    assert raised(lambda: store.features.online("nothing@1")) == ("NotFoundError", "not-found")
    assert raised(lambda: store.features.online(service))[0] == "NotFoundError"  # not materialized
    store.features.materialize(service)
    handle = store.features.online(service)
    for entity in ([1], "x", None, [("driver", 1)]):
        assert raised(lambda ask=entity: handle.get(ask))[0] == "UsageError"
    assert raised(lambda: handle.get({"driver": "one"}))[0] in {"UsageError", "SchemaMismatchError"}
    assert raised(lambda: handle.get({}))[0] in {"UsageError", "SchemaMismatchError"}
    assert raised(lambda: handle.get({"driver": 1}, at="yesterday"))[0] == "UsageError"


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(value=st.floats(width=32, allow_nan=False, allow_infinity=False))
def test_a_float32_is_read_to_the_bit_or_not_at_all(value):
    single = np.float32(value)
    assert np.float32(_read_single(float(str(single)))).tobytes() == single.tobytes()


def test_a_text_that_no_float32_is_written_as_is_not_read():
    with pytest.raises(ValueError, match="0"):
        _read_single(0.1 + 2**-50)


def test_lookups_are_logged(store, rides, folder):
    service = apply(store, ["trips"])
    store.features.materialize(service)
    assert store.features.log_lookups("model") == "model.served"
    assert store.features.log_lookups(service, share=0.5, dataset="elsewhere") == "elsewhere"
    assert store.features.log_lookups("model", share=1.0) == "model.served"
    store.features.get_online_features(service, [{"driver": 1}, {"driver": 2}], at=DAY[3])
    store.features.usage()  # commits what waits
    assert store.version("model.served").to_arrow()["trips"].to_pylist() == [30, 2**63 - 1]
    assert store.features.log_lookups("model", share=0) == "model.served"
    store.features.get_online_features(service, [{"driver": 1}], at=DAY[3])
    store.features.usage()
    assert store.dataset("model.served").latest.num_rows == 2
    for share in (-0.1, 1.1, True, "all"):
        assert raised(lambda said=share: store.features.log_lookups("model", share=said))[0] == "UsageError"
    assert raised(lambda: store.features.log_lookups("nothing"))[0] == "NotFoundError"
    assert raised(lambda: store.features.log_lookups("model", dataset="../x"))[0] == "InvalidNameError"
