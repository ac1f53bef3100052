"""SQL over whatever the token may read."""

from typing import Final

from starlette.responses import Response

from foldstore.api.answers import rows_answer
from foldstore.api.body import Members
from foldstore.api.query import QueryParameter
from foldstore.api.route import BodyKind, Call, Route
from foldstore.errors import UsageError

_MOST_SECONDS: Final = 60.0
_SECONDS: Final = 30.0
_MEMORY: Final = "2GB"


def _ask(call: Call) -> Response:
    body = Members(call.body, "sql", "params", "timeout")
    params = body.given().get("params")
    if params is not None and not isinstance(params, list | dict):
        raise UsageError("'params' is neither a list nor an object.", hint='Write {"params": ["JFK"]}.')
    result = call.store.sql(
        body.text("sql", required=True),
        params,
        timeout=body.number("timeout", most=_MOST_SECONDS) or _SECONDS,
        memory_limit=_MEMORY,
        threads=1,
    )
    limit = None if call.query.text("limit") is None else call.query.number("limit", default=0, most=10**15)
    return rows_answer(call.headers, result.arrow_schema, result.to_batches(), limit=limit)


ROUTES: Final = (
    Route(
        method="POST",
        path="/v1/sql",
        scope="sql:run",
        answer=_ask,
        summary="Ask one query that only reads; any address is a table",
        parameters=(QueryParameter("limit", "How many rows at most.", "100", "integer"),),
        body=BodyKind.JSON,
        example={
            "sql": 'SELECT carrier, count(*) AS n FROM "flights@3" WHERE origin = ? GROUP BY 1',
            "params": ["JFK"],
        },
    ),
)
