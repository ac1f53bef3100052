"""Tokens, for whoever administers the store; the text of a token is in the one answer that makes it."""

from datetime import timedelta
from typing import Final

from starlette.responses import Response

from foldstore.api.answers import PAGE, json_answer, page_answer
from foldstore.api.body import Members
from foldstore.api.route import BodyKind, Call, Route
from foldstore.api.tokens import KIND, TokenVault
from foldstore.errors import RefusedError

_MOST_DAYS: Final = 36_500


def _vault(call: Call) -> TokenVault:
    return TokenVault(call.store.registry(KIND), clock=call.store.clock)


def _list(call: Call) -> Response:
    found = sorted(_vault(call).list(), key=lambda token: token.id)
    return page_answer(call.query, [token.id for token in found], lambda place: found[place].to_dict())


def _create(call: Call) -> Response:
    body = Members(call.body, "role", "label", "days", "scopes", "names")
    role = body.text("role", required=True)
    days = body.number("days", most=_MOST_DAYS)
    if role == "steward":
        raise RefusedError(
            "A steward's token is not made over HTTP: it opens sealed labels.",
            hint="Make it where the store is: foldstore token create steward.",
        )
    text, token = _vault(call).create(
        role,
        author=call.token.principal,
        label=body.text("label") or "",
        expires_in=None if days is None else timedelta(days=days),
        scopes=body.texts("scopes"),
        names=body.texts("names") or ("*",),
    )
    return json_answer({"token": text, **token.to_dict()}, 201)


def _rotate(call: Call) -> Response:
    body = Members(call.body, "overlap_hours")
    hours = body.number("overlap_hours", most=24 * _MOST_DAYS)
    old = _vault(call).find(call.path["token"])
    if old is not None and old.role == "steward":
        raise RefusedError(
            "A steward's token is not made over HTTP: it opens sealed labels.",
            hint="Rotate it where the store is: foldstore token rotate.",
        )
    overlap = timedelta(hours=24 if hours is None else hours)
    text, token = _vault(call).rotate(call.path["token"], author=call.token.principal, overlap=overlap)
    return json_answer({"token": text, **token.to_dict()}, 201)


def _revoke(call: Call) -> Response:
    return json_answer(_vault(call).revoke(call.path["token"], author=call.token.principal).to_dict())


ROUTES: Final = (
    Route(
        method="GET",
        path="/v1/tokens",
        scope="admin",
        answer=_list,
        summary="List tokens; their texts are not kept",
        parameters=PAGE,
    ),
    Route(
        method="POST",
        path="/v1/tokens",
        scope="admin",
        answer=_create,
        summary="Make a token; its text is shown this once",
        body=BodyKind.JSON,
        example={"role": "serving", "label": "web shop", "days": 90, "names": ["arrival*"]},
        success=201,
    ),
    Route(
        method="POST",
        path="/v1/tokens/{token}:rotate",
        scope="admin",
        answer=_rotate,
        summary="Make a token that may do the same; the old one counts for `overlap_hours` more, 24 unless given",
        body=BodyKind.JSON,
        example={"overlap_hours": 24},
        success=201,
    ),
    Route(
        method="DELETE",
        path="/v1/tokens/{token}",
        scope="admin",
        answer=_revoke,
        summary="Revoke a token; running servers notice within seconds",
    ),
)
