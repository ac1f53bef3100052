"""Transactions over HTTP: JSON alone, parts of rows, and what nobody in good faith sends."""

import io
import json
import warnings

import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import foldstore
from foldstore.api.app import create_app
from foldstore.api.multipart import read_boundary, read_parts
from foldstore.api.problem import MalformedBodyError
from foldstore.api.request_body import Limits
from foldstore.api.rules import KIND, AccessRule, RuleBook
from foldstore.api.tokens import TokenVault
from tests.api.conftest import assert_problem, client_of
from tests.api.hostile import FURTHER

PATH = "/v1/datasets/people:transact"
STREAM = "application/vnd.apache.arrow.stream"
PLAIN = {"operation": "append", "rows": [{"id": 7}]}


def arrow(table):
    sink = io.BytesIO()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    return sink.getvalue()


@pytest.fixture
def login(store):
    made = []

    def login(role="editor", names=None, limits=None):
        vault = TokenVault(store.registry("token"), clock=store.clock)
        made.append(create_app(store.features, vault, store=store, limits=limits))
        how = {} if names is None else {"names": names}
        return client_of(made[-1], vault.create(role, author="t", **how)[0])

    yield login
    for app in made:
        app.end()


@pytest.fixture
def editor(login):
    return login()


def ids(store):
    return sorted(store.dataset("people").latest.to_arrow()["id"].to_pylist())


def sent(client, document, files=(), **how):
    parts = [("request", (None, json.dumps(document), "application/json")), *files]
    return client.post(PATH, files=parts, **how)


def assert_untouched(store, answer, status, code=None):
    told = assert_problem(answer, status, code)
    assert len(store.dataset("people").versions()) == 1
    assert ids(store) == [1, 2]
    return told


