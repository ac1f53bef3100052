"""Branches, aliases and tags of a dataset, which share one namespace: made, moved, removed, and their history."""

import json
from dataclasses import dataclass
from typing import Final

from foldstore.datastore.catalog import refs
from foldstore.datastore.catalog.records import DatasetRecord, RefRecord, VersionRecord
from foldstore.datastore.storage import Storage
from foldstore.errors import AlreadyExistsError, NotFoundError, RefusedError, UsageError, did_you_mean
from foldstore.names import MAIN_BRANCH, check_ref_name
from foldstore.types import Status, format_time

BRANCH: Final = "branch"
ALIAS: Final = "alias"
TAG: Final = "tag"


@dataclass(frozen=True, slots=True, kw_only=True)
class RefMove:
    """One move of a ref.

    Attributes
    ----------
    version : int or None
        The number of the version that it was pointed at; None when it was removed.
    """

    ref: str
    kind: str
    version: int | None
    author: str
    created_at: str


def create_ref(
    storage: Storage, dataset: DatasetRecord, version: VersionRecord, name: str, kind: str, *, author: str
) -> RefRecord:
    """Make a branch or a tag at a version.

    Raises
    ------
    InvalidNameError
        When the name is outside the grammar.
    AlreadyExistsError
        When the dataset has a ref of that name.
    RefusedError
        When the version is quarantined.
    """
    check_ref_name(name, kind)
    _check_version(dataset, version, kind)
    now = format_time(storage.clock())
    return refs.create_ref(storage.catalog, storage.journal, version, name, kind, author=author, now=now)


def set_alias(
    storage: Storage, dataset: DatasetRecord, version: VersionRecord, name: str, *, author: str
) -> RefRecord | None:
    """Point an alias at a version, making it when it is new; return what it was before.

    Raises
    ------
    AlreadyExistsError
        When a branch or a tag has the name.
    RefusedError
        When the version is quarantined.
    """
    check_ref_name(name, ALIAS)
    _check_version(dataset, version, ALIAS)
    now = format_time(storage.clock())
    known = storage.catalog.find_ref(dataset.id, name)
    if known is None:
        refs.create_ref(storage.catalog, storage.journal, version, name, ALIAS, author=author, now=now)
        return None
    if known.kind != ALIAS:
        raise AlreadyExistsError(
            f"{name!r} is a {known.kind} of {dataset.name!r}, not an alias.",
            hint="A tag never moves and a branch moves by commits; choose another name.",
            ref=name,
        )
    refs.move_alias(storage.catalog, storage.journal, known, version, author=author, now=now)
    return known


def remove_ref(storage: Storage, dataset: DatasetRecord, name: str, *, author: str) -> RefRecord:
    """Remove a branch, an alias or a tag.

    Raises
    ------
    NotFoundError
        When there is none of that name.
    UsageError
        When it is the main branch.
    """
    known = find_ref(storage, dataset, name)
    if name == MAIN_BRANCH:
        raise UsageError(f"The branch {MAIN_BRANCH!r} is not removed.", hint="It is where `latest` is found.")
    now = format_time(storage.clock())
    refs.remove_ref(storage.catalog, storage.journal, dataset.id, known, author=author, now=now)
    return known


def find_ref(storage: Storage, dataset: DatasetRecord, name: str, kind: str | None = None) -> RefRecord:
    """Return a ref by name.

    Raises
    ------
    NotFoundError
        When there is none of that name and kind.
    """
    check_ref_name(name, kind or "ref")
    known = storage.catalog.find_ref(dataset.id, name)
    if known is None or (kind is not None and known.kind != kind):
        names = [ref.name for ref in storage.catalog.list_refs(dataset.id) if kind in (None, ref.kind)]
        raise NotFoundError(
            f"{dataset.name!r} has no {kind or 'branch, alias or tag'} {name!r}.",
            hint=did_you_mean(name, names),
            ref=name,
        )
    return known


def list_moves(storage: Storage, dataset: DatasetRecord, name: str) -> list[RefMove]:
    """List the moves of a ref, oldest first; those of one that was removed, too.

    Raises
    ------
    NotFoundError
        When there is no ref of that name and never was.
    """
    moves = []
    for entry in storage.journal.list_entries(f"refs/{dataset.id}"):
        body = json.loads(entry.body)
        if body["ref"] == name:
            kind = body.get("kind", BRANCH)
            moves.append(
                RefMove(ref=name, kind=kind, version=body["number"], author=entry.actor, created_at=entry.created_at)
            )
    if not moves:
        find_ref(storage, dataset, name)
    return moves


def _check_version(dataset: DatasetRecord, version: VersionRecord, kind: str) -> None:
    if version.dataset_id != dataset.id:
        raise UsageError(f"That version is not one of {dataset.name!r}.", hint="A ref names a version of its dataset.")
    if version.status is Status.QUARANTINED:
        raise RefusedError(
            f"{dataset.name}@{version.number} is quarantined: no {kind} is made to it.",
            hint="Read it by its number; a person who releases it makes it a version like others.",
            code="version-quarantined",
            version=version.number,
        )
