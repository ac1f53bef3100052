"""The short way of a body and its deadline says what the long way says."""

import asyncio
import json

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from foldstore.api.begun import Begun
from foldstore.api.problem import BodyTimeoutError, MalformedBodyError
from foldstore.api.request_body import Limits, parse_json, read_json_sent

NAMES = st.sampled_from(["a", "b", ":", "a:b", "", "\u00e9", '"', "\\"])
LEAVES = st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.floats(allow_nan=False) | NAMES
VALUES = LEAVES | st.lists(LEAVES, max_size=3) | st.dictionaries(NAMES, LEAVES | st.lists(LEAVES, max_size=3))
MEMBERS = st.lists(st.tuples(NAMES, VALUES), max_size=4)


def _object(members, ascii_only, space):
    parts = [
        json.dumps(name, ensure_ascii=ascii_only) + space + ":" + json.dumps(value, ensure_ascii=ascii_only)
        for name, value in members
    ]
    return ("{" + ",".join(parts) + "}").encode()


@given(MEMBERS, st.booleans(), st.sampled_from(["", " "]))
@example([("a", "x:y"), ("a", "")], False, "")  # one name twice, with a colon in the value that is lost
@example([("a", 2**64)], False, "")
def test_a_body_is_read_as_the_standard_library_reads_it_and_no_name_stands_twice(members, ascii_only, space):
    data = _object(members, ascii_only, space)
    if len(dict(members)) < len(members):
        with pytest.raises(MalformedBodyError, match="twice"):
            parse_json(data)
    else:
        assert repr(parse_json(data)) == repr(json.loads(data))  # 1 is not 1.0, nor true


@pytest.mark.parametrize(
    "text", ['{"a":{"b":1,"b":2}}', '{"a":NaN}', '{"a":"\x01"}', '{"a":1}x', '\ufeff{"a":1}', '{"a":1,}', ""]
)
def test_what_is_not_json_is_refused(text):
    with pytest.raises(MalformedBodyError):
        parse_json(text.encode())


def test_what_is_begun_ends_with_what_it_returns_raises_or_is_called_off_by():
    async def works(wait, raises=None):
        for _ in range(wait):
            await asyncio.sleep(0)
        if raises is not None:
            raise raises
        return "done"

    async def waits_forever(seen):
        try:
            await asyncio.Event().wait()
        finally:
            seen.append("cleaned up")

    async def check():
        assert Begun(works(0)).is_done
        begun = Begun(works(3))
        assert not begun.is_done
        assert await begun == "done"
        assert await begun == begun.result == "done"
        with pytest.raises(KeyError):
            Begun(works(0, KeyError()))
        late = Begun(works(1, KeyError()))
        with pytest.raises(KeyError):
            await late
        seen = []
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0):
                await Begun(waits_forever(seen))
        assert seen == ["cleaned up"]

    asyncio.run(check())


def test_a_body_that_does_not_come_is_given_up_and_one_in_parts_is_whole():
    body = b'{"a": 1}'
    headers = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(body))]
    scope = {"type": "http", "method": "POST", "path": "/", "headers": headers}

    def receiver(parts):
        async def receive():
            if not parts:
                await asyncio.Event().wait()
            await asyncio.sleep(0)
            return {"type": "http.request", "body": parts.pop(0), "more_body": bool(parts)}

        return receive

    async def read(parts, seconds):
        return await read_json_sent(scope, receiver(parts), Limits(body_timeout_seconds=seconds))

    assert asyncio.run(read([body], 60)) == asyncio.run(read([body[:3], body[3:]], 60)) == {"a": 1}
    with pytest.raises(BodyTimeoutError):
        asyncio.run(read([], 0.01))
