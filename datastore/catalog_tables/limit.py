"""How many rows a catalog table may have: it is made in memory."""

from typing import Final

from foldstore.errors import InvalidQueryError

MOST_ROWS: Final = 10_000_000


def refuse_too_many(table: str, rows: int) -> None:
    """Refuse to make a table that is too large.

    Raises
    ------
    InvalidQueryError
        With code ``catalog-table-too-large``.
    """
    if rows > MOST_ROWS:
        raise InvalidQueryError(
            f"foldstore.{table} would have {rows:,} rows; at most {MOST_ROWS:,} are made.",
            hint="Ask for one dataset or version: WHERE dataset = 'flights', or WHERE address = 'flights@3'.",
            code="catalog-table-too-large",
            rows=rows,
        )
