"""absl flags and help, made from dataclasses of options. No other module knows absl."""

import dataclasses
import re
import textwrap
from collections.abc import Iterator, Sequence
from typing import Any

from absl import flags

from tf_textrnn.base import invocation
from tf_textrnn.base.errors import UserError
from tf_textrnn.base.options import BASIC, SOURCE, CheckedOptions, allowed_values, shown

SOURCE_HEADING = "What the TF1 model and its article need, as in configs/source.flags."
_HELP_WIDTH, _FLAG_WIDTH = 80, 24  # characters


class _BooleanOrWord(flags.BooleanParser):
    """For a flag that stands alone, as a boolean one does, or has a word for its value."""

    def parse(self, argument: str | int) -> bool | str:
        try:
            return super().parse(argument)
        except ValueError:
            return str(argument)


def _define_boolean_or_word(
    name: str, default: bool | str, meaning: str, flag_values: flags.FlagValues
) -> None:
    flag = flags.Flag(
        _BooleanOrWord(), flags.ArgumentSerializer(), name, default, meaning, boolean=True
    )
    flags.DEFINE_flag(flag, flag_values)


_DEFINE = {bool: flags.DEFINE_boolean, str: flags.DEFINE_string, int: flags.DEFINE_integer,
           float: flags.DEFINE_float, bool | str: _define_boolean_or_word}  # fmt: skip


class HelpRequested(Exception):  # noqa: N818 - not an error
    """The command line asks for help, which is this exception's text."""


@dataclasses.dataclass(frozen=True)
class Page:
    """What one command takes, and what its help says.

    Attributes:
      command: its words.
      description: what it does.
      sections: dataclasses whose fields are its flags; their names are unique across sections.
      arguments: what it takes that is no flag, for the usage line; "" = nothing.
    """

    command: str
    description: str
    sections: tuple[type[CheckedOptions], ...]
    arguments: str = ""

    @property
    def fields(self) -> dict[str, dataclasses.Field]:
        """Every option's field by its name."""
        return {
            field.name: field
            for section in self.sections
            for field in dataclasses.fields(section)  # type: ignore[arg-type]
        }


def parse(arguments: Sequence[str], page: Page) -> tuple[dict[str, Any], list[str]]:
    """Reads a command's flags.

    `--flagfile=F` reads more flags from a file, one a line; what follows `--` is no flag.

    Args:
      arguments: the command line after the command's words.
      page: of the command.

    Returns:
      The options given, by name, not yet checked; those left out are absent. And what is no flag.

    Raises:
      HelpRequested: `--help`, or `--helpfull` for every flag.
      UserError: an unknown flag, a value of another type, or an argument that is no flag.
    """
    values = flags.FlagValues()
    values.set_gnu_getopt(True)  # flags may follow texts
    flags.DEFINE_boolean("help", False, "", short_name="h", flag_values=values)
    flags.DEFINE_boolean("helpfull", False, "", flag_values=values)
    for name, field in page.fields.items():
        _DEFINE[field.type](name, field.default, "", flag_values=values)  # type: ignore[index]
    try:
        rest = values([page.command, *arguments])[1:]
    except flags.IllegalFlagValueError as error:
        raise UserError(_illegal_value(str(error), page)) from error
    except (flags.Error, ValueError) as error:
        raise UserError(" ".join(str(error).split())) from error
    if values["help"].value or values["helpfull"].value:
        raise HelpRequested(help_text(page, full=values["helpfull"].value))
    if rest and not page.arguments:
        raise UserError(f"{rest[0]!r} is not a flag; flags look like --name=value")
    return {name: values[name].value for name in page.fields if values[name].present}, rest


def _illegal_value(message: str, page: Page) -> str:
    """absl's message, `flag --name=value: reason`, with what is allowed as the reason."""
    match = re.match(r"flag --(\w+)=(.*?): ", message, re.DOTALL)
    if not match or match[1] not in page.fields:
        return " ".join(message.split())
    return f"flag --{match[1]}={match[2]}: expected {allowed_values(page.fields[match[1]])}"


def option_groups(
    sections: Sequence[type[CheckedOptions]],
) -> Iterator[tuple[str, list[dataclasses.Field]]]:
    """Headings and their fields, section by section; what only the TF1 model needs comes last."""
    of_source: list[dataclasses.Field] = []
    for section in sections:
        fields = dataclasses.fields(section)  # type: ignore[arg-type]
        of_source += [field for field in fields if field.metadata["group"] == SOURCE]
        yield (
            section.__doc__ or "",
            [field for field in fields if field.metadata["group"] != SOURCE],
        )
    if of_source:
        yield SOURCE_HEADING, of_source


def help_text(page: Page, full: bool) -> str:
    """The help of a command.

    Args:
      page: of the command.
      full: show every flag, in groups, with what it allows; else, where some are marked `BASIC`,
        those alone.
    """
    words = [invocation.command_line(page.command), "[--flag=value …]", page.arguments]
    lines = [f"usage: {' '.join(words).strip()}", "", page.description.strip()]
    basic = [field for field in page.fields.values() if field.metadata["group"] == BASIC]
    last = "--flagfile=FILE reads flags from a file, one a line."
    if basic and not full:
        lines += ["", *(line for field in basic for line in _flag_lines(field, allowed=False))]
        last = f"--helpfull shows all {len(page.fields)} flags. {last}"
    else:
        for heading, fields in option_groups(page.sections):
            lines += ["", heading] if len(page.sections) > 1 else [""]
            lines += [line for field in fields for line in _flag_lines(field, allowed=True)]
    return "\n".join([*lines, "", last])


def _flag_lines(field: dataclasses.Field, allowed: bool) -> list[str]:
    meaning = field.metadata["meaning"]
    if allowed and (field.metadata["choices"] or field.type in (int, float)):
        meaning += f" ({allowed_values(field)})"
    flag = f"  --{field.name}={shown(field.default)}"
    text = textwrap.wrap(meaning, _HELP_WIDTH - _FLAG_WIDTH - 2, break_on_hyphens=False)
    if len(flag) > _FLAG_WIDTH:
        return [flag, *(" " * (_FLAG_WIDTH + 2) + line for line in text)]
    firsts = [flag] + [""] * (len(text) - 1)
    return [f"{first:<{_FLAG_WIDTH}}  {line}" for first, line in zip(firsts, text, strict=True)]
