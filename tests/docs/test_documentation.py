"""The documentation says what is true: its examples run, its links resolve, every public name is in it."""

import contextlib
import doctest
import io
import re
import shlex
from dataclasses import dataclass
from pathlib import Path

import pytest

import foldstore
from foldstore.cli.app import run

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / name for name in ("README.md", "CHANGELOG.md", "sample_data/README.md")]
PAGES += sorted((ROOT / "docs").rglob("*.md"))
IDS = [str(page.relative_to(ROOT)) for page in PAGES]
FLAGS = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE
RUN = ("python", "pycon", "console")

_FENCE = re.compile(
    r"^(?:<!-- (?P<note>[^\n]*) -->\n)?```(?P<language>\w*)\n(?P<text>.*?)^```$", re.DOTALL | re.MULTILINE
)
_LINK = re.compile(r"\[[^\]]*\]\((?P<target>[^)\s]+)\)")
_TIME = re.compile(r"\b\d+\.\d+ s\b")


@dataclass(frozen=True)
class Block:
    """A fenced piece of a page: its language, its text, where it begins, and the comment before it."""

    language: str
    text: str
    where: str
    line: int
    note: str


def read_blocks(page):
    text = page.read_text(encoding="utf-8")
    for found in _FENCE.finditer(text):
        line = text.count("\n", 0, found.start("text")) + 1
        where = f"{page.relative_to(ROOT)}:{line}"
        yield Block(found["language"], found["text"], where, line, found["note"] or "")


def is_opted_out(block):
    return block.note.startswith("not run: ") and len(block.note) > len("not run: because")


class Session:
    """Runs the blocks of one page in one namespace and one folder, as a reader would who follows it."""

    def __init__(self, monkeypatch):
        self._monkeypatch = monkeypatch
        self._code = 0
        self.names = {"__name__": "__main__"}

    def run(self, block):
        getattr(self, f"_run_{block.language}")(block)

    def close(self):
        for value in list(self.names.values()):
            if isinstance(value, foldstore.Store):
                value.close()

    def _run_python(self, block):
        padded = "\n" * (block.line - 1) + block.text
        exec(compile(padded, block.where, "exec"), self.names)  # noqa: S102  # our own pages

    def _run_pycon(self, block):
        test = doctest.DocTestParser().get_doctest(block.text, self.names, block.where, block.where, block.line - 1)
        test.globs = self.names  # get_doctest copies: what a block defines is there for the next
        said = []
        runner = doctest.DocTestRunner(optionflags=FLAGS, verbose=False)
        runner.run(test, out=said.append, clear_globs=False)
        assert not runner.failures, "".join(said)

    def _run_console(self, block):
        commands = re.findall(r"^\$ (.*)\n((?:(?!\$ ).*\n)*)", block.text, re.MULTILINE)
        wanted = [int(code) for code in block.note.removeprefix("exit: ").split(",")] if "exit: " in block.note else []
        codes = wanted or [0] * len(commands)
        for (command, expected), code in zip(commands, codes, strict=True):
            found, output = self._type(command)
            assert found == code, f"{block.where}: `{command}` exits with {found}, not {code}:\n{output}"
            example = doctest.Example(command, _TIME.sub("T s", expected))
            output = _TIME.sub("T s", output)
            if expected and not doctest.OutputChecker().check_output(example.want, output, FLAGS):
                raise AssertionError(f"{block.where}: `{command}` prints\n{output}and not\n{expected}")

    def _type(self, command):
        name, *words = shlex.split(command)
        if command == "echo $?":
            return 0, f"{self._code}\n"
        if name == "export":
            self._monkeypatch.setenv(*words[0].split("=", 1))
            return 0, ""
        assert name == "foldstore", f"{command!r} cannot be run here: say why in a comment, <!-- not run: ... -->"
        words, target = (words[:-2], words[-1]) if words[-2:-1] == [">"] else (words, None)
        data, talk = io.StringIO(), io.StringIO()
        with contextlib.redirect_stdout(data if target else talk), contextlib.redirect_stderr(talk):
            self._code = run(words)
        if target:
            Path(target).write_text(data.getvalue(), encoding="utf-8")
        return self._code, talk.getvalue()


@pytest.fixture
def session(tmp_path, monkeypatch):
    (tmp_path / "sample_data").symlink_to(ROOT / "sample_data")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "110")
    monkeypatch.setenv("NO_COLOR", "1")
    opened = Session(monkeypatch)
    yield opened
    opened.close()


@pytest.mark.parametrize("page", PAGES, ids=IDS)
def test_the_examples_of_a_page_run_in_the_order_in_which_they_are_read(page, session):
    for block in read_blocks(page):
        if block.language in RUN and not is_opted_out(block):
            session.run(block)


@pytest.mark.parametrize("page", PAGES, ids=IDS)
def test_a_block_that_is_not_run_has_its_reason_before_it(page):
    text = page.read_text(encoding="utf-8")
    assert len(list(read_blocks(page))) * 2 == len(re.findall(r"^\s*```", text, re.MULTILINE)), "a fence is not closed"
    for block in read_blocks(page):
        if block.note.startswith("not run"):
            assert is_opted_out(block), f"{block.where}: the comment gives no reason"
        assert block.language, f"{block.where}: the fence names no language"


@pytest.mark.parametrize("page", PAGES, ids=IDS)
def test_every_link_inside_the_repository_resolves(page):
    text = re.sub(r"^```.*?^```$|`[^`\n]*`", "", page.read_text(encoding="utf-8"), flags=re.DOTALL | re.MULTILINE)
    for link in _LINK.finditer(text):
        if "://" in link["target"]:
            continue
        path, _, anchor = link["target"].partition("#")
        target = (page.parent / path).resolve() if path else page
        assert target.exists(), f"{page.relative_to(ROOT)} links to {link['target']}"
        assert target.is_relative_to(ROOT), f"{page.relative_to(ROOT)} links out of the repository"
        assert not anchor or anchor in anchors(target), f"{page.relative_to(ROOT)}: no heading {link['target']}"


def anchors(page):
    headings = re.findall(r"^#+ (.*)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).strip().replace(" ", "-") for heading in headings}


def test_every_page_is_reached_from_the_index():
    index = ROOT / "docs" / "index.md"
    linked = {(index.parent / link["target"]).resolve() for link in _LINK.finditer(index.read_text(encoding="utf-8"))}
    assert [page for page in PAGES if page != index and page not in linked] == []


@pytest.mark.parametrize("name", sorted(foldstore.__all__))
def test_every_public_name_is_in_the_documentation(name):
    pages = [page for page in PAGES if page.name != "CHANGELOG.md"]
    assert any(re.search(rf"\b{name}\b", page.read_text(encoding="utf-8")) for page in pages)
