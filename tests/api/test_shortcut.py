"""Lookups that are answered at once: the same bytes as behind the gate, and no check less."""

import datetime as dt
import json
import logging
import re
from contextlib import contextmanager

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from foldstore.api.app import create_app
from foldstore.api.audit import FOLDER, read_audit
from foldstore.api.head_clock import HeadClock
from foldstore.api.request_body import Limits
from foldstore.api.rules import KIND, AccessRule, RuleBook
from foldstore.api.server import BackgroundServer
from tests.api.conftest import AT
from tests.api.lines import Line, alike
from tests.api.test_server import all_bytes, connect

OURS, FEASTS = "/v1/features:get", "/get-online-features"
ASK = {"service": "svc@1", "entities": {"driver_id": [1, 2, 99]}, "at": AT}


def request(token, body, path=OURS, more=""):
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    said = "" if token is None else f"authorization: Bearer {token}\r\n"
    return f"POST {path} HTTP/1.1\r\nhost: x\r\n{said}{more}content-length: {len(data)}\r\n\r\n".encode() + data


@contextmanager
def lines(app, token):
    """Two connections that know the token: one with shortcuts, and one without."""
    quick, slow = Line(app), Line(app, uses_shortcuts=False)
    for line in (quick, slow):
        line.send(request(token, ASK))
    quick.shortcuts = 0
    try:
        yield quick, slow
    finally:
        quick.close()
        slow.close()


KEYS = st.integers(0, 5) | st.none() | st.sampled_from([1.5, "a", True, 2**63, -1])
BODIES = st.fixed_dictionaries(
    {"entities": st.dictionaries(st.sampled_from(["driver_id"] * 9 + ["other"]), st.lists(KEYS, max_size=12))},
    optional={
        "service": st.sampled_from(["svc@1", "svc@2", "svc", "svc@9", "nope", 7]),
        "features": st.lists(st.sampled_from(["stats:x", "stats:f", "stats:nope", "x"]), max_size=3),
        "at": st.sampled_from([AT, "2024-01-10T09:00:00.5Z", "2024-01-10", "soon", 7, None]),
        "int64": st.sampled_from(["string", "number", "hex"]),
        "full_feature_names": st.booleans() | st.just("no"),
        "request_id": st.sampled_from(["r1", "a\nb", "", 7, "\U0001f600"]),
        "more": st.none(),
    },
)


def test_an_answer_is_the_one_that_the_gate_gives(app, token):
    taken = []
    with lines(app, token[0]) as (quick, slow):

        @settings(suppress_health_check=[HealthCheck.too_slow])
        @given(BODIES, st.sampled_from([OURS, FEASTS]))
        def law(body, path):
            if path == FEASTS and "service" in body:
                body = {**body, "feature_service": body.pop("service")}
            if body.get("at") is None and b"svc" in json.dumps(body).encode():
                body = {**body, "at": AT}  # now is another instant each time
            asked = request(token[0], body, path)
            answer, told = quick.send(asked), slow.send(asked)
            assert alike(answer) == alike(told)
            taken.append((quick.shortcuts, answer.startswith(b"HTTP/1.1 200")))

        law()
    answered = sum(good for _, good in taken)
    assert taken[-1][0] == answered  # what could be answered was answered at once, and nothing else


def test_every_header_is_the_one_that_the_gate_gives(app, token):
    with lines(app, token[0]) as (quick, slow):
        answers = [each.send(request(token[0], ASK)) for each in (quick, slow)]
        names = [re.findall(rb"\r\n([a-z-]+): ", answer) for answer in answers]
        assert quick.shortcuts == 1
        assert names[0] == names[1]
        assert {b"date", b"x-request-id", b"cache-control", b"x-content-type-options"} < set(names[0])
        ids = {re.search(rb"x-request-id: (.*)\r", each.send(request(token[0], ASK)))[1] for each in (quick, quick)}
        assert len(ids) == 2


