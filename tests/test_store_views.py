"""Views of a store: over versions and parts, over each other, over what an alias means now."""

import json

import numpy as np
import pyarrow as pa
import pytest

import foldstore
from foldstore.errors import NotFoundError, RefusedError, UsageError
from foldstore.views.view import View


@pytest.fixture
def trips(store):
    data = store.create_dataset("trips", key=["id"])
    data.append({"id": list(range(100)), "km": [i % 10 for i in range(100)]})
    data.set_alias("champion", 1)
    return data


def _quarantined(store):
    data = store.create_dataset("judged", key=["id"])
    first = data.append({"id": [1, 2], "x": [0.5, 0.6]})
    data.set_schema(first.profile().infer_schema().with_column("x", nullable=False))
    return data.append({"id": [3], "x": [None]})


class TestInputs:
    def test_a_view_stands_over_views_and_parts(self, store, trips):
        trips.latest.split("half", train=0.5, test=0.5)
        store.view("trips@1").where("km < 5").save("short")
        both = store.view(["short@1", "trips@1#half.test"])
        assert both.count() == 50 + store.split("trips@1#half").test.num_rows
        assert store.view("short@1").where("km > 3").count() == 10
        assert store.view(both) is both

    def test_a_view_over_a_view_is_the_same_as_one_with_its_steps(self, store, trips):
        store.view("trips@1").where("km < 5").save("short")
        assert store.view("short@1").limit(3).hash == store.view("trips@1").where("km < 5").limit(3).hash

    def test_a_name_can_be_saved_over_itself_and_goes_in_no_circle(self, store, trips):
        store.view("trips@1").where("km < 5").save("short")
        store.view("short").where("km < 3").save("short")
        store.view("short@2").union(store.view("short@1")).save("short")
        assert [store.view(f"short@{number}").count() for number in (1, 2, 3)] == [50, 30, 80]

    def test_a_specification_that_names_a_saved_view_has_its_steps(self, store, trips):
        store.view("trips@1").where("id < 10").save("ten")
        store.blend({"trips@1": 1, "ten@1": 1}, rows=8).save("mix")
        named = {"sources": [{"address": "ten@1"}], "steps": [{"where": "km > 3"}]}
        assert store.view(named).hash == store.view("ten@1").where("km > 3").hash
        both = {"union": {"columns": "same"}, "inputs": [named, {"sources": [{"address": "mix@1"}], "steps": []}]}
        assert store.view({**both, "steps": [{"limit": 9}]}).to_arrow() == (
            store.view(["ten@1"]).where("km > 3").union(store.view("mix@1")).limit(9).to_arrow()
        )

    def test_what_is_saved_can_be_opened_however_deep_and_fine(self, store, trips):
        view = store.view("trips@1").limit(3)
        for level in range(16):
            view = view.union(store.view("trips@1").limit(1))
            view.save(f"deep{level}")
        assert store.view("deep15@1").count() == 19
        with pytest.raises(UsageError, match="at most 16 deep"):
            view.union(view)
        with pytest.raises(UsageError, match="at most 16 deep"):
            store.blend([view, "trips@1"])
        thirds = ["123456789011/999999999989", "1/999999999961", 1 / 3]
        store.blend(["trips@1"] * 3, thirds, rows=30).save("fine")
        assert store.view("fine@1").count() == 30
        with pytest.raises(UsageError, match="too many digits"):
            store.blend(["trips@1"] * 3, [f"{10**23}/{10**24 + 7}", f"{10**23}/{10**24 + 9}", 1])

    def test_a_quarantined_version_is_no_input_unless_it_is_asked_for(self, store):
        version = _quarantined(store)
        with pytest.raises(RefusedError, match="judged@2 is quarantined") as caught:
            store.view("judged@2")
        assert caught.value.code == "version-quarantined"
        assert store.view("judged@2", quarantined=True).count() == version.num_rows == 3
        assert store.sql('SELECT count(*) FROM "judged@2"').rows() == [(3,)]
        with pytest.raises(RefusedError):
            store.view(["judged@1", "judged@2"])

    def test_a_version_that_is_gone_is_said_so(self, store, trips):
        spec = store.view("trips@1").spec()
        spec["sources"][0]["version_id"] = "0" * 32
        with pytest.raises(NotFoundError, match="trips@1, which the view is pinned to, is gone"):
            View.from_spec(spec, store._find_source, engine=store._storage.engine)

    def test_what_is_no_address_is_refused(self, store):
        for what in (5, None, {"a": 1}):
            with pytest.raises(UsageError):
                store.view(what)
        with pytest.raises(UsageError, match="at least one view"):
            store.view([])
        with pytest.raises(UsageError, match="several views"):
            store.blend("trips@1")
        with pytest.raises(UsageError, match="in the mapping already"):
            store.blend({"trips@1": 1}, [1])

    def test_a_blend_takes_what_its_inputs_have_in_common(self, store, trips):
        trips.add_columns({"miles": "km / 1.609"})
        with pytest.raises(UsageError, match="different columns: miles") as caught:
            store.blend(["trips@1", "trips@2"])
        assert caught.value.code == "columns-differ"
        blend = store.blend(["trips@2", "trips@1"], columns="common")
        assert blend.arrow_schema.names == ["id", "km"]
        assert blend.count() == 200
        with pytest.raises(UsageError, match="no choice of a blend"):
            store.blend(["trips@1", "trips@2"], columns="all")

    def test_blends_of_addresses_have_their_weights(self, store, trips):
        store.create_dataset("night").append({"id": [-1, -2], "km": [0, 0]})
        found = store.blend({"trips@1": 3, "night@1": 1}, rows=40).to_arrow()["id"].to_pylist()
        assert sum(n < 0 for n in found) == 10


