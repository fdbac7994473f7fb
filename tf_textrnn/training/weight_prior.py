"""What the weights of a model's branches are by rule, where few texts tell what they are."""

import numpy as np

WEIGHT_BOUNDS = (0.1, 10.0)  # so that a small validation set cannot silence a branch
_USUAL = {1: np.ones(1), 2: np.array([0.2, 0.8])}  # of the network, then of the n-grams
_DEVIATION = 0.5  # of the logarithm of a weight


def usual_weights(num_branches: int) -> np.ndarray:
    """Returns float64[branches], about what a training on few texts needs (docs/notes.md).

    The network has learned few texts by heart, and is too sure of others; the n-grams, from which
    each text was left out, are not.
    """
    return _USUAL[num_branches]


def prior_loss(weights: np.ndarray) -> tuple[float, np.ndarray]:
    """Returns what weights float64[branches] add to the losses of texts, and its gradient.

    It is the negative log-density of a normal distribution of the weights' logarithms around the
    usual ones, as if those had been learned from other texts.
    """
    distance = np.log(weights / usual_weights(len(weights))) / _DEVIATION
    return 0.5 * float(distance @ distance), distance / (_DEVIATION * weights)
