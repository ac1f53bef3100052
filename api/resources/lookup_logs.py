"""Which share of a service's lookups is kept, and where."""

from typing import Final

from starlette.responses import Response

from foldstore.api.answers import json_answer
from foldstore.api.body import Members
from foldstore.api.route import BodyKind, Call, Route

_PATH: Final = "/v1/feature-services/{name}/lookup-log"


def _get(call: Call) -> Response:
    dataset = call.store.features.lookup_logs.find(call.path["name"])
    call.check_name(dataset)
    return json_answer({"dataset": dataset})


def _set(call: Call) -> Response:
    body = Members(call.body, "share", "dataset")
    name, share = call.path["name"], body.given().get("share", 1.0)
    dataset = body.text("dataset") or f"{name}.served"
    call.check_name(dataset)  # the lookups go into it
    return json_answer({"dataset": call.store.features.log_lookups(name, share=share, dataset=dataset), "share": share})


ROUTES: Final = (
    Route(
        method="GET",
        path=_PATH,
        scope="datasets:read",
        answer=_get,
        summary="Return the dataset that a service's lookups go into, or went into",
    ),
    Route(
        method="PUT",
        path=_PATH,
        scope="datasets:write",
        answer=_set,
        summary="Keep a share of a service's lookups in a dataset from now on; 0 ends it",
        body=BodyKind.JSON,
        example={"share": 0.01, "dataset": "arrival.served"},
    ),
)
