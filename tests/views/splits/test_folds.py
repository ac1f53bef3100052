"""Folds: exact shares, one fold a row for good, train and held-out rows apart, and bytes that come back."""

import json
from itertools import pairwise

import numpy as np
import pyarrow as pa
import pytest
import xxhash
from hypothesis import given, settings
from hypothesis import strategies as st

from foldstore.errors import CorruptObjectError, NotFoundError, UsageError
from foldstore.views.splits.fitting import FragmentRows, OldRows
from foldstore.views.splits.fold_assignment import FoldAssignment
from foldstore.views.splits.fold_fitting import examine_folds, extend_folds, inner_hashes
from foldstore.views.splits.folds import FoldSpec
from foldstore.views.splits.hashing import hash_keys

HOUR = 3_600
EDGES = ["1970-01-01T00:00:03Z", "1970-01-01T00:00:07Z"]
KINDS = {
    "key": {"k": 4},
    "nested": {"k": 3, "inner": 2},
    "groups": {"k": 3, "group_by": ["g"]},
    "strata": {"k": 3, "stratify": "y"},
    "nested strata": {"k": 3, "inner": 3, "stratify": "y"},
    "nested groups in strata": {"k": 3, "inner": 2, "stratify": ["y", "x"], "group_by": ["g"]},
    "several lists": {"k": 3, "inner": 2, "group_by": [["g"], ["x", "y"]]},
    "groups and duplicates": {"k": 4, "group_by": ["g"], "duplicates": ["x"], "stratify": "y"},
    "near": {"k": 3, "inner": 2, "near_duplicates": ["text"], "similarity": 0.65, "group_by": ["g"]},
    "column": {"by_column": "x", "values": {"1": ["a", "b"], "2": ["c"]}},
    "time": {"k": 3, "by_time": "t", "purge": "1s", "embargo": "2s", "boundaries": EDGES},
    "past": {"k": 2, "by_time": "t", "purge": "1s", "past_only": True, "boundaries": EDGES},
    "nested time": {
        "k": 2, "inner": 2, "by_time": "t", "embargo": "1s", "boundaries": ["1970-01-01T00:00:05Z"],
        "inner_boundaries": [["1970-01-01T00:00:08Z"], ["1970-01-01T00:00:02Z"]],
    },
}  # fmt: skip
HASHED = [kind for kind in KINDS if "by_time" not in KINDS[kind] and "by_column" not in KINDS[kind]]

# Each is 0.65 alike to the next, the first and the last are not.
CHAIN = ["the red car stands in the street", "the red cars stand in the street", "the red cars stand in that street"]

row = st.tuples(
    st.none() | st.integers(0, 8),
    st.none() | st.sampled_from("abc"),
    st.booleans(),
    st.none() | st.integers(0, 9),
    st.sampled_from([None, *CHAIN, "a blue bicycle by the river bank"]),
)
rows = st.lists(row, min_size=1, max_size=30)


def spec_of(kind):
    return FoldSpec("cv", dataset="d", **({"key": ["id"]} if kind in HASHED else {}), **KINDS[kind])


def table_of(rows, first=0):
    group, x, y, t, text = (list(column) for column in zip(*rows, strict=True)) if rows else ([], [], [], [], [])
    return pa.table(
        {
            "id": pa.array(range(first, first + len(rows)), pa.int64()),
            "g": pa.array(group, pa.int64()),
            "x": pa.array(x, pa.string()),
            "y": pa.array(y, pa.bool_()),
            "t": pa.array(t, pa.int64()).cast(pa.timestamp("s")),
            "text": pa.array(text, pa.string()),
        }
    )


def fit(spec, *tables):
    return examine_folds(spec, [FragmentRows(f"f{n}", table) for n, table in enumerate(tables)])[0]


def parts_of(assignment, number, inner=None):
    return np.concatenate([assignment.members(codes, number, inner).parts() for codes in assignment.fragments])


@pytest.mark.parametrize("kind", KINDS)
@settings(max_examples=20)
@given(rows=rows, places=st.lists(st.integers(0, 30), max_size=3))
def test_the_cut_of_the_rows_does_not_matter(kind, rows, places):
    spec, table = spec_of(kind), table_of(rows)
    bounds = [0, *sorted(min(place, len(rows)) for place in places), len(rows)]
    pieces = [table.slice(a, b - a) for a, b in pairwise(bounds)]
    pieced = np.concatenate([codes.layers for codes in fit(spec, *pieces).fragments], axis=1)
    assert np.array_equal(pieced, fit(spec, table).fragments[0].layers)


