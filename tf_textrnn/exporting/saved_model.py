"""Exports a run's best model for TF Serving: <run>/export/<version>/."""

import pathlib
import tempfile
from typing import TYPE_CHECKING

from tf_textrnn.base.files import write_lines
from tf_textrnn.exporting.versions import export_version
from tf_textrnn.predictor.runtime import SAVED_MODEL

if TYPE_CHECKING:
    from tf_textrnn.predictor.encoder import TokenIds
    from tf_textrnn.runs.folder import RunFolder
    from tf_textrnn.runs.loaded import LoadedRun


def export_run(run_dir: str) -> pathlib.Path:
    """Writes the next version of a run's SavedModel; `export_version` has returns and errors.

    Args:
      run_dir: the folder of a run that has finished at least one epoch.
    """
    from tf_textrnn.runs.folder import RunFolder

    folder = RunFolder(run_dir)
    return export_version(folder, folder.export, write)


def write(path: pathlib.Path, folder: "RunFolder", run: "LoadedRun") -> None:
    """Writes the SavedModel of a run into an empty folder."""
    import tensorflow as tf

    from tf_textrnn.exporting import card as extras
    from tf_textrnn.exporting.signatures import ServedTextRNN
    from tf_textrnn.predictor.server.bodies import CLASSIFY_METHOD

    with tempfile.TemporaryDirectory() as assets:
        served = ServedTextRNN(
            run.model,
            str(folder.vocabulary),
            str(folder.labels),
            run.config.text.tokenizer,
            run.config.text.max_len,
            run.temperature,
            run.thresholds,
            run.config.has_label_sets,
            write_stems(pathlib.Path(assets, "stems.txt"), run.token_ids),
        )
        options = tf.saved_model.SaveOptions(experimental_custom_gradients=False)
        tf.saved_model.save(served.resources, str(path), served.signatures, options)
    _forget_gradients(path / SAVED_MODEL)
    # TF 2 calls every signature's method "predict".
    names = tf.compat.v1.saved_model.signature_def_utils.MethodNameUpdater(str(path))
    names.replace_method_name("classify", CLASSIFY_METHOD, tags="serve")
    names.save()
    extras.write(path / "assets.extra", folder, run)


def write_stems(file: pathlib.Path, token_ids: "TokenIds") -> str | None:
    """Writes the stems of known words, as `TextEncoder` reads them.

    Returns:
      The file's name; None where there is no stem, and no file.
    """
    of_stems = token_ids.of_stems
    if not of_stems:
        return None
    write_lines(file, [f"{stem}\t{token_id}".encode() for stem, token_id in of_stems.items()])
    return str(file)


def _forget_gradients(file: pathlib.Path) -> None:
    """Takes the names of gradients of our own off the ops of a SavedModel that has none.

    Where it has them, a process that loads it keeps them to its end, and with them the model; where
    it has their names alone, each load warns of that.
    """
    from tensorflow.core.protobuf import saved_model_pb2

    model = saved_model_pb2.SavedModel.FromString(file.read_bytes())
    for graph in model.meta_graphs:
        definition = graph.graph_def
        for holder in [definition.node, *(f.node_def for f in definition.library.function)]:
            for node in holder:
                node.attr.pop("_gradient_op_type", None)
    file.write_bytes(model.SerializeToString(deterministic=True))
