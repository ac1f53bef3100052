"""The life of a pool from seal to training data: expiry, promotion, draws, retirement with its report, rotation."""

import datetime as dt
import hmac
import json
import warnings

import numpy as np
import pyarrow as pa
import pytest
from scipy import stats

import foldstore
from foldstore.datastore.catalog import seals
from foldstore.datastore.sealing import add_companion, open_companion
from foldstore.datastore.storage import open_storage
from foldstore.errors import CorruptObjectError, NotFoundError, RefusedError, UsageError
from foldstore.validation.pools.commitment import commit_labels
from foldstore.validation.pools.ledger import Ledger
from foldstore.validation.pools.metrics import measure
from tests import killing

ROWS = 3_000
PLAN = foldstore.plan_pool("n - o > 0 +/- 0.08 /\\ d < 0.6 +/- 0.1", reliability=0.95, steps=8, reuse="max_passes:3")
GENERATOR = np.random.default_rng(11)
LABELS = GENERATOR.random(ROWS) < 0.4
SIMPLE = foldstore.plan_pool("n > 0.6 +/- 0.1", reliability=0.95, steps=4)
START = dt.datetime(2026, 3, 1, tzinfo=dt.UTC)


class Clock:
    """A clock that is set by hand."""

    def __init__(self):
        self.now = START

    def __call__(self):
        return self.now


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def store(folder, clock):
    with foldstore.connect(folder, author="tester", clock=clock, role="steward") as opened:
        yield opened


@pytest.fixture
def flights(store):
    return store.create_dataset("flights", key=["id"])


def _append(flights, first=0, shift=0.0):
    x = LABELS * 1.0 + np.random.default_rng(first).normal(0, 0.4, ROWS) + shift
    return flights.append(
        {"id": list(range(first, first + ROWS)), "x": x, "delay": np.where(LABELS, 40, 3), "late": LABELS}
    )


def _split(version, name="half"):
    return version.split(name, train=0.3, test=0.7, seed=3)


def _fresh(store, flights, first=ROWS, shift=0.0):
    _append(flights, first, shift)
    return _new_rows(store, first)


def _new_rows(store, first=ROWS):
    """The test part of the rows that no earlier version had."""
    return store.view("flights").where(f"id >= {first}").split(f"from-{first}", train=0.3, test=0.7, seed=3).test


def _wrong(ids, rate, seed=0):
    """Predictions that are wrong on some rows."""
    truth = LABELS[np.asarray(ids) % ROWS]
    return np.where(np.random.default_rng(seed).random(len(truth)) < rate, ~truth, truth)


@pytest.fixture
def part(flights):
    return _split(_append(flights)).test


@pytest.fixture
def pool(store, part):
    baseline = {"id": part.to_arrow()["id"], "prediction": _wrong(part.to_arrow()["id"], 0.3)}
    return _seal(store, part, baseline=baseline)


def _seal(store, part, name="spring", **changes):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return store.pools.seal(name, part, **{"label": "late", "hide": ["delay"], "plan": PLAN, **changes})


def _predict(pool, rate, seed=1, draw=None):
    ids = pool.features(draw=draw)["id"]
    return {"id": ids, "prediction": _wrong(ids, rate, seed)}