@pytest.mark.parametrize("kind", KINDS)
@settings(max_examples=20)
@given(rows=rows)
def test_each_row_is_held_out_once_and_never_trained_on_meanwhile(kind, rows):
    spec = spec_of(kind)
    folds = fit(spec, table_of(rows))
    held = "test" if spec.inner else "validation"
    masks = [folds.members(folds.fragments[0], number + 1) for number in range(spec.count)]
    times = np.sum([each.mask(held) for each in masks], axis=0)
    assert times.tolist() == (folds.parts() > 0).astype(int).tolist()
    for number, each in enumerate(masks, start=1):
        assert not (each.mask(held) & each.mask("train")).any()
        for inner in range(1, spec.inner + 1):
            parts = parts_of(folds, number, inner)
            assert np.array_equal(parts == 3, each.mask("test"))
            assert not (each.mask("train") < np.isin(parts, (1, 2))).any()


@pytest.mark.parametrize("kind", HASHED)
@settings(max_examples=20)
@given(rows=rows)
def test_by_hash_whatever_is_not_held_out_is_trained_on(kind, rows):
    spec = spec_of(kind)
    folds = fit(spec, table_of(rows))
    for number in range(1, spec.count + 1):
        assert set(parts_of(folds, number)) <= ({1, 3} if spec.inner else {1, 2})
        for inner in range(1, spec.inner + 1):
            assert set(parts_of(folds, number, inner)) <= {1, 2, 3}


@pytest.mark.parametrize("kind", KINDS)
@settings(max_examples=20)
@given(old=rows, new=rows)
def test_new_rows_never_move_old_ones(kind, old, new):
    first = fit(spec_of(kind), table_of(old))
    known = [OldRows(table_of(old), first.fragments[0].layers)]
    grown = extend_folds(first, [FragmentRows("new", table_of(new, len(old)))], old=known)
    assert np.array_equal(grown.fragments[0].layers, first.fragments[0].layers)
    assert grown.num_rows == len(old) + len(new)


@pytest.mark.parametrize("kind", [kind for kind in HASHED if "group_by" in KINDS[kind]])
@settings(max_examples=25)
@given(old=rows, new=rows)
def test_a_group_is_in_one_fold_and_in_one_inner_fold(kind, old, new):
    spec = spec_of(kind)
    first = fit(spec, table_of(old))
    known = [OldRows(table_of(old), first.fragments[0].layers)]
    grown = extend_folds(first, [FragmentRows("new", table_of(new, len(old)))], old=known)
    layers = np.concatenate([codes.layers for codes in grown.fragments], axis=1)
    for codes in layers.tolist():
        seen = {}
        for (group, x, y, *_), fold in zip(old + new, codes, strict=True):
            keys = [("g", group)] if group is not None else []
            keys += [("xy", x, y)] if len(spec.groups) > 1 and x is not None else []
            for key in keys if fold else []:
                assert seen.setdefault(key, fold) == fold


@settings(max_examples=40)
@given(old=rows, new=rows)
def test_near_duplicates_are_in_one_fold_and_in_one_inner_fold(old, new):
    first = fit(spec_of("near"), table_of(old))
    known = [OldRows(table_of(old), first.fragments[0].layers)]
    grown = extend_folds(first, [FragmentRows("new", table_of(new, len(old)))], old=known)
    layers = np.concatenate([codes.layers for codes in grown.fragments], axis=1)
    texts = [each[-1] for each in old + new]
    for codes in layers.tolist():
        for near in (CHAIN[:2], CHAIN[1:]):
            assert len({fold for text, fold in zip(texts, codes, strict=True) if fold and text in near}) <= 1


@given(st.lists(st.sampled_from("aaaaabbc"), min_size=1, max_size=200), st.integers(2, 7), st.integers(0, 99))
@settings(max_examples=40)
def test_stratified_folds_are_exact_in_each_stratum(labels, k, seed):
    table = pa.table({"id": range(len(labels)), "y": labels})
    spec = FoldSpec("cv", dataset="d", key=["id"], stratify="y", k=k, seed=seed, inner=2)
    folds = fit(spec, table)
    for label in set(labels):
        inside = np.array(labels) == label
        sizes = [int((folds.parts()[inside] == fold).sum()) for fold in range(1, k + 1)]
        assert max(sizes) - min(sizes) <= 1
        for number in range(1, k + 1):
            inner = [int((parts_of(folds, number, n)[inside] == 2).sum()) for n in (1, 2)]
            assert max(inner) - min(inner) <= 1


