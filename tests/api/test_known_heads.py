"""A head that was read before is not read again, and every request is answered as if it were."""

import json
import re
from itertools import pairwise

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from tests.api.lines import Line, alike
from tests.api.test_shortcut import ASK, FEASTS, OURS, lines, request


def count_parsed(monkeypatch):
    """Count the pieces that reach the parser."""
    pieces, feed = [], HttpToolsProtocol.data_received

    def counting(protocol, data):
        pieces.append(data)
        feed(protocol, data)

    monkeypatch.setattr(HttpToolsProtocol, "data_received", counting)
    return pieces


def test_the_parser_reads_a_head_once(app, token, monkeypatch):
    with lines(app, token[0]) as (quick, slow):
        asked = request(token[0], ASK)
        quick.send(asked)
        pieces = count_parsed(monkeypatch)
        whole = alike(slow.send(asked))
        del pieces[:]
        assert [alike(quick.send(asked)) for _ in range(5)] == [whole] * 5
        assert pieces == []
        assert quick.shortcuts == 6
        other = {**ASK, "entities": {"driver_id": [4, 2, 99]}}  # as long as the other: its head is the same
        assert b'"driver_id":[4,2,99]' in quick.send(request(token[0], other))
        assert pieces == []
        longer = request(token[0], {**ASK, "entities": {"driver_id": [4]}})
        assert [b'"driver_id":[4]' in quick.send(longer) for _ in range(2)] == [True, True]
        assert pieces == [longer]


def test_another_head_is_read(app, token, vault, monkeypatch):
    evaluator, _ = vault.create("evaluator", author="t")
    with lines(app, token[0]) as (quick, _):
        asked = request(token[0], ASK)
        quick.send(asked)
        pieces = count_parsed(monkeypatch)
        assert quick.send(request(evaluator, ASK)).startswith(b"HTTP/1.1 403")
        assert quick.send(asked.replace(b"host: x", b"host: y")).startswith(b"HTTP/1.1 200")
        assert quick.send(request(token[0], ASK, path=FEASTS)).startswith(b"HTTP/1.1 422")
        assert len(pieces) == 3


def test_a_piece_that_is_no_whole_request_is_read(app, token, monkeypatch):
    with lines(app, token[0]) as (quick, slow):
        asked = request(token[0], ASK)
        quick.send(asked)
        for parts in ((asked[:-1], asked[-1:]), (asked + asked,), (b"\r\n", asked), (asked[:5], asked[5:])):
            assert alike(quick.send(*parts)) == alike(slow.send(*parts)), parts
            assert quick.protocol.timeout_keep_alive_task is not None
        pieces = count_parsed(monkeypatch)
        assert quick.send(asked).startswith(b"HTTP/1.1 200")
        quick.send(asked)
        assert len(pieces) <= 1


def test_bytes_that_look_like_a_request_inside_of_another_are_its_body(app, token):
    with lines(app, token[0]) as (quick, slow):
        asked = request(token[0], ASK)
        quick.send(asked)
        outer = request(token[0], asked)  # a body that is a request
        cut = outer.index(b"\r\n\r\n") + 4
        for line in (quick, slow):
            assert line.send(outer[:cut], outer[cut:]).startswith(b"HTTP/1.1 400")
        assert quick.send(asked).startswith(b"HTTP/1.1 200")


def test_a_known_head_inside_of_another_is_a_part_of_that(app, token):
    with lines(app, token[0]) as (quick, slow):
        asked = request(token[0], ASK)
        quick.send(asked)
        for line in (quick, slow):
            assert b'"foldstore":' in line.send(b"GET /version HTTP/1.1\r\nhost: x\r\nx: ", asked)
        assert quick.send(asked).startswith(b"HTTP/1.1 200")


def test_a_body_whose_end_is_not_there_is_waited_for(app, token):
    with lines(app, token[0]) as (quick, slow):
        asked = request(token[0], json.dumps(ASK).encode() + b"   ")  # what is there would be an answer's worth
        quick.send(asked)
        whole = alike(slow.send(asked))
        assert alike(quick.send(asked[:-2], asked[-2:] + asked)) == whole * 2


def test_few_heads_are_remembered_and_none_that_is_long(app, token):
    with lines(app, token[0]) as (quick, _):
        for number in range(40):
            quick.send(request(token[0], ASK, more=f"x-number: {number}\r\n"))
            assert 0 < len(quick.protocol._heads) <= 16
        quick.protocol._heads.forget()
        quick.send(request(token[0], ASK, more=f"x-long: {'a' * 1_100}\r\n"))
        assert len(quick.protocol._heads) == 0


def test_a_connection_is_closed_so_long_after_its_last_request(app, token):
    with lines(app, token[0]) as (quick, _):
        for _ in range(3):
            quick.send(request(token[0], ASK))
        protocol, armed = quick.protocol, quick.protocol.timeout_keep_alive_task
        protocol._answered_at = protocol.loop.time()
        protocol.timeout_keep_alive_handler()
        assert not quick.transport.closed
        assert protocol.timeout_keep_alive_task is not armed
        armed.cancel()
        protocol._answered_at -= protocol.timeout_keep_alive + 1
        protocol.timeout_keep_alive_handler()
        assert quick.transport.closed


