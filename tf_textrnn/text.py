"""Turns texts into token ids, by the same TensorFlow ops in training and in the served model.

A vocabulary file holds one token a line, in UTF-8; a token's id is its line number from 0. Lines 0
and 1 stand for padding and for tokens that are not in the vocabulary.
"""

import heapq
from collections.abc import Sequence

import numpy as np
import tensorflow as tf

PADDING_ID, UNKNOWN_ID = 0, 1
SPECIAL_TOKENS = (b"[PAD]", b"[UNK]")  # neither tokenizer makes a token like these
MAX_TEXT_BYTES = 1 << 20  # a longer text is cut here

_SPACES = r"[\p{Cc}\p{Z}\x{200B}]+"  # U+200B marks words on Khmer and Burmese pages
_UNSPACED = ("Thai", "Lao", "Khmer", "Myanmar")
# RE2 has no intersection: what is not outside a script, nor a mark or digit, is its letter. UAX 29
# counts U+0E33 and U+0EB3 as marks.
_LETTER = "|".join(rf"[^\P{{{script}}}\P{{L}}\x{{0E33}}\x{{0EB3}}]" for script in _UNSPACED)
# A letter with its marks. U+17D2 and U+1039 bind the letter that follows; U+200C and U+200D, which
# UAX 29 counts as marks, change how a mark is drawn.
_CLUSTER = (
    rf"(?:{_LETTER})"
    rf"(?:[\x{{17D2}}\x{{1039}}](?:{_LETTER})"
    r"|[\p{M}\x{0E33}\x{0EB3}\x{200C}\x{200D}])*"
)
_STANDS_ALONE = rf"[\p{{P}}\p{{S}}\p{{Han}}\p{{Hiragana}}\p{{Katakana}}]|{_CLUSTER}"


def tokenize(texts: tf.Tensor, tokenizer: str, max_tokens: int) -> tf.RaggedTensor:
    """Splits texts into tokens.

    Invalid UTF-8 becomes U+FFFD; a run of control characters and spaces becomes one space.

    Args:
      texts: string[n], in UTF-8.
      tokenizer: "word" lower-cases, makes each punctuation mark, symbol, Chinese or Japanese
        character, and Thai, Lao, Khmer or Burmese letter with its marks a token of its own, and
        splits the rest at spaces; "char" makes each character a token, including the spaces
        between words.
      max_tokens: maximum number of tokens of a text; the rest is cut.

    Returns:
      string[n, (tokens)].
    """
    texts = tf.strings.substr(texts, 0, MAX_TEXT_BYTES)
    texts = tf.strings.unicode_transcode(texts, "UTF-8", "UTF-8", errors="replace")
    texts = tf.strings.regex_replace(texts, _SPACES, " ")
    if tokenizer == "char":
        tokens = tf.strings.unicode_split(tf.strings.strip(texts), "UTF-8")
    else:
        texts = tf.strings.lower(texts, encoding="utf-8")
        tokens = tf.strings.split(tf.strings.regex_replace(texts, _STANDS_ALONE, r" \0 "))
    return tokens[:, :max_tokens]


def build_vocabulary(tokens: Sequence[bytes], counts: np.ndarray, size: int) -> list[bytes]:
    """Returns the special tokens, then the most frequent tokens; ties are in order of their bytes.

    Args:
      tokens: distinct tokens.
      counts: int[len(tokens)], how often each occurs; tokens that never occur are left out.
      size: maximum number of entries, including the special ones.
    """
    counted = zip(counts.tolist(), tokens, strict=True)
    best = heapq.nsmallest(
        size - len(SPECIAL_TOKENS), ((-count, token) for count, token in counted if count)
    )
    return [*SPECIAL_TOKENS, *(token for _, token in best)]


class TextEncoder(tf.Module):
    """Encodes texts as token ids, in the graph.

    Args:
      vocabulary_file: file of one token a line, as `build_vocabulary` returns them.
      tokenizer: "word" or "char", as in `tokenize`.
      max_len: maximum number of tokens of a text; the rest is cut.
    """

    def __init__(self, vocabulary_file: str, tokenizer: str, max_len: int):
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

    def __call__(self, texts: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """Encodes texts.

        Args:
          texts: string[n].

        Returns:
          Token ids int32[n, time], padded on the right with 0, and lengths int32[n].
        """
        tokens = tokenize(texts, self.tokenizer, self.max_len)
        token_ids = tf.cast(self._ids.lookup(tokens), tf.int32)
        return token_ids.to_tensor(PADDING_ID), tf.cast(token_ids.row_lengths(), tf.int32)
