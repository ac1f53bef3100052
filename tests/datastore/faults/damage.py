"""Ways in which a file of the store may be damaged, and what a reader then meets; run in a process of its own.

Damaged files are mapped into memory: what goes wrong there may end the process, so it is not the tests' own.
"""

import json
import os
import sys
from pathlib import Path
from random import Random

from foldstore.datastore.storage import open_storage
from foldstore.errors import CorruptObjectError
from foldstore.store import Store
from tests.datastore.faults.operations import NAME


def damages(data, others, *, flips, seed):
    """Yield ways to damage a file: a name and the bytes, None for a file that is gone."""
    random = Random(seed)  # a sample, not a secret
    yield "deleted", None
    for size in (0, len(data) // 2, len(data) - 1):
        yield f"cut to {size} bytes", data[:size]
    yield "longer", data + b"\0"
    yield "zeros", bytes(len(data))
    start = random.randrange(len(data) // 2)
    yield "zeros in part", data[:start] + bytes(len(data) // 4) + data[start + len(data) // 4 :]
    yield "zeros at the end", data[: len(data) // 2] + bytes(len(data) - len(data) // 2)
    for name, other in others[:2]:
        yield f"swapped with {name}", other
    places = random.sample(range(len(data) * 8), flips)
    for place in [80, *places]:
        flipped = bytearray(data)
        flipped[place // 8] ^= 1 << (place % 8)
        yield f"bit {place} flipped", bytes(flipped)


def examine(folder, flips):
    """Damage each object in each way, and print what reading each version and a verification meet."""
    folder = Path(folder)
    expected, _ = _read(folder)
    objects = {path: path.read_bytes() for path in sorted((folder / "objects").rglob("*.arrow"))}
    for path, data in objects.items():
        needed = _versions_with(folder, path.stem)
        others = [(other.stem, bytes_) for other, bytes_ in objects.items() if other != path]
        same_size = [each for each in others if len(each[1]) == len(data)]
        for how, damaged in damages(data, same_size or others[:1], flips=flips, seed=path.stem):
            _replace(path, damaged)
            found, faults = _read(folder)
            _replace(path, data)
            outcomes = {number: _judge(found[number], expected[number]) for number in expected}
            print(json.dumps({"object": path.stem, "how": how, "needed": needed, "read": outcomes, "faults": faults}))
    assert _read(folder) == (expected, [])


def _read(folder):
    """Return the rows and row ids of each version, or the error, and the faults that a verification finds."""
    found = {}
    with Store(open_storage(folder), "reader") as store:
        for version in store.dataset(NAME).versions():
            try:
                found[version.number] = version.to_arrow().to_pylist(), version.row_ids().tolist()
            except CorruptObjectError as error:
                found[version.number] = error
        return found, [fault.to_dict() for fault in store.verify().faults]


def _judge(found, expected):
    """Say what was read: ``same``, ``other``, or the facts of the error."""
    if isinstance(found, CorruptObjectError):
        return dict(found.facts)
    return "same" if found == expected else "other"


def _versions_with(folder, object_id):
    with Store(open_storage(folder), "reader") as store:
        storage, versions = store._storage, store.dataset(NAME).versions()
        return [
            version.number
            for version in versions
            for fragment in storage.pages.fragments(version.record)
            for group in fragment.groups
            if group.object_id == object_id
        ]


def _replace(path, data):
    path.unlink(missing_ok=True)
    if data is not None:
        path.write_bytes(data)
        os.chmod(path, 0o444)  # noqa: PTH101  # as the store does


if __name__ == "__main__":
    examine(sys.argv[1], int(sys.argv[2]))
