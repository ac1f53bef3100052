"""What is remembered of a request that was answered, for metrics, logs and the audit."""

from dataclasses import dataclass
from typing import Any, Final

from foldstore.api.tokens import Token

# What names something in a path, and may be written down: values of others, such as tokens' ids, are none.
LOOKUPS: Final = frozenset({"/v1/features:get", "/get-online-features"})


@dataclass(slots=True, kw_only=True)
class RequestRecord:
    """One request and how it was answered.

    Attributes
    ----------
    id : str
        What the answer calls it by.
    method, route : str
        The method, and the route's path with places in braces; ``other`` where there is none.
    named : mapping of str to str
        What the path names.
    status : int
        Of the answer.
    seconds : float
        Until the answer began, and when it has ended until then.
    token : Token or None
        Whose request it was; None when no token counted.
    address : str
        Where it came from.
    """

    id: str
    method: str
    route: str
    named: dict[str, str]
    status: int
    seconds: float
    token: Token | None
    address: str

    @property
    def changes(self) -> bool:
        """Whether it was about to change something."""
        return changes(self.method, self.route) and (self.method != "POST" or self.token is not None)

    def to_dict(self) -> dict[str, Any]:
        """Return it as plain data, without anything secret."""
        token = self.token
        return {
            "request": self.id,
            "method": self.method,
            "route": self.route,
            "named": self.named,
            "status": self.status,
            "token": None if token is None else token.id,
            "role": None if token is None else token.role,
            "label": None if token is None else token.label,
            "address": self.address,
        }


# POST, because they have a body; they leave nothing behind.
READING: Final = LOOKUPS | {"/v1/sql", "/v1/views:read", "/v1/views:count", "/v1/feature-services:plan"}


def changes(method: str, route: str) -> bool:
    """Whether a method on a route may change something.

    Examples
    --------
    >>> changes("POST", "/v1/datasets"), changes("POST", "/v1/sql"), changes("GET", "/v1/datasets")
    (True, False, False)
    """
    return method in ("PUT", "DELETE", "PATCH") or (method == "POST" and route not in READING)
