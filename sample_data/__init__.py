"""The sample data as a package: where its files lie, and the generator that damages a month."""

from pathlib import Path

from foldstore.errors import NotFoundError, did_you_mean

_FOLDER = Path(__file__).parent


def path(name: str) -> Path:
    """Return the path of a sample file, such as ``planes.csv`` or ``flights/flights_2013-01.parquet``.

    Raises
    ------
    NotFoundError
        When there is no such file.
    """
    files = {file.relative_to(_FOLDER).as_posix(): file for file in _FOLDER.rglob("*") if file.suffix in _KINDS}
    if name not in files:
        raise NotFoundError(f"There is no sample file {name!r}.", hint=did_you_mean(name, files, limit=20), name=name)
    return files[name]


def months() -> list[Path]:
    """Return the twelve months of flights of 2013, in order."""
    return [path(f"flights/flights_2013-{month:02}.parquet") for month in range(1, 13)]


_KINDS = frozenset((".csv", ".parquet", ".yaml"))
