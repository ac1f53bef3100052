"""Expressions of transforms: read by `ast`, never run by Python; evaluated over columns, or compiled for single rows.

They are a small part of Python's: arithmetic, comparisons, ``and``, ``or``, ``not``, ``a if b else c``, and the
functions of `FUNCTIONS`. Everything is float64, a truth value or a text, so both ways do the same IEEE operations. A
null among the operands gives null, as in SQL; so does a division by 0.
"""

import ast
import math
import operator
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Final, NoReturn

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from foldstore.errors import UsageError, did_you_mean
from foldstore.views.transforms.numbers import is_number, is_text, to_floats

_MOST_CHARACTERS: Final = 2_000
_MOST_NODES: Final = 300
_ARITHMETIC: Final[dict[type[ast.operator], Callable[[Any, Any], Any]]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
}
_COMPARISONS: Final[dict[type[ast.cmpop], Callable[[Any, Any], Any]]] = {
    ast.Lt: operator.lt,
    ast.LtE: operator.le,
    ast.Gt: operator.gt,
    ast.GtE: operator.ge,
    ast.Eq: operator.eq,
    ast.NotEq: operator.ne,
}
# How many arguments each function takes; None for two or more.
FUNCTIONS: Final[dict[str, int | None]] = {
    "abs": 1,
    "floor": 1,
    "ceil": 1,
    "sqrt": 1,
    "log": 1,
    "exp": 1,
    "is_null": 1,
    "min": None,
    "max": None,
    "coalesce": None,
}

Row = Mapping[str, Any]
RowFunction = Callable[[Row], Any]
# A value of each row and where it is null; the values are float64, truth values or texts.
Vector = tuple[NDArray[Any], NDArray[np.bool_]]


def parse(text: str) -> ast.expr:
    """Read an expression.

    Raises
    ------
    UsageError
        When it is none; the message says where.
    """
    if not isinstance(text, str) or not text.strip() or len(text) > _MOST_CHARACTERS:
        raise UsageError(
            f"An expression is a text of up to {_MOST_CHARACTERS:,} characters.", hint='Write "distance / air_time".'
        )
    try:
        tree = ast.parse(text.strip(), mode="eval").body
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        place = getattr(error, "offset", None) or len(text.strip()) + 1
        raise _refusal(text, place - 1, "it cannot be read", "Write it as in Python: (a + b) / 2.") from None
    if sum(1 for _ in ast.walk(tree)) > _MOST_NODES:
        raise _refusal(text, 0, "it is too long", "Compute it in several steps.")
    _Grammar(text).visit(tree)
    return tree


def names_in(tree: ast.expr) -> Iterator[str]:
    """List the columns that an expression names, in the order of their places."""
    called = {id(node.func) for node in ast.walk(tree) if isinstance(node, ast.Call)}
    found = [node for node in ast.walk(tree) if isinstance(node, ast.Name) and id(node) not in called]
    yield from (node.id for node in sorted(found, key=lambda node: (node.lineno, node.col_offset)))


def type_of(tree: ast.expr, kinds: Mapping[str, pa.DataType], text: str) -> str:
    """Return whether the result is a ``number``, a ``truth`` or a ``text``; refuse what does not go together."""
    found: str = _Typing(kinds, text).visit(tree)
    return found


def evaluate(tree: ast.expr, columns: Mapping[str, pa.Array], size: int) -> Vector:
    """Evaluate over columns of so many rows."""
    with np.errstate(all="ignore"):
        found: Vector = _Vectors({name: _vector(array) for name, array in columns.items()}, size).visit(tree)
    return found


def compile_row(tree: ast.expr, numbers: set[str]) -> RowFunction:
    """Turn an expression into a function of one row; `numbers` are the columns of numbers, null is None."""
    found: RowFunction = _Compiler(numbers).visit(tree)
    return found


def _refusal(text: str, place: int, what: str, hint: str) -> UsageError:
    return UsageError(
        f"The expression {text.strip()[:200]!r} is refused at character {place + 1}: {what}.",
        hint=hint,
        code="bad-expression",
        place=place + 1,
    )


