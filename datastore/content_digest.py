"""A digest of what a table says: its columns' names, types, nulls and values to the bit, whatever the chunks are.

What lies under a null, and how the rows are cut into batches, are no part of it; the order of rows and columns is.
"""

from typing import Any, Final

import blake3
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from foldstore.datastore.canonical import HASH_PREFIX
from foldstore.datastore.exact_cast import struct_fields

_WINDOW: Final = 65_536  # rows at a time, from the first one on: the digest is of these, not of the table's chunks


def digest_table(table: pa.Table) -> str:
    """Return the digest of a table.

    Examples
    --------
    >>> one = pa.table({"a": [1, None, 3]})
    >>> digest_table(one) == digest_table(pa.concat_tables([one[:1], one[1:]]))
    True
    >>> digest_table(one) == digest_table(pa.table({"a": [1, 0, 3]}))
    False
    """
    hasher = blake3.blake3(f"content/v1 {table.num_rows}".encode())
    for name in table.column_names:
        hasher.update(f"\0{name}\0{digest_column(table.column(name))}".encode())
    return HASH_PREFIX + hasher.hexdigest()


def digest_column(column: pa.ChunkedArray) -> str:
    """Return the digest of a column: its type, nulls and values."""
    hasher = blake3.blake3(str(column.type).encode())
    for start in range(0, len(column), _WINDOW):
        window = column.slice(start, _WINDOW).combine_chunks()
        for chunk in window.chunks if isinstance(window, pa.ChunkedArray) else [window]:
            _feed(hasher, chunk)
    return str(hasher.hexdigest())


def _feed(hasher: Any, array: pa.Array) -> None:
    """Hash the length, the nulls, and the values that are not null."""
    kind = array.type
    if isinstance(array, pa.ExtensionArray):
        return _feed(hasher, array.storage)
    if pa.types.is_dictionary(kind):
        return _feed(hasher, array.dictionary_decode())
    hasher.update(len(array).to_bytes(8, "little"))
    if pa.types.is_null(kind):
        return None
    valid = pc.is_valid(array)
    hasher.update(np.packbits(valid.to_numpy(zero_copy_only=False)).tobytes())
    if pa.types.is_struct(kind):
        for field in struct_fields(array):
            _feed(hasher, field)
        return None
    if pa.types.is_map(kind):
        array = array.cast(pa.list_(pa.struct([("key", kind.key_type), ("value", kind.item_type)])))
        kind = array.type
    if pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind):
        lengths = pc.fill_null(pc.list_value_length(array), 0).cast(pa.int64())
        hasher.update(lengths.to_numpy(zero_copy_only=False).tobytes())
        return _feed(hasher, pc.list_flatten(array))
    hasher.update(_bytes_of(array, valid))
    return None


def _bytes_of(array: pa.Array, valid: pa.Array) -> bytes:
    kind = array.type
    if pa.types.is_boolean(kind):
        return np.packbits(array.filter(valid).to_numpy(zero_copy_only=False)).tobytes()
    if _is_text(kind):
        plain = array.cast(pa.large_binary()).filter(valid)
        lengths: bytes = pc.binary_length(plain).to_numpy(zero_copy_only=False).astype("<i8").tobytes()
        return lengths + b"".join(plain.to_pylist())
    width = kind.bit_width // 8
    # Of fixed width: the bytes as they lie there, of what is not null.
    return _fixed(array.filter(valid), width)


def _is_text(kind: pa.DataType) -> bool:
    texts = (pa.types.is_string, pa.types.is_large_string, pa.types.is_binary, pa.types.is_large_binary)
    return any(is_one(kind) for is_one in (*texts, pa.types.is_string_view, pa.types.is_binary_view))


def _fixed(array: pa.Array, width: int) -> bytes:
    values = array.buffers()[1]
    if values is None:
        return b""
    return bytes(values[array.offset * width : (array.offset + len(array)) * width])
