"""What is inside of structs and lists is profiled, described and judged as columns are, under its path."""

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

import foldstore
from foldstore.datastore.statistics.column import profile_array
from foldstore.datastore.statistics.nested import MOST_LEVELS, find_path, take_inside
from foldstore.datastore.statistics.profile import Profile, profile_table
from foldstore.errors import ColumnNotFoundError
from foldstore.validation.check import validate
from foldstore.validation.column_bounds import DriftPolicy
from foldstore.validation.column_domains import CategoryDomain, NumericDomain
from foldstore.validation.column_schema import ColumnSchema
from foldstore.validation.erased_report import redact_erased
from foldstore.validation.inference import infer_schema, update_schema
from foldstore.validation.pools.sealed_subject import redact_report, redact_schema
from foldstore.validation.schema import DataSchema
from foldstore.validation.subject import TableSubject

STOP = pa.struct({"code": pa.string(), "wait": pa.int32(), "tags": pa.list_(pa.string())})
TRIPS = pa.schema({"trip": pa.int64(), "stops": pa.list_(STOP), "fare": pa.struct({"amount": pa.float64()})})


def trips(rows=1_200, wait=10, codes=("EWR", "JFK", "LGA")):
    return pa.table(
        {
            "trip": list(range(rows)),
            "stops": [
                None if each % 50 == 0 else [
                    {"code": codes[(each + at) % len(codes)], "wait": (each * at) % wait, "tags": ["a"] * at}
                    for at in range(each % 4)
                ]
                for each in range(rows)
            ],
            "fare": [None if each % 10 == 3 else {"amount": each % 40 + 0.5} for each in range(rows)],
        },
        schema=TRIPS,
    )  # fmt: skip


def judge(table, schema):
    return validate(TableSubject(table, "t"), schema)


VALUES = st.none() | st.lists(
    st.none() | st.fixed_dictionaries({"a": st.none() | st.integers(0, 3), "b": st.lists(st.text("xy"), max_size=2)}),
    max_size=3,
)
KIND = pa.list_(pa.struct({"a": pa.int64(), "b": pa.list_(pa.string())}))


@given(st.lists(VALUES, max_size=12), st.integers(0, 12))
def test_what_is_inside_is_profiled_as_if_it_were_flat_for_any_cut(values, cut):
    array = pa.array(values, KIND)
    items = [item for value in values if value is not None for item in value]
    expected = {
        "x[]": profile_array(pa.array(items, KIND.value_type)),
        "x[].a": profile_array(pa.array([None if each is None else each["a"] for each in items], pa.int64())),
        "x[].b": profile_array(pa.array([None if e is None else e["b"] for e in items], pa.list_(pa.string()))),
        "x[].b[]": profile_array(pa.array([text for each in items if each for text in each["b"]], pa.string())),
    }  # fmt: skip
    whole = profile_table(pa.table({"x": array}))
    parts = Profile.merge(*(profile_table(pa.table({"x": each})) for each in (array.slice(0, cut), array.slice(cut))))
    for found in (whole, parts, Profile.from_bytes(whole.to_bytes())):
        assert found.id == whole.id
        assert {path: column.digest for path, column in found.nested.items()} == {
            path: column.digest for path, column in expected.items()
        }
    for path in expected:
        name, steps = find_path(path, pa.schema({"x": KIND}))
        taken, rows = take_inside(array, steps)
        assert (name, len(taken)) == ("x", whole.nested[path].rows)
        assert all(values[row] is not None for row in rows)


def test_few_rows_of_many_items_are_profiled_piece_by_piece():
    values = np.random.default_rng(2).integers(0, 50, 300_000)
    table = pa.table({"x": pa.ListArray.from_arrays(pa.array([0, 1, 300_000], pa.int32()), pa.array(values))})
    assert profile_table(table).nested["x[]"].digest == profile_array(pa.array(values)).digest


def test_other_values_inside_make_another_id():
    one, other = (profile_table(pa.table({"x": [[{"a": each}]]})) for each in (1, 2))
    assert one.id != other.id


@pytest.mark.parametrize(
    ("kind", "values", "paths"),
    [
        (pa.large_list(pa.int64()), [[1], None], {"x[]"}),
        (pa.list_(pa.string(), 2), [["a", "b"], None], {"x[]"}),
        (pa.list_view(pa.int64()), [[1, 2], None], {"x[]"}),
        (pa.map_(pa.string(), pa.int64()), [[("k", 1)], None], {"x[]", "x[].key", "x[].value"}),
        (pa.list_(pa.float32(), 2), [[0.5, 1.5], None], set()),  # a vector is a value
        (pa.list_(pa.float32()), [[0.5], None], set()),
        (pa.list_(pa.float64()), [[0.5], None], {"x[]"}),
        (pa.struct({}), [{}, None], set()),
        (pa.struct({"a.b": pa.int64(), "a": pa.struct({"b": pa.int64()})}), [{"a.b": 1}], {"x.a.b", "x.a"}),
    ],
)  # fmt: skip
def test_every_nested_type_is_looked_into(kind, values, paths):
    table = pa.table({"x": pa.array(values, kind)})
    assert set(profile_table(table).nested) == paths
    schema = infer_schema(profile_table(table))
    assert judge(table, schema).passed
    merged = Profile.merge(profile_table(table), profile_table(pa.table({"y": [1]})))
    assert set(merged.nested) == paths


