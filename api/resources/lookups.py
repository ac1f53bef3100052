"""Lookups as rows: each feature with its status and its event time, in the types of the source, Arrow if asked for."""

import json
from typing import Any, Final

from starlette.responses import Response

from foldstore.api.answers import rows_answer
from foldstore.api.body import Members
from foldstore.api.route import BodyKind, Call, Gives, Route
from foldstore.datastore.free_text import check_text
from foldstore.errors import UsageError
from foldstore.lookup_log import MAX_REQUEST_ID
from foldstore.names import parse_address
from foldstore.views.instant import parse_instant
from foldstore.views.online.result import OnlineResult

_META: Final = "foldstore.lookup"
_MOST: Final = 100_000


def _look_up(call: Call) -> Response:
    body = Members(call.body, "service", "features", "entities", "at", "full_feature_names", "request_id")
    given = body.given()
    service, features = body.text("service"), body.texts("features")
    if (service is None) == (features is None):
        raise UsageError(
            "Give 'service' or 'features', one of the two.", hint='Write "arrival@1", or ["view:feature"].'
        )
    entities = given.get("entities")
    if _count(entities) > _MOST:
        raise UsageError(
            f"There are more than {_MOST:,} entities.", hint="Ask in smaller batches.", code="too-many-entities"
        )
    at = None if given.get("at") is None else parse_instant(body.text("at", required=True))
    full, request_id = body.flag("full_feature_names"), body.text("request_id")
    if request_id is not None:
        check_text(request_id, "'request_id'", MAX_REQUEST_ID, line=True)
        if service is None:
            raise UsageError("'request_id' is for lookups of a service.", hint="Name the service, or leave it out.")
    if features is not None:
        call.refuse_bounded("A lookup of features without their service")
        found = call.store.features.get_features(features, entities, at, full_feature_names=full)
    else:
        call.check_name(parse_address(service).name)
        found = call.store.features.get_online_features(
            service or "", entities, at, full_feature_names=full, request_id=request_id
        )
    return _answer(call, found)


def _answer(call: Call, found: OnlineResult) -> Response:
    table = found.to_arrow(include_statuses=True, include_event_timestamps=True)
    said = {
        "service": found.service,
        "at": found.at,
        "entities": {name: list(values) for name, values in found.entities.items()},
        "sources": {column.name: list(column.sources) for column in found.columns()},
    }
    table = table.replace_schema_metadata({_META: json.dumps(said)})
    return rows_answer(call.headers, table.schema, table.to_batches(), limit=table.num_rows)


def _count(entities: Any) -> int:
    if isinstance(entities, list):
        return len(entities)
    columns = entities.values() if isinstance(entities, dict) else ()
    return max((len(each) for each in columns if isinstance(each, list)), default=0)


ROUTES: Final = (
    Route(
        method="POST",
        path="/v1/features:look-up",
        scope="features:read",
        answer=_look_up,
        gives=Gives.ROWS,
        summary="Look features up as rows: each with its status and event time, exact as Arrow",
        body=BodyKind.JSON,
        example={"service": "arrival@1", "entities": {"carrier": ["UA", "B6"]}, "at": "2013-12-30T12:00:00Z"},
    ),
)
