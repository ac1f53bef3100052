"""Every field of a schema travels, checks itself, and weighs what it should when it changes."""

import json

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from foldstore.errors import InvalidSchemaError
from foldstore.validation.check import validate
from foldstore.validation.column_bounds import Bounds, DriftPolicy, Uniqueness, Valency
from foldstore.validation.column_domains import (
    BinaryDomain,
    CategoryDomain,
    EmbeddingDomain,
    NumericDomain,
    SharedDomain,
    TextDomain,
    TimeDomain,
    TokenDomain,
)
from foldstore.validation.column_schema import ColumnSchema, Stage
from foldstore.validation.dataset_rules import Compatibility, ForeignKey, RowRule, Segment
from foldstore.validation.schema import DataSchema
from foldstore.validation.subject import TableSubject
from foldstore.validation.surroundings import Surroundings
from tests.validation.test_schema import FULL

# The id that the first release gave this schema: documents in stores keep theirs.
FIRST_ID = "eae30bd18194c44c56effee732703074bf0add406cd35899dc0cc41c5c1090d6"


def test_documents_of_the_first_release_keep_their_ids():
    assert FULL.id == FIRST_ID
    assert DataSchema.from_yaml(FULL.to_yaml()).id == FIRST_ID


WORDS = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=6)
NUMBERS = st.one_of(st.integers(-(2**60), 2**60), st.floats(allow_nan=False, allow_infinity=False))
SHARES = st.floats(0, 1)
SPANS = st.tuples(NUMBERS, NUMBERS).map(lambda pair: (min(pair), max(pair)))
COUNTS = st.tuples(st.integers(0, 9), st.integers(0, 9)).map(sorted)
TEXTS = st.builds(
    lambda sizes, pattern: TextDomain(min_length=sizes[0], max_length=sizes[1], pattern=pattern),
    COUNTS,
    st.sampled_from([None, "a+", ": #'\"", "[\\d]{3}"]),
)
BOUNDS = st.builds(Bounds, mean=SPANS, std=st.none() | SPANS, quantiles=st.dictionaries(st.just("0.5"), SPANS))
COLUMNS = st.one_of(
    st.builds(
        ColumnSchema,
        type=st.just("double"),
        bounds=BOUNDS,
        min_count=st.integers(0, 99),
        monotone=st.sampled_from([None, "increasing", "decreasing"]),
        domain=st.builds(
            NumericDomain,
            nan=st.sampled_from(["allow", "deny", "as_null"]),
            inf=st.sampled_from(["allow", "deny"]),
            integer=st.booleans(),
            categorical=st.booleans(),
        ),
    ),
    st.builds(ColumnSchema, type=st.just("string"), domain=TEXTS, tags=st.lists(WORDS, unique=True).map(tuple)),
    st.builds(
        ColumnSchema,
        type=st.just("string"),
        domain=st.builds(lambda a, b: TokenDomain(true_tokens=(a,), false_tokens=(a + b,)), WORDS, WORDS),
    ),
    st.builds(
        ColumnSchema,
        type=st.just("list<item: double>"),
        valency=COUNTS.map(lambda sizes: Valency(min=sizes[0], max=sizes[1])),
        fixed_shape=st.lists(st.integers(0, 5), max_size=3).map(tuple),
        stage=st.sampled_from(Stage),
    ),
)


@given(
    st.dictionaries(WORDS, COLUMNS, min_size=1, max_size=3),
    st.lists(st.builds(RowRule, expr=WORDS.filter(str.strip), min_pass_fraction=SHARES), max_size=2),
    st.dictionaries(WORDS, SHARES, max_size=2),
)
def test_every_field_survives_yaml_and_json(columns, rules, overlap):
    first = next(iter(columns))
    schema = DataSchema(
        columns=columns,
        other_keys=((first,),),
        rules=tuple(rules),
        refs=(ForeignKey(columns=(first,), dataset="other"),),
        segments=(Segment(name="s", by=(first,)),),
        overlap=overlap,
        group=first,
        max_rows=0,
        max_duplicate_fraction=0.0,
        rows_vs_previous=(0.5, None),
        drift=DriftPolicy(),
        domains={"d": ("a", "b")},
        environments=("training", "serving"),
        compatibility={"all": Compatibility.FULL},
    )
    for back in (DataSchema.from_yaml(schema.to_yaml()), DataSchema.from_json(schema.to_json())):
        assert back == schema
        assert back.id == schema.id
    assert DataSchema.from_yaml(schema.to_yaml()).to_yaml() == schema.to_yaml()


