"""Differences of versions: exact, by row id or key, and without reading what is shared."""

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from foldstore.datastore import row_pairs
from foldstore.datastore.objects import ObjectArea, OpenObject
from foldstore.datastore.row_pairs import differing
from foldstore.datastore.storage import open_storage
from foldstore.errors import ColumnNotFoundError, NotFoundError, UsageError
from foldstore.store import Store

NAN = float("nan")


@pytest.fixture
def people(store):
    dataset = store.create_dataset("people", key=["id"])
    for start in (0, 10, 20):
        ids = list(range(start, start + 10))
        dataset.append({"id": ids, "age": [30 + i for i in ids], "name": [f"n{i}" for i in ids]})
    return dataset


@pytest.fixture
def loose(store):
    dataset = store.create_dataset("loose")
    for start in (0, 10, 20):
        dataset.append({"x": list(range(start, start + 10))})
    return dataset


@pytest.fixture
def opened(monkeypatch):
    """The files that are opened, and the column chunks that are read, from now on."""
    seen = {"opened": set(), "read": set()}
    open_object, verify = ObjectArea.open, OpenObject.verify

    def open_and_note(self, record):
        seen["opened"].add(record.id)
        return open_object(self, record)

    def verify_and_note(self, batch, columns):
        names = [self.batches[batch].schema.field(column).name for column in columns]
        seen["read"].update((self.record.id, name) for name in names)
        verify(self, batch, columns)

    monkeypatch.setattr(ObjectArea, "open", open_and_note)
    monkeypatch.setattr(OpenObject, "verify", verify_and_note)
    return seen


class TestWhatIsRead:
    def test_without_a_key_and_moved_rows_no_file_is_opened(self, loose, opened):
        before = loose.latest
        loose.append({"x": [99]})
        after = loose.branch("main").append({"x": [100]})
        opened["opened"].clear()
        found = loose.diff(before, after)
        assert (found.num_added, found.num_removed, found.num_changed, found.num_unchanged) == (2, 0, 0, 30)
        assert not opened["opened"]

    def test_deleted_rows_are_counted_by_bitmaps_alone(self, loose, opened):
        before = loose.latest
        after = loose.delete("x % 10 = 3")
        opened["opened"].clear()
        found, back = loose.diff(before, after), loose.diff(after, before)
        assert (found.num_removed, found.num_unchanged) == (3, 27)
        assert (back.num_added, back.num_unchanged) == (3, 27)
        assert not opened["opened"]
        assert found.rows_removed()["x"].to_pylist() == [3, 13, 23]

    def test_of_a_key_only_the_key_of_rows_of_one_side_is_read_and_no_shared_file(self, people, opened):
        before = people.latest
        people.delete("id = 5")
        after = people.append({"id": [100], "age": [1], "name": ["new"]})
        opened["opened"].clear()
        opened["read"].clear()
        found = people.diff(before, after)
        assert (found.num_added, found.num_removed, found.num_changed) == (1, 1, 0)
        fragments = after.rows.fragments
        shared = {group.object_id for each in fragments[1:3] for group in each.groups}
        assert not opened["opened"] & shared
        assert {name for _, name in opened["read"]} == {"id"}

    def test_rows_that_a_compaction_has_moved_are_the_same_rows(self, loose):
        before = loose.latest
        loose.compact()
        loose.delete("x = 7")
        after = loose.append({"x": [99]})
        found = loose.diff(before, after)
        assert (found.num_added, found.num_removed, found.num_changed, found.num_unchanged) == (1, 1, 0, 29)
        assert found.rows_removed()["x"].to_pylist() == [7]
        assert found.rows_added()["x"].to_pylist() == [99]


