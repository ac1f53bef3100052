"""The command's root: its verbs, and how an exception becomes a message and an exit code."""

import os
import re
import sys
import warnings
from collections.abc import Sequence
from typing import Annotated

import typer

import foldstore
from foldstore.cli import (
    audit,
    bias,
    care,
    changes,
    cleaning,
    datasets,
    drift,
    erasure,
    export,
    feasibility,
    history,
    judgement,
    lineage,
    monitors,
    pool_asking,
    pool_ending,
    pools,
    profiles,
    queries,
    refs,
    reviews,
    schemas,
    serving,
    splits,
    story,
    streams,
    tiers,
    transforms,
    upkeep,
    views,
)
from foldstore.cli.following import FollowedWork
from foldstore.cli.output import say
from foldstore.errors import FoldstoreError
from foldstore.work import FOLLOWED

# What others call a verb, and people type: `foldstore append` says where the verb is.
OTHER_WORDS = {
    **dict.fromkeys(("add", "append", "import", "load", "put", "upsert"), "ingest"),
    **dict.fromkeys(("create", "new"), "init, or for a dataset: ingest NAME FILE --create"),
    **dict.fromkeys(("query", "select"), "sql"),
    **dict.fromkeys(("list", "datasets"), "ls"),
    **dict.fromkeys(("rollback", "revert"), "restore"),
    **dict.fromkeys(("history", "versions"), "log"),
    **dict.fromkeys(("cat", "head", "read", "download"), "sql, or export for a file"),
    **dict.fromkeys(("accept", "infer"), "schema accept, schema infer"),
    **dict.fromkeys(("release", "reject", "quarantine"), "review"),
    **dict.fromkeys(("apply", "push", "lookup", "plan"), "features"),
    **dict.fromkeys(("seal", "evaluate"), "pool"),
    **dict.fromkeys(("server", "start"), "serve"),
}
_NO_COMMAND = re.compile(r"No such command '([^']*)'")
_BUG_EXIT = 70
_INTERRUPTED_EXIT = 130
_UNREAD_EXIT = 141  # what a shell says of a program that died of SIGPIPE

app = typer.Typer(
    name="foldstore",
    no_args_is_help=True,
    add_completion=True,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog="Every command takes --store FOLDER or a server's URL, or FOLDSTORE_STORE; begin with: foldstore demo",
)


def _show_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"foldstore {foldstore.__version__}")
        raise typer.Exit


@app.callback()
def root(
    version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Print the version and stop.")
    ] = False,
) -> None:
    """Versioned Arrow datasets, SQL, schemas that gate, splits, sealed test pools, features and their server."""


datasets.register(app)
changes.register(app)
cleaning.register(app)
refs.register(app)
streams.register(app)
care.register(app)
history.register(app)
profiles.register(app)
schemas.register(app)
judgement.register(app)
drift.register(app)
reviews.register(app)
monitors.register(app)
bias.register(app)
feasibility.register(app)
queries.register(app)
export.register(app)
splits.register(app)
views.register(app)
lineage.register(app)
transforms.register(app)
pools.register(app)
pool_asking.register(app)
pool_ending.register(app)
erasure.register(app)
tiers.register(app)
upkeep.register(app)
serving.register(app)
audit.register(app)
story.register(app)


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command and end the process with its exit code."""
    code = run(arguments)
    if code in (_UNREAD_EXIT, _BUG_EXIT):
        nowhere = os.open(os.devnull, os.O_WRONLY)
        for number in (1, 2):  # the interpreter writes what is left at its end, and would complain
            os.dup2(nowhere, number)
    sys.exit(code)


def run(arguments: Sequence[str] | None = None) -> int:
    """Run the command and return its exit code."""
    try:
        code = _run(arguments)
        if sys.stdout is not None:  # it was closed
            sys.stdout.flush()
    except BrokenPipeError:  # the reader of a pipe went away, as `| head` does
        return _UNREAD_EXIT
    except SystemExit as left:
        if isinstance(left.__context__, BrokenPipeError):  # typer hears of it first, and says 1
            return _UNREAD_EXIT
        raise
    except OSError as error:  # the disk under what stdout goes to is full
        return _report_other(error)
    return code


def _run(arguments: Sequence[str] | None) -> int:
    followed = FOLLOWED.set(FollowedWork)
    try:
        with warnings.catch_warnings():
            warnings.showwarning = _show_warning
            code = app(list(arguments) if arguments is not None else None, standalone_mode=False)
    except FoldstoreError as error:
        _say(f"error[{error.code}]: {error.message}", error.hint)
        return error.exit_code
    except (KeyboardInterrupt, typer.Abort):
        _say("Interrupted; whatever was not committed is gone.", None)
        return _INTERRUPTED_EXIT
    except BrokenPipeError:
        raise
    except Exception as error:  # noqa: BLE001  # the last line of defence: an exit code of its own
        return _report_other(error)
    finally:
        FOLLOWED.reset(followed)
    return code if isinstance(code, int) else 0


def _show_warning(message: Warning | str, *_where: object, **_more: object) -> None:
    """Say a warning as the command says things: where in the library it arose helps nobody who types."""
    say(f"warning: {message}")


def _report_other(error: Exception) -> int:
    show = getattr(error, "show", None)
    if callable(show):  # a usage error of the command line itself
        show()
        unknown = _NO_COMMAND.match(str(getattr(error, "message", "")))
        at_the_root = getattr(getattr(error, "ctx", None), "parent", None) is None
        if unknown and at_the_root and unknown[1] in OTHER_WORDS:
            say(f"  hint: Here it is foldstore {OTHER_WORDS[unknown[1]]}.")
        return int(getattr(error, "exit_code", 2))
    if os.environ.get("FOLDSTORE_DEBUG"):
        raise error
    _say(
        f"error[bug]: {type(error).__name__}: {error}", "Set FOLDSTORE_DEBUG=1 for the traceback, and please report it."
    )
    return _BUG_EXIT


def _say(message: str, hint: str | None) -> None:
    say(message)
    if hint:
        say(f"  hint: {hint}")
