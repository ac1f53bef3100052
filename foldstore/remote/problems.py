"""From a problem document (RFC 9457) to the exception that the store itself would have raised."""

import json
from collections.abc import Iterator
from typing import Any, Final

from foldstore import errors
from foldstore.errors import ConflictError, FoldstoreError, StoreError

_MOST_BYTES: Final = 1 << 20
# Behind it a hint names routes, for whoever has no handles.
OVER_HTTP: Final = " Over HTTP: "
# Of answers that come from something between us and the store, such as a proxy, only the status is known.
_BY_STATUS: Final[dict[int, type[FoldstoreError]]] = {
    401: errors.RefusedError,
    403: errors.RefusedError,
    404: errors.NotFoundError,
    409: errors.ConflictError,
}


def _family(kind: type[FoldstoreError]) -> Iterator[type[FoldstoreError]]:
    yield kind
    for child in kind.__subclasses__():
        if child.__module__ == errors.__name__:
            yield from _family(child)


_BY_NAME: Final = {kind.__name__: kind for kind in _family(FoldstoreError)}


def error_of(status: int, body: bytes) -> FoldstoreError:
    """Return the error that an answer tells of: its class, its code, its message and its hint.

    Examples
    --------
    >>> told = b'{"error": "ColumnNotFoundError", "code": "column-not-found", "detail": "No such column."}'
    >>> error_of(404, told)
    ColumnNotFoundError('No such column.')
    """
    document = _document(body)
    code, detail = document.get("code"), document.get("detail")
    if not isinstance(code, str) or not isinstance(detail, str):
        return StoreError(
            f"The server answered {status}, and not in the way that Foldstore does.",
            hint="Ask whether the URL is that of a Foldstore server, and what stands before it.",
            code="unexpected-answer",
            status=status,
        )
    hint = document.get("hint")
    said = detail if status < 500 else f"{detail} Its log has it as {document.get('instance')}."
    return _build(_class_of(status, document), said, _own_words(hint), code, bool(document.get("retry")))


def _own_words(hint: object) -> str | None:
    return hint.partition(OVER_HTTP)[0] if isinstance(hint, str) else None


def _class_of(status: int, document: dict[str, Any]) -> type[FoldstoreError]:
    found = _BY_NAME.get(str(document.get("error")))
    if found is not None:
        return found
    coarse = _BY_STATUS.get(status, errors.UsageError if status < 500 else StoreError)
    return coarse if coarse.code != "commit-conflict" or document["code"] == coarse.code else errors.UsageError


def _build(kind: type[FoldstoreError], message: str, hint: str | None, code: str, retry: bool) -> FoldstoreError:  # noqa: FBT001
    if issubclass(kind, ConflictError):
        error: FoldstoreError = kind(message, retry=retry, hint=hint)
        error.code = code  # type: ignore[misc]  # an instance may be more precise than its class
        return error
    return kind(message, hint=hint, code=code)


def _document(body: bytes) -> dict[str, Any]:
    try:
        document = json.loads(body[:_MOST_BYTES])
    except (ValueError, RecursionError):
        return {}
    return document if isinstance(document, dict) else {}
