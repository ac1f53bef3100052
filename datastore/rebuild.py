"""A lost catalog, made again from the commit objects and the objects beside them.

Pages, arrow schemas and bitmaps prove themselves by their hashes, objects by theirs; zones are measured anew.
What lies in the catalog alone is gone, and is said. Nothing is ever put over a catalog that is there.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from itertools import groupby
from pathlib import Path
from typing import Any, Final

from foldstore.datastore.canonical import content_hash, is_content_hash
from foldstore.datastore.catalog.catalog import Catalog
from foldstore.datastore.catalog.connection import sqlite_url
from foldstore.datastore.catalog.journal import Journal
from foldstore.datastore.catalog.rebuilding import Rebuilder
from foldstore.datastore.catalog.records import DatasetRecord, ObjectRecord, VersionRecord
from foldstore.datastore.catalog.snapshot import refuse_used
from foldstore.datastore.cold_file import decode_cold
from foldstore.datastore.column_group import KIND, map_batches, open_batches
from foldstore.datastore.commit_file import Commit, CommitFile, list_commit_files, read_commit
from foldstore.datastore.files import LocalFiles, hash_file
from foldstore.datastore.objects import ObjectArea
from foldstore.datastore.storage import CATALOG_FILE, new_id, read_identity
from foldstore.datastore.verify.repair import STREAM
from foldstore.datastore.zones import measure_zones
from foldstore.errors import CorruptObjectError, RefusedError, StoreError
from foldstore.names import MAIN_BRANCH
from foldstore.types import Clock, Progress, Status, format_time, utc_now

# Ids of fragments are never given twice. Commits that failed have taken some that no commit object names, and those
# of versions that expired or are lost are not known: the next ids begin so far above the largest one that is.
_GAP: Final = 1_000
_WIDE_GAP: Final = 1_000_000
NOT_REBUILT: Final = (
    "What lay in the catalog alone is gone: schemas, reports, views, splits, pools with their ledgers, feature "
    "services, tokens, runs, pins, aliases, tags, the history of branches, branches and datasets without a commit of "
    "their own, deprecations. A backup has them all."
)


@dataclass(slots=True, kw_only=True)
class Rebuild:
    """What a rebuild made, and what it could not.

    Attributes
    ----------
    lost : list of str
        Versions that could not be made again, with the reason.
    damaged : list of str
        Objects that are missing or damaged; the versions that need them are there, and do not read whole.
    changed : list of str
        What differs from what it was, in words.
    """

    datasets: int = 0
    versions: int = 0
    objects: int = 0
    num_bytes: int = 0
    lost: list[str] = field(default_factory=list)
    damaged: list[str] = field(default_factory=list)
    changed: list[str] = field(default_factory=list)
    gone: str = NOT_REBUILT

    @property
    def passed(self) -> bool:
        """Whether every version that has a commit object reads as it was."""
        return not self.lost and not self.damaged

    def to_dict(self) -> dict[str, Any]:
        """Return it as plain data."""
        return {"passed": self.passed, **asdict(self)}


def rebuild_catalog(
    root: Path,
    catalog_url: str | None = None,
    *,
    accept_sealed: bool = False,
    actor: str = "unknown",
    clock: Clock = utc_now,
    progress: Progress | None = None,
) -> Rebuild:
    """Make the catalog of a store again, where there is none.

    Parameters
    ----------
    root : pathlib.Path
        The store's folder.
    catalog_url : str, optional
        An empty PostgreSQL database; ``catalog.db`` in the folder unless given.
    accept_sealed : bool
        Rebuild a store with a sealed area. Nothing that is sealed becomes readable by it, but the catalog forgets
        whose cells the sealed files hold, and the pools with their ledgers.
    progress : callable, optional
        Told the bytes of objects that were read.

    Raises
    ------
    StoreError
        When there is no store, or its catalog is there.
    RefusedError
        With code ``sealed-area``, when the store has sealed cells.
    StoreFormatError
        When a newer Foldstore wrote a commit object.
    """
    root = root.absolute()
    identity = read_identity(root)
    if identity is None:
        raise StoreError(f"There is no store in {root}.", hint="store.json is missing: restore it from a backup.")
    files = list(list_commit_files(root / "commits"))
    sealed = _check_sealed(root, accept=accept_sealed)
    report = Rebuild()
    with _empty_catalog(root, catalog_url) as catalog, catalog.write() as connection:
        refuse_used(connection)
        rows = Rebuilder(connection)
        rows.add_fact("id", identity)
        work = _Work(root, rows, report, progress)
        for dataset_id, group in groupby(files, key=lambda file: file.dataset_id):
            work.add_dataset(dataset_id, list(group))
        if sealed:
            _refuse_strays(root, rows)
        body = {"kind": "catalog", "name": "rebuild", "did": f"made {report.versions} versions from commit objects"}
        Journal(catalog).append(connection, STREAM, body, actor=actor, created_at=format_time(clock()))
    return report


@contextmanager
def _empty_catalog(root: Path, catalog_url: str | None) -> Iterator[Catalog]:
    """Make an empty catalog, which gets its name in the store when the block ends well."""
    if catalog_url is not None:
        catalog = Catalog(catalog_url)
        try:
            yield catalog
        finally:
            catalog.close()
        return
    present = [path.name for path in sorted(root.glob(f"{CATALOG_FILE}*"))]
    if present:
        raise StoreError(
            f"The store has a catalog: {', '.join(present)}.",
            hint="A rebuild is for one that is lost. Move it out of the folder first, with the files beside it; "
            "keep it: it may have more than can be made again.",
        )
    files = LocalFiles()
    staging = root / "staging" / new_id()
    files.make_folder(staging)
    try:
        catalog = Catalog(sqlite_url(staging / CATALOG_FILE))
        try:
            yield catalog
        finally:
            catalog.close()  # folds the log into the file
        _name_catalog(files, staging / CATALOG_FILE, root)
    finally:
        files.remove_tree(staging)


def _name_catalog(files: LocalFiles, made: Path, root: Path) -> None:
    with made.open("rb") as file:
        os.fsync(file.fileno())
    if made.with_name(f"{made.name}-wal").exists() or not files.link(made, root / CATALOG_FILE):
        raise StoreError("A catalog was made meanwhile.", hint="Nothing was changed. Look what opened the store.")
    files.sync_folders([root])


def _check_sealed(root: Path, *, accept: bool) -> bool:
    folder = root / "sealed"
    seals = [path for path in folder.iterdir() if path.is_dir()] if folder.is_dir() else []
    if seals and not accept:
        raise RefusedError(
            f"The store has {len(seals)} sealed parts. A new catalog would not know whose cells they are, nor the "
            "pools and what was asked of them.",
            hint="Restore a backup. A steward who has none may go on with accept_sealed=True (--accept-sealed): "
            "sealed cells stay out of every version, and no pool answers any more.",
            code="sealed-area",
        )
    return bool(seals)


def _refuse_strays(root: Path, rows: Rebuilder) -> None:
    """Refuse a store in which a seal may have been under way: cells would be readable that are sealed."""
    strays = [path.stem for path in (root / "objects").glob("*/*.arrow") if not rows.knows_object(path.stem)]
    if strays:
        raise RefusedError(
            f"{len(strays)} objects are named by no commit object, such as {strays[0]}: a seal may have been under "
            "way, and commit objects may still name files that hold sealed cells.",
            hint="Restore a backup. When you know that no seal was interrupted, move those files away first.",
            code="sealed-area",
        )


class _Work:
    """One rebuild while it is made."""

    def __init__(self, root: Path, rows: Rebuilder, report: Rebuild, progress: Progress | None) -> None:
        self._objects = ObjectArea(root, LocalFiles())
        self._rows = rows
        self._report = report
        self._progress = progress
        self._pages: set[str] = set()
        self._bitmaps: set[str] = set()

    def add_dataset(self, dataset_id: str, files: list[CommitFile]) -> None:
        """Add a dataset with all its versions: what is read twice need not be held."""
        dataset, last_fragment, wide = self._survey(files)
        if dataset is None:
            self._report.lost += [f"{dataset_id}@{file.number}: its commit object is damaged" for file in files]
            return
        gap = _WIDE_GAP if wide else _GAP
        self._report.datasets += 1
        self._rows.add_dataset(
            dataset, next_version=max(file.number for file in files) + 1, next_fragment=last_fragment + gap
        )
        added: dict[str, VersionRecord] = {}
        for file in files:
            commit = self._read(file)
            if commit is None:
                self._report.lost.append(f"{dataset.name}@{file.number}: its commit object is damaged")
            elif self._add_version(dataset, commit, added):
                added[commit.version.id] = commit.version
        self._point_branches(dataset, list(added.values()))

    def _survey(self, files: list[CommitFile]) -> tuple[DatasetRecord | None, int, bool]:
        """Put in the pages of all versions; return the dataset, its largest fragment id, whether some is unknown."""
        dataset, last, wide = None, 0, False
        for file in files:
            commit = self._read(file)
            if commit is None:
                wide = True
                continue
            dataset = commit.dataset
            last = max(last, commit.last_fragment)
            wide = wide or commit.version.expired_at is not None or bool(commit.damaged)
            self._add_pages(commit)
        return dataset, last, wide

    def _read(self, file: CommitFile) -> Commit | None:
        try:
            return read_commit(file)
        except CorruptObjectError:
            return None

    def _add_pages(self, commit: Commit) -> None:
        for record in commit.deletions:
            if record.hash not in self._bitmaps:
                self._bitmaps.add(record.hash)
                self._rows.add_deletion(record)
        for page in commit.new_pages:
            if page.hash in self._pages or not self._bitmaps.issuperset(page.deletions):
                continue
            for object_id in page.objects:
                if not self._rows.knows_object(object_id):
                    rows = commit.object_rows[object_id]
                    self._rows.add_object(self._measure(object_id, rows), commit.version.transaction_id)
            self._rows.add_page(page)
            self._pages.add(page.hash)

    def _measure(self, object_id: str, num_rows: int) -> ObjectRecord:
        """Return what the catalog says of an object; one that is not whole gets a size that no file has."""
        lost = ObjectRecord(id=object_id, kind=KIND, num_bytes=0, num_rows=num_rows, zones=measure_zones([]))
        self._report.objects += 1
        if not is_content_hash(object_id):
            return lost
        path = self._objects.path_of(object_id)
        if not path.exists() and self._objects.cold_path_of(object_id).exists():
            return self._measure_cold(object_id, lost)
        try:
            size = path.stat().st_size
            whole = hash_file(path) == object_id
        except OSError:
            whole = False
        if not whole:
            self._report.damaged.append(object_id)
            return lost
        self._report.num_bytes += size
        if self._progress:
            self._progress(self._report.num_bytes, None)
        batches = map_batches(path, size, object_id)
        return ObjectRecord(id=object_id, kind=KIND, num_bytes=size, num_rows=num_rows, zones=measure_zones(batches))

    def _measure_cold(self, object_id: str, lost: ObjectRecord) -> ObjectRecord:
        path = self._objects.cold_path_of(object_id)
        try:
            decoded = decode_cold(path, object_id)
        except CorruptObjectError:
            decoded = None
        if decoded is None or content_hash(decoded.to_pybytes()) != object_id:
            self._report.damaged.append(object_id)
            return lost
        return replace(
            lost,
            num_bytes=decoded.size,
            zones=measure_zones(open_batches(decoded, object_id)),
            cold_bytes=path.stat().st_size,
            cold_hash=hash_file(path),
        )

    def _add_version(self, dataset: DatasetRecord, commit: Commit, added: dict[str, VersionRecord]) -> bool:
        version = commit.version
        address = f"{dataset.name}@{version.number}"
        if not self._pages.issuperset(commit.pages):
            self._report.lost.append(f"{address}: manifest pages are in no commit object that reads")
            return False
        if version.parent_id is not None and version.parent_id not in added:
            self._report.changed.append(f"{address} has no parent any more: that version is lost")
            version = replace(version, parent_id=None)
        self._rows.add_schema(version.arrow_schema_id, commit.encoded_schema)
        self._rows.add_version(version, commit.pages)
        self._report.versions += 1
        return True

    def _point_branches(self, dataset: DatasetRecord, versions: list[VersionRecord]) -> None:
        published = [each for each in versions if each.status in (Status.PUBLISHED, Status.DEPRECATED)]
        counts: dict[str, int] = {}
        heads: dict[str, VersionRecord] = {}
        for version in published:
            counts[version.branch] = counts.get(version.branch, 0) + 1
            if version.expired_at is None:
                heads[version.branch] = version
        for branch, head in heads.items():
            if branch != MAIN_BRANCH:
                self._rows.add_branch(dataset.id, branch)
            self._rows.point_branch(dataset.id, branch, head.id, counts[branch])
