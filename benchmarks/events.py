"""The rows that storage is measured with: 2 million of 20 columns and a key, as raw files and as a version."""

import numpy as np
import pyarrow as pa

ROWS = 2_000_000
COLUMNS = ["f0", "n1", "t0"]


def events(rows, seed):
    """Return 10 columns of floats, 6 of integers and 4 of texts."""
    chance = np.random.default_rng(seed)
    columns = {f"f{i}": chance.normal(size=rows) for i in range(10)}
    columns |= {f"n{i}": chance.integers(0, 10**6, rows) for i in range(6)}
    words = np.array([f"word{i}" for i in range(500)])
    columns |= {f"t{i}": words[chance.integers(0, 500, rows)] for i in range(4)}
    return pa.table(columns)


def keyed(keys, seed):
    """Return rows with a key column in front."""
    return events(len(keys), seed).add_column(0, "id", pa.array(keys))


def shuffled(rows, seed=1):
    """Return whole numbers below a number, each once, in no order."""
    return np.random.default_rng(seed).permutation(rows)


def write_raw(table, path):
    """Write a table as one file of Arrow, in batches as ours are, and bring nothing to the disk."""
    with pa.ipc.new_file(str(path), table.schema) as writer:
        writer.write_table(table.combine_chunks(), max_chunksize=131_072)
    return path


def map_raw(path):
    """Return a file's table over its mapped bytes."""
    with pa.memory_map(str(path)) as source:
        return pa.ipc.open_file(source).read_all()
