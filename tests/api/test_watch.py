"""Every request has an id, is counted, is written down, and comes no more often than it may."""

import datetime as dt
import json
import logging
import multiprocessing
import os
import subprocess
import sys

import pytest

from foldstore.api.app import create_app
from foldstore.api.audit import FOLDER, AuditLog, read_audit
from foldstore.api.problem import AuditUnavailableError
from foldstore.api.rate import RateLimit
from foldstore.api.request_body import Limits
from foldstore.api.request_log import JsonLines, redact
from foldstore.api.request_record import RequestRecord
from foldstore.errors import NotFoundError, UsageError
from foldstore.types import utc_now
from tests.api.conftest import AT, Clock, assert_problem, client_of

ASK = {"service": "svc@1", "entities": {"driver_id": [1, 2, 99]}, "at": AT}
UTC = dt.UTC


@pytest.fixture
def vault(store_vault):
    return store_vault


@pytest.fixture
def app(features, vault, store):
    return create_app(features, vault, store=store)


def login(app, vault, role, **how):
    text, token = vault.create(role, author="tester", **how)
    return client_of(app, text), token


class TestAudit:
    def test_says_who_read_and_who_changed_what(self, app, vault, store):
        viewer, reader = login(app, vault, "viewer", label="ana")
        editor, writer = login(app, vault, "editor", label="job")
        answer = viewer.get("/v1/datasets/people/versions/1/rows")
        editor.post("/v1/datasets", json={"name": "cities"})
        viewer.post("/v1/datasets", json={"name": "other"})
        lines = list(read_audit(store.root / FOLDER))
        told = [(line["method"], line["route"], line["status"], line["token"], line["label"]) for line in lines]
        assert told == [
            ("GET", "/v1/datasets/{name}/versions/{ref}/rows", 200, reader.id, "ana"),
            ("POST", "/v1/datasets", 201, writer.id, "job"),
            ("POST", "/v1/datasets", 403, reader.id, "ana"),
        ]
        assert lines[0]["named"] == {"name": "people", "ref": "1"}
        assert lines[0]["request"] == answer.headers["x-request-id"]

    def test_can_be_asked_over_http_and_by_the_command(self, app, vault, store, capsys):
        from foldstore.cli.app import run

        admin, _ = login(app, vault, "admin")
        viewer, token = login(app, vault, "viewer")
        viewer.get("/v1/datasets/people")
        viewer.get("/v1/datasets")
        found = admin.get("/v1/audit", params={"token": token.id, "name": "people"}).json()["items"]
        assert [line["route"] for line in found] == ["/v1/datasets/{name}"]
        assert len(admin.get("/v1/audit", params={"limit": 2}).json()["items"]) == 2
        assert admin.get("/v1/audit", params={"limit": 1}).json()["next_since"]
        assert_problem(viewer.get("/v1/audit"), 403)
        assert_problem(admin.get("/v1/audit", params={"since": "yesterday"}), 422)
        assert run(["audit", "--store", str(store.root), "--token", token.id, "--output", "jsonl"]) == 0
        lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
        assert [line["status"] for line in lines] == [200, 200, 403]

    def test_lookups_are_counted(self, app, vault, store, clock):
        client, token = login(app, vault, "serving")
        for _ in range(7):
            assert client.post("/v1/features:get", json=ASK).status_code == 200
        clock.now += dt.timedelta(seconds=6)
        client.post("/v1/features:get", json=ASK)
        (line,) = read_audit(store.root / FOLDER, token=token.id)
        assert (line["route"], line["times"], line["status"]) == ("/v1/features:get", 8, 200)

    def test_what_was_written_is_not_lost_when_the_process_is_killed(self, tmp_path):
        process = multiprocessing.get_context("spawn").Process(target=_note_and_die, args=(tmp_path,))
        process.start()
        process.join()
        assert process.exitcode == -9
        assert [line["named"] for line in read_audit(tmp_path)] == [{"name": str(n)} for n in range(20)]

    def test_what_cannot_be_written_down_is_not_done(self, app, vault, store, clock):
        editor, _ = login(app, vault, "editor")
        serving, token = login(app, vault, "serving")
        folder = store.root / FOLDER
        folder.write_text("no folder")
        rows = {"content": b"id\n9\n", "headers": {"content-type": "text/csv"}}
        assert_problem(editor.post("/v1/datasets/people/versions", **rows), 503, "audit-unavailable")
        assert_problem(editor.put("/v1/datasets/people/refs/x", json={"version": "1"}), 503, "audit-unavailable")
        assert_problem(editor.get("/v1/datasets/people"), 503, "audit-unavailable")
        assert_problem(serving.get("/v1/datasets/people"), 503, "audit-unavailable")
        assert store.dataset("people").latest.number == 1
        assert [ref["name"] for ref in store.dataset("people").refs()] == ["main"]
        clock.now += dt.timedelta(seconds=6)
        assert serving.post("/v1/features:get", json=ASK).status_code == 200
        assert serving.get("/healthz").status_code == 200
        folder.unlink()
        assert editor.post("/v1/datasets/people/versions", **rows).status_code == 201
        clock.now += dt.timedelta(seconds=6)
        assert serving.post("/v1/features:get", json=ASK).status_code == 200
        (line,) = read_audit(folder, token=token.id)
        assert line["times"] == 2

    def test_a_line_that_broke_off_on_a_full_disk_costs_itself_alone(self, tmp_path, monkeypatch):
        log, write = AuditLog(tmp_path, utc_now), os.write
        log.note(_record("first"))
        monkeypatch.setattr(os, "write", lambda file, data: write(file, data[:20]))
        with pytest.raises(AuditUnavailableError):
            log.note(_record("second"))
        monkeypatch.setattr(os, "write", write)
        log.note(_record("third"))
        assert [line["named"]["name"] for line in read_audit(tmp_path)] == ["first", "third"]

    def test_half_a_line_is_none(self, tmp_path):
        _note(tmp_path, 3)
        (file,) = tmp_path.glob("*.jsonl")
        file.write_bytes(file.read_bytes()[:-5])
        assert len(list(read_audit(tmp_path))) == 2
        assert file.stat().st_mode & 0o077 == 0

    def test_instants_bound_it(self, tmp_path):
        clock = Clock()
        log = AuditLog(tmp_path, clock)
        for day in (1, 2, 3):
            clock.now = dt.datetime(2026, 1, day, tzinfo=UTC)
            log.note(_record(str(day)))
        found = read_audit(tmp_path, since="2026-01-02T00:00:00Z", until="2026-01-03T00:00:00Z")
        assert [line["named"]["name"] for line in found] == ["2"]
        for wrong in ("x", "2026-13-02T00:00:00Z", ""):
            with pytest.raises(UsageError):
                list(read_audit(tmp_path, since=wrong))

    def test_a_store_knows_the_folder(self, app, vault, store):
        login(app, vault, "viewer")[0].get("/v1/datasets")
        assert [each for each in store.verify().unreferenced if "audit" in str(each)] == []


