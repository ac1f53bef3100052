"""What the statistics or plain comparisons can say is said as by a look at every row, only sooner."""

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

import foldstore
from foldstore.datastore import engine as engines
from foldstore.datastore.prefix_cache import PrefixCache, chain
from foldstore.datastore.statistics.profile import profile_table
from foldstore.validation.check import validate
from foldstore.validation.column_domains import TextDomain
from foldstore.validation.column_schema import ColumnSchema
from foldstore.validation.dataset_rules import RowRule
from foldstore.validation.schema import DataSchema
from foldstore.validation.subject import TableSubject
from foldstore.validation.surroundings import Surroundings

NUMBERS = st.one_of(st.none(), st.integers(-3, 3).map(float), st.sampled_from([float("nan"), float("inf"), -0.0]))
RULES = ("x > 0", "x >= 0 AND x < 2", "x = 0", "x BETWEEN -1 AND 1 AND y <> 1", "0 < y")


@pytest.fixture(scope="module")
def engine():
    with engines.Engine() as engine:
        yield engine


@given(st.lists(st.tuples(NUMBERS, NUMBERS), min_size=1), st.sampled_from(RULES))
def test_a_rule_fails_where_duckdb_finds_it_false(engine, rows, rule):
    table = pa.table(
        {"x": pa.array([x for x, _ in rows], pa.float64()), "y": pa.array([y for _, y in rows], pa.float64())}
    )
    (failed,) = engine.run_query(f"SELECT count(*) FROM t WHERE NOT ({rule})", {"t": table}).to_arrow().column(0)
    schema = DataSchema(
        columns={name: ColumnSchema(type="float64") for name in ("x", "y")}, rules=(RowRule(expr=rule),)
    )
    found = [
        a
        for a in validate(TableSubject(table, "t"), schema, Surroundings(engine=engine)).anomalies
        if a.code == "row_rule_failed"
    ]
    assert sum(anomaly.count for anomaly in found) == failed.as_py()


class _Watched(TableSubject):
    """Notes which columns are looked at row by row."""

    def __init__(self, table):
        super().__init__(table, "t")
        self.read = []

    def batches(self, columns):
        self.read += columns
        return super().batches(columns)


def judged(texts, **domain):
    subject = _Watched(pa.table({"t": pa.array(texts, pa.string())}))
    schema = DataSchema(columns={"t": ColumnSchema(type="string", domain=TextDomain(**domain))})
    found = {(a.code, a.count) for a in validate(subject, schema).anomalies}
    return found, subject.read


def test_a_pattern_that_every_known_text_matches_needs_no_look_at_the_rows():
    assert judged(["JFK", "EWR", None] * 50, pattern="[A-Z]{3}") == (set(), [])


def test_one_text_that_does_not_match_is_counted_row_by_row():
    found, read = judged(["JFK", "jfk", None] * 50, pattern="[A-Z]{3}")
    assert (found, read) == ({("pattern_mismatch", 50)}, ["t"])


def test_of_more_texts_than_are_counted_each_row_is_looked_at():
    found, read = judged([*(f"{n:05}" for n in range(20_000)), "x"], pattern="[0-9]{5}")
    assert (found, read) == ({("pattern_mismatch", 1)}, ["t"])


@given(st.lists(st.integers(0, 3), max_size=6), st.lists(st.integers(0, 3), max_size=6))
def test_a_run_is_known_by_its_longest_beginning_alone(known, asked):
    cache = PrefixCache(8)
    for length in range(1, len(known) + 1):
        cache.keep(chain(map(str, known))[length], known[:length])
    place, value = cache.find_longest(chain(map(str, asked)))
    shared = next((n for n in range(min(len(known), len(asked)), 0, -1) if known[:n] == asked[:n]), 0)
    assert (place, value) == ((shared, known[:shared]) if shared else (0, None))


def test_a_cache_keeps_what_was_used_last():
    cache = PrefixCache(2)
    names = [chain([text])[1] for text in "abc"]
    cache.keep(names[0], 0)
    cache.keep(names[1], 1)
    cache.find_longest([names[0]])
    cache.keep(names[2], 2)
    assert [cache.find_longest([name])[1] for name in names] == [0, None, 2]


def test_the_profile_of_a_version_is_that_of_its_rows_whatever_was_looked_at_before(folder):
    tables = [pa.table({"x": [n, n + 1, None], "t": ["a", str(n), ""]}) for n in range(4)]
    with foldstore.connect(folder) as store:
        data = store.create_dataset("data")
        for place, table in enumerate(tables, 1):
            version = data.append(table)
            whole = profile_table(pa.concat_tables(tables[:place]))
            for _ in range(2):
                assert version.profile().id == whole.id
                assert version.profile().columns["x"].mean == pytest.approx(whole.columns["x"].mean)
        gone = data.delete("x = 2")
        rows = pa.concat_tables(tables).filter(
            pa.compute.fill_null(pa.compute.not_equal(pa.concat_tables(tables)["x"], 2), True)
        )
        assert gone.profile().id == profile_table(rows).id
        renamed = data.rename_columns({"t": "u"})
        assert list(renamed.profile().columns) == ["x", "u"]
        assert data.version(1).profile().id == profile_table(tables[0]).id


def test_a_sealed_cell_is_out_of_the_profile_that_was_known(folder):
    rows = {"id": list(range(400)), "age": [n % 50 for n in range(400)]}
    with foldstore.connect(folder) as store:
        version = store.create_dataset("people", key=["id"]).append(rows)
        split = version.split("halves", train=0.5, test=0.5, seed=1)
        assert version.profile().columns["age"].nulls == 0
        plan = foldstore.plan_pool("n > 0.5 +/- 0.25", reliability=0.6, steps=1)
        store.pools.seal("ages", split.test, label="age", plan=plan)
        assert version.profile().columns["age"].nulls == split.test.num_rows
        assert store.version("people").profile().columns["age"].nulls == split.test.num_rows
