"""What finds dirt: near misses, mojibake, sentinels, odd forms, dependencies, each against what is known."""

import csv
from collections import Counter
from itertools import combinations
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from foldstore.datastore.engine import Engine
from foldstore.errors import ColumnNotFoundError, InvalidExpressionError, UsageError
from foldstore.validation.cleaning.denial import find_violations, greedy_cover
from foldstore.validation.cleaning.dependency import find_dependencies, measure_dependency, parse_dependency
from foldstore.validation.cleaning.mojibake import fix_mojibake
from foldstore.validation.cleaning.near_miss import edit_distance, find_near_misses
from foldstore.validation.cleaning.pattern import find_odd_forms
from foldstore.validation.cleaning.sentinel import find_sentinels

HOSPITAL = Path(__file__).parent / "hospital"
LETTERS = st.text(alphabet="abc", max_size=6)


def alignment_distance(first, second):
    """The recurrence as it is defined, for comparison."""
    rows = [[i + j if not i * j else 0 for j in range(len(second) + 1)] for i in range(len(first) + 1)]
    for i in range(1, len(first) + 1):
        for j in range(1, len(second) + 1):
            rows[i][j] = min(
                rows[i - 1][j] + 1, rows[i][j - 1] + 1, rows[i - 1][j - 1] + (first[i - 1] != second[j - 1])
            )
            if i > 1 and j > 1 and first[i - 1] == second[j - 2] and first[i - 2] == second[j - 1]:
                rows[i][j] = min(rows[i][j], rows[i - 2][j - 2] + 1)
    return rows[-1][-1]


@given(LETTERS, LETTERS, st.integers(0, 4))
def test_the_distance_is_that_of_the_recurrence_up_to_the_limit(first, second, limit):
    assert edit_distance(first, second, limit) == min(alignment_distance(first, second), limit + 1)


@given(st.text(max_size=20))
def test_ordinary_text_is_left_alone_and_what_went_wrong_comes_back(text):
    encoded = text.encode("utf-8", "surrogatepass")
    broken = encoded.decode("latin-1")
    assert fix_mojibake(fix_mojibake(text)) == fix_mojibake(text)
    printable = all(c.isprintable() for c in text)
    if printable and broken != text and fix_mojibake(text) == text:
        assert fix_mojibake(broken) == text


@pytest.mark.parametrize(
    "text", ["Zürich", "naïve café", "Ångström", "Ã", "Â", "São Paulo", "Tromsø", "Œuvre", "100 £", "你好"]
)
def test_words_that_look_odd_are_words(text):
    assert fix_mojibake(text) == text
    assert fix_mojibake(text.encode().decode("latin-1")) == text


@pytest.mark.parametrize(
    ("counts", "found"),
    [
        ({"Boston": 50, "Bostn": 1}, {"Bostn": "Boston"}),
        ({"Boston": 50, "Bostno": 2}, {"Bostno": "Boston"}),
        ({"Boston": 50, "boston ": 2}, {"boston ": "Boston"}),
        ({"Boston": 50, "\uff22oston": 1}, {"\uff22oston": "Boston"}),
        ({"Boston": 50, "Austin": 3}, {}),
        ({"Boston": 9, "Bostin": 8}, {}),
        ({"room 12": 50, "room 13": 1}, {}),
        ({"cat": 50, "car": 1}, {}),
        ({"left side": 50, "left sides": 50, "left sidee": 1}, {}),
    ],
)
def test_near_misses(counts, found):
    assert {each.value: each.meant for each in find_near_misses(counts)} == found


@pytest.mark.parametrize(
    ("counts", "found"),
    [
        ({**dict.fromkeys(range(20, 70), 4), -999: 30}, [-999]),
        ({**dict.fromkeys(range(20, 70), 4), 99: 30}, [99]),
        (dict.fromkeys(range(200), 3), []),
        ({**dict.fromkeys(range(-1000, -990), 5), -999: 30}, []),
        ({"a": 5, "NULL": 1, "": 2}, ["", "NULL"]),
        ({"?": 3}, []),
        ({True: 5, False: 5}, []),
    ],
)
def test_sentinels(counts, found):
    assert [each.value for each in find_sentinels(counts)] == found


