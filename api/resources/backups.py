"""A backup of the whole store, sent as an archive."""

from pathlib import Path
from typing import Final

from starlette.responses import Response

from foldstore.api.answers import PiecesResponse
from foldstore.api.body import Members, read_rows
from foldstore.api.media import choose_media
from foldstore.api.query import QueryParameter
from foldstore.api.route import BodyKind, Call, Gives, Route
from foldstore.datastore.backup_archive import TAR
from foldstore.errors import UsageError


def _send(call: Call) -> Response:
    call.refuse_bounded("A backup")
    media = choose_media(call.headers.get("accept", "*/*"), (TAR,))
    pieces = call.store.send_backup(
        have=_have(call),
        store_id=call.query.text("store"),
        include_sealed=call.query.choice("sealed", ("true", "false")) == "true",
    )
    return PiecesResponse(pieces, media)


def _have(call: Call) -> frozenset[str]:
    """Return the hashes of files that need not be sent."""
    if not isinstance(call.body, Path):
        return frozenset(Members(call.body, "have").texts("have") or ())
    table = read_rows(call.body)
    if table.schema.names != ["have"]:
        raise UsageError("The rows are not one column of hashes.", hint="Call the column 'have'.")
    return frozenset(map(str, table["have"].to_pylist()))


ROUTES: Final = (
    Route(
        method="POST",
        path="/v1/backup",
        scope="admin",
        answer=_send,
        gives=Gives.ARCHIVE,
        summary="Send a backup of the store, as it is at one moment, as a tar archive of the folder to restore from",
        body=BodyKind.EITHER,
        example={"have": []},
        parameters=(
            QueryParameter("sealed", "false: without sealed cells, which are never sent; else refused.", "false"),
            QueryParameter("store", "The id of the store whose backup is there already."),
        ),
    ),
)
