"""Datasets: listed, made, described; commits that bring or take rows."""

from collections.abc import Mapping
from contextlib import suppress
from typing import Any, Final

from starlette.responses import Response

from foldstore.api.answers import PAGE, empty_answer, json_answer, page_answer
from foldstore.api.body import Members, rows_of
from foldstore.api.documents import NOTEBOOK_FORMS, document_answer
from foldstore.api.query import QueryParameter
from foldstore.api.route import BodyKind, Call, Route
from foldstore.api.rules import AccessRule
from foldstore.dataset import Dataset
from foldstore.errors import NotFoundError, RefusedError, UsageError
from foldstore.names import check_name
from foldstore.version import Version

_REQUEST: Final = "request"
_COMMITS: Final = ("append", "upsert", "overwrite", "sync")
PROPERTIES: Final = QueryParameter("properties", "Plain data to keep with the version, as JSON.", '{"job":"nightly"}')
RETRY: Final = "A header `Idempotency-Key` makes a retry safe: the second gets the version of the first."


def describe_dataset(dataset: Dataset) -> dict[str, Any]:
    """Return what is known of a dataset as plain data."""
    said = dataset.description.to_dict()
    record = dataset.record
    return {
        **said,
        "name": record.name,
        "key": list(record.key),
        "event_time": record.event_time,
        "derive": dict(record.derive),
        "key_policy": record.key_policy,
        "created_at": record.created_at,
    }


def _list(call: Call) -> Response:
    prefix, search = call.query.text("prefix") or "", call.query.text("search")
    found = [
        each
        for each in call.store.datasets(search=search, tag=call.query.text("tag"))
        if each.name.startswith(prefix) and call.token.may_name(each.name) and _is_found(call, each, search)
    ]
    return page_answer(call.query, [each.name for each in found], lambda place: _listed(call, found[place]))


def _hiding(call: Call, dataset: Dataset) -> list[AccessRule]:
    return [rule for rule in call.rules if rule.is_about(dataset.name)]


def _is_found(call: Call, dataset: Dataset, search: str | None) -> bool:
    """Say whether a text is in what a token may know of a dataset: the name of a hidden column finds nothing."""
    rules = _hiding(call, dataset)
    if search is None or not rules:
        return True
    said = dataset.description
    words = [dataset.name, said.description, said.owner or "", *said.tags]
    with suppress(NotFoundError, RefusedError):  # it has no version, or none that may be seen
        words += dataset.latest.arrow_schema.names
    return any(search.casefold() in word.casefold() for word in words)


def _listed(call: Call, dataset: Dataset) -> dict[str, Any]:
    """Return what is known of a dataset, less what rules hide: columns, and how others are derived of them."""
    told, rules = describe_dataset(dataset), _hiding(call, dataset)
    if not rules:
        return told
    hides = [name for name in (*told["key"], told["event_time"]) if name and any(rule.hides(name) for rule in rules)]
    event_time = None if told["event_time"] in hides else told["event_time"]
    return {**told, "key": [each for each in told["key"] if each not in hides], "event_time": event_time, "derive": {}}


def _create(call: Call) -> Response:
    body = Members(call.body, "name", "key", "event_time", "derive", "key_policy")
    name = check_name(body.text("name", required=True))
    call.check_name(name)
    dataset = call.store.create_dataset(
        name,
        key=body.texts("key") or (),
        event_time=body.text("event_time"),
        derive=body.text_mapping("derive"),
        key_policy=body.text("key_policy") or "error",
    )
    return json_answer(describe_dataset(dataset), 201, {"location": f"/v1/datasets/{name}"})


def _get(call: Call) -> Response:
    return json_answer(describe_dataset(call.store.dataset(call.path["name"])))


def _describe(call: Call) -> Response:
    body = Members(call.body, "owner", "description", "tags", "message")
    dataset = call.store.dataset(call.path["name"])
    dataset.describe(**{name: value for name, value in body.given().items() if value is not None})
    return json_answer(describe_dataset(dataset))


def _descriptions(call: Call) -> Response:
    found = call.store.dataset(call.path["name"]).descriptions()
    return json_answer({"items": [each.to_dict() for each in found]})


def _remove(call: Call) -> Response:
    call.store.remove_empty_dataset(call.path["name"])
    return empty_answer()


def _commit(call: Call) -> Response:
    dataset = call.store.dataset(call.path["name"])
    branch = call.query.text("branch")
    verb = call.query.choice("operation", _COMMITS)
    words = commit_words(call, call.query.text("message"), call.query.mapping("properties"))
    order_by = call.query.names("order_by")
    if order_by is not None:
        words["order_by"] = order_by
    if call.query.flag("evolve"):
        words["evolve"] = True
    if call.query.choice("delete_missing", ("true", "false")) == "false":
        words["delete_missing"] = False
    commit = getattr(dataset if branch is None else dataset.branch(branch), verb)
    with rows_of(call.body):
        version = commit(call.body, **words)
    return committed(own_version(version, words))


