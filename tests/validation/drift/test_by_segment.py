"""Drift by segment: each segment as if it were compared alone, but for the adjustment; the mix told apart."""

import json
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from itertools import pairwise

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from scipy.spatial.distance import jensenshannon

import foldstore
from foldstore.datastore.statistics.segments import MAX_SEGMENTS
from foldstore.errors import ColumnNotFoundError, NotFoundError, UsageError
from foldstore.validation.check import drift_between
from foldstore.validation.column_bounds import DriftPolicy
from foldstore.validation.drift.adjustment import adjust
from foldstore.validation.drift.segments import SegmentedDrift
from foldstore.validation.segment_drift import drift_by_segment
from foldstore.validation.subject import TableSubject

ALONE = ("effect", "distance", "noise", "p_value", "method", "n_reference", "n_current", "largest_change",
         "null_before", "null_after", "null_effect", "null_p_value", "distribution", "part", "lag")  # fmt: skip


def subject(columns):
    return TableSubject(columns if isinstance(columns, pa.Table) else pa.table(columns), "rows")


def by_hand(table, by, values):
    """Cut the rows of a segment out of a table."""
    mask = pa.array([True] * table.num_rows, pa.bool_())
    for name, value in zip(by, values, strict=True):
        column = table[name]
        same = pc.is_null(column) if value is None else pc.equal(column, pa.scalar(value, column.type))
        mask = pc.and_(mask, pc.fill_null(same, False))
    return table.filter(mask)


def frame(seed, n=3_000, *, zones=("in", "out", None), shift=0.0):
    draw = np.random.default_rng(seed)
    zone = draw.choice(len(zones), n, p=[0.5, 0.3, 0.2])
    km = draw.normal(size=n) + shift * (zone == 1)
    nulls = draw.random(n) < 0.1
    start = datetime(2026, 1, 1, tzinfo=UTC)
    return pa.table(
        {
            "zone": pa.array([zones[each] for each in zone], pa.string()),
            "far": pa.array(draw.random(n) < 0.4),
            "km": pa.array(km, mask=nulls),
            "count": draw.poisson(3, n),
            "kind": pa.array(draw.choice(list("abcd"), n)),
            "at": pa.array([start + timedelta(minutes=int(each)) for each in draw.integers(0, 60 * 24 * 28, n)]),
        }
    )


