"""The version of the format of a run's files."""

from typing import Any

from tf_textrnn.base.errors import UserError
from tf_textrnn.base.version import __version__

# Of `config.json` and of checkpoints. It rises with a release, not with a commit: 1 is that of 0.1,
# whose files do not carry it.
FORMAT = 2
OLDEST_RESUMABLE = 2  # runs of older formats were trained by another recipe


def check_format(source: str, found: Any, is_resumed: bool = False, newest: int = FORMAT) -> None:
    """Checks that a file's format is one that this program reads.

    Args:
      source: the file's name, for errors.
      found: what the file says; 1 where it says nothing.
      is_resumed: whether the run is to go on, which needs the recipe of today too.
      newest: the newest format of such files.

    Raises:
      UserError: it is newer, not the number of a format, or of a run that cannot go on.
    """
    if type(found) is not int or found < 1:
        raise UserError(f"{source}: expected a format from 1 to {newest}, found {found!r:.40}")
    if found > newest:
        raise UserError(
            f"{source}: its format is {found:,}, which a newer tf_textrnn wrote; this is "
            f"{__version__} and reads up to {newest}; expected a newer tf_textrnn"
        )
    if is_resumed and found < OLDEST_RESUMABLE:
        raise UserError(
            f"{source}: its format is {found}, that of tf_textrnn 0.1, and {__version__} trains by "
            f"another recipe; expected a new run (predict and export still read this one)"
        )
