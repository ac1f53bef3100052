"""Splits through the SDK: where a row went is settled for good (law 3)."""

from typing import ClassVar

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import foldstore
from foldstore.errors import AlreadyExistsError, FoldstoreError, NotFoundError, SplitWarning, UsageError


def _rows(start, stop):
    return {"id": list(range(start, stop)), "group": [f"g{n % 7}" for n in range(start, stop)]}


def _parts(split):
    return {part: set(split.part(part).to_arrow(["id"])["id"].to_pylist()) for part in ("train", "validation", "test")}


@given(sizes=st.lists(st.integers(1, 60), min_size=2, max_size=4), seed=st.integers(0, 5))
@settings(max_examples=15)
def test_law_3_new_data_never_moves_an_old_row(sizes, seed, tmp_path_factory):
    with foldstore.connect(tmp_path_factory.mktemp("law3") / "s") as store:
        dataset = store.create_dataset("d", key=["id"])
        end = sizes[0]
        first = dataset.append(_rows(0, end))
        before = _parts(first.split("s", train=0.5, validation=0.2, test=0.3, seed=seed))
        assert set.union(*before.values()) == set(range(end))
        for size in sizes[1:]:
            version = dataset.append(_rows(end, end + size))
            end += size
            after = _parts(version.find_split("s"))
            assert sum(len(ids) for ids in after.values()) == end
            assert all(before[part] <= after[part] for part in before)
            before = after
        assert _parts(first.find_split("s")) == {part: {n for n in ids if n < sizes[0]} for part, ids in before.items()}


def test_law_3_a_group_is_never_torn_apart(store):
    dataset = store.create_dataset("d", key=["id"])
    dataset.append(_rows(0, 100))
    split = dataset.latest.split("by_group", train=0.5, test=0.5, group_by=["group"])
    dataset.append(_rows(100, 300))
    split = dataset.latest.find_split("by_group")
    groups = [set(split.part(p).to_arrow(["group"])["group"].to_pylist()) for p in ("train", "test")]
    assert groups[0].isdisjoint(groups[1])
    assert split.report(group_by=["group"]).groups_in_several_parts == 0


def test_a_split_by_time_gives_a_row_at_a_boundary_to_the_later_part(store):
    dataset = store.create_dataset("d", event_time="t")
    times = pa.array([0, 86_400, 86_401, 2 * 86_400], pa.timestamp("s", "UTC"))
    version = dataset.append(pa.table({"t": times, "n": [1, 2, 3, 4]}))
    split = version.split("days", by_time="t", boundaries=["1970-01-02", "1970-01-03"])
    assert [split.part(p).to_arrow(["n"])["n"].to_pylist() for p in ("train", "validation", "test")] == [
        [1],
        [2, 3],
        [4],
    ]


def test_rows_outside_a_view_are_in_no_part_and_stay_out(store):
    dataset = store.create_dataset("d", key=["id"])
    dataset.append({"id": [1, 2, 3, 4], "ok": [True, False, True, None]})
    split = store.view("d@1").where("ok").split("fine", train=1.0)
    assert split.train.to_arrow(["id"])["id"].to_pylist() == [1, 3]
    dataset.append({"id": [5, 6], "ok": [False, True]})
    assert dataset.latest.find_split("fine").train.to_arrow(["id"])["id"].to_pylist() == [1, 3, 6]


def test_a_part_has_an_address_that_views_and_sql_understand(store):
    store.create_dataset("d", key=["id"]).append(_rows(0, 500)).split("s", train=0.6, test=0.4)
    train = store.split("d@1#s").train
    assert store.sql('SELECT count(*) FROM "d@1#s.train"').rows() == [(train.num_rows,)]
    assert store.view("d#s.train").where("id < 100").num_rows == sum(
        n < 100 for n in train.to_arrow()["id"].to_pylist()
    )
    assert train.to_polars().height == train.num_rows
    assert store.view("d@1#s.train").hash != store.view("d@1#s.test").hash
    assert train.address == "d@1#s.train"


def test_a_name_is_settled_once(store):
    version = store.create_dataset("d", key=["id"]).append(_rows(0, 10))
    version.split("s", train=0.6, test=0.4)
    with pytest.raises(AlreadyExistsError, match="has a split 's' already"):
        version.split("s", train=0.5, test=0.5)