class TestStates:
    def test_a_pool_goes_from_sealed_to_active_to_exhausted_to_validation(self, store, pool):
        seen = [pool.status().state]
        for seed in range(3):
            pool.evaluate(_predict(pool, 0.02, seed), model=f"m{seed}")
            seen.append(pool.status().state)
        pool.retire()
        seen.append(pool.status().state)
        assert list(map(str, seen)) == ["sealed", "active", "active", "exhausted", "validation"]

    def test_a_pool_stops_at_its_date_though_the_clock_is_set_back_later(self, store, part, clock):
        plan = SIMPLE
        pool = _seal(store, part, plan=plan, expires="2026-04-01")
        assert pool.evaluate(_predict(pool, 0.1)).passed
        clock.now = dt.datetime(2026, 3, 31, 23, 59, tzinfo=dt.UTC)
        assert pool.evaluate(_predict(pool, 0.1, 2)).passed
        clock.now = dt.datetime(2026, 4, 1, tzinfo=dt.UTC)
        assert str(pool.status().state) == "expired"
        with pytest.raises(RefusedError, match="expired on 2026-04-01") as caught:
            pool.evaluate(_predict(pool, 0.1, 3))
        assert caught.value.code == "pool-expired"
        assert not pool.evaluate(_predict(pool, 0.1)).charged  # an answer that was given stays
        pool.retire()  # leaves a trace of the date in the ledger
        clock.now = START
        assert str(pool.status().state) == "validation"

    def test_the_times_in_a_ledger_never_run_back(self, folder, pool, clock):
        clock.now = START + dt.timedelta(days=2)
        pool.evaluate(_predict(pool, 0.02))
        clock.now = START - dt.timedelta(days=400)
        pool.evaluate(_predict(pool, 0.02, 5))
        storage = open_storage(folder)
        times = [each.created_at for each in storage.journal.list_entries(f"pool/{pool.record.id}")]
        storage.close()
        assert times == sorted(times)
        assert times[-1].startswith("2026-03-03")

    @pytest.mark.parametrize("expires", ["2020-01-01", "soon", 7, True])
    def test_a_date_that_is_past_or_none_is_refused(self, store, part, expires):
        with pytest.raises(UsageError) as caught:
            _seal(store, part, plan=SIMPLE, expires=expires)
        assert caught.value.code == "invalid-expiry"


class TestPromotion:
    def test_a_candidate_that_passed_is_what_later_ones_are_compared_with(self, pool):
        better, best = _predict(pool, 0.12), _predict(pool, 0.0)
        assert pool.evaluate(better, model="better").passed
        assert pool.promote("better") == "better"
        assert pool.status().baseline == "better"
        again = pool.evaluate(better, model="better")  # another question now: it is compared with itself
        assert (again.passed, again.charged) == (False, True)
        assert pool.evaluate(best, model="best").passed
        assert pool.promote(best) == "best"
        assert pool.promote(best) == "best"  # twice is once
        assert pool.status().steps_used == 3

    def test_what_failed_or_was_never_asked_is_not_promoted(self, pool):
        pool.evaluate(_predict(pool, 0.4), model="worse")
        with pytest.raises(RefusedError, match="failed") as caught:
            pool.promote("worse")
        assert caught.value.code == "not-passed"
        with pytest.raises(NotFoundError, match="was asked of no model") as caught:
            pool.promote("wrose")
        assert "worse" in caught.value.hint
        with pytest.raises(NotFoundError, match="was not asked of these"):
            pool.promote(_predict(pool, 0.0))

    def test_a_condition_without_an_old_model_has_no_baseline(self, store, part):
        pool = _seal(store, part, plan=SIMPLE)
        pool.evaluate(_predict(pool, 0.1), model="m")
        with pytest.raises(UsageError) as caught:
            pool.promote("m")
        assert caught.value.code == "baseline-needless"

    def test_withheld_answers_name_no_candidate(self, store, part):
        plan = foldstore.plan_pool("n - o > 0 +/- 0.08 /\\ d < 0.6 +/- 0.1", reliability=0.95, steps=4, reuse="none")
        ids = part.to_arrow()["id"]
        pool = _seal(store, part, plan=plan, baseline={"id": ids, "prediction": _wrong(ids, 0.3)})
        assert pool.evaluate(_predict(pool, 0.02), model="m").passed is None
        with pytest.raises(RefusedError, match="withholds"):
            pool.promote("m")
        pool.retire()
        assert pool.evaluate(_predict(pool, 0.02)).passed is True  # told now, free of charge


