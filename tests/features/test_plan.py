"""What an apply would do: what changes, whom it would break, and that it is refused then."""

import datetime as dt
import re

import pyarrow as pa
import pytest

import foldstore
from foldstore.errors import (
    ColumnNotFoundError,
    ConflictError,
    InvalidDefinitionError,
    InvalidQueryError,
    NotFoundError,
    RefusedError,
    SchemaMismatchError,
)
from foldstore.views.features.definition_set import DefinitionSet
from foldstore.views.features.service_diff import compare_services

DRIVER = foldstore.Entity("driver", keys={"driver": "int64"})


def at(day):
    return dt.datetime(2024, 1, day, tzinfo=dt.UTC)


def stats(**changes):
    given = {"entity": DRIVER, "source": "rides", "event_time": "ts", "features": ["trips", "tips"], "ttl": "7d"}
    return foldstore.FeatureView("stats", **(given | changes))


def model(*views, **said):
    return foldstore.FeatureService("model", list(views) or [stats()], **said)


@pytest.fixture
def rides(store):
    rows = {"driver": [1, 1, 2], "ts": [at(1), at(3), at(2)], "trips": [10, 30, 7], "tips": [0.5, 1.5, 2.5]}
    dataset = store.create_dataset("rides")
    dataset.append({**rows, "other": [1, 2, 3], "made": rows["ts"]})
    return dataset


CHANGES = {
    "a feature less": (stats()[["trips"]], [("stats__tips", "removed", True)]),
    "a feature more": (stats(features=["trips", "tips", "other"]), [("stats__other", "added", False)]),
    "another order": (stats(features=["tips", "trips"]), [(None, "order", False)]),
    "another name": (stats().as_("now"), [("stats__trips", "renamed", True), ("stats__tips", "renamed", True)]),
    "another type of key": (
        stats(entity=foldstore.Entity("driver", keys={"driver": "string"})),
        [("stats__trips", "keys", True), ("stats__tips", "keys", True)],
    ),
    "another column that asks": (
        stats().as_("stats", keys={"driver": "who"}),
        [("stats__trips", "keys", True), ("stats__tips", "keys", True)],
    ),
    "no entity": (stats(entity=None), [("stats__trips", "keys", True), ("stats__tips", "keys", True)]),
    "another age": (stats(ttl="6d"), [("stats__trips", "ttl", True), ("stats__tips", "ttl", True)]),
    "any age": (stats(ttl=None), [("stats__trips", "ttl", True), ("stats__tips", "ttl", True)]),
    "another event time": (
        stats(event_time="made"), [("stats__trips", "event_time", True), ("stats__tips", "event_time", True)]
    ),
    "a created time": (
        stats(created_time="made"), [("stats__trips", "created_time", True), ("stats__tips", "created_time", True)]
    ),
    "another version of the source": (
        stats(source="rides@1"), [("stats__trips", "source", False), ("stats__tips", "source", False)]
    ),
    "another source": (stats(source="trips"), [("stats__trips", "source", True), ("stats__tips", "source", True)]),
    "a query": (
        stats(source=foldstore.sql("SELECT * FROM rides")),
        [("stats__trips", "source", True), ("stats__tips", "source", True)],
    ),
    "an owner of the view": (stats(owner="me"), [("stats__trips", "owner", False), ("stats__tips", "owner", False)]),
}  # fmt: skip


@pytest.mark.parametrize(("after", "expected"), CHANGES.values(), ids=CHANGES)
def test_a_change_is_found_and_judged(after, expected):
    changes = compare_services(model(), model(after))
    assert [(each.feature, each.what, each.breaks) for each in changes] == expected
    assert compare_services(model(after), model(after)) == ()


def test_what_is_said_of_a_service_breaks_nobody():
    changes = compare_services(model(), model(description="new", tags=["a"]))
    assert [(each.what, each.after, each.breaks) for each in changes] == [
        ("description", "new", False),
        ("tags", ["a"], False),
    ]


