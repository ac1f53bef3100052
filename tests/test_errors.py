import inspect

import pytest

from foldstore import errors
from foldstore.errors import ColumnNotFoundError, ConflictError, FoldstoreError, column_not_found, did_you_mean

FAMILY = [e for e in vars(errors).values() if inspect.isclass(e) and issubclass(e, FoldstoreError)]


@pytest.mark.parametrize("error", FAMILY, ids=lambda e: e.__name__)
def test_each_error_has_a_code_of_its_own_and_an_exit_code(error):
    assert error.code == error.code.lower().replace("_", "-")
    assert error.exit_code in {1, 2, 3, 4}
    assert sum(other.code == error.code for other in FAMILY) == 1
    assert error.__name__ in errors.__doc__


def test_an_error_carries_code_message_hint_and_facts():
    error = column_not_found("arr_dely", ["arr_delay", "carrier"], where="'flights@1'")
    assert isinstance(error, LookupError)
    assert isinstance(error, ColumnNotFoundError)
    assert error.to_dict() == {
        "code": "column-not-found",
        "message": "There is no column 'arr_dely' in 'flights@1'.",
        "hint": "Did you mean 'arr_delay'? Available: arr_delay, carrier.",
        "facts": {"column": "arr_dely", "available": ["arr_delay", "carrier"], "where": "'flights@1'"},
    }
    assert "Did you mean 'arr_delay'?" in str(error)


def test_a_hint_cuts_long_lists_and_says_when_there_is_nothing():
    assert did_you_mean("x", []) == "There is none yet."
    assert did_you_mean("zz", [f"c{n:02}" for n in range(20)], limit=2) == "Available: c00, c01 and 18 more."


def test_a_conflict_says_whether_trying_again_helps():
    assert ConflictError("lost", retry=True).retry
