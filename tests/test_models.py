"""Pools and features through the SDK: what is hidden stays hidden, what is joined is what is served."""

import datetime as dt

import pyarrow as pa
import pytest

import foldstore
from foldstore.errors import FoldstoreError, NotFoundError, RefusedError, UsageError

ROWS = 4_000


@pytest.fixture
def flights(store):
    rows = {
        "id": list(range(ROWS)),
        "carrier": ["UA" if n % 2 else "AA" for n in range(ROWS)],
        "at": pa.array([n * 60_000_000 for n in range(ROWS)], pa.timestamp("us", "UTC")),
        "delay": [(n * 7919) % 61 - 20 for n in range(ROWS)],
    }
    dataset = store.create_dataset("flights", key=["id"], event_time="at", derive={"late": "delay > 15"})
    dataset.append(pa.table(rows))
    return dataset


@pytest.fixture
def plan():
    return foldstore.plan_pool("n > 0.6 +/- 0.1", reliability=0.99, steps=3, reuse="full")


def _seal(store, flights, plan, **more):
    split = flights.latest.split("half", train=0.5, test=0.5)
    return split, store.pools.seal("half", split.test, label="late", hide=["delay"], plan=plan, **more)


def test_law_5_a_sealed_label_is_null_in_every_version_and_for_every_way_of_reading(store, flights, plan):
    flights.add_columns({"later": "delay > 30"})
    split, pool = _seal(store, flights, plan)
    ids = set(split.test.to_arrow(["id"])["id"].to_pylist())
    assert set(pool.hidden) == {"late", "later", "delay"}
    for number in (1, 2):
        version = flights.version(number)
        table = version.to_arrow()
        hidden = [name for name in pool.hidden if name in table.column_names]
        for row in table.to_pylist():
            assert all((row[name] is None) == (row["id"] in ids) for name in hidden)
        assert version.profile().columns["late"].nulls == len(ids)
        assert store.sql(f'SELECT count(delay) FROM "flights@{number}"').rows() == [(ROWS - len(ids),)]
    assert store.view("flights").where("late IS NOT NULL").num_rows == ROWS - len(ids)
    assert store.verify().passed
    again = flights.add_columns({"much": "delay * 2"})
    assert again.to_arrow(["much"])["much"].null_count == len(ids)


def test_a_pool_answers_and_is_spent(store, flights, plan):
    _, pool = _seal(store, flights, plan)
    rows = pool.features()
    assert set(rows.column_names) == {"pool_row", "id", "carrier", "at"}
    truth = {row["id"]: (row["id"] * 7919) % 61 - 20 > 15 for row in rows.to_pylist()}
    right = pa.array([truth[n] for n in rows["id"].to_pylist()])
    wrong = pa.compute.invert(right)
    assert pool.evaluate({"pool_row": rows["pool_row"], "prediction": right}).passed is True
    assert pool.evaluate({"id": rows["id"], "prediction": right}).charged is False
    assert pool.evaluate(wrong).passed is False
    assert pool.status().steps_left == 1
    assert pool.evaluate(pa.array([True] * len(rows))).charged
    with pytest.raises(RefusedError) as caught:
        pool.evaluate(pa.array([n % 3 == 0 for n in range(len(rows))]))
    assert (caught.value.code, caught.value.exit_code) == ("pool-spent", 4)
    assert pool.evaluate(right).passed is True  # what was paid for stays paid for


@pytest.mark.parametrize(
    "predictions",
    [
        [True],
        pa.array([True] * 1999 + [None]),
        {"pool_row": [1, 2], "prediction": [True, False]},
        {"prediction": ["yes"] * 2000},
        {"id": list(range(2000))},
        "late",
        None,
        object(),
    ],
    ids=lambda value: type(value).__name__,
)
def test_predictions_that_do_not_fit_cost_nothing(store, flights, plan, predictions):
    _, pool = _seal(store, flights, plan)
    before = pool.status().steps_left
    with pytest.raises(FoldstoreError):
        pool.evaluate(predictions)
    assert pool.status().steps_left == before


def test_a_pool_too_small_for_its_plan_says_what_it_could_support(store, flights):
    plan = foldstore.plan_pool("n - o > 0 +/- 0.01", reliability=0.999, steps=32)
    split = flights.latest.split("half", train=0.5, test=0.5)
    with pytest.raises(RefusedError) as caught:
        store.pools.seal("half", split.test, label="late", plan=plan, baseline=[True] * split.test.num_rows)
    assert caught.value.code == "pool-too-small"
    assert caught.value.hint
    assert store.pools.list_pools() == []
    assert flights.latest.to_arrow()["late"].null_count == 0


