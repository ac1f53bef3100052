"""A read guard is asked on every way to a version's rows, and what it hides is hidden on all of them."""

import pytest

import foldstore
from foldstore.datastore.storage import open_storage
from foldstore.errors import ColumnNotFoundError, InvalidQueryError, RefusedError
from foldstore.store import Store


class _Rules:
    """Hides the column `salary`, and refuses the dataset `secret`."""

    def permit(self, dataset, version, rows):
        if dataset.name == "secret":
            raise RefusedError(f"{dataset.name}@{version.number} is not for you.", code="not-permitted")
        return rows.without({"salary"})

    def may_know(self, dataset):
        return dataset != "secret"


@pytest.fixture
def guarded(folder):
    with foldstore.connect(folder) as store:
        people = store.create_dataset("people", key=["id"])
        people.append(
            {"id": list(range(40)), "salary": [900 + i for i in range(40)], "age": [i % 9 for i in range(40)]}
        )
        people.append({"id": [100], "salary": [1], "age": [1]})
        people.latest.split("halves", train=0.5, test=0.5, seed=1)
        store.create_dataset("secret").append({"x": [1]})
    with Store(open_storage(folder, guard=_Rules()), "guest") as store:
        yield store


READS = {
    "to_arrow": lambda store: store.version("people").to_arrow().column_names,
    "batches": lambda store: next(store.version("people").to_batches()).schema.names,
    "scan": lambda store: store.version("people").scan().collect().columns,
    "view": lambda store: store.view("people@1").where("age > 3").to_arrow().column_names,
    "sql": lambda store: store.sql("SELECT * FROM people").to_arrow().column_names,
    "split": lambda store: store.split("people@1#halves").train.to_arrow().column_names,
    "profile": lambda store: list(store.version("people").profile().columns),
    "added": lambda store: list(store.version("people").profile(rows="added").columns),
    "take": lambda store: store.version("people").take(keys={"id": [1]}).column_names,
    "numpy": lambda store: list(store.version("people").to_numpy()),
    "schema": lambda store: store.version("people").arrow_schema.names,
}


@pytest.mark.parametrize("read", READS)
def test_a_hidden_column_is_on_no_way(guarded, read):
    assert list(READS[read](guarded)) == ["id", "age"]


def test_naming_a_hidden_column_finds_none(guarded):
    version = guarded.version("people")
    for attempt in (
        lambda: version.to_arrow(["salary"]),
        lambda: version.take(keys={"id": [1]}, columns=["salary"]),
        lambda: guarded.view("people").where("salary > 1"),
        lambda: version.column_sizes(["salary"]),
    ):
        with pytest.raises(ColumnNotFoundError):
            attempt()
    with pytest.raises(InvalidQueryError):
        guarded.sql("SELECT salary FROM people")


def test_what_a_guard_refuses_is_read_on_no_way(guarded):
    for attempt in (
        lambda: guarded.version("secret").to_arrow(),
        lambda: guarded.sql("SELECT * FROM secret"),
        lambda: guarded.view("secret").to_arrow(),
        lambda: guarded.version("secret").profile(),
        lambda: guarded.version("secret").row_ids(),
    ):
        with pytest.raises(RefusedError) as caught:
            attempt()
        assert caught.value.code == "not-permitted"
