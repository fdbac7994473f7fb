"""Writes what TensorBoard shows.

The folder of a run holds three of what TensorBoard calls runs:

    train   each step and each epoch of training
    valid   the validation of each epoch
    run     the run as a whole: options, graph, layout of charts, and the report

`docs/tensorboard.md` lists the tags.
"""

import errno
import functools
import html
import math
import pathlib
import re
import statistics
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeAlias

import keras
import numpy as np
import tensorflow as tf

from tf_textrnn.base.files import write_lines
from tf_textrnn.config import Config
from tf_textrnn.runs.charts import custom_charts
from tf_textrnn.runs.event_files import RUNS, EventFiles
from tf_textrnn.runs.folder import WORDS
from tf_textrnn.runs.histograms import Histogram, HistogramMaker
from tf_textrnn.runs.hparams import compared_measures, compared_options
from tf_textrnn.text import SPECIAL_TOKENS

if TYPE_CHECKING:
    from tf_textrnn.training.optimizers import Gradient

PROJECTED_WORDS = 10_000
MOST_CURVES = 10  # labels with a curve of F1 each; more of them have a picture, at the end
_Value: TypeAlias = tf.compat.v1.Summary.Value


def _naming_the_folder(method: Callable[..., Any]) -> Callable[..., Any]:
    """Makes a method of `Summaries` raise TensorFlow's errors as OSErrors that name the folder."""

    @functools.wraps(method)
    def wrapped(self: "Summaries", *arguments: Any) -> Any:
        try:
            return method(self, *arguments)
        except tf.errors.OpError as error:
            # Without the name of the node.
            reason = re.sub(r"{{.*?}} *", "", error.message).partition("\n")[0]
            raise OSError(errno.EIO, reason, str(self._folder)) from error

    return wrapped


