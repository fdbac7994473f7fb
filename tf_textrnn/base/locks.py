"""Locks between processes: a file that one process at a time holds, until it ends, however it does.

The system's own locks only. `filelock.FileLock` falls back, where a file system or a Python lacks
them, to a file whose existence is the lock; after a SIGKILL such a file would lock everyone out,
so the native classes are named here and their fallback is off.
"""

import contextlib
import errno
import os
import pathlib
import sys

import filelock

from tf_textrnn.base.errors import UserError

_Lock = filelock.WindowsFileLock if sys.platform == "win32" else filelock.UnixFileLock

# What a lock fails with where there are none; Windows reports them as EINVAL.
_NO_LOCKS = {errno.ENOSYS, errno.ENOLCK, errno.ENOTSUP, errno.EOPNOTSUPP, errno.EINVAL}


def take(path: pathlib.Path, *, wait: bool) -> contextlib.AbstractContextManager:
    """Takes a lock; leaving the block that it is the context of releases it.

    The file stays when the lock is released: if it were removed, one process could lock the
    removed file while another locks a new one of the same name. A link is not followed.

    Args:
      path: the lock's file, made where it is missing; its folder must exist.
      wait: whether to wait for another holder to release it.

    Raises:
      BlockingIOError: another process, or another thread of this one, holds it; not with `wait`.
      UserError: the file system has no locks.
      OSError: the file cannot be opened for writing.
    """
    lock = _Lock(path, thread_local=False, fallback_to_soft=False, preserve_lock_file=True)
    try:
        try:
            return lock.acquire(timeout=0)
        except filelock.Timeout as error:
            # It also stands for a folder that lets no file be made, such as /proc.
            reason = errno.EWOULDBLOCK if path.exists() else errno.ENOENT
            if not wait or reason == errno.ENOENT:
                raise OSError(reason, os.strerror(reason), str(path)) from error
        return lock.acquire()
    except OSError as error:
        if error.errno in _NO_LOCKS:
            raise UserError(
                f"{path}: its file system has no file locks ({error.strerror}), which keep two "
                f"processes from writing there at once; expected a folder on one that has them"
            ) from error
        raise
