"""How much each text counts in the training loss."""

import numpy as np
from scipy import sparse


def balanced_weights(label_sets: sparse.csr_array) -> np.ndarray:
    """Returns float32[texts], weights whose sum is the same for each class and whose mean is 1.

    A text of several labels has the mean of their weights; one without labels has 1.

    Args:
      label_sets: float32[texts, classes], 1 for each label of a text.
    """
    num_texts, num_classes = label_sets.shape
    counts = np.bincount(label_sets.indices, minlength=num_classes)
    of_class = num_texts / (num_classes * np.maximum(counts, 1))
    num_labels = np.diff(label_sets.indptr)
    weights = label_sets @ of_class.astype(np.float32) / np.maximum(num_labels, 1)
    return np.where(num_labels > 0, weights, 1.0).astype(np.float32)
