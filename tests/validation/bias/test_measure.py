"""Bias of rows, against loops over the rows; what is read, what is left out, what is refused."""

import json
from collections import Counter
from math import inf, log, sqrt

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

import foldstore
from foldstore.errors import ColumnNotFoundError, NotFoundError, UnreadableError, UsageError
from foldstore.validation.intervals import two_sided, wilson

measure = foldstore.measure_bias

PEOPLE = pa.table(
    {
        "sex": ["F"] * 40 + ["M"] * 60,
        "hired": [True] * 10 + [False] * 30 + [True] * 30 + [False] * 30,
        "age": [20 + n % 50 for n in range(100)],
        "dept": ["a", "b"] * 50,
    }
)

rows_of_people = st.lists(
    st.tuples(
        st.sampled_from(["x", "y", "z", None]),
        st.sampled_from(["no", "maybe", "yes", None]),
        st.sampled_from([1, 2, None]),
    ),
    min_size=2,
    max_size=60,
)


def brute_force(rows, facet, positive, *, conditional=True):
    """Compute every metric by walking over the rows."""
    kept = [row for row in rows if row[0] is not None and row[1] is not None]
    d, a = [r for r in kept if r[0] == facet], [r for r in kept if r[0] != facet]
    labels = {r[1] for r in kept}
    p = {y: sum(r[1] == y for r in a) / len(a) for y in labels}
    q = {y: sum(r[1] == y for r in d) / len(d) for y in labels}
    apart = [abs(p[y] - q[y]) for y in labels]
    lacks = any(p[y] > 0 and q[y] == 0 for y in labels)

    def half(one):
        return sum(one[y] * log(one[y] / ((p[y] + q[y]) / 2)) for y in labels if one[y])

    def disparity(some):
        out, into = [r for r in some if r[1] not in positive], [r for r in some if r[1] in positive]
        if not out or not into:
            return 0
        return sum(r[0] == facet for r in out) / len(out) - sum(r[0] == facet for r in into) / len(into)

    strata = {r[2] for r in kept}
    within = sum(len(s) * disparity(s) for s in ([r for r in kept if r[2] == t] for t in strata)) / len(kept)
    return {
        "ci": (len(a) - len(d)) / len(kept),
        "dpl": sum(p[y] for y in positive & labels) - sum(q[y] for y in positive & labels),
        "kl": inf if lacks else sum(p[y] * log(p[y] / q[y]) for y in labels if p[y]),
        "js": (half(p) + half(q)) / 2,
        "lp": sqrt(sum(x * x for x in apart)),
        "tvd": sum(apart) / 2,
        "ks": max(apart),
        "dd": disparity(kept),
        "cddl": within if conditional else None,
    }


def as_reader(rows, cut):
    schema = pa.schema({"g": pa.string(), "y": pa.string(), "c": pa.int32()})
    batches = [
        pa.RecordBatch.from_pylist([dict(zip("gyc", row, strict=True)) for row in rows[i : i + cut]], schema)
        for i in range(0, len(rows), cut)
    ]
    return pa.RecordBatchReader.from_batches(schema, batches)


@given(rows_of_people, st.integers(1, 60))
def test_every_metric_is_that_of_a_loop_over_the_rows_however_they_are_cut(rows, cut):
    kept = [row for row in rows if row[0] is not None and row[1] is not None]
    groups = sorted({row[0] for row in kept})
    if len(groups) < 2:
        with pytest.raises(UsageError, match=r"No row of|has one value"):
            measure(as_reader(rows, cut), label="y", sensitive="g", positive=["yes"])
        return
    chosen = {label for label in ("yes", "maybe") if any(row[1] == label for row in rows)} or {"no"}
    report = measure(as_reader(rows, cut), label="y", sensitive="g", positive=chosen, conditional_on="c")
    assert list(report.facets) == groups
    for name, facet in report.facets.items():
        expected = brute_force(rows, name, chosen)
        assert facet.metrics == {key: pytest.approx(value, abs=1e-9) for key, value in expected.items()}
        assert facet.labels == {
            y: (sum(r[:2] == (name, y) for r in kept), sum(r[1] == y and r[0] != name for r in kept))
            for y in sorted({r[1] for r in kept})
        }
        here = Counter(row[2] for row in kept)
        assert {each.name: each.rows + each.rows_others for each in facet.strata} == {
            "(null)" if key is None else str(key): count for key, count in here.items()
        }
    assert (report.rows, report.measured) == (len(rows), len(kept))
    assert report.left_out.no_label == sum(row[1] is None for row in rows)
    assert report.left_out.no_sensitive == sum(row[0] is None for row in rows)
    assert report.no_condition == sum(row[2] is None for row in kept)


@given(rows_of_people, st.randoms(use_true_random=False))
def test_the_order_of_rows_does_not_matter(rows, random):
    shuffled = random.sample(rows, len(rows))
    outcomes = []
    for some in (rows, shuffled):
        try:
            outcomes.append(measure(as_reader(some, 7), label="y", sensitive="g", positive="no", conditional_on="c"))
        except (UsageError, NotFoundError) as error:
            outcomes.append(error.code)
    assert outcomes[0] == outcomes[1]


