"""Training sets: made, listed, described, made again."""

from typing import Any, Final

from starlette.responses import Response

from foldstore.api.answers import PAGE, json_answer, page_answer
from foldstore.api.body import Members
from foldstore.api.route import BodyKind, Call, Route
from foldstore.names import check_name, parse_address
from foldstore.training_set import PROPERTY, TrainingSet
from foldstore.version import Version

_FLAGS: Final = ("full_feature_names", "filter_by_created_timestamp")


def _describe(training: TrainingSet) -> dict[str, Any]:
    inputs = training.inputs
    return {
        "address": training.address,
        "version": training.version.to_dict(),
        "split": training.split.address,
        "labels": inputs.labels,
        "features": inputs.features,
        "names": list(inputs.names),
        "pins": dict(inputs.pins),
        "inputs": inputs.to_dict(),
    }


def _brief(version: Version) -> dict[str, Any]:
    described: Any = version.record.properties[PROPERTY]
    return {
        "address": version.address,
        "labels": described["labels"],
        "features": described["features"],
        "rows": version.num_rows,
        "created_at": version.record.created_at,
    }


def _list(call: Call) -> Response:
    found = [
        version
        for dataset in call.store.datasets()
        if call.token.may_name(dataset.name)
        for version in dataset.versions()
        if isinstance(version.record.properties.get(PROPERTY), dict)
    ]
    names = [f"{each.dataset.name}@{each.number:020}" for each in found]
    return page_answer(call.query, names, lambda place: _brief(found[place]))


def _find(call: Call) -> TrainingSet:
    return call.store.training_set(f"{call.path['name']}@{call.path['ref']}")


def _get(call: Call) -> Response:
    return json_answer(_describe(_find(call)))


def _create(call: Call) -> Response:
    body = Members(call.body, "name", "labels", "features", "event_timestamp", "allow_exact_match", "message", *_FLAGS)
    name = check_name(body.text("name", required=True))
    labels, features = body.text("labels", required=True), body.text("features", required=True)
    for each in (name, parse_address(labels).name, parse_address(features).name):
        call.check_name(each)
    training = call.store.features.create_training_set(
        name,
        labels=labels,
        features=features,
        event_timestamp=body.text("event_timestamp"),
        allow_exact_match=body.flag("allow_exact_match", default=True),
        message=body.text("message") or "",
        full_feature_names=body.flag(_FLAGS[0]),
        filter_by_created_timestamp=body.flag(_FLAGS[1]),
    )
    place = f"/v1/training-sets/{name}/versions/{training.version.number}"
    told = {**_describe(training), "found": training.found}
    return json_answer(told, 200 if training.found else 201, {"location": place})


def _reproduce(call: Call) -> Response:
    return json_answer(call.store.features.reproduce(_find(call)).to_dict())


_PATH: Final = "/v1/training-sets/{name}/versions/{ref}"
ROUTES: Final = (
    Route(
        method="GET",
        path="/v1/training-sets",
        scope="datasets:read",
        answer=_list,
        summary="List the versions that are training sets",
        parameters=PAGE,
    ),
    Route(
        method="POST",
        path="/v1/training-sets",
        scope="datasets:write",
        answer=_create,
        is_long=True,
        summary="Join features to the rows of a split and commit the result, or find what was made of the same before",
        body=BodyKind.JSON,
        example={"name": "arrival_training", "labels": "flights@5#by_month", "features": "arrival@1"},
        success=201,
        finds=True,
    ),
    Route(
        method="GET",
        path=_PATH,
        scope="datasets:read",
        answer=_get,
        summary="Say what a training set was made of",
    ),
    Route(
        method="POST",
        path=f"{_PATH}:reproduce",
        scope="datasets:read",
        answer=_reproduce,
        is_long=True,
        summary="Make a training set again from what it pins, and compare to the bit; nothing is kept",
    ),
)
