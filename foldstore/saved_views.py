"""The handles of saved views: published versions that never change, drafts that do, and an archive."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from foldstore.consumers import register_own
from foldstore.datastore.catalog.records import Document
from foldstore.datastore.catalog.registry import Registry
from foldstore.datastore.free_text import check_text
from foldstore.datastore.lineage.recording import note_view
from foldstore.datastore.storage import Storage
from foldstore.datastore.view_document import DRAFT_KIND, list_sources, list_version_ids
from foldstore.errors import AlreadyExistsError, NotFoundError, UsageError, did_you_mean
from foldstore.names import check_name, parse_address, parse_address_given
from foldstore.types import format_time
from foldstore.views.specification import hash_spec

VIEW_KIND: Final = "view"
DRAFT: Final = "draft"
STATE_KIND: Final = "view_state"
GONE: Final = "gone"
_MAX_TEXT: Final = 2_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Deprecation:
    """Why a version of a view should not be used any more.

    Attributes
    ----------
    reason : str
        Why.
    replacement : str or None
        The address of what to use in its place.
    """

    reason: str
    replacement: str | None
    author: str
    created_at: str

    def to_dict(self) -> dict[str, Any]:
        """Return plain data."""
        said = {"reason": self.reason, "replacement": self.replacement}
        return {**said, "author": self.author, "created_at": self.created_at}


@dataclass(frozen=True, slots=True, kw_only=True)
class ViewVersion:
    """A published version of a view.

    Attributes
    ----------
    address : str
        Such as ``jfk@2``.
    status : str
        ``published`` or ``deprecated``.
    hash : str
        The identity of the view: the same hash gives the same rows in the same order.
    reads : tuple of str
        The addresses of the versions that it is pinned to.
    """

    address: str
    number: int
    status: str
    hash: str
    reads: tuple[str, ...]
    author: str
    message: str
    created_at: str
    deprecation: Deprecation | None = None

    def to_dict(self) -> dict[str, Any]:
        """Return plain data."""
        return {
            "address": self.address,
            "version": self.number,
            "status": self.status,
            "hash": self.hash,
            "reads": list(self.reads),
            "author": self.author,
            "message": self.message,
            "created_at": self.created_at,
            "deprecation": self.deprecation.to_dict() if self.deprecation else None,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class SavedView:
    """What is kept under the name of a view.

    Attributes
    ----------
    name : str
        The name.
    versions : tuple of ViewVersion
        The published versions, oldest first.
    draft : mapping or None
        The specification of the draft.
    is_archived : bool
        Whether it is left out of lists.
    """

    name: str
    versions: tuple[ViewVersion, ...]
    draft: Mapping[str, Any] | None
    is_archived: bool

    def __repr__(self) -> str:
        newest = self.versions[-1].address if self.versions else "nothing published"
        more = [word for word, there in (("a draft", self.draft is not None), ("archived", self.is_archived)) if there]
        return f"<SavedView {self.name!r}: {', '.join([newest, *more])}>"

    def to_dict(self) -> dict[str, Any]:
        """Return plain data."""
        return {
            "name": self.name,
            "versions": [version.to_dict() for version in self.versions],
            "draft": self.draft is not None,
            "archived": self.is_archived,
        }


# The class `SavedViews` has a method of the name `list`.
Listing = list[SavedView]


class SavedViews:
    """The saved views of a store: published, edited as drafts, copied, deprecated, archived.

    Examples
    --------
    >>> import foldstore
    >>> store = foldstore.connect(folder)
    >>> _ = store.create_dataset("cities").append({"city": ["Oslo", "Bern"], "people": [709_000, 134_000]})
    >>> store.view("cities@1").where("people > 1000").save_draft("large")
    >>> store.view("cities@1").where("people > 500000").save_draft("large")
    >>> store.view("large@draft").count()
    1
    >>> store.saved_views.publish("large", message="over half a million").address
    'large@1'
    >>> store.saved_views.get("large")
    <SavedView 'large': large@1>
    """

    def __init__(self, storage: Storage, author: str) -> None:
        self._storage = storage
        self._author = author
        self._published = Registry(storage.catalog, VIEW_KIND)
        self._drafts = Registry(storage.catalog, DRAFT_KIND)
        self._states = Registry(storage.catalog, STATE_KIND)

    def __repr__(self) -> str:
        return f"<SavedViews: {', '.join(each.name for each in self.list()) or 'none'}>"

    def list(self, *, archived: bool = False) -> Listing:
        """List them by name; those in the archive only when asked for."""
        names = sorted({*self._published.list_names(), *(n for n in self._drafts.list_names() if self._draft(n))})
        found = [self._saved(name) for name in names]
        return [each for each in found if archived or not each.is_archived]

    def get(self, name: str) -> SavedView:
        """Return what is kept under a name.

        Raises
        ------
        NotFoundError
            When there is no view of that name.
        """
        saved = self._saved(check_name(name, "view"))
        if not saved.versions and saved.draft is None:
            known = [each.name for each in self.list(archived=True)]
            raise NotFoundError(f"There is no view {name!r}.", hint=did_you_mean(name, known), name=name)
        return saved

    def publish(self, name: str, *, message: str = "") -> ViewVersion:
        """Publish the draft of a view: it becomes a version that never changes, and is no draft any more.

        Raises
        ------
        UsageError
            When the view has no draft (code ``no-draft``).
        """
        draft = self._draft(check_name(name, "view"))
        if draft is None:
            raise _no_draft(name)
        number = self.put(name, draft.body, message=message or draft.message)
        self._end_draft(name, draft)
        return self._saved(name).versions[number - 1]

    def discard_draft(self, name: str) -> None:
        """Give a draft up; published versions stay.

        Raises
        ------
        UsageError
            When the view has no draft (code ``no-draft``).
        """
        draft = self._draft(check_name(name, "view"))
        if draft is None:
            raise _no_draft(name)
        self._end_draft(name, draft)

    def clone(self, address: str, name: str) -> None:
        """Copy a view to another name, as a draft to be edited: a published version, the newest one, or a draft."""
        document = self.find_document(address)
        if document is None:
            self.get(parse_address(address).name)
            raise NotFoundError(f"There is no {address}.", hint="Versions of views have numbers.", address=address)
        self.put_draft(name, document.body, message=f"copy of {document.name}")

    def archive(self, name: str) -> SavedView:
        """Leave a view out of lists; its addresses work as before, and `restore` takes it back."""
        return self._change_state(name, {"archived": True})

    def restore(self, name: str) -> SavedView:
        """Take a view out of the archive."""
        return self._change_state(name, {"archived": False})

    def deprecate(self, address: str, reason: str, *, replacement: str | None = None) -> SavedView:
        """Say that a version of a view should not be used any more: whoever opens it is warned.

        Parameters
        ----------
        address : str
            The version: ``jfk@2``.
        reason : str
            Why; readers see it.
        replacement : str, optional
            The address of what to use in its place.
        """
        parsed = parse_address(address)
        saved = self.get(parsed.name)
        if not parsed.ref.isdigit() or not 1 <= int(parsed.ref) <= len(saved.versions):
            raise UsageError(f"{address!r} is no published version of a view.", hint=f"Write {parsed.name}@1.")
        if isinstance(reason, str) and not reason:
            raise UsageError("A view is deprecated for a reason.", hint="Say why in a sentence.")
        said = Deprecation(
            reason=check_text(reason, "The reason", _MAX_TEXT),
            replacement=None if replacement is None else str(parse_address_given(replacement, "replacement")),
            author=self._author,
            created_at=format_time(self._storage.clock()),
        )
        return self._change_state(
            parsed.name, {"deprecated": {**self._deprecated(parsed.name), parsed.ref: said.to_dict()}}
        )

    def put(self, name: str, spec: Mapping[str, Any], *, message: str) -> int:
        """Publish a specification; return the number of the view's version."""
        self._check_free(name)
        now = format_time(self._storage.clock())
        text = check_text(message, "The message", _MAX_TEXT)
        number = self._published.put(name, dict(spec), author=self._author, message=text, created_at=now).version
        pinned = list_version_ids(spec)
        register_own(self._storage, pinned, VIEW_KIND, f"{name}@{number}", self._author)
        for version_id in pinned:
            note_view(self._storage, version_id, f"{name}@{number}")
        return number

    def put_draft(self, name: str, spec: Mapping[str, Any], *, message: str) -> None:
        """Keep a specification as the draft of a view."""
        self._check_free(check_name(name, "view"))
        now = format_time(self._storage.clock())
        text = check_text(message, "The message", _MAX_TEXT)
        self._drafts.put(name, dict(spec), author=self._author, message=text, created_at=now)

    def find_document(self, address: str, number: int | None = None) -> Document | None:
        """Return the document at an address: a published version (the newest, or a number), or the draft."""
        parsed = parse_address(address)
        if parsed.ref == DRAFT:
            return self._draft(parsed.name)
        wanted = number if number is not None else int(parsed.ref) if parsed.ref.isdigit() else None
        if wanted is None and "@" in address and parsed.ref != "latest":
            return None  # views have numbers alone
        return self._published.find(parsed.name, wanted)

    def has(self, name: str) -> bool:
        """Say whether a name is taken by a view, be it a draft."""
        return self._published.find(name) is not None or self._draft(name) is not None

    def find_deprecation(self, name: str, number: int) -> Deprecation | None:
        """Return why a version of a view is deprecated, or None."""
        said = self._deprecated(name).get(str(number))
        return Deprecation(**said) if said else None

    def _saved(self, name: str) -> SavedView:
        draft = self._draft(name)
        return SavedView(
            name=name,
            versions=tuple(self._version(document) for document in self._published.list_versions(name)),
            draft=draft.body if draft else None,
            is_archived=bool(self._state(name).get("archived")),
        )

    def _version(self, document: Document) -> ViewVersion:
        deprecation = self.find_deprecation(document.name, document.version)
        return ViewVersion(
            address=f"{document.name}@{document.version}",
            number=document.version,
            status="deprecated" if deprecation else "published",
            hash=hash_spec(document.body),
            reads=tuple(dict.fromkeys(str(source["address"]) for source in list_sources(document.body))),
            author=document.author,
            message=document.message,
            created_at=document.created_at,
            deprecation=deprecation,
        )

    def _draft(self, name: str) -> Document | None:
        document = self._drafts.find(name)
        return None if document is None or GONE in document.body else document

    def _end_draft(self, name: str, draft: Document) -> None:
        now = format_time(self._storage.clock())
        # The number tells one end from another: equal documents would be one.
        body = {GONE: draft.version}
        self._drafts.put(name, body, author=self._author, created_at=now, after=draft.version)

    def _state(self, name: str) -> Mapping[str, Any]:
        document = self._states.find(name)
        return document.body if document else {}

    def _deprecated(self, name: str) -> dict[str, Any]:
        return dict(self._state(name).get("deprecated", {}))

    def _change_state(self, name: str, change: Mapping[str, Any]) -> SavedView:
        self.get(name)
        now = format_time(self._storage.clock())
        self._states.put(name, {**self._state(name), **change}, author=self._author, created_at=now)
        return self.get(name)

    def _check_free(self, name: str) -> None:
        if self._storage.catalog.find_dataset(name) is not None:
            raise AlreadyExistsError(
                f"There is already a dataset {name!r}.", hint="Datasets and views share their names."
            )


def _no_draft(name: str) -> UsageError:
    return UsageError(
        f"The view {name!r} has no draft.", hint="view.save_draft(name) keeps one.", code="no-draft", name=name
    )
