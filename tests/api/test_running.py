"""A server ends when what was begun is finished, speaks TLS, and survives the death of a process."""

import datetime as dt
import http.client
import json
import os
import re
import signal
import socket
import ssl
import subprocess
import sys
import threading
import time
from contextlib import contextmanager
from pathlib import Path

import pytest

import foldstore
from foldstore.api.running import Readiness, Running
from foldstore.api.tokens import TokenVault
from foldstore.errors import UsageError

ENTITY = foldstore.Entity("city", keys={"city": "string"})
PATIENCE = 60


def wait_until(holds, seconds=PATIENCE):
    deadline = time.monotonic() + seconds
    while not (found := holds()):
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.05)
    return found


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    folder = tmp_path_factory.mktemp("served") / "store"
    with foldstore.connect(folder, author="owner") as store:
        rows = {"city": ["Oslo", "Bern"], "at": [dt.datetime(2024, 1, 1, tzinfo=dt.UTC)] * 2, "people": [1, 1]}
        store.create_dataset("sizes", event_time="at").append(rows)
        view = foldstore.FeatureView("size", entity=ENTITY, source="sizes", event_time="at", features=["people"])
        store.features.apply(foldstore.FeatureService("towns", [view]))
        store.features.materialize("towns@1")
        vault = TokenVault(store.registry("token"))
        tokens = {role: vault.create(role, author="t")[0] for role in ("viewer", "editor", "serving", "monitor")}
    return folder, tokens


@contextmanager
def served(folder, *options):
    command = [sys.executable, "-m", "foldstore", "serve", "--store", str(folder), "--port", "0", *options]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        lines = []
        try:
            for line in process.stderr:
                lines.append(line)
                if found := re.search(r"Serving at (https?)://([\d.]+):(\d+)", line):
                    break
            else:
                pytest.fail("".join(lines))
            reader = threading.Thread(target=lambda: lines.extend(process.stderr), daemon=True)
            reader.start()
            yield process, int(found[3]), lines
        finally:
            process.terminate()
            process.wait(PATIENCE)
            reader.join(PATIENCE)


def ask(port, method, path, token=None, body=None, secure=None):
    connection = (
        http.client.HTTPConnection("127.0.0.1", port, timeout=PATIENCE)
        if secure is None
        else http.client.HTTPSConnection("localhost", port, timeout=PATIENCE, context=secure)
    )
    try:
        headers = {} if token is None else {"authorization": f"Bearer {token}"}
        connection.request(method, path, body=None if body is None else json.dumps(body), headers=headers)
        answer = connection.getresponse()
        return answer.status, answer.read()
    finally:
        connection.close()


def ready(port):
    try:
        return ask(port, "GET", "/readyz")[0] == 200
    except OSError:
        return False


LOOKUP = {"service": "towns", "entities": {"city": ["Oslo", "Bern"]}, "at": "2024-01-02T00:00:00Z"}


def test_sigterm_finishes_what_was_begun_and_nothing_is_cut(place):
    folder, tokens = place
    with served(folder, "--grace", "30") as (process, port, _lines):
        wait_until(lambda: ready(port))
        with socket.create_connection(("127.0.0.1", port), timeout=PATIENCE) as begun:
            body = json.dumps(LOOKUP).encode()
            head = f"POST /v1/features:get HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {tokens['serving']}\r\n"
            begun.sendall(f"{head}content-length: {len(body)}\r\n\r\n".encode() + body[:20])
            # What came before it on the same server was answered, so this one is begun.
            assert ask(port, "GET", "/healthz")[0] == 200
            process.send_signal(signal.SIGTERM)

            def refused():
                try:
                    socket.create_connection(("127.0.0.1", port), timeout=1).close()
                except OSError:
                    return True
                return False

            wait_until(refused)
            begun.sendall(body[20:])
            answer = b""
            while part := begun.recv(65536):
                answer += part
        assert answer.startswith(b"HTTP/1.1 200")
        assert json.loads(answer.partition(b"\r\n\r\n")[2])["features"]["people"]["values"] == [1, 1]
        assert process.wait(PATIENCE) == 0


def test_a_server_that_drains_says_so_and_still_answers(place):
    folder, tokens = place
    with served(folder, "--drain", "600") as (process, port, _lines):
        wait_until(lambda: ready(port))
        process.send_signal(signal.SIGTERM)
        wait_until(lambda: not ready(port))
        assert ask(port, "POST", "/v1/features:get", tokens["serving"], LOOKUP)[0] == 200
        process.send_signal(signal.SIGTERM)  # a second one ends it at once
        process.wait(PATIENCE)


