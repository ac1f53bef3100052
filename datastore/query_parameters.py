"""The values that are bound to the parameters of a query: counted, checked, never text."""

from collections.abc import Mapping, Sequence
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from typing import Any, Final, TypeAlias
from uuid import UUID

import numpy as np
import pyarrow as pa

from foldstore.errors import InvalidQueryError, did_you_mean

Params: TypeAlias = Sequence[Any] | Mapping[str, Any]

_PLAIN: Final = (bool, int, float, Decimal, UUID, date, datetime, time, timedelta, np.datetime64, np.timedelta64)
_BYTES: Final = (bytes, bytearray, memoryview)
_BITS: Final = 127  # of DuckDB's widest integers
_MAX_DEPTH: Final = 20
_HINT: Final = "Bind numbers, texts, bytes, dates and times, UUIDs, None, and lists and dicts of these."


def bind_parameters(names: Sequence[str], params: Params | None) -> list[Any] | dict[str, Any] | None:
    """Return what DuckDB is to bind to the parameters of a query.

    Parameters
    ----------
    names : sequence of str
        The parameters, in the order of first use: ``"1"`` for ``?`` and ``$1``, ``"name"`` for ``$name``.
    params : sequence or mapping, optional
        What the user gave.

    Raises
    ------
    InvalidQueryError
        When the values do not fit the parameters, or SQL has no type for one.

    Examples
    --------
    >>> bind_parameters(["1", "2"], (3, "x"))
    [3, 'x']
    """
    if isinstance(params, Mapping):
        return _bind_named(names, params)
    if params is None:
        params = ()
    if isinstance(params, (str, *_BYTES)) or not isinstance(params, Sequence | np.ndarray):
        raise _refused(
            f"The parameters are a {type(params).__name__}, not a list or a dict.", "Write [value], or {'name': value}."
        )
    named = [name for name in names if not name.isdigit()]
    if named:
        raise _refused(
            f"The query names its parameters: {_shown(named)}.", f"Bind them by name: {{{named[0]!r}: ...}}."
        )
    wanted = max(map(int, names), default=0)
    if wanted != len(params):
        raise _refused(
            f"The query has {_counted(wanted, 'parameter')}, and there are {_counted(len(params), 'value')}.",
            "Each ? takes one value of the list, in order.",
        )
    return [check_value(value, f"parameter {n + 1}") for n, value in enumerate(params)] or None


def _bind_named(names: Sequence[str], params: Mapping[str, Any]) -> dict[str, Any] | None:
    given = {name: value for name, value in params.items() if isinstance(name, str)}
    if len(given) < len(params):
        raise _refused("A parameter is named by a str.", "Write {'name': value}.")
    known = {name.lower(): name for name in names}
    for name in given:
        if name.lower() not in known:
            hint = did_you_mean(name, names) if names else "It has none: leave params out."
            raise _refused(f"The query has no parameter ${name[:40]}.", hint)
    missing = [name for name in names if name.lower() not in {each.lower() for each in given}]
    if missing:
        raise _refused(
            f"There is no value for {_shown([f'${name}' for name in missing])}.",
            "Bind ? by a list of values." if missing[0].isdigit() else f"Write {{{missing[0]!r}: value}}.",
        )
    return {known[name.lower()]: check_value(value, f"${name}") for name, value in given.items()} or None


def check_value(value: Any, where: str, depth: int = 0) -> Any:
    """Return a value as DuckDB takes it.

    Raises
    ------
    InvalidQueryError
        When SQL has no type for it.
    """
    if isinstance(value, pa.Scalar):
        value = value.as_py()
    elif isinstance(value, np.generic) and not isinstance(value, _PLAIN):
        value = value.item()
    if value is None:
        return None
    if isinstance(value, str):
        return _check_text(value, where)
    if isinstance(value, int) and value.bit_length() > _BITS:
        raise _refused(f"{where} is a whole number of {value.bit_length()} bits; SQL has 128.", _HINT)
    if isinstance(value, (*_PLAIN, *_BYTES)):
        return value
    return _check_nested(value, where, depth)


def _check_text(value: str, where: str) -> str:
    try:
        value.encode()
    except UnicodeEncodeError:
        raise _refused(f"{where} holds half a character: {ascii(value)[:40]}.", "Use well-formed text.") from None
    return str(value)


def _check_nested(value: Any, where: str, depth: int) -> Any:
    if depth >= _MAX_DEPTH:
        raise _refused(f"{where} is nested deeper than {_MAX_DEPTH} levels.", _HINT)
    if isinstance(value, np.ndarray | pa.Array | pa.ChunkedArray):
        value = value.tolist()
    if isinstance(value, list | tuple):
        return [check_value(each, where, depth + 1) for each in value]
    if isinstance(value, dict):
        return {check_value(key, where, depth + 1): check_value(each, where, depth + 1) for key, each in value.items()}
    kind = type(value)
    raise _refused(f"{where} is a {kind.__module__}.{kind.__qualname__}, which SQL has no type for.", _HINT)


def _refused(message: str, hint: str) -> InvalidQueryError:
    return InvalidQueryError(message, hint=hint, code="invalid-parameters")


def _counted(count: int, noun: str) -> str:
    return f"{count} {noun}{'' if count == 1 else 's'}"


def _shown(names: Sequence[str]) -> str:
    return ", ".join(name[:40] for name in names[:8])
