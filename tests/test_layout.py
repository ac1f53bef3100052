"""The house: links resolve, sizes stay in bounds, `import foldstore` stays light."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
FOLDERS = ("datastore", "validation", "views", "api", "sample_data")
SOURCES = sorted(
    path for folder in ("foldstore", *FOLDERS) for path in (ROOT / folder).rglob("*.py")
    if not any(parent.is_symlink() for parent in path.parents)
)  # fmt: skip
BANNED_NAMES = {"utils", "util", "helpers", "common", "misc", "base", "core"}


@pytest.mark.parametrize("folder", FOLDERS)
def test_each_folder_is_linked_into_the_package(folder):
    link = ROOT / "foldstore" / folder
    assert link.is_symlink(), f"{link} is a copy, not a link"
    assert link.resolve() == ROOT / folder


def _functions(path):
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node


def _size(function):
    body = function.body
    documented = isinstance(body[0], ast.Expr) and isinstance(body[0].value, ast.Constant)
    docstring = body[0].end_lineno - body[0].lineno + 1 if documented else 0
    return function.end_lineno - function.lineno + 1 - docstring


def test_functions_are_short_enough_to_read_at_a_glance():
    sizes = sorted(
        (_size(f), f"{path.relative_to(ROOT)}:{f.name}")
        for path in SOURCES
        if "migrations" not in path.parts  # written by a generator, one statement a table
        for f in _functions(path)
    )
    p90 = sizes[int(len(sizes) * 0.9)][0]
    assert p90 <= 25, f"nine of ten functions have at most {p90} lines, not 25"
    assert sizes[-1][0] <= 75, sizes[-1]


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_a_file_is_one_noun_of_bounded_size(path):
    text = path.read_text(encoding="utf-8")
    assert text.count("\n") <= 600
    assert path.stem not in BANNED_NAMES
    assert ast.get_docstring(ast.parse(text)), "a module says what it is"


def test_a_class_has_at_most_twenty_public_methods():
    for path in SOURCES:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ClassDef):
                public = [
                    n.name
                    for n in node.body
                    if isinstance(n, ast.FunctionDef)
                    and not n.name.startswith("_")
                    and not any("property" in ast.dump(d) for d in n.decorator_list)
                ]
                assert len(public) <= 20, f"{path.name}:{node.name} has {len(public)}"


def _loaded_by(code):
    script = f"import sys; {code}; print(*sorted({{name.partition('.')[0] for name in sys.modules}}))"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    return set(done.stdout.rpartition("\n")[0].rpartition("\n")[2].split())


HEAVY = {"pyarrow", "numpy", "polars", "duckdb", "scipy", "pandera", "sqlalchemy", "alembic", "fastapi", "pydantic"}


def test_importing_foldstore_loads_the_standard_library_alone():
    own = {"foldstore"}
    loaded = _loaded_by("import foldstore") - _loaded_by("pass")
    assert {name for name in loaded if name not in sys.stdlib_module_names} <= own


def test_help_loads_only_what_prints_it():
    code = "from foldstore.cli.app import run; run(['--help'])"
    assert not _loaded_by(code) & HEAVY


def test_every_public_name_can_be_reached():
    import foldstore

    for name in foldstore.__all__:
        assert getattr(foldstore, name) is not None
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        foldstore.nothing  # noqa: B018
