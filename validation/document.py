"""Reading documents that people write: every piece is checked, and every refusal says where and why."""

import json
import re
from collections import Counter
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import MISSING, Field, fields
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from math import isfinite
from typing import Any, Final, TypeVar

import yaml

from foldstore.errors import InvalidSchemaError, did_you_mean

Choice = TypeVar("Choice", bound=StrEnum)
Record = TypeVar("Record")


# A schema of ten thousand columns, with a grid each, has a tenth of this.
_MAX_LENGTH: Final = 64 << 20
# A schema needs six levels; the readers of YAML and JSON recurse, in C with no net under them.
_MAX_DEPTH: Final = 64
_MAX_NUMBER: Final = 2**64
# YAML reads 1:30:00 as a number in base 60, in time that grows with the square of its length.
_MAX_DIGITS: Final = 400
_DURATION: Final = re.compile(r"(\d{1,9})(ms|s|m|h|d|w)", re.ASCII)
_PLACE: Final = re.compile(r"\[(\d+)\]", re.ASCII)
_UNITS: Final = {"ms": 1, "s": 1_000, "m": 60_000, "h": 3_600_000, "d": 86_400_000, "w": 604_800_000}
_NUMBER_TAGS: Final = frozenset({"tag:yaml.org,2002:int", "tag:yaml.org,2002:float"})
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


def read_confidence(data: object) -> None:
    """Refuse what is no confidence; None is none asked."""
    if data is not None and not 0.5 <= read_fraction(data, "confidence") < 1:
        raise InvalidSchemaError(f"A confidence is at least 0.5 and below 1, not {_shown(data)}.", where="confidence")


def read_enum(data: object, choices: type[Choice], where: str) -> Choice:
    """Return one of a closed set of words."""
    # YAML 1.1 reads a bare off as false; the word is meant.
    word = "off" if data is False else data
    if not isinstance(word, str) or word not in set(choices):
        raise InvalidSchemaError(
            f"{where} cannot be {_shown(data)}.", hint=did_you_mean(str(data), map(str, choices)), where=where
        )
    return choices(word)


def read_duration(data: object, where: str) -> timedelta:
    """Return a length of time: a whole number and ms, s, m, h, d or w.

    Examples
    --------
    >>> read_duration("36h", "freshness")
    datetime.timedelta(days=1, seconds=43200)
    """
    found = _DURATION.fullmatch(data) if isinstance(data, str) else None
    if found is None:
        raise InvalidSchemaError(
            f"{where} is a length of time, not {_shown(data)}.", hint="For example: 90s, 36h, 7d.", where=where
        )
    return timedelta(milliseconds=int(found[1]) * _UNITS[found[2]])


def read_instant(text: object) -> datetime:
    """Read a time in ISO 8601; without an offset it is in UTC.

    Examples
    --------
    >>> read_instant("2013-01-01").isoformat()
    '2013-01-01T00:00:00+00:00'
    """
    try:
        moment = datetime.fromisoformat(text)  # type: ignore[arg-type]  # what is no text is refused just below
    except (TypeError, ValueError) as error:
        raise InvalidSchemaError(
            f"A limit of times is in ISO 8601, not {text!r}.", hint="For example: '2013-01-31T23:00:00Z', in quotes."
        ) from error
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def read_count(data: object, where: str) -> int:
    """Return a whole number, 0 or more."""
    if not isinstance(data, int) or isinstance(data, bool) or data < 0:
        raise InvalidSchemaError(f"{where} is a whole number, 0 or more, not {_shown(data)}.", where=where)
    return data


def read_span(data: object, where: str) -> tuple[float | None, float | None]:
    """Return a least and a greatest number; either may be missing, not both."""
    ends = tuple(data) if isinstance(data, list | tuple) else ()
    if len(ends) != 2 or ends == (None, None) or not all(end is None or is_number(end) for end in ends):
        raise InvalidSchemaError(
            f"{where} is a least and a greatest number, not {_shown(data)}.",
            hint="For example: [0, 10], or [null, 10] for no least.",
            where=where,
        )
    low, high = ends
    if low is not None and high is not None and low > high:
        raise InvalidSchemaError(f"{where} is empty: {low} lies above {high}.", where=where)
    return low, high


