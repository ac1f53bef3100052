"""Sealing: cells are moved, physically, out of every version of a dataset into the restricted area.

The steps, each told to ``storage.on_step``: ``seal-begun`` (the seal's row), ``seal-copied`` (the sealed
files are on disk), ``seal-linked`` (files with nulls have their names), ``seal-flipped`` (the catalog has
switched every version), ``seal-removed`` (the old files are gone), ``seal-recorded`` (commit objects are
written anew), ``seal-scrubbed`` (deleted rows are out of the database's files). A crash before the flip
leaves nothing sealed, a crash after it leaves a seal; `recover_seals` makes good the rest.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final

import pyarrow as pa

from foldstore.datastore.canonical import canonical_json, content_hash
from foldstore.datastore.catalog import commits, page_switch, seals
from foldstore.datastore.catalog.records import DatasetRecord, PageRecord, PendingSeal, SealRecord
from foldstore.datastore.commit_object import rewrite_commit_object
from foldstore.datastore.freezing import FOLDER as FREEZING
from foldstore.datastore.manifest import Fragment, Page, encode_page, fragment_to_dict
from foldstore.datastore.seal_area import (
    has_sealed_area,
    lock_sealed_area,
    read_sealed,
    remove_sealed,
    write_sealed,
)
from foldstore.datastore.seal_rewrite import ROW_ID, copy_cells, rewrite_files
from foldstore.datastore.seal_survey import Rows, Survey, survey_rows
from foldstore.datastore.storage import Storage, new_id
from foldstore.errors import ConflictError, NotFoundError, RefusedError, UsageError
from foldstore.types import format_time

_CELLS: Final = "cells"
_ATTEMPTS: Final = 20
__all__ = [
    "ROW_ID",
    "SealOptions",
    "add_companion",
    "merge_seals",
    "open_companion",
    "open_sealed",
    "recover_seals",
    "seal_cells",
]


def keep_document(body: dict[str, Any]) -> dict[str, Any]:
    """Return a document as it is: for columns that none speaks of."""
    return body


def accept_survey(_survey: Survey) -> None:
    """Let a seal go on, whatever it reaches."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SealOptions:
    """How cells are sealed.

    Attributes
    ----------
    actor : str
        Who seals.
    companions : mapping of str to Table
        More tables that go into the sealed area before anything is taken out of a version.
    accept_shared : bool
        Whether other datasets may keep the same files, and so the cells.
    redact : callable
        Takes what it says of the cells out of a stored report of the dataset.
    redact_schema : callable
        Does the same to each schema that the dataset has had.
    prepare : callable
        Called with what will be sealed, before each attempt, while nobody else can seal: what it finds then is
        still so when the cells are gone. An error of it ends the sealing.
    """

    actor: str
    companions: Mapping[str, pa.Table] = field(default_factory=dict)
    accept_shared: bool = False
    redact: page_switch.Redaction = keep_document
    redact_schema: page_switch.Redaction = keep_document
    prepare: Callable[[Survey], None] = accept_survey


def seal_cells(
    storage: Storage,
    dataset: DatasetRecord,
    rows: Rows,
    columns: Sequence[str],
    seal_id: str | None = None,
    *,
    options: SealOptions,
) -> SealRecord:
    """Seal cells: they read as null in every version of the dataset from now on, and lie in no ordinary file.

    Rows of other fragments that have the key of a sealed row, or were appended as the very same file, are the
    same rows and are sealed with them. A file that a fragment shares by chance in one column alone (a column
    that was computed to the same values) stays in the other fragment.

    Parameters
    ----------
    rows : mapping of int to array of bool, or array of int
        Masks by fragment id, or row ids (fragment id << 32 | position).
    columns : sequence of str
        Which columns.
    seal_id : str, optional
        A new id of ours; a random one unless given.

    Returns
    -------
    SealRecord
        Its state is ``flipped`` when another connection kept the catalog's database from being cleaned; the next
        open tries again.

    Raises
    ------
    RefusedError
        With code ``sealed-elsewhere``, when versions of other datasets hold the same files.
    ConflictError
        When another process is sealing, or the dataset changes too fast.
    """
    _check_columns(dataset, columns)
    with lock_sealed_area(storage):
        _recover(storage)
        for _attempt in range(_ATTEMPTS):
            survey = survey_rows(storage, dataset, rows, columns)
            if not survey.masks:
                raise UsageError("There is no row to seal.", hint="Name at least one.")
            if not options.accept_shared:
                _refuse_shared(storage, dataset, survey)
            options.prepare(survey)
            seal = SealRecord(
                id=seal_id or new_id(),
                dataset_id=dataset.id,
                columns=tuple(sorted(set(columns))),
                files={},
                num_rows=survey.num_rows,
                state="open",
                created_at=_now(storage),
            )
            try:
                return _seal_once(storage, seal, survey, options)
            except ConflictError:
                continue
    raise ConflictError(
        f"{dataset.name!r} is changing too fast: {_ATTEMPTS} attempts lost.", retry=True, hint="Try again."
    )


