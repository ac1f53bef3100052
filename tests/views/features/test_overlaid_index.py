"""An index laid over that of other rows finds what a loop over all rows finds, to the row."""

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from foldstore.errors import CorruptObjectError
from foldstore.views.features.index_file import IndexedColumns, open_index, write_index
from foldstore.views.features.overlaid_index import OverlaidIndex
from foldstore.views.features.row_numbers import RowNumbers
from foldstore.views.features.sorted_index import Lookback
from foldstore.views.time_column import to_nanoseconds

UNIT = 10**9
COLUMNS = IndexedColumns(keys={"id": "int64", "name": "string"}, event_time="event", created_time="created")
PLAIN = IndexedColumns(keys={"id": "int64"}, event_time="event", created_time=None)
EVERYBODY = IndexedColumns(keys={}, event_time="event", created_time="created")
ids, times = st.none() | st.integers(0, 2), st.integers(0, 6)
row = st.tuples(ids, st.none() | st.sampled_from("ab"), st.none() | times, st.none() | times)
# A row of the old table that stays, one that goes, one that only the new table has.
history = st.lists(st.tuples(row, st.sampled_from(["stays", "goes", "comes"])), max_size=30)
asking = st.lists(st.tuples(ids, st.none() | st.sampled_from("abc"), st.none() | st.integers(-1, 8)), max_size=20)
lookbacks = st.builds(
    Lookback,
    ttl_nanoseconds=st.sampled_from([0, 2 * UNIT]),
    allow_exact_match=st.booleans(),
    filter_by_created_timestamp=st.booleans(),
)


def as_table(rows):
    key, name, event, created = ([each[n] for each in rows] for n in range(4))
    whole, instant = pa.int64(), pa.timestamp("s")
    times = {"event": pa.array(event, whole).cast(instant), "created": pa.array(created, whole).cast(instant)}
    return pa.table({"id": pa.array(key, whole), "name": pa.array(name, pa.string()), **times})


def loop(rows, columns, asked, rules):
    """Return the row that counts, -1 for none, by the rules as they are written down."""
    best = None
    for number, (key, name, event, created) in enumerate(rows):
        at = asked[2]
        mine = [value for column, value in (("id", key), ("name", name)) if column in columns.keys]
        theirs = [value for column, value in (("id", asked[0]), ("name", asked[1])) if column in columns.keys]
        if None in mine or mine != theirs or event is None or at is None:
            continue
        if event > at or (event == at and not rules.allow_exact_match):
            continue
        if rules.filter_by_created_timestamp and (created is None or created > at):
            continue
        known = 0 if columns.created_time is None or created is None else created + 1
        best = max(best or (event, known, number), (event, known, number))
    if best is None or (rules.ttl_nanoseconds and best[0] * UNIT < asked[2] * UNIT - rules.ttl_nanoseconds):
        return -1
    return best[2]


def lay_over(columns, steps, base):
    old = [each for each, what in steps if what != "comes"]
    new = [each for each, what in steps if what != "goes"]
    gone = np.flatnonzero([what == "goes" for _, what in steps if what != "comes"])
    came = np.flatnonzero([what == "comes" for _, what in steps if what != "goes"])
    thinned = base(as_table(old)).without(columns.read(as_table([old[n] for n in gone]), gone))
    added = columns.build(as_table([new[n] for n in came]), came) if len(came) else None
    return new, OverlaidIndex(as_table(new), columns, thinned, RowNumbers(gone, came), added)


def ask(index, columns, asked, rules):
    table = as_table([(*each, None) for each in asked])
    keys = [table.column(name) for name in columns.keys]
    return index.find_visible(keys, to_nanoseconds(table.column("event")), rules).in_order().tolist()


@pytest.mark.parametrize("columns", [COLUMNS, EVERYBODY], ids=["keys", "no-keys"])
@given(steps=history, asked=asking, rules=lookbacks)
def test_what_is_found_is_what_a_loop_over_all_rows_finds(columns, steps, asked, rules):
    new, index = lay_over(columns, steps, columns.build)
    assert ask(index, columns, asked, rules) == [loop(new, columns, each, rules) for each in asked]


@given(steps=history, asked=asking, exact=st.booleans())
def test_without_created_times_the_row_that_was_written_last_counts(steps, asked, exact):
    rules = Lookback(allow_exact_match=exact)
    new, index = lay_over(PLAIN, steps, PLAIN.build)
    assert ask(index, PLAIN, asked, rules) == [loop(new, PLAIN, each, rules) for each in asked]


@given(steps=history, asked=asking, rules=lookbacks)
def test_an_index_in_parts_is_laid_over_part_by_part(tmp_path_factory, steps, asked, rules):
    path = tmp_path_factory.mktemp("parts") / "index"

    def base(table):
        write_index(table, COLUMNS, path, rows_in_memory=5)
        return open_index(pa.table({}), COLUMNS.keys, path, num_rows=table.num_rows)

    new, index = lay_over(COLUMNS, steps, base)
    assert ask(index, COLUMNS, asked, rules) == [loop(new, COLUMNS, each, rules) for each in asked]


@given(steps=history, asked=asking, rules=lookbacks)
def test_an_index_without_rows_finds_one_entity_at_a_time_as_it_finds_all(steps, asked, rules):
    rows = [each for each, _ in steps]
    gone = np.flatnonzero([what == "goes" for _, what in steps])
    index = COLUMNS.build(as_table(rows))
    for part in (gone[::2], gone[1::2]):  # some, and then others
        index = index.without(COLUMNS.read(as_table([rows[n] for n in part]), part))
    left = [each if what != "goes" else (None,) * 4 for each, what in steps]
    for each in asked:
        expected = loop(left, COLUMNS, each, rules)
        assert ask(index, COLUMNS, [each], rules) == [expected]
        if each[2] is not None:
            one = index.find({"id": each[0], "name": each[1]}, each[2] * UNIT, rules)
            assert (-1 if one.expired else one.row) == expected


def test_rows_that_an_index_does_not_have_cannot_be_taken_out():
    table = as_table([(1, "a", 3, 4), (1, "a", 3, 4), (2, "b", 5, None)])
    index = COLUMNS.build(table)
    for cells, number in ((table.slice(2), 1), (as_table([(1, "a", 2, 4)]), 0), (table.slice(0, 1), 2)):
        with pytest.raises(CorruptObjectError):
            index.without(COLUMNS.read(cells, np.array([number])))


@given(st.lists(st.sampled_from(["stays", "goes", "comes"]), max_size=300))
def test_rows_are_numbered_as_counting_does(steps):
    old = [n for n, what in enumerate(steps) if what != "comes"]
    new = [n for n, what in enumerate(steps) if what != "goes"]
    gone = np.array([place for place, n in enumerate(old) if steps[n] == "goes"], dtype=np.int64)
    came = np.array([place for place, n in enumerate(new) if steps[n] == "comes"], dtype=np.int64)
    stay = [place for place, n in enumerate(old) if steps[n] == "stays"]
    found = RowNumbers(gone, came).renumber(np.array([-1, *stay], dtype=np.int64))
    assert found.tolist() == [-1, *(new.index(old[place]) for place in stay)]
