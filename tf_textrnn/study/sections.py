"""Small experiments, one for each section of the article: what it says, measured.

    textrnn study                      runs all of them
    textrnn study memory               runs one: spelling, gradients, memory, both_sides or pooling
    textrnn study gradients --run_dir=runs/R
                                       measures a trained model; `textrnn study gradients --help`

Each writes a figure, `study_<section>.png`, and all of them one table, `study.txt`, which is
printed too. The seeds are fixed. docs/study.md walks through them.
"""

import importlib
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Protocol, cast

from tf_textrnn.base.errors import UserError
from tf_textrnn.base.files import written
from tf_textrnn.base.terminal import show
from tf_textrnn.study.output import (
    StudyOptions,
    markdown_table,
    progress_bar,
    run_all,
    write_figure,
)

if TYPE_CHECKING:
    from matplotlib.figure import Figure

SECTIONS = {
    "spelling": "tf_textrnn.study.spelling",
    "gradients": "tf_textrnn.study.gradient_flow",
    "memory": "tf_textrnn.study.memory",
    "both_sides": "tf_textrnn.study.both_sides",
    "pooling": "tf_textrnn.study.pooling",
}


class Section(Protocol):
    """What the module of a section has."""

    TITLE: str

    def experiments(self, quick: bool) -> Mapping[str, Callable[[], Any]]:
        """The experiments by name; each returns its numbers."""

    def table(self, found: Mapping[str, Any]) -> Sequence[Sequence[str]]:
        """Rows of a table of these numbers, by the experiment; the first row is the header."""

    def figure(self, found: Mapping[str, Any]) -> "Figure":
        """A figure of these numbers."""


def check_names(names: Sequence[str]) -> None:
    """Checks that there are sections of these names, before TensorFlow loads.

    Raises:
      UserError: one is unknown.
    """
    for name in names:
        if name not in SECTIONS:
            raise UserError(f"study {name}: expected a section, one of {', '.join(SECTIONS)}")


def study(options: StudyOptions, names: Sequence[str]) -> None:
    """Runs sections, writes their figures and their table, and prints the table.

    Args:
      options: options of the command.
      names: of the sections; none for all of them.

    Raises:
      UserError: a file cannot be written.
    """
    table_path = options.output_path("study.txt")
    sections = {
        name: cast(Section, importlib.import_module(SECTIONS[name])) for name in names or SECTIONS
    }
    experiments = {name: section.experiments(options.quick) for name, section in sections.items()}
    num_experiments = sum(map(len, experiments.values()))
    tables = []
    with progress_bar(num_experiments) as bar:
        for name, section in sections.items():
            found = run_all(name, experiments[name], bar)
            path = options.output_path(f"study_{name}.png")
            write_figure(section.figure(found), path, options.output_flag)
            table = f"## {section.TITLE}\n\n{markdown_table(section.table(found))}\n"
            tables.append(table)
            with bar.external_write_mode():
                show(f"{table}\nplot: {path}\n")
    with written(table_path, options.output_flag) as file:
        file.write("\n".join(tables).encode())
    show(f"table: {table_path}")
