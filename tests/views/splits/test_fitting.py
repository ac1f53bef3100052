"""Law 3: a row is in one split only, for good; new data never moves it, and a group is never torn apart."""

import datetime as dt
from itertools import pairwise

import numpy as np
import pyarrow as pa
import pytest
import xxhash
from hypothesis import given
from hypothesis import strategies as st

from foldstore.errors import ColumnNotFoundError, NotFoundError, UsageError
from foldstore.views.splits.assignment import SplitAssignment
from foldstore.views.splits.fitting import FragmentRows, extend_split, fit_split
from foldstore.views.splits.split import SplitSpec

SHARES = {"train": 0.5, "validation": 0.2, "test": 0.2}
KINDS = {
    "key": {"key": ["id"]},
    "groups": {"key": ["id"], "group_by": ["g"]},
    "two columns": {"key": ["id"], "group_by": ["g", "x"]},
    "duplicates": {"duplicates": ["x", "y"]},
    "strata": {"key": ["id"], "stratify": "y"},
    "groups in strata": {"key": ["id"], "group_by": ["g"], "stratify": "y"},
    "groups tied": {"key": ["id"], "group_by": ["g"], "duplicates": ["x", "y"]},
    "groups tied in strata": {"key": ["id"], "group_by": ["g"], "duplicates": ["x"], "stratify": "y"},
    "time": {"by_time": "t", "boundaries": ["1970-01-01T00:00:03Z", "1970-01-01T00:00:07Z"], "purge": "1s"},
}
PURE = ["key", "groups", "two columns", "duplicates", "time"]
GROUPED = ["groups", "groups in strata", "groups tied", "groups tied in strata"]


def spec_of(kind):
    return SplitSpec("s", dataset="d", **KINDS[kind], **({} if kind == "time" else SHARES))


row = st.tuples(
    st.none() | st.integers(0, 6), st.none() | st.sampled_from("abc"), st.booleans(), st.none() | st.integers(0, 9)
)
rows = st.lists(row, min_size=1, max_size=40)


def table_of(rows, first=0):
    group, x, y, t = (list(column) for column in zip(*rows, strict=True)) if rows else ([], [], [], [])
    return pa.table(
        {
            "id": pa.array(range(first, first + len(rows)), pa.int64()),
            "g": pa.array(group, pa.int64()),
            "x": pa.array(x, pa.string()),
            "y": pa.array(y, pa.bool_()),
            "t": pa.array(t, pa.int64()).cast(pa.timestamp("s")),
        }
    )


def cut(table, places):
    bounds = [0, *sorted(min(place, table.num_rows) for place in places), table.num_rows]
    return [FragmentRows(f"f{n}", table.slice(a, b - a)) for n, (a, b) in enumerate(pairwise(bounds))]


cuts = st.lists(st.integers(0, 40), max_size=4)


@pytest.mark.parametrize("kind", KINDS)
@given(rows=rows, places=cuts)
def test_parts_are_disjoint_and_the_cut_does_not_matter(kind, rows, places):
    table, spec = table_of(rows), spec_of(kind)
    whole = fit_split(spec, [FragmentRows("f", table)])
    pieces = fit_split(spec, cut(table, places))
    assert pieces.parts().tolist() == whole.parts().tolist()
    members = whole.members("f")
    masks = [members.mask(part) for part in ("train", "validation", "test")]
    assert np.all(sum(mask.astype(int) for mask in masks) + (members.parts() == 0) == 1)
    assert sum(whole.count(part) for part in ("train", "validation", "test")) <= whole.num_rows == len(rows)


@pytest.mark.parametrize("kind", KINDS)
@given(old=rows, new=rows)
def test_new_rows_never_move_old_ones(kind, old, new):
    first = fit_split(spec_of(kind), [FragmentRows("old", table_of(old))])
    grown = extend_split(first, [FragmentRows("new", table_of(new, first=len(old)))])
    assert grown.fragments[0] == first.fragments[0]
    again = extend_split(grown, [FragmentRows("same rows once more", table_of(old))])
    assert again.members("same rows once more").parts().tolist() == first.parts().tolist()


