"""What the server says of itself as an OpenAPI document: every route, what it takes, and what it answers with."""

from collections.abc import Mapping
from http import HTTPStatus
from typing import Any, Final

from foldstore.api.access import PUBLIC_PATHS
from foldstore.api.multipart import MULTIPART
from foldstore.api.request_body import JSON_ROWS, ROW_ENDINGS
from foldstore.api.route import BodyKind, Gives, Route, RouteTable
from foldstore.api.row_forms import JSON, MEDIA
from foldstore.api.sent_parts import DOCUMENT
from foldstore.datastore.backup_archive import TAR

_BEARER: Final = {"type": "http", "scheme": "bearer", "description": "A token: `foldstore_...`."}
_PROBLEM: Final = {
    "type": "object",
    "description": "What went wrong (RFC 9457).",
    "required": ["type", "title", "status", "detail", "instance", "code", "hint", "error"],
    "additionalProperties": False,
    "properties": {
        "type": {"type": "string", "description": "`urn:foldstore:error:` and the code."},
        "title": {"type": "string"},
        "status": {"type": "integer", "minimum": 400, "maximum": 599},
        "detail": {"type": "string", "description": "What was wrong."},
        "instance": {"type": "string", "description": "The number of this very request; the log of the server has it."},
        "code": {"type": "string", "pattern": "^[a-z0-9]+(-[a-z0-9]+)*$", "description": "Stable."},
        "hint": {"type": ["string", "null"], "description": "What exists, or what to do."},
        "error": {"type": ["string", "null"], "description": "The class of the error in Python."},
        "retry": {"type": "boolean", "description": "Of a conflict: whether the same again may do."},
    },
}
_WRONG: Final = {
    "description": "What went wrong",
    "content": {"application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}},
}

_PREFER: Final = {
    "name": "Prefer",
    "in": "header",
    "required": False,
    "description": "respond-async has it answered later; wait= lets it have so many seconds first (RFC 7240).",
    "schema": {"type": "string"},
    "example": "respond-async, wait=5",
}
_WITH_PARTS: Final = frozenset({BodyKind.PARTS, BodyKind.PARTS_OR_ROWS})
_WITH_JSON: Final = _WITH_PARTS | {BodyKind.JSON, BodyKind.EITHER}
_WITH_ROWS: Final = frozenset({BodyKind.ROWS, BodyKind.EITHER, BodyKind.PARTS_OR_ROWS})
_PARTS: Final = {
    "type": "object",
    "description": "The document as the part `request`; each further part holds rows, in a kind of rows that it says.",
    "properties": {DOCUMENT: {"type": "object"}},
    "additionalProperties": {"type": "string", "format": "binary"},
}
_LATER: Final = {
    "description": "It is answered later: `Location` names the operation.",
    "headers": {"Location": {"schema": {"type": "string"}}},
    "content": {JSON: {"schema": {"type": "object"}}},
}


def complete(document: dict[str, Any], more: Mapping[str, Any]) -> dict[str, Any]:
    """Return a document with more paths; each operation says that it needs a token, and how it says what went wrong.

    Parameters
    ----------
    document : dict
        An OpenAPI document.
    more : mapping of str to object
        Paths that it has not.
    """
    paths = {**document["paths"], **more}
    for path, operations in paths.items():
        for operation in operations.values():
            operation["responses"].setdefault("default", _WRONG)
            if path not in PUBLIC_PATHS:
                operation["security"] = [{"token": []}]
    components = {"schemas": {"Problem": _PROBLEM}, "securitySchemes": {"token": _BEARER}}
    return {**document, "paths": paths, "components": components}


def describe(table: RouteTable) -> dict[str, Any]:
    """Describe the routes for OpenAPI."""
    paths: dict[str, dict[str, Any]] = {}
    for route in table.routes:
        paths.setdefault(route.path, {})[route.method.lower()] = _operation(route)
    return paths


def _operation(route: Route) -> dict[str, Any]:
    inside = [_parameter("path", name, "The name.", required=True) for name in route.places]
    asked = [_parameter("query", each.name, each.what, kind=each.kind, example=each.example) for each in route.asked]
    found: dict[str, Any] = {
        "tags": [route.tag],
        "summary": route.summary,
        "operationId": f"{route.method.lower()}{_words(route.path)}",
        "parameters": [*inside, *asked],
        "responses": {str(route.success): _answer(route)},
        "x-scope": route.scope,
    }
    if route.finds:
        found["responses"]["200"] = {**_answer(route), "description": "It was there already, or nothing was to be kept"}
    if route.is_long:
        found["parameters"].append(_PREFER)
        found["responses"]["202"] = _LATER
    content: dict[str, Any] = {}
    if route.body in _WITH_JSON:
        content["application/json"] = {"schema": {"type": "object"}, "example": route.example}
    if route.body in _WITH_ROWS:
        binary = {"schema": {"type": "string", "format": "binary"}}
        content |= dict.fromkeys(ROW_ENDINGS, binary)
        content.setdefault(JSON_ROWS, {"schema": {"type": "array", "items": {"type": "object"}}})
    if route.body is BodyKind.TEXT:
        content["text/plain"] = {"schema": {"type": "string"}, "example": route.example}
    if route.body in _WITH_PARTS:
        content[MULTIPART] = {"schema": _PARTS}
    if content:
        # No body is an object without members: whether that is enough, the route says.
        found["requestBody"] = {"required": route.body in (BodyKind.ROWS, BodyKind.TEXT), "content": content}
    return found


def _answer(route: Route) -> dict[str, Any]:
    if route.success == HTTPStatus.NO_CONTENT:
        return {"description": "Done"}
    plain = {"schema": {"type": "null" if route.gives is Gives.NULL else "object"}}
    binary = {"schema": {"type": "string", "format": "binary"}}
    if route.gives is Gives.ARCHIVE:
        return {"description": "Done", "content": {TAR: binary}}
    if route.gives is not Gives.ROWS:
        others = {form.media: {"schema": {"type": "string"}} for form in route.forms}
        return {"description": "Done", "content": {JSON: plain, **others}}
    return {"description": "Done", "content": {JSON: plain, **dict.fromkeys(MEDIA[1:], binary)}}


def _parameter(
    place: str, name: str, what: str, *, required: bool = False, kind: str = "string", example: str = ""
) -> Mapping[str, Any]:
    plain: dict[str, Any] = {"name": name, "in": place, "required": required, "description": what}
    plain["schema"] = {"type": kind}
    if example:
        plain["example"] = {"integer": int, "number": float}.get(kind, str)(example)
    return plain


def _words(path: str) -> str:
    """Return a path as one word.

    Examples
    --------
    >>> _words("/v1/datasets/{name}:delete")
    '_datasets_name_delete'
    """
    return (
        "".join(letter if letter.isalnum() else "_" for letter in path.removeprefix("/v1"))
        .replace("__", "_")
        .rstrip("_")
    )
