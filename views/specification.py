"""The specification of a view as plain data: written in one way, hashed, and read back with suspicion.

A view of one version has ``sources``; a union or a blend has ``inputs``, each the specification of a view. ``steps``
are objects of one entry: the verb, and what it is given.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from foldstore.datastore.canonical import canonical_json, content_hash
from foldstore.errors import UsageError
from foldstore.views.combination import MAX_INPUTS, MAX_LEVELS, Blend, Inputs, Pinned, Union
from foldstore.views.ordering.keys import ALGORITHM
from foldstore.views.steps.step import MAX_STEPS, Step

# In front of what is hashed: another meaning of the same words must get another name here.
_HASHED_FORMAT: Final = "view/v1"
_MOST_DIGITS: Final = 100
# What each verb takes by name; those that take one thing alone are read by hand.
_KEYWORDS: Final[Mapping[str, frozenset[str]]] = {
    verb: frozenset(words.split())
    for verb, words in {
        "where_elements": "column condition at_least at_most",
        "keep_elements": "column condition",
        "map": "column values default into",
        "enumerate": "column labels default into",
        "explode": "column position keep_empty",
        "sample": "fraction rows seed stratify algorithm",
        "order_by": "columns descending",
        "shuffle": "seed buffer_rows blocks algorithm",
        "sequences": "group_by order_by length max_gap jump min_length into",
        "repeat": "epochs",
    }.items()
}
_OPTIONAL: Final = frozenset({"default"})
_EXAMPLE: Final = (
    """For instance {"sources": [{"address": "flights@3"}], "steps": [{"where": "origin = 'JFK'"}]}; """
    "docs/views.md has every step, and View.spec() shows what a view's is."
)


def write_spec(inputs: Inputs, steps: Sequence[Step]) -> dict[str, Any]:
    """Return the specification: what is read, pinned, and the steps in their order."""
    written = [step.spec() for step in steps]
    if isinstance(inputs, Pinned):
        source = {"address": inputs.source.address, "version_id": inputs.source.version_id}
        return {"sources": [source if inputs.asked is None else {**source, "asked": inputs.asked}], "steps": written}
    return {**_write_combination(inputs), "inputs": [view.spec() for view in inputs.views], "steps": written}


def _write_combination(inputs: Union | Blend) -> dict[str, Any]:
    if isinstance(inputs, Union):
        return {"union": {"columns": inputs.columns}}
    return {"blend": {"weights": [str(weight) for weight in inputs.weights], "rows": inputs.rows}}


def hash_spec(spec: Mapping[str, Any]) -> str:
    """Return the identity of a view; addresses are left out, since version ids say which rows are meant."""
    return content_hash(canonical_json({"format": _HASHED_FORMAT, **_hashed(spec)}).encode())


def _hashed(spec: Mapping[str, Any]) -> dict[str, Any]:
    if "sources" in spec:
        return {"sources": [source["version_id"] for source in spec["sources"]], "steps": spec["steps"]}
    combination = {word: spec[word] for word in ("union", "blend") if word in spec}
    return {**combination, "inputs": [_hashed(each) for each in spec["inputs"]], "steps": spec["steps"]}


def read_inputs(spec: object, level: int = 0) -> tuple[str, Any]:
    """Check the form of what a view reads.

    Returns
    -------
    tuple
        ``("source", object)`` with address, version_id and perhaps asked; ``("union", (columns, specs))``; or
        ``("blend", (weights, rows, specs))``.

    Raises
    ------
    UsageError
        When it is no specification.
    """
    if level > MAX_LEVELS:
        raise _malformed(f"views are at most {MAX_LEVELS} deep")
    if not isinstance(spec, dict) or "steps" not in spec:
        raise _malformed("it has 'steps', and 'sources' or 'inputs'")
    if set(spec) == {"sources", "steps"}:
        return "source", _read_source(spec["sources"])
    inputs = spec.get("inputs")
    if not isinstance(inputs, list) or not 1 <= len(inputs) <= MAX_INPUTS:
        raise _malformed(f"'inputs' lists 1 to {MAX_INPUTS:,} views")
    if set(spec) == {"union", "inputs", "steps"} and _is_object(spec["union"], {"columns"}):
        return "union", (spec["union"]["columns"], inputs)
    if set(spec) == {"blend", "inputs", "steps"} and _is_object(spec["blend"], {"weights", "rows"}):
        weights, rows = spec["blend"]["weights"], spec["blend"]["rows"]
        if isinstance(weights, list) and all(isinstance(each, str) and len(each) <= _MOST_DIGITS for each in weights):
            return "blend", (weights, rows, inputs)
    raise _malformed("several inputs are a 'union' with 'columns', or a 'blend' with 'weights' and 'rows'")


def read_steps(spec: Mapping[str, Any]) -> list[tuple[str, Any]]:
    """Check the form of the steps; return them as (verb, argument).

    What they say is checked when the view is built from them, by the verbs.
    """
    steps = spec["steps"]
    if not isinstance(steps, list) or len(steps) > MAX_STEPS:
        raise _malformed(f"'steps' is a list of at most {MAX_STEPS}")
    return [_read_step(step) for step in steps]


def _read_source(sources: object) -> Mapping[str, str]:
    if not isinstance(sources, list) or len(sources) != 1 or not isinstance(sources[0], dict):
        raise _malformed("'sources' lists one version")
    source: dict[str, str] = sources[0]
    if set(source) - {"asked"} != {"address", "version_id"} or not all(
        isinstance(text, str) for text in source.values()
    ):
        raise _malformed("a source has an 'address' and a 'version_id', and may say how it was 'asked' for")
    return source


def _read_step(step: object) -> tuple[str, Any]:
    if not isinstance(step, dict) or len(step) != 1:
        raise _malformed("a step is an object with one entry")
    ((verb, argument),) = step.items()
    match verb, argument:
        case "where", str():
            return "where", argument
        case "limit", int() if not isinstance(argument, bool):
            return "limit", argument
        case "select", list():
            return "select", _read_selection(argument)
        case str(), dict() if verb in _KEYWORDS:
            return verb, _read_keywords(verb, argument)
    known = ", ".join(["where", "limit", "select", *_KEYWORDS])
    raise _malformed(f"a step is one of {known}, with what its verb takes")


def _read_keywords(verb: str, argument: dict[Any, Any]) -> dict[str, Any]:
    if not _KEYWORDS[verb] - _OPTIONAL <= set(argument) <= _KEYWORDS[verb]:
        raise _malformed(f"{verb!r} takes {', '.join(sorted(_KEYWORDS[verb]))}")
    if not all(_is_plain(value) for value in argument.values()):
        raise _malformed(f"{verb!r} takes texts, numbers and lists of them")
    if argument.get("algorithm", ALGORITHM) != ALGORITHM:
        raise UsageError(
            f"The view is in the order {str(argument['algorithm'])[:40]!r}, which this Foldstore does not know.",
            hint="Use a newer Foldstore.",
            code="invalid-view",
        )
    return {name: value for name, value in argument.items() if name != "algorithm"}


def _read_selection(items: list[Any]) -> tuple[list[str], dict[str, str]]:
    columns = [item for item in items if isinstance(item, str)]
    computed = items[len(columns) :]
    expressions: dict[str, str] = {}
    for item in computed:
        if not isinstance(item, dict) or len(item) != 1:
            raise _malformed("'select' lists names, then objects of one name and its expression")
        ((name, text),) = item.items()
        if not isinstance(name, str) or not isinstance(text, str) or name in expressions:
            raise _malformed("'select' computes each name once, from a text")
        expressions[name] = text
    return columns, expressions


def _is_object(value: object, names: set[str]) -> bool:
    return isinstance(value, dict) and set(value) == names


def _is_plain(value: object, level: int = 0) -> bool:
    if isinstance(value, list):
        return level < 3 and all(_is_plain(each, level + 1) for each in value)
    return value is None or isinstance(value, str | int | float)


def iterate_sources(inputs: Inputs) -> Iterator[Pinned]:
    """Yield every pinned source that a view reads, in order."""
    if isinstance(inputs, Pinned):
        yield inputs
    for view in inputs.views:
        yield from iterate_sources(view.inputs)


def _malformed(rule: str) -> UsageError:
    return UsageError(f"This is not the specification of a view: {rule}.", hint=_EXAMPLE, code="invalid-view")