@given(st.lists(st.tuples(st.booleans(), st.booleans()), min_size=2))
def test_of_two_groups_each_turns_the_signs_of_the_other(rows):
    table = pa.table({"g": [g for g, _ in rows], "y": [y for _, y in rows]})
    if len({g for g, _ in rows}) < 2:
        return
    report = measure(table, label="y", sensitive="g")
    one, other = report.facets["true"].metrics, report.facets["false"].metrics
    for key in ("ci", "dpl", "dd"):
        assert one[key] == pytest.approx(-other[key], abs=1e-12)
    for key in ("js", "lp", "tvd", "ks"):
        assert one[key] == pytest.approx(other[key], abs=1e-12)
    low, high = report.facets["true"].dpl_interval
    assert report.facets["false"].dpl_interval == pytest.approx((-high, -low))


def test_a_facet_has_its_numbers_intervals_and_test():
    facet = measure(PEOPLE, label="hired", sensitive="sex").facets["F"]
    assert (facet.rows, facet.rows_others, facet.positive, facet.positive_others) == (40, 60, 10, 30)
    assert facet.metrics["ci"] == pytest.approx((60 - 40) / 100)
    assert facet.metrics["dpl"] == pytest.approx(30 / 60 - 10 / 40)
    assert facet.metrics["dd"] == pytest.approx(30 / 60 - 10 / 40)
    low, high = wilson(40, 100, two_sided(0.95))
    assert facet.ci_interval == pytest.approx((1 - 2 * high, 1 - 2 * low))
    assert facet.dpl_interval[0] < 0.25 < facet.dpl_interval[1]
    # Expected are 16, 24, 24, 36 and each cell is 6 away: 36/16 + 36/24 + 36/24 + 36/36.
    assert facet.association.statistic == pytest.approx(2.25 + 1.5 + 1.5 + 1)
    assert facet.association.method == "chi2"
    assert facet.p_adjusted == facet.association.p_value  # of two facets both have it
    assert not facet.too_few


def test_p_values_are_adjusted_for_the_number_of_facets():
    table = pa.table({"g": list("abcd") * 100, "y": [n % 4 == 0 and n % 8 == 0 for n in range(400)]})
    report = measure(table, label="y", sensitive="g")
    p = sorted(facet.association.p_value for facet in report.facets.values())
    smallest = min(facet.p_adjusted for facet in report.facets.values())
    assert smallest == pytest.approx(min(p[k] * 4 / (k + 1) for k in range(4)))


def test_groups_with_the_same_labels_have_no_bias():
    table = pa.table({"g": ["a"] * 60 + ["b"] * 30, "y": [n % 3 for n in range(90)], "c": ["s"] * 90})
    report = measure(table, label="y", sensitive="g", positive=2, conditional_on=["c"])
    for key, value in report.facets["a"].metrics.items():
        if key != "ci":
            assert value == pytest.approx(0, abs=1e-9), key
    assert report.association.p_value == pytest.approx(1)
    assert report.facets["a"].words == {}


def test_in_berkeley_the_disparity_turns_round_within_departments():
    # The counts of Bickel, Hammel, O'Connell 1975, as in test_metrics.py.
    counts = {"A": (512, 313, 89, 19), "B": (353, 207, 17, 8), "C": (120, 205, 202, 391)}
    counts |= {"D": (138, 279, 131, 244), "E": (53, 138, 94, 299), "F": (22, 351, 24, 317)}
    rows = [
        (sex, label, department)
        for department, numbers in counts.items()
        for (sex, label), n in zip([("M", "in"), ("M", "out"), ("F", "in"), ("F", "out")], numbers, strict=True)
        for _ in range(n)
    ]
    table = pa.table(dict(zip(("sex", "label", "department"), map(list, zip(*rows, strict=True)), strict=True)))
    report = measure(
        table, label="label", positive="in", sensitive="sex", disadvantaged="F", conditional_on="department"
    )
    women = report.facets["F"]
    assert women.metrics["dpl"] == pytest.approx(0.14165, abs=1e-5)
    assert women.metrics["cddl"] == pytest.approx(-0.01928, abs=1e-5)
    assert women.words["cddl"] == "Within department it turns round: -0.019 on average, 0.144 over all rows."
    first = women.strata[0]
    assert (first.name, first.rows, first.rows_others, first.positive) == ("A", 108, 825, 89)
    assert first.dpl == pytest.approx(512 / 825 - 89 / 108)
    assert women.words["cddl"] in str(report)


