"""Training sets made again: the next version of newer inputs, the same version of the same, words for anything else."""

import datetime as dt
import json
import threading

import pytest

import foldstore
from foldstore.cli.app import run
from foldstore.errors import AlreadyExistsError, ConflictError
from foldstore.features.joins import HistoricalJoins
from foldstore.training_set import Inputs
from foldstore.types import Operation, Status

pytestmark = pytest.mark.usefixtures("each_catalog")
PARTS = ("train", "validation", "test")


def at(day):
    return dt.datetime(2024, 1, 1, tzinfo=dt.UTC) + dt.timedelta(days=day)


def asks(first, last):
    ids = list(range(first, last))
    return {"id": ids, "driver": [n % 7 for n in ids], "asked": [at(5 + n % 20) for n in ids]}


def rides(day, trips):
    return {"driver": list(range(7)), "ts": [at(day)] * 7, "trips": [trips + n for n in range(7)]}


@pytest.fixture
def store(folder):
    """Labels with a split, and a service over a dataset, a query and a saved view."""
    with foldstore.connect(folder) as store:
        store.create_dataset("rides").append(rides(1, 10))
        store.view("rides").where("trips > 0").save("good")
        labels = store.create_dataset("asks", key=["id"], event_time="asked")
        labels.append(asks(0, 200)).split("s", train=0.6, validation=0.2, test=0.2, seed=3)
        apply(store)
        yield store


def apply(store, count=3):
    driver = foldstore.Entity("driver", keys={"driver": "int64"})
    by = {"entity": driver, "event_time": "ts", "features": ["trips"]}
    query = foldstore.sql("SELECT driver, ts, trips * 2 AS trips FROM rides")
    views = [
        foldstore.FeatureView(name, source=source, **by).as_(name)
        for name, source in (("stats", "rides"), ("asked", query), ("seen", "good"))
    ]
    return store.features.apply(foldstore.FeatureService("model", views[:count]), allow_breaking=True)


def make(store, name="training", labels="asks#s", features="model", **how):
    return store.features.create_training_set(name, labels=labels, features=features, full_feature_names=True, **how)


def members(training):
    return {part: set(training.split.part(part).to_arrow()["id"].to_pylist()) for part in PARTS}


def test_the_same_again_is_the_version_that_is_there_and_nothing_is_joined(store, monkeypatch):
    first = make(store)
    monkeypatch.setattr(HistoricalJoins, "join_split", lambda *_, **__: pytest.fail("it was joined"))
    again = make(store, labels="asks@1#s", features="model@1")
    assert (again.address, again.inputs) == ("training@1", first.inputs)
    assert members(again) == members(first)
    assert [each.number for each in store.dataset("training").versions()] == [1]


def test_newer_inputs_make_the_next_version_with_its_own_lineage(store):
    first = make(store)
    kept = first.to_arrow()
    store.dataset("rides").append(rides(2, 50))
    second = make(store)
    assert (second.address, second.inputs.versions) == ("training@2", ("rides@1", "rides@2"))
    assert second.to_arrow()["stats__trips"].to_pylist() != kept["stats__trips"].to_pylist()
    assert first.to_arrow().equals(kept), "a version never changes"
    for training in (first, second):
        assert store.features.reproduce(training).equal
        upstream = set(store.lineage(training.address).upstream().labels("version"))
        assert set(training.inputs.versions) <= upstream
    names = {(each.address, each.name) for each in store.consumers("training_set")}
    assert {("rides@1", "training@1"), ("rides@2", "training@2"), ("asks@1", "training@2")} <= names
    assert store.training_set("training").address == "training@2"
    assert store.training_set("training@1").inputs == first.inputs
    assert make(store).address == "training@2"


def test_a_version_made_of_the_same_is_found_behind_newer_ones(store):
    make(store)
    store.dataset("rides").append(rides(2, 50))
    make(store)
    rides_then = store.features.service("model@1").selections[0].view
    assert rides_then.source == "rides", "it follows the newest version"
    store.dataset("asks").append(asks(200, 240))
    third = make(store)
    assert third.address == "training@3"
    assert make(store, labels="asks@1#s").address == "training@2"


def test_a_row_stays_in_its_part_in_every_version(store):
    first = members(make(store))
    store.dataset("asks").append(asks(200, 300))
    store.dataset("asks").delete("id < 10")
    second = make(store)
    split = store.split("asks@3#s")
    for part in PARTS:
        here = members(second)[part]
        assert here == set(split.part(part).to_arrow()["id"].to_pylist())
        assert {n for n in here if n < 200} == {n for n in first[part] if n >= 10}
        address = f"training@1#s.{part}"
        assert set(store.view(address).to_arrow()["id"].to_pylist()) == first[part], "and version 1 has its own"


