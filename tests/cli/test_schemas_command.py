"""schema diff, import, export and history as commands."""

import json

import pytest

import foldstore
from foldstore.cli.app import run
from foldstore.validation.schema import DataSchema


@pytest.fixture
def made(folder):
    with foldstore.connect(folder) as store:
        data = store.create_dataset("n", key=["n"])
        data.set_schema(data.append({"n": [1, 2, 3]}).profile().infer_schema())
    return str(folder)


@pytest.fixture
def command(capsys):
    def call(*words):
        code = run([str(word) for word in words])
        return code, *capsys.readouterr()

    return call


def test_a_file_is_compared_before_it_is_set(command, made, tmp_path):
    _, text, _ = command("schema", "show", "n", "-s", made)
    file = tmp_path / "n.yaml"
    file.write_text(DataSchema.from_yaml(text).with_changes(max_rows=9).to_yaml())
    code, out, err = command("schema", "diff", "n", file, "-s", made)
    assert code == 0
    assert "max_rows" in out
    assert "major" in out
    assert "1.0.0 would become 2.0.0." in err
    _, out, _ = command("schema", "diff", "n", file, "-s", made, "-o", "json")
    assert {each["path"] for each in json.loads(out)} == {"max_rows"}
    assert command("schema", "set", "n", file, "-s", made)[0] == 0
    assert "would become" in command("schema", "diff", "n", "-s", made)[2]
    assert len(json.loads(command("schema", "history", "n", "-s", made, "-o", "json")[1])) == 2


def test_what_the_inference_is_told_and_what_it_suggests(command, folder):
    with foldstore.connect(folder) as store:
        rows = {"zone": [each % 3 for each in range(400)], "late": [True, False] * 200, "paid": ["1.50", "2.25"] * 200}
        store.create_dataset("rides").append(rows)
        store.create_dataset("none").append({"x": []})
    code, out, err = command("schema", "infer", "rides@1", "-s", folder, "--label", "late", "--categorical", "zone")
    assert code == 0
    schema = DataSchema.from_yaml(out)
    assert (schema.label, schema.columns["zone"].domain.values) == ("late", (0, 1, 2))
    assert err == "paid: 400 of 400 texts read as double; nothing is cast.\n"
    assert command("schema", "infer", "rides@1", "-s", folder, "--categorical", "zoen")[0] == 2
    told = command("schema", "infer", "none@1", "-s", folder)[2]
    assert told == "warning: none has no rows: the schema says types alone.\n"


@pytest.mark.parametrize("form", ["odcs", "json-schema"])
def test_what_is_exported_is_imported_as_it_was(command, made, tmp_path, form):
    _, text, _ = command("schema", "show", "n", "-s", made)
    code, out, _ = command("schema", "export", "n", "-s", made, "--format", form)
    assert code == 0
    file = tmp_path / "foreign"
    file.write_text(out)
    code, back, err = command("schema", "import", file, "--format", form)
    assert (code, err) == (0, "")
    assert DataSchema.from_yaml(back).id == DataSchema.from_yaml(text).id


def test_pandera_gets_and_gives_its_own_yaml(command, made, tmp_path):
    code, out, _ = command("schema", "export", "n", "-s", made, "--format", "pandera")
    assert code == 0
    file = tmp_path / "n.pandera.yaml"
    file.write_text(out)
    code, back, _ = command("schema", "import", file, "--format", "pandera")
    assert code == 0
    assert DataSchema.from_yaml(back).columns["n"].type == "int64"
    file.write_text("[1, 2]")
    assert command("schema", "import", file, "--format", "pandera")[0] == 2


def test_what_is_not_imported_is_said(command, tmp_path):
    file = tmp_path / "schema.pbtxt"
    file.write_text('feature { name: "x" type: INT } sparse_feature { name: "s" }')
    code, out, err = command("schema", "import", file, "--format", "tfdv")
    assert code == 0
    assert DataSchema.from_yaml(out).columns["x"].type == "int64"
    assert err == "warning: This was not imported: sparse_feature s.\n"
    assert command("schema", "import", file, "--format", "xml")[0] == 2


def test_a_schema_that_breaks_the_promise_of_the_one_before_is_refused(command, made, tmp_path):
    with foldstore.connect(made) as store:
        data = store.dataset("n")
        promised = data.set_schema(data.schema.with_changes(compatibility={"all": "backward"}))
    file = tmp_path / "n.yaml"
    file.write_text(promised.with_changes(max_rows=9).to_yaml())
    code, _, err = command("schema", "set", "n", file, "-s", made)
    assert code == 2
    assert "not backward compatible for all: major: max_rows" in err
    file.write_text(promised.with_column("n", doc="a number").to_yaml())
    assert command("schema", "set", "n", file, "-s", made)[0] == 0