class TestWhatIsRead:
    def test_a_view_a_version_a_part_a_query_and_frames_say_the_same(self, store):
        version = store.create_dataset("people").append(PEOPLE)
        split = version.split("s", train=1.0, key=["age", "sex", "dept"])
        given = [version, store.view("people"), split.train, store.sql("SELECT * FROM people"), PEOPLE]
        given += [pl.DataFrame(PEOPLE.to_pydict()), PEOPLE.to_reader(), PEOPLE.to_batches()[0]]
        reports = [measure(data, label="hired", sensitive="sex", conditional_on="dept") for data in given]
        assert [each.facets for each in reports] == [reports[0].facets] * len(given)
        assert [each.subject for each in reports[:3]] == ["people@1", "people@1", "people@1#s.train"]
        assert reports[4].subject == "pyarrow.Table"

    def test_a_view_gives_the_rows_and_columns_that_it_makes(self, store):
        store.create_dataset("people").append(PEOPLE)
        view = store.view("people").where("age > 30").select("sex", old="age > 50")
        young = [row for row in PEOPLE.to_pylist() if row["age"] > 30]
        facet = measure(view, label="old", sensitive="sex").facets["F"]
        assert facet.rows == sum(row["sex"] == "F" for row in young)
        assert facet.positive == sum(row["sex"] == "F" and row["age"] > 50 for row in young)

    def test_only_the_columns_that_are_needed_are_read(self):
        class Source:
            address = "people@1"
            arrow_schema = PEOPLE.schema
            asked = ()

            def column_sizes(self, columns):
                raise NotImplementedError

            def to_batches(self, columns):
                self.asked = tuple(columns)
                return iter(PEOPLE.select(columns).to_batches())

        source = Source()
        measure(source, label="hired", sensitive="sex", conditional_on="dept")
        assert source.asked == ("sex", "hired", "dept")

    def test_memory_does_not_grow_with_the_rows(self):
        held = []
        schema = pa.schema({"g": pa.int64(), "y": pa.int64(), "other": pa.int64()})
        values = np.arange(100_000)

        def stream():
            for n in range(60):
                held.append(pa.total_allocated_bytes())
                columns = [pa.array(values % 7), pa.array((values + n) % 3 % 2), pa.array(values)]
                yield pa.RecordBatch.from_arrays(columns, schema=schema)

        before = pa.total_allocated_bytes()
        report = measure(pa.RecordBatchReader.from_batches(schema, stream()), label="y", sensitive="g")
        assert report.measured == 6_000_000
        assert max(held) - before < 10 * 3 * values.nbytes

    def test_an_error_of_what_gives_the_rows_is_told(self):
        def stream():
            yield PEOPLE.to_batches()[0]
            raise OSError("the disk is gone")

        reader = pa.RecordBatchReader.from_batches(PEOPLE.schema, stream())
        with pytest.raises(
            UnreadableError, match=r"rows of pyarrow.RecordBatchReader could not be read: OSError: the disk"
        ):
            measure(reader, label="hired", sensitive="sex")

    @pytest.mark.parametrize(
        ("data", "hint"),
        [
            ("people@1", "store.view"),
            (pl.LazyFrame({"a": [1]}), "collect"),
            ([1, 2], "Give a view"),
            (None, "Give a view"),
        ],
        ids=["address", "lazy", "list", "none"],
    )
    def test_what_does_not_speak_arrow_is_refused(self, data, hint):
        with pytest.raises(UsageError, match="speaks Arrow") as caught:
            measure(data, label="a", sensitive="b")
        assert hint in caught.value.hint


