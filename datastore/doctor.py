"""The doctor: a quick look at the environment and a store, without reading its bytes. `verify` reads them."""

import os
import platform
import shutil
import stat
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from statistics import median
from typing import Any, Final

from foldstore.datastore.catalog import inspection
from foldstore.datastore.catalog.catalog import Catalog
from foldstore.datastore.catalog.commits import list_unrecorded
from foldstore.datastore.catalog.connection import REVISION, sqlite_url
from foldstore.datastore.catalog.seals import list_seals
from foldstore.datastore.storage import CATALOG_FILE, read_identity
from foldstore.errors import FoldstoreError
from foldstore.types import Clock, format_time, parse_time, utc_now

_LIBRARIES: Final = ("pyarrow", "duckdb", "polars", "numpy", "sqlalchemy", "alembic", "blake3", "xxhash")
# SQLite's log needs shared memory and locks that these do not promise.
_NETWORK: Final = frozenset(
    {"nfs", "nfs4", "cifs", "smb3", "smbfs", "9p", "afs", "ceph", "glusterfs", "lustre", "fuse.sshfs", "fuse.s3fs"}
)
_SLOW_SYNC: Final = 0.05
_FREE_SHARE: Final = 0.1
_CLOCK_AHEAD: Final = timedelta(minutes=5)
_MOST_LOOKED_AT: Final = 1_000


class State(StrEnum):
    """How a check went."""

    OK = "ok"
    WARN = "warn"
    FAIL = "fail"


@dataclass(frozen=True, slots=True)
class Check:
    """One line of the doctor: what was looked at, how it is, and what to do about it."""

    name: str
    state: State
    message: str
    hint: str = ""

    def to_dict(self) -> dict[str, str]:
        """Return it as plain data."""
        return {"check": self.name, "state": str(self.state), "message": self.message, "hint": self.hint}


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """All that the doctor looked at.

    Attributes
    ----------
    readable : bool
        Whether the store could be opened: else nothing can be said of what is in it.
    """

    checks: tuple[Check, ...]
    readable: bool

    @property
    def passed(self) -> bool:
        """Whether nothing failed; warnings may be lived with."""
        return all(check.state is not State.FAIL for check in self.checks)

    @property
    def exit_code(self) -> int:
        """0 when nothing failed, 1 when something did, 3 when the store could not be opened."""
        return 0 if self.passed else 1 if self.readable else 3

    def to_dict(self) -> dict[str, Any]:
        """Return it as plain data."""
        return {
            "passed": self.passed,
            "readable": self.readable,
            "checks": [check.to_dict() for check in self.checks],
        }


def examine(root: Path, catalog_url: str | None = None, clock: Clock = utc_now) -> Diagnosis:
    """Look at the environment and at a store; nothing of it is changed.

    Parameters
    ----------
    root : pathlib.Path
        The store's folder.
    catalog_url : str, optional
        A PostgreSQL URL, where the catalog is one.
    """
    root = root.absolute()
    checks = [_check_libraries(), *_check_folder(root)]
    catalog: Catalog | None = None
    try:
        identity = read_identity(root)
        if identity is None:
            checks.append(_fail("store", f"There is no store in {root}.", "Make one: foldstore init."))
            return Diagnosis(tuple(checks), readable=False)
        checks.append(Check("store", State.OK, f"{root}, id {identity}"))
        catalog = Catalog(catalog_url or sqlite_url(root / CATALOG_FILE), read_only=True)
    except FoldstoreError as error:
        checks.append(_fail("catalog", error.message, _way_out(root, catalog_url, error)))
        return Diagnosis(tuple(checks), readable=False)
    try:
        checks += _examine_store(root, catalog, identity, clock)
    finally:
        catalog.close()
    return Diagnosis(tuple(checks), readable=True)


def _way_out(root: Path, catalog_url: str | None, error: FoldstoreError) -> str:
    if catalog_url is None and not (root / CATALOG_FILE).exists():
        return "Restore a backup, or make the catalog again: foldstore doctor --rebuild."
    return error.hint or "Restore a backup."


