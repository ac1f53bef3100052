"""Folders and patterns: one version of many files, in the order of their names; links are never followed."""

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from foldstore.errors import FoldstoreError, IngestError, SchemaMismatchError, UsageError


@pytest.fixture
def dataset(store):
    return store.create_dataset("many")


@pytest.fixture
def data(tmp_path):
    folder = tmp_path / "data"
    (folder / "deep").mkdir(parents=True)
    for place, name in enumerate(["b.parquet", "a.parquet", "deep/c.parquet"]):
        pq.write_table(pa.table({"n": pa.array([place], pa.int32())}), folder / name)
    return folder


def test_a_folder_is_one_version_in_the_order_of_names(dataset, data):
    (data / "README.md").write_text("words")
    (data / "_SUCCESS").write_text("")
    (data / ".hidden.parquet").write_text("no parquet")
    version = dataset.append(data)
    assert version.to_arrow()["n"].to_pylist() == [1, 0, 2]
    source = version.record.properties["source"]
    assert source["files"] == ["a.parquet", "b.parquet", "deep/c.parquet"]
    assert source["passed_over"] == [".hidden.parquet", "README.md", "_SUCCESS"]
    assert (source["num_files"], source["format"]) == (3, "parquet")
    assert len(dataset.versions()) == 1


def test_a_pattern_takes_what_it_names(dataset, data, sample):
    assert dataset.append(f"{data}/[ab].parquet").to_arrow()["n"].to_pylist() == [1, 0]
    assert dataset.append(data / "**/*.parquet").num_rows == 5
    with pytest.raises(IngestError, match="No file to ingest") as caught:
        dataset.append(data / "x*.parquet")
    assert caught.value.code == "file-not-found"
    with pytest.raises(IngestError, match="Did you mean 'data'"):
        dataset.append(data.parent / "dta" / "*.parquet")
    with pytest.raises(UsageError, match="leaves its folder"):
        dataset.append(f"{data}/*/../../secret/*.parquet")


def test_a_file_whose_own_name_has_a_star_is_that_file(dataset, data):
    (data / "a.parquet").rename(data / "a*.parquet")
    assert dataset.append(data / "a*.parquet").num_rows == 1


@pytest.mark.parametrize("way", ["folder", "pattern", "deep pattern"])
def test_links_are_refused_by_name_and_nothing_is_committed(dataset, data, tmp_path, way):
    outside = tmp_path / "outside"
    outside.mkdir()
    pq.write_table(pa.table({"n": pa.array([99], pa.int32())}), outside / "secret.parquet")
    (data / "link.parquet").symlink_to(outside / "secret.parquet")
    (data / "way").symlink_to(outside)
    given = {"folder": data, "pattern": data / "*.parquet", "deep pattern": data / "*" / "*.parquet"}[way]
    with pytest.raises(IngestError, match=r"link\.parquet|way/secret") as caught:
        dataset.append(given)
    assert caught.value.code == "link-refused"
    assert dataset.versions() == []
    assert dataset.append(data / "link.parquet").num_rows == 1  # named itself, it is what was asked for


def test_columns_that_differ_between_files_are_named_with_the_file(dataset, data):
    pq.write_table(pa.table({"m": [1]}), data / "deep" / "d.parquet")
    with pytest.raises(SchemaMismatchError, match=r"'a.parquet' has a column 'n', and 'd.parquet' has none") as caught:
        dataset.append(data)
    assert caught.value.code == "column-missing"
    pq.write_table(pa.table({"n": ["x"]}), data / "deep" / "d.parquet")
    with pytest.raises(SchemaMismatchError, match=r"'d.parquet': column 'n' is string, and int32 in 'a.parquet'"):
        dataset.append(data)
    assert dataset.versions() == []


def test_numbers_take_the_wider_type_and_nulls_any(dataset, tmp_path):
    for place, column in enumerate([pa.nulls(1), pa.array([1], pa.int32()), pa.array([2**40])]):
        pq.write_table(pa.table({"n": column, "k": [place]}), tmp_path / f"{place}.parquet")
    version = dataset.append(tmp_path / "*.parquet")
    assert version.arrow_schema.field("n").type == pa.int64()
    assert version.to_arrow()["n"].to_pylist() == [None, 1, 2**40]


def test_a_number_that_the_wider_type_rounds_names_its_file(dataset, tmp_path):
    pq.write_table(pa.table({"n": [0.5]}), tmp_path / "0.parquet")
    pq.write_table(pa.table({"n": [2**53 + 1]}), tmp_path / "1.parquet")
    with pytest.raises(SchemaMismatchError, match=r"'1.parquet': Column 'n'"):
        dataset.append(tmp_path / "*.parquet")


def test_text_files_are_read_alike_and_a_broken_row_names_its_file(dataset, tmp_path):
    (tmp_path / "1.csv").write_text("a,b\n1,x\n")
    (tmp_path / "2.csv").write_text("a,b\n1.5,y\n")
    version = dataset.append(tmp_path / "*.csv")
    assert version.to_arrow().to_pydict() == {"a": [1.0, 1.5], "b": ["x", "y"]}
    assert version.record.properties["source"]["types"] == {"a": "double", "b": "string"}
    (tmp_path / "3.csv").write_text("a,b\n2.5,y\nz,y\n")
    with pytest.raises(IngestError, match=r"'3.csv', line 3, column 'a'"):
        dataset.append(tmp_path / "*.csv")
    kept = dataset.append(tmp_path / "*.csv", on_broken_row="quarantine", quarantine_to=tmp_path / "broken.txt")
    assert kept.record.rows_added == 3
    assert kept.record.properties["source"]["broken_rows"]["examples"][0]["file"] == "3.csv"
    assert (tmp_path / "broken.txt").read_text().count("\n") == 1


def test_formats_are_not_mixed_and_partitions_are_refused(dataset, data):
    (data / "d.csv").write_text("n\n1\n")
    with pytest.raises(IngestError, match="several formats") as caught:
        dataset.append(data)
    assert caught.value.code == "mixed-formats"
    (data / "d.csv").unlink()
    (data / "year=2013").mkdir()
    with pytest.raises(IngestError, match="'year=2013' keeps a column in its name") as caught:
        dataset.append(data)
    assert caught.value.code == "partitioned-folder"


@pytest.mark.parametrize("path", ["a\0b.csv", "x" * 5000 + ".csv", "*" * 300, "", "[", "~/*.csv"], ids=range(6))
def test_odd_paths_are_errors_of_ours(dataset, path, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(FoldstoreError):
        dataset.append(path)


def test_progress_knows_the_rows_of_all_files(dataset, data):
    told = []
    dataset.append(data, progress=lambda done, total: told.append((done, total)))
    assert told[-1] == (3, 3)
