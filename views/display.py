"""Tables as notebooks show them: small, escaped, never more than was asked for."""

from html import escape
from typing import Any, Final

import pyarrow as pa

from foldstore.views.values import display_values

MAX_ROWS: Final = 10
MAX_COLUMNS: Final = 20
_MAX_CELL: Final = 80


def html_table(rows: pa.Table, caption: str) -> str:
    """Write the first rows and columns as HTML; what foreign data holds stays text."""
    # By position: a result of SQL may repeat a name.
    shown = rows.select(list(range(min(rows.num_columns, MAX_COLUMNS)))).slice(0, MAX_ROWS)
    head = "".join(
        f"<th>{escape(shorten(field.name))}<br><small>{escape(shorten(str(field.type)))}</small></th>"
        for field in shown.schema
    )
    columns = [display_values(column) for column in shown.columns]
    body = "".join(
        f"<tr>{''.join(f'<td>{escape(_cell(value))}</td>' for value in row)}</tr>" for row in zip(*columns, strict=True)
    )
    more = rows.num_columns - shown.num_columns
    note = f" and {more} more columns" if more else ""
    return (
        f"<div><table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"
        f"<small>{escape(caption + note)}</small></div>"
    )


def _cell(value: Any) -> str:
    if value is None:
        return "null"
    # A long text is cut before it is written out.
    return shorten(value[: _MAX_CELL + 1] if isinstance(value, str) else str(value))


def shorten(text: str, length: int = _MAX_CELL) -> str:
    """Cut a text for display."""
    return text if len(text) <= length else text[: length - 1] + "…"
