"""Plans: what is previewed is what is committed, undone it is as it was, done again it changes nothing."""

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

import foldstore
from foldstore.cleaning import undo_cleaning
from foldstore.errors import ColumnNotFoundError, ConflictError, RefusedError, UsageError
from foldstore.validation.cleaning.action import CleaningAction
from foldstore.validation.cleaning.plan_document import PlanDocument

TEXTS = st.one_of(
    st.none(), st.sampled_from(["Ulm", " ulm", "ZÃ¼rich", "Zürich", "NA", "", "Bonn\u00a0"]), st.text(max_size=4)
)
ROWS = st.lists(
    st.tuples(TEXTS, st.one_of(st.none(), st.integers(-999, 50)), st.one_of(st.none(), st.floats(width=32))),
    min_size=1,
    max_size=40,
)
ACTIONS = st.lists(
    st.sampled_from(
        [
            {"op": "normalise", "column": "city", "params": {"case": "lower", "spaces": True}},
            {"op": "normalise", "column": "city", "params": {"form": "NFKC", "case": "upper"}},
            {"op": "fix_mojibake", "column": "city"},
            {"op": "replace", "column": "city", "params": {"mapping": [["Ulm", "Bonn"], ["", "-"], [None, "?"]]}},
            {"op": "set_null", "column": "n", "params": {"values": [-999, 3]}},
            {"op": "set_null", "column": "x", "params": {"nan": True}},
            {"op": "set_null", "column": "n", "where": "x > 1"},
            {"op": "clip", "column": "n", "params": {"low": -5, "high": 20}},
            {"op": "clip", "column": "x", "params": {"high": 2.5}},
            {"op": "impute", "column": "n", "params": {"method": "const", "value": 7}},
        ]
    ),
    max_size=4,
)
FITTED = st.lists(
    st.sampled_from(
        [
            {"op": "impute", "column": "n", "params": {"method": "median"}},
            {"op": "impute", "column": "city", "params": {"method": "mode"}},
            {"op": "winsorize", "column": "n", "params": {"quantiles": [0.1, 0.9]}},
            {"op": "repair_dependency", "column": "city", "params": {"determinants": [["n"]]}},
            {"op": "deduplicate"},
            {"op": "deduplicate", "params": {"by": ["city"], "keep": "last"}},
            {"op": "drop_rows", "where": "n < 0"},
            {"op": "cast", "column": "city", "params": {"type": "int64", "on_error": "null"}},
        ]
    ),
    max_size=3,
    unique_by=lambda each: each["op"],
)


def table_of(rows):
    city, n, x = zip(*rows, strict=True)
    return pa.table({"id": range(len(rows)), "city": pa.array(city, pa.string()), "n": pa.array(n, pa.int64()),
                     "x": pa.array(x, pa.float64())})  # fmt: skip


def in_order(version):
    return version.to_arrow().sort_by("id")


def is_valid_after(actions):
    """A cast makes numbers of a column: what is for text comes before it."""
    names = [each["op"] for each in actions]
    return "cast" not in names or all(each.get("column") != "city" for each in actions[names.index("cast") + 1 :])


@pytest.fixture(scope="module")
def datasets(tmp_path_factory):
    with foldstore.connect(tmp_path_factory.mktemp("store") / "s", author="t") as store:
        numbers = iter(range(10_000))
        yield lambda **how: store.create_dataset(f"d{next(numbers)}", **how)


