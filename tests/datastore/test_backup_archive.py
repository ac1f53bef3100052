"""A server that sends a backup is not trusted: no name that it sends becomes a path, nothing unproven is kept."""

import io
import json
import os
import tarfile
from contextlib import contextmanager

import pytest
from hypothesis import given
from hypothesis import strategies as st

import foldstore
from foldstore.datastore.backup_archive import PIECE, read_members
from foldstore.datastore.backup_folder import BackupFolder
from foldstore.datastore.backup_receiving import receive_backup
from foldstore.datastore.backup_sending import send_backup
from foldstore.datastore.restore import restore_backup
from foldstore.errors import ConflictError, FoldstoreError, StoreError

HASH = "b3-" + "ab" * 32
CLIMBING = [
    "../evil",
    "/etc/evil",
    f"objects/ab/../../{HASH}.arrow",
    f"objects/ab/{HASH}.arrow/../../../evil",
    f"objects/cd/{HASH}.arrow",  # another folder than its hash says
    f"objects/ab/{HASH}.arrow\n",
    f"objects/ab/{HASH.upper()}.arrow",
    f"objects/ab/{HASH}.exe",
    f"objects/ab/{HASH}",
    f"./objects/ab/{HASH}.arrow",
    f"sealed/ab/{HASH}",
    f"files/ab/{HASH}.arrow",
    "catalog-2.db",
    "staging/x",
    "lock",
    "",
    "backup.json/",
]


@pytest.fixture
def store(folder):
    with foldstore.connect(folder, author="owner") as store:
        data = store.create_dataset("numbers", key=["id"])
        data.append({"id": list(range(100)), "x": [n / 3 for n in range(100)]})
        data.append({"id": [200], "x": [None]})
        yield store


@pytest.fixture
def sent(store):
    return b"".join(send_backup(store._storage))


@contextmanager
def opened(archive):
    yield io.BytesIO(archive)


def receive(archive, target, **how):
    return receive_backup(target, lambda have, store_id: opened(archive), **how)


def members(archive):
    with tarfile.open(fileobj=io.BytesIO(archive)) as tar:
        return [(each.name, tar.extractfile(each).read()) for each in tar.getmembers()]


def archive_of(contents):
    target = io.BytesIO()
    with tarfile.open(fileobj=target, mode="w", format=tarfile.GNU_FORMAT) as tar:
        for name, body in contents:
            info = tarfile.TarInfo(name)
            info.size = len(body)
            tar.addfile(info, io.BytesIO(body))
    return target.getvalue()


def everything_in(folder):
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())


def test_any_tar_unpacks_it_into_a_folder_to_restore_from(sent, tmp_path):
    with tarfile.open(fileobj=io.BytesIO(sent)) as tar:
        assert all(each.isreg() and (each.uid, each.mtime, each.uname) == (0, 0, "") for each in tar)
        tar.extractall(tmp_path / "unpacked", filter="data")
    restored = restore_backup(tmp_path / "unpacked", tmp_path / "again")
    assert restored.passed
    assert not restored.sealed


def test_the_manifest_comes_last_and_first_names_no_generation(sent):
    names = [name for name, _ in members(sent)]
    assert names[:2] == ["backup.json", "catalog-1.db"]
    assert names[-2:] == ["files-1.json", "backup.json"]
    first, last = (json.loads(body)["generations"] for name, body in members(sent) if name == "backup.json")
    assert (first, len(last)) == ([], 1)


def test_it_is_made_piece_by_piece(store):
    store.dataset("numbers").append({"id": [300], "x": [0.0], "text": [os.urandom(3 * PIECE).hex()]}, evolve=True)
    sizes = [len(piece) for piece in send_backup(store._storage)]
    assert sum(sizes) > 6 * PIECE
    assert max(sizes) <= PIECE


def test_what_is_received_is_what_was_sent(store, sent, tmp_path):
    made = receive(sent, tmp_path / "backup")
    assert (made.generation, made.objects, made.versions, made.copied, made.passed) == (1, 2, 2, 4, True)
    assert restore_backup(tmp_path / "backup", tmp_path / "again").passed


