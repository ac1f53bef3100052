"""Monitors: set, run, looked back at.

Whom to tell is nothing that a caller gives: an address would be one that the server posts to from inside its own
network, and a command one that it runs. Callers are given what was found, tell by themselves, and say so.
"""

from collections.abc import Iterator
from typing import Final

from starlette.responses import Response

from foldstore.api.answers import PAGE, json_answer, page_answer
from foldstore.api.body import Members
from foldstore.api.route import BodyKind, Call, Route
from foldstore.errors import NotFoundError, UsageError, did_you_mean
from foldstore.monitor import Monitor
from foldstore.names import parse_address
from foldstore.notify import TellLater
from foldstore.validation.column_bounds import DriftPolicy
from foldstore.validation.document import read_record

_PATH: Final = "/v1/monitors/{name}"
_TELL: Final = ("nothing", "failure", "always")


def _may_see(call: Call, monitor: Monitor) -> bool:
    return all(call.token.may_name(name) for name in (monitor.name, *monitor.datasets))


def _seen(call: Call) -> Iterator[Monitor]:
    """Yield the monitors of which a token may name everything."""
    monitors = call.store.monitors
    return filter(lambda each: _may_see(call, each), map(monitors.find, monitors.list_names()))


def _find(call: Call) -> Monitor:
    """Return the monitor that the path names; one that looks at what the token is not for is not there."""
    name = call.path["name"]
    found = next((each for each in _seen(call) if each.name == name), None)
    if found is None:
        known = [each.name for each in _seen(call)]
        raise NotFoundError(f"There is no monitor {ascii(name)[:120]}.", hint=did_you_mean(name[:100], known))
    return found


def _described(monitor: Monitor) -> dict[str, object]:
    return {"name": monitor.name, **monitor.to_dict()}


def _list(call: Call) -> Response:
    found = list(_seen(call))
    return page_answer(call.query, [each.name for each in found], lambda place: _described(found[place]))


def _get(call: Call) -> Response:
    return json_answer(_described(_find(call)))


def _set(call: Call) -> Response:
    body = Members(call.body, "datasets", "drift", "limits", "trends", "message")
    datasets = body.texts("datasets")
    if datasets is None:
        raise UsageError("The member 'datasets' is missing.", hint='Write {"datasets": ["flights"]}.')
    for name in datasets:
        call.check_name(name)
    if call.path["name"] in call.store.monitors.list_names():
        _find(call)  # not to be replaced by whom some of its datasets are hidden from
    limits = body.mapping("limits")
    made = call.store.monitors.set(
        call.path["name"],
        datasets,
        drift=body.text("drift"),
        limits=read_record(DriftPolicy, limits, "limits") if limits else None,
        trends=body.flag("trends", default=True),
        message=body.text("message") or "",
    )
    return json_answer(_described(made))


def _run(call: Call) -> Response:
    tell = Members(call.body, "tell").choice("tell", _TELL)
    notify = None if tell == "nothing" else TellLater(on=tell)
    found = call.store.monitors.run(_find(call).name, notify=notify)
    return json_answer({"items": [each.to_dict() for each in found]})


def _waiting(call: Call) -> Response:
    return json_answer({"items": call.store.monitors.waiting(_find(call).name)})


def _history(call: Call) -> Response:
    found = [
        each
        for each in call.store.monitors.history(_find(call).name)
        if call.token.may_name(parse_address(each.address).name)  # it may have looked at others before
    ]
    places = [f"{place:012}" for place in range(len(found))]
    return page_answer(call.query, places, lambda place: found[place].to_dict())


def _note_told(call: Call) -> Response:
    body = Members(call.body, "address", "told")
    address = body.text("address", required=True)
    call.check_name(parse_address(address).name)
    noted = call.store.monitors.note_told(_find(call).name, address, body.texts("told") or [])
    return json_answer(noted.to_dict())


ROUTES: Final = (
    Route(
        method="GET",
        path="/v1/monitors",
        scope="datasets:read",
        answer=_list,
        summary="List the monitors by name",
        parameters=PAGE,
    ),
    Route(method="GET", path=_PATH, scope="datasets:read", answer=_get, summary="Return a monitor"),
    Route(
        method="PUT",
        path=_PATH,
        scope="datasets:write",
        answer=_set,
        summary="Keep a monitor under a name; it begins with the datasets' first versions",
        body=BodyKind.JSON,
        example={"datasets": ["flights"], "drift": "rolling(5)", "limits": {"tau_error": 0.3}, "trends": True},
    ),
    Route(
        method="POST",
        path=f"{_PATH}:run",
        scope="datasets:write",
        answer=_run,
        is_long=True,
        summary="Look at the versions that came since the last run, and keep what is found; the caller tells of it",
        body=BodyKind.JSON,
        example={"tell": "failure"},
    ),
    Route(
        method="GET",
        path=f"{_PATH}/waiting",
        scope="datasets:read",
        answer=_waiting,
        summary="List the versions that the next run looks at",
    ),
    Route(
        method="GET",
        path=f"{_PATH}/history",
        scope="datasets:read",
        answer=_history,
        summary="List what a monitor has found, oldest first",
        parameters=PAGE,
    ),
    Route(
        method="POST",
        path=f"{_PATH}:note-told",
        scope="datasets:write",
        answer=_note_told,
        summary="Say who was told of what was found at a version, or that it failed",
        body=BodyKind.JSON,
        example={"address": "flights@3", "told": ["webhook"]},
    ),
)
