"""Law 7: an acknowledged commit survives a kill at any step; anything else leaves nothing to see."""

import json
import os
import threading
from pathlib import Path

import pyarrow as pa
import pytest

import foldstore
from foldstore.datastore.add_columns import AddColumns
from foldstore.datastore.append import Append
from foldstore.datastore.catalog import commits
from foldstore.datastore.catalog.catalog import Catalog
from foldstore.datastore.commit import CommitOptions, commit_steps, load_head
from foldstore.datastore.gate import OpenGate
from foldstore.datastore.ingest.source import open_source
from foldstore.datastore.storage import open_storage
from foldstore.errors import ConflictError, DuplicateKeyError, NotFoundError
from tests import killing

STEPS = ["begun", "staged", "registered", "linked", "judged", "flipped", "recorded"]
WRITER = """
from foldstore.datastore.append import Append
from foldstore.datastore.commit import CommitOptions, commit_steps
from foldstore.datastore.gate import OpenGate
from foldstore.datastore.ingest.source import open_source

dataset = storage.catalog.find_dataset("numbers")
steps = [Append(open_source({"id": [3, 4]}))]
commit_steps(storage, dataset, steps, options=CommitOptions(author="victim"), gate=OpenGate())
print("acknowledged")
"""


def _write(storage, dataset, ids, author="tester", **more):
    steps = [Append(open_source({"id": ids}))]
    return commit_steps(storage, dataset, steps, options=CommitOptions(author=author, **more), gate=OpenGate())


@pytest.fixture
def numbers(store):
    dataset = store.create_dataset("numbers", key=["id"])
    dataset.append({"id": [1, 2]})
    return dataset


@pytest.mark.parametrize("step", STEPS)
def test_a_commit_killed_at_any_step_is_wholly_there_or_wholly_absent(folder, store, numbers, step):
    killing.assert_killed(killing.run(WRITER, folder, step))
    visible = step in ("flipped", "recorded")
    assert numbers.latest.to_arrow()["id"].to_pylist() == ([1, 2, 3, 4] if visible else [1, 2])
    assert store.verify().passed
    # The next writer is not in the way of the dead one, and makes good what it left undone.
    after = numbers.append({"id": [5]})
    assert after.number == (3 if visible else 2)
    assert len(list((folder / "commits").rglob("*.json"))) == after.number
    assert store.verify().passed


def test_a_commit_that_nobody_kills_is_acknowledged(folder, store, numbers):
    done = killing.run(WRITER, folder, "-")
    assert (done.returncode, done.stdout) == (0, "acknowledged\n"), done.stderr
    assert numbers.latest.num_rows == 4


def test_commit_objects_describe_each_version(folder, numbers):
    numbers.append({"id": [3]}, message="third")
    files = sorted((folder / "commits").rglob("*.json"))
    described = json.loads(files[-1].read_text())
    assert described["version"]["message"] == "third"
    assert described["dataset"]["name"] == "numbers"
    assert [len(page) for page in described["new_pages"].values()] == [2]
    assert oct(files[-1].stat().st_mode & 0o777) == "0o444"


def test_a_head_is_looked_up_again_once_somebody_committed(folder, store, numbers, monkeypatch):
    storage, record, looked = store._storage, numbers._record, []
    real = Catalog.find_ref

    def spy(catalog, *given):
        looked.append(given[-1])
        return real(catalog, *given)

    monkeypatch.setattr(Catalog, "find_ref", spy)
    before = load_head(storage, record)
    looked.clear()
    assert load_head(storage, record) is before
    assert looked == []
    with foldstore.connect(folder) as other:
        other.dataset("numbers").append({"id": [3]})
    after = load_head(storage, record)
    assert (before.version.number, after.version.number) == (1, 2)
    assert looked.count("main") >= 1
    numbers.create_branch("trial")
    with pytest.raises(NotFoundError, match="no branch 'other'"):
        load_head(storage, record, "other")
    assert load_head(storage, record, "trial").version.number == 2


def _contents(folder):
    return {p: p.read_bytes() for p in folder.rglob("*") if p.is_file() and "catalog" not in p.name}


