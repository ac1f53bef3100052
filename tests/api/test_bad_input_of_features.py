"""What is asked wrongly of features over HTTP: the mistakes of `tests/features/test_bad_input.py`, told alike."""

import copy
import io
import json

import pyarrow as pa
import pytest

import foldstore
from foldstore.api.app import create_app
from foldstore.api.tokens import TokenVault
from foldstore.errors import FoldstoreError
from tests.api.conftest import assert_problem, client_of
from tests.features.online import DAY, ride, serve_rides, trips
from tests.features.test_bad_input import ENDS, LOOKUPS

STREAM = "application/vnd.apache.arrow.stream"
SERVICE = "/v1/feature-services/model/versions/1"
DEFINITIONS = {
    "entities": {"driver": {"keys": {"driver": "int64"}}},
    "views": {"stats": {"entity": "driver", "source": "rides", "event_time": "ts", "features": ["trips", "city"]}},
    "services": {"model": {"features": ["stats"]}},
}


@pytest.fixture
def store(tmp_path):
    with serve_rides(tmp_path / "store", [ride(1, 0, 10), ride(2, 0, 20)]) as opened:
        yield opened


@pytest.fixture
def client(store):
    vault = TokenVault(store.registry("token"), clock=store.clock)
    app = create_app(store.features, vault, store=store)
    yield client_of(app, vault.create("editor", author="ana")[0])
    app.end()


def told(ask):
    with pytest.raises(FoldstoreError) as caught:
        ask()
    return caught.value.code, caught.value.message, caught.value.hint


def problem(answer):
    body = assert_problem(answer, answer.status_code)
    assert 400 <= answer.status_code < 500
    return body["code"], body["detail"], body["hint"]


@pytest.mark.parametrize("path", ["/v1/features:get", "/v1/features:look-up", "/get-online-features"])
@pytest.mark.parametrize("mistake", LOOKUPS)
def test_entities_that_cannot_be_looked_up_are_refused_in_the_same_words(store, client, path, mistake):
    entities = LOOKUPS[mistake][0]
    service = "feature_service" if path.startswith("/get") else "service"
    answer = client.post(path, json={service: "model@1", "entities": entities})
    assert problem(answer) == told(lambda: store.features.get_online_features("model@1", entities))


@pytest.mark.parametrize("path", ["/v1/features:get", "/v1/features:look-up", "/get-online-features"])
@pytest.mark.parametrize("features", [["stats:nope"], ["stat:trips"], ["stats"], ["stats:trips", "stats:trips"]])
def test_features_that_are_not_there_or_twice_are_refused_in_the_same_words(store, client, path, features):
    entities = {"driver": [1]}
    answer = client.post(path, json={"features": features, "entities": entities})
    assert problem(answer) == told(lambda: store.features.get_features(features, entities))


@pytest.mark.parametrize("path", ["/v1/features:get", "/v1/features:look-up"])
@pytest.mark.parametrize("at", [str(each) for each in ENDS] + ["0001-01-01T00:00:00Z", "9999-12-31T00:00:00Z", "soon"])
def test_instants_that_are_none_are_refused(client, path, at):
    code, _, hint = problem(client.post(path, json={"service": "model@1", "entities": {"driver": [1]}, "at": at}))
    assert (code, bool(hint)) == ("usage", True)


def test_a_time_without_a_zone_is_utc_and_a_nanosecond_decides(client):
    def ask(at):
        answer = client.post("/v1/features:get", json={"service": "model@1", "entities": {"driver": [1]}, "at": at})
        return answer.json()["features"]["trips"]["values"]

    assert ask("2024-01-01T00:00:00") == ask("2024-01-01T02:00:00+02:00") == [10]
    assert ask("2023-12-31T23:59:59.999999999Z") == [None]


def stream(**columns):
    sink, table = io.BytesIO(), pa.table(columns)
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    return sink.getvalue()


