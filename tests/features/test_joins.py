"""Joins by every entrance: what may ask, with which rules, and what is refused; against a loop over all rows."""

import datetime as dt

import polars as pl
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

import foldstore
from foldstore.errors import (
    AlreadyExistsError,
    ColumnNotFoundError,
    FoldstoreError,
    InvalidNameError,
    NotFoundError,
    SchemaMismatchError,
    UsageError,
)
from foldstore.views.features.join import FeatureTable, index_view, point_in_time_join
from foldstore.views.instant import LIMIT, format_duration, parse_instant

DRIVER = foldstore.Entity("driver", keys={"driver": "int64"})
NS = pa.timestamp("ns", "UTC")


def at(day):
    return dt.datetime(2024, 1, day, tzinfo=dt.UTC)


@pytest.fixture
def service(store):
    rows = {
        "driver": [1, 1, 1, 2],
        "ts": [at(1), at(3), at(3), at(2)],
        "made": [at(1), at(3), at(6), at(2)],
        "trips": [10, 30, 31, 7],
    }
    store.create_dataset("rides").append(rows)
    view = foldstore.FeatureView(
        "stats", entity=DRIVER, source="rides", event_time="ts", created_time="made", features=["trips"]
    )
    store.features.apply(foldstore.FeatureService("model", [view]))
    return "model"


ROWS = {"driver": [2, 1, 9, 1], "event_timestamp": [at(5), at(3), at(3), at(2)], "kept": ["d", None, "b", "a"]}
EXPECTED = [7, 31, None, 10]


def _pandas(table):
    pandas = pytest.importorskip("pandas")
    frame = table.to_pandas()
    frame.index = pandas.Index([5, 3, 9, 1])  # as it is after rows were filtered away
    return frame


ENTRANCES = {
    "a dict": lambda store: ROWS,
    "Arrow": lambda store: pa.table(ROWS),
    "a reader": lambda store: pa.table(ROWS).to_reader(),
    "polars": lambda store: pl.DataFrame(ROWS),
    "pandas": lambda store: _pandas(pa.table(ROWS)),
    "an address": lambda store: store.create_dataset("labels").append(pa.table(ROWS)).address,
    "a version": lambda store: store.create_dataset("labels").append(pa.table(ROWS)),
    "a view": lambda store: store.view(store.create_dataset("labels").append(pa.table(ROWS)).address),
    "a query": lambda store: f'SELECT * FROM "{store.create_dataset("labels").append(pa.table(ROWS)).address}"',
    "a query as a source": lambda store: foldstore.sql(
        f'SELECT * FROM "{store.create_dataset("labels").append(pa.table(ROWS)).address}"'
    ),
}


@pytest.mark.parametrize("labels", ENTRANCES.values(), ids=ENTRANCES)
def test_rows_that_ask_may_come_as(store, service, labels):
    joined = store.features.get_historical_features(labels(store), service)
    assert joined.column_names == ["driver", "event_timestamp", "kept", "trips"]
    assert joined["trips"].to_pylist() == EXPECTED
    assert joined["kept"].to_pylist() == ROWS["kept"]
    assert joined["driver"].to_pylist() == ROWS["driver"]
    assert joined.schema.field("driver").type == pa.int64()


def test_types_and_order_of_what_asks_are_kept(store, service):
    labels = pa.table(
        {
            "driver": pa.array([1, 2, 1], pa.uint8()),
            "when": pa.array([3, 2, 1], pa.timestamp("s")),
            "word": pa.array(["a", "b", "a"]).dictionary_encode(),
            "list": [[1], None, []],
            "small": pa.array([1.5, None, 2.5], pa.float32()),
        }
    )
    joined = store.features.get_historical_features(labels, service)
    assert joined.schema.field("when").type == pa.timestamp("s", "UTC")
    assert joined.drop_columns(["when", "trips"]) == labels.drop_columns(["when"])


def test_what_was_written_later_is_seen_only_when_it_may(store, service):
    rows = {"driver": [1, 1], "event_timestamp": [at(4), at(6)]}
    assert store.features.get_historical_features(rows, service)["trips"].to_pylist() == [31, 31]
    known = store.features.get_historical_features(rows, service, filter_by_created_timestamp=True)
    assert known["trips"].to_pylist() == [30, 31]


