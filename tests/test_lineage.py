"""Runs, lineage, consumers and descriptions as people use them."""

import asyncio
import contextvars
import datetime as dt
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import foldstore
from foldstore.datastore.catalog import runs as run_rows
from foldstore.datastore.lineage.catalog_relations import CatalogRelations
from foldstore.datastore.lineage.graph import Direction, Edge, NodeKey, NodeKind, walk
from foldstore.description import Description
from foldstore.errors import AlreadyExistsError, InvalidNameError, NotFoundError, StoreError, UsageError


@pytest.fixture
def flights(store):
    """Two versions of flights."""
    made = store.create_dataset("flights", key=["id"])
    made.append({"id": [1, 2, 3, 4], "delay": [3, 40, 7, 90]})
    made.append({"id": [5], "delay": [8]})
    return made


@pytest.fixture
def clean(store):
    return store.create_dataset("clean", key=["id"])


def asked(run):
    return [(each.asked, each.address) for each in run.inputs]


def written(run):
    return [each.address for each in run.outputs]


class TestRecording:
    def test_what_a_block_reads_and_writes_is_noted_by_itself(self, store, flights, clean):
        store.view("flights@1").where("delay < 20").save("short")
        with store.run("clean-up", params={"limit": 20}, message="weekly") as run:
            store.version("flights@2")
            store.sql('SELECT count(*) FROM "flights@1"').rows()
            assert flights.latest.number == 2
            clean.append(store.view("short"))
        known = store.runs.get(run.id)
        assert asked(known) == [
            ("flights@2", "flights@2"),
            ("flights@1", "flights@1"),
            ("flights", "flights@2"),
            ("short@1", "flights@1"),
        ]
        assert written(known) == ["clean@1"]
        assert (known.name, known.status, known.params, known.record.message) == (
            "clean-up", "succeeded", {"limit": 20}, "weekly",
        )  # fmt: skip
        assert known.record.author == "tester"
        assert known.duration >= dt.timedelta(0)

    @pytest.mark.usefixtures("flights")
    def test_outside_of_a_block_nothing_is_noted(self, store, clean):
        store.run("never-entered")
        with store.run("empty") as run:
            pass
        store.version("flights@1")
        clean.append({"id": [1]})
        assert [(each.name, each.inputs, each.outputs) for each in store.runs.list()] == [("empty", (), ())]
        assert store.lineage("clean").upstream().labels() == []
        with pytest.raises(UsageError, match="does not go on") as caught:
            run.version("flights@1")
        assert caught.value.code == "run-over"

    def test_a_run_reads_by_its_own_methods_too(self, store, flights):
        v2 = flights.latest
        part = v2.split("half", train=0.5, test=0.5).train
        with store.run("train") as run:
            assert run.version("flights@1").number == 1
            assert run.view("flights@2#half.test").arrow_schema.names == ["id", "delay"]
            run.use(v2)
            run.use(part)
            run.use(v2.view().where("delay > 1"))
            run.use("flights@2#half.validation")
        assert [text for text, _ in asked(store.runs.get(run.id))] == [
            "flights@1", "flights@2#half.test", "flights@2", "flights@2#half.train", "flights@2#half.validation",
        ]  # fmt: skip

    @pytest.mark.usefixtures("flights")
    def test_what_is_no_input_is_refused(self, store):
        with store.run("train") as run, pytest.raises(UsageError, match="'int' is not an input"):
            run.use(3)
        assert store.runs.get(run.id).status == "succeeded"

    def test_what_a_run_wrote_itself_is_no_input(self, store, clean):
        with store.run("make") as run:
            clean.append({"id": [1]})
            assert clean.latest.number == 1
            clean.add_columns({"twice": "id * 2"})
        assert (asked(store.runs.get(run.id)), written(store.runs.get(run.id))) == ([], ["clean@1", "clean@2"])

    def test_a_version_that_came_back_by_its_idempotency_key_was_not_written_again(self, store, clean):
        with store.run("first") as first:
            clean.append({"id": [1]}, idempotency_key="k")
        with store.run("second") as second:
            clean.append({"id": [1]}, idempotency_key="k")
        assert written(store.runs.get(first.id)) == ["clean@1"]
        assert written(store.runs.get(second.id)) == []

    @pytest.mark.usefixtures("flights")
    def test_a_failure_is_kept_without_its_secrets_and_passes_through(self, store):
        def fail():
            with store.run("train"):
                store.version("flights@1")
                raise RuntimeError("cannot reach postgresql://me:hunter2@db, password=hunter2 " + "x" * 5000)

        with pytest.raises(RuntimeError, match="cannot reach"):
            fail()
        (run,) = store.runs.list(status="failed")
        assert run.record.error["type"] == "RuntimeError"
        assert "hunter2" not in str(run.to_dict())
        assert len(run.record.error["message"]) <= 1_100
        assert set(run.record.error) == {"type", "message"}
        assert asked(run) == [("flights@1", "flights@1")]

    @pytest.mark.parametrize(("code", "status"), [(0, "succeeded"), (None, "succeeded"), (3, "failed")])
    def test_leaving_the_program_ends_a_run_by_its_exit_code(self, store, code, status):
        with pytest.raises(SystemExit), store.run("job"):
            sys.exit(code)
        assert store.runs.list()[0].status == status

    def test_an_error_that_cannot_say_what_it_is_fails_the_run_all_the_same(self, store):
        class BrokenError(Exception):
            def __str__(self):
                raise ValueError("no words")

        with pytest.raises(BrokenError), store.run("job"):
            raise BrokenError
        assert store.runs.list()[0].record.error == {"type": "BrokenError", "message": ""}

    def test_the_blocks_own_error_is_shown_when_the_store_was_closed_in_it(self, folder):
        store = foldstore.connect(folder)

        def fail():
            with store.run("job"):
                store.close()
                raise KeyError("mine")

        with pytest.raises(KeyError, match="mine") as caught:
            fail()
        assert "could not write" in caught.value.__notes__[0]
        with foldstore.connect(folder) as again:
            assert again.runs.list()[0].status == "running"

    @pytest.mark.usefixtures("flights")
    def test_runs_are_not_nested_and_the_outer_one_goes_on(self, store):
        with store.run("outer") as outer:
            with pytest.raises(UsageError, match="'outer' goes on already") as caught, store.run("inner"):
                pass
            assert caught.value.code == "run-in-run"
            store.version("flights@1")
        assert [run.name for run in store.runs.list()] == ["outer"]
        assert asked(store.runs.get(outer.id)) == [("flights@1", "flights@1")]

    def test_a_run_is_entered_once(self, store):
        run = store.run("train")
        with run:
            pass
        with pytest.raises(UsageError, match="goes on once"), run:
            pass

    @pytest.mark.usefixtures("flights")
    def test_runs_of_two_stores_go_on_at_once_and_do_not_mix(self, store, tmp_path):
        with foldstore.connect(tmp_path / "other") as other:
            other.create_dataset("flights").append({"id": [1]})
            with store.run("here") as here, other.run("there") as there:
                other.version("flights@1")
                store.version("flights@2")
            assert asked(store.runs.get(here.id)) == [("flights@2", "flights@2")]
            assert asked(other.runs.get(there.id)) == [("flights@1", "flights@1")]

    @pytest.mark.usefixtures("flights")
    def test_two_runs_in_two_threads_do_not_mix(self, store):
        ids, errors, meet = {}, [], threading.Barrier(2)

        def work(number):
            try:
                with store.run(f"thread-{number}") as run:
                    ids[number] = run.id
                    meet.wait(30)
                    store.version(f"flights@{number}")
                    store.create_dataset(f"out-{number}").append({"id": [number]})
                    meet.wait(30)
            except Exception as error:  # noqa: BLE001  # told to the main thread
                errors.append(error)

        threads = [threading.Thread(target=work, args=(number,)) for number in (1, 2)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert errors == []
        for number in (1, 2):
            run = store.runs.get(ids[number])
            assert asked(run) == [(f"flights@{number}", f"flights@{number}")]
            assert written(run) == [f"out-{number}@1"]

    @pytest.mark.usefixtures("flights")
    def test_a_thread_of_the_block_reads_by_the_run_or_in_a_copy_of_its_context(self, store):
        with store.run("train") as run:
            context = contextvars.copy_context()
            for target in (
                lambda: store.version("flights@1"),
                lambda: run.version("flights@2"),
                lambda: context.run(store.sql, "SELECT 1 FROM flights"),
            ):
                thread = threading.Thread(target=target)
                thread.start()
                thread.join()
        context.run(store.version, "flights@1")  # the run is over
        assert [text for text, _ in asked(store.runs.get(run.id))] == ["flights@2", "flights"]

    @pytest.mark.usefixtures("flights")
    def test_many_threads_of_one_run_note_everything_once(self, store):
        with store.run("train") as run:
            context = [contextvars.copy_context() for _ in range(6)]
            threads = [
                threading.Thread(target=c.run, args=(store.version, f"flights@{n % 2 + 1}"))
                for n, c in enumerate(context)
            ]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
        assert sorted(asked(store.runs.get(run.id))) == [("flights@1", "flights@1"), ("flights@2", "flights@2")]

    @pytest.mark.usefixtures("flights")
    def test_an_output_whose_link_fails_is_written_when_the_run_ends(self, store, clean, monkeypatch):
        from foldstore.datastore.lineage import recording

        write, failures = recording.add_link, []

        def fail_once(catalog, link):
            if link.role == "output" and not failures:
                failures.append(link)
                raise StoreError("disk full")
            return write(catalog, link)

        monkeypatch.setattr(recording, "add_link", fail_once)
        with store.run("make") as run:
            assert clean.append({"id": [1]}).number == 1
        assert len(failures) == 1
        assert written(store.runs.get(run.id)) == ["clean@1"]

    def test_a_run_that_was_killed_says_running_and_keeps_what_it_read_and_wrote(self, folder):
        script = (
            "import os, signal, sys, foldstore\n"
            "store = foldstore.connect(sys.argv[1])\n"
            "data = store.create_dataset('flights')\n"
            "data.append({'id': [1]})\n"
            "with store.run('train', params={'depth': 6}):\n"
            "    store.version('flights')\n"
            "    data.append({'id': [2]})\n"
            "    os.kill(os.getpid(), signal.SIGKILL)\n"
        )
        env = {**os.environ, "PYTHONPATH": str(Path(foldstore.__file__).parents[1])}
        done = subprocess.run([sys.executable, "-c", script, str(folder)], check=False, env=env)
        assert done.returncode == -signal.SIGKILL
        with foldstore.connect(folder) as store:
            (run,) = store.runs.list()
            assert (run.status, run.duration, run.record.ended_at) == ("running", None, None)
            assert asked(run) == [("flights", "flights@1")]
            assert written(run) == ["flights@2"]

    def test_code_and_environment_are_known_and_hold_no_variable(self, store, monkeypatch):
        monkeypatch.setenv("MY_SECRET_TOKEN", "canary-4711")
        with store.run("train") as run:
            pass
        known = store.runs.get(run.id).record
        assert known.environment["python"] == ".".join(map(str, sys.version_info[:3]))
        assert "pyarrow" in known.environment["libraries"]
        assert "canary-4711" not in str(store.runs.get(run.id).to_dict())


class TestArguments:
    @pytest.mark.parametrize("name", ["", "Train", "a/b", "../x", "x" * 101, None, "train\n"])
    def test_a_name_outside_the_grammar_is_refused(self, store, name):
        with pytest.raises(InvalidNameError):
            store.run(name)

    @pytest.mark.parametrize("run_id", ["", "abc", "zzzzzz", "%" * 6, "0" * 33, None, 7])
    def test_what_is_no_id_is_refused(self, store, run_id):
        with pytest.raises(UsageError, match="not the id of a run"):
            store.runs.get(run_id)

    def test_an_id_that_is_not_there_or_not_one_is_not_found(self, store):
        for last in "ab":
            record = _record("0" * 31 + last)
            run_rows.insert_run(store._storage.catalog, record)
        with pytest.raises(NotFoundError, match="No run begins with 'ffffff'"):
            store.runs.get("ffffff")
        with pytest.raises(NotFoundError, match="Several runs begin with '000000'"):
            store.runs.repeat("000000")
        assert store.runs.get("0" * 31 + "a").id == "0" * 31 + "a"

    def test_lists_are_checked(self, store):
        with pytest.raises(UsageError, match="'done' is not the status"):
            store.runs.list(status="done")
        with pytest.raises(UsageError, match="limit=0"):
            store.runs.list(limit=0)
        with pytest.raises(UsageError, match="The message has"):
            store.run("train", message="x" * 20_000)


def _record(run_id, **values):
    known = {
        "id": run_id, "name": "r", "status": "running", "author": "me", "message": "", "params": {}, "code": {},
        "environment": {}, "started_at": "2026",
    }  # fmt: skip
    return run_rows.RunRecord(**(known | values))


class TestRepeating:
    def test_addresses_stand_for_what_they_stood_for(self, store, flights):
        store.view("flights@1").where("delay < 20").save("short")
        flights.latest.split("half", train=0.5, test=0.5)
        with store.run("train", params={"depth": 6}) as first:
            store.version("flights")
            before = store.view("short").count()
            rows = store.view("flights#half.train").to_arrow()
        flights.append({"id": [6], "delay": [1]})
        store.view("flights@3").save("short")
        with store.runs.repeat(first.id) as again:
            assert store.version("flights").number == flights.latest.number == 2
            assert store.sql("SELECT count(*) FROM flights").rows() == [(5,)]
            assert store.view("short").count() == before == 2
            assert store.view("flights#half.train").to_arrow() == rows
        assert flights.latest.number == 3
        known = store.runs.get(again.id)
        assert (known.name, known.params, known.record.repeats_id) == ("train", {"depth": 6}, first.id)
        assert asked(known) == asked(store.runs.get(first.id))

    @pytest.mark.usefixtures("flights")
    def test_a_repetition_may_have_parameters_and_a_name_of_its_own(self, store):
        with store.run("train", params={"depth": 6}) as first:
            store.version("flights@1")
        with store.run("retrain", params={"depth": 7}, repeats=first.id[:8]) as again:
            pass
        assert store.runs.get(again.id).params == {"depth": 7}
        assert store.runs.get(again.id).record.repeats_id == first.id

    @pytest.mark.usefixtures("flights")
    def test_what_the_first_run_did_not_read_is_looked_up_as_ever(self, store):
        with store.run("train") as first:
            store.version("flights@1")
        with store.runs.repeat(first.id):
            assert store.version("flights").number == 2

    def test_a_branch_moves_again_once_the_repetition_commits_to_it(self, store, clean):
        clean.append({"id": [1]})
        with store.run("grow") as first:
            assert clean.latest.number == 1
            clean.append({"id": [2]})
        with store.runs.repeat(first.id):
            assert clean.latest.number == 1
            clean.append({"id": [3]})
            assert clean.latest.number == 3

    def test_there_is_nothing_to_repeat_when_there_is_no_run(self, store):
        with pytest.raises(NotFoundError, match="No run begins"):
            store.run("train", repeats="0" * 32)


class TestDecorator:
    def test_calls_are_runs_and_arguments_are_parameters_and_inputs(self, store, flights):
        @store.runs.record("fit", message="by hand")
        def train(version, *extra, depth=6, api_key="hunter2", **more):
            """Fit."""
            return version.num_rows + depth

        assert train(flights.version(1), object(), rate=0.5) == 10
        assert train.__doc__ == "Fit."
        (run,) = store.runs.list("fit")
        assert run.params == {
            "version": "flights@1", "extra": ["<object>"], "depth": 6, "api_key": "(masked)", "more": {"rate": 0.5},
        }  # fmt: skip
        assert asked(run) == [("flights@1", "flights@1")]

    def test_exceptions_pass_through(self, store):
        @store.runs.record()
        def train():
            raise ZeroDivisionError("oh")

        with pytest.raises(ZeroDivisionError, match="oh"):
            train()
        assert store.runs.list("train")[0].status == "failed"

    def test_a_wrong_call_is_no_run(self, store):
        @store.runs.record()
        def train(depth):
            return depth

        with pytest.raises(TypeError, match="depth"):
            train()
        assert store.runs.list() == []

    @pytest.mark.usefixtures("flights")
    def test_coroutines_are_recorded_for_as_long_as_they_take(self, store):
        @store.runs.record()
        async def train(number):
            await asyncio.sleep(0)
            return store.version(f"flights@{number}").num_rows

        async def both():
            return await asyncio.gather(train(1), train(2))

        assert asyncio.run(both()) == [4, 5]
        read = {run.params["number"]: asked(run) for run in store.runs.list("train")}
        assert read == {n: [(f"flights@{n}", f"flights@{n}")] for n in (1, 2)}

    def test_what_cannot_be_recorded_is_refused_where_it_is_written(self, store):
        with pytest.raises(UsageError, match="generator"):

            @store.runs.record()
            def rows():
                yield 1

        with pytest.raises(UsageError, match="takes a function"):
            store.runs.record()(3)
        with pytest.raises(InvalidNameError, match="'Train' is not a valid run name"):

            @store.runs.record()
            def Train():  # noqa: N802  # names of runs have no capitals
                pass


class TestLineage:
    @pytest.mark.usefixtures("flights")
    def test_a_commits_upstream_are_the_inputs_of_its_run(self, store, clean):
        with store.run("clean-up") as run:
            clean.append(store.view("flights@2"))
        graph = store.lineage("clean").upstream()
        assert graph.labels("version") == ["flights@2"]
        assert graph.labels("run") == [f"clean-up ({run.id[:12]})"]
        assert store.lineage("clean").upstream(depth=1).labels() == graph.labels("run")
        assert store.lineage("flights@2").downstream().labels("version") == ["clean@1"]
        assert store.lineage("flights@1").downstream().labels() == []
        assert [edge.relation for edge in graph.edges] == ["wrote", "read"]

    @pytest.mark.usefixtures("flights")
    def test_saved_views_are_nodes_between_versions_and_runs(self, store, clean):
        with store.run("define"):
            store.view("flights@1").where("delay < 20").save("short")
        with store.run("use"):
            clean.append(store.view("short"))
        assert [n.kind for n in store.lineage("clean").upstream(depth=2).nodes] == ["version", "run", "view"]
        upstream = store.lineage("short@1").upstream()
        assert (upstream.labels("version"), len(upstream.labels("run"))) == (["flights@1"], 1)
        assert store.lineage("short").downstream().labels("version") == ["clean@1"]
        assert "short@1" in store.lineage("flights@1").downstream().labels("view")
        # The run that saved the view did not write the version below it.
        assert store.lineage("flights@1").upstream().labels() == []

    def test_a_training_set_comes_from_its_labels_features_and_service_without_a_run(self, store):
        training = _training_set(store)
        graph = store.lineage("sets").upstream()
        assert graph.start.kind == "training_set"
        assert (set(graph.labels("version")), graph.labels("service")) == ({"rides@1", "labels@1"}, ["trips@1"])
        assert store.lineage("rides").downstream().labels("training_set") == ["sets@1"]
        assert store.lineage("service:trips@1").downstream().labels("training_set") == ["sets@1"]
        kept = [(c.address, c.kind, c.name) for c in store.consumers("training_set")]
        assert sorted(kept) == [(address, "training_set", "sets@1") for address in ("labels@1", "rides@1")]
        store.features.materialize("trips@1", like=training)
        assert store.lineage("rides").downstream().labels("materialized") == ["trips@1"]

    def test_a_training_set_made_and_read_in_runs_is_linked_to_them(self, store):
        with store.run("join"):
            _training_set(store)
        with store.run("train") as run:
            run.training_set("sets@1")
        assert asked(store.runs.get(run.id)) == [("sets@1", "sets@1")]
        graph = store.lineage(f"run:{run.id[:8]}").upstream()
        assert graph.labels("training_set") == ["sets@1"]
        assert [label.partition(" ")[0] for label in graph.labels("run")] == ["join"]

    @pytest.mark.usefixtures("flights")
    def test_parents_are_edges_on_request(self, store):
        assert store.lineage("flights").upstream().labels() == []
        assert store.lineage("flights").upstream(history=True).labels() == ["flights@1"]
        assert store.lineage("flights@1").downstream(history=True).labels() == ["flights@2"]

    @pytest.mark.usefixtures("flights")
    def test_an_expired_version_stays_and_says_so(self, store, clean):
        with store.run("clean-up") as run:
            clean.append(store.view("flights@1"))
        _expire(store, "flights@1")
        graph = store.lineage("clean").upstream()
        assert [(node.label, node.status) for node in graph.nodes][-1] == ("flights@1", "expired")
        assert store.runs.get(run.id).inputs[0].status == "expired"

    @pytest.mark.usefixtures("flights")
    def test_looking_at_lineage_is_not_reading(self, store):
        with store.run("look") as run:
            store.lineage("flights@1").downstream()
        assert store.runs.get(run.id).inputs == ()

    @pytest.mark.usefixtures("flights")
    def test_a_cycle_ends(self, store):
        # A run that is given back, by its idempotency key, what another process wrote and what it reads then.
        with store.run("odd") as run:
            store.version("flights@1")
        links = run_rows.list_links(store._storage.catalog, runs=[run.id])
        link = run_rows.RunLink(
            run_id=run.id, role="output", position=0, version_id=links[0].version_id, address="flights@1"
        )
        run_rows.add_link(store._storage.catalog, link)
        assert store.lineage("flights@1").upstream().labels() == [f"odd ({run.id[:12]})"]
        assert len(store.lineage("flights@1").downstream().rows()) == 2

    def test_a_walk_asks_the_same_number_of_questions_however_wide_a_level_is(self, store, flights):
        import sqlalchemy as sa

        for n in range(5):
            with store.run(f"run-{n}"):
                store.version("flights@1")
                store.create_dataset(f"out-{n}").append({"id": [n]})
        asked_for = []
        sa.event.listen(
            store._storage.catalog._engine, "before_cursor_execute", lambda *args: asked_for.append(args[2])
        )
        counts = []
        for limit in (3, 100):
            asked_for.clear()
            relations = CatalogRelations(store._storage.catalog)
            start = NodeKey(NodeKind.VERSION, flights.version(1).version_id)
            asked_for.clear()
            walked = walk(relations, start, Direction.DOWNSTREAM, max_nodes=100)
            relations.nodes(list(walked.distances)[:limit])
            counts.append(len([text for text in asked_for if text.startswith("SELECT")]))
        assert len(walked.distances) == 11
        assert counts[0] == counts[1] <= 12

    def test_a_walk_that_is_cut_says_so(self, store, flights):
        relations = CatalogRelations(store._storage.catalog, history=True)
        start = NodeKey(NodeKind.VERSION, flights.version(1).version_id)
        assert walk(relations, start, Direction.DOWNSTREAM, max_nodes=1).truncated
        assert not walk(relations, start, Direction.DOWNSTREAM, max_nodes=2).truncated

    @pytest.mark.parametrize("depth", [0, -1, 1.5, True, "2"])
    @pytest.mark.usefixtures("flights")
    def test_a_depth_that_is_none_is_refused(self, store, depth):
        with pytest.raises(UsageError, match="not a number of steps"):
            store.lineage("flights").upstream(depth)

    @pytest.mark.parametrize(
        "address", ["nothing", "flights@9", "view:none@1", "service:x@1", "consumer:a:b", "version:0"]
    )
    @pytest.mark.usefixtures("flights")
    def test_what_is_not_there_has_no_lineage(self, store, address):
        with pytest.raises(NotFoundError):
            store.lineage(address)

    @pytest.mark.parametrize("address", [None, 3, "pool:x", "run:zz", "flights@1#half.train"])
    @pytest.mark.usefixtures("flights")
    def test_what_is_no_address_is_refused(self, store, address):
        with pytest.raises(UsageError):
            store.lineage(address)

    @pytest.mark.usefixtures("flights")
    def test_it_is_shown_as_text_html_and_plain_data(self, store, clean):
        with store.run("clean-up", message="<b>") as run:
            clean.append(store.view("flights@1"))
        clean.latest.consumers.register("model", "<script>")
        lineage = store.lineage("flights@1")
        assert repr(lineage) == "<Lineage of flights@1: upstream(), downstream()>"
        assert repr(lineage.downstream()) == (
            "<Lineage downstream of flights@1: 3 nodes>\n"
            "flights@1 (version, published)\n"
            f"  read: clean-up ({run.id[:12]}) (run, succeeded)\n"
            "    wrote: clean@1 (version, published)\n"
            "      uses: model <script> (consumer)"
        )
        assert "<script>" not in lineage._repr_html_()
        plain = lineage.to_dict()["downstream"]
        assert plain["edges"][0] == {"source": plain["start"], "target": f"run:{run.id}", "relation": "read"}
        assert [node["kind"] for node in plain["nodes"]] == ["version", "run", "version", "consumer"]

    @pytest.mark.usefixtures("flights")
    def test_a_run_is_told_as_openlineage_events(self, store, clean):
        with store.run("clean-up") as run:
            clean.append(store.view("flights@1"))
            store.view("flights@2").save("seen")
        begun, ended = store.runs.to_openlineage(run.id)
        assert (begun["eventType"], ended["eventType"]) == ("START", "COMPLETE")
        assert begun["run"]["runId"].replace("-", "") == run.id
        assert [(d["name"], d["facets"]["version"]["datasetVersion"]) for d in ended["outputs"]] == [("clean", "1")]
        assert {(d["name"], d["facets"]["version"]["datasetVersion"]) for d in ended["inputs"]} == {
            ("flights", "1"), ("flights", "2"),
        }  # fmt: skip
        with pytest.raises(KeyError), store.run("clean-up") as failed:
            raise KeyError("x")
        assert store.runs.to_openlineage(failed.id)[1]["run"]["facets"]["errorMessage"]["message"] == "KeyError: 'x'"


def _training_set(store):
    day = [dt.datetime(2024, 1, n, tzinfo=dt.UTC) for n in range(1, 7)]
    store.create_dataset("rides").append({"driver": [1, 1], "ts": [day[0], day[2]], "trips": [10, 30]})
    labels = store.create_dataset("labels", key=["id"], event_time="at")
    version = labels.append({"id": list(range(20)), "driver": [1] * 20, "at": [day[5]] * 20})
    version.split("half", train=0.5, test=0.5)
    driver = foldstore.Entity("driver", keys={"driver": "int64"})
    stats = foldstore.FeatureView("stats", entity=driver, source="rides", event_time="ts", features=["trips"])
    store.features.apply(foldstore.FeatureService("trips", [stats]))
    return store.features.create_training_set("sets", labels="labels@1#half", features="trips@1")


def _expire(store, address):
    """Do what retention does to a version's row."""
    import sqlalchemy as sa

    with store._storage.catalog.write() as connection:
        connection.execute(
            sa.text("UPDATE version SET expired_at = '2026' WHERE id = :id"),
            {"id": store.version(address).version_id},
        )


class _Edges:
    """The edges of a graph in memory."""

    def __init__(self, edges):
        self._edges = edges

    def edges(self, frontier, direction):
        return [edge for edge in self._edges if edge.near_end(direction) in frontier]


class TestInverse:
    @given(
        edges=st.lists(st.tuples(st.integers(0, 7), st.integers(0, 7)), max_size=25),
        depth=st.none() | st.integers(1, 5),
    )
    @settings(max_examples=60)
    def test_upstream_and_downstream_are_inverse_at_every_depth(self, edges, depth):
        keys = [NodeKey(NodeKind.VERSION, str(n)) for n in range(8)]
        relations = _Edges([Edge(keys[a], keys[b], "made") for a, b in edges])
        up = {key: walk(relations, key, Direction.UPSTREAM, depth=depth).distances for key in keys}
        down = {key: walk(relations, key, Direction.DOWNSTREAM, depth=depth).distances for key in keys}
        for a in keys:
            for b in keys:
                assert up[a].get(b) == down[b].get(a)

    @given(
        steps=st.lists(
            st.tuples(st.sets(st.integers(0, 4), max_size=3), st.booleans(), st.booleans()), min_size=1, max_size=4
        )
    )
    @settings(max_examples=5)
    def test_they_are_inverse_in_a_store(self, steps, tmp_path_factory):
        with foldstore.connect(tmp_path_factory.mktemp("s") / "store") as store:
            names = ["start"]
            store.create_dataset("start").append({"id": [0]})
            for number, (reads, save, consume) in enumerate(steps):
                with store.run(f"step-{number}"):
                    for read in sorted(reads):
                        store.version(names[read % len(names)])
                    made = store.create_dataset(f"out-{number}").append({"id": [number]})
                    if save:
                        store.view(names[-1]).save(f"view-{number}")
                        store.view(f"view-{number}")
                    if consume:
                        made.consumers.register("model", "shared")
                names.append(f"out-{number}")
            relations = CatalogRelations(store._storage.catalog, history=True)
            nodes = _all_nodes(store, relations, names)
            up = {key: walk(relations, key, Direction.UPSTREAM) for key in nodes}
            down = {key: walk(relations, key, Direction.DOWNSTREAM) for key in nodes}
            for a in nodes:
                for b in nodes:
                    assert up[a].distances.get(b) == down[b].distances.get(a)


def _all_nodes(store, relations, names):
    starts = [NodeKey(NodeKind.VERSION, store.version(name).version_id) for name in names]
    starts += [NodeKey(NodeKind.RUN, run.id) for run in store.runs.list()]
    found = {key for s in starts for way in Direction for key in walk(relations, s, way).distances}
    return sorted(found)


class TestConsumers:
    def test_they_are_registered_listed_and_released(self, store, flights):
        v1, v2 = flights.version(1), flights.version(2)
        first = v1.consumers.register("model", "churn@3", reason="in production")
        v1.consumers.register("model", "churn@3")
        v2.pin("audit-2026", "asked for by the auditors")
        assert v1.consumers.list() == [first]
        assert (first.address, first.author, first.reason) == ("flights@1", "tester", "in production")
        assert [(c.address, c.kind, c.name) for c in store.consumers()] == [
            ("flights@1", "model", "churn@3"),
            ("flights@2", "pin", "audit-2026"),
        ]
        assert store.lineage("flights@2").downstream().labels("consumer") == ["pin audit-2026"]
        assert store.lineage("consumer:model:churn@3").upstream().labels("version") == ["flights@1"]
        assert v2.consumers.release("pin", "audit-2026")
        assert not v2.consumers.release("pin", "audit-2026")
        assert v2.consumers.list() == []

    @pytest.mark.parametrize(
        ("kind", "name"),
        [("Model", "x"), ("model", ""), ("model", " "), ("model", "a\nb"), ("model", "x" * 201), ("k" * 33, "x"),
         ("model", "\ud800"), ("model", None)],
    )  # fmt: skip
    def test_what_cannot_be_kept_is_refused(self, flights, kind, name):
        with pytest.raises(UsageError):
            flights.latest.consumers.register(kind, name)
        with pytest.raises(UsageError, match="The reason"):
            flights.latest.consumers.register("model", "x", reason="\0")

    def test_a_saved_view_is_a_consumer_of_what_it_pins(self, store, flights):
        store.view("flights@1").save("all")
        flights.latest.split("half", train=0.5, test=0.5)
        store.view("flights@2#half.train").save("part")
        assert [(c.address, c.name) for c in store.consumers("view")] == [
            ("flights@1", "all@1"),
            ("flights@2", "part@1"),
        ]

    @pytest.mark.usefixtures("flights")
    def test_an_expired_version_takes_no_consumer(self, store):
        _expire(store, "flights@1")
        with pytest.raises(UsageError, match="was given up") as caught:
            store.version("flights@1").pin("late")
        assert caught.value.code == "version-expired"


class TestDescriptions:
    def test_what_is_not_given_stays_and_history_is_kept(self, store, flights):
        assert flights.description == Description()
        flights.describe("Departures", owner="data@example.org", tags=["public", "air"])
        said = flights.describe(tags=["air"])
        assert (said.description, said.owner, said.tags, said.version, said.author) == (
            "Departures", "data@example.org", ("air",), 2, "tester",
        )  # fmt: skip
        assert flights.describe(owner="").owner is None
        assert [each.tags for each in flights.descriptions()] == [("air", "public"), ("air",), ("air",)]
        assert store.dataset("flights").description.version == 3

    @pytest.mark.parametrize(
        "given", [{"owner": "a\nb"}, {"owner": "x" * 201}, {"description": 3}, {"tags": "air"}, {"tags": ["No!"]},
                  {"tags": [f"t{n}" for n in range(51)]}, {"tags": 3}],
    )  # fmt: skip
    def test_what_cannot_be_kept_is_refused(self, flights, given):
        with pytest.raises(UsageError):
            flights.describe(**given)
        assert flights.descriptions() == []

    @pytest.mark.parametrize(
        ("search", "names"),
        [("FLIGH", ["flights"]), ("york", ["flights"]), ("ACME", ["flights"]), ("pub", ["flights"]),
         ("deLAY", ["flights"]), ("%", ["other"]), ("_", []), (".*", []), ("", ["flights", "other"])],
    )  # fmt: skip
    def test_a_text_is_looked_for_as_it_is_in_all_that_is_said(self, store, flights, search, names):
        store.create_dataset("other").describe("100 % of it")
        flights.describe("Departures from New York", owner="acme", tags=["public"])
        assert [dataset.name for dataset in store.datasets(search=search)] == names

    def test_tags_and_texts_narrow_together(self, store, flights):
        flights.describe(tags=["public"])
        assert [dataset.name for dataset in store.datasets(tag="public")] == ["flights"]
        assert store.datasets(tag="publi") == []
        assert store.datasets(search="nothing", tag="public") == []
        with pytest.raises(UsageError):
            store.datasets(tag="No!")


def test_the_names_of_runs_do_not_take_those_of_datasets(store, flights):
    with store.run("flights") as run:
        pass
    assert store.runs.get(run.id).name == "flights"
    with pytest.raises(AlreadyExistsError):
        store.create_dataset("flights")


class TestBranchesAndTransactions:
    @pytest.mark.usefixtures("flights")
    def test_a_branch_is_named_as_it_was_asked_and_repeated_so(self, store):
        flights = store.dataset("flights")
        flights.create_branch("side", 1)
        with store.run("look") as first:
            assert flights.branch("side").latest.number == 1
            assert flights.latest.number == 2
        flights.branch("side").append({"id": [9], "delay": [1]})
        with store.runs.repeat(first.id):
            assert flights.branch("side").latest.number == store.version("flights@side").number == 1
            assert flights.latest.number == 2
        assert asked(store.runs.get(first.id)) == [("flights@side", "flights@1"), ("flights", "flights@2")]

    @pytest.mark.usefixtures("flights")
    def test_an_alias_that_moved_is_read_where_it_pointed(self, store):
        flights = store.dataset("flights")
        flights.set_alias("champion", 1)
        with store.run("score") as first:
            assert store.version("flights@champion").number == 1
        flights.set_alias("champion", 2)
        with store.runs.repeat(first.id) as again:
            assert store.version("flights@champion").number == 1
            assert store.sql('SELECT count(*) FROM "flights@champion"').rows() == [(4,)]
        assert store.version("flights@champion").number == 2
        assert asked(store.runs.get(again.id)) == [("flights@champion", "flights@1")]

    def test_whatever_makes_a_version_is_an_output_and_a_dropped_transaction_is_none(self, store, flights):
        with store.run("change") as run:
            flights.delete("delay > 50")
            flights.upsert({"id": [1], "delay": [4]})
            with flights.transaction() as change:
                change.append({"id": [7], "delay": [1]})
                change.delete("delay = 8")
            with pytest.raises(KeyError), flights.transaction() as change:  # noqa: PT012
                change.append({"id": [8], "delay": [1]})
                raise KeyError
            flights.restore(1)
        known = store.runs.get(run.id)
        assert written(known) == ["flights@3", "flights@4", "flights@5", "flights@6"]
        assert asked(known) == [("flights@1", "flights@1")]

    def test_the_version_of_an_instant_is_an_input(self, store, flights):
        with store.run("look") as run:
            flights.as_of(flights.versions()[0].created_at)
        assert asked(store.runs.get(run.id)) == [("flights@1", "flights@1")]
