"""Shadows: counted against brute force; the live answer is what it would be without, whatever the candidate does."""

import datetime as dt
import json
import subprocess
import sys
import threading

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import foldstore
from foldstore.api.app import create_app
from foldstore.api.tokens import TokenVault
from foldstore.cli.app import run
from foldstore.errors import AlreadyExistsError, NotFoundError, RefusedError, StoreError, UsageError
from foldstore.features import shadow_runner
from foldstore.features.shadow_runner import is_chosen
from foldstore.features.shadow_tally import FeatureTally, ShadowTally, _is_same
from tests.api.conftest import assert_problem, client_of

pytestmark = pytest.mark.usefixtures("each_catalog")
DAY = [dt.datetime(2024, 1, n, tzinfo=dt.UTC) for n in range(1, 8)]
LIVE = "SELECT driver, ts, km, city FROM rides"
OTHER = """SELECT driver, ts, CASE WHEN driver % 3 = 0 THEN km + 2 ELSE km END AS km, city, 1 AS more
           FROM rides WHERE driver <> 5"""


def view(query, *features):
    driver = foldstore.Entity("driver", keys={"driver": "int64"})
    return foldstore.FeatureView(
        "stats", entity=driver, source=foldstore.sql(query), event_time="ts", features=list(features)
    )


@pytest.fixture
def store(folder):
    with foldstore.connect(folder, author="ana") as store:
        rides = {"driver": list(range(20)), "ts": [DAY[0]] * 20, "km": [float(n) for n in range(20)]}
        store.create_dataset("rides").append({**rides, "city": ["Oslo", None] * 10})
        for made in (view(LIVE, "km", "city"), view(OTHER, "km", "city", "more")):
            service = foldstore.FeatureService("model", [made])
            store.features.materialize(store.features.apply(service, allow_breaking=True))
        yield store


def ask(store, *drivers, service="model@1", **how):
    return store.features.get_online_features(service, [{"driver": n} for n in drivers], at=DAY[1], **how).to_dict()


def test_differences_are_counted_by_feature(store):
    store.features.shadows.start("model@1", "model@2", share=1)
    for n in range(25):
        ask(store, n, (n + 1) % 25)
    report = store.features.shadows.report("model@1")
    asked = list(range(25)) * 2
    changed = [n for n in asked if n < 20 and n % 3 == 0]
    km = report.features["km"]
    assert (report.tally.requests, report.tally.entities) == (25, 50)
    assert (km.unequal, km.equal) == (len(changed) + asked.count(5), 50 - len(changed) - asked.count(5))
    assert km.status_changes == {"PRESENT > NOT_FOUND": 2}
    assert (km.numbers, km.sum_difference, km.max_absolute) == (38, 2.0 * len(changed), 2.0)
    city = report.features["city"]
    assert (city.unequal, city.status_changes) == (0, {"NULL_VALUE > NOT_FOUND": 2}), "driver 5 has no city"
    assert (report.tally.only_live, report.tally.only_candidate) == ([], ["more"])
    assert report.equal is False
    assert report.unequal_share == km.unequal / 50
    assert "2 x PRESENT > NOT_FOUND" in str(report)
    json.dumps(report.to_dict(), allow_nan=False)


def test_the_live_answer_is_what_it_would_be_without(store):
    before = ask(store, 1, 3, 5, 99)
    store.features.shadows.start("model@1", "model@2", share=1)
    assert ask(store, 1, 3, 5, 99) == before
    assert ask(store, 1, service="model@2")["more"] == [1]
    report = store.features.shadows.report("model@1")
    assert report.tally.requests == 1, "lookups of the candidate itself are no matter of the shadow"


