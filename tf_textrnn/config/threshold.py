"""What `--threshold` asks for."""

from typing import NamedTuple

from tf_textrnn.base.errors import UserError

_PRECISION = "precision:"


class ThresholdRule(NamedTuple):
    """How the least probability of an accepted label is found.

    Attributes:
      kind: "fixed" = `value` is the probability; "f1" = the largest F1 of the label on validation
        texts; "precision" = `value` is the share of accepted ones there that are right.
      value: a number from 0 to 1.
    """

    kind: str
    value: float = 0.0


def threshold_rule(text: str) -> ThresholdRule | None:
    """Reads `--threshold`; None = auto, by which the one label of a text is always accepted.

    Raises:
      UserError: it is none.

    Example:
      >>> threshold_rule("precision:0.95")
      ThresholdRule(kind='precision', value=0.95)
    """
    if text == "auto":
        return None
    if text == "f1":
        return ThresholdRule("f1")
    kind = "precision" if text.startswith(_PRECISION) else "fixed"
    try:
        value = float(text.removeprefix(_PRECISION))
    except ValueError:
        value = -1.0
    if not 0 <= value <= 1:
        raise UserError(
            f"flag --threshold={text}: expected a number from 0 to 1, f1, or precision: and a "
            "number, such as precision:0.95"
        )
    return ThresholdRule(kind, value)
