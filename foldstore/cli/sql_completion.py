"""What may stand where somebody writes SQL: pure functions of the text before the cursor and of the names there are."""

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final


def _words(text: str) -> tuple[str, ...]:
    return tuple(text.split())


# Where readline cuts words: an address in quotes, and a column behind its table, stay whole.
DELIMITERS: Final = " \t\n(),;=<>+*/%|'"
_MOST: Final = 500
_PLAIN: Final = re.compile(r"[a-z_][a-z0-9_]*\Z")
_PIECE: Final = re.compile(
    r"""'(?:[^']|'')*'? | --[^\n]* | /\*.*?(?:\*/|\Z) | "(?:[^"]|"")*"? | [\w.]+ | [(),;]""",
    re.VERBOSE | re.DOTALL,
)
_TABLE_COMES: Final = frozenset({"from", "join", "describe", "summarize"})
# What ends the list of tables behind FROM, where a comma does not.
_LIST_ENDS: Final = _words(
    "where group order having limit qualify window select union except intersect on using returning offset sample"
)
KEYWORDS: Final = _words(
    "ALL AND ANTI AS ASC ASOF BETWEEN BY CASE CAST CROSS DESC DESCRIBE DISTINCT ELSE END EXCEPT EXCLUDE EXISTS EXPLAIN "
    "FALSE FILTER FROM FULL GROUP HAVING ILIKE IN INNER INTERSECT INTERVAL IS JOIN LEFT LIKE LIMIT NATURAL NOT NULL "
    "OFFSET ON OR ORDER OUTER OVER PARTITION PIVOT QUALIFY RECURSIVE REPLACE RIGHT SAMPLE SELECT SEMI SUMMARIZE THEN "
    "TRUE UNION UNPIVOT USING VALUES WHEN WHERE WINDOW WITH"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Names:
    """What there is to be named.

    Attributes
    ----------
    tables : sequence of str
        Addresses and catalog tables, as people call them: ``flights``, ``flights@3``, ``foldstore.versions``.
    columns : callable
        Returns the columns of one of these; none when it cannot be told.
    functions : sequence of str
        What DuckDB can call.
    commands : mapping of str to sequence of str
        The shell's own commands, with what may stand behind each.
    """

    tables: Sequence[str] = ()
    columns: Callable[[str], Sequence[str]] = lambda _table: ()
    functions: Sequence[str] = ()
    commands: Mapping[str, Sequence[str]] = field(default_factory=dict)


def complete(before: str, word: str, names: Names, after: str = "") -> list[str]:
    """Return what the word at the cursor may become, the likeliest kind alone where it is clear.

    Parameters
    ----------
    before : str
        The statement up to the word.
    word : str
        What is written of it.
    names : Names
        What there is.
    after : str
        The statement behind the cursor: it may name the tables whose columns are meant.

    Examples
    --------
    >>> names = Names(tables=["flights", "flights@3"], columns=lambda table: ["carrier", "origin"])
    >>> complete("SELECT * FROM ", "fl", names), complete("SELECT * FROM ", "flights@", names)
    (['flights'], ['"flights@3"'])
    >>> complete("SELECT count(*) FROM flights WHERE ", "ca", names)
    ['carrier']
    """
    if before.lstrip().startswith("\\") or (word.startswith("\\") and not before.strip()):
        return _complete_command(before, word, names)
    if _wants_table(before):
        return _match_tables(word, names.tables)
    used = tables_of(before + " " + after)
    owner, dot, _ = word.rpartition(".")
    if dot:
        return _matching(word, _columns_behind(owner, used, names))
    columns = [column for table in used.values() for column in names.columns(table)]
    if word.startswith('"'):
        return _matching(word, map(always_quote, [*columns, *names.tables]))
    aliases = [alias for alias, table in used.items() if alias != table and _PLAIN.match(alias)]
    found = sorted(
        {quote(each) for each in columns if each.lower().startswith(word.lower())} | set(_matching(word, aliases))
    )
    return found or _matching(word, [f"{each}(" for each in names.functions], _cased(word, KEYWORDS))


def tables_of(text: str) -> dict[str, str]:
    """Return the tables that a statement names, finished or not: address by alias (by itself without one).

    Examples
    --------
    >>> tables_of('SELECT * FROM "flights@3" f JOIN airlines USING (carrier) WHERE x')
    {'f': 'flights@3', 'airlines': 'airlines'}
    """
    found: dict[str, str] = {}
    expects, in_list, last = False, False, None
    for piece in (each.group() for each in _PIECE.finditer(text)):
        lower = piece.lower()
        if lower in _TABLE_COMES:
            expects, in_list, last = True, True, None
        elif lower in _LIST_ENDS or piece in "();":
            expects, in_list, last = False, False, None
        elif piece == ",":
            expects, last = in_list, None
        elif expects and not piece.startswith(("'", "--", "/*")):
            last = _unquote(piece)
            found[last] = last
            expects = False
        elif (
            last is not None
            and lower != "as"
            and not piece.startswith(("'", "--", "/*"))
            and piece.upper() not in KEYWORDS
        ):
            found[_unquote(piece)] = found.pop(last)
            last = None
    return found


def quote(name: str) -> str:
    """Write a name as SQL has it: in quotes unless it is plain; tables of our own schema need none.

    Examples
    --------
    >>> quote("flights"), quote("flights@3"), quote("foldstore.versions"), quote("order")
    ('flights', '"flights@3"', 'foldstore.versions', '"order"')
    """
    plain = name.removeprefix("foldstore.")
    return name if _PLAIN.match(plain) and plain.upper() not in KEYWORDS else always_quote(name)


def always_quote(name: str) -> str:
    """Write a name in quotes."""
    return '"' + name.replace('"', '""') + '"'


def _unquote(piece: str) -> str:
    if not piece.startswith('"'):
        return piece.lower()
    return piece[1 : -1 if piece.endswith('"') else None].replace('""', '"')


def _wants_table(before: str) -> bool:
    pieces = [each.group().lower() for each in _PIECE.finditer(before)]
    for piece in reversed(pieces):
        if piece in _TABLE_COMES:
            # FROM itself, or a comma in its list.
            return pieces[-1] in {*_TABLE_COMES, ","}
        if piece in _LIST_ENDS or piece in "();":
            return False
    return False


def _match_tables(word: str, tables: Sequence[str]) -> list[str]:
    """Match a table; what must be quoted is offered once the quote is there, or nothing else fits or is left."""
    if word.startswith('"'):
        return _matching(word, map(always_quote, tables))
    fitting = [table for table in tables if table.startswith(word.lower())]
    plain = [table for table in fitting if quote(table) == table]
    return sorted(map(quote, fitting if plain in ([], [word]) else plain))[:_MOST]


def _columns_behind(owner: str, used: Mapping[str, str], names: Names) -> Iterable[str]:
    table = used.get(_unquote(owner))
    if table is None:
        return [each for each in names.tables if each.startswith("foldstore.")] if owner == "foldstore" else []
    return [f"{owner}.{quote(column)}" for column in names.columns(table)]


def _complete_command(before: str, word: str, names: Names) -> list[str]:
    if not before.strip():
        return _matching(word, names.commands)
    return _matching(word.strip('"'), names.commands.get(before.split(maxsplit=1)[0], ()))


def _cased(word: str, keywords: Iterable[str]) -> list[str]:
    """Write keywords as the word is written: in small letters when it has any."""
    return [each.lower() if word != word.upper() else each for each in keywords]


def _matching(word: str, *kinds: Iterable[str]) -> list[str]:
    start = word.lower()
    return sorted({each for kind in kinds for each in kind if each.lower().startswith(start)})[:_MOST]
