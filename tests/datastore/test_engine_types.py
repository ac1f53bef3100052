"""Every Arrow type goes through SQL and expressions unchanged, or is refused by name."""

from collections.abc import Iterator

import pyarrow as pa
import pytest

from foldstore.datastore.engine import Engine
from foldstore.errors import FoldstoreError, InvalidExpressionError, InvalidQueryError
from tests.views.arrow_types import ARRAYS, NAMES, readable, table_of

REFUSED = {
    *(name for name in NAMES if name.startswith(("decimal256", "duration_ns"))),
    "date64_far", "decimal128_negative", "dense_union", "dictionary_of_duration[ns]", "duration_ms_far",
    "duration_s_far", "duration_us_far", "halffloat", "interval_ns", "list_of_duration", "list_of_interval",
    "map_of_duration", "sparse_union", "struct_of_half",
}  # fmt: skip


@pytest.fixture(scope="module")
def engine() -> Iterator[Engine]:
    with Engine(threads=2) as engine:
        yield engine


def through_query(engine: Engine, table: pa.Table) -> pa.ChunkedArray:
    return engine.run_query("SELECT x FROM t", {"t": table}).to_arrow()["x"]


def through_expression(engine: Engine, table: pa.Table) -> pa.ChunkedArray:
    same = engine.parse_expression("(x)", table.schema, where="x")
    batches = list(engine.evaluate({"x": same}, table.schema, table.to_batches()))
    return pa.Table.from_batches(batches)["x"]


@pytest.mark.parametrize("way", [through_query, through_expression])
@pytest.mark.parametrize("name", [name for name in NAMES if name not in REFUSED])
def test_a_column_comes_back_with_the_values_that_went_in(engine: Engine, name: str, way) -> None:
    assert readable(way(engine, table_of(name))) == readable(ARRAYS[name])


@pytest.mark.parametrize("way", [through_query, through_expression])
@pytest.mark.parametrize("name", sorted(REFUSED))
def test_a_column_that_would_change_is_refused_by_name(engine: Engine, name: str, way) -> None:
    with pytest.raises((InvalidQueryError, InvalidExpressionError)) as caught:
        way(engine, table_of(name))
    assert caught.value.exit_code == 2


@pytest.mark.parametrize("name", ["duration_ns", "list_of_duration", "halffloat", "decimal256"])
def test_a_type_that_sql_cannot_keep_is_named_with_its_column(engine: Engine, name: str) -> None:
    table = table_of(name)
    assert engine.run_query("SELECT i FROM t", {"t": table}).to_arrow()["i"].to_pylist() == [0, 1, 2]
    for query in ("SELECT x FROM t", "SELECT * FROM t", "SELECT t FROM t", "FROM t", "SELECT t.x FROM t WHERE i > 0"):
        with pytest.raises(InvalidQueryError, match="SQL cannot read 'x' ") as caught:
            engine.run_query(query, {"t": table})
        assert caught.value.facts["columns"] == ["x"]


def test_intervals_and_durations_that_are_exact_go_on_through_later_steps(engine: Engine) -> None:
    table = pa.table({"d": pa.array([1_500_000, None], pa.duration("us"))})
    (first,) = engine.evaluate(
        {"d": engine.parse_expression("d + INTERVAL 1 DAY", table.schema)}, table.schema, table.to_batches()
    )
    predicate = engine.parse_predicate("d > INTERVAL 24 HOUR", first.schema)
    assert [held.to_pylist() for held in engine.mask(predicate, first.schema, [first])] == [[True, False]]


def test_a_value_that_would_change_is_found_wherever_it_is_nested(engine: Engine) -> None:
    kind = pa.struct({"inner": pa.list_(pa.map_(pa.string(), pa.month_day_nano_interval()))})
    for nanoseconds, is_exact in ((2_000, True), (2_001, False)):
        table = pa.table({"x": pa.array([None, {"inner": [[("k", (0, 0, nanoseconds))]]}], kind)})
        if is_exact:
            assert through_query(engine, table).to_pylist() == table["x"].to_pylist()
            continue
        with pytest.raises(FoldstoreError, match="interval with nanoseconds"):
            through_query(engine, table)


def test_an_interval_is_judged_within_its_slice(engine: Engine) -> None:
    table = pa.table({"x": pa.array([(0, 0, 1), (0, 0, 1_000), None], pa.month_day_nano_interval())})
    assert len(through_query(engine, table.slice(1))) == 2
    with pytest.raises(InvalidQueryError):
        through_query(engine, table.slice(0, 1))
