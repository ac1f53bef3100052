"""Several steps, one version: the same in a folder and behind a server."""

import pyarrow as pa
import pytest

import foldstore
from tests.conformance.conftest import raised


@pytest.fixture
def three(people):
    people.append({"id": [1, 2, 3], "age": [34, 51, 7]})
    return people


def rows(version):
    return sorted(version.to_arrow().to_pylist(), key=lambda row: row["id"])


def test_the_steps_are_one_version(three, tmp_path):
    path = tmp_path / "more.csv"
    path.write_text("id,age\n9,90\n")
    with three.transaction(message="spring", properties={"job": "n"}) as change:
        change.delete("age > 50")
        change.delete(keys=[{"id": 3}, {"id": 77}])
        change.append({"id": [5, 4], "age": [5, 4]}, order_by=["id"])
        change.append(path, types={"age": "int64"})
        change.upsert({"id": [4], "age": [44]})
        change.add_columns({"adult": "age >= 18"})
        change.add_columns(pa.table({"id": [9], "town": ["Rome"]}))
        change.rename_columns({"town": "city"})
        assert change.version is None
    assert change.version == three.latest
    record = change.version.record
    assert (change.version.number, record.message, record.operation) == (2, "spring", "transaction")
    assert record.properties["job"] == "n"
    assert record.properties["operations"] == [
        *("delete", "delete", "append", "append", "upsert", "add_columns", "add_columns", "rename_columns")
    ]
    assert rows(change.version) == [
        {"id": 1, "age": 34, "adult": True, "city": None},
        {"id": 4, "age": 44, "adult": True, "city": None},
        {"id": 5, "age": 5, "adult": False, "city": None},
        {"id": 9, "age": 90, "adult": True, "city": "Rome"},
    ]


def test_columns_that_change_are_known_to_the_steps_after(three):
    three.add_columns(pa.table({"id": [1], "pay": pa.array([34], pa.int32())}))
    with three.transaction() as change:
        change.widen_columns({"pay": "int64"})
        change.append({"id": [4], "age": [1], "pay": [2**40]})
        change.rename_columns({"pay": "wage"})
        change.append({"id": [5], "age": [1], "wage": [2**41]})
    assert [row["wage"] for row in rows(change.version)] == [34, None, None, 2**40, 2**41]
    with three.transaction() as change:
        change.drop_columns(["wage", "age"])
        change.append({"id": [6]})
    assert rows(change.version) == [{"id": number} for number in range(1, 7)]
    with three.transaction() as change:
        change.overwrite({"id": ["a"], "w": [1]})
        change.append({"id": ["b"], "w": [2]})
        change.append({"id": ["c"], "w": [3], "z": [4]}, evolve=True)
    assert rows(change.version) == [
        {"id": "a", "w": 1, "z": None},
        {"id": "b", "w": 2, "z": None},
        {"id": "c", "w": 3, "z": 4},
    ]


def test_it_says_how_many_rows_there_would_be(three):
    with three.transaction() as change:
        assert change.num_rows == 3
        change.delete("age > 50")
        assert change.num_rows == 2
        change.append({"id": [4], "age": [1]})
        assert change.num_rows == 3
        assert three.latest.number == 1
    assert change.version.num_rows == 3


def test_the_first_version_may_be_one(people):
    with people.transaction() as change:
        change.append({"id": [1], "age": [2]})
        change.add_columns({"twice": "age * 2"})
    assert rows(change.version) == [{"id": 1, "age": 2, "twice": 4}]
    assert change.version.number == 1


def test_an_exception_leaves_nothing(three):
    def act():
        with three.transaction() as change:
            change.append({"id": [4], "age": [1]})
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        act()
    assert [each.number for each in three.versions()] == [1]


