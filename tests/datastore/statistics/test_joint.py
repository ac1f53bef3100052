"""Statistics of several columns together, against numpy, scipy and plain loops; the same for any cut."""

import json
import math
from collections import Counter, defaultdict
from itertools import pairwise

import numpy as np
import pyarrow as pa
import pytest
import scipy.stats
from hypothesis import example, given
from hypothesis import strategies as st

from foldstore.datastore.statistics import segments
from foldstore.datastore.statistics.column import profile_array
from foldstore.datastore.statistics.crosstab import CrossTable, choose_cells, place_in_cells, tabulate
from foldstore.datastore.statistics.distinct import DistinctHashes
from foldstore.datastore.statistics.pairs import Correlations, PairMoments, correlate
from foldstore.datastore.statistics.pinned import count_array
from foldstore.datastore.statistics.profile import profile_table
from foldstore.datastore.statistics.row_profile import RowProfile
from foldstore.datastore.statistics.row_sample import collect_rows, sample_rows
from foldstore.datastore.statistics.row_source import Scan, StreamedRows, run_scan
from foldstore.datastore.statistics.segments import OTHER, profile_segments
from foldstore.datastore.statistics.weighted import weigh
from foldstore.errors import ColumnNotFoundError, NotFoundError, SchemaMismatchError, UsageError

CUTS = st.lists(st.integers(0, 40), max_size=3)
KEYS = st.none() | st.sampled_from(["a", "b", "", "c"])
NUMBERS = st.none() | st.floats(-1e6, 1e6) | st.sampled_from([math.nan, math.inf, 0.0])


class Parts:
    """Rows cut into parts, each result written and read back on the way."""

    def __init__(self, table, places=()):
        bounds = [0, *sorted(min(place, table.num_rows) for place in places), table.num_rows]
        self.tables = [table.slice(a, b - a) for a, b in pairwise(bounds)]
        self.arrow_schema, self.parts = table.schema, len(self.tables)

    def batches(self, columns):
        for table in self.tables:
            yield from table.select(columns).to_batches()

    def scan(self, part: int, scan: Scan):
        found = run_scan(scan, self.arrow_schema, self.tables[part].select(scan.columns).to_batches())
        return scan.decode(scan.encode(found))


def rows_of(table):
    return StreamedRows(table.schema, lambda names: table.select(names).to_batches())


@given(st.lists(st.tuples(KEYS, st.none() | st.booleans(), NUMBERS), max_size=40), CUTS, st.integers(1, 6))
def test_segments_are_the_profiles_of_their_rows_for_any_cut(items, places, limit):
    kinds = {"k": pa.string(), "b": pa.bool_(), "x": pa.float64()}
    table = pa.table({n: pa.array([item[i] for item in items], k) for i, (n, k) in enumerate(kinds.items())})
    found = profile_segments(Parts(table, places), ["k", "b"], limit)
    sizes = Counter((k, b) for k, b, _ in items)
    alone = [key for key in found if key is not OTHER]
    assert len(alone) == min(limit, len(sizes))
    assert sorted((sizes[key] for key in alone), reverse=True) == sorted(sizes.values(), reverse=True)[:limit]
    for key, profile in found.items():
        chosen = [
            i for i, (k, b, _) in enumerate(items) if ((k, b) == key if key is not OTHER else (k, b) not in alone)
        ]
        assert profile.to_bytes() == profile_table(table.take(pa.array(chosen, pa.int64()))).to_bytes()
    assert found.left_over == len(sizes) - len(alone)
    assert found.to_arrow().equals(profile_segments(rows_of(table), ("k", "b"), limit).to_arrow())
    json.dumps(found.to_dict(), allow_nan=False)


def test_segments_by_numbers_and_times_have_the_values_as_keys():
    table = pa.table({"x": [1.5, math.nan, None, 1.5], "t": pa.array([0, 0, 1, 1], pa.timestamp("s"))})
    found = profile_segments(rows_of(table), "x")
    assert found[1.5].rows == 2
    assert found[None].rows == found[math.nan].rows == 1
    assert [str(key) for key in profile_segments(rows_of(table), "t")] != []
    repr(found)
    found._repr_html_()


