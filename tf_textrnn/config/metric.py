"""What `--metric` asks for: a measure of the validation texts."""

from typing import NamedTuple

from tf_textrnn.base.errors import UserError

_PLAIN = ("loss", "accuracy", "macro_f1")
_OF_A_LABEL = ("f1", "recall_at_precision")


class Metric(NamedTuple):
    """A measure of the validation texts.

    Attributes:
      kind: "loss", "accuracy", "macro_f1" = the mean of the F1 of the
        labels that the model knows, "f1" = that of `label`, or
        "recall_at_precision" = the largest share of the texts of `label` that are found while at
        least `precision` of those found are right.
      label: the label that is measured; empty = all of them.
      precision: a number above 0, at most 1.
    """

    kind: str
    label: str = ""
    precision: float = 0.0

    @property
    def field(self) -> str:
        """What a line of `metrics.jsonl` calls it."""
        return f"valid_{self.kind}" if self.kind in ("loss", "accuracy") else "valid_metric"

    @property
    def sign(self) -> int:
        """1 where more is better, -1 where less is."""
        return -1 if self.kind == "loss" else 1


def read_metric(text: str) -> Metric:
    """Reads `--metric`.

    Raises:
      UserError: it is none.

    Example:
      >>> read_metric("recall_at_precision:spam:0.9")
      Metric(kind='recall_at_precision', label='spam', precision=0.9)
    """
    kind, _, label = text.partition(":")
    precision = 0.0
    if kind == "recall_at_precision":
        label, _, number = label.rpartition(":")
        try:
            precision = float(number)
        except ValueError:
            label = ""
        if not 0 < precision <= 1:
            label = ""
    if not (text in _PLAIN or (kind in _OF_A_LABEL and label)):
        raise UserError(
            f"flag --metric={text}: expected loss, accuracy, macro_f1, f1:LABEL or "
            f"recall_at_precision:LABEL:P with P a number up to 1, such as 0.9"
        )
    return Metric(kind, label, precision)