@pytest.mark.parametrize("condition", ["n >", "n > 2 +/- 0.1", "m > 0.5 +/- 0.1", "n - o > 0", "", "n > 0.5 +/- -1"])
def test_an_impossible_condition_is_refused(condition):
    with pytest.raises(FoldstoreError):
        foldstore.plan_pool(condition, reliability=0.99, steps=2)


def test_what_was_copied_before_it_was_sealed_is_found(store, flights, plan):
    split = flights.latest.split("half", train=0.5, test=0.5)
    _features(store)
    store.features.create_training_set("made", labels="flights@1#half", features="hourly@1")
    with pytest.raises(RefusedError, match="made@1 was made from 'flights'") as caught:
        store.pools.seal("half", split.test, label="late", plan=plan)
    assert caught.value.code == "sealed-elsewhere"


def test_features_copied_into_a_training_set_are_found_when_their_source_is_sealed(store, flights, plan):
    carrier = foldstore.Entity("carrier", keys={"carrier": "string"})
    last = foldstore.FeatureView("last", entity=carrier, source="flights", event_time="at", features=["delay"])
    store.features.apply(foldstore.FeatureService("peek", [last]))
    trips = {"trip": [1, 2], "carrier": ["UA", "AA"], "event_timestamp": [dt.datetime(1970, 1, 2, tzinfo=dt.UTC)] * 2}
    store.create_dataset("trips", key=["trip"]).append(trips).split("all", train=1.0)
    store.features.create_training_set(
        "copied", labels="trips@1#all", features="peek", event_timestamp="event_timestamp"
    )
    split = flights.latest.split("half", train=0.5, test=0.5)
    with pytest.raises(RefusedError, match="copied@1 was made from 'flights'"):
        store.pools.seal("half", split.test, label="late", hide=["delay"], plan=plan)


def test_each_view_of_a_service_names_its_own_sources(store, flights):
    _features(store)
    carrier = foldstore.Entity("carrier", keys={"carrier": "string"})
    views = [
        foldstore.FeatureView(name, entity=carrier, source=source, event_time=time, features=[feature])
        for name, source, time, feature in (
            ("rate", "rates", "ts", "mean"),
            ("delay", "flights", "at", "delay"),
            ("also", foldstore.sql('SELECT carrier, "at", delay AS again FROM flights'), "at", "again"),
        )
    ]
    store.features.apply(foldstore.FeatureService("both", views))
    store.features.materialize("both")
    found = store.features.get_online_features("both", [{"carrier": "UA"}])
    assert [column.sources for column in found.columns()] == [("rates@1",), ("flights@1",), ("flights@1",)]


def test_sealing_removes_what_was_laid_out_from_the_same_rows(store, flights, plan):
    carrier = foldstore.Entity("carrier", keys={"carrier": "string"})
    last = foldstore.FeatureView("last", entity=carrier, source="flights", event_time="at", features=["delay"])
    store.features.apply(foldstore.FeatureService("peek", [last]))
    store.features.materialize("peek")
    assert store.features.get_online_features("peek", [{"carrier": "UA"}]).to_dict()["delay"] != [None]
    files = list((store.root / "online").iterdir())
    assert len(files) == 1
    _seal(store, flights, plan)
    assert list((store.root / "online").iterdir()) == []
    with pytest.raises(NotFoundError, match="not materialized"):
        store.features.get_online_features("peek", [{"carrier": "UA"}])


def _features(store):
    hours = [dt.datetime(1970, 1, 1, n, tzinfo=dt.UTC) for n in range(24)]
    rows = {"carrier": ["UA", "AA"] * 24, "ts": [h for h in hours for _ in "ab"], "mean": [n / 3 for n in range(48)]}
    store.create_dataset("rates").append(rows)
    carrier = foldstore.Entity("carrier", keys={"carrier": "string"})
    view = foldstore.FeatureView("rates", entity=carrier, source="rates", event_time="ts", ttl="2h", features=["mean"])
    return store.features.apply(foldstore.FeatureService("hourly", [view]))


def test_law_4_a_lookup_gives_what_the_training_join_gives(store, flights):
    _features(store)
    flights.latest.split("half", train=0.5, test=0.5)
    training = store.features.create_training_set("made", labels="flights@1#half", features="hourly@1")
    assert training.version.num_rows == ROWS
    assert training.inputs.versions == ("rates@1",)
    assert training.train.num_rows == store.split("flights@1#half").train.num_rows
    store.features.materialize("hourly@1", like=training)
    handle = store.features.online("hourly@1")
    for row in training.to_arrow().to_pylist()[::37]:
        found = handle.get({"carrier": row["carrier"]}, at=row["at"])
        assert found.values["mean"] == row["mean"]


