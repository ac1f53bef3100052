"""Reading documents that people write: every piece is checked, and every refusal says where and why."""

import json
from collections import Counter
from collections.abc import Collection, Mapping
from enum import StrEnum
from math import isfinite
from typing import Any, Final, TypeVar

import yaml

from foldstore.errors import InvalidSchemaError, did_you_mean

Choice = TypeVar("Choice", bound=StrEnum)


# A schema of ten thousand columns, with a grid each, has a tenth of this.
_MAX_LENGTH: Final = 64 << 20
# A schema needs six levels; the readers of YAML and JSON recurse, in C with no net under them.
_MAX_DEPTH: Final = 64
_MAX_NUMBER: Final = 2**64
# What PyYAML's constructors let through when a tag and its value do not fit.
_YAML_ERRORS: Final = (yaml.YAMLError, ValueError, RecursionError, KeyError, TypeError, IndexError, AttributeError)


def read_yaml(text: str) -> Any:
    """Read YAML by the safe loader; a repeated key, an alias and deep nesting are refused.

    Repeated keys lose data in silence, and aliases let a short text unfold without bound.

    Raises
    ------
    InvalidSchemaError
    """
    _check_length(text)
    # libyaml's loader when there is one: the same safe constructor, ten times faster.
    kind = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    loader = None
    try:
        _check_events(text, kind)
        loader = kind(text)
        node = loader.get_single_node()
        if node is None:
            return None
        _check_node(node)
        return loader.construct_document(node)
    except _YAML_ERRORS as error:
        if isinstance(error, InvalidSchemaError):
            raise
        raise InvalidSchemaError(f"This is not YAML that a schema may use: {error}") from error
    finally:
        if loader is not None:
            loader.dispose()


def read_json(text: str | bytes) -> Any:
    """Read JSON.

    Raises
    ------
    InvalidSchemaError
    """
    _check_length(text)
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        reason = "it is nested too deeply" if isinstance(error, RecursionError) else error
        raise InvalidSchemaError(f"This is not JSON: {reason}") from error


def check_document(data: object, where: str) -> None:
    """Refuse what can be read and never written again as JSON, or only by a text of no bound.

    Raises
    ------
    InvalidSchemaError
        For numbers that are not finite or enormous, half characters, and nesting without end.
    """
    stack = [(data, 0)]
    while stack:
        value, depth = stack.pop()
        if depth > _MAX_DEPTH:
            raise InvalidSchemaError(f"{where} is nested more than {_MAX_DEPTH} levels deep.", where=where)
        if isinstance(value, Mapping):
            stack += [(part, depth + 1) for pair in value.items() for part in pair]
        elif isinstance(value, list | tuple):
            stack += [(part, depth + 1) for part in value]
        elif isinstance(value, float) and not isfinite(value):
            raise InvalidSchemaError(f"{where} holds {value}; its numbers are finite.", where=where)
        elif isinstance(value, int) and abs(value) > _MAX_NUMBER:
            raise InvalidSchemaError(f"{where} holds a whole number of more than 64 bits.", where=where)
        elif isinstance(value, str):
            _check_text(value, where)


def read_plain(data: object, where: str) -> Any:
    """Return data that JSON has words for: texts, numbers, booleans, null, lists and mappings of these."""
    check_document(data, where)
    return _plain(data, where)


def write_yaml(data: Any) -> str:
    """Write plain data as YAML, in its own order, short lists on one line."""
    # These count as line breaks or marks in YAML and get lost unless everything is escaped.
    is_plain = not any(mark in json.dumps(data, ensure_ascii=False) for mark in "\x85\u2028\u2029\ufeff")
    text: str = yaml.safe_dump(data, sort_keys=False, allow_unicode=is_plain, width=110, default_flow_style=None)
    return text


def check_keys(data: Mapping[str, Any], allowed: Collection[str], where: str) -> None:
    """Refuse keys that are not known, with what was probably meant."""
    for key in data:
        if key not in allowed:
            raise InvalidSchemaError(
                f"{where} has an unknown key {key!r}.", hint=did_you_mean(str(key), allowed), key=key, where=where
            )


