"""Turns texts into token ids and n-grams without TensorFlow, as the served model's graph does.

Which characters are spaces, letters or marks is looked up in the tables of `model.json`, never
asked of Python, which knows another version of Unicode than the graph.
"""

import functools
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

MAX_TEXT_BYTES = 1 << 20  # a longer text is cut here
UNKNOWN_ID = 1
SHORTEST_STEM = 4  # characters
LONGEST_ENDING = 5  # characters
_DIGIT = re.compile("[0-9]")
# Python's `re` looks a character up at once in a class of characters below U+10000, and tries the
# ranges one by one above. So the two are apart.
_HIGH = r"\U00010000-\U0010FFFF"
_IS_HIGH = f"(?=[{_HIGH}])"
_NONE = r"\uD800"  # a surrogate, which no text holds: brackets may not be empty


class Encoded(NamedTuple):
    """Texts as token ids.

    Attributes:
      token_ids: int32[n, time], padded on the right with 0.
      lengths: int32[n], tokens of each text.
      is_cut: bool[n], whether a text has more than `max_len` tokens.
    """

    token_ids: np.ndarray
    lengths: np.ndarray
    is_cut: np.ndarray


class TokenIds(dict[str, int]):
    """The id of each token, by its name; `UNKNOWN_ID` of one that the vocabulary lacks.

    With `stem_unknown_words` an unknown word has the id of the known one that shares its longest
    stem, and of those the shortest, where there is one. A stem is a beginning of at least two
    thirds of a word's characters and of four, and lacks at most five of them; a word with a digit
    has none, as another number is another thing.

    Args:
      vocabulary: the token of each id, in UTF-8.
      stem_unknown_words: whether words that the vocabulary lacks are read by their stems.

    Example:
      >>> from tf_textrnn.predictor.encoder import TokenIds
      >>> ids = TokenIds([b"[PAD]", b"[UNK]", b"films", b"directed"], stem_unknown_words=True)
      >>> [ids[word] for word in ("films", "film", "directs", "fiction")]
      [2, 2, 3, 1]
    """

    def __init__(self, vocabulary: Sequence[bytes], stem_unknown_words: bool = False):
        names = (token.decode("utf-8", "surrogateescape") for token in vocabulary)
        super().__init__({name: token_id for token_id, name in enumerate(names)})
        self._stem_unknown_words = stem_unknown_words

    def __missing__(self, word: str) -> int:
        if not self._stem_unknown_words:
            return UNKNOWN_ID
        of_stems = self.of_stems
        return next((of_stems[stem] for stem in _stems(word) if stem in of_stems), UNKNOWN_ID)

    def among(self, is_known: np.ndarray) -> "TokenIds":
        """The same ids, with only some of the tokens known, bool[tokens]."""
        fewer = TokenIds((), self._stem_unknown_words)
        fewer.update({name: token_id for name, token_id in self.items() if is_known[token_id]})
        return fewer

    @functools.cached_property
    def of_stems(self) -> dict[str, int]:
        """The id of the shortest word with each stem, and of those the smallest."""
        found: dict[str, int] = {}
        by_length = sorted(self.items(), key=lambda item: (len(item[0]), item[1]))
        for word, token_id in by_length if self._stem_unknown_words else ():
            for stem in _stems(word) if token_id > UNKNOWN_ID else ():
                found.setdefault(stem, token_id)
        return found