def _record(name):
    return RequestRecord(
        id="1", method="GET", route="/v1/x", named={"name": name}, status=404, seconds=0, token=None, address=""
    )


def _note(folder, count):
    log = AuditLog(folder, utc_now)
    for n in range(count):
        log.note(_record(str(n)))


def _note_and_die(folder):
    import os

    _note(folder, 20)
    os.kill(os.getpid(), 9)


class TestRates:
    def test_a_token_that_asks_too_often_is_told_when_to_come_again(self, features, vault, store):
        app = create_app(features, vault, store=store, limits=Limits(requests_per_second=0.01))
        first, _ = login(app, vault, "viewer")
        second, _ = login(app, vault, "viewer")
        codes = [first.get("/v1/datasets").status_code for _ in range(3)]
        assert 429 in codes
        answer = first.get("/v1/datasets")
        assert_problem(answer, 429, "rate-limited")
        assert int(answer.headers["retry-after"]) > 1
        assert second.get("/healthz").status_code == 200

    def test_a_secret_that_was_wrong_too_often_is_not_compared_any_more(self, app, vault):
        text, _ = vault.create("viewer", author="a")
        other, _ = vault.create("viewer", author="a")
        from foldstore.api.tokens import _with_checksum

        wrong = _with_checksum("_".join(text.split("_")[:2]) + "_" + "0" * 43)
        codes = [client_of(app, wrong).get("/v1/datasets").status_code for _ in range(25)]
        assert codes[:20] == [401] * 20
        assert set(codes[20:]) == {429}
        assert client_of(app, text).get("/v1/datasets").status_code == 429  # the right one, too: nothing is learned
        assert client_of(app, other).get("/v1/datasets").status_code == 200

    def test_a_bucket_gives_back_what_time_brings(self):
        now = [0.0]
        limit = RateLimit(per_second=10, burst=5, clock=lambda: now[0])
        taken = 0
        for step in range(1000):
            now[0] = step * 0.01
            taken += limit.take("a") == 0
        assert taken in range(103, 106)  # 5 at once, and 10 a second for 9.99 seconds

    def test_names_without_end_take_no_memory_without_end(self):
        limit = RateLimit(per_second=1, burst=1)
        for n in range(20_000):
            limit.take(str(n))
        assert len(limit._left) <= 10_000