@pytest.mark.parametrize("kind", PURE)
@given(old=rows, new=rows)
def test_a_split_by_hash_or_time_is_the_same_however_it_grew(kind, old, new):
    fragments = [FragmentRows("old", table_of(old)), FragmentRows("new", table_of(new, first=len(old)))]
    grown = extend_split(fit_split(spec_of(kind), fragments[:1]), fragments[1:])
    assert grown.parts().tolist() == fit_split(spec_of(kind), fragments).parts().tolist()


@pytest.mark.parametrize("kind", GROUPED)
@given(old=rows, new=rows)
def test_a_group_is_never_torn_apart(kind, old, new):
    grown = fit_split(spec_of(kind), [FragmentRows("old", table_of(old))])
    grown = extend_split(grown, [FragmentRows("new", table_of(new, first=len(old)))])
    seen = {}
    for (group, *_), part in zip(old + new, grown.parts().tolist(), strict=True):
        if group is not None:
            assert seen.setdefault(group, part) == part


@pytest.mark.parametrize("kind", ["duplicates", "groups tied", "groups tied in strata"])
@given(rows=rows)
def test_exact_duplicates_go_together_when_fitted(kind, rows):
    features = spec_of(kind).duplicates
    seen = {}
    for (_, x, y, _), part in zip(
        rows, fit_split(spec_of(kind), [FragmentRows("f", table_of(rows))]).parts(), strict=True
    ):
        values = (x, y) if len(features) == 2 else x
        assert seen.setdefault(values, part) == part


@given(old=rows, new=rows)
def test_a_new_group_follows_the_duplicates_that_were_there(old, new):
    spec = spec_of("groups tied")
    moved = [(None if group is None else group + 100, *rest) for group, *rest in new]
    grown = fit_split(spec, [FragmentRows("old", table_of(old))])
    grown = extend_split(grown, [FragmentRows("new", table_of(moved, first=len(old)))])
    places = {(x, y): part for (_, x, y, _), part in zip(old, grown.members("old").parts(), strict=True)}
    for (group, x, y, _), part in zip(moved, grown.members("new").parts(), strict=True):
        if group is None and (x, y) in places and not any(g is not None and (a, b) == (x, y) for g, a, b, _ in moved):
            assert part == places[(x, y)]


def test_groups_that_hang_together_by_duplicates_follow_the_one_that_was_there():
    spec = SplitSpec("s", dataset="d", group_by=["g"], duplicates=["x"], train=0.5, test=0.5)
    first = np.arange(50)
    old = fit_split(spec, [FragmentRows("old", pa.table({"g": first, "x": first}))])
    # Group 100 + n repeats the features of group n; group 200 + n repeats other features of group 100 + n.
    new = pa.table(
        {
            "g": np.concatenate([100 + first, 100 + first, 200 + first]),
            "x": np.concatenate([first, 500 + first, 500 + first]),
        }
    )
    grown = extend_split(old, [FragmentRows("new", new)])
    assert grown.members("new").parts().tolist() == old.parts().tolist() * 3
    alone = fit_split(spec, [FragmentRows("new", new)])
    assert alone.parts().tolist() != grown.members("new").parts().tolist()


@given(rows=rows, places=cuts)
def test_a_key_goes_where_its_hash_says(rows, places):
    assignment = fit_split(spec_of("key"), cut(table_of(rows), places))
    expected = []
    for number in range(len(rows)):
        place = xxhash.xxh3_64_intdigest(b"\x02" + number.to_bytes(8, "little") + b"d/s/0") / 2**64
        expected.append(1 if place < 0.5 else 2 if place < 0.7 else 3 if place < 0.9 else 0)
    assert assignment.parts().tolist() == expected


