"""What the document of a saved view says of the versions that it reads, for whoever keeps or shows them.

A view reads one version (``sources``), or several views (``inputs``), each of which is described in the same way.
"""

from collections.abc import Iterator, Mapping
from typing import Any, Final

# The documents of views that may still be edited; published ones are of the kind "view".
DRAFT_KIND: Final = "view_draft"
# Deeper than any view that can be written.
_MOST_LEVELS: Final = 64


def list_sources(body: object, level: int = 0) -> Iterator[Mapping[str, Any]]:
    """Yield the sources of a view, from wherever they are in its specification; what is no source is left out.

    Examples
    --------
    >>> inner = {"sources": [{"address": "flights@3", "version_id": "a1"}], "steps": []}
    >>> [source["address"] for source in list_sources({"union": {}, "inputs": [inner, inner], "steps": []})]
    ['flights@3', 'flights@3']
    """
    if not isinstance(body, Mapping) or level > _MOST_LEVELS:
        return
    for source in _list(body.get("sources")):
        if isinstance(source, Mapping) and isinstance(source.get("version_id"), str):
            yield source
    for each in _list(body.get("inputs")):
        yield from list_sources(each, level + 1)


def list_version_ids(body: object) -> list[str]:
    """Return the ids of the versions that a view is pinned to, each once; a part of a split counts as its version."""
    return list(dict.fromkeys(source["version_id"].partition("#")[0] for source in list_sources(body)))


def _list(value: object) -> list[Any]:
    return value if isinstance(value, list) else []
