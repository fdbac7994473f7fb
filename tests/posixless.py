"""Hides what only POSIX systems have, so that a Linux machine shows which code needs it.

The halves that the standard library and filelock have for POSIX alone are imported before: where
these modules are missing, the same packages bring other halves.
"""

import os
import pathlib
import signal
import sys

MODULES = ("fcntl", "grp", "pwd", "resource", "termios")
OS_NAMES = ("sched_getaffinity", "sync", "sysconf")


def take_away() -> None:
    """Makes the POSIX modules impossible to import in this process."""
    import asyncio  # noqa: F401

    import filelock  # noqa: F401

    for name in MODULES:
        sys.modules[name] = None  # type: ignore[assignment]
    for name in OS_NAMES:
        if hasattr(os, name):
            delattr(os, name)
    if hasattr(signal, "SIGHUP"):
        del signal.SIGHUP


def take_away_from_children(folder: pathlib.Path) -> None:
    """Does the same in every Python that this process starts, unless that has its own path."""
    (folder / "sitecustomize.py").write_text(
        f"import runpy\nrunpy.run_path({__file__!r})['take_away']()\n", encoding="utf-8"
    )
    paths = [str(folder), *filter(None, [os.environ.get("PYTHONPATH")])]
    os.environ["PYTHONPATH"] = os.pathsep.join(paths)
