"""Every error over HTTP: one table of statuses, one form of answer (RFC 9457, `application/problem+json`).

Routes raise; nothing but this module builds an error's answer. What went wrong inside is logged and not told.
"""

import json
import logging
from collections.abc import Mapping
from contextvars import ContextVar
from http import HTTPStatus
from typing import Final
from uuid import uuid4

from fastapi import FastAPI
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from foldstore.api.hints import over_http
from foldstore.errors import (
    AlreadyExistsError,
    CancelledError,
    ConflictError,
    FoldstoreError,
    NotFoundError,
    RefusedError,
    StoreError,
    UnreadableError,
    UsageError,
    ValidationFailedError,
)

MEDIA_TYPE: Final = "application/problem+json"
_LOG = logging.getLogger(__name__)
# The id of the request that is being answered; the answer's header has it, too.
REQUEST_ID: Final[ContextVar[str | None]] = ContextVar("foldstore_request_id", default=None)


class MalformedBodyError(UsageError):
    """A body that is not JSON, or not JSON that anybody means."""

    code = "malformed-body"


class MalformedRowsError(UsageError):
    """A body that holds no rows, or broken ones."""

    code = "malformed-rows"


class BodyTooLargeError(UsageError):
    """A body beyond the limit."""

    code = "body-too-large"


class UnsupportedMediaError(UsageError):
    """A body of a kind that no route takes."""

    code = "unsupported-media-type"


class NotAcceptableError(UsageError):
    """An answer in a form that no route has."""

    code = "not-acceptable"


class BusyError(StoreError):
    """More requests at once than the server takes."""

    code = "busy"


class UncutError(StoreError):
    """A stream of which versions cannot be cut, for what its rows are."""

    code = "stream-stalled"


class StreamBusyError(ConflictError):
    """A stream that another writer has at the moment."""

    code = "stream-busy"


class UnfinishedError(ConflictError):
    """The result of an operation that is not done; ``Retry-After`` says when to look again."""

    code = "operation-unfinished"


class BodyTimeoutError(UsageError):
    """A body that did not arrive in time."""

    code = "body-timeout"


class UnauthenticatedError(RefusedError):
    """No token, or one that does not count."""

    code = "unauthenticated"


class RateLimitedError(RefusedError):
    """More requests than a token or an address may send; ``facts["retry_after"]`` has the seconds to wait."""

    code = "rate-limited"


class NotReadyError(StoreError):
    """The server cannot answer yet, or no longer."""

    code = "not-ready"


class AuditUnavailableError(StoreError):
    """What was to be done cannot be written down, so it is not done."""

    code = "audit-unavailable"


class SqlUnavailableError(StoreError):
    """Queries cannot be locked in on this machine, so none is run."""

    code = "sql-unavailable"


# The nearest class in an error's line of descent decides.
STATUS_BY_ERROR: Final[Mapping[type[FoldstoreError], int]] = {
    MalformedBodyError: 400,
    UnauthenticatedError: 401,
    RateLimitedError: 429,
    RefusedError: 403,
    NotFoundError: 404,
    NotAcceptableError: 406,
    BodyTimeoutError: 408,
    AlreadyExistsError: 409,
    CancelledError: 409,
    UnfinishedError: 409,
    ConflictError: 409,
    UncutError: 409,
    ValidationFailedError: 409,
    BodyTooLargeError: 413,
    UnsupportedMediaError: 415,
    UsageError: 422,
    UnreadableError: 500,
    StoreError: 503,
    FoldstoreError: 500,
}
_CODE_BY_STATUS: Final = {404: "not-found", 405: "method-not-allowed"}


def status_of(error: FoldstoreError) -> int:
    """Return the HTTP status of an error.

    Examples
    --------
    >>> from foldstore.errors import ColumnNotFoundError
    >>> status_of(ColumnNotFoundError("no such column"))
    404
    """
    return next(STATUS_BY_ERROR[kind] for kind in type(error).__mro__ if kind in STATUS_BY_ERROR)


def problem(
    status: int,
    code: str,
    detail: str,
    *,
    hint: str | None = None,
    headers: Mapping[str, str] | None = None,
    error: FoldstoreError | None = None,
) -> Response:
    """Build an answer that says what went wrong; of an error its class, so that a client can raise the same."""
    body = {
        "type": f"urn:foldstore:error:{code}",
        "title": HTTPStatus(status).phrase,
        "status": status,
        "detail": detail,
        "instance": f"urn:uuid:{REQUEST_ID.get() or uuid4()}",
        "code": code,
        "hint": hint,
        "error": None if error is None else _documented(type(error)).__name__,
    }
    if isinstance(error, ConflictError):
        body["retry"] = error.retry
    return Response(json.dumps(body), status, dict(headers or {}), MEDIA_TYPE)


def _documented(kind: type[FoldstoreError]) -> type[FoldstoreError]:
    """Return the nearest class that clients have, too: those of this package are our own."""
    return next(each for each in kind.__mro__ if each.__module__ == FoldstoreError.__module__)


def problem_of(error: Exception) -> Response:
    """Build the answer for an error; what is not the caller's doing is logged, and named by its number alone."""
    if not isinstance(error, FoldstoreError):
        return _internal(500, "internal", error)
    status = status_of(error)
    if status >= 500 and not isinstance(error, NotReadyError | BusyError | SqlUnavailableError):
        return _internal(status, error.code, error)
    headers: dict[str, str] = {}
    if status == 401:
        headers["www-authenticate"] = "Bearer"
    if isinstance(error, BusyError | UnfinishedError | StreamBusyError):
        headers["retry-after"] = "1"
    if isinstance(error, RateLimitedError):
        headers["retry-after"] = str(error.facts["retry_after"])
    if status in {408, 413}:
        headers["connection"] = "close"  # what is left of the body is not read
    return problem(status, error.code, error.message, hint=over_http(error.hint), headers=headers, error=error)


def _internal(status: int, code: str, error: Exception) -> Response:
    told = error if isinstance(error, FoldstoreError) else None
    answer = problem(
        status, code, "The server could not answer.", hint="Report the instance to the operator.", error=told
    )
    _LOG.error("%s", json.loads(bytes(answer.body))["instance"], exc_info=error)
    return answer


def _methods_of(app: FastAPI, path: str) -> set[str]:
    """Return what all routes of a path take; the framework's own answer knows the first of them alone."""
    routes = [route for route in app.routes if isinstance(route, Route) and route.path_regex.match(path)]
    return {method for route in routes for method in route.methods or ()}


def add_problem_handlers(app: FastAPI) -> None:
    """Make the app answer every error in this form, those of the framework included."""

    async def of_foldstore(_request: Request, error: Exception) -> Response:
        return problem_of(error)

    async def of_http(request: Request, error: Exception) -> Response:
        if not isinstance(error, HTTPException):
            return problem_of(error)
        if error.status_code == HTTPStatus.METHOD_NOT_ALLOWED:
            methods = ", ".join(sorted(_methods_of(app, request.url.path)))
            said = f"{request.method[:20]} is none of this path's methods."
            code = _CODE_BY_STATUS[error.status_code]
            return problem(error.status_code, code, said, hint=f"It takes {methods}.", headers={"allow": methods})
        code = _CODE_BY_STATUS.get(error.status_code, "http")
        detail = HTTPStatus(error.status_code).description or HTTPStatus(error.status_code).phrase
        return problem(error.status_code, code, f"{detail}.", headers=error.headers)

    app.add_exception_handler(FoldstoreError, of_foldstore)
    app.add_exception_handler(HTTPException, of_http)
