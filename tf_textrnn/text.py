"""Turns texts into token ids, by the same TensorFlow ops in training and in the served model.

A vocabulary file holds one token a line, in UTF-8; a token's id is its line number from 0. Lines 0
and 1 stand for padding and for tokens that are not in the vocabulary.
"""

import heapq
from collections.abc import Sequence

import numpy as np
import tensorflow as tf

from tf_textrnn.predictor.encoder import (
    LONGEST_ENDING,
    MAX_TEXT_BYTES,
    SHORTEST_STEM,
    UNKNOWN_ID,
)

PADDING_ID = 0
SPECIAL_TOKENS = (b"[PAD]", b"[UNK]")  # neither tokenizer makes a token like these

SPACE = r"[\p{Cc}\p{Z}\x{200B}]"  # U+200B marks words on Khmer and Burmese pages
ALONE = r"[\p{P}\p{S}\p{Han}\p{Hiragana}\p{Katakana}]"
_UNSPACED = ("Thai", "Lao", "Khmer", "Myanmar")
# RE2 has no intersection: what is not outside a script, nor a mark or digit, is its letter. UAX 29
# counts U+0E33 and U+0EB3 as marks.
LETTER = "|".join(rf"[^\P{{{script}}}\P{{L}}\x{{0E33}}\x{{0EB3}}]" for script in _UNSPACED)
BINDER = r"[\x{17D2}\x{1039}]"  # binds the letter that follows
# UAX 29 counts U+200C and U+200D as marks; they change how a mark is drawn.
MARK = r"[\p{M}\x{0E33}\x{0EB3}\x{200C}\x{200D}]"
_CLUSTER = rf"(?:{LETTER})(?:{BINDER}(?:{LETTER})|{MARK})*"  # a letter with its marks
# In a Turkish, Azeri or Lithuanian locale ICU lower-cases these letters, I and J otherwise.
_LOCAL_LETTERS = {"İ": "i̇", "Į": "į", "Ì": "ì", "Í": "í", "Ĩ": "ĩ"}


def clean(texts: tf.Tensor) -> tf.Tensor:
    """Makes texts valid UTF-8 and each run of control characters and spaces one space.

    Args:
      texts: string[n], any bytes; invalid UTF-8 becomes U+FFFD.
    """
    texts = tf.strings.substr(texts, 0, MAX_TEXT_BYTES)
    texts = tf.strings.unicode_transcode(texts, "UTF-8", "UTF-8", errors="replace")
    return tf.strings.regex_replace(texts, SPACE + "+", " ")


def lower_case(texts: tf.Tensor) -> tf.Tensor:
    """Lower-cases texts alike in every locale: `tf.strings.lower` asks ICU for the process's.

    Args:
      texts: string[n], as `clean` returns them.
    """
    texts = tf.strings.lower(texts)  # A to Z
    for letter, lower in _LOCAL_LETTERS.items():
        texts = tf.strings.regex_replace(texts, letter, lower)
    return tf.strings.lower(texts, encoding="utf-8")


def tokenize(texts: tf.Tensor, tokenizer: str, max_tokens: int | None) -> tf.RaggedTensor:
    """Splits texts into tokens.

    Invalid UTF-8 becomes U+FFFD; a run of control characters and spaces becomes one space.

    Args:
      texts: string[n], in UTF-8.
      tokenizer: "word" lower-cases, makes each punctuation mark, symbol, Chinese or Japanese
        character, and Thai, Lao, Khmer or Burmese letter with its marks a token of its own, and
        splits the rest at spaces; "char" makes each character a token, including the spaces
        between words.
      max_tokens: maximum number of tokens of a text; the rest is cut; None = all of them.

    Returns:
      string[n, (tokens)].
    """
    texts = clean(texts)
    if tokenizer == "char":
        tokens = tf.strings.unicode_split(tf.strings.strip(texts), "UTF-8")
    else:
        spaced = tf.strings.regex_replace(lower_case(texts), f"{ALONE}|{_CLUSTER}", r" \0 ")
        tokens = tf.strings.split(spaced)
    return tokens[:, :max_tokens]


