"""Lookups that are logged become a dataset, whose rows a schema compares with what a model learnt from."""

import datetime as dt

import pytest

import foldstore
from foldstore import lookup_log
from foldstore.errors import RefusedError, StoreError, UsageError

DAY = [dt.datetime(2024, 1, n, tzinfo=dt.UTC) for n in range(1, 8)]


@pytest.fixture
def store(folder):
    with foldstore.connect(folder) as store:
        store.create_dataset("rides").append(
            {"driver": list(range(200)), "ts": [DAY[0]] * 200, "trips": [n % 50 for n in range(200)]}
        )
        store.features.apply(foldstore.FeatureService("model", [_stats()]))
        store.features.materialize("model")
        yield store


def _stats(*features, ttl=None):
    driver = foldstore.Entity("driver", keys={"driver": "int64"})
    return foldstore.FeatureView(
        "stats", entity=driver, source="rides", event_time="ts", features=list(features or ["trips"]), ttl=ttl
    )


def ask(store, drivers, **how):
    return store.features.get_online_features("model@1", [{"driver": n} for n in drivers], at=DAY[2], **how)


def test_nothing_is_kept_unless_asked(store):
    ask(store, [1, 2])
    store.features.lookup_logs.flush()
    assert [each.name for each in store.datasets()] == ["rides"]


def test_keys_features_and_instants_are_kept(store):
    assert store.features.log_lookups("model") == "model.served"
    ask(store, [1, 60])
    ask(store, [999])
    store.features.lookup_logs.flush()
    served = store.dataset("model.served")
    assert served.event_time == "served_at"
    assert served.latest.to_arrow().to_pydict() == {
        "driver": [1, 60, 999],
        "trips": [1, 10, None],
        "served_at": [DAY[2]] * 3,
        "service": ["model@1"] * 3,
        "materialization": [1] * 3,
    }


def test_closing_the_store_keeps_what_waits(folder, store):
    store.features.log_lookups("model", dataset="kept")
    ask(store, range(5))
    store.close()
    with foldstore.connect(folder) as again:
        assert again.version("kept").num_rows == 5


def test_batches_are_committed_on_the_way(store, monkeypatch):
    monkeypatch.setattr(lookup_log, "_BATCH", 50)
    store.features.log_lookups("model")
    for _ in range(4):
        ask(store, range(30))
    store.features.lookup_logs._working.join()
    assert store.version("model.served").num_rows >= 60
    store.features.lookup_logs.flush()
    assert store.version("model.served").num_rows == 120


def test_a_share_is_a_share_and_none_is_none(store):
    store.features.log_lookups("model", share=0.5)
    for n in range(200):
        ask(store, [n])
    store.features.lookup_logs.flush()
    assert 60 < store.version("model.served").num_rows < 140
    kept = store.version("model.served").num_rows
    store.features.log_lookups("model", share=0)
    ask(store, range(100))
    store.features.lookup_logs.flush()
    assert store.version("model.served").num_rows == kept


def test_another_process_notices_the_setting(store, folder):
    ask(store, [1])
    with foldstore.connect(folder) as other:
        other.features.log_lookups("model")
    ask(store, [1])
    store.features.lookup_logs.flush()
    assert store.version("model.served").num_rows == 1


def test_what_cannot_be_committed_waits_and_is_bounded(store, monkeypatch):
    monkeypatch.setattr(lookup_log, "_MOST_WAITING", 10)
    store.features.log_lookups("model")
    logs = store.features.lookup_logs
    real = logs._open_dataset

    def broken(name):
        raise StoreError("The disk is full.")

    logs._open_dataset = broken
    for _ in range(4):
        ask(store, range(5))
    assert logs.num_left_out == 2
    with pytest.raises(StoreError):
        logs.flush()
    logs._open_dataset = real
    logs.flush()
    assert store.version("model.served").num_rows == 10


@pytest.mark.parametrize("how", [{"share": 2}, {"share": True}, {"share": float("nan")}, {"dataset": "../x"}])
def test_settings_that_mean_nothing_are_refused(store, how):
    with pytest.raises((UsageError, foldstore.errors.InvalidNameError)):
        store.features.log_lookups("model", **how)


