"""Law 3 for rows that hang together by several things: no key that ties rows is ever in two parts."""

from itertools import pairwise

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from foldstore.errors import UsageError
from foldstore.views.splits.assignment import SplitAssignment
from foldstore.views.splits.fitting import FragmentRows, OldRows, examine_split, extend_split, fit_split
from foldstore.views.splits.split import SplitSpec
from foldstore.views.splits.tokens import read_tokens

SHARES = {"train": 0.5, "validation": 0.2, "test": 0.3}
KINDS = {
    "two lists": {"group_by": [["patient"], ["device", "site"]]},
    "two lists and duplicates": {"group_by": [["patient"], ["device", "site"]], "duplicates": ["text"]},
    "two lists in strata": {"group_by": [["patient"], ["device", "site"]], "stratify": "late"},
    "near": {"near_duplicates": ["text"], "similarity": 0.65},
    "near in strata": {"near_duplicates": ["text"], "similarity": 0.65, "stratify": ["late", "site"]},
    "near and groups": {"near_duplicates": ["text"], "similarity": 0.65, "group_by": ["patient"]},
    "near, lists, strata": {
        "near_duplicates": ["text"],
        "similarity": 0.65,
        "group_by": [["patient"], ["device"]],
        "stratify": "late",
    },
}
# In a chain each is 0.65 alike to the next, the first and the last are not.
CHAIN = ["the red car stands in the street", "The red car stands in the street.", "the red cars stand in the street"]
CHAIN += ["the red cars stand in that street"]
TEXTS = [None, "", "x", *CHAIN, " THE red car  stands in the street", "a blue bicycle by the river bank"]

row = st.tuples(
    st.none() | st.integers(0, 6),
    st.none() | st.integers(0, 4),
    st.sampled_from("ab"),
    st.sampled_from(TEXTS),
    st.booleans(),
)
rows = st.lists(row, min_size=1, max_size=25)


def spec_of(kind):
    return SplitSpec("s", dataset="d", key=["id"], **KINDS[kind], **SHARES)


def table_of(rows, first=0):
    patient, device, site, text, late = (list(column) for column in zip(*rows, strict=True))
    return pa.table(
        {
            "id": pa.array(range(first, first + len(rows)), pa.int64()),
            "patient": pa.array(patient, pa.int64()),
            "device": pa.array(device, pa.int64()),
            "site": site,
            "text": pa.array(text, pa.string()),
            "late": late,
        }
    )


def grow(spec, *batches):
    """Place batches of rows one after the other, as versions of a dataset bring them."""
    assignment, tables, first = SplitAssignment(spec, ()), [], 0
    for number, batch in enumerate(batches):
        table = table_of(batch, first)
        old = [
            OldRows(each, members.parts()[None, :]) for each, members in zip(tables, assignment.fragments, strict=True)
        ]
        if not assignment.fragments:
            assignment = fit_split(spec, [FragmentRows(str(number), table)])
        else:
            assignment = extend_split(assignment, [FragmentRows(str(number), table)], old=old)
        tables.append(table)
        first += len(batch)
    return assignment


def keys_of(spec, rows):
    """What ties each row, worked out in a loop: a set of keys for each."""
    names = {"patient": 0, "device": 1, "site": 2, "text": 3}
    found = []
    for values in rows:
        keys = set()
        for number, columns in enumerate(spec.groups):
            part = tuple(values[names[name]] for name in columns)
            if None not in part:
                keys.add(("group", number, part))
        if spec.duplicates:
            keys.add(("duplicate", values[3]))
        found.append(keys)
    return found


def is_near(a, b, similarity=0.65):
    sets = [set(read_tokens([pa.array([text], pa.string())]).hashes.tolist()) for text in (a, b)]
    union = sets[0] | sets[1]
    return bool(sets[0]) and bool(sets[1]) and len(sets[0] & sets[1]) / len(union) >= similarity