def test_a_training_set_reads_the_versions_that_it_was_made_of(store, flights):
    _features(store)
    flights.latest.split("half", train=0.5, test=0.5)
    training = store.features.create_training_set("made", labels="flights@1#half", features="hourly")
    labels = {"carrier": ["UA"], "event_timestamp": [dt.datetime(1970, 1, 1, 5, 30, tzinfo=dt.UTC)]}
    before = store.features.get_historical_features(labels, "hourly")["mean"].to_pylist()
    newer = {"carrier": ["UA"], "ts": [dt.datetime(1970, 1, 1, 5, 20, tzinfo=dt.UTC)], "mean": [99.0]}
    store.dataset("rates").append(newer)
    assert store.features.get_historical_features(labels, "hourly")["mean"].to_pylist() == [99.0]
    assert store.features.get_historical_features(labels, "hourly", like=training)["mean"].to_pylist() == before


def test_an_applied_service_never_changes_and_an_equal_one_is_the_same(store):
    first = _features(store)
    service = store.features.service("hourly@1")
    assert store.features.apply(service) == first == "hourly@1"
    shorter = foldstore.FeatureService("hourly", [service.selections[0].view.as_("other")])
    assert store.features.apply(shorter) == "hourly@2"
    assert store.features.service("hourly@1") == service
    assert store.features.list_services() == ["hourly@1", "hourly@2"]


@pytest.mark.parametrize(
    ("call", "kind"),
    [
        (lambda s: s.features.service("horly"), NotFoundError),
        (lambda s: s.features.service("hourly@9"), NotFoundError),
        (lambda s: s.features.get_online_features("hourly", [{"carrier": "UA"}]), NotFoundError),
        (lambda s: s.features.get_features(["rates:mean"], [{"carrier": "UA"}]), NotFoundError),
        (lambda s: s.features.apply("hourly"), UsageError),
        (lambda s: s.features.create_training_set("x", labels="rates", features="hourly"), UsageError),
        (lambda s: s.features.get_historical_features({"carrier": ["UA"]}, "hourly"), UsageError),
        (lambda s: s.features.get_historical_features("nothing", "hourly"), NotFoundError),
        (lambda s: s.training_set("rates"), NotFoundError),
        (lambda s: s.pools.get("none"), NotFoundError),
        (lambda s: s.pools.seal("p", "rates", label="x", plan=None), UsageError),
    ],
)
def test_a_mistake_is_an_error_with_a_hint(store, call, kind):
    _features(store)
    with pytest.raises(kind) as caught:
        call(store)
    assert caught.value.hint


def test_a_server_that_has_looked_up_forgets_what_another_process_seals(folder, store, flights, plan):
    carrier = foldstore.Entity("carrier", keys={"carrier": "string"})
    last = foldstore.FeatureView("last", entity=carrier, source="flights", event_time="at", features=["delay"])
    store.features.apply(foldstore.FeatureService("peek", [last]))
    store.features.materialize("peek")
    flights.add_columns({"one": "1"})
    store.features.materialize("peek")
    with foldstore.connect(folder) as server:
        for ask in (
            lambda: server.features.get_features(["last:delay"], [{"carrier": "UA"}]),
            lambda: server.features.get_online_features("peek", [{"carrier": "UA"}]),
        ):
            ask()
        _seal(store, flights, plan)
        for ask in (
            lambda: server.features.get_features(["last:delay"], [{"carrier": "UA"}]),
            lambda: server.features.get_online_features("peek", [{"carrier": "UA"}]),
        ):
            with pytest.raises(NotFoundError):
                ask()
    assert list((store.root / "online").iterdir()) == []


def test_a_training_set_is_not_sealed_in_place_of_its_source(store, flights, plan):
    _features(store)
    flights.latest.split("half", train=0.5, test=0.5)
    training = store.features.create_training_set("made", labels="flights@1#half", features="hourly@1")
    with pytest.raises(RefusedError, match="was made from flights@1#half") as caught:
        store.pools.seal("half", training.test, label="late", plan=plan)
    assert "flights@1#half.test" in caught.value.hint
    with pytest.raises(UsageError, match="True or False"):
        store.pools.seal("p", store.split("flights@1#half").test, label="late", plan=plan, outcomes_feed_features="no")