@pytest.mark.parametrize("fault", [StoreError("The disk is gone."), ZeroDivisionError(), MemoryError()])
def test_faults_of_the_candidate_are_counted_and_raised_to_nobody(store, monkeypatch, fault):
    store.features.shadows.start("model@1", "model@2", share=1)

    def broken(*_):
        raise fault

    monkeypatch.setattr(store.features._shadow_runner, "_ask", broken)
    assert ask(store, 3)["km"] == [3.0]
    report = store.features.shadows.report("model@1")
    assert report.tally.errors == {getattr(fault, "code", type(fault).__name__): 1}
    assert (report.equal, report.error_share, report.tally.requests) == (False, 1.0, 0)
    assert "1 requests were not answered" in str(report)


def test_a_candidate_that_needs_another_key_is_an_error_of_the_candidate(store):
    by_city = foldstore.Entity("city", keys={"city": "string"})
    other = foldstore.FeatureView("by_city", entity=by_city, source="rides", event_time="ts", features=["km"])
    made = store.features.apply(foldstore.FeatureService("model", [view(LIVE, "city"), other]), allow_breaking=True)
    store.features.materialize(made)
    store.features.shadows.start("model@1", made, share=1)
    assert ask(store, 3)["km"] == [3.0]
    assert store.features.shadows.report("model@1").tally.errors == {"schema-mismatch": 1}


def test_a_fault_of_the_shadow_itself_is_raised_to_nobody(store, monkeypatch):
    store.features.shadows.start("model@1", "model@2", share=1)

    def broken(*_, **__):
        raise RuntimeError

    monkeypatch.setattr(store.features._shadow_runner, "_put", broken)
    assert ask(store, 3)["km"] == [3.0]


def test_lookups_do_not_wait_for_a_candidate_and_what_waits_is_bounded(store, monkeypatch):
    monkeypatch.setattr(shadow_runner, "_MOST_WAITING", 5)
    store.features.shadows.start("model@1", "model@2", share=1)
    runner, going, begun = store.features._shadow_runner, threading.Event(), threading.Event()
    real = runner._ask

    def slow(*asked):
        begun.set()
        assert going.wait(60)
        return real(*asked)

    monkeypatch.setattr(runner, "_ask", slow)
    ask(store, 0)
    assert begun.wait(60)  # the candidate is at work, and answers when the lookups below are long over
    for n in range(1, 12):
        assert ask(store, n)["km"] == [float(n)]
    going.set()
    report = store.features.shadows.report("model@1")
    assert (report.tally.requests, report.tally.left_out) == (6, 6)
    assert "6 requests left out" in str(report)


def test_what_was_found_outlives_the_process_and_is_seen_by_others(store, folder):
    with foldstore.connect(folder) as other:
        other.features.shadows.start("model@1", "model@2", share=1)
    ask(store, 1, 2, 3)  # the setting is noticed
    store.close()
    with foldstore.connect(folder) as again:
        assert again.features.shadows.report("model@1").tally.entities == 3
        assert again._storage.journal.verify("shadow/model@1") == 1
        ask(again, 4)
        assert again.features.shadows.report("model@1").tally.entities == 4


def test_a_process_that_ends_without_closing_the_store_commits_what_was_counted_and_says_nothing(store, folder):
    store.features.shadows.start("model@1", "model@2", share=1)
    code = (
        "import foldstore, sys\n"
        "store = foldstore.connect(sys.argv[1])\n"
        "store.features.get_online_features('model@1', [{'driver': 1}], at='2024-01-05T00:00:00Z')\n"
    )
    done = subprocess.run([sys.executable, "-c", code, str(folder)], capture_output=True, text=True, check=True)
    assert (done.stdout, done.stderr) == ("", "")
    assert store.features.shadows.report("model@1").tally.requests == 1


def test_what_cannot_be_committed_is_kept_and_committed_later(store, monkeypatch):
    store.features.shadows.start("model@1", "model@2", share=1)
    journal = store._storage.journal

    def full(*_, **__):
        raise StoreError("The disk is full.")

    with monkeypatch.context() as patched:
        patched.setattr(type(journal), "append", full)
        ask(store, 1)
        with pytest.raises(StoreError):
            store.features.shadows.report("model@1")
    assert store.features.shadows.report("model@1").tally.requests == 1


