"""What answers the commonest lookups, remembered for as long as the catalog does not change."""

from collections.abc import Callable
from typing import Final

from foldstore.datastore.catalog.change_mark import ChangeMark, Mark
from foldstore.features.serving import OnlineServing
from foldstore.views.online.plain import PlainService

_REMEMBERED: Final = 1_000  # there are many ways to write an address


class PlainServices:
    """Finds services whose lookups need no more than to be answered.

    Parameters
    ----------
    change_mark : ChangeMark
        The catalog's.
    online : OnlineServing
        What is laid out.
    is_noted : callable
        Say of a version's address and a mark whether its lookups are logged, or shown to a shadow.
    """

    __slots__ = ("_change_mark", "_is_noted", "_known", "_online")

    def __init__(self, change_mark: ChangeMark, online: OnlineServing, is_noted: Callable[[str, Mark], bool]) -> None:
        self._change_mark = change_mark
        self._online = online
        self._is_noted = is_noted
        self._known: tuple[Mark, dict[str, PlainService | None]] = (None, {})

    def find(self, service: str) -> PlainService | None:
        """Return what answers for a service; None where a lookup takes other steps.

        Parameters
        ----------
        service : str
            An address, as `Features.get_online_features` takes it.

        Raises
        ------
        NotFoundError
            When the service is not there, or not materialized.
        """
        mark = self._change_mark.read()
        if mark is None:
            return None
        if mark != self._known[0]:
            self._known = mark, {}
        known = self._known[1]
        if service not in known:
            if len(known) >= _REMEMBERED:
                return None
            known[service] = self._open(service, mark)
        found = known[service]
        if found is not None and not self._online.serves(found.service):  # it was opened anew
            found = known[service] = self._open(service, mark)
        return found

    def _open(self, service: str, mark: Mark) -> PlainService | None:
        found = self._online.find_plain(service, mark)
        return None if found is None or self._is_noted(str(found.service.address), mark) else found
