"""Branches, aliases and tags: one namespace, moves with history, commits that go where they should."""

import tempfile
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import foldstore
from foldstore.errors import AlreadyExistsError, InvalidNameError, NotFoundError, RefusedError, UsageError
from foldstore.validation.column_schema import ColumnSchema
from foldstore.validation.schema import DataSchema


@pytest.fixture
def people(store):
    dataset = store.create_dataset("people", key=["id"])
    dataset.append({"id": [1], "age": [34]})
    dataset.append({"id": [2], "age": [51]})
    return dataset


def test_commits_to_a_branch_leave_main_alone(store, people):
    work = people.create_branch("work", 1)
    version = work.append({"id": [9], "age": [9]})
    assert (version.address, version.record.branch, version.num_rows) == ("people@3", "work", 2)
    assert people.latest.address == "people@2"
    assert work.latest == store.version("people@work") == people.version("work")
    assert people.append({"id": [9], "age": [1]}).num_rows == 3
    assert repr(work) == "<Dataset 'people', key id, branch 'work'>"
    assert store.sql('SELECT count(*) FROM "people@work"').rows() == [(2,)]


def test_one_name_is_one_thing(people):
    people.create_branch("work")
    people.tag("paper")
    people.set_alias("champion")
    for name in ("work", "paper", "champion", "main"):
        with pytest.raises(AlreadyExistsError):
            people.create_branch(name)
        with pytest.raises(AlreadyExistsError):
            people.tag(name, 1)
        if name != "champion":
            with pytest.raises(AlreadyExistsError, match="not an alias"):
                people.set_alias(name, 1)
    for name in ("3", "latest", "Work", "a/b", "", "train", "x" * 101):
        with pytest.raises(InvalidNameError):
            people.tag(name)
    assert [(ref["name"], ref["kind"], ref["version"]) for ref in people.refs()] == [
        ("champion", "alias", 2),
        ("main", "branch", 2),
        ("paper", "tag", 2),
        ("work", "branch", 2),
    ]


def test_an_alias_keeps_the_history_of_its_moves(people):
    people.set_alias("champion", 1)
    people.set_alias("champion", people.version(2))
    people.remove_ref("champion")
    assert [(m.version, m.kind, m.author) for m in people.history("champion")] == [
        (1, "alias", "tester"),
        (2, "alias", "tester"),
        (None, "alias", "tester"),
    ]
    assert [m.version for m in people.history("main")] == [1, 2]
    with pytest.raises(NotFoundError, match="no branch, alias or tag 'chmpion'"):
        people.history("chmpion")
    with pytest.raises(NotFoundError, match="Available: latest, main"):
        people.version("champion")


def test_what_is_not_there_is_named(people, store):
    with pytest.raises(NotFoundError, match="no branch 'wrk'"):
        people.branch("wrk")
    people.create_branch("work")
    with pytest.raises(NotFoundError, match="Did you mean 'work'"):
        people.branch("wrk")
    people.tag("paper")
    with pytest.raises(NotFoundError, match="no branch 'paper'"):
        people.branch("paper")
    with pytest.raises(UsageError, match="'main' is not removed"):
        people.remove_ref("main")
    other = store.create_dataset("others")
    other.append({"x": [1]})
    with pytest.raises(UsageError, match="not a version of 'people'"):
        people.tag("theirs", other.latest)


def test_a_branch_that_was_removed_takes_no_commit(people):
    work = people.create_branch("work")
    people.remove_ref("work")
    with pytest.raises(NotFoundError, match="no branch 'work'"):
        work.append({"id": [7], "age": [7]})


def test_no_ref_is_made_to_a_quarantined_version(people):
    people.set_schema(people.latest.profile().infer_schema())
    bad = people.append({"id": [1], "age": [None]})
    assert bad.status == "quarantined"
    with pytest.raises(RefusedError, match="quarantined"):
        people.set_alias("champion", bad)


