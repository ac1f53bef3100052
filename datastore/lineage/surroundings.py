"""What a run ran on: the code's revision and the libraries; never environment variables, never arguments."""

import platform
import shutil
import subprocess
import sys
from importlib import metadata
from pathlib import Path
from typing import Any, Final

_GIT_SECONDS: Final = 5
# Reported when installed: what the rows went through.
_ENGINES: Final = ("pyarrow", "numpy", "polars", "duckdb")
# Reported when the process has imported them: what may have learned from the rows. Module, distribution.
_LEARNERS: Final = {
    "pandas": "pandas",
    "scipy": "scipy",
    "sklearn": "scikit-learn",
    "torch": "torch",
    "tensorflow": "tensorflow",
    "jax": "jax",
    "xgboost": "xgboost",
    "lightgbm": "lightgbm",
    "catboost": "catboost",
    "transformers": "transformers",
}


def describe_code(folder: Path | None = None) -> dict[str, Any]:
    """Return the script's name and, in a git work tree, the commit and whether tracked files differ from it.

    Parameters
    ----------
    folder : pathlib.Path, optional
        Where the code lies; the current folder unless given.
    """
    script = Path(sys.argv[0]).name if sys.argv and sys.argv[0] not in ("", "-c", "-m") else None
    try:
        found = _read_git(folder or Path.cwd())
    except OSError:  # the current folder was removed
        found = None
    return {"script": script, **found} if found else {"script": script}


def describe_environment() -> dict[str, Any]:
    """Return the versions of Python, the platform and the libraries that matter to a result."""
    names = [*_ENGINES, *(name for module, name in _LEARNERS.items() if module in sys.modules)]
    libraries = {name: found for name in names if (found := _find_release(name)) is not None}
    return {
        "python": platform.python_version(),
        "implementation": platform.python_implementation(),
        "platform": platform.platform(),
        "foldstore": _find_release("foldstore"),
        "libraries": libraries,
    }


def _find_release(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def _read_git(folder: Path) -> dict[str, Any] | None:
    git = shutil.which("git")
    if git is None:
        return None
    # A repository's own settings may name a program to run (fsmonitor): it is not asked.
    command = [git, "-c", "core.fsmonitor=false", "--no-optional-locks", "-C", str(folder), "status"]
    command += ["--porcelain=v2", "--branch", "--untracked-files=no", "--ignore-submodules=all"]
    try:
        done = subprocess.run(command, capture_output=True, timeout=_GIT_SECONDS, check=False)  # noqa: S603  # no shell
    except (OSError, subprocess.SubprocessError):
        return None
    lines = done.stdout.decode("utf-8", "replace").splitlines()
    commits = [line.removeprefix("# branch.oid ") for line in lines if line.startswith("# branch.oid ")]
    if done.returncode != 0 or not commits or commits[0].startswith("("):  # "(initial)": nothing committed yet
        return None
    return {"commit": commits[0], "dirty": any(not line.startswith("#") for line in lines)}
