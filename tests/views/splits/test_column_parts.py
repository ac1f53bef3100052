"""Splits by a column that says where rows belong."""

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from foldstore.errors import NotFoundError, UsageError
from foldstore.views.splits.assignment import SplitAssignment
from foldstore.views.splits.column_parts import count_values
from foldstore.views.splits.fitting import FragmentRows, examine_split, extend_split, fit_split
from foldstore.views.splits.split import SplitSpec

CODES = {"train": 1, "validation": 2, "test": 3}


def spec_of(values=None):
    return SplitSpec("official", dataset="d", by_column="fold", values=values)


def make(column, values=None):
    return examine_split(spec_of(values), [FragmentRows("f", pa.table({"fold": column}))])[0].parts().tolist()


@given(st.lists(st.none() | st.sampled_from(list(CODES)), max_size=40))
def test_a_row_is_where_the_column_says(names):
    expected = [CODES.get(name, 0) for name in names]
    assert make(pa.array(names, pa.string())) == expected
    assert make(pa.array(names, pa.string()).dictionary_encode()) == expected
    assert make(pa.array(names, pa.large_string())) == expected


@pytest.mark.parametrize(
    ("column", "values", "expected"),
    [
        (["tr", "extra", "te", "dev", None], {"train": ["tr", "extra"], "test": ["te"]}, [1, 1, 3, 0, 0]),
        ([0, 1, 2, 3, None], {"train": [0, 1], "validation": 2, "test": ["3"]}, [1, 1, 2, 3, 0]),
        ([True, False, None], {"test": [True], "train": [False]}, [3, 1, 0]),
        (pa.array([7, 8], pa.uint8()), {"test": "8"}, [0, 3]),
    ],
)
def test_values_say_what_is_meant_and_the_rest_is_unassigned(column, values, expected):
    assert make(column, values) == expected


def test_a_value_that_means_nothing_is_refused_with_the_values_that_there_are():
    with pytest.raises(UsageError, match="'dev' in 'fold' is not train, validation, test") as error:
        make(["train", "dev", "dev", "test", None])
    assert "'dev' (2 rows), 'test' (1 row), 'train' (1 row)" in error.value.hint
    assert "values={'train': ['dev'], ...}" in error.value.hint
    with pytest.raises(UsageError, match="none of the values") as error:
        make(["a", "b", "a"], {"train": ["x"]})
    assert error.value.hint == "It holds 'a' (2 rows), 'b' (1 row)."


def test_later_values_that_mean_nothing_are_unassigned_and_counted():
    first = fit_split(spec_of(), [FragmentRows("old", pa.table({"fold": ["train", "test"]}))])
    grown = extend_split(first, [FragmentRows("new", pa.table({"fold": ["dev", "train", "dev"]}))])
    assert grown.parts().tolist() == [1, 3, 0, 1, 0]
    assert count_values(spec_of(), pa.chunked_array([["dev", None], ["train", "dev"]])) == {"dev": 2, "train": 1}


@pytest.mark.parametrize("column", [[1.5], pa.array([1], pa.date32()), [[1]], [b"train"]])
def test_a_column_of_other_things_is_refused(column):
    with pytest.raises(UsageError, match="a column of parts holds text, whole numbers or booleans"):
        make(column, {"train": ["a"]})


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"values": {"trian": ["a"]}}, "'trian' is not a part"),
        ({"values": {"train": ["a"], "test": ["a"]}}, "names 'a' twice"),
        ({"values": {"train": [1], "test": ["1"]}}, "names '1' twice"),
        ({"values": {}}, "names no value"),
        ({"values": {"train": []}}, "names no value"),
        ({"values": {"train": [1.5]}}, "1.5 is not a value"),
        ({"values": "train"}, "not a mapping"),
        ({"train": 0.5}, "takes no train"),
        ({"group_by": ["g"]}, "takes no group_by"),
        ({"near_duplicates": ["g"]}, "takes no near_duplicates"),
        ({"by_time": "t"}, "takes no by_time"),
        ({"purge": "1d"}, "takes no purge"),
        ({"by_column": None, "values": {"train": ["a"]}}, "values of a column"),
    ],
)
def test_a_contradiction_is_refused_with_a_hint(change, message):
    with pytest.raises(UsageError, match=message) as error:
        SplitSpec("s", dataset="d", **({"by_column": "fold"} | change))
    assert error.value.hint


