"""The index against a loop, and the lookup of one entity against the join."""

import duckdb
import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from foldstore.errors import SchemaMismatchError
from foldstore.views.features.sorted_index import Lookback, SortedIndex
from foldstore.views.time_column import to_nanoseconds

FAR = 2**63 - 2
times = st.integers(-3, 6) | st.sampled_from([-FAR, -FAR + 1, -(10**9), 10**9, 5 * 10**9, FAR - 1, FAR])
numbers = st.integers(-2, 3) | st.sampled_from([-(2**63), -(2**62), 2**40, 2**62, 2**63 - 1])
texts = st.sampled_from(["", "a", "b", "né"])
KEYS = [("int64",), ("string",), ("int64", "string"), ("int64", "int64", "int64"), ("string", "bool")]
STRATEGIES = {"int64": numbers, "string": texts, "bool": st.booleans()}
ttls = st.sampled_from([0, 0, 1, 3, 10**9, FAR])
lookbacks = st.builds(
    Lookback, ttl_nanoseconds=ttls, allow_exact_match=st.booleans(), filter_by_created_timestamp=st.booleans()
)


def loop(rows, key, at, rules):
    """Say in one loop what the semantics say: the best visible row, and whether it is too old."""
    best = None
    for number, (row_key, event, created) in enumerate(rows):
        if None in key or row_key != key or event is None or at is None:
            continue
        if event > at or (event == at and not rules.allow_exact_match):
            continue
        if rules.filter_by_created_timestamp and (created is None or created > at):
            continue
        rank = (event, -(2**64) if created is None else created, number)
        best = max(best or rank, rank)
    if best is None:
        return -1, 0, False
    return best[2], best[0], bool(rules.ttl_nanoseconds) and best[0] < at - rules.ttl_nanoseconds


def build(rows, kinds, *, unit="ns"):
    columns = {f"k{n}": pa.array([row[0][n] for row in rows], kind) for n, kind in enumerate(kinds)}
    columns["event"] = pa.array([row[1] for row in rows], pa.int64()).cast(pa.timestamp(unit))
    columns["created"] = pa.array([row[2] for row in rows], pa.int64()).cast(pa.timestamp(unit))
    return SortedIndex(
        pa.table(columns),
        keys={f"k{n}": kind for n, kind in enumerate(kinds)},
        event_time="event",
        created_time="created",
    )


def ask(index, asked, kinds, rules):
    columns = [pa.chunked_array([pa.array([key[n] for key, _ in asked], kind)]) for n, kind in enumerate(kinds)]
    at = to_nanoseconds(pa.array([at for _, at in asked], pa.int64()).cast(pa.timestamp("ns")))
    found = index.search(columns, at, rules)
    return list(zip(found.rows.tolist(), found.event_times.tolist(), found.expired.tolist(), strict=True))


@pytest.mark.parametrize("kinds", KEYS, ids=["-".join(kinds) for kinds in KEYS])
@given(data=st.data(), rules=lookbacks)
def test_join_lookup_and_loop_agree_to_the_bit(kinds, data, rules):
    key = st.tuples(*(st.none() | STRATEGIES[kind] for kind in kinds))
    rows = data.draw(st.lists(st.tuples(key, st.none() | times, st.none() | times), max_size=25))
    known = st.sampled_from([row[0] for row in rows]) if rows else key
    asked = data.draw(st.lists(st.tuples(key | known, st.none() | times), max_size=25))
    index = build(rows, kinds)
    expected = [loop(rows, key, at, rules) for key, at in asked]
    assert ask(index, asked, kinds, rules) == expected
    for (key, at), (row, event, expired) in zip(asked, expected, strict=True):
        if at is not None:
            one = index.find({f"k{n}": value for n, value in enumerate(key)}, at, rules)
            assert (one.row, one.event_time, one.expired) == (row, event, expired)


@given(st.lists(st.tuples(st.tuples(st.integers(0, 3)), st.integers(0, 9), st.none() | st.integers(0, 9)), max_size=30))
def test_coarse_event_times_are_compared_with_fine_asking_times(rows):
    index = build(rows, ("int64",), unit="s")
    scaled = [(key, event * 10**9, None if created is None else created * 10**9) for key, event, created in rows]
    asked = [((key,), at) for key in range(4) for at in (0, 10**9 - 1, 10**9, 3 * 10**9 + 1, 9 * 10**9, 10**10)]
    rules = Lookback(ttl_nanoseconds=2 * 10**9)
    assert ask(index, asked, ("int64",), rules) == [loop(scaled, key, at, rules) for key, at in asked]


