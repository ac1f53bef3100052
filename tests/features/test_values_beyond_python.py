"""Values that Python's own types cannot hold are served exactly: in Python, over HTTP and to remote clients."""

import datetime as dt
import json

import numpy as np
import pyarrow as pa
import pytest

import foldstore
from foldstore.api.app import create_app
from foldstore.api.tokens import TokenVault
from foldstore.features.bit_equality import find_different
from foldstore.remote.lookups import RemoteOnlineResult
from tests.api.conftest import client_of

NOON = dt.datetime(2024, 1, 1, 12, tzinfo=dt.UTC)


def ticks(values, kind):
    wide = pa.int32() if kind.bit_width == 32 else pa.int64()
    return pa.array(values, wide).view(kind)


# Per name: two values, the first as Python has it, and as JSON has it.
COLUMNS = {
    "far_day": (ticks([2**31 - 1, None], pa.date32()), "5881580-07-11", "5881580-07-11"),
    "far_ms_day": (ticks([86_400_000 * 10**8, 0], pa.date64()), "275760-09-13", "275760-09-13"),
    "far_second": (ticks([2**62, 0], pa.timestamp("s", "UTC")), "146138514283-06-19T07:45:04Z", None),
    "far_us": (ticks([-(2**62), 0], pa.timestamp("us")), "-144169-06-28T09:59:32.612096", None),
    "ns": (ticks([1, 0], pa.timestamp("ns")), np.datetime64(1, "ns"), "1970-01-01T00:00:00.000000001Z"),
    "ns_time": (ticks([1, None], pa.time64("ns")), "00:00:00.000000001", "00:00:00.000000001"),
    "us_time": (ticks([1_000, 0], pa.time64("ns")), dt.time(0, 0, 0, 1), "00:00:00.000001"),
    "far_span": (ticks([2**62, 0], pa.duration("ms")), np.timedelta64(2**62, "ms"), "4611686018427387.904s"),
    "span": (ticks([1_500, 0], pa.duration("ms")), dt.timedelta(seconds=1.5), "1.5s"),
    "far_days": (
        pa.ListArray.from_arrays([0, 1, 1], ticks([2**31 - 1], pa.date32())), ["5881580-07-11"], ["5881580-07-11"]
    ),
    "ns_inside": (
        pa.StructArray.from_arrays([ticks([1, 1_000], pa.timestamp("ns"))], ["at"]),
        {"at": "1970-01-01T00:00:00.000000001"},
        {"at": "1970-01-01T00:00:00.000000001"},
    ),
}  # fmt: skip


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    with foldstore.connect(tmp_path_factory.mktemp("far")) as store:
        columns = {name: values for name, (values, *_) in COLUMNS.items()}
        store.create_dataset("far").append(pa.table({"id": [1, 2], "ts": [NOON] * 2, **columns}))
        far = foldstore.Entity("thing", keys={"id": "int64"})
        view = foldstore.FeatureView("things", entity=far, source="far", event_time="ts", features=list(COLUMNS))
        store.features.materialize(store.features.apply(foldstore.FeatureService("far", [view])))
        yield store


@pytest.fixture(scope="module")
def client(store):
    vault = TokenVault(store.registry("token"), clock=store.clock)
    app = create_app(store.features, vault, store=store)
    yield client_of(app, vault.create("serving", author="ana")[0])
    app.end()


@pytest.mark.parametrize("name", COLUMNS)
def test_lookups_give_them_as_the_join_does(store, name):
    found = store.features.get_online_features("far@1", [{"id": 1}, {"id": 2}])
    asked = pa.table({"id": [1, 2], "event_timestamp": [NOON] * 2})
    joined = store.features.get_historical_features(asked, "far@1")
    assert found.to_arrow()[name].combine_chunks().equals(joined[name].combine_chunks())
    value = found.to_dict()[name][0]
    assert (type(value), value) == (type(COLUMNS[name][1]), COLUMNS[name][1])
    assert store.features.online("far@1").get({"id": 1}).values[name] == value
    table = found.to_arrow(include_statuses=True, include_event_timestamps=True).select([0, 1, 2])
    remote = RemoteOnlineResult(
        service="far@1", at=0, entities={"id": [1, 2]}, groups=(), table=table, sources={"far_day": ()}
    )
    assert next(remote.columns()).values == found.to_dict()["far_day"]


@pytest.mark.parametrize("path", ["/v1/features:get", "/get-online-features"])
def test_they_are_written_as_text(client, path):
    body = {"feature_service" if path.startswith("/get") else "service": "far@1", "entities": {"id": [1, 2]}}
    answer = client.post(path, json=body)
    assert answer.status_code == 200
    said = json.loads(answer.content)
    for place, (name, (_, value, text)) in enumerate(COLUMNS.items()):
        mine = said["results"][place + 1] if "results" in said else said["features"][name]
        assert mine["values"][0] == (value if text is None else text)


@pytest.mark.parametrize("name", COLUMNS)
def test_what_differs_is_found_among_them(name):
    values = COLUMNS[name][0]
    assert find_different(values, values).tolist() == [False, False]
    assert find_different(values, values.take(pa.array([1, 1]))).tolist() == [True, False]


def test_intervals_that_differ_are_found():
    kind = pa.month_day_nano_interval()
    one, other = (pa.array([(0, 0, 1), (1, 2, last)], kind) for last in (3, 4))
    assert find_different(one, other).tolist() == [False, True]
