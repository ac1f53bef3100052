"""The server on a real port of this machine."""

import http.client
import json
import logging
import socket
from contextlib import suppress

import pytest

from foldstore.api import request_body
from foldstore.api.app import create_app
from foldstore.api.head_clock import HeadClock
from foldstore.api.server import BackgroundServer, is_loopback, listen, serve, url_of
from foldstore.errors import RefusedError, StoreError
from tests.api.conftest import AT, assert_problem


class Answer:
    """What `assert_problem` looks at."""

    def __init__(self, response):
        self.status_code = response.status
        self.headers = {name.lower(): value for name, value in response.getheaders()}
        self.text = response.read().decode()

    def json(self):
        return json.loads(self.text)


def ask(url, method, path, body=None, headers=None):
    connection = http.client.HTTPConnection(url.removeprefix("http://"), timeout=10)
    try:
        connection.request(method, path, body, headers or {})
        return Answer(connection.getresponse())
    finally:
        connection.close()


def connect(url):
    host, port = url.removeprefix("http://").split(":")
    return socket.create_connection((host, int(port)), timeout=60)


def head_of(token, length, more=""):
    head = f"POST /v1/features:get HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {token[0]}\r\n{more}"
    return f"{head}content-length: {length}\r\n\r\n".encode()


@pytest.fixture
def server(app):
    with BackgroundServer(app) as running:
        yield running


def test_a_lookup_over_a_socket_gives_the_value(server, token):
    body = json.dumps({"service": "svc@1", "entities": {"driver_id": [1]}, "at": AT})
    answer = ask(server.url, "POST", "/v1/features:get", body, {"authorization": f"Bearer {token[0]}"})
    assert answer.status_code == 200
    assert answer.json()["features"]["x"]["values"] == [2**63 - 1]
    assert "server" not in answer.headers


def test_raw_paths_that_climb_are_closed(server, token):
    header = {"authorization": f"Bearer {token[0]}"}
    for path in ("/healthz/../v1/features:get", "/../../etc/passwd", "//healthz", "/%2e%2e/healthz", "/healthz%2f"):
        assert_problem(ask(server.url, "GET", path), 401, "unauthenticated")
        assert_problem(ask(server.url, "GET", path, headers=header), 404, "not-found")


@pytest.mark.parametrize("size", [1 << 21, 6_000_000])
def test_a_huge_body_is_answered_and_ends_the_connection(server, token, size):
    header = {"authorization": f"Bearer {token[0]}", "content-type": "application/json"}
    answer = ask(server.url, "POST", "/v1/features:get", b" " * size, header)
    assert_problem(answer, 413, "body-too-large")
    assert answer.headers["connection"] == "close"


def test_a_huge_body_in_chunks_is_answered_too(server, token):
    header = {"authorization": f"Bearer {token[0]}"}
    answer = ask(server.url, "POST", "/v1/features:get", iter([b" " * (1 << 20)] * 6), header)
    assert_problem(answer, 413, "body-too-large")
    assert answer.headers["connection"] == "close"


def test_whoever_asks_before_sending_a_huge_body_is_not_told_to_go_on(server, token):
    with connect(server.url) as connection:
        connection.sendall(head_of(token, 6_000_000, "expect: 100-continue\r\n"))
        assert connection.recv(1 << 16).startswith(b"HTTP/1.1 413")


def test_a_body_without_end_is_not_read_to_its_end(server, token):
    piece, sent = b" " * (1 << 20), 0
    with connect(server.url) as connection:
        connection.sendall(head_of(token, 1 << 40))
        # The server answers and closes; a client that goes on sending may find the connection reset.
        with suppress(BrokenPipeError, ConnectionResetError):
            while sent < 1 << 28:
                connection.sendall(piece)
                sent += len(piece)
    assert sent < 1 << 28
    assert ask(server.url, "GET", "/healthz").status_code == 200


def test_a_client_that_stalls_in_a_huge_body_is_answered(server, token, monkeypatch):
    monkeypatch.setattr(request_body, "_DRAIN_SECONDS", 0.05)
    with connect(server.url) as connection:
        connection.sendall(head_of(token, 6_000_000))
        assert connection.recv(1 << 16).startswith(b"HTTP/1.1 413")


def test_whoever_is_told_the_url_can_connect_at_once(features, vault):
    class ToldError(Exception):
        """The server is not run any further."""

    def on_start(url):
        connect(url).close()
        raise ToldError

    with pytest.raises(ToldError):
        serve(features, vault, port=0, on_start=on_start)


def test_a_stopped_server_lets_go_of_its_port(app):
    with BackgroundServer(app) as running:
        assert ask(running.url, "GET", "/healthz").status_code == 200
        host, port = running.url.removeprefix("http://").split(":")
    listen(host, int(port)).close()


