"""Merges and differences against a model: rows in dicts, merged and compared by plain Python."""

import tempfile
from collections import Counter
from copy import deepcopy
from dataclasses import dataclass, field
from itertools import count

import pyarrow as pa
import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

import foldstore
from foldstore.errors import ConflictError

KEYS = st.lists(st.integers(0, 6), unique=True, min_size=1, max_size=3)
ACTS = st.one_of(
    st.tuples(st.just("append"), KEYS, st.integers(0, 2)),
    st.tuples(st.just("upsert"), KEYS, st.integers(0, 2)),
    st.tuples(st.just("delete"), KEYS, st.none()),
    st.tuples(st.just("derive"), st.none(), st.integers(2, 3)),
    st.tuples(st.just("join"), st.none(), st.integers(0, 9)),
    st.tuples(st.just("rename"), st.none(), st.sampled_from(["w", "weight", "wide"])),
    st.tuples(st.just("drop"), st.none(), st.none()),
    st.tuples(st.just("compact"), st.none(), st.none()),
)
SIDES = st.lists(ACTS, max_size=5)
TOKENS = count()


@dataclass
class Row:
    """A row: a token for each time it was written, its values by column."""

    values: dict
    token: int = field(default_factory=lambda: next(TOKENS))


@dataclass
class State:
    """The rows of a branch by key; its columns: the name of each, and how often v it is where it is computed."""

    rows: dict
    names: dict = field(default_factory=lambda: {"k": "k", "v": "v", "w": "w"})
    times: dict = field(default_factory=dict)

    def make_row(self, key, value):
        given = {column: value for column in self.names if column not in self.times}
        row = Row({**given, "k": key})
        self.compute(row)
        return row

    def compute(self, row):
        row.values.update({column: row.values["v"] * times for column, times in self.times.items()})

    def table(self, keys, value):
        columns = [column for column in self.names if column not in self.times]
        return {self.names[c]: pa.array(keys if c == "k" else [value] * len(keys), pa.int64()) for c in columns}

    def shown(self):
        return sorted(
            (
                tuple(sorted((name, row.values.get(column)) for column, name in self.names.items()))
                for row in self.rows.values()
            ),
            key=repr,
        )


def apply(dataset, state, act, side):
    """Do one thing to a branch and to its model."""
    verb, keys, value = act
    if verb == "append":
        fresh = [key for key in keys if key not in state.rows]
        if fresh:
            dataset.append(state.table(fresh, value))
            state.rows.update({key: state.make_row(key, value) for key in fresh})
    elif verb == "upsert":
        dataset.upsert(state.table(keys, value))
        state.rows.update({key: state.make_row(key, value) for key in keys})
    elif verb == "delete":
        dataset.delete(keys={"k": keys})
        state.rows = {key: row for key, row in state.rows.items() if key not in keys}
    elif verb == "compact":
        dataset.compact()
    else:
        apply_to_columns(dataset, state, verb, value, side)


def apply_to_columns(dataset, state, verb, value, side):
    if verb == "derive" and f"d{value}" not in state.names:
        dataset.add_columns({f"d{value}": f"v * {value}"})
        state.names[f"d{value}"] = f"d{value}"
        state.times[f"d{value}"] = value
        for row in state.rows.values():
            state.compute(row)
    elif verb == "join" and f"g{side}" not in state.names:
        keys = list(state.rows)
        dataset.add_columns(pa.table({"k": pa.array(keys, pa.int64()), f"g{side}": pa.array([value] * len(keys))}))
        state.names[f"g{side}"] = f"g{side}"
        for row in state.rows.values():
            row.values[f"g{side}"] = value
    elif verb == "rename" and state.names.get("w", value) != value:
        dataset.rename_columns({state.names["w"]: value})
        state.names["w"] = value
    elif verb == "drop" and "w" in state.names:
        dataset.drop_columns([state.names["w"]])
        del state.names["w"]
        for row in state.rows.values():
            del row.values["w"]


def merge(base, ours, theirs, prefer):
    """Merge two states three-way; return the result and how many conflicts there are of each kind."""
    found = Counter()
    names, found["column"] = merge_names(base, ours, theirs, prefer)
    common = [c for c in names if c in ours.names and c in theirs.names]
    rows = {}
    for key in {*base.rows, *ours.rows, *theirs.rows}:
        before, left, right = (side.rows.get(key) for side in (base, ours, theirs))
        tokens = [row and row.token for row in (before, left, right)]
        if tokens[2] in (tokens[0], tokens[1]):
            chosen = left
        elif tokens[1] == tokens[0]:
            chosen = right
        elif left and right and all(left.values.get(c) == right.values.get(c) for c in common):
            chosen = left
        else:
            kind = ("both-changed" if before else "both-added") if left and right else "delete-change"
            found[kind] += bool(left or right)
            chosen = right if prefer == "theirs" else left
        if chosen is not None:
            rows[key] = Row(dict(chosen.values), chosen.token)
    merged = State(rows, names, {**ours.times, **theirs.times})
    for key, row in rows.items():
        for column in names:
            if column not in row.values and column not in merged.times:
                other = ours if column in ours.names else theirs
                row.values[column] = other.rows[key].values.get(column) if key in other.rows else None
        merged.compute(row)
    return merged, +found


