"""The form of an online file: one Arrow IPC file, one record batch, rows sorted by key hash and event time.

Columns by place: the key's hash (uint64), the event time (int64 nanoseconds), the keys, the features in the very
types of the source. No two entities of a file share a hash: the salt in the header is chosen so. Of rows of one
entity and event time only the one that counts is kept. The schema's metadata holds the header as JSON.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import pyarrow as pa

from foldstore.datastore.canonical import canonical_json
from foldstore.errors import StoreFormatError, UnreadableError
from foldstore.views.features.feature_view import FeatureView

FORMAT: Final = 1
HEADER_KEY: Final = b"foldstore.online"
HASH_PLACE: Final = 0
TIME_PLACE: Final = 1
FIRST_KEY: Final = 2


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
    """

    view: FeatureView
    sources: tuple[str, ...]
    salt: str
    since: int | None

    def encode(self) -> bytes:
        """Return the header as canonical JSON."""
        body = {
            "format": FORMAT,
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
        if body["format"] != FORMAT:
            raise StoreFormatError(
                f"{where} has format {body['format']}, this Foldstore reads {FORMAT}.", hint="Upgrade Foldstore."
            )
        return OnlineHeader(
            view=FeatureView.from_dict(body["view"]),
            sources=tuple(body["sources"]),
            salt=body["salt"],
            since=body["since"],
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
    fits = schema.names[FIRST_KEY:] == expected and schema.types[:FIRST_KEY] == [pa.uint64(), pa.int64()]
    if not fits:
        raise not_an_online_file(where)


def not_an_online_file(where: str) -> UnreadableError:
    """Build the error for a file that is something else."""
    return UnreadableError(f"{where} is not a materialized feature view.", hint="Materialize the view again.")
