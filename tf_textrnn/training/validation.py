"""Scores whole splits, each worker a part, and fits the weights of a model's branches.

The weights are fitted on validation texts; the weight of a branch is the inverse of its temperature
(Guo 2017).
"""

import functools
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import tensorflow as tf
from scipy import optimize

from tf_textrnn.base import signals
from tf_textrnn.config import ThresholdRule
from tf_textrnn.data.batches import Split, evaluation_batches
from tf_textrnn.network.model import TextRNN
from tf_textrnn.runs.answered import Answered, answered
from tf_textrnn.runs.measures import softmax
from tf_textrnn.runs.thresholds import fit_thresholds
from tf_textrnn.training.distribution import Workers
from tf_textrnn.training.set_weights import fit_set_weights
from tf_textrnn.training.weight_prior import WEIGHT_BOUNDS, prior_loss, usual_weights

Scorer = Callable[[tf.Tensor, tf.Tensor], tf.Tensor]


class Weighed(NamedTuple):
    """The branches of a model, weighed on some texts.

    Attributes:
      branches: float32[texts, branches, classes], the scores of each branch as it was.
      scores: float64[texts, classes], those of the weighed branches together.
      temperature: probabilities are the softmax of `scores` divided by it.
      weights: float64[branches], factor of each branch in `scores`; their sum is 1.
      offsets: float64[classes], part of `scores`; None = nothing, where a text has one label.
      thresholds: float64[classes], least probability of an accepted label; None = the predicted
        label is accepted.
    """

    branches: np.ndarray
    scores: np.ndarray
    temperature: float
    weights: np.ndarray
    offsets: np.ndarray | None = None
    thresholds: np.ndarray | None = None

    def answers(self, split: Split, labels: list[str]) -> Answered:
        """What the weighed branches say of the texts of a split, whose `labels` are named."""
        return answered(split, self.scores, self.temperature, labels, self.thresholds)


class SplitScorer:
    """Scores splits with the current weights of a model.

    Args:
      model: a built model.
      workers: the workers that train together.
    """

    def __init__(self, model: TextRNN, workers: Workers):
        self._model = model
        self._workers = workers

    @functools.cached_property
    def _scorer(self) -> Scorer:
        return make_scorer(self._model)

    @functools.cached_property
    def _branch_scorer(self) -> Scorer:
        return make_branch_scorer(self._model)

    def score(self, split: Split) -> np.ndarray:
        """Returns float32[texts, classes], the scores of every text of a split, on every worker."""
        return self._score(self._scorer, split, self._model.num_classes)

    def branch_scores(self, split: Split) -> np.ndarray:
        """Returns float32[texts, branches, classes], those of each branch, on every worker."""
        branches, classes = 2 if self._model.ngrams else 1, self._model.num_classes
        return self._score(self._branch_scorer, split, branches * classes).reshape(
            -1, branches, classes
        )

    def score_network(self, token_ids: np.ndarray, lengths: np.ndarray) -> np.ndarray:
        """Returns float32[n, classes], the network's scores of n texts, on this worker alone.

        Args:
          token_ids: int32[n, time], padded on the right with 0.
          lengths: int32[n].
        """
        scores = self._branch_scorer(tf.constant(token_ids), tf.constant(lengths)).numpy()
        return scores[:, : self._model.num_classes]

    def weigh_branches(self, valid: Split, rule: ThresholdRule | None) -> Weighed:
        """Scales each branch by its weight, so that the model's scores are their weighted mean.

        Args:
          valid: texts to fit the weights of the branches on, and the thresholds.
          rule: how labels are accepted; None = the predicted one is.
        """
        weighed = weigh_on(self.branch_scores(valid), valid, rule)
        self.apply(weighed)
        return weighed

    def apply(self, weighed: Weighed) -> None:
        """Scales the branches, where there are two, and adds the offsets to a bias."""
        ngrams, softmax = self._model.ngrams, self._model.softmax
        bias = softmax.bias
        if ngrams:
            of_branches = (
                (softmax.kernel, softmax.bias),
                (ngrams.kernel, ngrams.bias, ngrams.trust),
            )
            for weight, variables in zip(weighed.weights, of_branches, strict=True):
                for variable in variables:
                    variable.assign(variable * weight)
            bias = ngrams.bias
        if weighed.offsets is not None:
            bias.assign_add(weighed.offsets.astype(np.float32))

    def _score(self, scorer: Scorer, split: Split, num_scores: int) -> np.ndarray:
        workers = self._workers

        def interruptible(token_ids: tf.Tensor, lengths: tf.Tensor) -> tf.Tensor:
            if workers.count == 1:  # a worker may not leave the others here
                signals.check()
            return scorer(token_ids, lengths)

        scores = score_split(interruptible, split, num_scores, workers.index, workers.count)
        return workers.sum_arrays(scores)


def make_scorer(model: TextRNN) -> Scorer:
    """Returns the compiled `(token_ids, lengths) -> scores` of a model, without dropout."""

    @tf.function(
        input_signature=[tf.TensorSpec([None, None], tf.int32), tf.TensorSpec([None], tf.int32)]
    )
    def score(token_ids: tf.Tensor, lengths: tf.Tensor) -> tf.Tensor:
        return model((token_ids, lengths), training=False)

    return score.get_concrete_function()


