"""How much each text counts in the training loss: by its label, and by itself."""

import math
import pathlib
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from tf_textrnn.base.errors import UserError
from tf_textrnn.data.columns import column_number, find_name
from tf_textrnn.data.objects import ABSENT, value_of
from tf_textrnn.data.readers import OpenFile

if TYPE_CHECKING:
    from scipy import sparse


def loss_weights(
    class_weights: str,
    labels: Sequence[str],
    label_sets: "sparse.csr_array",
    of_texts: np.ndarray | None,
) -> np.ndarray:
    """Returns float32[texts], the factor of each text's loss.

    Args:
      class_weights: none, balanced, or a file.
      labels: the label of each class.
      label_sets: float32[texts, classes], 1 for each label of a text.
      of_texts: float32[texts], how much each counts by itself; their mean is made 1. None = alike.

    Raises:
      UserError: the file has a mistake, or no text counts.
    """
    weights = np.ones(label_sets.shape[0], np.float32)
    if class_weights == "balanced":
        weights *= balanced_weights(label_sets)
    elif class_weights != "none":
        weights *= weights_of_texts(label_sets, read_class_weights(class_weights, labels))
    if of_texts is not None:
        weights *= of_texts / max(of_texts.mean(), np.finfo(np.float32).tiny)
    if not weights.any():
        raise UserError("every text to train on has the weight 0; expected one above 0")
    return weights


def text_weigher(file: OpenFile, column: str) -> Callable[[Any], float]:
    """Returns what takes the weight of a text from its record's cells.

    Args:
      file: a table, or objects with keys.
      column: its column, by name or by number from 1, or its key.

    Raises:
      UserError: the file has no such column. What is returned raises a ValueError where a record
        has no such key, or where there is no weight.
    """
    place: int | None = None
    if file.delimiter or file.format == "parquet":
        names = file.header or []
        asked = column_number(column)
        place = asked - 1 if asked else find_name(column, names)
        if place is None or (names and place >= len(names)):
            raise UserError(
                f"{file.name}: no column {column!r} (--weight_column); the header has "
                f"{', '.join(map(repr, names)) or 'no names'}"
            )
    elif file.format not in ("jsonl", "json"):
        raise UserError(
            f"{file.name}: --weight_column={column}: expected a table or JSON, found {file.format}"
        )

    def weight(cells: Any) -> float:
        if place is None:
            if (value := value_of(cells, column)) is ABSENT:
                raise ValueError(f"no key {column!r} (--weight_column)")
            return number(value)
        return number(cells[place] if place < len(cells) else "")

    return weight


def number(value: Any) -> float:
    """A weight as a file writes it.

    Raises:
      ValueError: it is no number of at least 0.
    """
    try:
        found = math.nan if isinstance(value, bool) else float(value)
    except (TypeError, ValueError, OverflowError):
        found = math.nan
    if not 0 <= found < math.inf:
        raise ValueError(f"expected a weight of at least 0, found {str(value)[:40]!r}")
    return found


def read_class_weights(path: str, labels: Sequence[str]) -> np.ndarray:
    """Reads float32[classes], the weight of each label, from lines of label, tab and weight.

    Args:
      path: the file, in UTF-8; a comma may stand for the tab.
      labels: the label of each class.

    Raises:
      UserError: the file cannot be read, or does not name each label once, with a weight.
    """
    try:
        lines = pathlib.Path(path).read_text("utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "it is not UTF-8"
        raise UserError(
            f"--class_weights={path}: {reason}; expected none, balanced, or a file with a "
            "label and its weight in each line"
        ) from error
    weights: dict[str, float] = {}
    for line_number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        label, _, weight = line.rpartition("\t" if "\t" in line else ",")
        label = label.strip()
        try:
            if label not in labels:
                raise ValueError(f"{label[:40]!r} is no label of the training texts")
            if label in weights:
                raise ValueError(f"the label {label[:40]!r} stands here again")
            weights[label] = number(weight.strip())
        except ValueError as error:
            raise UserError(f"{path}:{line_number}: {error}") from error
    lacking = [label for label in labels if label not in weights]
    if lacking:
        more = f" and {len(lacking) - 1:,} more" if len(lacking) > 1 else ""
        raise UserError(f"{path}: no weight of the label {lacking[0][:40]!r}{more}")
    return np.array([weights[label] for label in labels], np.float32)


def weights_of_texts(label_sets: "sparse.csr_array", of_class: np.ndarray) -> np.ndarray:
    """Returns float32[texts], the weight of each text's label.

    A text of several labels has the mean of their weights; one without labels has 1.

    Args:
      label_sets: float32[texts, classes], 1 for each label of a text.
      of_class: float[classes], the weight of each class.
    """
    num_labels = np.diff(label_sets.indptr)
    weights = label_sets @ of_class.astype(np.float32) / np.maximum(num_labels, 1)
    return np.where(num_labels > 0, weights, 1.0).astype(np.float32)


def balanced_weights(label_sets: "sparse.csr_array") -> np.ndarray:
    """Returns float32[texts], weights whose sum is the same for each class and whose mean is 1.

    Args:
      label_sets: float32[texts, classes], 1 for each label of a text.
    """
    num_texts, num_classes = label_sets.shape
    counts = np.bincount(label_sets.indices, minlength=num_classes)
    of_class = num_texts / (num_classes * np.maximum(counts, 1))
    return weights_of_texts(label_sets, of_class)
