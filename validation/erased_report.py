"""Reports without what they quote of rows that were erased."""

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final

from foldstore.validation.nested_paths import is_of

_WITHHELD: Final[dict[str, Any]] = {
    "message": "withheld: rows were erased",
    "observed": None,
    "expected": None,
    "evidence": {},
    "fix": None,
}
# Looking for more values in every text costs more than what is kept is worth.
_MOST_VALUES: Final = 10_000


def redact_erased(body: Mapping[str, Any], values: Mapping[str, set[Any]]) -> dict[str, Any]:
    """Return a stored report without examples of rows, and without findings that quote an erased value.

    Parameters
    ----------
    body : mapping
        The report as plain data.
    values : mapping of str to set
        The values of the erased rows, as text and as numbers, by column.

    Examples
    --------
    >>> found = {"column": "name", "message": "new: Ada", "count": 1, "example_rows": [{"row": 3, "value": "Ada"}]}
    >>> report = redact_erased({"anomalies": [found], "drift": {"columns": {}}}, {"name": {"Ada"}})
    >>> report["anomalies"][0]["message"], report["anomalies"][0]["count"], report["anomalies"][0]["example_rows"]
    ('withheld: rows were erased', 1, [])
    """
    every = set().union(*values.values()) if sum(map(len, values.values())) <= _MOST_VALUES else None
    anomalies = []
    for each in body["anomalies"]:
        known = every if each["column"] is None else _values_of(each["column"], values)
        said = {name: each.get(name) for name in _WITHHELD}
        withheld = {name: value for name, value in _WITHHELD.items() if name in each}
        anomalies.append({**each, **(withheld if _quotes(said, known) else {}), "example_rows": []})
    # Labels of cells may be cut, so that a value in them would not be found: distributions go, whatever they hold.
    known_drift = {
        name: {key: value for key, value in each.items() if key != "distribution"}
        for name, each in body["drift"]["columns"].items()
    }
    drift = {name: each for name, each in known_drift.items() if not _quotes(each, _values_of(name, values))}
    return {**body, "anomalies": anomalies, "drift": {**body["drift"], "columns": drift}}


def _values_of(name: str, values: Mapping[str, set[Any]]) -> set[Any] | None:
    """Return the erased values of a column; None, for any, of what is inside of one."""
    if name in values:
        return values[name]
    return None if is_of(name, values) else set()


def _quotes(data: Any, values: set[Any] | None) -> bool:
    if values is None or len(values) > _MOST_VALUES:
        return True
    texts = [value for value in values if isinstance(value, str) and value]
    pattern = re.compile("|".join(rf"(?<!\w){re.escape(text)}(?!\w)" for text in texts)) if texts else None
    return any(
        pattern is not None and pattern.search(leaf) is not None if isinstance(leaf, str) else leaf in values
        for leaf in _leaves(data)
    )


def _leaves(data: Any) -> Iterator[Any]:
    """Yield the texts and numbers in plain data, the names in its mappings among them."""
    inside: Iterable[Any] = ()
    if isinstance(data, Mapping):
        inside = (*data.keys(), *data.values())
    elif isinstance(data, list | tuple):
        inside = data
    elif data is not None and not isinstance(data, bool):
        yield data
    for each in inside:
        yield from _leaves(each)