def make_branch_scorer(model: TextRNN) -> Scorer:
    """Like `make_scorer`, with the scores of the model's branches side by side."""

    @tf.function(
        input_signature=[tf.TensorSpec([None, None], tf.int32), tf.TensorSpec([None], tf.int32)]
    )
    def score(token_ids: tf.Tensor, lengths: tf.Tensor) -> tf.Tensor:
        return tf.concat(model.branch_scores((token_ids, lengths), training=False), axis=1)

    return score.get_concrete_function()


def score_split(
    scorer: Scorer, split: Split, num_classes: int, worker: int = 0, num_workers: int = 1
) -> np.ndarray:
    """Scores the texts of a split.

    With several workers, each scores a part of the texts; the others get zeros.

    Args:
      scorer: as from `make_scorer`.
      split: the texts.
      num_classes: number of scores of a text.
      worker: index of this worker.
      num_workers: number of workers.

    Returns:
      float32[texts, classes], in the order of the split.
    """
    scores = np.zeros((len(split), num_classes), np.float32)
    for indices, batch in evaluation_batches(split, worker, num_workers):
        scores[indices] = scorer(batch.token_ids, batch.lengths)
    return scores


def weigh_on(branches: np.ndarray, split: Split, rule: ThresholdRule | None) -> Weighed:
    """Weighs branches on the texts of a split, which have one label each or sets.

    Args:
      branches: float32[texts, branches, classes], scores of each branch.
      split: the texts.
      rule: how labels are accepted; None = the predicted one is.
    """
    if split.set_size:
        weighed = weigh_sets(branches, split.set_rows[:, : split.set_size])
    else:
        weighed = weigh(branches, split.classes)
    if rule is None:
        return weighed
    found = weighed.answers(split, [])
    rows = found.rows[:, : branches.shape[2]]
    thresholds = fit_thresholds(rule, found.probability, rows, found.can_have)
    return weighed._replace(thresholds=thresholds)


def weigh(branches: np.ndarray, classes: np.ndarray) -> Weighed:
    """Weighs branches on texts, of which those with an unknown label say nothing.

    Args:
      branches: float32[texts, branches, classes], scores of each branch.
      classes: int[texts], class of each text.
    """
    is_known = classes < branches.shape[2]
    weights = fit_branch_weights(branches[is_known], classes[is_known])
    temperature = float(1.0 / weights.sum())
    weights *= temperature
    return Weighed(branches, np.einsum("b,tbc->tc", weights, branches), temperature, weights)


def measure_branches(
    branches: np.ndarray, split: Split, rule: ThresholdRule | None
) -> dict[str, float]:
    """Measures each of two branches alone, as if the other were not there.

    Args:
      branches: float32[texts, branches, classes], scores of the network and of the n-grams.
      split: the texts.
      rule: how labels are accepted; None = the predicted one is.

    Returns:
      `network_loss`, `network_accuracy`, `ngrams_loss` and `ngrams_accuracy`, at the temperature
      that fits best; nothing where there is one branch.
    """
    found: dict[str, float] = {}
    if branches.shape[1] == 2:
        for place, name in enumerate(("network", "ngrams")):
            alone = weigh_on(branches[:, place : place + 1], split, rule)
            measured = alone.answers(split, []).measures()
            found |= {f"{name}_loss": measured.loss, f"{name}_accuracy": measured.accuracy}
    return found


def fit_branch_weights(branches: np.ndarray, classes: np.ndarray) -> np.ndarray:
    """Fits the weights of the branches, which minimize the cross-entropy of the weighted sum.

    The objective is the sum of the losses of all texts, which is convex, and the `prior_loss` of
    the weights: it keeps them finite if the scores make no mistake, and decides where texts are
    few.

    Args:
      branches: float32[texts, branches, classes], scores of each branch.
      classes: int[texts], class of each text.

    Returns:
      float64[branches], within `WEIGHT_BOUNDS`.
    """
    scores = branches.astype(np.float64)
    target = np.take_along_axis(scores, classes[:, None, None], axis=2)[:, :, 0]

    def objective(weights: np.ndarray) -> tuple[float, np.ndarray]:
        """Returns the objective and its gradient."""
        mixed = np.einsum("b,tbc->tc", weights, scores)
        losses = np.logaddexp.reduce(mixed, axis=1) - target @ weights
        mean = np.einsum("tbc,tc->tb", scores, softmax(mixed))
        penalty, of_prior = prior_loss(weights)
        return losses.sum() + penalty, (mean - target).sum(axis=0) + of_prior

    start = usual_weights(scores.shape[1])
    found = optimize.minimize(
        objective, start, jac=True, method="L-BFGS-B", bounds=[WEIGHT_BOUNDS] * len(start),
        options={"ftol": 1e-15, "gtol": 1e-9},
    )  # fmt: skip
    return found.x


def weigh_sets(branches: np.ndarray, rows: np.ndarray) -> Weighed:
    """Weighs branches on texts with sets of labels.

    Args:
      branches: float32[texts, branches, classes], scores of each branch.
      rows: bool[texts, classes], the labels of each text.
    """
    weights, offsets = fit_set_weights(branches, rows)
    temperature = float(1.0 / weights.sum())
    weights, offsets = weights * temperature, offsets * temperature
    scores = np.einsum("b,tbc->tc", weights, branches) + offsets
    return Weighed(branches, scores, temperature, weights, offsets)
