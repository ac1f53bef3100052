"""Sealed labels under a key: nothing in the store tells them without it, and nothing else changes."""

import os

import numpy as np
import pytest

import foldstore
from foldstore.cli.app import run
from foldstore.datastore.seal_cipher import MAGIC, decipher, encipher, make_key_file, read_key_file
from foldstore.errors import FoldstoreError, RefusedError, StoreError, UsageError

pytest.importorskip("cryptography")
PLAN = foldstore.plan_pool("n > 0.5 +/- 0.1", reliability=0.9, steps=3)


@pytest.fixture
def key(tmp_path):
    make_key_file(tmp_path / "seal.key")
    return tmp_path / "seal.key"


def sealed(store, name="p", first=0):
    labels = ["yes-canary" if n % 3 else "no-canary" for n in range(2_000)]
    version = store.create_dataset(name, key=["id"]).append({"id": list(range(first, first + 2_000)), "label": labels})
    split = version.split("half", train=0.5, test=0.5)
    answers = split.test.to_arrow()
    store.pools.seal(name, split.test, label="label", plan=PLAN, baseline=None)
    return answers


def ask(store, answers, name="p"):
    return store.pools.get(name).evaluate({"id": answers["id"], "prediction": answers["label"]})


def test_a_pool_is_sealed_asked_and_retired_under_a_key(folder, key):
    with foldstore.connect(folder, seal_key=key, role="steward") as store:
        answers = sealed(store)
        assert ask(store, answers).passed
        report = store.pools.get("p").retire()
        assert report is not None
        assert sorted(store.pools.get("p").rows()["label"].to_pylist()) == sorted(answers["label"].to_pylist())
    for file in (folder / "sealed").rglob("*.arrow"):
        content = file.read_bytes()
        assert content.startswith(MAGIC)
        assert b"canary" not in content
        assert b"ARROW1" not in content


def test_without_the_key_or_with_another_nothing_is_read_and_nothing_charged(folder, key, tmp_path):
    with foldstore.connect(folder, seal_key=key) as store:
        answers = sealed(store)
    make_key_file(tmp_path / "other.key")
    for given, code in ((None, "seal-key-missing"), (tmp_path / "other.key", "seal-key-wrong")):
        with foldstore.connect(folder, seal_key=given) as store:
            before = store.pools.get("p").status()
            with pytest.raises(RefusedError) as caught:
                ask(store, answers)
            assert caught.value.code == code
            assert store.pools.get("p").status() == before
            assert not store.verify().faults
    with foldstore.connect(folder, seal_key=key) as store:
        assert ask(store, answers).passed


def test_what_was_sealed_plain_is_still_read(folder, key):
    with foldstore.connect(folder) as store:
        answers = sealed(store)
    with foldstore.connect(folder, seal_key=key) as store:
        assert ask(store, answers).passed
        assert ask(store, sealed(store, "q", 10_000), "q").passed


def test_the_environment_names_the_file(folder, key, monkeypatch):
    monkeypatch.setenv("FOLDSTORE_SEAL_KEY_FILE", str(key))
    with foldstore.connect(folder) as store:
        sealed(store)
    assert all(file.read_bytes().startswith(MAGIC) for file in (folder / "sealed").rglob("*.arrow"))


def test_a_file_cannot_stand_in_for_another():
    key = os.urandom(32)
    written = encipher(key, b"labels", "a/cells")
    assert decipher(key, written, "a/cells") == b"labels"
    with pytest.raises(RefusedError):
        decipher(key, written, "b/cells")
    for place in (5, 20, len(written) - 1):
        turned = bytearray(written)
        turned[place] ^= 1
        with pytest.raises(RefusedError):
            decipher(key, bytes(turned), "a/cells")
    assert encipher(key, b"labels", "a/cells") != written


def test_the_command_makes_a_key_once_and_for_its_owner_alone(tmp_path, capsys):
    file = tmp_path / "seal.key"
    assert run(["pool", "key", str(file)]) == 0
    assert file.stat().st_mode & 0o777 == 0o600
    first = read_key_file(file)
    assert len(first) == 32
    assert run(["pool", "key", str(file)]) != 0
    assert "cannot be written" not in capsys.readouterr().out
    assert read_key_file(file) == first
    with pytest.raises(StoreError):
        make_key_file(tmp_path / "no" / "such.key")


@pytest.mark.parametrize(
    ("content", "mode", "code"),
    [("short", 0o600, "seal-key-wrong"), ("g" * 64, 0o600, "seal-key-wrong"), ("a" * 64, 0o644, "seal-key-exposed")],
)
def test_files_that_hold_no_key_are_refused(tmp_path, folder, content, mode, code):
    file = tmp_path / "key"
    file.write_text(content)
    file.chmod(mode)
    with pytest.raises(UsageError) as caught:
        foldstore.connect(folder, seal_key=file)
    assert caught.value.code == code
    with pytest.raises(FoldstoreError, match="no key file"):
        foldstore.connect(folder, seal_key=tmp_path / "missing")


def test_sizes_tell_no_labels(tmp_path, key):
    """Two stores that differ in labels of one length have sealed files of one size."""
    sizes = []
    for turn in (0, 1):
        with foldstore.connect(tmp_path / f"s{turn}", seal_key=key) as store:
            labels = np.random.default_rng(turn).integers(0, 2, 1_000)
            version = store.create_dataset("d", key=["id"]).append({"id": list(range(1_000)), "y": labels.tolist()})
            store.pools.seal("p", version.split("h", train=0.5, test=0.5).test, label="y", plan=PLAN)
        files = sorted((tmp_path / f"s{turn}" / "sealed").rglob("*.arrow"))
        sizes.append([file.stat().st_size for file in files])
    assert sizes[0] == sizes[1]
