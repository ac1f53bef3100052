"""Bearer tokens: `foldstore_<id>_<secret>_<crc>`; of the secret only its SHA-256 is kept.

The id is how a token is looked up, the secret has 256 random bits and so needs no slow hash, and the checksum lets
scanners of sources and logs know a token when they see one.
"""

import hashlib
import hmac
import re
import secrets
import string
import zlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from fnmatch import fnmatchcase
from typing import Any, Final, Protocol

from foldstore.api.access import ROLES, SCOPES
from foldstore.api.problem import UnauthenticatedError
from foldstore.errors import NotFoundError, UsageError, did_you_mean
from foldstore.types import Clock, format_time, parse_time, utc_now

KIND: Final = "token"
_PREFIX: Final = "foldstore"
_BASE62: Final = string.digits + string.ascii_uppercase + string.ascii_lowercase
_ID_LETTERS: Final = string.ascii_lowercase + string.digits
_SECRET_LENGTH: Final = 43  # 62**43 > 2**256
_CRC_LENGTH: Final = 6  # 62**6 > 2**32
_PATTERN: Final = re.compile(r"[a-z0-9_.*-]{1,100}", re.ASCII)
_TOKEN_ID: Final = re.compile(r"[a-z0-9]{8}", re.ASCII)
_TOKEN: Final = re.compile(r"foldstore_([a-z0-9]{8})_([0-9A-Za-z]{43})_([0-9A-Za-z]{6})", re.ASCII)


@dataclass(frozen=True, slots=True, kw_only=True)
class Token:
    """What is known of a token; its secret is not.

    Attributes
    ----------
    id : str
        The eight characters that name it.
    role : str
        The role it was made for.
    scopes : tuple of str
        What it may do.
    label : str
        What it is for.
    created_at : datetime
        When it was made.
    names : tuple of str
        Patterns of the names of datasets, views, services and pools that it is for: ``flights``, ``team-a.*``.
    expires_at, revoked_at : datetime or None
        From when on it does not count.
    """

    id: str
    role: str
    scopes: tuple[str, ...]
    label: str
    created_at: datetime
    expires_at: datetime | None = None
    revoked_at: datetime | None = None
    names: tuple[str, ...] = ("*",)
    secret_hash: str = field(repr=False)

    @property
    def principal(self) -> str:
        """Who acts, as commits and the audit log write it."""
        return f"{self.label or self.role} (token {self.id})"

    @property
    def is_bounded(self) -> bool:
        """Whether there are names that it is not for."""
        return "*" not in self.names

    def may_name(self, name: str) -> bool:
        """Say whether it is for what has this name."""
        return any(fnmatchcase(name, pattern) for pattern in self.names)

    def check_name(self, name: str) -> None:
        """Refuse a name that it is not for in the words for a name that is not there.

        Raises
        ------
        NotFoundError
            When it is not for what has this name.
        """
        if not self.may_name(name):
            raise NotFoundError(f"There is nothing called {ascii(name)[:100]} here.", hint="Check the name.")

    def to_dict(self) -> dict[str, Any]:
        """Return what may be shown, as plain data."""
        return {name: value for name, value in _encode(self).items() if name != "secret_sha256"}


class TokenDocuments(Protocol):
    """Where tokens are kept: the Registry of kind ``token``."""

    def put(self, name: str, body: Any, *, author: str, message: str = "", created_at: str) -> Any:
        """Add a version of a document."""

    def find(self, name: str) -> Any:
        """Return the newest version of a document, its content as `body`; None when there is none."""

    def list_names(self) -> list[str]:
        """List the names that have a document."""


