"""What a person is told; a terminal that is gone, or cannot show a character, stops no work.

What a stranger's text in it would make a terminal do is escaped.
"""

import contextlib
import os
import re
import sys
from collections.abc import Iterator
from typing import TextIO

from tf_textrnn.base.errors import printable

# Control characters but tabs and line ends, and what turns the direction of a line.
_OBEYED = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069]+")


def show(text: str) -> None:
    """Prints lines on stdout."""
    _print(text, sys.stdout)


def note(text: str) -> None:
    """Prints a line on stderr."""
    _print(text, sys.stderr)


def warn(text: str) -> None:
    """Prints a line on stderr, with the word "warning" before it."""
    _print(f"warning: {text}", sys.stderr)


def shows_bars() -> bool:
    """Whether somebody watches a progress bar, on a terminal or in a notebook."""
    return is_terminal(sys.stderr) or "ipykernel" in sys.modules


def is_terminal(stream: TextIO | None) -> bool:
    """Whether somebody reads a stream as it is written; None is one closed before Python began."""
    return stream is not None and stream.isatty()


def _print(text: str, stream: TextIO | None) -> None:
    if stream is None:  # closed before Python began
        return
    text = _OBEYED.sub(lambda found: printable(found[0]), text)
    try:
        print(text, file=stream, flush=True)
    except UnicodeEncodeError:
        shown = text.encode(stream.encoding, "backslashreplace").decode(stream.encoding)
        _print(shown, stream)
    except (OSError, ValueError):  # a broken pipe, a terminal that has closed, a full disk
        silence(stream)


def silence(stream: TextIO) -> None:
    """Lets all that is still printed to a stream go nowhere, what it holds back included."""
    with contextlib.suppress(OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


@contextlib.contextmanager
def optional(what: str) -> Iterator[None]:
    """Inside, an error costs a warning line that names `what`, and no more."""
    try:
        yield
    except Exception as error:  # whatever it is, a trained model is worth more
        reason = " ".join(str(error).split())[:200]
        warn(f"{what}: left out ({type(error).__name__}: {reason})")
