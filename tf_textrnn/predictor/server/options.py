"""What `textrnn serve` is told, by flags."""

import dataclasses
import pathlib

from tf_textrnn.base.errors import UserError
from tf_textrnn.base.options import BASIC, CheckedOptions, option
from tf_textrnn.predictor.token import TOKEN

MIB = 1 << 20
MAX_EXAMPLES = 36


@dataclasses.dataclass(frozen=True)
class ServeOptions(CheckedOptions):
    """What `textrnn serve` is told."""

    model: str = option(
        "",
        "Folder of a run, of its export, or of one version of that; a newer version in it is "
        "loaded and takes over",
        is_path=True,
        required=True,
        group=BASIC,
    )
    port: int = option(
        8501, "Port to listen on; 0 = any that is free", minimum=0, maximum=65_535, group=BASIC
    )
    host: str = option(
        "127.0.0.1",
        "Name or address to listen at; 0.0.0.0 or :: = every address of this machine",
        required=True,
        group=BASIC,
    )
    name: str = option("textrnn", "Name of the model in TF Serving's paths", required=True)
    allowed_hosts: str = option(
        "",
        "Names, separated by commas, that requests may ask for beside localhost, --host and "
        "addresses",
    )
    token_file: str = option(
        "",
        f"File with the token that requests must bear; empty = that of {TOKEN}, or none",
        is_path=True,
    )
    examples: str = option(
        "",
        f"File with texts that the page at / offers, one a line, at most {MAX_EXAMPLES}",
        is_path=True,
    )
    max_body_mib: int = option(4, "MiB of a request", minimum=1, maximum=1_024)
    max_texts: int = option(1_024, "Number of texts in a request", minimum=1)
    max_characters: int = option(100_000, "Number of characters of a text", minimum=1)
    max_waiting: int = option(
        256, "Number of requests under way at a time; more are told to come again", minimum=1
    )
    timeout: float = option(
        30.0, "Seconds for a request, from its headers to its answer", above=0, maximum=3_600
    )
    poll_seconds: float = option(
        1.0, "Seconds between two looks for a newer version", above=0, maximum=86_400
    )

    def read_examples(self) -> tuple[str, ...]:
        """The texts that the page offers, the first ones of the file; empty lines are none.

        Raises:
          UserError: the file cannot be read, or a text is too long to be asked for.
        """
        if not self.examples:
            return ()
        found, source = [], f"--examples={self.examples}"
        try:
            with pathlib.Path(self.examples).open(encoding="utf-8-sig") as file:
                for number, line in enumerate(
                    iter(lambda: file.readline(self.max_characters + 2), ""), start=1
                ):
                    text = line.strip()
                    if len(text) > self.max_characters:
                        raise UserError(
                            f"{source}: line {number} has over {self.max_characters:,} characters; "
                            f"expected at most those of --max_characters"
                        )
                    if text:
                        found.append(text)
                    if len(found) == MAX_EXAMPLES:
                        break
        except (OSError, UnicodeDecodeError) as error:
            reason = getattr(error, "strerror", None) or "not UTF-8"
            raise UserError(f"{source}: {reason}") from error
        if not found:
            raise UserError(f"{source}: no text in it; expected one a line")
        return tuple(found)