@pytest.mark.parametrize("name", CLIMBING, ids=ascii)
def test_no_name_that_no_backup_has_is_kept(sent, tmp_path, name):
    contents = members(sent)
    outside = sorted(tmp_path.iterdir())
    with pytest.raises(StoreError) as caught:
        receive(archive_of([*contents[:2], (name, b"evil"), *contents[2:]]), tmp_path / "backup")
    assert caught.value.code == "unexpected-answer"
    assert everything_in(tmp_path / "backup") == ["backup.json", "lock"]
    assert [path for path in sorted(tmp_path.iterdir()) if path not in outside] == [tmp_path / "backup"]
    assert BackupFolder(tmp_path / "backup").read_manifest()[1] == []


@pytest.mark.parametrize(
    "kind",
    [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.DIRTYPE, tarfile.CHRTYPE, tarfile.GNUTYPE_LONGNAME, tarfile.XHDTYPE],
)
def test_only_ordinary_files_are_kept(sent, tmp_path, kind):
    info = tarfile.TarInfo(f"objects/ab/{HASH}.arrow")
    info.type, info.linkname = kind, "/etc/passwd"
    with pytest.raises(StoreError) as caught:
        receive(begun(sent) + info.tobuf(tarfile.GNU_FORMAT) + bytes(1024), tmp_path / "backup")
    assert caught.value.code == "unexpected-answer"
    assert everything_in(tmp_path / "backup") == ["backup.json", "lock"]


def begun(sent):
    """The manifest and the catalog, whatever comes behind them."""
    with tarfile.open(fileobj=io.BytesIO(sent)) as tar:
        return sent[: tar.getmembers()[2].offset]


def test_bytes_that_are_not_those_of_their_hash_are_not_kept(sent, tmp_path):
    changed = [
        (name, body[:-1] + b"?") if name.startswith("objects/") and name.endswith(".arrow") else (name, body)
        for name, body in members(sent)
    ]
    made = receive(archive_of(changed), tmp_path / "backup")
    assert not made.passed
    assert len(made.damaged) == 2
    assert not list((tmp_path / "backup").rglob("*.arrow"))
    assert made.copied == 2  # commit objects
    assert receive(archive_of(members(sent)), tmp_path / "backup").passed


def test_what_a_server_leaves_out_is_missed(sent, tmp_path):
    less = [(name, body) for name, body in members(sent) if not name.startswith("files/")]
    made = receive(archive_of(less), tmp_path / "backup")
    assert len(made.damaged) == 2
    assert all(name.startswith("commits/") for name in made.damaged)


def test_a_cold_object_is_what_the_catalog_says(store, tmp_path):
    store.version("numbers@1").freeze(force=True)
    contents = members(b"".join(send_backup(store._storage)))
    changed = [(name, body[:-1] + b"?" if name.endswith(".parquet") else body) for name, body in contents]
    assert contents != changed
    made = receive(archive_of(changed), tmp_path / "backup")
    assert len(made.damaged) == 1
    assert restore_backup(tmp_path / "backup", tmp_path / "again").missing


def spoilt(contents):
    manifest = json.loads(contents[-1][1])
    (generation,) = manifest["generations"]
    listing = dict(contents)["files-1.json"]

    def say(**changes):
        return json.dumps({**manifest, "generations": [{**generation, **changes}]}).encode()

    def last(body):
        return [*contents[:-1], ("backup.json", body)]

    yield "no generation", contents[:-1]
    yield "sealed", last(say(sealed=True))
    yield "two", last(json.dumps({**manifest, "generations": [generation, {**generation, "number": 2}]}).encode())
    yield "another catalog", last(say(catalog_hash=HASH))
    yield "another listing", last(say(files_hash=HASH))
    yield "a time that is none", last(say(created_at="\x1b[2J"))
    yield "another store", last(json.dumps({**manifest, "store": "f" * 32}).encode())
    yield "an id that climbs", last(json.dumps({**manifest, "store": "../../etc"}).encode())
    yield "no JSON", last(b"{")
    yield "deep JSON", last(b"[" * 100_000)
    yield "a newer format", last(json.dumps({**manifest, "format": 2}).encode())
    yield "no catalog", [contents[0], *contents[2:]]
    yield "a catalog that is none", [contents[0], ("catalog-1.db", b"SQLite format 3\0" + b"?" * 4096), *contents[2:]]
    yield "an empty catalog", [contents[0], ("catalog-1.db", b""), *contents[2:]]
    yield "nothing", []
    assert listing


def test_a_manifest_that_lies_is_no_generation(sent, tmp_path):
    for name, contents in spoilt(members(sent)):
        target = tmp_path / name
        with pytest.raises(FoldstoreError):
            receive(archive_of(contents), target)
        known = BackupFolder(target).read_manifest()
        assert known is None or known[1] == [], name


