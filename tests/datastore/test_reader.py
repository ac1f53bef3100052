"""Reads: mapped and not copied, verified once, damage found."""

from contextlib import suppress
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

import foldstore
from foldstore.errors import ColumnNotFoundError, CorruptObjectError


@pytest.fixture
def version(store):
    rows = 300_000
    table = pa.table(
        {
            "a": pa.array(range(rows), pa.int64()),
            "x": pa.array([None if n % 7 == 0 else n / 3 for n in range(rows)], pa.float64()),
            "t": pa.array([f"v{n % 50}" for n in range(rows)]),
        }
    )
    return store.create_dataset("big").append(table)


def _mapped_ranges():
    for line in Path("/proc/self/maps").read_text().splitlines():
        if ".arrow" in line:
            low, high = line.split()[0].split("-")
            yield int(low, 16), int(high, 16)


def test_every_buffer_of_a_read_lies_in_the_mapped_file(version):
    table = version.to_arrow()
    ranges = list(_mapped_ranges())
    for column in table.columns:
        for chunk in column.chunks:
            for buffer in chunk.buffers():
                assert buffer is None or any(low <= buffer.address < high for low, high in ranges)


def test_reading_allocates_nothing_that_grows_with_the_rows(version):
    version.to_arrow()
    before = pa.total_allocated_bytes()
    table = version.to_arrow(["x", "a"])
    assert table.num_rows == 300_000
    assert pa.total_allocated_bytes() - before < 4096


def test_record_batches_have_an_even_size(version):
    assert [batch.num_rows for batch in version.to_batches()] == [131_072, 131_072, 300_000 - 2 * 131_072]


def test_null_slots_of_float_columns_hold_nan_so_numpy_needs_no_copy(version):
    chunk = version.to_arrow(["x"])["x"].chunk(0)
    raw = np.frombuffer(chunk.buffers()[1], np.float64)[: len(chunk)]
    assert np.isnan(raw[0])
    assert np.isnan(raw[7])
    assert raw[1] == 1 / 3
    assert chunk.null_count == len([n for n in range(131_072) if n % 7 == 0])
    assert chunk[0].as_py() is None


def test_a_column_that_is_not_there_is_named_with_what_is(version):
    with pytest.raises(ColumnNotFoundError, match="no column 'tt' in big@1") as caught:
        version.to_arrow(["tt"])
    assert caught.value.facts["available"] == ["a", "x", "t"]


def test_tables_stay_valid_when_the_store_is_closed(folder):
    with foldstore.connect(folder) as store:
        table = store.create_dataset("n").append({"n": [1, 2, 3]}).to_arrow()
    assert table["n"].to_pylist() == [1, 2, 3]


def test_open_files_do_not_use_up_descriptors(store):
    dataset = store.create_dataset("n")
    for n in range(30):
        dataset.append({"n": [n]})
    before = len(list(Path("/proc/self/fd").iterdir()))
    assert dataset.latest.to_arrow().num_rows == 30
    assert len(list(Path("/proc/self/fd").iterdir())) - before <= 3


def _damage(path, change):
    path.chmod(0o644)
    data = bytearray(path.read_bytes())
    change(data)
    path.write_bytes(bytes(data))


def _only_object(folder):
    (path,) = (folder / "objects").rglob("*.arrow")
    return path


def test_every_flipped_bit_of_a_column_is_found_on_first_read(folder):
    with foldstore.connect(folder) as store:
        store.create_dataset("n").append({"n": [3, 1, 4, 1, 5]})
    path = _only_object(folder)
    data = path.read_bytes()
    values = data.index((3).to_bytes(8, "little") + (1).to_bytes(8, "little"))
    for offset in range(values, values + 40):
        for bit in (0, 3, 7):
            _damage(path, lambda raw, o=offset, b=bit: raw.__setitem__(o, raw[o] ^ (1 << b)))
            with foldstore.connect(folder) as store:
                with pytest.raises(CorruptObjectError, match="Column 'n' of object"):
                    store.version("n@1").to_arrow()
                assert not store.verify().passed
            _damage(path, lambda raw: raw.__setitem__(slice(None), data))
    with foldstore.connect(folder) as store:
        assert store.version("n@1").to_arrow()["n"].to_pylist() == [3, 1, 4, 1, 5]


def test_any_flipped_byte_of_a_file_is_found_by_verify(folder):
    with foldstore.connect(folder) as store:
        store.create_dataset("n").append({"n": [3], "t": ["x"]})
    path = _only_object(folder)
    data = path.read_bytes()
    for offset in range(0, len(data), 13):
        _damage(path, lambda raw, o=offset: raw.__setitem__(o, raw[o] ^ 0x40))
        with foldstore.connect(folder) as store:
            (fault,) = store.verify().faults
            assert fault.what == "object"
        _damage(path, lambda raw: raw.__setitem__(slice(None), data))