def _examine_store(root: Path, catalog: Catalog, identity: str, clock: Clock) -> list[Check]:
    now = clock()
    looks: list[tuple[str, Callable[[], Check]]] = [
        ("format", lambda: Check("format", State.OK, f"catalog format {REVISION} in {catalog.dialect}")),
        ("identity", lambda: _check_identity(catalog, identity)),
        ("database", lambda: _check_database(catalog)),
        ("space", lambda: _check_space(root, catalog)),
        ("objects", lambda: _check_objects(root, catalog)),
        ("sealed", lambda: _check_sealed(root)),
        ("commits", lambda: _check_transactions(catalog, format_time(now))),
        ("commit objects", lambda: _check_unrecorded(root, catalog)),
        ("seals", lambda: _check_seals(catalog)),
        ("clock", lambda: _check_clock(catalog, clock)),
    ]
    found = []
    for name, look in looks:
        try:
            found.append(look())
        except Exception as error:  # noqa: BLE001  # damage can fail in any way, and the rest is still to be looked at
            message = error.message if isinstance(error, FoldstoreError) else f"{type(error).__name__}: {error}"
            found.append(_fail(name, message, "Read everything: foldstore verify."))
    return found


def _check_libraries() -> Check:
    found = [f"Python {platform.python_version()}"]
    for name in _LIBRARIES:
        try:
            found.append(f"{name} {version(name)}")
        except PackageNotFoundError:
            return _fail("libraries", f"{name} is not installed.", "Install it: pip install --upgrade foldstore.")
    return Check("libraries", State.OK, ", ".join(found))


def _check_folder(root: Path) -> Iterator[Check]:
    if not root.is_dir():
        return
    kind = find_file_system(root)
    if kind in _NETWORK:
        yield Check(
            "file system",
            State.WARN,
            f"{root} lies on a network file system ({kind}).",
            "SQLite's log is not safe there when several machines write: keep the catalog in PostgreSQL.",
        )
    else:
        yield Check("file system", State.OK, kind or "unknown")
    if not os.access(root, os.W_OK):
        yield Check(
            "writable",
            State.WARN,
            "The folder may not be written.",
            "Set FOLDSTORE_READ_ONLY=1 to read it.",
        )
        return
    yield _check_sync(root)


def find_file_system(path: Path, mounts: Path = Path("/proc/self/mountinfo")) -> str | None:
    """Return the kind of file system that a folder lies on, where the operating system tells."""
    found: tuple[int, str] = (-1, "")
    try:
        lines = mounts.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return None
    resolved = path.resolve()
    for line in lines:
        words, _, more = line.partition(" - ")
        point = Path(words.split(" ")[4].replace("\\040", " "))
        if resolved == point or point in resolved.parents:
            found = max(found, (len(point.parts), more.split(" ")[0]), key=lambda item: item[0])
    return found[1] or None


def _check_sync(root: Path) -> Check:
    try:
        with _probe(root) as descriptor:
            times = []
            for _ in range(5):
                os.write(descriptor, bytes(4096))
                before = time.perf_counter()
                os.fsync(descriptor)
                times.append(time.perf_counter() - before)
    except OSError as error:
        return _fail("fsync", f"A file cannot be written and synced: {error.strerror}.", "Check space and the disk.")
    spent = f"an fsync takes {median(times) * 1000:.1f} ms"
    if median(times) > _SLOW_SYNC:
        return Check("fsync", State.WARN, spent, "Each commit waits for several: append larger pieces less often.")
    return Check("fsync", State.OK, spent)


@contextmanager
def _probe(root: Path) -> Iterator[int]:
    path = root / f".foldstore-doctor-{os.getpid()}"
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        yield descriptor
    finally:
        os.close(descriptor)
        path.unlink(missing_ok=True)


def _check_identity(catalog: Catalog, identity: str) -> Check:
    if catalog.ensure_fact("id", identity) != identity:
        return _fail("identity", "The catalog belongs to another store.", "Open the folder with its own catalog.")
    return Check("identity", State.OK, "folder and catalog belong together")