def failing(change):
    """Acts that fail, at the step or when the block is left."""
    return {
        "column": lambda: change.append({"id": [4], "years": [1]}),
        "key": lambda: change.append({"id": [1], "age": [1]}),
        "condition": lambda: change.delete("agee > 3"),
        "expression": lambda: change.add_columns({"x": "random()"}),
        "gone": lambda: change.drop_columns(["id"]),
        "narrow": lambda: change.widen_columns({"age": "int8"}),
        "there": lambda: change.add_columns({"age": "1"}),
        "nothing": lambda: change.delete(None),
        "both": lambda: change.delete("age > 1", keys={"id": [1]}),
        "text": lambda: change.drop_columns("age"),
        "type": lambda: change.widen_columns({"age": "number"}),
        "file": lambda: change.append("no/such/file.csv"),
        "option": lambda: change.append({"id": [1]}, delimiter=";"),
    }


FAILING = list(failing(None))


@pytest.mark.parametrize("what", FAILING)
def test_what_fails_is_the_same_error_and_leaves_nothing(three, what, tmp_path):
    def act(dataset):
        with dataset.transaction() as change:
            change.append({"id": [8], "age": [1]})
            failing(change)[what]()

    with foldstore.connect(tmp_path / "other") as other:
        beside = other.create_dataset("people", key=["id"])
        beside.append({"id": [1, 2, 3], "age": [34, 51, 7]})
        assert raised(lambda: act(three)) == raised(lambda: act(beside))
    assert [each.number for each in three.versions()] == [1]
    assert three.latest.num_rows == 3


def test_the_same_key_is_the_same_version(three):
    def act():
        with three.transaction(idempotency_key="spring") as change:
            change.append({"id": [4], "age": [1]})
        return change.version

    first = act()
    assert act() == first
    three.append({"id": [5], "age": [1]})
    assert act() == first
    assert [each.number for each in three.versions()] == [1, 2, 3]


class TestOtherWriters:
    def test_what_can_be_applied_to_theirs_is(self, three):
        with three.transaction() as change:
            change.delete("age > 50")
            three.append({"id": [4], "age": [60]})
            change.append({"id": [5], "age": [61]})
        assert [row["id"] for row in rows(change.version)] == [1, 3, 5]
        assert change.version.number == 3

    def test_rows_are_not_wiped_out_unseen(self, three):
        def act():
            with three.transaction() as change:
                three.append({"id": [4], "age": [60]})
                change.overwrite({"id": [5], "age": [61]})

        assert raised(act) == ("ConflictError", "commit-conflict")
        assert three.latest.num_rows == 4

    def test_the_parent_says_what_was_seen(self, three):
        three.append({"id": [4], "age": [60]})

        def act(parent):
            with three.transaction(parent=parent) as change:
                change.overwrite({"id": [5], "age": [61]})
            return change.version.number

        assert raised(lambda: act(1)) == ("ConflictError", "commit-conflict")
        assert raised(lambda: act(0)) == ("ConflictError", "commit-conflict")
        assert raised(lambda: act(9)) == ("NotFoundError", "not-found")
        assert raised(lambda: act(-1)) == ("UsageError", "usage")
        assert raised(lambda: act("1")) == ("UsageError", "usage")
        with three.transaction(parent=1) as change:
            change.append({"id": [6], "age": [1]})
        assert change.version.num_rows == 5
        assert act(3) == 4


def test_a_branch_has_its_own(three):
    trial = three.create_branch("trial")
    with trial.transaction() as change:
        change.delete("id = 1")
        change.append({"id": [7], "age": [8]})
    assert three.latest.number == 1
    assert rows(trial.latest) == rows(change.version)
    assert raised(lambda: three.branch("none").transaction().__enter__())[1] == "not-found"


def test_a_gate_keeps_what_does_not_fit(three):
    schema = {"keys": ["id"], "columns": {"id": {"type": "int64"}, "age": {"type": "int64", "domain": {"min": 0}}}}
    three.set_schema(foldstore.DataSchema.from_dict(schema))
    with three.transaction() as change:
        change.append({"id": [4], "age": [5]})
        change.append({"id": [5], "age": [-9]})
    assert change.version.status == "quarantined"
    assert not change.version.report.passed
    assert three.latest.number == 1


def test_it_is_used_in_a_block(three):
    change = three.transaction()
    assert raised(lambda: change.append({"id": [4], "age": [1]})) == ("UsageError", "not-open")
    assert raised(lambda: change.delete("id = 1")) == ("UsageError", "not-open")
    assert raised(lambda: three.transaction(colour="red"))[0] == "UsageError"
