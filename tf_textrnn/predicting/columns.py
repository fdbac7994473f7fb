"""Which columns of the input hold text and label where no flag says so: those of the run."""

import dataclasses
import pathlib

from tf_textrnn.base.errors import UserError
from tf_textrnn.config import Config, FileConfig
from tf_textrnn.data.columns import has_numbers, is_default
from tf_textrnn.data.sources import open_files
from tf_textrnn.predicting.options import PredictOptions
from tf_textrnn.predictor.runtime import FOLDERS

_OF_COLUMNS = ("text_column", "label_column", "label_separator", "missing_labels")


def with_columns(options: PredictOptions, path: str) -> PredictOptions:
    """The options with the run's columns, where the input has the run's column of the text.

    A column that the run knows by its number is not looked for: new files often have no label.

    Args:
      options: of the command.
      path: of the input.
    """
    if options.text_column or options.label_column:
        return options
    of_run = _files_of_run(pathlib.Path(options.model))
    if is_default(of_run) or has_numbers(of_run):
        return options
    found = dataclasses.replace(options, **{name: getattr(of_run, name) for name in _OF_COLUMNS})
    try:
        for file in open_files(path, found.files, "input", needs_label=False):
            next(iter(file.records()), None)  # the keys of an object are looked up there
    except UserError:
        return options
    return found


def _files_of_run(model: pathlib.Path) -> FileConfig:
    """How the files of the run were read that the model lies in, or is; else the defaults."""
    exports = [folder for folder in (model, model.parent) if folder.name in FOLDERS]
    file = (exports[0].parent if exports else model) / "config.json"
    try:
        return Config.from_json(file.read_text(encoding="utf-8"), str(file)).files
    except (OSError, UnicodeDecodeError, UserError):
        return FileConfig()
