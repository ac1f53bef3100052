"""The lookup routes: `POST /v1/features:get`, and `POST /get-online-features` in Feast's shape."""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Protocol

from anyio import to_thread
from fastapi import FastAPI
from starlette.requests import Request
from starlette.responses import Response

from foldstore.api.access import PRINCIPAL_KEY
from foldstore.api.json_values import json_columns
from foldstore.api.request_body import Limits, read_json
from foldstore.api.tokens import Token
from foldstore.datastore.free_text import check_text
from foldstore.errors import RefusedError, UsageError, did_you_mean
from foldstore.lookup_log import MAX_REQUEST_ID
from foldstore.views.instant import format_instant, parse_instant
from foldstore.views.online.result import OnlineColumn, OnlineResult
from foldstore.views.online.status import FeatureStatus

_OURS: Final = ("service", "features", "entities", "at", "full_feature_names", "int64", "request_id")
_FEASTS: Final = (
    "feature_service",
    "features",
    "entities",
    "full_feature_names",
    "at",
    "epoch_for_missing",
    "include_feature_view_version_metadata",
    "request_id",
)
_EPOCH: Final = "1970-01-01T00:00:00Z"
_MANY: Final = 500  # entities; from here on a lookup leaves the event loop


class OnlineFeatures(Protocol):
    """What the routes ask; `foldstore.store` supplies it. Neither method may block for long."""

    def get_online_features(
        self,
        service: str,
        entities: Any,
        at: int | None = None,
        *,
        full_feature_names: bool = False,
        request_id: str | None = None,
    ) -> OnlineResult:
        """Look entities up in a feature service, ``arrival@4``, ``arrival@live``, ``arrival``; now unless told when."""

    def get_features(
        self, features: Sequence[str], entities: Any, at: int | None = None, *, full_feature_names: bool = False
    ) -> OnlineResult:
        """Look entities up in features named ``view:feature``."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Asked:
    """A lookup as a body asks for it."""

    service: str | None
    features: list[str]
    entities: Any
    at: int | None
    full_names: bool
    request_id: str | None


class LookupRoutes:
    """Answers lookups.

    Parameters
    ----------
    features : OnlineFeatures
        What can be looked up.
    limits : Limits
        How much a request may ask.
    """

    __slots__ = ("_features", "_limits")

    def __init__(self, features: OnlineFeatures, limits: Limits) -> None:
        self._features = features
        self._limits = limits

    def add_to(self, app: FastAPI) -> None:
        """Give the app these routes.

        They are Starlette's, not FastAPI's: they read their bodies themselves, and dependencies cost more than a
        lookup does. `DESCRIBED` says in OpenAPI what they take.
        """
        app.add_route("/v1/features:get", self.get, methods=["POST"])
        app.add_route("/get-online-features", self.get_as_feast, methods=["POST"])

    async def get(self, request: Request) -> Response:
        """Answer in our shape: features by name."""
        body = _members(await read_json(request, self._limits), _OURS)
        wide = _choice(body, "int64", ("number", "string")) == "string"
        asked = self._read(request, body, "service")
        result = await self._look(asked)
        return _json(write_answer(result, wide_as_text=wide, request_id=asked.request_id))

    async def get_as_feast(self, request: Request) -> Response:
        """Answer in Feast's shape: a list of columns, the keys first."""
        body = _members(await read_json(request, self._limits), _FEASTS)
        epoch = _flag(body, "epoch_for_missing")
        asked = self._read(request, body, "feature_service")
        result = await self._look(asked)
        missing = _EPOCH if epoch else None
        return _json(write_feast_answer(result, missing_time=missing, request_id=asked.request_id))

    def _read(self, request: Request, body: Mapping[str, Any], service_member: str) -> _Asked:
        service, features = body.get(service_member), body.get("features")
        if (service is None) == (features is None):
            raise UsageError(
                f"Give {service_member!r} or 'features', one of the two.",
                hint='Write "arrival@1", or ["view:feature"].',
            )
        if service is not None and not isinstance(service, str):
            raise UsageError(f"{service_member!r} is not text.", hint='Write "arrival@1".')
        _check_token(request, service)
        return _Asked(
            service=service,
            features=[] if features is None else self._checked_features(features),
            entities=self._checked_entities(body.get("entities")),
            at=_instant(body),
            full_names=_flag(body, "full_feature_names"),
            request_id=_request_id(body, service),
        )

    def _checked_features(self, features: Any) -> list[str]:
        if not isinstance(features, list) or not all(isinstance(name, str) for name in features):
            raise UsageError("'features' is not a list of names.", hint='Write ["view:feature"].')
        if len(features) > self._limits.max_features:
            raise UsageError(
                f"There are {len(features):,} features, more than {self._limits.max_features:,}.",
                hint="Ask for fewer at once.",
                code="too-many-features",
            )
        return features

    def _checked_entities(self, entities: Any) -> Any:
        if not isinstance(entities, dict | list):
            raise UsageError("There are no entities.", hint='Write {"carrier": ["UA"]} or [{"carrier": "UA"}].')
        if _count(entities) > self._limits.max_entities:
            raise UsageError(
                f"There are {_count(entities):,} entities, more than {self._limits.max_entities:,}.",
                hint="Ask in smaller batches.",
                code="too-many-entities",
            )
        return entities

    async def _look(self, asked: _Asked) -> OnlineResult:
        if _count(asked.entities) >= _MANY:
            return await to_thread.run_sync(self._look_now, asked)
        return self._look_now(asked)

    def _look_now(self, asked: _Asked) -> OnlineResult:
        if asked.service is None:
            return self._features.get_features(
                asked.features, asked.entities, asked.at, full_feature_names=asked.full_names
            )
        more = {} if asked.request_id is None else {"request_id": asked.request_id}
        return self._features.get_online_features(
            asked.service, asked.entities, asked.at, full_feature_names=asked.full_names, **more
        )


