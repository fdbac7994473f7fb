"""Whether a stranger's tables of a tokenizer are such as `encoder.py` reads them."""

import itertools
from collections.abc import Mapping
from typing import Any

from tf_textrnn.base.errors import UserError

END = 0x110000  # after the last code point
RANGES = {
    "char": ("spaces",),
    "word": ("spaces", "alone", "letters", "binders", "marks", "cased", "ignorable"),
}


def check_tables(tables: Mapping[str, Any]) -> None:
    """Checks tables, before time and memory are spent on them.

    Args:
      tables: as `exporting.encoder_tables.read_tables` returns them.

    Raises:
      UserError: which of them is damaged.
    """
    tokenizer = tables.get("name")
    if tokenizer not in RANGES:
        raise UserError(f"tokenizer {tokenizer!r:.40}: expected word or char")
    for name in RANGES[tokenizer]:
        if not _are_ranges(tables.get(name)):
            raise UserError(f"tokenizer table {name}: expected ascending ranges of code points")
    if tokenizer == "word" and not _is_lower(tables.get("lower")):
        raise UserError(
            "tokenizer table lower: expected runs of [first, end, step, what to add] and others, "
            "and one ASCII letter for each of A to Z"
        )


def _are_ranges(bounds: Any) -> bool:
    return (
        isinstance(bounds, list)
        and len(bounds) % 2 == 0
        and all(type(bound) is int for bound in bounds)
        and all(before < after for before, after in itertools.pairwise([-1, *bounds, END + 1]))
    )


def _is_lower(lower: Any) -> bool:
    """Whether the runs are of code points, each met once at most, and A to Z have letters."""
    if not isinstance(lower, dict):
        return False
    runs, others = lower.get("runs"), lower.get("others")
    if not isinstance(runs, list) or not isinstance(others, dict):
        return False
    count = 0
    low: dict[int, int] = {}
    for run in runs:
        if not isinstance(run, list) or [*map(type, run)] != [int] * 4:
            return False
        first, end, step, added = run
        if not (0 <= first < end <= END and step > 0 and first + added >= 0):
            return False
        if end - 1 + added >= END:
            return False
        codes = range(first, end, step)
        count += len(codes)
        if count > END:
            return False
        low |= {code: code + added for code in codes if code < 128}
    is_ascii = all(low.get(code, code) < 128 for code in range(128))
    return is_ascii and all(
        len(upper) == 1 and not upper.isascii() and isinstance(other, str)
        for upper, other in others.items()
    )
