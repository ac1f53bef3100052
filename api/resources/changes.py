"""Commits that change columns, take rows away by key, bring an old version back, or merge a branch."""

from typing import Any, Final

from starlette.responses import Response

from foldstore.api.body import Members, read_rows, rows_of
from foldstore.api.query import QueryParameter
from foldstore.api.resources.datasets import PROPERTIES, RETRY, commit_words, committed, own_version
from foldstore.api.route import BodyKind, Call, Route
from foldstore.dataset import Dataset
from foldstore.errors import UsageError

_PATH: Final = "/v1/datasets/{name}"
_DEEPEST: Final = 12
_ABOUT: Final = ("branch", "message", "properties")


def _dataset(call: Call, branch: str | None) -> Dataset:
    dataset = call.store.dataset(call.path["name"])
    return dataset if branch is None else dataset.branch(branch)


def _change(call: Call, verb: str, member: str, value: Any, **how: Any) -> Response:
    """Commit by a verb of a dataset that takes one thing, which a member of the body names."""
    body = Members(call.body, member, *_ABOUT, *how)
    if value is None:
        raise UsageError(f"The member {member!r} is missing.", hint=f'Write {{"{member}": ...}}.')
    words = commit_words(call, body.text("message"), body.mapping("properties"))
    version = getattr(_dataset(call, body.text("branch")), verb)(value, **how, **words)
    return committed(own_version(version, words))


def _add(call: Call) -> Response:
    return _change(call, "add_columns", "columns", _all(call, "columns").text_mapping("columns"))


def _drop(call: Call) -> Response:
    return _change(call, "drop_columns", "columns", _all(call, "columns").texts("columns"))


def _rename(call: Call) -> Response:
    return _change(call, "rename_columns", "names", _all(call, "names").text_mapping("names"))


def _widen(call: Call) -> Response:
    return _change(call, "widen_columns", "types", _all(call, "types").text_mapping("types"))


def _restore(call: Call) -> Response:
    return _change(call, "restore", "version", _all(call, "version").version("version"))


def _merge(call: Call) -> Response:
    body = _all(call, "theirs", "prefer")
    return _change(call, "merge", "theirs", body.version("theirs"), prefer=body.text("prefer"))


def _compact(call: Call) -> Response:
    body = _all(call, "target_bytes")
    words = commit_words(call, body.text("message"), body.mapping("properties"))
    dataset = _dataset(call, body.text("branch"))
    version = dataset.compact(target_bytes=body.given().get("target_bytes"), **words)
    return committed(own_version(version, words))


def _all(call: Call, *members: str) -> Members:
    return Members(call.body, *members, *_ABOUT)


def _delete_keys(call: Call) -> Response:
    words = commit_words(call, call.query.text("message"), call.query.mapping("properties"))
    version = _dataset(call, call.query.text("branch")).delete(keys=read_rows(call.body), **words)
    return committed(own_version(version, words))


def _join_columns(call: Call) -> Response:
    words = commit_words(call, call.query.text("message"), call.query.mapping("properties"))
    with rows_of(call.body):
        version = _dataset(call, call.query.text("branch")).add_columns(call.body, **words)
    return committed(own_version(version, words))


def _delete(call: Call) -> Response:
    body = _all(call, "where")
    words = commit_words(call, body.text("message"), body.mapping("properties"))
    where = body.text("where", required=True)
    return committed(own_version(_dataset(call, body.text("branch")).delete(where, **words), words))


def _route(verb: str, answer: Any, summary: str, example: Any) -> Route:
    return Route(
        method="POST",
        path=f"{_PATH}:{verb}",
        scope="datasets:write",
        answer=answer,
        is_long=True,
        summary=f"{summary}. {RETRY}",
        body=BodyKind.JSON,
        example=example,
        deepest=_DEEPEST,
        success=201,
    )


def _rows_route(verb: str, answer: Any, summary: str, message: QueryParameter) -> Route:
    """Return a route whose body is rows: what else is said stands in the query."""
    return Route(
        method="POST",
        path=f"{_PATH}:{verb}",
        scope="datasets:write",
        answer=answer,
        is_long=True,
        summary=f"{summary}. {RETRY}",
        parameters=(QueryParameter("branch", "The branch; the main one unless given.", "main"), message, PROPERTIES),
        body=BodyKind.ROWS,
        success=201,
    )


ROUTES: Final = (
    _route(
        "delete",
        _delete,
        "Delete rows by a condition, as a new version",
        {"where": "carrier = 'XX'", "message": "no such carrier"},
    ),
    _rows_route(
        "delete-keys",
        _delete_keys,
        "Delete the rows with some keys, as a new version",
        QueryParameter("message", "Why.", "asked for by the airline"),
    ),
    _route(
        "add-columns",
        _add,
        "Add columns that SQL expressions compute, as a new version",
        {"columns": {"late": "arr_delay > 15"}},
    ),
    _rows_route(
        "join-columns",
        _join_columns,
        "Add the columns of rows that have the key's columns, too, as a new version",
        QueryParameter("message", "What they are.", "scores of the model"),
    ),
    _route("drop-columns", _drop, "Leave columns out, as a new version", {"columns": ["tailnum"]}),
    _route("rename-columns", _rename, "Name columns anew, as a new version", {"names": {"dest": "destination"}}),
    _route("widen-columns", _widen, "Give columns wider types, as a new version", {"types": {"flight": "int64"}}),
    _route("restore", _restore, "Commit an old version's columns and rows as the newest", {"version": "2"}),
    _route("compact", _compact, "Commit the same rows in fewer files", {"message": "after a month of small commits"}),
    _route("merge", _merge, "Commit what another branch did since both were one", {"theirs": "cleaning"}),
)
