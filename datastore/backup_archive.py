"""The form in which a backup is sent: a tar archive of its folder, whose manifest comes last.

Written and read member by member, never extracted: of a header the name, the size and that it is an ordinary file
count, and the name has to be one of a few forms. Where a member is kept follows from the hash in its name alone.
"""

import re
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final, Protocol

from foldstore.datastore.canonical import HASH_PREFIX
from foldstore.errors import StoreError

TAR: Final = "application/x-tar"
PIECE: Final = 1 << 20
END: Final = bytes(2 * tarfile.BLOCKSIZE)
_HASH: Final = f"{re.escape(HASH_PREFIX)}[0-9a-f]{{64}}"
_MOST_BYTES: Final = 1 << 44


class Part(StrEnum):
    """What a member is."""

    MANIFEST = "backup.json"
    CATALOG = "catalog-1.db"
    LISTING = "files-1.json"
    OBJECT = "object"
    COLD_OBJECT = "cold object"
    FILE = "file"


_FORMS: Final = {
    Part.OBJECT: re.compile(rf"objects/([0-9a-f]{{2}})/({_HASH})\.arrow", re.ASCII),
    Part.COLD_OBJECT: re.compile(rf"objects/([0-9a-f]{{2}})/({_HASH})\.parquet", re.ASCII),
    Part.FILE: re.compile(rf"files/([0-9a-f]{{2}})/({_HASH})", re.ASCII),
}


class Readable(Protocol):
    """Bytes as they come."""

    def read(self, size: int) -> bytes:
        """Return up to so many bytes; none at the end."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Member:
    """One file of an archive.

    Attributes
    ----------
    part : Part
        What it is.
    hash : str
        The hash in its name; empty where there is none.
    num_bytes : int
        Its size.
    pieces : iterator of bytes
        What is in it, to be read before the next member.
    """

    part: Part
    hash: str
    num_bytes: int
    pieces: Iterator[bytes]


def header_of(name: str, num_bytes: int) -> bytes:
    """Return the header of a member: an ordinary file that only its owner may read, without a time or a person."""
    info = tarfile.TarInfo(name)
    info.size, info.mode = num_bytes, 0o600
    return info.tobuf(tarfile.GNU_FORMAT)


def padding_of(num_bytes: int) -> bytes:
    """Return what fills the last block of a member."""
    return bytes(-num_bytes % tarfile.BLOCKSIZE)


def read_members(source: Readable) -> Iterator[Member]:
    """Yield the members of an archive; the bytes after its end are read, too.

    Raises
    ------
    StoreError
        With code ``unexpected-answer`` for a member that no backup has; with ``connection-lost`` where it breaks off.
    """
    while True:
        header = _read_exactly(source, tarfile.BLOCKSIZE)
        if not header.strip(b"\0"):
            while source.read(PIECE):
                pass
            return
        member = _member_of(header, source)
        yield member
        for _ in member.pieces:  # what was left of it
            pass
        _read_exactly(source, -member.num_bytes % tarfile.BLOCKSIZE)


def _member_of(header: bytes, source: Any) -> Member:
    try:
        info = tarfile.TarInfo.frombuf(header, "ascii", "strict")
    except (tarfile.TarError, ValueError) as error:
        raise _foreign("something that is no header") from error
    if info.type != tarfile.REGTYPE or not 0 <= info.size <= _MOST_BYTES:
        raise _foreign(f"{ascii(info.name)[:100]}, which is no ordinary file")
    part, digest = _part_of(info.name)
    return Member(part=part, hash=digest, num_bytes=info.size, pieces=_pieces(source, info.size))


def _part_of(name: str) -> tuple[Part, str]:
    if name in (Part.MANIFEST, Part.CATALOG, Part.LISTING):
        return Part(name), ""
    for part, form in _FORMS.items():
        found = form.fullmatch(name)
        if found and found[2].startswith(HASH_PREFIX + found[1]):
            return part, found[2]
    raise _foreign(ascii(name)[:100])


def _pieces(source: Readable, num_bytes: int) -> Iterator[bytes]:
    left = num_bytes
    while left:
        piece = source.read(min(left, PIECE))
        if not piece:
            raise _broken_off()
        left -= len(piece)
        yield piece


def _read_exactly(source: Readable, num_bytes: int) -> bytes:
    return b"".join(_pieces(source, num_bytes))


def _broken_off() -> StoreError:
    return StoreError(
        "The backup broke off before its end.",
        hint="Ask again with the same folder: what came whole is kept, and not sent again.",
        code="connection-lost",
    )


def _foreign(what: str) -> StoreError:
    return StoreError(
        f"The archive holds {what}: no backup does.",
        hint="Ask whether the URL is that of a Foldstore server of this release. Nothing of it was kept.",
        code="unexpected-answer",
    )