GOOD = [{**ASK, "entities": {"driver_id": [number]}} for number in (1, 2)]
LINES = st.sampled_from(
    [
        b"content-length: 0\r\n",
        b"content-length: 5\r\n",
        b"Content-Length: 81\r\n",
        b"content-length : 5\r\n",
        b"content-length: +5\r\n",
        b"content-length: 5, 5\r\n",
        b"transfer-encoding: chunked\r\n",
        b"transfer-encoding: identity\r\n",
        b"Transfer-Encoding: gzip, chunked\r\n",
        b"expect: 100-continue\r\n",
        b"expect: 200-ok\r\n",
        b"upgrade: h2c\r\nconnection: upgrade\r\n",
        b"connection: close\r\n",
        b"connection: keep-alive\r\n",
        b"content-encoding: gzip\r\n",
        b"x-forwarded-for: 192.0.2.1\r\n",
        b"authorization: Bearer nobody\r\n",
        b"authorization: Basic eDp5\r\n",
        b"host: a\r\n",
        b"x: a\r\n b\r\n",
        b"x: a\nb: c\r\n",
        b"x: \0\r\n",
        b": y\r\n",
    ]
)
TARGETS = st.sampled_from([OURS, FEASTS, f"http://x{OURS}", f"{OURS}?a=1", "*", "x:443", "/v1/./features:get", "//"])
VERSIONS = st.sampled_from([b"HTTP/1.1"] * 5 + [b"HTTP/1.0", b"HTTP/2.0", b"HTTP/1.2", b"http/1.1", b""])
METHODS = st.sampled_from([b"POST"] * 5 + [b"GET", b"PUT", b"CONNECT", b"post", b"PRI", b"HEAD"])
BETWEEN = st.sampled_from([b""] * 6 + [b"\r\n", b"\n", b" ", b"0\r\n\r\n", b"x", b"\0"])


@st.composite
def requests(draw):
    """Draw requests one behind the other, most of them well known, some of them wrong; ~ stands for the token."""
    pieces = []
    for _ in range(draw(st.integers(1, 4))):
        asked = request("~", draw(st.sampled_from(GOOD)))
        if draw(st.sampled_from([False] * 3 + [True])):
            head, _, body = asked.partition(b"\r\n\r\n")
            first, *rest = head.split(b"\r\n")
            rest.insert(draw(st.integers(0, len(rest))), draw(LINES)[:-2])
            if draw(st.booleans()):
                method, target, version = draw(METHODS), draw(TARGETS).encode(), draw(VERSIONS)
                first = b"%b %b %b" % (method, target, version)
            end = draw(st.sampled_from([b"\r\n"] * 9 + [b"\n"]))
            asked = end.join([first, *rest]) + end * 2 + body
        pieces += [asked, draw(BETWEEN)]
    return b"".join(pieces)


def test_whatever_comes_is_answered_as_without_shortcuts(app, token):
    """Requests that are wrong, hidden behind others, cut anywhere, behind a head that is known."""
    known = [request(token[0], body) for body in GOOD]
    ends = []

    @settings(suppress_health_check=[HealthCheck.too_slow])
    @given(requests(), st.lists(st.integers(0, 10_000), max_size=3))
    def law(asked, cuts):
        data = asked.replace(b"~", token[0].encode())
        places = sorted({0, len(data), *(cut % (len(data) + 1) for cut in cuts)})
        parts = [data[start:end] for start, end in pairwise(places)]
        told = []
        for uses in (True, False):
            line = Line(app, uses_shortcuts=uses)
            for each in known * 2:
                line.send(each)
            answer = line.send(*parts)
            told.append((alike(answer), line.transport.closed))
            behind = b"" if line.transport.closed else line.send(known[0])
            told[-1] += (alike(behind),)
            ends.append(line.transport.closed)
            line.close()
        early, late = (re.split(rb"(?=HTTP/1\.1 \d)", text)[1:] for text, _, _ in told)
        if late and late[-1].endswith(b"Invalid HTTP request received."):
            # What was answered at once is out before what stands behind it in the same piece turns out to be none.
            assert early[-1] == late.pop()
            del early[len(late) :]
        assert early == late
        assert told[0][1:] == told[1][1:]

    law()
    assert {True, False} <= set(ends)


def test_a_known_request_cut_at_every_byte_is_one_request(app, token):
    asked = request(token[0], ASK)
    with lines(app, token[0]) as (quick, slow):
        whole = alike(slow.send(asked))
        for cut in range(1, len(asked)):
            quick.send(asked)
            assert alike(quick.send(asked[:cut], asked[cut:])) == whole, cut
        for cut in range(1, len(asked)):  # the second begins in the piece of the first
            assert alike(quick.send(asked + asked[:cut], asked[cut:])) == whole * 2, cut
    assert json.loads(whole.partition(b"\r\n\r\n")[2])["entities"] == {"driver_id": [1, 2, 99]}
