"""How good predictions are, by label. Needs NumPy, no TensorFlow."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from tf_textrnn.base.errors import UserError
from tf_textrnn.base.tables import display_width, pad, shown_labels


class Evaluation:
    """Counts how often each label is taken for each.

    Args:
      labels: the label of each class.
      name: the file, for errors.
    """

    def __init__(self, labels: Sequence[str], name: str):
        self._labels = labels
        self._class_of = {label: index for index, label in enumerate(labels)}
        self._name = name
        self._line = 0
        self.matrix = np.zeros((len(labels), len(labels)), np.int64)  # [true, predicted]

    def parse(self, lines: Sequence[str]) -> tuple[list[int], list[str]]:
        """The classes and texts of lines label<TAB>text; empty ones are passed over."""
        classes, texts = [], []
        for line in lines:
            self._line += 1
            if not line:
                continue
            label, tab, text = line.partition("\t")
            where = f"{self._name}:{self._line}"
            if not tab:
                raise UserError(f"{where}: expected label<TAB>text, found no tab")
            if label.strip() not in self._class_of:
                raise UserError(f"{where}: the model has no label {label[:40]!r}")
            classes.append(self._class_of[label.strip()])
            texts.append(text)
        return classes, texts

    def add(self, classes: Sequence[int], predictions: np.ndarray) -> None:
        """Takes in texts of these classes and what was predicted for them."""
        np.add.at(self.matrix, (np.array(classes), predictions), 1)

    def report(self) -> dict[str, Any]:
        """Accuracy, macro F1, and precision, recall, F1 and texts of each label.

        Raises:
          UserError: there was no labeled text.
        """
        if not self.matrix.any():
            raise UserError(f"{self._name}: no labeled texts")
        right = np.diag(self.matrix).astype(float)
        support, predicted = self.matrix.sum(axis=1), self.matrix.sum(axis=0)
        precision = right / np.maximum(predicted, 1)
        recall = right / np.maximum(support, 1)
        f1 = 2 * right / np.maximum(support + predicted, 1)
        return {
            "texts": int(support.sum()),
            "accuracy": float(right.sum() / support.sum()),
            "macro_f1": float(f1.mean()),
            "per_class": {
                label: {
                    "precision": float(precision[i]),
                    "recall": float(recall[i]),
                    "f1": float(f1[i]),
                    "support": int(support[i]),
                }
                for i, label in enumerate(self._labels)
            },
        }


def label_table(per_class: Mapping[str, Mapping[str, float]]) -> str:
    """A table for people: precision, recall, F1 and number of texts of each label.

    Args:
      per_class: by label, `precision`, `recall`, `f1` and `support`.
    """
    shown = shown_labels(per_class)
    width = max(12, *map(display_width, shown.values()))
    lines = [f"{'label':<{width}}  precision  recall      f1  texts"]
    for label, row in per_class.items():
        lines.append(
            f"{pad(shown[label], width)}  {row['precision']:9.3f}  {row['recall']:6.3f}"
            f"  {row['f1']:6.3f}  {row['support']:5d}"
        )
    return "\n".join(lines)
