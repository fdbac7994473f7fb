"""What an option is: a dataclass field with its meaning and bounds. Standard library only."""

import dataclasses
import math
from typing import Any

from tf_textrnn.base.errors import UserError


def option(
    default: Any,
    meaning: str,
    *,
    choices: tuple[str, ...] = (),
    minimum: float | None = None,
    maximum: float | None = None,
    above: float | None = None,
    on_resume: bool = False,
) -> Any:
    """A dataclass field with its documentation and its bounds.

    Args:
      default: the value without a flag; its type is the option's type.
      meaning: one line, with the unit and the off value where there is one.
      choices: the allowed strings; empty allows any.
      minimum: the smallest allowed number.
      maximum: the largest allowed number.
      above: a number that the value must exceed.
      on_resume: whether a resumed run may change it.
    """
    bounds = {"choices": choices, "minimum": minimum, "maximum": maximum, "above": above}
    return dataclasses.field(
        default=default, metadata={"meaning": meaning, "on_resume": on_resume, **bounds}
    )


def allowed_values(field: dataclasses.Field) -> str:
    """What a field accepts, in words: "one of lstm, gru", "a whole number, at least 1"."""
    metadata = field.metadata
    if metadata["choices"]:
        return "one of " + ", ".join(metadata["choices"])
    words = {int: "a whole number", float: "a number", bool: "true or false", str: "a text"}
    parts = [words[field.type]]  # type: ignore[index]
    if metadata["above"] is not None:
        parts.append(f"above {metadata['above']:g}")
    if metadata["minimum"] is not None:
        parts.append(f"at least {metadata['minimum']:g}")
    if metadata["maximum"] is not None:
        parts.append(f"at most {metadata['maximum']:g}")
    return ", ".join(parts)


def _is_allowed(field: dataclasses.Field, value: Any) -> bool:
    metadata = field.metadata
    if field.type is float:
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            return False
        if not math.isfinite(value):
            return False
    elif type(value) is not field.type:
        return False
    if metadata["choices"] and value not in metadata["choices"]:
        return False
    return not (
        (metadata["above"] is not None and value <= metadata["above"])
        or (metadata["minimum"] is not None and value < metadata["minimum"])
        or (metadata["maximum"] is not None and value > metadata["maximum"])
    )


def check_option(field: dataclasses.Field, value: Any) -> None:
    """Checks one option's value.

    Raises:
      UserError: it is not allowed; the flag, the value and what is allowed are named.
    """
    if not _is_allowed(field, value):
        raise UserError(f"flag --{field.name}={value}: expected {allowed_values(field)}")


class CheckedOptions:
    """A dataclass whose fields are options: a value that is not allowed is a `UserError`."""

    def __post_init__(self) -> None:
        for field in dataclasses.fields(self):  # type: ignore[arg-type]
            value = getattr(self, field.name)
            check_option(field, value)
            if field.type is float:
                object.__setattr__(self, field.name, float(value))
