"""Takes from this process what a query does not need: files, sockets, programs, memory and time without end.

What is taken cannot be had back: limits are lowered for good. It is a second wall. The first is the database, which
is locked; the third is that nothing secret is in here.
"""

import ctypes
import os
import resource
from pathlib import Path
from typing import Final

_NO_NEW_PRIVILEGES: Final = 38  # PR_SET_NO_NEW_PRIVS, linux/prctl.h
_DUMPABLE: Final = 4  # PR_SET_DUMPABLE
_SLACK: Final = 256 << 20  # stacks and arenas: address space that is reserved and not used
_MORE_SECONDS: Final = 2


def lock_down(*, memory: int, seconds: float) -> None:
    """Lower the limits of this process to what a query needs.

    Parameters
    ----------
    memory : int
        Bytes that it may take beyond what it has.
    seconds : float
        Of processor time, beyond what it has used.
    """
    space = _address_space() + memory + _SLACK
    used = resource.getrusage(resource.RUSAGE_SELF)
    processor = int(used.ru_utime + used.ru_stime + seconds) + _MORE_SECONDS
    # The lowest number that a new descriptor would get: from there on there are none, for files, sockets or pipes.
    free = os.dup(0)
    os.close(free)
    for what, limit in (
        (resource.RLIMIT_AS, space),
        (resource.RLIMIT_CPU, processor),
        (resource.RLIMIT_FSIZE, 0),
        (resource.RLIMIT_CORE, 0),
        (resource.RLIMIT_NOFILE, free),
    ):
        resource.setrlimit(what, (limit, limit))
    system = ctypes.CDLL(None, use_errno=True)
    for option, value in ((_NO_NEW_PRIVILEGES, 1), (_DUMPABLE, 0)):
        if system.prctl(option, value, 0, 0, 0) != 0:
            raise OSError(ctypes.get_errno(), "prctl")


def _address_space() -> int:
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[0])
    return pages * os.sysconf("SC_PAGE_SIZE")