def test_nesting_without_end_is_looked_into_so_far():
    kind = pa.int64()
    for _ in range(40):
        kind = pa.struct({"a": kind})
    profile = profile_table(pa.table({"x": pa.nulls(3, kind)}))
    assert len(profile.nested) == MOST_LEVELS
    assert Profile.from_bytes(profile.to_bytes()).id == profile.id


def test_a_schema_describes_what_is_inside():
    schema = infer_schema(profile_table(trips()))
    assert [name for name in schema.columns if name.startswith("stops")] == [
        "stops", "stops[]", "stops[].code", "stops[].wait", "stops[].tags", "stops[].tags[]",
    ]  # fmt: skip
    assert schema.columns["stops[].code"].domain.values == ("EWR", "JFK", "LGA")
    assert schema.columns["stops[].wait"].domain == NumericDomain(min=0)
    assert schema.columns["stops[].wait"].bounds is not None
    assert schema.columns["fare.amount"].min_fraction < 0.9
    assert judge(trips(), schema).anomalies == ()
    assert schema.with_column("stops[].wait", doc="in minutes").columns["stops[].wait"].doc == "in minutes"
    assert "stops[].code" not in schema.without_column("stops").columns
    assert DataSchema.from_yaml(schema.to_yaml()).id == schema.id


def test_what_is_wrong_inside_is_found_and_shown_with_its_row():
    schema = infer_schema(profile_table(trips()), keys=["trip"])
    rows = trips().to_pylist()
    rows[7]["stops"][1] = {"code": "ewr", "wait": -5, "tags": []}
    for row in rows[::2]:
        row["fare"] = None
    report = judge(pa.Table.from_pylist(rows, TRIPS), schema)
    found = {(each.code, each.column): each for each in report.anomalies}
    below = found["below_min", "stops[].wait"]
    assert (below.count, below.observed, below.example_rows) == (1, -5, ({"row": 7, "key": {"trip": 7}, "value": -5},))
    near = found["domain_near_miss", "stops[].code"]
    assert near.example_rows[0] == {"row": 7, "key": {"trip": 7}, "value": "ewr"}
    assert found["null_fraction_high", "fare.amount"].count == 720
    assert ("null_fraction_high", "fare") in found
    child = schema.accept([below])
    assert child.columns["stops[].wait"].domain.min == -5
    assert "below_min" not in judge(pa.Table.from_pylist(rows, TRIPS), child).by_code()


def test_drift_inside_is_found_beside_what_stayed():
    schema = infer_schema(profile_table(trips(4_000)))
    found = judge(trips(4_000, wait=30), schema).by_code()
    assert {each.column for each in found["drift"]} == {"stops[].wait"}


def test_values_too_many_for_the_profile_are_counted_in_the_rows():
    rng = np.random.default_rng(1)
    table = pa.table({"x": pa.array([{"a": each} for each in rng.normal(size=30_000)])})
    edges = infer_schema(profile_table(pa.table({"a": rng.normal(size=500)}))).columns["a"]
    column = ColumnSchema(type="double", grid=edges.grid, reference=edges.reference, drift=DriftPolicy())
    schema = DataSchema(columns={"x": ColumnSchema(type="struct<a: double>"), "x.a": column})
    report = judge(table, schema)
    assert report.drift.columns["x.a"].n_current == 30_000


def test_a_part_that_is_gone_is_missing():
    schema = infer_schema(profile_table(trips()))
    less = pa.array([{"amounts": 1.0}] * 1_200)
    codes = {(each.code, each.column) for each in judge(trips().set_column(2, "fare", less), schema).anomalies}
    assert ("column_missing", "fare.amount") in codes
    assert any(column == "fare" and code.startswith("type") for code, column in codes)
    gone = judge(trips().drop_columns("stops"), schema).anomalies
    assert schema.accept(gone).columns.keys() == {"trip", "fare", "fare.amount"}


def test_a_column_goes_before_a_path_that_reads_the_same():
    table = pa.table({"a": [{"b": 1}] * 3, "a.b": ["text"] * 3})
    schema = infer_schema(profile_table(table))
    assert schema.columns["a.b"].type == "string"
    assert judge(table, schema).passed


def test_a_label_takes_what_is_inside_of_it_along():
    schema = infer_schema(profile_table(trips()), label="fare")
    assert list(schema.for_environment("serving").columns)[-1] == "stops[].tags[]"
    assert judge(trips().drop_columns("fare"), schema.for_environment("serving")).passed


def test_edits_inside_stay_when_newer_data_is_looked_at():
    schema = infer_schema(profile_table(trips())).with_column("stops[].code", domain=CategoryDomain(values=("EWR",)))
    newer = update_schema(schema, profile_table(trips(1_200, wait=20)))
    assert newer.columns["stops[].code"].domain.values == ("EWR",)
    assert newer.columns["stops[].wait"].bounds != schema.columns["stops[].wait"].bounds


