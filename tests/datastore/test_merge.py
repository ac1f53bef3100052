"""Three-way merges: what each side did arrives, what both did to one thing is named, nothing is written twice."""

from dataclasses import replace

import pyarrow as pa
import pytest

import foldstore
from foldstore.datastore.ancestry import find_common
from foldstore.datastore.merge import Merge
from foldstore.datastore.row_set import Part, RowSet
from foldstore.datastore.storage import open_storage
from foldstore.errors import ConflictError, NotFoundError, UsageError
from foldstore.types import Operation


def rows(version):
    return sorted(version.to_arrow().to_pylist(), key=lambda row: row["id"])


def conflict(dataset, theirs, **more):
    with pytest.raises(ConflictError) as caught:
        dataset.merge(theirs, **more)
    assert (caught.value.code, caught.value.retry, caught.value.exit_code) == ("merge-conflict", False, 3)
    return caught.value


@pytest.fixture
def main(store):
    dataset = store.create_dataset("d", key=["id"])
    dataset.append({"id": [1, 2, 3, 4], "v": [10, 20, 30, 40]})
    dataset.create_branch("side")
    return dataset


@pytest.fixture
def side(main):
    return main.branch("side")


class TestHistory:
    def test_a_merge_has_two_parents_and_moves_the_handles_branch_alone(self, main, side):
        theirs = side.append({"id": [5], "v": [50]})
        main.delete("id = 1")
        merged = main.merge("side", author="ana")
        record = merged.record
        assert (record.operation, record.branch, record.merge_parent_id) == (Operation.MERGE, "main", theirs.version_id)
        assert (record.author, record.message, record.properties["merged"]) == (
            "ana",
            "Merge side",
            {"theirs": 2, "base": 1},
        )
        assert side.latest.number == 2
        assert main.latest.number == merged.number == 4

    def test_a_branch_with_nothing_new_makes_no_version(self, main, side):
        main.append({"id": [5], "v": [50]})
        assert main.merge("side").number == main.latest.number == 2
        side.append({"id": [6], "v": [60]})
        merged = main.merge("side")
        assert main.merge("side").number == merged.number
        assert main.merge(side.latest).number == merged.number

    def test_a_branch_that_only_followed_takes_over_everything(self, main, side):
        merged = main.append({"id": [5], "v": [50]})
        assert rows(side.merge("main")) == rows(merged)
        assert side.latest.number == 3
        assert main.merge("side").num_rows == 5

    def test_a_second_merge_knows_what_the_first_has_brought(self, main, side):
        side.append({"id": [5], "v": [50]})
        side.add_columns({"w": "v + 1"})
        main.add_columns({"u": "v - 1"})
        main.merge("side")
        main.delete("id = 5")
        side.append({"id": [6], "v": [60]})
        side.delete("id = 1")
        assert [row["id"] for row in rows(main.merge("side"))] == [2, 3, 4, 6]

    def test_versions_of_branches_that_cross_have_a_common_ancestor(self, main, side, folder):
        side.append({"id": [5], "v": [50]})
        main.append({"id": [6], "v": [60]})
        main.merge("side")
        side.append({"id": [7], "v": [70]})
        with foldstore.connect(folder):
            storage = open_storage(folder)
            both = find_common(storage, main.latest.record, side.latest.record)
            fork = find_common(storage, main.latest.record, side.latest.record, merges=False)
            storage.close()
        assert (both.number, fork.number) == (2, 1)

    def test_what_cannot_be_merged_is_refused(self, store, main):
        with pytest.raises(NotFoundError):
            main.merge("nowhere")
        with pytest.raises(UsageError, match="prefer='mine'"):
            main.merge("side", prefer="mine")
        other = store.create_dataset("other").append({"x": [1]})
        with pytest.raises(UsageError, match="not a version of"):
            main.merge(other)

    def test_a_version_whose_rows_retention_gave_up_is_refused(self, side):
        record = replace(side.append({"id": [5], "v": [50]}).record, expired_at="2026-01-01T00:00:00.000000Z")
        with pytest.raises(UsageError) as caught:
            Merge(record)
        assert caught.value.code == "version-expired"

    def test_a_writer_who_was_faster_is_not_overrun(self, main, side, monkeypatch):
        side.append({"id": [5], "v": [50]})
        step = Merge.apply

        def slowly(self, draft, transaction):
            done = step(self, draft, transaction)
            if main.latest.number == 1:
                main.append({"id": [9], "v": [90]})
            return done

        monkeypatch.setattr(Merge, "apply", slowly)
        with pytest.raises(ConflictError) as caught:
            main.merge("side")
        assert (caught.value.code, caught.value.retry) == ("commit-conflict", True)
        assert [row["id"] for row in rows(main.merge("side"))] == [1, 2, 3, 4, 5, 9]