def test_as_of_finds_what_was_newest_then(folder):
    moments = [datetime(2026, 1, day, tzinfo=UTC) for day in (1, 2, 3, 2)]
    clock = {"now": moments[0]}
    with foldstore.connect(folder, clock=lambda: clock["now"]) as store:
        dataset = store.create_dataset("d")
        for number, moment in enumerate(moments):
            clock["now"] = moment
            dataset.append({"x": [number]})
        assert dataset.as_of("2026-01-02T12:00:00Z").number == 4  # the clock went back before the last commit
        assert dataset.as_of(moments[0]).number == 1
        assert dataset.as_of("2026-01-03").number == 4
        with pytest.raises(NotFoundError, match="no version at"):
            dataset.as_of(moments[0] - timedelta(seconds=1))
        with pytest.raises(UsageError, match="is not a time"):
            dataset.as_of("yesterday")


def test_as_of_on_a_branch_goes_back_over_where_it_was_made(folder):
    days = [datetime(2026, 1, day, tzinfo=UTC) for day in range(1, 9)]
    clock = {"now": days[0]}
    with foldstore.connect(folder, clock=lambda: clock["now"]) as store:
        main = store.create_dataset("d")

        def append(handle, day):
            clock["now"] = days[day]
            return handle.append({"x": [day]}).number

        assert [append(main, 0), append(main, 1)] == [1, 2]
        work = main.create_branch("work", 1)
        # Fresh: it is what it was made at, whatever came after that on main.
        assert work.as_of(days[7]) == work.latest
        assert work.as_of(days[7]).number == 1
        assert work.as_of(days[0]).number == 1
        with pytest.raises(NotFoundError, match="no version at"):
            work.as_of(days[0] - timedelta(seconds=1))
        assert [append(work, 2), append(main, 3), append(work, 4)] == [3, 4, 5]
        deeper = work.create_branch("deeper", 3)
        assert append(deeper, 5) == 6
        asked = {"main": main, "work": work, "deeper": deeper}
        found = {name: [handle.as_of(day).number for day in days[:6]] for name, handle in asked.items()}
        assert found == {
            "main": [1, 2, 2, 4, 4, 4],
            "work": [1, 1, 3, 3, 5, 5],
            "deeper": [1, 1, 3, 3, 3, 6],
        }
        # One that was made anew does not go on with the line of the one before it.
        main.remove_ref("work")
        assert main.create_branch("work", 2).as_of(days[7]).number == 2


@settings(max_examples=15, deadline=None)
@given(acts=st.lists(st.sampled_from(["main", "one", "two", "branch one", "branch two", "merge one"]), max_size=14))
def test_as_of_is_what_latest_was(acts):
    clock = {"now": datetime(2026, 1, 1, tzinfo=UTC)}
    with tempfile.TemporaryDirectory() as place, foldstore.connect(place, clock=lambda: clock["now"]) as store:
        main = store.create_dataset("d", key=["id"])
        main.append({"id": [0]})
        handles, seen = {"main": main}, {}
        for number, act in enumerate(acts, 1):
            clock["now"] += timedelta(hours=1)
            name = act.rpartition(" ")[2]
            if act.startswith("branch") and name not in handles:
                handles[name] = main.create_branch(name)
            elif act.startswith("merge") and name in handles:
                main.merge(name)
            elif act in handles:
                handles[act].append({"id": [number]})
            for each, handle in handles.items():
                seen[each, clock["now"]] = handle.latest.number
        assert {at: handles[at[0]].as_of(at[1]).number for at in seen} == seen


def test_two_branches_count_versions_together(people):
    work = people.create_branch("work")
    numbers = [people.append({"id": [10], "age": [1]}).number, work.append({"id": [11], "age": [1]}).number]
    assert numbers == [3, 4]
    assert people.latest.record.parent_id == work.latest.record.parent_id


def test_new_rows_are_judged_by_the_columns_of_the_branch(people):
    work = people.create_branch("work")
    work.overwrite({"id": [1], "age": [1.5]})
    schema = DataSchema(columns={"id": ColumnSchema(type="int64"), "age": ColumnSchema(type="double")}, keys=("id",))
    rows = {"id": [3], "age": [2]}
    assert work.validate(rows, schema=schema).anomalies == ()
    assert [each.column for each in people.validate(rows, schema=schema).anomalies] == ["age"]
