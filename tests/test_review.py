"""What publishing needs, and what persons decide about versions that did not pass."""

from datetime import UTC, datetime, timedelta

import pytest

import foldstore
from foldstore.errors import (
    ConflictError,
    DuplicateKeyError,
    InvalidSchemaError,
    NotFoundError,
    RefusedError,
    UsageError,
)
from foldstore.review import ReviewState

ROWS = {"id": list(range(500)), "x": [each % 50 for each in range(500)]}


@pytest.fixture
def clock():
    class Clock:
        now = datetime(2026, 1, 1, tzinfo=UTC)

        def __call__(self):
            Clock.now += timedelta(seconds=1)
            return Clock.now

    return Clock()


@pytest.fixture
def store(tmp_path, clock):
    with foldstore.connect(tmp_path / "store", author="ann", clock=clock) as opened:
        yield opened


@pytest.fixture
def gated(store):
    dataset = store.create_dataset("gated", key=["id"])
    first = dataset.append(ROWS)
    dataset.set_schema(first.profile().infer_schema())
    return dataset


def bad(start, rows=100):
    return {"id": list(range(start, start + rows)), "x": [None] * rows}


def test_a_released_version_is_a_new_one_with_its_report_and_who_did_it(gated, store):
    failed = gated.append(bad(500))
    assert str(failed.status) == "quarantined"
    assert [review.address for review in store.reviews()] == ["gated@2"]
    assert any("null" in reason for reason in gated.reviews()[0].reasons)
    made = failed.release("The field was closed.", author="bob")
    assert (made.address, str(made.status), made.num_rows) == ("gated@3", "published", 600)
    assert gated.latest == made
    assert made.report is not None
    assert not made.report.passed
    assert made.record.properties["released"] == {"version": 2, "by": "bob", "reason": "The field was closed."}
    assert made.record.bytes_added == 0
    assert str(gated.version(2).status) == "quarantined"
    assert store.reviews() == []
    (review,) = store.reviews(every=True)
    assert (review.state, review.released_as, review.decided_by) == (ReviewState.RELEASED, "gated@3", "bob")
    with pytest.raises(ConflictError, match="was released as gated@3"):
        failed.release("again")
    with pytest.raises(ConflictError, match="was released"):
        failed.reject("no")


def test_a_release_comes_on_top_of_what_was_published_since(gated):
    failed = gated.append(bad(500))
    later = gated.append({"id": [900], "x": [3]})
    assert str(later.status) == "published"
    made = failed.release("Fine after all.")
    assert made.num_rows == 601
    assert sorted(made.to_arrow()["id"].to_pylist()) == [*range(600), 900]


def test_what_a_person_says_does_not_make_keys_unique(gated):
    failed = gated.append({"id": [3, 600], "x": [1, 2]})
    assert str(failed.status) == "quarantined"
    with pytest.raises(DuplicateKeyError):
        failed.release("Never mind.")
    assert gated.latest.number == 1
    twice = gated.append(bad(700))
    gated.append({"id": [700], "x": [1]})
    with pytest.raises(ConflictError):
        twice.release("The keys came again meanwhile.")


def test_the_first_version_of_a_dataset_can_wait_and_be_released(store):
    dataset = store.create_dataset("new")
    dataset.set_gate(foldstore.GatePolicy(review=True))
    first = dataset.append({"x": [1, 2]})
    assert str(first.status) == "quarantined"
    assert dataset.reviews()[0].reasons == ("a person has to release every version of this dataset",)
    with pytest.raises(NotFoundError) as raised:
        store.sql("SELECT * FROM new")
    assert raised.value.hint.startswith("Nothing has passed the gate yet; foldstore review release new@1")
    made = first.release("Looked at.")
    assert made.to_arrow()["x"].to_pylist() == [1, 2]
    assert dataset.latest == made
    second = dataset.append({"x": [3]})
    assert second.release("Looked at, too.").to_arrow()["x"].to_pylist() == [1, 2, 3]