def write_answer(result: OnlineResult, *, wide_as_text: bool = False, request_id: str | None = None) -> dict[str, Any]:
    """Return an answer in our shape, as plain data."""
    times, columns = _Times(None), list(result.columns())
    return {
        **({} if request_id is None else {"request_id": request_id}),
        "service": result.service,
        "at": format_instant(result.at),
        "entities": {name: _plain(values) for name, values in result.entities.items()},
        "features": {
            column.name: {
                "values": values,
                "statuses": column.statuses,
                "event_timestamps": times.write(column),
                "sources": column.sources,
            }
            for column, values in zip(columns, json_columns(columns, wide_as_text=wide_as_text), strict=True)
        },
    }


def write_feast_answer(
    result: OnlineResult, *, missing_time: str | None = None, request_id: str | None = None
) -> dict[str, Any]:
    """Return an answer in Feast's shape, as plain data; where it has 1970 for no time, `missing_time` stands."""
    times = _Times(missing_time)
    columns = list(result.columns())
    # What a transform made of a value that the request brought stands under its name alone.
    entities = {name: values for name, values in result.entities.items() if name not in result.names}
    keys = [
        {
            "values": _plain(values),
            "statuses": [FeatureStatus.NULL_VALUE if value is None else FeatureStatus.PRESENT for value in values],
            "event_timestamps": [missing_time] * len(values),
        }
        for values in entities.values()
    ]
    features = [
        {
            "values": values,
            "statuses": column.statuses,
            "event_timestamps": times.write(column),
        }
        for column, values in zip(columns, json_columns(columns), strict=True)
    ]
    metadata = {
        **({} if request_id is None else {"request_id": request_id}),
        "feature_names": [*entities, *result.names],
        "service": result.service,
        "as_of": format_instant(result.at),
        "versions": {column.name: column.sources for column in columns},
    }
    return {"metadata": metadata, "results": keys + features}


