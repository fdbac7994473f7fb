"""Waiting for what blocks, in a way that a person can follow and a signal can end."""

import threading
import time
from collections.abc import Callable
from typing import TypeVar

from tf_textrnn.base.errors import PeerLostError
from tf_textrnn.base.terminal import show

SAY_AFTER, SAY_EVERY = 10.0, 60.0  # seconds of waiting

T = TypeVar("T")


def call(
    work: Callable[[], T], seconds: float, waiting: Callable[[], str], late: Callable[[], str]
) -> T:
    """Calls `work` in a thread, so that signals are obeyed while it blocks.

    Args:
      work: what blocks.
      seconds: to wait for it at most; its thread goes on then.
      waiting: the line to print while it takes long.
      late: the line of the error.

    Returns:
      What it returns.

    Raises:
      PeerLostError: it takes longer.
      Exception: what it raises.
    """
    returned: list[T] = []
    raised: list[BaseException] = []

    def run() -> None:
        try:
            returned.append(work())
        except BaseException as error:
            raised.append(error)

    begun = time.monotonic()
    say_at = begun + SAY_AFTER
    thread = threading.Thread(target=run, name="joining", daemon=True)
    thread.start()
    while thread.is_alive():
        thread.join(0.1)
        now = time.monotonic()
        if now > begun + seconds:
            raise PeerLostError(late())
        if now > say_at:
            show(f"{waiting()}, for {now - begun:.0f} s")
            say_at += SAY_EVERY
    if raised:
        raise raised[0]
    return returned[0]