def assert_nothing_is_torn(spec, rows, parts):
    seen = {}
    for keys, part in zip(keys_of(spec, rows), parts, strict=True):
        if part:
            for key in keys:
                assert seen.setdefault(key, part) == part, key
    if spec.near_duplicates:
        for place, (a, part) in enumerate(zip(rows, parts, strict=True)):
            for b, other in zip(rows[:place], parts[:place], strict=True):
                if part and other and part != other:
                    assert not is_near(a[3], b[3]), (a[3], b[3])


@pytest.mark.parametrize("kind", KINDS)
@settings(max_examples=25)
@given(first=rows, second=rows, third=rows)
def test_what_ties_rows_is_never_torn_apart_however_the_data_grew(kind, first, second, third):
    spec = spec_of(kind)
    grown = grow(spec, first, second, third)
    assert_nothing_is_torn(spec, first + second + third, grown.parts().tolist())
    assert grown.fragments[0] == grow(spec, first).fragments[0]
    assert grown.fragments[1] == grow(spec, first, second).fragments[1]


@pytest.mark.parametrize("kind", KINDS)
@settings(max_examples=15)
@given(rows=rows, places=st.lists(st.integers(0, 25), max_size=3))
def test_the_cut_of_the_rows_does_not_matter(kind, rows, places):
    spec, table = spec_of(kind), table_of(rows)
    bounds = [0, *sorted(min(place, len(rows)) for place in places), len(rows)]
    pieces = [FragmentRows(f"f{n}", table.slice(a, b - a)) for n, (a, b) in enumerate(pairwise(bounds))]
    assert fit_split(spec, pieces).parts().tolist() == fit_split(spec, [FragmentRows("f", table)]).parts().tolist()


@pytest.mark.parametrize("kind", KINDS)
@settings(max_examples=15)
@given(rows=rows, seed=st.randoms(use_true_random=False))
def test_the_order_of_the_rows_does_not_matter(kind, rows, seed):
    spec, table = spec_of(kind), table_of(rows)
    order = list(range(len(rows)))
    seed.shuffle(order)
    whole = fit_split(spec, [FragmentRows("f", table)]).parts()
    shuffled = fit_split(spec, [FragmentRows("f", table.take(pa.array(order)))]).parts()
    assert shuffled.tolist() == whole[order].tolist()


@pytest.mark.parametrize("kind", KINDS)
@settings(max_examples=15)
@given(rows=rows)
def test_nothing_is_left_out_when_a_split_is_made(kind, rows):
    assert fit_split(spec_of(kind), [FragmentRows("f", table_of(rows))]).parts().all()


@pytest.mark.parametrize("kind", KINDS)
@settings(max_examples=15)
@given(old=rows, new=rows)
def test_an_assignment_with_ties_survives_being_written(kind, old, new):
    spec = spec_of(kind)
    first = fit_split(spec, [FragmentRows("0", table_of(old))])
    again = SplitAssignment.from_bytes(first.to_bytes())
    assert again.spec == spec
    assert again.to_bytes() == first.to_bytes()
    more = [FragmentRows("1", table_of(new, len(old)))]
    known = [OldRows(table_of(old), first.parts()[None, :])]
    assert extend_split(again, more, old=known).to_bytes() == extend_split(first, more, old=known).to_bytes()


def test_a_row_that_would_tie_two_parts_to_each_other_is_left_in_none():
    spec = SplitSpec("s", dataset="d", key=["id"], group_by=[["p"], ["q"]], train=0.5, test=0.5)
    people = np.arange(40)
    first = fit_split(spec, [FragmentRows("old", pa.table({"id": people, "p": people, "q": people}))])
    before = first.parts()
    train, test = int(np.flatnonzero(before == 1)[0]), int(np.flatnonzero(before == 3)[0])
    new = pa.table({"id": [100, 101, 102, 103], "p": [train, train, 900, 900], "q": [test, 901, test, 902]})
    parts = extend_split(first, [FragmentRows("new", new)]).members("new").parts().tolist()
    assert parts == [0, 1, 3, 3]  # 102 and 103 are one new person, whose device is in test