class TokenVault:
    """Makes, revokes and knows tokens.

    Parameters
    ----------
    documents : TokenDocuments
        ``Registry(catalog, "token")``.
    clock : callable
        What time it is.
    """

    __slots__ = ("_documents", "clock")

    def __init__(self, documents: TokenDocuments, *, clock: Clock = utc_now) -> None:
        self._documents = documents
        self.clock = clock

    def create(
        self,
        role: str,
        *,
        author: str,
        label: str = "",
        expires_in: timedelta | None = None,
        scopes: Sequence[str] | None = None,
        names: Sequence[str] = ("*",),
    ) -> tuple[str, Token]:
        """Make a token and return its text, which is shown this once, and what is kept of it.

        Parameters
        ----------
        role : str
            ``viewer``, ``editor``, ``serving``, ``evaluator``, ``steward``, ``keeper``, ``monitor`` or
            ``admin``.
        author : str
            Who makes it.
        label : str
            What it is for.
        expires_in : timedelta, optional
            How long it counts; until it is revoked unless given.
        scopes : sequence of str, optional
            Fewer scopes than the role has.
        names : sequence of str
            What it is for: names of datasets, views, services and pools, in which ``*`` stands for any letters.

        Raises
        ------
        UsageError
            When there is no such role, a scope is not the role's, the label is not text, or the token would have
            expired already or not within the calendar.
        """
        now = self.clock()
        expires_at = None if expires_in is None else _end(now, expires_in)
        _check_label(label)
        token_id = "".join(secrets.choice(_ID_LETTERS) for _ in range(8))
        secret = _base62(int.from_bytes(secrets.token_bytes(32)), _SECRET_LENGTH)
        token = Token(
            id=token_id,
            role=role,
            scopes=_scopes(role, scopes),
            names=_check_names(names),
            label=label[:200],
            created_at=now,
            expires_at=expires_at,
            secret_hash=hash_secret(secret),
        )
        self._keep(token, author, f"token for {role}", now)
        return _with_checksum(f"{_PREFIX}_{token_id}_{secret}"), token

    def revoke(self, token_id: str, *, author: str) -> Token:
        """Make a token count no longer; running servers notice within seconds.

        Raises
        ------
        NotFoundError
            When there is no such token.
        """
        token = self.find(token_id)
        if token is None:
            known = self._documents.list_names()
            raise NotFoundError(f"There is no token {ascii(token_id)[:40]}.", hint=did_you_mean(token_id[:40], known))
        now = self.clock()
        revoked = _decode(_encode(token) | {"revoked_at": format_time(token.revoked_at or now)})
        self._keep(revoked, author, "revoked", now)
        return revoked

    def rotate(self, token_id: str, *, author: str, overlap: timedelta = timedelta(hours=24)) -> tuple[str, Token]:
        """Make a token that may do what an old one may, which expires; return as `create` does.

        Parameters
        ----------
        token_id : str
            The old one.
        author : str
            Who does it.
        overlap : timedelta
            For how long the old one still counts: so long there is to hand the new one out.

        Raises
        ------
        NotFoundError
            When there is no such token, or it counts no more.
        """
        old, now = self.find(token_id), self.clock()
        if old is None or old.revoked_at is not None or (old.expires_at is not None and old.expires_at <= now):
            raise NotFoundError(
                f"There is no token {ascii(token_id)[:40]} that counts.", hint="Make a new one: foldstore token create."
            )
        # It counts for as long as the old one was made for.
        length = None if old.expires_at is None else old.expires_at - old.created_at
        text, token = self.create(
            old.role, author=author, label=old.label, expires_in=length, scopes=old.scopes, names=old.names
        )
        end = _end(now, overlap) if overlap else now
        ends = min(end, old.expires_at) if old.expires_at is not None else end
        self._keep(_decode(_encode(old) | {"expires_at": format_time(ends)}), author, f"rotated to {token.id}", now)
        return text, token

    def find(self, token_id: str) -> Token | None:
        """Return what is known of a token."""
        if not _TOKEN_ID.fullmatch(token_id):
            return None
        document = self._documents.find(token_id)
        return None if document is None else _decode(document.body)

    def list(self) -> list[Token]:
        """List the tokens, by id."""
        found = [self.find(token_id) for token_id in self._documents.list_names()]
        return [token for token in found if token is not None]

    def _keep(self, token: Token, author: str, message: str, now: datetime) -> None:
        self._documents.put(token.id, _encode(token), author=author, message=message, created_at=format_time(now))


def parse_token(text: str) -> tuple[str, str]:
    """Return a token's id and secret.

    Raises
    ------
    UnauthenticatedError
        When the text is not a token, or its checksum is wrong.
    """
    match = _TOKEN.fullmatch(text)
    if match is None or not hmac.compare_digest(_with_checksum(text[: -_CRC_LENGTH - 1]), text):
        raise unauthenticated()
    return match[1], match[2]