class TestForms:
    def test_json_alone(self, editor, store):
        steps = [
            {"operation": "delete", "where": "id = 2"},
            {"operation": "delete", "keys": [{"id": 40}]},
            {"operation": "append", "rows": [{"id": 9}, {"id": 8}], "order_by": ["id"]},
            {"operation": "upsert", "rows": [{"id": 8}]},
            {"operation": "add_columns", "columns": {"twice": "id * 2"}},
            {"operation": "add_columns", "rows": [{"id": 1, "town": "Oslo"}]},
            {"operation": "rename_columns", "names": {"town": "city"}},
            {"operation": "append", "rows": [{"id": 3, "city": "Rome", "new": True}], "evolve": True},
        ]
        answer = editor.post(PATH, json={"steps": steps, "message": "spring", "properties": {"job": 1}})
        assert answer.status_code == 201, answer.text
        told = answer.json()
        assert (told["address"], told["operation"], told["rows"], told["message"]) == (
            *("people@2", "transaction", 4),
            "spring",
        )
        assert answer.headers["location"] == "/v1/datasets/people/versions/2"
        assert sorted(store.version("people@2").to_arrow(["id", "city"]).to_pylist(), key=lambda row: row["id"]) == [
            {"id": 1, "city": "Oslo"},
            {"id": 3, "city": "Rome"},
            {"id": 8, "city": None},
            {"id": 9, "city": None},
        ]

    def test_parts_of_every_kind_of_rows(self, editor, store):
        parts = {
            "a": (arrow(pa.table({"id": [11]})), STREAM),
            "b": (b"id\n12\n", "text/csv"),
            "c": (b'{"id": 13}\n', "application/x-ndjson"),
            "d": (b'[{"id": 14}]', "application/json"),
            "e": (b'{"rows": [{"id": 15}]}', "application/json; charset=utf-8"),
        }
        steps = [{"operation": "append", "rows": name} for name in parts]
        files = [(name, (f"../../{name}", *part)) for name, part in parts.items()]
        answer = sent(editor, {"steps": [*steps, PLAIN]}, files)
        assert answer.status_code == 201, answer.text
        assert ids(store) == [1, 2, 7, 11, 12, 13, 14, 15]

    def test_the_document_may_come_last_and_a_part_may_serve_twice(self, editor, store):
        rows = ("rows", ("rows", b"id\n5\n", "text/csv"))
        steps = [{"operation": "append", "rows": "rows"}, {"operation": "upsert", "rows": "rows"}]
        document = ("request", (None, json.dumps({"steps": steps}), "application/json"))
        answer = editor.post(PATH, files=[rows, document])
        assert answer.status_code == 201, answer.text
        assert ids(store) == [1, 2, 5]

    def test_it_is_tried_and_not_kept(self, editor, store):
        answer = editor.post(PATH, json={"steps": [PLAIN, {"operation": "delete", "where": "id < 3"}], "commit": False})
        assert (answer.status_code, answer.json()) == (200, {"rows": 1})
        assert ids(store) == [1, 2]

    def test_it_may_be_answered_later(self, editor, store):
        rows = ("rows", ("rows", b"id\n5\n", "text/csv"))
        document = {"steps": [{"operation": "append", "rows": "rows"}, PLAIN]}
        answer = sent(editor, document, [rows], headers={"prefer": "respond-async, wait=30"})
        assert answer.status_code == 201, answer.text
        assert ids(store) == [1, 2, 5, 7]

    def test_a_retry_is_the_same_version_however_it_is_cut_into_a_body(self, editor, store):
        key = {"idempotency-key": "k"}
        rows = ("rows", ("rows", b"id\n5\n", "text/csv"))
        step = {"operation": "append", "rows": "rows"}
        first = sent(editor, {"steps": [step], "parent": 1}, [rows], headers=key)
        again = sent(editor, {"steps": [step], "parent": 2}, [rows], headers=key)
        assert first.json()["address"] == again.json()["address"] == "people@2"
        other = ("rows", ("rows", b"id\n6\n", "text/csv"))
        refused = sent(editor, {"steps": [step]}, [other], headers=key)
        assert_problem(refused, 422, "idempotency-key-reused")
        assert ids(store) == [1, 2, 5]

    def test_a_parent_that_was_left_behind(self, editor, store):
        store.dataset("people").append({"id": [3]})
        over = {"operation": "overwrite", "rows": [{"id": 9}]}
        assert_problem(editor.post(PATH, json={"steps": [over], "parent": 1}), 409, "commit-conflict")
        assert editor.post(PATH, json={"steps": [PLAIN], "parent": 1}).status_code == 201
        assert ids(store) == [1, 2, 3, 7]
        assert_problem(editor.post(PATH, json={"steps": [over], "parent": 9}), 404)


def wrong(*steps):
    return {"steps": list(steps)}


WRONG = [
    ({}, "usage"),
    ({"steps": "delete"}, "usage"),
    ({"steps": [PLAIN] * 101}, "usage"),
    (wrong("append"), "usage"),
    (wrong({"operation": "sync", "rows": []}), "usage"),
    (wrong({"operation": ["append"], "rows": []}), "usage"),
    (wrong(PLAIN, {"operation": "append"}), "malformed-body"),
    (wrong({**PLAIN, "author": "root"}), "unknown-member"),
    (wrong({**PLAIN, "types": {}}), "unknown-member"),
    (wrong({"operation": "append", "rows": "/etc/passwd"}), "usage"),
    (wrong({"operation": "append", "rows": "rows"}), "usage"),
    (wrong({"operation": "append", "rows": [{"id": 10**400}]}), None),
    (wrong({"operation": "append", "rows": [[1]]}), "malformed-body"),
    (wrong({"operation": "append", "rows": [{"id": "x"}]}), None),
    (wrong({"operation": "append", "rows": [{"id": 7, "z": 1}]}), "column-new"),
    (wrong(PLAIN, {"operation": "append", "rows": [{"id": 1}]}), "duplicate-key"),
    (wrong(PLAIN, {"operation": "delete"}), "usage"),
    (wrong(PLAIN, {"operation": "delete", "where": "id = 1", "keys": [{"id": 1}]}), "usage"),
    (wrong(PLAIN, {"operation": "delete", "where": "read_text('/etc/passwd') = ''"}), "invalid-expression"),
    (wrong(PLAIN, {"operation": "add_columns", "columns": {"x": "(SELECT 1)"}}), "invalid-expression"),
    (wrong(PLAIN, {"operation": "add_columns"}), "usage"),
    (wrong(PLAIN, {"operation": "add_columns", "columns": {"x": 1}}), "usage"),
    (wrong(PLAIN, {"operation": "drop_columns"}), "usage"),
    (wrong(PLAIN, {"operation": "drop_columns", "columns": "id"}), "usage"),
    (wrong(PLAIN, {"operation": "rename_columns", "names": {"id": "../x"}}), None),
    (wrong(PLAIN, {"operation": "widen_columns", "types": {"id": "os.system"}}), None),
    ({"steps": [PLAIN], "parent": True}, "usage"),
    ({"steps": [PLAIN], "parent": -1}, "usage"),
    ({"steps": [PLAIN], "parent": "1"}, "usage"),
    ({"steps": [PLAIN], "commit": "no"}, "usage"),
    ({"steps": [PLAIN], "properties": {"request": "x"}}, "usage"),
    ({"steps": [PLAIN], "branch": "none"}, "not-found"),
    ({"steps": [PLAIN], "author": "root"}, "unknown-member"),
]