def test_new_rows_between_two_parts_follow_one_and_leave_the_others_out():
    spec = SplitSpec("s", dataset="d", key=["id"], group_by=[["p"], ["q"]], train=0.5, test=0.5)
    people = np.arange(40)
    first = fit_split(spec, [FragmentRows("old", pa.table({"id": people, "p": people, "q": people}))])
    train, test = (int(np.flatnonzero(first.parts() == code)[0]) for code in (1, 3))
    # A device that is new, used by a person of train and by one of test.
    new = pa.table({"id": [100, 101, 102], "p": [train, test, test], "q": [900, 900, test]})
    parts = extend_split(first, [FragmentRows("new", new)]).members("new").parts().tolist()
    assert sorted(parts[:2]) in ([0, 1], [0, 3])
    assert parts[2] == 3


def test_components_of_many_units_do_not_all_go_to_the_first_part():
    pairs = np.arange(4_000)
    spec = SplitSpec("s", dataset="d", group_by=[["g"], ["h"]], train=0.5, test=0.5)
    table = pa.table({"g": pairs, "h": pairs // 8})
    parts = fit_split(spec, [FragmentRows("f", table)]).parts()
    assert 0.4 < (parts == 1).mean() < 0.6
    assert all(len(set(parts[start : start + 8])) == 1 for start in range(0, 4_000, 8))


def test_a_chain_of_groups_is_one_component_and_is_told():
    count = 1_000
    spec = SplitSpec("s", dataset="d", group_by=[["g"], ["h"]], train=0.5, test=0.5)
    table = pa.table({"g": np.repeat(np.arange(count), 2), "h": (np.arange(2 * count) + 1) // 2})
    assignment, notes = examine_split(spec, [FragmentRows("f", table)])
    assert len(set(assignment.parts().tolist())) == 1
    assert len(notes) == 1
    assert "Rows that hang together, such as those of g='0', are 2,000 of 2,000 rows (100.0%)" in notes[0]


def test_rows_without_any_group_need_a_key():
    table = pa.table({"p": [1, None, None], "q": [None, 2, None]})
    spec = SplitSpec("s", dataset="d", group_by=[["p"], ["q"]], train=0.5, test=0.5)
    with pytest.raises(UsageError, match="1 rows have no group"):
        fit_split(spec, [FragmentRows("f", table)])
    assert fit_split(spec, [FragmentRows("f", table.slice(0, 2))]).parts().all()


def hash_of(number):
    return f"{number * 2654435761 % 2**32:08x}" * 3


def test_places_of_tied_rows_are_golden():
    how = {"group_by": [["g"], ["h"]], "near_duplicates": ["t"], "stratify": ["y", "z"]}
    spec = SplitSpec("s", dataset="d", key=["id"], seed=3, **how, **SHARES)
    numbers = np.arange(60)
    table = pa.table(
        {
            "id": numbers, "g": numbers // 2, "y": numbers % 3 == 0, "z": [f"z{n % 2}" for n in numbers],
            "h": [int(n) % 5 if n < 10 else None for n in numbers],
            "t": [f"{hash_of(n // 6)} is a text" for n in numbers],
        }
    )  # fmt: skip
    parts = fit_split(spec, [FragmentRows("f", table)]).parts()
    assert "".join(map(str, parts)) == "111111111111111111111111333333333333333333222222222222111111"


@pytest.mark.parametrize("seed", range(12))
def test_new_texts_between_two_old_ones_are_not_torn_from_each_other(seed):
    # The old texts are not alike; each new one is like one of them, and like the other new one.
    spec = SplitSpec(
        "s", dataset="d", key=["id"], near_duplicates=["text"], similarity=0.65, seed=seed, train=0.5, test=0.5
    )
    old, new = [CHAIN[1], CHAIN[3]], [CHAIN[0], CHAIN[2], CHAIN[2], CHAIN[2]]
    rows = [(None, None, "a", text, True) for text in [*old, *new]]
    first = fit_split(spec, [FragmentRows("0", table_of(rows[:2]))])
    known = [OldRows(table_of(rows[:2]), first.parts()[None, :])]
    grown = extend_split(first, [FragmentRows("1", table_of(rows[2:], 2))], old=known)
    assert_nothing_is_torn(spec, rows, grown.parts().tolist())
    assert sorted(first.parts().tolist()) == [1, 3]
    assert grown.members("1").parts().any()
