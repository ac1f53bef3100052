"""What tells sealed cells elsewhere ends a sealing: splits that were made by them, saved views that keep them."""

import pytest

import foldstore
from foldstore.errors import RefusedError

ROWS = 3_000


@pytest.fixture
def version(store):
    data = store.create_dataset("d", key=["id"])
    return data.append(
        {
            "id": list(range(ROWS)),
            "part": ["test" if n >= 2_500 else "train" for n in range(ROWS)],
            "label": [f"c{n * 7919 % 3}" for n in range(ROWS)],
            "seen": [f"s{n * 31 % 100}" for n in range(ROWS)],
            "group": [n % 500 for n in range(ROWS)],
            "rare": ["here" if n == 2_900 else "there" for n in range(ROWS)],
        }
    )


def _seal(store, version, split="p", hide=("seen",)):
    plan = foldstore.plan_pool("n > 0.6 +/- 0.1", reliability=0.9, steps=1)
    if split == "p":
        version.split("p", by_column="part")
    return store.pools.seal("pool", version.find_split(split).test, label="label", hide=list(hide), plan=plan)


TELLING = {
    "folds by the label": lambda v: v.folds("x", by_column="label"),
    "a condition": lambda v: v.view().where("label = 'c1'").split("x", train=1.0),
    "a condition on a column that is hidden with it": lambda v: v.view().where("seen < 's5'").split("x", train=1.0),
    "strata": lambda v: v.split("x", stratify="label", train=0.5, test=0.5),
    "folds in strata": lambda v: v.folds("x", k=3, stratify="label"),
    "groups": lambda v: v.split("x", group_by=["seen"]),
    "groups of one part": lambda v: v.split("x", group_by=["label"], train=1.0),
    "either of two groups": lambda v: v.split("x", group_by=[["part", "id"], ["seen"]]),
    "duplicates": lambda v: v.split("x", duplicates=["part", "seen"]),
}


@pytest.mark.filterwarnings("ignore::foldstore.SplitWarning")
@pytest.mark.parametrize("how", TELLING)
def test_a_split_that_tells_labels_is_found(store, version, how):
    TELLING[how](version)
    with pytest.raises(RefusedError, match="d#x tells their") as caught:
        _seal(store, version)
    assert caught.value.code == "sealed-elsewhere"
    assert "d@1#p.train" in caught.value.hint
    assert store.pools.list_pools() == []
    assert store.sql("SELECT count(label) FROM d").rows() == [(ROWS,)]


def test_it_is_found_under_the_name_that_the_column_had(store, version):
    version.folds("x", by_column="label")
    data = store.dataset("d")
    data.rename_columns({"label": "class"})
    latest = data.append(
        {"id": [ROWS], "part": ["test"], "class": ["c1"], "seen": ["s1"], "group": [1], "rare": ["there"]}
    )
    latest.split("p", by_column="part")
    plan = foldstore.plan_pool("n > 0.6 +/- 0.1", reliability=0.9, steps=1)
    with pytest.raises(RefusedError, match="'class'"):
        store.pools.seal("pool", latest.find_split("p").test, label="class", plan=plan)


def test_splits_that_tell_nothing_are_no_hindrance(store, version):
    version.view().where("label IS NOT NULL").split("own", train=0.8, test=0.2, stratify="label")
    version.split("ids", train=0.5, test=0.5)
    version.view().where("label IS NOT NULL").split("known", train=0.5, test=0.5)
    version.split("groups", group_by=["group"], stratify="label", train=0.5, test=0.5)
    version.find_split("own").train.folds("cv", k=3, stratify="label")
    version.find_split("own").train.view().where("label = 'c1'").split("few", train=1.0)
    assert _seal(store, version, "own").record.num_rows > 500
    # What is learned from is as before.
    assert store.view("d@1#cv-2.train").where("label IS NULL").count() == 0


KEEPING = {
    "numbers of labels": lambda view: view.enumerate("rare"),
    "numbers of a column under another name": lambda view: view.select("id", other="rare").enumerate("other"),
    "a map": lambda view: view.map("rare", {"here": "x"}),
    "a balance": lambda view: view.balance("rare"),
}


@pytest.mark.parametrize("how", KEEPING)
def test_a_saved_view_that_keeps_sealed_values_is_found(store, version, how):
    KEEPING[how](store.view("d@1")).save("kept")
    KEEPING[how](store.view("d@1")).save_draft("tried")
    with pytest.raises(RefusedError, match=r"values of 'rare'.*: kept@1, tried@draft") as caught:
        _seal(store, version, hide=["rare"])
    assert caught.value.code == "sealed-elsewhere"
    assert store.pools.list_pools() == []


def test_values_that_other_rows_have_may_be_kept(store, version):
    store.view("d@1").enumerate("label").balance("part").save("kept")
    store.view("d@1").where("rare = 'elsewhere'").save_draft("tried")
    store.view("d@1").enumerate("rare").save_draft("given_up")
    store.saved_views.discard_draft("given_up")
    assert _seal(store, version, hide=["rare"]).hidden == ("label", "rare")
