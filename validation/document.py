"""Reading documents that people write: every piece is checked, and every refusal says where and why."""

import json
from collections.abc import Collection, Mapping
from enum import StrEnum
from typing import Any, TypeVar

import yaml

from foldstore.errors import InvalidSchemaError, did_you_mean

Choice = TypeVar("Choice", bound=StrEnum)


def read_yaml(text: str) -> Any:
    """Read YAML by the safe loader; a repeated key and an alias are refused.

    Repeated keys lose data in silence, and aliases let a short text unfold without bound.

    Raises
    ------
    InvalidSchemaError
    """
    # libyaml's loader when there is one: the same safe constructor, ten times faster.
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)(text)
    try:
        node = loader.get_single_node()
        if node is None:
            return None
        _check_node(node, set())
        return loader.construct_document(node)
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        if isinstance(error, InvalidSchemaError):
            raise
        raise InvalidSchemaError(f"This is not YAML that a schema may use: {error}") from error
    finally:
        loader.dispose()


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


def _check_node(node: yaml.Node, seen: set[int]) -> None:
    if id(node) in seen:
        raise InvalidSchemaError("Aliases are not allowed.", hint="Write the value out where it is needed.")
    seen.add(id(node))
    if isinstance(node, yaml.SequenceNode):
        for child in node.value:
            _check_node(child, seen)
    elif isinstance(node, yaml.MappingNode):
        keys = [key.value for key, _ in node.value if isinstance(key, yaml.ScalarNode)]
        if len(set(keys)) != len(keys):
            repeated = next(key for key in keys if keys.count(key) > 1)
            raise InvalidSchemaError(f"The key {repeated!r} occurs twice (line {node.start_mark.line + 1}).")
        for key, value in node.value:
            _check_node(key, seen)
            _check_node(value, seen)


def _shown(value: object) -> str:
    text = ascii(value)
    return text if len(text) <= 60 else text[:57] + "..."
