"""What an option is: a dataclass field with its meaning and bounds. Standard library only."""

import dataclasses
import math
import os
import typing
from typing import Any

from tf_textrnn.base.errors import UserError

BASIC = "basic"  # what people set: all that the first screen of help shows
SOURCE = "source"  # what the TF1 model and its article need: the end of help


def option(
    default: Any,
    meaning: str,
    *,
    choices: tuple[bool | str, ...] = (),
    minimum: float | None = None,
    maximum: float | None = None,
    above: float | None = None,
    on_resume: bool = False,
    is_path: bool = False,
    required: bool = False,
    group: str = "",
) -> Any:
    """A dataclass field with its documentation and its bounds.

    Args:
      default: the value without a flag; its type is the option's type.
      meaning: one line, with the unit and the off value where there is one.
      choices: the allowed values; empty allows any of the option's type.
      minimum: the smallest allowed number.
      maximum: the largest allowed number.
      above: a number that the value must exceed.
      on_resume: whether a resumed run may change it.
      is_path: whether it names a file or a folder, in which `~` is the user's home.
      required: whether the empty text is refused.
      group: `BASIC` or `SOURCE` where help does not list it among the rest of its dataclass.
    """
    metadata = {
        "meaning": meaning,
        "choices": choices,
        "minimum": minimum,
        "maximum": maximum,
        "above": above,
        "on_resume": on_resume,
        "is_path": is_path,
        "required": required,
        "group": group,
    }
    return dataclasses.field(default=default, metadata=metadata)


def shown(value: Any) -> str:
    """A value as one writes it in a flag."""
    return str(value).lower() if isinstance(value, bool) else str(value)


def allowed_values(field: dataclasses.Field) -> str:
    """What a field accepts, in words: "one of lstm, gru", "a whole number, at least 1"."""
    metadata = field.metadata
    if metadata["choices"]:
        return "one of " + ", ".join(map(shown, metadata["choices"]))
    words = {int: "a whole number", float: "a number", bool: "true or false", str: "a text"}
    if metadata["is_path"]:
        return "a path"
    parts = [words[field.type]]  # type: ignore[index]
    if metadata["above"] is not None:
        parts.append(f"above {metadata['above']:,}")
    if metadata["minimum"] is not None:
        parts.append(f"at least {metadata['minimum']:,}")
    if metadata["maximum"] is not None:
        parts.append(f"at most {metadata['maximum']:,}")
    return ", ".join(parts)


def _is_allowed(field: dataclasses.Field, value: Any) -> bool:
    metadata = field.metadata
    if field.type is float:
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            return False
        try:
            if not math.isfinite(value):
                return False
        except OverflowError:  # a whole number of over 308 digits
            return False
    elif type(value) not in (typing.get_args(field.type) or [field.type]):
        return False
    if metadata["choices"] and value not in metadata["choices"]:
        return False
    return not (
        (metadata["above"] is not None and value <= metadata["above"])
        or (metadata["minimum"] is not None and value < metadata["minimum"])
        or (metadata["maximum"] is not None and value > metadata["maximum"])
    )


def checked(field: dataclasses.Field, value: Any) -> Any:
    """One option's value, as its dataclass holds it: in a path, `~` becomes the user's home.

    Raises:
      UserError: it is missing or not allowed; the flag, the value and what is allowed are named.
    """
    if field.metadata["required"] and value == "":
        raise UserError(f"--{field.name}: expected {allowed_values(field)}, found nothing")
    if not _is_allowed(field, value):
        raise UserError(f"flag --{field.name}={value}: expected {allowed_values(field)}")
    if field.metadata["is_path"]:
        return os.path.expanduser(value)  # noqa: PTH111
    return float(value) if field.type is float else value


class CheckedOptions:
    """A dataclass whose fields are options; each value is what `checked` makes of it."""

    def __post_init__(self) -> None:
        for field in dataclasses.fields(self):  # type: ignore[arg-type]
            value = checked(field, getattr(self, field.name))
            object.__setattr__(self, field.name, value)
