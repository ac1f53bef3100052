"""Reports of splits: the parts tested against each other, what they share, what the test part can show."""

import json

import numpy as np
import pyarrow as pa
import pytest

import foldstore
from foldstore.errors import ColumnNotFoundError, UsageError
from foldstore.validation.check import drift_between
from foldstore.validation.power import power_of_part
from foldstore.validation.subject import TableSubject


def _table(rows, seed=0):
    rng = np.random.default_rng(seed)
    return pa.table(
        {
            "id": np.arange(rows),
            "t": pa.array(np.arange(rows) * 3600, pa.timestamp("s", "UTC")),
            "x": rng.normal(size=rows),
            "trend": rng.normal(size=rows) + np.linspace(0, 3, rows),
            "kind": rng.choice(["a", "b", "c"], rows),
            "group": rng.integers(0, 200, rows),
            "late": rng.random(rows) < 0.2,
            "code": [f"{n * 2654435761 % 2**32:x}" for n in range(rows)],
            "one": ["same"] * rows,
            "list": [[1]] * rows,
        }
    )


@pytest.fixture
def version(store):
    return store.create_dataset("d", key=["id"], event_time="t").append(_table(3_000))


def test_parts_of_one_distribution_are_not_flagged_and_those_of_two_are(version):
    by_hash = version.split("by_hash", train=0.6, validation=0.2, test=0.2).report(label="late")
    assert by_hash.drifted == {"validation": (), "test": ()}
    by_time = version.split("by_time", by_time="t", boundaries=["1970-03-15", "1970-04-10"]).report(label="late")
    assert by_time.drifted == {"validation": ("trend",), "test": ("trend",)}
    assert by_time.times_overlap is False
    text = str(by_time)
    assert "test: no: trend (effect 0." in text
    assert "times: one part after the other" in text


def test_the_tests_are_those_of_the_drift_engine_on_the_same_rows(version):
    split = version.split("s", by_time="t", boundaries=["1970-03-15", "1970-04-10"])
    report = split.report(columns=["x", "trend", "kind"])
    names = ["x", "trend", "kind"]
    expected = drift_between(
        TableSubject(split.train.to_arrow(names), "a"), TableSubject(split.test.to_arrow(names), "b")
    )
    for name in names:
        found, other = report.drift["test"].columns[name], expected.columns[name]
        assert (found.effect, found.p_value, found.n_current) == (other.effect, other.p_value, other.n_current)


def test_columns_that_cannot_be_tested_say_why(version):
    report = version.split("s").report()
    assert report.untested == {
        "id": "its values are too many to compare: an identifier, or free text",
        "code": "its values are too many to compare: an identifier, or free text",
        "one": "all rows of both sides are the same",
        "list": "there is no distribution of list<item: int64>",
    }
    assert set(report.drift["test"].columns) == {"t", "x", "trend", "kind", "group", "late"}
    assert "not compared: one (all rows of both sides are the same)" in str(report)


def test_a_part_too_small_to_show_a_change_says_so(store):
    version = store.create_dataset("few", key=["id"]).append(_table(300))
    report = version.split("s", train=0.9, test=0.1).report(columns=["x"])
    assert report.drift["test"].columns["x"].verdict == "untestable"
    assert "test is too small to say of x" in str(report)


def test_what_the_test_part_can_show_follows_from_its_rows_and_its_rarer_class(version):
    split = version.split("s", train=0.5, test=0.5)
    labels = split.test.to_arrow(["late"])["late"].to_pylist()
    report = split.report(label="late", columns=[], accuracy=0.8)
    classes = {"True": sum(labels), "False": len(labels) - sum(labels)}
    assert report.power == power_of_part(len(labels), accuracy=0.8, classes=classes)
    assert report.judged_on == "test"
    assert f"recall of the rarer class late=True ({sum(labels):,} rows)" in str(report)
    with pytest.raises(UsageError, match="accuracy=2 is not a share"):
        split.report(accuracy=2)


def test_without_a_test_part_the_validation_part_is_judged_on(version):
    report = version.split("s", train=0.5, validation=0.5).report(columns=[])
    assert (report.judged_on, report.power.rows) == ("validation", report.sizes["validation"])
    assert version.split("all", train=1.0).report().power is None


