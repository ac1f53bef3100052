"""A route of a resource: its path, the scope it needs, what it takes, and the function that answers.

The gate, the app and the OpenAPI document read the same table of routes, so none of them knows another route than
the others do.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from starlette.convertors import Convertor, register_url_convertor
from starlette.datastructures import Headers
from starlette.responses import Response

from foldstore.api.documents import DocumentForm, form_parameters
from foldstore.api.operations import Operations
from foldstore.api.query import Query, QueryParameter
from foldstore.api.rules import AccessRule
from foldstore.api.sandbox.pool import QueryPool
from foldstore.api.sent_parts import SentParts
from foldstore.api.tokens import Token
from foldstore.datastore.canonical import canonical_json, content_hash
from foldstore.datastore.files import hash_file
from foldstore.errors import RefusedError, UsageError
from foldstore.types import Progress

if TYPE_CHECKING:
    from foldstore.store import Store

# A part of a path that names something: no slash, and no colon, which begins a verb.
_SEGMENT: Final = "[^/:]+"
_IDEMPOTENCY_KEY: Final = re.compile(r"[!-~]{1,200}", re.ASCII)
_PLACE: Final = re.compile(r"\{(\w+)\}")


class BodyKind(StrEnum):
    """What a route takes: JSON, rows, either by its content type, JSON with rows in further parts; or text."""

    NONE = "none"
    JSON = "json"
    ROWS = "rows"
    EITHER = "either"
    TEXT = "text"
    PARTS = "parts"
    PARTS_OR_ROWS = "parts or rows"


class Gives(StrEnum):
    """What a good answer is: an object of JSON, JSON's null, rows in the form that is asked for, or a tar archive."""

    OBJECT = "object"
    NULL = "null"
    ROWS = "rows"
    ARCHIVE = "archive"


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """One request, taken apart and checked for form.

    Attributes
    ----------
    store : Store
        The store as whoever asks may use it.
    token : Token
        Who asks.
    path : mapping of str to str
        What the path names.
    query : Query
        What stands behind the question mark.
    url : str
        Path and query, as they were sent.
    headers : Headers
        The request's headers.
    body : object
        What was sent: plain data of JSON, the path of a file of rows, several of them (`SentParts`), or None.
    queries : QueryPool
        What runs SQL.
    operations : Operations or None
        What is answered later; None of a store that nobody can write to.
    access : str
        Says what the token may read: another text, when that is another.
    progress : callable or None
        Is told how far the work is, of what is answered later.
    rules : sequence of AccessRule
        What is hidden from the token.
    form : DocumentForm or None
        In which form the answer shall be; None for JSON, or rows.
    """

    store: "Store"
    token: Token
    path: Mapping[str, str]
    query: Query
    url: str
    headers: Headers
    body: Any
    queries: QueryPool
    operations: Operations | None = None
    access: str = ""
    progress: Progress | None = None
    rules: Sequence[AccessRule] = ()
    form: DocumentForm | None = None

    @property
    def idempotency_key(self) -> str | None:
        """What a client calls this request by, when it may send it again; each token has its own."""
        key = self.headers.get("idempotency-key")
        if key is None:
            return None
        if not _IDEMPOTENCY_KEY.fullmatch(key):
            raise UsageError(
                "The Idempotency-Key is not 1 to 200 visible characters.",
                hint="A random UUID makes a good one.",
                code="invalid-idempotency-key",
            )
        return f"{self.token.id}:{key}"

    def digest(self) -> str:
        """Return what tells one request from another: its path, its query, its body, and the form of its answer."""
        if isinstance(self.body, SentParts):
            body = self.body.text()
        else:
            body = hash_file(self.body) if isinstance(self.body, Path) else canonical_json(self.body)
        form = [] if self.form is None else [self.form.name]
        return content_hash(canonical_json([self.url, body, *form]).encode())

    def refuse_bounded(self, what: str) -> None:
        """Refuse a token of some names what tells of others, too.

        Raises
        ------
        RefusedError
            When there are names that the token is not for.
        """
        if self.token.is_bounded:
            raise RefusedError(
                f"{what} names datasets that this token is not for.", hint="Ask for a token of all names."
            )

    def check_name(self, name: str) -> None:
        """Refuse a name that the token is not for, as if there were no such thing.

        Raises
        ------
        NotFoundError
            When the token's names leave it out.
        """
        self.token.check_name(name)

    def check_whole(self, name: str) -> None:
        """Refuse to touch a dataset of which the token may not see all.

        Raises
        ------
        NotFoundError
            When the token's names leave it out.
        RefusedError
            With code ``hidden-by-rule``.
        """
        self.check_name(name)
        if any(rule.is_about(name) for rule in self.rules):
            raise hidden_by_rule()


