"""Takes labeled texts as Python programs have them in memory: lists, arrays, pandas Series."""

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import numpy as np
from scipy import sparse
from sklearn.utils.multiclass import check_classification_targets

from tf_textrnn.base.tables import MAX_LABEL, can_be_label
from tf_textrnn.data.datasets import examples_source
from tf_textrnn.data.sources import Example, Source


def memory_source(name: str, texts: Sequence[str], labels: Sequence[Sequence[str]]) -> Source:
    """Returns a source of texts, each with its labels.

    Lone surrogates become "?", as in `Predictor`.
    """
    examples = []
    for names, text in zip(labels, texts, strict=True):
        first, *others = names or ("",)
        plain = text.encode("utf-8", "replace").decode("utf-8")
        examples.append(Example(first, plain, others=tuple(others)))
    return examples_source(name, examples)


class LabelSets(NamedTuple):
    """Texts that have any number of labels.

    Attributes:
      classes: the different labels; the numbers of the columns where a matrix was given.
      rows: bool[texts, classes], the labels of each text.
    """

    classes: np.ndarray
    rows: np.ndarray


def as_label_sets(labels: Any, num_texts: int) -> LabelSets | None:
    """Returns the labels of texts that each have a set of them; None where it is one each.

    Args:
      labels: for each text a list, tuple or set of labels; or a matrix of 0 and 1 with a column for
        each label, as scikit-learn has it, also a sparse one.
      num_texts: number of texts.

    Raises:
      ValueError: there is not one set for each text, or a matrix of anything else.
      TypeError: labels are of several kinds.
    """
    if len(getattr(labels, "shape", ())) == 2:
        rows = np.asarray(labels.toarray() if sparse.issparse(labels) else labels)
        if rows.dtype == object or rows.shape[1] < 2 or not np.isin(rows, (0, 1)).all():
            raise ValueError(
                f"labels: found a {type(labels).__name__}; expected one label for each text, a "
                f"list of labels for each, or two columns or more of 0 and 1"
            )
        _check_count(len(rows), num_texts)
        return LabelSets(np.arange(rows.shape[1]), rows.astype(bool))
    sets = list(labels) if isinstance(labels, Iterable) else []
    if not sets or not all(isinstance(one, list | tuple | set | frozenset) for one in sets):
        return None
    _check_count(len(sets), num_texts)
    members = [label for one in sets for label in one]
    classes, places = np.unique(as_labels(members, len(members)), return_inverse=True)
    rows = np.zeros((len(sets), len(classes)), bool)
    rows[np.repeat(np.arange(len(sets)), [len(one) for one in sets]), places] = True
    return LabelSets(classes, rows)


def _check_count(found: int, num_texts: int) -> None:
    if found != num_texts:
        raise ValueError(
            f"labels: found {found} for {num_texts} texts; expected one label, or one set of "
            f"labels, for each text"
        )


def as_labels(labels: Any, num_texts: int) -> np.ndarray:
    """Checks labels and returns them as an array.

    Args:
      labels: the label of each text: strings, whole numbers or truth values, all of one kind.
      num_texts: number of texts.

    Returns:
      [texts], of dtype object for strings, else of a NumPy dtype of numbers or truth values.

    Raises:
      ValueError: there is not one label for each text, or labels are fractions.
      TypeError: labels are of several kinds, or of any other kind.
    """
    values = np.asarray(labels, object)
    if values.ndim != 1:
        raise ValueError(
            f"labels: found a {type(labels).__name__}; expected a list of one label for each text"
        )
    _check_count(len(values), num_texts)
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
    """Returns the classes as strings, as an export has them.

    Args:
      classes: the distinct labels.

    Raises:
      ValueError: there are fewer than two, or one is empty, too long or holds a control character.
    """
    if len(classes) < 2:
        found = f"only one class, {classes[0]!r}" if len(classes) else "none"
        raise ValueError(f"labels: found {found}; expected at least two classes")
    names = [str(label) for label in classes.tolist()]
    for name in names:
        if not name.strip() or len(name) > MAX_LABEL or not can_be_label(name):
            raise ValueError(
                f"labels: found {name[:40]!r}; expected at most {MAX_LABEL} printable characters"
            )
    return names


def as_weights(sample_weight: Any, num_texts: int) -> np.ndarray:
    """Checks sample weights and returns them as float32[texts].

    Args:
      sample_weight: the factor of each text's loss; None = 1 for every text.
      num_texts: number of texts.

    Raises:
      ValueError: there is not one number for each text, or one is negative or not finite.
    """
    if sample_weight is None:
        return np.ones(num_texts, np.float32)
    weights = np.asarray(sample_weight, np.float32)
    if weights.shape != (num_texts,) or not (np.isfinite(weights) & (weights >= 0)).all():
        raise ValueError(f"sample_weight: expected {num_texts} numbers, each at least 0")
    return weights
