"""Splits through the SDK: where a row went is settled for good (law 3)."""

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import foldstore
from foldstore.errors import AlreadyExistsError, FoldstoreError, NotFoundError, UsageError


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
        (lambda s, v: s.view("d").select("id").split("t"), UsageError),
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
        version.adopt_split("s", {"train": 100})
    with pytest.raises(UsageError, match="10 rows"):
        version.adopt_split("t", {"train": 10})
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
