"""Splits: made, listed, reported."""

from typing import Any, Final

from starlette.responses import Response

from foldstore.api.answers import json_answer
from foldstore.api.body import Members
from foldstore.api.query import QueryParameter
from foldstore.api.resources.versions import VERSION, find_version
from foldstore.api.route import BodyKind, Call, Route
from foldstore.errors import UsageError
from foldstore.folds import Folds
from foldstore.split import Split

_HOW: Final = (
    "train",
    "validation",
    "test",
    "group_by",
    "stratify",
    "duplicates",
    "near_duplicates",
    "similarity",
    "seed",
    "key",
    "by_column",
    "values",
    "by_time",
    "boundaries",
    "purge",
    "embargo",
)


def _describe(split: Split) -> dict[str, Any]:
    return {
        "address": split.address,
        "spec": split.spec.to_dict(),
        "rows": {part: split.part(part).num_rows for part in ("train", "validation", "test")},
    }


def _make(call: Call) -> Response:
    body = Members(call.body, "name", "where", *_HOW)
    name = body.text("name", required=True)
    where = body.texts("where") or []
    how = {key: value for key, value in body.given().items() if key in _HOW}
    split = find_version(call).split_rows(where, name, how)
    return json_answer(_describe(split), 201)


def _find(call: Call) -> Split:
    found = find_version(call).find_sharing(call.path["split"])
    if isinstance(found, Folds):
        raise UsageError(f"{call.path['split']!r} are folds.", hint="Name one of them: its name, a dash, its number.")
    return found


def _get(call: Call) -> Response:
    return json_answer(_describe(_find(call)))


def _report(call: Call) -> Response:
    report = _find(call).report(label=call.query.text("label"), columns=call.query.names("columns"))
    return json_answer(report.to_dict())


def _suggest(call: Call) -> Response:
    return json_answer(find_version(call).suggest_split(call.query.text("label")).to_dict())


ROUTES: Final = (
    Route(
        method="GET",
        path=f"{VERSION}:suggest-split",
        scope="datasets:read",
        answer=_suggest,
        is_long=True,
        summary="Look at the data and suggest how to split it; nothing is made",
        parameters=(QueryParameter("label", "The column to predict.", "late"),),
    ),
    Route(
        method="POST",
        path=f"{VERSION}:split",
        scope="datasets:write",
        answer=_make,
        is_long=True,
        summary="Share the rows out to train, validation and test, for good",
        body=BodyKind.JSON,
        example={"name": "by_tail", "train": 0.7, "validation": 0.15, "test": 0.15, "group_by": ["tailnum"], "seed": 7},
        success=201,
    ),
    Route(
        method="GET",
        path=f"{VERSION}/splits/{{split}}",
        scope="datasets:read",
        answer=_get,
        summary="Say how a split was made, and how large its parts are",
    ),
    Route(
        method="GET",
        path=f"{VERSION}/splits/{{split}}/report",
        scope="datasets:read",
        answer=_report,
        is_long=True,
        summary="Compare the parts of a split with each other",
        parameters=(
            QueryParameter("label", "The column to predict.", "late"),
            QueryParameter("columns", "Which columns are compared, joined by commas.", "carrier,origin"),
        ),
    ),
)