class TestDraws:
    def test_rows_are_drawn_by_a_recorded_seed_and_asking_them_is_charged(self, pool):
        first, second = pool.draw(PLAN.rows, seed=5), pool.draw(PLAN.rows)
        assert (first.number, second.number, first.seed) == (1, 2, 5)
        rows = pool.features(draw=1)
        assert rows.num_rows == PLAN.rows
        assert set(rows["id"].to_pylist()) < set(pool.features()["id"].to_pylist())
        assert rows["id"].to_pylist() != pool.features(draw=2)["id"].to_pylist()
        assert pool.status().steps_used == 0
        verdict = pool.evaluate(_predict(pool, 0.02, draw=1), draw=1)
        assert (verdict.passed, verdict.charged) == (True, True)
        assert not pool.evaluate(_predict(pool, 0.02, draw=1), draw=1).charged
        assert pool.evaluate(_predict(pool, 0.02, draw=2), draw=2).charged
        assert pool.status().steps_used == 2

    def test_the_same_seed_draws_the_same_rows_and_more_with_it_are_a_superset(self, pool):
        for rows in (PLAN.rows, PLAN.rows, PLAN.rows + 100):
            pool.draw(rows, seed=5)
        drawn = [pool.features(draw=number)["pool_row"].to_pylist() for number in (1, 2, 3)]
        assert drawn[0] == drawn[1]
        assert set(drawn[0]) < set(drawn[2])

    def test_every_row_is_drawn_as_often_as_any_other(self, pool):
        times = dict.fromkeys(pool.features()["pool_row"].to_pylist(), 0)
        for seed in range(60):
            pool.draw(PLAN.rows, seed=seed)
            for row in pool.features(draw=seed + 1)["pool_row"].to_pylist():
                times[row] += 1
        share = PLAN.rows / len(times)
        spread = sum((each - 60 * share) ** 2 / (60 * share * (1 - share)) for each in times.values())
        # Fixed sums make the draws a little negatively correlated: n - 1 degrees of freedom, scaled.
        assert 0.001 < stats.chi2.sf(spread * (len(times) - 1) / len(times), len(times) - 1) < 0.999

    def test_a_draw_has_at_least_the_rows_of_the_plan_and_at_most_those_of_the_pool(self, pool):
        with pytest.raises(RefusedError) as caught:
            pool.draw(PLAN.rows - 1)
        assert caught.value.code == "pool-too-small"
        for rows, seed in ((0, None), (10**6, None), (True, None), (PLAN.rows, -1), (PLAN.rows, "x")):
            with pytest.raises(UsageError) as caught:
                pool.draw(rows, seed=seed)
            assert caught.value.code == "invalid-draw"

    def test_what_a_draw_does_not_have_is_refused_for_free(self, pool):
        pool.draw(PLAN.rows)
        with pytest.raises(UsageError, match="predictions for") as caught:
            pool.evaluate(_predict(pool, 0.02), draw=1)
        assert caught.value.code == "invalid-predictions"
        for number in (0, 2, "1"):
            with pytest.raises(NotFoundError, match="has no draw"):
                pool.evaluate(_predict(pool, 0.02), draw=number)
        assert pool.status().steps_used == 0

    def test_a_baseline_speaks_for_all_rows(self, pool):
        pool.draw(PLAN.rows)
        assert pool.evaluate(_predict(pool, 0.02, draw=1), draw=1, model="drawn").passed
        with pytest.raises(RefusedError, match="draw 1 alone"):
            pool.promote("drawn")

    def test_a_promoted_baseline_is_compared_with_on_the_rows_of_a_draw(self, pool):
        pool.evaluate(_predict(pool, 0.02), model="m")
        pool.promote("m")
        pool.draw(PLAN.rows)
        assert pool.evaluate(_predict(pool, 0.02, draw=1), draw=1).passed is False  # no better than itself