@pytest.mark.parametrize(("document", "code"), WRONG)
def test_a_step_that_is_wrong_undoes_the_others(editor, store, document, code):
    answer = editor.post(PATH, json=document)
    assert answer.status_code in (400, 404, 409, 422), answer.text
    assert_untouched(store, answer, answer.status_code, code)


def test_the_step_that_failed_is_named(editor, store):
    told = assert_untouched(store, editor.post(PATH, json=wrong(PLAIN, {"operation": "delete", "where": "x"})), 404)
    assert told["detail"].startswith("Step 2: ")


def raw(*parts, boundary="b", end="--b--\r\n"):
    pieces = [f"--{boundary}\r\n{head}\r\n\r\n".encode() + content + b"\r\n" for head, content in parts]
    return b"".join(pieces) + end.encode()


def head(name, kind="text/csv"):
    return f'Content-Disposition: form-data; name="{name}"\r\nContent-Type: {kind}'


DOCUMENT = (head("request", "application/json"), json.dumps(wrong({"operation": "append", "rows": "r"})).encode())
ROWS = (head("r"), b"id\n5\n")
TORN = {
    "nothing": b"",
    "no end": raw(DOCUMENT, ROWS, end=""),
    "half an end": raw(DOCUMENT, ROWS, end="--b"),
    "in the middle of rows": raw(DOCUMENT, ROWS)[:-20],
    "in a head": raw(DOCUMENT)[:-8] + b"\r\n--b\r\nContent-Disp",
    "something before": b"hello\r\n" + raw(DOCUMENT, ROWS),
    "something behind": raw(DOCUMENT, ROWS) + b"--b\r\nmore",
    "another boundary": raw(DOCUMENT, ROWS, boundary="c"),
    "a part twice": raw(DOCUMENT, ROWS, ROWS),
    "a document twice": raw(DOCUMENT, DOCUMENT, ROWS),
    "no name": raw(DOCUMENT, ("Content-Disposition: form-data\r\nContent-Type: text/csv", b"id\n5\n")),
    "a path for a name": raw(DOCUMENT, (head("../../r"), b"id\n5\n")),
    "two names": raw(DOCUMENT, ('Content-Disposition: form-data; name="r"; name="s"\r\nContent-Type: text/csv', b"")),
    "a header twice": raw(DOCUMENT, (head("r") + "\r\nContent-Type: text/csv", b"id\n5\n")),
    "a header that is none": raw(DOCUMENT, (head("r") + "\r\nhello", b"id\n5\n")),
    "long headers": raw(DOCUMENT, (head("r") + "\r\nx: " + "y" * 9_000, b"id\n5\n")),
    "an encoding": raw(DOCUMENT, (head("r") + "\r\nContent-Transfer-Encoding: base64", b"aWQKNQo=")),
    "many parts": raw(DOCUMENT, *[(head(f"r{n}"), b"id\n5\n") for n in range(200)]),
    "not JSON": raw((head("request", "application/json"), b"{"), ROWS),
    "no document": raw(ROWS),
    "a part that no step takes": raw(DOCUMENT, ROWS, (head("s"), b"id\n5\n")),
    "rows that are none": raw(DOCUMENT, (head("r", STREAM), b"ARROW1")),
    "cut rows": raw(DOCUMENT, (head("r", STREAM), arrow(pa.table({"id": [5, 6]}))[:-40])),
}


