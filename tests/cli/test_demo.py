"""The demo from end to end, read as a machine reads it."""

import json

import pytest

import foldstore
from foldstore.cli.app import run


@pytest.fixture(scope="module")
def told(tmp_path_factory):
    """Run the demo once; return the folder and its account."""
    import contextlib
    import io

    folder = tmp_path_factory.mktemp("demo") / "flights_store"
    out = io.StringIO()
    with contextlib.redirect_stdout(out):
        assert run(["demo", str(folder), "--json"]) == 0
    return folder, json.loads(out.getvalue())


def _step(told, name):
    return next(step for step in told[1]["steps"] if step["step"] == name)


def test_twelve_months_weather_and_planes_become_versions(told):
    versions = _step(told, "commit")["versions"]
    assert [v["address"] for v in versions] == [*(f"flights@{n}" for n in range(1, 13)), "weather@1", "planes@1"]
    assert versions[11]["rows"] == 336_776
    assert all(v["bytes_added"] > 0 for v in versions)


def test_january_suggests_a_schema_that_february_meets_once_its_storms_are_accepted(told):
    judged = _step(told, "judge")
    assert {code.partition(":")[0] for code in judged["first_look"]} == {"null_fraction_high", "missingness_drift"}
    assert judged["second_look"]["passed"]


def test_a_damaged_february_is_quarantined_with_every_fault_named(told):
    damaged = _step(told, "judge")["damaged"]
    assert damaged["status"] == "quarantined"
    assert set(damaged["faults"]) <= {anomaly.partition(":")[0] for anomaly in damaged["anomalies"]}
    assert damaged["latest_before"] == damaged["latest_after"] == "trial@1"
    assert _step(told, "judge")["latest"] == "trial@3"


def test_sql_over_versions_gives_the_true_numbers(told, sample):
    import polars as pl

    flights = pl.read_parquet(sample / "flights" / "*.parquet")
    mean = dict(flights.group_by("origin").agg(pl.col("arr_delay").mean().round(1)).iter_rows())
    january = dict(flights.filter(pl.col("month") == 1).group_by("origin").len().iter_rows())
    for row in _step(told, "ask")["rows"]:
        assert row["mean_delay"] == mean[row["origin"]]
        assert row["in_january"] == january[row["origin"]]
    assert _step(told, "ask")["command_output"] == "all_year,january\n336776,27004\n"


def test_each_step_tells_its_time_and_memory(told):
    for step in told[1]["steps"]:
        assert step["seconds"] >= 0
        assert step["peak_memory_mb"] > 0


def test_the_store_that_it_leaves_is_whole(told):
    with foldstore.connect(told[0], create=False) as store:
        assert store.verify().passed
        quarantined = store.version("trial@2")
        assert str(quarantined.status) == "quarantined"
        assert not quarantined.report.passed
        assert store.sql("SELECT count(*) FROM trial").rows() == [(27_004 + 24_951,)]


def test_it_replaces_its_own_store_and_nothing_else(told, tmp_path, capsys):
    assert run(["demo", str(told[0])]) == 2
    assert "--replace" in capsys.readouterr().err
    (tmp_path / "mine.txt").write_text("keep me")
    assert run(["demo", str(tmp_path), "--replace"]) == 3
    assert (tmp_path / "mine.txt").read_text() == "keep me"
    with foldstore.connect(tmp_path / "other") as store:
        store.create_dataset("precious").append({"n": [1]})
    assert run(["demo", str(tmp_path / "other"), "--replace"]) == 3
    with foldstore.connect(tmp_path / "other", create=False) as store:
        assert store.dataset("precious").latest.num_rows == 1
