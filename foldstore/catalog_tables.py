"""The catalog tables of a store: what ``foldstore.versions`` and its sisters are made of when a query names them.

Nothing is made before it is asked for, and of a table only the columns that the query may use.
"""

import re
from bisect import bisect_right
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import accumulate
from typing import Any, Final, TypeAlias

import numpy as np
import pyarrow as pa

from foldstore.datastore.canonical import canonical_json
from foldstore.datastore.catalog.listings import Chosen, Listings, open_listings
from foldstore.datastore.catalog.records import Document
from foldstore.datastore.catalog_tables.columns import list_columns
from foldstore.datastore.catalog_tables.declaration import Filling, TableDeclaration, columns_of, gather
from foldstore.datastore.catalog_tables.declarations import TABLES
from foldstore.datastore.catalog_tables.fragments import list_fragments
from foldstore.datastore.catalog_tables.history import (
    list_branches,
    list_datasets,
    list_refs,
    list_tags,
    list_versions,
)
from foldstore.datastore.catalog_tables.judgements import list_anomalies, list_reports, list_schemas
from foldstore.datastore.catalog_tables.named_versions import NamedVersions
from foldstore.datastore.catalog_tables.runs import list_consumers, list_run_versions, list_runs
from foldstore.datastore.profiling import KeptProfiles
from foldstore.datastore.statistics.column import ColumnProfile
from foldstore.datastore.storage import Storage
from foldstore.datastore.view_document import DRAFT_KIND, list_sources
from foldstore.errors import NotFoundError, did_you_mean
from foldstore.names import PARTS
from foldstore.saved_views import GONE, STATE_KIND, VIEW_KIND
from foldstore.split_documents import KIND as SPLIT_KIND
from foldstore.split_documents import Assignment, read_document
from foldstore.validation.pools.pool import PoolRecord, list_pools
from foldstore.validation.pools.pool_status import pool_status
from foldstore.version import Version
from foldstore.views.specification import hash_spec
from foldstore.views.splits.fold_assignment import FoldAssignment
from foldstore.views.splits.folds import FoldSpec

_SCHEMA: Final = "foldstore."
_MOST_PROFILES: Final = 1_000
_MOST_FILES: Final = 5_000
# Of all these versions together.
_MOST_FRAGMENTS: Final = 200_000
_TOP: Final = 10
# More values of `dataset` or `address` than that are no restriction.
_MOST_CHOSEN: Final = 500
_SHARES: Final = {"p05": 0.05, "p25": 0.25, "median": 0.5, "p75": 0.75, "p95": 0.95}

List: TypeAlias = Callable[[Listings, frozenset[str]], Filling]


class CatalogTable:
    """One catalog table: its columns are known at once, its rows are made when somebody reads them."""

    def __init__(self, storage: Storage, declaration: TableDeclaration, chosen: Chosen | None = None) -> None:
        self._storage = storage
        self._declaration = declaration
        self._chosen = chosen or Chosen()

    @property
    def arrow_schema(self) -> pa.Schema:
        """Names and types of the columns; what each says is its metadata."""
        return self._declaration.arrow_schema

    def restricted(self, wanted: Mapping[str, frozenset[str]]) -> "CatalogTable":
        """Return the table for a query that wants some values of ``dataset`` or ``address`` alone.

        Rows of other datasets and versions may be left out, and need not be.
        """
        return CatalogTable(self._storage, self._declaration, choose(wanted))

    def to_table(self, columns: Sequence[str] | None = None) -> pa.Table:
        """Make the table, as the catalog is now; of some columns where they are named."""
        names = self.arrow_schema.names if columns is None else list(columns)
        wanted = frozenset(names)
        if self._declaration.name == "tables":
            return self._declaration.to_table(names, _own_columns())
        if self._declaration.name in _FROM_STORAGE:
            return self._declaration.to_table(names, _FROM_STORAGE[self._declaration.name](self._storage, self._chosen))
        with open_listings(self._storage.catalog, self._chosen) as listings:
            filling = _FROM_LISTINGS[self._declaration.name](listings, wanted)
        return self._declaration.to_table(names, filling)