TIME = pa.array([DAY[3]])
JOINS = {
    "a missing join key": {"event_timestamp": TIME},
    "a key of text": {"driver": ["1"], "event_timestamp": TIME},
    "a key of floats": {"driver": [1.0], "event_timestamp": TIME},
    "a key that is true": {"driver": [True], "event_timestamp": TIME},
    "no time": {"driver": [1]},
    **{f"{at}": {"driver": [1], "event_timestamp": pa.array([at], pa.timestamp("ns"))} for at in ENDS},
}


@pytest.mark.parametrize("mistake", JOINS)
def test_rows_that_cannot_be_joined_to_are_refused_in_the_same_words(store, client, mistake):
    answer = client.post(f"{SERVICE}:join", content=stream(**JOINS[mistake]), headers={"content-type": STREAM})
    assert problem(answer) == told(
        lambda: store.features.get_historical_features(pa.table(JOINS[mistake]), "model@1"),
    )


@pytest.mark.parametrize("column", ["event_timestamp", "asked"])
@pytest.mark.parametrize(
    ("times", "found"),
    [
        (["2024-01-01T00:00:00Z", "2023-12-31T23:59:59.999999999Z"], [10, None]),
        (["2024-01-01T01:00:00+01:00", "2024-01-01T00:59:59+01:00"], [10, None]),
        (["2024-01-01T00:00:00", "2023-12-31T23:59:59"], [10, None]),
        (["2024-01-01", None], [10, None]),
    ],
)
def test_times_of_json_are_read_from_their_text(client, column, times, found):
    rows = [{"driver": 1, column: time} for time in times]
    for sent in ({"json": rows}, {"content": "".join(json.dumps(row) + "\n" for row in rows)}):
        headers = {} if "json" in sent else {"content-type": "application/x-ndjson"}
        answer = client.post(f"{SERVICE}:join", params={"event_timestamp": column}, headers=headers, **sent)
        assert [row["trips"] for row in answer.json()["rows"]] == found


@pytest.mark.parametrize("times", [["soon"], ["2024-01-01T00:00:00Z", "2024-01-01T00:00:00"], ["9999-12-31T00:00:00Z"]])
def test_texts_of_json_that_are_no_times_are_told(client, times):
    answer = client.post(f"{SERVICE}:join", json=[{"driver": 1, "event_timestamp": each} for each in times])
    assert problem(answer) == (
        "usage",
        "Not every 'event_timestamp' is a time.",
        "Write them alike, as 2026-01-31T00:00:00Z.",
    )


def test_no_rows_are_joined_to_no_rows(client):
    empty = stream(driver=pa.array([], pa.int64()), event_timestamp=pa.array([], pa.timestamp("us")))
    answer = client.post(f"{SERVICE}:join", content=empty, headers={"content-type": STREAM, "accept": STREAM})
    joined = pa.ipc.open_stream(answer.content).read_all()
    assert (joined.num_rows, joined.column_names) == (0, ["driver", "event_timestamp", "trips", "city"])


ROW = {**ride(1, 9, 19), "ts": "2024-01-10T00:00:00Z"}
PUSHES = {
    "an unknown column": [{**ROW, "tips": 1}],
    "a missing key": [{name: value for name, value in ROW.items() if name != "driver"}],
    "a missing feature": [{name: value for name, value in ROW.items() if name != "city"}],
    "a key of text": [{**ROW, "driver": "one"}],
    "a null key": [{**ROW, "driver": None}],
    "a null key after a good row": [ROW, {**ROW, "driver": None}],
    "a feature of another type": [{**ROW, "trips": "many"}],
    "no time": [{**ROW, "ts": None}],
    "a time that is none": [{**ROW, "ts": "yesterday"}],
    "no rows": [],
}


@pytest.mark.parametrize("to", ["online", "online_and_offline"])
@pytest.mark.parametrize("mistake", PUSHES)
def test_rows_that_cannot_be_pushed_are_refused_and_none_is_written(store, client, mistake, to):
    lines = "".join(json.dumps(row) + "\n" for row in PUSHES[mistake])
    answer = client.post(
        f"/v1/feature-views/stats:push?to={to}", content=lines, headers={"content-type": "application/x-ndjson"}
    )
    _, _, hint = problem(answer)
    assert hint
    assert store.dataset("rides").latest.address == "rides@1"
    assert [each.pushed for each in store.features.online_status()] == [0]
    assert trips(store, 1)[0] == 10


