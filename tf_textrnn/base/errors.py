"""What ends a run early, told in one line."""


def printable(text: str) -> str:
    r"""A stranger's text as one line that is fit for a terminal.

    Line ends, control characters, marks of direction and the like are escaped.

    Example:
      >>> printable("a\nb \x1b[2J")
      'a\\nb \\x1b[2J'
    """
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


class UserError(ValueError):
    """A mistake in flags, files, folders or arguments.

    Its text is one line that names the file, line or flag, what was found and what was expected.
    Entry points print it on stderr and exit with status 2; a library's caller catches it as the
    `ValueError` that it is. What a stranger's file puts into it is made fit for a terminal: line
    ends, control characters and the like are escaped.
    """

    def __init__(self, message: str):
        super().__init__(printable(message))


class DivergedError(Exception):
    """Training diverged: it met numbers that are not finite. Exit status 1, in one line."""


class PeerLostError(Exception):
    """Another worker of this training died or hangs. Exit status 75, in one line: restart us."""
