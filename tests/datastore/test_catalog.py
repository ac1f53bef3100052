"""The catalog's conformance suite, run on SQLite and, where there is one, on PostgreSQL."""

import os
import sqlite3
import subprocess
import sys
import threading
import uuid

import pytest
import sqlalchemy as sa

from foldstore.datastore.canonical import canonical_json
from foldstore.datastore.catalog import runs as run_rows
from foldstore.datastore.catalog import tables
from foldstore.datastore.catalog.catalog import Catalog
from foldstore.datastore.catalog.connection import REVISION, sqlite_url
from foldstore.datastore.catalog.inserting import insert_missing
from foldstore.datastore.catalog.journal import Journal
from foldstore.datastore.catalog.records import ConsumerRecord, DatasetRecord, RunLink, RunRecord
from foldstore.datastore.catalog.registry import Registry
from foldstore.errors import (
    AlreadyExistsError,
    CorruptObjectError,
    NotFoundError,
    StoreError,
    StoreFormatError,
    UsageError,
)
from tests import postgres


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request, tmp_path):
    if request.param == "sqlite":
        yield sqlite_url(tmp_path / "catalog.db")
        return
    with postgres.empty_catalog() as found:
        yield found


@pytest.fixture
def catalog(url):
    opened = Catalog(url)
    yield opened
    opened.close()


def _dataset(name="flights"):
    return DatasetRecord(
        id=uuid.uuid4().hex, name=name, key=("a", "b"), event_time=None, derive={"z": "1", "c": "2"}, created_at="2026"
    )