def test_impossible_slices_are_refused_with_what_exists(monkeypatch):
    table = pa.table({"x": ["JFK", "EWR"], "l": [[1], [2]], "y": [1, 2], "z": [1, 2]})
    with pytest.raises(ColumnNotFoundError, match="'w'"):
        profile_segments(rows_of(table), "w")
    for by in ([], ["x", "y", "z"], ["x", "x"], "l"):
        with pytest.raises(UsageError):
            profile_segments(rows_of(table), by)
    with pytest.raises(UsageError, match="at least one"):
        profile_segments(rows_of(table), "x", 0)
    with pytest.raises(NotFoundError, match="JFX") as caught:
        profile_segments(rows_of(table), "x")["JFX"]
    assert "Did you mean 'JFK'" in str(caught.value)
    monkeypatch.setattr(segments, "MAX_COMBINATIONS", 1)
    with pytest.raises(UsageError) as caught:
        profile_segments(rows_of(table), "x")
    assert caught.value.code == "too-many-segments"


def test_the_rest_of_many_segments_stands_under_other():
    table = pa.table({"k": np.repeat(np.arange(100), np.arange(100, 0, -1))})
    found = profile_segments(Parts(table, [1_000, 3_000]), "k", 10)
    assert [*found] == [*range(10), OTHER]
    assert found[OTHER].columns["k"].distinct == found.left_over == 90


@pytest.mark.parametrize("shift", [0.0, 1e9])
def test_correlations_agree_with_numpy_over_the_rows_that_have_both(shift):
    generator = np.random.default_rng(1)
    x = generator.normal(size=(100_000, 3)) + shift
    x[:, 1] += 0.5 * x[:, 0]
    mask = generator.random(x.shape) < 0.2
    table = pa.table({name: pa.array(x[:, i], mask=mask[:, i]) for i, name in enumerate("abc")})
    found = correlate(Parts(table, [7, 50_000]))
    for a, b in (("a", "b"), ("a", "c"), ("b", "c")):
        both = ~mask[:, "abc".index(a)] & ~mask[:, "abc".index(b)]
        expected = np.corrcoef(x[both, "abc".index(a)], x[both, "abc".index(b)])[0, 1]
        assert found.of(a, b) == found.of(b, a) == pytest.approx(expected, abs=1e-12 + 1e-7 * (shift > 0))
        assert found.rows_of(a, b) == both.sum()
    assert found.strongest(1)[0][:2] == ("a", "b")


@given(st.lists(st.tuples(NUMBERS, NUMBERS), max_size=30), CUTS)
@example([(1e308, 1.0), (-1e308, 2.0)], [1])
@example([(0.0, 1.0), (0.0, 2.0)], [])
def test_correlations_agree_with_scipy_or_are_none(items, places):
    table = pa.table({n: pa.array([item[i] for item in items], pa.float64()) for i, n in enumerate("xy")})
    found = correlate(Parts(table, places))
    held = [(a, b) for a, b in items if a is not None and b is not None and math.isfinite(a) and math.isfinite(b)]
    assert found.rows_of("x", "y") == len(held)
    r = found.of("x", "y")
    assert r is None or -1 <= r <= 1
    x, y = (np.array([pair[i] for pair in held]) for i in (0, 1))
    if len(held) > 2 and min(np.ptp(x), np.ptp(y)) > 1e-3 and np.abs(x).max() < 1e7:
        assert r == pytest.approx(scipy.stats.pearsonr(x, y).statistic, abs=1e-6)
    json.dumps(found.to_dict(), allow_nan=False)
    assert found.to_arrow().num_rows == 1