@pytest.mark.parametrize("what", TORN)
def test_a_torn_body_leaves_nothing(editor, store, what):
    answer = editor.post(PATH, content=TORN[what], headers={"content-type": "multipart/form-data; boundary=b"})
    assert answer.status_code in (400, 422), answer.text
    assert_untouched(store, answer, answer.status_code)


@pytest.mark.parametrize(
    "kind", ["multipart/form-data", "multipart/form-data; boundary=", 'multipart/form-data; boundary="é"']
)
def test_a_body_must_say_what_stands_between_its_parts(editor, store, kind):
    answer = editor.post(PATH, content=raw(DOCUMENT, ROWS), headers={"content-type": kind.encode()})
    assert_untouched(store, answer, 400, "malformed-body")


def test_other_kinds_of_bodies_and_parts_are_refused(editor, store):
    answer = editor.post(PATH, content=raw(DOCUMENT, ROWS), headers={"content-type": "multipart/mixed; boundary=b"})
    assert_untouched(store, answer, 415, "unsupported-media-type")
    rows = ("r", ("r", b"\x80\x04", "application/x-pickle"))
    assert_untouched(store, sent(editor, wrong({"operation": "append", "rows": "r"}), [rows]), 415)


def test_what_is_too_large_is_refused(login, store):
    client = login(limits=Limits(max_body_bytes=2_000, max_rows_bytes=20_000, max_rows_memory=100_000))
    step = wrong({"operation": "append", "rows": "r"})
    large = ("r", ("r", b"id\n" + b"5\n" * 20_000, "text/csv"))
    assert_untouched(store, sent(client, step, [large]), 413, "body-too-large")
    long = {**step, "message": "x" * 3_000}
    assert_untouched(store, sent(client, long, [("r", ("r", b"id\n5\n", "text/csv"))]), 413)
    inline = ("r", ("r", json.dumps([{"id": n} for n in range(900)]).encode(), "application/json"))
    assert_untouched(store, sent(client, step, [inline]), 413)
    some = [(name, (name, b'[{"id": 5}]' + b" " * 900, "application/json")) for name in ("r", "s", "t")]
    assert_untouched(store, sent(client, step, some), 413, "body-too-large")  # each is small
    table = pa.table({"id": pa.array([0] * 200_000)})
    sink = io.BytesIO()
    with pa.ipc.new_stream(sink, table.schema, options=pa.ipc.IpcWriteOptions(compression="zstd")) as writer:
        writer.write_table(table)
    assert sink.tell() < 20_000
    assert_untouched(store, sent(client, step, [("r", ("r", sink.getvalue(), STREAM))]), 413)


