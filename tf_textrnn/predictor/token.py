"""The token that requests bear: read from a file or the environment, never from a command line."""

import os
import pathlib

from tf_textrnn.base.errors import UserError

TOKEN = "TEXTRNN_TOKEN"  # environment: the token, where no file holds it


def read_token(token_file: str) -> str:
    """The token of a file, else that of the environment; empty = none.

    Args:
      token_file: its path; empty = none.

    Raises:
      UserError: the file cannot be read, or the token is not one that a header can hold.
    """
    found, source = os.environ.get(TOKEN, ""), TOKEN
    if token_file:
        source = f"--token_file={token_file}"
        if found:
            raise UserError(f"{source}, and {TOKEN}: expected one of them")
        try:
            found = pathlib.Path(token_file).read_text("utf-8").strip()
        except (OSError, UnicodeDecodeError) as error:
            reason = getattr(error, "strerror", None) or "not UTF-8"
            raise UserError(f"{source}: {reason}") from error
        if not found:
            raise UserError(f"{source}: empty; expected a token")
    if not (found.isascii() and found.isprintable()) or " " in found:
        raise UserError(f"{source}: expected a token of printable ASCII without spaces")
    return found