def test_a_rejected_version_leaves_the_queue_and_is_not_released_from_there(gated):
    failed = gated.append(bad(500))
    failed.reject("The sensor was off.", author="bob")
    assert gated.reviews() == []
    assert failed.review.state is ReviewState.REJECTED
    assert failed.review.reason == "The sensor was off."
    for act in (failed.release, failed.reject):
        with pytest.raises(ConflictError, match=r"gated@2 was rejected by bob: The sensor was off\.") as raised:
            act("It was on.")
        assert "foldstore review later gated@2 1h" in raised.value.hint
        assert raised.value.facts["decided_by"] == "bob"
    assert [each.number for each in gated.versions()] == [1, 2]
    assert failed.review.decided_by == "bob"


def test_a_rejection_is_taken_back_by_an_act_of_its_own_and_every_act_is_kept(gated, store):
    failed = gated.append(bad(500))
    failed.reject("The sensor was off.", author="bob")
    with pytest.raises(UsageError, match="put back into the queue for a reason"):
        failed.postpone("1h")
    failed.postpone("1h", "Bob looked at the wrong sensor.", author="cid")
    assert failed.review.state is ReviewState.POSTPONED
    assert failed.release("It was on.").num_rows == 600
    assert [(each["act"], each["by"], each["reason"]) for each in failed.review.acts] == [
        ("reject", "bob", "The sensor was off."),
        ("postpone", "cid", "Bob looked at the wrong sensor."),
        ("release", "ann", "It was on."),
    ]
    assert failed.review.acts[-1]["as"] == "gated@3"
    assert [each.acts for each in store.reviews(every=True)] == [failed.review.acts]


def test_a_postponed_version_comes_back(gated, clock):
    failed = gated.append(bad(500))
    failed.postpone("2h", "Ask the owner.")
    assert gated.reviews() == []
    assert failed.review.state is ReviewState.POSTPONED
    type(clock).now += timedelta(hours=3)
    assert [review.state for review in gated.reviews()] == [ReviewState.WAITING]
    failed.postpone("2026-02-01T00:00:00Z")
    assert failed.review.until == "2026-02-01T00:00:00.000000Z"
    for wrong in ("2020-01-01", "soon", "3x", "0"):
        with pytest.raises(UsageError):
            failed.postpone(wrong)


def test_only_quarantined_versions_are_decided_about_and_for_a_reason(gated):
    assert gated.latest.review is None
    for act in (gated.latest.release, gated.latest.reject):
        with pytest.raises(UsageError, match="nothing to decide"):
            act("because")
    failed = gated.append(bad(500))
    for act in (failed.release, failed.reject):
        with pytest.raises(UsageError, match="for a reason"):
            act("")


def test_warnings_fail_where_the_policy_says_so(store):
    dataset = store.create_dataset("strict")
    dataset.set_schema(dataset.append({"x": ROWS["x"]}).profile().infer_schema())
    assert str(dataset.append({"x": ROWS["x"], "new": [1] * 500}).status) == "published"
    dataset.set_gate(foldstore.GatePolicy(fail_on="warn"))
    assert str(dataset.append({"x": ROWS["x"], "newer": [1] * 500}).status) == "quarantined"
    assert dataset.gate.fail_on == "warn"


def test_drift_from_a_window_fails_and_too_few_versions_do_not(store):
    dataset = store.create_dataset("drifting")
    dataset.set_gate(foldstore.GatePolicy(drift="rolling(2)"))
    rows = {"x": [each % 97 for each in range(2_000)]}
    for _ in range(2):
        version = dataset.append(rows)
        assert str(version.status) == "published"
        assert [each.code for each in version.report.anomalies] == ["comparator_missing_reference"]
    moved = dataset.append({"x": [each % 97 + 50 for each in range(2_000)]})
    assert str(moved.status) == "quarantined"
    (drift,) = moved.report.by_code()["drift"]
    assert drift.evidence["reference"] == "the 2 versions up to drifting@2"
    # What failed is no reference for what comes next.
    assert str(dataset.append(rows).status) == "published"


def test_drift_of_a_label_has_half_the_limits_and_a_code_of_its_own(store):
    def rows(share):
        return {"late": [each % 100 < share for each in range(4_000)]}

    for name, label in (("labelled", "late"), ("plain", None)):
        dataset = store.create_dataset(name)
        schema = dataset.append(rows(50)).profile().infer_schema(label=label)
        dataset.set_schema(schema.with_column("late", drift=None))
        dataset.set_gate(foldstore.GatePolicy(drift="previous"))
        moved = dataset.append(rows(65))  # 0.13 by the Jensen-Shannon distance, between the limits 0.1 and 0.2
        codes = {each.code: str(each.severity) for each in moved.report.anomalies}
        if label:
            assert (codes["label_shift"], str(moved.status)) == ("error", "quarantined")
            assert "limit 0.10)" in moved.report.by_code()["label_shift"][0].message
        else:
            assert (codes["drift"], str(moved.status)) == ("warn", "published")


