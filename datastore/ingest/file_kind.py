"""What a file is: by its ending, and by its first bytes, which know better."""

from pathlib import Path
from typing import Final

from foldstore.errors import IngestError

_KINDS: Final = {
    ".parquet": "parquet",
    ".csv": "csv",
    ".tsv": "csv",
    ".jsonl": "json lines",
    ".ndjson": "json lines",
    ".arrow": "arrow",
    ".feather": "arrow",
    ".ipc": "arrow",
    ".arrows": "arrow",
}
_PACKED: Final = (".csv.gz", ".tsv.gz", ".jsonl.gz", ".ndjson.gz")
ENDINGS: Final = (*sorted(_KINDS), *_PACKED)

_ARROW_FILE: Final = "an Arrow IPC file"
_ARROW_STREAM: Final = "an Arrow IPC stream"
_FEATHER_V1: Final = "a Feather file of version 1"
_GZIP: Final = "a gzip file"
_MAGIC: Final = (
    (b"PAR1", "a Parquet file"),
    (b"PARE", "an encrypted Parquet file"),
    (b"ARROW1", _ARROW_FILE),
    (b"\xff\xff\xff\xff", _ARROW_STREAM),
    (b"FEA1", _FEATHER_V1),
    (b"\x1f\x8b", _GZIP),
    (b"PK\x03\x04", "a ZIP archive, as Excel workbooks are"),
    (b"\xd0\xcf\x11\xe0", "an old Excel workbook or another Office file"),
    (b"BZh", "a bzip2 file"),
    (b"\xfd7zXZ", "an xz file"),
    (b"\x28\xb5\x2f\xfd", "a Zstandard file"),
    (b"%PDF", "a PDF file"),
    (b"Obj\x01", "an Avro file"),
    (b"ORC", "an ORC file"),
    (b"SQLite format 3\0", "an SQLite database"),
    (b"\x89HDF", "an HDF5 file"),
    (b"\x93NUMPY", "a numpy file"),
)
_WANTED: Final = {
    "parquet": ("a Parquet file",),
    "arrow": (_ARROW_FILE, _ARROW_STREAM),
    "csv": (),
    "json lines": (),
}
# Text may begin with these letters.
_ALSO_TEXT: Final = frozenset((b"ORC", b"BZh", b"PAR1", b"PARE", b"FEA1", b"ARROW1"))


def kind_of(path: Path) -> str | None:
    """Return which reader the ending asks for, or None.

    Examples
    --------
    >>> kind_of(Path("a.csv.gz")), kind_of(Path("b.xlsx"))
    ('csv', None)
    """
    name = path.name.lower()
    if name.endswith(_PACKED):
        name = name.removesuffix(".gz")
    return _KINDS.get(Path(name).suffix)


def is_packed(path: Path) -> bool:
    """Say whether the ending names a compressed text file."""
    return path.name.lower().endswith(_PACKED)


def check_first_bytes(path: Path, kind: str) -> str | None:
    """Refuse a file whose first bytes are those of another format; return what it looks like.

    Raises
    ------
    IngestError
        When it is not what its name says.
    """
    with path.open("rb") as file:
        head = file.read(16)
    found = _appearance(head, text=kind in ("csv", "json lines"))
    if found == _FEATHER_V1:
        raise _not_its_name(path, kind, found, "Read it with pyarrow.feather.read_table and append the table.")
    wanted = (_GZIP,) if is_packed(path) else _WANTED[kind]
    if found in wanted:
        return found
    if found is not None:
        raise _not_its_name(path, kind, found, "Give the file the ending of its format, or convert it.")
    if wanted and head:
        looks = "text" if _is_text(head) else "nothing that is known"
        raise _not_its_name(path, kind, looks, "Give the file the ending of its format, or write it anew.")
    return None


def _appearance(head: bytes, *, text: bool) -> str | None:
    for magic, words in _MAGIC:
        if head.startswith(magic) and not (text and magic in _ALSO_TEXT and not _is_binary(head)):
            return words
    return None


def _is_binary(head: bytes) -> bool:
    return any(byte < 9 for byte in head)


def _is_text(head: bytes) -> bool:
    return all(byte >= 32 or byte in b"\t\r\n" for byte in head)


def _not_its_name(path: Path, kind: str, found: str, hint: str) -> IngestError:
    if found == _FEATHER_V1:
        said = f"{path.name!r} is {found}, which is not read."
    else:
        said = f"{path.name!r} is not {_SAID[kind] if not is_packed(path) else _GZIP}: it looks like {found}."
    return IngestError(said, hint=f"Nothing was committed. {hint}", code="not-its-name", path=str(path), found=found)


_SAID: Final = {
    "parquet": "a Parquet file",
    "arrow": "an Arrow file or stream",
    "csv": "CSV text",
    "json lines": "JSON lines",
}