def merge_names(base, ours, theirs, prefer):
    names = {column: name for column, name in {**theirs.names, **ours.names}.items() if column != "w"}
    before, left, right = (side.names.get("w") for side in (base, ours, theirs))
    if left in (before, right):
        chosen, conflict = right, 0
    elif right == before:
        chosen, conflict = left, 0
    else:
        chosen, conflict = (right if prefer == "theirs" else left), 1
    if chosen is not None:
        names["w"] = chosen
    return names, conflict


def shown(version):
    return sorted((tuple(sorted(row.items())) for row in version.to_arrow().to_pylist()), key=repr)


def expect_merge(dataset, states, theirs, prefer=None):
    merged, conflicts = merge(*states, prefer)
    if conflicts and prefer is None:
        with pytest.raises(ConflictError, match="does not merge") as caught:
            dataset.merge(theirs)
        counts = Counter()
        for kind, number in caught.value.facts["counts"].items():
            counts["column" if kind.startswith("column") else kind] += number
        assert counts == conflicts
        return None, merged
    version = dataset.merge(theirs, prefer=prefer)
    assert shown(version) == merged.shown()
    return version, merged


def expect_same_row_ids(first, rows, second, others):
    """Rows that nobody wrote anew keep their row ids."""

    def ids(version):
        keys = version.to_arrow(["k"])["k"].to_pylist()
        return dict(zip(keys, version.rows.row_ids().tolist(), strict=True))

    before, after = ids(first), ids(second)
    for key, row in rows.items():
        if key in others and others[key].token == row.token:
            assert before[key] == after[key]


def expect_diff(dataset, first, before, second, after):
    found = dataset.diff(first, second)
    common = [column for column in before.names if column in after.names]
    both = before.rows.keys() & after.rows.keys()
    changed = {
        key for key in both if any(before.rows[key].values.get(c) != after.rows[key].values.get(c) for c in common)
    }
    assert found.summary()["rows"] == {
        "added": len(after.rows.keys() - both),
        "removed": len(before.rows.keys() - both),
        "changed": len(changed),
        "unchanged": len(both - changed),
    }
    assert set(found.rows_added(["k"])["k"].to_pylist()) == after.rows.keys() - both
    assert set(found.rows_removed(["k"])["k"].to_pylist()) == before.rows.keys() - both
    for row in found.rows_changed().to_pylist():
        old, new = before.rows[row["key"]["k"]], after.rows[row["key"]["k"]]
        differ = {after.names[c] for c in common if old.values.get(c) != new.values.get(c)}
        assert set(row["columns"]) == differ
        assert {row["after"][name] for name in differ} <= set(new.values.values())
    back = dataset.diff(second, first)
    assert (back.num_added, back.num_removed) == (found.num_removed, found.num_added)
    assert (back.num_changed, back.num_unchanged) == (found.num_changed, found.num_unchanged)


@settings(max_examples=25, phases=[Phase.explicit, Phase.reuse, Phase.generate])  # shrinking would take minutes
@given(left=SIDES, right=SIDES, again=SIDES)
def test_a_merge_and_a_difference_are_those_of_the_model(left, right, again):
    with tempfile.TemporaryDirectory() as folder, foldstore.connect(folder + "/s") as store:
        main = store.create_dataset("d", key=["k"])
        base = State({})
        for keys in ([0, 1], [2, 3]):
            main.append(base.table(keys, 0))
            base.rows.update({key: base.make_row(key, 0) for key in keys})
        first, other = main.latest, main.create_branch("other")
        ours, theirs = deepcopy(base), deepcopy(base)
        for act in left:
            apply(main, ours, act, "a")
        for act in right:
            apply(other, theirs, act, "b")
        heads = main.latest, other.latest
        mirror = main.create_branch("mirror", heads[1])
        expect_diff(main, heads[0], ours, heads[1], theirs)
        expect_diff(main, first, base, heads[0], ours)
        version, merged = expect_merge(main, (base, ours, theirs), "other")
        mirrored, _ = expect_merge(mirror, (base, theirs, ours), heads[0])
        assert (version is None) == (mirrored is None)
        if version is None:
            for prefer in ("ours", "theirs"):
                side = main.create_branch(f"{prefer}-wins", heads[0])
                expect_merge(side, (base, ours, theirs), heads[1], prefer)
            return
        assert shown(version) == shown(mirrored)
        expect_same_row_ids(first, base.rows, version, merged.rows)
        for head, state in ((heads[0], ours), (heads[1], theirs)):
            expect_diff(main, head, state, version, merged)
        merged_before = deepcopy(theirs)
        for act in again:
            apply(other, theirs, act, "b")
        expect_merge(main, (merged_before, merged, theirs), "other")
        assert store.verify().passed


def test_the_model_knows_a_conflict_when_it_sees_one():
    base = State({1: Row({"k": 1, "v": 0, "w": 0})})
    ours, theirs = deepcopy(base), deepcopy(base)
    ours.rows[1], theirs.rows[1] = ours.make_row(1, 1), theirs.make_row(1, 2)
    assert merge(base, ours, theirs, None)[1] == {"both-changed": 1}