class TestRetirement:
    def test_a_report_has_every_answer_and_every_figure(self, pool):
        pool.evaluate(_predict(pool, 0.1), model="good")
        pool.evaluate(_predict(pool, 0.35), model="bad")
        pool.promote("good")
        report = pool.retire(reason="enough")
        assert [(each.model, each.passed) for each in report.models] == [
            ("baseline", None),
            ("good", True),
            ("bad", False),
        ]
        assert (report.steps_used, report.passes, report.reason, report.promotions) == (2, 1, "enough", ("good",))
        ids = pool.features()["id"]
        truth = LABELS[np.asarray(ids)]
        for each, rate, seed in ((report.models[1], 0.1, 1), (report.models[2], 0.35, 1)):
            said = _wrong(ids, rate, seed)
            metrics = {(metric.name, metric.of): metric for metric in each.metrics}
            assert metrics["accuracy", None].estimate == pytest.approx((said == truth).mean())
            assert metrics["recall", True].estimate == pytest.approx(said[truth].mean())
            assert metrics["precision", True].estimate == pytest.approx(truth[said].mean())
            hits = (said & truth).sum()
            assert metrics["f1", True].estimate == pytest.approx(2 * hits / (said.sum() + truth.sum()))
            old = _wrong(ids_of_part(pool), 0.3)
            order = {key: place for place, key in enumerate(ids_of_part(pool))}
            old = old[[order[key] for key in ids.to_pylist()]]
            assert metrics["advantage", None].estimate == pytest.approx((said == truth).mean() - (old == truth).mean())
            assert metrics["differing", None].estimate == pytest.approx((said != old).mean())
            assert all(metric.low <= metric.estimate <= metric.high for metric in each.metrics)
        exact = stats.binomtest(int((said == truth).sum()), len(truth)).proportion_ci(1 - report.level, "exact")
        assert (metrics["accuracy", None].low, metrics["accuracy", None].high) == pytest.approx(exact)
        assert json.loads(json.dumps(report.to_dict()))["models"][1]["passed"] is True
        assert "question 1, passed" in report.explain()

    def test_the_intervals_pay_for_the_history_and_for_each_other(self, pool):
        for seed in range(3):
            pool.evaluate(_predict(pool, 0.3, seed))
        report = pool.retire(confidence=0.9)
        places = PLAN.reuse.places(PLAN.steps) + 1
        figures = sum(9 for _ in report.models)  # accuracy, three for each of two classes, n - o, d
        assert report.level == pytest.approx(0.1 / places / figures)

    def test_retiring_ends_the_answers_and_opens_the_rows(self, store, pool):
        predictions = _predict(pool, 0.1)
        pool.evaluate(predictions, model="m")
        with pytest.raises(RefusedError) as caught:
            pool.rows()
        assert caught.value.code == "pool-in-use"
        with pytest.raises(RefusedError):
            pool.report()
        report = pool.retire()
        assert pool.retire(reason="again").to_dict() == report.to_dict() == pool.report().to_dict()
        with pytest.raises(RefusedError) as caught:
            pool.evaluate(_predict(pool, 0.2))
        assert caught.value.code == "pool-retired"
        assert not pool.evaluate(predictions).charged
        rows = pool.rows()
        assert rows.num_rows == pool.record.num_rows
        assert rows["late"].to_pylist() == LABELS[np.asarray(rows["id"])].tolist()
        assert rows["delay"].to_pylist() == np.where(LABELS, 40, 3)[np.asarray(rows["id"])].tolist()
        assert store.sql("SELECT count(late) FROM flights").rows() == [(ROWS - rows.num_rows,)]

    def test_rows_that_became_validation_data_are_not_sealed_again_elsewhere(self, store, pool):
        pool.retire()
        copy = store.create_dataset("validation_rows", key=["id"]).append(pool.rows())
        with pytest.raises(RefusedError) as caught:
            _seal(store, copy.split("all", train=0.1, test=0.9).test, "second", plan=SIMPLE)
        assert caught.value.code == "pool-overlap"

    def test_only_a_steward_retires_and_reads(self, folder, store, pool):
        with foldstore.connect(folder, author="developer") as other:
            theirs = other.pools.get("spring")
            for act in (theirs.retire, theirs.report, theirs.rows):
                with pytest.raises(RefusedError, match="Only a steward") as caught:
                    act()
                assert caught.value.code == "steward-only"
        storage = open_storage(folder)
        noted = storage.journal.list_entries("roles")
        storage.close()
        assert [(each.actor, json.loads(each.body)["opened"]) for each in noted] == [("tester", "steward")]
        with pytest.raises(UsageError, match="no role 'admin'"):
            foldstore.connect(folder, role="admin")

    @pytest.mark.parametrize("confidence", [0, 1, 1.5, "0.9", True, float("nan")])
    def test_a_confidence_lies_between_0_and_1(self, pool, confidence):
        with pytest.raises(UsageError) as caught:
            pool.retire(confidence=confidence)
        assert caught.value.code == "invalid-confidence"
        assert str(pool.status().state) == "sealed"

    def test_a_question_whose_process_died_is_in_the_report_without_figures(self, folder, pool, tmp_path):
        path = tmp_path / "predictions.arrow"
        table = pa.table(_predict(pool, 0.1))
        with pa.ipc.new_file(str(path), table.schema) as writer:
            writer.write_table(table)
        code = """
import pyarrow as pa
from foldstore.validation.pools.pool import get_pool
from foldstore.validation.pools.submission import evaluate

evaluate(storage, get_pool(storage, "spring"), pa.ipc.open_file(predictions).read_all(), model="lost")
"""
        killing.assert_killed(killing.run(code, folder, "pool-kept", predictions=str(path)))
        report = pool.retire()
        assert [(each.model, each.passed, each.metrics) for each in report.models[1:]] == [("lost", None, ())]
        assert pool.evaluate(table).passed is True  # what was paid for is answered still
        assert pool.report().models[1].metrics

    def test_kept_predictions_that_were_damaged_are_found(self, folder, store, pool):
        pool.evaluate(_predict(pool, 0.1), model="m")
        (kept,) = (folder / "sealed" / pool.record.id).glob("asked_*.arrow")
        kept.chmod(0o600)
        kept.write_bytes(kept.read_bytes()[:-1] + b"\0")
        assert not store.verify().passed
        with pytest.raises(CorruptObjectError):
            pool.retire()