class TestColumns:
    @pytest.mark.parametrize(
        "values",
        [
            pa.array(["a", "b"] * 40),
            pa.array(["a", "b"] * 40, pa.large_string()),
            pa.array(["a", "b"] * 40, pa.string_view()),
            pa.array(["a", "b"] * 40).dictionary_encode(),
            pa.array([True, False] * 40),
            pa.array([1, 2] * 40, pa.uint8()),
            pa.array([2**64 - 1, 2] * 40, pa.uint64()),
            pa.array([1.5, -2.0] * 40, pa.float32()),
            pa.array([1, 2] * 40, pa.date32()),
            pa.array([1, 2_000_000_001] * 40, pa.timestamp("ns", "UTC")),
            pa.array([1, 2] * 40, pa.duration("s")),
            pa.array([1, 2] * 40).cast(pa.decimal128(24, 2)),
        ],
        ids=lambda array: str(array.type),
    )
    def test_values_of_any_plain_type_are_groups(self, values):
        report = measure(pa.table({"g": values, "y": [0, 1] * 40}), label="y", sensitive="g")
        assert [facet.rows for facet in report.facets.values()] == [40, 40]
        assert {facet.metrics["dpl"] for facet in report.facets.values()} == {1.0, -1.0}

    def test_values_of_a_dictionary_that_no_row_has_are_no_groups(self):
        values = pa.DictionaryArray.from_arrays(pa.array([1, 2, 1, 2, None]), ["unused", "a", "b", "unused too"])
        report = measure(pa.table({"g": values, "y": [0, 1, 1, 1, 0]}), label="y", sensitive="g")
        assert list(report.facets) == ["a", "b"]
        assert report.unlabelled == ()
        assert report.left_out.no_sensitive == 1

    def test_a_large_dictionary_of_which_few_values_are_used_is_not_too_many(self):
        values = pa.DictionaryArray.from_arrays(pa.array([7, 3, 7, 3]), pa.array([f"v{n}" for n in range(1000)]))
        report = measure(pa.table({"g": values, "y": [0, 1, 1, 1]}), label="y", sensitive="g")
        assert list(report.facets) == ["v3", "v7"]

    def test_a_value_that_a_dictionary_holds_twice_or_as_null_is_one_value_or_none(self):
        values = pa.DictionaryArray.from_arrays(pa.array([0, 1, 2, 3]), pa.array(["a", "a", None, "b"]))
        report = measure(pa.table({"g": values, "y": [0, 1, 1, 1]}), label="y", sensitive="g")
        assert {name: facet.rows for name, facet in report.facets.items()} == {"a": 2, "b": 1}

    @pytest.mark.parametrize("kind", [pa.uint8(), pa.uint64(), pa.int16()], ids=str)
    def test_dictionaries_have_indices_of_any_type(self, kind):
        indices = pa.array([0, 1, None, 1], kind)
        for values, how in ((["a", "b"], {}), ([1, 9], {}), ([1, 9], {"sensitive_bins": [5]})):
            table = pa.table({"g": pa.DictionaryArray.from_arrays(indices, values), "y": [0, 1, 1, 1]})
            report = measure(table, label="y", sensitive="g", **how)
            assert [facet.rows for facet in report.facets.values()] == [1, 2]

    def test_categories_of_polars_are_groups(self):
        for kind in (pl.Categorical, pl.Enum(["unused", "b", "a"])):
            frame = pl.DataFrame({"g": pl.Series(["a", "b", None, "b"], dtype=kind), "y": [0, 1, 1, 1]})
            report = measure(frame, label="y", sensitive="g")
            assert {name: facet.rows for name, facet in report.facets.items()} == {"a": 1, "b": 2}

    def test_the_index_under_a_null_is_not_looked_at(self):
        # As pandas leaves it.
        indices = pa.Array.from_buffers(pa.int8(), 4, [pa.py_buffer(b"\x0b"), pa.py_buffer(b"\x00\x01\xff\x01")], 1)
        table = pa.table(
            {"g": pa.DictionaryArray.from_arrays(indices, pa.array([3, 7]), safe=False), "y": [0, 1, 1, 1]}
        )
        values, ranges = (measure(table, label="y", sensitive="g", **how) for how in ({}, {"sensitive_bins": [5]}))
        assert [facet.rows for facet in values.facets.values()] == [1, 2]
        assert [facet.metrics for facet in values.facets.values()] == [f.metrics for f in ranges.facets.values()]
        assert values.left_out.no_sensitive == ranges.left_out.no_sensitive == 1

    def test_nan_of_a_dictionary_of_numbers_is_left_out_too(self):
        numbers = pa.array([1.0, float("nan"), 9.0], from_pandas=False)
        table = pa.table(
            {"g": pa.DictionaryArray.from_arrays(pa.array([0, 1, 2, 1, None]), numbers), "y": [0, 1] * 2 + [0]}
        )
        out = measure(table, label="y", sensitive="g", sensitive_bins=[5]).left_out
        assert (out.no_sensitive, out.nan_sensitive) == (3, 2)

    def test_unsound_data_is_refused_before_it_is_used(self):
        indices = pa.array([0, 1, 5], pa.int8())
        broken = pa.DictionaryArray.from_arrays(indices, pa.array(["a", "b"]), safe=False)
        with pytest.raises(UnreadableError, match="could not be read"):
            measure(pa.table({"g": broken, "y": [0, 1, 1]}), label="y", sensitive="g")

    def test_nan_is_left_out_as_null_is_and_counted_apart(self):
        nan = float("nan")
        table = pa.table(
            {"g": [1.0, 2.0, nan, None, -0.0, 0.0], "y": pa.array([1.0, 0, 1, 1, nan, 0], from_pandas=False)}
        )
        report = measure(table, label="y", sensitive="g")
        assert list(report.facets) == ["0.0", "1.0", "2.0"]
        assert (report.measured, report.left_out.rows) == (3, 3)
        assert (report.left_out.no_sensitive, report.left_out.nan_sensitive) == (2, 1)
        assert (report.left_out.no_label, report.left_out.nan_label) == (1, 1)
        assert "(2 of these are NaN)" in report.notes[0]

    @pytest.mark.parametrize("kind", [pa.list_(pa.int64()), pa.struct({"a": pa.int64()}), pa.binary()], ids=str)
    def test_types_without_categories_are_refused(self, kind):
        table = pa.table({"g": pa.nulls(2, kind), "y": [0, 1]})
        with pytest.raises(UsageError, match="neither categories nor numbers") as caught:
            measure(table, label="y", sensitive="g")
        assert caught.value.code == "unsupported-type"

    def test_a_column_that_is_not_there_is_named_with_the_nearest(self, store):
        version = store.create_dataset("people").append(PEOPLE)
        for data in (version, version.view(), PEOPLE, pl.DataFrame(PEOPLE.to_pydict())):
            with pytest.raises(ColumnNotFoundError, match="no column 'hird'") as caught:
                measure(data, label="hird", sensitive="sex")
            assert "Did you mean 'hired'?" in caught.value.hint

    def test_two_columns_of_one_name_are_refused(self):
        table = pa.Table.from_arrays([pa.array(["a"]), pa.array(["b"]), pa.array([1])], names=["g", "g", "y"])
        with pytest.raises(UsageError, match="several columns named 'g'"):
            measure(table, label="y", sensitive="g")

    @pytest.mark.parametrize(
        "names",
        [
            {"label": "sex", "sensitive": "sex"},
            {"label": "hired", "sensitive": "sex", "conditional_on": "sex"},
            {"label": "hired", "sensitive": "sex", "conditional_on": ["dept", "dept"]},
            {"label": 3, "sensitive": "sex"},
            {"label": "hired", "sensitive": "sex", "conditional_on": 5},
            {"label": "hired", "sensitive": "sex", "conditional_on": list("abcde")},
        ],
        ids=str,
    )
    def test_names_that_contradict_each_other_are_refused(self, names):
        with pytest.raises(UsageError, match=r"named|names"):
            measure(PEOPLE, **names)


