"""The routes by which Feast's clients write: rows pushed, services materialized, in the shapes of its server.

Feast 0.67, `sdk/python/feast/feature_server.py`: ``/push``, ``/write-to-online-store``, ``/materialize`` and
``/materialize-incremental`` take these members and answer with null. What a push source is there, a feature view is
here. Its client names a span with every call (`feature_store.py`, `materialize`), and all that is known is laid out, of
which the span is a part: a late row has no span. What would make other values than that is refused.
"""

from collections.abc import Iterator
from typing import Any, Final

from starlette.responses import Response

from foldstore.api.answers import json_answer
from foldstore.api.body import Members, rows_of
from foldstore.api.route import BodyKind, Call, Gives, Route
from foldstore.errors import NotFoundError, UsageError
from foldstore.views.features.feature_view import FeatureView
from foldstore.views.instant import parse_instant

_SCOPE: Final = "datasets:write"


def _push(call: Call) -> Response:
    call.refuse_bounded("A push")
    body = Members(call.body, "push_source_name", "df", "to", "allow_registry_cache", "transform_on_write")
    target: Any = body.text("to") or "online"
    rows = _read_columns(body)
    with rows_of(None):
        call.store.features.push(body.text("push_source_name", required=True), rows, to=target)
    return json_answer(None)


def _read_columns(body: Members) -> dict[str, Any]:
    rows = dict(body.mapping("df", required=True))
    for name, values in rows.items():
        if not isinstance(values, list):
            raise UsageError(f"The values of {ascii(name)[:80]} are not a list.", hint='Write {"driver": [1, 2]}.')
    return rows


def _write_to_online_store(call: Call) -> Response:
    """Take what Feast's remote online store sends: times under names of its own, whatever the view calls them."""
    call.refuse_bounded("A push")
    body = Members(call.body, "feature_view_name", "df", "allow_registry_cache", "transform_on_write")
    name = body.text("feature_view_name", required=True)
    rows = _read_columns(body)
    view = next((view for view in _list_views(call) if view.name == name), None)
    if view is not None:
        for column, own in (("event_timestamp", view.event_time), ("created", view.created_time)):
            if column in rows and column not in view.columns():
                values = rows.pop(column)
                if own is not None:
                    rows.setdefault(own, values)
    with rows_of(None):
        call.store.features.push(name, rows, to="online")
    return json_answer(None)


def _list_views(call: Call) -> Iterator[FeatureView]:
    features = call.store.features
    for address in reversed(features.list_services()):
        for selection in features.service(address).selections:
            yield selection.view


def _materialize(call: Call) -> Response:
    body = Members(
        call.body, "start_ts", "end_ts", "feature_views", "disable_event_timestamp", "full_feature_names", "version"
    )
    return _lay_out(call, body, full=True)


def _materialize_incremental(call: Call) -> Response:
    body = Members(call.body, "end_ts", "feature_views", "full_feature_names", "version")
    return _lay_out(call, body, full=False)


def _check_span(body: Members) -> None:
    """Refuse a span that is none, and what would change values.

    Raises
    ------
    UsageError
        When a time cannot be read, the end is before the start, or a version or other event times are asked for.
    """
    given = body.given()
    times = [
        parse_instant(body.text(name, required=True)) for name in ("start_ts", "end_ts") if given.get(name) is not None
    ]
    if times != sorted(times):
        raise UsageError("'end_ts' is before 'start_ts'.", hint="Name the start first.")
    if given.get("version") is not None:
        raise UsageError(
            "A version of a feature view is not materialized by itself.",
            hint="Materialize a version of a service: POST /v1/feature-services/{name}/versions/{version}:materialize.",
        )
    if given.get("disable_event_timestamp"):
        raise UsageError(
            "Rows keep their event times: 'disable_event_timestamp' would give them others.", hint="Leave it out."
        )


def _lay_out(call: Call, body: Members, *, full: bool) -> Response:
    call.refuse_bounded("Materializing feature views")
    _check_span(body)
    wanted = body.given().get("feature_views")
    if wanted is not None and not (isinstance(wanted, list) and all(isinstance(name, str) for name in wanted)):
        raise UsageError("'feature_views' is not a list of names.", hint='Write ["stats"], or leave it out.')
    features = call.store.features
    newest = {address.partition("@")[0]: address for address in features.list_services()}
    views = {address: {each.view.name for each in features.service(address).selections} for address in newest.values()}
    unknown = sorted(set(wanted or ()) - set().union(*views.values()))
    if unknown:
        raise NotFoundError(f"No service has a feature view {ascii(unknown[0])[:80]}.", hint="Apply one that has it.")
    for address, names in views.items():
        if wanted is None or names & set(wanted):
            features.materialize(address, full=full)
    return json_answer(None)


ROUTES: Final = (
    Route(
        method="POST",
        path="/push",
        scope=_SCOPE,
        answer=_push,
        gives=Gives.NULL,
        summary="Push rows to a feature view, in Feast's shape: to online, offline or online_and_offline",
        body=BodyKind.JSON,
        example={
            "push_source_name": "stats",
            "df": {"driver": [1], "ts": ["2024-01-02T00:00:00Z"], "trips": [11]},
            "to": "online",
        },
    ),
    Route(
        method="POST",
        path="/write-to-online-store",
        scope=_SCOPE,
        answer=_write_to_online_store,
        gives=Gives.NULL,
        summary="Push rows online as Feast's remote online store does: times as event_timestamp and created",
        body=BodyKind.JSON,
        example={
            "feature_view_name": "stats",
            "df": {"driver": [1], "event_timestamp": ["2024-01-02T00:00:00"], "created": [None], "trips": [11]},
        },
    ),
    Route(
        method="POST",
        path="/materialize",
        scope=_SCOPE,
        answer=_materialize,
        gives=Gives.NULL,
        is_long=True,
        summary="Lay out anew the newest version of each service that has the views, in Feast's shape",
        body=BodyKind.JSON,
        example={"start_ts": "2024-01-01T00:00:00", "end_ts": "2024-02-01T00:00:00", "feature_views": ["stats"]},
    ),
    Route(
        method="POST",
        path="/materialize-incremental",
        scope=_SCOPE,
        answer=_materialize_incremental,
        gives=Gives.NULL,
        is_long=True,
        summary="Lay down what changed, late rows too, for each service that has the views, in Feast's shape",
        body=BodyKind.JSON,
        example={"end_ts": "2024-02-01T00:00:00", "feature_views": ["stats"]},
    ),
)
