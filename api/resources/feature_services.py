"""Feature services: applied, listed, materialized, joined to rows point in time."""

from functools import partial
from typing import Any, Final

import pyarrow as pa
from starlette.responses import Response

from foldstore.api.answers import PAGE, json_answer, page_answer, rows_answer
from foldstore.api.body import Members, read_rows
from foldstore.api.query import QueryParameter
from foldstore.api.route import BodyKind, Call, Gives, Route
from foldstore.datastore.exact_cast import is_text
from foldstore.errors import RefusedError, UsageError
from foldstore.names import parse_address
from foldstore.training_set import TrainingSet
from foldstore.views.features.definition_set import DefinitionSet
from foldstore.views.features.feature_view import SqlSource

_BREAKS: Final = "breaks-consumers"
_DEEPEST: Final = 16
_FLAGS: Final = ("full_feature_names", "filter_by_created_timestamp")
_PATH: Final = "/v1/feature-services/{name}/versions/{ref}"


def _address(call: Call) -> str:
    return f"{call.path['name']}@{call.path['ref']}"


def _list(call: Call) -> Response:
    found = [each for each in call.store.features.list_services() if call.token.may_name(each.partition("@")[0])]
    return page_answer(call.query, sorted(found), lambda place: {"address": sorted(found)[place]})


def _get(call: Call) -> Response:
    service = call.store.features.service(_address(call))
    names: dict[str, Any] = {"features": service.output_names(full_feature_names=True)}
    return json_answer({**names, "definition": service.to_dict()})


def _definitions(call: Call, *members: str) -> tuple[Members, DefinitionSet]:
    """Read what was sent; the names of its services and of the datasets that it reads must be the token's."""
    body = Members(call.body, "definitions", *members)
    found = DefinitionSet.from_dict(body.mapping("definitions", required=True))
    for name in found.services:
        call.check_name(name)
    for view in found.views.values():
        if isinstance(view.source, SqlSource):
            call.refuse_bounded("A query in a definition")
        else:
            call.check_name(parse_address(view.source).name)
    return body, found


def _apply(call: Call) -> Response:
    body, definitions = _definitions(call, "message", "allow_breaking")
    try:
        applied = call.store.features.apply_file(
            definitions, message=body.text("message") or "", allow_breaking=body.flag("allow_breaking")
        )
    except RefusedError as error:
        if error.code == _BREAKS:
            call.refuse_bounded("Whom this would break")
        raise
    return json_answer({"applied": applied}, 201)


def _plan(call: Call) -> Response:
    _, definitions = _definitions(call)
    call.refuse_bounded("Whom a change would break")
    return json_answer(call.store.features.plan(definitions).to_dict())


def _materialize(call: Call) -> Response:
    body = Members(call.body, "like", "full")
    like = _training_set(call, body.text("like"))
    materialize = partial(call.store.features.materialize, like=like, full=body.flag("full"), progress=call.progress)
    return json_answer({"materialized": materialize(_address(call))})


def _training_set(call: Call, address: str | None) -> TrainingSet | None:
    return None if address is None else call.store.training_set(address)


def _history(call: Call) -> Response:
    body = Members(call.body, "start", "end", "like", *_FLAGS, "allow_exact_match", "event_timestamp")
    joined = call.store.features.get_historical_features(
        None,
        _address(call),
        event_timestamp=body.text("event_timestamp"),
        **{name: body.flag(name) for name in _FLAGS},
        allow_exact_match=body.flag("allow_exact_match", default=True),
        start=body.text("start"),
        end=body.text("end"),
        like=_training_set(call, body.text("like")),
    )
    return rows_answer(call.headers, joined.schema, joined.to_batches(), limit=joined.num_rows)


