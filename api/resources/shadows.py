"""Shadows of feature services: begun, reported, ended."""

from typing import Any, Final

from starlette.responses import Response

from foldstore.api.answers import json_answer
from foldstore.api.body import Members
from foldstore.api.documents import TEXT_FORMS, document_answer
from foldstore.api.route import BodyKind, Call, Route


def _live(call: Call) -> str:
    return f"{call.path['name']}@{call.path['ref']}"


def _start(call: Call) -> Response:
    body = Members(call.body, "candidate", "share", "seed")
    candidate = f"{call.path['name']}@{body.version('candidate', required=True)}"
    given: dict[str, Any] = {name: value for name, value in body.given().items() if name != "candidate"}
    return json_answer(call.store.features.shadows.start(_live(call), candidate, **given).to_dict(), 201)


def _report(call: Call) -> Response:
    return document_answer(call, call.store.features.shadows.report(_live(call)))


def _stop(call: Call) -> Response:
    return json_answer(call.store.features.shadows.stop(_live(call)).to_dict())


_PATH: Final = "/v1/feature-services/{name}/versions/{ref}/shadow"
ROUTES: Final = (
    Route(
        method="POST",
        path=_PATH,
        scope="datasets:write",
        answer=_start,
        summary="Ask another version too, for a share of the requests to this one; the answers stay as they are",
        body=BodyKind.JSON,
        example={"candidate": "3", "share": 0.05, "seed": 7},
        success=201,
    ),
    Route(
        method="GET",
        path=_PATH,
        scope="features:read",
        answer=_report,
        forms=TEXT_FORMS,
        summary="Say by feature how often and how far the two versions answered differently",
    ),
    Route(
        method="DELETE",
        path=_PATH,
        scope="datasets:write",
        answer=_stop,
        summary="End the shadow, and return what it found",
    ),
)