class TestRows:
    def test_rows_are_paired_by_key_and_compared_by_value(self, people):
        before = people.latest
        after = people.upsert({"id": [3, 4, 50], "age": [33, 0, 1], "name": ["n3", None, "x"]})
        found = people.diff(before, after)
        assert (found.num_added, found.num_removed, found.num_changed, found.num_unchanged) == (1, 0, 1, 29)
        assert found.changed_columns == {"age": 1, "name": 1}
        assert found.rows_changed().to_pylist() == [
            {
                "key": {"id": 4},
                "columns": ["age", "name"],
                "before": {"age": 34, "name": "n4"},
                "after": {"age": 0, "name": None},
            }
        ]
        assert found.rows_added(["id", "name"]).to_pylist() == [{"id": 50, "name": "x"}]
        assert not found.is_empty
        assert people.diff(after, after).is_empty

    def test_a_limit_bounds_what_is_returned(self, people):
        after = people.upsert({"id": list(range(15)), "age": [0] * 15, "name": ["z"] * 15})
        assert people.diff(3, after).rows_changed(limit=4).num_rows == 4
        assert people.diff(1, after).rows_added(limit=3).num_rows == 3
        assert people.diff(after, 1).rows_removed(limit=0).num_rows == 0

    def test_without_changed_rows_the_table_of_them_is_empty(self, people):
        found = people.diff(1, 2).rows_changed()
        assert (found.num_rows, found.column_names) == (0, ["key", "columns", "before", "after"])

    def test_a_key_that_occurs_several_times_is_paired_row_by_row(self, store):
        dataset = store.create_dataset("d", key=["id"], key_policy="off")
        before = dataset.append({"id": [1, 1, None], "v": [1, 2, 3]})
        after = dataset.overwrite({"id": [1, 1, 1, None], "v": [1, 5, 6, 3]})
        found = dataset.diff(before, after)
        # A null key equals no other: that row went, and another came.
        assert (found.num_added, found.num_removed, found.num_changed, found.num_unchanged) == (2, 1, 1, 1)

    def test_keys_of_one_hash_are_told_apart_by_value(self, people, monkeypatch):
        before = people.latest
        after = people.upsert({"id": [1, 2, 77], "age": [0, 0, 0], "name": ["a", "b", "c"]})
        monkeypatch.setattr(row_pairs, "hash_rows", lambda columns: np.zeros(len(columns[0]), np.uint64))
        found = people.diff(before, after)
        assert [row["key"]["id"] for row in found.rows_changed().to_pylist()] == [1, 2]
        assert found.rows_added(["id"])["id"].to_pylist() == [77]

    def test_many_pairs_are_compared_a_part_at_a_time(self, people, monkeypatch):
        before = people.latest
        after = people.upsert({"id": list(range(29, -1, -1)), "age": [30] + [0] * 29, "name": ["q"] * 30})
        monkeypatch.setattr(row_pairs, "ROWS_AT_ONCE", 7)
        found = people.diff(before, after)
        assert (found.num_changed, found.changed_columns) == (30, {"age": 30, "name": 30})

    def test_the_diff_of_two_unlike_branches_compares_columns_of_one_name(self, people):
        side = people.create_branch("side")
        side.add_columns({"score": "age * 2", "same": "age + 1"})
        people.add_columns({"same": "age + 1", "score": "age * 3"})
        found = people.diff("main", "side")
        assert found.columns.redefined == (("score", "age * 3", "age * 2"),)
        assert (found.num_changed, found.changed_columns) == (30, {"score": 30})
        row = found.rows_changed(limit=1).to_pylist()[0]
        assert (row["before"]["score"], row["after"]["score"]) == (90, 60)

    def test_without_a_key_changed_rows_are_named_by_row_id(self, loose):
        side = loose.create_branch("side")
        side.add_columns({"y": "x + 1"})
        loose.add_columns({"y": "x + (x = 4)::INT + 1"})
        row = loose.diff("main", "side").rows_changed().to_pylist()
        assert [each["key"] for each in row] == [{"row_id": int(loose.latest.rows.row_ids()[4])}]


