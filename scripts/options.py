"""Prints the table of all options, `docs/options.md`, from the config's fields."""

import dataclasses

from tf_textrnn.base.options import allowed_values
from tf_textrnn.config import Config


def main() -> None:
    print(
        "# Options\n\nMade by `python scripts/options.py > docs/options.md`; each is a flag of "
        "`train.py` and a key of a run's `config.json`."
    )
    for section in dataclasses.fields(Config):
        dataclass = section.default_factory
        print(
            f"\n## {dataclass.__doc__}\n\n| flag | default | meaning | allowed |\n|---|---|---|---|"
        )
        for field in dataclasses.fields(dataclass):  # type: ignore[arg-type]
            default = str(field.default).lower() if field.type is bool else field.default
            print(
                f"| `--{field.name}` | {f'`{default}`' if default != '' else ''} | "
                f"{field.metadata['meaning']} | {allowed_values(field)} |"
            )


if __name__ == "__main__":
    main()