@pytest.mark.parametrize(
    ("column", "match"),
    [
        ({"type": "string", "domain": {"min_length": 3, "max_length": 2}}, "above"),
        ({"type": "string", "domain": {"min_length": -1}}, "0 or more"),
        ({"type": "string", "domain": {"pattern": "("}}, "RE2"),
        ({"type": "string", "domain": {"pattern": "(?=a)"}}, "look-around"),
        ({"type": "string", "domain": {"semantic": "emial"}}, "Did you mean 'email'"),
        ({"type": "int64", "domain": {"pattern": "a"}}, "does not fit"),
        ({"type": "string", "domain": {"true_tokens": ["a"]}}, "no false_tokens"),
        ({"type": "string", "domain": {"true_tokens": ["a"], "false_tokens": ["a"]}}, "twice"),
        ({"type": "string", "domain": {"ref": "nowhere"}}, "lacks"),
        ({"type": "timestamp[us]", "domain": {"min": "2013-13-01"}}, "ISO 8601"),
        ({"type": "timestamp[us]", "domain": {"min": "2014-01-01", "max": "2013-01-01"}}, "empty"),
        ({"type": "timestamp[us]", "domain": {"max_future": "5 minutes"}}, "length of time"),
        ({"type": "int64", "domain": {"max_future": "5m"}}, "does not fit"),
        ({"type": "binary", "domain": {"max_bytes": -1}}, "0 or more"),
        ({"type": "list<item: float>", "domain": {"dim": 0}}, "1 or more"),
        ({"type": "double", "domain": {"dim": 3}}, "does not fit"),
        ({"type": "double", "domain": {"inf": "maybe"}}, "one of allow, deny"),
        ({"type": "double", "domain": {"integer": 1}}, "true or false"),
        ({"type": "double", "valency": {"min": 1}}, "of lists"),
        ({"type": "list<item: float>", "valency": {"min": 2, "max": 1}}, "empty"),
        ({"type": "list<item: float>", "valency": {}}, "min or a max"),
        ({"type": "list<item: float>", "fixed_shape": [2, -1]}, "sizes"),
        ({"type": "double", "unique": {"min": 3, "max": 2}}, "above"),
        ({"type": "double", "unique": {"min_ratio": 2}}, "fraction"),
        ({"type": "double", "unique": {"key": "yes"}}, "true or false"),
        ({"type": "double", "bounds": {"mean": [2, 1]}}, "empty"),
        ({"type": "double", "bounds": {"mean": [None, None]}}, "least and a greatest"),
        ({"type": "double", "bounds": {"quantiles": {"2": [0, 1]}}}, "share between 0 and 1"),
        ({"type": "string", "bounds": {"mean": [0, 1]}}, "of numbers"),
        ({"type": "double", "monotone": "up"}, "increasing"),
        ({"type": "list<item: float>", "monotone": "increasing"}, "no order"),
        ({"type": "double", "in_environment": ["training"]}, "environment 'training'"),
        ({"type": "double", "tags": ["a", "a"]}, "twice"),
        ({"type": "double", "pii": 1}, "true or false"),
        ({"type": "double", "skew": {"vs": "rolling"}}, "window"),
        ({"type": "double", "skew": {"window": 3}}, "window"),
    ],
)
def test_impossible_fields_are_refused(column, match):
    with pytest.raises(InvalidSchemaError, match=match) as caught:
        DataSchema.from_dict({"columns": {"x": column}})
    assert caught.value.facts["where"].startswith("columns.x")