def test_nobody_is_answered_without_a_token_that_counts(app, vault, token, clock):
    wrong = token[0][:-1] + ("0" if token[0][-1] != "0" else "1")
    with lines(app, token[0]) as (quick, _):
        assert quick.send(request(None, ASK)).startswith(b"HTTP/1.1 401")
        assert quick.send(request(wrong, ASK)).startswith(b"HTTP/1.1 401")
        twice = f"authorization: Bearer {token[0]}\r\n"
        assert quick.send(request(token[0], ASK, more=twice)).startswith(b"HTTP/1.1 401")
        assert quick.send(request(token[0], ASK)).startswith(b"HTTP/1.1 200")
        assert quick.shortcuts == 1
        vault.revoke(token[1].id, author="t")
        clock.now += dt.timedelta(seconds=2)
        assert quick.send(request(token[0], ASK)).startswith(b"HTTP/1.1 401")
        assert quick.send(request(token[0], ASK)).startswith(b"HTTP/1.1 401")
        assert quick.shortcuts == 1


def test_a_token_counts_until_it_expires(app, vault, clock):
    text, _ = vault.create("serving", author="t", expires_in=dt.timedelta(seconds=1))
    with lines(app, text) as (quick, _):
        assert quick.send(request(text, ASK)).startswith(b"HTTP/1.1 200")
        clock.now += dt.timedelta(seconds=1)
        assert quick.send(request(text, ASK)).startswith(b"HTTP/1.1 401")
        assert quick.shortcuts == 1


def test_a_token_is_looked_up_again_every_two_seconds(app, token, clock):
    with lines(app, token[0]) as (quick, _):
        quick.send(request(token[0], ASK))
        clock.now += dt.timedelta(seconds=2)
        quick.send(request(token[0], ASK))
        assert quick.shortcuts == 1  # the second went where the catalog may be asked
        quick.send(request(token[0], ASK))
        assert quick.shortcuts == 2


def test_a_secret_that_was_wrong_too_often_is_not_compared_any_more(app, vault, token):
    from foldstore.api.tokens import _with_checksum

    wrong = _with_checksum("_".join(token[0].split("_")[:2]) + "_" + "0" * 43)
    with lines(app, token[0]) as (quick, _):
        for _ in range(20):
            assert quick.send(request(wrong, ASK)).startswith(b"HTTP/1.1 401")
        assert quick.send(request(token[0], ASK)).startswith(b"HTTP/1.1 429")
        assert quick.shortcuts == 0


def test_a_scope_and_names_are_asked_for(app, vault, token):
    evaluator, _ = vault.create("evaluator", author="t")
    bounded, _ = vault.create("serving", author="t", names=["other*"])
    with lines(app, token[0]) as (quick, _):
        for text, status in ((evaluator, b"403"), (bounded, b"404")):
            assert [quick.send(request(text, ASK))[9:12] for _ in range(2)] == [status] * 2
        assert quick.shortcuts == 0


def test_whom_a_rule_hides_something_from_is_refused(features, store, store_vault, clock):
    app = create_app(features, store_vault, store=store)
    text, _ = store_vault.create("serving", author="t")
    with lines(app, text) as (quick, _):
        assert quick.send(request(text, ASK)).startswith(b"HTTP/1.1 200")
        assert quick.shortcuts == 1
        book = RuleBook(store.registry(KIND), clock=clock)
        rule = AccessRule(name="r", datasets=("people",), roles=("serving",), tokens=(), hide=("id",), where=None)
        book.put(rule, author="t")
        clock.now += dt.timedelta(seconds=2)
        assert quick.send(request(text, ASK)).startswith(b"HTTP/1.1 403")
        assert b"hidden-by-rule" in quick.send(request(text, ASK))
        assert quick.shortcuts == 1


def test_a_request_takes_one_of_those_that_a_token_may_send(features, vault, token):
    answers = {}
    for uses in (True, False):
        app = create_app(features, vault, limits=Limits(requests_per_second=5))
        line = Line(app, uses_shortcuts=uses)
        answers[uses] = [line.send(request(token[0], ASK))[9:12] for _ in range(15)]
        assert (line.shortcuts > 0) == uses
        line.close()
    assert answers[True] == answers[False] == [b"200"] * 10 + [b"429"] * 5