class TestEachSegment:
    @pytest.mark.parametrize("by", [["zone"], ["far"], ["count"], ["zone", "far"], ["kind", "count"]], ids=str)
    def test_is_compared_as_its_rows_alone_are_but_for_the_adjustment(self, by):
        before, after = frame(1), frame(2, shift=0.8)
        found = drift_by_segment(subject(before), subject(after), by)
        compared = [each for each in found.segments if each.drift is not None and not each.is_other]
        assert len(compared) >= 2
        for each in compared:
            f, g = (by_hand(table, by, each.values) for table in (before, after))
            assert (each.rows_reference, each.rows_current) == (f.num_rows, g.num_rows)
            alone = drift_between(subject(f), subject(g))
            assert each.drift.columns.keys() == alone.columns.keys()
            assert each.drift.untested == alone.untested
            for name, column in alone.columns.items():
                ours = each.drift.columns[name]
                assert {k: getattr(ours, k) for k in ALONE} == {k: getattr(column, k) for k in ALONE}

    def test_has_the_numbers_of_scipy(self):
        before, after = frame(1), frame(2)
        segment = drift_by_segment(subject(before), subject(after), "zone")["out"]
        f, g = (by_hand(table, ["zone"], ["out"]) for table in (before, after))
        kinds = [[pc.sum(pc.equal(part["kind"], each)).as_py() for each in "abcd"] for part in (f, g)]
        found = segment.drift.columns["kind"]
        distance = jensenshannon(*kinds, base=2)
        assert found.distance == pytest.approx(distance, abs=1e-12)
        scaled = 8 * distance**2 * np.log(2) / (1 / f.num_rows + 1 / g.num_rows)
        assert found.p_value == pytest.approx(stats.chi2.sf(scaled, 3), rel=1e-9)

    def test_is_found_by_its_values_and_by_null(self):
        found = drift_by_segment(subject(frame(1)), subject(frame(2)), ["zone", "far"])
        assert found[None, True].name == "null, True"
        assert found["in", False].values == ("in", False)
        with pytest.raises(NotFoundError, match="no segment"):
            found["in", 0]

    def test_that_says_null_is_not_the_segment_of_nulls(self):
        rows = frame(1, zones=("null", "other", None))
        found = drift_by_segment(subject(rows), subject(rows), "zone", max_segments=2)
        assert [each.is_other for each in found.segments].count(True) == 1
        assert found["null"].rows_reference != next(e for e in found.segments if e.is_other).rows_reference

    def test_may_be_a_time_a_number_or_a_decimal(self):
        base = frame(1, n=2_000)
        days = pc.floor_temporal(base["at"], unit="week")
        cents = pa.array([Decimal(each) for each in base["count"].to_pylist()], pa.decimal128(6, 2))
        rows = (
            base.append_column("week", days)
            .append_column("cents", cents)
            .append_column("half", pc.cast(base["count"], pa.float64()))
        )
        for name in ("week", "cents", "half"):
            found = drift_by_segment(subject(rows), subject(rows), name)
            sizes = sorted(
                each["count"]
                for each in rows.group_by(name)
                .aggregate([([], "count_all")])
                .rename_columns(["v", "count"])
                .to_pylist()
            )
            assert sorted(each.rows_reference for each in found.segments) == sizes
            assert found.drifted == ()
            assert SegmentedDrift.from_dict(json.loads(json.dumps(found.to_dict()))) == found

    def test_of_few_rows_is_untestable_and_not_stable(self):
        before, after = frame(1, n=30), frame(2, n=30)
        found = drift_by_segment(subject(before), subject(after), "zone")
        verdicts = {
            c.verdict.value for each in found.segments for n, c in each.drift.columns.items() if n in ("km", "count")
        }
        assert verdicts == {"untestable"}
        assert ("in", "km") in found.untestable
        assert found["in"].drift.columns["km"].needed is None or found["in"].drift.columns["km"].needed > 15
        assert "too few rows for" in str(found)

    def test_needs_more_rows_the_more_is_compared(self):
        """A change of the limit has to stand out from all comparisons, so the rows have to show it at alpha / m."""
        before, after = frame(1, n=3_200, zones=("in",) * 3), frame(2, n=3_200, zones=("in",) * 3)
        one = drift_between(subject(before), subject(after)).columns["km"]
        ids = pa.array([str(each % 4) for each in range(3_200)])
        found = drift_by_segment(subject(before.append_column("s", ids)), subject(after.append_column("s", ids)), "s")
        alone = drift_between(subject(before.slice(0, 800)), subject(after.slice(0, 800))).columns["km"]
        assert (one.verdict.value, alone.verdict.value) == ("stable", "stable")
        assert found["0"].drift.columns["km"].verdict.value == "untestable"
        assert found["0"].drift.columns["km"].needed > 720


class TestAdjustment:
    @pytest.mark.parametrize("method", ["bh", "by", "holm"])
    def test_is_over_columns_and_segments_together(self, method):
        found = drift_by_segment(subject(frame(1)), subject(frame(2, shift=0.5)), ["zone", "far"], adjustment=method)
        columns = [each for segment in found.segments for each in segment.drift.columns.values()]
        assert found.tests == len(columns)
        assert [each.p_adjusted for each in columns] == pytest.approx(
            adjust([each.p_value for each in columns], method)
        )
        nulls = [each for segment in found.segments for each in segment.drift.nulls.values()]
        assert len(nulls) > len(columns)
        assert [each.p_adjusted for each in nulls] == pytest.approx(adjust([each.p_value for each in nulls], method))
        assert found.expected == pytest.approx(0.01 * len(columns))

    def test_takes_policies_with_other_metrics(self):
        policy = DriftPolicy(metric="ks", tau_warn=0.2, tau_error=0.5)
        found = drift_by_segment(subject(frame(1)), subject(frame(2, shift=0.8)), "zone", policy=policy)
        assert found["out"].drift.columns["km"].metric == "ks"
        assert found.drifted == (("out", "km"),)
        assert found["out"].drift.columns["km"].verdict.value == "warn"


