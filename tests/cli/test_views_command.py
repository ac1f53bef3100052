"""The command's verbs on views, as a person uses them."""

import json
import warnings

import pytest

import foldstore
from foldstore.cli.app import run


@pytest.fixture
def folder(folder, monkeypatch):
    with foldstore.connect(folder) as store:
        data = store.create_dataset("trips", key=["id"])
        data.append({"id": list(range(100)), "km": [i % 10 for i in range(100)]})
        data.set_alias("champion", 1)
        store.create_dataset("night").append({"id": [-1, -2], "km": [0, 1]})
    monkeypatch.setenv("FOLDSTORE_STORE", str(folder))
    return folder


def _opened(folder, address):
    with foldstore.connect(folder, create=False) as store:
        return store.view(address).to_arrow().to_pylist()


def test_a_view_is_saved_from_options_and_listed(folder, capsys):
    words = ["--where", "km > 7", "--select", "id", "--compute", "double=km * 2", "--order-by", "-id", "--limit", "3"]
    assert run(["view", "save", "far", "trips@1", *words, "-m", "long ones"]) == 0
    assert "Saved far@1: b3-" in capsys.readouterr().err
    assert _opened(folder, "far@1") == [{"id": i, "double": d} for i, d in ((99, 18), (98, 16), (89, 18))]
    assert run(["view", "ls", "--output", "jsonl"]) == 0
    listed = json.loads(capsys.readouterr().out)
    assert (listed["name"], listed["latest"], listed["status"], listed["reads"]) == ("far", 1, "published", "trips@1")


def test_several_inputs_are_put_together_or_blended(folder):
    assert run(["view", "save", "all", "trips@1", "night@1"]) == 0
    assert len(_opened(folder, "all")) == 102
    assert run(["view", "save", "mixed", "trips@1=3", "night@1=1", "--rows", "8", "--shuffle", "--seed", "3"]) == 0
    assert sum(row["id"] < 0 for row in _opened(folder, "mixed")) == 2


def test_a_specification_goes_out_is_edited_and_comes_back(folder, capsys, tmp_path):
    run(["view", "save", "far", "trips@champion", "--where", "km > 7"])
    capsys.readouterr()
    assert run(["view", "show", "far", "--output", "json"]) == 0
    spec = json.loads(capsys.readouterr().out)
    spec["sources"] = [{"address": "trips@1"}]
    spec["steps"].append({"enumerate": {"column": "km", "labels": [[8, 0]], "default": 1, "into": "kind"}})
    (tmp_path / "spec.json").write_text(json.dumps(spec))
    assert run(["view", "save", "kinds", "--spec", str(tmp_path / "spec.json"), "--draft"]) == 0
    assert run(["view", "publish", "kinds"]) == 0
    assert {row["kind"] for row in _opened(folder, "kinds@1")} == {0, 1}
    assert run(["view", "show", "kinds"]) == 0
    assert "int64" in capsys.readouterr().out


def test_views_are_explained_and_compared(folder, capsys):
    run(["view", "save", "far", "trips@champion", "--where", "km > 7"])
    run(["view", "save", "far", "trips@champion", "--where", "km > 8"])
    capsys.readouterr()
    assert run(["view", "explain", "far"]) == 0
    assert "copies the rows that pass" in capsys.readouterr().out
    assert run(["view", "diff", "far@1", "far@2", "--output", "json"]) == 0
    assert json.loads(capsys.readouterr().out)["rows"] == {
        "before": 20, "after": 10, "added": 0, "removed": 10, "common": 10,
    }  # fmt: skip
    with foldstore.connect(folder) as store:
        store.dataset("trips").append({"id": [500], "km": [9]})
        store.dataset("trips").set_alias("champion", 2)
    assert run(["view", "moved", "far"]) == 0
    assert "trips@1 → trips@2" in capsys.readouterr().out


def test_leakage_is_an_exit_code(folder, capsys):
    with foldstore.connect(folder) as store:
        store.dataset("trips").latest.split("half", train=0.5, test=0.5)
    assert run(["view", "leakage", "trips@1#half.train"]) == 0
    assert run(["view", "leakage", "trips@1"]) == 1
    assert "lie beside" in capsys.readouterr().out


def test_views_are_copied_archived_and_deprecated(folder, capsys):
    run(["view", "save", "far", "trips@1", "--where", "km > 7"])
    assert run(["view", "clone", "far@1", "further"]) == 0
    assert run(["view", "archive", "far"]) == 0
    capsys.readouterr()
    run(["view", "ls", "--output", "csv"])
    assert capsys.readouterr().out.splitlines()[1].startswith("further,,draft")
    assert run(["view", "restore", "far"]) == 0
    assert run(["view", "deprecate", "far@1", "--reason", "too far", "--replacement", "further@1"]) == 0
    with warnings.catch_warnings():
        warnings.simplefilter("default")
        run(["view", "explain", "far"])
    (line,) = [line for line in capsys.readouterr().err.splitlines() if line.startswith("warning: ")]
    assert "too far" in line


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["view", "save", "far"], "reads addresses"),
        (["view", "save", "far", "trips@1", "--spec", "x.json"], "reads addresses"),
        (["view", "save", "far", "trips@1=1", "night@1"], "Either all inputs have a weight"),
        (["view", "save", "far", "trips@1=0", "night@1=1"], "is no weight"),
        (["view", "save", "far", "trips@1", "--compute", "x"], "computes no column"),
        (["view", "save", "far", "trips@1", "--where", "kmm > 7"], "Did you mean 'km'"),
        (["view", "save", "trips", "trips@1"], "already a dataset"),
        (["view", "save", "far", "trips@1", "--columns", "bogus"], "--columns='bogus' is no choice"),
        (["view", "save", "far", "trips@1", "--select", ","], "names no column"),
        (["view", "save", "far", "trips@1=1", "night@1=1", "--rows", "²"], "how many rows a blend has"),
        (["view", "show", "nothing"], "no dataset or view"),
        (["view", "publish", "nothing"], "has no draft"),
    ],
)
def test_what_cannot_be_exits_with_a_message(folder, capsys, words, says):
    assert run(words) == 2
    assert says in capsys.readouterr().err


@pytest.mark.parametrize("text", ["", "[]", "{", '{"steps": []}', '{"sources": [{"address": 5}], "steps": []}'])
def test_a_file_that_is_no_specification_is_refused(folder, capsys, tmp_path, text):
    (tmp_path / "spec.json").write_text(text)
    assert run(["view", "save", "far", "--spec", str(tmp_path / "spec.json")]) in (2, 3)
    said = capsys.readouterr().err
    assert "specification" in said or "is not an address" in said
