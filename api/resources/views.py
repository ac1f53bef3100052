"""Saved views: listed, published, read; specifications read without being saved."""

from typing import Final

from starlette.responses import Response

from foldstore.api.answers import PAGE, json_answer, page_answer
from foldstore.api.body import Members
from foldstore.api.query import QueryParameter
from foldstore.api.resources.rows import EPOCH, ROWS, answer_rows, read_epoch
from foldstore.api.route import BodyKind, Call, Gives, Route


def _list(call: Call) -> Response:
    listed = call.store.saved_views.list(archived=call.query.flag("archived"))
    found = [each for each in listed if call.token.may_name(each.name)]
    return page_answer(call.query, [each.name for each in found], lambda place: found[place].to_dict())


def _get(call: Call) -> Response:
    return json_answer(call.store.saved_views.get(call.path["name"]).to_dict())


def _publish(call: Call) -> Response:
    body = Members(call.body, "spec", "message")
    view = call.store.view(body.mapping("spec", required=True))
    number = call.store.save_view(call.path["name"], view.spec(), message=body.text("message") or "")
    return json_answer({"address": f"{call.path['name']}@{number}", "version": number, "hash": view.hash}, 201)


def _spec(call: Call) -> Response:
    view = call.store.view(f"{call.path['name']}@{call.path['ref']}")
    return json_answer({"spec": view.spec(), "hash": view.hash})


def _rows(call: Call) -> Response:
    return answer_rows(call, call.store.view(f"{call.path['name']}@{call.path['ref']}"))


def _read(call: Call) -> Response:
    view = call.store.view(Members(call.body, "spec").mapping("spec", required=True))
    return answer_rows(call, view, read_epoch(call))


_SPEC: Final = {"sources": [{"address": "flights@3"}], "steps": [{"where": "origin = 'JFK'"}]}
ROUTES: Final = (
    Route(
        method="GET",
        path="/v1/views",
        scope="datasets:read",
        answer=_list,
        summary="List saved views",
        parameters=(*PAGE, QueryParameter("archived", "true lists those in the archive, too.", "false")),
    ),
    Route(
        method="GET",
        path="/v1/views/{name}",
        scope="datasets:read",
        answer=_get,
        summary="Say what is known of a saved view",
    ),
    Route(
        method="PUT",
        path="/v1/views/{name}",
        scope="datasets:write",
        answer=_publish,
        summary="Publish a specification as the view's next version",
        body=BodyKind.JSON,
        example={"spec": _SPEC, "message": "from JFK"},
        deepest=24,
        success=201,
    ),
    Route(
        method="GET",
        path="/v1/views/{name}/versions/{ref}",
        scope="datasets:read",
        answer=_spec,
        summary="Return the specification of a version of a view",
    ),
    Route(
        method="GET",
        path="/v1/views/{name}/versions/{ref}/rows",
        scope="datasets:read",
        obeys_rules=True,
        answer=_rows,
        gives=Gives.ROWS,
        is_long=True,
        summary="Return the rows of a view",
        parameters=ROWS,
    ),
    Route(
        method="POST",
        path="/v1/views:read",
        scope="datasets:read",
        obeys_rules=True,
        answer=_read,
        gives=Gives.ROWS,
        is_long=True,
        summary="Return the rows of a specification that is not saved",
        parameters=(*ROWS, EPOCH),
        body=BodyKind.JSON,
        example={"spec": _SPEC},
        deepest=24,
    ),
)
