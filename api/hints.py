"""Hints that a store gives in Python, with the routes that do the same: who asks by curl has no `store`."""

import re
from collections.abc import Iterator, Mapping
from typing import Final

from foldstore.api.sdk_routes import HANDLES, PACKAGE, RESULTS, routes_in
from foldstore.remote.problems import OVER_HTTP

# A call or a name of Python's, as hints write them: `store.sql(...)`, `version.report`, `widen_columns()`.
_CALL: Final = re.compile(r"(?<![\w.])(?:(?P<on>[a-z_]+(?:\.[a-z_]+)*)\.)?(?P<verb>[a-z_]+)(?P<called>\()?")
_NOUNS: Final = frozenset({*HANDLES, *RESULTS, "foldstore"})
# Of bare verbs, whose they are; steps of views and arguments are no verbs of these.
_BARE: Final = ("dataset", "version", "features", "pool")
_MOST: Final = 3
_NOWHERE: Final = "nothing, it is done where the store is"
_ROLE: Final = "a token of the role that is needed"


def over_http(hint: str | None) -> str | None:
    """Return a hint with the routes of the verbs that it names.

    Examples
    --------
    >>> over_http("Write a query: store.sql(...).")
    'Write a query: store.sql(...). Over HTTP: POST /v1/sql.'
    >>> over_http("Did you mean 'flights'?")
    "Did you mean 'flights'?"
    """
    if not hint or OVER_HTTP in hint:
        return hint
    told = list(dict.fromkeys(_told(hint)))[:_MOST]
    return f"{hint}{OVER_HTTP}{', '.join(told)}." if told else hint


def _told(hint: str) -> Iterator[str]:
    for found in _CALL.finditer(hint):
        on, verb = found["on"], found["verb"]
        if on is None and found["called"] is None:
            continue
        if (on, verb) == ("foldstore", "connect") and "role=" in hint:
            yield _ROLE
            continue
        routes = next(filter(None, (routes_in(_verbs_of(each).get(verb, "")) for each in _holders(on))), [])
        yield from (f"{method} {path}" for method, path in routes)
        if not routes and found["called"] and on is not None and on.partition(".")[0] in ("store", "foldstore"):
            yield _NOWHERE


def _holders(on: str | None) -> Iterator[str]:
    """Yield whose verb it may be: of a name before the dot that is no handle's, a dataset's such as ``flights``."""
    if on is None:
        yield from _BARE
    else:
        yield from (each for each in (on.rpartition(".")[2],) if each in _NOUNS)


def _verbs_of(holder: str) -> Mapping[str, str]:
    return PACKAGE if holder == "foldstore" else {**RESULTS.get(holder, {}), **HANDLES.get(holder, {})}