def test_a_large_body_and_one_that_is_no_json_are_refused(features, vault, token):
    app = create_app(features, vault, limits=Limits(max_body_bytes=200))
    with lines(app, token[0]) as (quick, slow):
        for body in (json.dumps(ASK).encode() + b" " * 200, b"{", b'{"a": 1, "a": 1}', b"\xff"):
            asked = request(token[0], body)
            assert alike(quick.send(asked)) == alike(slow.send(asked))
            for line in (quick, slow):
                line.transport.closed = False  # after what is too large it is given up
        form = request(token[0], ASK, more="content-type: multipart/form-data; boundary=x\r\n")
        assert quick.send(form).startswith(b"HTTP/1.1 415")
        assert quick.shortcuts == 0


def test_a_large_batch_leaves_the_event_loop(app, token):
    with lines(app, token[0]) as (quick, _):
        many = {**ASK, "entities": {"driver_id": [1] * 500}}
        assert quick.send(request(token[0], many)).startswith(b"HTTP/1.1 200")
        assert quick.shortcuts == 0


def counted(app, vault):
    monitor, _ = vault.create("monitor", author="t")
    line = Line(app)
    text = line.send(f"GET /metrics HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {monitor}\r\n\r\n".encode())
    line.close()
    return sorted(
        re.findall(
            rb"^foldstore_(?:requests_total|lookup_entities_total|request_seconds_count)[^#\n]*", text, re.MULTILINE
        )
    )


def test_it_is_counted_logged_and_audited_as_behind_the_gate(features, store, store_vault, clock, caplog):
    caplog.set_level(logging.DEBUG, "foldstore.requests")
    seen = {}
    for uses in (True, False):
        app = create_app(features, store_vault, store=store)
        text, made = store_vault.create("serving", author="t", label="job")
        line = Line(app, uses_shortcuts=uses)
        caplog.clear()
        for body in (ASK, ASK, {"service": "no@1"}, ASK):
            line.send(request(text, body))
        assert line.shortcuts == (2 if uses else 0)
        logged = [
            {name: value for name, value in each.foldstore.items() if name not in ("request", "seconds", "token")}
            for each in caplog.records
        ]
        clock.now += dt.timedelta(seconds=6)
        line.send(request(text, ASK))
        audited = [
            (entry["route"], entry["status"], entry["label"], entry["times"])
            for entry in read_audit(store.root / FOLDER, token=made.id)
        ]
        seen[uses] = counted(app, store_vault), logged, sorted(audited)
        line.close()
    assert seen[True] == seen[False]
    assert seen[True][2] == [(OURS, 200, "job", 4), (OURS, 422, "job", 1)]
    assert [each["status"] for each in seen[True][1]] == [200, 200, 422, 200]


UNUSUAL = {
    "who was forwarded": "x-forwarded-for: 192.0.2.1\r\n",
    "who asks before sending": "expect: 100-continue\r\n",
    "who wants another protocol": "upgrade: websocket\r\n",
    "who leaves": "connection: close\r\n",
}


@pytest.mark.parametrize("name", UNUSUAL)
def test_what_is_unusual_goes_the_usual_way(app, token, name):
    with lines(app, token[0]) as (quick, _):
        assert b"HTTP/1.1 200" in quick.send(request(token[0], ASK, more=UNUSUAL[name]))
        assert quick.shortcuts == 0
        assert quick.transport.closed == (name == "who leaves")


def test_other_paths_and_methods_have_no_shortcut(app, token):
    with lines(app, token[0]) as (quick, _):
        data = request(token[0], ASK)
        assert quick.send(data.replace(b"POST", b"PUT")).startswith(b"HTTP/1.1 405")
        assert quick.send(request(token[0], ASK, path=OURS + "?a=1")).startswith(b"HTTP/1.1 200")
        assert quick.send(request(token[0], ASK, path="/v1/features%3Aget")).startswith(b"HTTP/1.1 200")
        assert quick.send(request(token[0], ASK, path="/v1//features:get")).startswith(b"HTTP/1.1 404")
        assert quick.shortcuts == 0
        quick.send(data.replace(b"HTTP/1.1", b"HTTP/1.0"))
        assert quick.transport.closed


