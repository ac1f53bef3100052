"""Studies of the rows of a view: how a label is shared out over groups, and whether it can be predicted at all."""

from typing import Any, Final

from starlette.responses import Response

from foldstore.api.body import Members
from foldstore.api.documents import NOTEBOOK_FORMS, document_answer
from foldstore.api.resources.view_facts import DEEPEST, check_sources
from foldstore.api.route import BodyKind, Call, Route
from foldstore.errors import RefusedError, UsageError
from foldstore.feasibility_study import feasibility
from foldstore.validation.bias.measure import measure_bias
from foldstore.views.view import View

_PART: Final = {"sources": [{"address": "flights@1#halves.train"}], "steps": []}
_ABOUT_BIAS: Final = (
    *("positive", "disadvantaged", "conditional_on", "label_bins", "sensitive_bins", "condition_bins", "p"),
    *("smoothing", "confidence", "min_rows", "max_values", "max_strata"),
)
_ABOUT_FEASIBILITY: Final = ("features", "leave_out", "embeddings", "max_rows", "seed", "confidence")


def _view(call: Call, body: Members) -> View:
    view = call.store.view(body.mapping("spec", required=True))
    check_sources(call, view)
    return view


def _given(body: Members, names: tuple[str, ...]) -> dict[str, Any]:
    return {name: value for name, value in body.given().items() if name in names and value is not None}


def _bias(call: Call) -> Response:
    body = Members(call.body, "spec", "label", "sensitive", *_ABOUT_BIAS)
    label, sensitive = body.text("label", required=True), body.text("sensitive", required=True)
    found = measure_bias(_view(call, body), label=label, sensitive=sensitive, **_given(body, _ABOUT_BIAS))
    return document_answer(call, found)


def _feasibility(call: Call) -> Response:
    body = Members(call.body, "spec", "label", "target_error", *_ABOUT_FEASIBILITY)
    label, target = body.text("label", required=True), body.given().get("target_error")
    if target is None:
        raise UsageError("The member 'target_error' is missing.", hint='Write {"target_error": 0.2}.')
    try:
        found = feasibility(_view(call, body), label=label, target_error=target, **_given(body, _ABOUT_FEASIBILITY))
    except RefusedError as error:
        if not call.token.is_bounded or error.code != "rows-sealed":
            raise
        # The name of the pool is none of the token's.
        raise RefusedError("Some of these rows belong to a test pool.", hint=error.hint, code=error.code) from None
    return document_answer(call, found)


def _route(verb: str, answer: Any, summary: str, asked: dict[str, Any]) -> Route:
    return Route(
        method="POST",
        path=f"/v1/views:{verb}",
        scope="datasets:read",
        answer=answer,
        is_long=True,
        forms=NOTEBOOK_FORMS,
        summary=summary,
        body=BodyKind.JSON,
        example={"spec": _PART, **asked},
        deepest=DEEPEST,
    )


ROUTES: Final = (
    _route(
        "measure-bias",
        _bias,
        "Measure how a label is shared out over the groups of a column",
        {"label": "late", "sensitive": "carrier"},
    ),
    _route(
        "feasibility",
        _feasibility,
        "Say whether a label can be predicted with so few errors, before anybody trains a model",
        {"label": "late", "target_error": 0.2, "features": ["arr_delay"]},
    ),
)
