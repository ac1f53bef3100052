"""The page on curl, and curl on other pages: commands are typed in a shell at a server, and print what is said."""

import doctest
import re
import shutil
import subprocess
from contextlib import contextmanager

import pytest

import foldstore
from foldstore.api.app import create_app
from foldstore.api.server import BackgroundServer
from foldstore.api.tokens import TokenVault
from tests.docs.test_documentation import FLAGS, ROOT, RUN, is_opted_out, read_blocks, session

__all__ = ["session"]
HOW_TO = ROOT / "docs" / "how-to"
PAGE = HOW_TO / "use-curl.md"
# The folder of the store that each page works on.
BESIDE = {
    "free-space.md": "my_store",
    "erase-rows.md": "shop",
    "freeze-old-versions.md": "archive",
    "verify-a-store.md": "checked",
}
TYPED = "not run: tests/docs/test_curl_page.py types it"
COMMAND = re.compile(r"^\$ (?P<typed>.*(?:(?<=\\)\n.*)*(?:\n> .*)*)\n(?P<printed>(?:(?!\$ ).*\n)*)", re.MULTILINE)
END = "-- that was it --"

pytestmark = pytest.mark.skipif(
    not all(map(shutil.which, ("bash", "curl", "awk", "seq"))), reason="the page is for a shell with curl"
)


def commands(blocks):
    for block in blocks:
        if block.note == TYPED:
            yield from COMMAND.finditer(block.text)


def type_all(typed, folder):
    """Type commands in one shell; return what each printed."""
    script = "".join(f"{each}\necho '{END}'\n" for each in typed)
    done = subprocess.run(
        ["bash", "-c", script],  # noqa: S607  # the machine's own
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.stderr == ""
    return done.stdout.split(f"{END}\n")[:-1]


def test_the_commands_of_the_page_print_what_it_says(tmp_path):
    found = list(commands(read_blocks(PAGE)))
    assert len(found) > 40
    with served(tmp_path / "store", tmp_path) as url:
        typed = [re.sub(r"\n> ", "\n", each["typed"]) for each in found]
        assert typed[0] == "URL=http://127.0.0.1:8765"
        printed = type_all([f"URL={url}", *typed[1:]], tmp_path)
    assert_printed(found, printed)


@pytest.mark.parametrize("name", BESIDE)
def test_what_other_pages_ask_with_curl_prints_what_they_say(name, session, tmp_path):
    ask = next(each["typed"] for each in commands(read_blocks(PAGE)) if each["typed"].startswith("ask()"))
    asked = 0
    for block in read_blocks(HOW_TO / name):
        if block.note == TYPED:
            found = list(commands([block]))
            with served(tmp_path / BESIDE[name], tmp_path) as url:
                printed = type_all([f"URL={url}", ask, *(each["typed"] for each in found)], tmp_path)
            assert_printed(found, printed[2:])
            asked += len(found)
        elif block.language in RUN and not is_opted_out(block):
            session.run(block)
    assert asked


@contextmanager
def served(folder, tokens):
    """Serve a store, with a token of each role in a file."""
    with foldstore.connect(folder) as store:
        vault = TokenVault(store.registry("token"))
        for role in ("viewer", "editor", "steward", "evaluator", "keeper"):
            (tokens / f"{role}.token").write_text(vault.create(role, author="me")[0], encoding="utf-8")
        with BackgroundServer(create_app(store.features, vault, store=store)) as server:
            yield server.url


def assert_printed(found, printed):
    told = [(each["typed"], text, each["printed"]) for each, text in zip(found, printed, strict=True)]
    same = doctest.OutputChecker().check_output
    wrong = [f"{typed}\nprints\n{text}\nand not\n{said}" for typed, text, said in told if not same(said, text, FLAGS)]
    assert not wrong, "\n".join(wrong)
