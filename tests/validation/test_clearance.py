"""Columns that a quick look clears are those in which the full judgement finds nothing; a report is the same."""

import datetime as dt
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.compute as pc
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from foldstore.datastore import text_cells
from foldstore.datastore.engine import Engine
from foldstore.datastore.statistics import distinct_numbers, short_texts
from foldstore.datastore.statistics import profile as profiles
from foldstore.datastore.statistics.profile import profile_table
from foldstore.datastore.statistics.short_texts import distinct_texts, encode_texts, has_text
from foldstore.datastore.text_cells import text_places, text_widths
from foldstore.errors import FoldstoreError, UsageError
from foldstore.validation import clearance
from foldstore.validation.check import validate
from foldstore.validation.clearance import judge_unprofiled
from foldstore.validation.column_bounds import Bounds, Uniqueness
from foldstore.validation.column_domains import CategoryDomain, NumericDomain, TextDomain, TimeDomain, TokenDomain
from foldstore.validation.column_schema import ColumnSchema, Stage
from foldstore.validation.dataset_rules import RowRule, Segment
from foldstore.validation.inference import infer_schema
from foldstore.validation.schema import DataSchema
from foldstore.validation.subject import StreamSubject, TableSubject
from foldstore.validation.surroundings import Surroundings

AT = "2026-01-01T00:00:00Z"
TEXTS = ["EWR", "JFK", "LGA", "ewr", " EWR", "NA", "", "?", "#N/A", "1.#IND", "Ä", "Newark", "Newrak", "2013-01-01"]
NUMBERS = [0, 1, 2, 3, 7, 8, 100, -1, -999, 999, 2**31 - 1]
FLOATS = [0.0, -0.0, 0.5, 1.25, 7.0, -999.0, 1e308, -1e308, 5e-324, float("nan"), float("inf"), float("-inf")]
DAYS = [dt.datetime.fromisoformat(day) for day in ("1970-01-01", "2013-05-04T03:00", "2026-06-01", "9999-12-31")]
KINDS = {
    "int64": (pa.int64(), NUMBERS),
    "uint64": (pa.uint64(), [0, 1, 2, 99, 2**64 - 1]),
    "int8": (pa.int8(), [0, 1, -99, 99]),
    "double": (pa.float64(), FLOATS),
    "float": (pa.float32(), [0.0, 0.5, -99.0, float("nan"), float("inf")]),
    "bool": (pa.bool_(), [True, False]),
    "string": (pa.string(), TEXTS),
    "large_string": (pa.large_string(), TEXTS[:3]),
    "string_view": (pa.string_view(), TEXTS),
    "dictionary": (pa.dictionary(pa.int8(), pa.string()), TEXTS),
    "timestamp[us]": (pa.timestamp("us"), DAYS),
    "timestamp[ns, tz=UTC]": (pa.timestamp("ns", "UTC"), DAYS[:3]),
    "date32[day]": (pa.date32(), [each.date() for each in DAYS]),
    "duration[s]": (pa.duration("s"), [0, 1, 60]),
    "decimal128(9, 2)": (pa.decimal128(9, 2), [1, -999, 7]),
    "binary": (pa.binary(), [b"", b"NA", b"\xff"]),
    "list<item: int64>": (pa.list_(pa.int64()), [[], [1], [1, 2]]),
    "struct<a: int64>": (pa.struct([("a", pa.int64())]), [{"a": 1}, {"a": None}]),
}


@st.composite
def columns(draw):
    kind, values = KINDS[draw(st.sampled_from(sorted(KINDS)))]
    pool = draw(st.lists(st.sampled_from([*values, None]), min_size=1, max_size=5))
    rows = draw(st.lists(st.sampled_from(pool), min_size=1, max_size=8)) * draw(st.sampled_from([1, 4, 30]))
    return kind, rows