@given(rows=rows)
def test_times_fall_between_boundaries_with_a_gap_before_each(rows):
    expected = []
    for *_, t in rows:
        gap = t is None or t in (2, 6)
        expected.append(0 if gap else 1 if t < 3 else 2 if t < 7 else 3)
    assert fit_split(spec_of("time"), [FragmentRows("f", table_of(rows))]).parts().tolist() == expected


def test_an_embargo_leaves_out_what_follows_a_boundary():
    spec = SplitSpec("s", dataset="d", by_time="t", boundaries=["1970-01-01T00:00:05Z"], purge="1s", embargo="2s")
    table = pa.table({"t": pa.array(range(10), pa.timestamp("s"))})
    assert fit_split(spec, [FragmentRows("f", table)]).parts().tolist() == [1, 1, 1, 1, 0, 0, 0, 3, 3, 3]


def test_a_boundary_in_another_zone_is_the_same_instant():
    moment = dt.datetime(2013, 10, 1, tzinfo=dt.UTC)
    table = pa.table({"t": pa.array([moment - dt.timedelta(microseconds=1), moment], pa.timestamp("us", "Asia/Tokyo"))})
    spec = SplitSpec("s", dataset="d", by_time="t", boundaries=["2013-09-30T20:00:00-04:00"])
    assert fit_split(spec, [FragmentRows("f", table)]).parts().tolist() == [1, 3]


@given(st.lists(st.sampled_from("aaaaabbc"), min_size=1, max_size=300), st.integers(0, 99))
def test_strata_of_single_rows_are_exact_to_one_row(labels, seed):
    table = pa.table({"id": range(len(labels)), "y": labels})
    spec = SplitSpec("s", dataset="d", key=["id"], stratify="y", train=0.7, validation=0.15, test=0.15, seed=seed)
    parts = fit_split(spec, [FragmentRows("f", table)]).parts()
    for label in set(labels):
        inside = parts[np.array(labels) == label]
        for code, share in ((1, 0.7), (2, 0.15), (3, 0.15)):
            assert abs((inside == code).sum() - share * len(inside)) <= 1


def test_strata_of_groups_are_close_and_closer_than_by_hash():
    rng = np.random.default_rng(3)
    group = rng.integers(0, 400, 20_000)
    late = rng.random(20_000) < np.linspace(0.05, 0.6, 400)[group]
    table = pa.table({"g": group, "late": late})
    rates = {}
    for stratify in (None, "late"):
        spec = SplitSpec("s", dataset="d", group_by=["g"], stratify=stratify, train=0.7, validation=0.15, test=0.15)
        parts = fit_split(spec, [FragmentRows("f", table)]).parts()
        rates[stratify] = [abs(late[parts == code].mean() - late.mean()) for code in (1, 2, 3)]
        if stratify:
            assert [round(float((parts == code).mean()), 2) for code in (1, 2, 3)] == [0.7, 0.15, 0.15]
    assert max(rates["late"]) < 0.005 < max(rates[None])


def test_small_strata_do_not_all_round_the_same_way():
    labels = [f"label{number}" for number in range(2_000)]
    spec = SplitSpec("s", dataset="d", key=["id"], stratify="y", train=0.7, test=0.3)
    parts = fit_split(spec, [FragmentRows("f", pa.table({"id": range(2_000), "y": labels}))]).parts()
    assert abs((parts == 1).mean() - 0.7) < 0.04


def test_another_seed_is_another_split_of_groups_in_strata():
    table = pa.table({"g": np.repeat(np.arange(100), 5), "y": np.tile([0, 1, 1, 0, 1], 100)})
    specs = [SplitSpec("s", dataset="d", group_by=["g"], stratify="y", seed=seed) for seed in range(5)]
    assert len({tuple(fit_split(spec, [FragmentRows("f", table)]).parts()) for spec in specs}) == 5


