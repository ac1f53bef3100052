"""Verification: what is kept is compared with what was written."""

from typing import Final

from starlette.responses import Response

from foldstore.api.answers import json_answer
from foldstore.api.body import Members
from foldstore.api.route import BodyKind, Call, Route
from foldstore.errors import UsageError


def _verify(call: Call) -> Response:
    call.refuse_bounded("What is found")
    body = Members(call.body, "objects", "repair")
    objects = body.given().get("objects", True)
    if not isinstance(objects, bool | int | float):
        raise UsageError(
            "The member 'objects' is neither true, false nor a share of the objects.", hint='Write {"objects": 0.1}.'
        )
    found = call.store.verify(call.progress, objects=objects, repair=body.flag("repair"))
    return json_answer(found.to_dict())


ROUTES: Final = (
    Route(
        method="POST",
        path="/v1/store:verify",
        scope="store:care",
        answer=_verify,
        is_long=True,
        holds_cells=False,
        summary="Compare everything that is kept with what was written: all objects, a share of them, or with `false` "
        "their sizes alone; `repair` does what cannot lose anything",
        body=BodyKind.JSON,
        example={"objects": 0.1, "repair": False},
    ),
)
