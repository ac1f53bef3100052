"""Windows that are materialized again: only entities with other rows, and every step as if all were laid out anew."""

import datetime as dt

import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import foldstore
from foldstore.views.features import window_index
from foldstore.views.features.changed_entities import ChangedEntities
from foldstore.views.online import materialize as writing

Aggregation = foldstore.Aggregation
START = dt.datetime(2024, 1, 1, tzinfo=dt.UTC)
SLIDING = [
    Aggregation("count", time_window="5h"),
    Aggregation("sum", "fare", time_window="9h"),
    Aggregation("mean", "fare", time_window="6h", window="tumbling"),
    Aggregation("count", time_window="6h", window="tumbling"),
    Aggregation("distinct", "city", time_window="9h"),
    Aggregation("quantile", "fare", quantile=0.5, time_window="9h", hop="2h"),
    Aggregation("last", "city", time_window="3h"),
]
SESSION = [*SLIDING, Aggregation("first", "city", time_window="3h", window="session")]


def event(driver, hour, fare=1.0, city="Oslo", line="a"):
    return {"driver": driver, "line": line, "ts": START + dt.timedelta(hours=hour), "fare": fare, "city": city}


def columns(rows):
    return {name: [row[name] for row in rows] for name in rows[0]}


def serve(store, rows, windows=SLIDING, key=(), keys=("driver",), name="rides"):
    store.create_dataset(name, key=list(key)).append(columns(rows))
    types = {"driver": "int64", "line": "string"}
    entity = foldstore.Entity("who", keys={each: types[each] for each in keys}) if keys else None
    view = foldstore.FeatureView("recent", entity=entity, source=name, event_time="ts", aggregations=windows)
    store.features.apply(foldstore.FeatureService("model", [view]))
    store.features.materialize("model")
    return store


def steps(store):
    """Every step that is served, by its key and instant; and how many files lie over the first one."""
    layouts = store.features._layouts
    (served,) = layouts.list_served()
    reader = layouts.open_files(served.files_of("recent"))
    found = {}
    for file in reader.files:
        for row, gone in zip(file.to_table().to_pylist(), file.gone_flags().to_pylist(), strict=True):
            place = tuple(row[name] for name in (*reader.view.join_keys, "ts"))
            found.pop(place, None)
            if not gone:
                found[place] = repr(row)
    return found, len(reader.files) - 1


def check(store, over=True):
    """Materialize by what changed, and anew: every step is the same."""
    store.features.materialize("model")
    found, files = steps(store)
    assert (files > 0) == over
    store.features.materialize("model", full=True)
    assert found == steps(store)[0]


ROWS = [event(driver, hour, fare=driver + hour / 7) for driver in range(6) for hour in range(0, 60, 3)]


@pytest.fixture
def store(tmp_path):
    with foldstore.connect(tmp_path / "store") as opened:
        yield opened


@pytest.mark.parametrize("windows", [SLIDING, SESSION], ids=["sliding", "session"])
def test_new_late_and_deleted_rows_are_laid_over(store, windows):
    serve(store, ROWS, windows)
    rides = store.dataset("rides")
    rides.append(columns([event(1, 61), event(2, 4.5, city="Rome"), event(9, 70)]))
    check(store)
    rides.delete("driver = 3 AND fare > 8 OR driver = 4")
    check(store)


def test_corrected_rows_are_laid_over(store):
    serve(store, ROWS, key=("driver", "ts"))
    store.dataset("rides").upsert(columns([event(1, 30, -5.0), event(1, 31, 5.0), event(7, 1)]))
    check(store)


def test_entities_of_several_keys_and_of_none(tmp_path):
    for number, keys in enumerate([("driver", "line"), ()]):
        with foldstore.connect(tmp_path / str(number)) as store:
            serve(store, ROWS, keys=keys)
            store.dataset("rides").append(columns([event(1, 70), event(1, 71, line="b"), event(2, 58.5)]))
            check(store)


def test_only_what_may_differ_is_computed_and_written(store, monkeypatch):
    serve(store, [event(driver, hour) for driver in range(50) for hour in range(40)])
    computed, written = [], []
    compute, write = window_index.WindowIndex.to_steps, writing._write

    def note(self):
        computed.append(self.table.num_rows)
        return compute(self)

    monkeypatch.setattr(window_index.WindowIndex, "to_steps", note)
    monkeypatch.setattr(writing, "_write", lambda batch, *rest: written.append(batch.num_rows) or write(batch, *rest))
    store.dataset("rides").append(columns([event(3, 41), event(4, 42)]))
    store.features.materialize("model")
    assert computed[0] < 40  # of two drivers what their windows held, and one row before
    assert written[0] < 70
    check(store)