def test_strata_stay_exact_when_a_few_rows_hang_together():
    count = 3_000
    groups = [n // 3 if n < 300 else None for n in range(count)]
    late = np.arange(count) % 7 == 0
    table = pa.table({"id": range(count), "g": groups, "late": late})
    spec = FoldSpec("cv", dataset="d", key=["id"], group_by=["g"], stratify="late", k=5)
    parts = fit(spec, table).parts()
    for value in (True, False):
        sizes = np.bincount(parts[late == value], minlength=6)[1:]
        assert sizes.max() - sizes.min() <= 1


@given(st.lists(st.integers(0, 10**9), min_size=1, max_size=60, unique=True), st.integers(2, 250))
@settings(max_examples=40)
def test_the_fold_of_a_row_is_where_its_hash_falls(ids, k):
    spec = FoldSpec("cv", dataset="d", key=["id"], k=k)
    hashes = hash_keys([pa.array(ids)], "d/cv/0").tolist()
    assert fit(spec, pa.table({"id": ids})).parts().tolist() == [each * k // 2**64 + 1 for each in hashes]


def test_inner_folds_are_golden_and_do_not_depend_on_the_outer_one():
    table = pa.table({"id": np.arange(20_000)})
    folds = fit(FoldSpec("cv", dataset="d", key=["id"], k=4, inner=5), table)
    layers = folds.fragments[0].layers
    assert ["".join(map(str, layer[:24])) for layer in layers[:3]] == [
        "133331142423123442123241",
        "033320034352043543021550",
        "353234140502501330304024",
    ]
    for number in range(1, 5):
        for other in set(range(1, 5)) - {number}:
            sizes = np.bincount(layers[number][layers[0] == other], minlength=6)
            assert sizes[0] == 0
            assert (np.abs(sizes[1:] / sizes.sum() - 0.2) < 0.03).all()
    assert f"{int(inner_hashes(np.array([5], np.uint64), 2)[0]):016x}" == "aabf994ea27d26c0"


@given(rows=rows, purge=st.integers(0, 4), embargo=st.integers(0, 4), past=st.booleans())
@settings(max_examples=60)
def test_times_near_a_fold_are_not_trained_on(rows, purge, embargo, past):
    edges = [3, 7]
    spec = FoldSpec(
        "cv", dataset="d", by_time="t", purge=f"{purge}s", embargo=f"{embargo}s", past_only=past,
        boundaries=[f"1970-01-01T00:00:0{edge}Z" for edge in edges],
    )  # fmt: skip
    folds = fit(spec, table_of(rows))
    begins, ends = [float("-inf"), *edges], [*edges, float("inf")]
    blocks = list(zip(begins, ends, strict=True))[1 if past else 0 :]
    assert spec.count == len(blocks)
    for number, (begin, end) in enumerate(blocks, start=1):
        expected = []
        for *_, t, _text in rows:
            if t is None:
                expected.append(0)
            elif begin <= t < end:
                expected.append(2)
            elif t < begin:
                expected.append(0 if t >= begin - purge else 1)
            else:
                expected.append(0 if past or t < end + embargo else 1)
        assert parts_of(folds, number).tolist() == expected


def test_folds_by_time_have_as_many_rows_each_and_later_rows_are_in_the_last():
    times = np.random.default_rng(1).permutation(1_000) * HOUR
    folds = fit(FoldSpec("cv", dataset="d", by_time="t", k=5), pa.table({"t": pa.array(times, pa.timestamp("s"))}))
    assert np.bincount(folds.parts()).tolist() == [0, 200, 200, 200, 200, 200]
    assert len(folds.spec.boundaries) == 4
    later = pa.table({"t": pa.array([5_000 * HOUR, -5 * HOUR, None], pa.timestamp("s"))})
    grown = extend_folds(folds, [FragmentRows("new", later)])
    assert grown.parts()[-3:].tolist() == [5, 1, 0]


def test_walk_forward_trains_on_the_past_alone_and_each_fold_has_some():
    times = np.arange(600) * HOUR
    spec = FoldSpec("cv", dataset="d", by_time="t", k=5, past_only=True, purge="3h", inner=2)
    folds = fit(spec, pa.table({"t": pa.array(times, pa.timestamp("s"))}))
    for number in range(1, 6):
        parts = parts_of(folds, number)
        held = np.flatnonzero(parts == 3)
        assert held.tolist() == list(range(100 * number, 100 * (number + 1)))
        assert np.flatnonzero(parts == 1).tolist() == list(range(100 * number - 3))
        for inner in (1, 2):
            inside = parts_of(folds, number, inner)
            assert np.flatnonzero(inside == 1).max() + 3 < np.flatnonzero(inside == 2).min() < 100 * number
            assert np.array_equal(inside == 3, parts == 3)


def test_folds_by_column_have_the_names_of_its_values():
    table = pa.table({"site": ["Oslo", "Bern", None, "Oslo", "Rome"]})
    folds = fit(FoldSpec("cv", dataset="d", by_column="site"), table)
    assert folds.spec.parts == ("Bern", "Oslo", "Rome")
    assert folds.parts().tolist() == [2, 1, 0, 2, 3]
    later = pa.table({"site": ["Rome", "Paris"]})
    assert extend_folds(folds, [FragmentRows("new", later)]).parts()[-2:].tolist() == [3, 0]
    numbers = fit(FoldSpec("cv", dataset="d", by_column="site"), pa.table({"site": [10, 9, -1, 2]}))
    assert numbers.spec.parts == ("-1", "2", "9", "10")


def test_a_small_fold_takes_half_a_byte_a_row_and_a_layer():
    ids = pa.table({"id": np.arange(10_001)})
    for k, inner, size in ((5, 0, 5_001), (5, 3, 6 * 5_001), (16, 0, 10_001)):
        assert 0 < len(fit(FoldSpec("cv", dataset="d", key=["id"], k=k, inner=inner), ids).to_bytes()) - size < 600


@pytest.mark.parametrize("kind", KINDS)
@settings(max_examples=20)
@given(old=rows, new=rows)
def test_folds_survive_being_written(kind, old, new):
    first = fit(spec_of(kind), table_of(old))
    again = FoldAssignment.from_bytes(first.to_bytes())
    assert again.spec == first.spec
    assert again.to_bytes() == first.to_bytes()
    more, known = [FragmentRows("1", table_of(new, len(old)))], [OldRows(table_of(old), first.fragments[0].layers)]
    assert extend_folds(again, more, old=known).to_bytes() == extend_folds(first, more, old=known).to_bytes()


def test_the_format_is_the_one_that_is_written_down():
    spec = FoldSpec("cv", dataset="d", key=["id"], k=3, group_by=["g"], stratify="y")
    table = pa.table({"id": range(5), "g": [1, 1, 2, 3, 4], "y": [True, False, True, True, True]})
    folds = fit(spec, table)
    data = folds.to_bytes()
    size = int.from_bytes(data[8:16], "little")
    header = json.loads(data[16 : 16 + size])
    assert data[:8] == b"FSFOLDS\x01"
    assert header == {"bits": 4, "fragments": [["f0", 5]], "layers": 1, "spec": spec.to_dict(), "units": [4, 0]}
    body = data[16 + size : -8]
    codes = [(body[row // 2] >> (4 * (row % 2))) & 15 for row in range(5)]
    assert codes == folds.parts().tolist()
    units = np.frombuffer(body[3 : 3 + 32], "<u8")
    assert units.tolist() == sorted(hash_keys([pa.array([1, 2, 3, 4])], "d/cv/0").tolist())
    assert set(body[35:]) == set(codes)
    assert data[-8:] == xxhash.xxh3_64_intdigest(data[:-8]).to_bytes(8, "little")


def test_written_folds_are_golden():
    numbers = np.arange(40)
    table = pa.table({"id": numbers, "g": numbers // 2, "x": numbers % 11, "y": numbers % 3 == 0})
    spec = FoldSpec("cv", dataset="d", key=["id"], k=3, inner=2, group_by=["g"], duplicates=["x"], stratify="y", seed=1)
    assert xxhash.xxh3_64_hexdigest(fit(spec, table).to_bytes()) == "7cca9d30245fb446"
    assert spec.hash == "16c85c69e4755b24fe848214483b030cade284a3121a3abcfe153d8330d8607b"


@given(st.data())
@settings(max_examples=40)
def test_any_damaged_byte_is_noticed(data):
    table = pa.table({"id": range(20), "g": [n % 5 for n in range(20)], "y": [n % 2 for n in range(20)]})
    raw = bytearray(fit(FoldSpec("cv", dataset="d", group_by=["g"], stratify="y", k=3), table).to_bytes())
    raw[data.draw(st.integers(0, len(raw) - 1))] ^= data.draw(st.integers(1, 255))
    with pytest.raises(CorruptObjectError):
        FoldAssignment.from_bytes(bytes(raw))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda b: b[:-1], "too early"),
        (lambda b: b + b"\0", "left over"),
        (lambda b: b.replace(b'"bits":4', b'"bits":3'), "of 3 bits"),
        (lambda b: b.replace(b'"layers":1', b'"layers":2'), "2 layers"),
        (lambda b: b.replace(b'"k":3', b'"k":2'), "in a fold above 2"),
        (lambda b: b.replace(b'"folds/v1"', b'"folds/v9"'), "not known"),
    ],
)
def test_what_contradicts_itself_is_refused_though_the_checksum_fits(change, message):
    body = change(fit(FoldSpec("cv", dataset="d", key=["id"], k=3), pa.table({"id": range(30)})).to_bytes()[:-8])
    with pytest.raises(CorruptObjectError, match=message):
        FoldAssignment.from_bytes(body + xxhash.xxh3_64_intdigest(body).to_bytes(8, "little"))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"k": 1}, "k=1 is not a number of folds"),
        ({"k": 251}, "k=251 is not a number of folds"),
        ({"k": True}, "k=True is not"),
        ({"k": 2.5}, "k=2.5 is not"),
        ({"inner": 1}, "inner=1 is not"),
        ({"inner": -1}, "inner=-1 is not"),
        ({"past_only": True}, "belong to folds by time"),
        ({"boundaries": ["2013-01-01"]}, "belong to folds by time"),
        ({"purge": "1d"}, "belong to a split by time"),
        ({"by_column": "x", "stratify": "y"}, "takes no stratify"),
        ({"by_column": "x", "inner": 2}, "no inner folds"),
        ({"by_time": "t", "group_by": ["g"]}, "takes no group_by"),
        ({"by_time": "t", "past_only": 1}, "True or False"),
        ({"by_time": "t", "k": 3, "boundaries": ["2013-01-01"]}, "k=3 folds, but the boundaries make 2"),
        ({"by_time": "t", "boundaries": ["2013-02-01", "2013-01-01"]}, "ascend"),
        ({"by_column": "x", "k": 3, "values": {"1": ["a"], "2": ["b"]}}, "k=3 folds, but values= names 2"),
        ({"values": {"1": ["a"]}}, "by_column"),
        ({"key": []}, "tell rows apart"),
    ],
)
def test_a_contradiction_is_refused_with_a_hint(change, message):
    given_ = {"key": ["id"]} if not {"by_column", "by_time"} & change.keys() else {}
    with pytest.raises(UsageError, match=message) as error:
        FoldSpec("cv", dataset="d", **(given_ | change))
    assert error.value.hint


