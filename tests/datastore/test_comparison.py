"""Comparisons with constants: Arrow's answer is DuckDB's, and no record batch with an answer is ruled out."""

import math
from datetime import date, datetime

import pyarrow as pa
import pyarrow.compute as pc
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from foldstore.datastore.comparison import Comparison, hold_all, hold_throughout, read_comparisons
from foldstore.datastore.engine import Engine
from foldstore.datastore.zones import measure_zones, read_zones

SCHEMA = pa.schema(
    {
        "n": pa.int64(), "small": pa.int8(), "u": pa.uint64(), "f": pa.float64(), "single": pa.float32(),
        "t": pa.string(), "c": pa.dictionary(pa.int32(), pa.string()), "day": pa.date32(),
        "ts": pa.timestamp("us"), "tz": pa.timestamp("us", "UTC"), "ms": pa.timestamp("ms"), "b": pa.bool_(),
    }
)  # fmt: skip
_FLOATS = st.sampled_from([-math.inf, -1.5, -0.0, 0.0, 0.1, 0.3, 1.5, 2.0, 1e300, math.inf, math.nan])
_TEXTS = st.sampled_from(["", "A", "a", "ab", "b", "ä", "𝄞", "Z"])
_MOMENTS = st.datetimes(datetime(2023, 12, 30), datetime(2024, 1, 3))  # noqa: DTZ001  # columns without a zone
VALUES = {
    "n": st.sampled_from([-(2**63), -2, -1, 0, 1, 2, 3, 2**53 + 1, 2**63 - 1]),
    "small": st.integers(-128, 127),
    "u": st.sampled_from([0, 1, 2, 2**64 - 1]),
    "f": _FLOATS,
    "single": _FLOATS.filter(lambda x: abs(x) < 1e30 or not math.isfinite(x)),
    "t": _TEXTS,
    "c": _TEXTS,
    "day": st.dates(date(2023, 12, 30), date(2024, 1, 3)),
    "ts": _MOMENTS,
    "tz": _MOMENTS,
    "ms": _MOMENTS.map(lambda moment: moment.replace(microsecond=moment.microsecond // 1000 * 1000)),
    "b": st.booleans(),
}
CONSTANTS = {
    **{key: ["-2", "0", "1", "2", "300", "9223372036854775807", "1.5", "1", "127"] for key in ("n", "small", "u")},
    **{key: ["0", "0.1", "0.3", "-1.5", "1e3", "0.30000000000000004", "2", "0.0"] for key in ("f", "single")},
    **{key: ["''", "'a'", "'ab'", "'ä'", "'Z'"] for key in ("t", "c")},
    "day": ["'2024-01-01'", "DATE '2024-01-01'"],
    **{key: ["'2024-01-01'", "TIMESTAMP '2024-01-01 00:00:00'", "'2024-01-01 12:30:00'"] for key in ("ts", "tz", "ms")},
    "b": ["true"],
}
_PLAIN = [name for name in SCHEMA.names if name not in ("single", "c", "tz", "b")]


@st.composite
def _tests(draw):
    column = draw(st.sampled_from(SCHEMA.names))
    operator = draw(st.sampled_from(["<", "<=", "=", "<>", ">=", ">"]))
    constant = draw(st.sampled_from(CONSTANTS[column]))
    if draw(st.booleans()):
        return f"{constant} {operator} {column}"
    return f"{column} {operator} {constant}"


_PREDICATES = st.recursive(
    _tests(),
    lambda inner: st.one_of(
        st.tuples(inner, st.sampled_from(["AND", "AND", "OR"]), inner).map(lambda part: f"({' '.join(part)})"),
        inner.map(lambda text: f"(NOT {text})"),
    ),
    max_leaves=4,
)


@st.composite
def _batches(draw):
    rows = draw(st.integers(1, 6))
    columns = [
        pa.array(draw(st.lists(st.none() | VALUES[field.name], min_size=rows, max_size=rows)), field.type)
        for field in SCHEMA
    ]
    return pa.RecordBatch.from_arrays(columns, schema=SCHEMA)


@pytest.fixture(scope="module")
def engine():
    with Engine() as engine:
        yield engine


@settings(max_examples=150, deadline=None)
@given(predicate=_PREDICATES, batch=_batches())
def test_arrow_gives_the_answer_of_the_engine(engine, predicate, batch):
    parsed = engine.parse_predicate(predicate, SCHEMA)
    (held,) = engine.mask(parsed, SCHEMA, [batch])
    if parsed.is_simple:
        assert hold_all(parsed.comparisons, batch).to_pylist() == held.to_pylist()
    for each in parsed.comparisons:
        position = SCHEMA.names.index(each.column)
        zones = read_zones(measure_zones([batch])).column(str(position)).combine_chunks()
        (likely,) = each.may_hold(zones.field("min"), zones.field("max"), zones.field("nan")).to_pylist()
        assert likely or not any(held.to_pylist())


@pytest.mark.parametrize("name", _PLAIN)
def test_comparisons_of_plain_columns_are_read(engine, name):
    assert engine.parse_predicate(f"{name} < {CONSTANTS[name][-2]}", SCHEMA).is_simple
    assert engine.parse_predicate(f"{CONSTANTS[name][1]} = {name}", SCHEMA).comparisons[0].operator == "="


@pytest.mark.parametrize(
    ("predicate", "columns"),
    [
        ("n BETWEEN 1 AND 3", ["n", "n"]),
        ("n > 1 AND abs(f) > 2 AND t = 'a'", ["n", "t"]),
        ("n > 1 OR t = 'a'", []),
        ("NOT n > 1", []),
        ("n = f", []),
        ("n IS NOT DISTINCT FROM 3", []),
        ("n < 1.5", []),
        ("single < 1", []),
        ("f < 0.30000000000000004", []),
        ("t COLLATE NOCASE = 'a'", []),
        ("ts < TRY_CAST('2024-01-01' AS TIMESTAMP)", []),
        ("tz < '2024-01-01'", []),
        ("n < 9223372036854775808", []),
    ],
)
def test_only_what_must_be_true_and_is_compared_alike_is_read(engine, predicate, columns):
    parsed = engine.parse_predicate(predicate, SCHEMA)
    assert [each.column for each in parsed.comparisons] == columns
    assert parsed.is_simple == (predicate == "n BETWEEN 1 AND 3")


def test_a_tree_that_is_unknown_rules_nothing_out():
    assert read_comparisons({"class": "SOMETHING", "type": "NEW"}, SCHEMA) == ((), False)


@settings(deadline=None)
@given(
    values=st.lists(st.one_of(st.none(), st.integers(-3, 3)), max_size=6),
    asked=st.lists(st.tuples(st.sampled_from(["<", "<=", "=", "<>", ">=", ">"]), st.integers(-3, 3)), min_size=1),
    kind=st.sampled_from([pa.int8(), pa.int64(), pa.float64()]),
)
def test_what_extremes_say_holds_throughout_holds_in_each_row(values, asked, kind):
    comparisons = [Comparison("x", operator, pa.scalar(value, kind)) for operator, value in asked]
    batch = pa.record_batch({"x": pa.array(values, kind)})
    in_each = pc.all(hold_all(comparisons, batch), min_count=0).as_py()
    known = hold_throughout(comparisons, pa.table({"x": pa.chunked_array([batch.column(0), batch.column(0)], kind)}))
    assert in_each or not known
    decided = pa.types.is_integer(kind) and values and None not in values and not any(o == "<>" for o, _ in asked)
    if decided:
        assert known == in_each
