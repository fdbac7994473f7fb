"""The scores that a model in training gives to whole splits, each worker computing a part."""

import numpy as np
import tensorflow as tf

from tf_textrnn.base import signals
from tf_textrnn.data.batches import Split
from tf_textrnn.network.model import TextRNN
from tf_textrnn.runs.calibration import fit_branch_weights
from tf_textrnn.runs.evaluation import Scorer, make_branch_scorer, make_scorer, score_split
from tf_textrnn.training.distribution import Workers


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
