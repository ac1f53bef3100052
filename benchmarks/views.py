"""Views (targets V2 to V5): opened over 1 GB, shuffled, blended, and as batches of tensors beside Hugging Face's.

Rows are used as a model would use them: batches of 1,024 rows, every value of four columns of numbers summed.
"""

import tempfile
from pathlib import Path

import foldstore
from benchmarks.events import ROWS, events
from benchmarks.measure import Row, anonymous_memory, interleave

NUMBERS = ("f0", "f1", "n0", "n1")
BATCH = 1024
# Hugging Face's needs 20 times as long for a row once it is shuffled: fewer rows tell the same.
FEWER = 200_000


def rows():
    with tempfile.TemporaryDirectory() as folder, foldstore.connect(Path(folder) / "store") as store:
        data = store.create_dataset("events")
        for seed in range(3):
            data.append(events(ROWS, seed))
        yield from _opening(store)
        yield from _epochs(store)
        yield from _blends(store)
        yield from _tensors(store)


def _opening(store):
    """V2: what is there before the first batch of 6 million rows of 1 GB."""
    views = {
        "as it is": lambda: store.view("events").select("f0", "t0"),
        "filtered": lambda: store.view("events").where("f0 > 1"),
        "mapped and computed": lambda: store.view("events").map("t0", {"word1": "one"}).select("t0", twice="f0 * 2"),
        "shuffled": lambda: store.view("events").select("f0", "t0").shuffle(7),
        "blended with itself": lambda: store.blend({"events@1": 1, "events": 2}).select("f0", "t0"),
    }
    for name, make in views.items():
        best = interleave({"view": lambda make=make: next(make().to_batches())})
        yield Row(f"V2 open a view {name}, first batch", best["view"], 10, "limit", limit=1)
    before = anonymous_memory()
    streams = [make().to_batches() for make in views.values()]
    held = [next(stream) for stream in streams]
    grown = (anonymous_memory() - before) / 1e6 / len(held)
    yield Row("V2 memory with such a view open over 1 GB, mean of five", grown, 10, "limit", unit="MB", limit=1)


def _epochs(store):
    """V3: every row once in a random order, against the order of the files."""
    view = store.view("events@1").select(*NUMBERS)
    for form in ["numpy", *(["torch"] if _has("torch") else [])]:
        best = interleave(
            {
                "shuffled": lambda form=form: _use(view.shuffle(7).loader(BATCH, form=form)),
                "in order": lambda form=form: _use(view.loader(BATCH, form=form)),
            }
        )
        name = f"V3 an epoch of 2 M rows, shuffled, {form}"
        yield Row(name, best["shuffled"], best["in order"], "in order", limit=3)


def _blends(store):
    """V4: three versions in parts of 5, 3 and 2, against as many rows of one."""
    parts = {"events@1": 5, "events@2": 3, "events@3": 2}
    blend = store.blend(parts, rows=ROWS).select(*NUMBERS)
    jobs = {
        "blend": lambda: _use(blend.loader(BATCH)),
        "shuffled": lambda: _use(blend.shuffle(7).loader(BATCH)),
        "one": lambda: _use(store.view("events@1").select(*NUMBERS).loader(BATCH)),
    }
    best = interleave(jobs)
    yield Row("V4 a blend of 3 versions, 2 M rows", best["blend"], best["one"], "one version", limit=2)
    yield Row("V4 the same, shuffled", best["shuffled"], best["one"], "one version", limit=3)


def _tensors(store):
    """V5: batches of tensors, beside a Hugging Face dataset over the same table in memory."""
    if not (_has("torch") and _has("datasets")):
        print("  V5 needs PyTorch and datasets: `make learning` installs them", flush=True)
        return
    from datasets import Dataset
    from torch.utils.data import DataLoader

    view = store.view("events@1").select(*NUMBERS).limit(FEWER)
    theirs = Dataset.from_dict(view.to_numpy()).with_format("torch")
    mixed = theirs.shuffle(seed=7)
    jobs = {
        "ours": lambda: _use(DataLoader(view.to_torch(BATCH), batch_size=None)),
        "theirs": lambda: _use(theirs.iter(batch_size=BATCH)),
        "ours mixed": lambda: _use(DataLoader(view.shuffle(7).to_torch(BATCH), batch_size=None)),
        "theirs mixed": lambda: _use(mixed.iter(batch_size=BATCH)),
    }
    best = interleave(jobs, repeats=5)
    yield Row("V5 tensors of 200,000 rows", best["ours"], best["theirs"], "Hugging Face", limit=0.2)
    yield Row("V5 the same, shuffled", best["ours mixed"], best["theirs mixed"], "Hugging Face", limit=0.2)


def _use(batches):
    return sum(float(values.sum()) for batch in batches for values in batch.values())


def _has(package):
    from importlib.util import find_spec

    return find_spec(package) is not None