class TestRotation:
    def test_the_new_token_may_do_the_same_and_the_old_one_expires(self, app, vault, clock):
        text, old = vault.create("viewer", author="a", label="x", names=["peo*"], expires_in=dt.timedelta(days=30))
        fresh, new = vault.rotate(old.id, author="b", overlap=dt.timedelta(hours=1))
        assert (new.role, new.scopes, new.names, new.label) == (old.role, old.scopes, old.names, old.label)
        assert new.expires_at == clock.now + dt.timedelta(days=30)
        assert client_of(app, text).get("/v1/datasets").status_code == 200
        clock.now += dt.timedelta(hours=1)
        assert client_of(app, text).get("/v1/datasets").status_code == 401
        assert client_of(app, fresh).get("/v1/datasets").status_code == 200
        with pytest.raises(NotFoundError):
            vault.rotate(old.id, author="b")

    def test_over_http_stewards_are_left_out(self, app, vault):
        admin, _ = login(app, vault, "admin")
        _, steward = vault.create("steward", author="a")
        _, viewer = vault.create("viewer", author="a")
        assert_problem(admin.post(f"/v1/tokens/{steward.id}:rotate", json={}), 403)
        made = admin.post(f"/v1/tokens/{viewer.id}:rotate", json={"overlap_hours": 2})
        assert made.status_code == 201
        assert client_of(app, made.json()["token"]).get("/v1/datasets").status_code == 200


class TestMetrics:
    def test_count_requests_lookups_and_what_they_missed(self, app, vault):
        client, _ = login(app, vault, "serving")
        monitor, _ = login(app, vault, "monitor")
        for _ in range(3):
            client.post("/v1/features:get", json=ASK)
        client.post("/v1/features:get", json={"service": "nothing@1", "entities": {}})
        text = monitor.get("/metrics").text
        assert 'foldstore_requests_total{method="POST",route="/v1/features:get",status="200"} 3.0' in text
        assert 'foldstore_lookup_entities_total{service="svc@1",status="PRESENT"} 6.0' in text
        assert 'foldstore_lookup_entities_total{service="svc@1",status="NOT_FOUND"} 3.0' in text
        assert 'foldstore_request_seconds_count{route="/v1/features:get"} 4.0' in text

    def test_need_the_scope_and_show_no_names_that_a_client_made_up(self, app, vault):
        client, token = login(app, vault, "viewer")
        assert_problem(client.get("/metrics"), 403)
        client.get("/v1/datasets/canary-name")
        client.get("/canary-path")
        text = login(app, vault, "monitor")[0].get("/metrics").text
        assert "canary" not in text
        assert token.id not in text
        assert 'route="other",status="404"' in text

    def test_staleness_is_the_age_of_the_newest_value(self, app, vault):
        now = utc_now()
        client, _ = login(app, vault, "serving")
        client.post("/v1/features:get", json={k: v for k, v in ASK.items() if k != "at"})
        text = login(app, vault, "monitor")[0].get("/metrics").text
        (line,) = [each for each in text.splitlines() if each.startswith("foldstore_lookup_age_seconds{")]
        newest = dt.datetime(2024, 1, 10, 11, 30, tzinfo=UTC)
        assert abs(float(line.split()[-1]) - (now - newest).total_seconds()) < 600


class TestLog:
    def test_a_line_is_one_line_without_secrets(self, vault):
        text, _ = vault.create("viewer", author="a")
        said = logging.LogRecord("foldstore", 20, "", 0, "x\n\x1b[31m %s postgresql://u:pw@h/d", (text,), None)
        line = JsonLines().format(said)
        assert "\n" not in line
        assert "\x1b" not in line
        assert text not in line
        assert "pw@" not in line
        assert json.loads(line)["message"].startswith("x\n")

    def test_a_warning_is_one_line_too(self):
        code = (
            "import warnings; from foldstore.api.request_log import log_to_stderr; log_to_stderr('info');"
            'warnings.warn(\'flights@1 is deprecated: x\\n{"level": "forged"}\', stacklevel=1)'
        )
        said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stderr
        (line,) = said.splitlines()
        assert json.loads(line)["level"] == "warning"

    def test_a_text_without_secrets_stays_as_it_is(self):
        assert redact("GET /v1/datasets http://host:80/x") == "GET /v1/datasets http://host:80/x"

    def test_a_request_is_logged_with_its_id_and_lookups_are_not(self, app, vault, caplog):
        client, token = login(app, vault, "viewer")
        with caplog.at_level("INFO", logger="foldstore.requests"):
            answer = client.get("/v1/datasets/people")
            client.post("/v1/features:get", json=ASK)
        (said,) = caplog.records
        assert said.foldstore["request"] == answer.headers["x-request-id"]
        assert (said.foldstore["token"], said.foldstore["status"]) == (token.id, 200)

    def test_a_problem_names_the_request(self, app, vault):
        answer = login(app, vault, "viewer")[0].get("/v1/datasets/nothing")
        assert answer.json()["instance"] == f"urn:uuid:{answer.headers['x-request-id']}"
