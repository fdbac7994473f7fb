"""What a model says of the texts of a split, for the report: one label a text, or sets of them."""

import dataclasses
import functools
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from tf_textrnn.data.batches import Split
from tf_textrnn.runs.evaluation import Evaluation
from tf_textrnn.runs.measures import Reliability, reliability, softmax
from tf_textrnn.runs.plots import confusion_figure, set_confusion_figure
from tf_textrnn.runs.set_evaluation import SetEvaluation
from tf_textrnn.runs.set_measures import exact_matches, sigmoid

if TYPE_CHECKING:
    from matplotlib.figure import Figure

SEPARATOR = "|"  # of several labels


class Answered(Protocol):
    """What a model says of the texts of a split.

    Attributes:
      split: the texts.
      probability: float64[texts, classes].
      is_wrong: bool[texts].
      confidence: float64[texts], probability of the most probable label.
      surety: float64[texts], how sure the model is of what it says, for its mistakes.
    """

    @property
    def split(self) -> Split: ...
    @property
    def probability(self) -> np.ndarray: ...
    @property
    def is_wrong(self) -> np.ndarray: ...
    @property
    def confidence(self) -> np.ndarray: ...
    @property
    def surety(self) -> np.ndarray: ...

    def label(self, text: int) -> str:
        """The label of a text, or all of them in one."""

    def prediction(self, text: int) -> str:
        """The label that is predicted for a text, or all that are accepted in one."""

    def evaluation(self) -> dict[str, Any]:
        """The measures, by the names that they have in `report.json`."""

    def reliability(self, calibrated: bool) -> Reliability:
        """How well the probabilities are calibrated, or those without a temperature."""

    def confusion(self) -> "Figure":
        """Draws which labels are taken for which."""


def answered(
    split: Split,
    scores: np.ndarray,
    temperature: float,
    labels: list[str],
    thresholds: Sequence[float] | None = None,
) -> Answered:
    """What a model says of the texts of a split.

    Args:
      split: the texts.
      scores: float32[texts, classes].
      temperature: probabilities are the softmax, or the sigmoid, of the scores divided by it.
      labels: the label of each class, and then the unknown ones.
      thresholds: least probability of an accepted label of each class, where texts have sets.
    """
    if split.set_size:
        assert thresholds is not None
        return AnsweredSets(split, scores, temperature, labels, thresholds)
    return AnsweredLabels(split, scores, temperature, labels)


@dataclasses.dataclass(frozen=True)
class AnsweredLabels:
    """As `Answered`, of one label a text; arguments as those of `answered`."""

    split: Split
    scores: np.ndarray
    temperature: float
    labels: list[str]

    @functools.cached_property
    def probability(self) -> np.ndarray:
        return softmax(self.scores / self.temperature)

    @functools.cached_property
    def predictions(self) -> np.ndarray:
        """int64[texts], the predicted class of each text."""
        return self.scores.argmax(axis=1)

    @functools.cached_property
    def classes(self) -> np.ndarray:
        """int32[texts], the class of each text."""
        return self.split.classes

    @property
    def is_wrong(self) -> np.ndarray:
        return self.predictions != self.classes

    @property
    def confidence(self) -> np.ndarray:
        return self.probability.max(axis=1)

    surety = confidence

    def label(self, text: int) -> str:
        return self.labels[self.classes[text]]

    def prediction(self, text: int) -> str:
        return self.labels[self.predictions[text]]

    def evaluation(self) -> dict[str, Any]:
        num_classes = self.scores.shape[1]
        found = Evaluation(self.labels[:num_classes])
        for label in self.labels[num_classes:]:
            found.class_of(label)
        found.add(self.classes, self.predictions, self.probability)
        return found.report()

    def reliability(self, calibrated: bool) -> Reliability:
        probability = self.probability if calibrated else softmax(self.scores)
        is_right = probability.argmax(axis=1) == self.classes
        return reliability(probability.max(axis=1), is_right)

    def confusion(self) -> "Figure":
        return confusion_figure(self.classes, self.predictions, self.labels)


@dataclasses.dataclass(frozen=True)
class AnsweredSets:
    """As `Answered`, of sets of labels; arguments as those of `answered`."""

    split: Split
    scores: np.ndarray
    temperature: float
    labels: list[str]
    thresholds: Sequence[float]

    @functools.cached_property
    def probability(self) -> np.ndarray:
        return sigmoid(self.scores / self.temperature)

    @functools.cached_property
    def accepted(self) -> np.ndarray:
        """bool[texts, classes]."""
        return self.probability >= np.asarray(self.thresholds)

    @functools.cached_property
    def rows(self) -> np.ndarray:
        """bool[texts, classes and then unknown labels], the labels of each text."""
        rows = self.split.set_rows
        return np.pad(rows, [(0, 0), (0, len(self.labels) - rows.shape[1])])

    @property
    def is_wrong(self) -> np.ndarray:
        return ~exact_matches(self.accepted, self.rows)

    @property
    def confidence(self) -> np.ndarray:
        return self.probability.max(axis=1)

    @property
    def surety(self) -> np.ndarray:
        """That of the label that is wrongly accepted or missed, and is surest to be right."""
        known = self.rows[:, : self.accepted.shape[1]]
        of_answer = np.where(self.accepted, self.probability, 1.0 - self.probability)
        return np.where(self.accepted != known, of_answer, 0.0).max(axis=1)

    def label(self, text: int) -> str:
        return self._joined(self.rows[text])

    def prediction(self, text: int) -> str:
        return self._joined(self.accepted[text])

    def _joined(self, row: np.ndarray) -> str:
        return SEPARATOR.join(self.labels[label] for label in np.flatnonzero(row))

    def evaluation(self) -> dict[str, Any]:
        num_classes = self.scores.shape[1]
        found = SetEvaluation(self.labels[:num_classes], self.thresholds)
        for label in self.labels[num_classes:]:
            found.label_of(label)
        found.add(self.rows, self.probability, self.accepted)
        return found.report()

    def reliability(self, calibrated: bool) -> Reliability:
        probability = self.probability if calibrated else sigmoid(self.scores)
        return reliability(probability.ravel(), self.rows[:, : probability.shape[1]].ravel())

    def confusion(self) -> "Figure":
        return set_confusion_figure(self.rows, self.accepted, self.labels)
