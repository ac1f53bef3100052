"""What can be looked up: materialized views and the feature services over them, by name and version."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from foldstore.errors import NotFoundError, UsageError, did_you_mean
from foldstore.names import LATEST, parse_address
from foldstore.views.features.feature_service import FeatureService, refuse_full_names
from foldstore.views.features.feature_view import FeatureSelection
from foldstore.views.online.entities import Entities
from foldstore.views.online.reader import ViewReader
from foldstore.views.online.result import OnlineResult
from foldstore.views.online.service import Instant, OnlineService, unknown_service
from foldstore.views.online.transformed import TransformedService
from foldstore.views.transforms.transform import FittedTransform

_PREPARED: Final = 1_000


@dataclass(frozen=True, slots=True)
class _Served:
    """A version of a service, where its values are, and what they go through."""

    definition: FeatureService
    readers: Mapping[str, ViewReader]
    transform: FittedTransform | None
    materialization: int | None

    def open(self, address: str, *, full_feature_names: bool) -> OnlineService | TransformedService:
        refuse_full_names(self.definition, full_feature_names=full_feature_names)
        service = OnlineService(
            self.definition.selections,
            self.readers,
            address=address,
            full_feature_names=full_feature_names,
            materialization=self.materialization,
        )
        if self.transform is None:
            return service
        return TransformedService(service, self.definition.output_names(), self.transform)


class OnlineCatalog:
    """Feature services and materialized views, in memory.

    Lookups may run in any thread while another adds to it: what is added replaces a mapping, it is never changed.

    Examples
    --------
    >>> OnlineCatalog().services
    []
    """

    def __init__(self) -> None:
        self._readers: Mapping[str, ViewReader] = {}
        self._services: Mapping[tuple[str, int], _Served] = {}
        # By what was asked for, which is found at once the next time.
        self._prepared: dict[tuple[str, bool], OnlineService | TransformedService] = {}

    @property
    def services(self) -> list[str]:
        """The addresses of the services."""
        return [f"{name}@{version}" for name, version in sorted(self._services)]

    def add(
        self,
        service: FeatureService,
        version: int,
        readers: Sequence[ViewReader],
        *,
        transform: FittedTransform | None = None,
        materialization: int | None = None,
    ) -> None:
        """Serve a version of a feature service from materialized views, by its transform where it has one.

        A service keeps the views that it was added with: adding another with a newer materialization of the same
        view changes nothing for it. Adding the same version again replaces it.
        """
        by_view = {reader.view.name: reader for reader in readers}
        OnlineService(service.selections, by_view, full_feature_names=True)
        self._services = {
            **self._services,
            (service.name, version): _Served(service, by_view, transform, materialization),
        }
        self._readers = {**self._readers, **by_view}
        self._prepared = {}

    def find(self, service: str, *, full_feature_names: bool = False) -> OnlineService | TransformedService:
        """Return a service to look up in; ``arrival`` alone is its latest version.

        Raises
        ------
        NotFoundError
            When it is not served.
        """
        known = self._prepared
        found = known.get((service, full_feature_names))
        if found is None:
            name, version = self._resolve(service)
            address = f"{name}@{version}"
            found = known.get((address, full_feature_names))
            if found is None:
                found = self._services[name, version].open(address, full_feature_names=full_feature_names)
                known[address, full_feature_names] = found
            if len(known) < _PREPARED:  # there are many ways to write a number
                known[service, full_feature_names] = found
        return found

    def get_online_features(
        self, service: str, entities: Entities, at: Instant = None, *, full_feature_names: bool = False
    ) -> OnlineResult:
        """Look entities up in a feature service; see `OnlineService.get`."""
        return self.find(service, full_feature_names=full_feature_names).get(entities, at)

    def get_features(
        self, features: Sequence[str], entities: Entities, at: Instant = None, *, full_feature_names: bool = False
    ) -> OnlineResult:
        """Look entities up in features named ``view:feature``, in that order.

        Raises
        ------
        NotFoundError
            When a view is not materialized, or has no such feature.
        """
        selections = [self._selection(view, names) for view, names in _runs(features)]
        asked = OnlineService(selections, self._readers, full_feature_names=full_feature_names)
        return asked.get(entities, at)

    def _selection(self, view: str, features: tuple[str, ...]) -> FeatureSelection:
        reader = self._readers.get(view)
        if reader is None:
            raise NotFoundError(
                f"There is no feature view {ascii(view)[:80]} to serve.", hint=did_you_mean(view[:80], self._readers)
            )
        return reader.view[features]

    def _resolve(self, text: str) -> tuple[str, int]:
        address = parse_address(text)
        versions = [version for name, version in self._services if name == address.name]
        wanted = max(versions, default=0) if address.ref == LATEST else address.ref
        number = int(wanted) if str(wanted).isdigit() else 0
        if number not in versions or address.split is not None:
            raise unknown_service(text[:200], self.services)
        return address.name, number


def _runs(features: Sequence[str]) -> list[tuple[str, tuple[str, ...]]]:
    """Group neighbours of one view: ``a:x a:y b:z`` is a (x, y), b (z)."""
    if not features or isinstance(features, str):
        raise UsageError("No features are named.", hint='Write ["carrier_delay:mean_delay_3h"].')
    runs: list[tuple[str, list[str]]] = []
    for text in features:
        view, colon, feature = text.partition(":") if isinstance(text, str) else ("", "", "")
        if not colon or not view or not feature:
            raise UsageError(f"{ascii(text)[:80]} does not name a feature.", hint='Write "view:feature".')
        if runs and runs[-1][0] == view:
            runs[-1][1].append(feature)
        else:
            runs.append((view, [feature]))
    return [(view, tuple(names)) for view, names in runs]
