"""The `foldstore` command. stdout is data, stderr is talk; exit codes say what happened.

0 passed, 1 checks ran and failed, 2 usage, 3 could not decide, 4 refused by policy, 70 a fault of ours,
130 interrupted, 141 nobody reads the output any more.
"""

import os
import signal
import sys
from collections.abc import Sequence


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command and end the process with its exit code."""
    given = sys.argv[1:] if arguments is None else arguments
    if [*given[:1]] == ["serve"]:
        _mind_signals()
    from foldstore.cli.app import main as run_and_exit

    run_and_exit(arguments)


def _mind_signals() -> None:
    """Have signals do what a server's do before it serves; the imports to come take a tenth of a second and more."""
    if hasattr(signal, "SIGHUP"):
        signal.signal(signal.SIGHUP, signal.SIG_IGN)  # whoever asks it to begin anew while it begins would end it
    # The first process of a container never hears of a signal that it has no handler for; nothing was begun yet.
    signal.signal(signal.SIGTERM, lambda *_: os._exit(0))