class _Grammar(ast.NodeVisitor):
    """Refuses every node that is not allowed."""

    def __init__(self, text: str) -> None:
        self._text = text

    def generic_visit(self, node: ast.AST) -> NoReturn:
        allowed = f"+ - * /, one comparison at a time, and, or, not, a if b else c, {', '.join(FUNCTIONS)}"
        place = getattr(node, "col_offset", 0)
        raise _refusal(self._text, place, "this is not allowed in an expression", f"Allowed: {allowed}.")

    def visit_Constant(self, node: ast.Constant) -> None:
        if not isinstance(node.value, bool | int | float | str):
            self.generic_visit(node)
        if not isinstance(node.value, str | bool) and not -1e308 <= node.value <= 1e308:
            raise _refusal(self._text, node.col_offset, "the number is beyond a double", "Write a lesser one.")

    def visit_Name(self, node: ast.Name) -> None:
        """Any name may be a column."""

    def visit_UnaryOp(self, node: ast.UnaryOp) -> None:
        if isinstance(node.op, ast.Invert):
            self.generic_visit(node)
        self.visit(node.operand)

    def visit_BinOp(self, node: ast.BinOp) -> None:
        if type(node.op) not in _ARITHMETIC and not isinstance(node.op, ast.Div):
            self.generic_visit(node)
        self.visit(node.left)
        self.visit(node.right)

    def visit_BoolOp(self, node: ast.BoolOp) -> None:
        for value in node.values:
            self.visit(value)

    def visit_Compare(self, node: ast.Compare) -> None:
        if len(node.ops) != 1 or type(node.ops[0]) not in _COMPARISONS:
            self.generic_visit(node)
        self.visit(node.left)
        self.visit(node.comparators[0])

    def visit_IfExp(self, node: ast.IfExp) -> None:
        for part in (node.test, node.body, node.orelse):
            self.visit(part)

    def visit_Call(self, node: ast.Call) -> None:
        if not isinstance(node.func, ast.Name) or node.keywords:
            self.generic_visit(node)
        name = node.func.id
        if name not in FUNCTIONS:
            hint = did_you_mean(name, list(FUNCTIONS))
            raise _refusal(self._text, node.col_offset, f"there is no function {name!r}", hint)
        wanted = FUNCTIONS[name]
        if (len(node.args) < 2) if wanted is None else len(node.args) != wanted:
            takes = f"{name} takes {wanted or 'two or more'} arguments"
            raise _refusal(self._text, node.col_offset, takes, "Mend the call.")
        for each in node.args:
            self.visit(each)


class _Typing(ast.NodeVisitor):
    """Says of each part whether it is a number, a truth value or a text."""

    def __init__(self, kinds: Mapping[str, pa.DataType], text: str) -> None:
        self._kinds = kinds
        self._text = text

    def visit_Constant(self, node: ast.Constant) -> str:
        return "text" if isinstance(node.value, str) else "truth" if isinstance(node.value, bool) else "number"

    def visit_Name(self, node: ast.Name) -> str:
        kind = self._kinds[node.id]
        return "text" if is_text(kind) else "truth" if pa.types.is_boolean(kind) else "number"

    def visit_UnaryOp(self, node: ast.UnaryOp) -> str:
        return self._all("truth" if isinstance(node.op, ast.Not) else "number", node.operand)

    def visit_BinOp(self, node: ast.BinOp) -> str:
        return self._all("number", node.left, node.right)

    def visit_BoolOp(self, node: ast.BoolOp) -> str:
        return self._all("truth", *node.values)

    def visit_Compare(self, node: ast.Compare) -> str:
        self._same(node, node.left, node.comparators[0])
        return "truth"

    def visit_IfExp(self, node: ast.IfExp) -> str:
        self._all("truth", node.test)
        return self._same(node, node.body, node.orelse)

    def visit_Call(self, node: ast.Call) -> str:
        name = _called(node)
        if name == "is_null":
            self.visit(node.args[0])
            return "truth"
        return self._same(node, *node.args) if name == "coalesce" else self._all("number", *node.args)

    def _all(self, wanted: str, *parts: ast.expr) -> str:
        for part in parts:
            found = self.visit(part)
            if found != wanted:
                what = f"a {wanted} is wanted here, not a {found}"
                raise _refusal(self._text, part.col_offset, what, "Compare it with something first.")
        return wanted

    def _same(self, node: ast.expr, *parts: ast.expr) -> str:
        kinds = {self.visit(part) for part in parts}
        if len(kinds) > 1:
            what = f"{' and '.join(sorted(kinds))} do not go together"
            raise _refusal(self._text, node.col_offset, what, "Compare what is of one kind.")
        found: str = kinds.pop()
        return found


