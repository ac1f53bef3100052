"""Feature services: listed, materialized, joined to rows point in time."""

from typing import Any, Final

from starlette.responses import Response

from foldstore.api.answers import PAGE, json_answer, page_answer, rows_answer
from foldstore.api.body import Members, read_rows
from foldstore.api.query import QueryParameter
from foldstore.api.route import BodyKind, Call, Route

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


def _materialize(call: Call) -> Response:
    like = Members(call.body, "like").text("like")
    training = None if like is None else call.store.training_set(like)
    return json_answer({"materialized": call.store.features.materialize(_address(call), like=training)})


def _join(call: Call) -> Response:
    joined = call.store.features.get_historical_features(
        read_rows(call.body),
        _address(call),
        event_timestamp=call.query.text("event_timestamp"),
        full_feature_names=call.query.flag("full_feature_names"),
    )
    return rows_answer(call.headers, joined.schema, joined.to_batches(), limit=joined.num_rows)


ROUTES: Final = (
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
        summary="Lay a service's features out for lookups, from the newest inputs or those of a training set",
        body=BodyKind.JSON,
        example={"like": "arrival_training"},
    ),
    Route(
        method="POST",
        path=f"{_PATH}:join",
        scope="datasets:read",
        answer=_join,
        summary="Join features to rows as they were known at each row's own time",
        parameters=(
            QueryParameter("event_timestamp", "The column of asking times, where there are several.", "ts"),
            QueryParameter("full_feature_names", "true names them view__feature.", "false"),
        ),
        body=BodyKind.ROWS,
    ),
)