def test_another_type_is_found_where_sources_tell_it(store, rides):
    store.features.apply(model())
    rounded = stats(source=foldstore.sql("SELECT driver, ts, trips, tips::INT AS tips FROM rides"))
    changed = {
        each.feature: (each.before, each.after)
        for each in store.features.plan(model(rounded)).services[0].changes
        if each.what == "type"
    }
    assert changed == {"stats__tips": ("double", "int32")}


def _use_everywhere(store):
    store.features.apply(model())
    rows = {"id": [1, 2], "driver": [1, 2], "event_timestamp": [at(2), at(5)]}
    store.create_dataset("labels", key=["id"], event_time="event_timestamp").append(rows).split("all", train=1.0)
    with store.run("train"):
        made = store.features.create_training_set("made", labels="labels#all", features="model")
    made.version.consumers.register("model", "churn@3")
    store.view("made@1").select("id", "trips").save("small")
    store.features.materialize("model")
    store.features.log_lookups("model", share=0.5)


@pytest.mark.usefixtures("each_catalog")
def test_everybody_who_would_break_is_named_and_it_is_refused(store, rides):
    _use_everywhere(store)
    plan = store.features.plan(model(stats()[["trips"]]))
    users = {(each.consumer.kind, each.consumer.name.partition(" ")[0]) for each in plan.broken}
    assert users == {
        ("training_set", "made@1"), ("run", "train"), ("model", "churn@3"), ("view", "small@1"),
        ("materialized", "model@1"), ("lookup_log", "model.served"),
    }  # fmt: skip
    assert {str(change) for each in plan.broken for change in each.changes} == {"stats__tips is removed"}
    with pytest.raises(RefusedError, match="training set made@1") as error:
        store.features.apply(model(stats()[["trips"]]))
    assert (error.value.code, error.value.exit_code) == ("breaks-consumers", 4)
    assert len(error.value.facts["consumers"]) == 6
    assert store.features.list_services() == ["model@1"]
    assert store.features.apply(model(stats()[["trips"]]), allow_breaking=True) == "model@2"


@pytest.mark.usefixtures("each_catalog")
def test_what_takes_nothing_away_is_applied_whoever_uses_it(store, rides):
    _use_everywhere(store)
    more = model(stats(features=["trips", "tips", "other"]))
    plan = store.features.plan(more)
    assert (plan.broken, plan.services[0].action, plan.services[0].address) == ((), "change", "model@2")
    assert store.features.apply(more) == "model@2"
    assert [str(each) for each in store.features.diff("model@1", "model@2")] == ["stats__other is added"]


@pytest.mark.usefixtures("each_catalog")
def test_a_user_of_an_older_version_is_not_forgotten(store, rides):
    _use_everywhere(store)
    store.features.log_lookups("model", share=0)
    store.features.apply(model(stats(features=["trips", "tips", "other"])))
    again = store.features.plan(model(stats(features=["trips", "other"])))
    assert {each.consumer.service for each in again.broken} == {"model@1"}
    assert store.features.plan(model(stats(features=["tips", "trips"]))).broken == ()


def test_nobody_is_broken_where_nobody_uses_it(store, rides):
    store.features.apply(model())
    assert store.features.apply(model(stats()[["trips"]])) == "model@2"


@pytest.mark.usefixtures("each_catalog")
def test_the_same_definition_is_no_new_version(store, rides):
    _use_everywhere(store)
    plan = store.features.plan(model())
    assert (plan.services[0].is_same, str(plan)) == (True, "= model@1")
    assert store.features.apply(model()) == "model@1"


@pytest.mark.usefixtures("each_catalog")
def test_to_plan_is_no_input_of_a_run(store, rides):
    store.features.apply(model())
    with store.run("look") as run:
        store.features.plan(model(stats()[["trips"]]))
    assert store.runs.get(run.id).inputs == ()


