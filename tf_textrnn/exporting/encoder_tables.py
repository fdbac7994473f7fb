"""What `predictor/encoder.py` knows of Unicode, read off the ops of `text.py`.

RE2, ICU and Python each know another version of Unicode. So every code point goes through the ops
once, and an encoder without TensorFlow looks up what came out.
"""

from typing import Any

import numpy as np
import tensorflow as tf

from tf_textrnn.text import ALONE, BINDER, LETTER, MARK, SPACE, clean, lower_case

# No text holds a surrogate: in UTF-8 it is invalid.
_CODES = np.concatenate([np.arange(0xD800), np.arange(0xE000, 0x110000)])


def read_tables(tokenizer: str) -> dict[str, Any]:
    """Reads the tables of a tokenizer, for `model.json`.

    A class of characters is a flat list of ranges: the first code point of each, then the one after
    its last.

    Args:
      tokenizer: "word" or "char".

    Returns:
      "name", the tokenizer, and "spaces", a class. For "word" also the classes "alone", "letters",
      "binders" and "marks" (the pieces of `text.py`), "cased" and "ignorable" (ICU looks for a cased
      character before and after Σ, past those it can ignore), and "lower":
      "runs" of [first, last + 1, step, what to add], and "others", where that does not do.
    """
    characters = tf.strings.unicode_encode(_CODES.astype(np.int32)[:, None], "UTF-8")
    is_space = _matches(characters, SPACE)
    tables: dict[str, Any] = {"name": tokenizer, "spaces": _ranges(is_space)}
    if tokenizer == "char":
        return tables
    classes = {"alone": ALONE, "letters": LETTER, "binders": BINDER, "marks": MARK}
    for name, pattern in classes.items():
        tables[name] = _ranges(_matches(characters, pattern))
    is_cased = _ends_a_word(characters + "Σ")
    tables["cased"] = _ranges(is_cased)
    tables["ignorable"] = _ranges(_ends_a_word("a" + characters + "Σ") & ~is_cased)
    return {**tables, "lower": _lower_cases(tf.boolean_mask(characters, ~is_space))}


def _matches(characters: tf.Tensor, pattern: str) -> np.ndarray:
    return tf.strings.regex_full_match(characters, pattern).numpy()


def _ends_a_word(texts: tf.Tensor) -> np.ndarray:
    """bool[n], whether the lower case of the last Σ is that of the end of a word."""
    return tf.strings.regex_full_match(lower_case(clean(texts)), ".*ς").numpy()


def _ranges(is_member: np.ndarray) -> list[int]:
    codes = _CODES[is_member]
    is_first = np.diff(codes, prepend=-2) > 1
    is_last = np.roll(is_first, -1)
    return np.stack([codes[is_first], codes[is_last] + 1], axis=1).ravel().tolist()


def _lower_cases(characters: tf.Tensor) -> dict[str, Any]:
    """The table "lower": each run takes all letters that it can, so that there are few."""
    lowered = lower_case(characters).numpy()
    pairs = [
        (upper.decode(), lower.decode())
        for upper, lower in zip(characters.numpy(), lowered, strict=True)
        if upper != lower
    ]
    runs: list[list[int]] = []
    others = {upper: lower for upper, lower in pairs if len(lower) > 1}
    for upper, lower in pairs:
        if upper in others:
            continue
        code, added = ord(upper), ord(lower) - ord(upper)
        first, end, step, shift = runs[-1] if runs else [-9, -9, 1, 0]
        distance = code - (end - 1)
        if shift == added and (distance == step or (end - first == 1 and distance <= 2)):
            runs[-1] = [first, code + 1, distance, added]
        else:
            runs.append([code, code + 1, 1, added])
    return {"runs": runs, "others": others}
