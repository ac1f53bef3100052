"""What is served: which versions, how many rows, how much was pushed since."""

from dataclasses import dataclass
from typing import Any

from foldstore.features.layouts import Layouts, Served
from foldstore.views.online.pushed_rows import identify


@dataclass(frozen=True, slots=True, kw_only=True)
class ServedView:
    """A feature view as a service answers from it.

    Attributes
    ----------
    service, view : str
    materialization : int
        Which laying out of the service this is.
    materialized_at : str
    watermark : tuple of str
        The versions that the rows are of.
    rows, bytes : int
        In files.
    changes : int
        How many files lie over the first one.
    pushed : int
        Pushed rows over the files.
    """

    service: str
    view: str
    materialization: int
    materialized_at: str
    watermark: tuple[str, ...]
    rows: int
    bytes: int
    changes: int
    pushed: int

    def to_dict(self) -> dict[str, Any]:
        """Return it as plain data."""
        named = {name: getattr(self, name) for name in self.__slots__}
        return {**named, "watermark": list(self.watermark)}


def list_served_views(layouts: Layouts, service: str | None = None) -> list[ServedView]:
    """List what is served, of one service, ``arrival`` or ``arrival@3``, or of all."""
    found = []
    for served in layouts.list_served():
        if service is None or service in (served.address, served.address.partition("@")[0]):
            found += [_describe(layouts, served, name) for name in served.views]
    return found


def _describe(layouts: Layouts, served: Served, name: str) -> ServedView:
    reader = layouts.open_base(served.files_of(name))
    store = layouts.pushes
    return ServedView(
        service=served.address,
        view=name,
        materialization=served.document.version,
        materialized_at=served.document.created_at,
        watermark=reader.sources,
        rows=reader.num_rows,
        bytes=reader.num_bytes,
        changes=reader.num_changes,
        pushed=0 if store is None else store.count(identify(served.views[name])),
    )
