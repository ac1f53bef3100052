"""validate and report in every form, their files, and their exit codes."""

import json
import re
import xml.etree.ElementTree as ET

import pytest

import foldstore
from foldstore.cli.app import run
from foldstore.validation.column_domains import NumericDomain

FORMS = ("table", "json", "jsonl", "junit", "sarif", "github", "html")


@pytest.fixture
def command(capsys):
    def call(*arguments):
        code = run([str(argument) for argument in arguments])
        said = capsys.readouterr()
        return code, said.out, said.err

    return call


@pytest.fixture
def made(folder, tmp_path):
    """A store whose schema wants ids from 1 to 3; beside it good, new-fangled and bad rows."""
    with foldstore.connect(folder, author="tester") as store:
        trips = store.create_dataset("trips", key=["id"])
        first = trips.append({"id": [1, 2, 3], "km": [1.0, 2.0, 3.0]})
        schema = first.profile().infer_schema()
        domain = NumericDomain(min=0)
        trips.set_schema(schema.with_column("km", domain=domain))
    (tmp_path / "good.csv").write_text("id,km\n4,1.5\n")
    (tmp_path / "more.csv").write_text("id,km,<b>\n4,1.5,x\n")
    (tmp_path / "bad.csv").write_text("id,km\n4,-1.5\n")
    return folder


def test_the_exit_code_is_the_verdict(command, made, tmp_path):
    def judge(name, *more):
        return command("validate", "trips", "--data", tmp_path / name, "-s", made, *more)[0]

    assert judge("good.csv") == 0
    assert judge("bad.csv") == 1
    assert judge("bad.csv", "--exit-zero") == 0
    assert judge("more.csv") == 0
    assert judge("more.csv", "--fail-on", "warn") == 1
    assert judge("more.csv", "--fail-on", "warn", "--exit-zero") == 0
    assert judge("good.csv", "--fail-on", "warn") == 0
    assert judge("good.csv", "--fail-on", "never") == 2
    assert judge("none.csv") == 3
    assert command("validate", "nothing", "-s", made)[0] == 2
    assert command("validate", "trips", "-s", tmp_path / "elsewhere")[0] == 3


@pytest.mark.parametrize("form", FORMS)
def test_stdout_and_file_hold_the_same_form(command, made, tmp_path, form):
    bad, file = tmp_path / "bad.csv", tmp_path / "out"
    code, out, err = command("validate", "trips", "--data", bad, "-s", made, "-o", form)
    assert code == 1
    assert err == ""
    code, silent, talk = command("validate", "trips", "--data", bad, "-s", made, "-o", form, "--to", file)
    assert (code, silent) == (1, "")
    assert "failed (1 error, 1 info)" in talk

    def timeless(text):
        return re.sub(r"\d{4}-\d\d-\d\dT[\d:.]+Z", "T", text).strip()

    assert timeless(file.read_text()) == timeless(out)


def test_the_ending_of_a_file_tells_its_form(command, made, tmp_path):
    bad = tmp_path / "bad.csv"
    for name in ("r.html", "r.json", "r.jsonl", "r.xml", "r.sarif", "r.TXT"):
        assert command("validate", "trips", "--data", bad, "-s", made, "--to", tmp_path / name)[0] == 1
    assert (tmp_path / "r.html").read_text().startswith("<!DOCTYPE html>")
    assert json.loads((tmp_path / "r.json").read_text())["passed"] is False
    assert ET.parse(tmp_path / "r.xml").getroot().get("failures") == "1"  # noqa: S314  (our own file)
    results = json.loads((tmp_path / "r.sarif").read_text())["runs"][0]["results"]
    assert results[0]["locations"][0]["physicalLocation"]["artifactLocation"]["uri"].endswith("bad.csv")
    assert "failed (1 error, 1 info)" in (tmp_path / "r.TXT").read_text()
    code, _, err = command("validate", "trips", "--data", bad, "-s", made, "--to", tmp_path / "r.pdf")
    assert code == 2
    assert ".sarif" in err
    assert not (tmp_path / "r.pdf").exists()


def test_a_file_that_cannot_be_written_could_not_be_decided(command, made, tmp_path):
    bad = tmp_path / "bad.csv"
    code, _, err = command("validate", "trips", "--data", bad, "-s", made, "--to", tmp_path / "no" / "r.html")
    assert code == 3
    assert "cannot be written" in err


def test_nothing_changes_by_itself_on_a_ci_runner(command, made, tmp_path, monkeypatch):
    bad = tmp_path / "bad.csv"
    before = command("validate", "trips", "--data", bad, "-s", made)
    monkeypatch.setenv("GITHUB_ACTIONS", "true")
    assert command("validate", "trips", "--data", bad, "-s", made) == before
    _, out, _ = command("validate", "trips", "--data", bad, "-s", made, "-o", "github")
    assert [line.partition(" ")[0] for line in out.splitlines()] == ["::error", "::notice"]


def test_report_prints_and_draws_the_history(command, made, tmp_path):
    code, out, err = command("report", "trips", "-s", made)
    assert (code, err) == (0, "")
    assert out.startswith("trips: 2 columns over 1 version\n")
    page = tmp_path / "trips.html"
    code, out, err = command("report", "trips", "-s", made, "--to", page, "-c", "km", "--all")
    assert (code, out) == (0, "")
    assert "ProfileHistory(trips: 1 columns, 1 versions): written to" in err
    assert "Quantiles of km over versions" in page.read_text()
    assert json.loads(command("report", "trips", "-s", made, "-o", "json")[1])["subject"] == "trips"
    assert len(command("report", "trips", "-s", made, "-o", "jsonl")[1].splitlines()) == 3
    assert command("report", "trips", "-s", made, "-c", "mk")[0] == 2
    assert command("report", "tripz", "-s", made)[0] == 2
    assert command("report", "trips", "-s", made, "--last", "0")[0] == 2
    assert command("report", "trips", "-s", made, "--to", tmp_path / "r.xml")[0] == 2


def test_annotations_of_a_report_without_anomalies_are_nothing(command, made):
    assert command("validate", "trips", "-s", made, "-o", "github", "--exit-zero")[1].count("::error") == 0