class TestPositiveLabels:
    def test_of_zero_and_one_the_one_is_positive_and_of_booleans_the_true(self):
        for values in ([0, 1], [0.0, 1.0], [False, True]):
            facet = measure(pa.table({"g": ["a", "b"], "y": values}), label="y", sensitive="g").facets["b"]
            assert (facet.positive, facet.positive_others) == (1, 0)

    @pytest.mark.parametrize("values", [["no", "yes"], [1, 2], ["0", "1"]], ids=str)
    def test_other_labels_have_to_be_named(self, values):
        with pytest.raises(UsageError, match="Which labels of 'y' are positive") as caught:
            measure(pa.table({"g": ["a", "b"], "y": values}), label="y", sensitive="g")
        assert caught.value.code == "positive-needed"
        assert f"{values[0]}" in str(caught.value)

    def test_ranges_have_to_be_named_too(self):
        with pytest.raises(UsageError, match=r"Which labels of 'age' are positive\? They are '<= 1', '> 1'") as caught:
            measure(pa.table({"g": ["a", "b"], "age": [0, 2]}), label="age", sensitive="g", label_bins=[1])
        assert "positive=['> 1']" in caught.value.hint

    def test_a_label_that_does_not_occur_is_refused_with_those_that_do(self):
        table = pa.table({"g": ["a", "b"], "y": ["<=50K", ">50K"]})
        with pytest.raises(NotFoundError, match="positive: '> 50K' does not occur in 'y'") as caught:
            measure(table, label="y", sensitive="g", positive="> 50K")
        assert caught.value.code == "value-not-found"
        assert "Did you mean '>50K'?" in caught.value.hint
        assert measure(table, label="y", sensitive="g", positive=">50K").facets["b"].positive == 1

    @pytest.mark.parametrize("positive", [True, "true", ["true"], [True], (True,), {True}, np.True_], ids=repr)
    def test_values_are_given_as_they_are_or_as_text(self, positive):
        assert measure(PEOPLE, label="hired", sensitive="sex", positive=positive).facets["F"].positive == 10

    @pytest.mark.parametrize(
        ("comparison", "holds"),
        [
            ("> 30", lambda x: x > 30),
            (">=30", lambda x: x >= 30),
            (" < 30.5 ", lambda x: x < 30.5),
            ("<= 30", lambda x: x <= 30),
            ("= 30", lambda x: x == 30),
            ("!= 30", lambda x: x != 30),
            ("> -1e30", lambda x: True),
            ("> 99999999999999999999", lambda x: False),
            ("> 1e999", lambda x: False),
        ],
    )
    @pytest.mark.parametrize("kind", [pa.int8(), pa.int64(), pa.uint64(), pa.float32(), pa.decimal128(24, 1)], ids=str)
    def test_a_comparison_makes_numbers_positive(self, comparison, holds, kind):
        ages = PEOPLE["age"].to_pylist()
        table = PEOPLE.set_column(2, "age", pa.array(ages).cast(kind))
        facet = measure(table, label="age", sensitive="sex", positive=comparison).facets["F"]
        assert facet.positive == sum(holds(age) for age in ages[:40])
        assert len(facet.labels) <= 2

    def test_whole_numbers_beyond_a_double_are_compared_exactly(self):
        table = pa.table({"g": ["a", "a", "b", "b"], "y": [2**53, 2**53 + 1, 2**53, 2**53]})
        report = measure(table, label="y", sensitive="g", positive=f"> {2**53}")
        assert (report.facets["a"].positive, report.facets["b"].positive) == (1, 0)

    def test_ranges_shape_the_distances_and_the_comparison_the_proportions(self):
        table = pa.table({"g": ["a"] * 4 + ["b"] * 4, "y": [0, 10, 15, 40, 16, 20, 61, 70]})
        facet = measure(table, label="y", sensitive="g", positive="> 15", label_bins=[15, 60]).facets["a"]
        assert facet.labels == {"<= 15": (3, 0), "(15, 60]": (1, 2), "> 60": (0, 2)}
        assert (facet.positive, facet.positive_others) == (1, 4)
        assert facet.metrics["tvd"] == pytest.approx((0.75 + 0.25 + 0.5) / 2)
        named = measure(table, label="y", sensitive="g", positive=["(15, 60]", "> 60"], label_bins=[15, 60])
        assert named.facets["a"] == facet

    def test_numbers_without_a_comparison_or_ranges_have_too_many_values(self):
        table = pa.table({"g": ["a", "b"] * 200, "y": list(range(400))})
        with pytest.raises(UsageError, match="'y' has more than 100 values") as caught:
            measure(table, label="y", sensitive="g", positive=[3])
        assert caught.value.code == "too-many-values"
        assert "label_bins" in caught.value.hint

    def test_that_no_label_is_positive_is_said(self):
        report = measure(PEOPLE, label="age", sensitive="sex", positive="> 1000", label_bins=[40])
        assert "No measured row has a positive label." in report.notes
        assert report.facets["F"].metrics["dpl"] == 0
        every = measure(PEOPLE, label="age", sensitive="sex", positive="> 0", label_bins=[40])
        assert "Every measured row has a positive label." in every.notes
        one = measure(PEOPLE, label="age", sensitive="sex", positive="> 0")
        assert "Every measured row has the label '> 0': there is nothing to differ." in one.notes

    @pytest.mark.parametrize("positive", [[], None, [None]], ids=str)
    def test_no_value_is_no_choice(self, positive):
        if positive is None:
            positive = ()
        with pytest.raises(UsageError, match=r"names no value|holds None"):
            measure(PEOPLE, label="hired", sensitive="sex", positive=positive)


