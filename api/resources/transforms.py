"""Transforms of features: fitted on a train part, listed, shown, applied, judged."""

from typing import Any, Final

from starlette.responses import Response

from foldstore.api.answers import json_answer, rows_answer
from foldstore.api.body import Members, read_rows
from foldstore.api.route import BodyKind, Call, Gives, Route
from foldstore.names import parse_address
from foldstore.views.transforms.transform import FittedTransform, Transform

_PATH: Final = "/v1/transforms/{name}/versions/{ref}"
_DEFINITION: Final = {"name": "inputs", "operations": [{"op": "minmax", "column": "arr_delay"}]}


def _describe(address: str, fitted: FittedTransform) -> dict[str, Any]:
    return {
        "address": address,
        "operations": len(fitted.definition.operations),
        "rows": fitted.rows,
        "fitted_on": fitted.fitted_on,
    }


def _learnt_of(fitted: FittedTransform) -> str:
    return parse_address(fitted.fitted_on).name


def _list(call: Call) -> Response:
    registry = call.store.transforms.registry
    known = [(address, registry.load(address)) for address in registry.list_addresses()]
    found = [
        _describe(address, fitted)
        for address, fitted in known
        if call.token.may_name(parse_address(address).name) and call.token.may_name(_learnt_of(fitted))
    ]
    return json_answer({"items": found})


def _find(call: Call) -> tuple[str, FittedTransform]:
    """Return what the path names: what was learnt tells of the rows, and a token must be for these, too."""
    address = call.store.transforms.registry.pin(f"{call.path['name']}@{call.path['ref']}")
    fitted = call.store.transforms.registry.load(address)
    call.check_name(_learnt_of(fitted))
    return address, fitted


def _get(call: Call) -> Response:
    address, fitted = _find(call)
    return json_answer({**_describe(address, fitted), "transform": fitted.to_dict()})


def _fit(call: Call) -> Response:
    body = Members(call.body, "definition", "on", "message")
    transform = Transform.from_dict(body.mapping("definition", required=True))
    on = body.text("on", required=True)
    for name in (transform.name, parse_address(on).name):
        call.check_name(name)
    address = call.store.transforms.fit(transform, on, message=body.text("message") or "")
    fitted = call.store.transforms.registry.load(address)
    name, _, number = address.partition("@")
    return json_answer(_describe(address, fitted), 201, {"location": f"/v1/transforms/{name}/versions/{number}"})


def _apply(call: Call) -> Response:
    address, _ = _find(call)
    table = call.store.transforms.apply(address, read_rows(call.body))
    return rows_answer(call.headers, table.schema, table.to_batches(), limit=table.num_rows)


def _validate(call: Call) -> Response:
    data = Members(call.body, "data").text("data", required=True)
    call.check_name(parse_address(data).name)
    address, _ = _find(call)
    return json_answer(call.store.transforms.validate(address, data).to_dict())


ROUTES: Final = (
    Route(
        method="GET",
        path="/v1/transforms",
        scope="datasets:read",
        answer=_list,
        summary="List the fitted transforms, every version",
    ),
    Route(
        method="POST",
        path="/v1/transforms",
        scope="datasets:write",
        answer=_fit,
        is_long=True,
        summary="Learn a transform from the train part of a split, and keep it as a new version",
        body=BodyKind.JSON,
        example={"definition": _DEFINITION, "on": "flights@1#halves.train", "message": "delays from 0 to 1"},
        success=201,
    ),
    Route(
        method="GET",
        path=_PATH,
        scope="datasets:read",
        answer=_get,
        summary="Return a fitted transform: its definition, what it learnt, and where",
    ),
    Route(
        method="POST",
        path=f"{_PATH}:apply",
        scope="datasets:read",
        answer=_apply,
        gives=Gives.ROWS,
        summary="Work on the rows that are sent",
        body=BodyKind.ROWS,
    ),
    Route(
        method="POST",
        path=f"{_PATH}:validate",
        scope="datasets:read",
        answer=_validate,
        is_long=True,
        summary="Judge rows by what a transform knows: too many imputed, clipped or outside",
        body=BodyKind.JSON,
        example={"data": "flights@1"},
    ),
)
