"""The resources of the API: one module each, with its routes."""

from collections.abc import Sequence
from itertools import chain
from typing import TYPE_CHECKING, Literal

from foldstore.api.read_rules import TokenGuard
from foldstore.api.resources import (
    audit,
    backups,
    changes,
    cleaning,
    consumers,
    datasets,
    erasures,
    feature_checks,
    feature_services,
    feature_usage,
    feature_writes,
    feedback,
    gates,
    judgement,
    leases,
    lineage,
    lookup_logs,
    lookups,
    monitors,
    online,
    operations,
    pins,
    plans,
    pool_making,
    pools,
    queries,
    refs,
    row_judgement,
    rows,
    rules,
    runs,
    schema_changes,
    schema_forms,
    service_aliases,
    shadows,
    single_rows,
    space,
    splits,
    statistics,
    streams,
    studies,
    tiers,
    tokens,
    training_sets,
    transactions,
    transforms,
    verifications,
    versions,
    view_drafts,
    view_facts,
    views,
)
from foldstore.api.route import Route
from foldstore.api.rules import AccessRule, RuleBook
from foldstore.api.tokens import Token

if TYPE_CHECKING:
    from foldstore.store import Store

_RESOURCES = (
    datasets,
    changes,
    refs,
    versions,
    statistics,
    rows,
    gates,
    judgement,
    row_judgement,
    schema_changes,
    schema_forms,
    cleaning,
    consumers,
    pins,
    leases,
    space,
    tiers,
    erasures,
    verifications,
    transforms,
    single_rows,
    streams,
    splits,
    views,
    view_drafts,
    view_facts,
    studies,
    plans,
    pool_making,
    pools,
    feature_checks,
    feature_services,
    feature_writes,
    service_aliases,
    shadows,
    feedback,
    feature_usage,
    lineage,
    runs,
    lookups,
    lookup_logs,
    monitors,
    online,
    operations,
    queries,
    tokens,
    training_sets,
    transactions,
    rules,
    backups,
    audit,
)


def list_routes() -> list[Route]:
    """Return every route of a resource."""
    return list(chain.from_iterable(resource.ROUTES for resource in _RESOURCES))


def open_store(store: "Store", token: Token, book: RuleBook, rules: Sequence[AccessRule]) -> "Store":
    """Return the store as the holder of a token may use it: what is committed bears the token's name."""
    role: Literal["steward"] | None = "steward" if "labels:open" in token.scopes else None
    guard = TokenGuard(token, book, rules) if token.is_bounded or rules else None
    return store.acting_as(token.principal, guard=guard, role=role)