def test_a_failed_append_leaves_the_store_as_it_was(folder, store, numbers):
    before = _contents(folder)
    with pytest.raises(DuplicateKeyError) as caught:
        numbers.append({"id": [9, 2]})
    assert caught.value.facts["groups"] == 1
    assert "id=2" in caught.value.message
    assert before.items() <= _contents(folder).items()
    assert not list((folder / "staging").iterdir())
    assert numbers.latest.number == 1
    assert store.verify().passed


def test_an_idempotency_key_commits_once(numbers):
    first = numbers.append({"id": [3]}, idempotency_key="monday")
    again = numbers.append({"id": [3]}, idempotency_key="monday")
    assert again.version_id == first.version_id
    assert numbers.latest.number == 2


def test_an_ambiguous_flip_is_looked_up_and_not_repeated(folder, monkeypatch):
    storage = open_storage(folder)
    with foldstore.connect(folder) as store:
        store.create_dataset("numbers")
    dataset = storage.catalog.find_dataset("numbers")
    real = commits.flip

    def flip_then_fail(*args):
        real(*args)
        raise RuntimeError("the connection broke after COMMIT")

    monkeypatch.setattr(commits, "flip", flip_then_fail)
    version = _write(storage, dataset, [1])
    assert version.number == 1
    assert len(storage.catalog.list_versions(dataset.id)) == 1


def test_a_flip_that_fails_before_it_commits_is_an_error(folder, monkeypatch):
    storage = open_storage(folder)
    with foldstore.connect(folder) as store:
        store.create_dataset("numbers")
    dataset = storage.catalog.find_dataset("numbers")
    monkeypatch.setattr(commits, "flip", lambda *_: (_ for _ in ()).throw(RuntimeError("refused")))
    with pytest.raises(RuntimeError, match="refused"):
        _write(storage, dataset, [1])
    assert storage.catalog.list_versions(dataset.id) == []


