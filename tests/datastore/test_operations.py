"""Commits of every kind against a model: a list of rows that plain Python changes in the same way."""

import tempfile

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

import foldstore
from foldstore.errors import (
    AlreadyExistsError,
    ColumnNotFoundError,
    DuplicateKeyError,
    NotFoundError,
    SchemaMismatchError,
    UsageError,
)

KEYS = st.lists(st.integers(0, 30), unique=True, max_size=8)


def _rows(version):
    return version.to_arrow().to_pylist()


class StoreAgainstModel(RuleBasedStateMachine):
    """Whatever is done, each version reads as the model's state at its commit, for ever."""

    @initialize()
    def open(self):
        self.folder = tempfile.TemporaryDirectory()
        self.store = foldstore.connect(self.folder.name + "/s", author="model")
        self.dataset = self.store.create_dataset("d", key=["k"])
        self.rows = []
        self.columns = ["k", "v"]
        self.seen = {}
        self.ids = {}
        self._commit(self.dataset.append({"k": [0], "v": [0]}), [{"k": 0, "v": 0}])

    def teardown(self):
        if hasattr(self, "store"):
            assert self.store.verify().passed
            self.store.close()
            self.folder.cleanup()

    def _commit(self, version, rows):
        self.rows = rows
        self.seen[version.number] = [dict(row) for row in rows]

    def _full(self, key, value):
        return {name: key if name == "k" else value for name in self.columns}

    def _table(self, keys, value):
        return {name: keys if name == "k" else [value] * len(keys) for name in self.columns}

    @rule(keys=KEYS, value=st.integers(0, 99))
    def append(self, keys, value):
        fresh = [key for key in keys if key not in {row["k"] for row in self.rows}]
        if fresh:
            rows = self.rows + [self._full(key, value) for key in fresh]
            self._commit(self.dataset.append(self._table(fresh, value)), rows)

    @rule(keys=KEYS, value=st.integers(0, 99))
    def upsert(self, keys, value):
        if keys:
            kept = [row for row in self.rows if row["k"] not in keys]
            rows = kept + [self._full(key, value) for key in keys]
            self._commit(self.dataset.upsert(self._table(keys, value)), rows)

    @rule(limit=st.integers(0, 99))
    def delete_where(self, limit):
        rows = [row for row in self.rows if row["k"] <= limit]
        self._commit(self.dataset.delete(f"k > {limit}"), rows)

    @rule(keys=KEYS)
    def delete_keys(self, keys):
        if keys:
            rows = [row for row in self.rows if row["k"] not in keys]
            self._commit(self.dataset.delete(keys={"k": keys}), rows)

    @rule(keys=KEYS, value=st.integers(0, 99))
    def sync(self, keys, value):
        kept = {row["k"]: row for row in self.rows}
        wanted = [self._full(key, value) for key in keys]
        version = self.dataset.sync(self._table(keys, value)) if keys else None
        if version is not None:
            same = [row for row in self.rows if row in wanted]
            rows = same + [row for row in wanted if kept.get(row["k"]) != row]
            self._commit(version, rows)

    @rule(keys=KEYS, value=st.integers(0, 99))
    def overwrite(self, keys, value):
        if keys:
            self._commit(self.dataset.overwrite(self._table(keys, value)), [self._full(key, value) for key in keys])

    @precondition(lambda self: len(self.columns) < 4)
    @rule()
    def add_column(self):
        name = f"c{len(self.seen)}"
        version = self.dataset.add_columns(
            pa.table({"k": pa.array([r["k"] for r in self.rows], pa.int64()), name: [7] * len(self.rows)})
        )
        self.columns.append(name)
        self._commit(version, [{**row, name: 7} for row in self.rows])

    @precondition(lambda self: len(self.columns) > 2)
    @rule()
    def drop_column(self):
        name = self.columns.pop()
        version = self.dataset.drop_columns([name])
        self._commit(version, [{n: v for n, v in row.items() if n != name} for row in self.rows])

    @precondition(lambda self: len(self.columns) > 2)
    @rule()
    def rename_column(self):
        old, new = self.columns[-1], f"r{len(self.seen)}"
        self.columns[-1] = new
        version = self.dataset.rename_columns({old: new})
        self._commit(version, [{(new if n == old else n): v for n, v in row.items()} for row in self.rows])

    @rule(data=st.data())
    def restore(self, data):
        number = data.draw(st.sampled_from(sorted(self.seen)))
        version = self.dataset.restore(number)
        self.columns = version.arrow_schema.names
        self._commit(version, [dict(row) for row in self.seen[number]])

    @rule()
    def compact(self):
        before = self.dataset.latest.row_ids()
        version = self.dataset.compact()
        assert np.array_equal(before, version.row_ids())
        self._commit(version, self.rows)

    @invariant()
    def every_version_reads_as_it_was_committed(self):
        if hasattr(self, "store"):
            latest = self.dataset.latest
            assert _rows(latest) == self.rows
            number = sorted(self.seen)[len(self.seen) // 2]
            assert _rows(self.dataset.version(number)) == self.seen[number]

    @invariant()
    def a_row_id_means_one_row_for_ever(self):
        if not hasattr(self, "store"):
            return
        latest = self.dataset.latest
        ids, rows = latest.row_ids().tolist(), _rows(latest)
        assert len(set(ids)) == len(ids)
        for row_id, row in zip(ids, rows, strict=True):
            assert self.ids.setdefault(row_id, row["k"]) == row["k"]
        if ids:
            assert latest.take(ids[::-1]).to_pylist() == rows[::-1]

    @invariant()
    def the_profile_is_that_of_the_rows(self):
        if hasattr(self, "store") and self.rows:
            profile = self.dataset.latest.profile()
            assert profile.rows == len(self.rows)
            assert profile.columns["v"].maximum == max(
                (row["v"] for row in self.rows if row["v"] is not None), default=None
            )


TestStoreAgainstModel = StoreAgainstModel.TestCase
TestStoreAgainstModel.settings = settings(max_examples=20, stateful_step_count=15, deadline=None)


@pytest.fixture
def people(store):
    dataset = store.create_dataset("people", key=["id"])
    dataset.append({"id": [1, 2, 3], "age": [34, None, 7], "name": ["Ana", "Bo", None]})
    return dataset


def test_a_delete_writes_no_file(people):
    version = people.delete("age < 18")
    assert (version.record.bytes_added, version.num_rows) == (0, 2)
    assert people.version(1).num_rows == 3


def test_a_condition_that_is_null_deletes_nothing(people):
    assert people.delete("age > 1000").num_rows == 3


@pytest.mark.parametrize("condition", ["", "age", "1; DROP TABLE x", "age > (SELECT 1)", "agee > 1", "age > ?"])
def test_what_is_no_condition_is_refused(people, condition):
    with pytest.raises((UsageError, ColumnNotFoundError)):
        people.delete(condition)
    assert len(people.versions()) == 1


def test_a_delete_needs_a_condition_or_keys(people):
    with pytest.raises(UsageError, match="condition or keys"):
        people.delete()


def test_keys_may_come_as_dicts(people):
    assert people.delete(keys=[{"id": 1}, {"id": 99}]).num_rows == 2


def test_an_upsert_writes_the_rows_that_come(people):
    version = people.upsert({"id": [3, 4], "age": [8, 9], "name": ["Cy", "Di"]})
    assert version.record.rows_added == 2
    assert version.to_arrow().sort_by("id")["age"].to_pylist() == [34, None, 8, 9]


@pytest.mark.parametrize("key", [None, float("nan")])
def test_an_upsert_without_a_key_value_is_refused(store, key):
    dataset = store.create_dataset("loose", key=["x"])
    dataset.append({"x": [1.5], "y": [1]})
    with pytest.raises(UsageError, match="null or NaN") as caught:
        dataset.upsert({"x": pa.array([key], pa.float64(), from_pandas=False), "y": [2]})
    assert caught.value.code == "null-key"


def test_an_upsert_with_one_key_twice_is_refused(people):
    with pytest.raises(DuplicateKeyError, match="id=1"):
        people.upsert({"id": [1, 1], "age": [1, 2], "name": ["a", "b"]})


def test_a_dataset_without_a_key_cannot_be_upserted(store):
    dataset = store.create_dataset("loose")
    dataset.append({"x": [1]})
    with pytest.raises(UsageError, match="no key"):
        dataset.upsert({"x": [1]})
    with pytest.raises(UsageError, match="no key"):
        dataset.delete(keys={"x": [1]})


def test_a_sync_of_the_same_rows_writes_nothing(people):
    again = people.sync(people.latest)
    assert again.record.properties["sync"] == {"added": 0, "changed": 0, "deleted": 0, "unchanged": 3}
    assert (again.record.bytes_added, again.row_ids().tolist()) == (0, people.version(1).row_ids().tolist())


def test_a_sync_compares_nested_values_and_nan(store):
    dataset = store.create_dataset("nested", key=["id"])
    first = pa.table({"id": [1, 2, 3], "x": [float("nan"), 1.0, 2.0], "tags": [["a"], [], None]})
    dataset.append(first)
    changed = first.set_column(2, "tags", pa.array([["a"], ["b"], None]))
    counts = dataset.sync(changed).record.properties["sync"]
    assert counts == {"added": 0, "changed": 1, "deleted": 0, "unchanged": 2}


def test_a_sync_can_keep_rows_that_the_data_lacks(people):
    version = people.sync({"id": [1], "age": [35], "name": ["Ana"]}, delete_missing=False)
    assert version.record.properties["sync"] == {"added": 0, "changed": 1, "deleted": 0, "unchanged": 0}
    assert version.num_rows == 3


def test_an_overwrite_may_bring_other_columns(people):
    version = people.overwrite({"id": [9], "city": ["Oslo"]})
    assert version.to_arrow().to_pydict() == {"id": [9], "city": ["Oslo"]}
    assert people.version(1).arrow_schema.names == ["id", "age", "name"]


def test_an_append_that_evolves_adds_columns_and_fills_those_that_are_missing(people):
    version = people.append({"id": [4], "city": ["Oslo"]}, evolve=True)
    assert version.to_arrow(["id", "age", "city"]).to_pylist()[-2:] == [
        {"id": 3, "age": 7, "city": None},
        {"id": 4, "age": None, "city": "Oslo"},
    ]


def test_a_mismatch_names_each_difference_and_offers_evolve(people):
    with pytest.raises(SchemaMismatchError) as caught:
        people.append({"id": ["x"], "agee": [1]})
    message = str(caught.value)
    assert "no column 'agee' there" in message
    assert "column 'age' is missing" in message
    assert "column 'id' comes as string, not int64" in message
    assert "evolve=True" in message
    assert caught.value.facts["missing"] == ["age", "name"]


def test_a_dropped_column_does_not_come_back_under_its_name(people):
    people.drop_columns(["age"])
    version = people.add_columns({"age": "id * 2"})
    assert version.to_arrow(["age"])["age"].to_pylist() == [2, 4, 6]


def test_names_can_be_swapped(people):
    version = people.rename_columns({"age": "name", "name": "age"})
    assert version.to_arrow(["age"])["age"].to_pylist() == ["Ana", "Bo", None]


def test_what_others_need_is_not_dropped_or_renamed(store):
    dataset = store.create_dataset("d", key=["id"], derive={"twice": "x * 2"})
    dataset.append({"id": [1], "x": [2], "y": [3]})
    dataset.add_columns({"more": "y + 1"})
    for change in (
        lambda: dataset.drop_columns(["id"]),
        lambda: dataset.drop_columns(["x"]),
        lambda: dataset.rename_columns({"y": "z"}),
        lambda: dataset.widen_columns({"y": "double"}),
    ):
        with pytest.raises(foldstore.FoldstoreError) as caught:
            change()
        assert caught.value.code in ("column-needed", "not-wider")
    assert dataset.drop_columns(["y", "more"]).arrow_schema.names == ["id", "x", "twice"]
    with pytest.raises(AlreadyExistsError):
        dataset.add_columns({"x": "1"})
    with pytest.raises(ColumnNotFoundError, match="Did you mean 'x'"):
        dataset.drop_columns(["xx"])


def test_a_widened_column_reads_old_and_new_rows_alike(store):
    dataset = store.create_dataset("d", key=["id"])
    first = dataset.append(pa.table({"id": pa.array([1, 2], pa.int32()), "x": pa.array([1.5, None], pa.float32())}))
    dataset.widen_columns({"id": "int64", "x": "double"})
    version = dataset.append({"id": [2**40], "x": [0.1]})
    assert version.to_arrow().to_pydict() == {"id": [1, 2, 2**40], "x": [1.5, None, 0.1]}
    assert [str(f.type) for f in version.arrow_schema] == ["int64", "double"]
    assert [str(f.type) for f in first.arrow_schema] == ["int32", "float"]
    assert version.profile().columns["id"].maximum == 2**40
    with pytest.raises(DuplicateKeyError):
        dataset.append({"id": [1], "x": [0.0]})
    assert dataset.compact().to_arrow().to_pydict() == version.to_arrow().to_pydict()


@pytest.mark.parametrize(
    ("found", "wanted"), [("int64", "int32"), ("int64", "double"), ("double", "float"), ("int32", "string")]
)
def test_a_type_that_does_not_hold_every_value_is_refused(store, found, wanted):
    dataset = store.create_dataset("d")
    dataset.append(pa.table({"x": pa.array([1]).cast(found)}))
    with pytest.raises(SchemaMismatchError) as caught:
        dataset.widen_columns({"x": wanted})
    assert caught.value.code == "not-wider"


def test_columns_are_joined_on_the_key(people):
    version = people.add_columns(pa.table({"id": [3, 1], "city": ["Oslo", "Bern"]}))
    assert version.to_arrow(["city"])["city"].to_pylist() == ["Bern", None, "Oslo"]
    with pytest.raises(NotFoundError) as caught:
        people.add_columns(pa.table({"id": [77], "more": [1]}))
    assert caught.value.code == "key-not-found"


def test_a_transaction_is_one_version_or_none(people):
    with people.transaction(message="all at once") as change:
        change.delete(keys={"id": [1]})
        change.upsert({"id": [2], "age": [52], "name": ["Bo"]})
        change.append({"id": [4], "age": [9], "name": ["Di"]})
        change.rename_columns({"name": "called"})
        assert change.num_rows == 3
        assert people.latest.number == 1
    assert change.version == people.latest
    assert (people.latest.record.operation, people.latest.record.message) == ("transaction", "all at once")
    assert sorted(people.latest.to_arrow()["id"].to_pylist()) == [2, 3, 4]
    with pytest.raises(UsageError, match="no row"), people.transaction() as change:  # noqa: PT012
        change.delete("id > 0")
        raise UsageError("no row is left")
    assert people.latest.number == 2
    with pytest.raises(UsageError, match="not open"):
        change.delete("id > 0")


def test_the_same_idempotency_key_commits_once_whatever_the_verb(people):
    first = people.delete("id = 1", idempotency_key="once")
    assert people.delete("id = 2", idempotency_key="once") == first
    with people.transaction(idempotency_key="once") as change:
        change.delete("id = 3")
    assert change.version == first
    assert len(people.versions()) == 2


def test_a_policy_decides_about_keys_that_repeat(store):
    from foldstore.datastore.key_policy import DuplicateKeyWarning

    for policy in ("warn", "off"):
        dataset = store.create_dataset(policy, key=["id"], key_policy=policy)
        dataset.append({"id": [1]})
        if policy == "warn":
            with pytest.warns(DuplicateKeyWarning, match="id=1"):
                dataset.append({"id": [1]})
        else:
            dataset.append({"id": [1]})
        assert dataset.latest.num_rows == 2
    with pytest.raises(UsageError, match="key_policy"):
        store.create_dataset("other", key=["id"], key_policy="maybe")


def test_an_unknown_option_of_a_commit_is_refused(people):
    with pytest.raises(UsageError, match="'mesage'"):
        people.delete("id = 1", mesage="typo")


def test_compaction_makes_few_files_and_reads_the_same(store):
    dataset = store.create_dataset("small", key=["id"])
    for n in range(12):
        dataset.append({"id": list(range(n * 10, n * 10 + 10)), "x": [n] * 10})
    dataset.delete("id % 2 = 0")
    before = dataset.latest
    after = dataset.compact()
    assert before.to_arrow().equals(after.to_arrow().combine_chunks()) or before.to_arrow().to_pylist() == _rows(after)
    assert (before.row_ids() == after.row_ids()).all()
    assert len(after.rows.fragments) == 1
    assert after.take(before.row_ids()[5:7]).to_pylist() == before.take(before.row_ids()[5:7]).to_pylist()
    assert store.verify().passed
    deleted = dataset.delete("id < 30")
    assert (deleted.num_rows, deleted.row_ids()[0]) == (45, before.row_ids()[15])


def test_splits_keep_their_rows_over_deletes_upserts_and_compaction(store):
    dataset = store.create_dataset("rows", key=["id"])
    for n in range(4):
        dataset.append({"id": list(range(n * 50, n * 50 + 50)), "x": [n] * 50})
    split = dataset.latest.split("halves", train=0.5, test=0.5, seed=1)
    train = set(split.train.to_arrow()["id"].to_pylist())
    dataset.delete("id % 5 = 0")
    dataset.compact()
    dataset.upsert({"id": [1, 2, 500], "x": [9, 9, 9]})
    now = dataset.latest.find_split("halves")
    left = {row for row in range(200) if row % 5}
    assert set(now.train.to_arrow()["id"].to_pylist()) & left == train & left
    both = now.train.to_arrow()["id"].to_pylist() + now.test.to_arrow()["id"].to_pylist()
    assert sorted(both) == sorted(dataset.latest.to_arrow()["id"].to_pylist())
    assert now.report().to_dict() is not None


def test_a_split_of_rows_without_a_key_follows_them_through_compaction(store):
    dataset = store.create_dataset("loose")
    for n in range(5):
        dataset.append({"x": [n * 20 + i for i in range(20)], "y": [i % 4 for i in range(20)]})
    how = {"train": 0.5, "test": 0.5, "group_by": ["x"], "stratify": "y", "seed": 3}
    train = dataset.latest.split("halves", **how).train.to_arrow()["x"].to_pylist()
    dataset.delete("x % 3 = 0")
    compacted = dataset.compact()
    assert len(compacted.rows.fragments) == 1
    now = compacted.find_split("halves")
    assert now.train.to_arrow()["x"].to_pylist() == [x for x in train if x % 3]


def test_row_ids_that_are_not_there_are_named(people):
    version = people.latest
    with pytest.raises(NotFoundError) as caught:
        version.take([7])
    assert caught.value.code == "row-not-found"
    gone = version.row_ids()[0]
    with pytest.raises(NotFoundError):
        people.delete("id = 1").take([gone])
    with pytest.raises(UsageError):
        version.take(["a"])
    with pytest.raises(UsageError):
        version.take()
    with pytest.raises(NotFoundError, match="id=9"):
        version.take(keys={"id": [9]})
    assert version.take([]).num_rows == 0
