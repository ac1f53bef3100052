"""The hash of one entity's key, equal to `split/v1` of a column that holds it.

A file is sorted by these hashes. They are computed in bulk by `foldstore.views.splits.hashing.hash_keys` when it
is written, and here, one at a time, when it is asked.
"""

import datetime as dt
import operator
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

import numpy as np
import xxhash
from numpy.typing import NDArray

from foldstore.errors import SchemaMismatchError

_EPOCH_DAY: Final = dt.date(1970, 1, 1).toordinal()
_UNSIGNED_FROM: Final = 2**63
_BOOLEAN, _SIGNED, _UNSIGNED, _TEXT, _BINARY, _DATE = _TAGS = (1, 2, 3, 5, 6, 8)
_BOOLEAN_TAG, _SIGNED_TAG, _UNSIGNED_TAG, _TEXT_TAG, _BINARY_TAG, _DATE_TAG = (bytes([tag]) for tag in _TAGS)


class KeyHasher:
    """Hashes the keys of one entity.

    Parameters
    ----------
    types : mapping of str to str
        The entity's keys and their types, in order.
    salt : str
        What the file's hashes were salted with.

    Attributes
    ----------
    is_text : bool
        Whether the key is one text.

    Examples
    --------
    >>> import pyarrow as pa
    >>> from foldstore.views.splits.hashing import hash_keys
    >>> hash_keys([pa.array([7])], "online/0").tolist() == [KeyHasher({"id": "int64"}, "online/0").hash_one([7])]
    True
    """

    __slots__ = ("_encode", "_suffix", "_types", "is_text")

    def __init__(self, types: Mapping[str, str], salt: str) -> None:
        self._types = dict(types)
        self._encode = [_ENCODERS.get(kind, _integer_bytes) for kind in types.values()]
        self._suffix = salt.encode()
        self.is_text = [*types.values()] == ["string"]

    def hash_one(self, values: Sequence[Any]) -> int:
        """Return the hash of a key that `check` has let pass."""
        return xxhash.xxh3_64_intdigest(self.encode(values) + self._suffix)

    def hash_many(self, keys: Sequence[Sequence[Any] | None]) -> list[int]:
        """Return the hashes of keys that `check_columns` has let pass; 0 for None."""
        digest, suffix = xxhash.xxh3_64_intdigest, self._suffix
        if len(self._types) == 1:
            encode = self._encode[0]
            return [0 if key is None else digest(encode(key[0]) + suffix) for key in keys]
        return [0 if key is None else self.hash_one(key) for key in keys]

    def hash_texts(self, texts: Sequence[bytes]) -> NDArray[np.uint64]:
        """Return the hashes of keys of one text, which are given in UTF-8."""
        digest, suffix, heads = xxhash.xxh3_64_digest, self._suffix, _TEXT_HEADS
        if max(map(len, texts), default=0) < len(heads):  # what `_text_bytes` does, without a call for each
            hashes = [digest(heads[len(text)] + text + suffix) for text in texts]
        else:
            hashes = [digest(_text_head(len(text)) + text + suffix) for text in texts]
        return np.frombuffer(b"".join(hashes), ">u8").astype(np.uint64)

    def encode(self, values: Sequence[Any]) -> bytes:
        """Return the bytes that stand for a key that `check` has let pass: equal keys have equal bytes."""
        if len(values) == 1:
            return self._encode[0](values[0])
        parts = [encode(value) for encode, value in zip(self._encode, values, strict=True)]
        return b"".join(len(part).to_bytes(8, "little") + part for part in parts)

    def decode(self, encoded: bytes) -> tuple[Any, ...]:
        """Return the key whose bytes `encode` gave."""
        if len(self._types) == 1:
            return (_decode(encoded),)
        parts, start = [], 0
        while start < len(encoded):
            size = int.from_bytes(encoded[start : start + 8], "little")
            parts.append(_decode(encoded[start + 8 : start + 8 + size]))
            start += 8 + size
        return tuple(parts)

    def check(self, values: Sequence[Any]) -> tuple[Any, ...] | None:
        """Return the key in the entity's types, or None when a part is null: null matches nothing.

        Raises
        ------
        SchemaMismatchError
            When a value is of another type.
        """
        if self.is_text and len(values) == 1:
            text = values[0]
            if type(text) is str and text.isascii():
                return (text,)  # what follows, without its steps
        checked = tuple(
            check_key_value(value, name, kind) for value, (name, kind) in zip(values, self._types.items(), strict=True)
        )
        return None if None in checked else checked

    def check_columns(self, columns: Sequence[Sequence[Any]], count: int | None = None) -> list[tuple[Any, ...] | None]:
        """Return keys row by row as `check` does; `count` says how many there are of an entity without keys."""
        if len(columns) == len(self._types) == 1 and len(columns[0]) == 1:
            value = columns[0][0]
            if self.is_text and type(value) is str and value.isascii():
                return [(value,)]  # what `check` does, without its steps
            return [self.check(columns[0])]
        uneven = len({len(column) for column in columns}) > 1
        if uneven or len(columns) != len(self._types) or (not columns and count is None):
            raise SchemaMismatchError("The keys are not columns of one length.", hint="Give a value for every row.")
        return self._check_many(columns) if columns else [()] * (count or 0)

    def _check_many(self, columns: Sequence[Sequence[Any]]) -> list[tuple[Any, ...] | None]:
        if all(_are_of(column, kind) for column, kind in zip(columns, self._types.values(), strict=True)):
            return list(zip(*columns, strict=True))
        return [self.check(key) for key in zip(*columns, strict=True)]


