"""What cleaning cannot be asked is refused in words, and nothing is left out unseen."""

import numpy as np
import pyarrow as pa
import pytest

import foldstore
from foldstore.errors import ColumnNotFoundError, UsageError
from foldstore.validation.cleaning.label_issues import find_label_issues


@pytest.fixture(scope="module")
def version(tmp_path_factory):
    with foldstore.connect(tmp_path_factory.mktemp("refusals") / "store") as store:
        data = store.create_dataset("data", key=["id"])
        yield data.append(
            {"id": list(range(40)), "y": [n % 2 == 0 for n in range(40)], "x": [n / 7 for n in range(40)]}
        )


def test_labels_that_no_column_tells_are_not_judged(version):
    with pytest.raises(UsageError, match="no column to tell 'y' by"):
        version.label_issues("y", features=[])
    plan = version.cleaning_plan([{"op": "clip", "column": "x", "params": {"high": 3}}])
    with pytest.raises(UsageError, match="no column to tell 'y' by"):
        version.cleaning_priority(plan, "y", features=[])


def test_a_label_does_not_tell_itself(version):
    with pytest.raises(UsageError, match="'y' is the label"):
        version.label_issues("y", features=["x", "y"])


def test_a_column_that_is_named_twice_counts_once(version):
    twice, once = (version.label_issues("y", features=names) for names in (["x", "x"], ["x"]))
    assert twice.to_dict() == once.to_dict()
    assert version.find_dependencies(["y", "x", "y"]) == version.find_dependencies(["y", "x"])


@pytest.mark.parametrize("given", ["text", [["a", "b"]] * 40, object()])
def test_probabilities_are_numbers(version, given):
    with pytest.raises(UsageError) as caught:
        version.label_issues("y", probabilities=given)
    assert caught.value.code == "invalid-predictions"


def test_a_dependency_names_columns_of_the_rows(version):
    for text in ("nope -> x", "x -> nope", "x, nope -> y"):
        with pytest.raises(ColumnNotFoundError, match="'nope'"):
            version.suggest_cleaning(dependencies=[text])


@pytest.mark.parametrize("side", ["low", "high"])
def test_nothing_is_clipped_to_nan(version, side):
    plan = version.cleaning_plan([{"op": "clip", "column": "x", "params": {side: float("nan")}}])
    with pytest.raises(UsageError, match="NaN"):
        plan.preview()


@pytest.mark.parametrize("confidence", [-0.1, 1.5, float("nan"), "much"])
def test_a_plan_is_not_surer_than_sure(version, confidence):
    with pytest.raises(UsageError, match="sure"):
        version.suggest_cleaning(min_confidence=confidence)


def test_a_model_that_knows_nothing_says_so():
    draw = np.random.default_rng(5)
    for classes, sizes in ((2, (0.5, 0.5)), (3, (0.8, 0.15, 0.05))):
        labels = draw.choice(classes, size=3_000, p=sizes)
        noise = draw.dirichlet(np.full(classes, 5.0), size=len(labels))
        told = (noise + np.eye(classes)[labels]) / 2
        for given, is_informed in ((noise, False), (told, True)):
            found = find_label_issues(labels, given, classes=list(range(classes)), ids=np.arange(len(labels)))
            assert found.is_informed is is_informed
            assert ("guessing" in str(found)) is (not is_informed)


def test_labels_are_told_by_intervals_and_are_no_unions(tmp_path):
    kind = pa.month_day_nano_interval()
    spans = pa.array([(n % 2, 0, 0) if n % 5 else None for n in range(40)], kind)
    union = pa.UnionArray.from_sparse(pa.array([0] * 40, pa.int8()), [pa.array(range(40))])
    labels = [n % 2 == 0 for n in range(40)]
    version = foldstore.connect(tmp_path).create_dataset("odd").append(pa.table({"y": labels, "s": spans, "u": union}))
    assert version.label_issues("y", features=["s"]).rows == 40
    for ask in (version.label_issues, version.find_dependencies, lambda name: version.profile(by=name)):
        with pytest.raises(UsageError, match="union"):
            ask(["u"] if ask == version.find_dependencies else "u")
