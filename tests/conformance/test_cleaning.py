"""Cleaning: suggested, previewed, committed, undone, the same in a folder and behind a server."""

import numpy as np
import pytest

import foldstore
from tests.conformance.conftest import raised

CITIES = ["Birmingham"] * 30 + ["Birminghxm", "birmingham", "ZÃ¼rich"] + ["Boston"] * 20


@pytest.fixture
def version(people):
    ages = [40] * 40 + [-999] * 3 + list(range(10))
    return people.append({"id": range(53), "city": CITIES, "age": ages})


def test_suggestions_are_chosen_from_tried_done_and_undone(store, version):
    plan = version.suggest_cleaning()
    assert [each.op for each in plan] == ["fix_mojibake", "replace", "replace"]
    assert len(plan.at_least(0.9)) == 2
    assert (len(plan.only(1)), len(plan.without(1))) == (1, 2)
    longer = plan.then({"op": "set_null", "column": "age", "params": {"values": [-999]}})
    told = []
    found = longer.preview(progress=lambda done, _: told.append(done))
    assert told
    assert (found.rows, found.rows_changed, found.rows_dropped) == (53, 6, 0)
    assert [each.changed for each in found.actions] == [1, 1, 1, 3]
    assert found.before.columns["age"].nulls == 0
    assert found.after.columns["age"].nulls == 3
    assert found.after.columns["city"].distinct == 3
    assert found.to_dict()["columns"]["age"]["nulls"] == [0, 3]
    assert not found.changes_nothing
    assert str(found).startswith("people@1: 6 of 53 rows change, 0 go\n")
    assert store.dataset("people").latest == version
    cleaned = longer.commit(message="spring")
    assert (cleaned.address, cleaned.record.message) == ("people@2", "spring")
    assert cleaned.to_arrow()["age"].null_count == 3
    assert cleaned.record.properties["cleaning"]["changed"] == [1, 1, 1, 3]
    assert raised(longer.commit)[0] == "ConflictError"
    undone = cleaned.undo_cleaning(message="not so")
    assert undone.to_arrow() == version.to_arrow()
    assert raised(undone.undo_cleaning) == ("UsageError", "no-cleaning")


def test_what_a_plan_means_is_checked(version):
    assert raised(lambda: version.cleaning_plan([{"op": "nothing"}])) == ("UsageError", "invalid-action")
    assert raised(lambda: version.cleaning_plan("{}")) == ("UsageError", "invalid-plan")
    wrong = version.cleaning_plan([{"op": "set_null", "column": "nothing", "params": {"values": [1]}}])
    assert raised(wrong.preview)[0] == raised(wrong.commit)[0] == "ColumnNotFoundError"
    assert raised(lambda: version.suggest_cleaning(columns=["nothing"]))[0] == "ColumnNotFoundError"
    assert version.cleaning_plan().commit() == version
    again = version.cleaning_plan(version.suggest_cleaning().to_json())
    assert len(again) == 3


def test_reports_are_answered(people, version):
    columns = {"id": {"type": "int64"}, "city": {"type": "string"}}
    columns["age"] = {"type": "int64", "domain": {"min": 0, "max": 120}}
    schema = foldstore.DataSchema.from_dict({"keys": ["id"], "columns": columns})
    found = version.suggest_cleaning(report=version.validate(schema), schema=schema)
    assert ("set_null", "age") in {(each.op, each.column) for each in found}


def test_rows_are_put_aside(store, version):
    plan = version.cleaning_plan([{"op": "quarantine_rows", "where": "age < 0"}])
    assert plan.preview().rows_dropped == 3
    assert plan.commit().num_rows == 50
    aside = store.version("people.quarantine").to_arrow()
    assert aside["cleaning_version"].unique().to_pylist() == ["people@1"]
    assert sorted(aside["id"].to_pylist()) == [40, 41, 42]


def test_rules_over_rows(store):
    zips = [1, 1, 1, 2, 2, 3, 3] * 4
    towns = ["Ulm", "Ulm", "Ulm", "Rome", "Rome", "Oslo", "Oslo"] * 4
    towns[2] = "Bonn"
    version = store.create_dataset("shops", key=["id"]).append({"id": range(28), "zip": zips, "city": towns})
    denied = version.deny("t.zip = u.zip AND t.city <> u.city")
    assert (denied.passed, denied.violations, len(denied.cover)) == (False, 11, 1)
    assert denied.examples[0]["cells"]
    assert version.cleaning_plan(denied.repair(op="drop_rows")).commit().num_rows == 27
    assert raised(lambda: version.deny("t.nothing = 1"))[0] == "ColumnNotFoundError"
    (first, *_) = version.find_dependencies(["zip", "city"], max_error=0.1, min_strength=0.5)
    assert (first.determinants, first.dependent) == (("city",), "zip")
    assert raised(lambda: version.find_dependencies(["nothing"]))[0] == "ColumnNotFoundError"


def test_labels_and_priorities(store):
    random = np.random.default_rng(3)
    x = random.normal(size=400)
    labels = x > 0
    labels[np.argsort(x)[[3, 390]]] ^= True
    version = store.create_dataset("n", key=["id"]).append({"id": range(400), "x": x, "late": labels})
    ids = version.row_ids()
    found = version.label_issues("late", ["x"])
    wrong = {int(ids[row]) for row in np.argsort(x)[[3, 390]]}
    assert wrong <= {each.row for each in found.issues[:4]}
    assert found.classes == (False, True)
    assert found.repair(2)[0].op == "set_values"
    sure = np.stack([x < 0, x >= 0], axis=1).astype(float)
    given = version.label_issues("late", probabilities=sure, rank_by="margin")
    assert {each.row for each in given.issues} == wrong
    assert raised(lambda: version.label_issues("late", probabilities=sure[:5]))[0] == "UsageError"
    plan = version.cleaning_plan(found.repair(2))
    ranked = version.cleaning_priority(plan, "late", ["x"])
    assert (ranked.rows.dtype, len(ranked)) == (np.uint64, 2)
    assert ranked.scores[0] >= ranked.scores[1] > 0
    assert raised(lambda: version.cleaning_priority({}, "late"))[0] == "UsageError"
