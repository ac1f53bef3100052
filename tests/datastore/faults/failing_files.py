"""A file system that fails: the nth act on it, with the error that a disk would give."""

import errno
import os

from foldstore.datastore.files import HashingFile, LocalFiles

# What each act may meet.
ERRORS = {
    "mkdir": (errno.ENOSPC, errno.EACCES),
    "create": (errno.ENOSPC, errno.EACCES, errno.EMFILE),
    "write": (errno.ENOSPC, errno.EIO),
    "fsync": (errno.EIO, errno.ENOSPC),
    "link": (errno.EACCES, errno.EMLINK, errno.ENOSPC),
    "sync": (errno.EIO,),
}


class Trouble:
    """Counts acts, and fails one of them; none when `nth` is 0.

    Attributes
    ----------
    acts : list of str
        What was asked for.
    """

    def __init__(self, nth=0):
        self.nth = nth
        self.acts = []

    def meet(self, act):
        """Count an act; raise when it is its turn."""
        self.acts.append(act)
        if len(self.acts) == self.nth:
            kinds = ERRORS[act]
            code = kinds[self.nth % len(kinds)]
            raise OSError(code, os.strerror(code))


class _File(HashingFile):
    def __init__(self, path, trouble):
        trouble.meet("create")
        self._trouble = trouble
        super().__init__(path)

    def write(self, data):
        self._trouble.meet("write")
        return super().write(data)

    def finish(self):
        try:
            self._trouble.meet("fsync")
        except OSError:
            self.close()  # what is tested is the store, not whether a test leaves a file open
            raise
        return super().finish()


class FailingFiles(LocalFiles):
    """The local file system, with trouble."""

    def __init__(self, root, trouble):
        super().__init__(root)
        self._trouble = trouble

    def _make_one(self, folder):
        self._trouble.meet("mkdir")
        super()._make_one(folder)

    def create(self, path):
        return _File(path, self._trouble)

    def link(self, source, target):
        self._trouble.meet("link")
        return super().link(source, target)

    def sync_folders(self, folders):
        self._trouble.meet("sync")
        super().sync_folders(folders)


def choose(acts, *, every):
    """Return which acts to fail: each one, or, of acts of one kind in a row, the first and the last."""
    edges = [n for n, act in enumerate(acts) if every or act not in acts[n - 1 : n] or act not in acts[n + 1 : n + 2]]
    return [n + 1 for n in edges]
