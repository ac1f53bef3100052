"""A report on the disk: the file appears when it is whole, and takes the place of one that is there."""

import os
import tempfile
from pathlib import Path

from foldstore.errors import ExportError


def save(text: str, file: str | os.PathLike[str] | None) -> str:
    """Write a text to a file, if one is named, and return the text.

    Raises
    ------
    ExportError
        When the file cannot be written; nothing is left half-written.
    """
    if file is None:
        return text
    target = Path(file)
    try:
        handle, staged = tempfile.mkstemp(prefix=".report-", dir=target.parent)
        try:
            with os.fdopen(handle, "wb") as opened:
                opened.write(text.encode("utf-8"))
            Path(staged).chmod(0o666 & ~_umask())
            Path(staged).replace(target)
        except BaseException:
            Path(staged).unlink(missing_ok=True)
            raise
    except OSError as error:
        raise ExportError(
            f"{str(target)!r} cannot be written: {error.strerror or error}.",
            hint="Name a file in a folder that is there and may be written.",
            file=str(target),
        ) from error
    return text


def _umask() -> int:
    """Return the mask of new files: what `mkstemp` makes is for its owner alone."""
    mask = os.umask(0o022)
    os.umask(mask)
    return mask