def check_token(token: Token | None, secret_hash: str, now: datetime) -> Token:
    """Return the token when the secret with a hash is its own and it counts; an unknown one takes the same work.

    Raises
    ------
    UnauthenticatedError
        When it does not count.
    """
    expected = _NOBODYS_HASH if token is None else token.secret_hash
    right = hmac.compare_digest(secret_hash, expected)
    if not right or token is None or token.revoked_at is not None:
        raise unauthenticated()
    if token.expires_at is not None and token.expires_at <= now:
        raise unauthenticated()
    return token


def unauthenticated() -> UnauthenticatedError:
    """Build the one error for no token, a wrong, an unknown, an expired and a revoked one."""
    return UnauthenticatedError(
        "This needs a valid token.",
        hint="Send the header 'Authorization: Bearer foldstore_...'; `foldstore token create` makes one.",
    )


def _end(now: datetime, expires_in: timedelta) -> datetime:
    if expires_in <= timedelta(0):
        raise UsageError("The token would be expired already.", hint="Give a length of time above zero.")
    try:
        return now + expires_in
    except OverflowError:
        raise UsageError(
            f"A token cannot expire in {expires_in.days:,} days: that is beyond the year 9999.",
            hint="Leave the time out for a token that counts until it is revoked.",
        ) from None


def _check_label(label: object) -> None:
    if not isinstance(label, str) or any("\ud800" <= letter <= "\udfff" for letter in label):
        raise UsageError(f"The label {ascii(label)[:80]} is not text.", hint="Write it in UTF-8.")


def _check_names(names: Sequence[str]) -> tuple[str, ...]:
    for pattern in names:
        if not isinstance(pattern, str) or not _PATTERN.fullmatch(pattern):
            raise UsageError(
                f"{ascii(pattern)[:60]} is no pattern of names.",
                hint="Write names, with * for any letters: 'flights*'.",
            )
    if not names or isinstance(names, str):
        raise UsageError("A token is for some names.", hint="Write names=['flights*'], or leave it out for all.")
    return tuple(names)


def _scopes(role: str, scopes: Sequence[str] | None) -> tuple[str, ...]:
    if role not in ROLES:
        raise UsageError(f"There is no role {ascii(role)[:40]}.", hint=did_you_mean(str(role)[:40], ROLES))
    allowed = ROLES[role]
    chosen = allowed if scopes is None else frozenset(scopes)
    for scope in sorted(chosen - allowed):
        known = ", ".join(sorted(allowed)) if scope in SCOPES else did_you_mean(scope, SCOPES)
        raise UsageError(f"Role {role!r} does not have the scope {ascii(scope)[:40]}.", hint=f"It has: {known}.")
    return tuple(sorted(chosen))


def _encode(token: Token) -> dict[str, Any]:
    return {
        "id": token.id,
        "role": token.role,
        "scopes": list(token.scopes),
        "names": list(token.names),
        "label": token.label,
        "created_at": format_time(token.created_at),
        "expires_at": None if token.expires_at is None else format_time(token.expires_at),
        "revoked_at": None if token.revoked_at is None else format_time(token.revoked_at),
        "secret_sha256": token.secret_hash,
    }


def _decode(body: Any) -> Token:
    return Token(
        id=body["id"],
        role=body["role"],
        scopes=tuple(body["scopes"]),
        names=tuple(body.get("names", ("*",))),  # tokens of before had none
        label=body["label"],
        created_at=parse_time(body["created_at"]),
        expires_at=None if body["expires_at"] is None else parse_time(body["expires_at"]),
        revoked_at=None if body["revoked_at"] is None else parse_time(body["revoked_at"]),
        secret_hash=body["secret_sha256"],
    )


def hash_secret(secret: str) -> str:
    """Return what is kept of a token's secret."""
    return hashlib.sha256(secret.encode()).hexdigest()


def _with_checksum(text: str) -> str:
    return f"{text}_{_base62(zlib.crc32(text.encode()), _CRC_LENGTH)}"


def _base62(number: int, length: int) -> str:
    digits = ""
    while number:
        number, digit = divmod(number, 62)
        digits = _BASE62[digit] + digits
    return digits.rjust(length, _BASE62[0])


_NOBODYS_HASH: Final = hash_secret("nobody's secret")
