"""Two writers at once, a hundred times: one line of versions, each acknowledged commit in it once, losers told why."""

import itertools
import os
import tempfile
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from functools import partial
from pathlib import Path

import pytest

from foldstore.datastore.storage import open_storage
from foldstore.store import Store
from tests import postgres
from tests.datastore.faults.conftest import MEMORY
from tests.datastore.faults.operations import NAME, prepare, rows
from tests.datastore.faults.racers import ACTS, Processes, Threads

PAIRS = list(itertools.combinations_with_replacement(ACTS, 2))
NIGHTLY = 10 if os.environ.get("HYPOTHESIS_PROFILE") == "nightly" else 1
START = 5  # the version that every round starts from


def _apply(act, first, state):
    """Do to a dict of values by key, and a set of columns, what an act does to the dataset."""
    values, columns = dict(state[0]), set(state[1])
    changes = {
        "append": rows([first, first + 1]),
        "upsert": rows([first // 100, first + 2], first=first),
        "upsert same key": rows([3, 50], first=first),
        "overwrite": rows([1, first + 3]),
    }
    if act == "overwrite":
        values, columns = {}, {"id", "x", "t"}
    if act == "delete":
        values = {key: value for key, value in values.items() if key not in (4, 5 + first // 100)}
    if act == "add_columns":
        columns.add(f"c{first}")
    if act in changes:
        values.update(zip(changes[act]["id"], changes[act]["x"], strict=True))
    return values, columns


def _state(version):
    table = version.to_arrow()
    values = dict(zip(table["id"].to_pylist(), table["x"].to_pylist(), strict=True))
    assert len(values) == table.num_rows, "a row is there twice"
    return values, set(table.column_names)


def _check(store, branch, acts, outcomes):
    """Compare what writers were told with what is there."""
    line = [version for version in store.dataset(NAME).versions() if version.record.branch == branch]
    last = store.dataset(NAME).version(START)
    state = _state(last)
    for version in line:
        assert version.record.parent_id == last.version_id
        writer = int(version.record.author.removeprefix("writer "))
        assert outcomes[writer] == {"won": True, "number": version.number}
        state = _apply(acts[writer], 100 * (writer + 1), state)
        assert _state(version) == state
        last = version
    assert len({version.record.author for version in line}) == len(line)
    assert len(line) == sum(outcome["won"] for outcome in outcomes)
    assert line, "one of two always wins"
    for outcome in outcomes:
        if not outcome["won"]:
            assert outcome["retry"] is True
            names = [f"{NAME}@{version.number}" for version in reversed(line)]
            assert outcome["winners"]
            assert " ".join(outcome["winners"]) in " ".join(names)  # those between what it had seen and what it met
            assert "by writer " in outcome["message"]


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def course(request):
    """A store to race in, and what opens it."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(dir=MEMORY))) / "store"
        how = {} if request.param == "sqlite" else {"catalog_url": stack.enter_context(postgres.empty_catalog())}
        prepare(folder, **how)
        store = stack.enter_context(Store(open_storage(folder, **how), "referee"))
        yield store, folder, how
        assert store.verify().faults == ()


def _race(course, racers, label, rounds):
    store = course[0]
    with racers:
        for turn, acts in enumerate(PAIRS * rounds):
            branch = f"{label}-{turn}"
            store.dataset(NAME).create_branch(branch, START)
            _check(store, branch, acts, racers.race(branch, acts))


def test_threads_with_a_store_each_make_one_line_of_versions(course):
    _race(course, Threads(course[1], 2, **course[2]), "apart", 2 * NIGHTLY)


def test_threads_with_one_store_make_one_line_of_versions(course):
    _race(course, Threads(course[1], 2, shared=True, **course[2]), "shared", NIGHTLY)


def test_processes_make_one_line_of_versions(course):
    _race(course, Processes(course[1], 2, **course[2]), "process", NIGHTLY)


CROWDS = [["append"] * 5, ["upsert same key"] * 5, ["append", "delete", "upsert", "compact", "compact"]]


def test_five_writers_at_once_make_one_line_of_versions(course):
    store, folder, how = course
    with Threads(folder, 5, **how) as racers:
        for turn, acts in enumerate(CROWDS):
            branch = f"five-{turn}"
            store.dataset(NAME).create_branch(branch, START)
            _check(store, branch, acts, racers.race(branch, acts))


def _at_once(*works):
    """Run functions in threads that start together; return what they returned."""
    with ThreadPoolExecutor(len(works)) as pool:
        barrier = threading.Barrier(len(works))
        return [
            each.result() for each in [pool.submit(lambda work=work: (barrier.wait(), work())[1]) for work in works]
        ]


def test_writers_of_datasets_with_the_same_columns_and_deletions_do_not_meet(course):
    store, folder, how = course

    def work(other, column, n, size):
        dataset = other.dataset(f"{column}-{n}")  # the catalog has seen neither these columns nor these deletions
        dataset.append({column: list(range(n, n + size))})
        return dataset.delete(f"{column} < {n + 7}").num_rows

    with ExitStack() as stack:
        others = [stack.enter_context(Store(open_storage(folder, **how), "twin")) for _ in range(3)]
        for turn in range(6):
            for n in range(3):
                store.create_dataset(f"c{turn}-{n}")
            works = [partial(work, other, f"c{turn}", n, 50 + turn) for n, other in enumerate(others)]
            assert _at_once(*works) == [43 + turn] * 3


def test_refs_made_while_others_commit_are_in_one_history(course):
    store, folder, how = course
    with ExitStack() as stack:
        first, second = (stack.enter_context(Store(open_storage(folder, **how), "twin")) for _ in range(2))
        dataset = store.create_dataset("busy")
        dataset.append({"n": [0]})
        for turn in range(10):
            _at_once(
                lambda turn=turn: first.dataset("busy").append({"n": [turn]}),
                lambda turn=turn: second.dataset("busy").tag(f"tag-{turn}", 1),
            )
    assert dataset.latest.num_rows == 11
    assert [ref["name"] for ref in dataset.refs() if ref["kind"] == "tag"] == [f"tag-{turn}" for turn in range(10)]
