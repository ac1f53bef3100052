"""Lists: rows chosen by their elements, elements kept, rows made of elements."""

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from foldstore.errors import ColumnNotFoundError, InvalidExpressionError, UsageError
from foldstore.views.view import View
from tests.views.table_source import TableSource

BOX = pa.struct({"label": pa.string(), "conf": pa.float64()})
BOXES = st.lists(
    st.one_of(
        st.none(),
        st.fixed_dictionaries({"label": st.sampled_from(["car", "cat", None]), "conf": st.sampled_from([0.2, 0.9])}),
    ),
    max_size=4,
)
LISTS = [pa.list_(BOX), pa.large_list(BOX)]


def _view(rows, kind, engine):
    table = pa.table({"id": pa.array(range(len(rows)), pa.int64()), "boxes": pa.array(rows, kind)})
    return View(TableSource(table), engine=engine)


def _is_sure_car(box):
    return box is not None and box["label"] == "car" and box["conf"] > 0.5


SURE_CAR = "element.label = 'car' AND element.conf > 0.5"


@pytest.mark.parametrize("kind", LISTS, ids=["list", "large_list"])
@given(rows=st.lists(st.one_of(st.none(), BOXES), max_size=8), least=st.integers(0, 2), more=st.integers(0, 2))
def test_rows_are_chosen_by_how_many_elements_meet_a_condition(engine, kind, rows, least, more):
    counts = [sum(map(_is_sure_car, row or [])) for row in rows]
    view = _view(rows, kind, engine)
    found = view.where_elements("boxes", SURE_CAR, at_least=least, at_most=least + more)
    assert found.to_arrow()["id"].to_pylist() == [n for n, count in enumerate(counts) if least <= count <= least + more]
    assert view.where_elements("boxes", SURE_CAR, at_least=least).count() == sum(count >= least for count in counts)


@pytest.mark.parametrize("kind", LISTS, ids=["list", "large_list"])
@given(rows=st.lists(st.one_of(st.none(), BOXES), max_size=8))
def test_only_the_elements_that_meet_a_condition_are_kept(engine, kind, rows):
    kept = _view(rows, kind, engine).keep_elements("boxes", SURE_CAR)
    expected = [row if row is None else [box for box in row if _is_sure_car(box)] for row in rows]
    assert kept.to_arrow()["boxes"].to_pylist() == expected
    assert kept.arrow_schema.field("boxes").type == kept.to_arrow()["boxes"].type


@pytest.mark.parametrize("kind", LISTS, ids=["list", "large_list"])
@given(rows=st.lists(st.one_of(st.none(), BOXES), max_size=8), keep=st.booleans())
def test_a_row_is_made_of_each_element(engine, kind, rows, keep):
    view = _view(rows, kind, engine).explode("boxes", position="nth", keep_empty=keep)
    expected = [
        {"id": number, "boxes": box, "nth": place}
        for number, row in enumerate(rows)
        for place, box in (list(enumerate(row or [])) or ([(None, None)] if keep else []))
    ]
    assert view.to_arrow().to_pylist() == expected


def test_the_elements_of_lists_of_one_length_are_rows_too(engine):
    table = pa.table({"v": pa.array([[1.0, 2.0], None, [3.0, 4.0]], pa.list_(pa.float64(), 2))})
    view = View(TableSource(table), engine=engine).explode("v")
    assert view.to_arrow()["v"].to_pylist() == [1.0, 2.0, 3.0, 4.0]


def test_a_condition_on_elements_may_use_the_row(engine):
    view = _view([[{"label": "car", "conf": 0.9}]] * 3, pa.list_(BOX), engine)
    assert view.where_elements("boxes", "element.conf > id").to_arrow()["id"].to_pylist() == [0]


def test_exploding_twice_goes_through_both_lists(engine):
    table = pa.table({"a": [[1, 2], [3]], "b": [["x"], ["y", "z"]]})
    view = View(TableSource(table), engine=engine).explode("a").explode("b")
    expected = [(1, "x"), (2, "x"), (3, "y"), (3, "z")]
    assert [tuple(row.values()) for row in view.to_arrow().to_pylist()] == expected
    shuffled = view.shuffle(3).to_arrow().to_pylist()
    assert sorted(tuple(row.values()) for row in shuffled) == expected


def test_a_few_long_lists_are_handed_on_in_pieces(engine):
    table = pa.table({"v": [list(range(300_000))], "wide": ["x" * 100]})
    batches = list(View(TableSource(table), engine=engine).explode("v").select("v").to_batches())
    assert max(batch.num_rows for batch in batches) <= 131_072
    assert sum(batch.num_rows for batch in batches) == 300_000


@pytest.mark.parametrize(
    ("build", "error", "says"),
    [
        (lambda v: v.where_elements("boxs", "true"), ColumnNotFoundError, "Did you mean 'boxes'"),
        (lambda v: v.where_elements("id", "element > 1"), UsageError, "not a list"),
        (lambda v: v.where_elements("boxes", "element.lable = 'x'"), InvalidExpressionError, "lable"),
        (lambda v: v.where_elements("boxes", "true) OR (true"), InvalidExpressionError, "not one expression"),
        (lambda v: v.where_elements("boxes", "element.label"), InvalidExpressionError, "not true or false"),
        (lambda v: v.where_elements("boxes", "(SELECT true)"), InvalidExpressionError, "a subquery"),
        (lambda v: v.where_elements("boxes", "true", at_least=-1), UsageError, "whole numbers from 0"),
        (lambda v: v.where_elements("boxes", "true", at_least=3, at_most=2), UsageError, "more than at_most"),
        (lambda v: v.where_elements("boxes", 5), InvalidExpressionError, "is a str, not int"),
        (lambda v: v.keep_elements("id", "true"), UsageError, "not a list"),
        (lambda v: v.explode("id"), UsageError, "not a list"),
        (lambda v: v.explode("boxes", position="id"), UsageError, "is there already"),
        (lambda v: v.explode("boxes", position=""), UsageError, "cannot name a column"),
        (lambda v: v.explode("boxes", keep_empty=1), UsageError, "True or False"),
        (lambda v: v.select("id", "boxes", element="id").keep_elements("boxes", "true"), UsageError, "already"),
    ],
)
def test_what_cannot_be_is_refused_when_it_is_written(engine, build, error, says):
    with pytest.raises(error) as caught:
        build(_view([[]], pa.list_(BOX), engine))
    assert says in str(caught.value)
