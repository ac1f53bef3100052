"""Skew: what was served against what was learnt, by feature; noise is no skew."""

import datetime as dt
import json

import pytest

import foldstore
from foldstore.cli.app import run
from foldstore.errors import NotFoundError, UsageError
from foldstore.validation.column_bounds import DriftPolicy

DAY = [dt.datetime(2024, 1, n, tzinfo=dt.UTC) for n in range(1, 8)]
ROWS = 1_200


@pytest.fixture
def store(folder):
    with foldstore.connect(folder) as store:
        numbers = list(range(ROWS))
        rides = {"driver": numbers, "ts": [DAY[0]] * ROWS}
        rides |= {"trips": [n % 40 for n in numbers], "city": ["ABC"[n // 3 % 3] for n in numbers]}
        store.create_dataset("rides").append(rides)
        driver = foldstore.Entity("driver", keys={"driver": "int64"})
        stats = foldstore.FeatureView(
            "stats", entity=driver, source="rides", event_time="ts", features=["trips", "city"]
        )
        store.features.apply(foldstore.FeatureService("model", [stats]))
        store.features.materialize("model")
        store.features.log_lookups("model")
        yield store


def ask(store, drivers, at=DAY[2], **how):
    store.features.get_online_features("model@1", [{"driver": n} for n in drivers], at=at, **how)


def test_lookups_of_like_drivers_are_no_skew(store):
    ask(store, range(1, ROWS, 2))
    found = store.features.skew("model", store.version("rides"))
    assert (found.skewed, found.passed) == ((), True)
    assert set(found.features) == {"trips", "city"}
    assert (found.training, found.served) == ("rides@1", "model.served@1")
    assert (found.training_rows, found.served_rows) == (ROWS, ROWS // 2)
    assert found.result.untested == {}, "keys, instants and the name of the service are no features"


def test_a_feature_that_is_served_otherwise_is_named_and_others_are_not(store):
    ask(store, [n for n in range(ROWS) if n % 40 < 20])
    found = store.features.skew("model", "rides")
    assert (found.skewed, found.passed) == (("trips",), False)
    assert found.features["trips"].largest_change["after"] in (0.0, pytest.approx(0.1, abs=0.1))
    assert found.features["city"].verdict.value == "stable"
    assert "trips" in str(found)
    assert "<title>Skew of model: 1 of 2 columns</title>" in found.to_html()
    assert json.loads(json.dumps(found.to_dict()))["skewed"] == ["trips"]


def test_lookups_that_find_nothing_are_skew_of_nulls(store):
    ask(store, range(0, ROWS, 2))
    ask(store, range(ROWS, ROWS + 300))
    found = store.features.skew("model", store.version("rides"))
    assert set(found.skewed) == {"trips", "city"}
    assert found.features["city"].null_after == pytest.approx(1 / 3)
    assert not found.passed


def test_few_lookups_cannot_tell(store):
    ask(store, range(20))
    found = store.features.skew("model", store.version("rides"))
    assert {each.verdict.value for each in found.features.values()} == {"untestable"}


def test_spans_and_versions_choose_lookups(store):
    ask(store, range(0, ROWS, 2))
    ask(store, [n for n in range(ROWS) if n % 40 < 20], at=DAY[4])
    learnt = store.version("rides")
    early = store.features.skew("model", learnt, until=DAY[4])
    late = store.features.skew("model@1", learnt, since="2024-01-05T00:00:00Z", until=DAY[5])
    assert (early.served_rows, early.skewed) == (ROWS // 2, ())
    assert (late.served_rows, late.skewed, late.service) == (ROWS // 2, ("trips",), "model@1")


def test_full_names_are_features_too(store):
    ask(store, range(0, ROWS, 2), full_feature_names=True)
    found = store.features.skew("model", store.view("rides").select(stats__trips="trips", city="city"))
    assert set(found.features) == {"stats__trips"}
    assert set(found.result.untested) == {"city", "stats__city"}


def test_the_train_part_of_a_training_set_is_what_was_learnt(store):
    labels = store.create_dataset("labels").append(
        {"driver": list(range(ROWS)), "event_timestamp": [DAY[1]] * ROWS, "late": [n % 2 for n in range(ROWS)]}
    )
    labels.split("half", train=0.5, test=0.5, key=["driver"])
    training = store.features.create_training_set("learnt", labels="labels@1#half", features="model@1")
    ask(store, range(0, ROWS, 2))
    for given in (training, training.version, training.address):
        found = store.features.skew("model", given)
        assert found.training == "learnt@1#half.train"
        assert found.training_rows == training.train.to_arrow().num_rows
        assert found.skewed == ()


def test_what_cannot_be_compared_is_refused_in_words(store):
    with pytest.raises(NotFoundError):
        store.features.skew("model", "rides")  # nothing was looked up yet
    with pytest.raises(NotFoundError, match="no feature service"):
        store.features.skew("modell", "rides")
    store.create_dataset("other").append({"x": [1]})
    ask(store, [1])
    with pytest.raises(UsageError, match="is no rows to compare with"):
        store.features.skew("model", 3)
    limits = DriftPolicy(tau_warn=0.9, tau_error=0.95)
    assert store.features.skew("model", "rides", policy=limits).passed
    found = store.features.skew("model", store.version("other"))
    assert found.features == {}
    assert set(found.result.untested) == {"trips", "city"}


def test_the_command_exits_by_the_outcome(store, folder, capsys, tmp_path):
    ask(store, [n for n in range(ROWS) if n % 40 < 20])
    store.features.lookup_logs.flush()
    page = tmp_path / "skew.html"
    words = ["skew", "model", "rides", "--store", str(folder)]
    assert run([*words, "--to", str(page)]) == 1
    assert "trips" in capsys.readouterr().out
    assert page.read_text(encoding="utf-8").startswith("<!DOCTYPE html>")
    assert run([*words, "--exit-zero", "-o", "json"]) == 0
    assert json.loads(capsys.readouterr().out)["skewed"] == ["trips"]
    assert run([*words, "--warn", "0.9", "--error", "0.95"]) == 0
    assert run(["skew", "modell", "rides", "--store", str(folder)]) == 2
    assert run([*words, "--to", "skew.pdf"]) == 2
