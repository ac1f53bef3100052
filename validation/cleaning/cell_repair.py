"""What an action makes of the cells of a column: pure functions of arrays, the same for a preview and a commit."""

import unicodedata
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, TypeAlias

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from foldstore.datastore.exact_cast import is_text
from foldstore.errors import UsageError
from foldstore.validation.cleaning.action import CleaningAction, invalid_action
from foldstore.validation.cleaning.mojibake import ENCODINGS, fix_mojibake

Mask: TypeAlias = NDArray[np.bool_]
# The new cells of a column, and which rows are meant.
Made: TypeAlias = tuple[pa.Array, Mask]
_MOST_ROUNDS: Final = 3


def typed_values(values: Sequence[Any], kind: pa.DataType, column: str) -> pa.Array:
    """Return plain values as those of a column: times and decimals are read from text.

    Raises
    ------
    UsageError
        With code ``invalid-action``, when a value is none of the column's type.

    Examples
    --------
    >>> typed_values(["1970-01-01", None], pa.date32(), "born").to_pylist()
    [datetime.date(1970, 1, 1), None]
    """
    text = pa.types.is_temporal(kind) or pa.types.is_decimal(kind)
    try:
        if text:
            return pa.array([None if each is None else str(each) for each in values], pa.string()).cast(kind)
        if is_text(kind) and not all(each is None or isinstance(each, str) for each in values):
            raise invalid_action(f"Column {column!r} is text.", "Write values in quotes.", column=column)
        if pa.types.is_integer(kind) and any(isinstance(each, float) and not each.is_integer() for each in values):
            raise invalid_action(f"Column {column!r} holds whole numbers.", "Write whole numbers.", column=column)
        return pa.array(values, kind)
    except (pa.ArrowException, OverflowError, TypeError) as error:
        raise invalid_action(
            f"A value is none of column {column!r}, which is {kind}: {' '.join(str(error).split())[:120]}.",
            "Write times as '2026-01-31T00:00:00', decimals as text.",
            column=column,
        ) from error


def differing(old: pa.Array, new: pa.Array) -> Mask:
    """Say which cells are not what they were; null equals null, NaN equals NaN.

    Examples
    --------
    >>> differing(pa.array([1.0, None, float("nan")]), pa.array([1.0, 2.0, float("nan")])).tolist()
    [False, True, False]
    >>> differing(pa.nulls(2), pa.nulls(2)).tolist()
    [False, False]
    """
    gone, come = _nulls(old), _nulls(new)
    if pa.types.is_nested(old.type):  # which has no kernel
        equal = np.array([a == b for a, b in zip(old.to_pylist(), new.to_pylist(), strict=True)], np.bool_)
    elif pa.types.is_null(old.type):  # nor has a column without a type
        equal = gone & come
    else:
        equal = pc.fill_null(pc.equal(old, new), pa.scalar(False)).to_numpy(zero_copy_only=False)  # noqa: FBT003
    if pa.types.is_floating(old.type):
        equal = equal | (_nans(old) & _nans(new))
    result: Mask = ~((gone & come) | (~gone & ~come & equal))
    return result


def merge_cells(old: pa.Array, made: Made, chosen: Mask | None) -> tuple[pa.Array, Mask]:
    """Put new cells where they are meant, the row is chosen, and something changes; say where that is.

    What is replaced does not stay in memory under a null: the column is built anew.
    """
    new, meant = made
    changed = meant & differing(old, new)
    if chosen is not None:
        changed &= chosen
    if not changed.any():
        return old, changed
    mask = pa.array(changed)
    if pa.types.is_nested(old.type):  # which has no kernel
        places = np.where(changed, len(old) + np.cumsum(changed) - 1, np.arange(len(old)))
        return pa.concat_arrays([old, new.filter(mask)]).take(pa.array(places)), changed
    return pc.replace_with_mask(old, mask, new.filter(mask)), changed


def make_cells(action: CleaningAction, column: pa.Array) -> Made:
    """Return what an action that learns nothing makes of a column.

    Raises
    ------
    UsageError
        With code ``invalid-action``, when the operation does not fit the type.
    """
    return _MAKERS[action.op](action, column)


def replace_values(column: pa.Array, before: pa.Array, after: pa.Array) -> Made:
    """Put values in the place of others."""
    places = pc.index_in(column, value_set=before, skip_nulls=True)
    return after.take(places), ~_nulls(places)


def fill_nulls(column: pa.Array, value: pa.Scalar, *, nan: bool) -> Made:
    """Put a value in the place of nulls, and of NaN where asked."""
    meant = _nulls(column)
    if nan and pa.types.is_floating(column.type):
        meant = meant | _nans(column)
    return pa.repeat(value, len(column)), meant


def clip_cells(column: pa.Array, low: pa.Scalar | None, high: pa.Scalar | None) -> Made:
    """Move values beyond limits to them; NaN passes."""
    new, meant = column, np.zeros(len(column), np.bool_)
    for limit, beyond in ((low, pc.less), (high, pc.greater)):
        if limit is not None:
            here = pc.fill_null(beyond(column, limit), pa.scalar(False))  # noqa: FBT003
            new = pc.if_else(here, limit, new)
            meant = meant | here.to_numpy(zero_copy_only=False)
    return new, meant


