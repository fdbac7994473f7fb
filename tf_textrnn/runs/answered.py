"""What a model says of the texts of a split, for the report: one label a text, or sets of them."""

import abc
import dataclasses
import functools
import hashlib
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from tf_textrnn.base.tables import joined_labels
from tf_textrnn.data.batches import Split
from tf_textrnn.runs.evaluation import Evaluation
from tf_textrnn.runs.measures import (
    Measures,
    Reliability,
    measure,
    per_class_report,
    reliability,
    softmax,
)
from tf_textrnn.runs.plots import confusion_figure, set_confusion_figure
from tf_textrnn.runs.set_evaluation import SetEvaluation
from tf_textrnn.runs.set_measures import (
    exact_matches,
    per_label_report,
    set_losses,
    sigmoid,
)

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@dataclasses.dataclass(frozen=True)
class Answered(abc.ABC):
    """What a model says of the texts of a split; `answered` makes it, and has the arguments."""

    split: Split
    scores: np.ndarray
    temperature: float
    labels: list[str]
    thresholds: Sequence[float] | np.ndarray | None = None

    @property
    def num_classes(self) -> int:
        """Number of classes."""
        return self.scores.shape[1]

    @property
    def scaled(self) -> np.ndarray:
        """[texts, classes], the scores divided by the temperature."""
        return self.scores / self.temperature

    @property
    def texts_hash(self) -> str:
        """A hash of the texts and their labels in their order; the start of a long text counts."""
        digest = hashlib.sha256()
        for text, quote in enumerate(self.split.corpus.quotes.of(self.split.rows.tolist())):
            labels = sorted(self.labels[label] for label in np.flatnonzero(self.rows[text]))
            digest.update(f"{labels}\t{quote}\0".encode("utf-8", "surrogateescape"))
        return digest.hexdigest()

    @functools.cached_property
    def probability(self) -> np.ndarray:
        """float64[texts, classes], at the temperature."""
        return self.probability_of(self.scaled)

    @functools.cached_property
    def accepted(self) -> np.ndarray:
        """bool[texts, classes], the labels of `can_have` that reach their thresholds."""
        if self.thresholds is None:
            return self.can_have
        return self.can_have & (self.probability >= np.asarray(self.thresholds))

    @functools.cached_property
    def confidence(self) -> np.ndarray:
        """float64[texts], probability of the most probable label."""
        return self.probability.max(axis=1)

    def accepting(self) -> dict[str, Any]:
        """The thresholds, if there are any, and the share of texts of which a label is accepted."""
        if self.thresholds is None:
            return {}
        return {
            "thresholds": [float(threshold) for threshold in self.thresholds],
            "valid_coverage": float(self.accepted.any(axis=1).mean()),
        }

    @staticmethod
    @abc.abstractmethod
    def probability_of(scores: np.ndarray) -> np.ndarray:
        """float64[texts, classes], the softmax or the sigmoid of scores."""

    @property
    @abc.abstractmethod
    def rows(self) -> np.ndarray:
        """bool[texts, classes and then unknown labels], the labels of each text."""

    @property
    @abc.abstractmethod
    def can_have(self) -> np.ndarray:
        """bool[texts, classes], the labels that could be given to each text.

        There are none for one of which fewer than half of the tokens are known.
        """

    @property
    @abc.abstractmethod
    def is_wrong(self) -> np.ndarray:
        """bool[texts]."""

    @property
    @abc.abstractmethod
    def is_top_right(self) -> np.ndarray:
        """bool[texts], whether the text has the most probable label."""

    @property
    @abc.abstractmethod
    def surety(self) -> np.ndarray:
        """float64[texts], how sure the model is of what it says, for its mistakes."""

    @abc.abstractmethod
    def label(self, text: int) -> str:
        """The label of a text, or all of them in one."""

    @abc.abstractmethod
    def prediction(self, text: int) -> str:
        """The label that is predicted for a text, or all that are accepted in one."""

    @abc.abstractmethod
    def measures(self) -> Measures:
        """Loss and accuracy."""

    @abc.abstractmethod
    def per_label(self) -> dict[str, dict[str, float]]:
        """`f1` and other measures of each class."""

    @abc.abstractmethod
    def evaluation(self) -> dict[str, Any]:
        """The measures, by the names that they have in `report.json`."""

    @abc.abstractmethod
    def reliability(self, calibrated: bool) -> Reliability:
        """How well the probabilities are calibrated, or those without a temperature."""

    @abc.abstractmethod
    def confusion(self) -> "Figure":
        """Draws which labels are taken for which."""