class TestRows:
    def test_both_sides_rows_and_deletions_arrive(self, main, side):
        side.upsert({"id": [2, 5], "v": [21, 50]})
        side.delete("id = 3")
        main.upsert({"id": [4, 6], "v": [41, 60]})
        main.delete("id = 1")
        wanted = [{"id": i, "v": v} for i, v in ((2, 21), (4, 41), (5, 50), (6, 60))]
        theirs = side.latest
        assert rows(side.merge("main")) == wanted
        assert rows(main.merge(theirs)) == wanted

    def test_only_the_manifest_is_written(self, main, side):
        side.upsert({"id": [2, 5], "v": [21, 50]})
        main.delete("id = 1")
        merged = main.merge("side")
        assert (merged.record.bytes_added, merged.record.rows_added) == (0, 2)

    def test_rows_that_nobody_touched_keep_their_ids_through_compactions(self, main, side):
        ids = dict(zip([1, 2, 3, 4], main.latest.rows.row_ids().tolist(), strict=True))
        side.append({"id": [5], "v": [50]})
        side.delete("id = 2")
        side.compact()
        main.append({"id": [6], "v": [60]})
        main.append({"id": [7], "v": [70]})
        main.compact()
        merged = main.merge("side")
        found = dict(zip(merged.to_arrow(["id"])["id"].to_pylist(), merged.rows.row_ids().tolist(), strict=True))
        assert sorted(found) == [1, 3, 4, 5, 6, 7]
        assert {key: found[key] for key in (1, 3, 4)} == {key: ids[key] for key in (1, 3, 4)}

    def test_a_key_that_both_added_with_equal_values_is_kept_once(self, main, side):
        for branch in (main, side):
            branch.append({"id": [5, 6], "v": [50, None]})
        assert main.merge("side").num_rows == 6

    def test_without_a_key_the_rows_of_both_are_kept(self, store):
        dataset = store.create_dataset("loose")
        dataset.append({"x": [1, 2]})
        side = dataset.create_branch("side")
        side.append({"x": [3]})
        side.delete("x = 1")
        dataset.append({"x": [3]})
        assert sorted(dataset.merge("side").to_arrow()["x"].to_pylist()) == [2, 3, 3]

    def test_two_branches_that_merged_a_third_keep_its_rows_once(self, store):
        dataset = store.create_dataset("loose")
        dataset.append({"x": [1]})
        first, second = dataset.create_branch("first"), dataset.create_branch("second")
        third = dataset.create_branch("third")
        third.append({"x": [2]})
        third.append({"x": [3]})
        first.append({"x": [4]})
        second.append({"x": [5]})
        first.merge("third")
        second.merge("third")
        third.compact()
        assert sorted(first.merge("second").to_arrow()["x"].to_pylist()) == [1, 2, 3, 4, 5]