@st.composite
def tables(draw, rows=None):
    made = draw(st.lists(columns(), min_size=1, max_size=3))
    count = max(len(values) for _, values in made)
    arrays = [pa.array((values * count)[:count], kind) for kind, values in made]
    table = pa.table(arrays, names=[f"c{place}" for place in range(len(arrays))])
    cut = draw(st.integers(0, count))
    return pa.concat_tables([table.slice(0, cut), table.slice(cut)])


@st.composite
def domains(draw, kind):
    text = pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind)
    made = [st.none()]
    if text:
        some = st.lists(st.sampled_from(TEXTS), min_size=1, max_size=6, unique=True).map(tuple)
        made += [
            st.builds(CategoryDomain, values=some, min_mass=st.sampled_from([1.0, 0.5])),
            st.builds(TextDomain, max_length=st.integers(0, 8)),
            st.builds(TextDomain, min_length=st.integers(1, 3), max_length=st.integers(3, 8)),
            st.builds(TextDomain, pattern=st.sampled_from(["[A-Z]{3}", ".*", "[^ä]+"])),
            st.builds(TextDomain, semantic=st.sampled_from(["date", "email"]), min_mass=st.sampled_from([1.0, 0.3])),
            st.just(TokenDomain(true_tokens=("EWR", "JFK"), false_tokens=("LGA", "NA"))),
        ]
    elif pa.types.is_integer(kind) or pa.types.is_floating(kind):
        ends = st.sampled_from([None, -1000, 0, 3]), st.sampled_from([None, 8, 100, 2**40])
        extra = {"nan": st.sampled_from(["allow", "deny", "as_null"]), "inf": st.sampled_from(["allow", "deny"])}
        if pa.types.is_floating(kind):
            extra["integer"] = st.booleans()
            extra["decimals"] = st.sampled_from([None, 1])
        else:
            extra = {}
            made.append(st.just(CategoryDomain(values=(0, 1, 2, 3))))
        made.append(st.builds(NumericDomain, min=ends[0], max=ends[1], **extra))
    elif pa.types.is_timestamp(kind) or pa.types.is_date(kind):
        made.append(st.builds(TimeDomain, min=st.just("2000-01-01"), max=st.sampled_from([None, "2025-01-01"])))
        made.append(st.builds(TimeDomain, max_future=st.just("1d")))
    elif pa.types.is_boolean(kind):
        made.append(st.just(CategoryDomain(values=(True,))))
    return draw(st.one_of(made))


@st.composite
def column_schemas(draw, kind):
    plain = kind.value_type if pa.types.is_dictionary(kind) else kind
    more = {}
    if draw(st.integers(0, 5)) == 0 and not pa.types.is_nested(plain):
        more["unique"] = draw(st.sampled_from([Uniqueness(key=True), Uniqueness(max=2), Uniqueness(min_ratio=0.5)]))
    if draw(st.integers(0, 5)) == 0 and (pa.types.is_integer(plain) or pa.types.is_floating(plain)):
        more["bounds"] = draw(
            st.sampled_from([Bounds(mean=(0, 10)), Bounds(quantiles={"0.5": (0, 2)}), Bounds(max_top_share=0.5)])
        )
        more["monotone"] = draw(st.sampled_from([None, "increasing"]))
    return ColumnSchema(
        type=str(plain),
        domain=draw(domains(plain)),
        nullable=draw(st.booleans()),
        min_fraction=draw(st.sampled_from([0.0, 0.9])),
        min_count=draw(st.sampled_from([0, 0, 20])),
        constant=draw(st.booleans()),
        stage=draw(st.sampled_from([Stage.PRODUCTION, Stage.PRODUCTION, Stage.DEPRECATED])),
        inferred=draw(st.booleans()),
        **more,
    )