def _are_of(column: Sequence[Any], kind: str) -> bool:
    """Say whether all values are of a type as they stand; False, too, when that takes a closer look."""
    types = set(map(type, column))
    if kind == "string":
        return types == {str} and _has_utf8("".join(column))
    if kind in _CHECKS or types != {int}:
        return False
    low, high = _range_of(kind)
    return bool(low <= min(column) and max(column) < high)


def _has_utf8(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _range_of(kind: str) -> tuple[int, int]:
    return (0, 2**64) if kind == "uint64" else (-(2**63), 2**63)


def check_key_value(value: Any, name: str, kind: str) -> Any:
    """Return a key's value in the entity's type; a date may be ISO 8601 text.

    Raises
    ------
    SchemaMismatchError
        When it is of another type, or outside its range.
    """
    if value is None:
        return None
    check: Callable[[Any, str], Any] = _CHECKS.get(kind, _check_integer)
    try:
        return check(value, kind)
    except (TypeError, ValueError):
        raise SchemaMismatchError(
            f"Key {name!r} is {_shown(value)}, not a value of type {kind}.",
            hint="Give the key in the entity's own type.",
            column=name,
            type=kind,
        ) from None


def _check_text(value: Any, _kind: str) -> str:
    if not isinstance(value, str):
        raise TypeError
    value.encode()  # a lone surrogate has no UTF-8, and so no hash
    return value


def _check_bytes(value: Any, _kind: str) -> bytes:
    if not isinstance(value, bytes):
        raise TypeError
    return value


def _check_boolean(value: Any, _kind: str) -> bool:
    if not isinstance(value, bool):
        raise TypeError
    return value


def _check_date(value: Any, _kind: str) -> dt.date:
    if isinstance(value, str):
        return dt.date.fromisoformat(value)
    if not isinstance(value, dt.date) or isinstance(value, dt.datetime):
        raise TypeError
    return value


def _check_integer(value: Any, kind: str) -> int:
    if isinstance(value, bool):
        raise TypeError
    number = operator.index(value)
    low, high = _range_of(kind)
    if not low <= number < high:
        raise ValueError
    return number


def _text_head(size: int) -> bytes:
    return _TEXT_TAG + size.to_bytes(8, "little")


_TEXT_HEADS: Final = tuple(_text_head(size) for size in range(256))


def _text_bytes(value: str) -> bytes:
    raw = value.encode()
    return _text_head(len(raw)) + raw


def _binary_bytes(value: bytes) -> bytes:
    return _BINARY_TAG + len(value).to_bytes(8, "little") + value


def _boolean_bytes(value: bool) -> bytes:  # noqa: FBT001 - it is the value, not a switch
    return _BOOLEAN_TAG + int(value).to_bytes(8, "little")


def _date_bytes(value: dt.date) -> bytes:
    return _DATE_TAG + (value.toordinal() - _EPOCH_DAY).to_bytes(8, "little", signed=True)


def _integer_bytes(value: int) -> bytes:
    if value < _UNSIGNED_FROM:
        return _SIGNED_TAG + value.to_bytes(8, "little", signed=True)
    return _UNSIGNED_TAG + value.to_bytes(8, "little")


def _decode(part: bytes) -> Any:
    tag, raw = part[0], part[1:]
    if tag in (_TEXT, _BINARY):
        return raw[8:].decode() if tag == _TEXT else raw[8:]
    number = int.from_bytes(raw, "little", signed=tag in (_SIGNED, _DATE))
    if tag == _DATE:
        return dt.date.fromordinal(number + _EPOCH_DAY)
    return bool(number) if tag == _BOOLEAN else number


def _shown(value: object) -> str:
    text = ascii(value)
    return text if len(text) <= 60 else text[:57] + "..."


_ENCODERS: Final[Mapping[str, Callable[[Any], bytes]]] = {
    "string": _text_bytes,
    "binary": _binary_bytes,
    "bool": _boolean_bytes,
    "date32": _date_bytes,
}
_CHECKS: Final[Mapping[str, Callable[[Any, str], Any]]] = {
    "string": _check_text,
    "binary": _check_bytes,
    "bool": _check_boolean,
    "date32": _check_date,
}
