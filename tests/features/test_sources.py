"""What features are read from: datasets, saved views, parts of splits, SQL; with an entity, and without one."""

import datetime as dt

import pytest

import foldstore
from foldstore.errors import InvalidQueryError, NotFoundError, RefusedError, UsageError

DRIVER = foldstore.Entity("driver", keys={"driver": "int64"})


def at(day):
    return dt.datetime(2024, 1, day, tzinfo=dt.UTC)


def view(source, name="stats", features=("trips",), entity=DRIVER, **more):
    return foldstore.FeatureView(name, entity=entity, source=source, event_time="ts", features=list(features), **more)


@pytest.fixture
def rides(store):
    dataset = store.create_dataset("rides", key=["id"])
    dataset.append({"id": [1, 2, 3], "driver": [1, 1, 2], "ts": [at(1), at(3), at(2)], "trips": [10, 30, 7]})
    return dataset


@pytest.fixture
def labels(store):
    rows = {"id": [1, 2], "driver": [1, 2], "event_timestamp": [at(2), at(5)]}
    store.create_dataset("labels", key=["id"], event_time="event_timestamp").append(rows).split("all", train=1.0)
    return rows


def asked(store, service, **more):
    rows = {"driver": [1, 1, 2], "event_timestamp": [at(2), at(4), at(4)]}
    return store.features.get_historical_features(rows, service, **more)["trips"].to_pylist()


SOURCES = {
    "a view": ("large", [None, 30, None]),
    "a version of a view": ("large@1", [None, 30, None]),
    "a part of a split": ("rides@1#whole.train", [10, 30, 7]),
    "SQL over a view": (foldstore.sql("SELECT driver, ts, trips + 1 AS trips FROM large"), [None, 31, None]),
}


@pytest.mark.parametrize(("source", "expected"), SOURCES.values(), ids=SOURCES)
def test_a_source_may_be(store, rides, source, expected):
    rides.latest.split("whole", train=1.0)
    store.view("rides@1").where("trips > 10").save("large")
    store.features.apply(foldstore.FeatureService("model", [view(source)]))
    assert asked(store, "model") == expected


def test_what_is_served_from_a_view_names_it_and_the_versions_behind_it(store, rides):
    store.view("rides@1").where("trips > 10").save("large")
    store.features.apply(foldstore.FeatureService("model", [view("large")]))
    store.features.materialize("model")
    found = store.features.get_online_features("model", [{"driver": 1}, {"driver": 2}], at=at(4))
    assert found.to_dict()["trips"] == [30, None]
    assert next(found.columns()).sources == ("large@1", "rides@1")


def test_a_training_set_stays_with_the_version_of_the_view_that_it_was_made_of(store, rides, labels):
    store.view("rides@1").where("trips > 5").save("large")
    store.features.apply(foldstore.FeatureService("model", [view("large")]))
    made = store.features.create_training_set("made", labels="labels#all", features="model")
    assert made.to_arrow()["trips"].to_pylist() == [10, 7]
    assert (made.inputs.views, made.inputs.versions) == ({"large@latest": "large@1"}, ("rides@1",))
    store.view("rides@1").where("trips > 10").save("large")
    assert asked(store, "model") == [None, 30, None]
    assert asked(store, "model", like=store.training_set("made")) == [10, 30, 7]
    assert {"large@1", "rides@1"} <= {node.label for node in store.lineage("made").upstream().nodes}


def test_a_draft_is_no_source(store, rides):
    store.view("rides@1").save_draft("large")
    with pytest.raises(NotFoundError):
        store.features.apply(foldstore.FeatureService("model", [view("large@draft")]))


def test_a_view_over_rows_that_were_erased_after_it_was_served_is_forgotten(store, rides):
    store.view("rides@1").save("all-rides")
    store.features.apply(foldstore.FeatureService("model", [view("all-rides@1")]))
    store.features.materialize("model")
    rides.erase(where="id = 1", reason="asked to")
    with pytest.raises(NotFoundError, match="not materialized"):
        store.features.get_online_features("model", [{"driver": 1}], at=at(4))