def ids_of_part(pool):
    """The ids of a pool's rows in the order in which the baseline was given."""
    return sorted(pool.features()["id"].to_pylist())


class TestCommitment:
    def test_a_report_says_that_the_labels_are_those_that_were_sealed(self, folder, pool):
        key = folder / "sealed" / "key"
        assert (len(key.read_bytes()), key.stat().st_mode & 0o777) == (32, 0o600)
        assert pool.retire().labels_kept is True
        assert "NOT THOSE" not in pool.report().explain()
        key.rename(folder / "elsewhere")
        assert pool.report().labels_kept is None  # a backup leaves the key out

    def test_labels_that_were_swapped_with_their_address_are_found(self, folder, pool):
        """Whoever can write the catalog can give a sealed file another address, and no other key."""
        storage = open_storage(folder)
        secret = open_companion(storage, pool.record.id, "pool")
        labels = pa.chunked_array([pa.array([not each for each in secret["label"].to_pylist()])])
        swapped = secret.set_column(secret.column_names.index("label"), "label", labels)
        add_companion(storage, pool.record.id, "swapped", swapped)
        seal = seals.find_seal(storage.catalog, pool.record.id)
        (folder / "sealed" / pool.record.id / "pool.arrow").unlink()
        (folder / "sealed" / pool.record.id / "swapped.arrow").rename(folder / "sealed" / pool.record.id / "pool.arrow")
        seals.add_file(storage.catalog, pool.record.id, "pool", seal.files["swapped"])
        storage.close()
        report = pool.retire()
        assert report.labels_kept is False
        assert "NOT THOSE THAT WERE SEALED" in report.explain()

    def test_it_cannot_be_recomputed_without_the_key(self, folder, pool):
        storage = open_storage(folder)
        secret = open_companion(storage, pool.record.id, "pool")
        account = Ledger(storage, pool.record.id).read()
        storage.close()
        assert account.commitment.startswith("hmac-sha256:")
        guess = commit_labels(b"0" * 32, pool.record.id, secret["identity"], secret["label"])
        assert guess != account.commitment
        key = (folder / "sealed" / "key").read_bytes()
        right = commit_labels(key, pool.record.id, secret["identity"], secret["label"])
        own = hmac.new(key, pool.record.id.encode(), "sha256").digest()
        order = np.argsort(secret["identity"].to_numpy())
        bits = np.packbits(np.asarray(secret["label"].to_pylist())[order]).tobytes()
        body = b"bool" + secret["identity"].to_numpy()[order].tobytes() + bits
        assert account.commitment == right == "hmac-sha256:" + hmac.new(own, body, "sha256").hexdigest()


