"""Rows that are looked up: pushed, taken away, and what is served."""

from typing import Any, Final

from starlette.responses import Response

from foldstore.api.answers import json_answer
from foldstore.api.body import Members, read_rows
from foldstore.api.query import QueryParameter
from foldstore.api.route import BodyKind, Call, Route
from foldstore.errors import UsageError
from foldstore.names import parse_address
from foldstore.views.instant import parse_instant

_TARGETS: Final = ("online", "offline", "online_and_offline")


def _push(call: Call) -> Response:
    call.refuse_bounded("A push")
    target: Any = call.query.choice("to", _TARGETS)
    pushed = call.store.features.push(
        call.path["view"], read_rows(call.body), to=target, message=call.query.text("message") or ""
    )
    return json_answer(pushed.to_dict())


def _delete(call: Call) -> Response:
    call.refuse_bounded("A push")
    body = Members(call.body, "entities", "at")
    entities = body.given().get("entities")
    if not isinstance(entities, list | dict):
        raise UsageError("'entities' is neither a list nor an object.", hint='Write [{"carrier": "UA"}].')
    at = None if body.text("at") is None else parse_instant(body.text("at", required=True))
    return json_answer(call.store.features.delete_online(call.path["view"], entities, at=at).to_dict())


def _status(call: Call) -> Response:
    service = call.query.text("service")
    if service is None:
        call.refuse_bounded("What is served")
    else:
        call.check_name(parse_address(service).name)
    return json_answer({"items": [each.to_dict() for each in call.store.features.online_status(service)]})


ROUTES: Final = (
    Route(
        method="GET",
        path="/v1/online",
        scope="features:read",
        answer=_status,
        summary="List what is served, view by view: of which versions, how many rows, what was pushed since",
        parameters=(QueryParameter("service", "One service alone, or one version of it.", "arrival@1"),),
    ),
    Route(
        method="POST",
        path="/v1/feature-views/{view}:push",
        scope="datasets:write",
        answer=_push,
        summary="Push rows to a feature view: looked up from now on, or kept in its dataset, or both",
        parameters=(
            QueryParameter("to", f"One of {', '.join(_TARGETS)}.", "online"),
            QueryParameter("message", "Kept with the version.", "corrections"),
        ),
        body=BodyKind.ROWS,
    ),
    Route(
        method="POST",
        path="/v1/feature-views/{view}:delete-online",
        scope="datasets:write",
        answer=_delete,
        summary="Answer nothing for entities from an instant on, until a newer row of theirs comes",
        body=BodyKind.JSON,
        example={"entities": [{"carrier": "UA"}], "at": "2013-12-30T12:00:00Z"},
    ),
)
