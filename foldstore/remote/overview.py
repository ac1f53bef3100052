"""What a remote store knows of all its datasets together: who depends on versions, and what waits for a person."""

from foldstore.consumers import Consumer
from foldstore.remote.connection import path_of
from foldstore.remote.dataset import RemoteDataset
from foldstore.remote.server import Server
from foldstore.review import Review


class RemoteOverview:
    """What is asked of several datasets at once; a part of `foldstore.remote.store.RemoteStore`."""

    server: Server

    def datasets(self, *, search: str | None = None, tag: str | None = None) -> list[RemoteDataset]:
        """List the datasets; the handle that has these verbs does."""
        raise NotImplementedError

    def consumers(self, kind: str | None = None, name: str | None = None) -> list[Consumer]:
        """List who depends on versions: all, or those of a kind or a name; `version.consumers` registers them."""
        return [Consumer(**each) for each in self.server.get(path_of("consumers"), kind=kind, name=name)["items"]]

    def reviews(self, *, every: bool = False) -> list[Review]:
        """List the quarantined versions of all datasets that wait for a person."""
        found = [review for each in self.datasets() for review in each.reviews(every=every)]
        return sorted(found, key=lambda review: (review.since, review.address))