def test_what_happened_at_the_very_instant_is_hidden_when_asked(store, service):
    rows = {"driver": [1, 2], "event_timestamp": [at(3), at(2)]}
    hidden = store.features.get_historical_features(rows, service, allow_exact_match=False)
    assert hidden["trips"].to_pylist() == [10, None]


class TestWithoutRowsThatAsk:
    def test_every_entity_asks_whenever_something_was_known_of_it(self, store, service):
        found = store.features.get_historical_features(service=service)
        assert found.column_names == ["driver", "event_timestamp", "trips"]
        assert found.to_pylist() == [
            {"driver": 1, "event_timestamp": at(1), "trips": 10},
            {"driver": 2, "event_timestamp": at(2), "trips": 7},
            {"driver": 1, "event_timestamp": at(3), "trips": 31},
        ]

    @pytest.mark.parametrize(
        ("start", "end", "expected"),
        [
            (None, at(2), [10, 7]),
            ("2024-01-02", None, [7, 31]),
            (at(2), at(2), [7]),
            (at(4), None, []),
            (at(3), at(1), []),
        ],
    )
    def test_start_and_end_bound_it_and_are_included(self, store, service, start, end, expected):
        found = store.features.get_historical_features(service=service, start=start, end=end)
        assert found["trips"].to_pylist() == expected

    def test_views_of_one_entity_share_their_instants_and_those_without_keys_add_none(self, store, service):
        store.create_dataset("fines").append({"driver": [1, 3, None], "ts": [at(2), at(3), at(9)], "fine": [5, 6, 7]})
        store.create_dataset("rates").append({"ts": [at(1), at(8)], "usd": [1.1, 1.2]})
        rides = store.features.service(service).selections[0]
        fines = foldstore.FeatureView("fines", entity=DRIVER, source="fines", event_time="ts", features=["fine"])
        rates = foldstore.FeatureView("rates", source="rates", event_time="ts", features=["usd"])
        store.features.apply(foldstore.FeatureService("both", [rides, fines, rates]))
        found = store.features.get_historical_features(service="both").to_pydict()
        assert list(zip(found["driver"], found["trips"], found["fine"], found["usd"], strict=True)) == [
            (1, 10, None, 1.1), (1, 10, 5, 1.1), (2, 7, None, 1.1), (1, 31, 5, 1.1), (3, None, 6, 1.1),
        ]  # fmt: skip
        store.features.apply(foldstore.FeatureService("rate", [rates]))
        assert store.features.get_historical_features(service="rate")["usd"].to_pylist() == [1.1, 1.2]

    def test_several_keys_have_no_history_together(self, store, service):
        rides = store.features.service(service).selections[0]
        store.features.apply(foldstore.FeatureService("two", [rides.view.as_("a", keys={"driver": "x"}), rides]))
        with pytest.raises(UsageError, match="of several keys"):
            store.features.get_historical_features(service="two", full_feature_names=True)

    def test_bounds_stand_in_place_of_rows(self, store, service):
        with pytest.raises(UsageError, match="in place of rows"):
            store.features.get_historical_features(ROWS, service, start=at(1))
        with pytest.raises(UsageError, match="No feature service"):
            store.features.get_historical_features(ROWS)


def test_a_training_set_remembers_how_it_was_joined(store, service):
    rows = {"id": [1, 2], "driver": [1, 1], "event_timestamp": [at(3), at(4)]}
    store.create_dataset("labels", key=["id"], event_time="event_timestamp").append(rows).split("all", train=1.0)
    made = store.features.create_training_set(
        "made", labels="labels#all", features=service, allow_exact_match=False, filter_by_created_timestamp=True
    )
    assert made.to_arrow()["trips"].to_pylist() == [10, 30]
    again = store.training_set("made").inputs
    assert again.options == {"allow_exact_match": False, "filter_by_created_timestamp": True}


