"""Statistics, schemas, gates, drift, reviews and splits are the same in a folder and behind a server."""

from dataclasses import replace

import pytest

from foldstore.names import PARTS
from tests.conformance.conftest import raised

COUNT = 2_000


def rows(start=0, shift=0, count=COUNT):
    return {
        "id": list(range(start, start + count)),
        "km": [n % 97 + shift for n in range(count)],
        "zone": [f"z{n % 7}" for n in range(count)],
    }


@pytest.fixture
def trips(store):
    return store.create_dataset("trips", key=["id"])


@pytest.fixture
def first(trips):
    return trips.append(rows())


class TestProfiles:
    def test_are_whole(self, first):
        profile = first.profile()
        assert (profile.rows, profile.columns["km"].minimum, profile.columns["km"].maximum) == (COUNT, 0, 96)
        assert profile.columns["zone"].distinct == 7
        assert (profile.key, profile.dataset) == (("id",), "trips")
        assert profile.sample(10).num_rows == 10
        assert profile.correlations(["id", "km"]) is not None

    def test_of_what_came_and_of_segments(self, trips, first):
        second = trips.append(rows(COUNT, count=500))
        assert second.profile(rows="added").rows == 500
        parts = first.profile(by="zone")
        assert sum(part.rows for part in parts.values()) == COUNT
        assert raised(lambda: first.profile(by="nope")) == ("ColumnNotFoundError", "column-not-found")

    def test_have_one_id_everywhere(self, behind):
        local = behind.store.create_dataset("trips", key=["id"]).append(rows())
        profile = behind.connect().version("trips@1").profile()
        assert profile.id == local.profile().id
        assert profile.to_dict() == local.profile().to_dict()
        assert profile.infer_schema() == local.profile().infer_schema()
        assert profile.infer_schema(history=False, label="km") == local.profile().infer_schema(
            history=False, label="km"
        )


class TestSchemas:
    def test_gate_what_comes(self, store, trips, first):
        assert trips.schema is None
        kept = trips.set_schema(first.profile().infer_schema(), message="first")
        assert trips.schema == kept
        assert trips.schemas() == [kept]
        report = first.validate()
        assert report.passed
        assert replace(report, created_at="") == replace(first.validate(kept), created_at="")
        bad = trips.append({**rows(COUNT, count=50), "zone": [None] * 50})
        assert str(bad.status) == "quarantined"
        assert not bad.report.passed
        assert {each.code for each in bad.report.anomalies}
        assert trips.latest == first
        assert raised(lambda: store.view("trips@2")) == ("RefusedError", "version-quarantined")
        assert store.view("trips@2", quarantined=True).count() == COUNT + 50
        assert store.version("trips@2").to_arrow().num_rows == COUNT + 50
        assert [str(each.state) for each in trips.reviews()] == ["waiting"]
        assert store.reviews() == trips.reviews() == [bad.review]
        released = bad.release("the form did not ask")
        assert (released.address, str(released.status)) == ("trips@3", "published")
        assert raised(lambda: bad.release("again"))[0] == "ConflictError"

    def test_reject(self, trips, first):
        trips.set_schema(first.profile().infer_schema())
        bad = trips.append({**rows(COUNT, count=50), "zone": [None] * 50})
        bad.reject("broken export")
        assert trips.reviews() == []
        assert [each.reason for each in trips.reviews(every=True)] == ["broken export"]
        assert raised(lambda: bad.release("not that broken")) == ("ConflictError", "commit-conflict")
        bad.postpone("1h", "exported anew")
        assert bad.release("as the new export").address == "trips@3"
        assert [each["act"] for each in bad.review.acts] == ["reject", "postpone", "release"]

    def test_errors(self, store, trips, first):
        assert raised(first.validate) == ("NotFoundError", "schema-not-found")
        assert first.report is None
        assert raised(lambda: trips.set_schema("x")) == ("UsageError", "usage")
        keyless = store.create_dataset("other").append({"a": [1]}).profile().infer_schema()
        assert raised(lambda: trips.set_schema(keyless)) == ("InvalidSchemaError", "invalid-schema")
        assert raised(lambda: first.release("x")) == ("UsageError", "invalid-status")