@pytest.mark.usefixtures("each_catalog")
def test_a_file_is_applied_whole_or_not_at_all(store, rides):
    lost = foldstore.FeatureView("lost", entity=DRIVER, source="rides", event_time="ts", features=["nothing"])
    with pytest.raises(NotFoundError, match="'nothing'"):
        store.features.apply_file(DefinitionSet.of([model(), foldstore.FeatureService("other", [lost])]))
    assert store.features.list_services() == []


@pytest.mark.usefixtures("each_catalog")
def test_a_writer_that_was_overtaken_is_told(store, rides, monkeypatch):
    planned = store.features._planner.plan

    def and_then_another_applies(definitions):
        found = planned(definitions)
        monkeypatch.undo()
        store.features.apply(model(stats(features=["other"])))
        return found

    monkeypatch.setattr(store.features._planner, "plan", and_then_another_applies)
    with pytest.raises(ConflictError):
        store.features.apply(model())
    assert store.features.service("model").output_names() == ["other"]


class TestCommand:
    @pytest.fixture
    def file(self, tmp_path, store, rides):
        (tmp_path / "model.yaml").write_text(
            "entities:\n  driver:\n    keys: {driver: int64}\n"
            "views:\n  stats: {entity: driver, source: rides, event_time: ts, ttl: 7d, features: [trips, tips]}\n"
            "services:\n  model: {features: [stats], owner: me, tags: [a]}\n"
        )
        return tmp_path / "model.yaml"

    @pytest.fixture
    def run(self, folder, store):
        from typer.testing import CliRunner

        from foldstore.cli.app import app

        return lambda *words: CliRunner().invoke(app, ["features", *map(str, words), "-s", str(folder)])

    def test_plans_applies_lists_shows_and_compares(self, store, file, run):
        assert run("plan", file).stdout == "+ model@1\n"
        assert store.features.list_services() == []
        assert run("apply", file).exit_code == 0
        listed = run("list", "-o", "csv").stdout
        assert listed == 'service,features,owner,tags\nmodel@1,"stats__trips, stats__tips",me,a\n'
        assert run("ls", "-o", "csv").stdout == listed
        (file.parent / "again.yaml").write_text(run("show", "model").stdout)
        (file.parent / "again.json").write_text(run("show", "model", "-o", "json").stdout)
        for again in ("again.yaml", "again.json"):
            assert run("plan", file.parent / again).stdout == "= model@1\n"
        store.features.materialize("model")
        file.write_text(file.read_text().replace(", tips", ""))
        planned = run("plan", file)
        assert (planned.exit_code, "breaks materialized model@1" in planned.stdout) == (1, True)
        assert run("plan", file, "-o", "json").exit_code == 1
        assert run("apply", file, "--allow-breaking").exit_code == 0
        changes = run("diff", "model@1", "model@2", "-o", "csv").stdout
        assert "stats__tips,removed" in changes

    def test_what_breaks_somebody_is_refused(self, store, file, run):
        run("apply", file)
        store.features.materialize("model")
        file.write_text(file.read_text().replace("7d", "6d"))
        refused = run("apply", file)
        assert isinstance(refused.exception, RefusedError)
        assert store.features.list_services() == ["model@1"]

    def test_a_mistake_has_its_line(self, file, run):
        file.write_text(file.read_text().replace("[stats]", "[stat]"))
        failed = run("plan", file)
        assert isinstance(failed.exception, InvalidDefinitionError)
        assert "line 7" in str(failed.exception)
        assert "Did you mean 'stats'?" in str(failed.exception)


@pytest.mark.parametrize(
    ("view", "error", "said"),
    [
        (stats(features=["trips", "tipz"]), ColumnNotFoundError, "no column 'tipz' in 'rides'"),
        (stats(source="riders"), NotFoundError, "riders"),
        (stats(source=foldstore.sql("SELECT * FROM riders")), NotFoundError, "riders"),
    ],
)
def test_what_an_apply_would_refuse_a_plan_refuses(store, rides, view, error, said):
    for act in (store.features.plan, store.features.apply):
        with pytest.raises(error, match=said):
            act(model(view))
    with pytest.raises(NotFoundError, match="nothing@1"):
        store.features.plan(model(transform="nothing@1"))


