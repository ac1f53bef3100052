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


def test_parts_are_made_for_good_and_no_aircraft_is_torn_apart(told):
    split = _step(told, "split")
    assert split["parts"]["#by_month.test"] == 54_065
    assert sum(rows for part, rows in split["parts"].items() if part.startswith("#by_month")) == 327_346
    assert split["torn_groups"] == 0


def test_sealed_cells_are_null_in_every_version(told):
    sealed = _step(told, "seal")
    assert (sealed["labels"], sealed["hoeffding"]) == (31_854, 338_088)
    assert (sealed["visible_labels"], sealed["visible_delays"], sealed["visible_before"]) == (0, 0, 0)
    assert set(sealed["hidden"]) == {"late", "arr_delay", "arr_time", "air_time", "dep_delay", "dep_time"}
    with foldstore.connect(told[0], create=False) as store:
        for number in (12, 13):
            query = f'SELECT count(air_time) FROM "flights@{number}" WHERE month = 12 AND day = 24'
            assert store.sql(query).rows() == [(0,)]
        assert store.sql('SELECT count(air_time) FROM "flights@13" WHERE month = 10').rows()[0][0] > 28_000


def test_no_delay_of_the_test_part_lies_in_an_ordinary_file(told):
    import pyarrow as pa

    for path in (told[0] / "objects").rglob("*.arrow"):
        table = pa.ipc.open_file(pa.memory_map(str(path))).read_all()
        if "arr_delay" in table.column_names and "month" in table.column_names:
            late_year = table.filter(pa.compute.greater_equal(table["month"], 11))
            for batch in late_year.to_batches():
                values = batch.column("arr_delay").fill_null(0)
                assert not values.to_numpy().any()


def test_a_better_model_passes_a_worse_one_fails_and_a_spent_pool_refuses(told):
    step = _step(told, "evaluate")
    assert [answer["answer"] for answer in step["answers"]] == ["pass", "pass", "fail", "pass", "pass"]
    assert [answer["charged"] for answer in step["answers"]] == ["yes", "free", "yes", "yes", "yes"]
    assert step["refused"] == "pool-spent"
    assert run(["pool", "status", "late-2013", "--store", str(told[0])]) == 0


def test_a_spent_pool_exits_with_4(told, tmp_path, capsys):
    predictions = tmp_path / "p.parquet"
    with foldstore.connect(told[0], create=False) as store:
        import pyarrow as pa
        import pyarrow.parquet as pq

        rows = store.pools.get("late-2013").features()
        assert set(rows.column_names) & {"late", "arr_delay", "dep_delay"} == set()
        table = pa.table({"pool_row": rows["pool_row"], "prediction": pa.array([True] * rows.num_rows)})
        pq.write_table(table, predictions)
    assert run(["pool", "evaluate", "late-2013", str(predictions), "--store", str(told[0])]) == 4
    assert "error[pool-spent]" in capsys.readouterr().err


def test_law_4_lookups_equal_the_training_join_bit_for_bit(told):
    step = _step(told, "serve")
    assert step["equal"] == step["looked_up"] == 200
    assert step["median_ms"] > 0


def test_what_was_served_is_computed_again(told):
    step = _step(told, "audit")
    assert step["equal"] is True
    assert step["rows"] == step["audited"] == 1_200


def test_a_training_set_names_every_version_that_it_was_made_of(told):
    assert _step(told, "features")["inputs"] == ["flights@13", "weather@1"]
    with foldstore.connect(told[0], create=False) as store:
        training = store.training_set("arrival_training")
        assert training.inputs.labels == "flights@13#by_month"
        assert [training.train.num_rows, training.test.num_rows] == [244_646, 54_065]
        assert training.test.to_arrow(["late"])["late"].null_count == 54_065


def test_features_never_look_ahead(told):
    """Recompute the trailing mean by hand, from flights that had landed, for some departures of October."""
    import numpy as np
    import pyarrow.parquet as pq

    from foldstore.sample_data import months

    october = pq.read_table(months()[9])
    ticks = october["time_hour"].cast("int64").to_numpy() // 60_000_000 + october["minute"].to_numpy()
    spent = [october[name].cast("float64").to_numpy() for name in ("dep_delay", "air_time", "arr_delay")]
    landed = ticks + spent[0] + spent[1] + 20
    carrier = np.array(october["carrier"].to_pylist())
    with foldstore.connect(told[0], create=False) as store:
        rows = (
            store.view("arrival_training")
            .where("month = 10 AND day = 20 AND minute > 0 AND carrier = 'UA'")
            .to_polars()
        )
    assert len(rows) > 50
    checked = 0
    for row in rows.iter_rows(named=True):
        asked = int(row["time_hour"].timestamp()) // 60
        known = spent[2][(carrier == "UA") & (landed <= asked) & (landed > asked - 180)]
        known = known[~np.isnan(known)]
        if len(known) >= 5:
            assert row["carrier_landed_3h"] == len(known)
            assert row["carrier_delay_3h"] == pytest.approx(known.mean(), rel=1e-12)
            checked += 1
    assert checked > 30
