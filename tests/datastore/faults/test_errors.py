"""A disk that is full, breaks or refuses, a catalog that is locked or full: an error in words, and nothing lost."""

import itertools
import os
import sqlite3
from contextlib import contextmanager
from dataclasses import replace

import pytest
import sqlalchemy as sa

from foldstore.datastore.catalog import commits
from foldstore.datastore.catalog import connection as connection_module
from foldstore.datastore.files import LocalFiles
from foldstore.datastore.storage import CATALOG_FILE, open_storage
from foldstore.errors import FoldstoreError, StoreError
from foldstore.store import Store
from tests import postgres
from tests.datastore.faults.failing_files import FailingFiles, Trouble, choose
from tests.datastore.faults.operations import (
    CORE,
    NAME,
    NEXT,
    assert_sound,
    copy_store,
    perform,
    prepare,
    read_all,
    rows,
)

NIGHTLY = os.environ.get("HYPOTHESIS_PROFILE") == "nightly"


def _attempt(storage, operation, nth=0):
    """Do an operation whose nth act on the disk fails; return the error, and what was asked of the disk."""
    trouble = Trouble(nth)
    storage.objects.files = FailingFiles(storage.root, trouble)
    try:
        perform(storage, operation, idempotency_key="k")
    except FoldstoreError as error:
        return error, trouble.acts
    finally:
        storage.objects.files = LocalFiles(storage.root)
    return None, trouble.acts


@pytest.mark.parametrize("operation", CORE)
def test_whichever_act_on_the_disk_fails_nothing_is_lost(template, before, tmp_path, operation):
    whole = copy_store(template, tmp_path / "whole")
    error, acts = _attempt(open_storage(whole), operation)
    assert error is None
    done = read_all(whole)
    folder = copy_store(template, tmp_path / "0")
    storage = open_storage(folder)
    outcomes = []
    for nth in choose(acts, every=NIGHTLY):
        error, met = _attempt(storage, operation, nth)
        assert isinstance(error, StoreError), met[-1]
        assert not list((folder / "staging").iterdir())
        found = [version.number for version in Store(storage, "reader").dataset(NAME).versions()]
        committed = len(found) > len(before)
        mine = [version.id for version in storage.catalog.list_versions(_dataset(storage).id)][len(before) :]
        assert ("is committed" in error.message) is committed
        assert committed is (error.facts.get("version") in mine)
        outcomes.append(committed)
        if committed:  # whoever tries again gets the version that there is
            assert perform(storage, operation, idempotency_key="k").version_id == mine[0]
            storage.close()
            assert_sound(folder, done)
            folder = copy_store(template, tmp_path / f"{nth}")
            storage = open_storage(folder)
    assert outcomes == sorted(outcomes)  # nothing fails before the commit that had been fine after it
    assert set(outcomes) == {False, True}
    assert read_all(folder) == before
    # All that failed left nothing that is in the way of one that does not.
    assert _attempt(storage, operation)[0] is None
    storage.close()
    assert_sound(folder, done)


def _dataset(storage):
    return storage.catalog.find_dataset(NAME)


@pytest.mark.parametrize("operation", CORE)
def test_a_locked_catalog_is_an_error_in_words_and_no_version(folder, before, monkeypatch, operation):
    monkeypatch.setattr(connection_module, "_LOCK_WAIT_SECONDS", 0.05)
    storage = open_storage(folder)
    blocker = sqlite3.connect(folder / CATALOG_FILE, isolation_level=None)
    for step in ("", "begun", "judged"):  # locked from the start, and in the middle of the commit
        if not step:
            blocker.execute("BEGIN IMMEDIATE")
        slow = replace(storage, on_step=lambda name, step=step: name == step and blocker.execute("BEGIN IMMEDIATE"))
        with pytest.raises(StoreError, match="database is locked") as caught:
            perform(slow, operation)
        assert caught.value.code == "store-unavailable"
        assert read_all(folder) == before  # whoever reads does not wait
        blocker.execute("ROLLBACK")
    blocker.close()
    version = perform(storage, operation)
    storage.close()
    assert version.number == max(before) + 1
    assert_sound(folder, read_all(folder))


def _limit_pages(storage, more):
    """Let the catalog grow by so many pages and no further, as a full disk would."""

    def limit(connection, _record=None):
        pages = connection.execute("PRAGMA page_count").fetchone()[0]
        connection.execute(f"PRAGMA max_page_count={pages + more}")

    storage.catalog._engine.dispose()
    sa.event.listen(storage.catalog._engine, "connect", limit)