BAD = {
    "a missing join key": ({"event_timestamp": [at(1)]}, ColumnNotFoundError, "no column 'driver'"),
    "a key of another type": ({"driver": ["1"], "event_timestamp": [at(1)]}, SchemaMismatchError, "is string"),
    "a key that is a float": ({"driver": [1.0], "event_timestamp": [at(1)]}, SchemaMismatchError, "is double"),
    "no time": ({"driver": [1]}, UsageError, "no column of times"),
    "two times": ({"driver": [1], "a": [at(1)], "b": [at(1)]}, UsageError, "columns of times are a, b"),
    "a time that is text": ({"driver": [1], "event_timestamp": ["2024"]}, UsageError, "is string, not a time"),
    "a column of the feature's name": (
        {"driver": [1], "event_timestamp": [at(1)], "trips": [1]}, UsageError, "two columns 'trips'"
    ),
    "two columns of one name": (
        pa.table([[1], [1], [at(1)]], names=["driver", "driver", "event_timestamp"]), FoldstoreError, "driver"
    ),
    "an instant of another age": (
        {"driver": [1], "event_timestamp": pa.array([2**62], pa.timestamp("us"))}, UsageError, "outside the years"
    ),
    "the least int64": (
        {"driver": [1], "event_timestamp": pa.array([-(2**63)], pa.timestamp("ns"))}, UsageError, "outside the years"
    ),
    "a key out of range": (
        {"driver": pa.array([2**64 - 1], pa.uint64()), "event_timestamp": [at(1)]}, SchemaMismatchError, "driver"
    ),
    "an unknown address": ("nothing@1", NotFoundError, "nothing"),
    "a query that fails": ("SELECT nothing", FoldstoreError, "nothing"),
    "an object": (object(), FoldstoreError, "object"),
}  # fmt: skip


@pytest.mark.parametrize(("labels", "error", "message"), BAD.values(), ids=BAD)
def test_bad_rows_are_refused_in_words(store, service, labels, error, message):
    with pytest.raises(error, match=message):
        store.features.get_historical_features(labels, service)


def test_no_rows_give_no_rows_with_all_columns(store, service):
    empty = pa.table(ROWS).slice(0, 0)
    joined = store.features.get_historical_features(empty, service)
    assert (joined.num_rows, joined.schema.field("trips").type) == (0, pa.int64())


def test_a_source_that_lost_a_column_is_named(store, service):
    store.dataset("rides").drop_columns(["trips"])
    with pytest.raises(ColumnNotFoundError, match="'trips' in the source of feature view 'stats'"):
        store.features.get_historical_features(ROWS, service)


def test_a_service_without_created_times_cannot_filter_by_them(store, service):
    view = foldstore.FeatureView("bare", entity=DRIVER, source="rides", event_time="ts", features=["trips"])
    store.features.apply(foldstore.FeatureService("bare", [view]))
    with pytest.raises(SchemaMismatchError, match="no created time to filter by"):
        store.features.get_historical_features(ROWS, "bare", filter_by_created_timestamp=True)


def test_a_name_that_is_taken_is_refused_before_anything_is_joined(store, service, monkeypatch):
    keyed = store.create_dataset("asks", key=["driver", "event_timestamp"], event_time="event_timestamp")
    asks = keyed.append(pa.table(ROWS))
    asks.split("s", train=0.5, test=0.5, seed=1)
    first = store.features.create_training_set("first", labels="asks@1#s", features=service)
    monkeypatch.setattr("foldstore.features.joins.point_in_time_join", lambda *_, **__: pytest.fail("it was joined"))
    with pytest.raises(AlreadyExistsError, match="already a dataset 'asks', which is no training set"):
        store.features.create_training_set("asks", labels="asks@1#s", features=service)
    with pytest.raises(InvalidNameError, match="'T' is not a valid"):
        store.features.create_training_set("T", labels="asks@1#s", features=service)
    assert store.training_set("first").address == first.address


