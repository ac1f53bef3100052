"""What becomes of a commit when another one is faster: the conflict matrix, pair by pair.

It is decided, not raced: the second writer commits while the first stands at a step of its commit. docs/storage.md
shows the matrix as a table. Each pair works on a branch of its own, from the same version.
"""

import itertools
import os
import tempfile
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path

import pyarrow as pa
import pytest

import foldstore
from foldstore.datastore.storage import open_storage
from foldstore.errors import ConflictError, FoldstoreError
from foldstore.store import Store
from tests import postgres
from tests.datastore.faults import operations
from tests.datastore.faults.conftest import MEMORY
from tests.datastore.faults.operations import NAME


def rows(ids, first=10):
    """Return rows of the dataset, with a column that can be widened."""
    return {**operations.rows(ids, first), "n": pa.array([1] * len(ids), pa.int32())}


def _transact(dataset, first):
    with dataset.transaction() as change:
        change.append(rows([first + 30]))
        change.delete("id = 4")
    return change.version


def _add_and_drop(dataset, _):
    with dataset.transaction() as change:
        change.add_columns({"gone": "x"})
        change.drop_columns(["gone"])
    return change.version


def _join(first):
    return pa.table({"id": [1], f"j{first}": [first]})


# What a writer does; `first` keeps the keys of two writers apart, where they are not to meet.
ACTS = {
    "append": lambda d, first: d.append(rows([first])),
    "append evolve": lambda d, first: d.append({**rows([first + 40]), f"e{first}": [first]}, evolve=True),
    "append same key": lambda d, _: d.append(rows([50])),
    "upsert": lambda d, first: d.upsert(rows([first // 100, first + 10], first=2)),
    "upsert same key": lambda d, first: d.upsert(rows([2, 50], first=first)),
    "delete": lambda d, first: d.delete(f"id = {2 + first // 50}"),
    "delete same row": lambda d, _: d.delete("id = 2"),
    "sync": lambda d, first: d.sync(rows([1, 2, 3, first])),
    "add_columns": lambda d, first: d.add_columns({f"c{first}": "x * 2"}),
    "join_columns": lambda d, first: d.add_columns(_join(first)),
    "add and drop": _add_and_drop,
    "drop_columns": lambda d, _: d.drop_columns(["t"]),
    "rename_columns": lambda d, first: d.rename_columns({"t": f"t{first}"}),
    "widen_columns": lambda d, _: d.widen_columns({"n": "int64"}),
    "compact": lambda d, _: d.compact(),
    "overwrite": lambda d, first: d.overwrite(rows([1, first + 20])),
    "restore": lambda d, _: d.restore(2),
    "merge": lambda d, _: d.merge("side"),
    "transaction": _transact,
}
ALL = frozenset(ACTS)
APPENDS = {"append", "append same key"}
COLUMNS = {"append evolve", "add_columns", "join_columns", "drop_columns", "rename_columns", "widen_columns"}
# The columns stay what they are, but ids are used up that new columns would have had.
IDS = {"add and drop", "merge"}


@dataclass(frozen=True)
class Rule:
    """How one act meets others that were faster; by whom it is not named, it is applied to what they made."""

    refused: frozenset = frozenset()  # a ConflictError says who won
    answered: frozenset = frozenset()  # the error that it gives on what they made


MATRIX = {
    "append": Rule(refused=COLUMNS),
    "append evolve": Rule(refused=COLUMNS | IDS),
    "append same key": Rule(refused=COLUMNS, answered={"append same key", "upsert same key"}),
    "upsert": Rule(refused=COLUMNS),
    "upsert same key": Rule(refused=COLUMNS),
    "delete": Rule(),
    "delete same row": Rule(),
    "sync": Rule(refused=ALL),
    "add_columns": Rule(refused=COLUMNS),
    "join_columns": Rule(refused=COLUMNS),
    "add and drop": Rule(refused=COLUMNS),
    "drop_columns": Rule(answered={"drop_columns", "rename_columns"}),
    "rename_columns": Rule(answered={"drop_columns", "rename_columns"}),
    "widen_columns": Rule(answered={"widen_columns"}),
    "compact": Rule(refused=ALL - APPENDS),
    "overwrite": Rule(refused=ALL),
    "restore": Rule(refused=ALL),
    "merge": Rule(refused=ALL),
    "transaction": Rule(refused=COLUMNS),
}

NIGHTLY = os.environ.get("HYPOTHESIS_PROFILE") == "nightly"
# On a server these meet each other, and all others the first of them; every pair meets in SQLite, and by night.
SERVED = ("append", "upsert same key", "delete same row", "add_columns", "compact", "overwrite", "transaction")


class Arena:
    """A store, and two writers who meet in it."""

    def __init__(self, folder, acts, **how):
        self._acts = acts
        with foldstore.connect(folder, author="setup", **how) as store:
            dataset = store.create_dataset(NAME, key=["id"])
            for ids in ([1, 2, 3], [4, 5, 6], [7, 8]):
                dataset.append(rows(ids))
            dataset.create_branch("side").upsert(rows([7, 60], first=5))
            dataset.delete("id = 5")
        self._storage = open_storage(folder, **how)
        self._winner = Store(open_storage(folder, **how), "winner")
        self._count = itertools.count()

    def close(self):
        self._winner.close()
        self._storage.close()

    def acts_beside(self, mine):
        """Return the acts that meet this one here."""
        return ACTS if self._acts is None else self._acts if mine in self._acts else self._acts[:1]

    def branch(self):
        """Return the name of a new branch, from the version that all start at."""
        name = f"pair-{next(self._count)}"
        self._winner.dataset(NAME).create_branch(name, 5)
        return name

    def meet(self, mine, theirs, step):
        """Let the winner act when my act is at a step; return what became of mine."""
        name = self.branch()
        met = []

        def act(now):
            if now == step and not met:
                met.append(_act(self._winner, name, theirs, 200))

        outcome = _act(Store(replace(self._storage, on_step=act), "me"), name, mine, 100)
        assert not isinstance(met[0], FoldstoreError)
        return met[0], outcome

    def follow(self, mine, theirs):
        """Do one act after the other."""
        name = self.branch()
        _act(self._winner, name, theirs, 200)
        return _act(Store(self._storage, "me"), name, mine, 100)

    def verify(self):
        return self._winner.verify().faults

    def versions(self, branch):
        return [v for v in self._winner.dataset(NAME).versions() if v.record.branch == branch]


def _act(store, branch, act, first):
    try:
        return ACTS[act](store.dataset(NAME)._on_branch(branch), first)
    except FoldstoreError as error:
        return error


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def arena(request):
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(dir=MEMORY))) / "store"
        how = {} if request.param == "sqlite" else {"catalog_url": stack.enter_context(postgres.empty_catalog())}
        made = Arena(folder, SERVED if how and not NIGHTLY else None, **how)
        yield made
        faults = made.verify()
        made.close()
    assert faults == ()


def _check(arena, mine, theirs, step):
    winner, outcome = arena.meet(mine, theirs, step)
    rule = MATRIX[mine]
    if theirs in rule.refused:
        assert isinstance(outcome, ConflictError)
        assert outcome.facts["winners"] == [f"{NAME}@{winner.number}"]
        assert outcome.retry is True
        assert "by winner)" in outcome.message
        return
    after = arena.follow(mine, theirs)
    if theirs in rule.answered:
        assert type(outcome) is type(after)
        assert isinstance(after, FoldstoreError)
        assert outcome.message == after.message
        return
    assert outcome.record.parent_id == winner.version_id
    assert outcome.to_arrow().equals(after.to_arrow())


@pytest.mark.parametrize("mine", ACTS)
def test_an_act_that_was_overtaken_is_applied_refused_or_answered_by_the_matrix(arena, mine):
    for theirs in arena.acts_beside(mine):
        try:
            _check(arena, mine, theirs, "judged")
        except AssertionError as error:
            raise AssertionError(f"{mine} after {theirs}") from error


@pytest.mark.parametrize("mine", ["append", "upsert same key", "compact", "add_columns", "transaction"])
def test_it_does_not_matter_when_an_act_is_overtaken(arena, mine):
    for step in ("begun", "staged", "registered", "linked"):
        for theirs in ("append", "delete", "add_columns"):
            if theirs in arena.acts_beside(mine):
                _check(arena, mine, theirs, step)