@pytest.mark.parametrize(
    ("fields", "match"),
    [
        ({"min_rows": 3, "max_rows": 2}, "above"),
        ({"rows_vs_previous": [1]}, "least and a greatest"),
        ({"freshness": "1h"}, "needs a time_column"),
        ({"time_column": "y"}, "lacks"),
        ({"time_column": "x", "freshness": "soon"}, "length of time"),
        ({"other_keys": [["y"]]}, "lacks"),
        ({"other_keys": ["x"]}, "list"),
        ({"other_keys": [[]]}, "at least one"),
        ({"label": "lable"}, "lacks"),
        ({"rules": [{"expr": " "}]}, "expression"),
        ({"rules": [{"sql": "x"}]}, "unknown key"),
        ({"rules": {"expr": "x"}}, "list"),
        ({"refs": [{"columns": ["x"]}]}, "no dataset"),
        ({"refs": [{"columns": ["x"], "dataset": "d", "to": ["a", "b"]}]}, "as many columns"),
        ({"segments": [{"name": "s"}]}, "by, or a condition"),
        ({"overlap": {"test": 2}}, "fraction"),
        ({"max_duplicate_fraction": -1}, "fraction"),
        ({"column_order": ["x", "y"]}, "lacks"),
        ({"compatibility": {"serving": "full"}}, "lacks"),
        ({"environments": ["serving"], "compatibility": {"serving": "ful"}}, "Did you mean 'full'"),
        ({"domains": {"d": []}}, "all text"),
        ({"drift": {"tau_wrn": 1}}, "Did you mean 'tau_warn'"),
    ],
)
def test_impossible_rules_are_refused(fields, match):
    with pytest.raises(InvalidSchemaError, match=match):
        DataSchema.from_dict({"columns": {"x": {"type": "int64"}}, **fields})


@pytest.mark.parametrize(
    ("text", "match"),
    [
        ("name: a\ncolumns:\n  x:\n    type: int64\n    domain: {minn: 1}", "Line 5: .*minn.*\n.*'min'"),
        ("columns:\n  a.b:\n    type: int64\n    nullable: 7", "Line 2: columns.a.b: nullable is true or false"),
        ("columns: {x: {type: int64}}\nrules:\n  - expr: x > 0\n    min_pass_fraction: 2", "Line 4: .*fraction"),
    ],
)
def test_a_refusal_of_yaml_names_the_line(text, match):
    with pytest.raises(InvalidSchemaError, match=match):
        DataSchema.from_yaml(text)


def weigh(before, after):
    """Return the number of a child of 1.0.0 in which `before` became `after`."""
    base = {"columns": {"x": {"type": "double"}, "t": {"type": "timestamp[us]"}, "s": {"type": "string"}}}
    a, b = (json.loads(json.dumps(base | {"environments": ["training", "serving"]})) for _ in range(2))
    for plain, fields in ((a, before), (b, after)):
        for path, value in fields.items():
            name, _, field = path.rpartition(".")
            (plain["columns"][name] if name else plain)[field] = value
    a, b = DataSchema.from_dict(a), DataSchema.from_dict(b)
    return max(
        (change.compat.name.lower() for change in a.diff(b)), default="none", key=["patch", "minor", "major"].index
    )


LOOSER = [
    ({"max_rows": 5}, {"max_rows": 6}),
    ({"rows_vs_previous": [0.5, 2]}, {"rows_vs_previous": [None, 2]}),
    ({"time_column": "t", "freshness": "36h"}, {"time_column": "t", "freshness": "2d"}),
    ({"rules": [{"expr": "x > 0"}]}, {}),
    ({"rules": [{"expr": "x > 0"}]}, {"rules": [{"expr": "x > 0", "min_pass_fraction": 0.9}]}),
    ({"other_keys": [["x"], ["t"]]}, {"other_keys": [["t"]]}),
    ({"column_order": ["x", "t", "s"]}, {"column_order": ["x", "s"]}),
    ({"overlap": {"o": 0.1}}, {"overlap": {"o": 0.2}}),
    ({"domains": {"d": ["a"]}}, {"domains": {"d": ["a", "b"]}}),
    ({"x.min_count": 5}, {"x.min_count": 4}),
    ({"x.bounds": {"mean": [0, 1]}}, {"x.bounds": {"mean": [0, 2]}}),
    ({"x.bounds": {"quantiles": {"0.5": [0, 1], "0.9": [0, 1]}}}, {"x.bounds": {"quantiles": {"0.5": [-1, 1]}}}),
    ({"x.unique": {"key": True, "min": 1}}, {"x.unique": {"min": 1}}),
    ({"x.monotone": "increasing"}, {}),
    ({"x.domain": {"nan": "deny", "min": 0}}, {"x.domain": {"min": 0}}),
    ({"x.domain": {"integer": True}}, {"x.domain": {"inf": "allow"}}),
    ({"s.domain": {"min_length": 2}}, {"s.domain": {"min_length": 1}}),
    ({"s.domain": {"values": ["a"]}}, {"s.domain": {"values": ["b", "a"], "min_mass": 0.9}}),
    ({"t.domain": {"min": "2013-01-01"}}, {"t.domain": {"min": "2013-01-01T00:00:00+05:00"}}),
    ({"t.domain": {"max_future": "60m"}}, {"t.domain": {"max_future": "2h"}}),
    ({}, {"x.not_in_environment": ["serving"]}),
    ({}, {"x.in_environment": ["training"]}),
    ({}, {"x.stage": "disabled"}),
]  # fmt: skip


