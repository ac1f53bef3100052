"""What publishing needs of a dataset: its policy, and the versions that wait for a person."""

from foldstore.datastore.catalog.records import DatasetRecord
from foldstore.datastore.storage import Storage
from foldstore.review import Review, list_reviews
from foldstore.validation.gate_policy import GatePolicy, find_policy, keep_policy


class DatasetGate:
    """The policy and the queue; a part of `foldstore.dataset.Dataset`."""

    _storage: Storage
    _record: DatasetRecord
    _author: str

    @property
    def gate(self) -> GatePolicy:
        """What publishing needs beside a schema that the rows fit."""
        return find_policy(self._storage.catalog, self._record.name)

    def set_gate(self, policy: GatePolicy, *, message: str = "", author: str | None = None) -> GatePolicy:
        """Set what publishing needs: from now on it decides, together with the newest schema.

        Parameters
        ----------
        policy : GatePolicy
            ``GatePolicy()`` is the default: errors of the schema quarantine.

        Raises
        ------
        UsageError
            When it is no policy.

        Examples
        --------
        >>> import foldstore
        >>> trips = foldstore.connect(folder).create_dataset("trips")
        >>> _ = trips.append({"km": [each % 97 for each in range(2000)]})
        >>> _ = trips.set_gate(foldstore.GatePolicy(drift="previous"))
        >>> moved = trips.append({"km": [each % 97 + 60 for each in range(2000)]})
        >>> str(moved.status), [review.address for review in trips.reviews()]
        ('quarantined', ['trips@2'])
        """
        return keep_policy(self._storage, self._record.name, policy, author=author or self._author, message=message)

    def reviews(self, *, every: bool = False) -> list[Review]:
        """List the quarantined versions that wait for a person, the oldest first.

        Parameters
        ----------
        every : bool
            Also those that are postponed, released or rejected.
        """
        return list_reviews(self._storage, self._record, every=every)
