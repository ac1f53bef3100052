"""The form of an online file: one Arrow IPC file, one record batch, rows sorted by key hash and event time.

Columns by place: the key's hash (uint64), the event time (int64 nanoseconds), from format 2 on the created time (the
same, for views that have one) and, in a file of changes, whether the row is gone; then the keys, and the features in
the very types of the source. No two entities of a file share a hash: the salt in the header is chosen so. Of rows of
one entity and event time only the one that counts is kept. The schema's metadata holds the header as JSON.

A file of changes lies over another one: its rows take the place of those of the same entity and event time, and a
row that is gone says that there is none any more.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import pyarrow as pa

from foldstore.datastore.canonical import canonical_json
from foldstore.errors import StoreFormatError, UnreadableError, UsageError
from foldstore.views.features.feature_view import FeatureView
from foldstore.views.instant import format_instant

FORMAT: Final = 2
_FORMATS: Final = (1, FORMAT)
HEADER_KEY: Final = b"foldstore.online"
HASH_PLACE: Final = 0
TIME_PLACE: Final = 1
_TIMES_ONLY: Final = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class OnlineHeader:
    """What a file says of itself.

    Attributes
    ----------
    view : FeatureView
        The definition that was materialized.
    sources : tuple of str
        The addresses of the versions that the rows come from.
    salt : str
        What the key hashes are salted with.
    since : int or None
        The earliest instant that may be asked about, in nanoseconds; None for any.
    changes : bool
        Whether the file lies over another one.
    format : int
        The form; 1 has no created times.
    """

    view: FeatureView
    sources: tuple[str, ...]
    salt: str
    since: int | None
    changes: bool = False
    format: int = FORMAT

    @property
    def created_place(self) -> int | None:
        """Which column holds the created times, if any does."""
        return _TIMES_ONLY if self.format > 1 and self.view.to_plain().created_time is not None else None

    @property
    def gone_place(self) -> int | None:
        """Which column says that rows are gone, if any does."""
        return _TIMES_ONLY + (self.created_place is not None) if self.changes else None

    @property
    def first_key(self) -> int:
        """Which column is the first of the keys, or of the features where there are no keys."""
        return _TIMES_ONLY + (self.created_place is not None) + self.changes

    def check_reach(self, at: int) -> None:
        """Refuse an instant that the file does not reach back to."""
        since = self.since
        if since is not None and at < since:
            raise UsageError(
                f"Feature view {self.view.name!r} is materialized from {format_instant(since)} on, "
                f"not for {format_instant(at)}.",
                hint="Ask about a later instant, or materialize more of its history.",
                code="before-history",
                view=self.view.name,
            )

    def encode(self) -> bytes:
        """Return the header as canonical JSON."""
        body = {
            "format": self.format,
            "changes": self.changes,
            "view": self.view.to_dict(),
            "sources": list(self.sources),
            "salt": self.salt,
            "since": self.since,
        }
        return canonical_json(body).encode()


def decode_header(metadata: Mapping[bytes, bytes] | None, where: str) -> OnlineHeader:
    """Read a file's header.

    Raises
    ------
    UnreadableError
        When there is none, or it says nothing that can be understood.
    StoreFormatError
        When a newer Foldstore wrote it.
    """
    try:
        body: dict[str, Any] = json.loads((metadata or {})[HEADER_KEY])
        if body["format"] not in _FORMATS:
            raise StoreFormatError(
                f"{where} has format {body['format']}, this Foldstore reads {FORMAT}.", hint="Upgrade Foldstore."
            )
        return OnlineHeader(
            view=FeatureView.from_dict(body["view"]),
            sources=tuple(body["sources"]),
            salt=body["salt"],
            since=body["since"],
            changes=body.get("changes", False) is True,
            format=body["format"],
        )
    except (KeyError, TypeError, json.JSONDecodeError) as error:
        raise not_an_online_file(where) from error


def check_layout(schema: pa.Schema, header: OnlineHeader, where: str) -> None:
    """Refuse a file whose columns are not the ones that its header promises.

    Raises
    ------
    UnreadableError
        When they are not.
    """
    view = header.view
    expected = [*view.join_keys, *view.features]
    system = [pa.uint64(), pa.int64()]
    system += [] if header.created_place is None else [pa.int64()]
    system += [pa.bool_()] if header.changes else []
    first = header.first_key
    fits = schema.names[first:] == expected and schema.types[:first] == system
    if not fits:
        raise not_an_online_file(where)


def not_an_online_file(where: str) -> UnreadableError:
    """Build the error for a file that is something else."""
    return UnreadableError(f"{where} is not a materialized feature view.", hint="Materialize the view again.")
