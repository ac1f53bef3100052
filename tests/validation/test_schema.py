"""Schemas check themselves, travel without loss, and change by children with the right version."""

import json
import subprocess
import sys
from datetime import date

import pytest
from hypothesis import given
from hypothesis import strategies as st

from foldstore.datastore.statistics.pinned import CategoryGrid, GridCounts, NumericGrid
from foldstore.errors import ColumnNotFoundError, InvalidSchemaError
from foldstore.types import Severity
from foldstore.validation.column_bounds import DriftPolicy
from foldstore.validation.column_domains import CategoryDomain, NumericDomain
from foldstore.validation.column_schema import ColumnSchema, Stage
from foldstore.validation.schema import DataSchema

FULL = DataSchema(
    columns={
        "z": ColumnSchema(
            type="int64",
            coerce_from=("int32",),
            nullable=False,
            min_fraction=1.0,
            domain=NumericDomain(min=0, max=2**60),
            constant=False,
            drift=DriftPolicy(tau_warn=0.15),
            grid=NumericGrid((1, 2)),
            reference=GridCounts((1, 2, 3), 4, 0),
            severity={"drift": Severity.WARN},
            stage=Stage.BETA,
            doc="a count: of things",
            inferred=True,
            evidence={"rows": 10},
        ),
        "a": ColumnSchema(
            type="string",
            domain=CategoryDomain(values=("yes", "no", "", "=", "1e5", "null"), min_mass=0.99),
            drift=DriftPolicy(),
            grid=CategoryGrid(("yes",)),
            reference=GridCounts((1, 0)),
        ),
        "f": ColumnSchema(type="double", domain=NumericDomain(min=1e-7, nan="deny")),
        "t": ColumnSchema(type="timestamp[us, tz=UTC]"),
    },
    name="flights",
    version="1.2.3",
    keys=("a", "z"),
    min_rows=10,
    severity={"column_new": Severity.OFF},
    provenance={"inferred_from": "b3"},
)


def test_yaml_and_json_round_trip_exactly():
    for back in (DataSchema.from_yaml(FULL.to_yaml()), DataSchema.from_json(FULL.to_json())):
        assert back == FULL
        assert back.id == FULL.id


def test_yaml_keeps_the_order_of_columns_for_the_reader():
    assert list(DataSchema.from_yaml(FULL.to_yaml()).columns) == ["z", "a", "f", "t"]


def test_the_id_does_not_depend_on_the_order_of_columns():
    reordered = DataSchema.from_dict({**FULL.to_dict(), "columns": dict(sorted(FULL.to_dict()["columns"].items()))})
    assert reordered.id == FULL.id


TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)


@given(st.lists(TEXT, min_size=1, max_size=5, unique=True), TEXT, st.floats(allow_nan=False, allow_infinity=False))
def test_any_text_and_number_survives_both_forms(values, doc, edge):
    column = ColumnSchema(type="string", domain=CategoryDomain(values=tuple(values)), doc=doc)
    number = ColumnSchema(type="double", domain=NumericDomain(min=edge), grid=NumericGrid((edge,)))
    schema = DataSchema(columns={values[0]: column, values[0] + "x": number})
    assert DataSchema.from_yaml(schema.to_yaml()) == schema
    assert DataSchema.from_json(schema.to_json()) == schema


@pytest.mark.parametrize(
    ("column", "match"),
    [
        ({"type": "int64", "min_fracton": 1}, "Did you mean 'min_fraction'"),
        ({}, "no type"),
        ({"type": 5}, "Arrow type"),
        ({"type": "int64", "min_fraction": 1.5}, "between 0 and 1"),
        ({"type": "int64", "min_fraction": "1"}, "between 0 and 1"),
        ({"type": "int64", "nullable": "no"}, "true or false"),
        ({"type": "int64", "domain": {"min": 3, "max": 2}}, "empty"),
        ({"type": "int64", "domain": {"min": "a"}}, "finite number"),
        ({"type": "int64", "domain": {"minimum": 1}}, "unknown key"),
        ({"type": "double", "domain": {"nan": "maybe"}}, "allow"),
        ({"type": "string", "domain": {"values": ["a", "a"]}}, "twice"),
        ({"type": "string", "domain": {"values": ["a", 1]}}, "all text"),
        ({"type": "string", "domain": {"values": "abc"}}, "list"),
        ({"type": "string", "domain": {"values": ["a"], "min_mass": 2}}, "fraction"),
        ({"type": "string", "domain": {"min": 0}}, "does not fit"),
        ({"type": "int64", "grid": {"values": ["a"]}}, "does not fit"),
        ({"type": "int64", "grid": {"edges": [2, 1]}}, "ascend"),
        ({"type": "int64", "grid": {"edges": [1]}, "reference": {"cells": [1]}}, "2 cells"),
        ({"type": "int64", "drift": {}}, "needs a grid"),
        ({"type": "int64", "drift": {"tau": 1}}, "unknown key"),
        ({"type": "int64", "stage": "prod"}, "production"),
        ({"type": "int64", "severity": {"drift": "fatal"}}, "cannot be"),
        ({"type": "int64", "coerce_from": ["string"]}, "without loss"),
        ({"type": "int64", "doc": 5}, "is text"),
        ([], "is a mapping"),
    ],
)
def test_impossible_columns_are_refused(column, match):
    with pytest.raises(InvalidSchemaError, match=match):
        DataSchema.from_dict({"columns": {"x": column}})


