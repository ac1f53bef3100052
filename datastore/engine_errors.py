"""What DuckDB says about a text, put into our errors: cleaned, pointed, with what exists."""

import re
from collections.abc import Mapping
from typing import Any

import pyarrow as pa

from foldstore.errors import InvalidExpressionError, InvalidQueryError, did_you_mean


def expression_failed(error: Exception, text: str, where: str) -> InvalidExpressionError:
    """Build the error for an expression that DuckDB refused or could not compute."""
    # The wrapper puts one line before the user's text.
    message = re.sub(r"LINE (\d+):", lambda found: f"LINE {max(1, int(found.group(1)) - 1)}:", _cleaned(error))
    return InvalidExpressionError(
        f"{where} failed: {message}",
        hint="TRY_CAST(...) and TRY(...) give NULL where a value does not fit.",
        expression=cut(text, 1000),
        where=where,
    )


def query_failed(error: Exception, tables: Mapping[str, pa.Table]) -> InvalidQueryError:
    """Build the error for a query that DuckDB refused or could not finish; say which columns exist."""
    message = _cleaned(error)
    found = re.search(r'column (?:named |with name )?"([^"]+)"', message, re.IGNORECASE)
    columns = [name for table in tables.values() for name in table.schema.names]
    if found:
        return InvalidQueryError(
            f"The query does not run: {message}", hint=did_you_mean(found.group(1), columns), column=found.group(1)
        )
    return InvalidQueryError(f"The query does not run: {message}")


def _cleaned(error: Exception) -> str:
    """Keep what DuckDB says and where; drop its guesses, which name things of its own catalog."""
    lines = str(error).replace("foldstore_rows", "t").replace('"temp".main.', "").splitlines()
    head = re.sub(r"^(Invalid: )?[A-Z][A-Za-z ]* Error: ", "", lines[0] if lines else type(error).__name__)
    pointed = [index for index, line in enumerate(lines) if re.match(r"LINE \d+:", line)]
    kept = lines[pointed[0] : pointed[0] + 2] if pointed else []
    return "\n".join([cut(head, 600), *(cut(line, 240) for line in kept)])


def position(tree: Mapping[str, Any], shift: int) -> int | None:
    """Return the byte at which the parser stopped, counted in the text of the user."""
    found = str(tree.get("position", ""))
    return max(0, int(found) + shift) if found.isdigit() else None


def pointer(text: str, tree: Mapping[str, Any], shift: int) -> str:
    """Show the line of the text that a parser error points at."""
    found = position(tree, shift)
    if found is None:
        return ""
    before = text.encode()[:found].decode(errors="ignore")
    line, column = before.count("\n") + 1, len(before) - before.rfind("\n") - 1
    shown = text.split("\n")[line - 1]
    start = max(0, column - 60)
    label = f"LINE {line}: "
    return f"\n{label}{shown[start : start + 120]}\n{' ' * (len(label) + column - start)}^"


def cut(text: str, length: int = 80) -> str:
    """Keep messages short."""
    return text if len(text) <= length else text[: length - 3] + "..."