@pytest.mark.parametrize(("before", "after"), LOOSER)
def test_what_asks_for_less_is_minor_and_its_reverse_major(before, after):
    assert weigh(before, after) == "minor"
    assert weigh(after, before) == "major"


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ({}, {"x.tags": ["a"], "x.pii": True, "x.doc": "d", "x.derived_from": ["t"]}),
        ({}, {"severity": {"drift": "warn"}}),
        ({}, {"compatibility": {"all": "full"}}),
    ],
)
def test_what_only_tells_is_a_patch(before, after):
    assert weigh(before, after) == "patch"


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ({"s.domain": {"min_length": 1}}, {"s.domain": {"values": ["a"]}}),
        ({"x.domain": {"min": 0}}, {"x.domain": {"max": 0}}),
        ({"t.domain": {"min": 5}}, {"t.domain": {"min": "2013-01-01"}}),
        ({"column_order": ["x", "t"]}, {"column_order": ["t", "x"]}),
        ({"rules": [{"expr": "x > 0"}]}, {"rules": [{"expr": "x > 1"}]}),
        ({"label": "x"}, {"label": "t"}),
        ({"x.monotone": "increasing"}, {"x.monotone": "decreasing"}),
    ],
)
def test_what_asks_for_something_else_is_major(before, after):
    assert weigh(before, after) == "major"


def test_a_change_says_what_was_done():
    base = DataSchema(columns={"x": ColumnSchema(type="int64")})
    child = base.with_changes(max_rows=9)
    assert [change.to_dict() for change in base.diff(child)] == [
        {"path": "max_rows", "op": "add", "before": None, "after": 9, "compat": "major"}
    ]
    with pytest.raises(InvalidSchemaError, match="Did you mean 'max_rows'"):
        base.with_changes(max_row=9)


def judge(table, schema, **options):
    return [
        each.code for each in validate(TableSubject(pa.table(table), "t"), schema, Surroundings(**options)).anomalies
    ]


def test_an_environment_asks_for_its_own_columns():
    schema = DataSchema(
        columns={
            "x": ColumnSchema(type="int64"),
            "y": ColumnSchema(type="int64", not_in_environment=("serving",), nullable=False),
            "z": ColumnSchema(type="int64", in_environment=("serving",)),
        },
        environments=("training", "serving"),
        label="y",
        keys=("x", "y"),
    )
    assert judge({"x": [1], "y": [1]}, schema, environment="training") == []
    assert judge({"x": [1], "z": [1]}, schema, environment="serving") == []
    assert judge({"x": [1]}, schema, environment="serving") == ["column_missing"]
    assert judge({"x": [1], "y": [1]}, schema) == ["column_missing"]
    assert schema.for_environment("serving").label is None
    with pytest.raises(InvalidSchemaError, match="no environment 'test'"):
        schema.for_environment("test")


def test_a_disabled_column_is_not_looked_at():
    schema = DataSchema(columns={"x": ColumnSchema(type="int64", nullable=False, stage=Stage.DISABLED)})
    assert judge({"x": pa.nulls(3, pa.int64())}, schema) == []
    assert judge({"y": [1]}, schema) == ["column_new"]


def test_shared_values_are_judged_like_ones_own():
    schema = DataSchema(
        columns={n: ColumnSchema(type="string", domain=SharedDomain(ref="airports")) for n in ("origin", "dest")},
        domains={"airports": ("EWR", "JFK")},
    )
    assert judge({"origin": ["EWR"], "dest": ["JFK"]}, schema) == []
    assert judge({"origin": ["EWR"], "dest": ["LGA"]}, schema) == ["value_outside_domain"]