def choose(wanted: Mapping[str, frozenset[str]]) -> Chosen:
    """Return which datasets and versions have rows with some values of ``dataset`` and ``address``.

    Examples
    --------
    >>> choose({"address": frozenset({"flights@3"})})
    Chosen(datasets=('flights',), versions=(('flights', 3),))
    """
    names, addresses = wanted.get("dataset"), wanted.get("address")
    if sum(map(len, wanted.values())) > _MOST_CHOSEN or (names is None and addresses is None):
        return Chosen()
    if addresses is None:
        return Chosen(tuple(sorted(names or ())))
    # Of a part of a split the version; what is no address has no rows.
    said = [each.partition("#")[0].partition("@") for each in addresses]
    pairs = {(name, int(number)) for name, _, number in said if re.fullmatch("[0-9]{1,18}", number)}
    return Chosen(tuple(sorted({name for name, _ in pairs})), tuple(sorted(pairs)))


def is_catalog_table(name: str) -> bool:
    """Say whether a name of a query is in the schema of the catalog tables, be there such a table or not."""
    return name.lower().startswith(_SCHEMA)


def open_catalog_table(storage: Storage, name: str) -> CatalogTable:
    """Return a catalog table by its whole name, ``foldstore.versions``; case does not matter.

    Raises
    ------
    NotFoundError
        When there is none; the error says which there are.
    """
    short = name.lower().removeprefix(_SCHEMA)
    if short not in TABLES:
        known = [f"{_SCHEMA}{each}" for each in TABLES]
        raise NotFoundError(
            f"There is no catalog table {name[:100]!r}.", hint=did_you_mean(f"{_SCHEMA}{short}", known), name=name
        )
    return CatalogTable(storage, TABLES[short])


def _own_columns() -> Filling:
    rows = [
        (f"{_SCHEMA}{table.name}", position, column.name, str(column.type), column.words)
        for table in TABLES.values()
        for position, column in enumerate(table.columns, start=1)
    ]
    return columns_of(rows, "table_name", "position", "column_name", "type", "description")


def _list_views(listings: Listings, _wanted: frozenset[str]) -> Filling:
    states = {each.name: each.body for each in listings.documents(STATE_KIND)}  # the newest comes last
    drafts = {each.name: each for each in listings.documents(DRAFT_KIND)}
    published = listings.documents(VIEW_KIND)
    shown = [*published, *(each for each in drafts.values() if GONE not in each.body)]
    rows = [_view_row(each, states.get(each.name, {})) for each in shown]
    return gather(sorted(rows, key=lambda row: (row["view"], row["version"] is None, row["version"] or 0)))


def _view_row(document: Document, state: Mapping[str, Any]) -> dict[str, Any]:
    is_draft = document.kind == DRAFT_KIND
    gone = {} if is_draft else state.get("deprecated", {}).get(str(document.version), {})
    return {
        "view": document.name,
        "version": None if is_draft else document.version,
        "address": f"{document.name}@{'draft' if is_draft else document.version}",
        "status": "draft" if is_draft else "deprecated" if gone else "published",
        "is_archived": bool(state.get("archived")),
        "hash": hash_spec(document.body),
        "reads": list(dict.fromkeys(str(source["address"]) for source in list_sources(document.body))),
        "author": document.author,
        "message": document.message,
        "created_at": document.created_at,
        "deprecation_reason": gone.get("reason"),
        "replacement": gone.get("replacement"),
        "spec": canonical_json(document.body),
    }


def _list_splits(listings: Listings, wanted: frozenset[str]) -> Filling:
    versions = NamedVersions(listings)
    newest = {each.name: each for each in listings.documents(SPLIT_KIND)}
    rows: list[dict[str, Any]] = []
    for name, document in newest.items():
        dataset, _, split = name.partition("#")
        said = {
            "dataset": dataset,
            "split": split,
            "kind": "folds" if "folds" in document.body else "split",
            "author": document.author,
            "created_at": document.created_at,
            "spec": canonical_json(document.body["spec"]),
        }
        base = versions.address(document.body["version_id"])
        assignment = read_document(document).assignment if "rows" in wanted else None
        for fold, inner, part in _parts(document.body):
            suffix = "".join(f"-{number}" for number in (fold, inner) if number is not None)
            place = {"fold": fold, "inner_fold": inner, "part": part, "address": f"{base}#{split}{suffix}.{part}"}
            rows.append({**said, **place, "rows": assignment and _count(assignment, fold, inner, part)})
    return gather(rows)


def _parts(body: Mapping[str, Any]) -> Iterator[tuple[int | None, int | None, str]]:
    """Yield fold, inner fold and name of each part that a split or folds have."""
    if "folds" not in body:
        yield from ((None, None, part) for part in PARTS)
        return
    train, validation, test = PARTS
    spec = FoldSpec.from_dict(body["spec"])
    for fold in range(1, spec.count + 1):
        # What a nested fold holds out is for the test.
        yield from ((fold, None, part) for part in ((train, test) if spec.inner else (train, validation)))
        for within in range(1, spec.inner + 1):
            yield from ((fold, within, part) for part in PARTS)


