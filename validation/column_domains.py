"""The values that a column may hold: one class for each way to say it."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from math import inf
from types import MappingProxyType
from typing import Any, Final, Literal, TypeAlias

import pyarrow as pa
import pyarrow.compute as pc

from foldstore.datastore.statistics.pinned import Category
from foldstore.datastore.statistics.reading import Kind, kind_of, parse_type
from foldstore.datastore.statistics.text_shape import ADDRESSES
from foldstore.errors import InvalidSchemaError
from foldstore.validation.document import (
    is_number,
    plain_record,
    read_choice,
    read_confidence,
    read_count,
    read_duration,
    read_fraction,
    read_instant,
    read_mapping,
    read_names,
    read_record,
    read_span,
    read_text,
)

# Whole texts of a class, in RE2; addresses are what profiles count as such.
SEMANTICS: Final[Mapping[str, str]] = MappingProxyType(
    {
        **ADDRESSES,
        "date": r"[0-9]{4}-(0[1-9]|1[0-2])-(0[1-9]|[12][0-9]|3[01])",  # ISO 8601
        "json": r"\s*(\{[\s\S]*\}|\[[\s\S]*\])\s*",  # an object or a list; by its brackets alone
    }
)


_LIST: Final = re.compile(r"(large_|fixed_size_)?list(_view)?<")
# Of lists whose items are numbers.
_NUMBERS: Final = re.compile(
    r"<[^<>]*: (u?int(8|16|32|64)|halffloat|float|double|decimal\d+\([^()]*\))( not null)?>(\[\d+\])?$"
)
# A double has about 15 decimal digits in all.
_MOST_DECIMALS: Final = 12


@dataclass(frozen=True, slots=True, kw_only=True)
class NumericDomain:
    """The numbers a column may hold.

    Attributes
    ----------
    min, max : int or float, optional
        Hard limits, both allowed values.
    nan : {"allow", "deny", "as_null"}
        Whether NaN may occur, or counts as a missing value.
    inf : {"allow", "deny"}
        Whether the infinities may occur.
    integer : bool
        Whether the values are whole, whatever their type.
    categorical : bool
        Whether the numbers are names, so that their size says nothing.
    decimals : int, optional
        How many decimals some of the values use; where none does any more, precision was lost.

    Examples
    --------
    >>> NumericDomain(min=0, nan="deny").to_dict()
    {'min': 0, 'nan': 'deny'}
    """

    min: int | float | None = None
    max: int | float | None = None
    nan: Literal["allow", "deny", "as_null"] = "allow"
    inf: Literal["allow", "deny"] = "allow"
    integer: bool = False
    categorical: bool = False
    decimals: int | None = None

    def __post_init__(self) -> None:
        for limit in (self.min, self.max):
            # Compared, not converted: an int may be greater than every float.
            if limit is not None and not (is_number(limit) and -inf < limit < inf):
                raise InvalidSchemaError(f"A limit of a domain is a finite number, not {limit!r}.")
        if self.min is not None and self.max is not None and self.min > self.max:
            raise InvalidSchemaError(f"The domain is empty: min {self.min} lies above max {self.max}.")
        read_choice(self.nan, ("allow", "deny", "as_null"), "nan")
        read_choice(self.inf, ("allow", "deny"), "inf")
        _check_flags(self, "integer", "categorical")
        if self.decimals is not None and not 1 <= read_count(self.decimals, "decimals") <= _MOST_DECIMALS:
            raise InvalidSchemaError(f"decimals lies between 1 and {_MOST_DECIMALS}, not {self.decimals}.")

    def to_dict(self) -> dict[str, Any]:
        """Return plain data, defaults left out."""
        return plain_record(self)


@dataclass(frozen=True, slots=True, kw_only=True)
class CategoryDomain:
    """The values a column may hold, one by one.

    Attributes
    ----------
    values : tuple of str, int or bool
    min_mass : float
        The share of rows (null apart) that must hold one of them.
    confidence : float, optional
        How sure it must be that more lie outside than `min_mass` leaves, by the binomial distribution; without it the
        observed share decides, however few rows it is from.
    """

    values: tuple[Category, ...]
    min_mass: float = 1.0
    confidence: float | None = None

    def __post_init__(self) -> None:
        if not isinstance(self.values, tuple):
            raise InvalidSchemaError(f"The values of a domain are a list, not {self.values!r}.")
        kinds = {type(value) for value in self.values}
        if len(kinds) != 1 or not kinds <= {str, int, bool}:
            raise InvalidSchemaError("The values of a domain are all text, all whole numbers or all booleans.")
        if len(set(self.values)) != len(self.values):
            raise InvalidSchemaError("A value occurs twice in a domain.")
        read_fraction(self.min_mass, "min_mass")
        read_confidence(self.confidence)

    def to_dict(self) -> dict[str, Any]:
        """Return plain data, defaults left out."""
        return plain_record(self)


@dataclass(frozen=True, slots=True, kw_only=True)
class SharedDomain:
    """Values that several columns share: those of `DataSchema.domains` under a name.

    Attributes
    ----------
    ref : str
    min_mass : float
        As in `CategoryDomain`.
    """

    ref: str
    min_mass: float = 1.0

    def __post_init__(self) -> None:
        read_text(self.ref, "ref")
        read_fraction(self.min_mass, "min_mass")

    def to_dict(self) -> dict[str, Any]:
        """Return plain data, defaults left out."""
        return plain_record(self)


@dataclass(frozen=True, slots=True, kw_only=True)
class TextDomain:
    """What texts look like.

    Attributes
    ----------
    min_length, max_length : int, optional
        In characters, both allowed.
    pattern : str, optional
        A regular expression (RE2: time linear in the text) that the whole text must match.
    semantic : str, optional
        A class of `SEMANTICS` that it should belong to.
    min_mass : float
        The share of texts (null apart) that must match the pattern, and read as the class.
    confidence : float, optional
        As in `CategoryDomain`.

    Examples
    --------
    >>> TextDomain(pattern="[A-Z]{3}").to_dict()
    {'pattern': '[A-Z]{3}'}
    """

    min_length: int | None = None
    max_length: int | None = None
    pattern: str | None = None
    semantic: str | None = None
    min_mass: float = 1.0
    confidence: float | None = None

    def __post_init__(self) -> None:
        for name in ("min_length", "max_length"):
            if getattr(self, name) is not None:
                read_count(getattr(self, name), name)
        if self.min_length is not None and self.max_length is not None and self.min_length > self.max_length:
            raise InvalidSchemaError(f"min_length {self.min_length} lies above max_length {self.max_length}.")
        if self.pattern is not None:
            _check_pattern(self.pattern)
        if self.semantic is not None:
            read_choice(self.semantic, tuple(SEMANTICS), "semantic")
        read_fraction(self.min_mass, "min_mass")
        read_confidence(self.confidence)

    def to_dict(self) -> dict[str, Any]:
        """Return plain data, defaults left out."""
        return plain_record(self)


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenDomain:
    """The texts that mean true and false; an empty text is neither unless it is named.

    Attributes
    ----------
    true_tokens, false_tokens : tuple of str
    """

    true_tokens: tuple[str, ...]
    false_tokens: tuple[str, ...]

    def __post_init__(self) -> None:
        read_names((*self.true_tokens, *self.false_tokens), "true_tokens and false_tokens")
        if not self.true_tokens or not self.false_tokens:
            raise InvalidSchemaError("A domain of tokens needs both true_tokens and false_tokens.")

    def to_dict(self) -> dict[str, Any]:
        """Return plain data."""
        return plain_record(self)


@dataclass(frozen=True, slots=True, kw_only=True)
class TimeDomain:
    """The times a column may hold; without an offset they are taken for UTC.

    Attributes
    ----------
    min, max : str, optional
        In ISO 8601, both allowed.
    max_future : str, optional
        How far after the judgement a time may lie, such as ``5m``.

    Examples
    --------
    >>> TimeDomain(min="2013-01-01", max_future="0s").to_dict()
    {'min': '2013-01-01', 'max_future': '0s'}
    """

    min: str | None = None
    max: str | None = None
    max_future: str | None = None

    def __post_init__(self) -> None:
        limits = [None if limit is None else read_instant(limit) for limit in (self.min, self.max)]
        if limits[0] is not None and limits[1] is not None and limits[0] > limits[1]:
            raise InvalidSchemaError(f"The domain is empty: min {self.min} lies after max {self.max}.")
        if self.max_future is not None:
            read_duration(self.max_future, "max_future")

    def to_dict(self) -> dict[str, Any]:
        """Return plain data, defaults left out."""
        return plain_record(self)


@dataclass(frozen=True, slots=True, kw_only=True)
class BinaryDomain:
    """How long byte strings may be.

    Attributes
    ----------
    max_bytes : int
    """

    max_bytes: int

    def __post_init__(self) -> None:
        read_count(self.max_bytes, "max_bytes")

    def to_dict(self) -> dict[str, Any]:
        """Return plain data."""
        return plain_record(self)


@dataclass(frozen=True, slots=True, kw_only=True)
class EmbeddingDomain:
    """What vectors look like.

    Attributes
    ----------
    dim : int
        How many numbers each has.
    norm : tuple of two numbers, optional
        The least and the greatest Euclidean length.
    """

    dim: int
    norm: tuple[float | None, float | None] | None = None

    def __post_init__(self) -> None:
        if not read_count(self.dim, "dim"):
            raise InvalidSchemaError("dim is 1 or more.")
        if self.norm is not None:
            read_span(self.norm, "norm")

    def to_dict(self) -> dict[str, Any]:
        """Return plain data, defaults left out."""
        return plain_record(self)


Domain: TypeAlias = (
    NumericDomain
    | CategoryDomain
    | SharedDomain
    | TextDomain
    | TokenDomain
    | TimeDomain
    | BinaryDomain
    | EmbeddingDomain
)
# By the keys that only one of them has.
_KINDS: Final[tuple[tuple[frozenset[str], type[Domain]], ...]] = (
    (frozenset({"values"}), CategoryDomain),
    (frozenset({"ref"}), SharedDomain),
    (frozenset({"min_length", "max_length", "pattern", "semantic"}), TextDomain),
    (frozenset({"true_tokens", "false_tokens"}), TokenDomain),
    (frozenset({"max_future"}), TimeDomain),
    (frozenset({"max_bytes"}), BinaryDomain),
    (frozenset({"dim", "norm"}), EmbeddingDomain),
)


def read_domain(data: object, where: str) -> Domain:
    """Read plain data; the keys say which kind of domain it is."""
    plain = read_mapping(data, where)
    kind = next((kind for marks, kind in _KINDS if marks & plain.keys()), NumericDomain)
    if kind is NumericDomain and any(_is_instant(plain.get(key)) for key in ("min", "max")):
        kind = TimeDomain
    return read_record(kind, plain, where)


def domain_fits(domain: Domain, type_text: str) -> bool:
    """Whether values of a type, given as text, can be judged by a domain."""
    if isinstance(domain, EmbeddingDomain):
        return is_list(type_text) and _NUMBERS.search(type_text) is not None
    try:
        parsed = parse_type(type_text)
    except OverflowError as error:  # a width beyond 32 bits
        raise InvalidSchemaError(f"{type_text!r} is not an Arrow type.") from error
    kind = Kind.OPAQUE if parsed is None else kind_of(parsed)
    match domain:
        case NumericDomain():
            return kind.is_numeric
        case CategoryDomain():
            return values_fit(domain.values, kind)
        case SharedDomain():
            return kind in (Kind.TEXT, Kind.INTEGER, Kind.UNSIGNED)
        case TimeDomain():
            return kind is Kind.TEMPORAL and type_text.startswith(("timestamp", "date"))
        case BinaryDomain():
            return kind is Kind.BINARY
        case _:
            return kind is Kind.TEXT


def is_list(type_text: str) -> bool:
    """Whether a type, given as text, is one of lists.

    Examples
    --------
    >>> is_list("fixed_size_list<item: float>[3]"), is_list("struct<list: int64>")
    (True, False)
    """
    return _LIST.match(type_text) is not None


def values_fit(values: tuple[Category, ...], kind: Kind) -> bool:
    """Whether all values are of the Python type that a kind of column holds."""
    held = {Kind.TEXT: str, Kind.INTEGER: int, Kind.UNSIGNED: int, Kind.BOOLEAN: bool}.get(kind)
    return all(type(value) is held for value in values)


def _is_instant(value: object) -> bool:
    return isinstance(value, str) and re.match(r"\d{4}-?\d\d", value, re.ASCII) is not None


def _check_flags(record: object, *names: str) -> None:
    for name in names:
        if not isinstance(getattr(record, name), bool):
            raise InvalidSchemaError(f"{name} is true or false, not {getattr(record, name)!r}.")


def _check_pattern(pattern: object) -> None:
    text = read_text(pattern, "pattern")
    try:
        pc.match_substring_regex(pa.array([""]), whole(text))
    except pa.ArrowInvalid as error:
        reason = str(error).rpartition("regular expression: ")[2]
        raise InvalidSchemaError(
            f"The pattern {text!r} is not a regular expression of RE2: {reason}",
            hint="RE2 knows no look-around and no back references.",
        ) from error


def whole(pattern: str) -> str:
    """Return the pattern that matches only where a pattern matches the whole text."""
    return rf"\A(?:{pattern})\z"
