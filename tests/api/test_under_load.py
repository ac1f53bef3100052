"""Several processes under load: a budget is spent once, what was begun is finished, and nothing is half done."""

import json
import re
import signal
import socket
import subprocess
import sys
import threading
import time
import warnings
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from http.client import HTTPConnection, HTTPException
from pathlib import Path

import pyarrow as pa
import pytest

import foldstore
from foldstore.api.tokens import TokenVault
from tests.api.test_running import PATIENCE, ask, ready, served, wait_until

ROWS = 400
LONG = 4 * PATIENCE  # processes that start one after the other
ARROW = "application/vnd.apache.arrow.stream"


@pytest.fixture
def place(tmp_path):
    """A store with a pool that may be asked once more, and tokens."""
    folder = tmp_path / "store"
    with foldstore.connect(folder, author="owner") as store:
        truth = [n % 3 == 0 for n in range(ROWS)]
        tasks = store.create_dataset("tasks", key=["id"])
        version = tasks.append({"id": list(range(ROWS)), "x": list(range(ROWS)), "y": truth})
        split = version.split("half", train=0.5, test=0.5, seed=1)
        store.create_dataset("people", key=["id"]).append({"id": [-1]})
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # that the pool is small
            plan = foldstore.plan_pool("n > 0.6 +/- 0.1", reliability=0.9, steps=1)
            store.pools.seal("late", split.test, label="y", plan=plan)
        vault = TokenVault(store.registry("token"))
        tokens = {role: vault.create(role, author="t")[0] for role in ("evaluator", "viewer", "editor")}
    return folder, tokens


def stream(data):
    sink = pa.BufferOutputStream()
    table = pa.table(data)
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    return sink.getvalue().to_pybytes()


def post(port, path, token, body):
    connection = HTTPConnection("127.0.0.1", port, timeout=PATIENCE)
    try:
        connection.request("POST", path, body, {"authorization": f"Bearer {token}", "content-type": ARROW})
        answer = connection.getresponse()
        return answer.status, json.loads(answer.read())
    finally:
        connection.close()


def workers(process):
    """Return the processes that serve for another one: of all threads' children, without those that run SQL."""
    children = [path.read_text().split() for path in Path(f"/proc/{process.pid}/task").glob("*/children")]
    return {int(pid) for some in children for pid in some if "--descriptor" in words_of(pid)}


def words_of(pid):
    try:
        return Path(f"/proc/{pid}/cmdline").read_text().split("\0")
    except FileNotFoundError:
        return []


def test_the_last_unit_of_a_budget_is_spent_by_one_of_many(place):
    folder, tokens = place
    with served(folder, "--workers", "2") as (process, port, _lines):
        wait_until(lambda: ready(port) and len(workers(process)) == 2)
        found = ask(port, "GET", "/v1/test-pools/late/features", tokens["evaluator"])
        ids = [row["id"] for row in json.loads(found[1])["rows"]]
        # Different predictions each: the same ones again would be answered for nothing.
        bodies = [stream({"id": ids, "prediction": [n == place for n in range(len(ids))]}) for place in range(12)]
        start = threading.Barrier(len(bodies))

        def evaluate(body):
            start.wait()
            return post(port, "/v1/test-pools/late:evaluate?model=m", tokens["evaluator"], body)

        with ThreadPoolExecutor(len(bodies)) as pool:
            answers = list(pool.map(evaluate, bodies))
        charged = [answer for status, answer in answers if status == 200]
        assert len(charged) == 1
        assert charged[0]["charged"] is True
        refused = {(status, answer["code"]) for status, answer in answers if status != 200}
        assert refused <= {(403, "pool-spent"), (409, "conflict")}
        status = json.loads(ask(port, "GET", "/v1/test-pools/late", tokens["evaluator"])[1])
        assert (status["steps_used"], status["steps_left"]) == (1, 0)


def begin_commit(port, token, number):
    """Send a commit but for its end; return when its route waits for that."""
    body = stream({"id": [number]})
    one = socket.create_connection(("127.0.0.1", port), timeout=PATIENCE)
    head = (
        f"POST /v1/datasets/people/versions HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {token}\r\n"
        f"content-type: {ARROW}\r\nexpect: 100-continue\r\ncontent-length: {len(body)}\r\n\r\n"
    )
    one.sendall(head.encode())
    assert one.recv(100).startswith(b"HTTP/1.1 100")
    one.sendall(body[:10])
    return one, body[10:]


