"""Lookups over HTTP: both shapes, exact values, and mistakes that are the caller's."""

import asyncio
import contextlib
import json
import math
import struct

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from foldstore.api.app import create_app
from foldstore.api.json_values import json_values
from foldstore.api.problem import MalformedBodyError
from foldstore.api.request_body import Limits, parse_json
from tests.api.conftest import AT, assert_problem, client_of

OURS, FEASTS = "/v1/features:get", "/get-online-features"
HALF_PAST = "2024-01-10T11:30:00Z"


def test_an_answer_has_values_statuses_times_and_sources(client):
    body = client.post(OURS, json={"service": "svc@1", "entities": {"driver_id": [1, 2, 3, 9]}, "at": AT}).json()
    assert body["service"] == "svc@1"
    assert body["at"] == AT
    assert body["entities"] == {"driver_id": [1, 2, 3, 9]}
    assert list(body["features"]) == ["x", "s", "f", "d"]
    assert body["features"]["x"] == {
        "values": [2**63 - 1, None, None, None],
        "statuses": ["PRESENT", "NULL_VALUE", "OUTSIDE_MAX_AGE", "NOT_FOUND"],
        "event_timestamps": [HALF_PAST, HALF_PAST, "2024-01-10T09:00:00Z", None],
        "sources": ["rides@7"],
    }


def test_rows_and_columns_of_entities_are_the_same_question(client):
    rows = client.post(OURS, json={"service": "svc", "entities": [{"driver_id": 1}, {"driver_id": 2}], "at": AT})
    columns = client.post(OURS, json={"service": "svc", "entities": {"driver_id": [1, 2]}, "at": AT})
    assert rows.json() == columns.json()
    assert rows.json()["service"] == "svc@2"


def test_nan_is_a_value_and_null_is_none(client):
    body = client.post(OURS, json={"service": "svc@1", "entities": {"driver_id": [1, 2, 4]}, "at": AT}).json()
    assert body["features"]["f"]["values"] == [0.1, "NaN", None]
    assert body["features"]["f"]["statuses"] == ["PRESENT", "PRESENT", "NULL_VALUE"]
    assert repr(body["features"]["d"]["values"]) == "[0.1, -0.0, 'Infinity']"


def test_wide_integers_keep_their_digits_and_are_text_on_request(client):
    ask = {"service": "svc@1", "entities": {"driver_id": [1]}, "at": AT}
    assert b"9223372036854775807" in client.post(OURS, json=ask).content
    as_text = client.post(OURS, json=ask | {"int64": "string"}).json()
    assert as_text["features"]["x"]["values"] == ["9223372036854775807"]


def test_feasts_body_is_answered_in_feasts_shape(client):
    ask = {"features": ["stats:s", "stats:x"], "entities": {"driver_id": [1, 9]}, "full_feature_names": True, "at": AT}
    body = client.post(FEASTS, json=ask).json()
    assert body["metadata"]["feature_names"] == ["driver_id", "stats__s", "stats__x"]
    assert [column["values"] for column in body["results"]] == [[1, 9], ["a", None], [2**63 - 1, None]]
    assert [column["statuses"] for column in body["results"][1:]] == [["PRESENT", "NOT_FOUND"]] * 2
    assert body["results"][1]["event_timestamps"] == [HALF_PAST, None]


def test_feasts_clients_may_have_1970_for_no_time(client):
    ask = {"feature_service": "svc", "entities": {"driver_id": [9]}, "epoch_for_missing": True}
    columns = client.post(FEASTS, json=ask).json()["results"]
    assert [column["event_timestamps"] for column in columns] == [["1970-01-01T00:00:00Z"]] * 3


def test_the_order_of_features_is_the_order_asked(client):
    ask = {"features": ["stats:f", "stats:x", "stats:d"], "entities": {"driver_id": [1]}, "at": AT}
    assert list(client.post(OURS, json=ask).json()["features"]) == ["f", "x", "d"]


def test_a_body_without_a_content_type_is_read(client):
    ask = json.dumps({"feature_service": "svc", "entities": {"driver_id": [1]}})
    assert client.post(FEASTS, content=ask).status_code == 200


@pytest.mark.parametrize("path", [OURS, FEASTS])
def test_a_big_batch_is_answered_off_the_event_loop(client, path):
    member = "service" if path == OURS else "feature_service"
    answer = client.post(path, json={member: "svc", "entities": {"driver_id": [1] * 2_000}, "at": AT})
    assert answer.status_code == 200


