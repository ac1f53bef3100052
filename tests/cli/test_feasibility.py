"""`foldstore feasibility`: its verdict is its exit code."""

import json

import numpy as np
import pyarrow as pa
import pytest
from typer.testing import CliRunner

import foldstore
from foldstore.cli.app import app


@pytest.fixture
def store(folder):
    draw = np.random.default_rng(1)
    side = draw.random(9_000) < 0.5
    with foldstore.connect(folder) as store:
        store.create_dataset("sides").append(
            pa.table({"x": draw.normal(size=9_000) + 2 * side, "score": np.where(side, 10, 1)})
        )
    return folder


def run(store, *arguments):
    command = ["feasibility", "sides", "--store", str(store), "--label", "side=score > 5", "--leave-out", "score"]
    return CliRunner().invoke(app, [*command, *arguments])


@pytest.mark.parametrize(
    ("target", "code", "word"), [(0.3, 0, "REALISTIC"), (0.02, 1, "INFEASIBLE"), (0.16, 3, "INCONCLUSIVE")]
)
def test_the_verdict_is_the_exit_code(store, target, code, word):
    found = run(store, "--target-error", str(target))
    assert (found.exit_code, found.stdout.partition(":")[0]) == (code, word)


def test_json_and_a_page_say_the_same(store, tmp_path):
    page = tmp_path / "study.html"
    found = run(store, "--target-error", "0.3", "--output", "json", "--html", str(page))
    assert json.loads(found.stdout)["verdict"] == "realistic"
    assert "<svg" in page.read_text(encoding="utf-8")
    assert "<script" not in page.read_text(encoding="utf-8")
