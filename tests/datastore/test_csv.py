"""CSV: quotes, empty lines, codes that look like numbers, and options; right results or errors that say where."""

import csv
import io
import re

import pyarrow as pa
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from foldstore.datastore.ingest import csv_reading
from foldstore.datastore.ingest.csv_text import CsvText
from foldstore.errors import ColumnNotFoundError, FoldstoreError, IngestError, SchemaMismatchError, UsageError


@pytest.fixture
def dataset(store):
    return store.create_dataset("rows")


@pytest.fixture
def append(dataset, tmp_path):
    def _append(content, **options):
        path = tmp_path / "rows.csv"
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return dataset.append(path, **options).to_arrow().to_pydict()

    return _append


def open_quote(data: bytes) -> int | None:
    """Return the line of an unclosed quote, byte by byte as the format says."""
    opened, line, previous, place = None, 1, None, 0
    while place < len(data):
        byte = data[place : place + 1]
        if byte == b'"':
            if opened is not None:
                if data[place + 1 : place + 2] == b'"':
                    place += 1
                else:
                    opened = None
            elif previous in (None, b",", b"\n"):
                opened = line
        line += byte == b"\n"
        previous = data[place : place + 1]
        place += 1
    return opened


PIECES = st.lists(st.sampled_from([b'"', b'""', b",", b"\n", b"a", b'"a"']), max_size=40)


@given(data=PIECES)
@example(data=[b'5"', b",", b'"', b"a\n"])
@example(data=[b'"', b'"', b'"'])
def test_an_open_quote_is_found_by_the_line_on_which_it_opens(data):
    content = b"".join(data)
    place = CsvText().open_quote(content)
    assert (None if place is None else 1 + content.count(b"\n", 0, place)) == open_quote(content)


@given(data=PIECES)
@example(data=[b'"', b"\n", b'"', b",", b'"a"', b"\n", b"a"])
def test_a_row_ends_where_no_quote_is_open(data):
    content = b"".join(data)
    ends = [n + 1 for n in range(len(content)) if content[n : n + 1] == b"\n" and open_quote(content[: n + 1]) is None]
    assert CsvText().last_end(content) == (ends[-1] if ends else 0)
    spans = CsvText().rows(content, keep_empty=True)
    assert [end for _, end in spans] == [*ends, *([len(content)] if content and ends[-1:] != [len(content)] else [])]
    assert b"".join(content[start:end] for start, end in spans) == content


@pytest.mark.parametrize(
    ("content", "line"),
    [
        ('a,b\n1,"x\n2,y\n', 2),
        ('a,b\n1,"2\n', 2),
        ('a,b\n1,"x"\n2,"y ""z\n', 3),
        ('a,b\n1,5" pipe\n2,"x', 3),
        ('a,"b\n1,2\n', 1),
        ('a,b\n"m\nn",1\n2,"x\n', 4),
    ],
)
def test_an_unclosed_quote_is_refused_with_the_line_where_it_opens(dataset, append, content, line):
    with pytest.raises(IngestError, match=f"line {line}: a quote opens here and is never closed") as caught:
        append(content)
    assert (caught.value.code, caught.value.facts["line"]) == ("broken-row", line)
    assert dataset.versions() == []


def test_an_unclosed_quote_before_more_than_a_block_is_named_too(dataset, append):
    with pytest.raises(IngestError, match="line 3: a quote opens here"):
        append('a,b\n1,x\n2,"y\n' + "3,z\n" * 9_000_000)
    assert dataset.versions() == []


def test_quoted_cells_are_read_as_python_reads_them(append):
    content = 'a,b\n"x, y","say ""hi"""\n"two\nlines","NA"\n"",NA\n5" pipe,z\n'
    rows = list(csv.reader(io.StringIO(content)))[1:]
    found = append(content)
    assert found["a"] == [row[0] for row in rows]
    assert found["b"] == ['say "hi"', "NA", None, "z"]  # NA in quotes is text


@pytest.mark.parametrize(
    ("content", "wanted"),
    [
        ("a\n1\n\n2\n", [1, None, 2]),
        ("a\n1\n\n2\n\n", [1, None, 2, None]),
        ("a\r\n1\r\n\r\n2\r\n", [1, None, 2]),
        ("a\n\n", [None]),
        ("a\nx\n\n", ["x", None]),
    ],
)
def test_an_empty_line_is_a_null_row_where_there_is_one_column(append, content, wanted):
    assert append(content) == {"a": wanted}


def test_an_empty_line_is_nothing_where_there_are_more_columns(append):
    assert append("a,b\n1,2\n\n3,4\n\n") == {"a": [1, 3], "b": [2, 4]}