def changed(change):
    definitions = copy.deepcopy(DEFINITIONS)
    change(definitions["views"]["stats"])
    return definitions


APPLIED = {
    "an unknown column": (changed(lambda view: view.update(features=["nope"])), "column-not-found", "'nope'"),
    "a feature twice": (
        changed(lambda view: view.update(features=["trips", "trips"])),
        "invalid-definition",
        "occurs twice",
    ),
    "an unknown entity": (changed(lambda view: view.update(entity="rider")), None, "'rider'"),
    "an unknown source": (changed(lambda view: view.update(source="tours")), "not-found", "'tours'"),
    "a key of no type": (
        {**DEFINITIONS, "entities": {"driver": {"keys": {"driver": "number"}}}},
        "invalid-definition",
        "'number'",
    ),
}


@pytest.mark.parametrize("mistake", APPLIED)
def test_definitions_that_cannot_be_are_refused_and_none_is_kept(store, client, mistake):
    definitions, code, words = APPLIED[mistake]
    said, detail, hint = problem(client.post("/v1/feature-services", json={"definitions": definitions}))
    assert words in detail
    assert hint
    assert code in (None, said)
    assert store.features.list_services() == ["model@1"]


def test_a_service_that_is_applied_twice_stays_what_it_is(client):
    for _ in range(2):
        answer = client.post("/v1/feature-services", json={"definitions": DEFINITIONS})
        assert answer.status_code == 201, answer.text
        assert answer.json()["applied"] == ["model@1"]


def test_a_key_of_another_type_than_its_column_is_refused(store, client):
    other = {**DEFINITIONS, "entities": {"driver": {"keys": {"driver": "string"}}}}
    for services in (DEFINITIONS["services"], {"other": {"features": ["stats"]}}):
        asked = {"definitions": {**other, "services": services}}
        body = assert_problem(client.post("/v1/feature-services", json=asked), 422, "schema-mismatch")
        assert "is int64 in 'rides'; entity 'driver' says string" in body["detail"]
        assert body["hint"]
    assert store.features.list_services() == ["model@1"]
    assert [each.service for each in store.features.online_status()] == ["model@1"]


def test_a_source_that_lost_a_column_is_refused_and_what_is_served_stays(store, client):
    asked = {"service": "model@1", "entities": {"driver": [1]}}
    before = client.post("/v1/features:get", json=asked).json()["features"]
    store.dataset("rides").drop_columns(["city"])
    join = stream(driver=[1], event_timestamp=TIME)
    for path, how in (
        (f"{SERVICE}:join", {"content": join, "headers": {"content-type": STREAM}}),
        ("/v1/feature-services", {"json": {"definitions": changed(lambda view: view.update(ttl="3d"))}}),
    ):
        body = assert_problem(client.post(path, **how), 404, "column-not-found")
        assert "'city'" in body["detail"]
    assert client.post("/v1/features:get", json=asked).json()["features"] == before


def test_a_file_that_was_cut_short_is_damage_and_no_answer(store, client):
    (path,) = (store.root / "online").glob("*.arrow")
    content = path.read_bytes()
    path.chmod(0o644)
    path.write_bytes(content[: len(content) // 2])
    with foldstore.connect(store.root) as other:
        vault = TokenVault(other.registry("token"), clock=other.clock)
        fresh = client_of(create_app(other.features, vault, store=other), vault.create("serving", author="ana")[0])
        for route in ("/v1/features:get", "/v1/features:look-up"):
            answer = fresh.post(route, json={"service": "model@1", "entities": {"driver": [1]}})
            assert answer.status_code >= 500
            assert_problem(answer, answer.status_code, "corrupt-object")
