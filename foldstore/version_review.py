"""What a person decides about a version that did not pass its gate."""

from datetime import datetime
from typing import TYPE_CHECKING

from foldstore import review as reviews
from foldstore.datastore.catalog.records import DatasetRecord, VersionRecord
from foldstore.datastore.storage import Storage
from foldstore.review import Review

if TYPE_CHECKING:
    from foldstore.version import Version


class VersionReview:
    """Releases, rejects and postpones; a part of `foldstore.version.Version`."""

    _storage: Storage
    _dataset: DatasetRecord
    _record: VersionRecord
    _author: str

    @property
    def review(self) -> Review | None:
        """What failed and what was decided about it; None when the version passed its gate."""
        return reviews.find_review(self._storage, self._dataset, self._record)

    def release(self, reason: str, *, author: str | None = None) -> "Version":
        """Publish what the version changed, as a new version on its branch, and write down who did and why.

        The version itself stays quarantined. The new one keeps its report.

        Parameters
        ----------
        reason : str
            Why; kept with the new version and in the journal.
        author : str, optional
            Who decides; the store's author unless given.

        Raises
        ------
        UsageError
            With code ``invalid-status``, when the version is not quarantined.
        ConflictError
            When it was released before, was rejected and not put back into the queue since, or the branch has since
            changed the same rows or columns.
        DuplicateKeyError
            When a key value would occur twice: what a person says does not make keys unique.

        Examples
        --------
        >>> import foldstore
        >>> ages = foldstore.connect(folder).create_dataset("ages")
        >>> schema = ages.append({"age": list(range(500))}).profile().infer_schema()
        >>> _ = ages.set_schema(schema)
        >>> late = ages.append({"age": [None] * 50})
        >>> str(late.status), late.review.state.value
        ('quarantined', 'waiting')
        >>> late.release("The form did not ask in March.").address
        'ages@3'
        """
        made = reviews.release(self._storage, self._dataset, self._record, reason=reason, actor=author or self._author)
        return self._sibling(made)

    def reject(self, reason: str, *, author: str | None = None) -> None:
        """Write down that the version will not be published; it stays quarantined until retention removes it.

        Whoever thinks better of it puts the version back into the queue with `postpone`.

        Raises
        ------
        UsageError
            With code ``invalid-status``, when the version is not quarantined.
        ConflictError
            When it was released, or rejected before.
        """
        reviews.reject(self._storage, self._dataset, self._record, reason=reason, actor=author or self._author)

    def postpone(self, until: str | datetime, reason: str = "", *, author: str | None = None) -> str:
        """Take the version out of the queue until a time; return that instant.

        A version that was rejected comes back to the queue in this way, and can be released then. All acts stay in
        the journal.

        Parameters
        ----------
        until : str or datetime
            A length of time such as ``"3d"``, or an instant.
        reason : str
            Why; needed where the version was rejected.
        author : str, optional
            Who decides; the store's author unless given.

        Raises
        ------
        UsageError
            When the time is past, or a rejected version is put back for no reason.
        ConflictError
            When it was released.
        """
        return reviews.postpone(
            self._storage, self._dataset, self._record, until=until, reason=reason, actor=author or self._author
        )

    def _sibling(self, record: VersionRecord) -> "Version":
        raise NotImplementedError