class TestRows:
    def test_deleted_and_moved_rows_are_shuffled_right(self, store, trips):
        trips.delete("km = 3")
        trips.compact()
        rows = store.view("trips").shuffle(5).to_arrow()
        assert sorted(rows["id"].to_pylist()) == [i for i in range(100) if i % 10 != 3]

    def test_a_sample_keeps_its_rows_when_others_are_deleted_and_moved(self, store):
        data = store.create_dataset("d", key=["id"])
        data.append({"id": list(range(2_000))})
        before = set(store.view("d@1").sample(0.2, seed=1).to_arrow()["id"].to_pylist())
        data.delete("id % 100 = 7")
        data.compact()
        after = set(store.view("d").sample(0.2, seed=1).to_arrow()["id"].to_pylist())
        assert len(before - after) < 40

    def test_cells_that_are_sealed_meanwhile_are_null_in_an_open_view(self, store):
        data = store.create_dataset("d", key=["id"])
        version = data.append({"id": list(range(4_000)), "late": [n % 3 == 0 for n in range(4_000)]})
        split = version.split("half", train=0.5, test=0.5)
        view = store.view("d@1").where("late IS NOT NULL").shuffle(1)
        assert view.count() == 4_000
        assert view.to_arrow()["late"].null_count == 0
        plan = foldstore.plan_pool("n > 0.6 +/- 0.05", reliability=0.99, steps=4)
        store.pools.seal("p", split.test, label="late", plan=plan)
        assert view.count() == len(view.to_arrow()) == split.train.num_rows
        assert store.view("d@1").shuffle(1).to_arrow()["late"].null_count == split.test.num_rows

    def test_rows_that_are_erased_meanwhile_are_not_in_an_open_view(self, store, trips):
        view = store.view("trips@1").shuffle(1)
        assert len(view.to_arrow()) == 100
        trips.erase(keys={"id": [5, 6]}, reason="asked for")
        assert sorted(view.to_arrow()["id"].to_pylist()) == [i for i in range(100) if i not in (5, 6)]

    def test_an_unfiltered_shuffle_reads_slices_of_the_mapped_files(self, store):
        version = store.create_dataset("d").append(pa.table({"n": np.arange(300_000)}))
        mapped = version.to_arrow()["n"].chunk(0).buffers()[1]
        (batch,) = store.view("d@1").rows.index().slices(1_000, 2_000, ["n"])
        address = batch.column(0).buffers()[1].address
        assert mapped.address <= address < mapped.address + mapped.size


class TestSharingOut:
    def test_the_rows_of_a_view_are_split_and_the_others_are_in_no_part(self, store, trips):
        view = store.view("trips@1").where("km < 5").where("id > 9").select("id", far="km > 2")
        split = view.split("half", train=0.5, test=0.5)
        assert split.train.num_rows + split.test.num_rows == view.count() == 45
        assert all(km < 5 for km in split.train.to_arrow()["km"].to_pylist())

    def test_a_view_is_shared_out_to_folds(self, store, trips):
        folds = store.view("trips").where("km < 5").folds("cv", k=5, stratify="km")
        held_out = [id_ for fold in folds for id_ in fold.validation.to_arrow()["id"].to_pylist()]
        assert sorted(held_out) == [i for i in range(100) if i % 10 < 5]
        assert store.view("trips@1#cv-3.train").count() == 40

    def test_a_view_of_a_part_is_split_within_it(self, store, trips):
        outer = trips.latest.split("outer", train=0.5, test=0.5)
        inner = store.view("trips@1#outer.train").where("km > 4").split("inner", train=0.5, validation=0.5)
        both = inner.train.num_rows + inner.validation.num_rows
        assert both == outer.train.view().where("km > 4").count()

    @pytest.mark.parametrize(
        "change",
        [
            lambda view: view.limit(3),
            lambda view: view.sample(0.5),
            lambda view: view.shuffle(1),
            lambda view: view.repeat(2),
            lambda view: view.union(view),
            lambda view: view.select("id", x="km + 1").where("x > 3"),
        ],
    )
    def test_a_view_of_other_rows_is_not_split(self, store, trips, change):
        for share_out in ("split", "folds"):
            with pytest.raises(UsageError, match="can be split"):
                getattr(change(store.view("trips@1")), share_out)("s")