def test_exchange_keeps_paths_out_of_the_words_that_others_read():
    schema = infer_schema(profile_table(trips()))
    made = schema.to_json_schema()
    assert set(made["properties"]) == {"trip", "stops", "fare"}
    assert DataSchema.from_json_schema(made).id == schema.id
    contract = schema.to_contract()
    assert [each["name"] for each in contract["schema"][0]["properties"]] == ["trip", "stops", "fare"]
    assert DataSchema.from_contract(contract).columns == schema.columns
    with pytest.warns(foldstore.errors.ExchangeWarning, match="inside of a column"):
        assert "fare.amount" not in schema.with_changes(columns={
            name: each for name, each in schema.columns.items() if not name.startswith("stops")
        }).to_pandera().columns  # fmt: skip


def test_a_store_judges_and_compares_what_is_inside(tmp_path):
    with foldstore.connect(tmp_path / "store") as store:
        data = store.create_dataset("trips", key=["trip"])
        first = data.append(trips())
        profile = first.profile()
        assert profile.nested["stops[].code"].distinct == 3
        schema = data.set_schema(profile.infer_schema())
        assert first.validate().passed
        later = trips(1_200, codes=("EWR", "JFK", "XXX"))
        later = later.set_column(0, "trip", pa.array(range(5_000, 6_200)))
        bad = data.append(later)
        assert str(bad.status) == "quarantined"
        assert ("value_outside_domain", "stops[].code") in {(a.code, a.column) for a in bad.report.anomalies}
        assert "trip" in bad.report.anomalies[0].example_rows[0]["key"]
        looser = schema.with_column("stops[].code", domain=None, drift=DriftPolicy(vs="previous"))
        report = bad.validate(looser)
        assert ("drift", "stops[].code") in {(a.code, a.column) for a in report.anomalies}
        drift = bad.drift(first)
        assert drift.columns.keys() == {"stops[].code", "stops[].wait", "fare.amount"}
        assert drift.drifted == ("stops[].code",)
        assert drift.untested["stops[]"].startswith("there is no distribution of struct")
        with pytest.raises(ColumnNotFoundError):
            profile.infer_schema(categorical=["stops[].nothing"])
        assert profile.infer_schema(categorical=["stops[].wait"]).columns["stops[].wait"].domain.values == tuple(
            range(10)
        )


def test_what_is_inside_of_a_sealed_column_is_withheld_with_it():
    schema = infer_schema(profile_table(trips()))
    rows = trips().to_pylist()
    rows[7]["stops"][1] = {"code": "ewr", "wait": -5, "tags": []}
    report = judge(pa.Table.from_pylist(rows, TRIPS), schema).to_dict()
    sealed = redact_report(report, ["stops"])
    assert all(each["message"].startswith("withheld") for each in sealed["anomalies"])
    assert sealed["drift"]["columns"] == {}  # the p-values of the others were adjusted by theirs
    kept = redact_schema(schema.to_dict(), ["stops", "fare"])["columns"]
    learned = {"evidence", "drift", "grid", "reference", "domain", "bounds", "unique"}
    assert learned & schema.to_dict()["columns"]["stops[].wait"].keys()
    for name in ("stops[].code", "stops[].wait", "fare.amount"):
        assert not learned & kept[name].keys()


def test_what_an_erased_row_held_inside_is_not_quoted():
    schema = infer_schema(profile_table(trips()))
    rows = trips().to_pylist()
    rows[7]["stops"][1] = {"code": "ewr", "wait": -5, "tags": []}
    report = judge(pa.Table.from_pylist(rows, TRIPS), schema).to_dict()
    erased = redact_erased(report, {"trip": {7}, "stops": set(), "fare": set()})
    assert "ewr" not in str(erased)
    assert "-5" not in str([each for each in erased["anomalies"] if each["column"] == "stops[].wait"])


def test_nulls_of_sealed_cells_are_not_held_against_what_is_inside(tmp_path):
    with foldstore.connect(tmp_path / "store") as store:
        data = store.create_dataset("trips", key=["trip"])
        table = trips().append_column(
            "label", pa.array([{"late": each % 3 == 0, "by": each % 9} for each in range(1_200)])
        )
        table = table.append_column("y", pa.array([each % 3 == 0 for each in range(1_200)]))
        first = data.append(table)
        schema = data.set_schema(first.profile().infer_schema())
        assert "label.by" in schema.columns
        split = first.split("half", train=0.5, test=0.5)
        plan = foldstore.plan_pool("n > 0.6 +/- 0.05", reliability=0.9, steps=1)
        store.pools.seal("p", split.test, label="y", hide=["label"], plan=plan)
        assert data.latest.validate(schema).passed
        learned = {"evidence", "drift", "grid", "reference", "domain", "bounds", "unique"}
        for name in ("y", "label", "label.by"):
            assert not learned & data.schema.to_dict()["columns"][name].keys()
