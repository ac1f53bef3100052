"""Feedback on a service: predictions, outcomes, and the labels that they make."""

from dataclasses import asdict
from pathlib import Path
from typing import Any, Final

import pyarrow as pa
from starlette.responses import Response

from foldstore.api.answers import json_answer
from foldstore.api.body import Members, read_rows
from foldstore.api.query import QueryParameter
from foldstore.api.route import BodyKind, Call, Route
from foldstore.errors import UsageError
from foldstore.version import Version


def _rows(given: Any) -> pa.Table:
    if not isinstance(given, list) or not given or not all(isinstance(row, dict) for row in given):
        raise UsageError("'rows' is no list of objects.", hint='Write [{"request_id": "r1", "late": true}].')
    names = dict.fromkeys(name for row in given for name in row)
    try:
        return pa.table({name: [row.get(name) for row in given] for name in names})
    except (pa.ArrowInvalid, pa.ArrowTypeError, OverflowError) as error:
        raise UsageError("A column of 'rows' has values of several types.", hint="Give each column one.") from error


def _answer(made: Version) -> Response:
    return json_answer({"address": made.address, "num_rows": made.num_rows, "status": str(made.status)}, 201)


def _check(call: Call, dataset: str) -> None:
    """The rows go into a dataset, which must be the token's as well."""
    call.check_name(getattr(call.store.features.feedback.datasets(call.path["name"]), dataset))


def _predictions(call: Call) -> Response:
    service = f"{call.path['name']}@{call.path['ref']}"
    if isinstance(call.body, Path):
        rows, model = read_rows(call.body), call.query.required("model")
    else:
        body = Members(call.body, "rows", "model")
        rows, model = _rows(body.given().get("rows")), body.text("model", required=True)
    return _answer(call.store.features.feedback.log_predictions(service, rows, model=model))


def _outcomes(call: Call) -> Response:
    is_file = isinstance(call.body, Path)
    rows = read_rows(call.body) if is_file else _rows(Members(call.body, "rows").given().get("rows"))
    return _answer(call.store.features.feedback.log_outcomes(call.path["name"], rows))


def _datasets(call: Call) -> Response:
    return json_answer(asdict(call.store.features.feedback.datasets(call.path["name"])))


def _labels(call: Call) -> Response:
    _check(call, "labels")
    return _answer(
        call.store.features.feedback.make_labels(call.path["name"], message=call.query.text("message") or "")
    )


ROUTES: Final = (
    Route(
        method="GET",
        path="/v1/feature-services/{name}/feedback",
        scope="features:read",
        answer=_datasets,
        summary="Name the datasets that hold the feedback of a service",
    ),
    Route(
        method="POST",
        path="/v1/feature-services/{name}/versions/{ref}/predictions",
        scope="feedback:write",
        answer=_predictions,
        summary="Keep what a model predicted for requests that this version answered; as JSON, or as rows",
        parameters=(QueryParameter("model", "Which model, where rows are sent.", "git:abc123"),),
        body=BodyKind.EITHER,
        example={"model": "git:abc123", "rows": [{"request_id": "r1", "prediction": 0.7}]},
        success=201,
    ),
    Route(
        method="POST",
        path="/v1/feature-services/{name}/outcomes",
        scope="feedback:write",
        answer=_outcomes,
        summary="Keep what came of requests; a later outcome of one replaces that before; as JSON, or as rows",
        body=BodyKind.EITHER,
        example={"rows": [{"request_id": "r1", "late": True, "observed_at": "2013-12-30T15:00:00Z"}]},
        success=201,
    ),
    Route(
        method="POST",
        path="/v1/feature-services/{name}/labels",
        scope="datasets:write",
        answer=_labels,
        is_long=True,
        summary="Join outcomes to the lookups that were logged, and commit them as rows to learn from",
        parameters=(QueryParameter("message", "Kept with the version.", "labels of January"),),
        success=201,
    ),
)