class TestFacets:
    def test_several_values_make_one_facet(self):
        table = pa.table({"g": list("abcc"), "y": [1, 0, 1, 0]})
        report = measure(table, label="y", sensitive="g", disadvantaged=["a", "c"])
        assert {name: (f.rows, f.rows_others) for name, f in report.facets.items()} == {"a, c": (3, 1)}

    def test_a_comparison_makes_one_side_of_the_numbers_a_facet(self):
        report = measure(PEOPLE, label="hired", sensitive="age", disadvantaged="<= 25")
        assert {name: f.rows for name, f in report.facets.items()} == {"<= 25": 12}

    def test_a_group_is_named_as_the_report_names_it(self):
        table = pa.table({"g": pa.array([1, 90_000], pa.duration("s")), "y": [0, 1]})
        names = list(measure(table, label="y", sensitive="g").facets)
        assert names == ["0:00:01", "1 day, 1:00:00"]
        assert measure(table, label="y", sensitive="g", disadvantaged=names[1]).facets[names[1]].positive == 1

    def test_ranges_of_numbers_are_groups_in_their_order(self):
        report = measure(PEOPLE, label="hired", sensitive="age", sensitive_bins=[25, 40.5])
        assert {name: f.rows for name, f in report.facets.items()} == {"<= 25": 12, "(25, 40.5]": 30, "> 40.5": 58}
        one = measure(PEOPLE, label="hired", sensitive="age", sensitive_bins=[25, 40.5], disadvantaged="<= 25")
        assert list(one.facets) == ["<= 25"]
        assert one.facets["<= 25"].metrics == report.facets["<= 25"].metrics

    def test_a_number_of_ranges_makes_ranges_of_about_equally_many_rows(self, store):
        version = store.create_dataset("people").append(PEOPLE)
        for data in (version, PEOPLE):
            report = measure(data, label="hired", sensitive="age", sensitive_bins=4, positive=True)
            assert report.options.sensitive_bins == (32, 44, 57)
            assert [facet.rows for facet in report.facets.values()] == [26, 24, 26, 24]

    def test_ranges_that_are_to_be_found_need_a_second_pass(self):
        with pytest.raises(UsageError, match="gives its rows once"):
            measure(PEOPLE.to_reader(), label="hired", sensitive="age", sensitive_bins=4)
        with pytest.raises(UsageError, match="too few values"):
            measure(pa.table({"g": [1, 1], "y": [0, 1]}), label="y", sensitive="g", sensitive_bins=4)

    def test_too_many_groups_are_refused_with_a_way_out(self):
        table = pa.table({"g": [f"g{n}" for n in range(300)], "n": list(range(300)), "y": [0, 1, 1] * 100})
        with pytest.raises(UsageError, match="'g' has more than 100 values") as caught:
            measure(table, label="y", sensitive="g")
        assert "max_values" in caught.value.hint
        with pytest.raises(UsageError, match="'n' has more than 100 values") as caught:
            measure(table, label="y", sensitive="n")
        assert "sensitive_bins" in caught.value.hint
        assert len(measure(table, label="y", sensitive="g", max_values=300).facets) == 300

    def test_one_group_alone_is_no_comparison(self):
        with pytest.raises(UsageError, match="'sex' has one value in the rows that are measured, 'F'") as caught:
            measure(PEOPLE.slice(0, 40), label="hired", sensitive="sex")
        assert caught.value.code == "one-value"
        with pytest.raises(UsageError, match="no others to compare with"):
            measure(PEOPLE, label="hired", sensitive="sex", disadvantaged=["F", "M"])

    def test_a_group_that_does_not_occur_is_refused_with_those_that_do(self):
        with pytest.raises(NotFoundError, match="disadvantaged: 'W' does not occur in 'sex'") as caught:
            measure(PEOPLE, label="hired", sensitive="sex", disadvantaged="W")
        assert "Available: F, M." in caught.value.hint
        with pytest.raises(UsageError, match="'age' has one value in the rows that are measured, '<= 1000'"):
            measure(PEOPLE, label="hired", sensitive="age", disadvantaged="> 1000")

    def test_groups_without_any_label_are_named_and_left_out(self):
        table = pa.table({"g": ["a", "b", "c", "c"], "y": [1, 0, None, None]})
        report = measure(table, label="y", sensitive="g")
        assert list(report.facets) == ["a", "b"]
        assert report.unlabelled == ("c",)
        assert "No row has a label in: 'c'." in report.notes
        with pytest.raises(UsageError, match="No measured row has g c"):
            measure(table, label="y", sensitive="g", disadvantaged="c")

    def test_an_empty_range_is_neither_a_group_nor_without_labels(self):
        table = pa.table({"g": [1, 5, 5, 90], "y": [0, 1, None, None]})
        report = measure(table, label="y", sensitive="g", sensitive_bins=[3, 20, 50])
        assert list(report.facets) == ["<= 3", "(3, 20]"]
        assert report.unlabelled == ("> 50",)

    def test_small_facets_are_measured_and_flagged(self):
        report = measure(PEOPLE, label="hired", sensitive="sex", min_rows=41)
        assert [facet.too_few for facet in report.facets.values()] == [True, True]
        assert not measure(PEOPLE, label="hired", sensitive="sex", min_rows=40).facets["F"].too_few
        assert "* fewer than 41 rows on one side: 'F', 'M'." in report.notes
        assert "F *" in str(report)
        assert report.facets["F"].words["dpl"].endswith(" The rows are few.")