def _diff(call: Call) -> Response:
    dataset = call.store.dataset(call.path["name"])
    before, after = (dataset.version(call.query.required(name)) for name in ("before", "after"))
    found = dataset.diff(before, after)
    return document_answer(call, found, found.summary())


def committed(version: Version) -> Response:
    """Answer a commit with the version that it made; one that its gate refused says so by its status."""
    place = f"/v1/datasets/{version.dataset.name}/versions/{version.number}"
    return json_answer(version.to_dict(), 201, {"location": place})


def commit_words(call: Call, message: str | None, properties: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """Return what every commit takes; one that may be sent again remembers what was sent.

    Raises
    ------
    UsageError
        When a property has the name under which that is remembered.
    """
    words: dict[str, Any] = {"message": message or ""}
    if properties:
        if _REQUEST in properties:
            raise UsageError(f"A property is called {_REQUEST!r}.", hint="That one is written by the server.")
        words["properties"] = dict(properties)
    if call.progress is not None:
        words["progress"] = call.progress
    if call.idempotency_key is not None:
        words["idempotency_key"] = call.idempotency_key
        words["properties"] = {**(properties or {}), _REQUEST: call.digest()}
    return words


def own_version(version: Version, words: Mapping[str, Any]) -> Version:
    """Refuse the version of another request that came under the same key."""
    request = words.get("properties", {}).get(_REQUEST)
    if request is not None and version.record.properties.get(_REQUEST) != request:
        raise UsageError(
            f"The Idempotency-Key was used for another request: it made {version.address}.",
            hint="Give each request a key of its own; send the same one again only with the same body.",
            code="idempotency-key-reused",
        )
    return version


ROUTES: Final = (
    Route(
        method="GET",
        path="/v1/datasets",
        scope="datasets:read",
        obeys_rules=True,
        answer=_list,
        summary="List datasets",
        parameters=(
            *PAGE,
            QueryParameter("prefix", "Those whose names begin so.", "fl"),
            QueryParameter("search", "Those with this text in name, description, owner, tags or columns.", "delay"),
            QueryParameter("tag", "Those that have a tag.", "raw"),
        ),
    ),
    Route(
        method="POST",
        path="/v1/datasets",
        scope="datasets:write",
        answer=_create,
        summary="Make an empty dataset",
        body=BodyKind.JSON,
        example={"name": "flights", "key": ["carrier", "flight", "time_hour"], "event_time": "time_hour"},
        success=201,
    ),
    Route(
        method="GET",
        path="/v1/datasets/{name}",
        scope="datasets:read",
        answer=_get,
        summary="Say what is known of a dataset",
    ),
    Route(
        method="POST",
        path="/v1/datasets/{name}:describe",
        scope="datasets:write",
        answer=_describe,
        summary="Give a dataset an owner, a description, tags",
        body=BodyKind.JSON,
        example={"owner": "data@example.org", "description": "Departures", "tags": ["raw"]},
    ),
    Route(
        method="GET",
        path="/v1/datasets/{name}/descriptions",
        scope="datasets:read",
        answer=_descriptions,
        summary="List what was said of a dataset, oldest first",
    ),
    Route(
        method="DELETE",
        path="/v1/datasets/{name}",
        scope="datasets:write",
        answer=_remove,
        summary="Remove a dataset that never had a version",
        success=204,
    ),
    Route(
        method="POST",
        path="/v1/datasets/{name}/versions",
        scope="datasets:write",
        answer=_commit,
        is_long=True,
        summary=f"Commit rows as a new version. {RETRY}",
        parameters=(
            QueryParameter("operation", f"One of {', '.join(_COMMITS)}.", "append"),
            QueryParameter("branch", "The branch; the main one unless given.", "main"),
            QueryParameter("message", "What it brings.", "January"),
            QueryParameter("order_by", "Columns to sort by first, joined by commas.", "departs,carrier"),
            QueryParameter("evolve", "true adds columns that are new.", "false"),
            QueryParameter("delete_missing", "Of sync: false keeps rows whose key is not sent.", "true"),
            PROPERTIES,
        ),
        body=BodyKind.ROWS,
        success=201,
    ),
    Route(
        method="GET",
        path="/v1/datasets/{name}:diff",
        scope="datasets:read",
        answer=_diff,
        forms=NOTEBOOK_FORMS,
        is_long=True,
        summary="Compare two versions",
        parameters=(
            QueryParameter("before", "A version.", "1"),
            QueryParameter("after", "Another.", "2"),
        ),
    ),
)