def test_a_policy_without_a_schema_leaves_keys_and_types_as_strict_as_before(store):
    dataset = store.create_dataset("plain", key=["id"])
    dataset.set_gate(foldstore.GatePolicy(drift="previous"))
    dataset.append(ROWS)
    with pytest.raises(DuplicateKeyError):
        dataset.append({"id": [3], "x": [1]})


def test_policies_are_checked_and_kept_in_versions(store):
    dataset = store.create_dataset("d")
    with pytest.raises(InvalidSchemaError, match="fail_on"):
        foldstore.GatePolicy(fail_on="info")
    with pytest.raises(UsageError, match="no reference"):
        foldstore.GatePolicy(drift="yesterday")
    with pytest.raises(UsageError, match="not a policy"):
        dataset.set_gate({"drift": "previous"})
    policy = foldstore.GatePolicy(drift="seasonal(12)", review=True, fail_on="warn")
    assert foldstore.GatePolicy.from_dict(policy.to_dict()) == policy
    with pytest.raises(InvalidSchemaError):
        foldstore.GatePolicy.from_dict({"drfit": "previous"})


def test_a_release_is_a_merge_that_says_what_it_released(gated):
    failed = gated.append(bad(500))
    made = failed.release("Fine.")
    assert made.record.operation == "merge"
    assert gated.version(made.number).record.properties["released"]["version"] == 2


def test_features_and_training_sets_are_not_made_of_what_did_not_pass(store, gated):
    labels = store.create_dataset("labels", key=["id"], event_time="ts")
    when = [datetime(2026, 1, 1, tzinfo=UTC)] * 100
    version = labels.append({"id": list(range(100)), "ts": when})
    version.split("half", test=0.5)
    sources = store.create_dataset("sources", key=["id"])
    sources.append({"id": list(range(100)), "ts": when, "f": list(range(100))})
    sources.set_gate(foldstore.GatePolicy(review=True))
    waiting = sources.append({"id": [100], "ts": when[:1], "f": [1]})
    entity = foldstore.Entity("id", keys={"id": "int64"})
    for address, name in (("sources@2", "bad"), ("sources@1", "good")):
        view = foldstore.FeatureView(name, entity=entity, source=address, event_time="ts", features=["f"])
        if name == "bad":
            with pytest.raises(RefusedError, match="sources@2 is quarantined"):
                store.features.apply(foldstore.FeatureService(name, [view]))
            continue
        store.features.apply(foldstore.FeatureService(name, [view]))
        store.features.materialize(name)
    labels.set_gate(foldstore.GatePolicy(review=True))
    bad_labels = labels.append({"id": [900], "ts": when[:1]})
    bad_labels.split("half2", test=0.5)
    with pytest.raises(RefusedError, match="labels@2 is quarantined"):
        store.features.create_training_set("t", labels="labels@2#half2", features="good")
    assert waiting.release("Fine.").address == "sources@3"


def test_a_released_version_counts_with_the_rows_that_it_brought(tmp_path):
    with foldstore.connect(tmp_path / "own") as store:
        trips = store.create_dataset("trips")
        first = trips.append({"km": [each % 50 for each in range(1_000)]})
        trips.set_schema(first.profile().infer_schema())
        held = trips.append({"km": [-1 - each % 50 for each in range(400)]})
        assert str(held.status) == "quarantined"
        released = held.release("they drove backwards")
        assert (released.num_rows, released.profile(rows="added").rows) == (1_400, 400)
        assert released.validate(rows="added").rows == 400
        assert released.drift("previous").columns["km"].n_current == 400
        history = trips.report_history()
        assert [(each.address, each.rows) for each in history.versions] == [("trips@1", 1_000), ("trips@3", 400)]
        branch = trips.create_branch("more", released)
        branch.append({"km": [each % 40 for each in range(300)]})
        merged = trips.merge("more")
        assert merged.record.operation.value == "merge"
        assert [each.address for each in trips.report_history().versions] == ["trips@1", "trips@3"]