@settings(max_examples=60, phases=[Phase.generate])
@given(ROWS, ACTIONS, FITTED)
def test_a_preview_counts_what_the_commit_does_and_undo_gives_the_same_bytes(datasets, rows, actions, fitted):
    chosen = [*actions, *fitted]
    if not is_valid_after(chosen):
        return
    dataset = datasets(key=["id"])
    version = dataset.append(table_of(rows))
    plan = version.cleaning_plan(chosen)
    try:
        preview = plan.preview()
    except UsageError:
        with pytest.raises(UsageError, match="learns nothing"):
            plan.commit()
        return
    cleaned = plan.commit()
    if preview.changes_nothing:
        assert cleaned == version
        return
    assert cleaned.num_rows == len(rows) - preview.rows_dropped
    kept = dict(zip(version.row_ids().tolist(), version.to_arrow().to_pylist(), strict=True))
    now = dict(zip(cleaned.row_ids().tolist(), cleaned.to_arrow().to_pylist(), strict=True))
    assert set(now) <= set(kept)
    if not any(each["op"] == "cast" for each in chosen):
        differ = sum(repr(kept[each]) != repr(now[each]) for each in now)
        assert differ <= preview.rows_changed  # an action may undo what another did
        if len(chosen) == 1:
            assert differ == preview.rows_changed
    assert list(cleaned.record.properties["cleaning"]["changed"]) == [each.changed for each in preview.actions]
    for name, after in preview.after.columns.items():
        own = cleaned.profile().columns[name]
        assert (own.nulls, own.distinct, own.rows) == (after.nulls, after.distinct, after.rows)
    undone = undo_cleaning(cleaned.cleaning_plan().subject)
    assert undone.to_arrow().equals(version.to_arrow()) or repr(undone.to_arrow()) == repr(version.to_arrow())
    assert undone.row_ids().tolist() == version.row_ids().tolist()


@settings(max_examples=60, phases=[Phase.generate])
@given(ROWS, st.sampled_from(["normalise", "fix_mojibake", "replace", "set_null", "clip", "deduplicate"]))
def test_an_action_that_was_done_changes_nothing_when_it_is_done_again(datasets, rows, op):
    action = {
        "normalise": {"op": "normalise", "column": "city", "params": {"case": "upper", "form": "NFKC", "spaces": True}},
        "fix_mojibake": {"op": "fix_mojibake", "column": "city"},
        "replace": {"op": "replace", "column": "city", "params": {"mapping": [["Ulm", "Bonn"], [" ulm", "Bonn"]]}},
        "set_null": {"op": "set_null", "column": "x", "params": {"nan": True}},
        "clip": {"op": "clip", "column": "n", "params": {"low": 0, "high": 10}},
        "deduplicate": {"op": "deduplicate", "params": {"by": ["city", "n"]}},
    }[op]
    version = datasets(key=["id"]).append(table_of(rows))
    once = version.cleaning_plan([action]).commit()
    assert once.cleaning_plan([action]).commit() == once


def test_only_changed_rows_are_written_and_rows_keep_their_ids_and_their_part(store):
    people = store.create_dataset("people", key=["id"])
    rows = 5_000
    version = people.append(
        {"id": range(rows), "age": [-1 if i % 1000 == 7 else i % 90 for i in range(rows)], "w": ["x" * 50] * rows}
    )
    before = version.split("half", train=0.5, test=0.5)
    cleaned = version.cleaning_plan([{"op": "set_null", "column": "age", "params": {"values": [-1]}}]).commit()
    assert cleaned.record.bytes_added < version.record.bytes_added / 20
    assert cleaned.record.rows_added == 5
    assert sorted(cleaned.row_ids().tolist()) == version.row_ids().tolist()
    after = cleaned.find_split("half")
    for part in ("train", "test"):
        assert sorted(before.part(part).to_arrow(["id"])["id"].to_pylist()) == sorted(
            after.part(part).to_arrow(["id"])["id"].to_pylist()
        )
    changes = people.diff(version, cleaned).summary()
    assert changes["rows"] == {"added": 0, "removed": 0, "changed": 5, "unchanged": rows - 5}
    assert changes["changed_columns"] == {"age": 5}
    compacted = people.compact()
    assert people.diff(version, compacted).summary()["rows"] == changes["rows"]