def read_mapping(data: object, where: str) -> dict[str, Any]:
    """Return a mapping with text keys."""
    if not isinstance(data, Mapping) or not all(isinstance(key, str) for key in data):
        raise InvalidSchemaError(f"{where} is a mapping with text keys, not {_shown(data)}.", where=where)
    return dict(data)


def read_text(data: object, where: str) -> str:
    """Return text."""
    if not isinstance(data, str):
        raise InvalidSchemaError(f"{where} is text, not {_shown(data)}.", hint="Put it in quotes.", where=where)
    return data


def read_fraction(data: object, where: str) -> float:
    """Return a number between 0 and 1."""
    if not isinstance(data, int | float) or isinstance(data, bool) or not 0 <= data <= 1:
        raise InvalidSchemaError(f"{where} is a fraction between 0 and 1, not {_shown(data)}.", where=where)
    return float(data)


def read_enum(data: object, choices: type[Choice], where: str) -> Choice:
    """Return one of a closed set of words."""
    # YAML 1.1 reads a bare off as false; the word is meant.
    word = "off" if data is False else data
    if not isinstance(word, str) or word not in set(choices):
        raise InvalidSchemaError(
            f"{where} cannot be {_shown(data)}.", hint=did_you_mean(str(data), map(str, choices)), where=where
        )
    return choices(word)


def is_number(value: object) -> bool:
    """Whether a value is an int or a float, and no boolean."""
    return isinstance(value, int | float) and not isinstance(value, bool)


def _check_length(text: object) -> None:
    if not isinstance(text, str | bytes):
        raise InvalidSchemaError(f"A schema is read from text, not {type(text).__name__}.", hint="Read the file first.")
    if len(text) > _MAX_LENGTH:
        raise InvalidSchemaError(f"The text has {len(text):,} characters; the limit is {_MAX_LENGTH:,}.")


def _check_events(text: str, loader: Any) -> None:
    """Walk the text without recursion, and stop where its nesting passes the limit."""
    depth = 0
    for event in yaml.parse(text, Loader=loader):
        if isinstance(event, yaml.AliasEvent):
            raise InvalidSchemaError("Aliases are not allowed.", hint="Write the value out where it is needed.")
        if isinstance(event, yaml.CollectionStartEvent):
            depth += 1
        elif isinstance(event, yaml.CollectionEndEvent):
            depth -= 1
        if depth > _MAX_DEPTH:
            line = f" (line {event.start_mark.line + 1})" if event.start_mark else ""
            raise InvalidSchemaError(f"The text is nested more than {_MAX_DEPTH} levels deep{line}.")


def _check_node(node: yaml.Node) -> None:
    if isinstance(node, yaml.SequenceNode):
        for child in node.value:
            _check_node(child)
    elif isinstance(node, yaml.MappingNode):
        counts = Counter(key.value for key, _ in node.value if isinstance(key, yaml.ScalarNode))
        repeated = next((key for key, count in counts.items() if count > 1), None)
        if repeated is not None:
            raise InvalidSchemaError(f"The key {repeated!r} occurs twice (line {node.start_mark.line + 1}).")
        for key, value in node.value:
            _check_node(key)
            _check_node(value)


def _check_text(text: str, where: str) -> None:
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise InvalidSchemaError(f"{where} holds half a character: {_shown(text)}.", where=where) from error


def _plain(data: object, where: str) -> Any:
    if data is None or isinstance(data, bool | int | float | str):
        return data
    if isinstance(data, Mapping):
        return {key: _plain(value, where) for key, value in read_mapping(data, where).items()}
    if isinstance(data, list | tuple):
        return [_plain(value, where) for value in data]
    raise InvalidSchemaError(
        f"{where} holds {_shown(data)}, for which JSON has no word.", hint="Put it in quotes.", where=where
    )


def _shown(value: object) -> str:
    text = ascii(value)
    return text if len(text) <= 60 else text[:57] + "..."
