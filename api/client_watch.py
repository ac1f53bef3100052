"""Work that is waited for ends when nobody waits any more: who asked has gone away."""

import asyncio
from typing import Final

from starlette.types import Receive

from foldstore.errors import CancelledError
from foldstore.work import watch

_KEPT: Final[set[asyncio.Task[None]]] = set()  # a loop alone does not keep its tasks


class ClientWatch:
    """Ends what a request has the server read, between two pieces of it; what changes something goes to its end."""

    def __init__(self) -> None:
        self._is_gone = False

    def begin(self, receive: Receive) -> None:
        """Watch over what this request does from here on, until it is answered; its body is read already."""
        watch(self)
        task = asyncio.get_running_loop().create_task(self._listen(receive))
        _KEPT.add(task)
        task.add_done_callback(_KEPT.discard)

    def note_rows(self, rows: int) -> None:  # noqa: ARG002
        """Hear of rows that were read.

        Raises
        ------
        CancelledError
            When nobody waits for them.
        """
        if self._is_gone:
            raise CancelledError("Who asked has gone away.")

    def settle(self) -> None:
        """Hear that something is about to be committed."""

    async def _listen(self, receive: Receive) -> None:
        while (await receive())["type"] != "http.disconnect":  # it comes when all is answered, too
            pass
        self._is_gone = True
