"""The verbs that lay features out for lookups, as a person types them."""

import io
import json
import sys

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from foldstore.cli.app import run
from tests.features.online import DAY, columns, ride, serve_rides


@pytest.fixture
def command(capsys, monkeypatch):
    monkeypatch.setattr(sys, "stdin", io.StringIO())

    def call(*arguments):
        code = run([str(argument) for argument in arguments])
        said = capsys.readouterr()
        return code, said.out, said.err

    return call


@pytest.fixture
def served(folder):
    with serve_rides(folder, [ride(1, 0, 10), ride(2, 5, 25)]) as store:
        store.dataset("rides").append(columns([ride(2, 7, 27)]))
    return folder


def test_features_are_materialized_pushed_and_listed(served, command, tmp_path):
    code, _, err = command("features", "materialize", "model", "--store", str(served))
    assert (code, err.strip()) == (0, "Materialized model@1.")
    rows = {"driver": pa.array([1]), "ts": pa.array([DAY[9]]), "trips": pa.array([19]), "city": pa.array(["Bern"])}
    pq.write_table(pa.table(rows), tmp_path / "new.parquet")
    code, _, err = command("features", "push", "stats", str(tmp_path / "new.parquet"), "--store", str(served))
    assert (code, err.strip()) == (0, "Pushed 1 rows of stats to model@1.")
    code, out, _ = command("features", "status", "--store", str(served), "--output", "json")
    (only,) = json.loads(out)
    assert code == 0
    assert (only["service"], only["watermark"], only["changes"], only["pushed"]) == ("model@1", "rides@2", 1, 1)
    code, _, err = command("materialize", "model", "--full", "--store", str(served))
    assert (code, err.strip()) == (0, "Materialized model@1.")


def test_what_cannot_be_pushed_is_said(served, command, tmp_path):
    code, _, err = command("features", "push", "stats", str(tmp_path / "none.parquet"), "--store", str(served))
    assert code == 2
    assert "There is no file" in err
