"""Folds, and splits of parts: made, found and reported the same in a folder and behind a server."""

import numpy as np
import pytest

import foldstore
from foldstore.folds import Fold, Folds
from foldstore.names import PARTS
from foldstore.remote.folds import RemoteFold, RemoteFolds
from tests.conformance.conftest import raised


@pytest.fixture
def version(people):
    return people.append({"id": range(1000), "late": [n % 3 == 0 for n in range(1000)], "site": ["a", "b"] * 500})


def test_folds_hold_each_row_out_once(store, version):
    folds = version.folds("cv", k=4, stratify=["late"], seed=7)
    assert isinstance(folds, Folds | RemoteFolds)
    assert (len(folds), folds.name, folds.address, folds.spec.k) == (4, "cv", "people@1#cv", 4)
    held = [fold.validation.to_arrow(["id"])["id"].to_pylist() for fold in folds]
    assert sorted(each for some in held for each in some) == [*range(1000)]
    first = folds[0]
    assert isinstance(first, Fold | RemoteFold)
    assert (first.name, first.number, first.held_out, first.inner) == ("cv-1", 1, "1", ())
    assert first.train.num_rows + first.validation.num_rows == 1000
    assert [fold.number for fold in folds[1:3]] == [2, 3]
    assert folds.fold("4").address == "people@1#cv-4"
    assert store.split("people@1#cv").spec == folds.spec
    assert store.split("people@1#cv-2").validation.num_rows == folds[1].validation.num_rows
    assert store.view("people@1#cv-2.validation").count() == folds[1].validation.num_rows
    report = folds.report(label="late", columns=["site"])
    assert report.sizes["1"] == first.validation.num_rows
    assert set(report.columns) == {"late", "site"}
    assert repr(folds).startswith("<Folds people@1#cv: 4 folds: ")
    assert raised(lambda: folds.fold(9))[0] == "NotFoundError"
    assert raised(lambda: folds.fold("x"))[0] == "NotFoundError"
    assert raised(lambda: folds["x"])[0] == "UsageError"
    assert raised(lambda: version.folds("cv", k=4))[0] == "AlreadyExistsError"
    assert raised(lambda: version.folds("cw", k=1))[0] == "UsageError"
    assert raised(lambda: version.folds("cw", colour=1))[0] == "UsageError"
    assert raised(lambda: store.split("people@1#none"))[0] == "NotFoundError"


def test_folds_are_nested_and_by_column(version):
    nested = version.folds("deep", k=3, inner=2)
    (one, two) = nested[0].inner
    assert (one.name, two.number) == ("deep-1-1", 2)
    assert one.test.num_rows == two.test.num_rows == nested[0].test.num_rows
    sites = version.folds("sites", by_column="site")
    assert sites.spec.parts == ("a", "b")
    assert sites.fold("b").validation.num_rows == 500


def test_parts_and_views_are_shared_out_again(store, version):
    outer = version.split("outer", train=0.5, test=0.5)
    inner = outer.train.split("inner", train=0.8, validation=0.2)
    assert inner.train.num_rows + inner.validation.num_rows == outer.train.num_rows
    folds = outer.train.folds("within", k=2)
    assert sum(fold.validation.num_rows for fold in folds) == outer.train.num_rows
    late = store.view("people@1").where("late").folds("late", k=2)
    assert sum(fold.validation.num_rows for fold in late) == 334
    some = store.view("people@1#outer.test").where("late")
    split = some.split("some", train=0.5, test=0.5)
    assert split.train.num_rows + split.test.num_rows == some.count()
    assert sum(fold.validation.num_rows for fold in some.folds("cv-some", k=2)) == some.count()


def test_labels_are_held_out_by_folds(version):
    version.folds("cv", k=3)
    assert isinstance(version.label_issues("late", ["id"], folds="cv").rows, int)
    assert foldstore.Version is not None


def test_the_code_of_each_row_is_told(store):
    version = store.create_dataset("coded", key=["id"]).append({"id": list(range(100))})
    split = version.split("parts", train=0.5, validation=0.2, test=0.3, seed=3)
    codes = split.codes()
    assert codes.dtype == np.uint8
    ids = version.to_arrow()["id"].to_numpy()
    for number, part in enumerate(PARTS, 1):
        assert ids[codes == number].tolist() == split.part(part).to_arrow()["id"].to_pylist()
    folds = version.folds("cv", k=3, seed=3)
    for number in (1, 2, 3):
        held = folds.fold(number).validation.to_arrow()["id"].to_pylist()
        assert ids[folds.codes() == number].tolist() == held
        assert ids[folds.fold(number).codes() == 2].tolist() == held
