"""Exports a run's best model: for TensorFlow and TF Serving, for ONNX Runtime, or for both.

A SavedModel is <run>/export/<version>/. An export for ONNX Runtime, which answers without
TensorFlow, is <run>/export_onnx/<version>/. Versions count up.
"""

import dataclasses
import importlib.util
import pathlib

from tf_textrnn.base.errors import UserError
from tf_textrnn.base.options import CheckedOptions, option
from tf_textrnn.config import EXPORT_FORMATS


@dataclasses.dataclass(frozen=True)
class ExportOptions(CheckedOptions):
    """What `textrnn export` is told."""

    run_dir: str = option("", "Folder of the run", is_path=True, required=True)
    export_format: str = option(
        "savedmodel",
        "What is written: a SavedModel, an export for ONNX Runtime, or both",
        choices=EXPORT_FORMATS,
    )


def export_run(run_dir: str, export_format: str) -> list[pathlib.Path]:
    """Writes the next version of a run's exports.

    Args:
      run_dir: the folder of a run that has finished at least one epoch.
      export_format: one of `EXPORT_FORMATS`.

    Returns:
      The versions' folders, a SavedModel's first.

    Raises:
      UserError: the folder holds no whole run, or cannot be written, or a library is missing.
    """
    from tf_textrnn.exporting import onnx, saved_model

    check_format(export_format)
    exporters = {"savedmodel": saved_model.export_run, "onnx": onnx.export_run}
    return [
        export(run_dir) for name, export in exporters.items() if export_format in (name, "both")
    ]


def export_as_asked(run_dir: str) -> pathlib.Path:
    """Exports a run as its own config says; returns the first version's folder."""
    from tf_textrnn.runs.folder import RunFolder

    return export_run(run_dir, RunFolder(run_dir).read_config().run.export_format)[0]


def check_format(export_format: str) -> None:
    """Checks that the library is there which writes a kind of export.

    Raises:
      UserError: it is not.
    """
    if export_format != "savedmodel" and importlib.util.find_spec("onnx") is None:
        raise UserError(
            f"--export_format={export_format}: onnx is not installed; pip install "
            f"'tf_textrnn[onnx]'"
        )
