"""The lookup routes: `POST /v1/features:get`, and `POST /get-online-features` in Feast's shape."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, NamedTuple, Protocol, TypeAlias

from anyio import to_thread
from fastapi import FastAPI
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from foldstore.api.access import PRINCIPAL_KEY
from foldstore.api.lookup_text import write_answer, write_feast_answer
from foldstore.api.request_body import Limits, parse_json, read_json_sent
from foldstore.api.tokens import Token
from foldstore.datastore.free_text import check_text
from foldstore.errors import RefusedError, UsageError, did_you_mean
from foldstore.lookup_log import MAX_REQUEST_ID
from foldstore.views.instant import parse_instant
from foldstore.views.online.result import OnlineResult

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
_CONTENT_TYPE: Final = (b"content-type", b"application/json")
_ENTITIES: Final = (dict, list)
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


class _Question(NamedTuple):
    """A lookup that was checked, and what answers it."""

    num_entities: int
    answer: Callable[[], bytes]


class _Asked(NamedTuple):
    """A lookup as a body asks for it."""

    service: str | None
    features: list[str]
    entities: Any
    num_entities: int
    at: int | None
    full_names: bool
    request_id: str | None


Write: TypeAlias = Callable[[OnlineResult], bytes]
Plain: TypeAlias = Callable[[Token, bytes], bytes | None]


class LookupRoutes:
    """Answers lookups.

    Parameters
    ----------
    features : OnlineFeatures
        What can be looked up.
    limits : Limits
        How much a request may ask.
    plain : callable, optional
        Answers the commonest bodies in our shape, None for any other.

    Attributes
    ----------
    by_path : mapping of str to LookupEndpoint
        What answers a POST to each path.
    """

    __slots__ = ("_features", "_limits", "by_path")

    def __init__(self, features: OnlineFeatures, limits: Limits, plain: Plain | None = None) -> None:
        self._features = features
        self._limits = limits
        self.by_path: Mapping[str, LookupEndpoint] = {
            "/v1/features:get": LookupEndpoint(limits, self._get, plain),
            "/get-online-features": LookupEndpoint(limits, self._get_as_feast),
        }

    def add_to(self, app: FastAPI) -> None:
        """Give the app these routes.

        They are bare ASGI: routing, requests as objects and dependencies cost more than a lookup does.
        The app goes past the routing too. `DESCRIBED` says in OpenAPI what they take.
        """
        for path, endpoint in self.by_path.items():
            app.router.routes.append(Route(path, endpoint, methods=["POST"]))

    def _get(self, token: Token | None, said: Any) -> _Question:
        """Answer in our shape: features by name."""
        body = _members(said, _OURS)
        wide = _choice(body, "int64", ("number", "string")) == "string"
        asked = self._read(token, body, "service")
        return self._question(asked, lambda found: write_answer(found, wide_as_text=wide, request_id=asked.request_id))

    def _get_as_feast(self, token: Token | None, said: Any) -> _Question:
        """Answer in Feast's shape: a list of columns, the keys first."""
        body = _members(said, _FEASTS)
        epoch = _flag(body, "epoch_for_missing")
        asked = self._read(token, body, "feature_service")
        return self._question(
            asked, lambda found: write_feast_answer(found, epoch_for_missing=epoch, request_id=asked.request_id)
        )

    def _read(self, token: Token | None, body: Mapping[str, Any], service_member: str) -> _Asked:
        service, features = body.get(service_member), body.get("features")
        if (service is None) == (features is None):
            raise UsageError(
                f"Give {service_member!r} or 'features', one of the two.",
                hint='Write "arrival@1", or ["view:feature"].',
            )
        if service is not None and not isinstance(service, str):
            raise UsageError(f"{service_member!r} is not text.", hint='Write "arrival@1".')
        _check_token(token, service)
        entities = body.get("entities")
        return _Asked(
            service=service,
            features=[] if features is None else self._checked_features(features),
            entities=entities,
            num_entities=self._checked_count(entities),
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

    def _checked_count(self, entities: Any) -> int:
        if not isinstance(entities, _ENTITIES):
            raise UsageError("There are no entities.", hint='Write {"carrier": ["UA"]} or [{"carrier": "UA"}].')
        count = _count(entities)
        if count > self._limits.max_entities:
            raise UsageError(
                f"There are {count:,} entities, more than {self._limits.max_entities:,}.",
                hint="Ask in smaller batches.",
                code="too-many-entities",
            )
        return count

    def _question(self, asked: _Asked, write: Write) -> _Question:
        return _Question(asked.num_entities, lambda: write(self._look(asked)))

    def _look(self, asked: _Asked) -> OnlineResult:
        if asked.service is None:
            return self._features.get_features(
                asked.features, asked.entities, asked.at, full_feature_names=asked.full_names
            )
        more = {} if asked.request_id is None else {"request_id": asked.request_id}
        return self._features.get_online_features(
            asked.service, asked.entities, asked.at, full_feature_names=asked.full_names, **more
        )


class LookupEndpoint:
    """Answers a POST with JSON by JSON.

    Parameters
    ----------
    limits : Limits
        How much a request may ask.
    read : callable
        Checks what a token's body says.
    plain : callable, optional
        Answers the commonest bodies, as they would be answered without it; None for any other.
    """

    __slots__ = ("_plain", "_read", "limits")

    def __init__(
        self, limits: Limits, read: Callable[[Token | None, Any], _Question], plain: Plain | None = None
    ) -> None:
        self.limits = limits
        self._read = read
        self._plain = plain

    def answer_at_once(self, token: Token, body: bytes) -> bytes | None:
        """Answer a whole body; None where that would hold up other requests.

        Raises
        ------
        FoldstoreError
            When the lookup cannot be answered.
        """
        text = None if self._plain is None else self._plain(token, body)
        if text is not None:
            return text
        asked = self._read(token, parse_json(body))
        return None if asked.num_entities >= _MANY else asked.answer()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request behind the gate."""
        said = await read_json_sent(scope, receive, self.limits)
        token = scope.get(PRINCIPAL_KEY)
        asked = self._read(token if isinstance(token, Token) else None, said)
        text = asked.answer() if asked.num_entities < _MANY else await to_thread.run_sync(asked.answer)
        headers = [(b"content-length", b"%d" % len(text)), _CONTENT_TYPE]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": text})


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


def _check_token(token: Token | None, service: str | None) -> None:
    """Refuse a token of some names what it is not for."""
    if token is None or not token.is_bounded:
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
    return max([len(values) for values in entities.values() if isinstance(values, list)], default=0)


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
        {"feature_service": "arrival", "entities": {"carrier": ["UA", "B6"]}, "full_feature_names": False},
    ),
}
