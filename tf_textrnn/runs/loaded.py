"""The best model of a run, from its folder."""

import dataclasses
import pathlib
from typing import Any

import numpy as np

from tf_textrnn.base.errors import UserError
from tf_textrnn.base.files import read_lines
from tf_textrnn.config import Config
from tf_textrnn.data import splits
from tf_textrnn.data.splits import Data, Known
from tf_textrnn.network.model import TextRNN, min_weights
from tf_textrnn.predictor.encoder import TokenIds
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
      weights: the file of the best weights.
    """

    config: Config
    labels: list[str]
    vocabulary: list[bytes]
    model: TextRNN
    best: dict[str, Any]
    values: list[Any]
    weights: pathlib.Path

    @property
    def token_ids(self) -> TokenIds:
        """The ids by which the model reads texts."""
        return TokenIds(self.vocabulary, self.config.text.reads_stems)

    @property
    def thresholds(self) -> list[float] | None:
        """Least probability of an accepted label of each class; None = the predicted label is."""
        return self.best.get("thresholds")

    @property
    def temperature(self) -> float:
        """What the scores are divided by before they become probabilities."""
        return float(self.best.get("temperature", 1.0))  # an imported run has none

    @property
    def branch_weights(self) -> list[float]:
        """What weighing the branches has multiplied the network by, and the n-grams."""
        return self.best.get("branch_weights", [1.0, 1.0])  # 0.1 and imports do not tell


def _are_thresholds(found: Any, count: int) -> bool:
    """Whether something read from a file is so many probabilities."""
    is_list = isinstance(found, list) and len(found) == count
    return is_list and all(type(value) is float and 0 <= value <= NEVER for value in found)


def load_run(folder: RunFolder, keeps_counts: bool = False) -> LoadedRun:
    """The best model of a run.

    Args:
      folder: of the run.
      keeps_counts: whether the model keeps the counts of its n-grams, so that it can learn more;
        else their ratios are in its kernel. It scores the same.

    Raises:
      UserError: the folder holds no run, or a file of it is missing or damaged.
    """
    config = folder.read_config()
    vocabulary = read_lines(folder.vocabulary)
    labels = folder.read_labels()
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
        folded = model.without_counts()
        if not np.isfinite(folded.saved_weights()["ngrams/kernel"].numpy()).all():
            raise UserError(f"{path}: 'ngrams/counts' or 'ngrams/shares' are not those of texts")
        model = model if keeps_counts else folded
    values = folder.read_values(len(labels))
    return LoadedRun(config, labels, vocabulary, model, best, values, path)


def own_data(folder: RunFolder) -> Data:
    """The texts that a run was trained on, from its files, as its model reads them.

    Words that it has from elsewhere, as from a file of vectors, need not be there any more.

    Raises:
      UserError: a file is missing, or does not give the run's vocabulary and labels.
    """
    config, vocabulary = folder.read_config().settled(), read_lines(folder.vocabulary)
    config, labels = config.replace(pretrained_embeddings=""), folder.read_labels()
    known = Known(vocabulary, labels)
    # All that a run has taken over from --init_from is among its own words and labels.
    data = splits.load(config, known=known if config.model.init_from else None)
    if data.vocabulary != vocabulary[: len(data.vocabulary)] or data.labels != labels:
        raise UserError(
            f"--run_dir={folder.path}: its vocabulary or labels are not those of its training "
            f"texts; expected a run that was trained here, on the same files"
        )
    return data if data.vocabulary == vocabulary else splits.load(config, known=known)
