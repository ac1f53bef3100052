"""The audit: who read and who changed what over HTTP."""

from typing import Any, Final

from starlette.responses import Response

from foldstore.api.answers import json_answer
from foldstore.api.audit import FOLDER, read_audit
from foldstore.api.query import QueryParameter
from foldstore.api.route import Call, Route

_MOST: Final = 10_000


def _list(call: Call) -> Response:
    limit = call.query.number("limit", default=1000, most=_MOST, least=1)
    found = read_audit(
        call.store.root / FOLDER,
        since=call.query.text("since"),
        until=call.query.text("until"),
        token=call.query.text("token"),
        name=call.query.text("name"),
    )
    lines: list[dict[str, Any]] = []
    for line in found:
        if len(lines) == limit:
            return json_answer({"items": lines, "next_since": line["at"]})
        lines.append(line)
    return json_answer({"items": lines, "next_since": None})


ROUTES: Final = (
    Route(
        method="GET",
        path="/v1/audit",
        scope="admin",
        answer=_list,
        summary="List who read and changed what over HTTP, oldest first",
        parameters=(
            QueryParameter(
                "since", "From this instant on; where the page before ended: its `next_since`.", "2026-01-31T00:00:00Z"
            ),
            QueryParameter("until", "Before this instant.", "2026-02-01T00:00:00Z"),
            QueryParameter("token", "What the holder of this token did.", "abcd1234"),
            QueryParameter("name", "What was done with what has this name.", "flights"),
            QueryParameter("limit", "How many lines at most.", "1000", "integer"),
        ),
    ),
)
