"""Aliases of feature services: listed, moved, removed, with their history."""

from typing import Final

from starlette.responses import Response

from foldstore.api.answers import PAGE, empty_answer, json_answer, page_answer
from foldstore.api.body import Members
from foldstore.api.route import BodyKind, Call, Route


def _alias(call: Call) -> str:
    return f"{call.path['name']}@{call.path['alias']}"


def _list(call: Call) -> Response:
    found = call.store.features.aliases.list(call.path["name"])
    names = list(found)
    return page_answer(call.query, names, lambda place: {"alias": names[place], "service": found[names[place]]})


def _put(call: Call) -> Response:
    version = Members(call.body, "version").version("version", required=True)
    service = call.store.features.aliases.set(_alias(call), f"{call.path['name']}@{version}")
    return json_answer({"alias": _alias(call), "service": service})


def _remove(call: Call) -> Response:
    call.store.features.aliases.remove(_alias(call))
    return empty_answer()


def _history(call: Call) -> Response:
    return json_answer({"items": [move.to_dict() for move in call.store.features.aliases.history(_alias(call))]})


_PATH: Final = "/v1/feature-services/{name}/aliases"
ROUTES: Final = (
    Route(
        method="GET",
        path=_PATH,
        scope="features:read",
        answer=_list,
        summary="List the aliases of a service, and the versions that they stand for",
        parameters=PAGE,
    ),
    Route(
        method="PUT",
        path=f"{_PATH}/{{alias}}",
        scope="datasets:write",
        answer=_put,
        summary="Point an alias at a version of the service: lookups by it are answered by that one",
        body=BodyKind.JSON,
        example={"version": "3"},
    ),
    Route(
        method="DELETE",
        path=f"{_PATH}/{{alias}}",
        scope="datasets:write",
        answer=_remove,
        summary="Remove an alias; lookups by it fail from then on",
        success=204,
    ),
    Route(
        method="GET",
        path=f"{_PATH}/{{alias}}/history",
        scope="features:read",
        answer=_history,
        summary="List the moves of an alias: to which version, by whom, when",
    ),
)
