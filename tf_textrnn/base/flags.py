"""absl flags made from the config's fields. No other module knows absl."""

import dataclasses
import os
import re
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from absl import flags

from tf_textrnn.base import signals
from tf_textrnn.base.errors import DivergedError, PeerLostError, UserError
from tf_textrnn.base.options import allowed_values
from tf_textrnn.config import Config, check_options, option_fields

_DEFINE = {bool: flags.DEFINE_boolean, str: flags.DEFINE_string, int: flags.DEFINE_integer,
           float: flags.DEFINE_float}  # fmt: skip


def parse(argv: Sequence[str], description: str) -> dict[str, Any]:
    """The options given on the command line, by name; those left out are absent.

    `--flagfile=F` reads more flags from a file, one a line. `--help` prints and exits.

    Args:
      argv: the command line, program name first.
      description: what `--help` says above the flags.

    Raises:
      UserError: an unknown flag, a value that is not allowed, or an argument that is no flag.
    """
    defaults = {name: field.default for name, field in option_fields().items()}
    values = _values(argv, defaults, f"{description}\n\n{_help()}")
    given = {name: values[name].value for name in defaults if values[name].present}
    check_options(given)
    return given


def parse_tool(
    argv: Sequence[str], description: str, options: Mapping[str, tuple[Any, str]]
) -> dict[str, Any]:
    """The value of every option of a tool that has flags of its own.

    Args:
      argv: the command line, program name first.
      description: what `--help` says above the flags.
      options: by name, the default, whose type is the option's, and the meaning.

    Raises:
      UserError: as `parse`.
    """
    lines = [f"  --{name}={default}\n      {text}" for name, (default, text) in options.items()]
    defaults = {name: default for name, (default, _) in options.items()}
    values = _values(argv, defaults, "\n".join([description, *lines]))
    return {name: values[name].value for name in options}


def _values(argv: Sequence[str], defaults: Mapping[str, Any], help_text: str) -> flags.FlagValues:
    values = flags.FlagValues()
    flags.DEFINE_boolean("help", False, "show this", short_name="h", flag_values=values)
    for name, default in defaults.items():
        _DEFINE[type(default)](name, default, "", flag_values=values)
    try:
        rest = values(list(argv))[1:]
    except flags.IllegalFlagValueError as error:
        raise UserError(_illegal_value(str(error))) from error
    except (flags.Error, ValueError) as error:
        raise UserError(" ".join(str(error).split())) from error
    if values["help"].value:
        print(help_text)
        sys.exit(0)
    if rest:
        raise UserError(f"{rest[0]!r} is not a flag; flags look like --name=value")
    return values


def _illegal_value(message: str) -> str:
    """absl's message, `flag --name=value: reason`, with what is allowed as the reason."""
    match = re.match(r"flag --(\w+)=(.*?): ", message, re.DOTALL)
    if not match or match[1] not in option_fields():
        return " ".join(message.split())
    return f"flag --{match[1]}={match[2]}: expected {allowed_values(option_fields()[match[1]])}"


def _help() -> str:
    lines = ["--flagfile=FILE", "    read flags from a file, one a line"]
    for section in dataclasses.fields(Config):
        lines.append(f"\n{section.default_factory.__doc__}")
        for field in dataclasses.fields(section.default_factory):  # type: ignore[arg-type]
            shown = str(field.default).lower() if field.type is bool else field.default
            lines.append(f"  --{field.name}={shown}")
            lines.append(f"      {field.metadata['meaning']}")
            lines.append(f"      ({allowed_values(field)})")
    return "\n".join(lines)


def run(
    main: Callable[[dict[str, Any]], None],
    description: str,
    tool_options: Mapping[str, tuple[Any, str]] | None = None,
) -> None:
    """Parses the command line and calls `main` with the options that it gives.

    Args:
      main: the work.
      description: what `--help` says above the flags.
      tool_options: those of `parse_tool`; None = the options of a run, by `parse`.

    Exit status: 0 done; with one line on stderr 2 for what the user can mend, 1 for a training
    that diverged, 75 for a lost worker, 143 or 130 for SIGTERM or Ctrl-C.
    """
    signals.install()
    try:
        if tool_options is None:
            main(parse(sys.argv, description))
        else:
            main(parse_tool(sys.argv, description, tool_options))
    except (UserError, DivergedError) as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2 if isinstance(error, UserError) else 1)
    except PeerLostError as error:
        print(f"error: {error}", file=sys.stderr, flush=True)
        os._exit(75)  # at once: TensorFlow would wait for the lost one
    except signals.Stopped as stopped:
        print(stopped, file=sys.stderr)
        sys.exit(stopped.status)
