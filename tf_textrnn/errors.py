"""What ends a run early, told in one line."""


class UserError(Exception):
    """A mistake in flags, files or folders.

    Its text is one line that names the file, line or flag, what was found and what was expected.
    Entry points print it on stderr and exit with status 2.
    """


class DivergedError(Exception):
    """Training lost its way: numbers that are not finite. Exit status 1, in one line."""