UNFIT = {
    "a key of another type": (
        {"entity": foldstore.Entity("driver", keys={"driver": "string"})}, SchemaMismatchError,
        "Key column 'driver' of feature view 'stats' is int64 in 'rides'; entity 'driver' says string",
    ),
    "one of two keys": (
        {"entity": foldstore.Entity("ride", keys={"driver": "int32", "tips": "int64"}), "features": ["trips"]},
        SchemaMismatchError, "Key column 'tips' of feature view 'stats' is double in 'rides'; entity 'ride' says int64",
    ),
    "an event time that is none": (
        {"event_time": "other"}, SchemaMismatchError, "Column 'other' of feature view 'stats' is int64 in 'rides'"
    ),
    "a created time that is none": (
        {"created_time": "other"}, SchemaMismatchError, "Column 'other' of feature view 'stats' is int64 in 'rides'"
    ),
    "a key of another type in a query": (
        {"source": foldstore.sql("SELECT driver::VARCHAR AS driver, ts, trips, tips FROM rides")}, SchemaMismatchError,
        "Key column 'driver' of feature view 'stats' is string in its query; entity 'driver' says int64",
    ),
    "a key of another type in a saved view": (
        {"source": "small", "entity": foldstore.Entity("driver", keys={"driver": "date32"})}, SchemaMismatchError,
        "is int64 in 'small'; entity 'driver' says date32",
    ),
    "a column that a query does not have": (
        {"source": foldstore.sql("SELECT driver, ts, trips FROM rides")}, ColumnNotFoundError,
        "no column 'tips' in its query, the source of 'stats'",
    ),
    "a query that fails": ({"source": foldstore.sql("SELECT nothing FROM rides")}, InvalidQueryError, "nothing"),
}  # fmt: skip


@pytest.mark.usefixtures("each_catalog")
@pytest.mark.parametrize("act", ["plan", "apply"])
@pytest.mark.parametrize(("changes", "error", "words"), UNFIT.values(), ids=UNFIT)
def test_a_source_that_does_not_fit_is_refused_before_anything_is_kept(store, rides, changes, error, words, act):
    store.view("rides").where("trips > 0").save("small")
    with pytest.raises(error, match=re.escape(words)):
        getattr(store.features, act)(model(stats(**changes)))
    assert store.features.list_services() == []


FITTING = {
    "narrower": (pa.array([1, 2], pa.int16()), "int64"),
    "wider": (pa.array([1, 2], pa.uint32()), "int8"),
    "large text": (pa.array(["a", "b"], pa.large_string()), "string"),
    "a dictionary": (pa.array(["a", "b"]).dictionary_encode(), "string"),
    "nulls alone": (pa.nulls(2), "string"),
}


@pytest.mark.parametrize(("keys", "kind"), FITTING.values(), ids=FITTING)
def test_a_key_that_can_be_read_as_the_entity_says_is_applied_and_served(store, keys, kind):
    store.create_dataset("seen").append(pa.table({"who": keys, "ts": pa.array([at(1)] * 2), "n": [1, 2]}))
    who = foldstore.Entity("who", keys={"who": kind})
    view = foldstore.FeatureView("seen", entity=who, source="seen", event_time="ts", features=["n"])
    service = store.features.apply(foldstore.FeatureService("m", [view]))
    store.features.materialize(service)
    asked = [{"who": key} for key in keys.to_pylist() if key is not None] or [{"who": "a"}]
    expected = [1, 2] if keys.null_count == 0 else [None]
    assert store.features.get_online_features(service, asked, at=at(2)).to_dict()["n"] == expected
