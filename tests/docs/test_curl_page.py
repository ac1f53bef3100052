"""The page on curl: its commands are typed in a shell at a server, and print what the page says."""

import doctest
import re
import shutil
import subprocess

import pytest

import foldstore
from foldstore.api.app import create_app
from foldstore.api.server import BackgroundServer
from foldstore.api.tokens import TokenVault
from tests.docs.test_documentation import FLAGS, ROOT, read_blocks

PAGE = ROOT / "docs" / "how-to" / "use-curl.md"
TYPED = "not run: tests/docs/test_curl_page.py types it"
COMMAND = re.compile(r"^\$ (?P<typed>.*(?:(?<=\\)\n.*)*(?:\n> .*)*)\n(?P<printed>(?:(?!\$ ).*\n)*)", re.MULTILINE)
END = "-- that was it --"

pytestmark = pytest.mark.skipif(
    not all(map(shutil.which, ("bash", "curl", "awk", "seq"))), reason="the page is for a shell with curl"
)


def commands():
    for block in read_blocks(PAGE):
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
    found = list(commands())
    assert len(found) > 40
    with foldstore.connect(tmp_path / "store") as store:
        vault = TokenVault(store.registry("token"))
        for role in ("editor", "steward", "evaluator"):
            (tmp_path / f"{role}.token").write_text(vault.create(role, author="me")[0], encoding="utf-8")
        with BackgroundServer(create_app(store.features, vault, store=store)) as server:
            typed = [re.sub(r"\n> ", "\n", each["typed"]) for each in found]
            assert typed[0] == "URL=http://127.0.0.1:8765"
            printed = type_all([f"URL={server.url}", *typed[1:]], tmp_path)
    told = [(each["typed"], text, each["printed"]) for each, text in zip(found, printed, strict=True)]
    same = doctest.OutputChecker().check_output
    wrong = [f"{typed}\nprints\n{text}\nand not\n{said}" for typed, text, said in told if not same(said, text, FLAGS)]
    assert not wrong, "\n".join(wrong)
