"""The command's verbs on transforms, as a person uses them."""

import json

import pytest

import foldstore
from foldstore.cli.app import run

DEFINITION = """
name: inputs
operations:
  - {op: impute, column: km, method: mean, indicator: true}
  - {op: vocabulary, column: kind, oov_buckets: 0, max_rate: 0.01}
"""


@pytest.fixture
def folder(folder, monkeypatch, tmp_path):
    with foldstore.connect(folder) as store:
        trips = store.create_dataset("trips", key=["id"])
        kinds = ["bus", "tram"] * 100
        trips.append({"id": list(range(200)), "km": [float(i % 10) for i in range(200)], "kind": kinds})
        trips.version(1).split("half", train=0.5, test=0.5)
        trips.append({"id": list(range(200, 300)), "km": [1.0] * 100, "kind": ["boat"] * 100})
    monkeypatch.setenv("FOLDSTORE_STORE", str(folder))
    monkeypatch.chdir(tmp_path)
    (tmp_path / "inputs.yaml").write_text(DEFINITION, encoding="utf-8")
    return folder


def test_a_definition_is_fitted_once_listed_and_shown(folder, capsys):
    for _ in range(2):
        assert run(["transforms", "fit", "inputs.yaml", "--on", "trips@1#half.train", "-m", "first"]) == 0
        assert capsys.readouterr().out == "inputs@1\n"
    assert run(["transforms", "ls", "--output", "json"]) == 0
    (listed,) = json.loads(capsys.readouterr().out)
    assert (listed["transform"], listed["operations"], listed["fitted_on"]) == ("inputs@1", 2, "trips@1#half.train")
    assert run(["transforms", "show", "inputs", "--output", "json"]) == 0
    shown = json.loads(capsys.readouterr().out)
    assert sorted(shown["states"][1]["values"]) == ["bus", "tram"]
    assert run(["transforms", "show", "inputs@1"]) == 0
    assert "vocabulary" in capsys.readouterr().out


def test_rows_are_judged_and_fail_by_the_severity_that_is_named(folder, capsys):
    run(["transforms", "fit", "inputs.yaml", "--on", "trips@1#half.train"])
    assert run(["transforms", "validate", "inputs@1", "trips@1", "--fail-on", "warn"]) == 0
    assert run(["transforms", "validate", "inputs@1", "trips@2"]) == 0
    capsys.readouterr()
    assert run(["transforms", "validate", "inputs@1", "trips@2", "--fail-on", "warn", "-o", "json"]) == 1
    assert "oov_rate_high" in capsys.readouterr().out


@pytest.mark.parametrize("content", [None, b"\xff\xfe\x00", b"- 1", b"name: a\noperations: [{op: zscor, column: km}]"])
def test_a_file_that_is_no_definition_is_a_mistake_of_use(folder, capsys, tmp_path, content):
    if content is not None:
        (tmp_path / "bad.yaml").write_bytes(content)
    assert run(["transforms", "fit", "bad.yaml", "--on", "trips@1#half.train"]) == 2
    assert "hint" in capsys.readouterr().err


def test_nothing_but_a_train_part_teaches(folder, capsys):
    assert run(["transforms", "fit", "inputs.yaml", "--on", "trips@1#half.test"]) == 4
    assert run(["transforms", "fit", "inputs.yaml", "--on", "trips@1"]) == 4
    assert "not-a-train-part" in capsys.readouterr().err
