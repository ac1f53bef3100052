"""The app: routes behind the gate. Nothing runs on import, and nothing is global."""

import os
from collections.abc import Callable, Mapping
from functools import partial
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

from fastapi import FastAPI
from starlette.types import ASGIApp, Receive, Scope, Send

from foldstore.api.audit import FOLDER, AuditLog
from foldstore.api.authentication import Authenticator, Gate
from foldstore.api.description import complete, describe
from foldstore.api.dispatch import Dispatcher
from foldstore.api.health import HealthRoutes
from foldstore.api.lookup import DESCRIBED, LookupRoutes, OnlineFeatures
from foldstore.api.metrics import CountedFeatures, Metrics
from foldstore.api.operations import Operations
from foldstore.api.plain_lookup import PlainLookups
from foldstore.api.problem import add_problem_handlers
from foldstore.api.rate import RateLimit
from foldstore.api.request_body import Limits
from foldstore.api.resources import list_routes
from foldstore.api.route import RouteTable
from foldstore.api.rules import KIND as RULES
from foldstore.api.rules import RuleBook
from foldstore.api.sandbox.pool import QueryPool
from foldstore.api.shortcut import Shortcut
from foldstore.api.tokens import TokenVault
from foldstore.api.turn import Turn
from foldstore.api.watch import Watch
from foldstore.datastore.operation_folder import OperationFolder

if TYPE_CHECKING:
    from foldstore.store import Store


def create_app(
    features: OnlineFeatures,
    tokens: TokenVault,
    *,
    store: "Store | None" = None,
    limits: Limits | None = None,
    is_ready: Callable[[], bool] | None = None,
    queries: QueryPool | None = None,
    audit: AuditLog | None = None,
) -> "FoldstoreApp":
    """Build the app.

    Parameters
    ----------
    features : OnlineFeatures
        What can be looked up.
    tokens : TokenVault
        Who may ask.
    store : Store, optional
        What the routes of resources are about; without one there are lookups alone.
    limits : Limits, optional
        How much a request may ask.
    is_ready : callable, optional
        Whether lookups can be answered now; always, unless given.
    queries : QueryPool, optional
        What runs SQL; a pool that ends with the app unless given.
    audit : AuditLog, optional
        Is told who did what; one in the store's folder unless given.
    """
    # Slashes are not redirected: a redirect would tell apart what exists from what does not.
    app = FoldstoreApp(
        title="Foldstore",
        version=version("foldstore"),
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
    )
    chosen = limits or Limits()
    table = RouteTable(list_routes() if store is not None else ())
    book: RuleBook | None = None
    # Straight into the app, not by routers of their own: `app.routes` shows every route to whoever audits them.
    metrics = Metrics(None if store is None else partial(_steps_left, store))
    services = getattr(features, "plain_services", None)
    plain = None if services is None else PlainLookups(services, metrics).answer
    lookups = LookupRoutes(CountedFeatures(features, metrics), chosen, plain)
    lookups.add_to(app)
    audit = audit or audit_of(store)
    if store is not None:
        rules = store.registry(RULES)
        book = RuleBook(rules, clock=store.clock)
        app.turn = Turn(rules.change_mark)
        app.operations = _operations_of(store)
        Dispatcher(table, store, book, chosen, queries or QueryPool(), app.operations, audit).add_to(app)
    HealthRoutes(is_ready or _always, metrics).add_to(app)
    add_problem_handlers(app)
    app.described = {**DESCRIBED, **describe(table)}
    rate = chosen.requests_per_second
    requests = None if rate is None else RateLimit(per_second=rate, burst=2 * rate)
    watch = Watch(audit=audit, metrics=metrics, requests=requests, book=book)
    authenticator = Authenticator(tokens)
    watched: dict[str, Any] = {
        "authenticator": authenticator,
        "table": table,
        "watch": watch,
        "write_seconds": chosen.write_seconds,
    }
    app.add_middleware(Gate, **watched)
    app.posts = {path: Gate(endpoint, **watched) for path, endpoint in lookups.by_path.items()}
    app.shortcuts = {
        path.encode(): Shortcut(path, endpoint, authenticator, watch, app.turn)
        for path, endpoint in lookups.by_path.items()
    }
    return app


class FoldstoreApp(FastAPI):
    """FastAPI, with the routes in its description that are not its own, a way past it, and the work that it has begun.

    Attributes
    ----------
    described : mapping
        The routes that are not its own, for OpenAPI.
    operations : Operations or None
        What was begun.
    posts : mapping of str to ASGI application
        What answers a POST to a path, behind a gate of its own: what a framework does for a request takes longer than
        a lookup.
    shortcuts : mapping of bytes to Shortcut
        What answers a POST to a path that came as a whole, without even a task of its own, where nothing is unusual.
    turn : Turn or None
        Is told of what comes, for the shortcuts.
    """

    described: Mapping[str, Any] = DESCRIBED
    operations: Operations | None = None
    posts: Mapping[str, ASGIApp] = {}
    shortcuts: Mapping[bytes, Shortcut] = {}
    turn: Turn | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request."""
        if scope["type"] == "http" and scope["method"] == "POST" and scope["path"] in self.posts:
            await self.posts[scope["path"]](scope, receive, send)
        else:
            await super().__call__(scope, receive, send)

    def end(self) -> None:
        """Call off what was begun and not done."""
        if self.operations is not None:
            self.operations.close()

    def openapi(self) -> dict[str, Any]:
        """Describe every route."""
        return complete(super().openapi(), self.described)


def audit_of(store: "Store | None") -> AuditLog | None:
    """Return the audit of a store; none of one that nobody can write to, which nothing changes."""
    if store is None or not os.access(store.root, os.W_OK):
        return None
    return AuditLog(store.root / FOLDER, store.clock)


def _operations_of(store: "Store") -> Operations | None:
    if not os.access(store.root, os.W_OK):
        return None
    return Operations(OperationFolder(store.root, store.clock))


def _steps_left(store: "Store") -> dict[str, int]:
    found = [(pool.name, pool.status()) for pool in store.pools.list_pools()]
    return {name: status.steps_left for name, status in found}


def _always() -> bool:
    return True
