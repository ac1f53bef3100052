"""Runs, what they read and wrote, and the consumers of versions, as tables."""

import json

from foldstore.datastore.catalog.listings import Listings
from foldstore.datastore.catalog_tables.declaration import Filling, columns_of
from foldstore.datastore.catalog_tables.named_versions import NamedVersions

_RUN = ("run_id", "run", "status", "author", "message", "params", "code", "environment", "error", "repeats")


def list_runs(listings: Listings, _wanted: frozenset[str]) -> Filling:
    """Fill ``foldstore.runs``."""
    filling = columns_of(listings.runs(), *_RUN, "started_at", "ended_at")
    # The words of an exception may quote a value, from before its cell was sealed or its row erased.
    return filling | {"error": [json.loads(each).get("type") if each else None for each in filling["error"]]}


def list_run_versions(listings: Listings, _wanted: frozenset[str]) -> Filling:
    """Fill ``foldstore.run_versions``."""
    filling = columns_of(listings.run_versions(), "run_id", "run", "role", "position", "version_id", "asked")
    return filling | NamedVersions(listings).columns(filling["version_id"])


def list_consumers(listings: Listings, _wanted: frozenset[str]) -> Filling:
    """Fill ``foldstore.consumers``."""
    filling = columns_of(listings.consumers(), "version_id", "kind", "name", "reason", "author", "created_at")
    return filling | NamedVersions(listings).columns(filling["version_id"])