def test_correlations_choose_numbers_and_refuse_the_rest():
    table = pa.table({"n": [1, 2], "b": [True, False], "s": ["a", "b"]})
    assert correlate(rows_of(table)).columns == ("n", "b")
    with pytest.raises(SchemaMismatchError, match="'s'"):
        correlate(rows_of(table), ["s", "n"])
    with pytest.raises(ColumnNotFoundError):
        correlate(rows_of(table), ["m"])
    with pytest.raises(ColumnNotFoundError):
        correlate(rows_of(table)).of("n", "m")
    wide = pa.table({f"c{i}": [1.0] for i in range(65)})
    with pytest.raises(UsageError) as caught:
        correlate(rows_of(wide))
    assert caught.value.code == "too-many-columns"
    assert correlate(rows_of(table.select(["s"]))).strongest() == []
    assert isinstance(correlate(rows_of(table.slice(0, 0))), Correlations)
    assert PairMoments.from_bytes(PairMoments.empty(0).to_bytes()).n.shape == (0, 0)


VALUED = {
    "float": (NUMBERS, pa.float64()),
    "int": (st.none() | st.integers(-(2**63), 2**63 - 1), pa.int64()),
    "bool": (st.none() | st.booleans(), pa.bool_()),
    "text": (st.none() | st.text(max_size=3), pa.string()),
    "date": (st.none() | st.dates(), pa.date32()),
}


@pytest.mark.parametrize("name", VALUED)
def test_rows_fall_into_the_cells_in_which_a_grid_counts_them(name):
    values, kind = VALUED[name]

    @given(st.lists(values, max_size=80), st.integers(2, 10))
    def check(items, bins):
        array = pa.array(items, kind)
        grid = choose_cells(profile_array(array), bins)
        counted = count_array(array, grid)
        placed = Counter(place_in_cells(array, grid).tolist())
        assert tuple(placed[cell] for cell in range(grid.cells)) == counted.cells
        assert (placed[grid.cells], placed[grid.cells + 1]) == (counted.nulls, counted.nan)

    check()


@given(st.lists(st.tuples(KEYS, st.none() | st.booleans()), min_size=1, max_size=60), CUTS)
def test_tables_and_their_measures_agree_with_plain_counts_and_scipy(items, places):
    table = pa.table(
        {"f": pa.array([f for f, _ in items], pa.string()), "y": pa.array([y for _, y in items], pa.bool_())}
    )
    found = tabulate(Parts(table, places), profile_table(table), "y")["f"]
    plain = Counter(("null" if f is None else f, "null" if y is None else str(y)) for f, y in items)
    cells = {
        (row, column): found.counts[i, j] for i, row in enumerate(found.rows) for j, column in enumerate(found.columns)
    }
    assert {cell: count for cell, count in cells.items() if count} == plain
    labelled = [(f or ("null" if f is None else ""), y) for f, y in items if y is not None]
    assert found.labelled == len(labelled)
    fs, ys = sorted({f for f, _ in labelled}), sorted({y for _, y in labelled})
    if len(fs) > 1 and len(ys) > 1:
        square = [[labelled.count((f, y)) for y in ys] for f in fs]
        assert found.cramers_v == pytest.approx(scipy.stats.contingency.association(square), abs=1e-9)
        assert found.chi_squared == pytest.approx(scipy.stats.chi2_contingency(square, correction=False).statistic)
        joint = np.array(square) / len(labelled)
        entropies = [scipy.stats.entropy(p, base=2) for p in (joint.sum(0), joint.sum(1), joint.ravel())]
        assert found.mutual_information == pytest.approx(entropies[0] + entropies[1] - entropies[2], abs=1e-9)
    else:
        assert found.cramers_v is found.cramers_v_corrected is None
        assert found.mutual_information == pytest.approx(0, abs=1e-12)
    json.dumps(found.to_dict(), allow_nan=False)
    assert found.to_arrow()["count"].to_numpy().sum() == len(items)