class TestCatalog:
    def test_a_dataset_comes_back_as_it_was_put_in(self, catalog):
        record = _dataset()
        catalog.create_dataset(record)
        assert catalog.find_dataset("flights") == record
        assert list(catalog.find_dataset("flights").derive) == ["z", "c"]
        assert catalog.list_datasets() == [record]
        assert catalog.find_dataset("other") is None
        main = catalog.find_ref(record.id, "main")
        assert (main.kind, main.version_id, main.generation) == ("branch", None, 0)

    def test_a_name_is_taken_once(self, catalog):
        catalog.create_dataset(_dataset())
        with pytest.raises(AlreadyExistsError, match="already a dataset 'flights'"):
            catalog.create_dataset(_dataset())

    def test_a_catalog_is_opened_again_without_migrating(self, url, catalog):
        catalog.create_dataset(_dataset())
        again = Catalog(url)
        assert [d.name for d in again.list_datasets()] == ["flights"]
        again.close()

    def test_openers_at_once_make_one_catalog(self, url):
        facts, errors = [], []

        def open_it(n):
            try:
                opened = Catalog(url)
                facts.append(opened.ensure_fact("id", str(n)))
                opened.close()
            except Exception as error:  # noqa: BLE001  # told to the main thread
                errors.append(error)

        threads = [threading.Thread(target=open_it, args=(n,)) for n in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert errors == []
        assert len(set(facts)) == 1

    def test_the_newest_migration_makes_the_tables_that_the_code_uses(self, url):
        from alembic.autogenerate import compare_metadata
        from alembic.migration import MigrationContext

        from foldstore.datastore.catalog.tables import metadata

        Catalog(url).close()
        engine = sa.create_engine(url)
        with engine.connect() as connection:
            assert compare_metadata(MigrationContext.configure(connection), metadata) == []
            assert connection.execute(sa.text("SELECT version_num FROM alembic_version")).scalar() == REVISION
        engine.dispose()

    def test_a_newer_format_is_refused_in_words(self, url):
        Catalog(url).close()
        engine = sa.create_engine(url)
        with engine.begin() as connection:
            connection.execute(sa.text("UPDATE alembic_version SET version_num = '9999'"))
        engine.dispose()
        with pytest.raises(StoreFormatError, match="has format 9999") as caught:
            Catalog(url)
        assert "newer Foldstore" in caught.value.hint


def _overtaken(catalog, insert):
    """Insert in two transactions, of which the second begins before the first has committed."""
    started, errors = threading.Event(), []

    def second():
        try:
            started.wait()
            with catalog.write() as connection:
                insert(connection)
        except Exception as error:  # noqa: BLE001  # told to the main thread
            errors.append(error)

    other = threading.Thread(target=second)
    other.start()
    with catalog.write() as connection:
        insert(connection)
        started.set()
        other.join(timeout=0.3)
        assert other.is_alive()  # it waits for what the first will do
    other.join()
    assert errors == []


class TestWriters:
    def test_what_two_of_them_bring_is_there_once(self, catalog):
        rows = [{"id": "b3-2", "encoded": b"two"}, {"id": "b3-1", "encoded": b"one"}]
        _overtaken(catalog, lambda connection: insert_missing(connection, tables.arrow_schema, rows))
        with catalog.read() as connection:
            assert len(connection.execute(sa.select(tables.arrow_schema)).all()) == 2
            insert_missing(connection, tables.arrow_schema, [])

    def test_two_of_them_append_to_a_journal_one_behind_the_other(self, catalog):
        journal = Journal(catalog)
        _overtaken(catalog, lambda c: journal.append(c, "refs/x", {"n": 1}, actor="me", created_at="2026"))
        assert journal.verify("refs/x") == 2


class TestRegistry:
    def test_documents_get_versions_and_equal_ones_add_nothing(self, catalog):
        views = Registry(catalog, "view")
        first = views.put("jfk", {"b": 1, "a": [1.5, None]}, author="me", message="m", created_at="2026")
        assert views.put("jfk", {"a": [1.5, None], "b": 1}, author="you", created_at="2027") == first
        second = views.put("jfk", {"b": 2}, author="me", created_at="2027")
        assert (first.version, second.version) == (1, 2)
        assert views.find("jfk") == second
        assert views.find("jfk", 1) == first
        assert views.find("jfk", 3) is None
        assert [d.version for d in views.list_versions("jfk")] == [1, 2]
        assert views.list_names() == ["jfk"]
        assert Registry(catalog, "schema").list_names() == []

    def test_all_documents_of_a_kind_are_listed_by_name_and_version(self, catalog):
        views = Registry(catalog, "view")
        for name, body in (("b", 1), ("a", 1), ("b", 2)):
            views.put(name, body, author="me", created_at="2026")
        Registry(catalog, "schema").put("a", 1, author="me", created_at="2026")
        assert [(each.name, each.version) for each in views.list_documents()] == [("a", 1), ("b", 1), ("b", 2)]

    def test_an_insert_goes_with_its_transaction(self, catalog):
        views = Registry(catalog, "view")

        def insert_and_give_up():
            with catalog.write() as connection:
                views.insert(connection, "jfk", {}, author="me", created_at="2026")
                raise RuntimeError("changed my mind")

        with pytest.raises(RuntimeError, match="changed my mind"):
            insert_and_give_up()
        assert views.find("jfk") is None


class TestJournal:
    def _fill(self, catalog):
        journal = Journal(catalog)
        for n in range(3):
            with catalog.write() as connection:
                journal.append(connection, "refs/x", {"n": n}, actor="me", created_at="2026")
        return journal

    def test_entries_are_chained_and_verify(self, catalog):
        journal = self._fill(catalog)
        entries = journal.list_entries("refs/x")
        assert [e.position for e in entries] == [1, 2, 3]
        assert [e.previous_hash for e in entries[1:]] == [e.hash for e in entries[:-1]]
        assert journal.verify("refs/x") == 3
        assert journal.list_streams() == ["refs/x"]

    @pytest.mark.parametrize(
        "tamper",
        [
            "UPDATE journal SET body = '[7]' WHERE position = 2",
            "UPDATE journal SET actor = 'you' WHERE position = 3",
            "UPDATE journal SET created_at = '1999' WHERE position = 1",
            "DELETE FROM journal WHERE position = 2",
            "DELETE FROM journal WHERE position = 1",
        ],
    )
    def test_a_changed_or_removed_entry_is_found(self, catalog, tamper):
        journal = self._fill(catalog)
        with catalog.write() as connection:
            connection.execute(sa.text(tamper))
        with pytest.raises(CorruptObjectError, match="does not match its hash chain"):
            journal.verify("refs/x")


def _insert_version(catalog, dataset, number, **values):
    """Write a row of `version` as a commit does, without the commit."""
    import sqlalchemy as sa

    from foldstore.datastore.catalog import tables as t

    row = {
        "id": uuid.uuid4().hex, "dataset_id": dataset.id, "number": number, "arrow_schema_id": "s", "next_field": 1,
        "operation": "append", "status": "published", "author": "me", "message": "", "properties": "{}",
        "created_at": f"2026-{number}", "num_rows": 0, "rows_added": 0, "bytes_added": 0,
        "transaction_id": uuid.uuid4().hex, "recorded": True, "branch": "main",
    }  # fmt: skip
    with catalog.write() as connection:
        known = connection.execute(sa.select(t.arrow_schema.c.id)).first()
        if known is None:
            connection.execute(sa.insert(t.arrow_schema).values(id="s", encoded=b""))
        connection.execute(sa.insert(t.version).values(row | values))
    return (row | values)["id"]


def _run_record(name="train", **values):
    known = {
        "id": uuid.uuid4().hex, "name": name, "status": "running", "author": "me", "message": "m",
        "params": {"b": 1, "a": [None, 0.5]}, "code": {"commit": "abc"}, "environment": {}, "started_at": "2026-01",
    }  # fmt: skip
    return RunRecord(**(known | values))


@pytest.fixture
def flights(catalog):
    record = _dataset()
    catalog.create_dataset(record)
    return record


class TestRuns:
    def test_a_run_comes_back_as_it_was_put_in(self, catalog):
        run = _run_record()
        run_rows.insert_run(catalog, run)
        assert run_rows.list_runs(catalog) == [run]
        assert run_rows.find_runs(catalog, run.id[:6]) == [run]
        assert run_rows.find_runs(catalog, "_" * 6) == []
        assert run_rows.read_runs(catalog, [run.id, "none"]) == {run.id: run}

    def test_a_run_ends_once(self, catalog):
        run = _run_record()
        run_rows.insert_run(catalog, run)
        assert run_rows.end_run(catalog, run.id, "failed", "2026-02", {"type": "KeyError", "message": "x"})
        assert not run_rows.end_run(catalog, run.id, "succeeded", "2026-03")
        (kept,) = run_rows.list_runs(catalog, status="failed")
        assert (kept.ended_at, kept.error) == ("2026-02", {"type": "KeyError", "message": "x"})

    def test_runs_are_listed_newest_first_by_name_and_status(self, catalog):
        for month, name in (("01", "train"), ("03", "train"), ("02", "score")):
            run_rows.insert_run(catalog, _run_record(name, started_at=f"2026-{month}"))
        assert [run.name for run in run_rows.list_runs(catalog)] == ["train", "score", "train"]
        assert [run.started_at for run in run_rows.list_runs(catalog, name="train", limit=1)] == ["2026-03"]
        assert run_rows.list_runs(catalog, status="failed") == []

    def test_links_are_found_from_the_run_the_version_and_the_address(self, catalog, flights):
        version, run = _insert_version(catalog, flights, 1), _run_record()
        run_rows.insert_run(catalog, run)
        links = [
            RunLink(run_id=run.id, role="input", position=n, version_id=version, address=address)
            for n, address in enumerate(("flights@champion", "jfk@1"))
        ]
        for link in links:
            assert run_rows.add_link(catalog, link)
        assert run_rows.list_links(catalog, runs=[run.id]) == links
        assert run_rows.list_links(catalog, versions=[version], role="input") == links
        assert run_rows.list_links(catalog, addresses=["jfk@1"]) == links[1:]
        assert run_rows.list_links(catalog, runs=[run.id], role="output") == []
        assert run_rows.list_links(catalog) == []

    def test_a_version_is_written_by_one_run(self, catalog, flights):
        version, first, second = _insert_version(catalog, flights, 1), _run_record(), _run_record()
        for run in (first, second):
            run_rows.insert_run(catalog, run)
        wrote = [
            run_rows.add_link(
                catalog, RunLink(run_id=run.id, role="output", position=0, version_id=version, address="flights@1")
            )
            for run in (first, second)
        ]
        assert wrote == [True, False]
        assert [link.run_id for link in run_rows.list_links(catalog, versions=[version])] == [first.id]

    def test_a_run_that_repeats_nothing_known_is_refused_by_the_tables(self, catalog):
        with pytest.raises(sa.exc.IntegrityError):
            run_rows.insert_run(catalog, _run_record(repeats_id="0" * 32))

    def test_versions_are_read_with_the_names_of_their_datasets(self, catalog, flights):
        first = _insert_version(catalog, flights, 1)
        second = _insert_version(catalog, flights, 2, parent_id=first, properties='{"training_set":{"labels":"x"}}')
        merged = _insert_version(catalog, flights, 3, merge_parent_id=first, properties='{"a":{"training_set":1}}')
        named = run_rows.read_versions(catalog, [first, second, "none"])
        assert {key: each.address for key, each in named.items()} == {first: "flights@1", second: "flights@2"}
        assert {child.id for child in run_rows.list_children(catalog, [first])} == {second, merged}
        marked = run_rows.list_versions_with_property(catalog, "training_set")
        assert [each.address for each in marked] == ["flights@2"]
        wanted = [("flights", 2), ("flights", 9), ("none", 1)]
        assert run_rows.find_versions_by_address(catalog, wanted) == {("flights", 2): second}

    def test_more_versions_than_a_statement_takes_are_read(self, catalog, flights):
        first = _insert_version(catalog, flights, 1)
        many = [f"{n:032x}" for n in range(40_000)]
        assert list(run_rows.read_versions(catalog, [*many, first])) == [first]


class TestConsumers:
    def _consumer(self, version, name="churn@3", **values):
        known = {"kind": "model", "reason": "r", "author": "me", "created_at": "2026"}
        return ConsumerRecord(version_id=version, name=name, **(known | values))

    def test_registering_again_changes_nothing(self, catalog, flights):
        version = _insert_version(catalog, flights, 1)
        first = self._consumer(version)
        run_rows.add_consumers(catalog, [first])
        run_rows.add_consumers(catalog, [self._consumer(version, reason="other"), self._consumer(version, "a")])
        assert run_rows.list_consumers(catalog, versions=[version]) == [self._consumer(version, "a"), first]
        assert run_rows.list_consumers(catalog, kind="model", name="a") == [self._consumer(version, "a")]
        assert run_rows.list_consumers(catalog, versions=[]) == []

    def test_a_claim_is_taken_back_once(self, catalog, flights):
        version = _insert_version(catalog, flights, 1)
        run_rows.add_consumers(catalog, [self._consumer(version)])
        assert run_rows.remove_consumer(catalog, version, "model", "churn@3")
        assert not run_rows.remove_consumer(catalog, version, "model", "churn@3")

    def test_what_is_not_there_or_was_given_up_cannot_be_kept(self, catalog, flights):
        kept, gone = _insert_version(catalog, flights, 1), _insert_version(catalog, flights, 2, expired_at="2026")
        with pytest.raises(NotFoundError, match="no such version"):
            run_rows.add_consumers(catalog, [self._consumer("0" * 32)])
        with pytest.raises(UsageError, match="was given up") as caught:
            run_rows.add_consumers(catalog, [self._consumer(kept), self._consumer(gone)])
        assert caught.value.code == "version-expired"
        assert run_rows.list_consumers(catalog) == []


def test_a_file_that_is_no_database_is_an_error_in_words(tmp_path):
    (tmp_path / "catalog.db").write_bytes(b"this is not a database, but it is long enough to be read as one" * 20)
    with pytest.raises(StoreError, match="cannot be opened"):
        Catalog(sqlite_url(tmp_path / "catalog.db"))


def test_a_server_that_is_not_there_is_an_error_without_its_password():
    with pytest.raises(StoreError) as caught:
        Catalog("postgresql+psycopg://me:hunter2@127.0.0.1:1/none")
    assert "hunter2" not in str(caught.value.to_dict())


def test_a_committed_sqlite_catalog_is_durable_by_its_settings(tmp_path):
    catalog = Catalog(sqlite_url(tmp_path / "catalog.db"))
    with catalog.read() as connection:
        assert connection.exec_driver_sql("PRAGMA journal_mode").scalar() == "wal"
        assert connection.exec_driver_sql("PRAGMA synchronous").scalar() == 2  # FULL
        assert connection.exec_driver_sql("PRAGMA foreign_keys").scalar() == 1
    catalog.close()
    assert sqlite3.connect(tmp_path / "catalog.db").execute("PRAGMA integrity_check").fetchone() == ("ok",)


FORKING = """
import os, sys
from pathlib import Path
from foldstore.datastore.catalog.catalog import Catalog
from foldstore.datastore.catalog.connection import sqlite_url

catalog = Catalog(sqlite_url(Path(sys.argv[1])))

def handle():
    with catalog.read() as connection:
        return connection.connection.dbapi_connection

before = handle()
child = os.fork()
if child == 0:
    os._exit(0 if handle() is not before and handle().execute("SELECT 1").fetchone() == (1,) else 1)
assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
assert handle() is before
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork")
def test_a_process_that_is_forked_off_opens_connections_of_its_own(tmp_path):
    subprocess.run([sys.executable, "-c", FORKING, tmp_path / "catalog.db"], check=True, timeout=60)


def test_canonical_json_has_one_form_and_no_nan():
    assert canonical_json({"b": [1, 2.5], "a": "é"}) == '{"a":"é","b":[1,2.5]}'
    with pytest.raises(ValueError, match="Out of range"):
        canonical_json(float("nan"))