class TestColumns:
    def test_every_change_of_columns_is_named(self, people):
        before = people.latest
        people.add_columns({"old": "age > 40"})
        people.rename_columns({"name": "called"})
        people.drop_columns(["old"])
        people.widen_columns({"called": "large_string"})
        after = people.add_columns({"half": "age / 2"})
        columns = people.diff(before, after).columns
        assert columns.added == (("half", "double"),)
        assert columns.renamed == (("name", "called"),)
        assert columns.retyped == (("called", "string", "large_string"),)
        assert people.diff(after, before).columns.dropped == (("half", "double"),)
        assert people.diff(before, after).num_unchanged == 30

    def test_a_column_that_was_dropped_and_added_anew_is_another_one(self, people):
        before = people.latest
        people.drop_columns(["age"])
        after = people.add_columns({"age": "id + 30 + (id = 7)::INT"})
        found = people.diff(before, after)
        assert found.columns.replaced == ("age",)
        assert (found.num_changed, found.changed_columns) == (1, {"age": 1})
        assert found.columns.redefined == (("age", None, "id + 30 + (id = 7)::INT"),)

    def test_a_summary_says_it_all_in_plain_data_and_in_words(self, people):
        found = people.diff(1, people.add_columns({"<b>": "age + 1"}))
        assert found.summary()["rows"] == {"added": 20, "removed": 0, "changed": 0, "unchanged": 10}
        assert found.summary()["columns"]["added"] == {"<b>": "int64"}
        assert str(found).splitlines()[-1] == "rows: 20 added, 0 removed, 0 changed, 10 unchanged"
        assert "&lt;b&gt;" in found._repr_html_()

    def test_versions_are_named_as_everywhere(self, people, loose):
        people.tag("first", 1)
        assert people.diff("first", people.latest).before == "people@1"
        assert people.diff("first").after == "people@3"
        with pytest.raises(NotFoundError):
            people.diff(1, 9)
        with pytest.raises(UsageError):
            people.diff(1, loose.latest)
        with pytest.raises(ColumnNotFoundError):
            people.diff(1, 2).rows_added(["agee"])


class _HidesAge:
    def may_know(self, dataset):
        return True

    def permit(self, dataset, version, rows):  # it answers alike for all
        return rows.without({"age"})


def test_a_diff_shows_nothing_that_a_guard_hides(folder, people):
    people.upsert({"id": [1, 2], "age": [0, 0], "name": ["n1", "other"]})
    with Store(open_storage(folder, guard=_HidesAge()), "guest") as store:
        found = store.dataset("people").diff(3, 4)
        assert (found.num_changed, found.changed_columns) == (1, {"name": 1})
        assert "age" not in str(found.rows_changed().schema)
        with pytest.raises(ColumnNotFoundError):
            found.rows_removed(["age"])


VALUES = st.one_of(
    st.tuples(st.just(pa.float64()), st.lists(st.none() | st.sampled_from([0.0, 1.5, NAN]), min_size=4, max_size=4)),
    st.tuples(st.just(pa.float16()), st.lists(st.none() | st.sampled_from([0.0, NAN]), min_size=4, max_size=4)),
    st.tuples(st.just(pa.string()), st.lists(st.none() | st.sampled_from(["", "a"]), min_size=4, max_size=4)),
    st.tuples(
        st.just(pa.dictionary(pa.int32(), pa.string())), st.lists(st.none() | st.just("a"), min_size=4, max_size=4)
    ),
    st.tuples(
        st.just(pa.list_(pa.float64())),
        st.lists(st.none() | st.lists(st.sampled_from([1.0, NAN]), max_size=2), min_size=4, max_size=4),
    ),
    st.tuples(
        st.just(pa.struct([("a", pa.int64())])),
        st.lists(st.none() | st.fixed_dictionaries({"a": st.none() | st.integers(0, 1)}), min_size=4, max_size=4),
    ),
    st.tuples(st.just(pa.null()), st.just([None] * 4)),
)


@given(first=VALUES, second=VALUES)
def test_values_differ_as_python_says_with_nan_equal_to_nan(first, second):
    kind, old = first
    new = second[1] if second[0] == kind else old
    found = differing(pa.chunked_array([pa.array(old, kind)]), pa.chunked_array([pa.array(new, kind)]))
    assert found.tolist() == [repr(a) != repr(b) for a, b in zip(old, new, strict=True)]


@pytest.mark.parametrize(
    ("old", "new", "wanted"),
    [
        (pa.array([1, 2, None], pa.int32()), pa.array([1, 3, None], pa.int64()), [False, True, False]),
        (pa.array([1.0, 2.5]), pa.array([1, 2]), [False, True]),
        (pa.array([None, None], pa.null()), pa.array([None, 1]), [False, True]),
        (pa.array(["1", None]), pa.array([1, None]), [True, False]),
        (pa.array(["a"]).dictionary_encode(), pa.array(["a"], pa.large_string()), [False]),
    ],
)
def test_columns_of_two_types_are_compared_as_one(old, new, wanted):
    assert differing(pa.chunked_array([old]), pa.chunked_array([new])).tolist() == wanted
