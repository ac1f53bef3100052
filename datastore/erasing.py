"""Erasure by right: rows leave every version of a dataset, physically, and a tombstone stays in the journal.

Cells are nulled in the files and the rows marked as deleted wherever a version lists them; other rows keep their
places and ids. The steps, each told to ``storage.on_step``: ``erase-begun`` (the catalog knows of it),
``erase-rewritten`` (files without the rows have their names), ``erase-flipped`` (the catalog has switched every
version, and the tombstone stands), ``erase-removed`` (the old files are gone), ``erase-recorded`` (commit objects are
written anew), ``erase-scrubbed`` (deleted rows are out of the database's files). A crash before the flip leaves nothing
erased, a crash after it leaves an erasure; `recover_erasures` makes good the rest.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

from foldstore.datastore.catalog import commits, erasures, page_switch, seals
from foldstore.datastore.catalog.erasures import ErasureFlip, PendingErasure
from foldstore.datastore.catalog.records import DatasetRecord, DeletionRecord, PageRecord, VersionRecord
from foldstore.datastore.catalog.registry import Registry
from foldstore.datastore.column_group import StagedFile
from foldstore.datastore.commit_object import rewrite_commit_object
from foldstore.datastore.deletion import encode_deletion
from foldstore.datastore.erase_survey import ErasureSurvey, RowsToErase, erased_values, survey_erasure
from foldstore.datastore.freezing import FOLDER as FREEZING
from foldstore.datastore.manifest import Bounds, ColumnGroup, Deleted, Fragment, encode_page, name_page
from foldstore.datastore.seal_area import lock_sealed_area
from foldstore.datastore.seal_rewrite import rewrite_files
from foldstore.datastore.seal_survey import Mask
from foldstore.datastore.storage import Storage, new_id
from foldstore.datastore.zones import fold_bounds, read_zones
from foldstore.errors import ConflictError, NotFoundError
from foldstore.types import Operation, format_time
from foldstore.work import settle

_ATTEMPTS: Final = 20
_NEUTRAL: Final = frozenset({Operation.COMPACT})
Successors = Mapping[tuple[int, str], str]


def keep_report(body: dict[str, Any]) -> dict[str, Any]:
    """Return a report as it is: for rows that none speaks of."""
    return body


def redact_nothing(_values: Mapping[str, set[Any]]) -> page_switch.Redaction:
    """Leave every report as it is."""
    return keep_report


@dataclass(frozen=True, slots=True, kw_only=True)
class EraseOptions:
    """What a person says about an erasure.

    Attributes
    ----------
    actor : str
        Who erases.
    reason, reference : str
        Why, and under which number elsewhere; the tombstone keeps both.
    redact : callable
        Given the values of the rows by column, what takes them out of a stored report.
    prepare : callable
        Called when rows were found, before any is taken away: copies of them elsewhere go first.
    dry_run : bool
        Look only.
    """

    actor: str
    reason: str
    reference: str = ""
    redact: Callable[[Mapping[str, set[Any]]], page_switch.Redaction] = redact_nothing
    prepare: Callable[[], None] = lambda: None
    dry_run: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Reached:
    """What an erasure took away, or would.

    Attributes
    ----------
    rows : int
        How many rows, each copy counted.
    versions : tuple of VersionRecord
        The versions that had them, as they were.
    files : int
        How many files held them.
    shared : tuple of (str, int)
        Versions of other datasets that hold the same bytes, by name and number: the rows are still there.
    masks : mapping of int to array of bool
        The rows by fragment.
    unknown_keys : int
        How many of the keys no row has.
    scrubbed : bool
        Whether the catalog's database was cleaned; else the next open tries again.
    """

    rows: int
    versions: tuple[VersionRecord, ...]
    files: int
    shared: tuple[tuple[str, int], ...]
    masks: Mapping[int, Mask]
    unknown_keys: int
    scrubbed: bool = True


def erase_rows(storage: Storage, dataset: DatasetRecord, rows: RowsToErase, options: EraseOptions) -> Reached:
    """Erase rows from every version of a dataset, whatever their status.

    Raises
    ------
    NotFoundError
        When no version has such a row.
    ConflictError
        When another process seals or erases, or the dataset changes too fast.
    """
    if options.dry_run:
        found = survey_erasure(storage, dataset, rows)
        return _describe(storage, dataset, found)
    with lock_sealed_area(storage):
        _recover(storage)
        for _attempt in range(_ATTEMPTS):
            found = survey_erasure(storage, dataset, rows)
            reached = _describe(storage, dataset, found)
            settle()  # copies go first: from here on it is not called off any more
            options.prepare()
            try:
                scrubbed = _erase_once(storage, dataset, found, reached, options)
            except ConflictError:
                continue
            return replace(reached, scrubbed=scrubbed)
    raise ConflictError(
        f"{dataset.name!r} is changing too fast: {_ATTEMPTS} attempts lost.", retry=True, hint="Try again."
    )


def recover_erasures(storage: Storage) -> None:
    """Finish or undo the erasures that a crash interrupted; what another process is erasing is left to it."""
    if not erasures.list_pending(storage.catalog):
        return
    try:
        with lock_sealed_area(storage):
            _recover(storage)
    except (ConflictError, PermissionError):  # at work elsewhere, or another user's to do
        return


def _recover(storage: Storage) -> None:
    for pending in erasures.list_pending(storage.catalog):
        if pending.state == "open":
            _undo(storage, pending.id)
        else:
            _finish(storage, pending)


def _describe(storage: Storage, dataset: DatasetRecord, found: ErasureSurvey) -> Reached:
    masks, places = found.survey.masks, found.survey.places
    if not masks:
        raise NotFoundError(
            f"No version of {dataset.name!r} has such a row.",
            hint="Look at the key's values; rows that were erased before have none. erasures() lists these.",
            dataset=dataset.name,
        )
    objects = sorted({place.object_id for place in places})
    touched = set(found.touched)
    return Reached(
        rows=found.survey.num_rows,
        versions=tuple(v for v in storage.catalog.list_versions(dataset.id) if v.id in touched),
        files=len(objects),
        shared=tuple(seals.list_other_users(storage.catalog, dataset.id, objects)),
        masks=masks,
        unknown_keys=found.unknown_keys,
    )


def _erase_once(
    storage: Storage, dataset: DatasetRecord, found: ErasureSurvey, reached: Reached, options: EraseOptions
) -> bool:
    """Rewrite, switch and clean; say whether the database could be scrubbed."""
    erasure = PendingErasure(id=new_id(), dataset_id=dataset.id)
    redact = _redaction(storage, dataset, found, options)
    commits.begin(storage.catalog, erasure.id, dataset.id, None, storage.clock)
    erasures.begin_erasure(storage.catalog, erasure, actor=options.actor, now=_now(storage))
    storage.on_step("erase-begun")
    try:
        staged, successors = _rewrite(storage, erasure, found)
        storage.on_step("erase-rewritten")
        cover = _Cover(storage, found, staged, successors)
        change = ErasureFlip(
            id=erasure.id,
            dataset_id=dataset.id,
            seen_pages=frozenset(found.pages),
            seen_versions=frozenset(found.page_places),
            new_pages=cover.pages(),
            deletions=tuple(cover.deletions.values()),
            fewer_added=_fewer_added(found, reached.versions, cover),
            old_objects=frozenset(old for (_, old), new in successors.items() if new != old),
            reports=found.touched,
            redact=redact,
            tombstone=_tombstone(erasure, reached, options),
            actor=options.actor,
            now=_now(storage),
        )
        done = _flip(storage, change)
    except BaseException:
        now = erasures.find_pending(storage.catalog, erasure.id)
        if now is not None and now.state == "open":  # nothing is undone after the catalog has switched
            _undo(storage, erasure.id)
        raise
    storage.on_step("erase-flipped")
    gone = set(done.objects)
    storage.objects.retire(dataset.id, {key: new for key, new in successors.items() if key[1] in gone}, cover.hidden)
    storage.objects.forget(*gone)
    return _finish(storage, done)


def _redaction(
    storage: Storage, dataset: DatasetRecord, found: ErasureSurvey, options: EraseOptions
) -> page_switch.Redaction:
    quoted = {name for kind in page_switch.QUOTING for name in Registry(storage.catalog, kind).list_names()}
    if quoted.isdisjoint(found.touched):
        return keep_report
    return options.redact(erased_values(storage, dataset, found))


def _tombstone(erasure: PendingErasure, reached: Reached, options: EraseOptions) -> dict[str, Any]:
    # Neither keys nor digests of them: few keys are possible, and a digest could be tried against all of them.
    return {
        "erasure": erasure.id,
        "reason": options.reason,
        "reference": options.reference,
        "rows": reached.rows,
        "versions": sorted(version.number for version in reached.versions),
        "files": reached.files,
    }


def _rewrite(
    storage: Storage, erasure: PendingErasure, found: ErasureSurvey
) -> tuple[list[StagedFile], dict[tuple[int, str], str]]:
    folder = storage.objects.stage(erasure.id)
    try:
        staged, successors = rewrite_files(storage, found.survey, folder)
        commits.stage_objects(storage.catalog, erasure.id, erasure.dataset_id, [item.record for item in staged], 0)
        storage.objects.publish(staged)
    finally:
        storage.objects.unstage(erasure.id)
    return staged, successors


class _Cover:
    """Fragments as they are without the rows: other files, larger bitmaps, bounds of what stays."""

    def __init__(
        self, storage: Storage, found: ErasureSurvey, staged: Sequence[StagedFile], successors: Successors
    ) -> None:
        self._deleted = storage.deletions
        self._found = found
        self._zones = {item.record.id: item.record.zones for item in staged}
        self._successors = successors
        self.deletions: dict[str, DeletionRecord] = {}
        # By fragment and the bitmap that it named, the one that it names now.
        self.hidden: dict[tuple[int, str | None], Deleted] = {}

    def pages(self) -> dict[str, PageRecord]:
        """Return what stands in the place of each page that lists the rows, by hash."""
        covered = {}
        for page in self._found.survey.pages:
            self._deleted.load([each for each in page.fragments if each.id in self._found.survey.masks])
            fragments = tuple(self._cover(fragment) for fragment in page.fragments)
            if fragments != page.fragments:
                covered[page.hash] = encode_page(name_page(fragments))
        return covered

    def fewer(self, fragment: Fragment) -> int:
        """Return how many rows less a fragment has to read."""
        return fragment.live_rows - self._cover(fragment).live_rows

    def _cover(self, fragment: Fragment) -> Fragment:
        mask = self._found.survey.masks.get(fragment.id)
        if mask is None:
            return fragment
        groups = tuple(
            replace(group, object_id=self._successors.get((fragment.id, group.object_id), group.object_id))
            for group in fragment.groups
        )
        bounds = tuple(each for bound in fragment.bounds for each in self._bounds(bound[0], groups))
        return replace(fragment, groups=groups, bounds=bounds, deleted=self._delete(fragment, mask))

    def _delete(self, fragment: Fragment, mask: Mask) -> Deleted:
        place = (fragment.id, fragment.deleted.hash if fragment.deleted else None)
        if place not in self.hidden:
            gone = self._deleted.gone(fragment)
            record = encode_deletion(mask if gone is None else gone | mask)
            self.deletions[record.hash] = record
            self.hidden[place] = Deleted(record.hash, record.num_deleted)
        return self.hidden[place]

    def _bounds(self, field_id: int, groups: Sequence[ColumnGroup]) -> Iterator[Bounds]:
        for group in groups:
            if field_id in group.fields:
                ends = fold_bounds(read_zones(self._zones[group.object_id]), group.fields.index(field_id))
                if ends is not None:
                    yield (field_id, *ends)


def _fewer_added(found: ErasureSurvey, versions: Sequence[VersionRecord], cover: _Cover) -> dict[str, int]:
    """Return by how many rows less each version added to its parent."""
    fewer = {}
    for version in versions:
        before = found.page_places.get(version.parent_id or "", ())
        if version.operation in _NEUTRAL or (not before and version.rows_added < version.num_rows):
            continue  # it added none, or its parent's rows are not known any more
        known = {fragment.id for name in before for fragment in found.pages[name].fragments}
        own = [name for name in found.page_places[version.id] if name not in set(before)]
        added = [f for name in own for f in found.pages[name].fragments if f.id not in known]
        fewer[version.id] = sum(cover.fewer(fragment) for fragment in added)
    return {version_id: rows for version_id, rows in fewer.items() if rows}


def _flip(storage: Storage, change: ErasureFlip) -> PendingErasure:
    if not change.new_pages:
        raise NotFoundError("These rows were erased before.", hint="erasures() lists what was erased.")
    try:
        return erasures.flip_erasure(storage.catalog, storage.journal, change)
    except ConflictError:
        raise
    except Exception:
        # The database may have committed before the error reached us: ask, assume nothing.
        now = erasures.find_pending(storage.catalog, change.id)
        if now is None or now.state == "open":
            raise
        return now


def _undo(storage: Storage, erasure_id: str) -> None:
    storage.objects.unstage(erasure_id)
    staged = erasures.abandon_erasure(storage.catalog, erasure_id)
    page_switch.remove_unknown(storage.catalog, staged, storage.objects.remove)


def _finish(storage: Storage, pending: PendingErasure) -> bool:
    # Staging folders that a kill left behind may hold the rows as well.
    for left in (pending.id, *page_switch.list_dead_transactions(storage.catalog, pending.dataset_id, _now(storage))):
        storage.objects.unstage(left)
    storage.objects.unstage(FREEZING)
    page_switch.remove_unknown(storage.catalog, pending.objects, storage.objects.remove)
    storage.on_step("erase-removed")
    for version_id in pending.versions:
        version = storage.catalog.find_version_by_id(version_id)
        if version is not None:
            rewrite_commit_object(storage, version)
    storage.on_step("erase-recorded")
    erasures.clear_pending(storage.catalog, pending)
    if not page_switch.scrub(storage.catalog):
        return False
    storage.on_step("erase-scrubbed")
    erasures.finish_erasure(storage.catalog, pending.id)
    return True


def _now(storage: Storage) -> str:
    return format_time(storage.clock())
