"""Parts that a column names: what its values mean, and what means nothing."""

from collections.abc import Mapping
from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from foldstore.errors import UsageError
from foldstore.views.splits.placement import Parts
from foldstore.views.splits.sharing import UNASSIGNED, Sharing

_SHOWN: Final = 12


def meanings_of(spec: Sharing) -> dict[str, int]:
    """Return the code of the part that each value means; without ``values=`` the parts' own names."""
    codes = {name: code for code, name in enumerate(spec.parts, start=1)}
    if spec.values is None:
        return codes
    return {text: codes[name] for name, texts in spec.meanings for text in texts}


def place_by_column(spec: Sharing, column: pa.ChunkedArray) -> Parts:
    """Give each row the part that its value means; a null, and what means nothing, has none.

    Raises
    ------
    UsageError
        When the column holds neither text nor whole numbers nor booleans.
    """
    meanings = meanings_of(spec)
    parts = [_place(_encode(spec, chunk), meanings) for chunk in column.chunks]
    return np.concatenate([np.empty(0, np.uint8), *parts])


def count_values(spec: Sharing, column: pa.ChunkedArray) -> dict[str, int]:
    """Count the values of the column that says where rows belong, as text; nulls are left out."""
    counts: dict[str, int] = {}
    for chunk in column.chunks:
        encoded = _encode(spec, chunk)
        found = pc.value_counts(encoded.indices.drop_null())
        names = encoded.dictionary.to_pylist()
        for item in found.to_pylist():
            name = names[item["values"]]
            counts[name] = counts.get(name, 0) + item["counts"]
    return dict(sorted(counts.items(), key=lambda item: (-item[1], item[0])))


def check_known(spec: Sharing, counts: Mapping[str, int]) -> None:
    """Refuse values that mean nothing, when ``values=`` does not say what is meant.

    Raises
    ------
    UsageError
        With the values that there are, and how often.
    """
    if spec.values is None and spec.MAKES_PARTS:
        return
    meanings = meanings_of(spec)
    unknown = [value for value in counts if value not in meanings]
    if counts and spec.values is not None and len(unknown) == len(counts):
        raise UsageError(
            f"{spec.by_column!r} holds none of the values that values= names.", hint=f"It holds {_listed(counts)}."
        )
    if spec.values is None and unknown:
        first, *_ = meanings
        raise UsageError(
            f"{ascii(unknown[0])[:60]} in {spec.by_column!r} is not {', '.join(meanings)}.",
            hint=f"It holds {_listed(counts)}. Say what they mean: values={{{first!r}: [{unknown[0]!r}], ...}}.",
            values=dict(list(counts.items())[:_SHOWN]),
        )


def _listed(counts: Mapping[str, int]) -> str:
    shown = ", ".join(
        f"{ascii(value)[:40]} ({rows:,} {'row' if rows == 1 else 'rows'})"
        for value, rows in list(counts.items())[:_SHOWN]
    )
    more = f" and {len(counts) - _SHOWN:,} more" if len(counts) > _SHOWN else ""
    return (shown + more) or "nulls alone"


def _encode(spec: Sharing, chunk: pa.Array) -> pa.DictionaryArray:
    while isinstance(chunk, pa.ExtensionArray):
        chunk = chunk.storage
    kind = chunk.type.value_type if pa.types.is_dictionary(chunk.type) else chunk.type
    is_text = pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind)
    if not (is_text or pa.types.is_integer(kind) or pa.types.is_boolean(kind) or pa.types.is_null(kind)):
        raise UsageError(
            f"{spec.by_column!r} is {kind}: a column of parts holds text, whole numbers or booleans.",
            hint="Make such a column with add_columns, or cut times with by_time=.",
            type=str(kind),
        )
    encoded = chunk if pa.types.is_dictionary(chunk.type) else chunk.dictionary_encode()
    return pa.DictionaryArray.from_arrays(encoded.indices, encoded.dictionary.cast(pa.string()))


def _place(encoded: pa.DictionaryArray, meanings: Mapping[str, int]) -> Parts:
    codes = [meanings.get(value, UNASSIGNED) for value in encoded.dictionary.to_pylist()]
    indices = encoded.indices.cast(pa.int64()).fill_null(len(codes)).to_numpy(zero_copy_only=False)
    parts: Parts = np.array([*codes, UNASSIGNED], dtype=np.uint8)[indices]
    return parts
