"""Expressions that were parsed before: the same text over the same columns is the same expression."""

from threading import Lock
from typing import Final

import pyarrow as pa

from foldstore.datastore.expression import Expression

_MOST_EXPRESSIONS: Final = 256


class ParsedExpressions:
    """Keeps the expressions that came last."""

    def __init__(self) -> None:
        self._known: dict[tuple[str, pa.Schema], Expression] = {}
        self._lock = Lock()

    def find(self, text: str, schema: pa.Schema) -> Expression | None:
        """Return what a text was parsed to over these columns, or None."""
        with self._lock:
            return self._known.get((text, schema))

    def keep(self, schema: pa.Schema, expression: Expression) -> Expression:
        """Keep an expression; return it."""
        with self._lock:
            self._known[expression.text, schema] = expression
            while len(self._known) > _MOST_EXPRESSIONS:
                self._known.pop(next(iter(self._known)))
        return expression