class TestDrift:
    def test_is_found(self, store, trips, first):
        second = trips.append(rows(COUNT, shift=30))
        found = second.drift(first)
        assert "km" in found.drifted
        assert found.columns["km"].verdict.value == "error"
        assert raised(lambda: second.drift("trips@1")) == ("UsageError", "usage")
        assert second.drift("previous").columns["km"].verdict.value == "error"
        assert second.drift(second).drifted == ()
        assert raised(lambda: second.drift("rolling(x)")) == ("UsageError", "usage")

    def test_is_found_of_nulls_of_what_cannot_be_compared(self, store):
        notes = store.create_dataset("notes")
        notes.append({"text": [f"Note {n}" for n in range(COUNT)]})
        later = notes.append({"text": [None if n % 5 else f"Note {n} again" for n in range(COUNT)]})
        found = later.drift("previous")
        assert (found.drifted, found.columns) == (("text",), {})
        nulls = found.nulls["text"]
        assert (nulls.nulls_reference, nulls.nulls_current, nulls.rows_current) == (0, 1_600, COUNT)
        assert (nulls.verdict.value, found.verdict.value) == ("error", "error")

    def test_is_found_by_segment(self, trips, first):
        second = trips.append({**rows(COUNT), "km": [n % 97 + 60 * (n % 7 == 0) for n in range(COUNT)]})
        found = second.drift("previous", by="zone")
        assert found.drifted == (("z0", "km"),)
        assert found["z0"].drift.columns["km"].verdict.value == "error"
        assert (found.by, found.mix.verdict.value) == (("zone",), "stable")
        few = second.drift(first, by=["zone"], rows="added", max_segments=2)
        assert [each.is_other for each in few.segments].count(True) == 1
        assert few.left_over == 5
        assert raised(lambda: second.drift(first, by="nope")) == ("ColumnNotFoundError", "column-not-found")
        assert raised(lambda: second.drift(first, by=["zone", "km", "id"])) == ("UsageError", "usage")
        assert raised(lambda: second.drift(first, by=[])) == ("UsageError", "usage")
        for most in (0, 9_999):
            assert raised(lambda most=most: second.drift(first, by="zone", max_segments=most)) == (
                "UsageError",
                "usage",
            )

    def test_by_segment_has_the_same_numbers_everywhere(self, behind):
        trips = behind.store.create_dataset("trips", key=["id"])
        first = trips.append({**rows(), "zone": ["NaN" if n % 2 else None for n in range(COUNT)]})
        second = trips.append({**rows(COUNT, shift=30), "zone": ["new" if n % 3 else "NaN" for n in range(COUNT)]})
        theirs = behind.connect()
        view = theirs.view("trips@1").where("km > 3")
        here = behind.store.view("trips@1").where("km > 3")
        for by in ("zone", ["zone", "km"]):
            found = theirs.version("trips@2").drift(theirs.version("trips@1"), by=by, rows="added")
            assert found == second.drift(first, by=by, rows="added")
            assert theirs.version("trips@2").drift(view, by=by) == second.drift(here, by=by)
        assert theirs.version("trips@2").drift("previous", by="zone")["new"].drift is None

    def test_has_the_same_numbers_everywhere(self, behind):
        trips = behind.store.create_dataset("trips", key=["id"])
        first, second = trips.append(rows()), trips.append(rows(COUNT, shift=30))
        theirs = behind.connect()
        assert theirs.version("trips@2").drift(theirs.version("trips@1")) == second.drift(first)


class TestSplits:
    @pytest.fixture
    def split(self, first):
        return first.split("by_id", train=0.7, validation=0.1, test=0.2, seed=7)

    def test_are_made_and_found(self, store, first, split):
        assert (split.name, split.address) == ("by_id", "trips@1#by_id")
        assert sum(split.part(part).num_rows for part in PARTS) == COUNT
        assert split.train.num_rows > 1_000 > split.test.num_rows
        ids = [split.part(part).to_arrow(columns=["id"])["id"].to_pylist() for part in PARTS]
        assert sorted(each for part in ids for each in part) == list(range(COUNT))
        again = store.split("trips@1#by_id")
        assert again.test.to_arrow() == split.test.to_arrow()
        assert again.spec == split.spec == first.find_split("by_id").spec
        assert store.view("trips@1#by_id.test").count() == split.test.num_rows
        assert split.test.view().where("km > 50").count() < split.test.num_rows
        assert split.train.to_polars().height == split.train.num_rows

    def test_of_a_view(self, store, first):
        split = store.view("trips@1").where("km > 50").split("far", train=0.5, test=0.5)
        assert split.train.num_rows + split.test.num_rows == sum(n % 97 > 50 for n in range(COUNT))
        assert raised(lambda: store.view("trips@1").limit(5).split("x"))[0] == "UsageError"

    def test_report(self, split):
        report = split.report(label="zone")
        assert (report.address, report.label, report.judged_on) == ("trips@1#by_id", "zone", "test")
        assert sum(report.sizes.values()) == COUNT
        assert report.keys_in_several_parts == 0
        assert "test" in str(report)

    def test_rows_of_later_versions_follow(self, store, trips, split):
        trips.append(rows(COUNT, count=500))
        later = store.split("trips@2#by_id")
        assert set(split.test.to_arrow()["id"].to_pylist()) <= set(later.test.to_arrow()["id"].to_pylist())

    def test_mixing_parts_is_told(self, store, split):
        mixed = store.view(["trips@1#by_id.train", "trips@1#by_id.test"])
        assert not mixed.leakage().passed
        assert mixed.leakage().mixed == ("trips@1#by_id",)
        assert store.view("trips@1#by_id.train").leakage().passed

    def test_errors(self, store, first, split):
        assert raised(lambda: first.split("by_id")) == ("AlreadyExistsError", "already-exists")
        assert raised(lambda: first.split("x", train=2)) == ("UsageError", "usage")
        assert raised(lambda: first.find_split("nope")) == ("NotFoundError", "not-found")
        assert raised(lambda: store.view("trips@1#by_id.nope"))[0] in {"NotFoundError", "InvalidNameError"}
        assert raised(lambda: split.part("nope")) == ("NotFoundError", "not-found")


def test_reports_are_the_same_documents_everywhere(behind):
    dataset = behind.store.create_dataset("trips", key=["id"])
    first = dataset.append(rows())
    dataset.set_schema(first.profile().infer_schema())
    local = dataset.append(rows(COUNT, shift=40))
    remote = behind.connect().version("trips@2")
    for form in ("to_html", "to_text", "to_json_lines", "to_junit", "to_sarif", "to_github"):
        assert getattr(remote.report, form)() == getattr(local.report, form)()
    assert remote.drift("previous").to_html() == local.drift("previous").to_html()
    split = first.split("halves", train=0.5, test=0.5, seed=1)
    assert remote.server.store.split("trips@1#halves").report().to_html() == split.report().to_html()
    history = behind.connect().dataset("trips").report_history()
    assert history.to_html() == dataset.report_history().to_html()
