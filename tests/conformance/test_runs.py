"""Runs whose code is the caller's: what is recorded is the same in a folder and behind a server."""

import threading

import pytest

from tests.conformance.conftest import raised


@pytest.fixture
def flights(store):
    flights = store.create_dataset("flights", key=["id"])
    flights.append({"id": [1, 2, 3, 4], "delay": [3, 40, 5, 60]})
    store.create_dataset("clean", key=["id"])
    return flights


def used(run):
    return [(each.asked, each.address) for each in run.inputs]


def made(run):
    return [each.address for each in run.outputs]


def test_what_a_block_looks_up_and_commits(store, flights):
    flights.set_alias("champion")
    with store.run("clean-up", params={"limit": 20, "api_key": "hunter2"}, message="nightly") as run:
        assert store.runs.get(run.id).status == "running"
        rows = store.view("flights@champion").where("delay < 20").to_arrow()
        store.dataset("clean").append(rows)
        assert store.sql("SELECT count(*) FROM flights").rows() == [(4,)]
        store.view("flights@1").where("delay > 20").save("late")
    known = store.runs.get(run.id[:12])
    assert (known.id, known.name, known.status, known.record.message) == (run.id, "clean-up", "succeeded", "nightly")
    assert known.params == run.params == {"limit": 20, "api_key": "(masked)"}
    assert used(known) == [("flights@champion", "flights@1"), ("flights", "flights@1"), ("flights@1", "flights@1")]
    assert [each.asked for each in known.outputs] == ["clean@1", "late@1"]
    assert set(known.record.environment) == {"foldstore", "implementation", "libraries", "platform", "python"}
    assert "script" in known.record.code
    assert known.duration is not None
    assert store.lineage("clean").upstream().labels("version") == ["flights@1"]


def test_parts_transactions_and_what_was_looked_up_before(store, flights):
    before = flights.latest
    part = before.split("halves", train=0.5, test=0.5, seed=1).train
    view = store.view("flights@1").where("delay > 4")
    with store.run("train") as run:
        run.use(before)
        run.use(view)
        run.use(part)
        run.use("flights@latest")
        store.view("flights@1#halves.test")
        with store.dataset("clean").transaction() as change:
            change.append({"id": [9], "delay": [0]})
            assert change.num_rows == 1
    known = store.runs.get(run.id)
    assert [asked for asked, _ in used(known)] == [
        "flights@1",
        "flights@1#halves.train",
        "flights",
        "flights@1#halves.test",
    ]
    assert made(known) == ["clean@1"]


def test_what_is_looked_at_for_a_commit_is_no_input(store, flights):
    with store.run("write") as run:
        flights.append({"id": [5], "delay": [1]})
        flights.delete("id = 5")
        flights.delete(keys={"id": [4]})
        flights.schemas()
        flights.versions()
    known = store.runs.get(run.id)
    assert (used(known), made(known)) == ([], ["flights@2", "flights@3", "flights@4"])


def test_an_exception_is_how_it_ended(store, flights):
    def act():
        with store.run("broken"):
            raise ValueError("token=abcdef is wrong")

    with pytest.raises(ValueError, match="abcdef"):
        act()
    known = store.runs.list("broken")[0]
    assert (known.status, known.record.error) == (
        "failed",
        {"type": "ValueError", "message": "token=(masked) is wrong"},
    )

    def leave():
        with store.run("left"):
            raise SystemExit(0)

    with pytest.raises(SystemExit):
        leave()
    assert store.runs.list("left")[0].status == "succeeded"


def test_a_repetition_reads_what_was_read(store, flights):
    flights.set_alias("champion")
    with store.run("train", params={"depth": 6}) as first:
        store.view("flights@champion")
        store.version("flights")
    flights.append({"id": [7], "delay": [7]})
    flights.set_alias("champion")
    with store.runs.repeat(first.id) as again:
        assert store.view("flights@champion").count() == 4
        assert flights.latest.number == 1
        assert store.sql("SELECT count(*) FROM flights").rows() == [(4,)]
        flights.append({"id": [8], "delay": [8]})
        assert flights.latest.number == 3
    known = store.runs.get(again.id)
    assert known.record.repeats_id == first.id
    assert known.params == {"depth": 6}
    assert used(known)[:2] == [("flights@champion", "flights@1"), ("flights", "flights@1")]
    assert made(known) == ["flights@3"]
    assert store.version("flights").number == 3


def test_a_function_is_recorded(store, flights):
    @store.runs.record(message="counted")
    def count_late(version, limit=15):
        return version.view().where(f"delay > {int(limit)}").count()

    assert count_late(flights.latest, limit=30) == 2
    known = store.runs.list("count_late")[0]
    assert (known.params, known.status, known.record.message) == (
        {"limit": 30, "version": "flights@1"},
        "succeeded",
        "counted",
    )
    assert used(known) == [("flights@1", "flights@1")]


def test_others_go_on_in_it(store, flights):
    with store.run("work") as run:
        store.version("flights")

        def elsewhere():
            store.version("flights@1")  # of no run
            with store.runs.resume(run.id) as same:
                store.view("flights@latest")
                same.use("flights@1")
                flights.append({"id": [5], "delay": [1]})

        worker = threading.Thread(target=elsewhere)
        worker.start()
        worker.join()
        assert store.runs.get(run.id).status == "running"
    known = store.runs.get(run.id)
    assert used(known) == [("flights", "flights@1"), ("flights@1", "flights@1")]
    assert made(known) == ["flights@2"]
    assert known.status == "succeeded"
    assert raised(lambda: store.runs.resume(run.id)) == ("UsageError", "run-over")


def test_what_is_wrong_is_the_same_error(store, flights):
    def nested():
        with store.run("outer"), store.run("inner"):
            pass

    def twice():
        run = store.run("once")
        with run:
            pass
        with run:
            pass

    def late():
        with store.run("late") as run:
            pass
        run.use("flights")

    def odd():
        with store.run("odd") as run:
            run.use(7)

    def gone():
        with store.run("gone") as run:
            run.view("nowhere")

    assert raised(nested) == ("UsageError", "run-in-run")
    assert raised(twice) == ("UsageError", "usage")
    assert raised(late) == ("UsageError", "run-over")
    assert raised(odd) == ("UsageError", "usage")
    assert raised(gone)[0] == "NotFoundError"
    assert raised(lambda: store.run("No Name")) == ("InvalidNameError", "invalid-name")
    assert raised(lambda: store.run("x", params={"f": object()}))[0] == "UsageError"
    assert raised(lambda: store.run("x", message=7))[0] == "UsageError"
    assert raised(lambda: store.runs.repeat("abcdef"))[0] == "NotFoundError"
    assert raised(lambda: store.runs.record()(7))[0] == "UsageError"


def test_two_contexts_are_two_runs(store, flights):
    def act(name):
        with store.run(name):
            store.version("flights")

    workers = [threading.Thread(target=act, args=(name,)) for name in ("a", "b")]
    for each in workers:
        each.start()
    for each in workers:
        each.join()
    assert {(each.name, each.status, len(each.inputs)) for each in store.runs.list()} == {
        ("a", "succeeded", 1),
        ("b", "succeeded", 1),
    }


def test_a_run_that_never_ends_is_told_as_running(store, flights):
    run = store.run("killed")
    run.__enter__()
    store.version("flights")
    known = store.runs.get(run.id)
    assert (known.status, known.duration, used(known)) == ("running", None, [("flights", "flights@1")])
    run.__exit__(None, None, None)