def test_a_body_in_parts_is_one_body(app, token):
    with lines(app, token[0]) as (quick, slow):
        data = request(token[0], ASK)
        whole = alike(slow.send(data))
        for cut in (1, 30, len(data) - 60, len(data) - 1):
            taken = quick.shortcuts
            assert alike(quick.send(data[:cut], data[cut:])) == whole
            assert quick.shortcuts - taken == (cut <= 30)  # a body that was there when its head ended


def test_requests_in_one_piece_are_answered_in_their_order(app, token):
    bodies = [{**ASK, "entities": {"driver_id": [number]}} for number in (1, 2, 3, 4)]
    with lines(app, token[0]) as (quick, slow):
        data = b"".join(request(token[0], body) for body in bodies)
        answer = quick.send(data)
        assert quick.shortcuts == 1  # others get their turn in between
        assert re.findall(rb'"driver_id":\[(\d)\]', answer) == [b"1", b"2", b"3", b"4"]
        assert alike(answer) == alike(slow.send(data))


def test_what_stands_behind_a_request_that_is_not_answered_waits(app, token):
    first = request(token[0], {**ASK, "entities": {"driver_id": [1] * 500}})  # it is answered by a thread
    with lines(app, token[0]) as (quick, _):
        answer = quick.send(first + request(token[0], {**ASK, "entities": {"driver_id": [2]}}))
        assert quick.shortcuts == 0
        assert answer.index(b'"driver_id":[1,1') < answer.index(b'"driver_id":[2]')


def test_a_client_that_takes_nothing_has_no_shortcut(app, token):
    with lines(app, token[0]) as (quick, _):
        quick.protocol.pause_writing()
        quick.protocol.loop.call_later(0.05, quick.protocol.resume_writing)
        assert quick.send(request(token[0], ASK)).startswith(b"HTTP/1.1 200")
        assert quick.shortcuts == 0


def test_a_full_server_has_no_shortcut(app, token):
    with lines(app, token[0]) as (quick, _):
        quick.protocol.limit_concurrency = 1
        assert quick.send(request(token[0], ASK)).startswith(b"HTTP/1.1 503")
        assert quick.shortcuts == 0


def test_a_connection_that_was_answered_has_the_clock_of_one_that_waits(app, token):
    with lines(app, token[0]) as (quick, _):
        before = quick.state.total_requests
        quick.send(request(token[0], ASK))
        assert quick.state.total_requests == before + 1
        assert quick.protocol._clock is None
        assert quick.protocol.timeout_keep_alive_task is not None
        quick.send(b"POST")
        assert quick.protocol._clock is not None
        assert quick.protocol.timeout_keep_alive_task is None
        quick.protocol.shutdown()
        assert quick.transport.closed


def test_a_head_behind_an_answer_has_a_clock(app, monkeypatch, token):
    monkeypatch.setattr(HeadClock, "head_seconds", 1.0)
    with BackgroundServer(app) as server, connect(server.url) as one:
        for _ in range(3):
            one.sendall(request(token[0], ASK))
            assert one.recv(65_536).startswith(b"HTTP/1.1 200")
        one.sendall(b"POST")
        assert b"408 Request Timeout" in all_bytes(one)


def test_an_error_inside_is_answered_by_the_gate(app, token, features, monkeypatch, caplog):
    def broken(*_given, **_named):
        raise ZeroDivisionError

    with lines(app, token[0]) as (quick, _):
        monkeypatch.setattr(features, "get_online_features", broken)
        answer = quick.send(request(token[0], ASK))
        assert answer.startswith(b"HTTP/1.1 500")
        assert b"ZeroDivision" not in answer
        assert quick.shortcuts == 0
