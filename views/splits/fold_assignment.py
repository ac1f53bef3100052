"""Fold assignments: which fold each row is in, once and for good, as codes in four or eight bits."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Final, TypeAlias

import numpy as np
import xxhash
from numpy.typing import NDArray

from foldstore.errors import CorruptObjectError, NotFoundError
from foldstore.views.splits.assignment import FragmentMembers, Remembered
from foldstore.views.splits.cursor import Cursor
from foldstore.views.splits.folds import FoldSpec
from foldstore.views.splits.placement import Parts
from foldstore.views.splits.sharing import UNASSIGNED
from foldstore.views.splits.split import TEST, TRAIN, VALIDATION

Mask: TypeAlias = NDArray[np.bool_]

_MAGIC: Final = b"FSFOLDS\x01"
_CHECKSUM: Final = 8
_HALF: Final = 16


@dataclass(frozen=True, slots=True, eq=False)
class FoldCodes:
    """The codes of a fragment's rows.

    Attributes
    ----------
    fragment : str
        The fragment's id.
    layers : ndarray of uint8, shape (layers, rows)
        The fold of each row (0 for none), then for each fold the inner fold of each row outside it. By time each of
        these is three layers: the block of a row, and the first and the last block that it is too near to.
    """

    fragment: str
    layers: Parts

    @property
    def rows(self) -> int:
        """How many rows there are."""
        return int(self.layers.shape[1])


@dataclass(frozen=True, slots=True, eq=False)
class FoldAssignment:
    """The fold of every row of a dataset's fragments.

    Attributes
    ----------
    spec : FoldSpec
        How rows are shared out.
    fragments : tuple of FoldCodes
        The codes, fragment by fragment.
    remembered : tuple of Remembered, or None
        For fitted folds, where groups went, in the folds and in each inner sharing; 255 for those it did not place.
    """

    spec: FoldSpec
    fragments: tuple[FoldCodes, ...]
    remembered: tuple[Remembered, ...] | None = None

    @property
    def num_rows(self) -> int:
        """How many rows there are, the unassigned ones too."""
        return sum(codes.rows for codes in self.fragments)

    def knows(self) -> bool:
        """Say whether hashes of groups or keys are kept."""
        return bool(self.remembered) and self.remembered is not None and bool(len(self.remembered[0].units))

    def parts(self) -> Parts:
        """Return the fold of each row as it is held out, fragment after fragment; 0 for none."""
        found = np.concatenate([np.empty(0, np.uint8), *(codes.layers[0] for codes in self.fragments)])
        if self.spec.past_only:
            found = np.maximum(found, 1) - np.uint8(1)  # the first block is held out by no fold
        return found

    def members(self, codes: FoldCodes, number: int, inner: int | None = None) -> FragmentMembers:
        """Return the members of a fold's parts among one fragment's rows.

        Parameters
        ----------
        codes : FoldCodes
            The fragment.
        number : int
            The fold, from 1.
        inner : int, optional
            The inner fold, from 1.

        Raises
        ------
        NotFoundError
            When there is no such fold.
        """
        return FragmentMembers.from_parts(codes.fragment, self._parts(codes.layers, number, inner))

    def check_number(self, number: int, inner: int | None = None) -> None:
        """Refuse the number of a fold that is not there.

        Raises
        ------
        NotFoundError
            With the numbers that there are.
        """
        if not 1 <= number <= self.spec.count:
            raise NotFoundError(
                f"{self.spec.name!r} has no fold {number}.", hint=f"It has folds 1 to {self.spec.count}."
            )
        if inner is not None and not 1 <= inner <= self.spec.inner:
            hint = f"It has inner folds 1 to {self.spec.inner}." if self.spec.inner else "It has no inner folds."
            raise NotFoundError(f"Fold {number} of {self.spec.name!r} has no inner fold {inner}.", hint=hint)

    def _parts(self, layers: Parts, number: int, inner: int | None) -> Parts:
        self.check_number(number, inner)
        step = 3 if self.spec.by_time is not None else 1
        held, rest = hold_out(self.spec, layers[:step], number)
        parts = np.full(layers.shape[1], UNASSIGNED, dtype=np.uint8)
        if inner is None:
            parts[rest] = TRAIN
            parts[held] = TEST if self.spec.inner else VALIDATION
            return parts
        own = layers[step * number : step * (number + 1)]
        inside, others = hold_out(self.spec, own, inner)
        parts[rest & others] = TRAIN
        parts[rest & inside] = VALIDATION
        parts[held] = TEST
        return parts

    def to_bytes(self) -> bytes:
        r"""Write the assignment down.

        Little-endian: the 8 bytes ``FSFOLDS\x01`` (the last is the format's version), the header's length in 8
        bytes, the header in canonical JSON (the specification; id and rows of each fragment; the number of layers
        and the bits of a code, 4 or 8; how many units and ties are remembered, or null). Then for each fragment and
        layer the codes of its rows (of two in a byte the first is in the lower half), the hashes of units in 8 bytes
        each and their codes in one for each layer that shares rows out, the same of ties, and the XXH3-64 of all
        that in 8 bytes.
        """
        bits = 4 if all(int(codes.layers.max(initial=0)) < _HALF for codes in self.fragments) else 8
        kept = self.remembered
        header = {
            "spec": self.spec.to_dict(),
            "fragments": [[codes.fragment, codes.rows] for codes in self.fragments],
            "layers": self.spec.layers,
            "bits": bits,
            "units": None if kept is None else [len(kept[0].units), len(kept[0].duplicates)],
        }
        text = json.dumps(header, sort_keys=True, separators=(",", ":"), ensure_ascii=True).encode()
        pieces = [_MAGIC, len(text).to_bytes(8, "little"), text]
        pieces += [_pack(layer, bits) for codes in self.fragments for layer in codes.layers]
        if kept is not None:
            pieces += [kept[0].units.astype("<u8").tobytes(), *(each.unit_parts.tobytes() for each in kept)]
            pieces += [kept[0].duplicates.astype("<u8").tobytes(), *(each.duplicate_parts.tobytes() for each in kept)]
        body = b"".join(pieces)
        return body + xxhash.xxh3_64_intdigest(body).to_bytes(_CHECKSUM, "little")

    @classmethod
    def from_bytes(cls, data: bytes) -> "FoldAssignment":
        """Read what `to_bytes` wrote.

        Raises
        ------
        CorruptObjectError
            When a byte is not what was written.
        """
        body, checksum = data[:-_CHECKSUM], data[-_CHECKSUM:]
        if not body.startswith(_MAGIC) or xxhash.xxh3_64_intdigest(body).to_bytes(_CHECKSUM, "little") != checksum:
            raise CorruptObjectError("These bytes are not folds, or they are damaged.", hint="Restore the file.")
        try:
            return _read(body)
        except (ValueError, KeyError, TypeError) as error:
            raise CorruptObjectError(f"These folds contradict themselves: {error}.", hint="Restore the file.") from None

    def restricted(self, fragments: frozenset[str]) -> "FoldAssignment":
        """Return the assignment of some fragments' rows alone."""
        return replace(self, fragments=tuple(codes for codes in self.fragments if codes.fragment in fragments))


def hold_out(spec: FoldSpec, layers: Parts, number: int) -> tuple[Mask, Mask]:
    """Return which rows a fold holds out, and which may be trained on meanwhile.

    Parameters
    ----------
    spec : FoldSpec
        How rows are shared out.
    layers : ndarray of uint8
        One layer of codes, or three by time.
    number : int
        The fold, or the inner fold, from 1.
    """
    if spec.by_time is None:
        codes = layers[0]
        return codes == number, (codes != number) & (codes != UNASSIGNED)
    blocks, first, last = layers
    block = spec.held_block(number)
    apart = last < block if spec.past_only else (last < block) | (first > block)
    return blocks == block, (blocks != UNASSIGNED) & apart


def _pack(codes: Parts, bits: int) -> bytes:
    if bits == 8:
        return codes.tobytes()
    even = np.append(codes, np.uint8(0)) if len(codes) % 2 else codes
    return (even[::2] | (even[1::2] << np.uint8(4))).tobytes()


def _unpack(packed: bytes, bits: int, rows: int) -> Parts:
    codes = np.frombuffer(packed, dtype=np.uint8)
    if bits == 8:
        return codes
    return np.stack([codes & np.uint8(_HALF - 1), codes >> np.uint8(4)], axis=1).reshape(-1)[:rows]


def _read(body: bytes) -> FoldAssignment:
    place = len(_MAGIC) + 8
    size = int.from_bytes(body[len(_MAGIC) : place], "little")
    header: Mapping[str, Any] = json.loads(body[place : place + size])
    spec = FoldSpec.from_dict(header["spec"])
    bits, layers = header["bits"], header["layers"]
    if bits not in (4, 8) or layers != spec.layers:
        raise ValueError(f"{layers} layers of {bits} bits are not those of its specification")
    cursor = Cursor(body, place + size)
    fragments = []
    for name, rows in header["fragments"]:
        packed = (rows * bits + 7) // 8
        codes = [_unpack(cursor.take(packed), bits, rows) for _ in range(layers)]
        fragments.append(FoldCodes(name, np.array(codes, dtype=np.uint8).reshape(layers, rows)))
    kept = None
    if header["units"] is not None:
        units, ties = header["units"]
        kept = _read_remembered(cursor, units, ties, 1 + spec.inner_layers)
    cursor.finish()
    assignment = FoldAssignment(spec, tuple(fragments), kept)
    most = spec.count + (1 if spec.past_only else 0)
    if any(int(codes.layers[0].max(initial=0)) > most for codes in fragments):
        raise ValueError(f"a row is in a fold above {most}")
    return assignment


def _read_remembered(cursor: Cursor, units: int, ties: int, layers: int) -> tuple[Remembered, ...]:
    unit_hashes = cursor.take_words(units)
    unit_parts = [cursor.take_parts(units) for _ in range(layers)]
    tie_hashes = cursor.take_words(ties)
    tie_parts = [cursor.take_parts(ties) for _ in range(layers)]
    return tuple(
        Remembered(unit_hashes, parts, tie_hashes, others) for parts, others in zip(unit_parts, tie_parts, strict=True)
    )