def test_a_specification_by_column_survives_being_written():
    for values in (None, {"train": ["tr", "extra"], "test": "te"}):
        spec = spec_of(values)
        again = SplitSpec.from_dict(spec.to_dict())
        assert again == spec
        assert again.hash == spec.hash
        assert spec.to_dict()["format"] == 2
    assignment = fit_split(spec_of(), [FragmentRows("f", pa.table({"fold": ["train", None]}))])
    assert SplitAssignment.from_bytes(assignment.to_bytes()).parts().tolist() == [1, 0]


def test_what_the_first_format_could_not_say_is_written_as_the_second():
    first = SplitSpec("s", dataset="d", key=["id"], group_by=[["a", "b"]], stratify=["y"], similarity=0.9)
    assert first.to_dict()["format"] == 1
    assert first == SplitSpec("s", dataset="d", key=["id"], group_by=["a", "b"], stratify="y", similarity=0.9)
    for change in ({"group_by": [["a"], ["b"]]}, {"stratify": ["y", "z"]}, {"near_duplicates": ["t"]}):
        spec = SplitSpec("s", dataset="d", key=["id"], **change)
        assert spec.to_dict()["format"] == 2
        assert SplitSpec.from_dict(spec.to_dict()) == spec
    near = SplitSpec("s", dataset="d", near_duplicates=["t"], similarity=0.9).to_dict()
    assert (near["near"], near["ties"], near["similarity"], near["duplicates"]) == ("near/v1", "ties/v1", 0.9, ["t"])


@pytest.mark.parametrize("role", ["near", "ties"])
def test_an_algorithm_that_is_not_known_is_refused(role):
    written = SplitSpec("s", dataset="d", near_duplicates=["t"]).to_dict() | {role: f"{role}/v9"}
    with pytest.raises(UsageError, match="v9' is not known") as error:
        SplitSpec.from_dict(written)
    assert error.value.hint == "Use a newer Foldstore."


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"group_by": ["a", ["b"]]}, "mixes columns and lists"),
        ({"group_by": [["a"], ["a"]]}, "a list twice"),
        ({"group_by": [["a"], []]}, "an empty list"),
        ({"group_by": [["a", "a"], ["b"]]}, "twice"),
        ({"stratify": ["y", "y"]}, "twice"),
        ({"stratify": 5}, "list of columns"),
        ({"near_duplicates": "text"}, "list of columns"),
        ({"near_duplicates": ["t"], "similarity": 0.4}, "not a similarity"),
        ({"near_duplicates": ["t"], "similarity": 1.1}, "not a similarity"),
        ({"near_duplicates": ["t"], "similarity": True}, "not a similarity"),
        ({"near_duplicates": ["t"], "similarity": float("nan")}, "not a similarity"),
    ],
)
def test_what_ties_rows_is_checked_when_it_is_named(change, message):
    with pytest.raises(UsageError, match=message) as error:
        SplitSpec("s", dataset="d", key=["id"], **change)
    assert error.value.hint


def test_ten_thousand_values_of_a_column_are_placed_by_their_table():
    names = np.array(["train", "test", "validation"])[np.arange(10_000) % 3]
    parts = np.array(make(pa.chunked_array([names[:4_000], names[4_000:]])))
    assert np.bincount(parts).tolist() == [0, 3334, 3333, 3333]


def test_a_part_by_name_is_still_refused_when_it_is_none():
    assignment = fit_split(spec_of(), [FragmentRows("f", pa.table({"fold": ["train"]}))])
    with pytest.raises(NotFoundError, match="not a part"):
        assignment.members("f").mask("dev")
