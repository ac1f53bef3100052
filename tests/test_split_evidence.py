"""What is found in the data before a split is suggested, against scipy and loops."""

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from foldstore.split_evidence import EntityEvidence, _Sample, gather_evidence


@pytest.fixture
def version(store):
    rng = np.random.default_rng(4)
    user = rng.integers(0, 150, 4_000)
    columns = {
        "id": np.arange(4_000),
        "user": [f"u{each}" for each in user],
        "late": rng.random(4_000) < np.linspace(0.1, 0.5, 150)[user],
        "t": pa.array(np.arange(4_000) * 60, pa.timestamp("s", "UTC")),
        "x": rng.integers(0, 3_000, 4_000),
    }
    return store.create_dataset("d", key=["id"], event_time="t").append(pa.table(columns))


def test_the_dispersion_of_an_entity_is_chi_squared_by_its_degrees_of_freedom(version):
    (user,) = gather_evidence(version, "late").entities
    rows = version.to_arrow()
    names, codes = np.unique(rows["user"].to_pylist(), return_inverse=True)
    late = rows["late"].to_numpy()
    table = np.array([np.bincount(codes[late], minlength=len(names)), np.bincount(codes[~late], minlength=len(names))])
    expected = stats.chi2_contingency(table, correction=False)
    assert user.dispersion == pytest.approx(expected.statistic / expected.dof)
    assert (user.name, user.values, user.rows) == ("user", len(names), 4_000)
    assert user.largest_rows == np.bincount(codes).max()
    assert user.decides


def test_chance_alone_rarely_makes_an_entity_decide():
    rng = np.random.default_rng(1)
    decided = 0
    for _ in range(400):
        dispersion = rng.chisquare(299) / 299
        each = EntityEvidence(name="e", values=300, rows=9_000, largest="", largest_rows=30, dispersion=dispersion)
        decided += each.decides
    assert decided <= 2


def test_the_share_of_repeated_rows_leaves_the_key_and_the_label_out(store):
    columns = {"id": [1, 2, 3, 4, 5], "x": [1, 1, 1, 2, 3], "y": [1, 1, 2, 2, 2], "late": [0, 1, 0, 1, 0]}
    evidence = gather_evidence(store.create_dataset("d", key=["id"]).append(columns), "late")
    assert evidence.features == ("x", "y")
    assert evidence.repeated == pytest.approx(2 / 5)
    assert gather_evidence(store.dataset("d").latest, None).repeated == 0


def test_the_label_of_twenty_runs_of_time_is_that_of_a_loop(version):
    time = gather_evidence(version, "late").time
    late = version.to_arrow(["late"])["late"].to_numpy()
    assert time.rates == pytest.approx([late[start : start + 200].mean() for start in range(0, 4_000, 200)], abs=0.02)
    assert (time.first, time.last) == (0, 3_999 * 60 * 10**9)
    assert time.quantiles == pytest.approx((2_800 * 60 * 10**9, 3_400 * 60 * 10**9), rel=0.01)


@given(st.lists(st.lists(st.tuples(st.integers(0, 40), st.booleans()), max_size=30), max_size=5))
@settings(max_examples=40)
def test_a_sample_of_few_contents_counts_them_all(batches):
    sample = _Sample()
    for batch in batches:
        sample.add(np.array([each for each, _ in batch], np.uint64), np.array([hit for _, hit in batch], np.bool_))
    rows = [each for batch in batches for each in batch]
    names = sorted({each for each, _ in rows})
    assert sample.rows.tolist() == [sum(each == name for each, _ in rows) for name in names]
    assert sample.hits.tolist() == [sum(hit for each, hit in rows if each == name) for name in names]


def test_a_sample_of_many_contents_stays_small_and_keeps_every_row_of_those_it_keeps():
    rng = np.random.default_rng(0)
    hashes = rng.integers(0, 2**64, 1_200_000, dtype=np.uint64, endpoint=False)
    sample = _Sample()
    for piece in np.array_split(np.concatenate([hashes, hashes[:600_000]]), 9):
        sample.add(piece, np.zeros(len(piece), np.bool_))
    assert 100_000 < len(sample.rows) <= 1 << 19
    assert set(sample.rows.tolist()) == {1, 2}
    assert (sample.rows == 2).mean() == pytest.approx(0.5, abs=0.01)


def test_dates_are_times_and_other_columns_are_not_taken_for_them(store):
    days = pa.array(np.arange(300), pa.int32()).cast(pa.date32())
    columns = {"id": np.arange(300), "day": days, "late": np.arange(300) % 2 == 0}
    evidence = gather_evidence(store.create_dataset("d", key=["id"]).append(pa.table(columns)), "late")
    assert (evidence.time.name, evidence.has_event_time) == ("day", False)
    assert evidence.time.last == 299 * 86_400 * 10**9
    plain = store.create_dataset("plain", key=["id"]).append({"id": [1, 2], "x": [1.5, 2.5]})
    assert gather_evidence(plain, None).time is None