def test_the_corrected_v_agrees_with_its_formula_and_is_small_for_independent_columns():
    # Worked by hand after Bergsma (2013): n 100, chi2 = 100/9, so phi = 1/9 - 1/99 = 10/99 and both sides 2 - 1/99.
    table = CrossTable("f", "y", ("a", "b"), ("u", "v"), np.array([[40, 20], [20, 20]]))
    chi2 = table.chi_squared
    phi, side = chi2 / 100 - 1 / 99, 2 - 1 / 99
    assert chi2 == pytest.approx(scipy.stats.chi2_contingency(table.counts, correction=False).statistic)
    assert table.cramers_v_corrected == pytest.approx(math.sqrt(phi / (side - 1)))
    noise = np.random.default_rng(3).multinomial(200, np.full(40, 1 / 40)).reshape(20, 2)
    names = tuple(map(str, range(20)))
    free = CrossTable("f", "y", names, ("u", "v"), noise)
    assert free.cramers_v > 0.2 > free.cramers_v_corrected
    assert free.mutual_information == pytest.approx(free.information_bias, rel=0.6)


def test_labels_of_many_numbers_are_cut_at_quantiles_and_impossible_ones_refused():
    x = np.random.default_rng(2).normal(size=20_000)
    table = pa.table({"x": x, "y": x + 0.1, "b": pa.array([b"a"] * 20_000), "s": pa.array(x).cast(pa.string())})
    profile = RowProfile(*_parts(profile_table(table)), rows_of(table))
    found = profile.against("y", bins=4)
    assert set(found) == {"x", "s"}
    assert found["x"].counts.shape == (4, 4)
    assert found["x"].counts.sum(axis=0).tolist() == pytest.approx([5_000] * 4, rel=0.02)
    assert [name for name, _ in found.strongest(1)] == ["x"]
    with pytest.raises(SchemaMismatchError, match="'b'"):
        profile.against("b")
    with pytest.raises(SchemaMismatchError, match="'b'"):
        profile.against("y", ["b"])
    with pytest.raises(ColumnNotFoundError):
        profile.against("z")
    with pytest.raises(UsageError, match="bins"):
        profile.against("y", bins=1)
    with pytest.raises(UsageError) as caught:
        RowProfile(*_parts(profile)).correlations()
    assert caught.value.code == "no-rows-at-hand"


def _parts(profile):
    return profile.rows, profile.columns


@given(st.permutations(list(range(40))), CUTS, st.integers(1, 50))
def test_a_sample_does_not_depend_on_order_or_cut(order, places, k):
    table = pa.table({"id": list(range(40)), "l": [[i] for i in range(40)]})
    whole = sample_rows(rows_of(table), k)
    assert whole.num_rows == min(k, 40)
    assert sample_rows(Parts(table.take(pa.array(order)), places), k, ["id"]).equals(whole)


def test_a_sample_is_uniform():
    table = pa.table({"id": np.arange(200_000), "half": np.arange(200_000) % 2})
    sample = sample_rows(Parts(table, [150_000]), 2_048, ["id"])
    assert scipy.stats.binomtest(int(sample["half"].to_numpy().sum()), 2_048).pvalue > 1e-4
    assert scipy.stats.kstest(sample["id"].to_numpy() / 200_000, "uniform").pvalue > 1e-4
    with pytest.raises(UsageError):
        sample_rows(rows_of(table), 0)
    with pytest.raises(ColumnNotFoundError):
        sample_rows(rows_of(table), 5, ["key"])
    with pytest.raises(UsageError, match="identifies"):
        sample_rows(rows_of(pa.table({"l": [[1]]})))


@given(st.sets(st.integers(0, 60)), st.sets(st.integers(0, 60)))
def test_sets_of_rows_overlap_as_python_sets_do(a, b):
    sets = [collect_rows(Parts(pa.table({"id": pa.array(sorted(each), pa.int64())}), [9])) for each in (a, b)]
    overlap = sets[0].overlap(sets[1])
    assert (overlap.first, overlap.second, overlap.union, overlap.both) == (len(a), len(b), len(a | b), len(a & b))
    assert overlap.exact
    assert overlap.jaccard == (len(a & b) / len(a | b) if a | b else 1.0)


