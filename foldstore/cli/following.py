"""Long work on a server, as the command waits for it."""

from collections.abc import Mapping
from contextlib import ExitStack
from time import monotonic
from typing import Any, Final

from foldstore.cli.output import SHOWN, Show, bar, is_watched, say

_SOON: Final = 1.0


class FollowedWork:
    """Follows what a server works on: shown when it takes over a second, and called off by Ctrl-C.

    Parameters
    ----------
    connection : foldstore.remote.connection.Connection
        The way to the server.
    """

    def __init__(self, connection: Any) -> None:
        self._connection = connection

    def follow(self, place: str) -> None:
        """Wait until the operation at a path is done."""
        from foldstore.remote.operations import Watched

        began = monotonic()
        with ExitStack() as stack:
            shown: list[Show] = [show for show in (SHOWN.get(),) if show is not None]

            def hear(state: Mapping[str, Any]) -> None:
                if not shown and is_watched() and monotonic() - began > _SOON:
                    shown.append(stack.enter_context(bar("The server works")))
                for show in shown:
                    show(int(state["progress"]["done"]), state["progress"]["total"], state["progress"]["words"])

            try:
                Watched(self._connection, on_look=hear).follow(place)
            except KeyboardInterrupt:
                say("Called off: what the server had not committed has changed nothing.")
                raise