def test_rows_that_a_compaction_put_elsewhere_are_those_that_were_there(store):
    serve(store, ROWS)
    rides = store.dataset("rides")
    rides.append(columns([event(1, 61)]))
    rides.compact()
    check(store)
    rides.delete("driver = 2")
    rides.append(columns([event(1, 62)]))
    rides.compact()
    check(store)


def test_rows_in_another_order_are_laid_out_anew(store, monkeypatch):
    serve(store, ROWS)
    rides = store.dataset("rides")
    rides.append(columns([event(1, 61)]))
    rides.compact()
    row_ids = type(rides.latest).row_ids
    monkeypatch.setattr(
        type(rides.latest), "row_ids", lambda self: row_ids(self)[:: 1 if self.address == "rides@1" else -1]
    )
    check(store, over=False)


def test_too_many_changes_are_laid_out_anew(store, monkeypatch):
    from foldstore.features import materializing

    serve(store, ROWS)
    monkeypatch.setattr(materializing, "MEMORY", 1)
    store.dataset("rides").append(columns([event(1, 61)]))
    check(store, over=False)


def test_a_row_that_was_left_out_says_that_the_entity_was_known(store):
    serve(store, [event(1, 0), event(2, 0)])
    store.dataset("rides").append(columns([event(1, 1_000), event(3, 1_000)]))
    check(store)
    at = START + dt.timedelta(hours=1_001)  # in the last whole six hours nobody had a row
    found = store.features.get_online_features("model", [{"driver": 1}, {"driver": 3}], at=at).to_dict()
    assert found[SLIDING[3].name] == [0, None]


def test_pushed_events_count_until_a_version_has_them(store):
    serve(store, ROWS)
    store.features.push("recent", columns([event(1, 61), event(1, 62)]), to="online_and_offline")
    at = START + dt.timedelta(hours=62.5)

    def count():
        return store.features.get_online_features("model", [{"driver": 1}], at=at).to_dict()["count_5h"]

    assert count() == [2]
    store.dataset("rides").delete("driver = 1 AND ts > '2024-01-03T13:30:00Z'")
    store.features.materialize("model")
    assert steps(store)[1] == 1
    assert count() == [1]


def test_many_keys_of_wide_ranges_take_little_memory():
    chosen = list(range(0, 3_000_000_000, 1_000_000))
    table = pa.table({"a": chosen, "b": chosen, "ts": pa.array(range(3_000), pa.timestamp("s", "UTC"))})
    entity = foldstore.Entity("pair", keys={"a": "int64", "b": "int64"})
    view = foldstore.FeatureView("v", entity=entity, source="s", event_time="ts", aggregations=SLIDING[:1])
    assert len(ChangedEntities(view, table)) == 3_000


EVENT = st.builds(
    event,
    st.integers(1, 4),
    st.integers(0, 120).map(lambda quarter: quarter / 4),
    st.none() | st.floats(-9, 9),
    st.sampled_from(["Oslo", "Bern", None]),
)
CHANGE = st.tuples(st.just("append"), st.lists(EVENT, min_size=1, max_size=4)) | st.tuples(
    st.just("delete"),
    st.sampled_from(["driver = 2", "fare > 3", "city = 'Bern' AND driver > 1", "ts > '2024-01-01T20:00:00Z'"]),
)


@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.lists(EVENT, min_size=1, max_size=12),
    st.lists(st.lists(CHANGE, min_size=1, max_size=2), min_size=1, max_size=4),
    st.sampled_from([SLIDING, SESSION, SLIDING[:2]]),
)
def test_law_steps_that_are_laid_over_are_those_that_are_laid_out_anew(tmp_path_factory, first, history, windows):
    with foldstore.connect(tmp_path_factory.mktemp("windows") / "store") as store:
        rows = [*first, event(1, 0, 0.5, "Oslo"), event(2, 1, 0.5, "Bern")]
        serve(store, rows, windows)
        for round_ in history:
            for verb, what in round_:
                if verb == "append":
                    store.dataset("rides").append(columns(what))
                else:
                    store.dataset("rides").delete(what)
            store.features.materialize("model")
        found = steps(store)[0]
        store.features.materialize("model", full=True)
        assert found == steps(store)[0]