class TestOneSide:
    def test_segments_are_told_with_their_shares(self):
        before, after = frame(1, zones=("in", "out", "old")), frame(2, zones=("in", "out", "new"))
        found = drift_by_segment(subject(before), subject(after), "zone")
        assert [each.name for each in found.new] == ["new"]
        assert [each.name for each in found.gone] == ["old"]
        share = pc.mean(pc.cast(pc.equal(after["zone"], "new"), pa.float64())).as_py()
        assert found["new"].share_current == pytest.approx(share)
        assert (found["new"].drift, found["new"].share_reference, found["new"].verdict.value) == (None, 0.0, "warn")
        assert found.mix.verdict.value == "error"
        assert found.verdict.value == "error"
        for said in (str(found), found.to_html(), found._repr_html_()):
            assert "old" in said
            assert "gone" in said

    def test_without_rows_compares_nothing(self):
        empty = frame(1).slice(0, 0)
        for sides in ((empty, frame(2)), (frame(1), empty), (empty, empty)):
            found = drift_by_segment(*map(subject, sides), "zone")
            assert (found.tests, found.drifted) == (0, ())
            assert all(each.drift is None for each in found.segments)
            assert str(found)
            assert found.to_html()
            assert SegmentedDrift.from_dict(json.loads(json.dumps(found.to_dict()))) == found

    def test_lacking_the_column_is_refused(self):
        with pytest.raises(ColumnNotFoundError):
            drift_by_segment(subject(frame(1).drop_columns(["zone"])), subject(frame(2)), "zone")
        with pytest.raises(ColumnNotFoundError):
            drift_by_segment(subject(frame(1)), subject(frame(2).drop_columns(["zone"])), "zone")

    def test_with_another_type_of_the_column_is_refused(self):
        other = frame(2).set_column(0, "zone", pa.array([1] * 3_000))
        with pytest.raises(UsageError, match="it is string on one side and int64 on the other"):
            drift_by_segment(subject(frame(1)), subject(other), "zone")

    def test_may_be_wider_integers_or_a_dictionary(self):
        narrow = frame(2).set_column(3, "count", pc.cast(frame(2)["count"], pa.int16()))
        coded = narrow.set_column(0, "zone", frame(2)["zone"].dictionary_encode())
        found = drift_by_segment(subject(frame(1)), subject(coded), ["zone", "count"])
        assert found["in", 3].rows_current == by_hand(frame(2), ["zone", "count"], ["in", 3]).num_rows


class TestTooMany:
    def test_segments_are_joined_and_told(self):
        rows = frame(1, n=6_000).append_column("id", pa.array([each % 200 for each in range(6_000)]))
        found = drift_by_segment(subject(rows), subject(rows), "id", max_segments=5)
        other = next(each for each in found.segments if each.is_other)
        assert (len(found.segments), found.left_over, other.values) == (6, 195, ())
        assert other.rows_reference == 6_000 - 5 * 30
        assert "too many segments: 195 are compared together as other, 5 stand alone" in str(found)
        assert "195 are compared together" in found.to_html()
        assert len(drift_by_segment(subject(rows), subject(rows), "id").segments) == MAX_SEGMENTS + 1

    def test_that_stand_alone_hold_most_of_either_side(self):
        before = pa.table({"k": ["a"] * 500 + ["b"] * 400 + ["c"] * 100, "x": list(range(1_000))})
        after = pa.table({"k": ["c"] * 900 + ["b"] * 60 + ["a"] * 40, "x": list(range(1_000))})
        found = drift_by_segment(subject(before), subject(after), "k", max_segments=2)
        assert {each.name for each in found.segments} == {"a", "c", "other"}

    @pytest.mark.parametrize("most", [0, -1, True, 2_501, 1.5])
    def test_is_a_number_within_bounds(self, most):
        with pytest.raises(UsageError, match="max_segments"):
            drift_by_segment(subject(frame(1, n=50)), subject(frame(2, n=50)), "zone", max_segments=most)

    @pytest.mark.parametrize("by", [[], ["zone", "far", "kind"], ["zone", "zone"]])
    def test_columns_are_refused(self, by):
        with pytest.raises(UsageError, match="one column or by two"):
            drift_by_segment(subject(frame(1, n=50)), subject(frame(2, n=50)), by)


def in_zones(shares, rates, n, seed):
    """Draw rows of two zones: their shares, and how often x is 1 within each."""
    draw = np.random.default_rng(seed)
    zone = draw.random(n) < shares
    return pa.table(
        {"zone": pa.array(np.where(zone, "a", "b")), "x": (draw.random(n) < np.where(zone, *rates)).astype(int)}
    )