def test_rows_that_agree_in_all_but_the_key_and_the_label_are_counted(store):
    rows = {"id": list(range(400)), "x": [n // 2 for n in range(400)], "y": [n % 2 for n in range(400)]}
    split = store.create_dataset("d", key=["id"]).append(rows).split("s", train=0.5, test=0.5)
    train = {row // 2 for row in split.train.to_arrow(["id"])["id"].to_pylist()}
    twins = sum(row // 2 in train for row in split.test.to_arrow(["id"])["id"].to_pylist())
    assert split.report(label="y").duplicates_of_train == {"validation": 0, "test": twins}
    assert split.report(columns=[]).duplicates_of_train is None
    assert split.report(columns=[], duplicates=["x"]).duplicates_of_train == {"validation": 0, "test": twins}


def test_keys_and_groups_in_several_parts_are_counted(store):
    rows = {"id": [n // 2 for n in range(200)], "n": list(range(200)), "g": [n % 5 for n in range(200)]}
    version = store.create_dataset("d", key=["id"], key_policy="off").append(rows)
    split = version.split("s", key=["n"], train=0.5, test=0.5)
    parts = [split.part(part).to_arrow(["id", "g"]) for part in ("train", "test")]
    both = [set(parts[0][name].to_pylist()) & set(parts[1][name].to_pylist()) for name in ("id", "g")]
    report = split.report(group_by=["g"])
    assert (report.keys_in_several_parts, report.groups_in_several_parts) == (len(both[0]), len(both[1]))
    assert split.report(group_by=[["g"], ["id"]]).groups_in_several_parts == len(both[0]) + len(both[1])
    assert version.split("t", group_by=["id"]).report().keys_in_several_parts == 0


def test_sealed_columns_are_not_compared(store):
    version = store.create_dataset("d", key=["id"]).append(_table(6_000).drop(["t", "list"]))
    split = version.split("s", train=0.5, test=0.5)
    plan = foldstore.plan_pool("n > 0.5 +/- 0.1", reliability=0.9, steps=2)
    store.pools.seal("p", split.test, label="late", hide=["x"], plan=plan)
    report = store.split("d@1#s").report(label="late")
    assert report.untested["late"] == report.untested["x"] == "it is sealed"
    assert report.drifted == {"test": ()}
    assert report.power.rare_rows == pytest.approx(0.2 * report.sizes["test"], rel=0.2)
    assert report.power.rare_class == "True"


def test_a_report_is_plain_data_text_and_html(version):
    report = version.split("s", group_by=["group"], stratify=["late", "kind"]).report(label="late")
    plain = json.loads(json.dumps(report.to_dict()))
    assert plain["sizes"] == dict(report.sizes)
    assert plain["drift"]["test"] == report.drift["test"].to_dict()
    assert plain["power"]["rare_class"] == "True"
    assert set(report.columns) == {"late", "kind"}
    text, page = str(report), report._repr_html_()
    for question in (
        "How large are the parts?",
        "Do they come from one distribution?",
        "Do they share",
        "What can the",
    ):
        assert question in text
        assert question in page


def test_a_split_shows_its_parts_in_a_notebook(version):
    split = version.split("s", train=0.5, test=0.5)
    assert f"<td>train</td><td>{split.train.num_rows:,}</td>" in split._repr_html_()
    assert "d@1#cv-2" in version.folds("cv", k=2)[1]._repr_html_()


def test_what_data_holds_stays_text_in_html(store):
    rows = {"id": list(range(100)), "y": ["<script>"] * 3 + ["b"] * 97}
    version = store.create_dataset("d", key=["id"]).append(rows)
    with pytest.warns(foldstore.SplitWarning):
        split = version.split("s", stratify="y", train=0.9, validation=0.05, test=0.05)
    page = split.report(label="y").to_html()
    assert "<script>" not in page
    assert "&lt;script&gt;" in page


@pytest.mark.parametrize(
    "how", [{"label": "lat"}, {"columns": ["lat"]}, {"group_by": ["lat"]}, {"duplicates": ["lat"]}]
)
def test_a_column_that_is_not_there_is_answered_with_those_that_are(version, how):
    with pytest.raises(ColumnNotFoundError, match="'lat'") as error:
        version.split("s").report(**how)
    assert "late" in error.value.hint


def test_a_split_of_nothing_has_a_report(store):
    version = store.create_dataset("d", key=["id"]).append(pa.table({"id": pa.array([], pa.int64())}))
    report = version.split("s").report()
    assert report.sizes == {"train": 0, "validation": 0, "test": 0, "unassigned": 0}
    assert (report.power, report.drift) == (None, {})
    assert "train" in str(report)


def test_times_of_the_event_time_are_looked_at_unless_others_are_named(version):
    report = version.split("s").report(columns=[])
    assert report.times_overlap is True
    assert report.times["train"][0].startswith("1970-01-01")