class AnsweredLabels(Answered):
    """As `Answered`, of one label a text."""

    @staticmethod
    def probability_of(scores: np.ndarray) -> np.ndarray:
        return softmax(scores)

    @functools.cached_property
    def predictions(self) -> np.ndarray:
        """int64[texts], the predicted class of each text."""
        return self.scores.argmax(axis=1)

    @functools.cached_property
    def classes(self) -> np.ndarray:
        """int32[texts], the class of each text."""
        return self.split.classes

    @functools.cached_property
    def rows(self) -> np.ndarray:
        width = max(len(self.labels), self.num_classes, int(self.classes.max(initial=0)) + 1)
        return self.classes[:, None] == np.arange(width)

    @property
    def can_have(self) -> np.ndarray:
        is_best = self.predictions[:, None] == np.arange(self.num_classes)
        return is_best & self.split.are_known[:, None]

    @property
    def is_wrong(self) -> np.ndarray:
        return self.predictions != self.classes

    @property
    def is_top_right(self) -> np.ndarray:
        return ~self.is_wrong

    @property
    def surety(self) -> np.ndarray:
        return self.confidence

    def label(self, text: int) -> str:
        return self.labels[self.classes[text]]

    def prediction(self, text: int) -> str:
        return self.labels[self.predictions[text]]

    def measures(self) -> Measures:
        return measure(self.scaled, self.classes)

    def per_label(self) -> dict[str, dict[str, float]]:
        return per_class_report(self.classes, self.predictions, self.labels[: self.num_classes])

    def evaluation(self) -> dict[str, Any]:
        found = Evaluation(self.labels[: self.num_classes])
        for label in self.labels[self.num_classes :]:
            found.class_of(label)
        found.add(self.classes, self.predictions, self.probability)
        return found.report()

    def reliability(self, calibrated: bool) -> Reliability:
        probability = self.probability if calibrated else self.probability_of(self.scores)
        is_right = probability.argmax(axis=1) == self.classes
        return reliability(probability.max(axis=1), is_right)

    def confusion(self) -> "Figure":
        return confusion_figure(self.classes, self.predictions, self.labels)


class AnsweredSets(Answered):
    """As `Answered`, of sets of labels."""

    @staticmethod
    def probability_of(scores: np.ndarray) -> np.ndarray:
        return sigmoid(scores)

    @functools.cached_property
    def rows(self) -> np.ndarray:
        rows = self.split.set_rows
        return np.pad(rows, [(0, 0), (0, max(len(self.labels) - rows.shape[1], 0))])

    @property
    def known_rows(self) -> np.ndarray:
        """bool[texts, classes]."""
        return self.rows[:, : self.num_classes]

    @property
    def can_have(self) -> np.ndarray:
        return np.repeat(self.split.are_known[:, None], self.num_classes, axis=1)

    @property
    def is_wrong(self) -> np.ndarray:
        return ~exact_matches(self.accepted, self.rows)

    @property
    def is_top_right(self) -> np.ndarray:
        best = self.probability.argmax(axis=1)
        return np.take_along_axis(self.rows, best[:, None], axis=1)[:, 0]

    @property
    def surety(self) -> np.ndarray:
        """That of the label that is wrongly accepted or missed, and is surest to be right."""
        of_answer = np.where(self.accepted, self.probability, 1.0 - self.probability)
        return np.where(self.accepted != self.known_rows, of_answer, 0.0).max(axis=1)

    def label(self, text: int) -> str:
        return self._joined(self.rows[text])

    def prediction(self, text: int) -> str:
        return self._joined(self.accepted[text])

    def _joined(self, row: np.ndarray) -> str:
        return joined_labels(self.labels[label] for label in np.flatnonzero(row))

    def measures(self) -> Measures:
        loss = float(set_losses(self.scaled, self.known_rows).mean())
        return Measures(loss, float(1.0 - self.is_wrong.mean()))

    def per_label(self) -> dict[str, dict[str, float]]:
        return per_label_report(self.known_rows, self.accepted, self.labels[: self.num_classes])

    def evaluation(self) -> dict[str, Any]:
        thresholds = None if self.thresholds is None else list(self.thresholds)
        found = SetEvaluation(self.labels[: self.num_classes], thresholds)
        for label in self.labels[self.num_classes :]:
            found.class_of(label)
        found.add(self.rows, self.probability, self.accepted)
        return found.report()

    def reliability(self, calibrated: bool) -> Reliability:
        probability = self.probability if calibrated else self.probability_of(self.scores)
        return reliability(probability.ravel(), self.known_rows.ravel())

    def confusion(self) -> "Figure":
        return set_confusion_figure(self.rows, self.accepted, self.labels)


def answered(
    split: Split,
    scores: np.ndarray,
    temperature: float,
    labels: list[str],
    thresholds: Sequence[float] | np.ndarray | None = None,
) -> Answered:
    """What a model says of the texts of a split.

    Args:
      split: the texts.
      scores: float32[texts, classes].
      temperature: probabilities are the softmax, or the sigmoid, of the scores divided by it.
      labels: the label of each class, and then the unknown ones.
      thresholds: least probability of an accepted label of each class; None = none.
    """
    if split.set_size:
        return AnsweredSets(split, scores, temperature, labels, thresholds)
    return AnsweredLabels(split, scores, temperature, labels, thresholds)