def read_names(data: object, where: str) -> tuple[str, ...]:
    """Return a list of different texts."""
    if not isinstance(data, list | tuple):
        raise InvalidSchemaError(f"{where} is a list, not {_shown(data)}.", where=where)
    names = tuple(read_text(each, where) for each in data)
    if len(set(names)) != len(names):
        raise InvalidSchemaError(f"{where} names something twice.", where=where)
    return names


def read_choice(data: object, choices: Collection[str], where: str) -> str:
    """Return one of some words."""
    if not isinstance(data, str) or data not in choices:
        raise InvalidSchemaError(
            f"{where} is one of {', '.join(choices)}, not {_shown(data)}.",
            hint=did_you_mean(str(data), choices),
            where=where,
        )
    return data


def plain_record(record: Any) -> dict[str, Any]:
    """Return a dataclass as plain data, without what has its default."""
    pairs = ((each.name, getattr(record, each.name), _default(each)) for each in fields(record))
    return {name: written(value) for name, value, default in pairs if default is MISSING or value != default}


def read_record(kind: type[Record], data: object, where: str) -> Record:
    """Make a dataclass of plain data: its fields are the only keys, and it checks their values itself."""
    plain = read_mapping(data, where)
    known = fields(kind)  # type: ignore[arg-type]  # callers pass dataclasses
    check_keys(plain, [each.name for each in known], where)
    for each in known:
        if _default(each) is MISSING and each.name not in plain:
            raise InvalidSchemaError(f"{where} has no {each.name}.", where=where)
    with located(where):
        return kind(**{key: tuple(value) if isinstance(value, list) else value for key, value in plain.items()})


@contextmanager
def located(where: str) -> Iterator[None]:
    """Say where, in refusals that do not say it themselves."""
    try:
        yield
    except InvalidSchemaError as error:
        inner = str(error.facts.get("where", ""))
        if inner.startswith(where):
            raise
        facts = {**error.facts, "where": f"{where}.{inner}" if inner else where}
        raise InvalidSchemaError(f"{where}: {error.message}", hint=error.hint, **facts) from None


def written(value: Any) -> Any:
    """Return a field's value as plain data."""
    if hasattr(value, "to_dict"):
        return value.to_dict()
    if isinstance(value, StrEnum):
        return str(value)
    if isinstance(value, Mapping):
        return {key: written(each) for key, each in value.items()}
    return [written(each) for each in value] if isinstance(value, tuple | list) else value


def find_line(text: str, where: str) -> int | None:
    """Return the line of a YAML text on which a path such as ``columns.x.domain`` begins."""
    try:
        node = yaml.compose(text, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))
    except _YAML_ERRORS:
        return None
    line, rest = None, where
    while rest:
        item = _PLACE.match(rest)
        if item and isinstance(node, yaml.SequenceNode) and int(item[1]) < len(node.value):
            node = node.value[int(item[1])]
            line, rest = node.start_mark.line + 1, rest[item.end() :].removeprefix(".")
            continue
        if not isinstance(node, yaml.MappingNode):
            break
        # The longest key first: the name of a column may hold dots.
        found = [(k, v) for k, v in node.value if rest == k.value or rest.startswith((f"{k.value}.", f"{k.value}["))]
        if not found:
            break
        key, node = max(found, key=lambda pair: len(pair[0].value))
        line, rest = key.start_mark.line + 1, rest[len(key.value) :].removeprefix(".")
    return line


def is_number(value: object) -> bool:
    """Whether a value is an int or a float, and no boolean."""
    return isinstance(value, int | float) and not isinstance(value, bool)


def _default(each: "Field[Any]") -> Any:
    return each.default if each.default_factory is MISSING else each.default_factory()


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
    if isinstance(node, yaml.ScalarNode):
        if node.tag in _NUMBER_TAGS and len(node.value) > _MAX_DIGITS:
            raise InvalidSchemaError(f"A number of {len(node.value):,} characters (line {node.start_mark.line + 1}).")
    elif isinstance(node, yaml.SequenceNode):
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
