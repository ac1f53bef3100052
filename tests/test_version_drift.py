"""Drift, concept drift and trends by the handles of versions and datasets."""

from datetime import UTC, datetime, timedelta

import numpy as np
import pyarrow as pa
import pytest

import foldstore
from foldstore.errors import ColumnNotFoundError, UsageError
from foldstore.validation.check import drift_between
from foldstore.validation.column_bounds import DriftPolicy
from foldstore.validation.subject import TableSubject


@pytest.fixture
def store(tmp_path):
    with foldstore.connect(tmp_path / "store") as opened:
        yield opened


def normal(seed, n=2_000, mean=0.0):
    return {"x": np.random.default_rng(seed).normal(mean, size=n), "one": [1] * n}


@pytest.fixture
def months(store):
    dataset = store.create_dataset("months")
    for number, mean in enumerate((0.0, 1.0, 2.0, 0.0)):
        dataset.append(normal(number, mean=mean))
    return dataset


def test_a_rolling_reference_is_the_rows_of_the_window_together(months):
    newest = months.latest
    window = pa.concat_tables(months.version(number).to_arrow().slice((number - 1) * 2_000) for number in (2, 3))
    expected = drift_between(
        TableSubject(window, "window"), TableSubject(newest.to_arrow().slice(6_000), "added")
    ).columns["x"]
    found = newest.drift("rolling(2)").columns["x"]
    assert found.effect == pytest.approx(expected.effect, abs=1e-12)
    assert found.n_reference == 4_000
    assert found.n_current == 2_000


def test_seasonal_and_previous_references_are_single_versions(months):
    newest = months.latest
    assert newest.drift("seasonal(3)").columns["x"].verdict.value == "stable"
    assert newest.drift("previous").columns["x"].verdict.value == "error"
    assert newest.drift("previous").columns["x"].n_reference == 2_000


def test_quarantined_versions_are_no_reference(store):
    dataset = store.create_dataset("gated")
    dataset.append(normal(1))
    dataset.set_schema(dataset.latest.profile().infer_schema())
    dataset.append({"x": np.full(2_000, 9.0), "one": [2] * 2_000})
    assert str(dataset.version(2).status) == "quarantined"
    third = dataset.append(normal(3))
    assert third.drift("previous").columns["x"].verdict.value == "stable"
    assert third.address == "gated@3"


def test_what_was_not_compared_is_said(months):
    assert months.latest.drift("previous").untested == {"one": "all rows of both sides are the same"}


@pytest.mark.parametrize(
    ("reference", "said"),
    [
        ("rolling(9)", "There are 3 published versions with rows before it, not 9"),
        ("rolling(0)", "is no reference"),
        ("yesterday", "is no reference"),
        (3, "'int' is no rows to compare with"),
        (None, "'NoneType' is no rows"),
    ],
)
def test_what_is_no_reference_is_refused_in_words(months, reference, said):
    with pytest.raises(UsageError, match=said.replace("(", r"\(").replace(")", r"\)")):
        months.latest.drift(reference)


def test_views_and_parts_are_references(months):
    newest = months.latest
    low = months.version(1).view().where("x < 0")
    assert newest.drift(low).columns["x"].verdict.value == "error"
    split = months.version(1).split("half", key=["x"], test=0.5)
    assert months.version(1).drift(split.test).columns["x"].verdict.value == "stable"
    with pytest.raises(UsageError, match="no end"):
        newest.drift(months.version(1).view().shuffle(seed=1).repeat())


def test_limits_metric_and_adjustment_are_the_callers(months):
    wasserstein = months.latest.drift("previous", policy=DriftPolicy(metric="wasserstein", tau_warn=0.5, tau_error=1.0))
    column = wasserstein.columns["x"]
    assert column.metric == "wasserstein"
    assert column.effect == pytest.approx(1.4, abs=0.2)  # what moved beyond the outermost edges does not count
    assert column.verdict.value == "error"
    holm = months.latest.drift("previous", adjustment="holm").columns["x"]
    assert holm.p_adjusted >= holm.p_value