def _count(assignment: Assignment, fold: int | None, inner: int | None, part: str) -> int:
    if not isinstance(assignment, FoldAssignment):
        return assignment.count(part)
    members = (assignment.members(codes, fold or 0, inner) for codes in assignment.fragments)
    return sum(int(np.count_nonzero(each.mask(part))) for each in members)


def _list_pools(storage: Storage, _chosen: Chosen) -> Filling:
    return gather([_pool_row(storage, record) for record in list_pools(storage)])


def _pool_row(storage: Storage, record: PoolRecord) -> dict[str, Any]:
    status, plan = pool_status(storage, record), record.plan
    return {
        "pool": record.name,
        "dataset": record.dataset.name,
        "version": record.version.number,
        "address": f"{record.dataset.name}@{record.version.number}",
        "label": record.label,
        "hidden": list(record.hidden),
        "rows": record.num_rows,
        "condition": str(plan.condition),
        "reliability": float(plan.reliability),
        "reuse": str(plan.reuse),
        "steps": plan.steps,
        "steps_used": status.steps_used,
        "steps_left": status.steps_left,
        "passes_left": status.passes_left,
        "pending": status.pending,
        "has_baseline": record.has_baseline,
        "outcomes_feed_features": record.outcomes_feed_features,
        "created_at": record.created_at,
    }


def _list_profiles(storage: Storage, chosen: Chosen) -> Filling:
    kept = KeptProfiles(storage, _MOST_FILES)
    rows = []
    for version in _newest_versions(storage, chosen):
        profile = kept.find(version.rows)
        for name, column in profile.walk() if profile else ():
            rows.append({**_version_words(version), "column_name": name, **_statistics(column)})
    return gather(rows)


def _newest_versions(storage: Storage, chosen: Chosen) -> Iterator[Version]:
    """Yield the newest versions that still have rows: dataset by dataset, oldest first, so that merges are shared."""
    with open_listings(storage.catalog, chosen) as listings:
        records = listings.datasets()
        sizes = listings.version_sizes()
        newest = listings.version_records(_MOST_PROFILES)
    walked = list(accumulate(sizes.get(each.id, (0, 0))[1] for each in newest))
    found = newest[: max(1, bisect_right(walked, _MOST_FRAGMENTS))]
    for record in sorted(found, key=lambda each: (records[each.dataset_id].name, each.number)):
        yield Version(storage, records[record.dataset_id], record)


def _version_words(version: Version) -> dict[str, Any]:
    return {
        "dataset": version.dataset.name,
        "version": version.number,
        "address": version.address,
        "created_at": version.record.created_at,
    }


def _statistics(column: ColumnProfile) -> dict[str, Any]:
    is_number = column.grid is not None
    return {
        "type": column.type,
        "rows": column.rows,
        "nulls": column.nulls,
        "nan": column.nan,
        "zeros": column.zero,
        "negatives": column.negative,
        "empties": column.empty,
        "distinct_values": column.distinct,
        "distinct_is_exact": column.distinct_exact,
        "min": _text(column.minimum),
        "max": _text(column.maximum),
        "mean": column.mean,
        "std": column.std,
        **{name: column.quantile(share) if is_number else None for name, share in _SHARES.items()},
        "top": [{"value": _text(value), "count": count} for value, count in column.top(_TOP)],
    }


def _text(value: Any) -> str | None:
    if value is None:
        return None
    return value.hex() if isinstance(value, bytes) else str(value)


_FROM_STORAGE: Final[Mapping[str, Callable[[Storage, Chosen], Filling]]] = {
    "profiles": _list_profiles,
    "pools": _list_pools,
}
_FROM_LISTINGS: Final[Mapping[str, List]] = {
    "datasets": list_datasets,
    "versions": list_versions,
    "refs": list_refs,
    "branches": list_branches,
    "tags": list_tags,
    "columns": list_columns,
    "fragments": list_fragments,
    "schemas": list_schemas,
    "reports": list_reports,
    "anomalies": list_anomalies,
    "splits": _list_splits,
    "views": _list_views,
    "runs": list_runs,
    "run_versions": list_run_versions,
    "consumers": list_consumers,
}
