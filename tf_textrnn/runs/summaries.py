"""All that goes to TensorBoard.

A run's folder holds three of what TensorBoard calls runs:

    train   each step and each epoch of training
    valid   each epoch's validation
    run     the run as a whole: options, graph, layout of charts, and what the report says

`docs/tensorboard.md` lists the tags.
"""

import dataclasses
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
from tf_textrnn.runs.histograms import Histogram, HistogramMaker
from tf_textrnn.text import SPECIAL_TOKENS

if TYPE_CHECKING:
    from tf_textrnn.training.optimizers import Gradient

PROJECTED_WORDS = 10_000
WORDS = "words.tsv"  # in the folder of `run`
COMPARED = (  # of the report: what runs are compared by
    "test_accuracy",
    "test_macro_f1",
    "test_loss",
    "valid_accuracy",
    "best_epoch",
    "train_examples_per_second",
)
_Value: TypeAlias = tf.compat.v1.Summary.Value


def _naming_the_folder(method: Callable[..., Any]) -> Callable[..., Any]:
    """A method of `Summaries` whose TensorFlow errors are OSErrors that name the folder."""

    @functools.wraps(method)
    def wrapped(self: "Summaries", *arguments: Any) -> Any:
        try:
            return method(self, *arguments)
        except tf.errors.OpError as error:
            reason = re.sub(r"{{.*?}} *", "", error.message).partition("\n")[0]  # no node's name
            raise OSError(errno.EIO, reason, str(self._folder)) from error

    return wrapped


class Summaries:
    """Writes the TensorBoard folder of a run.

    Args:
      folder: where to.
      weights: the model's, by readable names.
      gradients_every: steps from one histogram of each gradient to the next; 0 = none.
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
        """Opens the event files, those of an earlier start cut back to what a checkpoint knew.

        The events of `run` are written at every start and every end, so none of them are kept.

        Args:
          kept: what `flush` returned at that checkpoint; nothing for a run from its beginning.
        """
        self._files.cut_back(kept)
        self._writers = {
            run: tf.summary.create_file_writer(str(self._folder / run)) for run in RUNS
        }

    @_naming_the_folder
    def close(self) -> None:
        """Closes the event files, so that they can be replaced where open files cannot."""
        for writer in self._writers.values():
            writer.close()

    @_naming_the_folder
    def flush(self) -> dict[str, int]:
        """Brings everything to disk; returns the size of each file that a resumed run keeps."""
        for writer in self._writers.values():
            writer.flush()
        sizes = self._files.sync()
        return {name: size for name, size in sizes.items() if not name.startswith("run/")}

    @_naming_the_folder
    def _write(self, run: str, step: int, values: Iterable[_Value]) -> None:
        """Writes one event, as TF1 did with its merged summary: a call a value costs more."""
        summary = tf.compat.v1.Summary(value=values)
        with self._writers[run].as_default():
            # TensorFlow keeps every Python number that it ever made a tensor of.
            tf.summary.experimental.write_raw_pb(summary.SerializeToString(), np.int64(step))

    @_naming_the_folder
    def start(self, config: Config, graph: tf.Graph) -> None:
        """Writes what is known before the first step.

        Args:
          config: of the run; all that shapes the model is compared between runs.
          graph: of the train step.
        """
        from tensorboard.plugins.hparams import api as hparams_api

        run_options = dataclasses.asdict(config.run)
        options = {k: v for k, v in config.options().items() if k not in run_options}
        with self._writers["run"].as_default(step=0):
            hparams_api.hparams(options, trial_id=self._folder.absolute().parent.name)
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
        """Writes a step of training.

        Args:
          step: steps done, this one among them.
          loss: the batch's mean.
          accuracy: the batch's.
          gradient_norm: the global norm before clipping.
          gradients: those applied, in the order of the weights.
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
        """Writes an epoch: scalars of training and validation, and the weights as they are.

        Args:
          metrics: the epoch's line of `metrics.jsonl`.
          clipped_fraction: the fraction of its steps whose gradient was clipped.
          per_class: of validation, `f1` and more of each label.
        """
        step = int(metrics["step"])
        train = {name: metrics[name] for name in ("learning_rate", "examples_per_second")}
        values = _scalars({**train, "clipped_fraction": clipped_fraction})
        histograms = self._histograms([weight.value for weight in self._weights.values()])
        for name, histogram in zip(self._weights, histograms, strict=True):
            values += _histogram(f"{name}/hist", histogram)
        self._write("train", step, values)
        valid = {name: metrics[f"valid_{name}"] for name in ("loss", "accuracy")}
        f1 = {f"f1/{label}": measures["f1"] for label, measures in per_class.items()}
        macro_f1 = statistics.mean(f1.values())
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
        """Writes what a finished run comes to; the weights are the best ones.

        Args:
          step: steps done.
          values: of `report.json`.
          figures: matplotlib figures by their tags.
          mistakes: label, prediction, probability and text, the worst first.
          vocabulary: the word of each row of the embedding.
        """
        from tensorboard.plugins.hparams import api_pb2, summary

        table = [["label", "prediction", "probability", "text"]]
        for label, prediction, probability, text in mistakes:
            table.append(
                [_escaped(label), _escaped(prediction), f"{probability:.4f}", _escaped(text)]
            )
        self._write("run", step, _scalars({f"report/{name}": values[name] for name in COMPARED}))
        self._project_embedding(vocabulary)
        with self._writers["run"].as_default(step):
            for tag, figure in figures.items():
                tf.summary.image(tag, _pixels(figure)[None])
            tf.summary.text("worst_mistakes", table)
            end = summary.session_end_pb(api_pb2.STATUS_SUCCESS)
            tf.summary.experimental.write_raw_pb(end.SerializeToString())
        self.flush()

    def _project_embedding(self, vocabulary: Sequence[bytes]) -> None:
        """Writes the projector's files: the most frequent words' vectors, and the words."""
        from tensorboard.plugins import projector

        folder = self._folder / "run"
        rows = slice(len(SPECIAL_TOKENS), len(SPECIAL_TOKENS) + PROJECTED_WORDS)
        vectors = self._weights["embedding"].numpy()[rows]
        # The projector takes a blank line for no line, and would shift the labels after it.
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
    """At most one value: there are no buckets for infinity and NaN."""
    return [_Value(tag=tag, histo=histogram.to_proto())] if histogram.is_finite else []


def _pixels(figure: Any) -> np.ndarray:
    """uint8[height, width, 4]: a matplotlib figure, drawn."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    return np.asarray(canvas.buffer_rgba())


def _escaped(text: str) -> str:
    """Markdown that shows the text as it is."""
    return re.sub(r"([\\`*_{}\[\]()#+\-.!|])", r"\\\1", html.escape(text, quote=False))
