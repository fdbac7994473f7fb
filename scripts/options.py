"""Prints `docs/options.md`, the tables of all options, from the fields of `Config`."""

import dataclasses

from tf_textrnn.base.flags import option_groups
from tf_textrnn.base.options import BASIC, allowed_values, shown
from tf_textrnn.config import Config


def main() -> None:
    print(
        "# Options\n\nMade by `python scripts/options.py > docs/options.md`. Each is a flag of "
        "`textrnn train` and a key of a run's `config.json`; `textrnn train --help` shows those in "
        "bold, `--helpfull` all."
    )
    sections = [section.default_factory for section in dataclasses.fields(Config)]
    for heading, fields in option_groups(sections):  # type: ignore[arg-type]
        print(f"\n## {heading}\n\n| flag | default | meaning | allowed |\n|---|---|---|---|")
        for field in fields:
            flag = f"`--{field.name}`"
            flag = f"**{flag}**" if field.metadata["group"] == BASIC else flag
            default = shown(field.default)
            print(
                f"| {flag} | {f'`{default}`' if default else ''} | {field.metadata['meaning']} | "
                f"{allowed_values(field)} |"
            )


if __name__ == "__main__":
    main()
