"""Roots: the versions that must keep their rows whatever retention says, and why.

Heads of branches, aliases and tags; pins and consumers; leases of readers; what transactions under way build on;
what saved views, pools, splits, training sets, materialized features and feature services are pinned to. What a
document may mean is kept: too much is kept rather than too little.
"""

import json
import re
from collections.abc import Collection, Iterable, Iterator
from typing import Final

import sqlalchemy as sa

from foldstore.datastore.catalog import tables as t
from foldstore.datastore.view_document import DRAFT_KIND, list_version_ids
from foldstore.errors import InvalidNameError
from foldstore.names import parse_address

# Addresses with a number inside other text, such as the SQL of a feature view.
_NUMBERED: Final = re.compile(r"[a-z0-9][a-z0-9_.-]{0,99}@[1-9][0-9]{0,17}", re.ASCII)
_KIND_NAMES: Final = {DRAFT_KIND: "draft of view"}


def find_roots(connection: sa.Connection, lapsed: Collection[str] = ()) -> dict[str, str]:
    """Return the versions that must stay, each with one reason.

    Parameters
    ----------
    lapsed : collection of str
        Leases of readers, and transactions, that no longer count.
    """
    found: dict[str, str] = {}
    for version_id, why in (*_named(connection), *_held(connection, lapsed), *_documented(connection)):
        found.setdefault(version_id, why)
    addresses = dict(_addressed(connection))
    for address, version_id in _resolve(connection, addresses):
        found.setdefault(version_id, addresses[address])
    return found


def _named(connection: sa.Connection) -> Iterator[tuple[str, str]]:
    rows = connection.execute(sa.select(t.ref).where(t.ref.c.version_id.is_not(None)))
    yield from ((row.version_id, f"{row.kind} {row.name}") for row in rows)
    yield from ((row.version_id, f"{row.kind} {row.name}") for row in connection.execute(sa.select(t.consumer)))


def _held(connection: sa.Connection, lapsed: Collection[str]) -> Iterator[tuple[str, str]]:
    for row in connection.execute(sa.select(t.lease)):
        if row.id not in lapsed:
            yield row.version_id, f"lease of {row.holder}"
    under_way = sa.select(t.transaction).where(
        t.transaction.c.state == "open", t.transaction.c.base_version_id.is_not(None)
    )
    for row in connection.execute(under_way):
        if row.id in lapsed:
            continue
        yield row.base_version_id, "a commit under way"


def _documented(connection: sa.Connection) -> Iterator[tuple[str, str]]:
    """Yield the versions that documents name by id."""
    query = sa.select(t.document.c.kind, t.document.c.name, t.document.c.body)
    query = query.where(t.document.c.kind.in_(["view", DRAFT_KIND, "pool"]))
    # What a draft was before it was edited needs nothing any more.
    for row in connection.execute(query.where(sa.or_(t.document.c.kind != DRAFT_KIND, ~_has_newer()))):
        body = json.loads(row.body)
        pinned = list_version_ids(body) if row.kind != "pool" else [str(body.get("version_id", "")).partition("#")[0]]
        for version_id in pinned:
            yield version_id, f"{_KIND_NAMES.get(row.kind, row.kind)} {row.name}"


def _addressed(connection: sa.Connection) -> Iterator[tuple[str, str]]:
    """Yield the addresses that documents and training sets are pinned to."""
    kinds = ["online", "feature_service"]
    query = sa.select(t.document.c.kind, t.document.c.name, t.document.c.body).where(t.document.c.kind.in_(kinds))
    # A service stays what it is in every version; files for lookups are replaced by those of the newest.
    for row in connection.execute(query.where(sa.or_(t.document.c.kind != "online", ~_has_newer()))):
        for address in _NUMBERED.findall(row.body):
            yield address, f"{row.kind} {row.name}"
    # A split's document says in its message on which version it was made, or last looked at; its body may be large.
    splits = sa.select(t.document.c.name, t.document.c.message).where(t.document.c.kind == "split")
    made_or_newest = sa.or_(t.document.c.version == 1, ~_has_newer())
    for name, address in connection.execute(splits.where(made_or_newest)):
        yield address, f"split {name}"
    made = sa.select(t.version.c.properties).where(
        t.version.c.expired_at.is_(None), t.version.c.properties.like('%"training_set":%')
    )
    for (properties,) in connection.execute(made):
        described = json.loads(properties).get("training_set")
        for address in _NUMBERED.findall(json.dumps(described)):
            yield address, "a training set"


def _has_newer() -> sa.ColumnElement[bool]:
    """Say that a document has a newer version."""
    later = t.document.alias()
    return sa.exists(
        sa.select(sa.literal(1)).where(
            later.c.kind == t.document.c.kind, later.c.name == t.document.c.name, later.c.version > t.document.c.version
        )
    )


def _resolve(connection: sa.Connection, addresses: Iterable[str]) -> Iterator[tuple[str, str]]:
    """Yield the versions behind addresses with a number; whatever has a name is a root by its ref."""
    wanted: dict[tuple[str, int], list[str]] = {}
    for address in addresses:
        try:
            parsed = parse_address(address)
        except InvalidNameError:
            continue
        if parsed.ref.isdigit():
            wanted.setdefault((parsed.name, int(parsed.ref)), []).append(address)
    query = (
        sa.select(t.dataset.c.name, t.version.c.number, t.version.c.id)
        .join(t.version, t.version.c.dataset_id == t.dataset.c.id)
        .where(t.dataset.c.name.in_(sorted({name for name, _ in wanted})))
    )
    for row in connection.execute(query):
        for address in wanted.get((row.name, row.number), ()):
            yield address, row.id