def test_a_dataset_without_a_key_is_cleaned_by_row_id(store):
    log = store.create_dataset("log")
    version = log.append({"x": [1, 2, 2, -9]})
    ids = version.row_ids().tolist()
    plan = version.cleaning_plan(
        [
            {"op": "set_values", "column": "x", "rows": [ids[3], ids[0]], "params": {"values": [40, 10]}},
            {"op": "deduplicate"},
        ]
    )
    cleaned = plan.commit()
    assert dict(zip(cleaned.row_ids().tolist(), cleaned.to_arrow()["x"].to_pylist(), strict=True)) == {
        ids[0]: 10,
        ids[1]: 2,
        ids[3]: 40,
    }


def test_derived_columns_follow_and_are_not_cleaned_themselves(store):
    people = store.create_dataset("people", key=["id"], derive={"adult": "age >= 18"})
    version = people.append({"id": [1, 2], "age": [34, -1]})
    cleaned = version.cleaning_plan([{"op": "replace", "column": "age", "params": {"mapping": [[-1, 20]]}}]).commit()
    assert cleaned.to_arrow(["age", "adult"]).to_pydict() == {"age": [34, 20], "adult": [True, True]}
    with pytest.raises(UsageError, match="derived") as caught:
        cleaned.cleaning_plan([{"op": "set_null", "column": "adult", "where": "age > 1"}]).preview()
    assert caught.value.code == "column-needed"
    with pytest.raises(UsageError, match="key"):
        cleaned.cleaning_plan([{"op": "set_null", "column": "id", "where": "age > 1"}]).commit()


def test_rules_are_learnt_from_the_train_part_alone(store):
    trips = store.create_dataset("trips", key=["id"])
    rows = {
        "id": range(8),
        "part": ["a", "a", "a", "a", "b", "b", "b", "b"],
        "km": [1.0, 3.0, None, 2.0, 100.0, None, 300.0, 200.0],
    }
    version = trips.append(rows)
    version.split("s", by_column="part", values={"train": ["a"], "test": ["b"]})
    action = {"op": "impute", "column": "km", "params": {"method": "mean"}}
    plan = version.cleaning_plan([action], split="s")
    assert dict(plan.preview().actions[0].fitted) == {"value": 2.0}
    assert plan.preview().notes == ("km: 25 % of the rows are filled in [impute_rate_high]",)
    assert in_order(plan.commit())["km"].to_pylist() == [1.0, 3.0, 2.0, 2.0, 100.0, 2.0, 300.0, 200.0]
    everything = version.cleaning_plan([action]).preview()
    assert dict(everything.actions[0].fitted) == {"value": 101.0}
    assert "fitted_on_all" in everything.notes[-1]


def test_rows_of_a_test_pool_are_left_alone_and_said_so(tmp_path):
    with foldstore.connect(tmp_path / "s", author="t") as store:
        data = store.create_dataset("data", key=["id"])
        rng = np.random.default_rng(1)
        size = 3_000
        version = data.append({"id": range(size), "x": rng.integers(-1, 50, size), "late": rng.random(size) < 0.3})
        split = version.split("s", train=0.5, test=0.5)
        plan = foldstore.plan_pool("n > 0.5 +/- 0.1", reliability=0.9, steps=1)
        store.pools.seal("pool", split.test, label="late", plan=plan)
        sealed = data.latest
        test_ids = set(split.test.to_arrow(["id"])["id"].to_pylist())
        cleaning = sealed.cleaning_plan(
            [
                {"op": "impute", "column": "late", "params": {"method": "const", "value": False}},
                {"op": "set_null", "column": "x", "params": {"values": [-1]}},
                {"op": "drop_rows", "where": "x = 3"},
            ]
        )
        preview = cleaning.preview()
        assert preview.actions[0].changed == 0
        assert preview.actions[0].kept_out == len(test_ids)
        assert "rows_sealed" in preview.notes[0]
        cleaned = cleaning.commit()
        here = {row["id"]: row for row in cleaned.to_arrow().to_pylist()}
        assert test_ids <= set(here)
        assert all(here[each]["late"] is None for each in test_ids)
        assert {each for each, row in here.items() if row["x"] == -1} <= test_ids
        assert {each for each, row in here.items() if row["x"] == 3} <= test_ids
        named = store.create_dataset("named", key=["id"])
        first = named.append({"id": range(size), "x": ["1"] * size, "late": rng.random(size) < 0.3})
        store.pools.seal("other", first.split("s", train=0.5, test=0.5).test, label="late", plan=plan)
        cast = named.latest.cleaning_plan([{"op": "cast", "column": "x", "params": {"type": "int64"}}])
        with pytest.raises(RefusedError, match="test pool"):
            cast.commit()