MISTAKES = {
    "no view of the name": ({"features": ["nope:x"], "entities": {"driver_id": [1]}}, 404, "not-found"),
    "no feature of the name": ({"features": ["stats:nope"], "entities": {"driver_id": [1]}}, 404, "column-not-found"),
    "a key of another name": ({"features": ["stats:x"], "entities": {"wrong": [1]}}, 422, "schema-mismatch"),
    "a key of another type": ({"features": ["stats:x"], "entities": {"driver_id": ["a"]}}, 422, "schema-mismatch"),
    "a key that is true": ({"features": ["stats:x"], "entities": {"driver_id": [True]}}, 422, "schema-mismatch"),
    "a key that is a list": ({"features": ["stats:x"], "entities": {"driver_id": [[1]]}}, 422, "schema-mismatch"),
    "a key beyond 64 bits": ({"features": ["stats:x"], "entities": {"driver_id": [2**64]}}, 422, "schema-mismatch"),
    "no keys": ({"features": ["stats:x"], "entities": {}}, 422, None),
    "no entities in a list": ({"features": ["stats:x"], "entities": []}, 422, None),
    "no entities in a column": ({"features": ["stats:x"], "entities": {"driver_id": []}}, 422, "usage"),
    "no features": ({"features": [], "entities": {"driver_id": [1]}}, 422, "usage"),
    "a feature twice": ({"features": ["stats:x", "stats:x"], "entities": {"driver_id": [1]}}, 422, "usage"),
    "no colon": ({"features": ["stats"], "entities": {"driver_id": [1]}}, 422, "usage"),
    "features of numbers": ({"features": [1], "entities": {"driver_id": [1]}}, 422, "usage"),
    "no entities at all": ({"features": ["stats:x"]}, 422, "usage"),
    "columns of two lengths": (
        {"features": ["stats:x"], "entities": {"driver_id": [1, 2], "other": [1]}},
        422,
        "schema-mismatch",
    ),
    "a key too many": ({"features": ["stats:x"], "entities": [{"driver_id": 1, "b": 1}]}, 422, "schema-mismatch"),
    "entities of text": ({"features": ["stats:x"], "entities": "1"}, 422, "usage"),
    "rows of numbers": ({"features": ["stats:x"], "entities": [1]}, 422, "usage"),
    "service and features": ({"service": "svc", "features": ["stats:x"], "entities": {}}, 422, "usage"),
    "neither": ({"entities": {"driver_id": [1]}}, 422, "usage"),
    "no service of the name": ({"service": "svc@9", "entities": {"driver_id": [1]}}, 404, "not-found"),
    "a service that is a path": ({"service": "../../etc/passwd", "entities": {}}, 422, "invalid-name"),
    "a service that is a number": ({"service": 7, "entities": {"driver_id": [1]}}, 422, "usage"),
    "a split of a service": ({"service": "svc@1#train", "entities": {"driver_id": [1]}}, 404, "not-found"),
    "a branch of a service": ({"service": "svc@main", "entities": {"driver_id": [1]}}, 404, "not-found"),
    "an instant that is none": ({"service": "svc", "entities": {"driver_id": [1]}, "at": "soon"}, 422, "usage"),
    "an instant in numbers": ({"service": "svc", "entities": {"driver_id": [1]}, "at": 7}, 422, "usage"),
    "a flag in text": ({"service": "svc", "entities": {}, "full_feature_names": "no"}, 422, "usage"),
    "an unknown member": ({"service": "svc", "entities": {}, "entites": {}}, 422, "usage"),
    "another int64": ({"service": "svc", "entities": {"driver_id": [1]}, "int64": "hex"}, 422, "usage"),
    "a list": ([], 422, "usage"),
    "a text": ("svc", 422, "usage"),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_callers_mistake_is_a_problem_with_a_hint(client, mistake):
    body, status, code = MISTAKES[mistake]
    assert assert_problem(client.post(OURS, json=body), status, code)["hint"]
    if isinstance(body, dict) and "service" not in body:
        assert_problem(client.post(FEASTS, json=body), status, code)


BODIES = {
    "nothing": b"",
    "no json": b"carrier=UA",
    "cut": b'{"service": "svc"',
    "not utf-8": b'{"service": "\xff"}',
    "nan": b'{"service": NaN}',
    "infinity": b'{"entities": {"driver_id": [-Infinity]}}',
    "a name twice": b'{"service": "svc", "service": "svc@1"}',
    "deep": b"[" * 9,
    "deep and whole": b"[" * 9 + b"]" * 9,
    "very deep": b"[" * 200_000 + b"]" * 200_000,
    "very deep objects": b'{"a":' * 100_000 + b"1" + b"}" * 100_000,
    "half a pair of surrogates": b'{"service": "\\ud800"}',
    "half a pair in a name": b'{"service": "svc", "\\uDFFF": 1}',
    "a number of many digits": b'{"a": ' + b"1" * 10_000 + b"}",
}


@pytest.mark.parametrize("name", BODIES)
def test_a_body_that_is_not_json_is_refused(client, name):
    assert_problem(client.post(OURS, content=BODIES[name]), 400, "malformed-body")


def test_a_whole_pair_of_surrogates_is_one_character():
    assert parse_json(b'["\\ud83d\\ude00"]') == ["\U0001f600"]


@given(st.binary(max_size=60) | st.text(max_size=60).map(str.encode))
def test_no_body_makes_the_reader_fail_otherwise(data):
    with contextlib.suppress(MalformedBodyError):
        parse_json(data)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)
