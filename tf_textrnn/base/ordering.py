"""The order of labels: numbers by their value, and digits within other labels likewise."""

import re
import unicodedata
from collections.abc import Iterable
from decimal import Decimal

_NUMBER = re.compile(r"[-+]?\d+(\.\d+)?")


def natural_order(labels: Iterable[str]) -> list[str]:
    """Returns labels sorted as people count: numbers by value, then the others by their parts.

    Digits of any script count; labels of equal rank are ordered as text.

    Example:
      >>> natural_order(["b", "a10", "10", "a9", "-1", "2"])
      ['-1', '2', '10', 'a9', 'a10', 'b']
    """
    return sorted(labels, key=_key)


def _key(label: str) -> tuple:
    if _NUMBER.fullmatch(label):
        return 0, Decimal(label), label
    return 1, [_part(part) for part in re.split(r"(\d+)", label) if part], label


def _part(part: str) -> tuple[int, int, str]:
    if not part[0].isdecimal():
        return 1, 0, part
    digits = "".join(str(unicodedata.decimal(digit)) for digit in part).lstrip("0")
    return 0, len(digits), digits