class TestRotation:
    def test_a_fresh_pool_asks_the_same_and_the_old_one_retires(self, store, flights, pool):
        pool.evaluate(_predict(pool, 0.02), model="m")
        part = _fresh(store, flights)
        ids = part.to_arrow()["id"]
        new = pool.rotate("summer", part, baseline={"id": ids, "prediction": _wrong(ids, 0.3)})
        assert (new.hidden, new.record.plan, new.record.predecessor) == (pool.hidden, PLAN, pool.record.id)
        assert str(pool.status().state) == "validation"
        assert pool.report().reason == "rotated to summer"
        assert new.evaluate(_predict(new, 0.02)).passed
        third = _fresh(store, flights, first=2 * ROWS)
        ids = third.to_arrow()["id"]
        new.rotate("autumn", third, baseline={"id": ids, "prediction": _wrong(ids, 0.3)})
        assert [str(each.status().state) for each in (pool, new)] == ["train", "validation"]

    def test_rows_of_another_kind_do_not_follow_unless_that_is_accepted(self, store, flights, pool):
        part = _fresh(store, flights, shift=0.5)
        ids = part.to_arrow()["id"]
        baseline = {"id": ids, "prediction": _wrong(ids, 0.3)}
        with pytest.raises(RefusedError, match=r"distributed otherwise.*x") as caught:
            pool.rotate("summer", part, baseline=baseline)
        assert (caught.value.code, caught.value.facts["columns"]) == ("pool-drifted", ["x"])
        assert str(pool.status().state) == "sealed"
        assert [each.name for each in store.pools.list_pools()] == ["spring"]
        assert pool.rotate("summer", part, baseline=baseline, accept_drift=True).name == "summer"

    def test_a_label_that_moved_is_seen_inside(self, store, flights, pool):
        more = np.random.default_rng(9).random(ROWS) < 0.55
        rows = {"id": list(range(ROWS, 2 * ROWS)), "x": np.random.default_rng(5).permutation(_x(flights)),
                "delay": np.where(more, 40, 3), "late": more}  # fmt: skip
        flights.append(rows)
        part = _new_rows(store)
        with pytest.raises(RefusedError) as caught:
            pool.rotate("summer", part, baseline=[True] * part.num_rows)
        assert set(caught.value.facts["columns"]) == {"late", "delay"}

    def test_other_columns_do_not_follow(self, store, flights, pool):
        _append(flights, ROWS)
        version = flights.add_columns({"more": "x + 1"})
        with pytest.raises(UsageError) as caught:
            pool.rotate("summer", _split(version, "next").test)
        assert (caught.value.code, caught.value.facts["added"]) == ("pool-columns-differ", ["more"])

    def test_rows_that_were_in_the_pool_do_not_follow_it(self, store, pool, part):
        with pytest.raises((RefusedError, UsageError)) as caught:
            pool.rotate("summer", part, baseline=[True] * part.num_rows)
        assert caught.value.code in ("pool-overlap", "pool-drifted", "invalid-label")
        assert str(pool.status().state) == "sealed"

    def test_what_a_crash_left_half_rotated_is_finished(self, store, flights, pool, monkeypatch):
        part = _fresh(store, flights)
        ids = part.to_arrow()["id"]
        baseline = {"id": ids, "prediction": _wrong(ids, 0.3)}

        def die(*_, **__):
            raise KeyboardInterrupt

        with monkeypatch.context() as patched:
            patched.setattr("foldstore.pool.retire_pool", die)
            with pytest.raises(KeyboardInterrupt):
                pool.rotate("summer", part, baseline=baseline)
        assert str(pool.status().state) == "sealed"
        assert pool.rotate("summer", part, baseline=baseline).name == "summer"
        assert str(pool.status().state) == "validation"

    def test_a_pool_of_a_line_is_followed_by_one_with_less_of_the_error(self, store, flights, part):
        plan = foldstore.plan_pool("n > 0.6 +/- 0.1", reliability=0.95, steps=4, lifetime=1)
        pool = _seal(store, part, plan=plan)
        new = pool.rotate("summer", _fresh(store, flights))
        assert (new.record.plan.lifetime, new.record.plan.spendable) == (2, plan.spendable / 4)


