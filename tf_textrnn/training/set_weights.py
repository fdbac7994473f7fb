"""Fits the weights of a model's branches where a text has a set of labels."""

import numpy as np
from scipy import optimize

from tf_textrnn.runs.set_measures import set_losses, sigmoid
from tf_textrnn.training.weight_prior import WEIGHT_BOUNDS, prior_loss, usual_weights


def fit_set_weights(branches: np.ndarray, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Fits the weights of the branches and an offset a label, by the sigmoid cross-entropy.

    Each branch has the log-odds of every label in its scores, and their weighted sum is to have
    them once. So an offset is drawn to what is then too much or too little, and a label of few
    texts stays there: the objective is the sum of the losses of all texts, the `prior_loss` of the
    weights, and half the square of each offset's distance from that.

    Args:
      branches: float32[texts, branches, classes], scores of each branch.
      rows: bool[texts, classes], the labels of each text.

    Returns:
      float64[branches], within `WEIGHT_BOUNDS`, and float64[classes]; the scores are the sum of the
      weighted branches and the offsets.
    """
    num_branches = branches.shape[1]
    shares = (rows.sum(axis=0) + 0.5) / (len(rows) + 1.0)
    log_odds = np.log(shares) - np.log1p(-shares)
    centered = branches.astype(np.float64) - log_odds

    def objective(values: np.ndarray) -> tuple[float, np.ndarray]:
        """Returns the objective and its gradient."""
        weights, offsets = values[:num_branches], values[num_branches:]
        mixed = np.einsum("b,tbc->tc", weights, centered) + log_odds + offsets
        penalty, of_prior = prior_loss(weights)
        wrong = sigmoid(mixed) - rows
        of_weights = np.einsum("tbc,tc->b", centered, wrong)
        gradient = np.concatenate([of_weights + of_prior, wrong.sum(axis=0) + offsets])
        return set_losses(mixed, rows).sum() + penalty + 0.5 * offsets @ offsets, gradient

    start = np.concatenate([usual_weights(num_branches), np.zeros(len(log_odds))])
    bounds = [WEIGHT_BOUNDS] * num_branches + [(None, None)] * len(log_odds)
    found = optimize.minimize(
        objective, start, jac=True, method="L-BFGS-B", bounds=bounds,
        options={"ftol": 1e-12, "gtol": 1e-6},
    ).x  # fmt: skip
    weights = found[:num_branches]
    return weights, found[num_branches:] + (1.0 - weights.sum()) * log_odds
