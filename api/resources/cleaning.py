"""Cleaning: suggested, tried, done as a version, undone; and what is looked for on the way."""

from typing import Any, Final

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from starlette.responses import Response

from foldstore.api.answers import json_answer, rows_answer
from foldstore.api.body import Members
from foldstore.api.documents import TEXT_FORMS, document_answer
from foldstore.api.resources.datasets import committed
from foldstore.api.resources.versions import VERSION, find_version
from foldstore.api.route import BodyKind, Call, Gives, Route
from foldstore.cleaning import CleaningPlan
from foldstore.errors import UsageError
from foldstore.validation.cleaning.plan_document import FORMAT, PlanDocument

_DEEPEST: Final = 16
_LIMITS: Final = {"max_error": 1, "min_strength": 1, "most_determinants": 2, "sample_rows": 10_000_000}
_WHOLE: Final = ("most_determinants", "sample_rows")
_ACTION: Final = {"op": "set_null", "column": "arr_delay", "where": "arr_delay > 400"}
_PLAN: Final = {"format": FORMAT, "version": "flights@1", "actions": [_ACTION]}


def _plan(call: Call, body: Members) -> CleaningPlan:
    """Return the plan that was sent, for the version that the path names."""
    document = PlanDocument.from_dict(body.mapping("plan", required=True))
    for action in document.actions:
        if action.op == "quarantine_rows":  # it writes to another dataset
            call.check_whole(str(action.params.get("into", f"{call.path['name']}.quarantine")))
    return find_version(call).cleaning_plan(document)


def _suggest(call: Call) -> Response:
    body = Members(call.body, "columns", "dependencies", "split", "min_confidence", "answer_report")
    version = find_version(call)
    report = version.validate() if body.flag("answer_report") else None
    sure = body.number("min_confidence", most=1)
    plan = version.suggest_cleaning(
        columns=body.texts("columns"),
        dependencies=body.texts("dependencies") or (),
        report=report,
        schema=None if report is None else call.store.dataset(call.path["name"]).schema,
        split=body.text("split"),
        progress=call.progress,
        **({} if sure is None else {"min_confidence": sure}),
    )
    return document_answer(call, plan, plan.document.to_dict())


def _preview(call: Call) -> Response:
    return document_answer(call, _plan(call, Members(call.body, "plan")).preview(progress=call.progress))


def _statistics(call: Call) -> Response:
    body = Members(call.body, "plan", "side")
    side = body.choice("side", ("before", "after"))
    found = _plan(call, body).preview(progress=call.progress)
    table = (found.before if side == "before" else found.after).to_arrow()
    return rows_answer(call.headers, table.schema, table.to_batches(), limit=table.num_rows)


def _commit(call: Call) -> Response:
    body = Members(call.body, "plan", "message", "branch")
    made = _plan(call, body).commit(
        message=body.text("message") or "", branch=body.text("branch"), progress=call.progress
    )
    return committed(made)


def _undo(call: Call) -> Response:
    return committed(find_version(call).undo_cleaning(message=Members(call.body, "message").text("message") or ""))


def _deny(call: Call) -> Response:
    return json_answer(find_version(call).deny(Members(call.body, "rule").text("rule", required=True)).to_dict())


def _dependencies(call: Call) -> Response:
    body = Members(call.body, "columns", *_LIMITS)
    limits = {name: body.number(name, most=most) for name, most in _LIMITS.items()}
    given: dict[str, Any] = {
        name: int(value) if name in _WHOLE else value for name, value in limits.items() if value is not None
    }
    found = find_version(call).find_dependencies(body.texts("columns"), **given)
    return json_answer({"items": [each.to_dict() for each in found]})


def _label_issues(call: Call) -> Response:
    body = Members(call.body, "label", "features", "probabilities", "folds", "rank_by")
    found = find_version(call).label_issues(
        body.text("label", required=True),
        body.texts("features"),
        probabilities=_probabilities(body.given().get("probabilities")),
        folds=body.text("folds"),
        rank_by=body.choice("rank_by", ("self_confidence", "margin")),
    )
    return json_answer(found.to_dict())


def _probabilities(given: Any) -> NDArray[np.float64] | None:
    if given is None:
        return None
    rows = given if isinstance(given, list) and given and all(isinstance(row, list) for row in given) else [[None]]
    width = len(rows[0])
    if not all(len(row) == width and all(type(cell) in (int, float) for cell in row) for row in rows):
        raise UsageError(
            "'probabilities' is no list of rows of numbers.", hint="Write a number for each class: [[0.9, 0.1]]."
        )
    return np.asarray(rows, np.float64)


def _priority(call: Call) -> Response:
    body = Members(call.body, "plan", "label", "features")
    plan = _plan(call, body)
    found = find_version(call).cleaning_priority(plan, body.text("label", required=True), body.texts("features"))
    table = pa.table({"row_id": found.rows, "score": found.scores})
    return rows_answer(call.headers, table.schema, table.to_batches(), limit=table.num_rows)


def _route(verb: str, answer: Any, summary: str, example: Any, **more: Any) -> Route:
    told = {"scope": "datasets:read", "is_long": True, **more}
    return Route(
        method="POST",
        path=f"{VERSION}:{verb}",
        answer=answer,
        summary=summary,
        body=BodyKind.JSON,
        example=example,
        deepest=_DEEPEST,
        **told,
    )


_COMMITS: Final = {"scope": "datasets:write", "success": 201}
ROUTES: Final = (
    _route(
        "suggest-cleaning",
        _suggest,
        "Look at the rows and suggest how to clean them, as a plan; nothing is changed",
        {"columns": ["carrier"], "min_confidence": 0.5},
        forms=TEXT_FORMS,
    ),
    _route(
        "preview-cleaning",
        _preview,
        "Say what a plan would change; nothing is written",
        {"plan": _PLAN},
        forms=TEXT_FORMS,
    ),
    _route(
        "cleaning-statistics",
        _statistics,
        "Return all statistics of the columns that a plan changes, before or after it, as a table",
        {"plan": _PLAN, "side": "after"},
        gives=Gives.ROWS,
    ),
    _route(
        "clean",
        _commit,
        "Do what a plan says, as one version that keeps the plan; when nothing changes, the version itself",
        {"plan": _PLAN, "message": "spring cleaning"},
        **_COMMITS,
    ),
    _route(
        "undo-cleaning",
        _undo,
        "Bring back what was there before the cleaning that made this version",
        {"message": "the delays were real"},
        **{**_COMMITS, "is_long": False},
    ),
    _route(
        "deny",
        _deny,
        "Find the rows that break a rule over rows (t) or pairs of rows (t and u)",
        {"rule": "t.carrier = u.carrier AND t.origin <> u.origin"},
    ),
    _route(
        "find-dependencies",
        _dependencies,
        "Find functional dependencies between columns that hold, or nearly",
        {"columns": ["carrier", "origin"], "max_error": 0.05},
    ),
    _route(
        "label-issues",
        _label_issues,
        "Find labels that are probably wrong, by confident learning",
        {"label": "late", "features": ["arr_delay"]},
    ),
    _route(
        "cleaning-priority",
        _priority,
        "Rank the rows that a plan would touch by what cleaning them may change in a model of the label",
        {"plan": _PLAN, "label": "late", "features": ["arr_delay"]},
        gives=Gives.ROWS,
    ),
)