def test_a_text_column_becomes_another_type_in_place(store):
    data = store.create_dataset("data", key=["id"])
    version = data.append({"id": [1, 2, 3], "n": ["12", " 7 ", "NA"], "z": [1, 2, 3]})
    cast = {"op": "cast", "column": "n", "params": {"type": "int64"}}
    with pytest.raises(UsageError, match="cannot be read as int64, such as 'NA'") as caught:
        version.cleaning_plan([cast]).commit()
    assert caught.value.code == "not-castable"
    plan = version.cleaning_plan(
        [
            {"op": "set_null", "column": "n", "params": {"values": ["NA"]}},
            cast,
            {"op": "impute", "column": "n", "params": {"method": "median"}},
        ]
    )
    assert plan.preview().after.columns["n"].mean == pytest.approx((12 + 7 + 7) / 3)
    cleaned = plan.commit()
    assert cleaned.arrow_schema.names == ["id", "n", "z"]
    assert in_order(cleaned).to_pydict() == {"id": [1, 2, 3], "n": [12, 7, 7], "z": [1, 2, 3]}
    more = data.append({"id": [4], "n": [5], "z": [4]})
    assert more.num_rows == 4


def test_rows_are_quarantined_in_a_dataset_of_their_own_once(store):
    data = store.create_dataset("data", key=["id"])
    version = data.append({"id": [1, 2, 3], "x": [5, -5, -6]})
    plan = version.cleaning_plan([{"op": "quarantine_rows", "where": "x < 0", "reason": "negative"}])
    cleaned = plan.commit()
    assert cleaned.to_arrow().to_pydict() == {"id": [1], "x": [5]}
    aside = store.dataset("data.quarantine").latest.to_arrow().to_pydict()
    assert aside["id"] == [2, 3]
    assert aside["cleaning_reason"] == ["negative"] * 2
    assert aside["cleaning_version"] == ["data@1"] * 2
    with pytest.raises(ConflictError):
        plan.commit()
    assert store.dataset("data.quarantine").latest.num_rows == 2


def test_a_plan_is_for_the_version_that_was_looked_at(store):
    data = store.create_dataset("data", key=["id"])
    version = data.append({"id": [1], "x": [-1]})
    plan = version.cleaning_plan([{"op": "set_null", "column": "x", "params": {"values": [-1]}}])
    later = data.append({"id": [2], "x": [-1]})
    with pytest.raises(ConflictError, match="head of 'main' is data@2"):
        plan.commit()
    cleaned = later.cleaning_plan(plan.document).commit()
    assert in_order(cleaned)["x"].to_pylist() == [None, None]
    newer = data.append({"id": [3], "x": [4]})
    with pytest.raises(ConflictError, match="not the head"):
        undo_cleaning(cleaned.cleaning_plan().subject)
    with pytest.raises(UsageError, match="made by append") as caught:
        undo_cleaning(newer.cleaning_plan().subject)
    assert caught.value.code == "no-cleaning"