def open_sealed(storage: Storage, seal_id: str, columns: Sequence[str] | None = None) -> pa.Table:
    """Return sealed cells: ``row_id``, ascending, and the sealed columns. Only what keeps the seal may ask.

    Raises
    ------
    NotFoundError
        When there is no such seal.
    CorruptObjectError
        When the sealed file is not the one that was written.
    """
    table = open_companion(storage, seal_id, _CELLS)
    return table if columns is None else table.select([ROW_ID, *columns])


def open_companion(storage: Storage, seal_id: str, name: str) -> pa.Table:
    """Return a table that was put into the sealed area beside the cells."""
    seal = seals.find_seal(storage.catalog, seal_id)
    if seal is None or seal.state == "open" or name not in seal.files:
        raise NotFoundError(f"There is no sealed {name!r} under {seal_id}.", hint="It was never sealed.", seal=seal_id)
    return read_sealed(storage, seal_id, name, seal.files[name])


def add_companion(storage: Storage, seal_id: str, name: str, table: pa.Table) -> None:
    """Put one more table beside the cells of a seal, durably; what a crash leaves of it has no name in the catalog."""
    seals.add_file(storage.catalog, seal_id, name, write_sealed(storage, seal_id, name, table))


def merge_seals(
    storage: Storage,
    dataset: DatasetRecord,
    seal_ids: Sequence[str],
    merged_id: str,
    *,
    companions: Mapping[str, pa.Table],
    actor: str,
) -> None:
    """Put the cells of several seals of a dataset into one, which takes their place; no version changes."""
    with lock_sealed_area(storage):
        _recover(storage)
        parts = [open_companion(storage, seal_id, _CELLS) for seal_id in seal_ids]
        cells = pa.concat_tables(parts, promote_options="default").sort_by(ROW_ID).combine_chunks()
        merged = SealRecord(
            id=merged_id,
            dataset_id=dataset.id,
            columns=tuple(name for name in cells.column_names if name != ROW_ID),
            files={},
            num_rows=cells.num_rows,
            state="open",
            created_at=_now(storage),
        )
        seals.begin_seal(storage.catalog, merged)
        tables = {**companions, _CELLS: cells}
        files = {name: write_sealed(storage, merged_id, name, table) for name, table in tables.items()}
        storage.on_step("seals-copied")
        done = replace(merged, files=files, state="sealed")
        seals.merge_seals(storage.catalog, storage.journal, done, seal_ids, actor=actor, now=_now(storage))
        storage.on_step("seals-merged")
        for seal_id in seal_ids:
            remove_sealed(storage, seal_id)


def recover_seals(storage: Storage) -> None:
    """Finish or undo the seals that a crash interrupted; what another process is sealing is left to it."""
    if not has_sealed_area(storage) or all(seal.state == "sealed" for seal in seals.list_seals(storage.catalog)):
        return
    try:
        with lock_sealed_area(storage):
            _recover(storage)
    except (ConflictError, PermissionError):  # at work elsewhere, or another user's to do
        return


def _recover(storage: Storage) -> None:
    for seal in seals.list_seals(storage.catalog):
        if seal.state == "open":
            _undo(storage, seal.id)
        elif seal.state == "flipped":
            _finish(storage, seal)


def _refuse_shared(storage: Storage, dataset: DatasetRecord, survey: Survey) -> None:
    ids = sorted({place.object_id for place in survey.places})
    users = [f"{name}@{number}" for name, number in seals.list_other_users(storage.catalog, dataset.id, ids)]
    if users:
        shown = ", ".join(users[:5]) + (f" and {len(users) - 5} more" if len(users) > 5 else "")
        raise RefusedError(
            f"Other datasets hold the same bytes: {shown}. There the cells would stay readable.",
            hint="Seal before the same file is appended elsewhere, or choose rows that one dataset has.",
            code="sealed-elsewhere",
            addresses=users,
        )


def _check_columns(dataset: DatasetRecord, columns: Sequence[str]) -> None:
    if not columns:
        raise UsageError("There is no column to seal.", hint="Name the label and what gives it away.")
    keys = [name for name in columns if name in dataset.key]
    if keys:
        raise UsageError(
            f"{keys[0]!r} is a key column of {dataset.name!r}: rows without it could not be told apart.",
            hint="Seal the columns that the key does not need.",
            columns=keys,
        )


