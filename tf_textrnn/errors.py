"""The one exception for what a user can mend."""


class UserError(Exception):
    """A mistake in flags, files or folders.

    Its text is one line that names the file, line or flag, what was found and what was expected.
    Entry points print it on stderr and exit with status 2.
    """
