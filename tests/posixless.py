"""Takes away what only POSIX systems have, so that a Linux machine shows what needs it.

The standard library's and filelock's own POSIX halves are imported before: where these modules are
missing, the same packages bring other halves. `python -m tests.posixless FILE` runs a file so.
"""

import os
import signal
import sys

MODULES = ("fcntl", "grp", "pwd", "resource", "termios")
OS_NAMES = ("sched_getaffinity", "sync", "sysconf")


def take_away() -> None:
    """Takes them from this process; imports of the modules fail from now on."""
    import asyncio  # noqa: F401

    import filelock  # noqa: F401

    for name in MODULES:
        sys.modules[name] = None  # type: ignore[assignment]
    for name in OS_NAMES:
        if hasattr(os, name):
            delattr(os, name)
    if hasattr(signal, "SIGHUP"):
        del signal.SIGHUP
