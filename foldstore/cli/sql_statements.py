"""Where SQL statements end: text is cut at semicolons that stand in no string, name or comment."""

import re
from typing import Final

# Whatever may hold a semicolon that ends nothing; the last alternative of each is one that is still open.
_PIECE: Final = re.compile(
    r"""
    '(?:[^']|'')*(?:'|\Z)           # a string
    | "(?:[^"]|"")*(?:"|\Z)         # a name
    | --[^\n]*                      # a comment up to the end of the line
    | /\*.*?(?:\*/|\Z)              # a comment
    | (\$\w*\$).*?(?:\1|\Z)         # a string in dollars
    | ;
    """,
    re.VERBOSE | re.DOTALL,
)


def cut_statements(text: str) -> tuple[list[str], str]:
    """Cut text into the statements that are ended, and the rest.

    Examples
    --------
    >>> cut_statements("SELECT ';'; SELECT 2; SELECT")
    (["SELECT ';'", 'SELECT 2'], ' SELECT')
    """
    ended, start = [], 0
    for found in _PIECE.finditer(text):
        if found.group() == ";":
            ended.append(text[start : found.start()].strip())
            start = found.end()
    return [each for each in ended if not is_blank(each)], text[start:]


def is_blank(text: str) -> bool:
    """Say whether text is nothing but space and comments.

    Examples
    --------
    >>> is_blank(" -- nothing yet"), is_blank("SELECT 1 -- one")
    (True, False)
    """
    return not _PIECE.sub(lambda found: "" if found.group().startswith(("--", "/*")) else found.group(), text).strip()


def without_quoted(text: str) -> str:
    """Return a statement without its strings, quoted names and comments.

    Examples
    --------
    >>> without_quoted("SELECT '$.a', $b -- $c")
    'SELECT , $b '
    """
    return _PIECE.sub(lambda found: ";" if found.group() == ";" else "", text)


def join_lines(statement: str) -> str:
    """Return a statement as one line, to be called back from the history; several when a comment ends with its line.

    Examples
    --------
    >>> join_lines("SELECT 1,\\n  2")
    'SELECT 1, 2'
    """
    kept = [found.group() for found in _PIECE.finditer(statement)]
    if any("\n" in each or each.startswith("--") for each in kept):
        return statement
    return " ".join(line.strip() for line in statement.splitlines())
