"""Brings routes of resources into the app: reads what was sent, works in a thread, and never queues without end."""

import time
from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from anyio import CapacityLimiter, sleep, to_thread
from fastapi import FastAPI
from starlette.datastructures import Headers
from starlette.requests import Request
from starlette.responses import Response

from foldstore.api.access import PRINCIPAL_KEY
from foldstore.api.audit import AuditLog
from foldstore.api.body import refuse_bombs
from foldstore.api.client_watch import ClientWatch
from foldstore.api.documents import choose_form
from foldstore.api.operations import LONGEST_WAIT, Operations, Preference, access_of, read_preference
from foldstore.api.problem import BusyError
from foldstore.api.query import Query
from foldstore.api.request_body import ROW_ENDINGS, Limits, read_json, read_text, spool_parts, spool_rows
from foldstore.api.request_record import changes
from foldstore.api.resources import open_store
from foldstore.api.resources.operations import AcceptedResponse, begin_operation
from foldstore.api.route import BodyKind, Call, Route, RouteTable, hidden_by_rule
from foldstore.api.rules import AccessRule, RuleBook
from foldstore.api.run_header import answer_in_run
from foldstore.api.sandbox.pool import QueryPool
from foldstore.api.sent_parts import files_of
from foldstore.api.tokens import Token
from foldstore.errors import RefusedError

if TYPE_CHECKING:
    from foldstore.store import Store

_ABOUT_THE_SERVER: Final = ("/v1/tokens", "/v1/rules", "/v1/audit")
_LOOK_SECONDS: Final = 0.02
# With these a token changes nothing, whatever the method, but for leases, which are taken in one step.
_READ_SCOPES: Final = frozenset({"datasets:read", "features:read", "sql:run"})


class Dispatcher:
    """Answers the routes of a table.

    Parameters
    ----------
    table : RouteTable
        The routes.
    store : Store
        What the routes are about.
    book : RuleBook
        Says what is hidden from whom.
    limits : Limits
        How much a request may ask.
    queries : QueryPool
        What runs SQL.
    operations : Operations, optional
        Works on what is answered later; without it everything is answered at once.
    audit : AuditLog, optional
        Where it is written down what changed: while that cannot be, nothing is changed.
    """

    def __init__(
        self,
        table: RouteTable,
        store: "Store",
        book: RuleBook,
        limits: Limits,
        queries: QueryPool,
        operations: Operations | None = None,
        audit: AuditLog | None = None,
    ) -> None:
        self._audit = audit
        self._queries = queries
        self._operations = operations
        self._table = table
        self._store = store
        self._book = book
        self._limits = limits
        # Of our own: the threads that lookups may use are not taken up by what takes long.
        self._working: CapacityLimiter | None = None

    def add_to(self, app: FastAPI) -> None:
        """Give the app these routes."""
        for route in self._table.routes:
            app.add_route(route.starlette_path, self._endpoint(route), methods=[route.method])

    def _endpoint(self, route: Route) -> Callable[[Request], Any]:
        async def endpoint(request: Request) -> Response:
            query = Query(request.query_params.multi_items(), route.asked)
            form = choose_form(route.forms, query, request.headers.get("accept", "*/*")) if route.forms else None
            async with AsyncExitStack() as stack:
                token = request.scope[PRINCIPAL_KEY]
                _refuse_bounded(route, token)
                if "name" in request.path_params:
                    token.check_name(request.path_params["name"])
                rules = await to_thread.run_sync(self._look, route, token)
                _refuse_narrowed(route, request.path_params.get("name"), rules)
                body = await self._read(route, request, stack)
                call = Call(
                    store=open_store(self._store, token, self._book, rules),
                    token=token,
                    path=dict(request.path_params),
                    query=query,
                    url=f"{request.url.path}?{request.url.query}",
                    headers=request.headers,
                    body=body,
                    queries=self._queries,
                    operations=self._operations,
                    access=access_of(token, rules) if route.needs_access else "",
                    rules=rules,
                    form=form,
                )
                if route.scope in _READ_SCOPES:
                    ClientWatch().begin(request.receive)
                wish = None if self._operations is None else _find_wish(route, request.headers)
                return await (self._work(route, call) if wish is None else self._begin(route, call, wish))

        return endpoint

    def _look(self, route: Route, token: Token) -> Sequence[AccessRule]:
        """Return what is hidden from a token; refuse to change what could not be written down."""
        if self._audit is not None and changes(route.method, route.path):
            self._audit.check()
        return self._book.of(token)

    async def _read(self, route: Route, request: Request, stack: AsyncExitStack) -> Any:
        if route.body is BodyKind.NONE:
            return None
        if route.body is BodyKind.TEXT:
            return await read_text(request, self._limits)
        kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
        if route.body is BodyKind.PARTS or (route.body is BodyKind.PARTS_OR_ROWS and kind not in ROW_ENDINGS):
            return await stack.enter_async_context(spool_parts(request, self._limits, deepest=route.deepest))
        if route.body is BodyKind.JSON or (route.body is BodyKind.EITHER and kind not in ROW_ENDINGS):
            return await read_json(request, self._limits, deepest=route.deepest, may_be_empty=True)
        return await stack.enter_async_context(spool_rows(request, self._limits))

    async def _begin(self, route: Route, call: Call, wish: Preference) -> Response:
        """Begin to work on a request that is answered later, and wait for it as long as the client would."""
        begun = await self._work(replace(route, answer=partial(begin_operation, route)), call)
        deadline = time.monotonic() + wish.wait
        while wish.wait and isinstance(begun, AcceptedResponse):
            if begun.is_finished():
                return await self._work(replace(route, answer=begun.replay), call)
            if time.monotonic() >= deadline:
                break
            await sleep(_LOOK_SECONDS)
        return begun

    async def _work(self, route: Route, call: Call) -> Response:
        if self._working is None:
            self._working = CapacityLimiter(self._limits.max_working)
        if self._working.statistics().tasks_waiting >= self._limits.max_waiting:
            raise BusyError("The server has more to do than it takes.", hint="Try again in a second.")
        return await to_thread.run_sync(self._answer, route, call, limiter=self._working)

    def _answer(self, route: Route, call: Call) -> Response:
        for file in files_of(call.body):
            refuse_bombs(file, self._limits.max_rows_memory)
        return answer_in_run(route, call)


def _refuse_bounded(route: Route, token: Token) -> None:
    """Refuse a token of some names what would let it out: tokens, rules and records are of all names."""
    if token.is_bounded and route.path.startswith(_ABOUT_THE_SERVER):
        raise RefusedError(
            "A token for some names does not administer tokens, rules and the audit.",
            hint="Ask for a token of all names.",
        )


def _find_wish(route: Route, headers: Headers) -> Preference | None:
    """Return how long a client waits for an answer that may come later; None where it comes in the same request."""
    wish = read_preference(headers) if route.is_long else None
    if wish is None and route.answers_once and "idempotency-key" in headers:
        return Preference(wait=LONGEST_WAIT)
    return wish


def _refuse_narrowed(route: Route, name: str | None, rules: Sequence[AccessRule]) -> None:
    """Refuse what might tell of hidden cells, or touch them, to whom some are hidden."""
    if route.obeys_rules or route.path.startswith(_ABOUT_THE_SERVER):
        return
    by_dataset = name is not None and route.path.startswith("/v1/datasets/")
    if any(rule.is_about(str(name)) or not by_dataset for rule in rules):
        raise hidden_by_rule()