@pytest.mark.parametrize(
    ("data", "match"),
    [
        ({"colums": {}}, "Did you mean 'columns'"),
        ({"version": "1.0"}, "major.minor.patch"),
        ({"format": 9}, "format 9"),
        ({"keys": ["x"]}, "lacks"),
        ({"keys": "x"}, "list"),
        ({"min_rows": -1}, "0 or more"),
        ({"columns": {5: {"type": "int64"}}}, "text keys"),
    ],
)
def test_impossible_schemas_are_refused(data, match):
    with pytest.raises(InvalidSchemaError, match=match):
        DataSchema.from_dict(data)


@pytest.mark.parametrize(
    ("text", "match"),
    [
        ("columns: {x: {type: int64}, x: {type: string}}", "twice"),
        ("a: &a [1]\nb: *a", "Aliases"),
        ("!!python/object/apply:os.system ['true']", "not YAML"),
        ("columns: [", "not YAML"),
        ("columns: {x: {type: int64, doc: 2013-01-01}}", "is text"),
        ("", "mapping"),
    ],
)
def test_unsafe_and_ambiguous_yaml_is_refused(text, match):
    with pytest.raises(InvalidSchemaError, match=match):
        DataSchema.from_yaml(text)


HOSTILE = {
    "flow": "'[' * 100_000",
    "flow_mappings": "'{a: ' * 100_000",
    "dashes": "'- ' * 100_000",
    "question_marks": "'? ' * 100_000",
    "indentation": "chr(10).join(' ' * i + 'a:' for i in range(5_000))",
    "aliases": "'a: &a [x]' + chr(10) + 'b: [*a, *a, *a]'",
}


@pytest.mark.parametrize("text", HOSTILE.values(), ids=HOSTILE)
def test_text_that_nests_or_unfolds_without_end_is_refused_before_it_is_read(text):
    script = (
        "from foldstore.errors import InvalidSchemaError\n"
        "from foldstore.validation.schema import DataSchema\n"
        "for read in (DataSchema.from_yaml, DataSchema.from_json):\n"
        f"    try:\n        read({text})\n"
        "    except InvalidSchemaError:\n        print('refused')\n"
    )
    # In a process of its own: what is tested would end this one.
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False, timeout=60)
    assert done.stdout.split() == ["refused", "refused"], done.stderr[-500:]


def test_text_beyond_the_limit_of_size_is_refused_unread(monkeypatch):
    monkeypatch.setattr("foldstore.validation.document._MAX_LENGTH", 100)
    for read in (DataSchema.from_yaml, DataSchema.from_json):
        with pytest.raises(InvalidSchemaError, match="limit is 100"):
            read(" " * 101)


@pytest.mark.parametrize(
    "value",
    [
        "2026-01-01", "2026-01-01T00:00:00Z", ".nan", ".inf", "!!binary aGk=", "!!set {a, b}", "{1: x}", "!!bool maybe",
        "!!int ''", "0x1" + "0" * 40, "'\\ud800'", "!!timestamp 2026-13-99", "[" * 90 + "]" * 90,
    ],
)  # fmt: skip
@pytest.mark.parametrize(
    "text", ["provenance: {{a: [{value}]}}", "columns: {{x: {{type: int64, evidence: {{a: {value}}}}}}}"]
)
def test_what_json_cannot_write_is_refused_when_it_is_read(text, value):
    written = text.format(value=value.replace("'\\ud800'", '"\\ud800"'))
    with pytest.raises(InvalidSchemaError):
        DataSchema.from_yaml(written)


