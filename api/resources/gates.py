"""What publishing needs: the policy of a gate, versions put off, deprecations taken back."""

from typing import Final

from starlette.responses import Response

from foldstore.api.answers import json_answer
from foldstore.api.body import Members
from foldstore.api.resources.versions import VERSION, find_version
from foldstore.api.route import BodyKind, Call, Route
from foldstore.validation.gate_policy import GatePolicy

_GATE: Final = "/v1/datasets/{name}/gate"


def _get(call: Call) -> Response:
    return json_answer(call.store.dataset(call.path["name"]).gate.to_dict())


def _set(call: Call) -> Response:
    body = Members(call.body, "policy", "message")
    policy = GatePolicy.from_dict(body.mapping("policy", required=True))
    kept = call.store.dataset(call.path["name"]).set_gate(
        policy, message=body.text("message") or "", author=call.token.principal
    )
    return json_answer(kept.to_dict())


def _postpone(call: Call) -> Response:
    body = Members(call.body, "until", "reason")
    until = find_version(call).postpone(
        body.text("until", required=True), body.text("reason") or "", author=call.token.principal
    )
    return json_answer({"until": until})


def _undeprecate(call: Call) -> Response:
    reason = Members(call.body, "reason").text("reason") or ""
    find_version(call).undeprecate(reason, author=call.token.principal)
    return json_answer(find_version(call).to_dict())


ROUTES: Final = (
    Route(
        method="GET",
        path=_GATE,
        scope="datasets:read",
        answer=_get,
        summary="Return what publishing needs beside a schema that the rows fit; defaults are left out",
    ),
    Route(
        method="PUT",
        path=_GATE,
        scope="datasets:write",
        answer=_set,
        summary="Set what publishing needs from now on",
        body=BodyKind.JSON,
        example={"policy": {"fail_on": "warn", "drift": "previous"}, "message": "drift counts"},
    ),
    Route(
        method="POST",
        path=f"{VERSION}:postpone",
        scope="datasets:write",
        answer=_postpone,
        summary="Take a quarantined version out of the queue until a time",
        body=BodyKind.JSON,
        example={"until": "3d", "reason": "the vendor looks into it"},
    ),
    Route(
        method="POST",
        path=f"{VERSION}:undeprecate",
        scope="datasets:write",
        answer=_undeprecate,
        summary="Publish a deprecated version again",
        body=BodyKind.JSON,
        example={"reason": "it was right after all"},
    ),
)