class TestSealing:
    @pytest.fixture
    def seal(self, store):
        rows = range(200)
        made = store.create_dataset("trips", key=["id"])
        made.append(
            {"id": rows, "driver": [n % 5 for n in rows], "ts": [at(1)] * 200, "late": [n % 3 == 0 for n in rows]}
        )
        store.view("trips@1").select("driver", "ts", much="late::INT * 2").save("doubled")
        store.features.apply(foldstore.FeatureService("model", [view("doubled", features=["much"])]))
        plan = foldstore.plan_pool("n > 0.5 +/- 0.2", reliability=0.6, steps=1, reuse="full")
        return lambda: store.pools.seal(
            "half", made.latest.split("half", train=0.2, test=0.8).test, label="late", plan=plan
        )

    def test_a_training_set_of_a_view_that_computes_with_it_is_found(self, store, labels, seal):
        store.features.create_training_set("made", labels="labels#all", features="model")
        with pytest.raises(RefusedError, match="made@1 was made from 'trips'") as caught:
            seal()
        assert caught.value.code == "sealed-elsewhere"

    def test_a_log_of_lookups_in_a_view_that_computes_with_it_is_found(self, store, seal):
        store.features.log_lookups("model")
        with pytest.raises(RefusedError, match=r"are kept in 'model\.served'"):
            seal()

    def test_nothing_that_was_laid_out_of_a_view_stays(self, store, seal):
        store.features.materialize("model")
        seal()
        with pytest.raises(NotFoundError, match="not materialized"):
            store.features.get_online_features("model", [{"driver": 1}], at=at(4))


def test_a_view_that_lacks_a_column_is_refused_when_it_is_applied(store, rides):
    store.view("rides@1").select("driver", "ts").save("bare")
    with pytest.raises(NotFoundError, match="'trips' in 'bare', the source of 'stats'"):
        store.features.apply(foldstore.FeatureService("model", [view("bare")]))


def test_a_whole_split_is_no_source():
    with pytest.raises(UsageError, match="a whole split") as error:
        view("rides@1#by_month")
    assert "rides@1#by_month.train" in (error.value.hint or "")


class TestWithoutAnEntity:
    @pytest.fixture
    def rates(self, store):
        store.create_dataset("rates").append({"ts": [at(3), at(1)], "usd": [1.2, 1.1]})
        return view("rates", name="fx", features=["usd"], entity=None, ttl="36h")

    def test_features_are_the_same_for_all_who_ask(self, store, rides, rates):
        store.features.apply(foldstore.FeatureService("model", [view("rides"), rates]))
        rows = {"driver": [1, 2, None], "event_timestamp": [at(2), at(4), at(5)]}
        joined = store.features.get_historical_features(rows, "model")
        assert joined["usd"].to_pylist() == [1.1, 1.2, None]
        store.features.materialize("model")
        found = store.features.get_online_features("model", [{"driver": 1}, {"driver": 9}], at=at(4))
        assert found.to_dict() == {"driver": [1, 9], "trips": [30, None], "usd": [1.2, 1.2]}

    @pytest.mark.parametrize("number", [1, 3, 20])
    def test_a_service_of_them_alone_is_asked_by_empty_objects(self, store, rates, number):
        store.features.apply(foldstore.FeatureService("model", [rates]))
        store.features.materialize("model")
        found = store.features.get_online_features("model", [{}] * number, at=at(2))
        assert (len(found), found.to_dict()) == (number, {"usd": [1.1] * number})
        assert found.to_arrow()["usd"].to_pylist() == [1.1] * number
        assert store.features.online("model").get({}, at=at(4)).values == {"usd": 1.2}
        with pytest.raises(UsageError, match="no entities"):
            store.features.get_online_features("model", [])

    def test_it_survives_being_written(self, rates):
        assert type(rates).from_dict(rates.to_dict()) == rates
        assert rates.join_keys == ()


def test_a_view_that_never_ends_is_refused_by_joins_and_by_what_streams_it(store, rides):
    store.view("rides@1").repeat().save("forever")
    store.features.apply(foldstore.FeatureService("model", [view("forever")]))
    for job in (lambda: asked(store, "model"), lambda: store.features.materialize("model")):
        with pytest.raises(UsageError) as refused:
            job()
        assert refused.value.code == "endless-view"


def test_a_query_that_fails_half_way_leaves_nothing(store, rides):
    broken = foldstore.sql(
        "SELECT driver, ts, CASE WHEN trips = 7 THEN error('seven') ELSE trips END AS trips FROM rides"
    )
    store.features.apply(foldstore.FeatureService("model", [view(broken)]))
    with pytest.raises(InvalidQueryError, match="seven"):
        store.features.materialize("model")
    assert store.features.online_status() == []
    assert list((store.root / "online").glob("*")) == []
