"""What a small model says: which labels are wrong, and which rows are worth cleaning."""

import numpy as np
import pytest

from foldstore.errors import UsageError
from foldstore.validation.cleaning.class_model import Encoding, fit_classes, predict_held_out
from foldstore.validation.cleaning.label_issues import find_label_issues
from foldstore.validation.cleaning.priority import rank_rows


def blobs(rows, classes, seed, spread=0.8):
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, classes, rows)
    centres = rng.normal(size=(classes, 4)) * 2.5
    points = centres[labels] + rng.normal(size=(rows, 4)) * spread
    return {f"x{i}": points[:, i] for i in range(4)}, labels


def with_noise(labels, classes, share, seed):
    rng = np.random.default_rng(seed)
    wrong = rng.random(len(labels)) < share
    noisy = np.where(wrong, (labels + rng.integers(1, classes, len(labels))) % classes, labels)
    return noisy, wrong


def test_confident_learning_follows_the_definition_on_a_worked_table():
    # Thresholds: class 0 mean(.9, .6, .3) = .6; class 1 mean(.9, .8, .2) = .6333.
    given = np.array([[0.9, 0.1], [0.6, 0.4], [0.3, 0.7], [0.1, 0.9], [0.2, 0.8], [0.8, 0.2]])
    labels = np.array([0, 0, 0, 1, 1, 1])
    found = find_label_issues(labels, given, classes=["n", "y"], ids=np.arange(10, 16))
    assert found.thresholds == pytest.approx((0.6, 1.9 / 3))
    assert [(e.row, e.label, e.suggested) for e in found.issues] == [(15, "y", "n"), (12, "n", "y")]
    assert found.joint == ((2, 1), (1, 2))
    assert [e.margin for e in found.issues] == pytest.approx([-0.6, -0.4])


@pytest.mark.parametrize(("classes", "share"), [(2, 0.1), (3, 0.15), (4, 0.2)])
def test_labels_that_were_spoilt_are_found(classes, share):
    columns, truth = blobs(3_000, classes, seed=classes)
    noisy, wrong = with_noise(truth, classes, share, seed=9)
    held = predict_held_out(columns, noisy, classes, np.arange(3_000) % 5)
    found = find_label_issues(noisy, held, classes=list(range(classes)), ids=np.arange(3_000))
    hit = np.zeros(3_000, bool)
    hit[[each.row for each in found.issues]] = True
    precision, recall = (hit & wrong).sum() / hit.sum(), (hit & wrong).sum() / wrong.sum()
    assert precision > 0.8
    assert recall > 0.8
    surest = [each.row for each in found.issues[: len(found.issues) // 2]]
    assert wrong[surest].mean() >= precision - 0.02
    right = [each for each in found.issues if each.suggested == truth[each.row]]
    assert len(right) / hit.sum() > 0.75


@pytest.mark.parametrize(
    ("given", "code"),
    [
        (np.full((4, 3), 1 / 3), "invalid-predictions"),
        (np.full((4, 2), 0.7), "invalid-predictions"),
        (np.full((4, 2), np.nan), "invalid-predictions"),
    ],
)
def test_probabilities_that_are_none_are_refused(given, code):
    with pytest.raises(UsageError) as caught:
        find_label_issues(np.zeros(4, np.int64), given, classes=["a", "b"], ids=np.arange(4))
    assert caught.value.code == code


def test_the_model_is_at_its_optimum():
    columns, labels = blobs(400, 3, seed=1)
    rows = Encoding.learn(columns).apply(columns)
    model = fit_classes(rows, labels, 3)
    errors = model.probabilities(rows) - np.eye(3)[labels]
    assert np.abs(rows.T @ errors + model.weights).max() < 0.05
    norms = model.gradient_norms(rows, labels)
    one = np.linalg.norm(np.outer(rows[7], errors[7]))
    assert norms[7] == pytest.approx(one)


def accuracy(columns, labels, test_columns, test_labels):
    encoding = Encoding.learn(columns)
    model = fit_classes(encoding.apply(columns), labels, 2)
    return (model.probabilities(encoding.apply(test_columns)).argmax(axis=1) == test_labels).mean()


def test_cleaning_the_first_rows_helps_a_model_more_than_cleaning_any():
    ranked_gain, random_gain = [], []
    for seed in range(6):
        columns, truth = blobs(1_200, 2, seed=20 + seed, spread=2.5)
        # One class loses labels to the other where it lies far out: errors that bend the model.
        rng = np.random.default_rng(seed)
        spoilt = (truth == 1) & (rng.random(1_200) < 0.45)
        noisy = np.where(spoilt, 0, truth)
        learn = np.arange(1_200) < 600
        rows = {name: values[learn] for name, values in columns.items()}
        test = {name: values[~learn] for name, values in columns.items()}
        dirty = np.where(rng.random(600) < 0.8, 0.5, 0.0) * np.ones(600)
        dirty[spoilt[learn]] = 0.5
        order = rank_rows(rows, noisy[learn], dirty, np.arange(600, dtype=np.uint64), classes=2).rows.astype(int)
        before = accuracy(rows, noisy[learn], test, truth[~learn])

        def gain(chosen, rows=rows, noisy=noisy, learn=learn, truth=truth, test=test, before=before):
            cleaned = noisy[learn].copy()
            cleaned[chosen] = truth[learn][chosen]
            return accuracy(rows, cleaned, test, truth[~learn]) - before

        ranked_gain.append(gain(order[:80]))
        random_gain.append(np.mean([gain(rng.permutation(order)[:80]) for _ in range(4)]))
    assert np.mean(ranked_gain) > np.mean(random_gain) + 0.02


def test_handles_find_label_issues_with_the_folds_of_the_store(store):
    columns, truth = blobs(1_500, 2, seed=5)
    noisy, wrong = with_noise(truth, 2, 0.1, seed=6)
    data = store.create_dataset("data", key=["id"])
    version = data.append({"id": range(1_500), **columns, "y": np.where(noisy == 1, "yes", "no").tolist()})
    version.folds("cv", k=4)
    found = version.label_issues("y", folds="cv")
    place = {int(row): n for n, row in enumerate(version.row_ids())}
    hits = [wrong[place[each.row]] for each in found.issues]
    assert np.mean(hits) > 0.8
    assert sum(hits) / wrong.sum() > 0.7
    plan = version.cleaning_plan(found.repair())
    cleaned = plan.commit(message="labels looked at").to_arrow(["id", "y"]).sort_by("id")
    right = np.array(cleaned["y"].to_pylist()) == np.where(truth == 1, "yes", "no")
    assert right.mean() > 0.96
    order = version.cleaning_priority(plan, "y")
    assert set(order.rows.tolist()) == {each.row for each in found.issues}
    assert order.covered(len(order)) == pytest.approx(1.0)


@pytest.mark.parametrize(("rows", "refused"), [(60, True), (119, True), (120, False)])
def test_a_label_of_hardly_a_row_for_each_class_is_refused(store, rows, refused):
    """Sixty classes: no model that has not seen a class tells whether a row is of it."""
    data = store.create_dataset("data", key=["id"])
    version = data.append(
        {"id": range(rows), "x": [float(n % 7) for n in range(rows)], "y": [f"c{n % 60}" for n in range(rows)]}
    )
    if not refused:
        assert version.label_issues("y").rows == rows
        return
    with pytest.raises(UsageError, match=f"60 values in {rows} rows") as caught:
        version.label_issues("y")
    assert caught.value.code == "too-many-values"
