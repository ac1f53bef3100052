"""The commonest lookup: one entity, of a service whose views are files that nothing was pushed over."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from foldstore.views.online.cells import RowCells
from foldstore.views.online.layered import LayeredReader
from foldstore.views.online.reader import Found, OnlineReader
from foldstore.views.online.service import OnlineService


class PlainPart(NamedTuple):
    """One selection of a service.

    Attributes
    ----------
    reader : LayeredReader or OnlineReader
        Finds rows.
    keys : tuple of str
        What it is asked by, in the order of the entity's keys.
    names : tuple of str
        What the features are called in an answer.
    columns : tuple of RowCells
        Their values, in each file.
    """

    reader: LayeredReader | OnlineReader
    keys: tuple[str, ...]
    names: tuple[str, ...]
    columns: tuple[RowCells, ...]


class PlainService:
    """Looks one entity up without the steps that only other lookups need, and finds what those find.

    Parameters
    ----------
    service : OnlineService
        Whose features are asked for.
    parts : sequence of PlainPart
        Where they are.

    Attributes
    ----------
    service : OnlineService
        The service.
    parts : tuple of PlainPart
        Its selections, in their order.
    """

    __slots__ = ("__weakref__", "_num_keys", "parts", "service")

    def __init__(self, service: OnlineService, parts: Sequence[PlainPart]) -> None:
        self.service = service
        self.parts = tuple(parts)
        self._num_keys = len(service.join_keys)

    @classmethod
    def of(cls, service: OnlineService) -> "PlainService | None":
        """Return the same service for the commonest lookup; None where rows are on a server, or nothing is asked by."""
        parts = []
        for reader, selection, names in service.parts():
            if not isinstance(reader, LayeredReader | OnlineReader):
                return None
            parts.append(PlainPart(reader, selection.label_keys, names, reader.columns_of(selection.features)))
        return cls(service, parts) if service.join_keys else None

    def find(self, entities: Mapping[str, Sequence[Any]], at: int) -> list[tuple[int, Found]] | None:
        """Return what is found of one entity for each part, and in which of its files; None for other lookups.

        Parameters
        ----------
        entities : mapping of str to sequence
            The keys, one value each.
        at : int
            The instant, in nanoseconds.

        Raises
        ------
        SchemaMismatchError
            When a value is not of the key's type.
        """
        if len(entities) != self._num_keys:
            return None
        found = []
        for part in self.parts:
            try:
                key = [entities[name][0] for name in part.keys]
            except KeyError:
                return None
            each = part.reader.find_in_files(key, at)
            if each is None:
                return None
            found.append(each)
        return found
