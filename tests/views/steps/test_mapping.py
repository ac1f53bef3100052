"""Values that become other values: in columns, fields and lists, against plain Python."""

from collections.abc import Sequence

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from foldstore.errors import ColumnNotFoundError, UsageError
from foldstore.views.view import View
from tests.views.table_source import TableSource

LABELS = st.sampled_from(["a", "b", "c", "d", None])
RULES = st.dictionaries(st.sampled_from(["a", "b", "c"]), st.sampled_from(["x", "y", None]), min_size=1)
SETS = st.lists(
    st.tuples(st.sets(st.sampled_from("abc"), min_size=1).map(sorted).map(tuple), st.sampled_from("xy")),
    min_size=1, unique_by=lambda pair: pair[0],
)  # fmt: skip


def _view(values, kind, engine, name="v"):
    return View(TableSource(pa.table({name: pa.array(values, kind)})), engine=engine)


def _values(view, name="v"):
    return view.to_arrow()[name].to_pylist()


@pytest.mark.parametrize(
    ("values", "rules", "default"),
    [
        ([0.5], {0.5: float("inf")}, {}),
        ([0.5], {float("nan"): 0.5}, {}),
        ([0.5], {0.5: 1.5}, {"default": float("nan")}),
        (["a"], {"a": "\ud800"}, {}),
        (["a"], {"a": "b"}, {"default": "\udfff"}),
        ([["a", "b"]], {("a", "b"): "x", ("b", "a"): "y"}, {}),
    ],
)
def test_what_cannot_be_kept_or_is_said_twice_is_refused(engine, values, rules, default):
    with pytest.raises(UsageError):
        _view(values, None, engine).map("v", rules, **default)


def test_nan_is_mapped_by_sql(engine):
    view = _view([1.0, float("nan")], pa.float64(), engine)
    with pytest.raises(UsageError) as caught:
        view.map("v", {float("nan"): 0.0})
    assert "CASE WHEN isnan" in caught.value.hint
    assert _values(view.select(v="CASE WHEN isnan(v) THEN 0 ELSE v END")) == [1.0, 0.0]


@pytest.mark.parametrize("kind", [pa.string(), pa.large_string(), pa.dictionary(pa.int8(), pa.string())], ids=str)
@given(values=st.lists(LABELS, max_size=12), rules=RULES, default=st.sampled_from(["keep", None, "z"]))
def test_texts_become_what_the_rules_say(engine, kind, values, rules, default):
    how = {} if default == "keep" else {"default": default}
    expected = [
        None if value is None else rules.get(value, value if default == "keep" else default) for value in values
    ]
    assert _values(_view(values, kind, engine).map("v", rules, **how)) == expected


@given(values=st.lists(st.one_of(st.none(), st.lists(LABELS, max_size=4)), max_size=10), rules=RULES)
def test_in_a_list_each_element_is_mapped(engine, values, rules):
    expected = [row if row is None else [rules.get(each, each) for each in row] for row in values]
    assert _values(_view(values, pa.list_(pa.string()), engine).map("v", rules)) == expected


@given(
    values=st.lists(st.one_of(st.none(), st.lists(LABELS, max_size=4)), max_size=10), rules=SETS,
    default=st.sampled_from(["keep", "z"]),
)  # fmt: skip
def test_a_rule_of_several_labels_speaks_of_the_whole_list(engine, values, rules, default):
    def become(row: Sequence[str | None] | None) -> Sequence[str | None] | None:
        if row is None:
            return None
        for labels, target in rules:
            if set(labels) <= set(row):
                return [target]
        return row if default == "keep" or not row else [default]

    # A rule of one label alone would be one for elements: this one makes them rules for lists.
    pairs = [(("a", "b", "c"), "all"), *[pair for pair in rules if pair[0] != ("a", "b", "c")]]
    expected = [["all"] if row is not None and {"a", "b", "c"} <= set(row) else become(row) for row in values]
    how = {} if default == "keep" else {"default": default}
    assert _values(_view(values, pa.list_(pa.string()), engine).map("v", pairs, **how)) == expected


