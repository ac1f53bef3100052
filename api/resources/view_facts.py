"""What is known of a view by its specification, without its rows: how many there are, where they are from, the cost."""

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any, Final

from starlette.responses import Response

from foldstore.api.answers import json_answer
from foldstore.api.body import Members
from foldstore.api.documents import NOTEBOOK_FORM, NOTEBOOK_FORMS, document_answer
from foldstore.api.query import QueryParameter
from foldstore.api.resources.rows import EPOCH, read_epoch
from foldstore.api.route import BodyKind, Call, Route
from foldstore.datastore.statistics.segments import MAX_SEGMENTS
from foldstore.errors import NotFoundError
from foldstore.names import parse_address
from foldstore.validation.segment_drift import MOST_SEGMENTS
from foldstore.views.view import View

_SPEC: Final = {"sources": [{"address": "flights@3"}], "steps": [{"where": "origin = 'JFK'"}]}
DEEPEST: Final = 24


def _view(call: Call, member: str = "spec", *others: str) -> View:
    view = call.store.view(Members(call.body, member, *others).mapping(member, required=True))
    check_sources(call, view)
    return view


def check_sources(call: Call, view: View) -> None:
    """Refuse a view of what the token is not for: what reads no row asks no guard."""
    for pinned in view.sources():
        call.check_name(parse_address(pinned.source.address).name)


def _count(call: Call) -> Response:
    view, epoch = _view(call), read_epoch(call)
    return json_answer({"rows": view.rows.count(epoch) if epoch else view.count()})


def _explain(call: Call) -> Response:
    found = _view(call).explain()
    return json_answer({"address": found.address, "parts": [asdict(part) for part in found.parts], "rows": found.rows})


def _profile(call: Call) -> Response:
    body = Members(call.body, "spec", "by", "max_segments")
    view = call.store.view(body.mapping("spec", required=True))
    check_sources(call, view)
    by, most = body.texts("by"), body.number("max_segments", most=MOST_SEGMENTS)
    if by is None:
        return document_answer(call, view.profile())
    return document_answer(call, view.profile(by=by, max_segments=MAX_SEGMENTS if most is None else int(most)))


def _leakage(call: Call) -> Response:
    call.refuse_bounded("What is known of test pools")
    return document_answer(call, _view(call).leakage())


def _diff(call: Call) -> Response:
    before, after = _view(call, "before", "after"), _view(call, "after", "before")
    return document_answer(call, before.diff(after))


def _moved(call: Call) -> Response:
    view = _view(call)
    for pinned in view.sources():
        if not call.token.may_name(parse_address(pinned.asked or pinned.source.address).name):
            raise NotFoundError("The view was made of what is not there.", hint="Make it anew.")
    return document_answer(call, view.moved())


def _route(
    verb: str, answer: object, summary: str, example: object, parameters: Sequence[QueryParameter] = (), **more: Any
) -> Route:
    return Route(
        method="POST",
        path=f"/v1/views:{verb}",
        scope="datasets:read",
        answer=answer,  # type: ignore[arg-type]
        is_long=True,
        summary=summary,
        parameters=parameters,
        body=BodyKind.JSON,
        example=example,
        deepest=DEEPEST,
        **more,
    )


ROUTES: Final = (
    _route("count", _count, "Count the rows of a specification", {"spec": _SPEC}, (EPOCH,)),
    _route("explain", _explain, "Say what reading a specification would read, and copy at most", {"spec": _SPEC}),
    _route(
        "profile",
        _profile,
        "Return the statistics of a specification's rows, of all or of segments",
        {"spec": _SPEC, "by": ["carrier"]},
        forms=(NOTEBOOK_FORM,),
    ),
    _route(
        "leakage",
        _leakage,
        "Look for rows of test pools, and for parts of splits side by side",
        {"spec": _SPEC},
        forms=NOTEBOOK_FORMS,
    ),
    _route(
        "diff",
        _diff,
        "Compare two specifications, and the rows they give",
        {"before": _SPEC, "after": _SPEC},
        forms=NOTEBOOK_FORMS,
    ),
    _route("moved", _moved, "Say what would change if a view were made now", {"spec": _SPEC}, forms=NOTEBOOK_FORMS),
)
