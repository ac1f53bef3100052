"""Loaders: batches of a fixed size from a view, for one process among several, from any place of any epoch."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final

import pyarrow as pa

from foldstore.errors import UsageError
from foldstore.views.arguments import check_columns, check_count
from foldstore.views.loading.arrays import ArrayForm, check_form, split_arrays
from foldstore.views.ordering.shard import Shard, check_rank, cut_batches

if TYPE_CHECKING:
    from foldstore.views.view import View

_FORMAT: Final = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class LoaderPlan:
    """What a loader gives, and to whom.

    Attributes
    ----------
    batch_size : int
        How many rows a batch has.
    columns : tuple of str
        Which columns.
    rank, world_size : int
        Which process, of how many.
    drop_last : bool
        Leave out the rows behind the last round in which every process gets a full batch.
    even : bool
        Deal the rows behind it out evenly, so that every process gets the same number of batches of the same sizes;
        fewer rows than there are processes are left out.
    """

    batch_size: int
    columns: tuple[str, ...]
    rank: int
    world_size: int
    drop_last: bool
    even: bool


class Loader:
    """Batches of a view, epoch after epoch.

    Going through it once is one epoch, or what is left of one; the next time the next epoch follows. The order of rows
    depends on the view and the epoch alone: batches are dealt out to the processes in turn. So one state, saved by any
    process, resumes all of them, also when there are more or fewer, or batches of another size.

    Parameters
    ----------
    view : View
        What is read.
    plan : LoaderPlan
        What is given, and to whom.
    form : ArrayForm, optional
        How columns become arrays; batches stay Arrow's unless given.

    Examples
    --------
    >>> import foldstore
    >>> store = foldstore.connect(folder)
    >>> view = store.create_dataset("n").append({"n": list(range(10))}).view().shuffle(seed=1)
    >>> loader = view.loader(2, rank=0, world_size=2)
    >>> batches = iter(loader)
    >>> first = next(batches)
    >>> state = loader.state_dict()
    >>> state["epoch"], state["position"]
    (0, 4)
    >>> again = view.loader(3)
    >>> again.load_state_dict(state)
    >>> sum(len(batch["n"]) for batch in again)
    6
    """

    def __init__(self, view: "View", plan: LoaderPlan, form: ArrayForm | None) -> None:
        self.view = view
        self.plan = plan
        self.form = form
        self._epoch = 0
        self._position = 0

    def __repr__(self) -> str:
        at = f"epoch {self._epoch}, row {self._position:,}"
        return f"<Loader of {self.view!r}: batches of {self.plan.batch_size:,} rows, at {at}>"

    @property
    def epoch(self) -> int:
        """The epoch that is being read, or that comes next."""
        return self._epoch

    @property
    def position(self) -> int:
        """How many rows of the epoch all processes together have read."""
        return self._position

    def set_epoch(self, epoch: int) -> None:
        """Go to the beginning of an epoch."""
        if not isinstance(epoch, int) or isinstance(epoch, bool) or epoch < 0:
            raise UsageError(f"{ascii(epoch)[:40]} is no epoch.", hint="Epochs begin with 0.")
        self.go_to(epoch, 0)

    def go_to(self, epoch: int, position: int) -> None:
        """Go to a row of an epoch, where `state_dict` was."""
        self._epoch, self._position = epoch, position

    def state_dict(self, batches: int | None = None) -> dict[str, Any]:
        """Return where the loader is, as plain data.

        Parameters
        ----------
        batches : int, optional
            Where it will be when this process has had so many batches of the epoch, or of what was left of it: for a
            main process whose workers do the reading.
        """
        had = 0 if batches is None else check_count(batches, "batches")
        rows = had * self.plan.batch_size * self.plan.world_size
        return {"format": _FORMAT, "view": self.view.hash, "epoch": self._epoch, "position": self._position + rows}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go where another loader of the same view was.

        Raises
        ------
        UsageError
            When it is no such state, or one of another view (code ``other-view``).
        """
        if not isinstance(state, Mapping) or state.get("format") != _FORMAT:
            raise UsageError("This is not the state of a loader.", hint="See Loader.state_dict().")
        numbers = [state.get("epoch"), state.get("position")]
        if not all(isinstance(each, int) and not isinstance(each, bool) and each >= 0 for each in numbers):
            raise UsageError("The state of a loader has an epoch and a position.", hint="See Loader.state_dict().")
        if state.get("view") != self.view.hash:
            raise UsageError(
                "The state is one of another view: its rows come in another order.",
                hint="Open the view that was read then; View.hash tells which it is.",
                code="other-view",
            )
        self._epoch, self._position = numbers[0] or 0, numbers[1] or 0

    def __len__(self) -> int:
        """Return how many batches are left of the epoch, for this process."""
        plan, rows = self.plan, max(0, self._count() - self._position)
        whole, rest = divmod(rows, plan.batch_size * plan.world_size)
        if plan.drop_last or (plan.even and rest < plan.world_size):
            return whole
        return whole + 1 if plan.even or rest > plan.rank * plan.batch_size else whole

    def __iter__(self) -> Iterator[Any]:
        """Yield the batches of the epoch, from where the loader is."""
        return self.iterate(0, 1)

    def iterate(self, worker: int, num_workers: int) -> Iterator[Any]:
        """Yield those of the process's batches that one of its workers reads."""
        plan, start = self.plan, self._position
        # Batches go to the processes in turn, and those of a process to its workers in turn.
        rank, world_size = plan.rank + plan.world_size * worker, plan.world_size * num_workers
        shard = Shard(plan.batch_size, rank, world_size, start)
        whole = self._whole_rounds(start)
        for batch in self._read(shard, start, whole):
            self._position += plan.batch_size * world_size
            yield batch
        if whole is not None and plan.even:
            yield from self._read_rest(whole, worker)
        self._epoch, self._position = self._epoch + 1, 0

    def _whole_rounds(self, start: int) -> int | None:
        """Return the row up to which every process gets full batches; None where nothing is left out."""
        if self.view.is_endless or not (self.plan.drop_last or self.plan.even):
            return None
        rows = self.plan.batch_size * self.plan.world_size
        return start + max(0, self._count() - start) // rows * rows

    def _count(self) -> int:
        return self.view.rows.count(self._epoch)

    def _read(self, shard: Shard, start: int, stop: int | None) -> Iterator[Any]:
        names = list(self.plan.columns)
        stream = self.view.rows.stream(names, epoch=self._epoch, start=start, shard=shard)
        if stop is not None:
            # The rounds are whole, so every reader has its share of the rows.
            stream = _cut_off(stream, (stop - start) // shard.world_size)
        for batch in cut_batches(stream, shard.batch_rows):
            yield from self._slices(batch.select(names))

    def _read_rest(self, start: int, worker: int) -> Iterator[Any]:
        share = (self._count() - start) // self.plan.world_size
        if share < 1 or worker:
            return
        shard = Shard(share, self.plan.rank, self.plan.world_size, start)
        stream = self.view.rows.stream(list(self.plan.columns), epoch=self._epoch, start=start, shard=shard)
        for batch in cut_batches(_cut_off(stream, share), share):
            self._position = start + share * self.plan.world_size
            yield from self._slices(batch.select(list(self.plan.columns)))

    def _slices(self, batch: pa.RecordBatch) -> Iterator[Any]:
        size = self.plan.batch_size
        if self.form is None:
            yield from (batch.slice(begin, size) for begin in range(0, batch.num_rows, size))
            return
        yield from split_arrays(self.form.convert(batch), size)


def make_loader(
    view: "View",
    batch_size: int,
    *,
    columns: Sequence[str] | None = None,
    rank: int = 0,
    world_size: int = 1,
    drop_last: bool = False,
    even: bool = False,
    **how: Any,
) -> Loader:
    """Check what a loader is to give; see `Loader` and `View.loader`.

    Raises
    ------
    UsageError
        When something is no choice, or a column cannot become an array.
    """
    names = check_columns(columns, view.arrow_schema, where=f"the view of {view.shown_inputs}")
    if not isinstance(drop_last, bool) or not isinstance(even, bool) or (drop_last and even):
        raise UsageError("drop_last and even are True or False, and not both True.", hint="even=True shares the rest.")
    unknown = sorted(set(how) - {"form", "masks", "fill"})
    if unknown:
        raise UsageError(
            f"A loader takes no {unknown[0]}=.",
            hint="columns=, rank=, world_size=, drop_last=, even=, form=, masks=, fill=",
        )
    form = check_form(how.get("form", "numpy"), how.get("masks", False), how.get("fill"))
    if form is not None:
        form.check(pa.schema([view.arrow_schema.field(name) for name in names]))
    which = check_rank(rank, world_size)
    view.warn_of_leakage()
    plan = LoaderPlan(
        batch_size=check_count(batch_size, "batch_size", 1),
        columns=tuple(names),
        rank=which[0],
        world_size=which[1],
        drop_last=drop_last,
        even=even,
    )
    return Loader(view, plan, form)


def for_process(loader: Loader, rank: int, world_size: int) -> Loader:
    """Return the same loader for another process."""
    other = Loader(loader.view, replace(loader.plan, rank=rank, world_size=world_size), loader.form)
    other.load_state_dict(loader.state_dict())
    return other


def _cut_off(batches: Iterator[pa.RecordBatch], rows: int) -> Iterator[pa.RecordBatch]:
    for batch in batches:
        if batch.num_rows >= rows:
            if rows:
                yield batch.slice(0, rows)
            return
        rows -= batch.num_rows
        yield batch
