"""The specification of a view as plain data: written in one way, hashed, and read back with suspicion."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from foldstore.datastore.canonical import canonical_json, content_hash
from foldstore.errors import UsageError
from foldstore.views.source import Source
from foldstore.views.steps import MAX_STEPS, Step

# In front of what is hashed: another meaning of the same words must get another name here.
_HASHED_FORMAT: Final = "view/v1"


def write_spec(source: Source, steps: Sequence[Step]) -> dict[str, Any]:
    """Return the specification: the pinned sources, and the steps in their order."""
    pinned = {"address": source.address, "version_id": source.version_id}
    return {"sources": [pinned], "steps": [step.spec() for step in steps]}


def hash_spec(spec: Mapping[str, Any]) -> str:
    """Return the identity of a view; addresses are left out, since version ids say which rows are meant."""
    pinned = [source["version_id"] for source in spec["sources"]]
    hashed = {"format": _HASHED_FORMAT, "sources": pinned, "steps": spec["steps"]}
    return content_hash(canonical_json(hashed).encode())


def read_steps(spec: object, source: Source) -> list[tuple[str, Any]]:
    """Check the form of a specification; return its steps as (verb, argument).

    What the steps say is checked when the view is built from them.

    Raises
    ------
    UsageError
        When it is not a specification, or one of another version.
    """
    if not isinstance(spec, dict) or set(spec) != {"sources", "steps"}:
        raise _malformed("it has 'sources' and 'steps' and nothing else")
    sources, steps = spec["sources"], spec["steps"]
    if not isinstance(sources, list) or len(sources) != 1 or not isinstance(sources[0], dict):
        raise _malformed("'sources' lists one version")
    if set(sources[0]) != {"address", "version_id"} or not all(isinstance(text, str) for text in sources[0].values()):
        raise _malformed("a source has an 'address' and a 'version_id'")
    if sources[0]["version_id"] != source.version_id:
        raise UsageError(
            f"The view is pinned to another version than {source.address}.",
            hint="A view is opened over the version that it names.",
            code="invalid-view",
            expected=sources[0]["version_id"][:100],
            found=source.version_id,
        )
    if not isinstance(steps, list) or len(steps) > MAX_STEPS:
        raise _malformed(f"'steps' is a list of at most {MAX_STEPS}")
    return [_read_step(step) for step in steps]


def _read_step(step: object) -> tuple[str, Any]:
    if not isinstance(step, dict) or len(step) != 1:
        raise _malformed("a step is an object with one entry")
    (verb, argument), *_ = step.items()
    match verb, argument:
        case "where", str():
            return "where", argument
        case "limit", int() if not isinstance(argument, bool):
            return "limit", argument
        case "select", list():
            return "select", _read_selection(argument)
    raise _malformed("a step is {'where': text}, {'select': [...]} or {'limit': number}")


def _read_selection(items: list[Any]) -> tuple[list[str], dict[str, str]]:
    columns = [item for item in items if isinstance(item, str)]
    computed = items[len(columns) :]
    expressions: dict[str, str] = {}
    for item in computed:
        if not isinstance(item, dict) or len(item) != 1:
            raise _malformed("'select' lists names, then objects of one name and its expression")
        (name, text), *_ = item.items()
        if not isinstance(name, str) or not isinstance(text, str) or name in expressions:
            raise _malformed("'select' computes each name once, from a text")
        expressions[name] = text
    return columns, expressions


def _malformed(rule: str) -> UsageError:
    return UsageError(f"This is not the specification of a view: {rule}.", hint="See View.spec().", code="invalid-view")