@st.composite
def cases(draw):
    """Rows and a schema for them: made up, or inferred from others; with columns too many, too few, of another type."""
    table = draw(tables())
    if draw(st.integers(0, 3)) == 0:
        other = draw(tables())
        schema = infer_schema(profile_table(other))
        return table, schema
    made = {field.name: draw(column_schemas(field.type)) for field in table.schema if draw(st.integers(0, 9))}
    if draw(st.booleans()):
        made["c9"] = ColumnSchema(type="int64")
    nested = ("list", "struct", "string_view")  # and views of text, which are stored as texts: none is a key
    flat = [n for n, c in made.items() if n in table.column_names and not c.type.startswith(nested)]
    more = {}
    if flat and draw(st.booleans()):
        more["rules"] = (RowRule(expr=f'"{flat[0]}" IS NOT NULL'),)
        more["segments"] = (Segment(name="by", by=(flat[0],)),)
        more["max_duplicate_fraction"] = draw(st.sampled_from([None, 0.5]))
        more["keys"] = draw(st.sampled_from([(), (flat[0],)]))
    return table, DataSchema(columns=made, **more)


@pytest.fixture(scope="module")
def engine() -> Iterator[Engine]:
    with Engine() as opened:
        yield opened


def judged(subject, schema, engine):
    """Return the report as plain data, or the error: a judgement that cannot be made is none either way."""
    try:
        return validate(subject, schema, Surroundings(created_at=AT, engine=engine)).to_dict()
    except FoldstoreError as error:
        return type(error), error.message


def by_profile(table):
    """Return rows of which a whole profile is made before anything is judged."""
    rows = TableSubject(table, "t")
    return StreamSubject(rows.arrow_schema, rows.batches, "t", table.num_rows)


@pytest.fixture(scope="module", params=["as it is", "small"])
def sizes(request) -> Iterator[str]:
    """Make the sizes from which many rows are treated otherwise those of few, too."""
    with pytest.MonkeyPatch.context() as patch:
        if request.param == "small":
            patch.setattr(clearance, "_FIRST", 4)
            patch.setattr(clearance, "_PIECE", 5)
            patch.setattr(clearance, "_MOST_JOINED", 3)
            patch.setattr(short_texts, "_RUN", 4)
            patch.setattr(short_texts, "_FEW", 2)
            patch.setattr(text_cells, "_RUN", 4)
            patch.setattr(distinct_numbers, "_FEW", 2)
            patch.setattr(distinct_numbers, "_PLACES_EACH", 1)
        yield request.param


@settings(max_examples=250, deadline=None)
@given(case=cases())
def test_a_report_does_not_depend_on_what_was_cleared(engine, sizes, case):
    table, schema = case
    assert judged(TableSubject(table, "t"), schema, engine) == judged(by_profile(table), schema, engine)


@pytest.fixture
def profiled(monkeypatch):
    """Return the names of the columns that were profiled."""
    asked, real = [], profiles.profile_batches

    def spy(schema, batches, **more):
        asked.extend(schema.names)
        return real(schema, batches, **more)

    monkeypatch.setattr(profiles, "profile_batches", spy)
    return asked


def test_only_what_may_be_wrong_is_profiled_and_the_id_of_the_profile_asks_for_the_rest(profiled):
    table = pa.table({"fine": ["a", "b"] * 50, "wrong": [1, -1] * 50, "many": [str(each) for each in range(100)]})
    columns = {
        "fine": ColumnSchema(type="string", domain=CategoryDomain(values=("a", "b"))),
        "wrong": ColumnSchema(type="int64", domain=NumericDomain(min=0)),
        "many": ColumnSchema(type="string", domain=TextDomain(max_length=2)),
    }
    report = validate(TableSubject(table, "t"), DataSchema(columns=columns))
    assert [each.code for each in report.anomalies] == ["below_min"]
    assert profiled == ["wrong"]
    assert report.profile_id == profile_table(table).id
    assert sorted(set(profiled)) == ["fine", "many", "wrong"]
    assert report.to_dict()["profile_id"] == report.profile_id


