"""Verbs that are not waited for: the same results and errors, watched and called off."""

import threading
import time
from http.client import HTTPConnection

import pytest

from foldstore.api.operations import Operations
from foldstore.errors import CancelledError, FoldstoreError, NotFoundError, UsageError
from foldstore.remote.operations import Watched
from tests.api.test_operations import PATIENCE, Gate
from tests.conformance.conftest import behind  # noqa: F401  # a fixture


@pytest.fixture
def remote(behind):  # noqa: F811  # the fixture of above
    behind.store.create_dataset("people", key=["id"]).append({"id": [*range(50)], "age": [*range(50)]})
    return behind.connect("editor")


def test_a_verb_gives_the_same_without_being_waited_for(remote):
    version = remote.version("people")
    for verb, args in (
        (version.to_arrow, ()),
        (lambda: version.profile().to_dict(), ()),
        (lambda: version.validate(version.profile().infer_schema()).passed, ()),
        (lambda query: remote.sql(query).rows(), ("SELECT max(age) FROM people",)),
        (lambda: version.drift(version).to_dict(), ()),
    ):
        assert remote.operations.start(verb, *args).wait(PATIENCE) == verb(*args)
    made = remote.operations.start(remote.dataset("people").append, {"id": [99], "age": [1]}).wait(PATIENCE)
    assert (made.number, made.num_rows) == (2, 51)
    listed = remote.operations.list()
    assert {each["state"] for each in listed} == {"succeeded"}
    assert remote.operations.get(listed[0]["id"]) == listed[0]
    assert remote.operations.list(state="failed") == []


def test_errors_are_raised_where_somebody_waits(remote):
    operation = remote.operations.start(lambda: remote.sql("SELECT nothing FROM people").rows())
    with pytest.raises(FoldstoreError) as caught:
        operation.wait(PATIENCE)
    with pytest.raises(type(caught.value)) as at_once:
        remote.sql("SELECT nothing FROM people").rows()
    assert (caught.value.code, caught.value.message) == (at_once.value.code, at_once.value.message)
    with pytest.raises(UsageError):
        remote.operations.start("validate")
    with pytest.raises(NotFoundError):
        remote.operations.get("f" * 32)
    with pytest.raises(NotFoundError):
        remote.operations.cancel("f" * 32)


def test_it_is_called_off(remote):
    version = remote.version("people")
    _ = version.arrow_schema  # asked before the gate is shut
    with Gate() as gate:
        operation = remote.operations.start(version.to_arrow)
        assert gate.reached.wait(PATIENCE)
        with pytest.raises(TimeoutError):
            operation.wait(0)
        assert not operation.is_done
        until = time.monotonic() + PATIENCE
        while operation.status()["state"] != "running":  # known here, too: else it is called off when it is
            assert time.monotonic() < until
            time.sleep(0.01)
        operation.cancel()
    with pytest.raises(CancelledError):
        operation.wait(PATIENCE)
    assert operation.status()["state"] == "cancelled"
    assert operation.is_done


def test_whoever_watches_is_told(remote):
    told = []
    with remote.operations.watched(lambda done, total: told.append((done, total))):
        assert remote.version("people").to_arrow().num_rows == 50
    assert told
    assert all(done >= 0 and (total is None or total >= done) for done, total in told)
    before = len(remote.operations.list())
    remote.version("people").to_arrow()
    assert len(remote.operations.list()) == before


def test_an_interrupt_calls_it_off(remote):
    version = remote.version("people")
    _ = version.arrow_schema
    interrupted = threading.Event()

    def interrupt(_done, _total):
        interrupted.set()
        raise KeyboardInterrupt

    with Gate() as gate:
        with pytest.raises(KeyboardInterrupt), remote.operations.watched(interrupt):
            version.to_arrow()
        assert interrupted.is_set()
        gate.opened.set()
    (found,) = remote.operations.list()
    Watched(remote.server.connection).follow(f"/v1/operations/{found['id']}")
    assert remote.operations.get(found["id"])["state"] == "cancelled"


@pytest.mark.parametrize("is_begun", [True, False])
def test_an_interrupt_before_the_server_says_what_it_has_begun_calls_it_off(remote, monkeypatch, is_begun):
    version = remote.version("people")
    _ = version.arrow_schema
    asked, begin = threading.Event(), Operations.begin

    def begin_late(*given):
        asked.set()
        if is_begun:
            found = begin(*given)
        assert interrupted.wait(PATIENCE)  # the client does not hear of it before
        return found if is_begun else begin(*given)

    interrupted, answer = threading.Event(), HTTPConnection.getresponse

    def hear(connection):
        monkeypatch.setattr(HTTPConnection, "getresponse", answer)
        assert asked.wait(PATIENCE)
        threading.Timer(0.3, interrupted.set).start()
        raise KeyboardInterrupt

    with Gate() as gate:
        monkeypatch.setattr(Operations, "begin", begin_late)
        monkeypatch.setattr(HTTPConnection, "getresponse", hear)
        with pytest.raises(KeyboardInterrupt), remote.operations.watched():
            version.to_arrow()
        monkeypatch.undo()
        gate.opened.set()
    (found,) = remote.operations.list()
    Watched(remote.server.connection).follow(f"/v1/operations/{found['id']}")
    assert remote.operations.get(found["id"])["state"] == "cancelled"