def _x(flights):
    return flights.version(1).to_arrow()["x"].to_numpy()


class TestMetrics:
    @pytest.mark.slow
    def test_intervals_miss_no_more_often_than_their_level(self):
        generator = np.random.default_rng(3)
        level, missed = 0.2, {}
        for _ in range(2_000):
            truth = generator.random(60) < 0.3
            said = np.where(generator.random(60) < 0.2, ~truth, truth)
            old = np.where(generator.random(60) < 0.3, ~truth, truth)
            arrays = (pa.array(each) for each in (truth, said, old))
            for metric in measure(*arrays, classes=[True, False], level=level):
                actual = EXPECTED[metric.name, metric.of]
                missed[metric.name, metric.of] = missed.get((metric.name, metric.of), 0) + (
                    not metric.low <= actual <= metric.high
                )
        assert all(count / 2_000 <= level + 0.03 for count in missed.values()), missed

    def test_a_class_that_nobody_saw_or_said_has_no_estimate(self):
        labels, said = pa.array(["a", "a", "b"]), pa.array(["a", "a", "a"])
        metrics = {(each.name, each.of): each for each in measure(labels, said, None, classes=["a", "b"], level=0.05)}
        assert metrics["precision", "b"].estimate is None
        assert (metrics["precision", "b"].low, metrics["precision", "b"].high) == (0.0, 1.0)
        assert metrics["recall", "b"].estimate == 0.0


# P(y) = .3, wrong on .2 of the rows whatever the label; the old model on .3, independently.
_HIT, _FALSE = 0.3 * 0.8, 0.7 * 0.2
EXPECTED = {
    ("accuracy", None): 0.8,
    ("precision", True): _HIT / (_HIT + _FALSE),
    ("recall", True): 0.8,
    ("f1", True): 2 * _HIT / (2 * _HIT + _FALSE + 0.3 * 0.2),
    ("precision", False): 0.7 * 0.8 / (0.7 * 0.8 + 0.3 * 0.2),
    ("recall", False): 0.8,
    ("f1", False): 2 * 0.56 / (2 * 0.56 + 0.3 * 0.2 + 0.7 * 0.2),
    ("advantage", None): 0.1,
    ("differing", None): 0.2 * 0.7 + 0.8 * 0.3,
}
