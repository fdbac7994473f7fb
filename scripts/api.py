"""Prints `docs/api.md`, the reference of the public names, from their docstrings."""

import functools
import inspect
import re
import textwrap
from typing import Any

import tf_textrnn
from tf_textrnn.api import Run
from tf_textrnn.predictor.explain import Explanation
from tf_textrnn.predictor.predictor import Predictor

PUBLIC = {
    **{f"tf_textrnn.{name}": getattr(tf_textrnn, name) for name in ("TextClassifier", "train")},
    "Run": Run,
    "tf_textrnn.load": tf_textrnn.load,
    "Predictor": Predictor,
    "Explanation": Explanation,
    **{f"tf_textrnn.{name}": getattr(tf_textrnn, name) for name in ("TextRNN", "ModelConfig")},
    "tf_textrnn.Config": tf_textrnn.Config,
}
LISTS = ("Args", "Attributes", "Raises")
SECTION = re.compile(rf"({'|'.join(LISTS)}|Returns|Example):$")


def main() -> None:
    print(
        "# Python\n\nMade by `python scripts/api.py > docs/api.md`. `Run` is what `train` returns, "
        "`Predictor` what `load` returns, `Explanation` what `explain` does."
    )
    for name, thing in PUBLIC.items():
        print(f"\n## `{name}`\n\n{signature(name, thing)}\n\n{markdown(thing)}")
        for member, value in vars(thing).items() if isinstance(thing, type) else ():
            is_property = isinstance(value, (property, functools.cached_property))
            function = getattr(value, "__func__", value)  # of a class method
            if not member.startswith("_") and (is_property or inspect.isfunction(function)):
                print(f"\n### `{name.rpartition('.')[2]}.{member}`\n")
                if not is_property:
                    print(f"{signature(member, function)}\n")
                print(markdown(value))


def signature(name: str, thing: Any) -> str:
    """Returns the signature with its defaults, in a code block."""
    found = inspect.signature(thing)
    parameters = [
        str(parameter.replace(annotation=inspect.Parameter.empty))
        for parameter in found.parameters.values()
        if parameter.name not in ("self", "cls")
    ]
    if any(p.kind is inspect.Parameter.KEYWORD_ONLY for p in found.parameters.values()):
        parameters.insert(0, "*")
    call = ", ".join(parameters).replace("<factory>", "...")
    if len(name + call) > 98:
        call = "\n" + textwrap.indent(textwrap.fill(call, 96), "    ") + "\n"
    return f"```text\n{name}({call})\n```"


def markdown(thing: Any) -> str:
    """Returns the docstring in Markdown, its sections as lists and code blocks."""
    lines, section = [], ""
    for line in inspect.cleandoc(thing.__doc__ or "").splitlines():
        if match := SECTION.match(line):
            section = match[1]
            lines += [f"**{section}**", "", *["```pycon"] * (section == "Example")]
        elif not section or not line:
            lines.append(line)
        elif section in LISTS and re.match(r"  \S", line):
            names, _, meaning = line.strip().partition(": ")
            lines.append(f"- `{names}`: {meaning}")
        else:
            lines.append(line.removeprefix("  "))
    return "\n".join([*lines, *["```"] * (section == "Example")])


if __name__ == "__main__":
    main()