class TestConflicts:
    @pytest.fixture
    def at_odds(self, main, side):
        side.upsert({"id": [1, 5], "v": [11, 51]})
        side.delete("id = 2")
        side.upsert({"id": [3], "v": [31]})
        main.upsert({"id": [1, 2, 5], "v": [12, 22, 52]})
        main.delete("id = 3")
        return main

    def test_each_is_named_and_counted_and_nothing_is_committed(self, at_odds):
        error = conflict(at_odds, "side")
        assert error.facts["counts"] == {"both-changed": 1, "both-added": 1, "delete-change": 2}
        assert error.facts["conflicts"] == [
            {"kind": "both-changed", "key": {"id": 1}, "columns": ["v"], "ours": "d@6", "theirs": "d@4"},
            {"kind": "both-added", "key": {"id": 5}, "columns": ["v"], "ours": "d@6", "theirs": "d@4"},
            {"kind": "delete-change", "key": {"id": 2}, "changed_by": "ours", "ours": "d@6", "theirs": "d@4"},
            {"kind": "delete-change", "key": {"id": 3}, "changed_by": "theirs", "ours": "d@6", "theirs": "d@4"},
        ]
        assert "4 conflicts" in error.message
        assert "prefer='ours'" in error.hint
        assert at_odds.latest.number == 6

    @pytest.mark.parametrize(
        ("prefer", "wanted"),
        [("ours", [(1, 12), (2, 22), (4, 40), (5, 52)]), ("theirs", [(1, 11), (3, 31), (4, 40), (5, 51)])],
    )
    def test_a_preferred_side_settles_them(self, at_odds, prefer, wanted):
        merged = at_odds.merge("side", prefer=prefer)
        assert [(row["id"], row["v"]) for row in rows(merged)] == wanted

    def test_many_are_counted_exactly_and_shown_in_part(self, main, side):
        ids = list(range(100, 160))
        main.append({"id": ids, "v": [1] * 60})
        side.append({"id": ids, "v": [2] * 60})
        error = conflict(main, "side")
        assert error.facts["counts"] == {"both-added": 60}
        assert len(error.facts["conflicts"]) == 10

    def test_keys_of_instants_are_shown_as_text(self, store):
        dataset = store.create_dataset("t", key=["at"])
        at = pa.array([0], pa.timestamp("ns", "UTC"))
        dataset.append({"at": at, "v": [0]})
        side = dataset.create_branch("side")
        side.upsert({"at": at, "v": [1]})
        dataset.upsert({"at": at, "v": [2]})
        shown = conflict(dataset, "side").facts["conflicts"][0]["key"]["at"]
        assert shown.startswith("1970-01-01 00:00:00")


