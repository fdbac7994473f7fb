"""Which columns of the input hold text and label: those asked for, or those of the model's run."""

import dataclasses
import pathlib

from tf_textrnn.base.errors import UserError
from tf_textrnn.config import FileConfig
from tf_textrnn.data.columns import has_numbers, is_default
from tf_textrnn.data.sources import open_files
from tf_textrnn.runs.folder import RunFolder


def with_columns(path: str, config: FileConfig, model: str, needs_label: bool) -> FileConfig:
    """How the input is read: where no flag names a column, as the run's own file, if it has those.

    A column that the run knows by its number is left alone: new files often have none of the label.

    Args:
      path: of the input.
      config: what the flags ask for.
      model: folder of a run, of its export, or of a version of that.
      needs_label: whether labels are read too.
    """
    run = RunFolder(_run_of(model))
    if not is_default(config) or not run.config.exists():
        return config
    try:
        of_run = run.read_config().files
        if is_default(of_run) or has_numbers(of_run):
            return config
        found = dataclasses.replace(
            config, text_column=of_run.text_column, label_column=of_run.label_column
        )
        for file in open_files(path, found, "input", needs_label):
            next(iter(file.records()), None)  # the keys of an object are looked up there
    except UserError:
        return config
    return found


def _run_of(model: str) -> str:
    """The folder of the run that a folder of `--model` lies in, or is."""
    path = pathlib.Path(model)
    for folder in (path, path.parent):
        if folder.name in ("export", "export_onnx"):
            return str(folder.parent)
    return model
