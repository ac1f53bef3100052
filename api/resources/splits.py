"""Splits and folds: made, looked at, reported."""

from typing import Any, Final

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from starlette.responses import Response

from foldstore.api.answers import json_answer, rows_answer
from foldstore.api.body import Members
from foldstore.api.documents import NOTEBOOK_FORMS, PAGE_FORMS, document_answer
from foldstore.api.query import QueryParameter
from foldstore.api.resources.versions import VERSION, find_version
from foldstore.api.route import BodyKind, Call, Gives, Route
from foldstore.errors import NotFoundError, UsageError
from foldstore.folds import Folds
from foldstore.split import Split

ROW_ID: Final = "row_id"
CODE: Final = "code"
_WHICH_ROWS: Final = (
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
_HOW: Final = ("train", "validation", "test", *_WHICH_ROWS)
_FOLDS: Final = ("k", "inner", "past_only", *_WHICH_ROWS)


def _describe(split: Split) -> dict[str, Any]:
    return {
        "address": split.address,
        "spec": split.spec.to_dict(),
        "rows": {part: split.part(part).num_rows for part in ("train", "validation", "test")},
    }


def _make(call: Call) -> Response:
    body = Members(call.body, "name", "where", "part", *_HOW)
    name = body.text("name", required=True)
    where = body.texts("where") or []
    how = {key: value for key, value in body.given().items() if key in _HOW}
    split = find_version(call).split_rows(where, name, how, _within(call, body))
    return json_answer(_describe(split), 201)


def _within(call: Call, body: Members) -> str | None:
    """Return the part whose rows alone are shared out: ``split.part``."""
    text = body.text("part")
    if text is not None:
        split, _, part = text.rpartition(".")
        find_version(call).find_split(split).part(part)
    return text


def _make_folds(call: Call) -> Response:
    body = Members(call.body, "name", "where", "part", *_FOLDS)
    name = body.text("name", required=True)
    how = {key: value for key, value in body.given().items() if key in _FOLDS}
    folds = find_version(call).fold_rows(body.texts("where") or [], name, how, _within(call, body))
    return json_answer(_describe_folds(folds), 201)


def _describe_folds(folds: Folds) -> dict[str, Any]:
    sizes = np.bincount(folds.codes(), minlength=len(folds) + 1).tolist()
    names = folds.spec.parts
    held = [
        {"name": f"{folds.name}-{number}", "held_out": names[number - 1], "rows": sizes[number]}
        for number in range(1, len(folds) + 1)
    ]
    return {"address": folds.address, "spec": folds.spec.to_dict(), "folds": held, "unassigned": sizes[0]}


def _find_folds(call: Call) -> Folds:
    found = find_version(call).find_sharing(call.path["folds"])
    if not isinstance(found, Folds):
        raise NotFoundError(
            f"{call.path['folds']!r} is a split, or one fold.", hint="GET .../splits/{split} tells of it."
        )
    return found


def _get_folds(call: Call) -> Response:
    return json_answer(_describe_folds(_find_folds(call)))


def _report_folds(call: Call) -> Response:
    return json_answer(
        _find_folds(call).report(columns=call.query.names("columns") or (), **_looked_for(call)).to_dict()
    )


def _looked_for(call: Call) -> dict[str, Any]:
    query = call.query
    return {
        "label": query.text("label"),
        "group_by": query.groups("group_by") or (),
        "duplicates": query.names("duplicates") or (),
        "time": query.text("time"),
    }


def _find(call: Call) -> Split:
    found = find_version(call).find_sharing(call.path["split"])
    if isinstance(found, Folds):
        raise UsageError(f"{call.path['split']!r} are folds.", hint="Name one of them: its name, a dash, its number.")
    return found


def _get(call: Call) -> Response:
    return json_answer(_describe(_find(call)))


def _codes(call: Call) -> Response:
    return _code_rows(call, _find(call).codes())


def _codes_of_folds(call: Call) -> Response:
    return _code_rows(call, _find_folds(call).codes())


def _code_rows(call: Call, codes: NDArray[np.uint8]) -> Response:
    """Answer with the code of each row, in the version's order; which row it is, its id says."""
    limit = None if call.query.text("limit") is None else call.query.number("limit", default=0, most=10**15)
    table = pa.table({ROW_ID: find_version(call).row_ids(), CODE: codes})
    return rows_answer(call.headers, table.schema, table.to_batches(), limit=limit)


def _report(call: Call) -> Response:
    report = _find(call).report(
        columns=call.query.names("columns"),
        near_duplicates=call.query.names("near_duplicates") or (),
        accuracy=call.query.share("accuracy", default=0.9),
        **_looked_for(call),
    )
    return document_answer(call, report)


def _suggest(call: Call) -> Response:
    return document_answer(call, find_version(call).suggest_split(call.query.text("label")))


_LIMIT: Final = QueryParameter("limit", "How many rows at most; of JSON 1,000 unless given.", "100", "integer")
_REPORT: Final = (
    QueryParameter("label", "The column to predict.", "late"),
    QueryParameter("columns", "Which columns are compared, joined by commas.", "carrier,origin"),
    QueryParameter("group_by", "Groups to look for in several parts: columns, or lists of them as JSON.", "tailnum"),
    QueryParameter("duplicates", "Columns whose repetitions are looked for, joined by commas.", "carrier,flight"),
    QueryParameter("time", "The column of times; the event time unless given.", "departs"),
)
ROUTES: Final = (
    Route(
        method="GET",
        path=f"{VERSION}:suggest-split",
        scope="datasets:read",
        answer=_suggest,
        forms=NOTEBOOK_FORMS,
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
        forms=PAGE_FORMS,
        is_long=True,
        summary="Compare the parts of a split with each other",
        parameters=(
            *_REPORT,
            QueryParameter("near_duplicates", "Columns of texts that may be nearly the same.", "remark"),
            QueryParameter(
                "accuracy", "What a model is expected to reach: how exactly test would tell.", "0.9", "number"
            ),
        ),
    ),
    Route(
        method="GET",
        path=f"{VERSION}/splits/{{split}}/codes",
        scope="datasets:read",
        answer=_codes,
        gives=Gives.ROWS,
        summary="Return the part of each row, with the row's id: 0 unassigned, 1 train, 2 validation, 3 test",
        parameters=(_LIMIT,),
    ),
    Route(
        method="GET",
        path=f"{VERSION}/folds/{{folds}}/codes",
        scope="datasets:read",
        answer=_codes_of_folds,
        gives=Gives.ROWS,
        summary="Return the fold of each row, with the row's id: from 1, and 0 for one that is in none",
        parameters=(_LIMIT,),
    ),
    Route(
        method="POST",
        path=f"{VERSION}:folds",
        scope="datasets:write",
        answer=_make_folds,
        is_long=True,
        summary="Share the rows out to folds, each of which is held out once, for good",
        body=BodyKind.JSON,
        example={"name": "cv5", "k": 5, "stratify": ["late"], "seed": 7, "part": "halves.train"},
        success=201,
    ),
    Route(
        method="GET",
        path=f"{VERSION}/folds/{{folds}}",
        scope="datasets:read",
        answer=_get_folds,
        summary="Say how folds were made, and how large they are; each is a split of its own: `cv-1`",
    ),
    Route(
        method="GET",
        path=f"{VERSION}/folds/{{folds}}/report",
        scope="datasets:read",
        answer=_report_folds,
        is_long=True,
        summary="Compare folds with each other",
        parameters=_REPORT,
    ),
)