def _seal_once(storage: Storage, seal: SealRecord, survey: Survey, options: SealOptions) -> SealRecord:
    commits.begin(storage.catalog, seal.id, seal.dataset_id, None, storage.clock)
    seals.begin_seal(storage.catalog, seal)
    storage.on_step("seal-begun")
    try:
        tables = {**options.companions, _CELLS: copy_cells(storage, survey)}
        files = {name: write_sealed(storage, seal.id, name, table) for name, table in tables.items()}
        storage.on_step("seal-copied")
        successors = _write_nulls(storage, seal, survey)
        storage.on_step("seal-linked")
        done = _flip(storage, replace(seal, files=files), survey, successors, options)
    except BaseException:
        found = seals.find_seal(storage.catalog, seal.id)
        if found is None or found.state == "open":  # nothing is undone after the catalog has switched
            _undo(storage, seal.id)
        raise
    storage.on_step("seal-flipped")
    gone = set(done.pending.objects)
    storage.objects.retire(seal.dataset_id, {key: new for key, new in successors.items() if key[1] in gone})
    storage.objects.forget(*gone)
    return _finish(storage, done)


def _write_nulls(storage: Storage, seal: SealRecord, survey: Survey) -> dict[tuple[int, str], str]:
    folder = storage.objects.stage(seal.id)
    try:
        staged, successors = rewrite_files(storage, survey, folder)
        commits.stage_objects(storage.catalog, seal.id, seal.dataset_id, [item.record for item in staged], 0)
        storage.objects.publish(staged)
    finally:
        storage.objects.unstage(seal.id)
    return successors


def _flip(
    storage: Storage,
    seal: SealRecord,
    survey: Survey,
    successors: Mapping[tuple[int, str], str],
    options: SealOptions,
) -> SealRecord:
    change = seals.SealFlip(
        seal=seal,
        seen_pages=frozenset(page.hash for page in survey.pages),
        new_pages=_replace_pages(survey.pages, successors),
        replaced=_list_replaced(successors),
        redact=options.redact,
        redact_schema=options.redact_schema,
        actor=options.actor,
        now=_now(storage),
    )
    try:
        pending = seals.flip_seal(storage.catalog, storage.journal, change)
    except ConflictError:
        raise
    except Exception:
        # The database may have committed before the error reached us: ask, assume nothing.
        found = seals.find_seal(storage.catalog, seal.id)
        if found is None or found.state == "open":
            raise
        return found
    return replace(seal, state="flipped", pending=pending)


def _list_replaced(successors: Mapping[tuple[int, str], str]) -> dict[str, frozenset[str]]:
    """Return which files stand in the place of each that held sealed cells."""
    found: dict[str, set[str]] = {}
    for (_, old), new in successors.items():
        if new != old:
            found.setdefault(old, set()).add(new)
    return {old: frozenset(new) for old, new in found.items()}


def _replace_pages(pages: Sequence[Page], successors: Mapping[tuple[int, str], str]) -> dict[str, PageRecord]:
    replaced = {}
    for page in pages:
        fragments = tuple(_replace_groups(fragment, successors) for fragment in page.fragments)
        if fragments != page.fragments:
            replaced[page.hash] = encode_page(_name_page(fragments))
    return replaced


def _name_page(fragments: tuple[Fragment, ...]) -> Page:
    return Page(content_hash(canonical_json([fragment_to_dict(each) for each in fragments]).encode()), fragments)


def _replace_groups(fragment: Fragment, successors: Mapping[tuple[int, str], str]) -> Fragment:
    groups = tuple(
        replace(group, object_id=successors.get((fragment.id, group.object_id), group.object_id))
        for group in fragment.groups
    )
    return replace(fragment, groups=groups)


def _undo(storage: Storage, seal_id: str) -> None:
    storage.objects.unstage(seal_id)
    staged = seals.abandon_seal(storage.catalog, seal_id)
    page_switch.remove_unknown(storage.catalog, staged, storage.objects.remove)
    remove_sealed(storage, seal_id)


def _finish(storage: Storage, seal: SealRecord) -> SealRecord:
    # Staging folders that a kill left behind may hold the cells as well.
    for transaction_id in (
        seal.id,
        *page_switch.list_dead_transactions(storage.catalog, seal.dataset_id, _now(storage)),
    ):
        storage.objects.unstage(transaction_id)
    storage.objects.unstage(FREEZING)
    page_switch.remove_unknown(storage.catalog, seal.pending.objects, storage.objects.remove)
    storage.on_step("seal-removed")
    for version_id in seal.pending.versions:
        version = storage.catalog.find_version_by_id(version_id)
        if version is not None:
            rewrite_commit_object(storage, version)
    storage.on_step("seal-recorded")
    seals.clear_pending(storage.catalog, seal.id)
    if not page_switch.scrub(storage.catalog):
        return replace(seal, pending=PendingSeal())
    storage.on_step("seal-scrubbed")
    seals.finish_seal(storage.catalog, seal.id)
    return replace(seal, state="sealed", pending=PendingSeal())


def _now(storage: Storage) -> str:
    return format_time(storage.clock())
