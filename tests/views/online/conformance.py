"""What every online store must do; a class of tests for each is made of this one."""

import random
import threading

import pytest

from foldstore.views.online.store import FoundPushed, NewRow, PushedQuestion, StoredRow, above, pack_times, unpack_order

VIEW, OTHER = b"view-one", b"view-two"
ANNA, BERT = b"a" * 16, b"b" * 16
FIRST, LAST = -(2**63), 2**63 - 1


def row(entity, event, value, created=FIRST):
    return NewRow(entity, pack_times(event, created), value)


def value(found):
    return None if found is None else found.value


class OnlineStoreConformance:
    """A subclass has a fixture `open_store`: each call opens the same rows once more."""

    @pytest.fixture
    def store(self, open_store):
        return open_store()

    def test_the_newest_row_at_or_before_an_instant_is_found(self, store):
        store.write(VIEW, [row(ANNA, 5, b"five"), row(ANNA, 9, b"nine"), row(BERT, 7, b"seven")])
        at = [[value(each) for each in store.find(VIEW, [ANNA, BERT, b"c" * 16], above(t))] for t in (4, 5, 8, 9)]
        assert at == [
            [None, None, None], [b"five", None, None], [b"five", b"seven", None], [b"nine", b"seven", None]
        ]  # fmt: skip

    def test_of_one_instant_created_time_counts_then_the_order_of_writing(self, store):
        store.write(VIEW, [row(ANNA, 5, b"late", created=3)])
        store.write(VIEW, [row(ANNA, 5, b"early", created=2)])
        assert value(store.find(VIEW, [ANNA], above(5))[0]) == b"late"
        store.write(VIEW, [row(ANNA, 5, b"again", created=3)])
        assert value(store.find(VIEW, [ANNA], above(5))[0]) == b"again"

    def test_rows_of_one_write_and_instant_are_one(self, store):
        store.write(VIEW, [row(ANNA, 5, b"zz"), row(ANNA, 5, b"aa")])
        assert [each.value for each in store.rows(VIEW)] == [b"aa"]

    def test_instants_at_the_ends_of_int64_are_instants(self, store):
        store.write(VIEW, [row(ANNA, FIRST, b"first"), row(ANNA, LAST, b"last", created=LAST)])
        found = [store.find(VIEW, [ANNA], above(t))[0] for t in (FIRST, 0, LAST - 1, LAST)]
        assert [each.value for each in found] == [b"first", b"first", b"first", b"last"]
        assert unpack_order(found[-1].order)[:2] == (LAST, LAST)

    def test_views_do_not_see_one_another(self, store):
        store.write(VIEW, [row(ANNA, 5, b"five")])
        assert store.find(OTHER, [ANNA], above(9)) == [None]
        assert (store.count(VIEW), store.count(OTHER)) == (1, 0)
        assert store.clear(OTHER) == 0
        assert store.clear(VIEW) == 1
        assert store.count(VIEW) == 0
        assert store.state(VIEW)[0] is False

    def test_writes_have_growing_numbers(self, store):
        numbers = [store.write(VIEW, [row(ANNA, t, b"x")]) for t in range(3)]
        assert numbers == sorted(set(numbers))
        assert store.mark() == numbers[-1]
        assert [unpack_order(each.order)[2] for each in store.rows(VIEW)] == numbers

    def test_any_bytes_are_a_value(self, store):
        values = [b"", b"\x00", b"\xff" * 40, bytes(range(256))]
        store.write(VIEW, [row(ANNA, t, each) for t, each in enumerate(values)])
        assert [each.value for each in store.rows(VIEW)] == values

    def test_documents_are_kept_once(self, store):
        store.write(VIEW, [row(ANNA, 5, b"x")], {b"schema01": b"one"})
        store.write(VIEW, [row(ANNA, 6, b"x")], {b"schema01": b"two"})
        assert (store.document(b"schema01"), store.document(b"schema02")) == (b"one", None)

    def test_rows_are_removed_one_by_one_and_trims_are_told(self, store):
        store.write(VIEW, [row(ANNA, t, b"%d" % t) for t in range(4)] + [row(BERT, 1, b"b")])
        gone = [(each.entity, each.order) for each in store.rows(VIEW) if each.value in (b"1", b"3", b"b")]
        assert store.trim(VIEW, [*gone, (ANNA, b"\x00" * 24)], known=7) == 3
        assert [each.value for each in store.rows(VIEW)] == [b"0", b"2"]
        assert store.state(VIEW) == (True, 7)
        assert store.trim(VIEW, [(each.entity, each.order) for each in store.rows(VIEW)], known=5) == 2
        assert store.state(VIEW) == (False, 7)
        assert store.find(VIEW, [ANNA, BERT], above(LAST)) == [None, None]

    def test_several_views_are_asked_at_once_as_each_of_them_is(self, store):
        store.write(VIEW, [row(ANNA, t, b"%d" % t) for t in range(4)] + [row(BERT, 1, b"b")])
        store.write(OTHER, [row(ANNA, 2, b"other")])
        store.trim(OTHER, [(each.entity, each.order) for each in store.rows(OTHER)], known=3)
        asked = [
            PushedQuestion(VIEW, [ANNA, BERT, b"c" * 16], above(2)), PushedQuestion(OTHER, [ANNA], above(9)),
            PushedQuestion(VIEW, [], above(9)), PushedQuestion(b"nothing.", [BERT], above(9)),
        ]  # fmt: skip
        wanted = [FoundPushed(store.state(each.view), store.find(*each)) for each in asked]
        assert store.find_all(asked) == wanted
        assert [found.state for found in wanted] == [(True, 0), (False, 3), (True, 0), (False, 0)]
        assert [found.rows[0] and found.rows[0].value for found in wanted[:2]] == [b"2", None]
        assert store.find_all([]) == []

    def test_stores_that_are_open_see_what_another_writes(self, open_store):
        one, other = open_store(), open_store()
        assert one.id == other.id
        assert other.state(VIEW) == (False, 0)
        one.write(VIEW, [row(ANNA, 5, b"five")])
        assert other.state(VIEW) == (True, 0)
        assert other.find(VIEW, [ANNA], above(9)) == one.find(VIEW, [ANNA], above(9))

    def test_threads_write_and_read_at_once(self, store):
        def write(number):
            for t in range(20):
                store.write(VIEW, [row(ANNA, t * 4 + number, b"%d" % number), row(BERT, t * 4 + number, b"x")])
                found = store.find(VIEW, [ANNA, BERT], above(LAST))
                seen.append(found[0] is not None and found[1] is not None)

        seen = []
        threads = [threading.Thread(target=write, args=(number,)) for number in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert seen == [True] * 80
        assert store.count(VIEW) == 160

    @pytest.mark.parametrize("seed", range(6))
    def test_it_does_what_a_sorted_list_does(self, store, seed):
        chance, expected = random.Random(seed), []
        for _ in range(6):
            places = {(chance.choice([ANNA, BERT]), chance.randint(-3, 3), chance.randint(-2, 2)) for _ in range(4)}
            rows = [row(entity, event, b"%d" % event, created) for entity, event, created in places]
            number = store.write(VIEW, rows).to_bytes(8, "big")
            expected += [StoredRow(each.entity, each.times + number, each.value) for each in rows]
        expected.sort()
        assert list(store.rows(VIEW)) == expected
        for at in range(-4, 5):
            found = store.find(VIEW, [ANNA, BERT], above(at))
            for entity, each in zip((ANNA, BERT), found, strict=True):
                known = [one for one in expected if one.entity == entity and unpack_order(one.order)[0] <= at]
                assert each == (known[-1] if known else None)
