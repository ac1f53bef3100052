"""What the verbs and ends of views are given, checked in one place: any object may come, UsageError alone goes out."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import pyarrow as pa

from foldstore.errors import UsageError, column_not_found


def is_choice(value: object, choices: Iterable[str]) -> bool:
    """Say whether a value is one of some words; arrays, which compare with each word, are none.

    Examples
    --------
    >>> is_choice("all", ["all", "once"]), is_choice(["all"], ["all", "once"])
    (True, False)
    """
    return isinstance(value, str) and value in choices


def check_choice(value: object, choices: Sequence[str], name: str) -> str:
    """Return one of some words.

    Raises
    ------
    UsageError
        When it is none of them.
    """
    if not isinstance(value, str) or value not in choices:
        raise UsageError(f"{name}={ascii(value)[:40]} is no choice.", hint=f"One of {', '.join(choices)}.")
    return value


def check_flag(value: object, name: str) -> bool:
    """Return True or False.

    Raises
    ------
    UsageError
        When it is neither.
    """
    if not isinstance(value, bool):
        raise UsageError(f"{name}={ascii(value)[:40]} is not True or False.", hint=f"{name}=True")
    return value


def check_list(value: object, what: str, hint: str) -> list[Any]:
    """Return the members of a list, a tuple, an array; not the letters of a text.

    Raises
    ------
    UsageError
        When it has no members.
    """
    if isinstance(value, str | bytes | Mapping) or not isinstance(value, Iterable):
        raise UsageError(f"{what}, not {ascii(value)[:40]}.", hint=hint)
    try:
        return list(value)
    except TypeError as error:  # an array of no dimension says that it can be iterated
        raise UsageError(f"{what}, not {ascii(value)[:40]}.", hint=hint) from error


def check_columns(columns: object, schema: pa.Schema, *, where: str) -> list[str]:
    """Return which columns are meant: one by its name, some by theirs, all unless any are named.

    Raises
    ------
    UsageError
        When it is no list of names.
    ColumnNotFoundError
        When a column is not there.
    """
    if columns is None:
        return list(schema.names)
    hint = "columns=['carrier', 'dep_delay']"
    named = [columns] if isinstance(columns, str) else check_list(columns, "Columns are named in a list", hint)
    for name in named:
        if not isinstance(name, str) or name not in schema.names:
            raise column_not_found(name if isinstance(name, str) else ascii(name)[:40], schema.names, where=where)
    return [str(name) for name in named]


def check_count(value: object, name: str, least: int = 0) -> int:
    """Return a whole number that 64 bits hold.

    Raises
    ------
    UsageError
        When it is none, or less than the least.
    """
    if isinstance(value, bool) or not isinstance(value, int) or not least <= value < 2**63:
        raise UsageError(f"{name}={ascii(value)[:40]} is no number from {least}.", hint=f"{name}=1024")
    return value