@given(values=st.lists(LABELS, max_size=12))
def test_labels_get_numbers_and_all_else_the_default(engine, values):
    numbers = {"a": 0, "b": 7, "c": 7}
    view = _view(values, pa.string(), engine).enumerate("v", numbers, default=-9, into="n")
    assert _values(view, "n") == [numbers.get(value, -9) for value in values]
    assert _values(view) == values


def test_labels_are_looked_up_in_their_order_and_kept(engine):
    view = _view(["dog", "cat", None, "dog", "ant"], pa.string(), engine).enumerate("v")
    assert _values(view) == [2, 1, -1, 2, 0]
    assert view.spec()["steps"][0]["enumerate"]["labels"] == [["ant", 0], ["cat", 1], ["dog", 2]]


def test_a_field_inside_a_list_of_structs_is_mapped_in_place(engine):
    boxes = [[{"label": "car", "conf": 0.9}, {"label": "cat", "conf": 0.5}], [], None]
    kind = pa.list_(pa.struct({"label": pa.string(), "conf": pa.float64()}))
    view = _view(boxes, kind, engine, "boxes").map("boxes.label", {"car": "vehicle"}).enumerate(
        "boxes.label", {"vehicle": 1}, into="numbers"
    )  # fmt: skip
    assert view.to_arrow()["boxes"].to_pylist()[0] == [
        {"label": "vehicle", "conf": 0.9}, {"label": "cat", "conf": 0.5},
    ]  # fmt: skip
    assert view.to_arrow()["numbers"].to_pylist() == [[1, -1], [], None]


def test_conditions_before_a_mapping_see_the_old_values(engine):
    view = _view(["car", "truck"], pa.string(), engine)
    assert view.where("v = 'car'").map("v", {"car": "vehicle"}).count() == 1
    assert view.map("v", {"car": "vehicle"}).where("v = 'car'").count() == 0


@pytest.mark.parametrize(
    ("kind", "values", "rules", "expected"),
    [
        (pa.int32(), [1, 2, None], {1: 10, None: 0}, [10, 2, 0]),
        (pa.bool_(), [True, False, None], {True: False}, [False, False, None]),
        (pa.float64(), [1.0, 2.5], {2.5: 3.5}, [1.0, 3.5]),
    ],
    ids=str,
)
def test_numbers_and_booleans_are_mapped_too(engine, kind, values, rules, expected):
    view = _view(values, kind, engine).map("v", rules)
    assert view.arrow_schema.field("v").type == kind
    assert _values(view) == expected


def test_new_values_of_another_type_need_a_default(engine):
    view = _view(["a", "b"], pa.string(), engine)
    assert _values(view.map("v", {"a": 1.5}, default=None)) == [1.5, None]
    with pytest.raises(UsageError, match="Values that no rule names stay string"):
        view.map("v", {"a": 1.5})


@pytest.mark.parametrize(
    ("build", "says"),
    [
        (lambda view: view.map("w", {"a": "b"}), "There is no column 'w'"),
        (lambda view: view.map("v", {}), "at least one rule"),
        (lambda view: view.map("v", "ab"), "takes a dict"),
        (lambda view: view.map("v", {1: "b"}), "is no value of 'v'"),
        (lambda view: view.map("v", {"a": object()}), "is no rule"),
        (lambda view: view.map("v", [("a", "b"), ("a", "c")]), "two rules for 'a'"),
        (lambda view: view.map("v", {("a", "b"): "c"}), "only a list has several labels"),
        (lambda view: view.map("v", {"a": "b", "b": 1}, default=None), "no common type"),
        (lambda view: view.map("v", {"a": "b"}, into="v"), "is there already"),
        (lambda view: view.enumerate("v", {"a": 1.5}), "is no number for a label"),
        (lambda view: view.enumerate("v", {"a": True}), "is no number for a label"),
        (lambda view: view.enumerate("v", {"a": 1}, default=None), "is no number for a label"),
        (lambda view: view.map(5, {"a": "b"}), "takes the name of a column"),
    ],
)
def test_rules_that_cannot_be_are_refused_when_they_are_written(engine, build, says):
    with pytest.raises((UsageError, ColumnNotFoundError)) as caught:
        build(_view(["a", "b"], pa.string(), engine))
    assert says in str(caught.value)
