"""The PyTorch end of a view; the only module that imports torch, and only when it is asked for."""

from collections.abc import Iterator, Mapping
from multiprocessing import Array
from typing import Any

from foldstore.errors import UsageError
from foldstore.views.loading.loader import Loader, for_process


class SharedPlace:
    """Which epoch the workers of a main process read, in memory that they share with it.

    The workers of one run all read the epoch that the first of them to begin takes; a run that stays alive for several
    epochs takes one each time. The main process may set the next one in between, whether workers live or not.
    """

    def __init__(self) -> None:
        # The next epoch and the row it begins at, those of the run, whether there is one, and which it is.
        self._words = Array("q", 7)

    def set_next(self, epoch: int, position: int) -> None:
        """Say where the next run begins."""
        with self._words.get_lock():
            self._words[:] = [epoch, position, 0, 0, 0, 0, 0]

    def take(self, run: int, turn: int) -> tuple[int, int]:
        """Return the epoch and the row at which the workers of a run begin a turn of it."""
        with self._words.get_lock():
            epoch, position, *_, is_taken, of_run, of_turn = self._words[:]
            if not is_taken or (of_run, of_turn) != (run, turn):
                self._words[:] = [epoch + 1, 0, epoch, position, 1, run, turn]
            return self._words[2], self._words[3]

    @property
    def taken(self) -> tuple[int, int] | None:
        """Where the last run began; None where none has, since the next one was set."""
        with self._words.get_lock():
            return (self._words[2], self._words[3]) if self._words[4] else None


def make_torch_dataset(loader: Loader) -> Any:
    """Return an ``IterableDataset`` over a loader of tensors.

    Raises
    ------
    UsageError
        When PyTorch is not installed (code ``missing-extra``).
    """
    try:
        from torch import distributed
        from torch.utils.data import IterableDataset, get_worker_info
    except ImportError as error:
        raise UsageError(
            "to_torch() needs PyTorch, which is not installed.",
            hint="pip install 'foldstore[torch]', or use loader().",
            code="missing-extra",
        ) from error

    class FoldstoreDataset(IterableDataset[dict[str, Any]]):  # type: ignore[misc]  # torch brings no types here
        """Batches of a view as tensors; see `foldstore.views.loading.loader.Loader`."""

        def __init__(self, loader: Loader) -> None:
            super().__init__()
            self.loader = loader
            self._place = SharedPlace()
            self._place.set_next(loader.epoch, loader.position)
            self._turn = 0

        def __iter__(self) -> Iterator[dict[str, Any]]:
            worker = get_worker_info()
            if worker is None:
                return iter(self.loader)
            # Each run of a DataLoader seeds its workers alike, but for their numbers.
            self.loader.go_to(*self._place.take(worker.seed - worker.id, self._turn))
            self._turn += 1
            return self.loader.iterate(worker.id, worker.num_workers)

        def __len__(self) -> int:
            return len(self.loader)

        def set_epoch(self, epoch: int) -> None:
            """Go to the beginning of an epoch, from the next time on that the rows are gone through."""
            self.loader.set_epoch(epoch)
            self._place.set_next(epoch, 0)

        def state_dict(self, batches: int | None = None) -> dict[str, Any]:
            """Return where it is, or will be after so many batches."""
            self.loader.go_to(*(self._place.taken or (self.loader.epoch, self.loader.position)))
            return self.loader.state_dict(batches)

        def load_state_dict(self, state: Mapping[str, Any]) -> None:
            """Go where another one was."""
            self.loader.load_state_dict(state)
            self._place.set_next(self.loader.epoch, self.loader.position)

    one_of_several = distributed.is_available() and distributed.is_initialized() and loader.plan.world_size == 1
    if one_of_several:
        loader = for_process(loader, distributed.get_rank(), distributed.get_world_size())
    return FoldstoreDataset(loader)
