"""The PyTorch end of a view; the only module that imports torch, and only when it is asked for."""

from collections.abc import Iterator, Mapping
from typing import Any

from foldstore.errors import UsageError
from foldstore.views.loading.loader import Loader, for_process


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

        def __iter__(self) -> Iterator[dict[str, Any]]:
            worker = get_worker_info()
            if worker is None:
                return iter(self.loader)
            return self.loader.iterate(worker.id, worker.num_workers)

        def __len__(self) -> int:
            return len(self.loader)

        def set_epoch(self, epoch: int) -> None:
            """Go to the beginning of an epoch; call it before each where workers do the reading."""
            self.loader.set_epoch(epoch)

        def state_dict(self, batches: int | None = None) -> dict[str, Any]:
            """Return where it is, or will be after so many batches."""
            return self.loader.state_dict(batches)

        def load_state_dict(self, state: Mapping[str, Any]) -> None:
            """Go where another one was."""
            self.loader.load_state_dict(state)

    one_of_several = distributed.is_available() and distributed.is_initialized() and loader.plan.world_size == 1
    if one_of_several:
        loader = for_process(loader, distributed.get_rank(), distributed.get_world_size())
    return FoldstoreDataset(loader)
