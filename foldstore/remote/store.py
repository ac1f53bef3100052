"""The handle of a store on a server, and `connect_server`, which opens one."""

import warnings
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from types import TracebackType
from typing import Any, ClassVar, Final, Self, cast

from foldstore.config import load_settings
from foldstore.datastore.engine import Engine
from foldstore.datastore.lineage.recording import asked_as
from foldstore.errors import NotFoundError, RefusedError, UsageError, frames_to_the_caller
from foldstore.leakage import LeakageReport, LeakageWarning
from foldstore.names import Address, check_name, parse_address
from foldstore.remote.backup import RemoteBackup
from foldstore.remote.connection import ARROW, Connection, Request, path_of, unnoted
from foldstore.remote.dataset import RemoteDataset
from foldstore.remote.feature_results import read_training_set
from foldstore.remote.features import RemoteFeatures
from foldstore.remote.folds import RemoteFolds
from foldstore.remote.local_only import FILES, SENT, RemoteHandle, refuse
from foldstore.remote.monitors import RemoteMonitors
from foldstore.remote.operations import RemoteOperations
from foldstore.remote.overview import RemoteOverview
from foldstore.remote.pools import RemotePools
from foldstore.remote.runs import RemoteProvenance
from foldstore.remote.saved_views import RemoteSavedViews
from foldstore.remote.server import Server, open_rows
from foldstore.remote.server_address import read_address
from foldstore.remote.split import RemotePart, RemoteSplit
from foldstore.remote.sql import RemoteSqlResult
from foldstore.remote.transforms import RemoteTransforms
from foldstore.remote.upkeep import RemoteStoreUpkeep
from foldstore.remote.version import RemoteVersion
from foldstore.remote.view import RemoteView, check_remote
from foldstore.store_views import DeprecatedInputWarning
from foldstore.training_set import TrainingSet
from foldstore.types import Status
from foldstore.views.arguments import is_choice
from foldstore.views.combination import MAX_LEVELS, Pinned, make_blend, make_union, select_common
from foldstore.views.source import Source
from foldstore.views.view import View

_SQL: Final = path_of("sql")
_DATASETS: Final = path_of("datasets")


def connect_server(url: str, **options: Any) -> "RemoteStore":
    """Open a store that a server serves; `foldstore.connect` calls this for a URL.

    Parameters
    ----------
    url : str
        Where the server is.
    **options
        See `foldstore.remote.server_address.ServerOptions`.

    Raises
    ------
    UsageError
        With code ``no-token`` when there is none.
    RefusedError
        With code ``unauthenticated`` when the token does not count.
    StoreError
        With code ``server-unreachable``.
    """
    settings = load_settings()
    token = options.pop("token", None)
    connection = Connection(read_address(url, token=settings.read_token() if token is None else token, **options))
    engine = Engine(memory_limit=settings.sql_memory_limit, threads=settings.sql_threads)
    store = RemoteStore(connection, engine)
    try:
        connection.ask(Request(method="GET", path="/openapi.json"))
    except BaseException:
        store.close()
        raise
    return store


