"""What a dataset's handle does with refs: branches, aliases and tags."""

from typing import Any, Self

from foldstore.datastore import refs
from foldstore.datastore.catalog.records import DatasetRecord, VersionRecord
from foldstore.datastore.refs import RefMove
from foldstore.datastore.storage import Storage
from foldstore.errors import UsageError
from foldstore.names import LATEST
from foldstore.version import Version


class DatasetRefs:
    """Branches (lines of work that commits move), aliases (moved by hand, with history), tags (never moved).

    The three share one namespace; an address names each alike: ``flights@champion``.
    """

    _storage: Storage
    _record: DatasetRecord
    _author: str

    def create_branch(self, name: str, at: Version | int | str | None = None) -> Self:
        """Make a branch at a version, the newest one unless given, and return the handle that writes to it.

        Raises
        ------
        AlreadyExistsError
            When the dataset has a branch, an alias or a tag of that name.

        Examples
        --------
        >>> import foldstore
        >>> people = foldstore.connect(folder).create_dataset("people", key=["id"])
        >>> first = people.append({"id": [1, 2]})
        >>> cleaning = people.create_branch("cleaning", first)
        >>> cleaning.delete("id = 2").address, people.latest.address, people.version("cleaning").num_rows
        ('people@2', 'people@1', 1)
        """
        version = self._version_record(at)
        refs.create_ref(self._storage, self._record, version, name, refs.BRANCH, author=self._author)
        return self.branch(name)

    def branch(self, name: str) -> Self:
        """Return the handle of a branch: its commits go there, and `latest` is its head.

        Raises
        ------
        NotFoundError
            When there is none of that name.
        """
        refs.find_ref(self._storage, self._record, name, refs.BRANCH)
        return self._on_branch(name)

    def set_alias(self, name: str, version: Version | int | str | None = None) -> None:
        """Point an alias at a version (the newest one unless given); it is made when it is new.

        Raises
        ------
        AlreadyExistsError
            When a branch or a tag has the name.

        Examples
        --------
        >>> import foldstore
        >>> people = foldstore.connect(folder, author="ana").create_dataset("people")
        >>> first, second = people.append({"id": [1]}), people.append({"id": [2]})
        >>> people.set_alias("champion", first); people.set_alias("champion", second)
        >>> people.version("champion").number, [(move.version, move.author) for move in people.history("champion")]
        (2, [(1, 'ana'), (2, 'ana')])
        """
        refs.set_alias(self._storage, self._record, self._version_record(version), name, author=self._author)

    def tag(self, name: str, version: Version | int | str | None = None) -> None:
        """Give a version (the newest one unless given) a name that never moves.

        Raises
        ------
        AlreadyExistsError
            When the dataset has a branch, an alias or a tag of that name.
        """
        refs.create_ref(self._storage, self._record, self._version_record(version), name, refs.TAG, author=self._author)

    def remove_ref(self, name: str) -> None:
        """Remove a branch, an alias or a tag; versions stay until nothing else keeps them and gc() collects them.

        Raises
        ------
        NotFoundError
            When there is none of that name.
        """
        refs.remove_ref(self._storage, self._record, name, author=self._author)

    def refs(self) -> list[dict[str, Any]]:
        """List branches, aliases and tags: ``name``, ``kind`` and the ``version`` that each points at."""
        catalog = self._storage.catalog
        found = []
        for ref in catalog.list_refs(self._record.id):
            version = catalog.find_version_by_id(ref.version_id) if ref.version_id else None
            found.append({"name": ref.name, "kind": ref.kind, "version": version.number if version else None})
        return found

    def history(self, name: str) -> list[RefMove]:
        """List the moves of a branch or an alias, oldest first: to which version, by whom, when.

        Raises
        ------
        NotFoundError
            When there is none of that name and never was.
        """
        return refs.list_moves(self._storage, self._record, name)

    def _version_record(self, version: Version | int | str | None) -> VersionRecord:
        """Return what a person means by a version: a handle, a number, a ref, or the newest one."""
        if isinstance(version, Version):
            if version.record.dataset_id != self._record.id:
                raise UsageError(
                    f"{version.address} is not a version of {self._record.name!r}.", hint="Take one of this dataset."
                )
            return version.record
        return self.version(LATEST if version is None else version).record

    def version(self, ref: int | str) -> Version:
        """Return a version; the handle that has these verbs says how."""
        raise NotImplementedError

    def _on_branch(self, name: str) -> Self:
        raise NotImplementedError