class TestMix:
    def test_alone_moves_all_rows_and_no_segment(self):
        """Simpson: the shares of the zones change, and nothing within them does."""
        before, after = in_zones(0.9, (0.9, 0.1), 20_000, 1), in_zones(0.1, (0.9, 0.1), 20_000, 2)
        found = drift_by_segment(subject(before), subject(after), "zone")
        assert found.drifted == ()
        assert found.overall.columns["x"].verdict.value == "error"
        assert found.mix.verdict.value == "error"
        part = found.columns["x"]
        assert part.because(found.tau) == "mix"
        assert part.by_mix == pytest.approx(found.overall.columns["x"].effect, abs=0.02)
        assert part.within < 0.02

    def test_may_hide_what_happened_within_every_segment(self):
        before, after = in_zones(0.5, (0.3, 0.7), 20_000, 1), in_zones(0.5, (0.7, 0.3), 20_000, 2)
        found = drift_by_segment(subject(before), subject(after), "zone")
        assert found.overall.columns["x"].verdict.value == "stable"
        assert found.mix.verdict.value == "stable"
        assert sorted(found.drifted) == [("a", "x"), ("b", "x")]
        part = found.columns["x"]
        assert (part.because(found.tau), part.within_verdict.value) == ("within", "error")
        assert part.by_mix < 0.02
        assert {each.segment for each in part.worst} == {"a", "b"}

    def test_and_within_sum_up_to_the_divergence_of_both_together(self):
        before, after = in_zones(0.6, (0.3, 0.7), 5_000, 1), in_zones(0.4, (0.5, 0.6), 5_000, 2)
        part = drift_by_segment(subject(before), subject(after), "zone").columns["x"]
        f, g = (
            np.array([by_hand(t, ["zone", "x"], (z, x)).num_rows for z in "ab" for x in (0, 1)]) + 0.5
            for t in (before, after)
        )
        whole = stats.entropy(g / g.sum(), f / f.sum())
        assert part.mix_nats + part.within_nats == pytest.approx(whole, rel=1e-9)

    def test_of_chance_has_the_mean_that_is_taken_off(self):
        """With the same shares drawn twice, what the drawn shares alone make is s phi^2 / 8 on average."""
        from foldstore.validation.drift.mix import _mix

        draw = np.random.default_rng(5)
        within = np.array([[0.7, 0.2, 0.1], [0.1, 0.3, 0.6], [0.3, 0.4, 0.3]])
        shares = np.array([0.5, 0.3, 0.2])
        joint = (shares[:, None] * within).ravel()
        raws, means = zip(
            *(_mix(*(draw.multinomial(n, joint).reshape(3, 3) for n in (4_000, 1_000))) for _ in range(3_000)),
            strict=True,
        )
        assert np.mean(means) == pytest.approx(np.mean(raws), rel=0.06)

    def test_is_compared_as_counts_of_the_segments_are(self):
        before, after = frame(1), frame(2, n=1_000)
        found = drift_by_segment(subject(before), subject(after), "zone")
        counts = [
            [by_hand(table, ["zone"], [each]).num_rows for each in ("in", "out", None)] for table in (before, after)
        ]
        assert found.mix.distance == pytest.approx(jensenshannon(*counts, base=2), abs=1e-12)
        assert sum(each.share_current for each in found.segments) == pytest.approx(1)

    def test_counts_a_new_segment_as_mix(self):
        before = in_zones(1.0, (0.5, 0.5), 5_000, 1)
        after = pa.concat_tables([in_zones(1.0, (0.5, 0.5), 2_500, 2), in_zones(0.0, (1.0, 1.0), 2_500, 3)])
        part = drift_by_segment(subject(before), subject(after), "zone").columns["x"]
        assert part.by_mix > 0.15
        assert part.within < 0.05


