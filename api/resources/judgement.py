"""Schemas, validation, drift, and the queue of versions that wait for a person."""

from collections.abc import Sequence
from typing import Any, Final

from starlette.responses import Response

from foldstore.api.answers import json_answer
from foldstore.api.body import Members
from foldstore.api.documents import HISTORY_FORMS, NOTEBOOK_FORMS, PAGE_FORMS, REPORT_FORMS, TEXT_FORMS, document_answer
from foldstore.api.query import QueryParameter
from foldstore.api.resources.schema_forms import SCHEMA_FORMS, schema_answer
from foldstore.api.resources.versions import VERSION, find_version
from foldstore.api.resources.view_facts import DEEPEST, check_sources
from foldstore.api.route import BodyKind, Call, Route
from foldstore.datastore.statistics.segments import MAX_SEGMENTS
from foldstore.errors import NotFoundError, UsageError
from foldstore.validation.column_bounds import DriftPolicy
from foldstore.validation.document import read_record
from foldstore.validation.drift.comparison import DriftResult
from foldstore.validation.drift.segments import SegmentedDrift
from foldstore.validation.schema import DataSchema
from foldstore.validation.segment_drift import MOST_SEGMENTS


def _schemas(call: Call) -> Response:
    found = call.store.dataset(call.path["name"]).schemas()
    return json_answer(
        {"items": [{"number": n, "id": each.id, "rows": each.to_dict()} for n, each in enumerate(found, 1)]}
    )


def _schema(call: Call) -> Response:
    dataset = call.store.dataset(call.path["name"])
    number = call.query.number("number", default=0, most=10**9)
    schema = _numbered(call, dataset.schemas(), number) if number else dataset.schema
    if schema is None:
        raise NotFoundError(f"{call.path['name']!r} has no schema.", hint="PUT one; :infer-schema proposes one.")
    return schema_answer(call, schema)


def _numbered(call: Call, kept: Sequence[DataSchema], number: int) -> DataSchema:
    if number > len(kept):
        raise NotFoundError(
            f"{call.path['name']!r} has no schema number {number}.", hint=f"It has had {len(kept)}, counted from 1."
        )
    return kept[number - 1]


def _set_schema(call: Call) -> Response:
    body = Members(
        call.body, "schema", "message", "id"
    )  # the id of what was proposed, which may have been edited since
    schema = DataSchema.from_dict(body.mapping("schema", required=True))
    kept = call.store.dataset(call.path["name"]).set_schema(
        schema, message=body.text("message") or "", author=call.token.principal
    )
    return json_answer({"id": kept.id, "schema": kept.to_dict()})


def _infer(call: Call) -> Response:
    label, categorical = call.query.text("label"), call.query.names("categorical") or ()
    schema = find_version(call).profile().infer_schema(label=label, categorical=categorical)
    return json_answer({"id": schema.id, "schema": schema.to_dict()})


def _validate(call: Call) -> Response:
    body = Members(call.body, "schema", "environment", "rows")
    given = body.mapping("schema")
    report = find_version(call).validate(
        DataSchema.from_dict(given) if given else None,
        rows=body.text("rows") or "all",
        environment=body.text("environment"),
    )
    return document_answer(call, report)


def _drift(call: Call) -> Response:
    body = Members(call.body, "reference", "by", "rows", "policy", "adjustment", "max_segments")
    by, most = _names(body, "by"), body.number("max_segments", most=MOST_SEGMENTS)
    asked: dict[str, Any] = {
        "rows": body.text("rows") or "all",
        "policy": read_policy(body),
        "adjustment": body.choice("adjustment", ADJUSTMENTS),
    }
    if by is not None:
        asked |= {"by": by, "max_segments": MAX_SEGMENTS if most is None else int(most)}
    elif most is not None:
        raise UsageError("max_segments is about segments.", hint='Name columns: {"by": ["carrier"]}.')
    found: DriftResult | SegmentedDrift = find_version(call).drift(_reference(call, body), **asked)
    return document_answer(call, found)


def _names(body: Members, name: str) -> list[str] | None:
    """Return a member that is one name, or a list of names."""
    return [str(body.text(name))] if isinstance(body.given().get(name), str) else body.texts(name)


def read_policy(body: Members) -> DriftPolicy | None:
    """Return when a change counts, as a body says; None for the defaults."""
    given = body.mapping("policy")
    return read_record(DriftPolicy, given, "policy") if given else None


def _reference(call: Call, body: Members) -> Any:
    """Return other rows: of an address, of the specification of a view, or of the versions before."""
    given = body.given().get("reference")
    if isinstance(given, dict):
        view = call.store.view(given)
        check_sources(call, view)
        return view
    text = body.text("reference", required=True)
    return text if text == "previous" or "(" in text else call.store.view(text)


def _concept(call: Call) -> Response:
    body = Members(call.body, "reference", "label", "features", "rows")
    found = find_version(call).concept_drift(
        _reference(call, body),
        body.text("label", required=True),
        body.texts("features"),
        rows=body.text("rows") or "all",
    )
    return document_answer(call, found)


def _two_sample(call: Call) -> Response:
    body = Members(call.body, "reference", "columns", "rows", "sample")
    sample = body.number("sample", most=1 << 16)
    found = find_version(call).two_sample_test(
        _reference(call, body),
        body.texts("columns"),
        rows=body.text("rows") or "all",
        **({} if sample is None else {"sample": int(sample)}),
    )
    return document_answer(call, found)


def _trends(call: Call) -> Response:
    query = call.query
    found = find_version(call).trends(
        query.required("every"),
        query.names("columns"),
        time=query.text("time"),
        season=query.number("season", default=1, most=10_000, least=1),
        rows=query.choice("rows", ("all", "added")),
    )
    return document_answer(call, found)