def all_of(one):
    with one:
        answer = b""
        while part := one.recv(65536):
            answer += part
    return answer


@contextmanager
def load(port, token):
    """Ask for rows from three threads; give how many answers came, and those that were odd."""
    ends, done, odd = threading.Event(), [], []

    def work():
        while not ends.is_set():
            try:
                status, body = ask(port, "GET", "/v1/datasets/people/versions/1/rows", token)
            except (OSError, HTTPException):
                continue  # a connection that no process took any more
            (done if status == 200 and json.loads(body)["rows"] == [{"id": -1}] else odd).append((status, body))

    threads = [threading.Thread(target=work) for _ in range(3)]
    for thread in threads:
        thread.start()
    try:
        wait_until(lambda: len(done) > 3)
        yield done, odd
    finally:
        ends.set()
        for thread in threads:
            thread.join()


@pytest.mark.parametrize("count", [1, 2])
def test_sigterm_under_load_finishes_what_was_begun(place, count):
    folder, tokens = place
    with served(folder, "--workers", str(count), "--grace", "60") as (process, port, _lines):
        wait_until(lambda: ready(port))
        begun = [begin_commit(port, tokens["editor"], number) for number in range(12)]
        with load(port, tokens["viewer"]) as (_done, odd):
            process.send_signal(signal.SIGTERM)
            for one, rest in begun:
                one.sendall(rest)
            answers = [all_of(one) for one, _ in begun]
            assert process.wait(PATIENCE) == 0
        assert [answer for answer in answers if not answer.startswith(b"HTTP/1.1 201")] == []
        assert odd == []
    with foldstore.connect(folder, author="owner") as store:
        assert sorted(store.dataset("people").latest.to_arrow()["id"].to_pylist()) == list(range(-1, 12))


def test_sighup_under_load_starts_every_process_anew(place):
    folder, tokens = place
    with served(folder, "--workers", "2") as (process, port, _lines):
        wait_until(lambda: ready(port) and len(workers(process)) == 2)
        old = workers(process)
        with load(port, tokens["viewer"]) as (done, odd):
            process.send_signal(signal.SIGHUP)
            wait_until(lambda: len(workers(process)) == 2 and not workers(process) & old, LONG)
            before = len(done)
            wait_until(lambda: len(done) > before + 5)
        assert odd == []
        assert process.poll() is None


@pytest.mark.parametrize("count", [1, 2])
def test_sighup_leaves_no_instant_without_a_process_that_serves(place, count):
    """The old one goes on until its successor serves; the process that was started stays the one to be told."""
    folder, tokens = place
    with served(folder, "--workers", str(count)) as (process, port, _lines):
        wait_until(lambda: ready(port) and len(workers(process)) == (count if count > 1 else 0))
        with load(port, tokens["viewer"]) as (done, odd):
            for _ in range(2):  # the first makes a parent of the one that served alone
                old = workers(process)
                process.send_signal(signal.SIGHUP)
                wait_until(lambda old=old: len(workers(process)) == count and not workers(process) & old, LONG)
                before = len(done)
                wait_until(lambda before=before: len(done) > before + 5)
        assert odd == []
        left = workers(process)
        process.send_signal(signal.SIGTERM)
        assert process.wait(PATIENCE) == 0
    assert not any(Path(f"/proc/{pid}").exists() for pid in left)


def test_a_successor_that_cannot_serve_replaces_nobody(place, tmp_path):
    folder, tokens = place
    with served(folder, "--workers", "2") as (process, port, lines):
        wait_until(lambda: ready(port) and len(workers(process)) == 2)
        old = workers(process)
        moved = folder.with_name("elsewhere")
        folder.rename(moved)
        try:
            process.send_signal(signal.SIGHUP)
            wait_until(lambda: any("the old one serves on" in line for line in lines), LONG)
            assert workers(process) == old
        finally:
            moved.rename(folder)
        assert ask(port, "GET", "/v1/datasets/people/versions/1/rows", tokens["viewer"])[0] == 200


@contextmanager
def begun(folder, *words, **started):
    """Start a server and go on at once."""
    command = [sys.executable, "-m", "foldstore", "serve", "--store", str(folder), "--port", "0", *words]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True, **started) as process:
        try:
            yield process
        finally:
            process.kill()