def test_like_reads_what_each_address_stood_for(store, flights):
    rates = store.create_dataset("rates")
    day = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)
    rates.append({"carrier": ["UA"], "ts": [day], "mean": [1.0]})
    rates.append({"carrier": ["UA"], "ts": [day], "mean": [2.0]})
    carrier = foldstore.Entity("carrier", keys={"carrier": "string"})
    views = [
        foldstore.FeatureView(name, entity=carrier, source=source, event_time="ts", features=["mean"])
        for name, source in (("new", "rates"), ("old", "rates@1"))
    ]
    store.features.apply(foldstore.FeatureService("both", views))
    flights.latest.split("half", train=0.5, test=0.5)
    training = store.features.create_training_set(
        "made", labels="flights@1#half", features="both", full_feature_names=True
    )
    rates.append({"carrier": ["UA"], "ts": [day], "mean": [3.0]})
    labels = {"carrier": ["UA"], "event_timestamp": [day]}
    for like, expected in ((training, [2.0, 1.0]), (None, [3.0, 1.0])):
        found = store.features.get_historical_features(labels, "both", full_feature_names=True, like=like)
        assert [found["new__mean"][0].as_py(), found["old__mean"][0].as_py()] == expected
    assert set(store.training_set("made").inputs.versions) == {"rates@2", "rates@1"}


def test_a_training_set_whose_making_was_stopped_gets_its_split_when_it_is_opened(store, flights, monkeypatch):
    _features(store)
    flights.latest.split("half", train=0.5, test=0.5)

    def stop(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("foldstore.store.read_training_set", stop)
        with pytest.raises(KeyboardInterrupt):
            store.features.create_training_set("made", labels="flights@1#half", features="hourly@1")
    training = store.training_set("made")
    assert training.train.num_rows == store.split("flights@1#half").train.num_rows


def test_law_5_sealed_rows_that_come_again_are_not_kept_even_in_quarantine(store, flights, plan):
    rows = flights.latest.to_arrow().drop_columns(["late"])
    flights.set_schema(flights.latest.profile().infer_schema())
    _seal(store, flights, plan)
    with pytest.raises(foldstore.FoldstoreError, match="occur more than once") as caught:
        flights.append(rows)
    assert caught.value.code == "duplicate-key"
    assert "test pool" in caught.value.hint
    assert len(flights.versions()) == 1
    assert store.verify().passed


def test_a_training_set_of_other_columns_does_not_stand_in_the_way_of_a_seal(store, flights, plan):
    carrier = foldstore.Entity("carrier", keys={"carrier": "string"})
    count = foldstore.sql('SELECT carrier, max("at") AS ts, count(*) AS trips FROM flights GROUP BY carrier')
    view = foldstore.FeatureView("trips", entity=carrier, source=count, event_time="ts", features=["trips"])
    store.features.apply(foldstore.FeatureService("trips", [view]))
    trips = {"trip": [1, 2], "carrier": ["UA", "AA"], "event_timestamp": [dt.datetime(1970, 1, 9, tzinfo=dt.UTC)] * 2}
    store.create_dataset("asked", key=["trip"]).append(trips).split("all", train=1.0)
    store.features.create_training_set(
        "made", labels="asked@1#all", features="trips", event_timestamp="event_timestamp"
    )
    split, pool = _seal(store, flights, plan)
    assert set(pool.hidden) == {"late", "delay"}
    assert flights.latest.to_arrow(["late"])["late"].null_count == split.test.num_rows
    assert store.version("made@1").to_arrow().column("trip").to_pylist() == [1, 2]  # what it held, it holds


def test_a_service_over_what_is_not_there_is_refused_when_it_is_applied(store, flights):
    carrier = foldstore.Entity("carrier", keys={"carrier": "string"})
    for source, feature, message in (
        ("flihgts", "delay", "no dataset or view 'flihgts'"),
        ("flights", "dely", "no column 'dely'"),
        (foldstore.sql("SELECT * FROM flihgts"), "delay", "no dataset or view 'flihgts'"),
    ):
        view = foldstore.FeatureView("v", entity=carrier, source=source, event_time="at", features=[feature])
        with pytest.raises(foldstore.FoldstoreError, match=message):
            store.features.apply(foldstore.FeatureService("s", [view]))
    assert store.features.list_services() == []


def test_sealed_cells_are_not_held_against_a_version(store, flights, plan):
    flights.set_schema(flights.latest.profile().infer_schema())
    assert flights.latest.validate().passed
    _seal(store, flights, plan)
    report = flights.latest.validate()
    assert report.passed, report
    assert not {anomaly.code for anomaly in report.anomalies} & {"null_fraction_high", "missingness_drift"}