@pytest.mark.parametrize(
    ("cells", "wanted"),
    [
        (["00123", "45"], ["00123", "45"]),
        (["0", "10"], [0, 10]),
        (["-007"], ["-007"]),
        (["0.5", "1.5"], [0.5, 1.5]),
        (["12345678901234567890", "1"], ["12345678901234567890", "1"]),
        ([str(2**63 - 1), str(-(2**63))], [2**63 - 1, -(2**63)]),
        (["9007199254740993", "NA"], [9007199254740993, None]),
        (["+9007199254740993"], ["+9007199254740993"]),
        (["1.5", "2e3"], [1.5, 2000.0]),
        (["NA", "00"], [None, "00"]),
    ],
)
def test_digits_that_a_number_would_lose_are_kept_as_text(append, cells, wanted):
    assert append("n,other\n" + "".join(f"{cell},x\n" for cell in cells))["n"] == wanted


def test_a_declared_type_goes_before_what_is_sniffed(append):
    assert append("n\n007\n", types={"n": "int64"}) == {"n": [7]}


@pytest.mark.parametrize(
    ("content", "wanted"),
    [
        (b"\xef\xbb\xbfa,b\n1,x\n", {"a": [1], "b": ["x"]}),
        (b'\xef\xbb\xbf"a",b\n1,x\n', {"a": [1], "b": ["x"]}),
        (b"a,b\r\n1,x\r\n", {"a": [1], "b": ["x"]}),
        (b"a,b\n1,x", {"a": [1], "b": ["x"]}),
        (b"a,b\n", {"a": [], "b": []}),
        (b"a,b", {"a": [], "b": []}),
        ("a,größe\n1,é\n".encode(), {"a": [1], "größe": ["é"]}),
    ],
    ids=["bom", "bom and quote", "crlf", "no last end", "header", "header without end", "utf-8"],
)
def test_the_layouts_of_other_programs_are_read(append, content, wanted):
    assert append(content) == wanted


@pytest.mark.parametrize(
    ("content", "kind", "said"),
    [
        (b"", IngestError, "is empty"),
        (b"\n\n", IngestError, "is empty"),
        (b"a,a\n1,2\n", SchemaMismatchError, "'a' and 'a'"),
        (b"a,\n1,2\n", SchemaMismatchError, "cannot name a column"),
        ("größe\n1\n".encode("latin-1"), IngestError, "line 1: this is not UTF-8 text"),
        ("a\né\n".encode("latin-1"), IngestError, "line 2: this is not UTF-8 text"),
        ("a,b\n1,2\n".encode("utf-16-le"), IngestError, "If it is UTF-16"),
    ],
)
def test_a_file_that_is_no_table_is_refused_in_words_that_fit(dataset, append, content, kind, said):
    with pytest.raises(kind, match=re.escape(said)) as caught:
        append(content)
    assert caught.value.code != "broken-row"
    assert "Mend the row" not in caught.value.hint
    assert dataset.versions() == []


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"tipes": {"a": "string"}}, "Did you mean 'types'"),
        ({"types": {"a": 5}}, "5 is not a type"),
        ({"types": ["a"]}, "types= is a dict"),
        ({"types": {5: "string"}}, "types= is a dict"),
        ({"types": {"a": "month_day_nano_interval"}}, "not supported"),
        ({"null_tokens": [5]}, "null_tokens= is a list of texts"),
        ({"null_tokens": "NA"}, "null_tokens= is a list of texts"),
        ({"null_tokens": None}, "null_tokens= is a list of texts"),
    ],
    ids=str,
)
def test_options_that_are_wrong_are_refused_with_a_hint(dataset, append, options, said):
    with pytest.raises(UsageError, match=re.escape(said)) as caught:
        append("a\n1\n", **options)
    assert caught.value.hint
    assert dataset.versions() == []


def test_a_declared_column_that_is_not_there_is_named(append):
    with pytest.raises(ColumnNotFoundError, match="'b'"):
        append("a\n1\n", types={"b": "string"})


def test_a_column_that_text_cannot_hold_is_refused(dataset, append):
    dataset.append(pa.table({"v": [[1]]}))
    with pytest.raises(FoldstoreError, match="not supported") as caught:
        append("v\n1\n")
    assert caught.value.code == "ingest-failed"
    assert dataset.latest.number == 1


def test_dictionaries_and_columns_without_values_take_text(dataset, append):
    dataset.append(
        pa.table({"d": pa.array(["a"]).dictionary_encode(), "n": pa.nulls(1), "h": pa.array([1.5], pa.float16())})
    )
    assert append("d,n,h\nb,7,0.5\n") == {"d": ["a", "b"], "n": [None, 7], "h": [1.5, 0.5]}


def test_far_too_many_columns_are_counted_without_reading_them(append, monkeypatch):
    """Arrow takes the square of their number: 140,000 took 7 seconds, and one line has as many as it likes."""
    monkeypatch.setattr(csv_reading.csv, "read_csv", None)
    with pytest.raises(SchemaMismatchError, match="200,000 columns; 1 to 10,000") as caught:
        append(b",".join(b"c%d" % number for number in range(200_000)) + b"\n")
    assert "--data-binary" in caught.value.hint


def test_delimiters_within_quotes_are_no_columns(append):
    names = [f'{number} ""{"," * 900}' for number in range(30)]
    header = ",".join(f'"{name}"' for name in names)
    read = append(header + "\n" + ",".join("1" * 30) + "\n")
    assert list(read) == [name.replace('""', '"') for name in names]
