"""What DuckDB says about a text, put into our errors: cleaned, pointed, with what exists."""

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

import pyarrow as pa

from foldstore.errors import FoldstoreError, InvalidExpressionError, InvalidQueryError, did_you_mean

_ADDRESS: Final = re.compile(r"[A-Za-z0-9][\w.-]*[@#][\w@#.-]+", re.ASCII)


def expression_failed(error: Exception, text: str, where: str) -> InvalidExpressionError:
    """Build the error for an expression that DuckDB refused or could not compute."""
    # The wrapper puts one line before the user's text.
    message = re.sub(r"LINE (\d+):", lambda found: f"LINE {max(1, int(found.group(1)) - 1)}:", _cleaned(error))
    return InvalidExpressionError(
        f"{where} failed: {message}",
        hint="Set sql_memory_limit (FOLDSTORE_SQL_MEMORY_LIMIT=4GB)."
        if is_out_of_memory(error)
        else "TRY_CAST(...) and TRY(...) give NULL where a value does not fit.",
        expression=cut(text, 1000),
        where=where,
    )


def unreadable_columns(
    fields: Sequence[pa.Field], where: str, kind: type[FoldstoreError] = InvalidQueryError
) -> FoldstoreError:
    """Build the error for columns of types that DuckDB cannot read, or not without losing digits."""
    shown = ", ".join(f"{field.name!r} ({field.type})" for field in fields)
    return kind(
        f"SQL cannot read {shown} of {where}.",
        hint="Name only columns that SQL can read, or read these with to_arrow(). "
        "Durations of nanoseconds lose digits in SQL: keep duration[us], or int64.",
        columns=[field.name for field in fields],
    )


def query_failed(error: Exception, columns: Iterable[str], left_out: Sequence[pa.Field] = ()) -> FoldstoreError:
    """Build the error for a query that DuckDB refused or could not finish; say which columns exist."""
    if "INTERRUPT Error" in str(error):
        return InvalidQueryError("The query was stopped.", hint="Nothing was changed.", code="query-stopped")
    if is_out_of_memory(error):
        return InvalidQueryError(
            "The query needs more memory than memory_limit allows.",
            hint="Give it a larger memory_limit=, or set sql_memory_limit (FOLDSTORE_SQL_MEMORY_LIMIT=4GB); "
            "or ask for less at a time.",
            code="out-of-memory",
        )
    message = _cleaned(error)
    found = re.search(r'column (?:named |with name )?"([^"]+)"', message, re.IGNORECASE)
    unread = [field for field in left_out if found and field.name.lower() == found.group(1).rpartition(".")[2].lower()]
    if unread:
        return unreadable_columns(unread, "the tables of the query")
    if found:
        return InvalidQueryError(
            f"The query does not run: {message}", hint=did_you_mean(found.group(1), columns), column=found.group(1)
        )
    return InvalidQueryError(f"The query does not run: {message}")


def is_out_of_memory(error: Exception) -> bool:
    """Say whether DuckDB met its memory limit."""
    return "Out of Memory Error" in str(error) or type(error).__name__ == "OutOfMemoryException"


def is_interrupt(error: Exception) -> bool:
    """Say whether DuckDB stopped because somebody pressed Ctrl-C, which it tells as an error of its own."""
    return type(error) is RuntimeError and str(error) == "Query interrupted"


def _cleaned(error: Exception) -> str:
    """Keep what DuckDB says and where; drop its guesses, which name things of its own catalog."""
    lines = str(error).replace("foldstore_rows", "t").replace('"temp".main.', "").splitlines()
    head = re.sub(r"^(Invalid: )?[A-Z][A-Za-z ]* Error: ", "", lines[0] if lines else type(error).__name__)
    pointed = [index for index, line in enumerate(lines) if re.match(r"LINE \d+:", line)]
    kept = lines[pointed[0] : pointed[0] + 2] if pointed else []
    return "\n".join([cut(head, 600), *(cut(line, 240) for line in kept)])


def refuse_name_twins(names: Iterable[str]) -> None:
    """Refuse two names of tables that differ in case only."""
    seen: dict[str, str] = {}
    for name in names:
        other = seen.setdefault(name.lower(), name)
        if other != name:
            raise InvalidQueryError(
                f"The query names both {other!r} and {name!r}, which SQL takes for one table.",
                hint="Spell the name in one way.",
            )


def refuse_case_twins(columns: Iterable[str], where: str, kind: type[FoldstoreError]) -> None:
    """Refuse two columns that differ in case only."""
    seen: dict[str, str] = {}
    for name in columns:
        other = seen.setdefault(name.lower(), name)
        if other != name:
            raise kind(
                f"{where}: the columns {other!r} and {name!r} differ in case only, and SQL takes them for one.",
                hint="Rename one of them.",
                columns=[other, name],
            )


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


def does_not_parse(text: str, tree: Mapping[str, Any], shift: int) -> InvalidQueryError:
    """Build the error for a query that the parser refused."""
    message = str(tree.get("error_message", ""))
    address = _address_at(text, position(tree, shift))
    hint = f'An address is a quoted name: FROM "{address}".' if address else None
    return InvalidQueryError(f"The query does not parse: {cut(message, 300)}{pointer(text, tree, shift)}", hint=hint)


def _address_at(text: str, place: int | None) -> str | None:
    """Return what looks like an address where a parser stopped, such as ``orders@3``."""
    if place is None:
        return None
    stopped = len(text.encode()[:place].decode(errors="ignore"))
    for found in _ADDRESS.finditer(text):
        if found.start() <= stopped < found.end():
            return found[0].rstrip(".,;")
    return None


def cut(text: str, length: int = 80) -> str:
    """Keep messages short."""
    return text if len(text) <= length else text[: length - 3] + "..."
