"""A backup over HTTP: for whom, what is in it, and what is not."""

import io
import json
import tarfile
import warnings
from http.client import HTTPConnection, IncompleteRead

import numpy as np
import pyarrow as pa
import pytest

import foldstore
from foldstore.api.access import ROLES
from foldstore.api.app import create_app
from foldstore.api.rules import KIND, AccessRule, RuleBook
from foldstore.api.server import BackgroundServer
from foldstore.api.tokens import TokenVault
from foldstore.datastore.restore import restore_backup
from foldstore.datastore.sealing import SealOptions, seal_cells
from tests.api.conftest import assert_problem, client_of

BACKUP = "/v1/backup"
CANARY = "canary-5f1c"


@pytest.fixture
def vault(store):
    return TokenVault(store.registry("token"), clock=store.clock)


@pytest.fixture
def login(store, vault):
    app = create_app(store.features, vault, store=store)
    yield lambda role="admin", **how: client_of(app, vault.create(role, author="t", **how)[0])
    app.end()


@pytest.fixture
def seal(store):
    """Seals a test pool, whose every label is a canary."""
    data = store.create_dataset("trips", key=["id"])
    rows = {"id": list(range(600)), "x": [n % 7 for n in range(600)], "late": [f"{CANARY}-{n % 2}" for n in range(600)]}
    split = data.append(rows).split("s", train=0.2, validation=0.0, test=0.8, seed=1)

    def make(reuse):
        plan = foldstore.plan_pool("n > 0.5 +/- 0.1", reliability=0.9, reuse=reuse, steps=1)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            pool = store.pools.seal("late", split.test, label="late", plan=plan)
        asked = pool.features().select(["pool_row"])
        pool.evaluate(asked.append_column("prediction", pa.array(["no such label"] * asked.num_rows)), model="m")
        return pool

    return make


def members(answer):
    with tarfile.open(fileobj=io.BytesIO(answer.content)) as tar:
        return {each.name: tar.extractfile(each).read() for each in tar.getmembers()}


def test_only_an_administrator_of_everything_is_given_one(store, login, anonymous):
    for role in ROLES:
        answer = login(role).post(BACKUP)
        if role == "admin":
            assert answer.status_code == 200, answer.text
        else:
            assert_problem(answer, 403)
    assert_problem(login(names=["people"]).post(BACKUP), 403)
    assert_problem(login(names=["*.a", "people*"]).post(BACKUP), 403)
    assert_problem(anonymous.post(BACKUP), 401)
    assert store.leases() == []


def test_an_administrator_whom_a_rule_meets_is_given_none(store, login):
    rule = AccessRule(name="r", datasets=("people",), roles=("admin",), hide=("id",))
    RuleBook(store.registry(KIND), clock=store.clock).put(rule, author="t")
    assert_problem(login().post(BACKUP), 403, "hidden-by-rule")


def test_curl_and_tar_make_a_folder_to_restore_from(store, login, tmp_path):
    answer = login().post(BACKUP)
    assert answer.headers["content-type"] == "application/x-tar"
    with tarfile.open(fileobj=io.BytesIO(answer.content)) as tar:
        tar.extractall(tmp_path / "unpacked", filter="data")
    assert restore_backup(tmp_path / "unpacked", tmp_path / "again").passed
    with foldstore.connect(tmp_path / "again") as again:
        assert again.version("people@1").to_arrow().to_pydict() == {"id": [1, 2]}


def test_what_is_there_already_is_not_sent(login):
    whole = members(login().post(BACKUP))
    (name,) = [name for name in whole if name.startswith("objects/")]
    digest = name.rpartition("/")[2].removesuffix(".arrow")
    less = members(login().post(BACKUP, json={"have": [digest]}))
    assert set(whole) - set(less) == {name}
    rows = login().post(BACKUP, content=f"have\n{digest}\n", headers={"content-type": "text/csv"})
    assert set(members(rows)) == set(less)


@pytest.mark.parametrize(
    ("how", "status"),
    [
        ({"json": {"have": "b3"}}, 422),
        ({"json": {"have": [1]}}, 422),
        ({"json": {"path": "/etc"}}, 422),
        ({"json": []}, 422),
        ({"content": b"other\nx\n", "headers": {"content-type": "text/csv"}}, 422),
        ({"content": b"\xff\xfe", "headers": {"content-type": "application/vnd.apache.arrow.stream"}}, 422),
        ({"params": {"sealed": "maybe"}}, 422),
        ({"params": {"target": "elsewhere"}}, 422),
        ({"params": {"store": "f" * 32}}, 503),
        ({"headers": {"accept": "text/html"}}, 406),
    ],
)
def test_other_questions_are_refused_in_words(store, login, how, status):
    assert_problem(login().post(BACKUP, **how), status)
    assert store.leases() == []


