"""SQL over whatever the token may read, in a process of its own that holds nothing else."""

from dataclasses import replace
from typing import Final

from starlette.responses import Response

from foldstore.api.answers import streamed_answer
from foldstore.api.body import Members
from foldstore.api.query import QueryParameter
from foldstore.api.route import BodyKind, Call, Gives, Route
from foldstore.api.sandbox.process import QueryQuota, SandboxedQuery
from foldstore.datastore.engine import Engine
from foldstore.errors import UsageError
from foldstore.views.sql import open_query

_MOST_SECONDS: Final = 60.0
_MOST_ROWS: Final = 10**15


def _ask(call: Call) -> Response:
    body = Members(call.body, "sql", "params", "timeout")
    params = body.given().get("params")
    if params is not None and not isinstance(params, list | dict):
        raise UsageError("'params' is neither a list nor an object.", hint='Write {"params": ["JFK"]}.')
    limit = None if call.query.text("limit") is None else call.query.number("limit", default=0, most=_MOST_ROWS)
    text = body.text("sql", required=True)
    quota = QueryQuota()
    quota = replace(quota, seconds=body.number("timeout", most=_MOST_SECONDS) or quota.seconds)
    with Engine(memory_limit="256MB", threads=1) as engine:  # it takes the text apart, and runs nothing
        opened = open_query(text, params, call.store.open_table, engine=engine, timeout=quota.seconds)
    pool = call.queries
    return streamed_answer(
        call.headers,
        lambda media: pool.run(
            SandboxedQuery(
                query=text, params=params, tables=opened.tables, columns=opened.columns, media=media, limit=limit
            ),
            quota,
        ),
    )


ROUTES: Final = (
    Route(
        method="POST",
        path="/v1/sql",
        scope="sql:run",
        obeys_rules=True,
        answer=_ask,
        gives=Gives.ROWS,
        is_long=True,
        summary="Ask one query that only reads; any address is a table",
        parameters=(QueryParameter("limit", "How many rows at most.", "100", "integer"),),
        body=BodyKind.JSON,
        example={
            "sql": 'SELECT carrier, count(*) AS n FROM "flights@3" WHERE origin = ? GROUP BY 1',
            "params": ["JFK"],
        },
    ),
)