class _Vectors(ast.NodeVisitor):
    """Evaluates an expression over columns."""

    def __init__(self, columns: Mapping[str, Vector], size: int) -> None:
        self._columns = columns
        self._size = size

    def visit_Constant(self, node: ast.Constant) -> Vector:
        kind = object if isinstance(node.value, str) else None
        return np.full(self._size, _plain(node.value), kind), np.zeros(self._size, np.bool_)

    def visit_Name(self, node: ast.Name) -> Vector:
        return self._columns[node.id]

    def visit_UnaryOp(self, node: ast.UnaryOp) -> Vector:
        values, nulls = self.visit(node.operand)
        if isinstance(node.op, ast.Not):
            return ~values, nulls
        return (-values if isinstance(node.op, ast.USub) else values), nulls

    def visit_BinOp(self, node: ast.BinOp) -> Vector:
        (a, no_a), (b, no_b) = self.visit(node.left), self.visit(node.right)
        if isinstance(node.op, ast.Div):
            zero = b == 0
            return a / np.where(zero, 1.0, b), no_a | no_b | zero
        return _ARITHMETIC[type(node.op)](a, b), no_a | no_b

    def visit_BoolOp(self, node: ast.BoolOp) -> Vector:
        # Kleene's logic: one part that decides is enough, whatever is null.
        every = isinstance(node.op, ast.And)
        decided, unknown = np.zeros(self._size, np.bool_), np.zeros(self._size, np.bool_)
        for values, nulls in map(self.visit, node.values):
            decided |= ~nulls & (~values if every else values)
            unknown |= nulls
        return np.where(decided, not every, every), unknown & ~decided

    def visit_Compare(self, node: ast.Compare) -> Vector:
        (a, no_a), (b, no_b) = self.visit(node.left), self.visit(node.comparators[0])
        return np.asarray(_COMPARISONS[type(node.ops[0])](a, b), np.bool_), no_a | no_b

    def visit_IfExp(self, node: ast.IfExp) -> Vector:
        test, unknown = self.visit(node.test)
        (a, no_a), (b, no_b) = self.visit(node.body), self.visit(node.orelse)
        chosen = test & ~unknown
        return np.where(chosen, a, b), np.where(chosen, no_a, no_b)

    def visit_Call(self, node: ast.Call) -> Vector:
        name, parts = _called(node), [self.visit(each) for each in node.args]
        values, nulls = parts[0]
        if name == "is_null":
            return nulls.copy(), np.zeros(self._size, np.bool_)
        if name == "coalesce":
            for other, missing in parts[1:]:
                values, nulls = np.where(nulls, other, values), nulls & missing
            return values, nulls
        if name in _BETTER:
            for other, missing in parts[1:]:
                values, nulls = np.where(_BETTER[name](other, values), other, values), nulls | missing
            return values, nulls
        outside = _OUTSIDE[name](values) if name in _OUTSIDE else np.zeros(self._size, np.bool_)
        return _COLUMNS[name](np.where(outside, 1.0, values)), nulls | outside