def test_names_that_climb_are_hashes_that_nobody_has(login):
    whole = members(login().post(BACKUP))
    asked = ["../../etc/passwd", "b3-" + "0" * 64, "\0", "x" * 10_000]
    assert set(members(login().post(BACKUP, json={"have": asked}))) == set(whole)


def test_sealed_cells_stay(store, seal, login):
    seal("full")
    for params in ({}, {"sealed": "true"}):
        assert_problem(login().post(BACKUP, params=params), 403, "sealed-stays")
    assert_problem(login("steward").post(BACKUP, params={"sealed": "false"}), 403)
    answer = login().post(BACKUP, params={"sealed": "false"})
    found = members(answer)
    assert not [name for name in found if "sealed" in name]
    assert "sealed/" not in found["files-1.json"].decode()
    assert json.loads(found["backup.json"])["generations"][0]["sealed"] is False
    kept = [path.read_bytes() for path in (store.root / "sealed").rglob("*") if path.is_file()]
    assert any(CANARY.encode() in each for each in kept)
    assert not any(each in answer.content for each in kept if each)


def test_no_sealed_label_is_in_it(store, login):
    data = store.create_dataset("trips", key=["id"])
    data.append({"id": list(range(50)), "label": [f"{CANARY}-{n}" for n in range(50)]})
    data.latest.profile()
    seal_cells(store._storage, data.record, {1: np.ones(50, bool)}, ["label"], options=SealOptions(actor="s"))
    answer = login().post(BACKUP, params={"sealed": "false"})
    assert answer.status_code == 200
    assert CANARY.encode() not in answer.content


def test_what_a_pool_withholds_stays_with_the_whole_catalog(store, seal, login, folder):
    assert seal("none").status().steps_left == 0
    for params in ({}, {"sealed": "false"}):
        assert_problem(login().post(BACKUP, params=params), 403, "sealed-stays")
    with foldstore.connect(folder, role="steward") as steward:
        steward.pools.get("late").retire(reason="done")
    assert login().post(BACKUP, params={"sealed": "false"}).status_code == 200


def test_what_a_reserve_will_take_stays(store, login):
    data = store.create_dataset("trips", key=["id"])
    data.append({"id": list(range(50)), "late": [n % 2 for n in range(50)]})
    plan = foldstore.plan_pool("n > 0.5 +/- 0.1", reliability=0.9, reuse="full", steps=1)
    store.pools.reserve("next", "trips", label="late", plan=plan, share=0.5)
    assert_problem(login().post(BACKUP, params={"sealed": "false"}), 403, "sealed-stays")


def test_no_token_and_nothing_that_was_erased_is_in_it(store, login, vault):
    data = store.create_dataset("notes", key=["id"])
    data.append({"id": [1, 2], "text": [CANARY, "other"]})
    store.registry("note").put("n", {"text": CANARY}, author="t", created_at="2026-01-01T00:00:00Z")
    data.erase({"id": [1]}, reason="asked for")
    text = vault.create("admin", author="t", label="for backups")[0]
    found = login().post(BACKUP).content
    assert text.encode() not in found
    assert text.split("_")[2].encode() not in found
    assert found.count(CANARY.encode()) == 1  # the note, which nobody erased


def test_it_is_written_down_who_was_given_one(store, login):
    admin = login()
    admin.post(BACKUP)
    lines = admin.get("/v1/audit").json()["items"]
    assert ("POST", BACKUP, 200) in [(each["method"], each["route"], each["status"]) for each in lines]


def test_what_breaks_off_cannot_be_taken_for_a_whole_one(store, vault):
    data = store.create_dataset("trips", key=["id"])
    count = 4_000_000  # more than what lies in buffers between a server and who reads slowly
    data.append({"id": np.arange(count), "x": np.random.default_rng(1).random(count)})
    app = create_app(store.features, vault, store=store)
    with BackgroundServer(app) as server:
        connection = HTTPConnection(server.url.removeprefix("http://"), timeout=60)
        headers = {"authorization": f"Bearer {vault.create('admin', author='t')[0]}"}
        connection.request("POST", BACKUP, headers=headers)
        answer = connection.getresponse()
        assert answer.status == 200
        answer.read(1 << 20)
        mask = np.zeros(count, bool)
        mask[:5] = True
        seal_cells(store._storage, data.record, {1: mask}, ["x"], options=SealOptions(actor="s"))
        with pytest.raises(IncompleteRead):
            answer.read()
        connection.close()
    assert store.leases() == []
