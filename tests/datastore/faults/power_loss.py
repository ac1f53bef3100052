"""A disk that loses power: what a store wrote is recorded, and any state that a real disk may come back with is made.

The rules are those that POSIX promises, and no more:

- Bytes of a file are on disk once its fsync has returned. Until then the file may be whole, empty, cut short, or of
  full length with zeros in the place of what was not brought to disk.
- A name (of a file or a folder: made, replaced, removed) is on disk once an fsync of the folder that holds it has
  returned. Until then each change of a name may be on disk or not, whatever became of those beside it.
- A folder whose own name is lost takes along all that lies in it.

The catalog is SQLite with synchronous=FULL in WAL mode: a COMMIT that returned is on disk, and one that did not is
wholly there or wholly absent, by SQLite's own promise and tests. So the catalog belonging to a moment is the one of
the last COMMIT before it, and only that is kept; the rules above say what the files may be beside it.
"""

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from random import Random

from foldstore.datastore.files import HashingFile, LocalFiles
from foldstore.datastore.storage import CATALOG_FILE, open_storage

ALL_LOST, ALL_KEPT = "all lost", "all kept"


class RecordedFile(HashingFile):
    """A file that tells what happens to its bytes."""

    def __init__(self, path, log):
        super().__init__(path)
        self._log = log
        log.add("create", path)

    def write(self, data):
        written = super().write(data)
        self._log.add("write", self.path, bytes(memoryview(data).cast("B")))
        return written

    def finish(self):
        object_id = super().finish()
        self._log.add("fsync", self.path)
        return object_id


class RecordingFiles(LocalFiles):
    """The local file system, and a log of all that is asked of it."""

    def __init__(self, root, log):
        super().__init__(root)
        self.log = log

    def _make_one(self, folder):
        if not folder.is_dir():
            self.log.add("mkdir", folder)
        super()._make_one(folder)

    def create(self, path):
        return RecordedFile(path, self.log)

    def link(self, source, target):
        made = super().link(source, target)
        if made:
            self.log.add("link", source, target)
        return made

    def replace(self, source, target):
        super().replace(source, target)
        self.log.add("replace", source, target)

    def remove(self, path):
        super().remove(path)
        self.log.add("remove", path)

    def sync_folders(self, folders):
        folders = sorted(set(folders))
        super().sync_folders(folders)
        for folder in folders:
            self.log.add("sync", folder)

    def remove_tree(self, folder):
        super().remove_tree(folder)
        self.log.add("remove_tree", folder)


class Log:
    """What was done, in order; `skip` leaves out what a broken store would not do."""

    def __init__(self, skip=lambda _kind, _path: False):
        self.entries = []
        self._skip = skip

    def add(self, kind, path=None, value=None):
        if not self._skip(kind, path):
            self.entries.append((kind, path, value))


def record(folder, log):
    """Open a store so that all it does is logged, COMMITs of its catalog too."""
    storage = open_storage(folder)
    storage.objects.files = RecordingFiles(folder, log)
    path = folder / CATALOG_FILE
    write = storage.catalog.write

    @contextmanager
    def recorded() -> Iterator[object]:
        with write() as connection:
            yield connection
        log.add("commit", None, read_catalog(path))

    storage.catalog.write = recorded
    return storage


def read_catalog(path):
    """Return a copy of the catalog as it was committed last."""
    with sqlite3.connect(path) as source, sqlite3.connect(":memory:") as copy:
        source.backup(copy)
        found = copy.serialize()
    source.close()
    copy.close()
    return found


@dataclass
class _File:
    """One file, whatever its names: its bytes, and how many of them are on disk for certain."""

    data: bytes = b""
    durable: int = 0