DIFFERENT = [f"user-{each}" for each in range(10_000)]
ASKED = {
    "pattern_mismatch": TextDomain(pattern="user-[0-8]+"),
    "length_high": TextDomain(max_length=8),
    "length_low": TextDomain(min_length=7),
    "semantic_class_changed": TextDomain(semantic="email"),
    "bool_unexpected": TokenDomain(true_tokens=("user-1",), false_tokens=("user-2",)),
}


@pytest.mark.parametrize("code", ASKED)
def test_rows_that_fail_what_each_is_asked_are_shown_without_a_profile(profiled, code):
    schema = DataSchema(columns={"s": ColumnSchema(type="string", domain=ASKED[code])})
    (found,) = validate(TableSubject(pa.table({"s": DIFFERENT}), "t"), schema).anomalies
    assert (found.code, profiled) == (code, [])
    assert len(found.example_rows) == 10
    (again,) = validate(by_profile(pa.table({"s": DIFFERENT})), schema).anomalies
    assert again.to_dict() == found.to_dict()


def test_what_is_clear_is_nothing_that_a_schema_does_not_name():
    assert judge_unprofiled(TableSubject(pa.table({"x": [1]}), "t"), {"y": ColumnSchema(type="int64")}) == {}


WORDS = st.lists(st.one_of(st.none(), st.text(max_size=9), st.sampled_from(TEXTS)), max_size=30)
CODES = st.integers(1, 9).flatmap(
    lambda width: st.lists(st.one_of(st.none(), st.text("AZÄ9", min_size=width, max_size=width)), max_size=30)
)


@settings(deadline=None)
@given(
    texts=st.one_of(WORDS, CODES),
    kind=st.sampled_from([pa.string(), pa.large_string(), pa.string_view()]),
    skip=st.integers(0, 12),
    wanted=st.lists(st.sampled_from([*TEXTS, "AZ", "ZZ#", "Ä9AZ9AZ9"]), min_size=1, max_size=5),
)
def test_short_texts_are_what_python_says(sizes, texts, kind, skip, wanted):
    held = pa.array(texts, kind).slice(skip)
    seen = [each for each in texts[skip:] if each is not None]
    cut = pa.chunked_array([held.slice(0, 3), held.slice(3)], kind)
    distinct = distinct_texts(cut)
    assert sorted(distinct.to_pylist()) == sorted(set(seen))
    assert distinct.type == pa.large_string()
    distinct.validate(full=True)
    encoded = encode_texts(held)
    encoded.validate(full=True)
    assert encoded.to_pylist() == texts[skip:]
    assert len(encoded.dictionary) == len(set(seen))
    few = distinct_texts(cut, doubtful=10)
    assert few is None or sorted(few.to_pylist()) == sorted(set(seen))
    first = texts[skip : skip + 10]
    if few is None:  # nulls are none of the first where texts have one width
        assert len({*seen[:10], *first} - {None}) > min(len(seen), len(first)) // 2
    assert has_text(held, wanted) == bool(set(wanted) & set(seen))
    places = text_places(held)
    if places is not None and None not in texts:
        assert text_widths(places[0]).tolist() == [len(each.encode()) for each in seen]


def test_bytes_behind_a_null_are_no_text():
    """Polars and others leave what was there; Arrow allows it."""
    held = pa.array(["JFK", "XXX", "EWR"])
    masked = pa.Array.from_buffers(pa.string(), 3, [pa.py_buffer(b"\x05"), *held.buffers()[1:]], 1)
    assert masked.to_pylist() == ["JFK", None, "EWR"]
    assert sorted(distinct_texts(pa.chunked_array([masked])).to_pylist()) == ["EWR", "JFK"]
    short = pa.Array.from_buffers(pa.string(), 2, [pa.py_buffer(b"\x02"), *pa.array(["NA", "AB"]).buffers()[1:]], 1)
    assert not has_text(short, ["NA"])