def test_large_sets_overlap_within_four_standard_errors():
    def column(start, end):
        return profile_array(pa.array(np.arange(start, end)))

    overlap = column(0, 300_000).overlap(column(100_000, 400_000))
    assert not overlap.exact
    assert overlap.union == pytest.approx(400_000, rel=4 * 0.0157)
    assert overlap.jaccard == pytest.approx(0.5, abs=4 * 0.008)
    mixed = column(0, 300_000).overlap(column(0, 30_000))
    assert mixed.jaccard == pytest.approx(0.1, abs=4 * 0.008)
    with pytest.raises(SchemaMismatchError):
        profile_array(pa.array([[1]])).overlap(column(0, 3))
    assert isinstance(
        DistinctHashes.of(np.empty(0, np.uint64)).overlap(DistinctHashes.of(np.empty(0, np.uint64))).both, int
    )


WEIGHTS = st.none() | st.floats(0, 100)


@given(st.lists(st.tuples(WEIGHTS, NUMBERS, KEYS), max_size=40), CUTS)
def test_weighted_statistics_agree_with_numpy(items, places):
    kinds = {"w": pa.float64(), "x": pa.float64(), "s": pa.string()}
    table = pa.table({n: pa.array([item[i] for item in items], k) for i, (n, k) in enumerate(kinds.items())})
    found = weigh(Parts(table, places), "w")
    counted = [(w, x, s) for w, x, s in items if w is not None]
    assert found["x"].rows == len(counted)
    assert found["s"].weight == pytest.approx(math.fsum(w for w, _, _ in counted), abs=1e-9)
    assert found["s"].null_weight == pytest.approx(math.fsum(w for w, _, s in counted if s is None), abs=1e-9)
    finite = [(w, x) for w, x, _ in counted if x is not None and math.isfinite(x)]
    if math.fsum(w for w, _ in finite) > 1e-3:
        w, x = (np.array([pair[i] for pair in finite]) for i in (0, 1))
        mean = np.average(x, weights=w)
        assert found["x"].mean == pytest.approx(mean, rel=1e-9, abs=1e-6)
        assert found["x"].std == pytest.approx(math.sqrt(np.average((x - mean) ** 2, weights=w)), rel=1e-6, abs=1e-3)
    json.dumps(found.to_dict())


@pytest.mark.parametrize("bad", [-1.0, math.nan, math.inf])
def test_impossible_weights_are_refused(bad):
    table = pa.table({"w": [1.0, bad], "s": ["a", "b"]})
    with pytest.raises(UsageError) as caught:
        weigh(rows_of(table), "w")
    assert caught.value.code == "invalid-weight"
    with pytest.raises(SchemaMismatchError):
        weigh(rows_of(table), "s")
    with pytest.raises(ColumnNotFoundError):
        weigh(rows_of(table), "v")


def test_every_kind_of_column_takes_part_or_is_left_out():
    arrays = {
        "none": pa.nulls(3),
        "list": pa.array([[1], None, []]),
        "dictionary": pa.array(["a", "b", None]).dictionary_encode(),
        "view": pa.array(["a", None, "b"], pa.string_view()),
        "uint": pa.array([0, 2**64 - 1, None], pa.uint64()),
        "decimal": pa.array([1, 2, None], pa.decimal128(5, 2)),
        "y": pa.array([True, False, True]),
    }
    table = pa.table(arrays)
    profile = RowProfile(*_parts(profile_table(table)), rows_of(table))
    assert set(profile.against("y")) == {"dictionary", "view", "uint", "decimal"} | (
        {"none"} & set(profile.against("y"))
    )
    assert profile.correlations().columns == ("uint", "decimal", "y")
    by = defaultdict(int)
    for name in ("dictionary", "view", "uint", "decimal", "none"):
        by[name] = len(profile_segments(rows_of(table), name))
    assert dict(by) == {"dictionary": 3, "view": 3, "uint": 3, "decimal": 3, "none": 1}
    assert profile.sample(2).num_rows == 2
    assert len(profile.weighted("y")) == 6