def test_batches_are_committed_on_the_way(store, monkeypatch):
    monkeypatch.setattr(shadow_runner, "_BATCH", 10)
    store.features.shadows.start("model@1", "model@2", share=1)
    written = threading.Event()
    commit = store.features._shadow_runner._commit
    monkeypatch.setattr(store.features._shadow_runner, "_commit", lambda: (commit(), written.set()))
    ask(store, *range(12))
    assert written.wait(60)
    assert len(store._storage.journal.list_entries("shadow/model@1")) == 1


def test_a_share_is_of_requests_and_the_same_ones_everywhere(store, folder):
    store.features.shadows.start("model@1", "model@2", share=0.3, seed=5)
    for n in range(300):
        ask(store, n)
    expected = sum(is_chosen({"driver": [n]}, 0.3, 5) for n in range(300))
    assert store.features.shadows.report("model@1").tally.requests == expected
    assert 60 < expected < 120


@settings(max_examples=50)
@given(seed=st.integers(0, 2**63 - 1), share=st.floats(0.01, 1.0), keys=st.lists(st.integers() | st.text(), min_size=1))
def test_a_smaller_share_is_a_part_of_a_larger_one(seed, share, keys):
    entities = {"a": keys}
    assert is_chosen(entities, 1.0, seed)
    if is_chosen(entities, share / 2, seed):
        assert is_chosen(entities, share, seed)
    assert is_chosen(entities, share, seed) == is_chosen({"a": list(keys)}, share, seed)


def test_shares_are_kept_over_many_requests():
    for share in (0.01, 0.1, 0.5):
        chosen = np.array([is_chosen({"driver": [n], "city": ["Oslo"]}, share, 3) for n in range(20_000)])
        assert abs(chosen.mean() - share) < 5 * np.sqrt(share * (1 - share) / 20_000)


def test_stopping_ends_it_and_another_may_begin(store):
    shadows = store.features.shadows
    store.features.aliases.set("model@live", "model@1")
    assert shadows.start("model@live", "model@2", share=1, seed=1).live == "model@1"
    with pytest.raises(AlreadyExistsError, match="model@2 is a shadow of model@1 already"):
        shadows.start("model@1", "model@2")
    ask(store, 1, service="model@live")
    assert shadows.stop("model@live").tally.requests == 1
    ask(store, 2)
    assert shadows.report("model@1").tally.requests == 1
    with pytest.raises(NotFoundError, match="was stopped already"):
        shadows.stop("model@1")
    again = shadows.start("model@1", "model@2", share=1)
    assert (again.run, 0 <= again.seed < 2**32) == (2, True)
    assert shadows.report("model@1").tally.requests == 0, "each shadow has a report of its own"
    assert [each.run for each in shadows.list()] == [2]


def test_what_means_nothing_is_refused(store):
    shadows = store.features.shadows
    for share in (0, -1, 1.5, True, "all", float("nan")):
        with pytest.raises(UsageError, match="is no share"):
            shadows.start("model@1", "model@2", share=share)
    for seed in (-1, 1.5, True, 2**63):
        with pytest.raises(UsageError, match="is no seed"):
            shadows.start("model@1", "model@2", seed=seed)
    with pytest.raises(UsageError, match="no other version"):
        shadows.start("model@1", "model@1")
    with pytest.raises(NotFoundError, match="There is no feature service 'model@9'"):
        shadows.start("model@1", "model@9")
    with pytest.raises(NotFoundError, match="model@1 has no shadow"):
        shadows.report("model@1")
    made = store.features.apply(foldstore.FeatureService("model", [view(LIVE, "km")]), allow_breaking=True)
    with pytest.raises(RefusedError, match="model@3 is not materialized") as caught:
        shadows.start("model@1", made)
    assert caught.value.code == "not-materialized"


