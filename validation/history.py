"""The versions before the rows that are judged, as the checks that compare with them ask for them."""

from collections.abc import Callable
from dataclasses import dataclass

from foldstore.datastore.catalog.records import VersionRecord
from foldstore.datastore.storage import Storage
from foldstore.validation.drift.trends import Trends
from foldstore.validation.drift.version_trends import trends_over_versions
from foldstore.validation.drift.windows import window_before
from foldstore.validation.subject import Subject


@dataclass(frozen=True, slots=True)
class History:
    """What came before.

    Attributes
    ----------
    window : callable
        Returns the rows of a window such as ``rolling(5)``, or how many versions there are, where these are too few.
    trends : callable
        Returns the trends over the versions up to the rows that are judged, told after how many a season repeats.
    """

    window: Callable[[str], Subject | int]
    trends: Callable[[int], Trends]


def history_of(storage: Storage, record: VersionRecord, name: str) -> History:
    """Return what came before a version; the trends end with it."""
    return History(
        lambda text: window_before(storage, record, text),
        lambda season: trends_over_versions(storage, record, name, None, None, season),
    )


def history_for(storage: Storage, head: VersionRecord | None, name: str, newest: Subject) -> History:
    """Return what came before rows that are no version yet: everything up to a head; the trends end with them."""

    def window(text: str) -> Subject | int:
        return 0 if head is None else window_before(storage, head, text, own=True)

    return History(window, lambda season: trends_over_versions(storage, head, name, None, None, season, newest=newest))
