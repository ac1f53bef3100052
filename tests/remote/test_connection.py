"""The way to a server: what is sent again, what is not, where the token goes, and what breaks off."""

import io
import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pyarrow as pa
import pytest

import foldstore
from foldstore.errors import RefusedError, StoreError, UsageError
from foldstore.remote import connection as wire
from foldstore.remote.connection import Connection, Request
from foldstore.remote.server import open_rows, rows_request
from foldstore.remote.server_address import read_address

TOKEN = "foldstore_abcdefgh_secret"
BUSY = (503, {"retry-after": "0"}, b'{"code": "busy", "detail": "Busy.", "error": "StoreError"}')
FINE = (200, {}, b"{}")
HANG_UP = "hang up"


class Scripted:
    """A server that answers as it was told, and remembers what it was asked."""

    def __init__(self):
        self.script, self.asked = [], []
        outer = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def answer(self):
                body = self.rfile.read(int(self.headers.get("content-length", 0)))
                outer.asked.append((self.command, self.path, dict(self.headers), body))
                step = outer.script.pop(0)
                if step == HANG_UP:
                    self.close_connection = True
                    return
                status, headers, content = step
                self.send_response(status)
                for name, value in headers.items():
                    self.send_header(name, value)
                if "transfer-encoding" not in headers and "content-length" not in headers:
                    self.send_header("content-length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)
                if "transfer-encoding" in headers:
                    self.close_connection = True

            do_GET = do_POST = do_PUT = do_DELETE = answer  # noqa: N815  # names of the standard library

            def log_message(self, *_):
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01})
        self._thread.start()
        self.url = f"http://127.0.0.1:{self._server.server_port}"

    def close(self):
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


@pytest.fixture
def server():
    scripted = Scripted()
    yield scripted
    scripted.close()


@pytest.fixture
def connect(server, monkeypatch):
    monkeypatch.setattr(wire, "_FIRST_WAIT", 0.001)
    opened = []

    def opener(**how):
        opened.append(Connection(read_address(server.url, token=TOKEN, **how)))
        return opened[-1]

    yield opener
    for each in opened:
        each.close()


def get():
    return Request(method="GET", path="/v1/datasets")


class TestRetries:
    @pytest.mark.parametrize(
        "trouble", [BUSY, HANG_UP, (429, {"retry-after": "0"}, b"{}"), (502, {}, b"<html>"), (504, {}, b"")]
    )
    @pytest.mark.parametrize(
        "request_",
        [
            get(),
            Request(method="PUT", path="/v1/x", data={}),
            Request(method="DELETE", path="/v1/x"),
            Request(method="POST", path="/v1/x", data={}, key="k"),
            Request(method="POST", path="/v1/x", rows=io.BytesIO(b"rows"), key="k"),
            Request(method="POST", path="/v1/x", data={}, only_reads=True),
        ],
        ids=["get", "put", "delete", "with a key", "rows with a key", "a question"],
    )
    def test_what_does_nothing_twice_is_sent_again_as_it_was(self, server, connect, trouble, request_):
        server.script = [trouble, trouble, FINE]
        assert connect().ask(request_) == {}
        assert len(server.asked) == 3
        assert len({(path, body) for _, path, _, body in server.asked}) == 1
        assert {headers.get("idempotency-key") for _, _, headers, _ in server.asked} == {request_.key}

    @pytest.mark.parametrize("trouble", [BUSY, HANG_UP])
    def test_what_may_do_something_twice_is_sent_once(self, server, connect, trouble):
        server.script = [FINE, trouble, FINE]
        asker = connect()
        asker.ask(get())  # a connection is kept, and not used: nobody could say whether the request was read
        with pytest.raises(StoreError):
            asker.ask(Request(method="POST", path="/v1/test-pools/p:evaluate", data={}))
        assert len(server.asked) == 2

    def test_they_end(self, server, connect):
        server.script = [BUSY] * 9
        with pytest.raises(StoreError) as caught:
            connect(retries=2).ask(get())
        assert (caught.value.code, len(server.asked)) == ("busy", 3)
        assert len([server.script]) == 1

    def test_a_refusal_is_not_asked_again(self, server, connect):
        server.script = [(422, {}, b'{"code": "usage", "detail": "No.", "error": "UsageError", "hint": "Yes."}')]
        with pytest.raises(UsageError) as caught:
            connect().ask(get())
        assert (caught.value.message, caught.value.hint, len(server.asked)) == ("No.", "Yes.", 1)

    def test_a_kept_connection_that_was_closed_is_replaced(self, server, connect):
        server.script = [(200, {"connection": "keep-alive"}, b"{}"), HANG_UP, FINE]
        asker = connect(retries=0)
        asker.ask(get())
        assert asker.ask(get()) == {}


