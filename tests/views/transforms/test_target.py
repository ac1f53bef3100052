"""Target encoding: the means are those of a loop, and no row that is learnt from sees its own target."""

import numpy as np
import pyarrow as pa
import pytest

import foldstore
from foldstore.errors import SchemaMismatchError
from foldstore.views.transforms.target import assign_folds
from foldstore.views.transforms.transform import Transform


def rows(count=400, seed=3):
    random = np.random.default_rng(seed)
    place = random.choice(["JFK", "LGA", "EWR", None], count)
    return pa.table({"place": place.tolist(), "late": (random.random(count) < 0.3).tolist()})


def means_by_loop(table, keep, smoothing):
    places, late = table["place"].to_pylist(), table["late"].to_pylist()
    chosen = [n for n in range(len(places)) if keep(n)]
    prior = sum(late[n] for n in chosen) / len(chosen)
    found = {}
    for place in {places[n] for n in chosen} - {None}:
        mine = [late[n] for n in chosen if places[n] == place]
        found[place] = (sum(mine) + smoothing * prior) / (len(mine) + smoothing)
    return found, prior


def test_means_are_those_of_a_loop():
    table = rows()
    fitted = Transform("t", [foldstore.TargetEncode("place", target="late", smoothing=10)]).fit(table)
    wanted, prior = means_by_loop(table, lambda _: True, 10)
    assert dict(map(tuple, fitted.states[0]["table"])) == pytest.approx(wanted, rel=1e-12)
    assert fitted.apply_row({"place": "never"})["place"] == pytest.approx(prior, rel=1e-12)
    assert fitted.apply_row({"place": None})["place"] is None


def test_rows_to_learn_from_see_the_other_folds_alone():
    table = rows()
    fitted = Transform("t", [foldstore.TargetEncode("place", target="late", smoothing=10, folds=4)]).fit(table)
    found = fitted.apply(table, out_of_fold=True)["place"].to_pylist()
    folds = assign_folds(table.num_rows, 4, 0)
    for fold in range(4):
        wanted, prior = means_by_loop(table, lambda n, fold=fold: folds[n] != fold, 10)
        for n in np.flatnonzero(folds == fold):
            place = table["place"][int(n)].as_py()
            assert found[n] == (None if place is None else pytest.approx(wanted.get(place, prior), rel=1e-12))


def test_no_row_sees_its_own_target():
    table = rows()
    fitted = Transform("t", [foldstore.TargetEncode("place", target="late")]).fit(table)
    before = fitted.apply(table, out_of_fold=True)["place"].to_pylist()
    for n in (0, 17, 311):
        late = table["late"].to_pylist()
        late[n] = not late[n]
        turned = table.set_column(1, "late", pa.array(late))
        assert fitted.apply(turned, out_of_fold=True)["place"].to_pylist()[n] == before[n]


def test_a_value_of_one_row_tells_nothing_out_of_fold():
    # Encoded by itself, a column of distinct values is the target itself; out of fold it is the prior.
    table = pa.table({"place": [f"p{n}" for n in range(200)], "late": [n % 2 == 0 for n in range(200)]})
    fitted = Transform("t", [foldstore.TargetEncode("place", target="late", smoothing=0)]).fit(table)
    inside = np.array(fitted.apply(table)["place"])
    outside = np.array(fitted.apply(table, out_of_fold=True)["place"])
    late = np.array(table["late"], dtype=float)
    assert np.corrcoef(inside, late)[0, 1] == pytest.approx(1)
    assert np.unique(outside).size <= 5


def test_learning_needs_the_target_and_serving_does_not():
    transform = Transform("t", [foldstore.TargetEncode("place", target="late")])
    with pytest.raises(SchemaMismatchError, match="'late' is not among the rows"):
        transform.fit(rows().select(["place"]))
    fitted = transform.fit(rows())
    assert fitted.inputs == ("place",)
    with pytest.raises(SchemaMismatchError, match="'late' is not among the rows"):
        fitted.apply(rows().select(["place"]), out_of_fold=True)