def test_the_death_of_a_worker_costs_its_own_requests_alone(place):
    folder, tokens = place
    with served(folder, "--workers", "2") as (process, port, _lines):
        wait_until(lambda: ready(port))

        def workers():
            return set(map(int, Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()))

        wait_until(lambda: len(workers()) == 2)
        for _ in range(6):
            assert ask(port, "POST", "/v1/features:get", tokens["serving"], LOOKUP)[0] == 200

        def counted():
            text = ask(port, "GET", "/metrics", tokens["monitor"])[1].decode()
            found = re.search(r'foldstore_requests_total\{[^}]*features:get[^}]*status="200"\} (\d+)', text)
            return 0 if found is None else int(found[1])

        wait_until(lambda: counted() == 6)  # it is counted when the answer has left
        victim = min(workers())
        os.kill(victim, signal.SIGKILL)
        wait_until(lambda: len(workers()) == 2 and victim not in workers())
        wait_until(lambda: ready(port))
        for _ in range(6):
            assert ask(port, "POST", "/v1/features:get", tokens["serving"], LOOKUP)[0] == 200
        wait_until(lambda: counted() == 12)  # of both processes, and of the one that is dead
        process.send_signal(signal.SIGTERM)
        left = workers()
        assert process.wait(PATIENCE) == 0
        assert not any(Path(f"/proc/{pid}").exists() for pid in left)


def test_new_versions_are_served_without_a_gap(place):
    folder, tokens = place
    with served(folder) as (_process, port, _lines), foldstore.connect(folder, author="owner") as store:
        wait_until(lambda: ready(port))
        seen, wrong, stop = set(), [], threading.Event()

        def look():
            while not stop.is_set():
                status, body = ask(port, "POST", "/v1/features:get", tokens["serving"], LOOKUP)
                values = json.loads(body)["features"]["people"]["values"] if status == 200 else [status]
                # Both rows of a version say its number: an answer is wholly of one version.
                if status != 200 or len(set(values)) != 1:
                    wrong.append((status, values))
                else:
                    seen.add(values[0])

        threads = [threading.Thread(target=look) for _ in range(3)]
        for thread in threads:
            thread.start()
        for number in (2, 3):
            hour = dt.datetime(2024, 1, 1, number, tzinfo=dt.UTC)
            store.dataset("sizes").append({"city": ["Oslo", "Bern"], "at": [hour] * 2, "people": [number] * 2})
            store.features.materialize("towns@1")
            wait_until(lambda number=number: number in seen)
        stop.set()
        for thread in threads:
            thread.join()
        assert wrong == []


@pytest.fixture(scope="module")
def certificate(tmp_path_factory):
    x509 = pytest.importorskip("cryptography.x509")
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key, name = (
        ec.generate_private_key(ec.SECP256R1()),
        x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "localhost")]),
    )
    now = dt.datetime.now(dt.UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(days=1))
        .not_valid_after(now + dt.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .sign(key, hashes.SHA256())
    )
    folder = tmp_path_factory.mktemp("tls")
    (folder / "cert.pem").write_bytes(made.public_bytes(serialization.Encoding.PEM))
    form = serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    (folder / "key.pem").write_bytes(key.private_bytes(serialization.Encoding.PEM, *form))
    return folder


def test_it_speaks_tls_to_who_trusts_its_certificate(place, certificate):
    folder, tokens = place
    files = ["--tls-cert", str(certificate / "cert.pem"), "--tls-key", str(certificate / "key.pem")]
    with served(folder, *files) as (_process, port, _lines):
        trusting = ssl.create_default_context(cafile=certificate / "cert.pem")
        assert ask(port, "GET", "/v1/datasets", tokens["viewer"], secure=trusting)[0] == 200
        with pytest.raises(ssl.SSLError):
            ask(port, "GET", "/healthz", secure=ssl.create_default_context())
        with pytest.raises((http.client.HTTPException, OSError)):
            ask(port, "GET", "/healthz")


def test_files_for_tls_that_are_none_are_an_error_in_words(tmp_path, certificate):
    (tmp_path / "x.pem").write_text("nothing")
    for cert, key in (
        (tmp_path / "x.pem", certificate / "key.pem"),
        (tmp_path / "missing.pem", certificate / "key.pem"),
        (certificate / "cert.pem", None),
        (None, certificate / "key.pem"),
    ):
        with pytest.raises(UsageError):
            Running(certificate=cert, key=key).check()


def test_the_log_has_lines_of_json_and_no_secret(place):
    folder, tokens = place
    with served(folder) as (process, port, lines):
        wait_until(lambda: ready(port))
        ask(port, "GET", "/v1/datasets/sizes", tokens["viewer"])
        ask(port, "GET", "/v1/datasets", "foldstore_aaaaaaaa_" + "canary" * 7 + "x_000000")
        wait_until(lambda: any("/v1/datasets/{name}" in line for line in lines))
        process.send_signal(signal.SIGTERM)
        process.wait(PATIENCE)
        said = [json.loads(line) for line in lines if line.startswith("{")]
        assert {"GET /v1/datasets/{name} 200", "GET /v1/datasets 401"} <= {line["message"] for line in said}
        text = "".join(lines)
        assert not [line for line in lines if not line.startswith(("{", "Serving at "))]
        assert "canary" not in text
        assert all(token not in text for token in tokens.values())


def test_a_store_that_cannot_be_asked_is_not_ready(folder):
    with foldstore.connect(folder) as store:
        readiness = Readiness(store)
        assert readiness()
        readiness.ends = True
        assert not readiness()
    assert Readiness(None)()
