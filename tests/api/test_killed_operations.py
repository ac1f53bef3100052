"""A server that is killed in the midst of an operation: nothing is half done, and the same key works again."""

import pyarrow as pa
import pytest

import foldstore
from foldstore.api.app import create_app
from foldstore.api.tokens import TokenVault
from tests.api.conftest import client_of
from tests.api.test_operations import LATER, done
from tests.api.test_resources import ARROW
from tests.killing import assert_killed, run

PATH = "/v1/datasets/people/versions"
KEY = {**LATER, "content-type": ARROW, "idempotency-key": "commit-7"}
ACT = """
import threading, time
from foldstore.api.app import create_app
from foldstore.api.server import BackgroundServer
from foldstore.api.tokens import TokenVault
from foldstore.store import Store
from http.client import HTTPConnection

store = Store(storage, "owner")
app = create_app(store.features, TokenVault(store.registry("token")), store=store)
with BackgroundServer(app) as server:
    connection = HTTPConnection(server.url.removeprefix("http://"), timeout=60)
    connection.request("POST", path, bytes.fromhex(body), {**headers, "authorization": f"Bearer {token}"})
    assert connection.getresponse().status == 202
    time.sleep(60)
print("it was not killed")
"""


def rows():
    sink = pa.BufferOutputStream()
    table = pa.table({"id": list(range(100, 200))})
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    return sink.getvalue().to_pybytes()


@pytest.mark.parametrize("step", ["begun", "staged", "registered", "linked", "flipped", "recorded"])
def test_a_commit_is_whole_or_not_there_and_made_once(tmp_path, step):
    folder = tmp_path / "store"
    with foldstore.connect(folder, author="owner") as store:
        store.create_dataset("people", key=["id"]).append({"id": list(range(100))})
        token = TokenVault(store.registry("token")).create("editor", author="t")[0]
    killed = run(ACT, folder, step, path=PATH, body=rows().hex(), token=token, headers=KEY)
    assert_killed(killed)
    with foldstore.connect(folder, author="owner") as store:
        is_there = step in {"flipped", "recorded"}  # the row of the catalog is what makes a version
        assert [each.num_rows for each in store.dataset("people").versions()] == [100, 200][: 1 + is_there]
        app = create_app(store.features, TokenVault(store.registry("token")), store=store)
        client = client_of(app, token)
        (lost,) = client.get("/v1/operations").json()["items"]
        assert (lost["state"], lost["problem"]["code"]) == ("failed", "operation-lost")
        place = f"/v1/operations/{lost['id']}"
        assert client.get(f"{place}/result").status_code == 503
        # Another request under the key is refused still; the same one is begun again, and made once.
        assert client.post(PATH, content=rows()[:-8] + bytes(8), headers=KEY).status_code == 422
        again = client.post(PATH, content=rows(), headers=KEY)
        assert (again.status_code, again.headers["location"]) == (202, place)
        assert done(client, place)["state"] == "succeeded"
        assert client.get(f"{place}/result").json()["version"] == 2
        assert client.post(PATH, content=rows(), headers=KEY).json()["state"] == "succeeded"
        assert [each.num_rows for each in store.dataset("people").versions()] == [100, 200]
        assert sorted(store.version("people@2").to_arrow()["id"].to_pylist()) == list(range(200))
        assert store.verify().passed
        app.end()
