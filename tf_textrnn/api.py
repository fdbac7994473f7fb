"""`train` and `load`: what the commands do, from Python."""

import contextlib
import functools
import os
import pathlib
import random
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from tf_textrnn.base.errors import UserError
from tf_textrnn.base.startup import load_tensorflow
from tf_textrnn.config import Config, check_options
from tf_textrnn.predictor.predictor import Predictor
from tf_textrnn.predictor.runtime import Array, newest_version

if TYPE_CHECKING:
    import keras

    from tf_textrnn.data.sources import Source

_SHOWN = 5  # files of a folder that an error names


class Run:
    r"""A training that has ended, and the folder it has left.

    Attributes:
      path: the run's folder.
      config: its options, all of them settled.
      report: what `report.json` holds.
      export: the exported version's folder, of two the SavedModel's; None where `export=False`.

    Example:
      >>> with open("films.tsv", "w", encoding="utf-8") as file:
      ...     file.writelines(["good\ta fine film\n", "bad\ta dull film\n"] * 20)
      >>> run = tf_textrnn.train(train_file="films.tsv", run_dir="runs/films", num_epochs=2)
      films.tsv: 36 training texts, ...
      >>> run
      Run('runs/films', valid_accuracy=1.0000, best_epoch=2, epochs=2)
      >>> run.classifier.predict(["a fine film", "a dull film"])
      array(['good', 'bad'], dtype=object)
    """

    def __init__(
        self,
        path: pathlib.Path,
        config: Config,
        report: dict[str, Any],
        export: pathlib.Path | None,
    ):
        self.path = path
        self.config = config
        self.report = report
        self.export = export

    @property
    def page(self) -> pathlib.Path:
        """`report.html`, the report for a browser; it quotes texts of the data."""
        return self.path / "report.html"

    @functools.cached_property
    def classifier(self) -> Predictor:
        """The exported model, loaded when first used.

        Raises:
          UserError: nothing was exported.
        """
        model = load(self.export or self.path)
        assert isinstance(model, Predictor)  # a folder never gives a Keras model
        return model

    def __repr__(self) -> str:
        return (
            f"Run({str(self.path)!r}, valid_accuracy={self.report['valid_accuracy']:.4f}, "
            f"best_epoch={self.report['best_epoch']}, epochs={self.report['epochs']})"
        )


def train(**options: Any) -> Run | None:
    r"""Trains a classifier as `textrnn train` does, and exports it unless `export=False`.

    Progress and the report are printed, as by the command. Meanwhile TensorFlow's ops are
    deterministic in this process. Its global seed and Keras's are the run's from then on; Python's
    and NumPy's random numbers go on as if nothing had been trained.

    Args:
      options: the flags of the command by their names, as `docs/options.md` lists them; paths may
        be `os.PathLike`. Without `run_dir` the run's folder is a new one under `runs/`.

    Returns:
      The run; None in a worker that is not the chief (`docs/distributed.md`).

    Raises:
      UserError: an option that does not exist or is not allowed, a mistake in a file, or a file
        that cannot be written.
      DivergedError: training lost its way: numbers that are not finite.

    Example:
      >>> with open("reviews.csv", "w", encoding="utf-8") as file:
      ...     file.writelines(["label,text\n", *["good,a fine film\n", "bad,a dull film\n"] * 20])
      >>> run = tf_textrnn.train(train_file="reviews.csv", run_dir="runs/reviews", num_epochs=2)
      reviews.csv: 36 training texts, ...
      >>> run.report["valid_accuracy"]
      1.0
    """
    return train_on(options)


def train_on(
    options: Mapping[str, Any],
    sources: "Mapping[str, Source] | None" = None,
    sample_weights: Array | None = None,
) -> Run | None:
    """As `train`, on `sources` and with `sample_weights` where `data.splits.load` gets these."""
    from tf_textrnn.exporting.formats import check_installed, export_as_asked

    # Before TensorFlow loads: mistakes are told at once.
    given = check_options({name: _plain(value) for name, value in options.items()})
    check_installed(given.get("export_format", "savedmodel"))
    load_tensorflow()
    from tf_textrnn.training import runner

    with _global_state_kept():
        finished = runner.run(
            given, sources=sources, sample_weights=sample_weights, export=export_as_asked
        )
    if finished is None:
        return None
    return Run(finished.folder.path, finished.config, finished.report, finished.export)


def _plain(value: Any) -> Any:
    """An option's value as the command line would give it."""
    if isinstance(value, os.PathLike):
        return os.fspath(value)
    if isinstance(value, np.generic):  # as a grid of parameters holds them
        return value.item()
    return value


@contextlib.contextmanager
def _global_state_kept() -> Iterator[None]:
    """Takes back at the end what a training sets for the whole process, where that is possible."""
    # There is no public name for the way back.
    from tensorflow.python.framework import config as tf_config

    was_deterministic = tf_config.is_op_determinism_enabled()
    python_state, numpy_state = random.getstate(), np.random.get_state()
    try:
        yield
    finally:
        random.setstate(python_state)
        np.random.set_state(numpy_state)
        if not was_deterministic:
            tf_config.disable_op_determinism()


def load(path: str | os.PathLike[str]) -> "Predictor | keras.Model":
    """A trained classifier, ready to predict.

    Args:
      path: a run's folder, its `export` or `export_onnx` folder, the folder of one exported
        version, a folder that `TextClassifier.save` wrote, or a file that a Keras model was saved
        to (`.keras`).

    Returns:
      A `Predictor` of the newest version in a folder, of a run a SavedModel first; of a `.keras`
      file the Keras model. An export for ONNX Runtime needs no TensorFlow.

    Raises:
      UserError: there is nothing of the kind here, or it is damaged.

    Example:
      >>> texts, labels = ["a fine film", "a dull film"] * 20, ["good", "bad"] * 20
      >>> tf_textrnn.TextClassifier(num_epochs=2).fit(texts, labels).save("films")
      >>> tf_textrnn.load("films").predict(["fine"])
      array(['good'], dtype=object)
    """
    path = pathlib.Path(path)
    if path.suffix == ".keras" and path.is_file():
        return _load_keras(path)
    if not path.is_dir():
        found = "a file" if path.exists() else "nothing"
        raise UserError(f"{path}: found {found}; expected a run, an export or a .keras file")
    if newest_version(path) is None and not (path / "config.json").is_file():
        names = sorted(file.name for file in path.iterdir())
        shown = ", ".join(names[:_SHOWN]) + (", …" if len(names) > _SHOWN else "")
        raise UserError(
            f"{path}: found a folder with {shown or 'nothing in it'}; expected a run "
            f"(config.json) or an export (saved_model.pb, model.onnx, or numbered versions)"
        )
    return Predictor(path)


def _load_keras(path: pathlib.Path) -> "keras.Model":
    load_tensorflow()
    import keras

    from tf_textrnn.network import model  # noqa: F401 - registers the classes that the file names

    try:
        return keras.saving.load_model(path)
    except Exception as error:  # a damaged file fails in many ways
        reason = " ".join(str(error).split())[:200]
        raise UserError(f"{path}: not a Keras model that can be loaded ({reason})") from error
