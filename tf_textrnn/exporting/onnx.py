"""Exports a run's best model for ONNX Runtime: <run>/export_onnx/<version>/.

`docs/formats.md` describes the files. All that turns a text into token ids and n-grams is data in
them, so that a program in any language can do it.
"""

import hashlib
import io
import json
import pathlib
from typing import TYPE_CHECKING, Any

import numpy as np

from tf_textrnn.base.errors import UserError
from tf_textrnn.base.files import atomic_write
from tf_textrnn.exporting.versions import export_version
from tf_textrnn.predictor.onnx_model import FORMAT, LABELS, NGRAMS, RUNNER, VOCABULARY
from tf_textrnn.predictor.runtime import ONNX, SETTINGS

if TYPE_CHECKING:
    from tf_textrnn.runs.folder import RunFolder
    from tf_textrnn.runs.loaded import LoadedRun


def export_run(run_dir: str) -> pathlib.Path:
    """Writes the next version of a run's export for ONNX Runtime.

    `export_version` has returns and errors.

    Args:
      run_dir: the folder of a run that has finished at least one epoch.
    """
    from tf_textrnn.runs.folder import RunFolder

    folder = RunFolder(run_dir)
    return export_version(folder, folder.export_onnx, write)


def write(path: pathlib.Path, folder: "RunFolder", run: "LoadedRun") -> None:
    """Writes the files of a run's export into an empty folder.

    Raises:
      UserError: the weights are too large for ONNX.
    """
    from tf_textrnn.exporting.card import write_card
    from tf_textrnn.exporting.onnx_graph import make_graph
    from tf_textrnn.exporting.runner_source import runner_source

    weights = {name: weight.numpy() for name, weight in run.model.saved_weights().items()}
    keys = weights.pop("ngrams/keys", np.zeros(0, np.int64))
    try:
        graph = make_graph(
            run.config.model, weights, run.temperature, run.thresholds, run.config.has_label_sets
        )
    except ValueError as error:
        raise UserError(f"--run_dir={folder.path}: {error}") from error
    contents = {
        ONNX: graph.SerializeToString(),
        VOCABULARY: b"".join(token + b"\n" for token in run.vocabulary),
        LABELS: "".join(f"{label}\n" for label in run.labels).encode(),
        RUNNER: runner_source().encode(),
    }
    if len(keys):
        contents[NGRAMS] = _npy(keys)
    for name, content in contents.items():
        with atomic_write(path / name) as file:
            file.write(content)
    hashes = {name: hashlib.sha256(content).hexdigest() for name, content in contents.items()}
    entries = settings(run, len(keys), hashes).items()
    lines = ",\n".join(f"  {json.dumps(name)}: {json.dumps(value)}" for name, value in entries)
    with atomic_write(path / SETTINGS) as file:
        file.write(f"{{\n{lines}\n}}\n".encode())
    write_card(path, folder, run)


def settings(run: "LoadedRun", num_ngrams: int, hashes: dict[str, str]) -> dict[str, Any]:
    """What `model.json` holds."""
    from tf_textrnn.exporting.encoder_tables import read_tables

    return {
        "format": FORMAT,
        "multi_label": run.config.has_label_sets,
        "classes": run.values,
        "max_len": run.config.text.max_len,
        "vocab_size": len(run.vocabulary),
        "ngrams": run.config.model.ngrams if num_ngrams else 0,
        "temperature": run.temperature,
        "thresholds": run.thresholds,
        "sha256": hashes,
        "tokenizer": read_tables(run.config.text.tokenizer),
    }


def _npy(keys: np.ndarray) -> bytes:
    """A file of format 1.0: numpy.org/doc/stable/reference/generated/numpy.lib.format.html."""
    file = io.BytesIO()
    np.lib.format.write_array(file, keys.astype("<i8"), version=(1, 0))
    return file.getvalue()