def _asking(call: Call) -> pa.Table:
    """Return the rows that ask; JSON has no times, so theirs are read from text."""
    rows = read_rows(call.body)
    name = call.query.text("event_timestamp") or "event_timestamp"
    place = rows.schema.get_field_index(name)
    if call.body.suffix != ".jsonl" or place < 0 or not is_text(rows.schema.field(place).type):
        return rows
    for kind in (pa.timestamp("ns", "UTC"), pa.timestamp("ns")):  # all with a zone, or all without one
        try:
            return rows.set_column(place, name, rows.column(place).cast(kind))
        except pa.ArrowInvalid:
            continue
    raise UsageError(f"Not every {name!r} is a time.", hint="Write them alike, as 2026-01-31T00:00:00Z.")


def _join(call: Call) -> Response:
    joined = call.store.features.get_historical_features(
        _asking(call),
        _address(call),
        like=_training_set(call, call.query.text("like")),
        event_timestamp=call.query.text("event_timestamp"),
        full_feature_names=call.query.flag("full_feature_names"),
        filter_by_created_timestamp=call.query.flag("filter_by_created_timestamp"),
        allow_exact_match=call.query.choice("allow_exact_match", ("true", "false")) == "true",
    )
    return rows_answer(call.headers, joined.schema, joined.to_batches(), limit=joined.num_rows)


_EXAMPLE: Final = {
    "entities": {"carrier": {"keys": {"carrier": "string"}}},
    "views": {"delays": {"entity": "carrier", "source": "hourly", "event_time": "ts", "features": ["mean"]}},
    "services": {"arrival": {"features": ["delays"]}},
}
ROUTES: Final = (
    Route(
        method="POST",
        path="/v1/feature-services",
        scope="datasets:write",
        answer=_apply,
        summary="Apply services as new versions, all or none; what would break a user is refused unless allowed",
        body=BodyKind.JSON,
        deepest=_DEEPEST,
        example={"definitions": _EXAMPLE, "message": "from the hourly table", "allow_breaking": False},
        success=201,
    ),
    Route(
        method="POST",
        path="/v1/feature-services:plan",
        scope="datasets:read",
        answer=_plan,
        summary="Say what applying services would do, and whom it would break",
        body=BodyKind.JSON,
        deepest=_DEEPEST,
        example={"definitions": _EXAMPLE},
    ),
    Route(
        method="GET",
        path="/v1/feature-services",
        scope="features:read",
        answer=_list,
        summary="List feature services, every version",
        parameters=PAGE,
    ),
    Route(
        method="GET",
        path=_PATH,
        scope="features:read",
        answer=_get,
        summary="Return a service's definition and the names of its features",
    ),
    Route(
        method="POST",
        path=f"{_PATH}:materialize",
        scope="datasets:write",
        answer=_materialize,
        is_long=True,
        summary="Lay a service's features out for lookups, from the newest inputs or those of a training set",
        body=BodyKind.JSON,
        example={"like": "arrival_training", "full": True},
    ),
    Route(
        method="POST",
        path=f"{_PATH}:join",
        scope="datasets:read",
        answer=_join,
        gives=Gives.ROWS,
        is_long=True,
        summary="Join features to rows as they were known at each row's own time",
        parameters=(
            QueryParameter("event_timestamp", "The column of asking times, where there are several.", "ts"),
            QueryParameter("full_feature_names", "true names them view__feature.", "false"),
            QueryParameter("filter_by_created_timestamp", "true joins what was written down by then.", "false"),
            QueryParameter("allow_exact_match", "false hides rows stamped at the asking time itself.", "true"),
            QueryParameter("like", "A training set: what it was made of is read.", "arrival_training"),
        ),
        body=BodyKind.ROWS,
    ),
    Route(
        method="POST",
        path=f"{_PATH}:history",
        scope="datasets:read",
        answer=_history,
        gives=Gives.ROWS,
        is_long=True,
        summary="Return every entity's features at every instant at which something new was known of it",
        body=BodyKind.JSON,
        example={"start": "2013-01-01T00:00:00Z", "end": "2013-02-01T00:00:00Z", "full_feature_names": False},
    ),
)