def minds(process, kind, number):
    """Say whether a process ignores ("SigIgn") or catches ("SigCgt") a signal."""
    return int(re.search(rf"{kind}:\s*(\w+)", status(process))[1], 16) >> (number - 1) & 1


@pytest.mark.parametrize("count", [1, 2])
@pytest.mark.parametrize("from_its_start", [True, False], ids=["by whoever starts it", "by itself"])
def test_sighup_before_it_serves_ends_nothing(place, count, from_its_start):
    """Again and again, from its first instant where whoever starts it has it ignored, as the unit for systemd does."""
    folder, _tokens = place
    ignore = (lambda: signal.signal(signal.SIGHUP, signal.SIG_IGN)) if from_its_start else None
    with begun(folder, "--workers", str(count), preexec_fn=ignore) as process:
        wait_until(lambda: from_its_start or minds(process, "SigIgn", signal.SIGHUP) or process.poll() is not None)
        lines = []
        reader = threading.Thread(target=lambda: lines.extend(process.stderr), daemon=True)
        reader.start()
        urls = lambda: [line.split()[-1] for line in lines if "Serving at" in line]  # noqa: E731
        while not urls() and process.poll() is None:
            process.send_signal(signal.SIGHUP)
            time.sleep(0.001)
        assert process.poll() is None, lines
        wait_until(lambda: ready(int(urls()[0].rpartition(":")[2])), LONG)
        process.send_signal(signal.SIGTERM)
        assert process.wait(LONG) == 0
        reader.join(PATIENCE)


def test_a_storm_of_signals_neither_blocks_nor_ends_who_hears_them():
    """An event of `threading` deadlocks here, or its handlers are nested until there is no stack left."""
    program = """
import signal
from foldstore.api.workers import Told
anew, ends = Told(), Told()
signal.signal(signal.SIGHUP, anew.set)
signal.signal(signal.SIGTERM, ends.set)
print("listens", flush=True)
while not ends.wait(0.0001):
    if anew.is_set():
        anew.clear()
print("ends", anew.is_set(), ends.is_set())
"""
    with subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout.readline() == "listens\n"
            for _ in range(30_000):
                process.send_signal(signal.SIGHUP)
            process.send_signal(signal.SIGTERM)
            assert process.communicate(timeout=PATIENCE)[0].split()[::2] == ["ends", "True"]
            assert process.returncode == 0
        finally:
            process.kill()


@pytest.mark.parametrize("count", [1, 2])
def test_sigterm_before_it_serves_ends_it(place, count):
    """The first process of a container is told nothing that it has no handler for, so it has one early."""
    folder, _tokens = place
    with begun(folder, "--workers", str(count)) as process:
        wait_until(lambda: minds(process, "SigCgt", signal.SIGTERM) or process.poll() is not None)
        process.send_signal(signal.SIGTERM)
        assert process.wait(PATIENCE) == 0
        assert process.stderr.read() == ""


@pytest.mark.parametrize(("words", "expected"), [("serve --help", signal.SIG_IGN), ("ls", signal.SIG_DFL)])
def test_sighup_is_ignored_before_anything_large_is_imported(words, expected):
    program = f"""
import signal, sys, types
large = types.ModuleType("foldstore.cli.app")
large.main = lambda arguments: print(
    signal.getsignal(signal.SIGHUP).name, bool(sys.modules.keys() & {"typer", "foldstore.errors"})
)
sys.modules["foldstore.cli.app"] = large
sys.argv = ["foldstore", *{words.split()!r}]
from foldstore.cli import main
main()
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.split() == [expected.name, "False"]


def test_no_process_outlives_the_one_that_watches_over_it(place):
    folder, tokens = place
    with served(folder, "--workers", "2", "--drain", "600") as (process, port, _lines):
        wait_until(lambda: ready(port) and len(workers(process)) == 2)
        orphans = workers(process)
        assert ask(port, "GET", "/v1/datasets", tokens["viewer"])[0] == 200
        process.kill()
        wait_until(lambda: not any(is_running(pid) for pid in orphans))
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(("127.0.0.1", port), timeout=PATIENCE)


def is_running(pid):
    """Say whether a process is there, and not only waited for by whoever inherited it."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def status(process):
    return Path(f"/proc/{process.pid}/status").read_text()