def test_forms_are_odd_only_where_few_are_usual():
    assert [e.value for e in find_odd_forms({**{f"{n}-{n}": 3 for n in range(50)}, "7x-1": 1})] == ["7x-1"]
    assert find_odd_forms({"one": 3, "two words": 3, "three, words": 3}) == ()
    assert find_odd_forms({}) == ()


def g3_by_search(rows):
    """The most rows that can stay, tried out."""
    for size in range(len(rows), -1, -1):
        for kept in combinations(rows, size):
            if len({left for left, _ in kept}) == len(set(kept)):
                return (len(rows) - size) / len(rows)
    return 0.0


@given(st.lists(st.tuples(st.integers(0, 2), st.integers(0, 2)), min_size=1, max_size=8))
def test_the_error_of_a_dependency_is_the_least_share_of_rows_that_must_go(rows):
    sizes = Counter(left for left, _ in rows)
    covered = [row for row in rows if sizes[row[0]] >= 2]
    left, right = zip(*rows, strict=True)
    found = measure_dependency(pa.table({"left": left, "right": right}), ["left"], "right")
    assert found.rows == len(covered)
    if covered:
        assert found.error == pytest.approx(g3_by_search(covered))


def test_dependencies_are_found_and_chance_is_not():
    rng = np.random.default_rng(3)
    zips = rng.integers(0, 60, 3_000)
    table = pa.table(
        {
            "zip": zips,
            "city": np.where(rng.random(3_000) < 0.02, "wrong", np.char.add("c", (zips % 25).astype(str))),
            "rare": np.where(rng.random(3_000) < 0.01, "b", "a"),
            "noise": rng.integers(0, 5, 3_000),
            "street": rng.integers(0, 40, 3_000),
        }
    )
    assert [(e.determinants, e.dependent) for e in find_dependencies(table)] == [(("zip",), "city")]


def test_two_determinants_are_found_where_neither_suffices():
    rng = np.random.default_rng(4)
    a, b = rng.integers(0, 8, 4_000), rng.integers(0, 8, 4_000)
    table = pa.table({"a": a, "b": b, "c": (a * 3 + b * 5) % 11})
    assert [(e.determinants, e.dependent) for e in find_dependencies(table) if e.dependent == "c"] == [
        (("a", "b"), "c")
    ]


@pytest.mark.parametrize("text", ["", "a", "a ->", "-> b", "a -> b, c", "a -> a"])
def test_what_is_no_dependency_is_refused(text):
    with pytest.raises(UsageError) as caught:
        parse_dependency(text)
    assert caught.value.code == "invalid-rule"


