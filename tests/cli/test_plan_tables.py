"""`foldstore pool plan --table`, `--plot`, `--vary`: what is printed, what is drawn, what is refused."""

import csv
import io
import json

import pytest

from foldstore.cli.app import run

CONDITION = "n > 0.8 +/- 0.05"


@pytest.fixture
def plan(capsys):
    def call(*arguments):
        code = run(["pool", "plan", *map(str, arguments)])
        said = capsys.readouterr()
        return code, said.out, said.err

    return call


def test_a_table_has_the_plan_and_what_lies_beside_it(plan):
    code, out, _ = plan(CONDITION, "--table")
    assert code == 0
    (base,) = [line for line in out.splitlines() if line.endswith("*")]
    assert base.split() == ["0.05", "32", "full", "0.999", "2,604", "5,818", "5,818", "*"]
    assert len(out.splitlines()) == 13


def test_named_axes_are_the_only_ones_and_cross_combines_them(plan):
    varied = ("--vary", "steps=1,8", "--vary", "tolerance=0.1", "--steps", 8, "-o")
    lines = list(csv.DictReader(io.StringIO(plan(CONDITION, *varied, "csv")[1])))
    assert [(line["tolerance"], line["steps"]) for line in lines] == [("0.05", "1"), ("0.05", "8"), ("0.1", "8")]
    crossed = [json.loads(line) for line in plan(CONDITION, *varied, "jsonl", "--cross")[1].splitlines()]
    assert [(line["tolerance"], line["steps"]) for line in crossed] == [(0.05, 1), (0.05, 8), (0.1, 1), (0.1, 8)]
    assert crossed[1]["exact"] == 1_001
    whole = json.loads(plan(CONDITION, *varied, "json")[1])
    assert (whole["varied"], len(whole["rows"])) == (["tolerance", "steps"], 3)


@pytest.mark.parametrize(("name", "start"), [("plans.svg", "<svg"), ("plans.html", "<!DOCTYPE html>")])
def test_plots_go_to_a_file(plan, tmp_path, name, start):
    code, out, err = plan(CONDITION, "--vary", "steps=1,8", "--plot", tmp_path / name)
    assert code == 0
    assert (tmp_path / name).read_text(encoding="utf-8").startswith(start)
    assert name in err
    assert "tolerance" in out


def test_a_script_has_a_table_too(plan, tmp_path):
    script = tmp_path / "ci.yml"
    script.write_text(
        "ml:\n- script: ./t\n- condition: n > 0.8 +/- 0.05\n- reliability: 0.999\n- mode: fp-free\n"
        "- adaptivity: full\n- steps: 32\n",
        encoding="utf-8",
    )
    code, out, _ = plan("--script", script, "--vary", "steps=1")
    assert code == 0
    assert "2,604    5,818      5,818  *" in out


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["--plot", "plans.png"], 2, "neither in .svg nor in .html"),
        (["--plot", "nowhere/plans.svg", "--vary", "steps=1"], 3, "cannot be written"),
        (["--vary", "steps"], 2, "names no values"),
        (["--vary", "stepz=1"], 2, "Did you mean 'steps'"),
        (["--vary", "steps=0"], 2, "number of steps"),
    ],
)
def test_what_cannot_be_is_refused_in_words(plan, arguments, code, said):
    found, out, err = plan(CONDITION, *arguments)
    assert (found, out) == (code, "")
    assert said in err
    assert "hint:" in err
