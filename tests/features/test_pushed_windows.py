"""Events pushed to windows: looked up at once, and equal to the training join of the version that has them."""

import datetime as dt

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import foldstore
from foldstore.errors import RefusedError, SchemaMismatchError
from foldstore.features.pushed_windows import PushedWindows
from foldstore.views.features.feature_view import FeatureView

Aggregation = foldstore.Aggregation
START = dt.datetime(2024, 1, 1, tzinfo=dt.UTC)
NAMES = ["Oslo", "Bern", None]
WINDOWS = [
    Aggregation("count", time_window="5h"),
    Aggregation("sum", "fare", time_window="9h"),
    Aggregation("mean", "fare", time_window="1d", window="tumbling"),
    Aggregation("distinct", "city", time_window="9h"),
    Aggregation("quantile", "fare", quantile=0.5, time_window="9h", hop="2h"),
    Aggregation("last", "city", time_window="3h", window="session"),
]


def event(driver, hour, fare=1.0, city="Oslo"):
    return {"driver": driver, "ts": START + dt.timedelta(hours=hour), "fare": fare, "city": city}


@pytest.fixture
def store(tmp_path):
    with foldstore.connect(tmp_path / "store") as opened:
        yield serve(opened, [event(1, 0, 0.1), event(1, 4, 0.2, "Bern"), event(2, 3, 7.0)])


def serve(store, rows, name="rides", **changes):
    store.create_dataset(name).append({column: [row[column] for row in rows] for column in rows[0]})
    driver = foldstore.Entity("driver", keys={"driver": "int64"})
    view = FeatureView(f"{name}_recent", entity=driver, source=name, event_time="ts", aggregations=WINDOWS, **changes)
    store.features.apply(foldstore.FeatureService(name, [view]))
    store.features.materialize(name)
    return store


def check(store, hours, drivers=(1, 2, 3), name="rides"):
    """Whoever looks up at an instant finds what the join gives for it."""
    for hour in hours:
        at = START + dt.timedelta(hours=hour)
        asked = {"driver": list(drivers), "event_timestamp": [at] * len(drivers)}
        joined = store.features.get_historical_features(asked, name)
        found = store.features.get_online_features(name, [{"driver": each} for each in drivers], at=at).to_dict()
        for each in WINDOWS:
            assert found[each.name] == joined[each.name].to_pylist(), (hour, each.name)


@pytest.mark.usefixtures("each_catalog")
def test_an_event_is_in_the_windows_at_once(store):
    done = store.features.push("rides_recent", [event(1, 6, 0.7), event(3, 5)], to="online_and_offline")
    assert (done.version, done.services) == ("rides@2", ("rides@1",))
    check(store, [6, 6.5, 8, 9, 11, 13, 15.5, 30, 60])
    store.features.push("rides_recent", [event(1, 5, 0.3, "Rome")], to="online_and_offline")
    check(store, [5, 5.5, 6, 6.5, 9, 10, 14.1, 15.5, 30, 60])
    store.features.materialize("rides")
    check(store, [0, 1, 4.5, 5.5, 6.5, 9, 15.5, 30, 60])


@pytest.mark.usefixtures("each_catalog")
def test_an_event_that_was_deleted_leaves_nothing_behind(store):
    store.features.push("rides_recent", [event(1, 6, 0.7)], to="online_and_offline")
    store.dataset("rides").delete("fare = 0.7")
    store.features.materialize("rides")
    check(store, [6.5, 9, 11.5, 14, 15.5, 30])


@pytest.mark.usefixtures("each_catalog")
def test_a_version_that_comes_meanwhile_is_read_too(store, monkeypatch):
    make, times = PushedWindows._steps, []

    def step(self, table):
        steps = make(self, table)
        times.append(table.num_rows)
        if len(times) == 1:
            store.features.push("rides_recent", [event(1, 7, 2.0)], to="online_and_offline")
        return steps

    monkeypatch.setattr(PushedWindows, "_steps", step)
    store.features.push("rides_recent", [event(1, 6, 1.0)], to="online_and_offline")
    assert times == [4, 5, 5]
    check(store, [6.5, 7.5, 9, 11.5, 15.5, 30])


def test_what_no_version_would_have_is_refused(store):
    with pytest.raises(RefusedError, match="computed over windows") as refused:
        store.features.push("rides_recent", [event(1, 6)], to="online")
    assert refused.value.code == "push-of-windows"
    assert "online_and_offline" in refused.value.hint
    with pytest.raises(RefusedError, match="computed over windows"):
        store.features.delete_online("rides_recent", [{"driver": 1}])
    bad = {name: [value] for name, value in event(1, 6).items() if name != "fare"}
    with pytest.raises(SchemaMismatchError, match="'fare' is missing"):
        store.features.push("rides_recent", bad, to="online_and_offline")
    assert [each.address for each in store.dataset("rides").versions()] == ["rides@1"]
    check(store, [6, 9])


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_law_whatever_is_pushed_when_the_lookup_is_the_join(tmp_path_factory, data):
    events = st.builds(
        event, st.integers(1, 3), st.integers(0, 40), st.none() | st.floats(-9, 9), st.sampled_from(NAMES)
    )
    with foldstore.connect(tmp_path_factory.mktemp("windows") / "store") as store:
        serve(store, [event(1, 0, 0.1, "Oslo"), *data.draw(st.lists(events, max_size=8))])
        for _ in range(data.draw(st.integers(1, 3))):
            rows = data.draw(st.lists(events, min_size=1, max_size=3))
            store.features.push("rides_recent", rows, to="online_and_offline")
            if data.draw(st.booleans()):
                store.features.materialize("rides")
        hours = data.draw(st.lists(st.integers(0, 300).map(lambda quarter: quarter / 4), min_size=4, max_size=8))
        check(store, hours)
