"""Splits and folds of a remote version: made by the server, found there."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, cast

from foldstore.errors import NotFoundError, UsageError
from foldstore.names import check_split_name
from foldstore.remote.folds import RemoteFolds, find_folds, make_folds
from foldstore.remote.split import RemoteSplit, find_split, make_split

if TYPE_CHECKING:
    from foldstore.remote.version import RemoteVersion


class RemoteSplitsOfVersion:
    """Sharing out the rows of a version; a part of `foldstore.remote.version.RemoteVersion`."""

    def split(self, name: str, **how: Any) -> RemoteSplit:
        """Share out the rows to train, validation and test, for good; see `foldstore.Version.split`."""
        return self.split_where((), name, how)

    def folds(self, name: str, k: int | None = None, **how: Any) -> RemoteFolds:
        """Share out the rows to k folds, each of which is held out once, for good; see `foldstore.Version.folds`."""
        return self.fold_where((), name, {"k": k, **how})

    def split_where(
        self, predicates: Sequence[str], name: str, how: Mapping[str, Any], within: str | None = None
    ) -> RemoteSplit:
        """Split the rows that meet every predicate, of a part perhaps; `View.split` calls this."""
        return make_split(self._own(), predicates, name, how, within)

    def fold_where(
        self, predicates: Sequence[str], name: str, how: Mapping[str, Any], within: str | None = None
    ) -> RemoteFolds:
        """Make folds of the rows that meet every predicate, of a part perhaps; `View.folds` calls this."""
        return make_folds(self._own(), predicates, name, how, within)

    def find_split(self, name: str) -> RemoteSplit:
        """Return a split of the dataset, or one fold, as it stands on this version."""
        return find_split(self._own(), check_split_name(name))

    def find_sharing(self, name: str) -> RemoteSplit | RemoteFolds:
        """Return a split of the dataset, or folds, or one fold, as it stands on this version."""
        try:
            return self.find_split(name)
        except UsageError as error:  # folds have no parts of their own
            try:
                return find_folds(self._own(), check_split_name(name))
            except NotFoundError:
                raise error from None

    def _own(self) -> "RemoteVersion":
        return cast("RemoteVersion", self)
