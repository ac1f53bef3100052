"""Fields inside columns: found, read without a copy, replaced, through structs and lists and slices of them."""

import pyarrow as pa
import pyarrow.compute as pc
import pytest

from foldstore.errors import ColumnNotFoundError
from foldstore.views.nested import find_path, read_field, replace_field, replace_type

BOXES = pa.list_(pa.struct({"label": pa.string(), "conf": pa.float64()}))
ROWS = [
    [{"label": "a", "conf": 1.0}],
    None,
    [],
    [{"label": "b", "conf": None}, None, {"label": None, "conf": 2.0}],
]
LABELS = [["a"], None, [], ["b", None, None]]
SCHEMA = pa.schema(
    {
        "boxes": BOXES,
        "person": pa.struct({"age": pa.int64(), "home": pa.struct({"zip": pa.string()})}),
        "a.b": pa.int8(),
    }
)


@pytest.mark.parametrize(
    ("text", "column", "fields", "kind"),
    [
        ("boxes", "boxes", (), BOXES),
        ("boxes.label", "boxes", ("label",), pa.list_(pa.string())),
        ("person.home.zip", "person", ("home", "zip"), pa.string()),
        ("a.b", "a.b", (), pa.int8()),
    ],
)
def test_a_path_leads_to_a_field(text, column, fields, kind):
    path = find_path(text, SCHEMA, where="the view")
    assert (path.column, path.fields, path.type) == (column, fields, kind)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("boxs", "Did you mean 'boxes'"),
        ("boxes.lable", "Did you mean 'label'"),
        ("person.age.x", "Only structs"),
        ("person.home.city", "Available: zip"),
        ("a", "There is no column 'a'"),
    ],
)
def test_a_path_that_ends_nowhere_says_what_there_is(text, says):
    with pytest.raises(ColumnNotFoundError) as caught:
        find_path(text, SCHEMA, where="the view")
    assert says in str(caught.value)


@pytest.mark.parametrize("first", range(4))
def test_fields_of_lists_are_read_whatever_slice_of_the_column_is_given(first):
    column = pa.array(ROWS, BOXES)[first:]
    read = read_field(column, ("label",))
    read.validate(full=True)
    assert read.to_pylist() == LABELS[first:]


def test_reading_a_field_copies_no_values():
    column = pa.array([[{"label": "a" * 100, "conf": 1.0}]] * 10_000, BOXES)
    before = pa.total_allocated_bytes()
    read = read_field(column, ("label",))
    assert pa.total_allocated_bytes() - before < 10_000
    assert read.values.buffers()[2].address == column.values.field("label").buffers()[2].address


@pytest.mark.parametrize("first", range(4))
def test_a_replaced_field_leaves_the_others_alone(first):
    column = pa.array(ROWS, BOXES)[first:]
    changed = replace_field(column, ("label",), pc.utf8_upper)
    changed.validate(full=True)
    assert [[box and box["conf"] for box in row or []] for row in changed.to_pylist()] == [
        [box and box["conf"] for box in row or []] for row in ROWS[first:]
    ]
    assert read_field(changed, ("label",)).to_pylist() == [
        row and [each and each.upper() for each in row] for row in LABELS[first:]
    ]


def test_a_null_struct_stays_null():
    people = pa.array([{"age": 3}, None, {"age": None}])
    assert read_field(people, ("age",)).to_pylist() == [3, None, None]
    assert replace_field(people, ("age",), lambda ages: pc.add(ages, 1)).to_pylist() == [
        {"age": 4},
        None,
        {"age": None},
    ]


def test_lists_of_one_length_are_gone_through():
    column = pa.array([[{"x": 1}, {"x": 2}], None, [{"x": 3}, None]], pa.list_(pa.struct({"x": pa.int64()}), 2))
    for first in range(3):
        assert read_field(column[first:], ("x",)).to_pylist() == [[1, 2], None, [3, None]][first:]


def test_the_type_after_a_replacement_is_known_before():
    column = pa.array(ROWS, BOXES)
    changed = replace_field(column, ("label",), pc.binary_length)
    assert replace_type(BOXES, ("label",), lambda _: pa.int32()) == changed.type