class RemoteStore(RemoteHandle, RemoteBackup, RemoteOverview, RemoteProvenance, RemoteStoreUpkeep):
    """A store on a server; its verbs are those of `foldstore.Store`.

    What it does not have says so, with the reason, by a `UsageError` of the code ``local-only``.
    """

    NOUN = "store"
    LOCAL_ONLY: ClassVar[Mapping[str, str]] = {
        **dict.fromkeys(("root", "registry", "clock", "author", "acting_as", "open_table"), FILES),
        "interrupt": "Queries run in the server's processes: timeout= bounds one, and who stops reading it ends it.",
        "send_backup": SENT,
    }

    def __init__(self, connection: Connection, engine: Engine) -> None:
        self.server = Server(connection, engine, self)

    def __repr__(self) -> str:
        return f"<RemoteStore {self.server.connection.address.url!r}>"

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections."""
        self.server.connection.close()
        self.server.engine.close()

    def create_dataset(
        self,
        name: str,
        *,
        key: Sequence[str] = (),
        event_time: str | None = None,
        derive: Mapping[str, str] | None = None,
        key_policy: str = "error",
    ) -> RemoteDataset:
        """Make an empty dataset; see `foldstore.Store.create_dataset`."""
        check_name(name)
        body = {
            "name": name,
            "key": key if isinstance(key, str) else list(key),
            "event_time": event_time,
            "derive": None if derive is None else dict(derive),
            "key_policy": key_policy,
        }
        given = {member: value for member, value in body.items() if value is not None}
        return RemoteDataset(self.server, self.server.change(_DATASETS, given))

    def dataset(self, name: str) -> RemoteDataset:
        """Return a dataset by name."""
        return RemoteDataset(self.server, self.server.get(path_of("datasets", check_name(name))))

    def remove_empty_dataset(self, name: str) -> None:
        """Remove a dataset that never had a version; one that had any is left alone."""
        self.server.change(path_of("datasets", check_name(name)), method="DELETE")

    def datasets(self, *, search: str | None = None, tag: str | None = None) -> list[RemoteDataset]:
        """List the datasets by name: all, or those with a text in what is known of them, or with a tag."""
        found = self.server.connection.items(_DATASETS, {"search": search, "tag": tag})
        return [RemoteDataset(self.server, each) for each in found]

    def version(self, address: str) -> RemoteVersion:
        """Return the version at an address, such as ``flights@3`` or ``flights``."""
        parsed = parse_address(address)
        if parsed.split is not None:
            raise UsageError(f"{parsed} is a part of a version.", hint="store.split() and store.view() take it.")
        return self.dataset(parsed.name).version(parsed.ref)

    def split(self, address: str) -> RemoteSplit | RemoteFolds:
        """Return the split, the folds or the fold at an address: ``flights@5#by_month``, ``flights@5#cv-3``."""
        parsed = parse_address(address)
        if parsed.split is None or parsed.part is not None:
            raise UsageError(f"{address!r} names no split.", hint="Write 'flights@5#by_month'.")
        with asked_as(parsed):
            return self.dataset(parsed.name).version(parsed.ref).find_sharing(parsed.split)

    def sql(
        self,
        query: str,
        params: Sequence[Any] | Mapping[str, Any] | None = None,
        *,
        memory_limit: str | None = None,
        threads: int | None = None,
        timeout: float | None = None,
        progress: Callable[[float], None] | None = None,
    ) -> RemoteSqlResult:
        """Ask SQL over the versions and views that the query names; the rows come as Arrow.

        The server sets what a query may use; `timeout` may be shorter.
        """
        if memory_limit is not None or threads is not None or progress is not None:
            refuse("store.sql with memory_limit=, threads= or progress=", "The server says what a query may use.")
        body: dict[str, Any] = {"sql": query}
        if params is not None:
            body["params"] = dict(params) if isinstance(params, Mapping) else list(params)
        if timeout is not None:
            body["timeout"] = timeout
        request = Request(method="POST", path=_SQL, data=body, accept=ARROW, only_reads=True, in_run=True)
        return RemoteSqlResult(query, lambda: open_rows(self.server.connection, request))

    def view(
        self,
        what: "str | View | Mapping[str, Any] | Sequence[Any]",
        *,
        columns: str = "same",
        quarantined: bool = False,
    ) -> RemoteView:
        """Return the view of a version's rows or of a part, a saved view, or the rows of several.

        See `foldstore.Store.view`.
        """
        if isinstance(what, View):
            return check_remote(what)
        if isinstance(what, str):
            return self._open(what, quarantined=quarantined)
        if isinstance(what, Mapping):
            return self._from_spec(what)
        if not isinstance(what, Sequence):
            raise UsageError(f"{type(what).__name__!r} is no address.", hint="store.view('flights@3')")
        views = [self.view(each, quarantined=quarantined) for each in what]
        return RemoteView(make_union(views, columns), engine=self.server.engine, store=self)

    def blend(
        self,
        inputs: "Mapping[str, Any] | Sequence[str | View]",
        weights: Sequence[Any] | None = None,
        *,
        rows: str | int = "all",
        columns: str = "same",
    ) -> RemoteView:
        """Return the rows of several views in given proportions; see `foldstore.Store.blend`."""
        if isinstance(inputs, Mapping):
            if weights is not None:
                raise UsageError("The weights are in the mapping already.", hint="store.blend({'a@1': 1, 'b@1': 5})")
            weights = list(inputs.values())
            inputs = list(inputs)
        if isinstance(inputs, str | View) or not isinstance(inputs, Sequence):
            raise UsageError("blend() takes several views.", hint="store.blend({'a@1': 1, 'b@1': 5})")
        views: list[Any] = [self.view(each) for each in inputs]
        if not is_choice(columns, ("same", "common")):
            raise UsageError(f"columns={ascii(columns)[:40]} is no choice of a blend.", hint="'same' or 'common'.")
        if columns == "common" and views:
            views = select_common(views)
        return RemoteView(make_blend(views, weights, rows), engine=self.server.engine, store=self)

    @cached_property
    def saved_views(self) -> RemoteSavedViews:
        """The saved views: published versions."""
        return RemoteSavedViews(self.server)

    @cached_property
    def pools(self) -> RemotePools:
        """Test pools: sealed rows that answer pass or fail."""
        return RemotePools(self.server)

    @cached_property
    def features(self) -> RemoteFeatures:
        """Feature services: applied, joined point in time, served."""
        return RemoteFeatures(self.server)

    @cached_property
    def transforms(self) -> RemoteTransforms:
        """Transforms of features: fitted on a train part, applied, judged."""
        return RemoteTransforms(self.server)

    @cached_property
    def monitors(self) -> RemoteMonitors:
        """Monitors: what looks at new versions as they come."""
        return RemoteMonitors(self.server)

    @cached_property
    def operations(self) -> RemoteOperations:
        """Long work of this token's on the server: begun without waiting, watched, called off."""
        return RemoteOperations(self.server.connection)

    def training_set(self, address: str) -> TrainingSet:
        """Return the training set at an address."""
        parsed = parse_address(address)
        told = self.server.look_up(path_of("training-sets", parsed.name, "versions", parsed.ref))
        return read_training_set(self, told)

    def views(self) -> list[str]:
        """List the names of the saved views that are not archived."""
        return [saved.name for saved in self.saved_views.list()]

    def save_view(self, name: str, spec: Mapping[str, Any], *, message: str = "") -> int:
        """Publish a view's specification; `View.save` calls this."""
        return self.saved_views.put(name, spec, message=message)

    def save_draft(self, name: str, spec: Mapping[str, Any], *, message: str = "") -> None:
        """Keep a view's specification as a draft; `View.save_draft` calls this."""
        self.saved_views.put_draft(name, spec, message=message)

    def split_view(self, version_id: str, predicates: Sequence[str], name: str, how: Mapping[str, Any]) -> Any:  # noqa: ARG002
        """Refuse: a view splits the version that it reads, which it knows by more than its id."""
        refuse("store.split_view", FILES)

    def fold_view(self, version_id: str, predicates: Sequence[str], name: str, how: Mapping[str, Any]) -> Any:  # noqa: ARG002
        """Refuse: a view shares out the version that it reads, which it knows by more than its id."""
        refuse("store.fold_view", FILES)

    def check_leakage(self, view: View) -> LeakageReport:
        """Let the server look for rows that should not be learned from; `View.leakage` calls this."""
        found = self.server.read(path_of("views", verb="leakage"), {"spec": check_remote(view).sent_spec()})
        return LeakageReport(view.shown_inputs, found["splits"], found["pools"])

    def warn_of_leakage(self, view: View) -> None:
        """Warn before a view is learned from that has rows of a test pool, or mixes the parts of a split."""
        report = self.check_leakage(view)
        if not report.passed:
            warnings.warn(str(report), LeakageWarning, stacklevel=frames_to_the_caller())

    def repin_view(self, view: View) -> RemoteView:
        """Return a view over what its addresses stand for now; `View.repinned` calls this."""
        return self._from_spec(self._repinned(view.spec()))

    def _open(self, address: str, *, quarantined: bool) -> RemoteView:
        if "@*" in address or address.strip() == "*":
            raise UsageError(
                f"{ascii(address)[1:-1][:60]!r} stands for no version or part.",
                hint="List what is meant: store.view(['flights@1', 'flights@2']).",
            )
        parsed = parse_address(address)
        asked = None if parsed.ref.isdigit() else address
        if parsed.split is not None:
            part = self._part(parsed)
            return self._over(Pinned(cast("Source", part), asked), address)
        try:
            version = self.dataset(parsed.name).version(parsed.ref)
        except NotFoundError:
            return self._open_saved(parsed, address)
        if version.status is Status.QUARANTINED and not quarantined:
            raise RefusedError(
                f"{version.address} is quarantined: it did not pass its gate.",
                hint=f"store.version({version.address!r}) reads it, and its report says why; "
                "store.view(..., quarantined=True) makes a view of it all the same.",
                code="version-quarantined",
                address=version.address,
            )
        _warn_of_deprecated(version)
        return self._over(Pinned(cast("Source", version), asked), address)

    def _open_saved(self, parsed: Address, address: str) -> RemoteView:
        found = self.server.look_up(path_of("views", parsed.name, "versions", parsed.ref))
        view = self._from_spec(found["spec"])
        view.opened_as = address
        return view

    def _part(self, parsed: Address) -> RemotePart:
        with asked_as(parsed):
            return _part(self.dataset(parsed.name).version(parsed.ref), parsed)

    def _over(self, inputs: Pinned, address: str) -> RemoteView:
        return RemoteView(inputs, engine=self.server.engine, store=self, opened_as=address)

    def _from_spec(self, spec: Mapping[str, Any]) -> RemoteView:
        pinned = self._pinned(spec)
        return cast(
            "RemoteView", RemoteView.from_spec(pinned, self._find_source, engine=self.server.engine, store=self)
        )

    def _find_source(self, pinned: Mapping[str, str]) -> Source:
        """Return the version, or the part of one, that a view is pinned to."""
        parsed = parse_address(pinned["address"])
        with unnoted():
            version = self.dataset(parsed.name).version(parsed.ref)
        if parsed.split is not None:
            return cast("Source", _part(version, parsed))
        _warn_of_deprecated(version)
        return cast("Source", version)

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
        opened = self._open(address, quarantined=False).spec()
        return {**opened, "steps": [*opened["steps"], *steps]}

    def _repinned(self, spec: Mapping[str, Any]) -> dict[str, Any]:
        if "sources" not in spec:
            return {**spec, "inputs": [self._repinned(each) for each in spec["inputs"]]}
        (source,) = spec["sources"]
        return self._spliced(source["asked"], spec["steps"]) if "asked" in source else dict(spec)


def _part(version: RemoteVersion, parsed: Address) -> RemotePart:
    split = version.find_split(parsed.split or "")
    if parsed.part is None:
        raise UsageError(f"{parsed} is a split, not a part.", hint=f"Write '{parsed}.train'.")
    return split.part(parsed.part)


def _warn_of_deprecated(version: RemoteVersion) -> None:
    move = version.deprecation
    if move is not None:
        instead = f" Use {move.replacement} in its place." if move.replacement else ""
        said = f"{version.address} is deprecated: {move.reason}{instead}"
        warnings.warn(said, DeprecatedInputWarning, stacklevel=frames_to_the_caller())
