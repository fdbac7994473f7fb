"""SIGTERM, Ctrl-C and a terminal that closes end a run in good order; a second signal at once.

Outside `deferred()` a signal raises `Stopped` wherever the main thread is: nothing is lost, since
files are written atomically. Inside, it waits until `check()` is called, at a place where the
run's state is consistent and can be saved. SIGHUP, of the terminal, is no second signal: the kernel
and the shell each send one. Nor is any to a process that works for another: where a system ends all
of a group, its parent ends it too. Windows has none, and nothing there sends SIGTERM.
"""

import contextlib
import dataclasses
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from types import FrameType


class Stopped(BaseException):
    """A signal asked for the end. Exit status 128 + its number; this text is stderr's one line.

    Attributes:
      status: the exit status.
      at_once: whether the process is to end without the interpreter's own end, which may block.
    """

    at_once = False

    def __init__(self, number: int, advice: str):
        name = signal.Signals(number).name
        super().__init__(f"stopped by {name}; {advice}" if advice else f"stopped by {name}")
        self.status = 128 + number


@dataclasses.dataclass
class _State:
    received: int = 0
    is_deferred: bool = False
    has_parent: bool = False
    advice: Callable[[], str] = str


_state = _State()
_HANGUP = getattr(signal, "SIGHUP", None)
ENDS_WITH_PARENT = "TEXTRNN_ENDS_WITH_PARENT"  # environment: the parent's process id
_NUMBERS = [signal.SIGTERM, signal.SIGINT, *([_HANGUP] if _HANGUP else [])]


def install() -> None:
    """Handles the signals; one that is ignored, as in a background job or by nohup, stays so."""
    for number in _NUMBERS:
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, _handle)
    if parent := os.environ.pop(ENDS_WITH_PARENT, ""):
        _state.has_parent = True
        threading.Thread(target=_end_with, args=(int(parent),), daemon=True).start()


def _end_with(parent: int) -> None:
    """Sends this process SIGTERM when its parent is gone, which Windows does not tell."""
    while os.getppid() == parent:
        time.sleep(0.5)
    os.kill(os.getpid(), signal.SIGTERM)


@contextlib.contextmanager
def left_to_the_system(seconds: int) -> Iterator[None]:
    """Inside, the system ends the process at a signal, if `install` handles it, or when time is up.

    For what holds the interpreter, whose own handlers cannot run then. At the end they are set
    again, over any that came in between: where workers join, TensorFlow sets one for SIGTERM.

    Args:
      seconds: after which SIGALRM comes, where the system has it.
    """
    ours = [number for number in _NUMBERS if signal.getsignal(number) is _handle]
    has_alarm = bool(ours) and hasattr(signal, "alarm")
    for number in ours:
        signal.signal(number, signal.SIG_DFL)
    if has_alarm:
        signal.alarm(seconds)
    try:
        yield
    finally:
        if has_alarm:
            signal.alarm(0)
        for number in ours:
            signal.signal(number, _handle)


def advise(advice: Callable[[], str]) -> None:
    """Sets what makes the words that the user reads if a signal ends the run: how to go on."""
    _state.advice = advice


def received() -> bool:
    """Returns whether a signal has come."""
    return bool(_state.received)


def check() -> None:
    """Raises `Stopped` if a signal has come."""
    if _state.received:
        stop()


def stop() -> None:
    """Raises `Stopped` for the signal that has come, to this worker or another."""
    raise Stopped(_state.received or signal.SIGTERM, _state.advice())


@contextlib.contextmanager
def deferred() -> Iterator[None]:
    """Makes signals wait for `check()` inside, or for the end of the block."""
    _state.is_deferred = True
    try:
        yield
    finally:
        _state.is_deferred = False
    check()


def _handle(number: int, frame: FrameType | None) -> None:
    if _state.received:
        if number == _HANGUP or _state.has_parent:
            return
        os._exit(128 + number)
    _state.received = number
    if not _state.is_deferred:
        check()