class Summaries:
    """Writes the TensorBoard folder of a run.

    Args:
      folder: the TensorBoard folder.
      weights: weights of the model, by readable names.
      gradients_every: number of steps between histograms of the gradients; 0 = no histograms.
    """

    def __init__(
        self, folder: pathlib.Path, weights: Mapping[str, keras.Variable], gradients_every: int
    ):
        self._folder = folder
        self._weights = weights
        self._gradients_every = gradients_every
        self._histograms = HistogramMaker([math.prod(w.shape) for w in weights.values()])
        self._writers: dict[str, tf.summary.SummaryWriter] = {}
        self._files = EventFiles(folder)

    @_naming_the_folder
    def open(self, kept: Mapping[str, int]) -> None:
        """Opens new event files, and cuts those of earlier starts back to a checkpoint.

        Those of `run` are removed, since every start and every end writes all of their events.

        Args:
          kept: what `flush` returned at that checkpoint; empty for a run from its beginning.
        """
        self._files.cut_back(kept)
        self._writers = {
            run: tf.summary.create_file_writer(str(self._folder / run)) for run in RUNS
        }

    @_naming_the_folder
    def close(self) -> None:
        """Closes the event files; some systems cannot replace an open file."""
        for writer in self._writers.values():
            writer.close()

    @_naming_the_folder
    def flush(self) -> dict[str, int]:
        """Writes all pending events to disk.

        Returns:
          The size in bytes of each file that a resumed run keeps, as `open` takes it.

        Raises:
          OSError: events are lost.
        """
        for writer in self._writers.values():
            writer.flush()
        sizes = self._files.sync()
        return {name: size for name, size in sizes.items() if not name.startswith("run/")}

    @_naming_the_folder
    def _write(self, run: str, step: int, values: Iterable[_Value]) -> None:
        """Writes all values in one event, like TF1's merged summary; an event each costs more."""
        summary = tf.compat.v1.Summary(value=values)
        with self._writers[run].as_default():
            # TensorFlow caches every Python number that it makes a tensor of; not NumPy's.
            tf.summary.experimental.write_raw_pb(summary.SerializeToString(), np.int64(step))

    @_naming_the_folder
    def start(self, config: Config, graph: tf.Graph) -> None:
        """Writes the options, the layout of the charts and the graph, before the first step.

        Args:
          config: settled config of the run.
          graph: graph of the train step.
        """
        from tensorboard.plugins.hparams import api as hparams_api

        with self._writers["run"].as_default(step=0):
            trial = self._folder.absolute().parent.name
            hparams_api.hparams(compared_options(config), trial_id=trial)
            tf.summary.experimental.write_raw_pb(custom_charts())
            tf.summary.graph(graph)
        self._writers["run"].flush()

    def step(
        self,
        step: int,
        loss: float,
        accuracy: float,
        gradient_norm: float,
        gradients: Sequence["Gradient"],
    ) -> None:
        """Writes a training step.

        Args:
          step: number of steps done, including this one.
          loss: mean loss of the batch.
          accuracy: accuracy on the batch.
          gradient_norm: global norm of the gradients before clipping.
          gradients: the gradients applied, in the order of the weights.
        """
        values = _scalars({"loss": loss, "accuracy": accuracy, "gradient_norm": gradient_norm})
        if self._gradients_every and step % self._gradients_every == 0:
            histograms = self._histograms(gradients)
            for name, histogram in zip(self._weights, histograms, strict=True):
                values += _histogram(f"{name}/grad/hist", histogram)
                values += _scalars({f"{name}/grad/sparsity": histogram.sparsity})
        self._write("train", step, values)

    def epoch(
        self,
        metrics: Mapping[str, float],
        clipped_fraction: float,
        per_class: Mapping[str, Mapping[str, float]],
    ) -> None:
        """Writes an epoch: scalars of training and validation, and histograms of the weights.

        Args:
          metrics: the epoch's line of `metrics.jsonl`.
          clipped_fraction: fraction of the epoch's steps whose gradient was clipped.
          per_class: `f1` and other measures of each label on the validation texts; empty where the
            epoch is not validated.
        """
        step = int(metrics["step"])
        names = ("learning_rate", "examples_per_second", "trust")
        train = {name: metrics[name] for name in names if name in metrics}
        values = _scalars({**train, "clipped_fraction": clipped_fraction})
        histograms = self._histograms([weight.value for weight in self._weights.values()])
        for name, histogram in zip(self._weights, histograms, strict=True):
            values += _histogram(f"{name}/hist", histogram)
        self._write("train", step, values)
        if not per_class:
            return
        valid = {name: metrics[f"valid_{name}"] for name in ("loss", "accuracy")}
        f1 = {}
        if len(per_class) <= MOST_CURVES:
            f1 = {f"f1/{label}": measures["f1"] for label, measures in per_class.items()}
        tested = [row["f1"] for row in per_class.values() if row["support"]]
        macro_f1 = statistics.mean(tested or [0.0])
        self._write("valid", step, _scalars({**valid, "macro_f1": macro_f1, **f1}))

    @_naming_the_folder
    def report(
        self,
        step: int,
        values: Mapping[str, Any],
        figures: Mapping[str, Any],
        mistakes: Sequence[tuple[str, str, float, str]],
        vocabulary: Sequence[bytes],
    ) -> None:
        """Writes the report of a finished run, and the embedding of its best weights.

        Args:
          step: number of steps done.
          values: values of `report.json`.
          figures: matplotlib figures by tag.
          mistakes: label, prediction, probability and text of each mistake, the worst first.
          vocabulary: the word of each row of the embedding.
        """
        from tensorboard.plugins.hparams import api_pb2, summary

        table = [["label", "prediction", "probability", "text"]]
        for label, prediction, probability, text in mistakes:
            table.append(
                [_escaped(label), _escaped(prediction), f"{probability:.4f}", _escaped(text)]
            )
        self._write("run", step, _scalars(compared_measures(values)))
        self._project_embedding(vocabulary)
        with self._writers["run"].as_default(step):
            for tag, figure in figures.items():
                tf.summary.image(tag, _pixels(figure)[None])
            tf.summary.text("worst_mistakes", table)
            end = summary.session_end_pb(api_pb2.STATUS_SUCCESS)
            tf.summary.experimental.write_raw_pb(end.SerializeToString())
        self.flush()

    def _project_embedding(self, vocabulary: Sequence[bytes]) -> None:
        """Writes the files of the projector: the most frequent words and their vectors."""
        from tensorboard.plugins import projector

        folder = self._folder / "run"
        rows = slice(len(SPECIAL_TOKENS), len(SPECIAL_TOKENS) + PROJECTED_WORDS)
        vectors = self._weights["embedding"].numpy()[rows]
        # The projector skips blank lines, which would shift the labels after them.
        labels = [word if word.strip() else "␣".encode() for word in vocabulary[rows]]
        write_lines(folder / WORDS, labels)
        (folder / "embedding.bytes").write_bytes(vectors.astype("<f4").tobytes())
        config = projector.ProjectorConfig()
        config.embeddings.add(
            tensor_name="embedding",
            tensor_path="embedding.bytes",
            tensor_shape=vectors.shape,
            metadata_path=WORDS,
        )
        projector.visualize_embeddings(str(folder), config)


def _scalars(values: Mapping[str, float]) -> list[_Value]:
    return [_Value(tag=tag, simple_value=value) for tag, value in values.items()]


def _histogram(tag: str, histogram: Histogram) -> list[_Value]:
    """Returns one value, or none if the tensor holds infinity or NaN, which have no bucket."""
    return [_Value(tag=tag, histo=histogram.to_proto())] if histogram.is_finite else []


def _pixels(figure: Any) -> np.ndarray:
    """Draws a matplotlib figure as uint8[height, width, 4]."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    return np.asarray(canvas.buffer_rgba())


def _escaped(text: str) -> str:
    """Returns Markdown that shows the text as it is."""
    return re.sub(r"([\\`*_{}\[\]()#+\-.!|])", r"\\\1", html.escape(text, quote=False))
