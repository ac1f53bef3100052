"""Datasets, versions, branches and tags as tables."""

from collections import Counter
from typing import Any, Final

from foldstore.datastore.canonical import canonical_json
from foldstore.datastore.catalog.listings import Listings
from foldstore.datastore.catalog_tables.declaration import Filling, columns_of, gather
from foldstore.datastore.catalog_tables.named_versions import NamedVersions
from foldstore.names import MAIN_BRANCH

_DESCRIPTION: Final = "description"
# What a version's row in the catalog calls the columns that are shown as they are.
_AS_THEY_ARE: Final = {
    "version_id": "id",
    "status": "status",
    "operation": "operation",
    "branch": "branch",
    "rows": "num_rows",
    "rows_added": "rows_added",
    "bytes_added": "bytes_added",
    "author": "author",
    "message": "message",
    "created_at": "created_at",
    "arrow_schema_id": "arrow_schema_id",
    "properties": "properties",
    "expired_at": "expired_at",
}


def list_datasets(listings: Listings, _wanted: frozenset[str]) -> Filling:
    """Fill ``foldstore.datasets``."""
    versions = NamedVersions(listings)
    counts = Counter(each.dataset for each in versions.by_id.values())
    heads = {ref[0]: ref[3] for ref in listings.refs() if ref[1] == MAIN_BRANCH}
    said = {each.name: each.body for each in listings.documents(_DESCRIPTION)}  # the newest comes last
    rows = []
    for record in versions.datasets.values():
        latest, body = versions.latest(heads.get(record.id)), said.get(record.name, {})
        rows.append(
            {
                "dataset": record.name,
                "dataset_id": record.id,
                "key": list(record.key),
                "event_time": record.event_time,
                "key_policy": record.key_policy,
                "derive": canonical_json(dict(record.derive)),
                "versions": counts[record.name],
                "latest": latest.address if latest else None,
                "rows": latest.num_rows if latest else None,
                "owner": body.get("owner"),
                "description": body.get("description") or None,
                "tags": list(body.get("tags", ())),
                "created_at": record.created_at,
            }
        )
    return gather(rows)


def list_versions(listings: Listings, wanted: frozenset[str]) -> Filling:
    """Fill ``foldstore.versions``; files are counted only when somebody asks for bytes or fragments."""
    versions = NamedVersions(listings)
    shown = {name: column for name, column in _AS_THEY_ARE.items() if name in wanted}
    rows = listings.versions("id", "parent_id", "merge_parent_id", *shown.values())
    ids, parents, merged, *values = zip(*rows, strict=True) if rows else ((),) * (3 + len(shown))
    filling: dict[str, Any] = versions.columns(ids) | dict(zip(shown, values, strict=True))
    filling["parent"] = [versions.address(each) for each in parents]
    filling["merge_parent"] = [versions.address(each) for each in merged]
    if wanted & {"bytes", "fragments"}:
        sizes = listings.version_sizes()
        found = [sizes.get(each, (0, 0)) for each in ids]
        filling |= columns_of(found, "bytes", "fragments")
    return filling


def list_refs(listings: Listings, _wanted: frozenset[str]) -> Filling:
    """Fill ``foldstore.refs``."""
    versions = NamedVersions(listings)
    refs = listings.refs()
    filling = columns_of([(ref[1], ref[2], ref[4]) for ref in refs], "ref", "kind", "moves")
    return filling | versions.columns(ref[3] for ref in refs) | {"dataset": _names(versions, refs)}


def list_branches(listings: Listings, _wanted: frozenset[str]) -> Filling:
    """Fill ``foldstore.branches``."""
    versions = NamedVersions(listings)
    refs = [ref for ref in listings.refs() if ref[2] == "branch"]
    committed = Counter(listings.versions("dataset_id", "branch"))
    heads = [versions.by_id.get(ref[3] or "") for ref in refs]
    latest = [versions.latest(ref[3]) for ref in refs]
    return {
        "dataset": _names(versions, refs),
        "branch": [ref[1] for ref in refs],
        "head": [each.address if each else None for each in heads],
        "latest": [each.address if each else None for each in latest],
        "rows": [each.num_rows if each else None for each in heads],
        "versions": [committed[ref[0], ref[1]] for ref in refs],
        "moves": [ref[4] for ref in refs],
    }


def list_tags(listings: Listings, _wanted: frozenset[str]) -> Filling:
    """Fill ``foldstore.tags``."""
    versions = NamedVersions(listings)
    refs = [ref for ref in listings.refs() if ref[2] == "tag"]
    rows = [versions.by_id[ref[3]].num_rows for ref in refs]
    return {"tag": [ref[1] for ref in refs], "rows": rows, **versions.columns(ref[3] for ref in refs)}


def _names(versions: NamedVersions, refs: list[tuple[Any, ...]]) -> list[str]:
    return [versions.datasets[ref[0]].name for ref in refs]
