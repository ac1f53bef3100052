"""Pins: people keep versions, whatever retention says."""

from dataclasses import asdict
from typing import Final

from starlette.responses import Response

from foldstore.api.access import permits
from foldstore.api.answers import empty_answer, json_answer
from foldstore.api.body import Members
from foldstore.api.resources.versions import VERSION, find_version
from foldstore.api.route import BodyKind, Call, Route
from foldstore.errors import RefusedError
from foldstore.version import Version


def refuse_foreign_pin(call: Call, version: Version, name: str) -> None:
    """Refuse to take out what somebody else put in: it may be all that keeps the rows.

    Raises
    ------
    RefusedError
        With code ``not-yours``, unless the token takes care of the store.
    """
    if permits(call.token.scopes, "store:care"):
        return
    if any(pin.name == name and pin.author != call.token.principal for pin in version.pins()):
        raise RefusedError(
            f"{version.address} is pinned as {ascii(name)[:60]} by somebody else.",
            hint="Who put it in takes it out, or who takes care of the store: a keeper or an admin.",
            code="not-yours",
        )


def _list(call: Call) -> Response:
    return json_answer({"items": [asdict(pin) for pin in find_version(call).pins()]})


def _pin(call: Call) -> Response:
    body = Members(call.body, "name", "reason")
    made = find_version(call).pin(body.text("name", required=True), body.text("reason") or "")
    return json_answer(made.to_dict())


def _unpin(call: Call) -> Response:
    name, version = Members(call.body, "name").text("name", required=True), find_version(call)
    refuse_foreign_pin(call, version, name)
    version.unpin(name)
    return empty_answer()


ROUTES: Final = (
    Route(
        method="GET",
        path=f"{VERSION}/pins",
        scope="datasets:read",
        answer=_list,
        summary="List the pins of a version by name",
    ),
    Route(
        method="POST",
        path=f"{VERSION}:pin",
        scope="datasets:write",
        answer=_pin,
        summary="Keep a version, whatever retention says; saying it again changes nothing",
        body=BodyKind.JSON,
        example={"name": "audit-2013", "reason": "asked for by the auditors"},
    ),
    Route(
        method="POST",
        path=f"{VERSION}:unpin",
        scope="datasets:write",
        answer=_unpin,
        summary="Take a pin out: one of this token's own, or with the scope `store:care` anybody's",
        body=BodyKind.JSON,
        example={"name": "audit-2013"},
        success=204,
    ),
)