def _stems(word: str) -> Sequence[str]:
    """The stems of a word, the longest first, which is the word."""
    size = len(word)
    shortest = max(SHORTEST_STEM, -(-2 * size // 3), size - LONGEST_ENDING)
    if size < shortest or _DIGIT.search(word):
        return ()
    return [word[:end] for end in range(size, shortest - 1, -1)]


class Encoder:
    """Encodes texts as token ids.

    Args:
      tables: the tokenizer's, as `exporting.encoder_tables.read_tables` returns them.
      vocabulary: the token of each id, in UTF-8.
      max_len: maximum number of tokens of a text; the rest is cut.
      stem_unknown_words: whether unknown words are read by their stems (`TokenIds`).
    """

    def __init__(
        self,
        tables: Mapping[str, Any],
        vocabulary: Sequence[bytes],
        max_len: int,
        stem_unknown_words: bool = False,
    ):
        self._ids = TokenIds(vocabulary, stem_unknown_words)
        self._max_len = max_len
        self._tokenizer = _Words(tables) if tables["name"] == "word" else _Characters(tables)

    def __call__(self, texts: Sequence[bytes]) -> Encoded:
        """Encodes texts of any bytes; invalid UTF-8 becomes U+FFFD."""
        ids, max_len, split = self._ids, self._max_len, self._tokenizer.split
        rows, is_cut = [], []
        for text in texts:
            tokens = split(text[:MAX_TEXT_BYTES])
            rows.append([ids[token] for token in tokens[:max_len]])
            is_cut.append(len(tokens) > max_len)
        lengths = np.array([len(row) for row in rows], np.int32)
        token_ids = np.zeros((len(rows), lengths.max(initial=0)), np.int32)
        for row, padded in zip(rows, token_ids, strict=True):
            padded[: len(row)] = row
        return Encoded(token_ids, lengths, np.array(is_cut, bool))

    def tokens(self, text: bytes) -> list[str]:
        """Returns the tokens of a text that are read."""
        return list(self._tokenizer.split(text[:MAX_TEXT_BYTES])[: self._max_len])


class _Characters:
    """The tokenizer "char"."""

    def __init__(self, tables: Mapping[str, Any]):
        self._spaces = re.compile(f"{_Class(tables, 'spaces').one}+")

    def split(self, text: bytes) -> Sequence[str]:
        """Returns the tokens of a text."""
        return self._spaces.sub(" ", text.decode("utf-8", "replace")).strip(" ")


class _Words:
    """The tokenizer "word"."""

    def __init__(self, tables: Mapping[str, Any]):
        names = ("spaces", "alone", "letters", "binders", "marks", "cased", "ignorable")
        spaces, alone, letter, binder, mark, cased, ignorable = (
            _Class(tables, name) for name in names
        )
        low, high = (spaces.low + alone.low + letter.low, spaces.high + alone.high + letter.high)
        self._tokens = re.compile(
            f"{alone.one}|{letter.one}(?:{binder.one}{letter.one}|{mark.one})*"
            f"|(?:[^{low}{_HIGH}]+|{_IS_HIGH}[^{high}])+"
        )
        # Σ ends a word where a cased letter stands before it and none after it (Unicode 3.13).
        ignored = f"{ignorable.one}*"
        self._last_sigma = re.compile(f"({cased.one}{ignored})Σ(?!{ignored}{cased.one})")
        self._lower = _lower_cases(tables)
        low = "".join(_escaped(ord(upper)) for upper in self._lower if upper < "\U00010000")
        self._upper = re.compile(f"[{low}{_HIGH}]")
        ascii_lower = "".join(self._lower.get(chr(code), chr(code)) for code in range(128))
        self._ascii = ascii_lower.encode().ljust(256)

    def split(self, text: bytes) -> Sequence[str]:
        """Returns the tokens of a text."""
        if text.isascii():
            return self._tokens.findall(text.translate(self._ascii).decode())
        characters = text.decode("utf-8", "replace")
        if "Σ" in characters:
            characters = self._last_sigma.sub(r"\1ς", characters)
        lowered = self._upper.sub(lambda match: self._lower.get(match[0], match[0]), characters)
        return self._tokens.findall(lowered)


class NgramTable:
    """Looks up which n-grams texts hold.

    Args:
      keys: int64[n], the known n-grams, ascending, at least one; the key of the tokens a, b, c is
        (a · vocab_size + b) · vocab_size + c.
      order: tokens of the longest n-gram.
      vocab_size: different token ids.
    """

    def __init__(self, keys: np.ndarray, order: int, vocab_size: int):
        self.num_ngrams = len(keys)
        self._keys, self._order, self._vocab_size = keys, order, vocab_size

    def __call__(self, token_ids: np.ndarray) -> np.ndarray:
        """Finds the different known n-grams of texts.

        Args:
          token_ids: int32[n, time], padded on the right with 0.

        Returns:
          int32[n, width], indices of `keys`, ascending in each text, then len(keys) in the places
          that are left; width is the most of a text, at least 1.
        """
        absent = self.num_ngrams
        rows = [np.full((len(token_ids), 1), absent), *self.places(token_ids)]
        found = np.sort(np.concatenate(rows, axis=1), axis=1)
        found[:, 1:][found[:, 1:] == found[:, :-1]] = absent
        found.sort(axis=1)
        width = (found < absent).sum(axis=1).max(initial=1)
        return found[:, :width].astype(np.int32)

    def places(self, token_ids: np.ndarray) -> Iterator[np.ndarray]:
        """Yields, for n-grams of 1, 2, … tokens, which of them begin at each token.

        Args:
          token_ids: as above.

        Yields:
          int64[n, time + 1 - tokens], indices of `keys`, or len(keys) where it is not known.
        """
        absent, keys = self.num_ngrams, token_ids.astype(np.int64)
        for last in range(self._order):
            if last:
                keys = keys[:, :-1] * self._vocab_size + token_ids[:, last:]
            place = np.minimum(np.searchsorted(self._keys, keys), absent - 1)
            is_known = (self._keys[place] == keys) & (token_ids[:, last:] > 0)
            yield np.where(is_known, place, absent)


class _Class:
    """Patterns of a class of characters.

    Attributes:
      low, high: its ranges below and above U+10000, to stand within brackets.
      one: matches one character of it.
    """

    def __init__(self, tables: Mapping[str, Any], name: str):
        bounds = tables[name]
        self.low = self.high = _NONE
        for first, end in zip(bounds[::2], bounds[1::2], strict=True):
            if first < 0x10000:
                self.low += f"{_escaped(first)}-{_escaped(min(end, 0x10000) - 1)}"
            if end > 0x10000:
                self.high += f"{_escaped(max(first, 0x10000))}-{_escaped(end - 1)}"
        self.one = f"(?:[{self.low}]|{_IS_HIGH}[{self.high}])"


def _escaped(code: int) -> str:
    return f"\\U{code:08x}"


def _lower_cases(tables: Mapping[str, Any]) -> dict[str, str]:
    """The lower case of each character that is not lower case itself."""
    lower = dict(tables["lower"]["others"])
    for first, end, step, added in tables["lower"]["runs"]:
        lower.update((chr(code), chr(code + added)) for code in range(first, end, step))
    return lower
