"""Where a server is and who asks it: a URL that is checked once, a token that is shown nowhere."""

import ipaddress
import re
import ssl
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, TypedDict
from urllib.parse import SplitResult, urlsplit

from foldstore.errors import RefusedError, UsageError

_PORTS: Final = {"http": 80, "https": 443}
_HOST: Final = re.compile(r"[A-Za-z0-9.:_-]{1,253}", re.ASCII)
_BASE: Final = re.compile(r"(/[A-Za-z0-9._~-]+)*/?", re.ASCII)
_TOKEN: Final = re.compile(r"[!-~]{1,500}", re.ASCII)
_HINT: Final = "Write foldstore.connect('https://store.example', token=...)."


class ServerOptions(TypedDict, total=False):
    """What may be said of a server, and of no folder.

    Attributes
    ----------
    token : str
        Who asks; ``FOLDSTORE_TOKEN``, or the file that ``FOLDSTORE_TOKEN_FILE`` names, unless given.
    timeout : float
        For how many seconds the server may be silent; 60 unless given.
    retries : int
        How often what is safe to ask again is asked again, when the server is busy or the connection breaks; 3 unless
        given.
    ca_file : str or pathlib.Path
        A file of certificates to trust in place of the machine's.
    allow_http : bool
        Send the token in the clear to another machine, too: for a network that is encrypted by other means.
    """

    token: str
    timeout: float
    retries: int
    ca_file: str | Path
    allow_http: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerAddress:
    """A server, and what it is asked with."""

    scheme: str
    host: str
    port: int
    base: str
    token: str = field(repr=False)
    timeout: float = 60.0
    retries: int = 3
    tls: ssl.SSLContext | None = field(default=None, repr=False)

    @property
    def url(self) -> str:
        """The URL, without anything secret."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        port = "" if self.port == _PORTS[self.scheme] else f":{self.port}"
        return f"{self.scheme}://{host}{port}{self.base}"


def read_address(
    url: str,
    *,
    token: str | None,
    timeout: float = 60.0,
    retries: int = 3,
    ca_file: str | Path | None = None,
    allow_http: bool = False,
) -> ServerAddress:
    """Check where a server is, and with what it shall be asked.

    Raises
    ------
    UsageError
        When the URL, the token, the timeout or the number of retries is none; code ``no-token`` without a token.
    RefusedError
        With code ``plain-http`` when a token would go to another machine in the clear.

    Examples
    --------
    >>> read_address("https://store.example/team/", token="foldstore_x")
    ServerAddress(scheme='https', host='store.example', port=443, base='/team', timeout=60.0, retries=3)
    """
    parts = _split(url)
    scheme, host = parts.scheme.lower(), parts.hostname or ""
    _check_numbers(timeout, retries)
    if scheme == "http" and not allow_http and not _is_loopback(host):
        raise RefusedError(
            f"The token would go to {host} in the clear: the URL begins with http.",
            hint="Use https. Where something else encrypts the way there, say allow_http=True.",
            code="plain-http",
        )
    return ServerAddress(
        scheme=scheme,
        host=host,
        port=parts.port or _PORTS[scheme],
        base=parts.path.rstrip("/"),
        token=_check_token(token),
        timeout=float(timeout),
        retries=retries,
        tls=None if scheme == "http" else _trust(ca_file),
    )


def _split(url: str) -> SplitResult:
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        raise UsageError("The URL of the server cannot be read.", hint=_HINT) from None
    if parts.username is not None or parts.password is not None or parts.query or parts.fragment:
        # Not shown: there may be a secret in it.
        raise UsageError("The URL of the server holds more than a host, a port and a path.", hint=_HINT)
    if (
        parts.scheme.lower() not in _PORTS
        or port == 0
        or not _HOST.fullmatch(parts.hostname or "")
        or not _BASE.fullmatch(parts.path)
        or ".." in parts.path
    ):
        raise UsageError(f"{ascii(url)[:200]} is not the URL of a server.", hint=_HINT)
    return parts


def _check_numbers(timeout: object, retries: object) -> None:
    if isinstance(timeout, bool) or not isinstance(timeout, int | float) or not 0 < timeout <= 86_400:
        raise UsageError(f"timeout={ascii(timeout)[:40]} is no number of seconds.", hint="Write timeout=60.")
    if isinstance(retries, bool) or not isinstance(retries, int) or not 0 <= retries <= 20:
        raise UsageError(f"retries={ascii(retries)[:40]} is no number from 0 to 20.", hint="Write retries=3.")


def _check_token(token: object) -> str:
    if token is None:
        raise UsageError(
            "The server wants a token, and there is none.",
            hint="Give token=..., or set FOLDSTORE_TOKEN or FOLDSTORE_TOKEN_FILE. "
            "`foldstore token create` makes one where the store is.",
            code="no-token",
        )
    if not isinstance(token, str) or not _TOKEN.fullmatch(token):
        raise UsageError(
            "The token holds what no token holds.", hint="Take it as it was shown, without blanks or line ends."
        )
    return token


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host.lower() == "localhost"


def _trust(ca_file: str | Path | None) -> ssl.SSLContext:
    try:
        return ssl.create_default_context(cafile=None if ca_file is None else str(ca_file))
    except (OSError, ssl.SSLError) as error:
        raise UsageError(
            f"The file of certificates cannot be read: {error}.", hint="ca_file= names a file in PEM form."
        ) from None