def build_vocabulary(
    tokens: Sequence[bytes],
    counts: np.ndarray,
    size: int,
    known: Sequence[bytes] = SPECIAL_TOKENS,
) -> list[bytes]:
    """Returns the known tokens, then the most frequent ones; ties are in order of their bytes.

    Args:
      tokens: distinct tokens.
      counts: int[len(tokens)], how often each occurs; tokens that never occur are left out.
      size: maximum number of entries, the known ones among them; these are never left out.
      known: tokens that keep their ids, the special ones first.
    """
    are_known = frozenset(known)
    counted = zip(counts.tolist(), tokens, strict=True)
    others = ((-count, token) for count, token in counted if count and token not in are_known)
    best = heapq.nsmallest(size - len(known), others)
    return [*known, *(token for _, token in best)]


class TextEncoder(tf.Module):
    """Encodes texts as token ids, in the graph.

    Args:
      vocabulary_file: file of one token a line, as `build_vocabulary` returns them.
      tokenizer: "word" or "char", as in `tokenize`.
      max_len: maximum number of tokens of a text; the rest is cut.
      stems_file: a stem, a tab and the id of the word that it stands for in each line, those of
        `TokenIds.of_stems`; None = words that the vocabulary lacks are not read by their stems.
    """

    def __init__(
        self, vocabulary_file: str, tokenizer: str, max_len: int, stems_file: str | None = None
    ):
        super().__init__()
        self.tokenizer = tokenizer
        self.max_len = max_len
        self._ids = tf.lookup.StaticHashTable(
            tf.lookup.TextFileInitializer(
                vocabulary_file,
                tf.string,
                tf.lookup.TextFileIndex.WHOLE_LINE,
                tf.int64,
                tf.lookup.TextFileIndex.LINE_NUMBER,
            ),
            default_value=UNKNOWN_ID,
        )
        self._of_stems = None
        if stems_file:
            self._of_stems = tf.lookup.StaticHashTable(
                tf.lookup.TextFileInitializer(stems_file, tf.string, 0, tf.int64, 1),
                default_value=UNKNOWN_ID,
            )

    def __call__(self, texts: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """Encodes texts.

        Args:
          texts: string[n].

        Returns:
          Token ids int32[n, time], padded on the right with 0, and lengths int32[n].
        """
        token_ids, lengths, _ = self.encode(texts)
        return token_ids, lengths

    def encode(self, texts: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
        """Encodes texts, and tells which were cut.

        Args:
          texts: string[n].

        Returns:
          What a call returns, and bool[n], whether a text has more than `max_len` tokens.
        """
        tokens = tokenize(texts, self.tokenizer, None)
        is_cut = tokens.row_lengths() > self.max_len
        tokens = tokens[:, : self.max_len]
        token_ids = tokens.with_flat_values(self._look_up(tokens.flat_values))
        lengths = tf.cast(token_ids.row_lengths(), tf.int32)
        return token_ids.to_tensor(PADDING_ID), lengths, is_cut

    def _look_up(self, tokens: tf.Tensor) -> tf.Tensor:
        """Returns int32[tokens], the ids of tokens string[tokens], as `TokenIds` has them."""
        token_ids = tf.cast(self._ids.lookup(tokens), tf.int32)
        if self._of_stems is None:
            return token_ids
        places = tf.where(token_ids == UNKNOWN_ID)
        words = tf.gather_nd(tokens, places)
        sizes = tf.strings.length(words, unit="UTF8_CHAR")
        has_stems = ~tf.strings.regex_full_match(words, ".*[0-9].*")
        found = tf.fill(tf.shape(words), UNKNOWN_ID)
        for ending in range(LONGEST_ENDING, -1, -1):  # the longest stem comes last, and counts
            size = tf.maximum(sizes - ending, 0)
            is_stem = has_stems & (size >= SHORTEST_STEM) & (3 * size >= 2 * sizes)
            stems = tf.strings.substr(words, tf.zeros_like(size), size, unit="UTF8_CHAR")
            ids = tf.cast(self._of_stems.lookup(stems), tf.int32)
            found = tf.where(is_stem & (ids != UNKNOWN_ID), ids, found)
        return tf.tensor_scatter_nd_update(token_ids, places, found)