def _trends_of_versions(call: Call) -> Response:
    query = call.query
    last = None if query.text("last") is None else query.number("last", default=1, most=10_000, least=1)
    season = query.number("season", default=1, most=10_000, least=1)
    found = call.store.dataset(call.path["name"]).trends(query.names("columns"), last=last, season=season)
    return document_answer(call, found)


def _report_history(call: Call) -> Response:
    query = call.query
    found = call.store.dataset(call.path["name"]).report_history(
        query.names("columns"),
        last=query.number("last", default=50, most=1_000, least=1),
        rows=query.choice("rows", ("added", "all")),
    )
    return document_answer(call, found)


def _reviews(call: Call) -> Response:
    every = call.query.flag("every")
    found = call.store.dataset(call.path["name"]).reviews(every=every)
    return json_answer({"items": [review.to_dict() for review in found]})


ADJUSTMENTS: Final = ("bh", "by", "holm")
_TREND: Final = (
    QueryParameter("columns", "Which columns, joined by commas; all unless given.", "arr_delay"),
    QueryParameter("season", "Compare each with that so many before.", "7", "integer"),
)
ROUTES: Final = (
    Route(
        method="GET",
        path="/v1/datasets/{name}/schemas",
        scope="datasets:read",
        answer=_schemas,
        summary="List the schemas that were set, oldest first",
    ),
    Route(
        method="GET",
        path="/v1/datasets/{name}/schema",
        scope="datasets:read",
        answer=_schema,
        summary="Return the schema that gates the dataset, or one of before by its number",
        parameters=(QueryParameter("number", "Which of those that were set, from 1; the newest unless given.", "1"),),
        forms=SCHEMA_FORMS,
    ),
    Route(
        method="PUT",
        path="/v1/datasets/{name}/schema",
        scope="datasets:write",
        answer=_set_schema,
        summary="Set the schema that gates the dataset from now on",
        body=BodyKind.JSON,
        example={"schema": {"columns": {"carrier": {"type": "string"}}}, "message": "first"},
        deepest=16,
    ),
    Route(
        method="POST",
        path=f"{VERSION}:infer-schema",
        scope="datasets:read",
        answer=_infer,
        is_long=True,
        summary="Propose a schema from the statistics of a version; nothing is kept",
        parameters=(
            QueryParameter("label", "What is learnt: it belongs to training alone.", "late"),
            QueryParameter("categorical", "Whole numbers that are names, joined by commas.", "flight"),
        ),
    ),
    Route(
        method="POST",
        path=f"{VERSION}:validate",
        scope="datasets:read",
        answer=_validate,
        is_long=True,
        forms=REPORT_FORMS,
        summary="Judge a version by the dataset's schema or by another; `passed` says how it went",
        body=BodyKind.JSON,
        example={"environment": "serving"},
        deepest=16,
    ),
    Route(
        method="POST",
        path=f"{VERSION}:drift",
        scope="datasets:read",
        answer=_drift,
        is_long=True,
        forms=PAGE_FORMS,
        summary="Compare distributions with those of another address, or of the versions before; by segment, too",
        body=BodyKind.JSON,
        example={"reference": "flights@1", "by": ["carrier"], "policy": {"tau_error": 0.3}, "adjustment": "holm"},
        deepest=DEEPEST,
    ),
    Route(
        method="POST",
        path=f"{VERSION}:concept-drift",
        scope="datasets:read",
        answer=_concept,
        is_long=True,
        forms=NOTEBOOK_FORMS,
        summary="Say for each feature whether the label depends on it as it did in other rows",
        body=BodyKind.JSON,
        example={"reference": "flights@1", "label": "late"},
        deepest=DEEPEST,
    ),
    Route(
        method="POST",
        path=f"{VERSION}:two-sample-test",
        scope="datasets:read",
        answer=_two_sample,
        is_long=True,
        forms=TEXT_FORMS,
        summary="Test whether a classifier can tell the rows from other rows",
        body=BodyKind.JSON,
        example={"reference": "flights@1"},
        deepest=DEEPEST,
    ),
    Route(
        method="GET",
        path=f"{VERSION}/trends",
        scope="datasets:read",
        answer=_trends,
        is_long=True,
        forms=TEXT_FORMS,
        summary="Say how columns went over spans of time, and where their level changed",
        parameters=(
            QueryParameter("every", "The length of a span.", "1d"),
            *_TREND,
            QueryParameter("time", "The column of times; the event time unless given.", "departs"),
            QueryParameter("rows", "all, or added: those that the version brought.", "all"),
        ),
    ),
    Route(
        method="GET",
        path="/v1/datasets/{name}/trends",
        scope="datasets:read",
        answer=_trends_of_versions,
        is_long=True,
        forms=TEXT_FORMS,
        summary="Say how columns went over the published versions, and where their level changed",
        parameters=(*_TREND, QueryParameter("last", "Only so many versions, the newest.", "100", "integer")),
    ),
    Route(
        method="GET",
        path="/v1/datasets/{name}/report-history",
        scope="datasets:read",
        answer=_report_history,
        is_long=True,
        forms=HISTORY_FORMS,
        summary="Say how columns went over the published versions, to be drawn: quantiles, and nulls",
        parameters=(
            _TREND[0],
            QueryParameter("last", "At most so many versions, the newest.", "50", "integer"),
            QueryParameter("rows", "added: each version counts with what it brought; or all.", "added"),
        ),
    ),
    Route(
        method="GET",
        path="/v1/datasets/{name}/reviews",
        scope="datasets:read",
        answer=_reviews,
        summary="List the quarantined versions that wait for a person",
        parameters=(QueryParameter("every", "true lists those that are decided, too.", "false"),),
    ),
)