@dataclass
class Disk:
    """What is on disk for certain, and what may be.

    Attributes
    ----------
    root : pathlib.Path
        The store's folder, which is there for certain.
    names : dict
        Names on disk, with their files; None for a folder.
    waiting : list
        Changes of names that no fsync has brought to disk: a name, and its file (None: a folder; False: removed).
    acknowledged : set of int
        The versions that were acknowledged.
    """

    root: Path
    names: dict = field(default_factory=dict)
    waiting: list = field(default_factory=list)
    catalog: bytes = b""
    acknowledged: set = field(default_factory=set)

    @classmethod
    def of(cls, folder):
        """Take what lies in a folder as durable."""
        disk = cls(folder, catalog=read_catalog(folder / CATALOG_FILE))
        for path in sorted(folder.rglob("*")):
            if path.name.startswith(CATALOG_FILE):
                continue
            data = path.read_bytes() if path.is_file() else None
            disk.names[path] = None if data is None else _File(data, len(data))
        return disk

    def apply(self, kind, path, value):
        """Do what was logged."""
        getattr(self, f"_{kind}")(path, value)

    def _now(self):
        names = dict(self.names)
        for path, file in self.waiting:
            names[path] = file  # noqa: PERF403
        return {path: file for path, file in names.items() if file is not False}

    def _mkdir(self, path, _value):
        self.waiting.append((path, None))

    def _create(self, path, _value):
        self.waiting.append((path, _File()))

    def _write(self, path, data):
        self._now()[path].data += data

    def _fsync(self, path, _value):
        file = self._now()[path]
        file.durable = len(file.data)

    def _link(self, path, target):
        self.waiting.append((target, self._now()[path]))

    def _replace(self, path, target):
        self.waiting += [(target, self._now()[path]), (path, False)]

    def _remove(self, path, _value):
        self.waiting.append((path, False))

    def _remove_tree(self, folder, _value):
        self.waiting += [(path, False) for path in self._now() if folder in (path, *path.parents)]

    def _sync(self, folder, _value):
        for path, file in [each for each in self.waiting if each[0].parent == folder]:
            self.names[path] = file
        self.waiting = [each for each in self.waiting if each[0].parent != folder]

    def _commit(self, _path, catalog):
        self.catalog = catalog

    def _acknowledge(self, _path, number):
        self.acknowledged = self.acknowledged | {number}

    def after_power_loss(self, choice, random):
        """Return what may be on the disk: bytes by path, None for a folder.

        `choice` is one of the extremes, or anything else for a draw.
        """
        names = dict(self.names)
        for path, file in self.waiting:
            if choice == ALL_KEPT or (choice != ALL_LOST and random.random() < 0.5):
                names[path] = file  # noqa: PERF403
        names = {path: file for path, file in names.items() if file is not False}
        damaged = {id(file): _damage(file, choice, random) for file in names.values() if file is not None}
        found = {path: None if file is None else damaged[id(file)] for path, file in names.items()}
        return {path: data for path, data in found.items() if self._is_reachable(path, found)}

    def _is_reachable(self, path, names):
        return all(parent in names for parent in path.parents if self.root in parent.parents)


def _damage(file, choice, random):
    rest = len(file.data) - file.durable
    if not rest:
        return file.data
    kinds = {ALL_LOST: ["missing"], ALL_KEPT: ["zeros"]}.get(choice, ["missing", "zeros", "cut", "whole"])
    kind = random.choice(kinds)
    if kind == "whole":
        return file.data
    if kind == "zeros":
        return file.data[: file.durable] + bytes(rest)
    return file.data[: file.durable + (random.randrange(rest) if kind == "cut" else 0)]


def write_state(state, disk, target):
    """Make a store of what a disk came back with."""
    target.mkdir()
    for path in sorted(state):
        place = target / path.relative_to(disk.root)
        if state[path] is None:
            place.mkdir()
        else:
            place.write_bytes(state[path])
    (target / CATALOG_FILE).write_bytes(disk.catalog)
    return target


def states(disk_before, entries, *, samples, since=0, seed=0):
    """Yield the states that a loss of power may leave after each entry from `since` on, without repetition.

    Yields
    ------
    (int, str, dict, Disk)
        How many entries were done, the choice, the files, and the disk with its catalog.
    """
    seen = set()
    disk = replace(disk_before, names=dict(disk_before.names), waiting=list(disk_before.waiting))
    for place in range(len(entries) + 1):
        if place:
            disk.apply(*entries[place - 1])
        if place < since:
            continue
        for choice in (ALL_LOST, ALL_KEPT, *range(samples)):
            state = disk.after_power_loss(choice, Random(f"{seed} {place} {choice}"))
            # What lies in the staging folder is never read: states that differ there alone are one.
            key = hash((disk.catalog, *sorted((str(p), d) for p, d in state.items() if "staging" not in p.parts)))
            if key not in seen:
                seen.add(key)
                yield place, choice, state, replace(disk)