class TestColumns:
    def test_columns_that_got_one_field_id_on_two_branches_stay_apart(self, main, side):
        side.add_columns({"theirs": "v * 100"})
        side.append({"id": [5], "v": [50]})
        main.add_columns({"ours": "v + 1"})
        main.append({"id": [6], "v": [60]})
        merged = main.merge("side")
        assert rows(merged) == [
            {"id": i, "v": i * 10, "ours": i * 10 + 1, "theirs": i * 1000} for i in (1, 2, 3, 4, 5, 6)
        ]
        assert rows(main.append({"id": [7], "v": [70]}))[-1] == {"id": 7, "v": 70, "ours": 71, "theirs": 7000}

    def test_the_same_column_on_both_sides_is_one(self, main, side):
        for branch in (main, side):
            branch.add_columns({"w": "v + 1"})
        side.append({"id": [5], "v": [50]})
        merged = main.merge("side")
        assert merged.arrow_schema.names == ["id", "v", "w"]
        assert [row["w"] for row in rows(merged)] == [11, 21, 31, 41, 51]
        assert merged.record.bytes_added == 0

    def test_values_that_were_joined_follow_rows_that_the_other_side_replaced(self, main, side):
        side.add_columns(pa.table({"id": [1, 2, 3, 4], "city": ["a", "b", "c", "d"]}))
        main.upsert({"id": [2, 9], "v": [22, 90]})
        main.compact()
        merged = main.merge("side")
        assert {row["id"]: row["city"] for row in rows(merged)} == {1: "a", 2: "b", 3: "c", 4: "d", 9: None}
        mirrored = side.merge(merged)
        assert rows(mirrored) == rows(merged)

    def test_renames_drops_and_wider_types_arrive(self, store):
        dataset = store.create_dataset("wide", key=["id"])
        dataset.append({"id": [1], "a": pa.array([1], pa.int32()), "b": [2], "c": [3]})
        side = dataset.create_branch("side")
        side.rename_columns({"b": "bee"})
        side.drop_columns(["c"])
        dataset.widen_columns({"a": "int64"})
        dataset.append({"id": [2], "a": [2**40], "b": [5], "c": [6]})
        side.append({"id": [3], "a": pa.array([7], pa.int32()), "bee": [8]})
        merged = dataset.merge("side")
        assert rows(merged) == [
            {"id": 1, "a": 1, "bee": 2},
            {"id": 2, "a": 2**40, "bee": 5},
            {"id": 3, "a": 7, "bee": 8},
        ]
        assert merged.arrow_schema.field("a").type == pa.int64()

    def test_a_column_that_each_side_computes_otherwise_is_a_conflict(self, main, side):
        side.add_columns({"w": "v + 1"})
        side.append({"id": [5], "v": [50]})
        main.add_columns({"w": "v + 2"})
        assert conflict(main, "side").facts["counts"] == {"column-name": 1}
        assert [row["w"] for row in rows(main.merge("side", prefer="theirs"))] == [11, 21, 31, 41, 51]

    def test_a_column_that_each_side_computes_otherwise_may_stay_ours(self, main, side):
        side.add_columns({"w": "v + 1"})
        side.append({"id": [5], "v": [50]})
        main.add_columns({"w": "v + 2"})
        merged = main.merge("side", prefer="ours")
        assert merged.arrow_schema.names == ["id", "v", "w"]
        assert [row["w"] for row in rows(merged)] == [12, 22, 32, 42, 52]

    def test_two_columns_that_were_given_one_name_are_a_conflict(self, main):
        main.append({"id": [5], "v": [50], "a": [1], "b": [2]}, evolve=True)
        other = main.create_branch("other")
        other.rename_columns({"a": "x"})
        main.rename_columns({"b": "x"})
        error = conflict(main, "other")
        assert error.facts["conflicts"][0]["column"] == "x"
        assert set(main.merge("other", prefer="ours").arrow_schema.names) == {"id", "v", "a", "x"}

    def test_a_derived_column_whose_input_the_other_side_dropped_is_a_conflict(self, main):
        main.append({"id": [5], "v": [50], "extra": [1]}, evolve=True)
        other = main.create_branch("other")
        other.add_columns({"twice": "extra * 2"})
        main.drop_columns(["extra"])
        for prefer in (None, "ours", "theirs"):
            assert conflict(main, "other", prefer=prefer).facts["counts"] == {"column-expression": 1}

    def test_types_that_hold_each_other_not_are_no_matter_of_preference(self, store):
        dataset = store.create_dataset("wide", key=["id"])
        dataset.append({"id": [1], "a": pa.array([1], pa.int8())})
        side = dataset.create_branch("side")
        side.widen_columns({"a": "int64"})
        dataset.widen_columns({"a": "int32"})
        assert conflict(dataset, "side").facts["counts"] == {"column-changed": 1}
        merged = dataset.merge("side", prefer="ours")
        assert merged.arrow_schema.field("a").type == pa.int64()  # the wider holds both
        other = dataset.create_branch("other", 1)
        other.widen_columns({"a": "float"})
        assert conflict(dataset, "other", prefer="theirs").facts["counts"] == {"column-changed": 1}

    def test_a_column_of_nulls_whose_type_one_side_settled_takes_that_type(self, store):
        dataset = store.create_dataset("nulls", key=["id"])
        dataset.append({"id": [1], "a": pa.nulls(1)})
        side = dataset.create_branch("side")
        side.append({"id": [2], "a": [5]})
        dataset.append({"id": [3], "a": pa.nulls(1)})
        assert [row["a"] for row in rows(dataset.merge("side"))] == [None, 5, None]
        assert [row["a"] for row in rows(side.merge("main"))] == [None, 5, None]


class TestGate:
    def test_the_merged_rows_are_judged_like_every_commit(self, main, side):
        schema = foldstore.DataSchema.from_yaml(
            "keys: [id]\ncolumns:\n  id: {type: int64}\n  v: {type: int64, domain: {max: 100}}\n"
        )
        side.append({"id": [5], "v": [500]})
        main.set_schema(schema)
        merged = main.merge("side")
        assert merged.status == "quarantined"
        assert main.latest.number == 1
        with pytest.raises(UsageError, match="quarantined"):
            side.merge(merged)

    def test_a_row_set_has_the_places_that_its_masks_say(self, main):
        reader = main.delete("id = 2").rows
        (fragment,) = reader.fragments
        whole = RowSet(reader, [Part(fragment)])
        assert whole.to_table(["id"])["id"].to_pylist() == [1, 3, 4]
        places = pa.array([2, 0]).to_numpy()
        assert whole.take(places, ["id"])["id"].to_pylist() == [4, 1]
        assert whole.without(places).to_table(["id"])["id"].to_pylist() == [3]