class TestStored:
    @pytest.fixture
    def store(self, folder):
        with foldstore.connect(folder) as opened:
            yield opened

    def test_versions_views_parts_and_windows_are_compared(self, store):
        trips = store.create_dataset("trips")
        for seed in range(4):
            trips.append(frame(seed, n=1_500))
        newest = trips.latest
        added, window = (pa.concat_tables(frame(seed, n=1_500) for seed in seeds) for seeds in ((3,), (1, 2)))
        expected = drift_by_segment(subject(window), subject(added), "zone")
        assert newest.drift("rolling(2)", by="zone") == expected
        assert newest.drift("rolling(2)", by="zone") == expected  # from what was kept
        view = store.view("trips@2").where("km > 0")
        by_view = drift_by_segment(subject(view.to_arrow()), subject(added), "zone")
        assert newest.drift(view, by="zone", rows="added") == by_view
        split = trips.version(2).split("halves", group_by=["count"], train=0.5, test=0.5, seed=1)
        by_part = drift_by_segment(subject(split.train.to_arrow()), subject(added), ["zone", "far"])
        assert newest.drift(split.train, by=["zone", "far"], rows="added") == by_part

    @settings(deadline=None, max_examples=25)
    @given(
        cuts=st.lists(st.integers(0, 400), max_size=4),
        seed=st.integers(0, 2**32 - 1),
        by=st.sampled_from([["zone"], ["far"], ["zone", "count"]]),
        limit=st.integers(1, 6),
    )
    def test_segments_do_not_depend_on_how_rows_were_cut(self, tmp_path_factory, cuts, seed, by, limit):
        before, after = frame(seed, n=300), frame(seed + 1, n=400, shift=1.0)
        whole = drift_by_segment(subject(before), subject(after), by, max_segments=limit)
        with foldstore.connect(tmp_path_factory.mktemp("cut") / "store") as store:
            dataset = store.create_dataset("cut")
            first = store.create_dataset("before").append(before)
            edges = sorted({0, 400, *cuts})
            for a, b in pairwise(edges):
                dataset.append(after.slice(a, b - a))
            found = dataset.latest.drift(first, by=by, max_segments=limit)
        assert found == whole
        for each in found.segments:
            if each.drift is not None and not each.is_other:
                f, g = (subject(by_hand(table, by, each.values)) for table in (before, after))
                alone = drift_between(f, g)
                for name, column in alone.columns.items():
                    ours = each.drift.columns[name]
                    assert (ours.p_value, ours.effect, ours.null_p_value) == (
                        column.p_value,
                        column.effect,
                        column.null_p_value,
                    )

    def test_rows_are_counted_where_profiles_do_not_suffice(self, store):
        """More values than a profile counts exactly, on cells whose edges are another side's."""
        draw = np.random.default_rng(1)
        n = 160_000
        tables = [
            pa.table({"k": pa.array(draw.choice(["a", "b"], n)), "x": draw.normal(size=n) * scale + shift})
            for scale, shift in ((1.0, 0.0), (1e6, 3.0))
        ]
        found = drift_by_segment(*map(subject, tables), "k")
        first = store.create_dataset("one").append(tables[0])
        dataset = store.create_dataset("two")
        dataset.append(tables[1].slice(0, 50_000))
        second = dataset.append(tables[1].slice(50_000))
        for kept in (second.drift(first, by="k"), second.drift(first, by="k")):
            assert kept == found
        f, g = (by_hand(table, ["k"], ["a"])["x"].to_numpy() for table in tables)
        alone = drift_between(*(subject({"x": each}) for each in (f, g))).columns["x"]
        assert found["a"].drift.columns["x"].distance == alone.distance
        assert sum(found["a"].drift.columns["x"].distribution.after) == len(g)

    def test_what_is_inside_of_nested_columns_is_compared(self, store):
        draw = np.random.default_rng(2)

        def rows(shift):
            return pa.table(
                {
                    "k": pa.array(draw.choice(["a", "b"], 2_000)),
                    "at": [{"x": float(each) + shift} for each in draw.normal(size=2_000)],
                }
            )

        before, after = rows(0.0), rows(1.0)
        found = drift_by_segment(subject(before), subject(after), "k")
        assert set(found.drifted) == {("a", "at.x"), ("b", "at.x")}
        alone = drift_between(subject(by_hand(before, ["k"], ["a"])), subject(by_hand(after, ["k"], ["a"])))
        assert found["a"].drift.columns["at.x"].p_value == alone.columns["at.x"].p_value


class TestReports:
    def test_survive_json(self):
        found = drift_by_segment(subject(frame(1)), subject(frame(2, shift=0.8)), ["zone", "far"])
        assert SegmentedDrift.from_dict(json.loads(json.dumps(found.to_dict()))) == found

    def test_begin_with_the_worst(self):
        found = drift_by_segment(subject(frame(1)), subject(frame(2, shift=0.8)), "zone")
        assert found.segments[0].name == "out"
        lines = str(found).splitlines()
        assert lines[0] == "3 segments by zone, drifted: out"
        assert lines[1].strip().startswith("1 of 15 comparisons are flagged; without adjustment")
        assert lines[3].split()[0] == "out"

    def test_write_names_that_can_do_nothing(self, tmp_path):
        evil = "<script>alert(1)</script>"
        rows = frame(1, zones=(evil, "\x1b[31m", None))
        found = drift_by_segment(subject(rows), subject(frame(2, zones=(evil, "\x1b[31m", None), shift=1.0)), "zone")
        page = found.to_html(tmp_path / "drift.html")
        assert (tmp_path / "drift.html").read_text() == page
        assert "<script" not in page
        assert "\x1b" not in page
        assert "<script" not in found._repr_html_()