def convert_texts(column: pa.Array, target: pa.DataType) -> pa.Array:
    """Read texts as another type, each alone: null where one cannot be read. Spaces around do not count.

    Examples
    --------
    >>> convert_texts(pa.array([" 12", "x", None]), pa.int64()).to_pylist()
    [12, None, None]
    """
    encoded = column if pa.types.is_dictionary(column.type) else column.dictionary_encode()
    distinct = pc.utf8_trim_whitespace(encoded.dictionary)
    try:
        converted = distinct.cast(target)
    except pa.ArrowException:
        converted = pa.array([_convert_one(text, target) for text in distinct], target)
    return converted.take(encoded.indices)


def _convert_one(text: pa.Scalar, target: pa.DataType) -> Any:
    try:
        return text.cast(target).as_py()
    except (pa.ArrowException, ValueError):
        return None


def _replace(action: CleaningAction, column: pa.Array) -> Made:
    pairs = action.params["mapping"]
    name = action.column or ""
    before = typed_values([each[0] for each in pairs if each[0] is not None], column.type, name)
    after = typed_values([each[1] for each in pairs if each[0] is not None], column.type, name)
    made, meant = replace_values(column, before, after)
    of_null = [each[1] for each in pairs if each[0] is None]
    if of_null:
        nulls = _nulls(column)
        filled = pa.repeat(typed_values(of_null[:1], column.type, name)[0], len(column))
        return pc.if_else(pa.array(nulls), filled, made), meant | nulls
    return made, meant


def _set_null(action: CleaningAction, column: pa.Array) -> Made:
    params = action.params
    meant = np.full(len(column), not params, np.bool_)
    if params.get("values"):
        values = typed_values(params["values"], column.type, action.column or "")
        meant = meant | pc.is_in(column, value_set=values, skip_nulls=True).to_numpy(zero_copy_only=False)
    if params.get("nan") and pa.types.is_floating(column.type):
        meant = meant | _nans(column)
    return pa.nulls(len(column), column.type), meant


def _normalise(action: CleaningAction, column: pa.Array) -> Made:
    params = action.params
    form, case = params.get("form", "NFC"), params.get("case")
    trim, spaces = params.get("trim", True), params.get("spaces", False)

    def once(text: str) -> str:
        text = text.lower() if case == "lower" else text.upper() if case == "upper" else text
        text = unicodedata.normalize(form, text) if form else text
        text = _join_spaces(text) if spaces else text
        return text.strip() if trim else text

    def settled(text: str) -> str:
        for _ in range(_MOST_ROUNDS):  # a case can undo a normal form, and the other way round
            done = once(text)
            if done == text:
                break
            text = done
        return text

    return _each_text(column, settled, action)


def _join_spaces(text: str) -> str:
    lead = text[: len(text) - len(text.lstrip())]
    tail = text[len(text.rstrip()) :] if text.strip() else ""
    return lead + " ".join(text.split()) + tail


def _fix_mojibake(action: CleaningAction, column: pa.Array) -> Made:
    encodings = tuple(action.params.get("encodings", ENCODINGS))
    strange = [name for name in encodings if name not in ENCODINGS]
    if strange:
        raise invalid_action(f"{strange[0]!r} is no encoding that is undone.", f"There are {', '.join(ENCODINGS)}.")
    return _each_text(column, lambda text: fix_mojibake(text, encodings), action)


def _each_text(column: pa.Array, change: Callable[[str], str], action: CleaningAction) -> Made:
    """Change each distinct text once."""
    if not is_text(column.type):
        raise invalid_action(
            f"{action.op} is for text, and {action.column!r} is {column.type}.", "Name a column of text."
        )
    encoded = column.dictionary_encode()
    distinct = encoded.dictionary.to_pylist()
    changed = pa.array([change(text) for text in distinct], column.type)
    return changed.take(encoded.indices), ~_nulls(column)


def _clip(action: CleaningAction, column: pa.Array) -> Made:
    name = action.column or ""
    low, high = (
        typed_values([action.params[side]], column.type, name)[0] if side in action.params else None
        for side in ("low", "high")
    )
    if any(side is not None and side.as_py() != side.as_py() for side in (low, high)):  # NaN alone
        raise invalid_action("A limit of clip is NaN.", "Leave out the side that has none.")
    if low is not None and high is not None and low.as_py() > high.as_py():
        raise invalid_action("low is above high.", "Swap them.")
    return clip_cells(column, low, high)


_MAKERS: Final[Mapping[str, Callable[[CleaningAction, pa.Array], Made]]] = {
    "replace": _replace,
    "set_null": _set_null,
    "normalise": _normalise,
    "fix_mojibake": _fix_mojibake,
    "clip": _clip,
}


def refuse_type(action: CleaningAction, kind: pa.DataType, wanted: str) -> UsageError:
    """Build the error for an operation on a column of another type."""
    return invalid_action(
        f"{action.op} is for {wanted}, and {action.column!r} is {kind}.", "Name another column, or cast it first."
    )


def _nulls(column: pa.Array) -> Mask:
    return np.asarray(column.is_null(nan_is_null=False).to_numpy(zero_copy_only=False), np.bool_)


def _nans(column: pa.Array) -> Mask:
    return np.asarray(pc.fill_null(pc.is_nan(column), pa.scalar(False)).to_numpy(zero_copy_only=False), np.bool_)  # noqa: FBT003