def test_a_split_that_was_not_kept_is_placed_by_the_version_that_has_it(store, monkeypatch):
    first = members(make(store))
    store.dataset("asks").append(asks(200, 300))

    def stop(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("foldstore.store.read_training_set", stop)
        with pytest.raises(KeyboardInterrupt):
            make(store)
    split = store.split("asks@2#s")  # whoever asks for a part first, by whichever way
    for part in PARTS:
        here = set(store.view(f"training@2#s.{part}").to_arrow()["id"].to_pylist())
        assert here == set(split.part(part).to_arrow()["id"].to_pylist())
    assert make(store).address == "training@2"
    assert members(store.training_set("training@1")) == first


def test_another_service_version_or_another_way_to_join_is_the_next_version(store):
    make(store)
    assert apply(store, count=2) == "model@2"
    second = make(store)
    assert (second.address, second.inputs.features) == ("training@2", "model@2")
    assert "seen__trips" not in second.to_arrow().column_names
    third = make(store, allow_exact_match=False)
    assert (third.address, dict(third.inputs.options)["allow_exact_match"]) == ("training@3", False)
    assert make(store).address == "training@2"
    assert make(store, features="model@1").address == "training@1"
    assert "seen__trips" in store.training_set("training@1").to_arrow().column_names


def test_another_split_service_or_dataset_is_refused_in_words(store):
    make(store)
    store.version("asks@1").split("t", train=0.5, test=0.5)
    store.features.apply(foldstore.FeatureService("other", store.features.service("model").selections))
    for asked, words in (
        ({"labels": "asks#t"}, "training@1 is a training set with labels of 'asks#s', not of 'asks#t'"),
        ({"features": "other"}, "training@1 is a training set with features of 'model', not of 'other'"),
    ):
        with pytest.raises(AlreadyExistsError, match=words) as refused:
            make(store, **asked)
        assert refused.value.code == "other-training-set"
        assert "another name" in refused.value.hint
    with pytest.raises(AlreadyExistsError, match="'rides', which is no training set") as refused:
        make(store, name="rides")
    assert refused.value.code == "already-exists"
    store.create_dataset("empty", key=["driver"])
    with pytest.raises(AlreadyExistsError, match="another key or event time than 'asks'"):
        make(store, name="empty")
    assert [each.number for each in store.dataset("training").versions()] == [1]


def test_a_dataset_that_was_made_and_not_filled_takes_the_first_version(store):
    store.create_dataset("training", key=["id"], event_time="asked")  # as by a process that was killed there
    assert make(store).address == "training@1"


def test_what_did_not_pass_its_gate_is_judged_again(store):
    first = make(store)
    schema = first.version.profile().infer_schema()
    store.dataset("training").set_schema(schema)
    store.dataset("rides").append(rides(2, 1_000_000))
    second = make(store)
    assert (second.address, second.version.status) == ("training@2", Status.QUARANTINED)
    assert store.training_set("training").address == "training@1"
    third = make(store)
    assert (third.address, third.version.status) == ("training@3", Status.QUARANTINED)
    released = second.version.release(reason="it is so")
    found = store.training_set(released.address)
    assert members(found) == members(first)
    assert make(store).address == found.address
    assert ("rides@2", found.address) in {(each.address, each.name) for each in store.consumers("training_set")}


def test_what_was_made_before_rows_were_erased_is_made_again(store):
    first = make(store)
    store.dataset("asks").erase(where="id < 5", reason="asked to")
    second = make(store)
    assert second.address == "training@2"
    assert min(min(ids) for ids in members(second).values()) == 5
    assert make(store).address == "training@2"
    assert first.inputs.pins == second.inputs.pins


def test_the_command(store, folder, capsys):
    ask = ["features", "training-set", "training", "--labels", "asks#s", "--features", "model", "--store", str(folder)]
    ask += ["--full-feature-names"]
    assert run(ask) == 0
    told = capsys.readouterr()
    assert told.out == "training@1\n"
    assert "model@1 at asks@1#s (train 1" in told.err
    assert run([*ask, "-o", "json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["address"], told["status"]) == ("training@1", "published")
    assert Inputs.from_dict(told["inputs"]) == store.training_set("training@1").inputs
    assert run([*ask, "--no-allow-exact-match"]) == 0
    assert capsys.readouterr().out == "training@2\n"
    assert run([*ask[:3], "--labels", "asks", *ask[5:]]) == 2
    store.dataset("training").set_schema(store.version("training@1").profile().infer_schema())
    store.dataset("rides").append(rides(2, 1_000_000))
    assert run(ask) == 1
    assert capsys.readouterr().err.endswith("quarantined.\n")


def test_two_who_make_the_same_get_one_version(store, folder):
    make(store)
    store.dataset("rides").append(rides(2, 50))
    others = [foldstore.connect(folder) for _ in range(3)]
    gate = threading.Barrier(len(others))
    found, failed = [], []

    def ask(mine):
        gate.wait()
        try:
            found.append(make(mine).address)
        except ConflictError as error:
            failed.append(error)

    threads = [threading.Thread(target=ask, args=(each,)) for each in others]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for each in others:
        each.close()
    assert not failed
    assert len(found) == len(others)
    versions = store.dataset("training").versions()
    assert {each.num_rows for each in versions} == {200}, "nobody's rows are added to another's"
    assert {each.record.operation for each in versions} == {Operation.OVERWRITE}
