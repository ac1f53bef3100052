"""Saved views on their way: drafts, copies, the archive, deprecations."""

from typing import Any, Final

from starlette.responses import Response

from foldstore.api.answers import empty_answer, json_answer
from foldstore.api.body import Members
from foldstore.api.resources.view_facts import check_sources
from foldstore.api.route import BodyKind, Call, Route
from foldstore.names import check_name, parse_address

_VIEW: Final = "/v1/views/{name}"
_SPEC: Final = {"sources": [{"address": "flights@3"}], "steps": [{"where": "origin = 'JFK'"}]}


def _put_draft(call: Call) -> Response:
    body = Members(call.body, "spec", "message")
    view = call.store.view(body.mapping("spec", required=True))
    check_sources(call, view)
    call.store.save_draft(call.path["name"], view.spec(), message=body.text("message") or "")
    return _saved(call)


def _get_draft(call: Call) -> Response:
    view = call.store.view(f"{call.path['name']}@draft")
    check_sources(call, view)
    return json_answer({"spec": view.spec(), "hash": view.hash})


def _discard(call: Call) -> Response:
    call.store.saved_views.discard_draft(call.path["name"])
    return empty_answer()


def _publish(call: Call) -> Response:
    message = Members(call.body, "message").text("message") or ""
    return json_answer(call.store.saved_views.publish(call.path["name"], message=message).to_dict(), 201)


def _clone(call: Call) -> Response:
    body = Members(call.body, "name", "version")
    name = check_name(body.text("name", required=True), "view")
    call.check_name(name)
    version = body.version("version")
    address = call.path["name"] if version is None else f"{call.path['name']}@{version}"
    check_sources(call, call.store.view(address))
    call.store.saved_views.clone(address, name)
    return json_answer(call.store.saved_views.get(name).to_dict(), 201, {"location": f"/v1/views/{name}"})


def _archive(call: Call) -> Response:
    return json_answer(call.store.saved_views.archive(call.path["name"]).to_dict())


def _restore(call: Call) -> Response:
    return json_answer(call.store.saved_views.restore(call.path["name"]).to_dict())


def _deprecate(call: Call) -> Response:
    body = Members(call.body, "reason", "replacement")
    replacement = body.text("replacement")
    if replacement is not None:
        call.check_name(parse_address(replacement).name)
    found = call.store.saved_views.deprecate(
        f"{call.path['name']}@{call.path['ref']}", body.text("reason", required=True), replacement=replacement
    )
    return json_answer(found.to_dict())


def _saved(call: Call) -> Response:
    return json_answer(call.store.saved_views.get(call.path["name"]).to_dict())


def _route(method: str, path: str, answer: Any, summary: str, example: Any = None, success: int = 200) -> Route:
    return Route(
        method=method,
        path=path,
        scope="datasets:read" if method == "GET" else "datasets:write",
        answer=answer,
        summary=summary,
        body=BodyKind.NONE if example is None else BodyKind.JSON,
        example=example,
        success=success,
        deepest=24,
    )


ROUTES: Final = (
    _route("GET", f"{_VIEW}/draft", _get_draft, "Return the specification of a view's draft"),
    _route("PUT", f"{_VIEW}/draft", _put_draft, "Keep a specification as a view's draft", {"spec": _SPEC}),
    _route("DELETE", f"{_VIEW}/draft", _discard, "Give a draft up; published versions stay", success=204),
    _route("POST", f"{_VIEW}:publish", _publish, "Publish a view's draft", {"message": "from JFK"}, 201),
    _route("POST", f"{_VIEW}:clone", _clone, "Copy a view to another name, as a draft", {"name": "copy"}, 201),
    _route("POST", f"{_VIEW}:archive", _archive, "Leave a view out of lists; its addresses work as before"),
    _route("POST", f"{_VIEW}:restore", _restore, "Take a view out of the archive"),
    _route(
        "POST",
        f"{_VIEW}/versions/{{ref}}:deprecate",
        _deprecate,
        "Say that a version of a view should not be used any more",
        {"reason": "it misses a carrier", "replacement": "jfk@2"},
    ),
)