def test_each_null_group_is_a_group_of_its_own():
    table = pa.table({"id": range(1_000), "g": pa.nulls(1_000, pa.string())})
    spec = SplitSpec("s", dataset="d", key=["id"], group_by=["g"], train=0.5, test=0.5)
    assert 400 < fit_split(spec, [FragmentRows("f", table)]).count("train") < 600
    with pytest.raises(UsageError, match="1,000 rows have no group") as error:
        fit_split(SplitSpec("s", dataset="d", group_by=["g"]), [FragmentRows("f", table)])
    assert "key=" in (error.value.hint or "")


@pytest.mark.parametrize("kind", KINDS)
@given(rows=rows, data=st.data())
def test_rows_outside_a_view_are_unassigned(kind, rows, data):
    selected = np.array(data.draw(st.lists(st.booleans(), min_size=len(rows), max_size=len(rows))), dtype=bool)
    table = table_of(rows)
    parts = fit_split(spec_of(kind), [FragmentRows("f", table, selected)]).parts()
    assert not parts[~selected].any()
    inside = fit_split(spec_of(kind), [FragmentRows("f", table.filter(pa.array(selected)))]).parts()
    assert parts[selected].tolist() == inside.tolist()


def test_duplicates_chain_groups_together_however_long_the_chain():
    count = 3_000
    order = np.random.default_rng(1).permutation(count)
    table = pa.table({"g": np.repeat(order, 2), "x": np.concatenate([[0], np.repeat(np.arange(1, count), 2), [count]])})
    spec = SplitSpec("s", dataset="d", group_by=["g"], duplicates=["x"], train=0.5, test=0.5)
    assert len(set(fit_split(spec, [FragmentRows("f", table)]).parts().tolist())) == 1


@pytest.mark.parametrize("groups", [["g"], [["g"], ["h"]]])
def test_later_rows_without_group_and_key_are_unassigned_and_stop_nothing(groups):
    spec = SplitSpec("s", dataset="d", group_by=groups, train=1)
    first = fit_split(spec, [FragmentRows("old", pa.table({"g": [1, 2], "h": [3, 4]}))])
    new = pa.table({"g": pa.array([None, 1, None], pa.int64()), "h": pa.array([None, 5, None], pa.int64())})
    assert extend_split(first, [FragmentRows("new", new)]).members("new").parts().tolist() == [0, 1, 0]


def test_mistakes_are_answered_with_a_way_out():
    spec = spec_of("key")
    assignment = fit_split(spec, [FragmentRows("f", pa.table({"id": [1]}))])
    with pytest.raises(UsageError, match="placed already"):
        extend_split(assignment, [FragmentRows("f", pa.table({"id": [2]}))])
    with pytest.raises(ColumnNotFoundError, match="'id'"):
        extend_split(assignment, [FragmentRows("g", pa.table({"ident": [2]}))])
    with pytest.raises(UsageError, match="has 1 rows, the selection 2"):
        extend_split(assignment, [FragmentRows("g", pa.table({"id": [2]}), np.array([True, False]))])
    with pytest.raises(NotFoundError, match="does not cover"):
        assignment.members("g")
    with pytest.raises(NotFoundError, match="not a part"):
        assignment.members("f").mask("dev")
    with pytest.raises(UsageError, match="20,000 values"):
        fit_split(
            SplitSpec("s", dataset="d", key=["id"], stratify="id"),
            [FragmentRows("f", pa.table({"id": range(20_000)}))],
        )


def test_an_empty_fragment_and_no_fragment_are_splits_too():
    for kind in KINDS:
        empty = fit_split(spec_of(kind), [FragmentRows("f", table_of([]))])
        assert (empty.num_rows, fit_split(spec_of(kind), []).num_rows) == (0, 0)
        assert SplitAssignment.from_bytes(empty.to_bytes()).num_rows == 0