def test_a_full_disk_inside_the_catalog_is_an_error_in_words_and_no_version(template, before, tmp_path):
    wide = {f"a_column_with_a_long_name_{n}": [0.5] for n in range(200)}  # pages of the catalog are what is short
    met = set()
    for more in (0, 4, 16, 40, 200):
        folder = copy_store(template, tmp_path / f"{more}")
        storage = open_storage(folder)
        _limit_pages(storage, more)
        try:
            version = Store(storage, "writer").dataset(NAME).append({**rows([100]), **wide}, evolve=True)
        except StoreError as error:
            met.add("full")
            assert "database or disk is full" in error.message  # noqa: PT017
            assert read_all(folder) == before
        else:
            met.add("fits")
            assert version.number == NEXT
        storage.close()
        assert_sound(folder, read_all(folder))
    assert met == {"full", "fits"}


class _Lost(Exception):  # noqa: N818
    """What a driver raises when the connection breaks."""


def _break_after(storage, nth):
    """Let the nth COMMIT of the catalog come about and raise all the same; those after it are as ever."""
    write, count = storage.catalog.write, itertools.count(1)

    @contextmanager
    def broken():
        with write() as connection:
            yield connection
        if next(count) == nth:
            storage.catalog.write = write
            raise _Lost("the connection broke after COMMIT")

    storage.catalog.write = broken


@pytest.mark.parametrize(
    ("operation", "key"), [*((each, "monday") for each in CORE), ("append", None), ("upsert", None)]
)
def test_an_ambiguous_commit_is_looked_up_and_never_doubled(template, tmp_path, operation, key):
    whole = copy_store(template, tmp_path / "whole")
    storage = open_storage(whole)
    perform(storage, operation, idempotency_key=key)
    storage.close()
    done = read_all(whole)
    seen = []
    for nth in itertools.count(1):
        folder = copy_store(template, tmp_path / f"{nth}")
        storage = open_storage(folder)
        _break_after(storage, nth)
        files = set(folder.joinpath("objects").rglob("*.arrow"))
        try:
            version = perform(storage, operation, idempotency_key=key)
        except _Lost:  # before the flip: nothing has come about, and what was written is garbage
            assert len(read_all(folder)) == NEXT - 1
            seen.append("lost")
            version = perform(storage, operation, idempotency_key=key)
        else:
            seen.append("found")
        met = storage.catalog.write.__name__ == "write"
        storage.catalog.__dict__.pop("write", None)
        assert version.number == NEXT
        assert files <= set(folder.joinpath("objects").rglob("*.arrow"))
        if key:
            assert perform(storage, operation, idempotency_key=key).number == NEXT
        storage.close()
        assert read_all(folder) == done
        if not met:  # there are no more COMMITs than that
            break
    # The COMMITs before the flip are those that are lost; the flip's is found, and later ones are none of ours.
    assert seen == sorted(seen, reverse=True)
    assert set(seen) == {"lost", "found"}
    assert_sound(folder, done)


def test_a_catalog_that_cannot_be_asked_leaves_it_open_whether_it_committed(folder, before, monkeypatch):
    storage = open_storage(folder)

    def fail(*_):
        raise StoreError("The catalog could not read: the server is gone.")

    monkeypatch.setattr(commits, "flip", fail)
    monkeypatch.setattr(commits, "find_committed", fail)
    with pytest.raises(StoreError, match="not known whether the append on 'numbers' was committed") as caught:
        perform(storage, "append", idempotency_key="k")
    assert caught.value.code == "commit-unknown"
    monkeypatch.undo()
    assert read_all(folder) == before
    assert perform(storage, "append", idempotency_key="k").number == NEXT


@pytest.fixture
def on_server(tmp_path):
    """A store whose catalog is on PostgreSQL."""
    with postgres.empty_catalog() as url:
        prepare(tmp_path / "served", catalog_url=url)
        yield tmp_path / "served", url


def _kill_backend(connection, url):
    """End the server's side of a connection, as a broken network or a failover would."""
    process = connection.execute(sa.text("SELECT pg_backend_pid()")).scalar()
    other = sa.create_engine(url)
    with other.begin() as own:
        own.execute(sa.text("SELECT pg_terminate_backend(:process, 5000)"), {"process": process})
    other.dispose()


@pytest.mark.parametrize("nth", range(1, 6))
@pytest.mark.parametrize("moment", ["before", "after"])
def test_a_connection_that_is_lost_at_commit_makes_one_version_or_none(on_server, nth, moment):
    folder, url = on_server
    storage = open_storage(folder, catalog_url=url)
    write, count = storage.catalog.write, itertools.count(1)

    @contextmanager
    def cut():
        turn = next(count) == nth
        with write() as connection:
            yield connection
            if turn and moment == "before":
                _kill_backend(connection, url)
        if turn and moment == "after":
            raise _Lost("the connection broke after COMMIT")

    storage.catalog.write = cut
    try:
        version = perform(storage, "upsert", idempotency_key="k")
    except (StoreError, _Lost):
        assert max(read_all(folder, catalog_url=url)) == NEXT - 1
        version = perform(storage, "upsert", idempotency_key="k")
    assert version.number == NEXT
    storage.close()
    assert_sound(folder, read_all(folder, catalog_url=url), catalog_url=url)
