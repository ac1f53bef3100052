"""The guard against leakage: rows of test pools and of parts of splits in what is learned from."""

import pytest

import foldstore
from foldstore.datastore.engine import Engine
from foldstore.errors import UsageError
from foldstore.split_documents import SplitDocuments
from foldstore.views.view import View


@pytest.fixture
def flights(store):
    data = store.create_dataset("flights", key=["id"])
    version = data.append({"id": list(range(4_000)), "late": [n % 3 == 0 for n in range(4_000)]})
    version.split("half", train=0.5, validation=0.1, test=0.4)
    return data


def _seal(store):
    split = store.split("flights@1#half")
    plan = foldstore.plan_pool("n > 0.6 +/- 0.05", reliability=0.99, steps=4)
    store.pools.seal("p", split.test, label="late", plan=plan)


def test_the_rows_of_each_part_are_counted(store, flights):
    split = store.split("flights@1#half")
    report = store.view("flights@1").leakage()
    assert report.splits == {
        "flights@1#half": {part: split.part(part).num_rows for part in ("train", "validation", "test")}
    }
    assert report.mixed == ("flights@1#half",)
    assert not report.passed
    assert "lie beside" in str(report)


class TestFolds:
    def test_rows_of_all_folds_may_be_learned_from_once_a_model_is_chosen(self, store):
        version = store.create_dataset("d", key=["id"]).append({"id": list(range(100))})
        version.folds("cv", k=5)
        assert store.view("d@1").leakage().splits == {}

    def test_both_sides_of_a_fold_are_not(self, store):
        version = store.create_dataset("d", key=["id"]).append({"id": list(range(100))})
        folds = version.folds("cv", k=5, inner=2)
        fold = folds.fold(3)
        alone = store.view("d@1#cv-3.train")
        assert alone.leakage().passed
        both = alone.union(store.view("d@1#cv-3.test")).leakage()
        assert both.mixed == ("d@1#cv-3",)
        assert both.splits["d@1#cv-3"] == {"train": fold.train.num_rows, "validation": 0, "test": fold.test.num_rows}
        others = alone.union(store.view("d@1#cv-2.train")).leakage()
        assert set(others.mixed) == {"d@1#cv-2", "d@1#cv-3"}
        inner = store.view("d@1#cv-3-1.train").union(store.view("d@1#cv-3-1.validation")).leakage()
        assert inner.mixed == ("d@1#cv-3-1",)


@pytest.mark.parametrize("part", ["train", "validation", "test"])
def test_one_part_by_itself_leaks_nothing(store, flights, part):
    report = store.view(f"flights@1#half.{part}").where("id % 2 = 0").leakage()
    assert report.passed
    assert [name for name, rows in report.splits["flights@1#half"].items() if rows] == [part]


def test_rows_are_found_whatever_the_steps(store, flights):
    test = store.split("flights@1#half").test.to_arrow()["id"].to_pylist()
    view = store.view("flights@1").where(f"id = {test[0]} OR id = {test[1]}").shuffle(1).select(x="id + 1").repeat(3)
    assert view.leakage().splits["flights@1#half"] == {"train": 0, "validation": 0, "test": 2}


def test_rows_of_a_part_are_known_in_later_versions(store, flights):
    flights.append({"id": [9_000], "late": [True]})
    flights.delete("id < 100")
    split = store.split("flights@3#half")
    rows = store.view("flights@3").leakage().splits["flights@3#half"]
    assert rows == {part: split.part(part).num_rows for part in ("train", "validation", "test")}


def test_other_splits_may_overlap_a_part(store, flights):
    flights.latest.split("other", train=0.5, test=0.5)
    assert store.view("flights@1#half.train").leakage().passed
    both = store.view(["flights@1#half.train", "flights@1#half.test"]).leakage()
    assert both.mixed == ("flights@1#half",)


def test_rows_of_a_sealed_pool_are_found_through_any_version(store, flights):
    _seal(store)
    report = store.view("flights@1").where("id < 2000").leakage()
    assert report.pools == {"p": store.view("flights@1#half.test").where("id < 2000").count()}
    assert "test pool 'p'" in str(report)
    assert store.view("flights@1#half.train").leakage().pools == {}


def test_the_ends_that_feed_models_warn(store, flights):
    view = store.view("flights@1").select("id")
    with pytest.warns(foldstore.LeakageWarning, match="lie beside"):
        view.loader(10)
    with pytest.warns(foldstore.LeakageWarning):
        view.to_xy("id", [])
    assert len(store.view("flights@1#half.train").loader(100)) > 0
    _seal(store)
    with pytest.warns(foldstore.LeakageWarning, match="test pool 'p'"):
        store.view("flights@1#half.test").select("id").loader(10)


