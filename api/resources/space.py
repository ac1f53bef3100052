"""Space: what a store and its datasets take, which versions are kept, and the collection of the rest."""

from typing import Final

from starlette.responses import Response

from foldstore.api.answers import json_answer
from foldstore.api.body import Members
from foldstore.api.route import BodyKind, Call, Route

_RULES: Final = ("keep_last", "keep_days", "quarantined_days", "max_bytes")


def _store_usage(call: Call) -> Response:
    call.refuse_bounded("The account of the store")
    return json_answer(call.store.usage().to_dict())


def _collect(call: Call) -> Response:
    call.refuse_bounded("A collection")
    body = Members(call.body, "dry_run", "grace")
    given = {name: value for name, value in body.given().items() if name == "grace"}
    found = call.store.gc(dry_run=body.flag("dry_run", default=True), progress=call.progress, **given)
    return json_answer(found.to_dict())


def _usage(call: Call) -> Response:
    return json_answer(call.store.dataset(call.path["name"]).usage().to_dict())


def _retention(call: Call) -> Response:
    return json_answer(call.store.dataset(call.path["name"]).retention.to_dict())


def _set_retention(call: Call) -> Response:
    body = Members(call.body, *_RULES, "message")
    rules = {name: value for name, value in body.given().items() if name in _RULES}
    dataset = call.store.dataset(call.path["name"])
    return json_answer(dataset.set_retention(**rules, message=body.text("message") or "").to_dict())


ROUTES: Final = (
    Route(
        method="GET",
        path="/v1/store/usage",
        scope="store:care",
        answer=_store_usage,
        summary="Say how many bytes the store takes, dataset by dataset, and what of it is garbage",
    ),
    Route(
        method="POST",
        path="/v1/store:gc",
        scope="store:care",
        answer=_collect,
        is_long=True,
        holds_cells=False,
        summary="Say which versions would expire and which files would be removed, "
        'and with `"dry_run": false` have it so; a file goes by the run after the one that found it useless',
        body=BodyKind.JSON,
        example={"dry_run": True, "grace": "1d"},
    ),
    Route(
        method="GET",
        path="/v1/datasets/{name}/usage",
        scope="datasets:read",
        answer=_usage,
        summary="Say how many bytes a dataset, its versions and its branches take, shared and of their own",
    ),
    Route(
        method="GET",
        path="/v1/datasets/{name}/retention",
        scope="datasets:read",
        answer=_retention,
        summary="Say which versions collections keep; without rules all that a branch, alias or tag reaches",
    ),
    Route(
        method="PUT",
        path="/v1/datasets/{name}/retention",
        scope="store:care",
        answer=_set_retention,
        summary="Say which versions collections keep from now on: the others lose their rows",
        body=BodyKind.JSON,
        example={"keep_last": 10, "keep_days": "30d", "message": "as agreed"},
    ),
)