class _Times:
    """Writes event times, each list once: the features of a view share theirs."""

    def __init__(self, missing: str | None) -> None:
        self._missing = missing
        self._source: list[int | None] | None = None
        self._texts: list[str | None] = []

    def write(self, column: OnlineColumn) -> list[str | None]:
        if column.event_times is not self._source:
            self._source = column.event_times
            self._texts = [self._missing if time is None else format_instant(time) for time in column.event_times]
        return self._texts


def _json(body: dict[str, Any]) -> Response:
    text = json.dumps(body, separators=(",", ":"), allow_nan=False)
    return Response(text, media_type="application/json")


def _members(body: Any, known: Sequence[str]) -> dict[str, Any]:
    if not isinstance(body, dict):
        raise UsageError("The body is not an object.", hint=f"Its members are {', '.join(known)}.")
    for name in body:
        if name not in known:
            raise UsageError(f"The body has no member {ascii(name)[:80]}.", hint=did_you_mean(name[:80], known))
    return body


def _instant(body: Mapping[str, Any]) -> int | None:
    at = body.get("at")
    if at is None:
        return None
    if not isinstance(at, str):
        raise UsageError("'at' is not an instant.", hint='Write "2013-12-30T12:00:00Z".')
    return parse_instant(at)


def _request_id(body: Mapping[str, Any], service: str | None) -> str | None:
    given = body.get("request_id")
    if given is None:
        return None
    if service is None:
        raise UsageError("'request_id' is for lookups of a service.", hint="Name the service, or leave it out.")
    return check_text(given, "'request_id'", MAX_REQUEST_ID, line=True)


def _check_token(request: Request, service: str | None) -> None:
    """Refuse a token of some names what it is not for."""
    token = request.scope.get(PRINCIPAL_KEY)
    if not isinstance(token, Token) or not token.is_bounded:
        return
    if service is None:
        raise RefusedError(
            "Features that are named one by one may be of any service, and this token is for some names.",
            hint="Name a service, or ask for a token of all names.",
        )
    token.check_name(service.partition("@")[0])


def _flag(body: Mapping[str, Any], name: str) -> bool:
    value = body.get(name, False)
    if not isinstance(value, bool):
        raise UsageError(f"{name!r} is not true or false.", hint="Write true or false.")
    return value


def _choice(body: Mapping[str, Any], name: str, choices: Sequence[str]) -> str:
    value = body.get(name, choices[0])
    if value not in choices:
        raise UsageError(f"{name!r} is none of {', '.join(choices)}.", hint=f"Write {choices[0]!r}, or leave it out.")
    return str(value)


def _count(entities: Any) -> int:
    if isinstance(entities, list):
        return len(entities)
    return max((len(values) for values in entities.values() if isinstance(values, list)), default=0)


def _plain(values: Sequence[Any]) -> list[Any]:
    """Return what a request brought, for JSON; it came from it, but for callers in the same process."""
    return [value if isinstance(value, str | int | None) or _is_finite(value) else str(value) for value in values]


def _is_finite(value: object) -> bool:
    return isinstance(value, float) and math.isfinite(value)


def _described(summary: str, example: Mapping[str, Any]) -> dict[str, Any]:
    body = {"schema": {"type": "object"}, "example": example}
    return {
        "post": {
            "tags": ["features"],
            "summary": summary,
            "requestBody": {"required": True, "content": {"application/json": body}},
            "responses": {
                "200": {
                    "description": "What is known of the entities",
                    "content": {"application/json": {"schema": {"type": "object"}}},
                }
            },
        }
    }


DESCRIBED: Final[Mapping[str, Any]] = {
    "/v1/features:get": _described(
        "Look features up",
        {"service": "arrival@1", "entities": {"carrier": ["UA", "B6"]}, "at": "2013-12-30T12:00:00Z"},
    ),
    "/get-online-features": _described(
        "Look features up, in Feast's shape",
        {"features": ["carrier_delay:mean_delay_3h"], "entities": {"carrier": ["UA"]}, "full_feature_names": False},
    ),
}