def test_data_without_splits_is_not_looked_through(store):
    store.create_dataset("d").append({"n": [1, 2]})
    view = store.view("d@1").where("n > 1")
    assert view.leakage().passed
    assert view.leakage().to_dict() == {"view": "d@1", "passed": True, "splits": {}, "pools": {}}


def test_a_view_without_a_store_cannot_be_looked_through(store):
    version = store.create_dataset("d").append({"n": [1, 2]})
    with pytest.raises(UsageError, match="belongs to no store"):
        View(version, engine=Engine()).leakage()


class TestPartsReadInSeveralWays:
    """What is train is train at every version, whichever split it was made within."""

    @pytest.fixture
    def grown(self, store, flights):
        flights.append({"id": list(range(4_000, 5_000)), "late": [False] * 1_000})
        return flights

    def test_train_of_one_version_beside_test_of_another(self, store, grown):
        report = store.view(["flights@1#half.train", "flights@2#half.test"]).leakage()
        half = {version: store.split(f"flights@{version}#half") for version in (1, 2)}
        assert report.splits == {
            "flights@2#half": {"train": half[1].train.num_rows, "validation": 0, "test": half[2].test.num_rows}
        }
        assert report.mixed == ("flights@2#half",)

    def test_a_row_that_two_versions_have_counts_once(self, store, grown):
        report = store.view(["flights@1#half.train", "flights@2#half.train"]).leakage()
        assert report.passed
        assert report.splits["flights@2#half"]["train"] == store.split("flights@2#half").train.num_rows

    def test_train_of_an_inner_split_beside_test_of_the_outer_one(self, store, flights):
        store.split("flights@1#half").train.split("inner", train=0.5, test=0.5)
        report = store.view(["flights@1#inner.train", "flights@1#half.test"]).leakage()
        assert report.mixed == ("flights@1#half",)
        store.split("flights@1#inner").train.folds("cv", k=3)
        assert store.view(["flights@1#cv-2.train", "flights@1#half.test"]).leakage().mixed == ("flights@1#half",)
        assert store.view("flights@1#cv-2.train").leakage().passed

    def test_train_of_one_split_beside_test_of_another(self, store, flights):
        flights.latest.split("other", train=0.5, test=0.5, seed=9)
        report = store.view(["flights@1#half.train", "flights@1#other.test"]).leakage()
        assert report.mixed == ("flights@1#half", "flights@1#other")
        assert store.view("flights@1#half.train").leakage().passed

    def test_rows_that_a_compaction_moved(self, store, grown):
        grown.compact()
        assert store.view("flights@3").leakage().mixed == ("flights@3#half",)

    def test_looking_keeps_nothing(self, store, grown):
        record = grown.record
        before = SplitDocuments(store._storage, record).find("half")
        assert store.view("flights@2").leakage().splits["flights@2#half"]["train"] > before.assignment.count("train")
        assert SplitDocuments(store._storage, record).find("half").version == before.version

    def test_a_store_that_is_only_read_is_looked_through(self, store, grown, folder):
        with foldstore.connect(folder, read_only=True) as reader:
            assert reader.view("flights@2").leakage().mixed == ("flights@2#half",)


ENDS = {
    "to_xy": lambda rows: rows.to_xy("late"),
    "loader": lambda rows: rows.loader(100),
    "to_torch": lambda rows: rows.to_torch(100),
    "to_huggingface": lambda rows: rows.to_huggingface(),
}


@pytest.mark.parametrize("end", ENDS)
def test_versions_warn_as_their_views_do(store, flights, end):
    if end in ("to_torch", "to_huggingface"):
        pytest.importorskip("torch" if end == "to_torch" else "datasets")
    for rows in (store.version("flights@1"), store.dataset("flights").latest.view(), store.view("flights@1")):
        with pytest.warns(foldstore.LeakageWarning, match="lie beside") as caught:
            ENDS[end](rows)
        assert caught[0].filename == __file__


@pytest.mark.filterwarnings("error::foldstore.LeakageWarning")
def test_a_part_and_frames_are_silent(store, flights):
    part = store.split("flights@1#half").train
    assert len(part.to_xy("late")[1]) == part.num_rows
    version = store.version("flights@1")
    assert version.to_polars().height == version.num_rows == len(version.to_numpy()["id"])


def test_the_view_of_a_version_or_a_part_belongs_to_the_store(store, flights):
    version = store.version("flights@1")
    assert not version.view().leakage().passed
    assert version.view().where("id < 9").split("few", train=1.0).train.num_rows == 9
    assert version.view().where("id < 9").save("nine") == 1
    assert version.view().moved().num_removed == 0
    part = version.find_split("half").train.view()
    assert part.leakage().passed
    assert part.where("id < 9").folds("cv", k=2).address == "flights@1#cv"