def test_concept_drift_tells_the_label_from_the_feature(store):
    generator = np.random.default_rng(5)
    dataset = store.create_dataset("trips")

    def rows(rain, chance_wet):
        wet = generator.random(4_000) < rain
        late = generator.random(4_000) < np.where(wet, chance_wet, 0.1)
        return {"wet": wet, "late": late, "noise": generator.integers(0, 5, 4_000)}

    dataset.append(rows(0.3, 0.5))
    dataset.append(rows(0.6, 0.5))
    dataset.append(rows(0.3, 0.8))
    more_rain = dataset.version(2).concept_drift("previous", "late", ["wet"]).features["wet"]
    assert more_rain.verdict.value == "stable"
    assert more_rain.covariate_part > 10 * more_rain.concept_part
    later = dataset.version(3).concept_drift("seasonal(2)", "late")
    assert later.drifted[0] == "wet"
    assert later.features["wet"].worst[0].cell == "True"
    with pytest.raises(ColumnNotFoundError, match="lat"):
        dataset.latest.concept_drift("previous", "lat")
    with pytest.raises(UsageError, match="no distribution"):
        store.dataset("trips").latest.concept_drift(
            store.create_dataset("c").append({"wet": [True] * 9, "late": [True, False, True] * 3, "noise": [1] * 9}),
            "late",
            ["noise"],
        )


def test_trends_over_versions_are_dated_to_the_row(store):
    generator = np.random.default_rng(6)
    dataset = store.create_dataset("daily")
    for day in range(14):
        values = generator.normal(size=300)
        values[(150 if day == 10 else 0 if day > 10 else 300) :] += 4
        dataset.append({"x": values, "y": generator.normal(size=300), "s": [None if day > 11 else "a"] * 300})
    trends = dataset.trends()
    (change,) = trends.of("x").changes
    assert change.at == "daily@11"
    assert abs(change.row - 150) <= 3
    assert trends.of("y").changes == ()
    assert [change.at for change in trends.of("s", "null_fraction").changes] == ["daily@13"]
    assert set(trends.changed) == {"s", "x"}
    assert len(dataset.trends(last=3).of("x").values) == 3
    with pytest.raises(UsageError, match="last=0"):
        dataset.trends(last=0)
    with pytest.raises(ColumnNotFoundError, match="z"):
        dataset.trends(["z"])


def test_trends_over_time_do_not_depend_on_the_order_of_rows(store):
    hours = np.arange(60 * 24)
    when = [datetime(2026, 1, 1, tzinfo=UTC) + timedelta(hours=int(each)) for each in hours]
    price = np.where(hours < 1_001, 5.0, 7.0) + np.random.default_rng(1).normal(0, 0.1, len(hours))
    order = np.random.default_rng(2).permutation(len(hours))
    table = pa.table({"ts": when, "price": price, "sold": [None if each > 1_200 else 1 for each in hours]})
    dataset = store.create_dataset("prices", event_time="ts")
    version = dataset.append(table.take(pa.array(order)))
    (change,) = version.trends("1d", ["price"]).of("price").changes
    assert change.time == "2026-02-11T17:00:00Z"
    assert version.to_arrow()["ts"][change.row].as_py() == datetime(2026, 2, 11, 17, tzinfo=UTC)
    gone = version.trends("1d").of("sold", "null_fraction").changes
    assert gone[0].at == "2026-02-20T00:00:00Z"
    with pytest.raises(UsageError, match="not a time"):
        version.trends("1d", time="price")
    with pytest.raises(UsageError, match="1,000,000 windows"):
        version.trends("1ms")
    with pytest.raises(UsageError, match="no event time"):
        store.create_dataset("plain").append({"x": [1]}).trends("1d")


def test_a_season_that_repeats_is_no_change(store):
    days = np.arange(140)
    when = [datetime(2026, 1, 1, tzinfo=UTC) + timedelta(days=int(each)) for each in days]
    generator = np.random.default_rng(9)
    sales = np.where(days % 7 < 5, 10.0, 2.0) + generator.normal(0, 0.3, len(days))
    version = store.create_dataset("sales", event_time="ts").append({"ts": when, "n": sales})
    assert version.trends("1d", season=7).of("n").changes == ()
    moved = np.where(days < 100, sales, sales + 3)
    again = store.create_dataset("moved", event_time="ts").append({"ts": when, "n": moved})
    assert again.trends("1d", season=7).of("n").changes[0].at.startswith("2026-04-11")


def test_a_column_that_begins_to_vary_is_dated_to_the_row(store):
    """As in the electricity market of New South Wales, where another state's prices stand still until row 17,424."""
    random = np.random.default_rng(17)
    rows, opens = 45_312, 17_424
    start = datetime(1996, 5, 7, tzinfo=UTC)
    season = np.sin(np.arange(rows) * 2 * np.pi / 48)
    still = np.where(np.arange(rows) < opens, 0.003467, 0.0035 + 0.001 * random.random(rows))
    own = 0.4 + 0.1 * season + 0.03 * random.normal(size=rows)
    times = [start + timedelta(minutes=30 * n) for n in range(rows)]
    market = store.create_dataset("market", event_time="ts").append({"ts": times, "other": still, "own": own})
    trends = market.trends("7d", ["other", "own"])
    (change,) = trends.of("other").changes[:1]
    assert change.row == opens
    assert not trends.of("own").changes
