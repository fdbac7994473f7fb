"""How a process of this package ends: one line on stderr, and a status that says why."""

import errno
import os
import sys
from collections.abc import Callable
from typing import NoReturn

from tf_textrnn.base import signals
from tf_textrnn.base.errors import DivergedError, PeerLostError, UserError
from tf_textrnn.base.terminal import note, silence

USER_ERROR, DIVERGED, PEER_LOST = 2, 1, 75  # exit statuses; of a signal it is 128 + its number


def end_with(work: Callable[[], None]) -> NoReturn:
    """Does the work of this process, with signals handled, and ends with its status."""
    signals.install()
    if sys.stdout is not None:  # it is None where it was closed before we began
        sys.stdout.reconfigure(encoding="utf-8")  # type: ignore[union-attr]
    sys.exit(status_of(work))


def status_of(work: Callable[[], None]) -> int:
    """Does the work of a process.

    Returns:
      The exit status: 0 done; with one line on stderr 2 for what the user can mend, 1 for a
      training that diverged, 130, 143 or 129 for Ctrl-C, SIGTERM or SIGHUP. A lost worker ends
      the process at once, with status 75.
    """
    try:
        work()
        if sys.stdout is not None:
            sys.stdout.flush()
    except BrokenPipeError:  # the reader has enough, as `head` does
        silence(sys.stdout)
    except OSError as error:
        if error.filename or error.errno != errno.ENOSPC:
            raise
        silence(sys.stdout)
        note(f"error: the output: cannot be written ({error.strerror})")
        return USER_ERROR
    except (UserError, DivergedError) as error:
        note(f"error: {error}")
        return USER_ERROR if isinstance(error, UserError) else DIVERGED
    except PeerLostError as error:
        note(f"error: {error}")
        os._exit(PEER_LOST)  # at once: TensorFlow would wait for the lost one
    except signals.Stopped as stopped:
        note(str(stopped))
        if stopped.at_once:
            os._exit(stopped.status)
        return stopped.status
    return 0
