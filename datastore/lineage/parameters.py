"""The parameters of a run as plain, bounded JSON; what is named like a secret is masked before it is kept."""

import re
from collections.abc import Mapping, Sequence
from datetime import date, datetime
from enum import Enum
from itertools import pairwise
from pathlib import PurePath
from typing import Any, Final

import numpy as np

from foldstore.datastore.canonical import canonical_json
from foldstore.errors import UsageError

MASK: Final = "(masked)"
MAX_PARAMS_BYTES: Final = 65_536
_MAX_DEPTH: Final = 20
_MAX_KEY: Final = 200

_WORDS = re.compile(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])|[0-9]+")
# 'tokens' is not among them: max_tokens is a number that matters.
_SECRET_WORDS: Final = frozenset(
    ("password", "passwd", "passphrase", "pwd", "secret", "secrets", "token", "credential", "credentials", "apikey")
)
_SECRET_PAIRS: Final = frozenset((("api", "key"), ("private", "key"), ("access", "key"), ("account", "key")))
# user:password@ in a URL; key=value and key: value in a message; an HTTP credential.
_URL_PASSWORD = re.compile(r"(://[^/\s:@]*:)[^/\s@]+@")
_ASSIGNED = re.compile(
    r"(?i)([a-z0-9_-]*(?:password|passwd|pwd|secret|token|api[_-]?key|access[_-]?key)[\"']?\s*[=:]\s*)[^\s,;&]+"
)
_BEARER = re.compile(r"(?i)\b(bearer|basic)\s+[a-z0-9._~+/=-]{8,}")


def check_params(params: object) -> dict[str, Any]:
    """Return parameters as plain JSON data, secrets masked.

    Parameters
    ----------
    params : object
        A mapping of names to numbers, texts, booleans, None, times, paths, and lists and mappings of these.

    Raises
    ------
    UsageError
        When it is no such mapping, or larger than 64 kB as JSON.

    Examples
    --------
    >>> check_params({"rate": 0.1, "api_key": "s3cr3t", "max_tokens": 512})
    {'rate': 0.1, 'api_key': '(masked)', 'max_tokens': 512}
    """
    if not isinstance(params, Mapping):
        raise UsageError(f"{type(params).__name__!r} is not a dict of parameters.", hint='Write params={"rate": 0.1}.')
    plain: dict[str, Any] = _plain_mapping(params, "params", 0, strict=True)
    return _bounded(plain)


def describe_arguments(arguments: Mapping[str, Any]) -> dict[str, Any]:
    """Return the arguments of a call as `check_params` does; a value that is not plain is kept as its type's name."""
    plain: dict[str, Any] = _plain_mapping(arguments, "arguments", 0, strict=False)
    return _bounded(plain)


def mask_text(text: str) -> str:
    """Mask what reads like a secret in a message.

    Examples
    --------
    >>> mask_text("postgresql://me:hunter2@db refused token=abc")
    'postgresql://me:(masked)@db refused token=(masked)'
    """
    text = _URL_PASSWORD.sub(rf"\1{MASK}@", text)
    return _BEARER.sub(rf"\1 {MASK}", _ASSIGNED.sub(rf"\1{MASK}", text))


def _bounded(plain: dict[str, Any]) -> dict[str, Any]:
    try:
        size = len(canonical_json(plain).encode())
    except UnicodeEncodeError as error:
        raise UsageError("A parameter holds text that is not Unicode.", hint="Decode it first.") from error
    if size > MAX_PARAMS_BYTES:
        raise UsageError(
            f"The parameters are {size:,} bytes as JSON; at most {MAX_PARAMS_BYTES:,} are kept.",
            hint="Commit large inputs as a dataset, and name its version.",
        )
    return plain


def _is_secret(key: str) -> bool:
    words = [word.lower() for word in _WORDS.findall(key)]
    return not _SECRET_WORDS.isdisjoint(words) or not _SECRET_PAIRS.isdisjoint(pairwise(words))


def _plain_mapping(values: Mapping[Any, Any], where: str, depth: int, *, strict: bool) -> dict[str, Any]:
    plain = {}
    for key, value in values.items():
        if not isinstance(key, str) or len(key) > _MAX_KEY:
            raise UsageError(
                f"{ascii(key)[:80]} in {where} is not the name of a parameter.", hint="Names are short texts."
            )
        plain[key] = MASK if _is_secret(key) else _plain(value, f"{where}[{key!a}]", depth + 1, strict=strict)
    return plain


def _plain(value: Any, where: str, depth: int, *, strict: bool) -> Any:
    if depth > _MAX_DEPTH:
        raise UsageError(f"The parameters are nested deeper than {_MAX_DEPTH} levels.", hint="Flatten them.")
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, Mapping):
        return _plain_mapping(value, where[:200], depth, strict=strict)
    if isinstance(value, list | tuple):
        return _plain_items(value, where, depth, strict=strict)
    return _plain_value(value, where, strict=strict)


def _plain_items(values: Sequence[Any], where: str, depth: int, *, strict: bool) -> list[Any]:
    return [_plain(item, where, depth + 1, strict=strict) for item in values]


def _plain_value(value: Any, where: str, *, strict: bool) -> Any:
    if isinstance(value, Enum):
        value = value.value
    if value is None or isinstance(value, bool | int) or (isinstance(value, float) and np.isfinite(value)):
        return value
    if isinstance(value, str):
        return _URL_PASSWORD.sub(rf"\1{MASK}@", value)
    if isinstance(value, datetime | date):
        return value.isoformat()
    if isinstance(value, PurePath):
        return str(value)
    if isinstance(value, float) or not strict:
        return str(value) if isinstance(value, float) else f"<{type(value).__name__}>"
    raise UsageError(
        f"{where} is of type {type(value).__name__!r}, which JSON has no form for.",
        hint="Parameters are numbers, texts, booleans, None, times, paths, and lists and dicts of these.",
    )
