"""Scores of whole splits, each worker computing a part, and the weights of a model's branches.

The weights of the branches are fitted on validation texts; the weight of one branch is the inverse
of its temperature (Guo 2017).
"""

from collections.abc import Callable

import numpy as np
import tensorflow as tf
from scipy import optimize

from tf_textrnn.base import signals
from tf_textrnn.data.batches import Split, evaluation_batches
from tf_textrnn.network.model import TextRNN
from tf_textrnn.runs.measures import softmax
from tf_textrnn.training.distribution import Workers

Scorer = Callable[[tf.Tensor, tf.Tensor], tf.Tensor]
WEIGHT_BOUNDS = (0.1, 10.0)  # so that a small validation set silences no branch


class SplitScorer:
    """Scores splits with a model's weights as they are.

    Args:
      model: built.
      workers: all that train together.
    """

    def __init__(self, model: TextRNN, workers: Workers):
        self._model = model
        self._workers = workers
        self._scorer = make_scorer(model)
        self._branch_scorer = make_branch_scorer(model)

    def score(self, split: Split) -> np.ndarray:
        """float32[texts, classes]: the model's scores."""
        return self._score(self._scorer, split, self._model.num_classes)

    def weigh_branches(self, valid: Split) -> tuple[np.ndarray, float]:
        """Weighs the n-grams against the network, whose scores stay as they are.

        Returns:
          float32[texts, classes], the scores of the validation texts, and their temperature.
        """
        classes, ngrams = self._model.num_classes, self._model.ngrams
        branches = 2 if ngrams else 1
        scores = self._score(self._branch_scorer, valid, branches * classes)
        scores = scores.reshape(-1, branches, classes)
        weights = fit_branch_weights(scores, valid.classes)
        weights, temperature = weights / weights[0], float(1.0 / weights[0])
        if ngrams:
            for weight in (ngrams.kernel, ngrams.bias):
                weight.assign(weight * weights[1])
        return np.einsum("b,tbc->tc", weights, scores), temperature

    def _score(self, scorer: Scorer, split: Split, num_scores: int) -> np.ndarray:
        workers = self._workers

        def interruptible(token_ids: tf.Tensor, lengths: tf.Tensor) -> tf.Tensor:
            if workers.count == 1:  # of several, none may leave the others here
                signals.check()
            return scorer(token_ids, lengths)

        scores = score_split(interruptible, split, num_scores, workers.index, workers.count)
        return workers.sum_arrays(scores)


def make_scorer(model: TextRNN) -> Scorer:
    """The model's compiled `(token_ids, lengths) -> scores`, without dropout."""

    @tf.function(
        input_signature=[tf.TensorSpec([None, None], tf.int32), tf.TensorSpec([None], tf.int32)]
    )
    def score(token_ids: tf.Tensor, lengths: tf.Tensor) -> tf.Tensor:
        return model((token_ids, lengths), training=False)

    return score


def make_branch_scorer(model: TextRNN) -> Scorer:
    """As `make_scorer`, with the scores of the model's branches side by side."""

    @tf.function(
        input_signature=[tf.TensorSpec([None, None], tf.int32), tf.TensorSpec([None], tf.int32)]
    )
    def score(token_ids: tf.Tensor, lengths: tf.Tensor) -> tf.Tensor:
        return tf.concat(model.branch_scores((token_ids, lengths), training=False), axis=1)

    return score


def score_split(
    scorer: Scorer, split: Split, num_classes: int, worker: int = 0, num_workers: int = 1
) -> np.ndarray:
    """float32[examples, classes]: the scores of a split's examples, in their order.

    Of several workers each scores a part; elsewhere its scores are zeros.
    """
    scores = np.zeros((len(split), num_classes), np.float32)
    for examples, batch in evaluation_batches(split, worker, num_workers):
        scores[examples] = scorer(batch.token_ids, batch.lengths)
    return scores


def fit_branch_weights(branches: np.ndarray, classes: np.ndarray) -> np.ndarray:
    """The weights with which the sum of the branches' scores has the least cross-entropy.

    The function is convex; a pull of each weight towards 1, as strong as half the square of its
    distance beside the sum over all texts, keeps the weights finite where the texts are told apart
    without a mistake.

    Args:
      branches: float32[texts, branches, classes], scores.
      classes: int[texts], the class of each text.

    Returns:
      float64[branches], within `WEIGHT_BOUNDS`.
    """
    scores = branches.astype(np.float64)
    target = np.take_along_axis(scores, classes[:, None, None], axis=2)[:, :, 0]

    def objective(weights: np.ndarray) -> tuple[float, np.ndarray]:
        """The value and its gradient."""
        mixed = np.einsum("b,tbc->tc", weights, scores)
        losses = np.logaddexp.reduce(mixed, axis=1) - target @ weights
        mean = np.einsum("tbc,tc->tb", scores, softmax(mixed))
        pull = weights - 1.0
        return losses.sum() + 0.5 * pull @ pull, (mean - target).sum(axis=0) + pull

    start = np.ones(scores.shape[1])
    found = optimize.minimize(
        objective, start, jac=True, method="L-BFGS-B", bounds=[WEIGHT_BOUNDS] * len(start),
        options={"ftol": 1e-15, "gtol": 1e-9},
    )  # fmt: skip
    return found.x
