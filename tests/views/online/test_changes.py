"""Changes laid over a file answer as a file that is made anew does."""

import itertools

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from foldstore.datastore.files import LocalFiles
from foldstore.views.online.changes import MOST_FILES, Laying, SourceChanges, fits, lay_changes
from foldstore.views.online.layered import LayeredReader
from foldstore.views.online.reader import OnlineReader
from tests.views.online.rides import SECOND, TYPES, driver_view, open_view, ride_table

VIEW = driver_view("3s")
DRIVERS = ["a", "b", "Zoë"]
ROW = st.fixed_dictionaries(
    {
        "driver": st.sampled_from([*DRIVERS, None]),
        "ts": st.none() | st.integers(0, 6),
        "created": st.none() | st.integers(0, 3),
        "x": st.none() | st.integers(-(2**63), 2**63 - 1),
        "s": st.none() | st.text(max_size=3),
        "d": st.none() | st.floats(),
    }
)


def lay(base, added, removed, folder, *, unique):
    changes = SourceChanges(ride_table(added), ride_table(removed), unique)
    assert fits(changes, base)
    names = lay_changes(changes, Laying(base, folder, ["rides@2"], LocalFiles()))
    return LayeredReader((base.files[0], *(OnlineReader(folder / name) for name in names)))


def answers(reader, view=VIEW):
    """Everything that is known at every instant, by search and by single rows."""
    asked = [*DRIVERS, None, "nobody"] * 3
    found = []
    for at in range(8):
        got = reader.search([asked], at * SECOND)
        group_layers = got.layers or (reader,)
        held = got.layer_of or [0] * len(asked)
        values = [
            [group_layers[layer].cells[name].one(row) if row >= 0 else None for name in TYPES]
            for layer, row in zip(held, got.rows, strict=True)
        ]
        look = reader.prepare_row(["driver"], list(TYPES))
        for driver, value, time, status in zip(asked, values, got.event_times, got.statuses, strict=True):
            one = look({"driver": driver}, at * SECOND)
            assert repr(one) == repr((value, time, status))
        found.append((repr(values), got.event_times, got.statuses))
    return found


@settings(max_examples=25, deadline=None)
@given(st.lists(st.lists(ROW, max_size=6), min_size=1, max_size=MOST_FILES + 3))
def test_rows_appended_one_lot_after_another_answer_as_all_of_them_at_once(tmp_path_factory, lots):
    folder = tmp_path_factory.mktemp("online")
    base = LayeredReader((open_view(ride_table(lots[0]), VIEW, folder),))
    for number, lot in enumerate(lots[1:], start=2):
        base = lay(base, lot, [], folder, unique=False)
        whole = [row for each in lots[:number] for row in each]
        assert answers(base) == answers(open_view(ride_table(whole), VIEW, folder))
    assert len(base.files) <= MOST_FILES + 1


KEYED = st.dictionaries(
    st.tuples(st.sampled_from(DRIVERS), st.integers(0, 6)),
    st.fixed_dictionaries({"x": st.none() | st.integers(0, 9), "created": st.none() | st.integers(0, 3)}),
    max_size=12,
)


@settings(max_examples=25, deadline=None)
@given(st.lists(KEYED, min_size=2, max_size=MOST_FILES + 3))
def test_corrected_and_deleted_rows_answer_as_a_new_file_does(tmp_path_factory, states):
    folder = tmp_path_factory.mktemp("online")
    tables = [[{"driver": driver, "ts": ts, **rest} for (driver, ts), rest in state.items()] for state in states]
    base = LayeredReader((open_view(ride_table(tables[0]), VIEW, folder),))
    for before, after in itertools.pairwise(tables):
        removed = [row for row in before if row not in after]
        added = [row for row in after if row not in before]
        base = lay(base, added, removed, folder, unique=True)
        assert answers(base) == answers(open_view(ride_table(after), VIEW, folder))


def test_a_row_that_is_gone_uncovers_the_one_before_it(tmp_path):
    rows = [{"driver": "a", "ts": 1, "x": 1}, {"driver": "a", "ts": 2, "x": 2}]
    base = LayeredReader((open_view(ride_table(rows), VIEW, tmp_path),))
    over = lay(base, [], rows[1:], tmp_path, unique=True)
    look = over.prepare_row(["driver"], ["x"])
    assert look({"driver": "a"}, 3 * SECOND) == ([1], SECOND, "PRESENT")


def test_rows_gone_from_a_source_that_is_not_unique_need_a_new_file(tmp_path):
    base = LayeredReader((open_view(ride_table([{"driver": "a", "ts": 1}]), VIEW, tmp_path),))
    gone = ride_table([{"driver": "a", "ts": 1}])
    assert not fits(SourceChanges(ride_table([]), gone, unique=False), base)
    assert fits(SourceChanges(ride_table([]), gone, unique=True), base)


def test_a_feature_of_another_type_needs_a_new_file(tmp_path):
    base = LayeredReader((open_view(ride_table([]), VIEW, tmp_path),))
    table = ride_table([{"driver": "a", "ts": 1, "x": 1}])
    wider = table.set_column(table.column_names.index("x"), "x", pa.array([1.0]))
    assert not fits(SourceChanges(wider, ride_table([]), unique=True), base)


def test_many_changes_need_a_new_file(tmp_path):
    base = LayeredReader((open_view(ride_table([]), VIEW, tmp_path),))
    assert not fits(SourceChanges(ride_table([{"driver": "a", "ts": 1}] * 1_001), ride_table([]), unique=True), base)


@pytest.mark.parametrize("created", [None, 5])
def test_a_row_written_down_earlier_does_not_take_the_place_of_a_later_one(tmp_path, created):
    base = LayeredReader((open_view(ride_table([{"driver": "a", "ts": 1, "created": 3, "x": 1}]), VIEW, tmp_path),))
    over = lay(base, [{"driver": "a", "ts": 1, "created": created, "x": 2}], [], tmp_path, unique=False)
    look = over.prepare_row(["driver"], ["x"])
    assert look({"driver": "a"}, SECOND)[0] == [1 if created is None else 2]
