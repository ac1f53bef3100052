"""What is judged of features: versions of a service compared, lookups against training, training sets made again."""

from typing import Final

from starlette.responses import Response

from foldstore.api.answers import json_answer
from foldstore.api.body import Members
from foldstore.api.documents import PAGE_FORMS, TEXT_FORMS, document_answer
from foldstore.api.query import QueryParameter
from foldstore.api.resources.judgement import ADJUSTMENTS, read_policy
from foldstore.api.resources.view_facts import DEEPEST
from foldstore.api.route import BodyKind, Call, Route
from foldstore.names import parse_address
from foldstore.version import Version
from foldstore.views.view import View

_PATH: Final = "/v1/feature-services/{name}/versions/{ref}"


def _address(call: Call) -> str:
    return f"{call.path['name']}@{call.path['ref']}"


def _asked(call: Call) -> str:
    """Return whose lookups are meant: all versions' for ``latest``, as in the SDK."""
    return call.path["name"] if call.path["ref"] == "latest" else _address(call)


def _diff(call: Call) -> Response:
    before = f"{call.path['name']}@{call.query.required('before')}"
    changes = call.store.features.diff(before, _address(call))
    return json_answer({"items": [change.to_dict() for change in changes]})


def _audit(call: Call) -> Response:
    call.refuse_bounded("What was looked up")
    body = Members(call.body, "since", "until")
    found = call.store.features.audit(_asked(call), since=body.text("since"), until=body.text("until"))
    return document_answer(call, found)


def _learnt(call: Call, body: Members) -> Version | View:
    """Return what was learnt from: a version, a part of a split, or the specification of a view."""
    given = body.given().get("training")
    if isinstance(given, dict):
        return call.store.view(given)
    training = body.text("training", required=True)
    return call.store.version(training) if parse_address(training).split is None else call.store.view(training)


def _skew(call: Call) -> Response:
    call.refuse_bounded("What was looked up")
    body = Members(call.body, "training", "since", "until", "adjustment", "policy")
    found = call.store.features.skew(
        _asked(call),
        _learnt(call, body),
        since=body.text("since"),
        until=body.text("until"),
        adjustment=body.choice("adjustment", ADJUSTMENTS),
        policy=read_policy(body),
    )
    return document_answer(call, found)


_SPAN: Final = {"since": "2026-01-01T00:00:00Z", "until": "2026-02-01T00:00:00Z"}
ROUTES: Final = (
    Route(
        method="GET",
        path=f"{_PATH}:diff",
        scope="features:read",
        answer=_diff,
        summary="Say what is another in this version of a service than in one before, and what breaks by it",
        parameters=(QueryParameter("before", "The other version.", "1"),),
    ),
    Route(
        method="POST",
        path=f"{_PATH}:audit",
        scope="datasets:read",
        answer=_audit,
        forms=TEXT_FORMS,
        is_long=True,
        summary="Compute logged lookups again by the training join: what was served must be equal to the bit",
        body=BodyKind.JSON,
        example=_SPAN,
    ),
    Route(
        method="POST",
        path=f"{_PATH}:skew",
        scope="datasets:read",
        answer=_skew,
        forms=PAGE_FORMS,
        is_long=True,
        summary="Compare what a model learnt from with what was served, feature by feature",
        body=BodyKind.JSON,
        example={"training": "arrival_training@1", "policy": {"tau_error": 0.3}, **_SPAN},
        deepest=DEEPEST,
    ),
)
