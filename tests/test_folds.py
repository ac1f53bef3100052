"""Folds through the SDK: sequences of folds with addresses, one namespace with splits, rows that never move."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import foldstore
from foldstore.errors import AlreadyExistsError, NotFoundError, UsageError
from foldstore.folds import Fold, Folds


def _rows(start, stop):
    numbers = range(start, stop)
    return {"id": list(numbers), "group": [f"g{n % 23}" for n in numbers], "late": [n % 3 == 0 for n in numbers]}


@pytest.fixture
def version(store):
    return store.create_dataset("d", key=["id"]).append(_rows(0, 300))


def _ids(part):
    return set(part.to_arrow()["id"].to_pylist())


@pytest.mark.filterwarnings("ignore::foldstore.SplitWarning")
@given(
    sizes=st.lists(st.integers(1, 40), min_size=1, max_size=3),
    how=st.sampled_from(
        [{}, {"inner": 2}, {"group_by": ["group"], "stratify": "late"}, {"stratify": "late", "inner": 2}]
    ),
    k=st.integers(2, 4),
)
@settings(max_examples=8)
def test_law_3_a_row_stays_in_its_fold_and_its_inner_folds(sizes, how, k, tmp_path_factory):
    with foldstore.connect(tmp_path_factory.mktemp("law3") / "s") as store:
        dataset = store.create_dataset("d", key=["id"])
        end, before = 0, {}
        for size in [30, *sizes]:
            version = dataset.append(_rows(end, end + size))
            end += size
            folds = version.folds("cv", k, **how) if not before else store.split("d#cv")
            dataset.compact()
            folds = store.split("d#cv")
            after = {}
            for fold in folds:
                for each in (fold, *fold.inner):
                    for part in ("train", "validation", "test"):
                        after |= {(each.name, row): part for row in _ids(each.part(part))}
            assert before.items() <= after.items()
            before = after
            held = [_ids(fold.test if fold.inner else fold.validation) for fold in folds]
            assert set.union(*held) == set(range(end))
            assert sum(map(len, held)) == end


def test_folds_are_a_sequence_of_folds_with_parts_and_addresses(store, version):
    folds = version.folds("cv", k=4)
    assert (len(folds), [fold.number for fold in folds]) == (4, [1, 2, 3, 4])
    assert [fold.name for fold in folds[1:3]] == ["cv-2", "cv-3"]
    assert folds[-1].name == folds.fold(4).name == "cv-4"
    third = folds[2]
    assert (third.train.address, third.address) == ("d@1#cv-3.train", "d@1#cv-3")
    assert _ids(third.train) | _ids(third.validation) == set(range(300))
    assert third.test.num_rows == 0
    assert _ids(store.view("d@1#cv-3.validation")) == _ids(third.validation)
    assert store.sql('SELECT count(*) FROM "d#cv-3.train"').rows() == [(third.train.num_rows,)]
    assert isinstance(store.split("d@1#cv"), Folds)
    assert isinstance(store.split("d@1#cv-3"), Fold)
    assert repr(folds).startswith("<Folds d@1#cv: 4 folds: ")
    assert repr(third).startswith("<Fold d@1#cv-3: train ")
    with pytest.raises(IndexError):
        folds[4]


def test_nested_folds_hold_out_a_test_part_and_share_out_the_rest(store, version):
    folds = version.folds("cv", k=3, inner=2, stratify="late", group_by=["group"])
    for fold in folds:
        assert fold.validation.num_rows == 0
        assert _ids(fold.train) | _ids(fold.test) == set(range(300))
        assert len(fold.inner) == 2
        assert set.union(*(_ids(each.validation) for each in fold.inner)) == _ids(fold.train)
        for each in fold.inner:
            assert _ids(each.test) == _ids(fold.test)
            assert _ids(each.train) | _ids(each.validation) == _ids(fold.train)
            groups = [set(each.part(part).to_arrow(["group"])["group"].to_pylist()) for part in ("train", "validation")]
            assert groups[0].isdisjoint(groups[1])
    inner = store.split("d@1#cv-2-1")
    assert (inner.address, inner.number, inner.inner) == ("d@1#cv-2-1", 1, ())
    assert _ids(store.view("d@1#cv-2-1.validation")) == _ids(folds[1].inner[0].validation)
    view = store.view("d@1#cv-2-1.train").where("id < 100")
    view.save("early")
    assert _ids(store.view("early")) == _ids(view)


def test_walk_forward_folds_train_on_the_past_alone(store):
    import datetime as dt

    start = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)
    rows = {"n": list(range(120)), "t": [start + dt.timedelta(hours=n) for n in range(120)]}
    folds = (
        store.create_dataset("d", event_time="t")
        .append(rows)
        .folds("walk", k=3, by_time="t", past_only=True, purge="2h")
    )
    held = [fold.validation.to_arrow(["n"])["n"].to_pylist() for fold in folds]
    assert held == [list(range(30, 60)), list(range(60, 90)), list(range(90, 120))]
    assert [fold.train.to_arrow(["n"])["n"].to_pylist() for fold in folds] == [
        list(range(each[0] - 2)) for each in held
    ]


def test_folds_by_column_are_found_by_value(version):
    late = version.folds("late", by_column="late")
    assert [fold.held_out for fold in late] == ["false", "true"]
    assert _ids(late.fold("true").validation) == set(range(0, 300, 3))
    with pytest.raises(NotFoundError, match="no fold 'yes'") as error:
        late.fold("yes")
    assert "Available: false, true" in error.value.hint


@pytest.mark.parametrize(
    ("first", "second"), [("cv", "cv-3"), ("cv-3", "cv"), ("cv", "cv-3-1"), ("cv-3-1", "cv"), ("cv-3", "cv-3-1")]
)
@pytest.mark.parametrize("other", ["folds", "split"])
def test_a_name_that_could_mean_a_fold_is_refused_both_ways(version, first, second, other):
    kinds = ["folds", other] if len(first) < len(second) else [other, "folds"]
    getattr(version, kinds[0])(first)
    with pytest.raises(AlreadyExistsError, match="would be ambiguous with") as error:
        getattr(version, kinds[1])(second)
    assert error.value.code == "ambiguous-split"
    assert "does not end in a number" in error.value.hint


def test_splits_may_be_numbered_as_they_like_among_splits(version):
    for name in ("cv", "cv-3", "cv-3-1", "cv-2026"):
        assert version.split(name).name == name
    version.split("loose-7")
    with pytest.raises(AlreadyExistsError, match="'loose' would be ambiguous with 'loose-7'"):
        version.folds("loose")


def test_folds_and_splits_share_their_names(version):
    version.folds("cv", k=2)
    version.split("s")
    with pytest.raises(AlreadyExistsError, match="'d' has a split 'cv' already"):
        version.split("cv")
    with pytest.raises(AlreadyExistsError, match="'d' has a split 's' already"):
        version.folds("s")
    version.split("cv-b")
    version.folds("fold-2026", k=2)


@pytest.mark.parametrize(
    ("address", "message", "hint"),
    [
        ("d@1#cv-9", "'cv' has no fold 9", "folds 1 to 3"),
        ("d@1#cv-1-1", "Fold 1 of 'cv' has no inner fold 1", "no inner folds"),
        ("d@1#vc-1", "'d' has no split 'vc-1'", "Available: cv"),
    ],
)
def test_a_fold_that_is_not_there_is_answered_with_what_is(store, version, address, message, hint):
    version.folds("cv", k=3)
    with pytest.raises(NotFoundError, match=message) as error:
        store.split(address)
    assert hint in error.value.hint


def test_the_rows_of_folds_are_those_of_a_part_of_one(store, version):
    version.folds("cv", k=3)
    with pytest.raises(UsageError, match="are 3 folds, and each has its parts") as error:
        store.view("d@1#cv.train")
    assert "d@1#cv-1, to d@1#cv-3" in error.value.hint
    with pytest.raises(UsageError, match="not its rows") as error:
        store.view("d@1#cv")
    assert "of a fold, d@1#cv-1.train" in error.value.hint
    with pytest.raises(UsageError, match="are 3 folds"):
        version.find_split("cv")


@pytest.mark.parametrize(
    ("how", "message"),
    [
        ({"k": 1}, "k=1 is not a number of folds"),
        ({"k": "5"}, "k='5' is not a number"),
        ({"train": 0.5}, "Folds are not made that way"),
        ({"by_time": "id"}, "is int64, not a time"),
        ({"by_column": "id"}, "300 values, and there are 2 to 250"),
        ({"past_only": True}, "belong to folds by time"),
        ({"stratify": "id"}, "they are numbers"),
        ({"group_by": ["grop"]}, "'grop'"),
    ],
)
def test_a_mistake_is_refused_and_nothing_is_kept(version, how, message):
    with pytest.raises((UsageError, NotFoundError), match=message) as error:
        version.folds("cv", **how)
    assert error.value.hint
    with pytest.raises(NotFoundError):
        version.find_sharing("cv")


def test_folds_of_a_view_leave_the_other_rows_out(store, version):
    folds = store.fold_view(version.version_id, ["late"], "cv", {"k": 2})
    assert set.union(*(_ids(fold.validation) for fold in folds)) == set(range(0, 300, 3))
    part = version.split("s", train=0.5, test=0.5).train
    inner = store.fold_view(part.version_id, ["late"], "inner", {"k": 2})
    assert set.union(*(_ids(fold.validation) for fold in inner)) == {row for row in _ids(part) if row % 3 == 0}


def test_folds_by_column_show_their_values_as_text_in_a_notebook(store):
    rows = {"id": [1, 2, 3], "site": ["<b>", "Oslo", "Oslo"]}
    page = store.create_dataset("sites", key=["id"]).append(rows).folds("site", by_column="site")._repr_html_()
    assert "<td>Oslo</td><td>2</td>" in page
    assert "<td>&lt;b&gt;</td><td>1</td>" in page


def test_a_report_of_folds_says_how_the_label_lies_in_each(version):
    report = version.folds("cv", k=3, group_by=["group"], stratify="late").report(label="late")
    assert sum(report.sizes.values()) == 300
    assert report.groups_in_several_folds == 0
    assert {round(each.mean, 1) for each in report.columns["late"].values()} == {0.3}
    assert all(each.difference < 0.1 for each in report.columns["late"].values())
    assert report.to_dict()["short_strata"] == ()


def test_a_fold_has_a_report_like_a_split(version):
    report = version.folds("cv", k=3)[0].report(label="late")
    assert report.judged_on == "validation"
    assert report.drift["validation"].columns["late"].n_current == report.sizes["validation"]


def test_a_test_part_of_a_nested_fold_feeds_a_training_set_s_address(store, version):
    folds = version.folds("cv", k=3, inner=2)
    assert store.view(folds[0].test.address).count() == folds[0].test.num_rows
    assert folds[0].test.version_id == f"{version.version_id}#cv-1.test"


def test_folds_made_twice_at_once_are_made_once(folder, store, version):
    import threading

    made, refused = [], []

    def make(seed):
        with foldstore.connect(folder) as mine:
            try:
                made.append(mine.version("d@1").folds("cv", k=3, seed=seed).codes().tolist())
            except AlreadyExistsError as error:
                refused.append(error.code)

    threads = [threading.Thread(target=make, args=(seed,)) for seed in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (len(made), len(refused)) == (1, 2)
    assert store.split("d@1#cv").codes().tolist() == made[0]
