"""What an address stands for is looked up again after every commit, whoever made it, and only then."""

import os
from concurrent.futures import ThreadPoolExecutor

import pytest
import sqlalchemy as sa

import foldstore
from foldstore.errors import NotFoundError

COUNT = "SELECT count(*) FROM people"


@pytest.fixture
def store(folder):
    with foldstore.connect(folder) as store:
        store.create_dataset("people", key=["id"]).append({"id": [1, 2, 3], "age": [10, 20, 30]})
        yield store


def count(store):
    ((number,),) = store.sql(COUNT).rows()
    return number


def statements(store, act):
    """Return the statements that an act sends to the catalog."""
    seen = []
    engine = store._storage.catalog._engine

    def note(_connection, _cursor, statement, *_):
        seen.append(statement)

    sa.event.listen(engine, "before_cursor_execute", note)
    try:
        act()
    finally:
        sa.event.remove(engine, "before_cursor_execute", note)
    return [each for each in seen if each.startswith("SELECT")]


def test_a_second_query_asks_the_catalog_nothing(store):
    count(store)
    assert statements(store, lambda: count(store)) == []


def test_a_commit_of_the_same_store_is_seen_at_once(store):
    assert count(store) == 3
    store.dataset("people").append({"id": [4], "age": [40]})
    assert count(store) == 4


def test_a_commit_of_another_opener_is_seen_at_once(store, folder):
    assert count(store) == 3
    with foldstore.connect(folder) as other:
        other.dataset("people").append({"id": [4], "age": [40]})
        assert count(store) == 4
        other.dataset("people").delete("id < 3")
    assert count(store) == 2


def test_moves_of_an_alias_and_deprecations_are_seen_at_once(store, folder):
    people = store.dataset("people")
    people.set_alias("live")
    assert store.view("people@live").count() == 3
    people.append({"id": [4], "age": [40]})
    people.set_alias("live")
    assert store.view("people@live").count() == 4
    with foldstore.connect(folder) as other:
        other.dataset("people").remove_ref("live")
    with pytest.raises(NotFoundError):
        store.view("people@live")


def test_a_dataset_that_came_after_its_name_was_looked_for_is_found(store):
    with pytest.raises(NotFoundError):
        store.view("cities")
    store.create_dataset("cities").append({"city": ["Oslo"]})
    assert store.view("cities").count() == 1


def test_sealed_cells_read_as_null_though_the_version_was_open(store, folder):
    rows = {"id": list(range(10, 400)), "age": [n % 50 for n in range(10, 400)]}
    store.dataset("people").append(rows)
    split = store.version("people").split("halves", train=0.5, test=0.5, seed=1)
    ask = "SELECT count(age) FROM people"
    ((before,),) = store.sql(ask).rows()
    with foldstore.connect(folder) as other:
        plan = foldstore.plan_pool("n > 0.5 +/- 0.25", reliability=0.6, steps=1)
        other.pools.seal("ages", other.split("people#halves").test, label="age", plan=plan)
    ((after,),) = store.sql(ask).rows()
    assert after == before - split.test.num_rows


def test_a_run_notes_what_was_read_though_it_was_open(store):
    count(store)
    with store.run("reading") as run:
        count(store)
    assert [each.address for each in store.runs.get(run.id).inputs] == ["people@1"]


def test_a_forked_process_sees_commits_of_its_parent(store):
    assert count(store) == 3
    reading, writing = os.pipe()
    child = os.fork()
    if not child:
        os.close(writing)
        os.read(reading, 1)
        os._exit(count(store))
    os.close(reading)
    store.dataset("people").append({"id": [4], "age": [40]})
    os.write(writing, b".")
    os.close(writing)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 4
    assert count(store) == 4


def test_threads_that_read_while_others_commit_see_whole_versions(store):
    ask = "SELECT count(*), sum(id) FROM people"
    with ThreadPoolExecutor(3) as pool:
        readers = [pool.submit(lambda: [store.sql(ask).rows()[0] for _ in range(30)]) for _ in range(3)]
        for number in range(4, 14):
            store.dataset("people").append({"id": [number], "age": [number]})
        seen = {row for reader in readers for row in reader.result()}
    assert seen <= {(n, n * (n + 1) // 2) for n in range(3, 14)}
