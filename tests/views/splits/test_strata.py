"""Strata shared out: exactly where rows are single, nearly where groups are whole, also in real data."""

from fractions import Fraction

import numpy as np
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from foldstore.views.splits.fitting import FragmentRows, fit_split
from foldstore.views.splits.fold_fitting import examine_folds
from foldstore.views.splits.folds import FoldSpec
from foldstore.views.splits.split import SplitSpec
from foldstore.views.splits.strata import fill_strata, number_strata, place_in_strata

SHARES = (Fraction(7, 10), Fraction(3, 20), Fraction(3, 20))


def hashes_of(count, seed):
    rng = np.random.default_rng(seed)
    return np.sort(rng.integers(0, 2**64, count, dtype=np.uint64, endpoint=False))


@given(st.lists(st.integers(0, 3), min_size=1, max_size=200), st.integers(0, 50))
def test_single_rows_are_filled_in_as_the_first_format_cuts_them(strata, seed):
    hashes = hashes_of(len(strata), seed)
    components = np.random.default_rng(seed).permutation(len(strata))
    arguments = (components, np.array(strata, np.uint64) << np.uint64(60), hashes, SHARES)
    assert fill_strata(*arguments).tolist() == place_in_strata(*arguments).tolist()


@given(
    st.lists(st.tuples(st.integers(0, 12), st.integers(0, 2)), min_size=1, max_size=60),
    st.integers(0, 400),
    st.sampled_from([SHARES, (Fraction(1, 2), Fraction(0), Fraction(1, 4))]),
)
@settings(max_examples=60)
def test_single_rows_make_up_for_groups(grouped, singles, shares):
    # Groups 0 to 12 of several rows, then rows alone, in strata 0 to 2.
    names, groups = np.unique([group for group, _ in grouped], return_inverse=True)
    components = np.concatenate([groups, len(names) + np.arange(singles)])
    strata = np.concatenate([[stratum for _, stratum in grouped], np.arange(singles) % 3]).astype(np.uint64)
    parts = fill_strata(components, strata, hashes_of(len(names) + singles, 1), shares)[components]
    for stratum in range(3):
        inside = strata == stratum
        alone = inside & (components >= len(names))
        for code, share in enumerate(shares, start=1):
            held = int((parts[inside & ~alone] == code).sum())
            wanted = float(share * int(inside.sum()))
            found = int((parts[inside] == code).sum())
            if (
                held <= wanted
                and all(
                    (parts[inside & ~alone] == other).sum() <= float(each * int(inside.sum()))
                    for other, each in enumerate(shares, start=1)
                )
                and not (sum(shares) < 1 and (parts[inside & ~alone] == 0).any())
            ):
                assert abs(found - wanted) <= 1
        assert (parts[alone] > 0).all() or sum(shares) < 1


def test_strata_are_numbered_by_their_hashes():
    distinct, numbers = number_strata(np.array([9, 3, 9, 5], np.uint64))
    assert (distinct.tolist(), numbers.tolist()) == ([3, 5, 9], [2, 0, 2, 1])


@pytest.fixture(scope="module")
def flights(sample):
    table = pq.read_table(sample / "flights" / "flights_2013-01.parquet")
    table = table.filter(pc.is_valid(table["arr_delay"]))
    return table.append_column("late", pc.greater(table["arr_delay"], 15)).combine_chunks()


def shares_of(parts, values, count):
    """The share of each part in each value."""
    return np.array(
        [[(parts[values == value] == code).mean() for code in range(1, count + 1)] for value in np.unique(values)]
    )


@pytest.mark.parametrize("shares", [(0.7, 0.15, 0.15), (0.9, 0.05, 0.05), (0.98, 0.01, 0.01)])
def test_aircraft_are_kept_whole_and_lateness_comes_out_to_a_thousandth(flights, shares):
    train, validation, test = shares
    key = ["carrier", "flight", "origin", "time_hour"]
    spec = SplitSpec(
        "s", dataset="d", key=key, group_by=["tailnum"], stratify="late", train=train, validation=validation, test=test
    )
    parts = fit_split(spec, [FragmentRows("f", flights)]).parts()
    late = flights["late"].to_numpy(zero_copy_only=False)
    assert np.abs(shares_of(parts, late, 3) - shares).max() < 0.001
    tails = flights["tailnum"].to_pylist()
    assert len(set(zip(tails, parts.tolist(), strict=True))) == len(set(tails))


def test_folds_of_aircraft_have_equal_shares_of_late_flights_from_each_airport(flights):
    key = ["carrier", "flight", "origin", "time_hour"]
    spec = FoldSpec("cv", dataset="d", key=key, group_by=["tailnum"], stratify=["late", "origin"], k=5)
    parts = examine_folds(spec, [FragmentRows("f", flights)])[0].parts()
    values = np.array([f"{a} {b}" for a, b in zip(*(flights[name].to_pylist() for name in spec.strata), strict=True)])
    assert np.abs(shares_of(parts, values, 5) - 0.2).max() < 0.005