class TestConditions:
    def test_several_columns_make_strata_of_their_combinations(self):
        table = PEOPLE.append_column("site", pa.array(["x", None] * 50))
        report = measure(table, label="hired", sensitive="sex", conditional_on=["dept", "site"])
        assert [each.name for each in report.facets["F"].strata] == ["a, x", "b, (null)"]
        assert report.no_condition == 50
        assert "50 rows have no value to condition on" in " ".join(report.notes)

    def test_numbers_to_condition_on_are_cut_into_ranges(self):
        report = measure(PEOPLE, label="hired", sensitive="sex", conditional_on="age", condition_bins=[40])
        assert [each.name for each in report.facets["F"].strata] == ["<= 40", "> 40"]
        with pytest.raises(UsageError, match="condition_bins cuts one column"):
            measure(PEOPLE, label="hired", sensitive="sex", conditional_on=["age", "dept"], condition_bins=[40])
        with pytest.raises(UsageError, match="condition_bins cuts numbers, and 'dept' holds none"):
            measure(PEOPLE, label="hired", sensitive="sex", conditional_on="dept", condition_bins=[40])

    def test_too_many_strata_are_refused(self):
        with pytest.raises(UsageError, match="'age' has more than 10 values") as caught:
            measure(PEOPLE, label="hired", sensitive="sex", conditional_on="age", max_strata=10)
        assert "condition_bins" in caught.value.hint
        table = PEOPLE.set_column(3, "dept", pa.array(["a", "b", "c", "d"] * 25))
        with pytest.raises(UsageError, match="'age', 'dept' have more than 50 values together"):
            measure(table, label="hired", sensitive="sex", conditional_on=["age", "dept"], max_strata=50)

    def test_many_combinations_are_found_without_a_table_of_all(self):
        n = 4_000
        columns = {f"c{k}": [(i // 7**k) % 150 for i in range(n)] for k in range(4)}
        table = pa.table({"g": ["a", "b"] * (n // 2), "y": [i % 3 % 2 for i in range(n)], **columns})
        report = measure(table, label="y", sensitive="g", conditional_on=list(columns), max_strata=n)
        assert len(report.facets["a"].strata) == len(set(zip(*columns.values(), strict=True)))
        assert sum(each.rows for each in report.facets["a"].strata) == n // 2

    def test_a_stratum_of_one_group_alone_has_no_difference_in_proportions(self):
        table = pa.table({"g": ["a", "a", "b"], "y": [0, 1, 1], "c": [1, 1, 2]})
        strata = measure(table, label="y", sensitive="g", conditional_on="c").facets["a"].strata
        assert [each.dpl for each in strata] == [None, None]
        assert [each.dd for each in strata] == [0, 0]


class TestOptions:
    @pytest.mark.parametrize(
        "option",
        [
            {"p": 0.5},
            {"p": "2"},
            {"p": float("nan")},
            {"smoothing": -1},
            {"confidence": 95},
            {"confidence": 1},
            {"min_rows": -1},
            {"min_rows": 2.5},
            {"max_values": 1},
            {"max_strata": True},
            {"sensitive_bins": []},
            {"sensitive_bins": [3, 2]},
            {"sensitive_bins": [1, 1]},
            {"sensitive_bins": [float("inf")]},
            {"sensitive_bins": "1,2"},
            {"sensitive_bins": 1},
            {"sensitive_bins": ["1"]},
        ],
        ids=str,
    )
    def test_values_that_do_not_fit_are_refused(self, option):
        with pytest.raises(UsageError, match="does not"):
            measure(PEOPLE, label="hired", sensitive="age", **option)

    def test_an_option_that_there_is_not_is_refused_with_the_nearest(self):
        with pytest.raises(UsageError, match="no option 'smooting'") as caught:
            measure(PEOPLE, label="hired", sensitive="sex", smooting=1)
        assert "Did you mean 'smoothing'?" in caught.value.hint

    def test_ranges_of_texts_are_refused(self):
        with pytest.raises(UsageError, match="sensitive_bins cuts numbers, and 'sex' holds none"):
            measure(PEOPLE, label="hired", sensitive="sex", sensitive_bins=[1])

    def test_smoothing_is_for_kl_and_the_norm_for_lp_alone(self):
        table = pa.table({"g": ["a"] * 4 + ["b"] * 4, "y": [1, 1, 1, 1, 0, 0, 1, 1]})
        plain = measure(table, label="y", sensitive="g").facets["a"].metrics
        other = measure(table, label="y", sensitive="g", smoothing=1, p=inf).facets["a"].metrics
        assert plain["kl"] == inf
        assert other["kl"] == pytest.approx(0.5 * log(0.5 / (1 / 6)) + 0.5 * log(0.5 / (5 / 6)))
        assert (plain["lp"], other["lp"]) == (pytest.approx(sqrt(0.5)), pytest.approx(0.5))
        assert {k: v for k, v in plain.items() if k not in ("kl", "lp")} == {
            k: v for k, v in other.items() if k not in ("kl", "lp")
        }

    def test_a_greater_confidence_makes_wider_intervals(self):
        wide, narrow = (
            measure(PEOPLE, label="hired", sensitive="sex", confidence=each).facets["F"] for each in (0.99, 0.8)
        )
        for name in ("ci_interval", "dpl_interval"):
            (a, b), (c, d) = getattr(wide, name), getattr(narrow, name)
            assert a < c < d < b


class TestSealedLabels:
    @pytest.fixture
    def split(self, store):
        rows = {"id": list(range(3_000)), "g": ["a", "b", "c"] * 1_000, "y": [n % 5 == 0 for n in range(3_000)]}
        split = store.create_dataset("n", key=["id"]).append(rows).split("half", train=0.3, test=0.7)
        plan = foldstore.plan_pool("n > 0.6 +/- 0.1", reliability=0.99, steps=3, reuse="full")
        store.pools.seal("half", split.test, label="y", plan=plan)
        return split

    def test_they_are_left_out_and_the_report_says_so(self, store, split):
        report = measure(store.view("n"), label="y", sensitive="g")
        assert report.measured == split.train.num_rows
        assert report.left_out.no_label == split.test.num_rows
        assert "Labels that a test pool has sealed read as null." in " ".join(report.notes)
        assert report.facets == measure(split.train, label="y", sensitive="g").facets

    def test_of_the_sealed_part_there_is_nothing_to_measure(self, split):
        with pytest.raises(UsageError, match=r"No row of n@1#half.test has both 'y' and 'g'") as caught:
            measure(split.test, label="y", sensitive="g")
        assert caught.value.code == "no-rows"
        assert "sealed" in caught.value.hint


def test_an_empty_table_has_nothing_to_measure():
    with pytest.raises(UsageError, match="of 0 rows 0 lack"):
        measure(PEOPLE.slice(0, 0), label="hired", sensitive="sex", conditional_on="dept")


def test_the_flights_of_january_agree_with_sql(store, sample):
    flights = store.create_dataset("flights").append(sample / "flights" / "flights_2013-01.parquet")
    report = measure(flights, label="arr_delay", positive="> 15", sensitive="carrier", conditional_on="origin")
    query = (
        "SELECT carrier, count(*), count(*) FILTER (arr_delay > 15) FROM flights "
        "WHERE arr_delay IS NOT NULL GROUP BY 1 ORDER BY 1"
    )
    expected = store.sql(query).rows()
    assert [(f.name, f.rows, f.positive) for f in report.facets.values()] == expected
    late, rows = sum(row[2] for row in expected), sum(row[1] for row in expected)
    for name, n, positive in expected:
        facet = report.facets[name]
        assert facet.metrics["dpl"] == pytest.approx((late - positive) / (rows - n) - positive / n)
        assert sum(each.rows for each in facet.strata) == n
    table = pq.read_table(sample / "flights" / "flights_2013-01.parquet").select(["carrier", "arr_delay", "origin"])
    rows = [
        (c, None if d is None else d > 15, o)
        for c, d, o in zip(*(table[n].to_pylist() for n in table.column_names), strict=True)
    ]
    for name in ("UA", "OO"):
        found = report.facets[name].metrics
        assert found == {key: pytest.approx(value, abs=1e-9) for key, value in brute_force(rows, name, {True}).items()}
    assert report.facets["OO"].too_few


def test_a_report_is_plain_data(store):
    report = measure(PEOPLE, label="hired", sensitive="sex", conditional_on="dept", sensitive_bins=None)
    assert json.loads(json.dumps(report.to_dict(), allow_nan=False))["facets"]["F"]["metrics"]["ci"] == 0.2