def test_appends_of_many_threads_all_arrive_in_one_line(folder, store):
    store.create_dataset("numbers", key=["id"])
    errors = []

    def write(start):
        try:
            with foldstore.connect(folder) as mine:
                for step in range(5):
                    mine.dataset("numbers").append({"id": [start * 100 + step]})
        except Exception as error:  # noqa: BLE001  # told to the main thread
            errors.append(error)

    threads = [threading.Thread(target=write, args=(n,)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    versions = store.dataset("numbers").versions()
    assert [v.number for v in versions] == list(range(1, 21))
    assert [v.record.parent_id for v in versions[1:]] == [v.version_id for v in versions[:-1]]
    assert sorted(versions[-1].to_arrow()["id"].to_pylist()) == sorted(n * 100 + s for n in range(4) for s in range(5))


def test_two_appends_of_one_key_at_once_leave_one_of_them(folder, store):
    store.create_dataset("numbers", key=["id"]).append({"id": [0]})
    outcomes = []

    def write():
        with foldstore.connect(folder) as mine:
            try:
                outcomes.append(mine.dataset("numbers").append({"id": [7]}).number)
            except DuplicateKeyError as error:
                outcomes.append(error.code)

    threads = [threading.Thread(target=write) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(map(str, outcomes)) == ["2", "duplicate-key", "duplicate-key", "duplicate-key"]


def test_an_append_onto_a_column_added_meanwhile_names_the_winner(folder):
    storage = open_storage(folder)
    with foldstore.connect(folder) as store:
        store.create_dataset("numbers").append({"id": [1]})
    dataset = storage.catalog.find_dataset("numbers")

    def meddle(step):
        if step == "linked":
            with foldstore.connect(folder, author="winner") as other:
                other.dataset("numbers").add_columns({"twice": "id * 2"})

    from dataclasses import replace

    with pytest.raises(
        ConflictError, match=r"append on 'numbers' lost to numbers@2 \(add_columns by winner\)"
    ) as caught:
        _write(replace(storage, on_step=meddle), dataset, [2])
    assert caught.value.retry
    assert _write(storage, dataset, [2]).number == 3


def test_adding_a_column_writes_that_column_alone(store):
    dataset = store.create_dataset("wide")
    rows = 50_000
    first = dataset.append({"a": list(range(rows)), "b": [float(n) for n in range(rows)]})
    second = dataset.add_columns({"c": "a + 1"})
    assert first.record.bytes_added > rows * 16
    assert second.record.bytes_added < rows * 8 * 1.02
    assert second.record.rows_added == 0
    assert second.to_arrow(["c", "a"]).slice(0, 2).to_pydict() == {"c": [1, 2], "a": [0, 1]}
    assert first.arrow_schema.names == ["a", "b"]
    third = dataset.append({"a": [-1], "b": [0.5]})
    assert third.to_arrow(["c"])["c"].to_pylist()[-1] == 0


def test_derived_columns_are_computed_and_may_not_be_contradicted(store):
    dataset = store.create_dataset("orders", derive={"total": "price * amount"})
    assert dataset.append({"price": [2, 3], "amount": [5, None]}).to_arrow()["total"].to_pylist() == [10, None]
    dataset.append({"price": [1], "amount": [1], "total": [1]})
    with pytest.raises(foldstore.FoldstoreError, match="Column 'total' is derived") as caught:
        dataset.append({"price": [1], "amount": [1], "total": [2]})
    assert caught.value.code == "schema-mismatch"
    assert dataset.latest.number == 2


def test_equal_bytes_are_kept_once(store):
    rows = {"id": list(range(1000))}
    assert store.create_dataset("one").append(rows).record.bytes_added > 8000
    assert store.create_dataset("two").append(rows).record.bytes_added == 0


def test_sorting_by_columns_settles_row_order(store):
    dataset = store.create_dataset("numbers")
    version = dataset.append({"a": [2, 1, 2, None], "b": [1, 2, 0, 3]}, order_by=["a", "b"])
    assert version.to_arrow().to_pydict() == {"a": [1, 2, 2, None], "b": [2, 0, 1, 3]}


def test_add_columns_stages_nothing_when_an_expression_fails(folder):
    storage = open_storage(folder)
    with foldstore.connect(folder) as store:
        store.create_dataset("texts").append({"t": ["1", "x"]})
    dataset = storage.catalog.find_dataset("texts")
    with pytest.raises(foldstore.FoldstoreError, match="n"):
        commit_steps(
            storage,
            dataset,
            [AddColumns({"n": "t::INTEGER"})],
            options=CommitOptions(author="t"),
            gate=OpenGate(),
        )
    assert len(storage.catalog.list_versions(dataset.id)) == 1
    assert not list(Path(folder, "staging").iterdir())


def test_an_empty_table_can_say_what_the_columns_are(store):
    dataset = store.create_dataset("later", key=["id"])
    schema = pa.schema([("id", pa.int32()), ("t", pa.timestamp("us", "UTC"))])
    assert dataset.append(schema.empty_table()).num_rows == 0
    assert dataset.append({"id": [1], "t": [None]}).arrow_schema == schema


@pytest.mark.skipif(os.name != "posix", reason="permissions are POSIX's")
def test_published_files_are_read_only(folder, numbers):
    for file in (folder / "objects").rglob("*.arrow"):
        assert oct(file.stat().st_mode & 0o777) == "0o444"


@pytest.mark.parametrize("call", ["write", "finish"])
def test_a_full_disk_is_an_error_of_the_store_and_leaves_it_as_it_was(store, numbers, monkeypatch, call):
    import errno

    from foldstore.datastore.files import HashingFile

    def fail(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(HashingFile, call, fail)
    with pytest.raises(foldstore.FoldstoreError, match="No space left on device") as caught:
        numbers.append({"id": [3]})
    assert caught.value.exit_code == 3
    monkeypatch.undo()
    assert numbers.latest.number == 1
    assert store.verify().passed
    assert numbers.append({"id": [3]}).number == 2


def test_writers_with_one_idempotency_key_at_once_make_one_version(folder, store):
    store.create_dataset("numbers")
    made, errors = [], []

    def write():
        try:
            with foldstore.connect(folder) as mine:
                made.append(mine.dataset("numbers").append({"id": [1]}, idempotency_key="once").version_id)
        except Exception as error:  # noqa: BLE001  # told to the main thread
            errors.append(error)

    threads = [threading.Thread(target=write) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    assert len(set(made)) == 1
    assert store.dataset("numbers").latest.num_rows == 1


def test_an_interrupted_append_leaves_nothing(folder, store, numbers):
    def batches():
        yield pa.record_batch({"id": [3]})
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        numbers.append(batches())
    assert numbers.latest.number == 1
    assert not list((folder / "staging").iterdir())
    assert store.verify().passed
