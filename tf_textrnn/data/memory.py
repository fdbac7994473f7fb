"""Labelled texts in memory, as Python programs have them: lists, arrays, pandas Series."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from sklearn.utils.multiclass import check_classification_targets

from tf_textrnn.data.datasets import examples_source
from tf_textrnn.data.sources import MAX_LABEL, Example, Source


def memory_source(name: str, texts: Sequence[str], labels: Sequence[str]) -> Source:
    """A source of these texts, each read as `Predictor` reads it."""
    return examples_source(
        name,
        [
            Example(label, text.encode("utf-8", "replace").decode("utf-8"))
            for label, text in zip(labels, texts, strict=True)
        ],
    )


def as_labels(labels: Any, num_texts: int) -> np.ndarray:
    """The label of each text: object for strings, else a NumPy type of numbers or truth values.

    Raises:
      ValueError: it is no list of as many labels, or they are fractions.
      TypeError: they are of several kinds, or of one that is none of these.
    """
    values = np.asarray(labels, object)
    if values.ndim != 1:
        raise ValueError(
            f"labels: found a {type(labels).__name__}; expected a list of one label for each text"
        )
    if len(values) != num_texts:
        raise ValueError(
            f"labels: found {len(values)} for {num_texts} texts; expected one label for each text"
        )
    kinds = {_kind(value) for value in values}
    if len(kinds) > 1 or not kinds <= {str, int, float, bool}:
        found = " and ".join(sorted(kind.__name__ for kind in kinds))
        raise TypeError(
            f"labels: found {found}; expected strings, whole numbers or truth values, all alike"
        )
    if kinds == {str}:
        return values
    check_classification_targets(values.tolist())
    array = np.asarray(labels)
    return array.astype(kinds.pop()) if array.dtype == object else array


def _kind(label: Any) -> type:
    plain = label.item() if isinstance(label, np.generic) else label
    return str if isinstance(plain, str) else type(plain)


def class_names(classes: np.ndarray) -> list[str]:
    """The classes as an export has them, as text.

    Raises:
      ValueError: they are fewer than two, or a text that is no label.
    """
    if len(classes) < 2:
        found = f"only one class, {classes[0]!r}" if len(classes) else "none"
        raise ValueError(f"labels: found {found}; expected at least two classes")
    names = [str(label) for label in classes.tolist()]
    for name in names:
        if not name.strip() or len(name) > MAX_LABEL or not name.isprintable():
            raise ValueError(
                f"labels: found {name[:40]!r}; expected at most {MAX_LABEL} printable characters"
            )
    return names


def as_weights(sample_weight: Any, num_texts: int) -> np.ndarray:
    """float32[texts]: how much each text counts.

    Raises:
      ValueError: they are not as many numbers, or some are below 0.
    """
    if sample_weight is None:
        return np.ones(num_texts, np.float32)
    weights = np.asarray(sample_weight, np.float32)
    if weights.shape != (num_texts,) or not (np.isfinite(weights) & (weights >= 0)).all():
        raise ValueError(f"sample_weight: expected {num_texts} numbers, each at least 0")
    return weights
