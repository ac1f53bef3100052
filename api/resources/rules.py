"""Rules of access, for whoever administers the store."""

from typing import Final

from starlette.responses import Response

from foldstore.api.answers import empty_answer, json_answer
from foldstore.api.body import Members
from foldstore.api.route import BodyKind, Call, Route
from foldstore.api.rules import KIND, AccessRule, RuleBook, doubts_of


def _book(call: Call) -> RuleBook:
    return RuleBook(call.store.registry(KIND), clock=call.store.clock)


def _list(call: Call) -> Response:
    return json_answer({"items": [rule.to_dict() for rule in _book(call).list()]})


def _put(call: Call) -> Response:
    body = Members(call.body, "datasets", "roles", "tokens", "hide", "where")
    rule = AccessRule(
        name=call.path["rule"],
        datasets=tuple(body.texts("datasets") or ()),
        roles=tuple(body.texts("roles") or ()),
        tokens=tuple(body.texts("tokens") or ()),
        hide=tuple(body.texts("hide") or ()),
        where=body.text("where"),
    )
    _book(call).put(rule, author=call.token.principal)
    return json_answer({**rule.to_dict(), "warnings": doubts_of(rule, call.store, call.rules)})


def _remove(call: Call) -> Response:
    _book(call).remove(call.path["rule"], author=call.token.principal)
    return empty_answer()


ROUTES: Final = (
    Route(
        method="GET",
        path="/v1/rules",
        scope="admin",
        answer=_list,
        summary="List what is hidden from whom",
    ),
    Route(
        method="PUT",
        path="/v1/rules/{rule}",
        scope="admin",
        answer=_put,
        summary="Hide columns and rows of datasets from roles and tokens; servers notice within seconds; "
        "`warnings` of the answer say what no dataset has, or does not fit",
        body=BodyKind.JSON,
        example={"datasets": ["people"], "roles": ["viewer"], "hide": ["salary"], "where": "country = 'NO'"},
    ),
    Route(
        method="DELETE",
        path="/v1/rules/{rule}",
        scope="admin",
        answer=_remove,
        summary="Have a rule hold no longer",
        success=204,
    ),
)
