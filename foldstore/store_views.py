"""What a store's handle does with views: opens versions, parts and saved views, and puts them together."""

import warnings
from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Any

from foldstore import split_address
from foldstore.dataset import Dataset
from foldstore.datastore.catalog.runs import read_versions
from foldstore.datastore.lineage.recording import find_pinned_view, note_input
from foldstore.datastore.storage import Storage
from foldstore.datastore.view_document import list_version_ids
from foldstore.errors import NotFoundError, RefusedError, UsageError, did_you_mean, frames_to_the_caller
from foldstore.features.sources import PinnedView
from foldstore.folds import Folds
from foldstore.leakage import LeakageReport, LeakageWarning, find_leakage
from foldstore.names import LATEST, Address, parse_address
from foldstore.open_versions import OpenVersions
from foldstore.saved_views import DRAFT, SavedViews
from foldstore.split import Split
from foldstore.types import Status
from foldstore.version import Version
from foldstore.views.arguments import is_choice
from foldstore.views.combination import MAX_LEVELS, Pinned, make_blend, make_union, select_common
from foldstore.views.source import Source
from foldstore.views.view import View


class DeprecatedInputWarning(UserWarning):
    """A view reads a version, or is a version of a view, that should not be used any more."""


class StoreViews:
    """Views of versions, of parts of splits, of each other."""

    _storage: Storage
    _author: str

    def dataset(self, name: str) -> Dataset:
        """Return a dataset by name; the handle that has these verbs says how."""
        raise NotImplementedError

    def view(
        self,
        what: "str | View | Mapping[str, Any] | Sequence[str | View | Mapping[str, Any]]",
        *,
        columns: str = "same",
        quarantined: bool = False,
    ) -> View:
        """Return the view of a version's rows or of a part of a split, a saved view, or the rows of several.

        Parameters
        ----------
        what : str, View, mapping, or sequence of these
            An address, a view, or a specification as `View.spec` gives it (a source without a ``version_id`` is
            looked up by its ``address``); of several, the rows of one come after those of the other.
        columns : {'same', 'common', 'all'}
            Of several: whether all must have the same columns, or those that all have are taken, or all with nulls.
        quarantined : bool
            Whether a version may be read that its gate did not let pass.

        Raises
        ------
        NotFoundError
            When there is no such thing.
        RefusedError
            When the version is quarantined (code ``version-quarantined``).

        Examples
        --------
        >>> import foldstore
        >>> store = foldstore.connect(folder)
        >>> cities = store.create_dataset("cities")
        >>> _ = cities.append({"city": ["Oslo", "Bern"], "people": [709_000, 134_000]})
        >>> store.view("cities@1").where("people > 500000").select("city").save("large")
        1
        >>> store.view("large@1").to_arrow().to_pydict()
        {'city': ['Oslo']}
        >>> store.view(["cities@1", "cities@1"]).count()
        4
        """
        if isinstance(what, View):
            return what
        if isinstance(what, str):
            if "@*" in what or what.strip() == "*":
                raise UsageError(
                    f"{ascii(what)[1:-1][:60]!r} stands for no version or part.",
                    hint="List what is meant: store.view(['flights@1', 'flights@2']); rules speak of all of it, "
                    "unless they name a source=.",
                )
            return self._open(what, quarantined=quarantined)
        if isinstance(what, Mapping):
            spec = self._pinned(what)
            return View.from_spec(spec, self._find_source, engine=self._storage.engine, store=self)
        if not isinstance(what, Sequence):
            raise UsageError(f"{type(what).__name__!r} is no address.", hint="store.view('flights@3')")
        views = [self.view(each, quarantined=quarantined) for each in what]
        return View(make_union(views, columns), engine=self._storage.engine, store=self)

    def blend(
        self,
        inputs: "Mapping[str, Any] | Sequence[str | View]",
        weights: Sequence[Any] | None = None,
        *,
        rows: str | int = "all",
        columns: str = "same",
    ) -> View:
        """Return the rows of several views in given proportions, which are exact in every stretch of rows.

        Parameters
        ----------
        inputs : mapping of str to float, or sequence of str or View
            Addresses with their weights, or addresses and views.
        weights : sequence of float, optional
            The weights of a sequence; equal ones unless given.
        rows : {'all', 'once', 'largest'} or int
            How many rows an epoch has; see `View.blend`.
        columns : {'same', 'common'}
            Whether all must have the same columns, or those are left out that some lack.

        Examples
        --------
        >>> import foldstore
        >>> store = foldstore.connect(folder)
        >>> _ = store.create_dataset("day").append({"n": [1, 2, 3, 4]})
        >>> _ = store.create_dataset("night").append({"n": [-1, -2]})
        >>> store.blend({"day": 2, "night": 1}).to_arrow()["n"].to_pylist()
        [1, -1, 2, 3, -2, 4]
        """
        if isinstance(inputs, Mapping):
            if weights is not None:
                raise UsageError("The weights are in the mapping already.", hint="store.blend({'a@1': 1, 'b@1': 5})")
            weights = list(inputs.values())
            inputs = list(inputs)
        if isinstance(inputs, str | View) or not isinstance(inputs, Sequence):
            raise UsageError("blend() takes several views.", hint="store.blend({'a@1': 1, 'b@1': 5})")
        views = [self.view(each) for each in inputs]
        if not is_choice(columns, ("same", "common")):
            raise UsageError(f"columns={ascii(columns)[:40]} is no choice of a blend.", hint="'same' or 'common'.")
        if columns == "common" and views:
            views = select_common(views)
        return View(make_blend(views, weights, rows), engine=self._storage.engine, store=self)

    @cached_property
    def saved_views(self) -> SavedViews:
        """The saved views: drafts, published versions, the archive."""
        return SavedViews(self._storage, self._author)

    def views(self) -> list[str]:
        """List the names of the saved views that are not archived."""
        return [saved.name for saved in self.saved_views.list()]

    def save_view(self, name: str, spec: Mapping[str, Any], *, message: str = "") -> int:
        """Publish a view's specification; `View.save` calls this."""
        return self.saved_views.put(name, spec, message=message)

    def save_draft(self, name: str, spec: Mapping[str, Any], *, message: str = "") -> None:
        """Keep a view's specification as a draft; `View.save_draft` calls this."""
        self.saved_views.put_draft(name, spec, message=message)

    def repin_view(self, view: View) -> View:
        """Return a view over what its addresses stand for now; `View.repinned` calls this."""
        spec = self._repinned(view.spec())
        return View.from_spec(spec, self._find_source, engine=self._storage.engine, store=self)

    def split_view(self, version_id: str, predicates: Sequence[str], name: str, how: Mapping[str, Any]) -> Split:
        """Split rows of a version or of a part; `View.split` calls this."""
        return split_address.split_rows(version_id, predicates, name, how, self._version_by_id)

    def fold_view(self, version_id: str, predicates: Sequence[str], name: str, how: Mapping[str, Any]) -> Folds:
        """Make folds of rows of a version or of a part; `View.folds` calls this."""
        return split_address.fold_rows(version_id, predicates, name, how, self._version_by_id)

    def check_leakage(self, view: View) -> LeakageReport:
        """Look for rows that should not be learned from; `View.leakage` calls this."""
        return find_leakage(self._storage, view)

    def warn_of_leakage(self, view: View) -> None:
        """Warn before a view is learned from that has rows of a test pool, or mixes the parts of a split."""
        report = find_leakage(self._storage, view)
        if not report.passed:
            warnings.warn(str(report), LeakageWarning, stacklevel=frames_to_the_caller())

    def _open(self, address: str, *, quarantined: bool) -> View:
        parsed = parse_address(address)
        if parsed.split is not None:
            pinned = Pinned(
                split_address.find_part(parsed, self._version_at), None if parsed.ref.isdigit() else address
            )
            return View(pinned, engine=self._storage.engine, store=self, opened_as=address)
        version = self._open_versions.find(parsed)
        if version is not None:  # datasets and views share their names
            return self._open_version(version, parsed, address, quarantined=quarantined)
        number = find_pinned_view(self._storage, parsed.name) if parsed.ref == LATEST else None
        document = self.saved_views.find_document(address, number)
        if document is None:
            raise self._no_view(parsed, address)
        self._refuse_hidden(document.body)
        for version_id in list_version_ids(document.body):
            note_input(self._storage, version_id, f"{parsed.name}@{document.version}")
        if parsed.ref != DRAFT:
            self._warn_of_deprecated_view(parsed.name, document.version)
        view = View.from_spec(document.body, self._find_source, engine=self._storage.engine, store=self)
        view.opened_as = address
        return view

    def _refuse_hidden(self, spec: Mapping[str, Any]) -> None:
        """Refuse a view of what a guard lets nobody know of, before a run notes that it was read."""
        guard = self._storage.guard
        if guard is None:
            return
        read = read_versions(self._storage.catalog, list_version_ids(spec))
        if not all(guard.may_know(parse_address(each.address).name) for each in read.values()):
            raise NotFoundError("The view was made of what is not there.", hint="Make it anew.")

    def _pin_saved_view(self, address: str) -> PinnedView | None:
        """Return the published view that an address names, and the versions that it reads; None for other things."""
        document = None if parse_address(address).ref == DRAFT else self.saved_views.find_document(address)
        if document is None:
            return None
        read = read_versions(self._storage.catalog, list_version_ids(document.body))
        return PinnedView(f"{document.name}@{document.version}", tuple(each.address for each in read.values()))

    @cached_property
    def _open_versions(self) -> OpenVersions:
        return OpenVersions(self._storage, self._author)

    def _open_version(self, version: Version, parsed: Address, address: str, *, quarantined: bool) -> View:
        if version.status is Status.QUARANTINED and not quarantined:
            raise RefusedError(
                f"{version.address} is quarantined: it did not pass its gate.",
                hint=f"store.version({version.address!r}) reads it, and its report says why; "
                "store.view(..., quarantined=True) makes a view of it all the same.",
                code="version-quarantined",
                address=version.address,
            )
        _warn_of_deprecated(version)
        pinned = Pinned(version, None if parsed.ref.isdigit() else address)
        return View(pinned, engine=self._storage.engine, store=self, opened_as=address)

    def _warn_of_deprecated_view(self, name: str, number: int) -> None:
        deprecation = self.saved_views.find_deprecation(name, number)
        if deprecation is not None:
            _warn(f"{name}@{number}", deprecation.reason, deprecation.replacement)

    def _no_view(self, parsed: Address, address: str) -> NotFoundError:
        if self.saved_views.has(parsed.name):
            saved = self.saved_views.get(parsed.name)
            known = [str(version.number) for version in saved.versions] + ([DRAFT] if saved.draft is not None else [])
            return NotFoundError(
                f"There is no version {parsed.ref!r} of the view {parsed.name!r}.",
                hint=f"There is {', '.join(f'{parsed.name}@{each}' for each in known)}.",
                address=address,
            )
        names = [dataset.name for dataset in self._storage.catalog.list_datasets()]
        return NotFoundError(
            f"There is no dataset or view {parsed.name!r}.",
            hint=did_you_mean(parsed.name, [*names, *self.views()]),
            name=parsed.name,
        )

    def _find_source(self, pinned: Mapping[str, str]) -> Source:
        """Return the version, or the part of a split of it, that a view is pinned to."""
        address = pinned.get("address", "")
        return split_address.find_source(
            pinned["version_id"], lambda version_id: self._still_in_use(version_id, address)
        )

    def _still_in_use(self, version_id: str, address: str) -> Version:
        version = self._version_by_id(version_id, address)
        _warn_of_deprecated(version)
        return version

    def _version_at(self, address: Address) -> Version:
        return self.dataset(address.name).version(address.ref)

    def _version_by_id(self, version_id: str, address: str = "") -> Version:
        record = self._storage.catalog.find_version_by_id(version_id)
        dataset = None if record is None else self._storage.catalog.find_dataset_by_id(record.dataset_id)
        if record is None or dataset is None:
            name = f"{ascii(address)[1:-1][:100]}, which the view is pinned to," if address else "The version"
            raise NotFoundError(
                f"{name} is gone, or was never in this store.",
                hint="Make the view anew, of a version that is there: store.dataset(name).versions() lists them.",
                version_id=version_id,
                address=address,
            )
        return Version(self._storage, dataset, record, self._author, views=self)

    def _pinned(self, spec: Mapping[str, Any], level: int = 0) -> dict[str, Any]:
        """Give the sources of a specification that a person wrote their version ids."""
        plain = dict(spec)
        if level < MAX_LEVELS and isinstance(plain.get("inputs"), list):
            inputs = plain["inputs"]
            plain["inputs"] = [self._pinned(each, level + 1) if isinstance(each, Mapping) else each for each in inputs]
        match plain:
            case {"sources": [{"address": address, **others}], "steps": list(steps)} if not others:
                return self._spliced(address, steps)
        return plain

    def _spliced(self, address: str, steps: Sequence[Any]) -> dict[str, Any]:
        """Return the specification of what is at an address, and further steps behind its own."""
        opened = self._open(address, quarantined=False).spec()
        return {**opened, "steps": [*opened["steps"], *steps]}

    def _repinned(self, spec: Mapping[str, Any]) -> dict[str, Any]:
        if "sources" not in spec:
            return {**spec, "inputs": [self._repinned(each) for each in spec["inputs"]]}
        (source,) = spec["sources"]
        if "asked" not in source:
            return dict(spec)
        try:
            return self._spliced(source["asked"], spec["steps"])
        except NotFoundError as error:
            raise NotFoundError(
                f"The view was made of {source['asked']}, which is not there any more: {error.message}",
                hint=f"It stays with {source['address']}; make it anew of another address to have it move.",
                address=source["asked"],
            ) from error


def _warn_of_deprecated(version: Version) -> None:
    if version.status is Status.DEPRECATED:
        move = version.deprecation
        _warn(version.address, move.reason if move else "", move.replacement if move else None)


def _warn(address: str, reason: str, replacement: str | None) -> None:
    instead = f" Use {replacement} in its place." if replacement else ""
    warnings.warn(f"{address} is deprecated: {reason}{instead}", DeprecatedInputWarning, stacklevel=5)