def hidden_by_rule() -> RefusedError:
    """Return the error for whom a rule meets, of what might tell of hidden cells, or touch them."""
    return RefusedError(
        "A rule hides a part of this data from you: rows, SQL and views may be read, and nothing else.",
        hint="Ask for a token that no rule meets.",
        code="hidden-by-rule",
    )


Answer: TypeAlias = Callable[[Call], Response]


@dataclass(frozen=True, kw_only=True)
class Route:
    """One method on one path.

    Attributes
    ----------
    method : str
        ``GET``, ``POST``, ``PUT`` or ``DELETE``.
    path : str
        With places in braces: ``/v1/datasets/{name}``.
    scope : str or None
        What a token must be allowed to do; None when any will do.
    answer : callable
        Does the work, in a thread, and returns the answer.
    summary : str
        One line for the API's description.
    parameters : sequence of QueryParameter
        What may stand behind the question mark; anything else is refused.
    body : BodyKind
        What it takes.
    example : object
        A body that it takes.
    success : int
        The status of a good answer.
    finds : bool
        Whether it also answers 200: of what was there already and is not made again, or was not to be kept.
    gives : Gives
        What a good answer is, unless its status says that there is nothing in it.
    forms : sequence of DocumentForm
        The forms beside JSON that a good answer comes in.
    is_long : bool
        Whether it may be answered later.
    obeys_rules : bool
        Whether it shows nothing that rules hide: it gives rows of versions through the guard, or names alone.
    holds_cells : bool
        Whether the answer may hold cells of versions, so that one that is kept is removed when some are erased.
    answers_once : bool
        Whether a second request under the same Idempotency-Key is given the answer of the first.
    """

    method: str
    path: str
    scope: str | None
    answer: Answer
    summary: str
    parameters: Sequence[QueryParameter] = ()
    body: BodyKind = BodyKind.NONE
    example: Any = None
    success: int = 200
    finds: bool = False
    gives: Gives = Gives.OBJECT
    forms: Sequence[DocumentForm] = ()
    is_long: bool = False
    obeys_rules: bool = False
    holds_cells: bool = True
    answers_once: bool = False
    deepest: int = field(default=8)

    @cached_property
    def asked(self) -> Sequence[QueryParameter]:
        """What may stand behind the question mark, with what chooses a form."""
        return (*self.parameters, *(form_parameters(self.forms) if self.forms else ()))

    @property
    def needs_access(self) -> bool:
        """Whether it must be known what the token may read: of what is answered later."""
        return self.is_long or self.path.startswith("/v1/operations")

    @cached_property
    def pattern(self) -> re.Pattern[str]:
        """What the paths of the route look like."""
        return re.compile("".join(_pattern_of(part) for part in _PLACE.split(self.path)))

    @property
    def places(self) -> list[str]:
        """What the path names."""
        return _PLACE.findall(self.path)

    @property
    def starlette_path(self) -> str:
        """The path as Starlette writes it."""
        return _PLACE.sub(r"{\1:segment}", self.path)

    @property
    def tag(self) -> str:
        """The resource that the API's description lists it under."""
        parts = self.path.split("/")
        return parts[2].partition(":")[0] if len(parts) > 2 else "features"  # the paths of other servers have no /v1


class _Segment(Convertor[str]):
    regex = _SEGMENT

    def convert(self, value: str) -> str:
        return value

    def to_string(self, value: str) -> str:
        return value


register_url_convertor("segment", _Segment())


class RouteTable:
    """All routes of resources, found by path.

    Parameters
    ----------
    routes : sequence of Route
        In the order in which they are tried.
    """

    def __init__(self, routes: Sequence[Route] = ()) -> None:
        self.routes = tuple(routes)

    def find_template(self, method: str, path: str) -> str | None:
        """Return a path with its places in braces; None when no route has it."""
        found = [route for route in self.routes if route.pattern.fullmatch(path)]
        return next((route.path for route in found if route.method == method), found[0].path if found else None)

    def find_scopes(self, path: str) -> dict[str, str | None]:
        """Return the methods that a path has, and the scope that each needs; empty when there is no such path."""
        found = {route.method: route.scope for route in self.routes if route.pattern.fullmatch(path)}
        if "GET" in found:
            found["HEAD"] = found["GET"]
        return found


def _pattern_of(part: str) -> str:
    # Split by a pattern with a group: names of places stand at the odd positions, and are words alone.
    return _SEGMENT if re.fullmatch(r"\w+", part) else re.escape(part)