def test_it_listens_on_this_machine_alone_unless_told_otherwise(server):
    assert server.url.startswith("http://127.0.0.1:")
    assert is_loopback("::1")
    assert is_loopback("localhost")
    assert not is_loopback("0.0.0.0")  # noqa: S104 - that is what is tested
    assert not is_loopback("example.org")


def test_nobody_serves_other_machines_without_a_token(features, vault):
    with pytest.raises(RefusedError, match="no token"):
        serve(features, vault, host="0.0.0.0")  # noqa: S104 - that is what is refused


def test_a_taken_port_is_an_error_in_words(features, vault):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = int(url_of(taken).rpartition(":")[2])
        with pytest.raises(StoreError, match="can listen"):
            serve(features, vault, port=port)


@pytest.mark.parametrize(("host", "port"), [("\udcff", 0), ("x" * 300, 0), ("127.0.0.1", 99_999_999)])
def test_a_place_where_nobody_can_listen_is_an_error_in_words(host, port):
    with pytest.raises(StoreError, match="can listen"):
        listen(host, port)


def test_a_client_that_leaves_is_nobodys_error(server, token, caplog):
    host, port = server.url.removeprefix("http://").split(":")
    with caplog.at_level(logging.ERROR):
        with socket.create_connection((host, int(port))) as connection:
            head = f"POST /v1/features:get HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {token[0]}\r\n"
            connection.sendall(f"{head}content-length: 100\r\n\r\n{{".encode())
        assert ask(server.url, "GET", "/healthz").status_code == 200
    assert "Traceback" not in caplog.text


def test_the_app_is_made_anew_each_time(features, vault):
    assert create_app(features, vault) is not create_app(features, vault)


def test_answers_do_not_wait_for_the_clients_acknowledgement():
    with listen("127.0.0.1", 0) as listener:
        assert listener.proto == socket.IPPROTO_TCP  # what asyncio looks at before it sets TCP_NODELAY


def test_a_head_that_does_not_end_is_given_up(server):
    with connect(server.url) as connection, suppress(ConnectionError):
        connection.sendall(b"GET /healthz HTTP/1.1\r\n")
        for _ in range(10_000):
            connection.sendall(b"x: " + b"y" * 1_000 + b"\r\n")
        pytest.fail("ten megabytes of headers were taken")


def test_a_long_head_that_ends_is_answered(server):
    assert ask(server.url, "GET", "/healthz", headers={"x": "y" * 30_000}).status_code == 200


def test_many_requests_on_one_connection_each_have_a_head_of_their_own(server):
    connection = http.client.HTTPConnection(server.url.removeprefix("http://"), timeout=10)
    for _ in range(10):
        connection.request("GET", "/healthz", headers={"x": "y" * 30_000})
        answer = connection.getresponse()
        assert (answer.status, answer.read() != b"") == (200, True)
    connection.close()


HEAD = b"GET /healthz HTTP/1.1\r\nhost: x\r\n"


@pytest.mark.parametrize("sent", [b"", b"G", HEAD + b"x-endless: " + b"a" * 1000], ids=len)
def test_a_head_that_does_not_arrive_is_given_up(app, monkeypatch, sent):
    monkeypatch.setattr(HeadClock, "head_seconds", 2.0)
    with BackgroundServer(app) as running:
        slow = [connect(running.url) for _ in range(30)]
        for one in slow:
            one.sendall(sent)
        # Others are served meanwhile.
        with connect(running.url) as other:
            other.sendall(HEAD + b"connection: close\r\n\r\n")
            assert b"200 OK" in all_bytes(other)
        for one in slow:
            with one:
                assert (b"408 Request Timeout" in all_bytes(one)) == bool(sent)


def test_the_second_head_of_a_connection_has_a_clock_too(app, monkeypatch):
    monkeypatch.setattr(HeadClock, "head_seconds", 2.0)
    with BackgroundServer(app) as running, connect(running.url) as one:
        one.sendall(HEAD + b"\r\n")
        assert one.recv(65536).startswith(b"HTTP/1.1 200")
        one.sendall(HEAD)
        assert b"408 Request Timeout" in all_bytes(one)


def test_a_body_may_take_longer_than_a_head(app, monkeypatch, token):
    monkeypatch.setattr(HeadClock, "head_seconds", 2.0)
    with BackgroundServer(app) as running:
        body = b'{"service": "svc@1", "entities": {"driver_id": [1]}, "at": "2024-01-10T12:00:00Z"}'
        head = head_of(token, len(body), "connection: close\r\nexpect: 100-continue\r\n")
        with connect(running.url) as begun, connect(running.url) as slow:
            begun.sendall(head)
            assert begun.recv(100).startswith(b"HTTP/1.1 100")
            assert all_bytes(slow) == b""  # so the clock of a head has run out meanwhile
            begun.sendall(body)
            assert b"200 OK" in all_bytes(begun)


def all_bytes(connection):
    found = b""
    while part := connection.recv(65536):
        found += part
    return found