class TestTheToken:
    def test_is_nowhere_in_what_is_shown(self, server, connect):
        server.script = [(500, {}, b"oops"), (200, {}, b"not json")]
        asker = connect()
        shown = [repr(asker), repr(asker.address), str(asker.address)]
        for _ in range(2):
            with pytest.raises(StoreError) as caught:
                asker.ask(get())
            shown += [str(caught.value), repr(caught.value), str(caught.value.to_dict())]
        assert not any(TOKEN in text or "secret" in text for text in shown)
        assert server.asked[0][2]["authorization"] == f"Bearer {TOKEN}"

    def test_does_not_follow_a_redirect(self, server, connect):
        other = Scripted()
        try:
            server.script = [(307, {"location": f"{other.url}/v1/datasets"}, b"")]
            with pytest.raises(StoreError) as caught:
                connect().ask(get())
            assert (caught.value.code, other.asked) == ("unexpected-answer", [])
        finally:
            other.close()

    def test_goes_to_another_machine_by_tls_alone(self):
        with pytest.raises(RefusedError) as caught:
            read_address("http://store.example", token=TOKEN)
        assert caught.value.code == "plain-http"
        assert read_address("http://store.example", token=TOKEN, allow_http=True).tls is None
        address = read_address("https://store.example", token=TOKEN)
        assert (address.tls.check_hostname, address.tls.verify_mode.name) == (True, "CERT_REQUIRED")

    @pytest.mark.parametrize("token", ["", "a b", "a\nb", "a\r\nx: y", "ä", "x" * 501, 5])
    def test_that_is_none_is_refused(self, token):
        with pytest.raises(UsageError):
            read_address("https://store.example", token=token)

    def test_comes_from_the_environment_or_a_file(self, server, monkeypatch, tmp_path):
        with pytest.raises(UsageError) as caught:
            foldstore.connect(server.url)
        assert caught.value.code == "no-token"
        (tmp_path / "token").write_text(f"{TOKEN}\n")
        for name, value in (("FOLDSTORE_TOKEN_FILE", tmp_path / "token"), ("FOLDSTORE_TOKEN", "foldstore_other")):
            monkeypatch.setenv(name, str(value))
            server.script = [FINE]
            foldstore.connect(server.url).close()
        assert [each[2]["authorization"] for each in server.asked] == [f"Bearer {TOKEN}", "Bearer foldstore_other"]