def read_hospital():
    with (HOSPITAL / "dirty.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    with (HOSPITAL / "errors.csv").open(encoding="utf-8") as file:
        errors = {(int(e["row"]), e["column"]): e["clean"] for e in csv.DictReader(file)}
    return rows, errors


def test_most_wrong_cells_of_a_hospital_table_are_found_and_repaired(store):
    rows, errors = read_hospital()
    assert len(errors) == 509
    data = store.create_dataset("hospital", key=["index"])
    version = data.append(pa.Table.from_pylist(rows))
    plan = version.suggest_cleaning()
    cleaned = plan.without(*(i for i, each in enumerate(plan, 1) if each.op == "cast")).commit()
    after = {row["index"]: row for row in cleaned.to_arrow().to_pylist()}
    changed = {
        (place, name): after[row["index"]][name]
        for place, row in enumerate(rows)
        for name in row
        if after[row["index"]][name] != row[name]
    }
    right = sum(errors.get(cell) == value for cell, value in changed.items())
    assert right / len(changed) > 0.93  # 0.951 of the changes, and 0.906 of the errors
    assert right / len(errors) > 0.88
    odd = {e.column: e.params["values"] for e in version.suggest_cleaning(min_confidence=0.0) if e.code == "form_odd"}
    found = {*changed} | {(p, n) for p, row in enumerate(rows) for n in odd if row[n] in odd[n]}
    assert len(found & errors.keys()) / len(errors) > 0.94
    assert len(found & errors.keys()) / len(found) > 0.93


@pytest.fixture(scope="module")
def engine():
    with Engine() as opened:
        yield opened


class TestDenial:
    @given(rows=st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3)), max_size=12))
    def test_violations_are_those_of_a_double_loop_and_the_cover_leaves_none(self, engine, rows):
        table = pa.table(
            {"a": pa.array([a for a, _ in rows], pa.int64()), "b": pa.array([b for _, b in rows], pa.int64())}
        )
        found = find_violations("t.a = u.a AND t.b <> u.b", table, np.arange(len(rows), dtype=np.uint64), engine)
        pairs = {
            (i, j)
            for i, j in combinations(range(len(rows)), 2)
            if rows[i][0] == rows[j][0] and rows[i][1] != rows[j][1]
        }
        assert found.violations == len(pairs)
        assert found.rows == len({each for pair in pairs for each in pair})
        assert all(set(pair) & set(found.cover) for pair in pairs)

    def test_a_rule_with_an_order_counts_a_pair_once(self, engine):
        table = pa.table({"pay": [1, 2, 3], "tax": [3, 2, 1]})
        ids = np.array([10, 20, 30], np.uint64)
        found = find_violations("t.pay > u.pay AND t.tax < u.tax", table, ids, engine)
        assert (found.violations, found.rows) == (3, 3)
        assert len(found.cover) == 2

    @pytest.mark.parametrize(
        ("rule", "error"),
        [
            ("t.a = (SELECT 1)", InvalidExpressionError),
            ("t.a = u.a) OR (true", InvalidExpressionError),
            ("read_text('/etc/passwd') = t.a", InvalidExpressionError),
            ("t.a = u.a; DROP TABLE rows_t", InvalidExpressionError),
            ("random() < t.a", InvalidExpressionError),
            ("sum(t.a) > 1", InvalidExpressionError),
            ("t.a + u.a", InvalidExpressionError),
            ("t.none = 1", ColumnNotFoundError),
            ("a = 1", UsageError),
            ("u.a = 1", UsageError),
        ],
    )
    def test_a_rule_that_is_unsafe_or_means_nothing_is_refused(self, engine, rule, error):
        with pytest.raises(error):
            find_violations(rule, pa.table({"a": [1, 2]}), np.arange(2, dtype=np.uint64), engine)

    @pytest.mark.parametrize("rule", ["t.a < u.a", "t.a = u.a OR t.b < u.b", "NOT (t.a = u.a)"])
    def test_a_rule_that_compares_each_row_with_each_is_refused_for_many(self, engine, rule):
        table = pa.table({"a": range(20_000), "b": range(20_000)})
        with pytest.raises(UsageError, match="pairs") as caught:
            find_violations(rule, table, np.arange(20_000, dtype=np.uint64), engine)
        assert caught.value.code == "invalid-rule"

    @given(st.lists(st.tuples(st.integers(0, 7), st.integers(0, 7)).filter(lambda e: e[0] != e[1]), max_size=14))
    def test_a_cover_touches_every_edge_and_is_small(self, edges):
        left, right = (np.array([e[side] for e in edges], np.int64) for side in (0, 1))
        cover = set(greedy_cover(left, right).tolist())
        assert all(set(edge) & cover for edge in edges)
        nodes = sorted({each for edge in edges for each in edge})
        best = next(
            size
            for size in range(len(nodes) + 1)
            if any(all(set(e) & set(kept) for e in edges) for kept in combinations(nodes, size))
        )
        assert len(cover) <= max(best * (1 + np.log(max(1, len(edges)))), best)