class _Compiler(ast.NodeVisitor):
    """Turns an expression into a function of one row."""

    def __init__(self, numbers: set[str]) -> None:
        self._numbers = numbers

    def visit_Constant(self, node: ast.Constant) -> RowFunction:
        plain = _plain(node.value)
        return lambda _: plain

    def visit_Name(self, node: ast.Name) -> RowFunction:
        name = node.id
        if name in self._numbers:
            return lambda row: None if (x := row[name]) is None else float(x)
        return lambda row: row[name]

    def visit_UnaryOp(self, node: ast.UnaryOp) -> RowFunction:
        signs: dict[type[ast.unaryop], Callable[[Any], Any]] = {
            ast.Not: operator.not_,
            ast.USub: operator.neg,
            ast.UAdd: operator.pos,
        }
        return _unless_null(self.visit(node.operand), signs[type(node.op)])

    def visit_BinOp(self, node: ast.BinOp) -> RowFunction:
        do = _divide if isinstance(node.op, ast.Div) else _ARITHMETIC[type(node.op)]
        return _binary(self.visit(node.left), self.visit(node.right), do)

    def visit_BoolOp(self, node: ast.BoolOp) -> RowFunction:
        every, parts = isinstance(node.op, ast.And), [self.visit(value) for value in node.values]

        def decide(row: Row) -> bool | None:
            unknown = False
            for part in parts:
                value = part(row)
                if value is None:
                    unknown = True
                elif value is not every:
                    return not every
            return None if unknown else every

        return decide

    def visit_Compare(self, node: ast.Compare) -> RowFunction:
        return _binary(self.visit(node.left), self.visit(node.comparators[0]), _COMPARISONS[type(node.ops[0])])

    def visit_IfExp(self, node: ast.IfExp) -> RowFunction:
        test, body, orelse = self.visit(node.test), self.visit(node.body), self.visit(node.orelse)
        return lambda row: body(row) if test(row) else orelse(row)

    def visit_Call(self, node: ast.Call) -> RowFunction:
        name, parts = _called(node), [self.visit(each) for each in node.args]
        first = parts[0]
        if name == "is_null":
            return lambda row: first(row) is None
        if name == "coalesce":
            return lambda row: next((x for part in parts if (x := part(row)) is not None), None)
        return _best(parts, _BETTER[name]) if name in _BETTER else _unless_null(first, _SCALARS[name])


def _called(node: ast.Call) -> str:
    return node.func.id if isinstance(node.func, ast.Name) else ""


def _plain(value: Any) -> Any:
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else value


def _vector(array: pa.Array) -> Vector:
    if is_number(array.type):
        return to_floats(array)
    nulls = pc.is_null(array).to_numpy(zero_copy_only=False)
    if pa.types.is_boolean(array.type):
        return pc.fill_null(array, fill_value=False).to_numpy(zero_copy_only=False), nulls
    return pc.fill_null(array, "").to_numpy(zero_copy_only=False).astype(object), nulls


def _unless_null(part: RowFunction, do: Callable[[Any], Any]) -> RowFunction:
    return lambda row: None if (x := part(row)) is None else do(x)


def _binary(left: RowFunction, right: RowFunction, do: Callable[[Any, Any], Any]) -> RowFunction:
    def compute(row: Row) -> Any:
        a, b = left(row), right(row)
        return None if a is None or b is None else do(a, b)

    return compute


def _divide(a: float, b: float) -> float | None:
    return None if b == 0 else a / b


def _best(parts: Sequence[RowFunction], better: Callable[[Any, Any], bool]) -> RowFunction:
    def choose(row: Row) -> Any:
        values = [part(row) for part in parts]
        if None in values:
            return None
        chosen = values[0]
        for value in values[1:]:
            chosen = value if better(value, chosen) else chosen
        return chosen

    return choose


def _rounded(function: Callable[[float], int]) -> Callable[[float], float]:
    # -0.0 stays -0.0, and what is not finite passes, as with numpy.
    return lambda x: math.copysign(float(function(x)), x) if math.isfinite(x) else x


def _exp(x: float) -> float:
    try:
        return math.exp(x)
    except OverflowError:
        return math.inf


def _by_arrow(function: Callable[[pa.Array], pa.Array]) -> Callable[[NDArray[Any]], NDArray[Any]]:
    # Arrow calls the C library, as Python does; numpy has its own functions, which may differ in the last bit.
    return lambda values: function(pa.array(values)).to_numpy(zero_copy_only=False)


_BETTER: Final[dict[str, Callable[[Any, Any], Any]]] = {"min": operator.lt, "max": operator.gt}
_OUTSIDE: Final[dict[str, Callable[[Any], Any]]] = {"sqrt": lambda x: x < 0, "log": lambda x: x <= 0}
_COLUMNS: Final[dict[str, Callable[[NDArray[Any]], NDArray[Any]]]] = {
    "abs": np.abs,
    "floor": np.floor,
    "ceil": np.ceil,
    "sqrt": np.sqrt,
    "log": _by_arrow(pc.ln),
    "exp": _by_arrow(pc.exp),
}
_SCALARS: Final[dict[str, Callable[[float], float | None]]] = {
    "abs": abs,
    "floor": _rounded(math.floor),
    "ceil": _rounded(math.ceil),
    "sqrt": lambda x: None if x < 0 else math.sqrt(x),
    "log": lambda x: None if x <= 0 else math.log(x),
    "exp": _exp,
}