@pytest.mark.parametrize("value", [date(2026, 1, 1), float("nan"), b"hi", {1, 2}, {1: 2}, "\ud800", object()])
def test_a_schema_that_is_built_holds_only_what_it_can_write(value):
    with pytest.raises(InvalidSchemaError):
        DataSchema(columns={}, provenance={"a": value})
    with pytest.raises(InvalidSchemaError):
        ColumnSchema(type="int64", evidence={"a": [value]})


@pytest.mark.parametrize(
    "column",
    [
        {"type": "int64", "domain": {"min": 10**400}},
        {"type": "int64", "grid": {"edges": [1]}, "reference": {"cells": 5}},
        {"type": "fixed_size_binary[99999999999]", "domain": {"min": 1}},
        {"type": "int64", "drift": {"null_error": float("inf")}},
        {"type": "\ud800"},
    ],
)
def test_numbers_and_texts_that_no_file_holds_are_refused(column):
    with pytest.raises(InvalidSchemaError):
        DataSchema.from_dict({"columns": {"x": column}})


@pytest.mark.parametrize("data", [5, None, ["columns"]])
def test_what_is_no_text_is_refused(data):
    for read in (DataSchema.from_yaml, DataSchema.from_json):
        with pytest.raises(InvalidSchemaError, match="read from text"):
            read(data)


def test_a_bare_off_in_yaml_means_the_severity():
    schema = DataSchema.from_yaml("columns: {x: {type: int64, severity: {drift: off}}}")
    assert schema.columns["x"].severity["drift"] is Severity.OFF


def test_text_that_is_not_json_is_refused():
    with pytest.raises(InvalidSchemaError, match="not JSON"):
        DataSchema.from_json("{")


@pytest.mark.parametrize(
    ("changes", "version"),
    [
        ({"doc": "better"}, "1.2.4"),
        ({"drift": DriftPolicy(tau_warn=0.2)}, "1.2.4"),
        ({"min_fraction": 0.9, "nullable": True}, "1.3.0"),
        ({"domain": NumericDomain(min=-1, max=2**60)}, "1.3.0"),
        ({"domain": None}, "1.3.0"),
        ({"constant": True}, "1.3.0"),
        ({"drift": None}, "1.3.0"),
        ({"domain": NumericDomain(min=1, max=2**60)}, "2.0.0"),
        ({"type": "int32", "coerce_from": ()}, "2.0.0"),
        ({"grid": NumericGrid((1, 3))}, "2.0.0"),
        ({"reference": GridCounts((1, 2, 4))}, "2.0.0"),
        ({"stage": Stage.DEPRECATED}, "1.3.0"),
    ],
)
def test_a_change_asks_for_the_version_of_its_weight(changes, version):
    child = FULL.with_column("z", **changes)
    assert child.version == version
    assert child.parent == FULL.id
    assert not child.columns["z"].inferred


def test_columns_come_and_go():
    wider = FULL.with_column("new", type="int64")
    assert wider.version == "2.0.0"
    assert FULL.with_column("new", type="int64", stage=Stage.ALPHA).version == "1.3.0"
    assert wider.without_column("new").columns.keys() == FULL.columns.keys()
    assert FULL.without_column("a").keys == ()  # "z" alone never told rows apart


def test_widening_a_type_is_minor():
    schema = DataSchema(columns={"x": ColumnSchema(type="int32")})
    assert schema.with_column("x", type="int64").version == "1.1.0"
    assert schema.with_column("x", type="double").version == "2.0.0"


def test_an_edit_that_changes_nothing_is_the_same_schema():
    schema = DataSchema(columns={"x": ColumnSchema(type="int32")})
    assert schema.with_column("x", doc="") is schema
    assert schema.accept([]) is schema


def test_misnamed_edits_are_refused():
    with pytest.raises(InvalidSchemaError, match="Did you mean 'nullable'"):
        FULL.with_column("z", nulable=True)
    with pytest.raises(ColumnNotFoundError, match="'y'"):
        FULL.with_column("y", doc="x")
    with pytest.raises(ColumnNotFoundError, match="'y'"):
        FULL.without_column("y")


def test_a_diff_reads_as_sentences():
    changes = FULL.diff(FULL.with_column("z", min_fraction=0.5, nullable=True))
    assert "minor: columns.z.min_fraction: 1.0 -> 0.5" in list(map(str, changes))


def test_the_canonical_json_is_sorted_and_dense():
    text = FULL.to_json()
    assert text == json.dumps(json.loads(text), sort_keys=True, separators=(",", ":"), ensure_ascii=False)
