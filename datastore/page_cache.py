"""Manifest pages in memory: they never change, so each is fetched and decoded once per process."""

from collections import OrderedDict
from threading import Lock
from typing import Final

from foldstore.datastore.catalog.catalog import Catalog
from foldstore.datastore.catalog.records import VersionRecord
from foldstore.datastore.manifest import Fragment, Page, decode_page
from foldstore.errors import CorruptObjectError

_MOST_PAGES: Final = 1_024


class PageCache:
    """Reads the pages of versions; keeps those that were used last."""

    def __init__(self, catalog: Catalog) -> None:
        self._catalog = catalog
        self._pages: OrderedDict[str, Page] = OrderedDict()
        self._lock = Lock()

    def read(self, version: VersionRecord) -> tuple[Page, ...]:
        """Return the pages of a version, in order.

        Raises
        ------
        CorruptObjectError
            When a page is missing or damaged, or they list other rows than the version counts.
        """
        hashes = self._catalog.list_page_hashes(version.id)
        with self._lock:
            found = {name: self._pages[name] for name in hashes if name in self._pages}
        missing = [name for name in hashes if name not in found]
        found |= {name: decode_page(name, encoded) for name, encoded in self._catalog.read_pages(missing).items()}
        pages = tuple(found[name] for name in hashes if name in found)
        if len(pages) < len(hashes) or sum(f.live_rows for page in pages for f in page.fragments) != version.num_rows:
            raise CorruptObjectError(
                f"Version {version.number} lists other rows than it counts.",
                hint="The catalog was damaged; restore it from a backup.",
                version=version.id,
            )
        self._keep(found)
        return pages

    def fragments(self, version: VersionRecord) -> tuple[Fragment, ...]:
        """Return all fragments of a version, in order."""
        return tuple(fragment for page in self.read(version) for fragment in page.fragments)

    def _keep(self, pages: dict[str, Page]) -> None:
        with self._lock:
            for name, page in pages.items():
                self._pages[name] = page
                self._pages.move_to_end(name)
            while len(self._pages) > _MOST_PAGES:
                self._pages.popitem(last=False)