@pytest.mark.parametrize("keep", [0, 1, 100, -1])
def test_a_file_cut_short_is_refused_before_it_is_mapped(folder, keep):
    with foldstore.connect(folder) as store:
        store.create_dataset("n").append({"n": list(range(100))})
    path = _only_object(folder)
    data = path.read_bytes()
    path.chmod(0o644)
    path.write_bytes(data[: keep if keep >= 0 else len(data) - 1])
    with foldstore.connect(folder) as store, pytest.raises(CorruptObjectError, match="bytes, expected"):
        store.version("n@1").to_arrow()


def test_a_missing_file_is_an_error_and_not_missing_rows(folder):
    with foldstore.connect(folder) as store:
        store.create_dataset("n").append({"n": [1]})
    _only_object(folder).unlink()
    with foldstore.connect(folder) as store:
        with pytest.raises(CorruptObjectError, match="is missing from the store"):
            store.version("n@1").to_arrow()
        assert [fault.what for fault in store.verify().faults] == ["object"]


def test_a_change_of_the_catalog_by_hand_is_found(folder):
    import sqlite3

    with foldstore.connect(folder) as store:
        store.create_dataset("n").append({"n": [1]})
    connection = sqlite3.connect(folder / "catalog.db")
    connection.execute("UPDATE version SET num_rows = 2")
    connection.execute("UPDATE page SET encoded = x'00'")
    connection.commit()
    connection.close()
    with foldstore.connect(folder) as store:
        assert {fault.what for fault in store.verify().faults} == {"page"}
        with pytest.raises(CorruptObjectError, match="Manifest page"):
            store.version("n@1").to_arrow()


def _nested_table():
    words = pa.array(["a", "b", "a"]).dictionary_encode()
    return pa.table(
        {
            "t": pa.array([1, 2, 3], pa.timestamp("us", "UTC")),
            "x": [1.0, None, 3.0],
            "l": pa.ListArray.from_arrays(pa.array([0, 2, 2, 3], pa.int32()), words),
            "s": [{"a": 1}, None, {"a": 3}],
        }
    )


def test_a_flipped_bit_gives_the_true_values_or_an_error_and_never_others(folder):
    with foldstore.connect(folder) as store:
        store.create_dataset("n").append(_nested_table())
    path = _only_object(folder)
    data = path.read_bytes()
    path.chmod(0o644)
    expected = _nested_table().to_pylist()
    for offset in range(0, len(data), 13):
        flipped = bytearray(data)
        flipped[offset] ^= 1 << (offset % 8)
        path.write_bytes(flipped)
        with foldstore.connect(folder) as store:
            try:
                table = store.version("n@1").to_arrow()
                table.validate(full=True)
                found = table.to_pylist()
            except CorruptObjectError:
                found = expected
            assert found == expected, f"byte {offset} of {len(data)}"
            assert not store.verify().passed


@pytest.mark.parametrize(
    "damage",
    [
        "UPDATE object SET zones = substr(zones, 1, 20)",
        "UPDATE arrow_schema SET encoded = substr(encoded, 1, 20)",
        "DELETE FROM version_page",
        "UPDATE version SET properties = '{'",
        "UPDATE version SET status = 'published', operation = 'nothing'",
    ],
)
def test_damage_of_the_catalog_is_an_error_and_never_other_rows(folder, damage):
    import sqlite3

    with foldstore.connect(folder) as store:
        store.create_dataset("n").append({"n": [1]})
    connection = sqlite3.connect(folder / "catalog.db")
    connection.execute("PRAGMA foreign_keys=OFF")
    connection.execute(damage)
    connection.commit()
    connection.close()
    with foldstore.connect(folder) as store:
        with pytest.raises(foldstore.FoldstoreError):
            store.version("n@1").to_arrow()
        with suppress(CorruptObjectError):  # the list of versions itself may not be readable
            assert not store.verify().passed


def test_a_damaged_commit_object_is_found(folder):
    with foldstore.connect(folder) as store:
        dataset = store.create_dataset("n")
        dataset.append({"n": [1]})
        dataset.append({"n": [2]})
        victim = min((folder / "commits").rglob("*.json"))
        victim.chmod(0o644)
        victim.write_text(victim.read_text().replace('"num_rows":1', '"num_rows":2'))
        assert [fault.message for fault in store.verify().faults] == [
            "The commit object of version 1 says something else than the catalog."
        ]


def test_a_damaged_profile_is_computed_again(folder):
    import sqlite3

    with foldstore.connect(folder) as store:
        expected = store.create_dataset("n").append({"n": [1, 2, 2]}).profile().id
    connection = sqlite3.connect(folder / "catalog.db")
    connection.execute("UPDATE derived SET encoded = zeroblob(100)")
    connection.commit()
    connection.close()
    with foldstore.connect(folder) as store:
        assert store.version("n@1").profile().id == expected
