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
    quantize: str = option(
        "none",
        "Weights of the export for ONNX Runtime as 8-bit numbers: about a quarter of the size",
        choices=("none", "int8"),
    )
    max_megabytes: float = option(
        0.0,
        "Size of the files of the export for ONNX Runtime, as int8, in millions of bytes; rare "
        "words and n-grams are left out to reach it; 0 = any",
        minimum=0,
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("quantize", "max_megabytes"):
            value = getattr(self, name)
            if self.export_format == "savedmodel" and value not in ("none", 0):
                raise UserError(
                    f"--{name}={value}: a SavedModel has no such form; expected "
                    f"--export_format=onnx or both beside it"
                )


def export_run(
    run_dir: str, export_format: str, is_int8: bool = False, max_megabytes: float = 0.0
) -> list[pathlib.Path]:
    """Writes the next version of a run's exports.

    Args:
      run_dir: the folder of a run that has finished at least one epoch.
      export_format: one of `EXPORT_FORMATS`.
      is_int8, max_megabytes: as for `onnx.export_run`.

    Returns:
      The versions' folders, a SavedModel's first.

    Raises:
      UserError: the folder holds no whole run, or cannot be written, or a library is missing.
    """
    from tf_textrnn.exporting import onnx, saved_model

    check_installed(export_format)
    written = []
    if export_format in ("savedmodel", "both"):
        written.append(saved_model.export_run(run_dir))
    if export_format in ("onnx", "both"):
        written.append(onnx.export_run(run_dir, is_int8, max_megabytes))
    return written


def export_as_asked(run_dir: str) -> pathlib.Path:
    """Exports a run as its own config says; returns the first version's folder."""
    from tf_textrnn.runs.folder import RunFolder

    return export_run(run_dir, RunFolder(run_dir).read_config().run.export_format)[0]


def check_installed(export_format: str) -> None:
    """Checks that the library is there which writes a kind of export.

    Raises:
      UserError: it is not.
    """
    if export_format != "savedmodel" and importlib.util.find_spec("onnx") is None:
        raise UserError(
            f"--export_format={export_format}: onnx is not installed; pip install "
            f"'tf_textrnn[onnx]'"
        )