class TestTheUrl:
    @pytest.mark.parametrize(
        "url",
        [
            "https://",
            "https://user:pass@store.example",
            "https://store.example?x=1",
            "https://store.example#x",
            "https://store.example:0",
            "https://store.example:99999",
            "https://store.example/../x",
            "https://store example",
            "https://store.example\r\nx: y",
            "https://[::1",
            "https://store.example/%2e%2e",
        ],
    )
    def test_that_is_none_is_refused_and_no_secret_of_it_shown(self, url):
        with pytest.raises(UsageError) as caught:
            read_address(url, token=TOKEN)
        assert "pass" not in str(caught.value)

    def test_may_have_a_port_a_path_and_an_address_of_six(self):
        assert read_address("https://store.example:8443/team/", token=TOKEN).url == "https://store.example:8443/team"
        assert read_address("http://[::1]:5", token=TOKEN).url == "http://[::1]:5"

    def test_of_nobody_is_said(self):
        with pytest.raises(StoreError) as caught:
            foldstore.connect("http://127.0.0.1:9", token=TOKEN, retries=0)
        assert caught.value.code == "server-unreachable"

    def test_words_of_the_other_kind_are_refused(self, folder, server):
        with pytest.raises(UsageError, match="token= is said of a server"):
            foldstore.connect(folder, token=TOKEN)
        with pytest.raises(UsageError, match="read_only= is said of a folder"):
            foldstore.connect(server.url, token=TOKEN, read_only=True)
        for wrong in ({"timeout": 0}, {"retries": -1}, {"timeout": "x"}, {"ca_file": folder / "none.pem"}):
            with pytest.raises(UsageError):
                read_address("https://store.example", token=TOKEN, **wrong)


class TestRows:
    def chunked(self, parts, *, end):
        framed = b"".join(b"%x\r\n%b\r\n" % (len(part), part) for part in parts)
        return (200, {"transfer-encoding": "chunked"}, framed + (b"0\r\n\r\n" if end else b""))

    def written(self, count):
        sink = io.BytesIO()
        table = pa.table({"n": list(range(1000))})
        with pa.ipc.new_stream(sink, table.schema) as writer:
            for _ in range(count):
                writer.write_table(table)
        return sink.getvalue()

    def test_that_end_are_all_there(self, server, connect):
        server.script = [self.chunked([self.written(3)], end=True)]
        stream = open_rows(connect(), rows_request("/v1/x"))
        assert sum(batch.num_rows for batch in stream.batches) == 3000

    @pytest.mark.parametrize("cut", [8, 4000, 9000, -8, None])
    def test_that_break_off_are_an_error_wherever_it_is(self, server, connect, cut):
        server.script = [self.chunked([self.written(3)[:cut]], end=False)]
        with pytest.raises(StoreError) as caught:
            list(open_rows(connect(retries=0), rows_request("/v1/x")).batches)
        assert caught.value.code == "connection-lost"

    def test_of_another_kind_are_an_error(self, server, connect):
        server.script = [(200, {}, b"<html>hello</html>" * 9)]
        with pytest.raises(StoreError):
            list(open_rows(connect(retries=0), rows_request("/v1/x")).batches)

    def test_that_are_left_unread_leave_no_connection_to_be_used_again(self, server, connect):
        server.script = [self.chunked([self.written(50)], end=True), FINE]
        asker = connect()
        next(open_rows(asker, rows_request("/v1/x")).batches)
        assert asker.ask(get()) == {}


class TestAfterTheEnd:
    def test_nothing_is_asked(self, server, connect):
        asker = connect()
        asker.close()
        with pytest.raises(StoreError) as caught:
            asker.ask(get())
        assert caught.value.code == "store-closed"

    def test_what_is_no_plain_data_is_not_sent(self, server, connect):
        for data in ({"x": float("nan")}, {"x": object()}, {"x": b"y"}):
            with pytest.raises(UsageError) as caught:
                connect().ask(Request(method="POST", path="/v1/sql", data=data))
            assert caught.value.code == "not-plain-data"
        assert server.asked == []


def test_an_answer_of_an_unknown_class_or_form_is_an_error_all_the_same(server, connect):
    for status, body, name in (
        (404, {"code": "x", "detail": "d"}, "NotFoundError"),
        (418, {"code": "x", "detail": "d", "error": "SystemExit"}, "UsageError"),
        (409, {"code": "commit-conflict", "detail": "d", "error": "ConflictError", "retry": True}, "ConflictError"),
        (500, {"code": 5, "detail": None}, "StoreError"),
        (400, [1], "StoreError"),
    ):
        server.script = [(status, {}, json.dumps(body).encode())]
        with pytest.raises(foldstore.FoldstoreError) as caught:
            connect(retries=0).ask(get())
        assert type(caught.value).__name__ == name
