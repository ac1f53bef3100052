"""Items that a thread makes ahead: the same ones, the same errors, and no thread left behind."""

import threading

import pytest

from foldstore.views.rows.ahead import make_ahead


def _threads():
    return [thread for thread in threading.enumerate() if thread.name.startswith("foldstore-ahead")]


def test_items_come_in_their_order_and_are_made_elsewhere():
    def items():
        for number in range(5):
            yield number, threading.current_thread()

    found = list(make_ahead(items()))
    assert [number for number, _ in found] == list(range(5))
    assert threading.current_thread() not in {thread for _, thread in found}
    assert _threads() == []


def test_the_next_one_is_made_while_the_one_before_is_used():
    second = threading.Event()

    def items():
        yield 1
        second.set()
        yield 2

    ahead = make_ahead(items())
    assert next(ahead) == 1
    assert second.wait(10)
    assert list(ahead) == [2]


def test_an_error_is_raised_where_its_item_would_come():
    def items():
        yield 1
        raise KeyError("x")

    ahead = make_ahead(items())
    assert next(ahead) == 1
    with pytest.raises(KeyError):
        next(ahead)
    assert _threads() == []


def test_the_thread_ends_when_nobody_wants_the_rest():
    ahead = make_ahead(iter(range(100)))
    assert next(ahead) == 0
    ahead.close()
    assert _threads() == []