def test_a_branch_is_cleaned_and_merged(store):
    data = store.create_dataset("data", key=["id"])
    version = data.append({"id": [1, 2, 3], "x": [-1, 2, 3]})
    data.create_branch("cleaning", version)
    plan = version.cleaning_plan([{"op": "set_null", "column": "x", "params": {"values": [-1]}}])
    cleaned = plan.commit(branch="cleaning")
    data.append({"id": [4], "x": [4]})
    merged = data.merge("cleaning")
    assert in_order(merged)["x"].to_pylist() == [None, 2, 3, 4]
    assert cleaned.record.branch == "cleaning"


@pytest.mark.parametrize("key", [["id"], []])
class TestMerge:
    """A row that was cleaned under its id is a changed row to a merge."""

    def sides(self, store, key, ours, theirs):
        data = store.create_dataset("data", key=key)
        version = data.append({"id": [1, 2, 3], "x": [-1, 2, 3]})
        data.create_branch("side", version)
        ours and version.cleaning_plan([ours]).commit()
        theirs and version.cleaning_plan([theirs]).commit(branch="side")
        return data

    def test_what_only_theirs_cleaned_arrives(self, store, key):
        data = self.sides(store, key, None, {"op": "replace", "column": "x", "params": {"mapping": [[-1, 1]]}})
        data.append({"id": [4], "x": [4]})
        assert in_order(data.merge("side"))["x"].to_pylist() == [1, 2, 3, 4]

    def test_what_both_cleaned_alike_is_no_conflict(self, store, key):
        clean = {"op": "replace", "column": "x", "params": {"mapping": [[-1, 1]]}}
        data = self.sides(store, key, clean, clean)
        data.append({"id": [4], "x": [4]})
        assert in_order(data.merge("side"))["x"].to_pylist() == [1, 2, 3, 4]

    @pytest.mark.parametrize(("prefer", "value"), [("ours", 10), ("theirs", 20)])
    def test_what_both_cleaned_differently_is_a_conflict(self, store, key, prefer, value):
        data = self.sides(
            store,
            key,
            {"op": "replace", "column": "x", "params": {"mapping": [[-1, 10]]}},
            {"op": "replace", "column": "x", "params": {"mapping": [[-1, 20]]}},
        )
        with pytest.raises(ConflictError, match="1 x row changed on both sides"):
            data.merge("side")
        assert in_order(data.merge("side", prefer=prefer))["x"].to_pylist() == [value, 2, 3]

    @pytest.mark.parametrize(("prefer", "values"), [("ours", [10, 2, 3]), ("theirs", [2, 3])])
    def test_what_one_cleaned_and_the_other_dropped_is_a_conflict(self, store, key, prefer, values):
        data = self.sides(
            store,
            key,
            {"op": "replace", "column": "x", "params": {"mapping": [[-1, 10]]}},
            {"op": "drop_rows", "where": "x < 0"},
        )
        with pytest.raises(ConflictError, match="deleted on one side"):
            data.merge("side")
        assert in_order(data.merge("side", prefer=prefer))["x"].to_pylist() == values

    def test_a_compacted_side_brings_nothing_of_its_own(self, store, key):
        data = self.sides(store, key, {"op": "replace", "column": "x", "params": {"mapping": [[-1, 1]]}}, None)
        side = data.branch("side")
        side.append({"id": [4], "x": [4]})
        side.compact()
        assert in_order(data.merge("side"))["x"].to_pylist() == [1, 2, 3, 4]


def test_lineage_and_properties_say_what_was_done(store):
    data = store.create_dataset("data", key=["id"])
    version = data.append({"id": [1, 2], "x": [None, 4]})
    cleaned = version.cleaning_plan([{"op": "impute", "column": "x", "params": {"method": "mean"}}]).commit(message="m")
    kept = cleaned.record.properties["cleaning"]
    assert (cleaned.record.operation, cleaned.record.message) == ("clean", "m")
    assert (kept["format"], kept["version"], kept["changed"], kept["fitted"]) == (
        "cleaning/v1",
        "data@1",
        [1],
        [{"value": 4}],
    )
    again = PlanDocument.from_dict({name: kept[name] for name in ("format", "version", "actions")})
    assert [each.op for each in again.actions] == ["impute"]
    assert store.verify().passed


