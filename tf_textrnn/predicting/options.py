"""What `textrnn predict` is told, by flags."""

import dataclasses
from typing import Any

from tf_textrnn.base.errors import UserError
from tf_textrnn.base.options import BASIC, CheckedOptions, option
from tf_textrnn.config import FileConfig

_OF_FILES = {field.name: field for field in dataclasses.fields(FileConfig)}


def _of_files(name: str) -> Any:
    """An option of how files are read: the default, meaning and bounds that it has in training."""
    field = _OF_FILES[name]
    return dataclasses.field(default=field.default, metadata=field.metadata)


def _column(name: str) -> Any:
    """An option that names a column, by default that of the model's run."""
    field = _OF_FILES[name]
    otherwise = f"empty = that of the model's run, where the input has it, else {field.default}"
    meaning = f"{field.metadata['meaning']}; {otherwise}"
    return dataclasses.field(default="", metadata={**field.metadata, "meaning": meaning})


@dataclasses.dataclass(frozen=True)
class PredictOptions(CheckedOptions):
    """What `textrnn predict` is told."""

    model: str = option(
        "",
        "Folder of a run, of its export, or of one version of that",
        is_path=True,
        required=True,
        group=BASIC,
    )
    input: str = option(
        "",
        "File of texts, of any shape that train reads, or one text a line; - = standard input as "
        "a file; empty = standard input, one text a line, answered as it comes",
        is_path=True,
        group=BASIC,
    )
    output: str = option(
        "",
        "File for the answers, written whole or not at all; empty = standard output",
        is_path=True,
        group=BASIC,
    )
    format: str = option(
        "auto",
        "Format of the answers; auto = a table's or JSON's own, else tsv: "
        "label<TAB>probability<TAB>text",
        choices=("auto", "tsv", "csv", "jsonl"),
        group=BASIC,
    )
    all_probabilities: bool = option(
        False, "Adds the probability of every label to a table or to JSON", group=BASIC
    )
    explain: bool = option(
        False,
        "Adds the words that speak most for the label and against it; to jsonl what each adds",
        group=BASIC,
    )
    top_k: int = option(0, "Number of labels in a line of jsonl; 0 = all", minimum=0)
    unsure_label: str = option(
        "?", "What stands for the label of a text for which none is accepted", group=BASIC
    )
    evaluate: bool = option(
        False, "Reads labels too and prints how many predictions are right", group=BASIC
    )
    strict_labels: bool = option(
        False,
        "Refuses a label that the model lacks; otherwise each such text counts as a mistake",
    )
    text_column: str = _column("text_column")
    label_column: str = _column("label_column")
    input_format: str = _of_files("format")
    encoding: str = _of_files("encoding")
    delimiter: str = _of_files("delimiter")
    header: str = _of_files("header")
    label_separator: str = _of_files("label_separator")
    missing_labels: str = _of_files("missing_labels")
    skip_unlabeled: bool = _of_files("skip_unlabeled")

    @property
    def files(self) -> FileConfig:
        """How the input is read."""
        names = _OF_FILES.keys() - {"format", "weight_column"}
        given: dict[str, Any] = {
            name: getattr(self, name) or _OF_FILES[name].default for name in names
        }
        return FileConfig(format=self.input_format, **given)

    def check(self, has_texts: bool) -> None:
        """Checks flags against one another.

        Args:
          has_texts: whether there are texts on the command line.

        Raises:
          UserError: two of them contradict each other.
        """
        if has_texts and (self.input or self.evaluate):
            raise UserError(
                "texts on the command line, and --input or --evaluate; expected one of them"
            )
        if self.evaluate and self.format == "csv":
            raise UserError("--format=csv, and --evaluate: expected --format=jsonl, or none")
        for name in ("all_probabilities", "explain"):
            if self.evaluate and getattr(self, name):
                raise UserError(f"--{name}, and --evaluate: expected one of them")
