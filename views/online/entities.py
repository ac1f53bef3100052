"""The entities of a request: rows or columns of keys, checked against the keys that the features need."""

from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

from foldstore.errors import SchemaMismatchError, UsageError, did_you_mean

Entities: TypeAlias = Mapping[str, Sequence[Any]] | Sequence[Mapping[str, Any]]


def read_entities(entities: Entities, keys: Sequence[str], brought: Sequence[str] = ()) -> dict[str, list[Any]]:
    """Return the keys, and what a request brings beside them, as columns of one length.

    Parameters
    ----------
    entities : list of dict, or dict of list
        Rows or columns.
    keys : sequence of str
        The keys that the features need.
    brought : sequence of str
        What else a request has to give: columns that a transform reads and no feature view has.

    Raises
    ------
    UsageError
        When there are none, or they are not rows or columns.
    SchemaMismatchError
        When a key or another value is missing, there is a column too many, or columns differ in length.

    Examples
    --------
    >>> read_entities([{"carrier": "UA"}, {"carrier": "B6"}], ["carrier"])
    {'carrier': ['UA', 'B6']}
    """
    plain = None if brought else _plain_columns(entities, keys)
    if plain is not None:
        return plain
    if type(entities) is dict or isinstance(entities, Mapping):
        columns = _columns(entities)
    elif _is_list(entities):
        columns = _from_rows(entities)
        if not entities:
            raise UsageError("There are no entities.", hint="Give at least one.")
    else:
        raise UsageError("The entities are neither rows nor columns.", hint='Write [{"carrier": "UA"}].')
    _check_names(columns, keys, brought)
    needed = (*keys, *brought)
    if needed and not columns[needed[0]]:
        raise UsageError("There are no entities.", hint="Give at least one.")
    return {name: columns[name] for name in needed}


def _plain_columns(entities: Entities, keys: Sequence[str]) -> dict[str, list[Any]] | None:
    """Return columns of the keys alone, of one length; None for whatever takes a closer look."""
    if type(entities) is not dict or not keys or len(entities) != len(keys):
        return None
    columns, count = dict[str, list[Any]](), 0
    for name in keys:
        values = entities.get(name)
        if type(values) is not list or not values or len(values) != (count or len(values)):
            return None
        count = len(values)
        columns[name] = values.copy()
    return columns


def _check_names(columns: Mapping[str, Any], keys: Sequence[str], brought: Sequence[str]) -> None:
    for key in keys:
        if key not in columns:
            raise SchemaMismatchError(
                f"The key {key!r} is missing.", hint=f"The keys are {', '.join(keys)}.", column=key, keys=list(keys)
            )
    for name in brought:
        if name not in columns:
            raise value_missing(name)
    needed = (*keys, *brought)
    what = "neither a key of these features nor a value that they need" if brought else "not a key of these features"
    for name in columns:
        if name not in needed:
            raise SchemaMismatchError(f"{ascii(name)[:80]} is {what}.", hint=did_you_mean(str(name)[:80], needed))


def value_missing(name: str) -> SchemaMismatchError:
    """Return the error for what a request has to bring and did not."""
    return SchemaMismatchError(
        f"The value of {name!r} is missing.",
        hint=f"It is no key, and in no feature view: every request brings {name!r}, or null for it.",
        column=name,
    )


def count_entities(entities: Entities, columns: Mapping[str, Sequence[Any]]) -> int:
    """Say how many ask: features without keys are asked for by an empty object, or by a list of some."""
    if columns:
        return len(next(iter(columns.values())))
    return 1 if isinstance(entities, Mapping) else len(entities)


def _columns(entities: Mapping[str, Any]) -> dict[str, list[Any]]:
    columns: dict[str, list[Any]] = {}
    for name, values in entities.items():
        if not _is_list(values):
            raise UsageError(
                f"The values of {ascii(name)[:80]} are not a list.", hint='Write {"carrier": ["UA", "B6"]}.'
            )
        columns[name] = list(values)
    if len({len(values) for values in columns.values()}) > 1:
        counts = ", ".join(f"{name[:80]!r} has {len(values)}" for name, values in columns.items())
        raise SchemaMismatchError(f"The columns differ in length: {counts}.", hint="Give a value for every row.")
    return columns


def _from_rows(entities: Sequence[Any]) -> dict[str, list[Any]]:
    columns: dict[str, list[Any]] = {}
    for number, row in enumerate(entities):
        if not isinstance(row, Mapping):
            raise UsageError(f"Entity {number} is not an object of keys.", hint='Write [{"carrier": "UA"}].')
        if number == 0:
            columns = {name: [] for name in row}
        if row.keys() != columns.keys():
            raise SchemaMismatchError(
                f"Entity {number} has other keys than entity 0.", hint="Give every entity the same keys."
            )
        for name, value in row.items():
            columns[name].append(value)
    return columns


def _is_list(values: object) -> bool:
    return type(values) is list or (isinstance(values, Sequence) and not isinstance(values, str | bytes))