@pytest.mark.parametrize("presorted", [True, False])
def test_a_large_join_equals_duckdb(presorted):
    rng = np.random.default_rng(7)
    entity, event = rng.integers(0, 500, 60_000), rng.permutation(60_000) * 1_000
    if presorted:
        order = np.lexsort((event, entity))
        entity, event = entity[order], event[order]
    features = pa.table(
        {"id": entity, "ts": pa.array(event, pa.timestamp("us")), "row": np.arange(60_000, dtype=np.int64)}
    )
    asked = pa.array(rng.integers(-(10**6), 7 * 10**7, 20_000), pa.timestamp("us"))
    labels = pa.table({"id": rng.integers(-20, 520, 20_000), "ts": asked, "n": np.arange(20_000)})
    with duckdb.connect() as connection:
        connection.register("labels", labels)
        connection.register("features", features)
        expected = connection.sql(
            "SELECT coalesce(f.row, -1) AS r FROM labels l ASOF LEFT JOIN features f ON l.id = f.id AND l.ts >= f.ts"
            " ORDER BY l.n"
        ).to_arrow_table()["r"]
    index = SortedIndex(features, keys={"id": "int64"}, event_time="ts")
    found = index.search([labels["id"]], to_nanoseconds(asked), Lookback())
    assert found.rows.tolist() == expected.to_pylist()
    assert (found.rows >= 0).sum() > 10_000


def test_a_row_never_known_is_not_found_even_at_the_last_instant():
    rules = Lookback(filter_by_created_timestamp=True)
    index = build([((0,), 0, None), ((1,), 0, FAR)], ("int64",))
    assert ask(index, [((0,), FAR), ((1,), FAR)], ("int64",), rules) == [(-1, 0, False), (1, 0, False)]


def test_a_sorted_table_costs_eight_bytes_a_row():
    table = pa.table(
        {"id": np.repeat(np.arange(10), 10), "ts": pa.array(np.tile(np.arange(10), 10), pa.timestamp("s"))}
    )
    assert SortedIndex(table, keys={"id": "int64"}, event_time="ts").nbytes == 8 * 100


def test_a_key_of_another_width_or_encoding_still_matches():
    table = pa.table({"id": [1, 2], "c": ["a", "b"], "ts": pa.array([1, 2], pa.timestamp("s"))})
    index = SortedIndex(table, keys={"id": "int64", "c": "string"}, event_time="ts")
    at = to_nanoseconds(pa.array([9, 9], pa.timestamp("s")))
    ids = pa.chunked_array([pa.array([2], pa.int8()), pa.array([1], pa.int8())])
    letters = pa.chunked_array([pa.array(["b", "a"]).dictionary_encode()])
    assert index.search([ids, letters], at, Lookback()).rows.tolist() == [1, 0]


def test_a_key_of_another_type_is_refused():
    table = pa.table({"id": [1], "ts": pa.array([1], pa.timestamp("s"))})
    index = SortedIndex(table, keys={"id": "int64"}, event_time="ts")
    at = to_nanoseconds(pa.array([1], pa.timestamp("s")))
    with pytest.raises(SchemaMismatchError, match="is string, the entity says int64"):
        index.search([pa.chunked_array([["1"]])], at, Lookback())
    for wrong in ({"id": "1"}, {"id": 1.0}, {"id": True}):
        with pytest.raises(SchemaMismatchError, match="not a value of type int64"):
            index.find(wrong, 0)
    with pytest.raises(SchemaMismatchError, match="'id' is missing"):
        index.find({}, 0)


@given(
    st.lists(st.tuples(st.tuples(*[st.sampled_from([0, 500, 1_000])] * 8), st.integers(0, 3), st.none()), max_size=9)
)
def test_many_wide_keys_are_numbered_anew(rows):
    kinds = ("int64",) * 8  # 1,001 ** 8 exceeds 64 bits
    index = build(rows, kinds)
    asked = [(row[0], 2) for row in rows] + [((0,) * 7 + (7,), 2)]
    expected = [loop(rows, key, at, Lookback()) for key, at in asked]
    assert ask(index, asked, kinds, Lookback()) == expected
    assert [index.find({f"k{n}": value for n, value in enumerate(key)}, at).row for key, at in asked] == [
        row for row, _, _ in expected
    ]


@given(
    st.lists(st.tuples(st.integers(0, 9), st.integers(100, 200)), min_size=1, max_size=30),
    st.lists(st.tuples(st.integers(0, 9), st.integers(0, 300)), min_size=1, max_size=60),
)
def test_who_asks_about_times_before_all_rows_is_searched_with_the_own_entity(rows, asked):
    table = pa.table({"id": [key for key, _ in rows], "ts": pa.array([at for _, at in rows], pa.timestamp("s"))})
    index = SortedIndex(table, keys={"id": "int64"}, event_time="ts")
    keys = pa.chunked_array([[key for key, _ in asked]])
    at = to_nanoseconds(pa.array([at for _, at in asked], pa.timestamp("s"))).values
    codes = index.encode([keys], len(asked))
    order = index.order_of_search(codes, at)
    assert sorted(order.tolist()) == list(range(len(asked)))
    assert np.all(np.diff(codes[order]) >= 0)
