"""What people say of a dataset: owner, description, tags; kept with its history, and searched."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final

from foldstore.datastore.arrow_schema import decode_schema
from foldstore.datastore.catalog.records import DatasetRecord
from foldstore.datastore.catalog.registry import Registry
from foldstore.datastore.free_text import check_text
from foldstore.datastore.storage import Storage
from foldstore.errors import UsageError
from foldstore.names import MAIN_BRANCH, check_label
from foldstore.types import format_time

_KIND: Final = "description"
_MAX_OWNER: Final = 200
_MAX_TEXT: Final = 10_000
_MAX_TAGS: Final = 50


@dataclass(frozen=True, slots=True, kw_only=True)
class Description:
    """What people say of a dataset.

    Attributes
    ----------
    version : int
        How often it was changed; 0 when nobody has said anything.
    """

    description: str = ""
    owner: str | None = None
    tags: tuple[str, ...] = ()
    version: int = 0
    author: str | None = None
    changed_at: str | None = None

    def to_dict(self) -> dict[str, Any]:
        """Return plain data."""
        return {
            "description": self.description,
            "owner": self.owner,
            "tags": list(self.tags),
            "version": self.version,
            "author": self.author,
            "changed_at": self.changed_at,
        }


class Described:
    """The part of a dataset's handle that speaks of what people say of it."""

    _storage: Storage
    _record: DatasetRecord
    _author: str

    @property
    def description(self) -> Description:
        """Owner, description and tags, as they are now."""
        document = self._descriptions().find(self._record.name)
        return Description() if document is None else _read(document.body, document)

    def descriptions(self) -> list[Description]:
        """List what was said of it, oldest first."""
        return [_read(each.body, each) for each in self._descriptions().list_versions(self._record.name)]

    def describe(
        self, description: str | None = None, *, owner: str | None = None, tags: Iterable[str] | None = None
    ) -> Description:
        """Say what the dataset holds, whose it is, and tag it; what is not given stays.

        Parameters
        ----------
        description : str, optional
            A text of at most 10,000 characters.
        owner : str, optional
            One line; an empty text takes the owner away.
        tags : iterable of str, optional
            All tags, in place of those before.

        Raises
        ------
        UsageError
            When a text cannot be kept, or a tag is no name.

        Examples
        --------
        >>> import foldstore
        >>> store = foldstore.connect(folder)
        >>> flights = store.create_dataset("flights")
        >>> flights.describe("Departures from New York", owner="data@example.org", tags=["air", "public"]).tags
        ('air', 'public')
        >>> [dataset.name for dataset in store.datasets(search="new york", tag="air")]
        ['flights']
        """
        before = self.description
        body = {
            "description": before.description
            if description is None
            else check_text(description, "The description", _MAX_TEXT),
            "owner": before.owner if owner is None else _check_owner(owner),
            "tags": list(before.tags if tags is None else _check_tags(tags)),
        }
        now = format_time(self._storage.clock())
        document = self._descriptions().put(
            self._record.name, body, author=self._author, created_at=now, after=before.version
        )
        return _read(document.body, document)

    def matches(self, search: str | None = None, tag: str | None = None) -> bool:
        """Say whether the dataset has a tag, and a text in its name, description, owner, tags or columns.

        The text is looked for as it is, without regard to case.

        Raises
        ------
        UsageError
            When it is nothing that a tag, or a text, can be.
        """
        check_search(search, tag)
        if search is None and tag is None:
            return True
        said = self.description
        if tag is not None and tag not in said.tags:
            return False
        if search is None:
            return True
        wanted = search.casefold()
        words = (self._record.name, said.description, said.owner or "", *said.tags)
        # The columns last: their schema is another read.
        return any(wanted in word.casefold() for word in words) or any(
            wanted in column.casefold() for column in self._column_names()
        )

    def _descriptions(self) -> Registry:
        return Registry(self._storage.catalog, _KIND)

    def _column_names(self) -> list[str]:
        catalog = self._storage.catalog
        main = catalog.find_ref(self._record.id, MAIN_BRANCH)
        version = catalog.find_version_by_id(main.version_id) if main and main.version_id else None
        return [] if version is None else list(decode_schema(catalog.read_arrow_schema(version.arrow_schema_id)).names)


def check_search(search: object, tag: object) -> None:
    """Refuse what cannot be searched for."""
    if search is not None:
        check_text(search, "The text to search for", 1_000)
    if tag is not None:
        check_label(tag, "tag")


def _check_owner(owner: object) -> str | None:
    return None if owner == "" else check_text(owner, "The owner", _MAX_OWNER, line=True)


def _check_tags(tags: Iterable[str]) -> Sequence[str]:
    if isinstance(tags, str) or not isinstance(tags, Iterable):
        raise UsageError(f"tags={tags!r} is not a list of tags.", hint='Write tags=["public"].')
    checked = sorted({check_label(tag, "tag") for tag in tags})
    if len(checked) > _MAX_TAGS:
        raise UsageError(f"{len(checked)} tags are too many.", hint=f"At most {_MAX_TAGS}.")
    return checked


def _read(body: Any, document: Any) -> Description:
    return Description(
        description=body["description"],
        owner=body["owner"],
        tags=tuple(body["tags"]),
        version=document.version,
        author=document.author,
        changed_at=document.created_at,
    )