def test_what_the_data_cannot_give_is_refused_when_folds_are_made():
    few = pa.table({"t": pa.array([1, 1, 1, 2, 2], pa.timestamp("s")), "x": ["a", "b", "c", "a", "b"]})
    with pytest.raises(UsageError, match=r"2 different times among 5 rows.* no 3 blocks"):
        fit(FoldSpec("cv", dataset="d", by_time="t", k=3), few)
    with pytest.raises(UsageError, match="3 values, not k=4"):
        fit(FoldSpec("cv", dataset="d", by_column="x", k=4), few)
    with pytest.raises(UsageError, match="1 values, and there are 2 to 250"):
        fit(FoldSpec("cv", dataset="d", by_column="x"), few.slice(0, 1))
    with pytest.raises(UsageError, match="no rows"):
        fit(FoldSpec("cv", dataset="d", by_time="t", k=3), few.slice(0, 0))
    with pytest.raises(UsageError, match=r"timestamp.*holds text, whole numbers or booleans"):
        fit(FoldSpec("cv", dataset="d", by_column="t"), few)


@pytest.mark.parametrize(("number", "inner"), [(0, None), (4, None), (1, 1)])
def test_a_fold_that_is_not_there_is_answered_with_those_that_are(number, inner):
    folds = fit(FoldSpec("cv", dataset="d", key=["id"], k=3), pa.table({"id": [1]}))
    with pytest.raises(NotFoundError, match=r"has no (inner )?fold") as error:
        folds.members(folds.fragments[0], number, inner)
    assert "folds" in (error.value.hint or "")


def test_folds_of_nothing_are_folds_too():
    for kind in KINDS:
        empty = fit(spec_of(kind), table_of([]))
        assert empty.num_rows == 0
        assert FoldAssignment.from_bytes(empty.to_bytes()).num_rows == 0
        assert fit(spec_of(kind)).parts().tolist() == []