def loop(row, feature_rows, keys, ttl, *, created, exact):
    """Return the value that a row sees, by looking at every row of the feature table."""
    best, value = None, None
    for number, each in enumerate(feature_rows):
        if any(row[ask] is None or row[ask] != each[key] for key, ask in keys.items()):
            continue
        if row["at"] is None or each["ts"] is None or each["ts"] > row["at"] or (each["ts"] == row["at"] and not exact):
            continue
        if created and (each["made"] is None or each["made"] > row["at"]):
            continue
        rank = (each["ts"], -(2**64) if each["made"] is None else each["made"], number)
        if best is None or rank > best:
            best = rank
            value = None if ttl and each["ts"] < row["at"] - ttl else each["x"]
    return value


instants = st.integers(-3, 4) | st.sampled_from([1 - LIMIT, 2 - LIMIT, -(10**9), 10**9, LIMIT - 2, LIMIT - 1])
ids = st.none() | st.integers(0, 2)
feature_rows = st.lists(
    st.fixed_dictionaries(
        {
            "id": ids,
            "z": ids,
            "ts": st.none() | instants,
            "made": st.none() | instants,
            "x": st.none() | st.integers(0, 99),
        }
    ),
    max_size=14,
)


@given(
    tables=st.lists(
        st.tuples(
            feature_rows,
            st.sampled_from([{}, {"id": "id"}, {"id": "other"}, {"id": "id", "z": "other"}]),
            st.sampled_from([0, 1, 2, 10**9, LIMIT - 1]),
            st.sampled_from([None, "UTC", "Asia/Tokyo"]),
        ),
        min_size=1,
        max_size=3,
    ),
    labels=st.lists(st.fixed_dictionaries({"id": ids, "other": ids, "at": st.none() | instants}), max_size=14),
    created=st.booleans(),
    exact=st.booleans(),
    zone=st.sampled_from([None, "UTC", "America/New_York"]),
)
def test_law_a_join_of_several_views_is_what_a_loop_finds(tables, labels, created, exact, zone):
    joinable, expected = [], {}
    for number, (rows, keys, ttl, feature_zone) in enumerate(tables):
        entity = foldstore.Entity(f"e{len(keys)}", keys=dict.fromkeys(keys, "int64")) if keys else None
        view = foldstore.FeatureView(
            f"v{number}", entity=entity, source="s", event_time="ts", created_time="made", features=["x"],
            ttl=format_duration(ttl) if ttl else None,
        )  # fmt: skip
        kinds = {"id": pa.int64(), "z": pa.int64(), "x": pa.int64()} | dict.fromkeys(
            ["ts", "made"], pa.timestamp("ns", feature_zone)
        )
        table = pa.table({name: pa.array([row[name] for row in rows], kind) for name, kind in kinds.items()})
        joinable.append(FeatureTable(view.as_(f"v{number}", keys=keys), index_view(view, table)))
        expected[f"v{number}__x"] = [loop(row, rows, keys, ttl, created=created, exact=exact) for row in labels]
    asking = pa.table(
        {
            "id": pa.array([row["id"] for row in labels], pa.int64()),
            "other": pa.array([row["other"] for row in labels], pa.int64()),
            "at": pa.array([row["at"] for row in labels], pa.timestamp("ns", zone)),
        }
    )
    joined = point_in_time_join(
        asking, joinable, full_feature_names=True, filter_by_created_timestamp=created, allow_exact_match=exact
    )
    assert {name: joined[name].to_pylist() for name in expected} == expected
    assert joined.select(["id", "other"]) == asking.select(["id", "other"])
    assert joined["at"].cast(pa.int64()) == asking["at"].cast(pa.int64())


def test_a_nanosecond_decides(store):
    instant = parse_instant("2024-01-01T00:00:00.000000001Z")
    store.create_dataset("ticks").append(pa.table({"ts": pa.array([instant, instant + 2], NS), "x": [1, 2]}))
    view = foldstore.FeatureView("ticks", source="ticks", event_time="ts", features=["x"], ttl="1ns")
    store.features.apply(foldstore.FeatureService("ticks", [view]))
    rows = pa.table({"at": pa.array([instant - 1, instant, instant + 1, instant + 2, instant + 3, instant + 4], NS)})
    joined = store.features.get_historical_features(rows, "ticks")
    assert joined["x"].to_pylist() == [None, 1, 1, 2, 2, None]
