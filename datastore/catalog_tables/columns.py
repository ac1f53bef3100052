"""The columns of versions as a table: schemas that versions share are read once and repeated."""

import json
from collections import defaultdict
from typing import Any

import numpy as np
import pyarrow as pa

from foldstore.datastore.arrow_schema import decode_schema, field_ids, plain_schema
from foldstore.datastore.catalog.listings import Listings
from foldstore.datastore.catalog.records import DatasetRecord
from foldstore.datastore.catalog_tables.declaration import Filling
from foldstore.datastore.catalog_tables.limit import refuse_too_many
from foldstore.datastore.catalog_tables.named_versions import NamedVersions


def list_columns(listings: Listings, _wanted: frozenset[str]) -> Filling:
    """Fill ``foldstore.columns``."""
    versions = NamedVersions(listings)
    rows = listings.versions("id", "dataset_id", "arrow_schema_id")
    sealed = _sealed_columns(listings)
    encoded = listings.arrow_schemas()
    kinds = list(dict.fromkeys((dataset, schema) for _, dataset, schema in rows))
    described = [_describe(versions.datasets[d], encoded[s], sealed[d]) for d, s in kinds]
    places = {kind: place for place, kind in enumerate(kinds)}
    uses = np.array([places[dataset, schema] for _, dataset, schema in rows], np.int64)
    sizes = np.array([len(each["column_name"]) for each in described], np.int64)
    refuse_too_many("columns", int(sizes[uses].sum()))
    return {
        **_repeat_versions(versions, [row[0] for row in rows], sizes[uses]),
        **_repeat_columns(described, sizes, uses),
    }


def _sealed_columns(listings: Listings) -> defaultdict[str, set[str]]:
    sealed: defaultdict[str, set[str]] = defaultdict(set)
    for dataset_id, columns in listings.seals():
        sealed[dataset_id] |= set(json.loads(columns))
    return sealed


def _describe(dataset: DatasetRecord, encoded: bytes, sealed: set[str]) -> dict[str, list[Any]]:
    stored = decode_schema(encoded)
    schema = plain_schema(stored)
    return {
        "position": list(range(1, len(schema) + 1)),
        "column_name": schema.names,
        "type": [str(field.type) for field in schema],
        "field_id": list(field_ids(stored)),
        "in_key": [name in dataset.key for name in schema.names],
        "sealed": [name in sealed for name in schema.names],
    }


def _repeat_versions(versions: NamedVersions, ids: list[str], counts: "np.ndarray[Any, Any]") -> dict[str, Any]:
    each = pa.array(np.repeat(np.arange(len(ids)), counts))
    named = versions.columns(ids)
    kinds = {"dataset": pa.string(), "version": pa.int64(), "address": pa.string()}
    return {name: pa.array(named[name], kind).take(each) for name, kind in kinds.items()}


def _repeat_columns(
    described: list[dict[str, list[Any]]], sizes: "np.ndarray[Any, Any]", uses: "np.ndarray[Any, Any]"
) -> dict[str, Any]:
    starts = np.cumsum(sizes) - sizes
    ranges = [np.arange(starts[use], starts[use] + sizes[use]) for use in uses]
    each = pa.array(np.concatenate([np.empty(0, np.int64), *ranges]))
    names = ("position", "column_name", "type", "field_id", "in_key", "sealed")
    flat: dict[str, list[Any]] = {name: [value for kind in described for value in kind[name]] for name in names}
    return {name: pa.array(values).take(each) if values else values for name, values in flat.items()}
