"""What was opened last: what lies in files is mapped, what is laid over a file is held in memory."""

from collections import OrderedDict
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Generic, TypeVar

_MOST: Final = 16
MEMORY: Final = 256 * 2**20  # for all that is laid over files, but for the last

_Held = TypeVar("_Held")


@dataclass(frozen=True, slots=True)
class _Open(Generic[_Held]):
    held: _Held
    file: Path
    num_bytes: int


class OpenFiles(Generic[_Held]):
    """Keeps what is open, by where it lies or would lie."""

    def __init__(self) -> None:
        self._open: OrderedDict[Path, _Open[_Held]] = OrderedDict()

    def find(self, path: Path) -> _Held | None:
        """Return what is open there; nothing whose file is gone, for then rows were sealed or erased."""
        for gone in [path for path, each in self._open.items() if not each.file.exists()]:
            del self._open[gone]
        known = self._open.get(path)
        if known is None:
            return None
        self._open.move_to_end(path)
        return known.held

    def keep(self, path: Path, file: Path, held: _Held, num_bytes: int = 0) -> _Held:
        """Keep what needs a file, and give up what was used longest ago; return it.

        Parameters
        ----------
        num_bytes : int
            What it takes in memory beside the file.
        """
        self._open[path] = _Open(held, file, num_bytes)
        self._open.move_to_end(path)
        while len(self._open) > 1 and (len(self._open) > _MOST or self._num_bytes() > MEMORY):
            self._open.popitem(last=False)
        return held

    def _num_bytes(self) -> int:
        return sum(each.num_bytes for each in self._open.values())
