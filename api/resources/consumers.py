"""Consumers: who depends on which version."""

from typing import Final

from starlette.responses import Response

from foldstore.api.answers import json_answer
from foldstore.api.body import Members
from foldstore.api.query import QueryParameter
from foldstore.api.resources.pins import refuse_foreign_pin
from foldstore.api.resources.versions import VERSION, find_version
from foldstore.api.route import BodyKind, Call, Route
from foldstore.consumers import PIN
from foldstore.names import parse_address

_KIND: Final = QueryParameter("kind", "Those of a kind.", "model")


def _list_all(call: Call) -> Response:
    found = call.store.consumers(call.query.text("kind"), call.query.text("name"))
    known = [each.to_dict() for each in found if call.token.may_name(parse_address(each.address).name)]
    return json_answer({"items": known})


def _list(call: Call) -> Response:
    found = find_version(call).consumers.list(call.query.text("kind"))
    return json_answer({"items": [each.to_dict() for each in found]})


def _register(call: Call) -> Response:
    body = Members(call.body, "kind", "name", "reason")
    made = find_version(call).consumers.register(
        body.text("kind", required=True), body.text("name", required=True), reason=body.text("reason") or ""
    )
    return json_answer(made.to_dict())


def _release(call: Call) -> Response:
    body = Members(call.body, "kind", "name")
    kind, name, version = body.text("kind", required=True), body.text("name", required=True), find_version(call)
    if kind == PIN:
        refuse_foreign_pin(call, version, name)
    return json_answer({"released": version.consumers.release(kind, name)})


ROUTES: Final = (
    Route(
        method="GET",
        path="/v1/consumers",
        scope="datasets:read",
        answer=_list_all,
        summary="List who depends on versions",
        parameters=(_KIND, QueryParameter("name", "Those of a name.", "churn@3")),
    ),
    Route(
        method="GET",
        path=f"{VERSION}/consumers",
        scope="datasets:read",
        answer=_list,
        summary="List who depends on a version",
        parameters=(_KIND,),
    ),
    Route(
        method="POST",
        path=f"{VERSION}:register-consumer",
        scope="datasets:write",
        answer=_register,
        summary="Say that somebody depends on a version; saying it again changes nothing",
        body=BodyKind.JSON,
        example={"kind": "model", "name": "churn@3", "reason": "in production"},
    ),
    Route(
        method="POST",
        path=f"{VERSION}:release-consumer",
        scope="datasets:write",
        answer=_release,
        summary="Take such a claim back",
        body=BodyKind.JSON,
        example={"kind": "model", "name": "churn@3"},
    ),
)
