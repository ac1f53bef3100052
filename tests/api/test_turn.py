"""What an event loop finds waiting at once is answered from one look at the catalog, and none of it is too old."""

import asyncio
import datetime as dt
import json
import threading
from contextlib import contextmanager

import pytest

import foldstore
from foldstore.api.app import create_app
from foldstore.api.server import BackgroundServer
from foldstore.api.tokens import TokenVault
from foldstore.api.turn import Turn
from tests.api.test_server import connect
from tests.api.test_shortcut import request

DAY = dt.datetime(2024, 1, 1, tzinfo=dt.UTC)
ASK = {"service": "towns@live", "entities": {"city": ["Oslo"]}, "at": "2024-01-02T00:00:00Z"}


@pytest.fixture
def towns(folder):
    """A store with two versions of a service, which tell themselves apart, and an alias."""
    with foldstore.connect(folder, author="owner") as store:
        store.create_dataset("sizes").append({"city": ["Oslo"], "at": [DAY], "a": [1], "b": [2]})
        city = foldstore.Entity("city", keys={"city": "string"})
        for name in ("a", "b"):
            view = foldstore.FeatureView("size", entity=city, source="sizes", event_time="at", features=[name])
            made = store.features.apply(foldstore.FeatureService("towns", [view]), allow_breaking=True)
            store.features.materialize(made)
        store.features.aliases.set("towns@live", "towns@1")
        yield store


class Counted:
    """A mark that is another one at every look."""

    def __init__(self, mark):
        self.assume, self.read = mark.assume, mark.read
        self.looks = 0
        self._mark = mark

    def look(self):
        self.looks += 1
        return 0, self.looks


@pytest.fixture
def counted(towns):
    return Counted(towns.registry("token").change_mark)


def test_one_turn_looks_once(counted):
    turn = Turn(counted)

    async def run():
        first = [turn.answer(counted.read) for _ in range(3)]
        await asyncio.sleep(0)
        return first, turn.answer(counted.read)

    assert asyncio.run(run()) == ([(0, 1)] * 3, (0, 2))


@pytest.mark.parametrize("note", [(1 << 16, 1), (10, 900)])
def test_where_a_loop_may_read_twice_each_looks_for_itself(counted, note):
    turn = Turn(counted)

    async def run():
        answers = []
        for _ in range(2):
            turn.note(*note)
            answers.append(turn.answer(counted.read))
        turn.note(10, 1)
        return [*answers, turn.answer(counted.read)]

    assert asyncio.run(run()) == [(0, 1), (0, 2), (0, 2)]


def test_what_one_loop_has_seen_is_not_said_to_another(counted):
    turn = Turn(counted)

    async def run():
        return turn.answer(counted.read)

    loops = [asyncio.new_event_loop() for _ in range(2)]
    assert [loop.run_until_complete(run()) for loop in loops] == [(0, 1), (0, 2)]
    for loop in loops:
        loop.close()


def test_a_mark_is_assumed_by_one_thread_and_until_the_call_returns(towns):
    mark, seen = towns.registry("token").change_mark, []

    def ask():
        seen.append(mark.read())
        thread = threading.Thread(target=lambda: seen.append(mark.read()))
        thread.start()
        thread.join()
        raise ZeroDivisionError

    now = mark.look()
    with pytest.raises(ZeroDivisionError):
        mark.assume((7, 7), ask)
    assert seen == [(7, 7), now]
    assert mark.read() == now
    assert mark.assume(None, mark.read) == now


def features_of(connection):
    data = b""
    while b"\r\n\r\n" not in data or len(data) < size_of(data):
        data += connection.recv(65_536)
    assert data.startswith(b"HTTP/1.1 200"), data
    return list(json.loads(data.partition(b"\r\n\r\n")[2])["features"])


def size_of(data):
    head, _, _ = data.lower().partition(b"\r\n\r\n")
    return len(head) + 4 + int(head.partition(b"content-length: ")[2].partition(b"\r\n")[0])


@contextmanager
def busy(url, asked):
    """Keep a server busy with requests of others."""
    stop, errors = threading.Event(), []

    def ask():
        others = [connect(url) for _ in range(8)]
        try:
            while not stop.is_set():
                for other in others:
                    other.sendall(asked)
                for other in others:
                    features_of(other)
        except (AssertionError, OSError) as error:
            errors.append(error)
        finally:
            for other in others:
                other.close()

    threads = [threading.Thread(target=ask) for _ in range(2)]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        stop.set()
        for thread in threads:
            thread.join()
    assert errors == []


@pytest.mark.parametrize("loop", ["auto", "asyncio"])
def test_who_asks_after_a_commit_is_answered_as_of_it(towns, monkeypatch, loop):
    """Others keep the loop busy, so that there is always a look that could be too old."""
    from foldstore.api import running

    config = running._config

    def configured(*given):
        made = config(*given)
        made.loop = loop
        return made

    monkeypatch.setattr(running, "_config", configured)
    vault = TokenVault(towns.registry("token"))
    text, _ = vault.create("serving", author="t")
    asked, wrong = request(text, ASK), []
    app = create_app(towns.features, vault, store=towns)
    with (
        BackgroundServer(app) as server,
        busy(server.url, asked),
        foldstore.connect(towns.root, author="mover") as other,
        connect(server.url) as mine,
    ):
        for number in [2, 1] * 30:
            other.features.aliases.set("towns@live", f"towns@{number}")
            mine.sendall(asked)
            wrong += [] if features_of(mine) == ["ab"[number - 1]] else [number]
    assert wrong == []