def test_nan_that_counts_as_null_is_judged_with_the_nulls():
    schema = DataSchema(columns={"x": ColumnSchema(type="double", nullable=False, domain=NumericDomain(nan="as_null"))})
    assert judge({"x": [1.0, float("nan")]}, schema) == ["null_fraction_high"]
    report = validate(TableSubject(pa.table({"x": [1.0, float("nan"), None]}), "t"), schema)
    assert report.anomalies[0].count == 2


def test_each_key_is_judged_for_itself():
    columns = {"a": ColumnSchema(type="int64"), "b": ColumnSchema(type="int64", unique=Uniqueness(key=True))}
    schema = DataSchema(columns=columns, keys=("a", "b"), other_keys=(("a",),))
    found = validate(TableSubject(pa.table({"a": [1, 1, 2], "b": [1, 2, 2]}), "t"), schema).anomalies
    assert [each.evidence["keys"] for each in found] == [["a"], ["b"]]


def test_what_no_check_looks_at_is_reported_and_never_passes_in_silence():
    schema = DataSchema(
        columns={"x": ColumnSchema(type="int64", skew=DriftPolicy()), "t": ColumnSchema(type="date32[day]")},
        time_column="t",
        time_step="1h",
        freshness="1d",
        rows_vs_previous=(0.5, 2),
        max_duplicate_fraction=0.0,
        overlap={"other": 0.0},
        refs=(ForeignKey(columns=("x",), dataset="other"),),
        segments=(Segment(name="s", where="x > 1"),),
    )
    report = validate(TableSubject(pa.table({"x": [1], "t": pa.array([0], pa.date32())}), "t"), schema)
    fields = {each.message.partition(" is declared")[0] for each in report.anomalies}
    assert fields == {
        "time_step", "freshness", "rows_vs_previous", "overlap", "refs[0]", "skew",
    }  # fmt: skip
    assert {each.code for each in report.anomalies} == {"stats_unavailable"}


@given(st.lists(st.one_of(st.none(), st.integers(-5, 5), st.floats(-5, 5)), min_size=1), st.integers(1, 4))
def test_order_is_judged_as_a_loop_would_across_batches(values, size):
    numbers = [None if each is None else float(each) for each in values]
    best, broken = None, 0
    for each in numbers:
        if each is None:
            continue
        if best is not None and each < best:
            broken += 1
        else:
            best = each
    chunks = [pa.array(numbers[at : at + size], pa.float64()) for at in range(0, len(numbers), size)]
    table = pa.table({"x": pa.chunked_array(chunks)})
    schema = DataSchema(columns={"x": ColumnSchema(type="double", monotone="increasing")})
    found = validate(TableSubject(table, "t"), schema).anomalies
    assert (found[0].count if found else 0) == broken


def test_domains_know_their_kind_by_their_keys():
    kinds = {
        NumericDomain: {"min": 0}, CategoryDomain: {"values": ["a"]}, TextDomain: {"pattern": "a"},
        TokenDomain: {"true_tokens": ["a"], "false_tokens": ["b"]}, TimeDomain: {"min": "2013-01-01"},
        BinaryDomain: {"max_bytes": 1}, EmbeddingDomain: {"dim": 2}, SharedDomain: {"ref": "d"},
    }  # fmt: skip
    types = {
        NumericDomain: "double", TimeDomain: "date32[day]", BinaryDomain: "binary",
        EmbeddingDomain: "fixed_size_list<item: float>[2]",
    }  # fmt: skip
    for kind, plain in kinds.items():
        column = {"type": types.get(kind, "string"), "domain": plain}
        schema = DataSchema.from_dict({"columns": {"x": column}, "domains": {"d": ["a"]}})
        assert type(schema.columns["x"].domain) is kind


def test_a_fix_of_the_order_keeps_the_columns_that_an_environment_does_not_ask_for():
    schema = DataSchema(
        columns={
            **{name: ColumnSchema(type="int64") for name in "abc"},
            "label": ColumnSchema(type="bool", not_in_environment=("serving",)),
        },
        environments=("training", "serving"),
        column_order=("a", "label", "b", "c"),
    )
    served = TableSubject(pa.table({"c": [1], "a": [1], "b": [1]}), "served")
    report = validate(served, schema, Surroundings(environment="serving"))
    assert [each.code for each in report.anomalies] == ["column_order_changed"]
    child = schema.accept(report.anomalies)
    assert child.column_order == ("c", "label", "a", "b")
    assert validate(served, child, Surroundings(environment="serving")).anomalies == ()