def test_the_commands_and_the_routes(store, folder, capsys):
    where = ["--store", str(folder)]
    assert run(["features", "shadow", "start", "model@1", "model@2", "--share", "1", "--seed", "3", *where]) == 0
    vault = TokenVault(store.registry("token"), clock=store.clock)
    app = create_app(store.features, vault, store=store)
    viewer, editor = (client_of(app, vault.create(role, author="ana")[0]) for role in ("viewer", "editor"))
    body = {"service": "model@1", "entities": {"driver": [3, 5]}, "at": "2024-01-02T00:00:00Z"}
    assert viewer.post("/v1/features:get", json=body).json()["features"]["km"]["values"] == [3.0, 5.0]
    store.features._shadow_runner.flush()
    path = "/v1/feature-services/model/versions/1/shadow"
    found = viewer.get(path).json()
    unequal = {each["feature"]: each["unequal"] for each in found["features"]}
    assert (found["candidate"], found["requests"], unequal) == ("model@2", 1, {"km": 2, "city": 0})
    said = viewer.get(path, headers={"accept": "text/plain"})
    assert (said.headers["content-type"], "km: 2 of 2 differ" in said.text) == ("text/plain; charset=utf-8", True)
    assert run(["features", "shadow", "report", "model@1", *where]) == 0
    assert "km: 2 of 2 differ" in capsys.readouterr().out
    assert run(["features", "shadow", "report", "model@1", "--at-most", "0.5", *where]) == 1
    assert run(["features", "shadow", "ls", "-o", "json", *where]) == 0
    assert_problem(viewer.delete(path), 403)
    assert editor.delete(path).json()["running"] is False
    assert run(["features", "shadow", "stop", "model@1", *where]) == 2
    assert editor.post(path, json={"candidate": "2", "share": 0.5}).status_code == 201
    assert_problem(editor.post(path, json={"candidate": "2", "share": "x"}), 422)
    assert_problem(viewer.get("/v1/feature-services/model/versions/2/shadow"), 404)


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        (1.0, 1.0, True), (0.0, -0.0, False), (float("nan"), float("nan"), True), (float("nan"), None, False),
        (None, None, True), (None, 0, False), (2**53 + 1, 2**53, False), ("a", "a", True), ("1", 1, False),
        ([1, None], [1, None], True), ([0.0], [-0.0], False), (0.1 + 0.2, 0.3, False), (True, False, False),
    ],
)  # fmt: skip
def test_values_are_compared_to_the_bit(one, other, same):
    assert _is_same(one, other) is same
    assert _is_same(other, one) is same


TALLIES = st.builds(
    ShadowTally,
    requests=st.integers(0, 9),
    entities=st.integers(0, 9),
    left_out=st.integers(0, 9),
    errors=st.dictionaries(st.sampled_from(["a", "b"]), st.integers(1, 9)),
    only_live=st.just(["x"]),
    features=st.dictionaries(
        st.sampled_from(["km", "city"]),
        st.builds(
            FeatureTally,
            equal=st.integers(0, 9),
            unequal=st.integers(0, 9),
            status_changes=st.dictionaries(st.sampled_from(["A > B", "B > A"]), st.integers(1, 9)),
            numbers=st.integers(0, 9),
            sum_difference=st.integers(-9, 9).map(float),
            sum_absolute=st.integers(0, 9).map(float),
            max_absolute=st.integers(0, 9).map(float),
        ),
    ),
)


@settings(max_examples=50)
@given(tallies=st.lists(TALLIES, max_size=4), cut=st.integers(0, 4))
def test_tallies_merge_however_they_are_cut(tallies, cut):
    def total(some):
        found = ShadowTally()
        for each in some:
            found.add(ShadowTally.from_dict(json.loads(json.dumps(each.to_dict()))))
        return found

    parts = total([total(tallies[:cut]), total(tallies[cut:])])
    assert parts.to_dict() == total(tallies).to_dict()
    assert parts.requests == sum(each.requests for each in tallies)
