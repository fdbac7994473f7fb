"""What a study is told, and what it leaves: figures, and tables in Markdown."""

import dataclasses
import pathlib
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from tqdm import auto

from tf_textrnn.base.errors import UserError
from tf_textrnn.base.files import written
from tf_textrnn.base.options import CheckedOptions, option
from tf_textrnn.base.terminal import shows_bars

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@dataclasses.dataclass(frozen=True)
class StudyOptions(CheckedOptions):
    """Options of `textrnn study`."""

    output_dir: str = option(
        "study", "Folder of the figures and of the table, made where it is missing", is_path=True
    )
    quick: bool = option(False, "Trains a few steps only: all figures in under a minute")

    @property
    def output_flag(self) -> str:
        """The flag of the folder, with its value, for messages."""
        return f"--output_dir={self.output_dir}"

    def output_path(self, name: str) -> pathlib.Path:
        """The path of a file in the folder, which is made where it is missing.

        Raises:
          UserError: the folder cannot be made.
        """
        folder = pathlib.Path(self.output_dir)
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise UserError(f"{self.output_flag}: cannot be made ({error.strerror})") from error
        return folder / name


def progress_bar(num_experiments: int) -> auto.tqdm:
    """A bar over experiments, if somebody watches."""
    return auto.tqdm(
        total=num_experiments, leave=False, dynamic_ncols=True, disable=not shows_bars()
    )


def run_all(
    section: str, experiments: Mapping[str, Callable[[], Any]], bar: auto.tqdm
) -> dict[str, Any]:
    """Runs the experiments of a section and returns their numbers by name; the bar names each."""
    found = {}
    for name, run in experiments.items():
        bar.set_description(f"{section}: {name}")
        found[name] = run()
        bar.update()
    return found


def write_figure(figure: "Figure", path: pathlib.Path, flag: str) -> None:
    """Writes a figure as PNG; arguments and errors as of `written`."""
    with written(path, flag) as file:
        figure.savefig(file, format="png", dpi=120)


def markdown_table(rows: Sequence[Sequence[str]]) -> str:
    """Returns a table in Markdown; the first row is its header, the first column its names.

    Example:
      >>> print(markdown_table([["cell", "loss"], ["rnn", "0.5"]]))
      | cell | loss |
      | --- | ---: |
      | rnn | 0.5 |
    """
    header, *others = rows
    lines = [header, ["---", *["---:"] * (len(header) - 1)], *others]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
