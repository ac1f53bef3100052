"""Manifest pages in memory: they never change, so each is fetched and decoded once per process."""

from collections import OrderedDict
from collections.abc import Sequence
from threading import Lock
from typing import Final

from foldstore.datastore.catalog.catalog import Catalog
from foldstore.datastore.catalog.holders import refuse_expired
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
        NotFoundError
            With code ``version-expired``, when retention gave the version's rows up.
        CorruptObjectError
            When a page is missing or damaged, or they list other rows than the version counts.
        """
        pages = self._read(version.id)
        if not pages:
            refuse_expired(self._catalog, version.id)
        if pages is None or _count(pages) != version.num_rows:
            # An erasure may have switched the pages meanwhile, and lowered the count.
            now = self._catalog.find_version_by_id(version.id) or version
            pages = self._read(version.id)
            if pages is None or _count(pages) != now.num_rows:
                refuse_expired(self._catalog, version.id)  # the record may have been read before the version expired
                raise CorruptObjectError(
                    f"Version {version.number} lists other rows than it counts.",
                    hint="The catalog was damaged; restore it from a backup.",
                    version=version.id,
                )
        return pages

    def _read(self, version_id: str) -> tuple[Page, ...] | None:
        hashes = self._catalog.list_page_hashes(version_id)
        with self._lock:
            found = {name: self._pages[name] for name in hashes if name in self._pages}
        missing = [name for name in hashes if name not in found]
        found |= {name: decode_page(name, encoded) for name, encoded in self._catalog.read_pages(missing).items()}
        self._keep(found)
        return tuple(found[name] for name in hashes) if len(found) == len(set(hashes)) else None

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


def _count(pages: Sequence[Page]) -> int:
    return sum(page.live_rows for page in pages)