def test_a_listing_that_climbs_is_refused(store, sent, tmp_path):
    from foldstore.datastore.canonical import content_hash

    for path in ("../../evil", "/etc/passwd", "sealed/a/b.arrow", "commits/x/../../y.json"):
        contents = members(sent)
        listing = json.dumps([{"path": path, "hash": HASH, "num_bytes": 1}]).encode()
        manifest = json.loads(contents[-1][1])
        manifest["generations"][0]["files_hash"] = content_hash(listing)
        manifest["generations"][0]["damaged"] = ["\x1b[31mred", "../x"]
        contents[-2:] = [("files-1.json", listing), ("backup.json", json.dumps(manifest).encode())]
        with pytest.raises(StoreError) as caught:
            receive(archive_of(contents), tmp_path / "backup")
        assert caught.value.code == "unexpected-answer"


def test_what_the_server_calls_damaged_is_told_in_names_of_ours(sent, tmp_path):
    contents = members(sent)
    manifest = json.loads(contents[-1][1])
    manifest["generations"][0]["damaged"] = ["\x1b[31mred", "../x", 7, HASH, f"online/{HASH}.arrow"]
    contents[-1] = ("backup.json", json.dumps(manifest).encode())
    assert receive(archive_of(contents), tmp_path / "backup").damaged == (f"online/{HASH}.arrow",)


def test_what_breaks_off_is_no_generation_and_the_next_goes_on(store, sent, tmp_path):
    whole = {name for name, _ in members(sent)}
    target = tmp_path / "backup"
    for cut in range(0, len(sent) - 1024, max(512, len(sent) // 37)):
        with pytest.raises(StoreError) as caught:
            receive(sent[:cut], target)
        assert caught.value.code == "connection-lost"
        known = BackupFolder(target).read_manifest()
        assert known is None or known[1] == []
        assert not (target / "staging").exists()
    told = []

    @contextmanager
    def ask(have, store_id):
        told.extend(have)
        yield io.BytesIO(b"".join(send_backup(store._storage, have=set(told), store_id=store_id)))

    made = receive_backup(target, ask)
    assert made.passed
    assert len(told) + made.copied == len([name for name in whole if "/" in name]) == 4
    assert made.copied < 4
    assert restore_backup(target, tmp_path / "again").passed


@given(noise=st.binary(max_size=2_000))
def test_noise_is_no_backup(noise):
    with pytest.raises(StoreError):
        list(read_members(io.BytesIO(noise)))


def test_versions_are_held_while_they_are_sent_and_let_go_after(store):
    data = store.dataset("numbers")
    data.append({"id": [300], "x": [0.0]})
    pieces = send_backup(store._storage)
    next(pieces)
    data.set_retention(keep_last=1)
    assert {lease.holder.rpartition(" ")[0] for lease in store.leases()} == {"backup over the network"}
    assert store.gc().expired == ()
    list(pieces)
    assert store.leases() == []
    assert [each.address for each in store.gc().expired] == ["numbers@1", "numbers@2"]


def test_who_stops_reading_lets_go_of_the_versions(store):
    pieces = send_backup(store._storage)
    for _ in range(5):
        next(pieces)
    assert store.leases()
    pieces.close()
    assert store.leases() == []


def test_a_seal_in_the_middle_breaks_it_off(store):
    import numpy as np

    from foldstore.datastore.sealing import SealOptions, seal_cells

    pieces = send_backup(store._storage)
    taken = [next(pieces) for _ in range(3)]
    record = store.dataset("numbers").record
    seal_cells(store._storage, record, {1: np.arange(100) >= 50}, ["x"], options=SealOptions(actor="s"))
    with pytest.raises(ConflictError):
        taken.extend(pieces)
    assert [name for name, _ in members(b"".join(taken))].count("backup.json") == 1
    assert store.leases() == []


def test_a_backup_of_another_store_is_refused_before_anything_is_sent(store):
    with pytest.raises(StoreError, match="another store"):
        next(send_backup(store._storage, store_id="f" * 32))


def test_a_store_that_may_only_be_read_is_sent_too(store, folder, tmp_path):
    store.close()
    with foldstore.connect(folder, read_only=True) as closed:
        archive = b"".join(send_backup(closed._storage))
    assert receive(archive, tmp_path / "backup").passed
