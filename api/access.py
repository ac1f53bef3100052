"""Who may do what over HTTP: scopes, roles as named sets of them, and the scope that each route needs.

Default deny: a path that is in neither table does not exist, whatever routes the app has.
"""

from collections.abc import Collection, Mapping
from typing import Final

SCOPES: Final = frozenset(
    {
        "datasets:read",
        "datasets:write",
        "features:read",
        "feedback:write",
        "sql:run",
        "pools:read",
        "pools:evaluate",
        "pools:admin",
        "labels:open",
        "metrics:read",
        "store:care",
        "rows:erase",
        "admin",
    }
)

ROLES: Final[Mapping[str, frozenset[str]]] = {
    "viewer": frozenset({"datasets:read", "features:read", "sql:run"}),
    "editor": frozenset({"datasets:read", "datasets:write", "features:read", "feedback:write", "sql:run"}),
    "serving": frozenset({"features:read", "feedback:write"}),
    "evaluator": frozenset({"datasets:read", "pools:read", "pools:evaluate"}),
    "steward": frozenset({"datasets:read", "pools:read", "pools:admin", "labels:open", "rows:erase"}),
    "keeper": frozenset({"datasets:read", "store:care"}),
    "monitor": frozenset({"metrics:read"}),
    "admin": SCOPES - {"labels:open"},  # only a steward opens sealed labels
}

# Who may ask a pool, or manage it, may see what is left of it; so do tokens that name the one scope alone.
_INCLUDED: Final[Mapping[str, frozenset[str]]] = {"pools:read": frozenset({"pools:evaluate", "pools:admin"})}

PUBLIC_PATHS: Final = frozenset({"/healthz", "/readyz", "/version"})

# None: any token will do.
SCOPE_BY_PATH: Final[Mapping[str, str | None]] = {
    "/v1/features:get": "features:read",
    "/get-online-features": "features:read",
    "/openapi.json": None,
    "/metrics": "metrics:read",
}

# Where the gate leaves the token of a request, for the routes behind it.
PRINCIPAL_KEY: Final = "foldstore.principal"


def permits(scopes: Collection[str], needed: str) -> bool:
    """Say whether some scopes are enough for what needs one.

    Examples
    --------
    >>> permits(["pools:admin"], "pools:read"), permits(["pools:read"], "pools:admin")
    (True, False)
    """
    return needed in scopes or not _INCLUDED.get(needed, frozenset()).isdisjoint(scopes)


def say_who_may(needed: str) -> str:
    """Say which roles have a scope.

    Examples
    --------
    >>> say_who_may("datasets:write")
    'The roles that have it: editor, admin.'
    """
    return f"The roles that have it: {', '.join(role for role, scopes in ROLES.items() if permits(scopes, needed))}."