@pytest.mark.parametrize("rows", [1, 1_000])
def test_bytes_that_are_no_text_are_refused_in_words_however_few(rows):
    held = pa.Array.from_buffers(
        pa.string(),
        3 * rows,
        [None, pa.py_buffer(np.arange(0, 6 * rows + 1, 2, np.int32).tobytes()), pa.py_buffer(b"ab\xff\xfecd" * rows)],
    )
    schema = DataSchema(columns={"s": ColumnSchema(type="string", domain=CategoryDomain(values=("ab", "cd")))})
    with pytest.raises(UsageError, match="UTF-8") as caught:
        validate(TableSubject(pa.table({"s": held}), "t"), schema)
    assert caught.value.code == "invalid-text"


def test_many_rows_are_cleared_as_few_are():
    generator = np.random.default_rng(0)
    frame = pl.DataFrame(
        {
            "code": generator.choice(["EWR", "JFK", "LGA"], 300_000),
            "id": [f"N{each}" for each in generator.integers(0, 10**6, 300_000)],
            "delay": generator.normal(size=300_000),
        }
    )
    table = frame.to_arrow()
    table = table.cast(pa.schema([(f.name, pa.string() if f.name != "delay" else f.type) for f in table.schema]))
    columns = {
        "code": ColumnSchema(type="string", nullable=False, domain=CategoryDomain(values=("EWR", "JFK", "LGA"))),
        "id": ColumnSchema(type="string", nullable=False, domain=TextDomain(pattern="N[0-9]+")),
        "delay": ColumnSchema(type="double", nullable=False, domain=NumericDomain(min=-10, max=10)),
    }
    assert judge_unprofiled(TableSubject(table, "t"), columns) == dict.fromkeys(columns, ())
    broken = table.set_column(0, "code", pc.if_else(pa.array(np.arange(300_000) == 299_999), "EWX", table["code"]))
    assert judge_unprofiled(TableSubject(broken, "t"), columns) == dict.fromkeys(("id", "delay"), ())


def test_columns_are_judged_here_where_nobody_helps(monkeypatch):
    """Threads that are busy with others, or gone since the process forked, keep nobody waiting."""
    monkeypatch.setattr(clearance.os, "cpu_count", lambda: 3)
    with ThreadPoolExecutor(1) as busy:
        done = threading.Event()
        busy.submit(done.wait)
        monkeypatch.setattr(clearance, "_helpers", lambda: busy)
        here = threading.get_ident()
        judged = clearance._side_by_side(lambda _: (threading.get_ident(),), ["a", "b", "c"])
        done.set()
    assert judged == {"a": (here,), "b": (here,), "c": (here,)}


@pytest.mark.parametrize("wrong", ["here", "helping"])
def test_what_goes_wrong_in_a_thread_is_said(monkeypatch, wrong):
    monkeypatch.setattr(clearance.os, "cpu_count", lambda: 2)
    here, both = threading.get_ident(), threading.Barrier(2, timeout=60)

    def judge(name):
        both.wait()
        if (threading.get_ident() == here) == (wrong == "here"):
            raise UsageError(f"{name} is wrong")
        return ()

    with pytest.raises(UsageError, match="is wrong"):
        clearance._side_by_side(judge, ["a", "b"])


def test_a_vocabulary_that_many_texts_miss_is_counted_in_pieces(monkeypatch):
    """Texts of which no two are alike are never looked up all at once: ten million of them would take a gigabyte."""
    texts = pa.array([f"id-{each}" for each in range(400_000)])
    schema = DataSchema(columns={"s": ColumnSchema(type="string", domain=CategoryDomain(values=("a",)))})
    longest, real = [], pc.index_in

    def spy(values, **more):
        longest.append(len(values))
        return real(values, **more)

    monkeypatch.setattr(pc, "index_in", spy)
    (found,) = validate(TableSubject(pa.table({"s": texts}), "t"), schema).anomalies
    assert (found.code, found.count) == ("value_outside_domain", 400_000)
    assert longest
    assert max(longest) <= 131_072
