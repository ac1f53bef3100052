"""The acts of writers that the fault tests interrupt, the store that they act on, and what must hold after each."""

import shutil

import foldstore
from foldstore.datastore.catalog.commits import LEASE
from foldstore.datastore.storage import open_storage
from foldstore.store import Store
from foldstore.types import utc_now

NAME = "numbers"


def rows(ids, first=10):
    """Return rows of the dataset."""
    return {
        "id": list(ids),
        "x": [each * first for each in ids],
        "t": [f"t{each}" if each % 2 else None for each in ids],
    }


def prepare(folder, **how):
    """Make the store: a keyed dataset of three fragments, one of them with a deleted row, and a branch to merge."""
    with foldstore.connect(folder, author="setup", **how) as store:
        dataset = store.create_dataset(NAME, key=["id"])
        dataset.append(rows([1, 2, 3]))
        dataset.append(rows([4, 5, 6]))
        dataset.append(rows([7, 8]))
        dataset.create_branch("side").upsert(rows([1, 600], first=5))
        dataset.delete("id = 5")


def _transact(dataset, **words):
    with dataset.transaction(**words) as change:
        change.append(rows([300, 301]))
        change.delete("id = 4")
        change.upsert(rows([2, 300], first=7))
        change.add_columns({"y": "x + 1"})
    return change.version


# The number of the version that comes next.
NEXT = 6
# Each makes one version. Keys that they bring are apart, but for those that an upsert replaces.
OPERATIONS = {
    "append": lambda dataset, **words: dataset.append(rows([100, 101]), **words),
    "upsert": lambda dataset, **words: dataset.upsert(rows([2, 200], first=9), **words),
    "delete": lambda dataset, **words: dataset.delete("id IN (3, 8)", **words),
    "sync": lambda dataset, **words: dataset.sync(rows([1, 2, 3, 400]), **words),
    "add_columns": lambda dataset, **words: dataset.add_columns({"twice": "x * 2"}, **words),
    "drop_columns": lambda dataset, **words: dataset.drop_columns(["t"], **words),
    "overwrite": lambda dataset, **words: dataset.overwrite(rows([1, 500]), **words),
    "restore": lambda dataset, **words: dataset.restore(2, **words),
    "compact": lambda dataset, **words: dataset.compact(**words),
    "merge": lambda dataset, **words: dataset.merge("side", **words),
    "transaction": _transact,
}
# One of each nature: those that write files, one that changes the catalog alone, and one of several steps.
CORE = ("append", "upsert", "delete", "add_columns", "overwrite", "compact", "merge", "transaction")


def perform(storage, operation, **words):
    """Do one of the operations on an open storage; return the version."""
    return OPERATIONS[operation](Store(storage, "writer").dataset(NAME), **words)


def read_all(folder, **how):
    """Return the rows of every version that can be seen, by number."""
    with Store(open_storage(folder, **how), "reader") as store:
        return {version.number: version.to_arrow() for version in store.dataset(NAME).versions()}


def assert_sound(folder, expected, **how):
    """Check that exactly some versions are there, as they were, that nothing is damaged, and that work goes on.

    Parameters
    ----------
    expected : mapping of int to pyarrow.Table
        The rows of every version, by number.
    """
    # Later than the lease of any writer that was stopped: what it left behind is nobody's.
    with Store(open_storage(folder, clock=lambda: utc_now() + 2 * LEASE, **how), "reader") as store:
        dataset = store.dataset(NAME)
        found = {version.number: version.to_arrow() for version in dataset.versions()}
        assert sorted(found) == sorted(expected)
        for number, table in expected.items():
            assert found[number].equals(table), f"version {number} reads otherwise than it was committed"
        checked = store.verify()
        assert checked.faults == ()
        garbage = {each.name for each in checked.unreferenced if each.what == "object"}
        assert garbage == _find_garbage(store), "a verification names the files that no version needs, and no other"
        latest = dataset.latest
        bring = {name: each for name, each in rows([900, 901]).items() if name in latest.arrow_schema.names}
        assert dataset.append(bring, evolve=True).num_rows == latest.num_rows + 2
        assert len(list((folder / "commits").rglob("*.json"))) == len(expected) + 1
        assert store.verify().faults == ()


def _find_garbage(store):
    """Return the files of objects that no fragment of any version lists."""
    storage = store._storage
    needed = {
        group.object_id
        for version in store.dataset(NAME).versions()
        for fragment in storage.pages.fragments(version.record)
        for group in fragment.groups
    }
    files = (store.root / "objects").rglob("*.arrow")
    return {str(file.relative_to(store.root)) for file in files if file.stem not in needed}


def copy_store(source, target):
    """Copy a store that nobody has open."""
    shutil.copytree(source, target)
    return target
