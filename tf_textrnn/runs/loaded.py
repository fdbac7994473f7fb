"""The best model of a run, from its folder."""

import dataclasses
import json
import pathlib
from typing import Any

import numpy as np

from tf_textrnn.base.errors import UserError
from tf_textrnn.base.files import read_lines
from tf_textrnn.base.tables import can_be_label
from tf_textrnn.config import Config
from tf_textrnn.data import splits
from tf_textrnn.data.splits import Data
from tf_textrnn.network.model import TextRNN, min_weights
from tf_textrnn.runs import checkpoints
from tf_textrnn.runs.best import read_best
from tf_textrnn.runs.folder import RunFolder
from tf_textrnn.runs.thresholds import NEVER


@dataclasses.dataclass(frozen=True)
class LoadedRun:
    """A run's best model and all that it needs.

    Attributes:
      config: of the run.
      labels: the label of each class.
      vocabulary: the token of each id.
      model: with the best weights.
      best: the metrics of the best epoch.
      values: the labels as numbers or truth values, where a `TextClassifier` was fitted to such;
        else empty.
    """

    config: Config
    labels: list[str]
    vocabulary: list[bytes]
    model: TextRNN
    best: dict[str, Any]
    values: list[Any]

    @property
    def thresholds(self) -> list[float] | None:
        """Least probability of an accepted label of each class; None = the predicted label is."""
        return self.best.get("thresholds")

    @property
    def temperature(self) -> float:
        """What the scores are divided by before they become probabilities."""
        return float(self.best.get("temperature", 1.0))  # an imported run has none


def _are_thresholds(found: Any, count: int) -> bool:
    """Whether something read from a file is so many probabilities."""
    is_list = isinstance(found, list) and len(found) == count
    return is_list and all(type(value) is float and 0 <= value <= NEVER for value in found)


def load_run(folder: RunFolder) -> LoadedRun:
    """The best model of a run.

    Raises:
      UserError: the folder holds no run, or a file of it is missing or damaged.
    """
    config = folder.read_config()
    vocabulary = read_lines(folder.vocabulary)
    labels = [line.decode() for line in read_lines(folder.labels)]
    for label in labels:
        if not can_be_label(label):
            raise UserError(f"{folder.labels}: expected printable labels, found {label[:40]!r}")
    path, arrays, best = read_best(folder)
    thresholds = best.get("thresholds")
    has_none = thresholds is None and not config.has_label_sets
    if not has_none and not _are_thresholds(thresholds, len(labels)):
        raise UserError(f"{path}: expected a threshold for each of {len(labels):,} labels")
    found, expected = sum(map(np.size, arrays.values())), min_weights(config.model, len(vocabulary))
    if found < expected:  # before memory is taken for more than the file holds
        raise UserError(
            f"{path}: holds {found:,} numbers, expected over {expected:,} for the model of "
            f"{folder.config}"
        )
    num_ngrams = np.size(arrays.get("ngrams/keys", ()))
    has_counts = "ngrams/counts" in arrays  # those of 0.1 and of imported models have none
    model = TextRNN(config.model, len(vocabulary), len(labels), num_ngrams, has_counts)
    model.build()
    weights = {name: weight.value for name, weight in model.saved_weights().items()}
    # An imported model's words may lack vectors; it then scores NaN, so that this shows.
    not_finite = {"embedding"} if "imported_from" in best else set()
    checkpoints.assign(path, arrays, weights, not_finite)
    if has_counts:
        model = model.without_counts()
        if not np.isfinite(model.saved_weights()["ngrams/kernel"].numpy()).all():
            raise UserError(f"{path}: 'ngrams/counts' or 'ngrams/shares' are not those of texts")
    values = _read_values(folder.classes, len(labels))
    return LoadedRun(config, labels, vocabulary, model, best, values)


def own_data(folder: RunFolder) -> Data:
    """The texts that a run was trained on, from its files.

    Raises:
      UserError: a file is missing, or does not give the run's vocabulary and labels.
    """
    data = splits.load(folder.read_config().settled())
    labels = [line.decode() for line in read_lines(folder.labels)]
    if data.vocabulary != read_lines(folder.vocabulary) or data.labels != labels:
        raise UserError(
            f"--run_dir={folder.path}: its vocabulary or labels are not those of its training "
            f"texts; expected a run that was trained here, on the same files"
        )
    return data


def _read_values(path: pathlib.Path, count: int) -> list[Any]:
    try:
        values = json.loads(path.read_text("utf-8")) if path.exists() else []
    except (OSError, ValueError, RecursionError) as error:
        raise UserError(f"{path}: cannot be read ({error})") from error
    if values == []:
        return []
    if not isinstance(values, list) or {*map(type, values)} not in ({int}, {bool}):
        raise UserError(f"{path}: expected a list of whole numbers or of truth values")
    if len(values) != count:
        raise UserError(f"{path}: {len(values):,} values, expected {count:,}, one for each label")
    return values
