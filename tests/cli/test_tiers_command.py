"""`foldstore freeze` and `foldstore thaw` say what they moved and what stayed."""

import pyarrow as pa

import foldstore
from foldstore.cli.app import run


def test_a_version_goes_to_the_cold_tier_and_comes_back(folder, capsys):
    with foldstore.connect(folder) as store:
        dataset = store.create_dataset("n")
        dataset.append({"n": list(range(50_000))})
        dataset.overwrite({"n": [1]})
    assert run(["freeze", "n", "--store", str(folder)]) == 0
    assert "Froze 1 files: 400" in capsys.readouterr().err
    with foldstore.connect(folder) as store:
        assert store.version("n@1").cold_bytes > 400_000
    assert run(["thaw", "n@1", "--store", str(folder)]) == 0
    assert "Thawed 1 files" in capsys.readouterr().err
    assert run(["thaw", "n@1", "--store", str(folder)]) == 0
    assert "Thawed 0 files." in capsys.readouterr().err


def test_what_stays_hot_is_named(folder, capsys):
    with foldstore.connect(folder) as store:
        dataset = store.create_dataset("n")
        dataset.append(pa.table({"n": pa.array([(1, 2, 3)], pa.month_day_nano_interval())}))
        dataset.append(pa.table({"n": pa.array([(1, 2, 4)], pa.month_day_nano_interval())}))
    assert run(["freeze", "n@1", "--store", str(folder)]) == 0
    assert "1 files stay hot: newer versions need them" in capsys.readouterr().err
    assert run(["freeze", "n@1", "--force", "--store", str(folder)]) == 0
    assert "stays hot: Parquet cannot hold it" in capsys.readouterr().err
    assert run(["freeze", "n@9", "--store", str(folder)]) == 2