def test_dictionary_columns_stay_dictionaries(store):
    data = store.create_dataset("data", key=["id"])
    city = pa.array(["Ulm ", "Bonn", "Ulm"]).dictionary_encode()
    version = data.append(pa.table({"id": [1, 2, 3], "city": city}))
    cleaned = version.cleaning_plan([{"op": "normalise", "column": "city"}]).commit()
    assert cleaned.arrow_schema.field("city").type == version.arrow_schema.field("city").type
    assert in_order(cleaned)["city"].to_pylist() == ["Ulm", "Bonn", "Ulm"]


@pytest.mark.parametrize(
    ("action", "said"),
    [
        ({"op": "explode"}, "no cleaning operation"),
        ({"op": "clip", "column": "x"}, "needs low or high"),
        ({"op": "clip", "column": "x", "params": {"lo": 1}}, "no parameter 'lo'"),
        ({"op": "clip", "column": "x", "params": {"low": 3, "high": 1}}, "low is above high"),
        ({"op": "drop_rows"}, "needs rows"),
        ({"op": "drop_rows", "column": "x", "where": "true"}, "has no column"),
        ({"op": "set_null", "params": {"values": [1]}}, "needs a column"),
        ({"op": "set_null", "column": "x"}, "needs values"),
        ({"op": "set_null", "column": "x", "params": {"values": ["a"]}}, "none of column"),
        ({"op": "replace", "column": "x", "params": {"mapping": [[1, 2], [2, 3]]}}, "replaces what it puts in"),
        ({"op": "impute", "column": "x", "params": {"method": "guess"}}, "means nothing"),
        ({"op": "impute", "column": "x", "params": {"method": "const"}}, "takes a value"),
        ({"op": "impute", "column": "city", "params": {"method": "mean"}}, "for numbers"),
        ({"op": "normalise", "column": "x"}, "is for text"),
        ({"op": "cast", "column": "x", "params": {"type": "int64"}}, "is for text"),
        ({"op": "cast", "column": "city", "params": {"type": "complex"}}, "knows no type"),
        ({"op": "set_values", "column": "x", "rows": [1], "params": {"values": []}}, "a value for each"),
        ({"op": "repair_dependency", "column": "x", "params": {"determinants": [["x"]]}}, "determine itself"),
        ({"op": "drop_rows", "where": "read_csv('x')"}, ""),
        ({"op": "drop_rows", "where": "x > 1", "rows": [-1]}, "row ids"),
        ({"op": "drop_rows", "where": 3}, "is no text"),
        ({"column": "x"}, "has no op"),
        ({"op": "drop_rows", "wehre": "x"}, "Did you mean 'where'"),
    ],
)
def test_an_action_that_means_nothing_is_refused_before_anything_is_done(store, action, said):
    data = store.create_dataset("data", key=["id"])
    version = data.append({"id": [1, 2], "x": [1, 2], "city": ["a", "b"]})
    with pytest.raises(UsageError) as caught:
        version.cleaning_plan([action]).commit()
    assert said in str(caught.value)
    assert data.latest == version


def test_a_column_that_is_not_there_is_named(store):
    version = store.create_dataset("data").append({"age": [1]})
    with pytest.raises(ColumnNotFoundError, match="Did you mean 'age'"):
        version.cleaning_plan([{"op": "set_null", "column": "aeg", "where": "age > 1"}]).preview()


@given(st.text(max_size=30) | st.binary(max_size=30))
def test_a_document_is_read_or_refused(text):
    with pytest.raises(UsageError) as caught:
        PlanDocument.from_json(text)
    assert caught.value.code == "invalid-plan"


