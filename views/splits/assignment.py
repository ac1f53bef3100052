"""Split assignments: which part each row is in, kept as bitmaps by fragment, once and for good."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import xxhash
from numpy.typing import NDArray

from foldstore.errors import CorruptObjectError, NotFoundError, did_you_mean
from foldstore.names import PARTS
from foldstore.views.splits.cursor import Cursor
from foldstore.views.splits.placement import Parts
from foldstore.views.splits.sharing import UNASSIGNED
from foldstore.views.splits.split import PART_CODES, SplitSpec
from foldstore.views.splits.xxh3 import Words

_MAGIC: Final = b"FSSPLIT\x01"
_CHECKSUM: Final = 8


@dataclass(frozen=True, slots=True)
class FragmentMembers:
    """The members of each part among a fragment's rows, as bits, the first row's the lowest (as in Arrow)."""

    fragment: str
    rows: int
    train: bytes
    validation: bytes
    test: bytes

    @classmethod
    def from_parts(cls, fragment: str, parts: Parts) -> "FragmentMembers":
        """Pack the part of each row, as `parts` gives them; whoever rewrites fragments carries rows over by it."""
        train, validation, test = (
            np.packbits(parts == code, bitorder="little").tobytes() for code in PART_CODES.values()
        )
        return cls(fragment, len(parts), train, validation, test)

    def mask(self, part: str) -> NDArray[np.bool_]:
        """Return which rows are in a part."""
        if not isinstance(part, str) or part not in PART_CODES:
            raise NotFoundError(f"{ascii(part)[:80]} is not a part of a split.", hint=did_you_mean(part, PARTS))
        packed = np.frombuffer(getattr(self, part), dtype=np.uint8)
        return np.unpackbits(packed, count=self.rows, bitorder="little").view(np.bool_)

    def parts(self) -> Parts:
        """Return the part of each row as a code: 0 unassigned, 1 train, 2 validation, 3 test."""
        parts = np.full(self.rows, UNASSIGNED, dtype=np.uint8)
        for name, code in PART_CODES.items():
            parts[self.mask(name)] = code
        return parts


@dataclass(frozen=True, slots=True, eq=False)
class Remembered:
    """Where the units of a fitted split went, and what else ties rows (duplicates, other groups); sorted by hash."""

    units: Words
    unit_parts: Parts
    duplicates: Words
    duplicate_parts: Parts

    @classmethod
    def empty(cls) -> "Remembered":
        """Return what is remembered before anything is placed."""
        nothing, nowhere = np.empty(0, np.uint64), np.empty(0, np.uint8)
        return cls(nothing, nowhere, nothing, nowhere)


@dataclass(frozen=True, slots=True, eq=False)
class SplitAssignment:
    """The part of every row of a dataset's fragments.

    Attributes
    ----------
    spec : SplitSpec
        How rows are shared out.
    fragments : tuple of FragmentMembers
        The members, fragment by fragment.
    remembered : Remembered or None
        For a fitted split, where groups went, so that their later rows follow.
    """

    spec: SplitSpec
    fragments: tuple[FragmentMembers, ...]
    remembered: Remembered | None = None

    @property
    def num_rows(self) -> int:
        """How many rows there are, the unassigned ones too."""
        return sum(members.rows for members in self.fragments)

    def knows(self) -> bool:
        """Say whether hashes of groups or keys are kept."""
        return self.remembered is not None and bool(len(self.remembered.units) or len(self.remembered.duplicates))

    def count(self, part: str) -> int:
        """Return how many rows a part has."""
        return sum(int(np.count_nonzero(members.mask(part))) for members in self.fragments)

    def members(self, fragment: str) -> FragmentMembers:
        """Return the members among one fragment's rows.

        Raises
        ------
        NotFoundError
            When the split does not cover that fragment.
        """
        for members in self.fragments:
            if members.fragment == fragment:
                return members
        raise NotFoundError(f"The split {self.spec.name!r} does not cover fragment {fragment!r}.", hint="Extend it.")

    def parts(self) -> Parts:
        """Return the part of each row, fragment after fragment."""
        return np.concatenate([np.empty(0, np.uint8), *(members.parts() for members in self.fragments)])

    def to_bytes(self) -> bytes:
        r"""Write the assignment down.

        Little-endian: the 8 bytes ``FSSPLIT\x01`` (the last is the format's version), the header's length in 8
        bytes, the header in canonical JSON (the specification, id and rows of each fragment, how many units and
        duplicates are remembered), then for each fragment three bitmaps of ceil(rows / 8) bytes (train,
        validation, test), the hashes of units in 8 bytes each and their parts in one, the same of duplicates,
        and the XXH3-64 of all that in 8 bytes.
        """
        kept = self.remembered
        header = {
            "spec": self.spec.to_dict(),
            "fragments": [[members.fragment, members.rows] for members in self.fragments],
            "units": None if kept is None else [len(kept.units), len(kept.duplicates)],
        }
        text = json.dumps(header, sort_keys=True, separators=(",", ":"), ensure_ascii=True).encode()
        pieces = [_MAGIC, len(text).to_bytes(8, "little"), text]
        for members in self.fragments:
            pieces += [members.train, members.validation, members.test]
        if kept is not None:
            pieces += [kept.units.astype("<u8").tobytes(), kept.unit_parts.tobytes()]
            pieces += [kept.duplicates.astype("<u8").tobytes(), kept.duplicate_parts.tobytes()]
        body = b"".join(pieces)
        return body + xxhash.xxh3_64_intdigest(body).to_bytes(_CHECKSUM, "little")

    @classmethod
    def from_bytes(cls, data: bytes) -> "SplitAssignment":
        """Read what `to_bytes` wrote.

        Raises
        ------
        CorruptObjectError
            When a byte is not what was written.
        """
        body, checksum = data[:-_CHECKSUM], data[-_CHECKSUM:]
        if not body.startswith(_MAGIC) or xxhash.xxh3_64_intdigest(body).to_bytes(_CHECKSUM, "little") != checksum:
            raise CorruptObjectError("These bytes are not a split, or they are damaged.", hint="Restore the file.")
        try:
            return _read(body)
        except (ValueError, KeyError, TypeError) as error:
            raise CorruptObjectError(f"This split contradicts itself: {error}.", hint="Restore the file.") from None


def _read(body: bytes) -> SplitAssignment:
    place = len(_MAGIC) + 8
    size = int.from_bytes(body[len(_MAGIC) : place], "little")
    header: Mapping[str, Any] = json.loads(body[place : place + size])
    cursor = Cursor(body, place + size)
    fragments = []
    for name, rows in header["fragments"]:
        packed = (rows + 7) // 8
        members = FragmentMembers(name, rows, cursor.take(packed), cursor.take(packed), cursor.take(packed))
        if sum(int(np.count_nonzero(members.mask(part))) for part in PARTS) != np.count_nonzero(members.parts()):
            raise ValueError(f"a row of fragment {name} is in two parts")
        fragments.append(members)
    kept = None
    if header["units"] is not None:
        units, duplicates = header["units"]
        kept = Remembered(
            cursor.take_words(units),
            cursor.take_parts(units),
            cursor.take_words(duplicates),
            cursor.take_parts(duplicates),
        )
    cursor.finish()
    return SplitAssignment(SplitSpec.from_dict(header["spec"]), tuple(fragments), kept)