class TestMoving:
    def test_a_view_says_what_changed_since_its_alias_moved(self, store, trips):
        view = store.view("trips@champion").where("km < 5")
        assert view.moved().is_empty
        trips.delete("id < 10")
        trips.append({"id": [200, 201, 202], "km": [1, 2, 9]})
        trips.set_alias("champion", 3)
        moved = view.moved()
        assert moved.sources == (("trips@1", "trips@3"),)
        assert (moved.num_before, moved.num_after) == (50, 47)
        assert (moved.num_added, moved.num_removed, moved.num_common) == (2, 5, 45)
        assert "trips@1 → trips@3" in str(moved)
        assert view.repinned().count() == 47
        assert view.count() == 50

    def test_a_view_whose_column_is_gone_says_so(self, store, trips):
        view = store.view("trips@champion").where("km < 5")
        trips.rename_columns({"km": "far"})
        trips.set_alias("champion", 2)
        moved = view.moved()
        assert "'km'" in moved.broken
        assert (moved.is_empty, moved.num_before, moved.num_after, moved.num_removed) == (False, 50, 0, 50)
        assert "cannot be made any more" in str(moved)
        assert moved.to_dict()["broken"] == moved.broken
        assert view.diff(view).to_dict()["broken"] is None

    def test_a_view_whose_branch_is_gone_says_which_and_what_to_do(self, store, trips):
        trips.create_branch("dev", 1)
        view = store.view("trips@dev").where("km < 5")
        trips.remove_ref("dev")
        with pytest.raises(NotFoundError, match="was made of trips@dev, which is not there any more") as caught:
            view.moved()
        assert "stays with trips@1" in caught.value.hint
        assert view.count() == 50

    def test_a_star_is_no_version(self, store, trips):
        with pytest.raises(UsageError, match="stands for no version") as caught:
            store.view("trips@*")
        assert "store.view([" in caught.value.hint

    def test_a_numbered_input_never_moves(self, store, trips):
        view = store.view("trips@1")
        trips.append({"id": [200], "km": [1]})
        assert view.moved().is_empty
        assert not store.view("trips").union(view).repinned().diff(store.view("trips").union(view)).num_added

    def test_a_saved_view_remembers_what_it_was_asked_for(self, store, trips):
        store.view("trips").where("km < 5").save("short")
        trips.append({"id": [200], "km": [1]})
        moved = store.view("short@1").moved()
        assert (moved.num_added, moved.num_removed) == (1, 0)
        assert store.view("short@1").repinned().save("short") == 2
        assert store.view("short").count() == 51

    def test_every_input_of_a_combination_is_pinned_anew(self, store, trips):
        view = store.view(["trips", "trips@1"]).shuffle(1)
        trips.append({"id": [200], "km": [1]})
        assert [source.source.address for source in view.repinned().sources()] == ["trips@2", "trips@1"]

    def test_two_views_are_compared(self, store, trips):
        one, two = store.view("trips@1").where("km < 5"), store.view("trips@1").where("km < 7").select("id")
        diff = one.diff(two)
        assert (diff.num_added, diff.num_removed, diff.num_common) == (20, 0, 50)
        assert diff.columns_dropped == ("km",)
        assert any("km < 7" in line for line in diff.spec)
        assert json.loads(json.dumps(diff.to_dict()))["rows"]["added"] == 20
        assert one.diff(one).is_empty
        with pytest.raises(UsageError, match="is not a view"):
            one.diff("trips@1")

    def test_all_rows_of_a_repetition_are_counted_and_looked_at_once(self, store, trips):
        view = store.view("trips@1")
        found = view.repeat(2).diff(view)
        assert (found.num_before, found.num_after, found.num_common) == (200, 100, 100)
        assert view.repeat().diff(view).num_common == 100
        assert view.union(view.where("km < 5").repeat(1000)).diff(view).num_before == 100 + 50_000

    def test_repeated_rows_count_once_in_a_comparison(self, store, trips):
        one = store.view("trips@1").limit(10)
        diff = one.diff(one.union(one))
        assert (diff.num_after, diff.num_added, diff.num_common) == (20, 0, 10)


class TestRuns:
    def test_a_view_that_a_run_opens_is_its_input(self, store, trips):
        store.view(["trips@1", "trips@1"]).save("twice")
        with store.run("train") as run:
            store.view("twice@1").shuffle(1).loader(10)
        inputs = store.runs.get(run.id).inputs
        assert [(each.asked, each.address) for each in inputs] == [("twice@1", "trips@1")]
        with store.run("import") as run:
            run.use(store.view("trips@1").where("km < 5"))
        assert [each.address for each in store.runs.get(run.id).inputs] == ["trips@1"]

    def test_lineage_follows_a_blend_to_its_versions(self, store, trips):
        store.create_dataset("night").append({"id": [-1], "km": [0]})
        store.blend({"trips@1": 1, "night@1": 1}).save("mixed")
        assert {"trips@1", "night@1"} <= set(store.lineage("mixed@1").upstream().labels())
