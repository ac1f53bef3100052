"""A proposed fix as the lines of a difference: what leaves the schema, and what comes."""

from collections.abc import Iterable, Mapping
from typing import Any, Final

from foldstore.validation.reporting.wording import one_line, show

_MOST_LINES: Final = 20
_LONGEST: Final = 300


def fix_lines(patches: Iterable[Mapping[str, Any]]) -> list[str]:
    """Return lines that begin with ``-`` or ``+``, for patches of any kind.

    Examples
    --------
    >>> fix_lines([{"op": "set", "column": "x", "field": "domain.min", "value": -7, "before": 0}])
    ['- columns.x.domain.min: 0', '+ columns.x.domain.min: -7']
    >>> fix_lines([{"op": "set", "column": "x", "field": "values", "value": ["a", "b"], "before": ["a"]}])
    ["+ columns.x.values: add 'b'"]
    """
    lines = [line for patch in patches for line in _patch_lines(patch)]
    if len(lines) > _MOST_LINES:
        left_out = len(lines) - _MOST_LINES + 1
        lines = [*lines[: _MOST_LINES - 1], f"  … {left_out:,} more lines"]
    return [one_line(line, _LONGEST) for line in lines]


def _patch_lines(patch: Mapping[str, Any]) -> list[str]:
    column, field = patch.get("column"), patch.get("field")
    path = ".".join(str(part) for part in (None if column is None else f"columns.{column}", field) if part is not None)
    before, after = patch.get("before"), patch.get("value")
    if patch.get("op") == "remove_column":
        return [f"- {path}"]
    if isinstance(before, list) and isinstance(after, list):
        gone = [f"- {path}: remove {each!r}" for each in before if each not in after]
        return [*gone, *(f"+ {path}: add {each!r}" for each in after if each not in before)]
    lines = [] if before is None else [f"- {path}: {show(before, _LONGEST)}"]
    if after is None:
        return lines or [f"- {path}"]
    return [*lines, f"+ {path}: {show(after, _LONGEST)}"]
