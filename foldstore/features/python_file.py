"""Definitions in Python: the file is read, not run.

A file of definitions holds imports of foldstore, assignments, and calls of its definitions with plain values and
names that were assigned before. Nothing else is possible in it, so that whoever reads one runs no code of others.
"""

import ast
from collections.abc import Callable, Mapping
from typing import Any, Final

from foldstore.errors import FoldstoreError, InvalidDefinitionError, did_you_mean
from foldstore.views.features.aggregation import Aggregation
from foldstore.views.features.definition_set import DefinitionSet
from foldstore.views.features.entity import Entity
from foldstore.views.features.feature_service import FeatureService
from foldstore.views.features.feature_view import FeatureSelection, FeatureView, SqlSource

_CALLS: Final[Mapping[str, Callable[..., Any]]] = {
    "Aggregation": Aggregation,
    "Entity": Entity,
    "FeatureView": FeatureView,
    "FeatureService": FeatureService,
    "sql": SqlSource,
}
_PACKAGE: Final = "foldstore"
_DEEPEST: Final = 64


def read_python(text: str) -> DefinitionSet:
    """Read the definitions that a Python file assigns; it is not run.

    Raises
    ------
    InvalidDefinitionError
        When it cannot be parsed or does anything else; `line` is among the facts.

    Examples
    --------
    >>> text = '''
    ... from foldstore import Entity, FeatureService, FeatureView
    ... carrier = Entity("carrier", keys={"carrier": "string"})
    ... delays = FeatureView("delays", entity=carrier, source="hourly", event_time="ts", features=["mean", "n"])
    ... arrival = FeatureService("arrival", [delays[["mean"]]])
    ... '''
    >>> list(read_python(text).services)
    ['arrival']
    """
    try:
        tree = ast.parse(text)
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        line = getattr(error, "lineno", None) or 1
        raise InvalidDefinitionError(f"This is not Python: {error}.", line=line) from None
    reader = _Reader()
    for statement in tree.body:
        reader.take(statement)
    given = list(reader.names.values())
    return DefinitionSet.of(
        [each for each in given if isinstance(each, FeatureService)],
        [each for each in given if isinstance(each, FeatureView)],
        [each for each in given if isinstance(each, Entity)],
    )


class _Reader:
    """Takes statements in their order, and remembers what they assign."""

    def __init__(self) -> None:
        self.names: dict[str, Any] = {}
        self._imported: dict[str, str] = {}

    def take(self, statement: ast.stmt) -> None:
        match statement:
            case ast.Expr(value=ast.Constant(value=str())):
                return
            case ast.Import(names=names) if all(each.name == _PACKAGE for each in names):
                self._imported |= {each.asname or each.name: _PACKAGE for each in names}
            case ast.ImportFrom(module="foldstore", names=names, level=0):
                for each in names:
                    if each.name not in _CALLS:
                        raise _refused(each, f"{each.name!r} is no definition", did_you_mean(each.name, _CALLS))
                    self._imported[each.asname or each.name] = each.name
            case ast.Assign(targets=[ast.Name(id=name)], value=value):
                self.names[name] = self._value(value)
            case ast.Expr(value=ast.Call() as value):
                made = self._value(value)
                self.names[f"<line {statement.lineno}>"] = made
            case _:
                raise _refused(statement, f"{_words(statement)} is not possible here")

    def _value(self, node: ast.expr, level: int = 0) -> Any:
        if level > _DEEPEST:
            raise _refused(node, "this is nested too deeply")
        deeper = level + 1
        match node:
            case ast.Constant(value=str() | int() | float() | bool() | None):
                return node.value
            case ast.List(elts=parts) | ast.Tuple(elts=parts):
                return [self._value(each, deeper) for each in parts]
            case ast.Dict(keys=keys, values=values) if None not in keys:
                pairs = zip(keys, values, strict=True)
                return {self._value(key, deeper): self._value(value, deeper) for key, value in pairs if key is not None}
            case ast.Name(id=name):
                return self._named(name, node)
            case ast.Subscript(value=value, slice=chosen):
                return self._selected(node, self._value(value, deeper), self._value(chosen, deeper))
            case ast.Call():
                return self._called(node, deeper)
            case _:
                raise _refused(node, f"{_words(node)} is not possible here")

    def _named(self, name: str, node: ast.expr) -> Any:
        if name not in self.names:
            raise _refused(node, f"{name!r} was not assigned before", did_you_mean(name, self.names))
        return self.names[name]

    def _selected(self, node: ast.expr, view: Any, features: Any) -> FeatureSelection:
        if not isinstance(view, FeatureView | FeatureSelection):
            raise _refused(node, "only features of a view are chosen by []")
        chosen: FeatureSelection = _made(node, lambda: view[features])
        return chosen

    def _called(self, node: ast.Call, level: int) -> Any:
        if any(isinstance(each, ast.Starred) for each in node.args) or any(each.arg is None for each in node.keywords):
            raise _refused(node, "arguments by * and ** are not possible here")
        values = [self._value(each, level) for each in node.args]
        named = {str(each.arg): self._value(each.value, level) for each in node.keywords}
        make = self._callable(node.func, level)
        return _made(node, lambda: make(*values, **named))

    def _callable(self, function: ast.expr, level: int) -> Callable[..., Any]:
        match function:
            case ast.Name(id=name) if self._imported.get(name) in _CALLS:
                return _CALLS[self._imported[name]]
            case ast.Attribute(value=ast.Name(id=package), attr=name) if self._imported.get(package) == _PACKAGE:
                if name in _CALLS:
                    return _CALLS[name]
                raise _refused(function, f"{name!r} is no definition", did_you_mean(name, _CALLS))
            case ast.Attribute(value=value, attr="as_"):
                view = self._value(value, level)
                if isinstance(view, FeatureView):
                    return view.as_
        raise _refused(function, "this is called, and is no definition of foldstore's", did_you_mean("", _CALLS))


def _made(node: ast.expr, make: Callable[[], Any]) -> Any:
    try:
        return make()
    except (FoldstoreError, TypeError) as error:
        message = error.message if isinstance(error, FoldstoreError) else f"{error}."
        hint = error.hint if isinstance(error, FoldstoreError) else None
        raise InvalidDefinitionError(message, hint=hint, line=node.lineno) from error


def _words(node: ast.AST) -> str:
    words = type(node).__name__.lower()
    return f"{'an' if words[0] in 'aeiou' else 'a'} {words!r}"


def _refused(node: ast.AST, why: str, hint: str | None = None) -> InvalidDefinitionError:
    return InvalidDefinitionError(
        f"A file of definitions is read, not run: {why}.",
        hint=hint or "Write plain values; a program of your own applies what it computes by store.features.apply(...).",
        line=getattr(node, "lineno", 1),
    )