def test_a_document_says_what_it_said():
    action = CleaningAction(
        op="set_null",
        column="a",
        params={"values": [-9, "x"]},
        rows=(3, 2**63),
        confidence=0.5,
        evidence={"count": 3},
        anomaly={"code": "x", "column": "a"},
        reason="r",
        code="c",
    )
    document = PlanDocument(version="d@1", actions=(action,), split="s")
    again = PlanDocument.from_json(document.to_json())
    assert again == document
    assert again.id == document.id


def test_the_anomalies_of_a_report_are_answered_for_a_person_to_choose(store):
    data = store.create_dataset("data", key=["id"])
    colours = ["red", "green", "blue"] * 40
    first = data.append({"id": range(120), "colour": colours, "x": [float(n % 10) for n in range(120)]})
    schema = first.profile().infer_schema()
    worse = [*colours[:110], *["Red", "gren", "violet", None, "blue "] * 2]
    x = [*[float(n % 10) for n in range(100)], *[5_000.0] * 10, *[float("nan")] * 10]
    version = data.upsert({"id": range(120), "colour": worse, "x": x})
    report = version.validate(schema)
    codes = set(report.by_code())
    plan = version.suggest_cleaning(report=report, schema=schema, min_confidence=0.0)
    answered = {each.anomaly["code"] for each in plan if each.anomaly}
    assert answered >= codes & {"below_min", "above_max", "nan_present", "value_outside_domain", "domain_near_miss"}
    assert answered
    preview = plan.only(*(n for n, each in enumerate(plan, 1) if each.anomaly)).preview()
    assert preview.rows_changed > 0


def test_a_real_table_is_suggested_next_to_nothing(store, sample):
    version = store.create_dataset("flights").append(sample / "flights" / "flights_2013-01.parquet")
    plan = version.suggest_cleaning()
    assert sum(each.changed for each in plan.preview().actions) <= 5  # of half a million cells


NESTED = pa.table({"s": [{"n": -999}, None, {"n": 2}], "l": [[1], [-999], None], "x": [1, 2, 3]})


@pytest.mark.parametrize(
    ("action", "said"),
    [
        ({"op": "set_null", "column": "s.n", "params": {"values": [-999]}}, "inside of column 's'"),
        ({"op": "set_null", "column": "l[]", "params": {"values": [-999]}}, "inside of column 'l'"),
        ({"op": "set_null", "column": "l", "params": {"values": [-999]}}, "single values"),
        ({"op": "impute", "column": "s", "params": {"method": "mode"}}, "single values"),
        ({"op": "clip", "column": "l", "params": {"low": 0}}, "single values"),
        ({"op": "normalise", "column": "s", "params": {"trim": True}}, "single values"),
        ({"op": "winsorize", "column": "l", "params": {"quantiles": [0.1, 0.9]}}, "single values"),
        ({"op": "repair_dependency", "column": "s", "params": {"determinants": [["x"]]}}, "single values"),
    ],
)
def test_what_is_inside_of_a_column_is_refused_by_name(tmp_path, action, said):
    with foldstore.connect(tmp_path) as store:
        version = store.create_dataset("t").append(NESTED)
        with pytest.raises(UsageError, match=said) as raised:
            version.cleaning_plan([action]).preview()
    assert raised.value.code == "invalid-action"


def test_a_nested_cell_can_become_null_as_a_whole(tmp_path):
    with foldstore.connect(tmp_path) as store:
        version = store.create_dataset("t").append(NESTED)
        plan = version.cleaning_plan(
            [{"op": "set_null", "column": "s", "where": "x < 3"}, {"op": "set_null", "column": "l", "where": "x = 2"}]
        )
        assert [each.changed for each in plan.preview().actions] == [1, 1]
        cleaned = plan.commit().to_arrow().sort_by("x")
    assert cleaned["s"].to_pylist() == [None, None, {"n": 2}]
    assert cleaned["l"].to_pylist() == [[1], None, None]
