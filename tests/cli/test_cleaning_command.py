"""The verbs that clean."""

import json

import pytest

import foldstore
from foldstore.cli.app import run


@pytest.fixture
def shops(folder):
    with foldstore.connect(folder, author="t") as store:
        data = store.create_dataset("shops", key=["id"])
        zips = [10, 20, 30, 40, 50] * 8
        city = [f"city number {zip_code}" for zip_code in zips]
        city[7] = "city nxmber 30"
        data.append({"id": range(40), "zip": zips, "city": city, "pay": [*range(38), -999, -999]})
    return str(folder)


def test_a_plan_is_suggested_previewed_applied_and_undone(shops, tmp_path, capsys):
    plan = tmp_path / "plan.json"
    assert run(["clean", "suggest", "shops", "--store", shops, "--out", str(plan)]) == 0
    said = capsys.readouterr()
    assert "dependency_violated" in said.out
    assert "plan.json" in said.err
    assert json.loads(plan.read_text())["format"] == "cleaning/v1"
    assert run(["clean", "preview", str(plan), "--store", shops, "--output", "json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["rows_changed"], found["rows_dropped"]) == (1, 0)
    assert run(["clean", "preview", str(plan), "--store", shops]) == 0
    assert "1 of 40 rows would change" in capsys.readouterr().err
    assert run(["clean", "apply", str(plan), "--store", shops, "-m", "spring"]) == 0
    assert capsys.readouterr().out == "shops@2\n"
    assert run(["clean", "apply", str(plan), "--store", shops, "--on", "shops@2"]) == 0
    assert "Nothing would change" in capsys.readouterr().err
    assert run(["clean", "undo", "shops", "--store", shops]) == 0
    assert capsys.readouterr().out == "shops@3\n"
    assert run(["clean", "undo", "shops", "--store", shops]) == 2
    assert "no-cleaning" in capsys.readouterr().err
    with foldstore.connect(shops) as store:
        assert store.version("shops@3").to_arrow() == store.version("shops@1").to_arrow()
        assert store.version("shops@2").to_arrow(["city"])["city"].to_pylist().count("city number 30") == 8


def test_a_rule_that_is_broken_exits_with_1_and_proposes_a_plan(shops, tmp_path, capsys):
    out = tmp_path / "plan.json"
    rule = "t.zip = u.zip AND t.city <> u.city"
    assert run(["clean", "deny", "shops", rule, "--store", shops, "--out", str(out)]) == 1
    assert "7 violations in 8 rows; without 1 none is left" in capsys.readouterr().err
    assert run(["clean", "apply", str(out), "--store", shops]) == 0
    assert run(["clean", "deny", "shops", rule, "--store", shops]) == 0
    with foldstore.connect(shops) as store:
        assert store.dataset("shops.quarantine").latest.num_rows == 1


def test_a_file_that_is_no_plan_is_refused(shops, tmp_path, capsys):
    bad = tmp_path / "bad.json"
    bad.write_text("{}")
    assert run(["clean", "apply", str(bad), "--store", shops]) == 2
    assert "invalid-plan" in capsys.readouterr().err
    assert run(["clean", "apply", str(tmp_path / "none.json"), "--store", shops]) == 3
