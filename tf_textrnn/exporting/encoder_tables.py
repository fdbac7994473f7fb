"""What `predictor/encoder.py` knows of Unicode, read off the ops of `text.py`.

RE2, ICU and Python each know another version of Unicode. So every code point goes through the ops
once, and an encoder without TensorFlow looks up what came out.
"""

import functools
from typing import Any

import numpy as np
import tensorflow as tf

from tf_textrnn.text import ALONE, BINDER, LETTER, MARK, SPACE, lower_case

# No text holds a surrogate: in UTF-8 it is invalid.
_CODES = np.concatenate([np.arange(0xD800), np.arange(0xE000, 0x110000)])


@functools.cache  # seconds
def read_tables(tokenizer: str) -> dict[str, Any]:
    """Reads the tables of a tokenizer, for `model.json`.

    A class of characters is a flat list of ranges: the first code point of each, then the one after
    its last.

    Args:
      tokenizer: "word" or "char".

    Returns:
      "name", the tokenizer, and "spaces", a class. For "word" also the classes "alone", "letters",
      "binders" and "marks" (the pieces of `text.py`); "cased" and "ignorable", by which ICU tells
      the Σ that ends a word; and "lower", the lower cases: "runs" of [first code point, last + 1,
      step, what to add], and "others", where one character becomes several.
    """
    characters = tf.strings.unicode_encode(_CODES.astype(np.int32)[:, None], "UTF-8")
    is_space = _matches(characters, SPACE)
    tables: dict[str, Any] = {"name": tokenizer, "spaces": _ranges(_CODES[is_space])}
    if tokenizer == "char":
        return tables
    codes, characters = _CODES[~is_space], tf.boolean_mask(characters, ~is_space)
    for name, pattern in (
        ("alone", ALONE), ("letters", LETTER), ("binders", BINDER), ("marks", MARK)
    ):  # fmt: skip
        tables[name] = _ranges(codes[_matches(characters, pattern)])
    # A cased character makes the Σ behind it end a word; one that is ignorable is looked past.
    is_cased = _matches(lower_case(characters + "Σ"), ".*ς")
    is_either = _matches(lower_case("a" + characters + "Σ"), ".*ς")
    tables["cased"] = _ranges(codes[is_cased])
    tables["ignorable"] = _ranges(codes[is_either & ~is_cased])
    lower = [text.decode() for text in lower_case(characters).numpy()]
    pairs = zip(map(chr, codes.tolist()), lower, strict=True)
    tables["lower"] = _lower_cases([(upper, other) for upper, other in pairs if upper != other])
    return tables


def _matches(texts: tf.Tensor, pattern: str) -> np.ndarray:
    return tf.strings.regex_full_match(texts, pattern).numpy()


def _ranges(codes: np.ndarray) -> list[int]:
    is_first = np.diff(codes, prepend=-2) > 1
    is_last = np.roll(is_first, -1)
    return np.stack([codes[is_first], codes[is_last] + 1], axis=1).ravel().tolist()


def _lower_cases(pairs: list[tuple[str, str]]) -> dict[str, Any]:
    """The table "lower" of characters in ascending order and their lower cases."""
    runs: list[list[int]] = []
    others: dict[str, str] = {}
    for upper, lower in pairs:
        if len(lower) > 1:
            others[upper] = lower
            continue
        code, added = ord(upper), ord(lower) - ord(upper)
        if runs and runs[-1][3] == added:
            first, end, step, _ = runs[-1]
            distance = code - (end - 1)
            if distance == step or (end - first == 1 and distance == 2):
                runs[-1] = [first, code + 1, distance, added]
                continue
        runs.append([code, code + 1, 1, added])
    return {"runs": runs, "others": others}