MEMBERS = st.sampled_from(["service", "features", "entities", "at", "full_feature_names", "int64"])


def test_no_json_makes_the_server_fail(client):
    @given(st.dictionaries(MEMBERS, JSON | st.sampled_from(["svc", ["stats:x"], {"driver_id": [1]}]), max_size=5))
    def law(body):
        answer = client.post(OURS, content=json.dumps(body))
        assert answer.status_code == 200 or assert_problem(answer, answer.status_code)
        assert answer.status_code < 500

    law()


def test_a_huge_body_is_refused_before_it_is_read(client):
    assert_problem(client.post(OURS, content=b" " * (2 << 20)), 413, "body-too-large")


def test_a_huge_body_that_does_not_say_so_is_refused_while_it_is_read(client):
    def chunks():
        for _ in range(64):
            yield b" " * 65_536

    assert_problem(client.post(OURS, content=chunks()), 413, "body-too-large")


@pytest.mark.parametrize(
    ("limits", "body", "code"),
    [
        (Limits(max_entities=2), {"service": "svc", "entities": {"driver_id": [1, 2, 3]}}, "too-many-entities"),
        (Limits(max_entities=2), {"service": "svc", "entities": [{"driver_id": 1}] * 3}, "too-many-entities"),
        (Limits(max_features=1), {"features": ["stats:x", "stats:s"], "entities": {}}, "too-many-features"),
    ],
)
def test_more_than_the_limit_is_refused(features, vault, token, limits, body, code):
    client = client_of(create_app(features, vault, limits=limits), token[0])
    assert_problem(client.post(OURS, json=body), 422, code)


def test_a_body_that_does_not_arrive_is_given_up(features, vault, token):
    app = create_app(features, vault, limits=Limits(body_timeout_seconds=0.05))
    sent = []

    async def receive():
        await asyncio.sleep(60)

    async def send(message):
        sent.append(message)

    scope = {
        "type": "http",
        "method": "POST",
        "path": OURS,
        "raw_path": OURS.encode(),
        "query_string": b"",
        "headers": [(b"authorization", f"Bearer {token[0]}".encode())],
    }
    asyncio.run(app(scope, receive, send))
    assert sent[0]["status"] == 408


def test_forms_are_not_taken(client):
    answer = client.post(OURS, content=b"--x", headers={"content-type": "multipart/form-data; boundary=x"})
    assert_problem(answer, 415, "unsupported-media-type")


@given(st.lists(st.none() | st.floats(width=32), max_size=100))
def test_float32_reads_back_to_the_bit_and_is_short(values):
    written = json.loads(json.dumps(list(json_values(values, pa.float32())), allow_nan=False))
    for value, back in zip(values, written, strict=True):
        if value is None:
            assert back is None
        else:
            assert struct.pack("<f", float(back)) == struct.pack("<f", value) or math.isnan(value)
            assert isinstance(back, str) or repr(back) == repr(float(str(np.float32(value))))


@given(st.lists(st.none() | st.floats(), max_size=20), st.lists(st.integers(-(2**63), 2**64 - 1)))
def test_float64_and_integers_read_back_to_the_bit(floats, integers):
    back = json.loads(json.dumps(list(json_values(floats, pa.float64())), allow_nan=False))
    assert [None if b is None else repr(float(b)) for b in back] == [None if v is None else repr(v) for v in floats]
    assert json.loads(json.dumps(list(json_values(integers, pa.uint64())))) == integers


def test_other_types_have_one_text_each():
    import datetime as dt
    from decimal import Decimal

    cases = [
        (dt.datetime(2024, 1, 1, 1, tzinfo=dt.timezone(dt.timedelta(hours=1))), "2024-01-01T00:00:00Z"),
        (dt.datetime(1, 1, 1, 0, 0, 0, 5), "0001-01-01T00:00:00.000005Z"),  # noqa: DTZ001 - a time without a zone is UTC
        (dt.date(2024, 1, 1), "2024-01-01"),
        (dt.time(1, 2, 3), "01:02:03"),
        (dt.timedelta(seconds=-1.5), "-1.5s"),
        (np.datetime64(1, "ns"), "1970-01-01T00:00:00.000000001Z"),
        (np.timedelta64(1, "ns"), "0.000000001s"),
        (Decimal("1.10"), "1.10"),
        (b"\x00\xff", "AP8="),
        ([1.5, None, float("nan"), {"a": 2**60}], [1.5, None, "NaN", {"a": str(2**60)}]),
        ([float("-inf"), True, np.float16(0.5)], ["-Infinity", True, 0.5]),
    ]
    for value, text in cases:
        assert json_values([value], pa.list_(pa.int8()), wide_as_text=True) == [text]
    assert json_values([0.5], pa.float16()) == [0.5]
