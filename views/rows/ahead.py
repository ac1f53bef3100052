"""Making the next item while the one before is used: numpy and Arrow let another thread run meanwhile."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Final, TypeVar, cast

_Item = TypeVar("_Item")
_END: Final = object()


def make_ahead(items: Iterator[_Item]) -> Iterator[_Item]:
    """Yield items, each of which is made in a thread while the one before it is used.

    The thread ends with the iterator. What is raised while an item is made is raised where it would be yielded.
    """
    with ThreadPoolExecutor(max_workers=1, thread_name_prefix="foldstore-ahead") as thread:
        coming = thread.submit(next, items, cast("_Item", _END))
        while (item := coming.result()) is not _END:
            coming = thread.submit(next, items, cast("_Item", _END))
            yield item
