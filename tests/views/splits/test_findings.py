"""What is told when a split is made: wholes larger than a part, strata that are not in each part."""

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from foldstore.errors import UsageError
from foldstore.views.splits.findings import LargestUnit, find_short_strata
from foldstore.views.splits.fitting import FragmentRows, examine_split
from foldstore.views.splits.fold_fitting import examine_folds
from foldstore.views.splits.folds import FoldSpec
from foldstore.views.splits.split import SplitSpec
from foldstore.views.splits.units import unit_hashes


def notes_of(table, **how):
    spec = SplitSpec("s", dataset="d", **({"key": ["id"]} | how))
    return examine_split(spec, [FragmentRows("a", table.slice(0, 7)), FragmentRows("b", table.slice(7))])[1]


def with_ids(**columns):
    return pa.table({"id": range(len(next(iter(columns.values())))), **columns})


def test_a_group_larger_than_a_part_is_named_with_its_rows_and_the_share():
    table = with_ids(tail=["N1"] * 30 + [f"n{n}" for n in range(70)])
    assert notes_of(table, group_by=["tail"], train=0.7, validation=0.2, test=0.1) == (
        "The group tail='N1' has 30 of 100 rows (30.0%), more than the share of validation, test (10.0%): the parts "
        "cannot have their shares.",
    )
    assert notes_of(table, group_by=["tail"], train=0.4, test=0.6) == ()


def test_two_groups_that_are_too_large_are_told_by_the_larger():
    table = with_ids(tail=["N1"] * 30 + ["N2"] * 25 + [f"n{n}" for n in range(45)])
    (note,) = notes_of(table, group_by=["tail"], stratify="tail", train=0.8, test=0.2)[:1]
    assert "tail='N1' has 30 of 100" in note
    assert "One more is as large" in note


def test_a_group_larger_than_a_fold_is_told():
    table = with_ids(tail=["N1"] * 30 + [f"n{n}" for n in range(70)])
    spec = FoldSpec("cv", dataset="d", key=["id"], group_by=["tail"], k=5)
    _, notes = examine_folds(spec, [FragmentRows("a", table)])
    assert notes == (
        "The group tail='N1' has 30 of 100 rows (30.0%), more than the share of each of 5 folds (20.0%): the parts "
        "cannot have their shares.",
    )


@given(st.lists(st.integers(0, 30), min_size=1, max_size=150), st.sampled_from([0.1, 0.3, 0.5]))
@settings(max_examples=60)
def test_the_largest_group_is_found_through_buckets_of_hashes(groups, share):
    table = pa.table({"g": groups})
    spec = SplitSpec("s", dataset="d", group_by=["g"], train=1 - share, test=share)
    counter = LargestUnit.begin(spec, len(groups))
    assert counter is not None
    counter.count(unit_hashes(spec, table))
    found = counter.find(spec, [table.slice(0, 5), table.slice(5)])
    sizes = np.bincount(groups)
    if sizes.max() > min(share, 1 - share) * len(groups):
        assert found is not None
        assert found[0] == sizes.max()
        assert sizes[groups[found[1]]] == sizes.max()
        assert found[2] == (sizes > min(share, 1 - share) * len(groups)).sum()
    else:
        assert found is None


def test_a_stratum_of_one_row_is_named():
    table = with_ids(dest=["ORD"] * 60 + ["LAX"] * 39 + ["LEX"])
    (note,) = notes_of(table, stratify="dest")
    assert note.startswith("1 stratum is not in each part: dest='LEX' (1 row, none in ")
    assert note.endswith("Join rare values to one, or leave them out.")
    assert notes_of(table.slice(0, 99), stratify="dest") == ()


def test_strata_of_several_columns_are_named_with_both_values():
    table = with_ids(a=["x"] * 50 + ["y"] * 50, b=[True] * 99 + [False])
    (note,) = notes_of(table, stratify=["a", "b"], train=0.5, test=0.5)
    assert "a='y', b='False' (1 row, none in " in note


@given(
    st.lists(st.tuples(st.sampled_from("abc"), st.none() | st.booleans(), st.integers(0, 3)), min_size=1, max_size=40),
    st.sampled_from([(0.5, 0.25, 0.25), (0.8, 0, 0.2)]),
)
def test_strata_that_are_not_in_each_part_are_those_of_a_loop(rows, shares):
    first, second, parts = (list(column) for column in zip(*rows, strict=True))
    train, validation, test = shares
    spec = SplitSpec("s", dataset="d", key=["id"], stratify=["a", "b"], train=train, validation=validation, test=test)
    table = pa.table({"a": pa.array(first).dictionary_encode(), "b": pa.array(second, pa.bool_())})
    found = find_short_strata(spec, [table.slice(0, 3), table.slice(3)], np.array(parts, dtype=np.uint8))
    wanted = {1: "train", 3: "test"} | ({2: "validation"} if validation else {})
    expected = {}
    for stratum in set(zip(first, second, strict=True)):
        inside = [part for a, b, part in rows if (a, b) == stratum]
        missing = tuple(wanted[code] for code in sorted(wanted) if code not in inside)
        if missing:
            expected[tuple(map(str, stratum))] = (len(inside), missing)
    assert {each.values: (each.rows, each.missing) for each in found} == expected
    assert [each.rows for each in found] == sorted((each.rows for each in found), reverse=True)


def test_numbers_as_they_are_make_no_strata():
    table = with_ids(delay=[n % 493 / 7 for n in range(500)], hour=[n % 24 for n in range(500)])
    with pytest.raises(UsageError, match="'delay', has 493 values, and they are numbers") as error:
        notes_of(table, stratify="delay")
    assert "add_columns({'delay_bin': 'floor(delay / 15)'})" in (error.value.hint or "")
    assert notes_of(table, stratify="hour", train=0.5, test=0.5) == ()


def test_too_many_strata_are_refused():
    table = with_ids(a=[f"a{n}" for n in range(10_001)])
    with pytest.raises(UsageError, match="10,001 values"):
        notes_of(table, stratify="a")
