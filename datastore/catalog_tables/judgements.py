"""Schemas, reports and their anomalies as tables, from the documents that are kept: sealing has redacted those."""

from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any, Final

from foldstore.datastore.canonical import canonical_json
from foldstore.datastore.catalog.listings import Listings
from foldstore.datastore.catalog.records import Document
from foldstore.datastore.catalog_tables.declaration import Filling, columns_of, gather
from foldstore.datastore.catalog_tables.named_versions import Named, NamedVersions
from foldstore.types import Severity

_SCHEMA: Final = "schema"
# Under the id of the version that it judged.
_REPORT: Final = "report"
# It names the profile that a schema was inferred from by a hash over all values.
_PROVENANCE: Final = "provenance"
_ANOMALY: Final = ("code", "severity", "column", "message", "count", "fraction")
_SHOWN: Final = ("code", "severity", "column_name", "message", "rows", "fraction")


def list_schemas(listings: Listings, _wanted: frozenset[str]) -> Filling:
    """Fill ``foldstore.schemas``."""
    documents = listings.documents(_SCHEMA)
    newest = {each.name: each.version for each in documents}
    return gather(
        [
            {
                "dataset": each.name,
                "number": each.version,
                "schema_version": str(each.body.get("version", "")) or None,
                "columns": len(each.body.get("columns", ())),
                "is_newest": each.version == newest[each.name],
                "author": each.author,
                "message": each.message,
                "created_at": each.created_at,
                "body": canonical_json({name: said for name, said in each.body.items() if name != _PROVENANCE}),
            }
            for each in documents
        ]
    )


def list_reports(listings: Listings, _wanted: frozenset[str]) -> Filling:
    """Fill ``foldstore.reports``."""
    rows = []
    for named, document in _reports(listings):
        counts = Counter(anomaly["severity"] for anomaly in document.body["anomalies"])
        rows.append(
            {
                **_said_of(named),
                "passed": not counts[Severity.ERROR],
                "errors": counts[Severity.ERROR],
                "warnings": counts[Severity.WARN],
                "rows": document.body["rows"],
                "schema_version": str(document.body["schema_version"]),
                "created_at": document.created_at,
            }
        )
    return gather(rows)


def list_anomalies(listings: Listings, _wanted: frozenset[str]) -> Filling:
    """Fill ``foldstore.anomalies``; example rows and evidence stay in the reports."""
    rows = [
        (named.dataset, named.number, named.address, position, *(anomaly.get(name) for name in _ANOMALY))
        for named, document in _reports(listings)
        for position, anomaly in enumerate(document.body["anomalies"], start=1)
    ]
    return columns_of(rows, "dataset", "version", "address", "position", *_SHOWN)


def _reports(listings: Listings) -> Iterator[tuple[Named, Document]]:
    documents = {each.name: each for each in listings.documents(_REPORT)}
    for version_id, named in NamedVersions(listings).by_id.items():
        if version_id in documents:
            yield named, documents[version_id]


def _said_of(named: Named) -> Mapping[str, Any]:
    return {"dataset": named.dataset, "version": named.number, "address": named.address}
