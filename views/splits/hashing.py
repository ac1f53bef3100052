"""The hash of splits, `split/v1`: XXH3-64 (seed 0) of the canonical bytes of a key, then the salt.

It never changes; golden vectors in the tests hold it still. `hash_keys` writes the byte layout down.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import Final

import numpy as np
import pyarrow as pa
import xxhash

from foldstore.errors import UsageError
from foldstore.views.splits.canonical import CanonicalColumn, Rows, Shapes, read_canonical
from foldstore.views.splits.xxh3 import LONGEST, SHORTEST, Region, Words, digest_messages

ALGORITHM: Final = "split/v1"

_BLOCK_ROWS: Final = 131_072  # shapes are sorted within a block
_CACHED_ROWS: Final = 16_384  # a dozen temporary arrays of this many words fit a core's cache
_FEW: Final = 48  # below this the package is faster, message by message
_RADIX: Final = 2**15  # numpy sorts 16-bit integers by radix


def hash_keys(columns: Sequence[pa.Array | pa.ChunkedArray], salt: str) -> Words:
    """Hash each row's key.

    All integers are little-endian. A value is a tag byte and a payload:

    ======  =====================================  =============================================
    tag     type                                   payload
    ======  =====================================  =============================================
    00      null                                   nothing
    01      boolean                                0 or 1, in 8 bytes
    02      integer of any width                   8 bytes, signed
    03      unsigned integer of 2**63 or more      8 bytes, unsigned
    04      float of any width                     8 bytes, IEEE 754; -0.0 as 0.0, NaN as 7ff8...0
    05      text, in any encoding of Arrow's       length in 8 bytes, then raw UTF-8, not normalised
    06      bytes                                  length in 8 bytes, then the bytes
    07      timestamp; without a zone it is UTC    8 bytes, signed: nanoseconds since 1970
    08      date                                   8 bytes, signed: days since 1970
    09      time of day                            8 bytes: nanoseconds since midnight
    0a      duration                               8 bytes, signed: nanoseconds
    0b      decimal                                length in 8 bytes, then its text, trailing zeros kept
    ======  =====================================  =============================================

    The key of one column is the value's bytes; of several, for each column the number of its bytes in 8 bytes
    and then they. The UTF-8 bytes of the salt follow, and the whole is hashed.

    Parameters
    ----------
    columns : sequence of Array or ChunkedArray
        The columns of the key, in an order that matters. A dictionary is hashed once a distinct value.
    salt : str
        What tells one split from another, such as ``"flights/by_tail/7"``.

    Raises
    ------
    UsageError
        For no columns, or types without canonical bytes.

    Examples
    --------
    >>> hash_keys([pa.array([1, None])], "flights/by_tail/0").tolist()
    [10746361933988439219, 3116807444970354095]
    """
    if not columns:
        raise UsageError("A split needs a key to hash.", hint="Name the columns that tell rows apart.")
    suffix = salt.encode()
    if len(columns) == 1:
        parts = [_hash_column(chunk, suffix) for chunk in _chunks(columns[0])]
    else:
        parts = [_hash_rows(batch.columns, suffix) for batch in _batches(columns)]
    return np.concatenate(parts) if parts else np.empty(0, dtype=np.uint64)


def _chunks(column: pa.Array | pa.ChunkedArray) -> list[pa.Array]:
    return column.chunks if isinstance(column, pa.ChunkedArray) else [column]


def _batches(columns: Sequence[pa.Array | pa.ChunkedArray]) -> Iterator[pa.RecordBatch]:
    table = pa.table(list(columns), names=[str(place) for place in range(len(columns))])
    return iter(table.to_batches())


def _hash_column(array: pa.Array, suffix: bytes) -> Words:
    if not pa.types.is_dictionary(array.type):
        return _hash_rows([array], suffix)
    distinct = pa.concat_arrays([array.dictionary, pa.nulls(1, array.type.value_type)])
    indices = array.indices.cast(pa.int64()).fill_null(len(array.dictionary))
    rows: Words = _hash_rows([distinct], suffix)[indices.to_numpy(zero_copy_only=False)]
    return rows


def _hash_rows(columns: Sequence[pa.Array], suffix: bytes) -> Words:
    rows = len(columns[0])
    hashes = np.empty(rows, dtype=np.uint64)
    for start in range(0, rows, _BLOCK_ROWS):
        block = [read_canonical(column.slice(start, _BLOCK_ROWS)) for column in columns]
        _hash_block(block, suffix, hashes[start : start + _BLOCK_ROWS])
    return hashes


def _hash_block(columns: Sequence[CanonicalColumn], suffix: bytes, out: Words) -> None:
    """Hash rows whose values have the same shapes together."""
    for rows in _groups([column.shapes for column in columns], len(out)):
        first = int(rows[0]) if isinstance(rows, np.ndarray) else 0
        shapes = [column.shapes if isinstance(column.shapes, int) else int(column.shapes[first]) for column in columns]
        template, places = _template(columns, shapes, suffix)
        count = len(out) if isinstance(rows, slice) else len(rows)
        if SHORTEST <= len(template) <= LONGEST and (count >= _FEW or not places):
            _hash_group(columns, rows, template, places, out)
        else:
            wanted = range(count) if isinstance(rows, slice) else rows.tolist()
            out[rows] = [xxhash.xxh3_64_intdigest(_message(columns, row, suffix)) for row in wanted]


def _hash_group(
    columns: Sequence[CanonicalColumn],
    rows: Rows | slice,
    template: bytes,
    places: Sequence[tuple[int, int, int]],
    out: Words,
) -> None:
    count = len(out) if isinstance(rows, slice) else len(rows)
    for start in range(0, count, _CACHED_ROWS):
        end = min(start + _CACHED_ROWS, count)
        piece = slice(start, end) if isinstance(rows, slice) else rows[start:end]
        regions = [Region(place, size, _window(columns[column], piece, size)) for column, place, size in places]
        out[piece] = digest_messages(template, regions)


def _window(column: CanonicalColumn, rows: Rows | slice, length: int) -> Callable[[int], Words]:
    return lambda place: column.window(rows, length, place)


def _template(
    columns: Sequence[CanonicalColumn], shapes: Sequence[int], suffix: bytes
) -> tuple[bytes, list[tuple[int, int, int]]]:
    """Return the bytes that rows of these shapes share, and (column, start, length) of what differs."""
    template = b""
    places = []
    for number, (column, shape) in enumerate(zip(columns, shapes, strict=True)):
        frame, start, length = column.frame(shape)
        if len(columns) > 1:
            template += len(frame).to_bytes(8, "little")
        if length:
            places.append((number, len(template) + start, length))
        template += frame
    return template + suffix, places


def _message(columns: Sequence[CanonicalColumn], row: int, suffix: bytes) -> bytes:
    values = [column.value_bytes(row) for column in columns]
    if len(values) == 1:
        return values[0] + suffix
    return b"".join(len(value).to_bytes(8, "little") + value for value in values) + suffix


def _groups(shapes: Sequence[Shapes | int], rows: int) -> Iterator[Rows | slice]:
    """Yield the rows of each combination of shapes; one slice when there is one."""
    varying = [shape for shape in shapes if not isinstance(shape, int)]
    if not varying:
        if rows:
            yield slice(None)
        return
    codes = np.zeros(rows, dtype=np.int64)
    width = 1
    for shape in varying:
        low, high = int(shape.min()), int(shape.max())
        codes = codes * (high - low + 1) + (shape - low)
        width *= high - low + 1
        if width >= _RADIX:
            distinct, codes = np.unique(codes, return_inverse=True)
            width = len(distinct)
    if width == 1:
        yield slice(None)
        return
    order = np.argsort(codes.astype(np.int16) if width < _RADIX else codes, kind="stable")
    bounds = np.cumsum(np.bincount(codes, minlength=width))[:-1]
    yield from (group for group in np.split(order, bounds) if len(group))
