"""The examples in docstrings run, each with `folder` as a fresh place for a store."""

import doctest
from importlib import import_module
from pathlib import Path

import pytest

import foldstore

ROOT = Path(__file__).parents[2]
FOLDERS = ("foldstore", "datastore", "validation", "views", "api", "sample_data")
FLAGS = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE


def _module_name(path):
    parts = path.relative_to(ROOT).with_suffix("").parts
    inside = parts if parts[0] == "foldstore" else ("foldstore", *parts)
    return ".".join(inside[:-1] if inside[-1] == "__init__" else inside)


def _modules_with_examples():
    for folder in FOLDERS:
        for path in sorted((ROOT / folder).rglob("*.py")):
            linked = any(parent.is_symlink() for parent in path.parents)
            if not linked and ">>> " in path.read_text(encoding="utf-8"):
                yield _module_name(path)


@pytest.mark.parametrize("name", list(_modules_with_examples()))
def test_the_examples_in_the_docstrings_of_a_module_run(name, tmp_path):
    said = []
    runner = doctest.DocTestRunner(optionflags=FLAGS, verbose=False)
    for number, test in enumerate(doctest.DocTestFinder().find(import_module(name))):
        test.globs["folder"] = tmp_path / str(number)
        try:
            runner.run(test, out=said.append, clear_globs=False)
        finally:
            for value in list(test.globs.values()):
                if isinstance(value, foldstore.Store):
                    value.close()
    assert not runner.failures, "".join(said)