def test_a_service_that_is_not_there_is_refused(store):
    with pytest.raises(foldstore.errors.NotFoundError):
        store.features.log_lookups("models")


def test_served_values_that_differ_are_skew(store):
    store.features.log_lookups("model")
    ask(store, [n for n in range(200) if n % 50 > 40] * 20)
    store.features.lookup_logs.flush()
    plain = store.version("rides").profile().infer_schema().to_dict()
    plain["columns"]["trips"]["skew"] = {}
    schema = foldstore.DataSchema.from_dict({**plain, "serving": "model.served"})
    assert ("skew", "trips") in {(a.code, a.column) for a in store.version("rides").validate(schema).anomalies}


class TestSealing:
    """A log would tell what a seal hides: such rows are not sealed."""

    def seal(self, store, label):
        rows = {"driver": list(range(400)), "ts": [DAY[0]] * 400, "late": [n % 3 == 0 for n in range(400)]}
        tasks = store.create_dataset("tasks", key=["driver"])
        split = tasks.append({**rows, "other": [n % 5 == 0 for n in range(400)]}).split(
            "h", train=0.5, test=0.5, seed=1
        )
        driver = foldstore.Entity("driver", keys={"driver": "int64"})
        named = foldstore.FeatureView("named", entity=driver, source="tasks", event_time="ts", features=["late"])
        query = foldstore.sql("SELECT driver, ts, late AS x FROM tasks")
        asked = foldstore.FeatureView("asked", entity=driver, source=query, event_time="ts", features=["x"])
        for name, view in (("plain", named), ("by_sql", asked)):
            store.features.apply(foldstore.FeatureService(name, [view]))
            store.features.materialize(name)
        plan = foldstore.plan_pool("n > 0.6 +/- 0.1", reliability=0.9, steps=1)
        return lambda: store.pools.seal("p", split.test, label=label, plan=plan)

    @pytest.mark.parametrize("service", ["plain", "by_sql"])
    def test_a_column_whose_values_were_logged_is_not_sealed(self, store, service):
        seal = self.seal(store, "late")
        store.features.log_lookups(service)
        store.features.get_online_features(service, [{"driver": 1}], at=DAY[1])
        store.features.lookup_logs.flush()
        with pytest.raises(RefusedError, match=f"Lookups of '{service}' are kept") as caught:
            seal()
        assert caught.value.code == "sealed-elsewhere"
        assert store.version("tasks").to_arrow()["late"].null_count == 0

    def test_another_column_and_a_service_that_nobody_logged_are_no_trouble(self, store):
        seal = self.seal(store, "other")
        store.features.log_lookups("plain")
        store.features.get_online_features("plain", [{"driver": 1}], at=DAY[1])
        store.features.lookup_logs.flush()
        assert seal().hidden == ("other",)


def test_requests_with_an_id_are_chosen_by_it_and_a_shadow_of_the_share_is_asked_the_same(store):
    store.features.apply(foldstore.FeatureService("model", [_stats(ttl="90d")]), allow_breaking=True)
    store.features.materialize("model@2")
    store.features.log_lookups("model", share=0.3)
    store.features.shadows.start("model@1", "model@2", share=0.3, seed=1)
    for number in range(60):
        ask(store, [number], request_id=f"request-{number}")
    store.features.close()
    kept = store.version("model.served").to_arrow().column("request_id").to_pylist()
    assert sorted(kept) == sorted(f"request-{n}" for n in range(60) if lookup_log.lot_of(f"request-{n}") < 0.3)
    assert 5 < len(kept) < 40
    assert store.features.shadows.report("model@1").tally.requests == len(kept)


def test_a_smaller_share_is_part_of_a_larger_one():
    lots = [lookup_log.lot_of(f"request-{number}") for number in range(20_000)]
    assert abs(sum(lot < 0.1 for lot in lots) - 2_000) < 200
    assert all(0 <= lot < 1 for lot in lots)
    assert lookup_log.lot_of("\ud800") == lookup_log.lot_of("\ud800")