@pytest.mark.parametrize(
    ("call", "kind"),
    [
        (lambda s, v: v.find_split("spilt"), NotFoundError),
        (lambda s, v: s.view("d#s"), UsageError),
        (lambda s, v: s.view("d#s.trian"), FoldstoreError),
        (lambda s, v: s.split("d#s.train"), UsageError),
        (lambda s, v: s.version("d#s.train"), UsageError),
        (lambda s, v: s.view("d").limit(3).split("t"), UsageError),
        (lambda s, v: v.split("t", trian=0.5), UsageError),
        (lambda s, v: v.split("t", train=2), UsageError),
        (lambda s, v: v.split("a.b", train=1), FoldstoreError),
        (lambda s, v: v.split("t", group_by=["grop"], train=1), FoldstoreError),
    ],
)
def test_a_mistake_says_what_there_is(store, call, kind):
    version = store.create_dataset("d", key=["id"]).append(_rows(0, 10))
    version.split("s", train=0.6, test=0.4)
    with pytest.raises(kind) as caught:
        call(store, version)
    assert caught.value.hint


def test_a_split_made_twice_at_once_is_made_once(folder, store):
    import threading

    store.create_dataset("d", key=["id"]).append(_rows(0, 500))
    made, refused = [], []

    def make(seed):
        with foldstore.connect(folder) as mine:
            try:
                made.append(_parts(mine.version("d@1").split("s", train=0.5, test=0.5, seed=seed)))
            except AlreadyExistsError as error:
                refused.append(error.code)

    threads = [threading.Thread(target=make, args=(seed,)) for seed in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(made) == 1
    assert len(refused) == 3
    assert _parts(store.split("d@1#s")) == made[0]


def test_a_settled_split_is_not_overwritten(store):
    version = store.create_dataset("d", key=["id"]).append(_rows(0, 100))
    before = _parts(version.split("s", train=0.5, test=0.5))
    with pytest.raises(AlreadyExistsError):
        version.split("s", train=1.0)
    assert _parts(version.find_split("s")) == before


def test_a_view_of_a_part_is_saved_and_opened(store):
    version = store.create_dataset("d", key=["id"]).append(_rows(0, 100))
    version.split("s", train=0.5, test=0.5)
    view = store.view("d@1#s.train").where("id < 50")
    view.save("early")
    assert store.view("early").to_arrow().equals(view.to_arrow())


def test_a_view_of_a_part_is_split_and_later_rows_follow_the_outer_split(store):
    dataset = store.create_dataset("d", key=["id"])
    version = dataset.append(_rows(0, 100))
    outer = version.split("s", train=0.5, test=0.5)
    inner = store.view("d@1#s.train").where("id % 2 = 0").split("again", train=0.5, validation=0.5)
    assert set.union(*_parts(inner).values()) == {n for n in _parts(outer)["train"] if n % 2 == 0}
    dataset.append(_rows(100, 200))
    later = store.split("d@2#again")
    assert set.union(*_parts(later).values()) == {n for n in _parts(store.split("d@2#s"))["train"] if n % 2 == 0}


HOW = {
    "by hash": {"train": 0.5, "validation": 0.2, "test": 0.3},
    "groups": {"group_by": ["group"], "stratify": "kind", "train": 0.5, "test": 0.5},
    "several lists": {"group_by": [["group"], ["box", "kind"]], "train": 0.5, "test": 0.5},
    "near": {"near_duplicates": ["text"], "stratify": ["kind", "box"], "train": 0.6, "test": 0.4},
    "column": {"by_column": "kind", "values": {"train": ["k0", "k1"], "test": ["k2"]}},
}


def _wide(start, stop):
    numbers = range(start, stop)
    return {
        "id": list(numbers),
        "group": [f"g{n % 9}" if n % 4 else None for n in numbers],
        "box": [n % 5 if n % 3 == 0 else None for n in numbers],
        "kind": [f"k{n % 3}" for n in numbers],
        "text": [f"a text about {'cars' if n % 8 else 'houses'} in volume {n // 5} of many" for n in numbers],
    }


def _places(split):
    return {row: part for part, ids in _parts(split).items() for row in ids}


operation = st.one_of(
    st.tuples(st.just("append"), st.integers(1, 25)),
    st.tuples(st.just("delete"), st.integers(0, 6)),
    st.tuples(st.just("upsert"), st.integers(1, 15)),
    st.tuples(st.just("compact"), st.just(0)),
)


@pytest.mark.filterwarnings("ignore::foldstore.SplitWarning")
@given(operations=st.lists(operation, min_size=1, max_size=5))
@settings(max_examples=12)
def test_law_3_whatever_happens_to_the_data_no_row_moves_and_inner_splits_stay_inside(operations, tmp_path_factory):
    with foldstore.connect(tmp_path_factory.mktemp("law3") / "s") as store:
        dataset = store.create_dataset("d", key=["id"])
        version, end = dataset.append(_wide(0, 40)), 40
        before = {name: _places(version.split(name.replace(" ", "_"), **how)) for name, how in HOW.items()}
        version.find_split("by_hash").train.split("inner", train=0.5, validation=0.5)
        for verb, number in operations:
            if verb == "append":
                version, end = dataset.append(_wide(end, end + number)), end + number
            elif verb == "delete":
                version = dataset.delete(f"id % 7 = {number}")
            elif verb == "upsert":
                version = dataset.upsert(_wide(number, number + 5))
            else:
                version = dataset.compact() or version
            for name in HOW:
                after = _places(version.find_split(name.replace(" ", "_")))
                assert {row: part for row, part in after.items() if row in before[name]}.items() <= before[name].items()
                before[name] |= after
            inner = _places(version.find_split("inner"))
            assert inner.keys() == _parts(version.find_split("by_hash"))["train"]


def test_later_rows_follow_the_outer_split_into_the_inner_one(store):
    dataset = store.create_dataset("d", key=["id"])
    outer = dataset.append(_rows(0, 200)).split("outer", train=0.5, test=0.5, group_by=["group"])
    inner = outer.train.split("inner", train=0.5, validation=0.5)
    assert inner.address == "d@1#inner"
    folds = outer.test.folds("cv", k=3)
    dataset.append(_rows(200, 400))
    now = dataset.latest
    assert set.union(*_parts(now.find_split("inner")).values()) == _parts(now.find_split("outer"))["train"]
    held = [fold.validation.to_arrow(["id"])["id"].to_pylist() for fold in store.split("d@2#cv")]
    assert sorted(row for ids in held for row in ids) == sorted(_parts(now.find_split("outer"))["test"])
    assert folds.spec.name == "cv"


def test_a_part_of_a_fold_is_split_again(store):
    folds = store.create_dataset("d", key=["id"]).append(_rows(0, 300)).folds("cv", k=3)
    inner = folds[1].train.split("again", train=0.5, test=0.5)
    assert set.union(*_parts(inner).values()) == _parts(folds[1])["train"]
    deeper = inner.test.split("deeper", train=1.0)
    assert _parts(deeper)["train"] == _parts(store.split("d@1#again"))["test"]


def test_a_large_group_of_a_day_that_python_cannot_hold_is_named(tmp_path):
    days = pa.array([2**31 - 1] * 9 + [1], pa.int32()).view(pa.date32())
    version = foldstore.connect(tmp_path).create_dataset("d").append(pa.table({"day": days}))
    with pytest.warns(foldstore.SplitWarning, match="The group day='5881580-07-11' has 9 of 10 rows"):
        version.split("s", train=0.5, validation=0.2, test=0.3, group_by=["day"])


def test_a_group_larger_than_a_part_is_warned_of(store):
    rows = {"id": list(range(100)), "group": ["big"] * 40 + [f"g{n}" for n in range(60)]}
    version = store.create_dataset("d", key=["id"]).append(rows)
    with pytest.warns(foldstore.SplitWarning, match=r"d@1#s: The group group='big' has 40 of 100 rows \(40.0%\)"):
        version.split("s", group_by=["group"], train=0.7, test=0.3)
    with pytest.warns(foldstore.SplitWarning, match=r"more than the share of each of 5 folds \(20.0%\)"):
        version.folds("cv", group_by=["group"])


def test_a_warning_points_at_the_line_that_made_the_split(store):
    rows = {"id": list(range(100)), "group": ["big"] * 90 + ["g"] * 10}
    version = store.create_dataset("d", key=["id"]).append(rows)
    how = {"group_by": ["group"]}
    for number, make in enumerate(
        (
            lambda name: version.split(name, **how),
            lambda name: store.view("d").where("id >= 0").split(name, **how),
            lambda name: version.folds(name, k=2, **how)[0].train.split(f"{name}-b", **how),
        )
    ):
        with pytest.warns(foldstore.SplitWarning) as told:
            make(f"s{number}x")
        assert {each.filename for each in told} == {__file__}


def test_a_stratum_of_one_row_is_warned_of_and_reported(store):
    rows = {"id": list(range(60)), "y": ["a"] * 59 + ["b"]}
    version = store.create_dataset("d", key=["id"]).append(rows)
    with pytest.warns(foldstore.SplitWarning, match=r"1 stratum is not in each part: y='b' \(1 row, none in"):
        split = version.split("s", stratify="y", train=0.5, test=0.5)
    (short,) = split.report().short_strata
    assert (short.values, short.rows, len(short.missing)) == (("b",), 1, 1)
    assert "stratum b (1 row): none in" in str(split.report())


def test_values_that_came_later_and_mean_nothing_are_unassigned_and_reported(store):
    dataset = store.create_dataset("d", key=["id"])
    dataset.append({"id": [1, 2, 3], "fold": ["train", "test", None]}).split("official", by_column="fold")
    dataset.append({"id": [4, 5, 6], "fold": ["dev", "dev", "train"]})
    split = store.split("d@2#official")
    assert _parts(split) == {"train": {1, 6}, "validation": set(), "test": {2}}
    report = split.report()
    assert report.unknown_values == {"dev": 2}
    assert "values that mean no part: dev 2" in str(report)


def test_a_value_that_means_nothing_is_refused_and_nothing_is_kept(store):
    version = store.create_dataset("d", key=["id"]).append({"id": [1, 2], "fold": ["train", "dev"]})
    with pytest.raises(UsageError, match="'dev' in 'fold' is not train, validation, test") as error:
        version.split("official", by_column="fold")
    assert "values={'train': ['dev'], ...}" in error.value.hint
    version.split("official", by_column="fold", values={"train": "train", "validation": ["dev"]})


def test_near_duplicates_stay_together_across_versions(store):
    dataset = store.create_dataset("d", key=["id"])
    titles = [f"{n * 7919 % 9973:05d} the title of a paper number {n * 31 % 977}" for n in range(200)]
    split = dataset.append({"id": list(range(200)), "title": titles}).split(
        "s", near_duplicates=["title"], train=0.5, test=0.5
    )
    before = _places(split)
    dataset.append({"id": list(range(200, 400)), "title": [title + "!" for title in titles]})
    after = _places(dataset.latest.find_split("s"))
    assert [after.get(n + 200) for n in range(200)] == [before[n] for n in range(200)]
    report = dataset.latest.find_split("s").report(columns=())
    assert report.near_duplicates_of_train == {"validation": 0, "test": 0}
    other = dataset.latest.split("other", train=0.5, test=0.5).report(columns=(), near_duplicates=["title"])
    assert other.near_duplicates_of_train["test"] > 50


def test_rows_between_two_parts_are_left_out_and_counted(store):
    dataset = store.create_dataset("d", key=["id"])
    numbers = list(range(60))
    version = dataset.append({"id": numbers, "p": numbers, "q": numbers})
    split = version.split("s", group_by=[["p"], ["q"]], train=0.5, test=0.5)
    train, test = (min(_parts(split)[part]) for part in ("train", "test"))
    dataset.append({"id": [100, 101], "p": [train, train], "q": [test, 900]})
    report = store.split("d@2#s").report()
    assert (report.sizes["unassigned"], report.rows_between_parts) == (1, 1)
    assert report.groups_in_several_parts == 0


@pytest.mark.parametrize(
    ("how", "message"),
    [
        ({"train": -0.1}, "-0.1 is not a share"),
        ({"train": 1.1}, "1.1 is not a share"),
        ({"train": float("nan")}, "nan is not a share"),
        ({"train": 0.8, "test": 0.3}, "add up to 1.1"),
        ({"group_by": [["group"], "id"]}, "mixes columns and lists"),
        ({"stratify": "id"}, "they are numbers"),
        ({"near_duplicates": ["group"], "similarity": 0.2}, "not a similarity"),
        ({"by_column": "id"}, "is not train, validation, test"),
        ({"k": 3}, "A split is not made that way"),
    ],
)
def test_bad_shares_and_columns_are_refused_and_nothing_is_kept(store, how, message):
    version = store.create_dataset("d", key=["id"]).append(_rows(0, 200))
    with pytest.raises(UsageError, match=message) as error:
        version.split("s", **how)
    assert error.value.hint
    with pytest.raises(NotFoundError):
        version.find_split("s")


class TestColumnsThatChange:
    """A split takes columns, not their names; without them it places no more rows, and does not stop data."""

    @pytest.fixture
    def dataset(self, store):
        dataset = store.create_dataset("d", key=["id"])
        first = dataset.append(self._rows(0, 200))
        first.split("gr", train=0.5, test=0.5, group_by=["g"])
        first.split("st", train=0.5, test=0.5, stratify="g", duplicates=["g", "x"])
        store.view("d@1").where("x > 10").split("w", train=0.5, test=0.5)
        first.folds("cv", k=3, group_by=["g"])
        return dataset

    @staticmethod
    def _rows(start, stop, g="g", x="x"):
        ids = range(start, stop)
        return {"id": list(ids), g: [f"g{n % 9}" for n in ids], x: [n % 50 for n in ids]}

    def test_a_renamed_column_is_the_same_column(self, store, dataset):
        before = _parts(store.split("d@1#gr"))
        dataset.rename_columns({"g": "grp", "x": "xx"})
        version = dataset.append(self._rows(200, 400, "grp", "xx"))
        split = version.find_split("gr")
        after = _parts(split)
        assert all(before[part] <= after[part] for part in before)
        assert sum(map(len, after.values())) == 400
        assert split.spec.group_by == ("grp",)
        assert split.report().groups_in_several_parts == 0
        assert store.split("d@1#gr").spec.group_by == ("g",)
        few = set(version.find_split("w").train.to_arrow(["xx"])["xx"].to_pylist())
        assert min(few) == 11
        assert version.find_sharing("cv").report().groups_in_several_folds == 0
        assert version.find_split("st").report().columns["grp"]

    def test_two_columns_that_swap_their_names(self, store, dataset):
        dataset.rename_columns({"g": "x", "x": "g"})
        version = dataset.append(self._rows(200, 300, "x", "g"))
        assert version.find_split("gr").spec.group_by == ("x",)
        assert version.find_split("gr").report().groups_in_several_parts == 0
        assert min(version.find_split("w").train.to_arrow(["g"])["g"].to_pylist()) == 11

    def test_without_its_column_a_split_places_no_more_rows(self, store, dataset):
        before = {name: _parts(store.split(f"d@1#{name}")) for name in ("gr", "w")}
        dataset.drop_columns(["g"])
        version = dataset.append({"id": [200, 201], "x": [1, 2]})
        with pytest.warns(SplitWarning, match=r"d@3#gr: 2 rows that came since are in no part.*'g'"):
            split = version.find_split("gr")
        assert _parts(split) == before["gr"]
        assert store.view("d@3#gr.train").count() == len(before["gr"]["train"])
        with pytest.warns(SplitWarning, match="d@3#cv:"):
            assert sum(fold.validation.num_rows for fold in version.find_sharing("cv")) == 200
        dataset.drop_columns(["x"])
        version = dataset.append({"id": [202]})
        with pytest.warns(SplitWarning, match="'x'"):
            assert _parts(version.find_split("w")) == before["w"]
        assert not store.view("d@5").leakage().passed

    def test_a_compaction_after_the_drop_moves_rows_along(self, store, dataset):
        before = _parts(store.split("d@1#gr"))
        dataset.drop_columns(["g"])
        dataset.append({"id": [200], "x": [1]})
        version = dataset.compact()
        with pytest.warns(SplitWarning, match="are in no part"):
            dataset.version(3).find_split("gr")
        assert _parts(version.find_split("gr")) == before

    def test_a_column_of_the_same_name_and_kind_stands_in_its_place(self, store, dataset):
        dataset.drop_columns(["g", "x"])
        rows = pa.table(self._rows(200, 300))
        dataset.append(rows.set_column(2, "x", rows["x"].cast(pa.float64())), evolve=True)
        version = dataset.latest
        assert version.arrow_schema.names == ["id", "g", "x"]
        assert sum(map(len, _parts(version.find_split("gr")).values())) == 300
        before = _parts(store.split("d@1#w"))
        with pytest.warns(SplitWarning, match="'x'"):
            assert _parts(version.find_split("w")) == before

    def test_ids_that_another_branch_gave_mean_nothing(self, store):
        dataset = store.create_dataset("b", key=["id"])
        dataset.append({"id": list(range(100))})
        dataset.create_branch("dev")
        dev = dataset.branch("dev")
        dev.add_columns({"mine": "id % 7"})
        dev.latest.split("gr", group_by=["mine"], train=0.5, test=0.5)
        version = dataset.add_columns({"theirs": "id % 3"})
        version = dataset.append({"id": [100, 101]})
        with pytest.warns(SplitWarning, match="'mine'"):
            assert sum(map(len, _parts(version.find_split("gr")).values())) == 100


class _Wrong:
    """Arguments of types that cannot be meant: each is told, as a wrong use."""

    ARRAY = np.array([1, 2])
    SPLITS: ClassVar = [
        {"by_column": ARRAY},
        {"by_time": ARRAY},
        {"by_column": "group", "values": ["x"]},
        {"by_column": "group", "values": {1: ["x"]}},
        {"by_column": "group", "values": [("train", "x", "y")]},
        {"boundaries": ARRAY},
        {"group_by": ARRAY},
        {"stratify": ARRAY},
    ]
    FOLDS: ClassVar = [*SPLITS, {"inner": ARRAY}, {"k": ARRAY}, {"inner": None}]
    REPORTS: ClassVar = [
        {"label": []},
        {"label": 0},
        {"label": ["id"]},
        {"label": ARRAY},
        {"columns": 1},
        {"columns": "id"},
        {"columns": ARRAY},
        {"columns": [["id"]]},
        {"group_by": None},
        {"group_by": {"id"}},
        {"group_by": {"id": 1}},
        {"duplicates": "id"},
        {"time": ["id"]},
    ]


@pytest.mark.parametrize("how", _Wrong.SPLITS, ids=repr)
def test_a_wrong_argument_of_a_split_is_told(store, how):
    for number, key in enumerate((["id"], [])):
        version = store.create_dataset(f"d{number}", key=key).append(_rows(0, 20))
        with pytest.raises(UsageError):
            version.split("s", **how)


@pytest.mark.parametrize("how", _Wrong.FOLDS, ids=repr)
def test_a_wrong_argument_of_folds_is_told(store, how):
    version = store.create_dataset("d", key=["id"]).append(_rows(0, 20))
    with pytest.raises(UsageError):
        version.folds("s", **how)


@pytest.mark.parametrize("asked", _Wrong.REPORTS, ids=repr)
def test_a_wrong_argument_of_a_report_is_told(store, asked):
    version = store.create_dataset("d", key=["id"]).append(_rows(0, 20))
    for found in (version.split("s"), version.folds("cv", k=2)):
        with pytest.raises(UsageError):
            found.report(**asked)


@pytest.mark.parametrize("place", [None, "1", int, 0.5])
def test_a_wrong_place_of_a_fold_is_told(store, place):
    folds = store.create_dataset("d", key=["id"]).append(_rows(0, 20)).folds("cv", k=2)
    with pytest.raises(UsageError, match=r"folds\[0\] is the first of 2"):
        folds[place]
    with pytest.raises(IndexError):
        folds[2**70]


def test_whole_numbers_that_no_float_holds(store):
    numbers = [2**64 - 1 - n % 20 for n in range(6_000)]
    many = [2**63 + n for n in range(6_000)]
    table = {"id": list(range(6_000)), "u": pa.array(numbers, pa.uint64()), "many": pa.array(many, pa.uint64())}
    version = store.create_dataset("d", key=["id"]).append(pa.table(table))
    split = version.split("s", train=0.5, test=0.5)
    for name, values in (("u", numbers), ("many", many)):
        told = split.report(label=name).columns[name]
        for part in ("train", "test"):
            ids = split.part(part).to_arrow(["id"])["id"].to_pylist()
            assert told[part].mean == pytest.approx(sum(values[each] for each in ids) / len(ids), rel=1e-12)
        assert version.suggest_split(name).to_dict()
    with pytest.raises(UsageError, match="label="):
        version.suggest_split(["u"])


@pytest.mark.parametrize("wrong", ["@@", "", "a b", 3])
def test_a_replacement_that_is_no_address_is_named(store, wrong):
    version = store.create_dataset("d", key=["id"]).append(_rows(0, 20))
    version.view().save("v")
    for deprecate in (version.deprecate, lambda *a, **k: store.saved_views.deprecate("v@1", *a, **k)):
        with pytest.raises(UsageError, match=r"replacement=.* is not an address"):
            deprecate("old", replacement=wrong)
    assert str(version.status) == "published"
