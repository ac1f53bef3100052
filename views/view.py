"""Views: lazy, immutable specifications over pinned versions.

A view stores nothing. Its steps run in the order in which they were written, batch by batch, when an end
such as `View.to_arrow` asks for rows.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from itertools import takewhile
from typing import Any, Final

import pyarrow as pa

from foldstore.datastore.canonical import canonical_json
from foldstore.datastore.engine import Engine
from foldstore.errors import (
    ColumnNotFoundError,
    FoldstoreError,
    InvalidExpressionError,
    SchemaMismatchError,
    UsageError,
)
from foldstore.names import check_name
from foldstore.views.combination import Inputs, Pinned, make_blend, make_union
from foldstore.views.display import MAX_ROWS, html_table, shorten
from foldstore.views.explain import Explanation, explain_view
from foldstore.views.rows.plan import plan_rows
from foldstore.views.rows.rows import Rows
from foldstore.views.source import Source, ViewStore
from foldstore.views.specification import hash_spec, iterate_sources, read_inputs, read_steps, write_spec
from foldstore.views.steps.mapping import Enumerate, Map
from foldstore.views.steps.order import AnyStep, OrderStep
from foldstore.views.steps.select import Select
from foldstore.views.steps.step import MAX_STEPS
from foldstore.views.steps.where import Where
from foldstore.views.view_diff import ViewDiff, broken_diff, diff_views
from foldstore.views.view_forms import ViewForms
from foldstore.views.view_steps import ViewSteps

_HEAD_ROWS: Final = 131_072
# Views of more rows are not put in order to show ten of them.
_MOST_ORDERED: Final = 2_000_000
# What gives the same rows other columns.
_SHAPING: Final = (Select, Map, Enumerate)

FindSource = Callable[[Mapping[str, str]], Source]


class View(ViewForms, ViewSteps):
    """A saved or unsaved query over pinned versions: filter, project, map, blend, sample, order, cut.

    Each verb returns a new view and checks its arguments at once; nothing is read before an end is called.

    Parameters
    ----------
    inputs : Inputs or Source
        What is read: a pinned version or part, or a combination of views.
    engine : Engine
        Evaluates predicates and expressions.
    store : ViewStore, optional
        Where `save` keeps the specification.

    Examples
    --------
    >>> jfk = store.view("flights@5").where("origin = 'JFK'")  # doctest: +SKIP
    >>> jfk.select("carrier", late="arr_delay > 15").to_polars()  # doctest: +SKIP
    """

    __slots__ = ("_engine", "_inputs", "_planned", "_steps", "_store", "opened_as")

    def __init__(
        self, inputs: Inputs | Source, *, engine: Engine, store: ViewStore | None = None, opened_as: str | None = None
    ) -> None:
        self._inputs: Inputs = inputs if isinstance(inputs, Inputs) else Pinned(inputs)
        self._engine = engine
        self._store = store
        self._steps: tuple[AnyStep, ...] = ()
        self._planned: tuple[tuple[int, ...], Rows] | None = None
        self.opened_as = opened_as

    @classmethod
    def from_spec(
        cls, spec: object, find: FindSource, *, engine: Engine, store: ViewStore | None = None, level: int = 0
    ) -> "View":
        """Build a view from what `spec` returned; every part is checked as if it were typed anew.

        Parameters
        ----------
        spec : object
            A specification.
        find : callable
            Gives the source for an object with ``address`` and ``version_id``.

        Raises
        ------
        UsageError
            When it is not a specification.
        """
        kind, read = read_inputs(spec, level)
        inputs: Inputs
        if kind == "source":
            inputs = Pinned(_check_pinned(find(read), read), read.get("asked"))
        else:
            *how, specs = read
            views = [cls.from_spec(each, find, engine=engine, store=store, level=level + 1) for each in specs]
            inputs = make_union(views, *how) if kind == "union" else make_blend(views, *how)
        view = cls(inputs, engine=engine, store=store)
        assert isinstance(spec, dict)  # noqa: S101  # its form was checked
        for verb, argument in read_steps(spec):
            view = view._take_step(verb, argument)
        return view

    def _take_step(self, verb: str, argument: Any) -> "View":
        if verb == "select":
            columns, expressions = argument
            return self.select(*columns, **expressions)
        if verb == "order_by":
            columns, descending = argument["columns"], argument["descending"]
            return self.order_by(*(columns if isinstance(columns, list) else [columns]), descending=descending)
        if verb in ("where", "limit"):
            return self.where(argument) if verb == "where" else self.limit(argument)
        step: Callable[..., View] = getattr(self, verb)  # one of the verbs that `read_steps` knows
        return step(**argument)

    @property
    def inputs(self) -> Inputs:
        """What the view reads, before its steps."""
        return self._inputs

    @property
    def steps(self) -> tuple[AnyStep, ...]:
        """The steps, in their order."""
        return self._steps

    @property
    def rows(self) -> Rows:
        """What produces the rows, for the layers that compute inside the store."""
        # Sealing and erasing change what is there of rows: what was found out before is found out again.
        generations = tuple(pinned.source.generation for pinned in self.sources())
        if self._planned is None or self._planned[0] != generations:
            self._planned = generations, plan_rows(self._engine, self._inputs, self._steps)
        return self._planned[1]

    @property
    def arrow_schema(self) -> pa.Schema:
        """Names and types of the columns."""
        return self._steps[-1].arrow_schema if self._steps else self._inputs.arrow_schema

    def sources(self) -> list[Pinned]:
        """Return the pinned versions, and parts of versions, that the view reads, in order."""
        return list(iterate_sources(self._inputs))

    def counts(self) -> dict[str, int]:
        """Count the rows that each input gives, before the steps of the view itself."""
        views = self._inputs.views or (self._over(self._inputs),)
        names = [view.opened_as or view.shown_inputs for view in views]
        keys = [name if names.count(name) == 1 else f"{name} ({n + 1})" for n, name in enumerate(names)]
        return {key: view.count() for key, view in zip(keys, views, strict=True)}

    def spec(self) -> dict[str, Any]:
        """Return the whole view as plain data: what is read, pinned, and the steps."""
        return write_spec(self._inputs, self._steps)

    @property
    def hash(self) -> str:
        """The identity of the view: the same hash gives the same rows in the same order."""
        return hash_spec(self.spec())

    def explain(self) -> Explanation:
        """Say what is read, what is zero-copy, and what the rest copies at most; reads no values."""
        return explain_view(self._inputs, self._steps, self.arrow_schema.names)

    def diff(self, other: "View") -> ViewDiff:
        """Compare the view with another: what is written, what it reads, and which rows it has.

        Rows of one dataset are told apart by row id, so that a row that both have is one row in whatever version.
        """
        if not isinstance(other, View):
            raise UsageError(f"{type(other).__name__!r} is not a view.", hint="store.view('jfk@2') gives one.")
        return diff_views(self, other)

    def repinned(self) -> "View":
        """Return the same view over what its addresses stand for now.

        A view that was made of ``flights@champion`` stays with the version that this was then; `moved` compares.
        """
        if self._store is None:
            raise _no_store("repinned")
        return self._store.repin_view(self)

    def moved(self) -> ViewDiff:
        """Return what would change if the view were made now: see `repinned` and `diff`.

        Where a step names a column that is gone, the difference says so: ``broken``.
        """
        try:
            now = self.repinned()
        except (ColumnNotFoundError, InvalidExpressionError, SchemaMismatchError) as error:
            return broken_diff(self, error.message)
        return self.diff(now)

    def leakage(self) -> Any:
        """Look for rows that should not be learned from: those of test pools, and parts of splits side by side.

        Returns
        -------
        LeakageReport
            ``passed``, and how many rows of each part and each pool the view has.
        """
        if self._store is None:
            raise _no_store("looked through")
        return self._store.check_leakage(self)

    def warn_of_leakage(self) -> None:
        """Warn before the view is learned from; the ends that feed models call this."""
        if self._store is not None:
            self._store.warn_of_leakage(self)

    def save(self, name: str, *, message: str = "") -> int:
        """Publish the specification, and nothing else, under a name; return the number of the view's version.

        Parameters
        ----------
        name : str
            Views and datasets share their names.
        message : str
            Why, for people.
        """
        check_name(name, "view")
        if self._store is None:
            raise _no_store("saved")
        number: int = self._store.save_view(name, self._kept_spec(), message=message)
        return number

    def save_draft(self, name: str, *, message: str = "") -> None:
        """Keep the specification under a name to go on with; the next draft takes its place, until one is published.

        ``store.view("name@draft")`` opens it, ``store.saved_views.publish("name")`` publishes it.
        """
        check_name(name, "view")
        if self._store is None:
            raise _no_store("saved")
        self._store.save_draft(name, self._kept_spec(), message=message)

    def _kept_spec(self) -> dict[str, Any]:
        """Return the specification, once it has been read back: what is kept can always be opened."""
        sources = {pinned.source.version_id: pinned.source for pinned in self.sources()}
        spec: dict[str, Any] = json.loads(canonical_json(self.spec()))
        again = View.from_spec(spec, lambda pinned: sources[pinned["version_id"]], engine=self._engine)
        if again.hash != self.hash:
            raise UsageError(f"{self!r} does not read back as it was written.", code="invalid-view")
        return spec

    def split(self, name: str, **how: Any) -> Any:
        """Share out the rows to train, validation and test, for good; rows outside the view are in no part.

        Parameters
        ----------
        name : str
            The split's name; it belongs to the dataset.
        **how
            See `Version.split`.

        Raises
        ------
        UsageError
            When the view does more than filter the rows of one version or part, and choose or compute columns.

        Examples
        --------
        >>> import foldstore
        >>> store = foldstore.connect(folder)
        >>> _ = store.create_dataset("n", key=["id"]).append({"id": list(range(1000)), "x": [1, None] * 500})
        >>> store.view("n@1").where("x IS NOT NULL").split("half", train=0.5, test=0.5)
        <Split n@1#half: train 240, validation 0, test 260>
        """
        version_id, predicates, store = self._splittable()
        return store.split_view(version_id, predicates, name, how)

    def folds(self, name: str, k: int | None = None, **how: Any) -> Any:
        """Share out the rows to k folds, each of which is held out once, for good; the other rows are in none.

        Parameters
        ----------
        name : str
            The name; it belongs to the dataset.
        k : int, optional
            How many folds; 5 unless given.
        **how
            See `Version.folds`.

        Raises
        ------
        UsageError
            As for `split`.
        """
        version_id, predicates, store = self._splittable()
        return store.fold_view(version_id, predicates, name, {"k": k, **how})

    def _splittable(self) -> tuple[str, Sequence[str], ViewStore]:
        """Return the source and the conditions of its rows; steps behind them may shape rows, and no more."""
        if self._store is None:
            raise _no_store("split")
        filters = list(takewhile(lambda step: isinstance(step, Where), self._steps))
        shaping = self._steps[len(filters) :]
        if not isinstance(self._inputs, Pinned) or not all(isinstance(step, _SHAPING) for step in shaping):
            raise UsageError(
                "Only a view that filters one version can be split, and then chooses columns.",
                hint="Filter the rows first; sample, sort, limit or blend the parts.",
            )
        predicates = [step.predicate.text for step in filters if isinstance(step, Where)]
        return self._inputs.source.version_id, predicates, self._store

    def __repr__(self) -> str:
        steps = "".join(f" | {_shown(step.spec())}" for step in self._steps)
        return shorten(f"<View of {self.shown_inputs}{steps}>", 200)

    def _repr_html_(self) -> str:
        try:
            head, note = self._head()
        except FoldstoreError as error:
            return html_table(pa.table({"error": [error.message]}), repr(self))
        return html_table(head, f"{head.num_rows} rows shown{note}: {self!r}")

    def _head(self) -> tuple[pa.Table, str]:
        """Return the first rows, without looking through everything for them."""
        whole = sum(pinned.source.num_rows for pinned in self.sources())
        if any(isinstance(step, OrderStep) for step in self._steps) or not isinstance(self._inputs, Pinned):
            if whole > _MOST_ORDERED:
                return self.arrow_schema.empty_table(), "; limit(10).to_polars() puts them in order and reads them"
            return pa.Table.from_batches(self.select_batches(rows=MAX_ROWS), self.arrow_schema), ""
        # A selective condition could scan everything before ten rows are found: only the beginning is searched.
        searched = min(whole, _HEAD_ROWS)
        view: View = View(self._inputs, engine=self._engine).limit(searched)
        view._steps = (*view._steps, *self._steps)
        head = pa.Table.from_batches(view.select_batches(rows=MAX_ROWS), self.arrow_schema)
        partial = searched < whole and head.num_rows < MAX_ROWS
        return head, f" (found in the first {searched:,} rows)" if partial else ""

    def _with(self, step: AnyStep) -> "View":
        if len(self._steps) >= MAX_STEPS:
            raise UsageError(f"A view has at most {MAX_STEPS} steps.", hint="Join conditions with AND.")
        view = type(self)(self._inputs, engine=self._engine, store=self._store, opened_as=self.opened_as)
        view._steps = (*self._steps, step)  # noqa: SLF001  # a view of our own making
        return view

    def _over(self, inputs: Inputs) -> "View":
        return type(self)(inputs, engine=self._engine, store=self._store)


def _check_pinned(source: Source, read: Mapping[str, str]) -> Source:
    if source.version_id == read["version_id"]:
        return source
    raise UsageError(
        f"The view is pinned to another version than {source.address}.",
        hint="A view is opened over the version that it names.",
        code="invalid-view",
        expected=read["version_id"][:100],
        found=source.version_id,
    )


def _no_store(what: str) -> UsageError:
    return UsageError(f"This view belongs to no store, so it cannot be {what}.", hint="store.view(...) gives one.")


def _shown(step: Mapping[str, Any]) -> str:
    ((verb, argument),) = step.items()
    if isinstance(argument, list):
        argument = ", ".join(
            item if isinstance(item, str) else "{} = {}".format(*next(iter(item.items()))) for item in argument
        )
    elif isinstance(argument, Mapping):
        said = {name: value for name, value in argument.items() if value is not None and name != "algorithm"}
        argument = ", ".join(f"{name} {_plain(value)}" for name, value in said.items())
    return f"{verb} {' '.join(str(argument).split())}"


def _plain(value: object) -> str:
    return shorten(", ".join(map(str, value)) if isinstance(value, list) else str(value), 60)