def _check_database(catalog: Catalog) -> Check:
    errors = [*inspection.check_integrity(catalog, quick=True), *inspection.find_dangling(catalog)]
    if errors:
        more = f" and {len(errors) - 1} more" if len(errors) > 1 else ""
        return _fail("database", errors[0] + more, "Restore the catalog from a backup; keep this one.")
    return Check("database", State.OK, "the catalog's tables are whole")


def _check_space(root: Path, catalog: Catalog) -> Check:
    held, free = inspection.sum_object_bytes(catalog), shutil.disk_usage(root).free
    message = f"{free / 1e9:.1f} GB free, {held / 1e9:.1f} GB in objects"
    if free < held * _FREE_SHARE:
        return Check("space", State.WARN, message, "A compaction or a rewrite needs room beside what is there.")
    return Check("space", State.OK, message)


def _check_objects(root: Path, catalog: Catalog) -> Check:
    """Look whether the first thousand objects are there, have their size, and are read-only."""
    looked, loose = 0, 0
    for row in inspection.iter_object_rows(catalog):
        if row.record is None or looked == _MOST_LOOKED_AT:
            break
        looked += 1
        path = root / "objects" / row.key[3:5] / f"{row.key}.{'parquet' if row.record.is_cold else 'arrow'}"
        try:
            found = path.stat()
        except FileNotFoundError:
            return _fail("objects", f"Object {row.key} is missing.", "Say what else is: foldstore verify.")
        if found.st_size != row.record.stored_bytes:
            return _fail("objects", f"Object {row.key} has another size.", "Say what else has: foldstore verify.")
        loose += bool(found.st_mode & 0o222)
    if loose:
        return Check("objects", State.WARN, f"{loose} of {looked} objects may be written to.", "chmod a-w them.")
    return Check("objects", State.OK, f"{looked} looked at: there, with their size, read-only")


def _check_sealed(root: Path) -> Check:
    folder = root / "sealed"
    if not folder.exists():
        return Check("sealed", State.OK, "nothing is sealed")
    open_to_others = stat.S_IMODE(folder.stat().st_mode) & 0o077
    try:
        inside = [path for path in folder.rglob("*") if stat.S_IMODE(path.stat().st_mode) & 0o077]
    except PermissionError:
        return Check("sealed", State.OK, "the sealed area is another user's")
    if open_to_others or inside:
        return _fail("sealed", "Others may read the sealed area.", "chmod -R go-rwx the folder 'sealed'.")
    return Check("sealed", State.OK, "only the owner may read the sealed area")


def _check_transactions(catalog: Catalog, now: str) -> Check:
    alive, dead = inspection.count_open_transactions(catalog, now)
    if dead:
        message = f"{dead} commits never ended, {alive} are under way"
        return Check("commits", State.WARN, message, "They left garbage alone: foldstore verify --repair.")
    return Check("commits", State.OK, f"{alive} are under way")


def _check_unrecorded(root: Path, catalog: Catalog) -> Check:
    missing = [
        each
        for each in list_unrecorded(catalog)
        if not (root / "commits" / each.dataset_id / f"{each.number:010d}-{each.id}.json").is_file()
    ]
    if missing:
        return Check(
            "commit objects", State.WARN, f"{len(missing)} versions have none yet.", "The next commit writes them."
        )
    return Check("commit objects", State.OK, "each version has its own")


def _check_seals(catalog: Catalog) -> Check:
    unfinished = [seal.id for seal in list_seals(catalog) if seal.state != "sealed"]
    if unfinished:
        return Check(
            "seals", State.WARN, f"{len(unfinished)} seals are not finished.", "Opening the store finishes them."
        )
    return Check("seals", State.OK, "none is unfinished")


def _check_clock(catalog: Catalog, clock: Clock) -> Check:
    newest = inspection.find_newest_time(catalog)
    now = clock()
    if newest is not None and parse_time(newest) > now + _CLOCK_AHEAD:
        return Check(
            "clock",
            State.WARN,
            f"The newest entry is of {newest}, and it is {format_time(now)}.",
            "A machine's clock is wrong: leases and ages are told by it.",
        )
    return Check("clock", State.OK, f"it is {format_time(now)}")


def _fail(name: str, message: str, hint: str) -> Check:
    return Check(name, State.FAIL, message, hint)