class TestWhoMay:
    def test_a_role_that_writes(self, login, store):
        for role in ("viewer", "serving", "evaluator", "steward", "monitor"):
            assert_untouched(store, login(role).post(PATH, json=wrong(PLAIN)), 403)

    def test_a_token_of_other_names_finds_nothing(self, login, store):
        assert_untouched(store, login(names=["mine"]).post(PATH, json=wrong(PLAIN)), 404)

    @pytest.mark.parametrize("rule", [{"hide": ("pay",)}, {"where": "id = 1"}])
    @pytest.mark.parametrize("commit", [True, False])
    def test_whom_a_rule_meets_touches_and_learns_nothing(self, login, store, rule, commit):
        book = RuleBook(store.registry(KIND), clock=store.clock)
        book.put(AccessRule(name="r", datasets=("people",), roles=("editor",), **rule), author="t")
        probe = {"steps": [{"operation": "delete", "where": "id = 2"}], "commit": commit}
        assert_untouched(store, login().post(PATH, json=probe), 403, "hidden-by-rule")
        assert_untouched(store, sent(login(), probe), 403, "hidden-by-rule")

    def test_rows_of_a_pool_stay(self, editor, store):
        tested = store.create_dataset("tested", key=["id"])
        tested.append({"id": [*range(60)], "late": [n % 2 == 0 for n in range(60)]})
        part = tested.latest.split("halves", train=0.5, test=0.5, seed=1).test
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # that the pool is small
            plan = foldstore.plan_pool("n > 0.6 +/- 0.2", reliability=0.8, steps=1)
            store.pools.seal("late", part, label="late", plan=plan)
        sealed = part.to_arrow(["id"])["id"].to_pylist()[0]
        for step in (
            {"operation": "delete", "where": f"id = {sealed}"},
            {"operation": "delete", "keys": [{"id": sealed}]},
            {"operation": "upsert", "rows": [{"id": sealed, "late": True}]},
            {"operation": "overwrite", "rows": [{"id": sealed, "late": True}]},
        ):
            for commit in (True, False):
                document = {"steps": [{"operation": "append", "rows": [{"id": 99, "late": True}]}, step]}
                answer = editor.post("/v1/datasets/tested:transact", json={**document, "commit": commit})
                assert_problem(answer, 403)
        assert tested.latest.num_rows == 60


class Kept:
    """A sink that keeps what it is given."""

    def __init__(self):
        self.parts = []

    def begin(self, head):
        self.parts.append([head.name, b"", False])

    def write(self, piece):
        self.parts[-1][1] += piece

    def end(self):
        self.parts[-1][2] = True


def read(body, cuts, boundary=b"b-b"):
    async def chunks():
        at = 0
        for cut in cuts:
            yield body[at : at + cut]
            at += cut
        yield body[at:]

    kept = Kept()
    reading = read_parts(chunks(), boundary, kept)
    with pytest.raises(StopIteration):  # nothing in it waits
        reading.send(None)
    return kept.parts


contents = st.lists(st.sampled_from([b"\r\n", b"\r", b"\n", b"--b-b", b"--", b"b", b"\r\n--b-", b"x"]), max_size=12)


@settings(max_examples=200 * FURTHER, suppress_health_check=[HealthCheck.too_slow])
@given(
    parts=st.lists(contents.map(b"".join), min_size=1, max_size=4),
    cuts=st.lists(st.integers(0, 9), max_size=60),
)
def test_parts_are_what_was_sent_however_the_bytes_come(parts, cuts):
    parts = [part for part in parts if b"\r\n--b-b" not in b"\r\n" + part + b"\r\n"]
    pieces = [f"--b-b\r\n{head(f'p{n}')}\r\n\r\n".encode() + part + b"\r\n" for n, part in enumerate(parts)]
    found = read(b"".join(pieces) + b"--b-b--\r\n", cuts) if parts else []
    assert found == [[f"p{n}", part, True] for n, part in enumerate(parts)]


@settings(max_examples=200 * FURTHER)
@given(cut=st.integers(0, 1_000))
def test_a_body_that_breaks_off_is_never_whole(cut):
    body = raw(DOCUMENT, ROWS, boundary="b-b", end="--b-b--\r\n")
    short = body[: min(cut, len(body) - 3)]
    with pytest.raises(MalformedBodyError):
        read(short, [7, 7])


def test_boundaries_are_read_as_clients_write_them():
    assert read_boundary('multipart/form-data; boundary="a b"; charset=utf-8') == b"a b"
    assert read_boundary("multipart/form-data;boundary=----WebKitFormBoundaryx") == b"----WebKitFormBoundaryx"
