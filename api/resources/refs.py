"""Branches, aliases and tags of a dataset."""

from dataclasses import asdict
from typing import Final

from starlette.responses import Response

from foldstore.api.answers import PAGE, empty_answer, json_answer, page_answer
from foldstore.api.body import Members
from foldstore.api.route import BodyKind, Call, Route
from foldstore.errors import UsageError

_KINDS: Final = ("alias", "tag", "branch")


def _list(call: Call) -> Response:
    found = call.store.dataset(call.path["name"]).refs()
    return page_answer(call.query, [each["name"] for each in found], found.__getitem__)


def _put(call: Call) -> Response:
    body = Members(call.body, "kind", "version")
    kind = body.text("kind") or _KINDS[0]
    if kind not in _KINDS:
        raise UsageError(f"{ascii(kind)[:40]} is no kind of ref.", hint=f"Write one of {', '.join(_KINDS)}.")
    dataset, ref = call.store.dataset(call.path["name"]), call.path["ref"]
    at = dataset.version(body.version("version") or "latest")
    if kind == "alias":
        dataset.set_alias(ref, at)
    elif kind == "tag":
        dataset.tag(ref, at)
    else:
        dataset.create_branch(ref, at)
    return json_answer({"name": ref, "kind": kind, "version": at.number})


def _remove(call: Call) -> Response:
    call.store.dataset(call.path["name"]).remove_ref(call.path["ref"])
    return empty_answer()


def _history(call: Call) -> Response:
    moves = call.store.dataset(call.path["name"]).history(call.path["ref"])
    return json_answer({"items": [asdict(move) for move in moves]})


_PATH: Final = "/v1/datasets/{name}/refs/{ref}"
ROUTES: Final = (
    Route(
        method="GET",
        path="/v1/datasets/{name}/refs",
        scope="datasets:read",
        answer=_list,
        summary="List branches, aliases and tags",
        parameters=PAGE,
    ),
    Route(
        method="PUT",
        path=_PATH,
        scope="datasets:write",
        answer=_put,
        summary="Move an alias, or make an alias, a tag or a branch",
        body=BodyKind.JSON,
        example={"kind": "alias", "version": "3"},
    ),
    Route(
        method="DELETE",
        path=_PATH,
        scope="datasets:write",
        answer=_remove,
        summary="Remove a ref; versions stay until nothing keeps them",
        success=204,
    ),
    Route(
        method="GET",
        path=f"{_PATH}/history",
        scope="datasets:read",
        answer=_history,
        summary="List the moves of a branch or an alias",
    ),
)
