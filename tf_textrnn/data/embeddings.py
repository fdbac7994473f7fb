"""Reads pretrained word vectors.

A file's ending says its format: `.bin` and `.bin.gz` are word2vec's binary one, `.npy` and
`.safetensors` arrays with their words in a file beside them, and all else is text, as word2vec,
GloVe and fastText write it.
"""

import hashlib
import itertools
import pathlib
import re
import stat
from collections.abc import Iterable, Iterator
from typing import NamedTuple

import numpy as np

from tf_textrnn.base.errors import UserError
from tf_textrnn.config import Config
from tf_textrnn.config.sections import MAX_EMBEDDING_DIM
from tf_textrnn.data.encodings import numbered_lines
from tf_textrnn.data.pieces import Pieces
from tf_textrnn.data.tokens import single_tokens
from tf_textrnn.data.vector_formats import open_array, word2vec_size, word2vec_vectors
from tf_textrnn.text import SPECIAL_TOKENS


class Vectors(NamedTuple):
    """Vectors of those tokens of a vocabulary that a file has.

    Attributes:
      token_ids: int64[found], ascending.
      values: float32[found, size], the vector of each.
    """

    token_ids: np.ndarray
    values: np.ndarray


def vector_size(path: str) -> int:
    """The length of the vectors in a file.

    Raises:
      UserError: the file cannot be read, is not of its format, or has longer vectors than a model.
    """
    _check_file(path)
    if _is_array(path):
        size = open_array(path).shape[1]
    elif _is_word2vec(path):
        size = word2vec_size(path)
    else:
        size = _text_size(path)
    if not 1 <= size <= MAX_EMBEDDING_DIM:
        raise UserError(f"{path}: vectors of {size:,} numbers; expected 1 to {MAX_EMBEDDING_DIM:,}")
    return size


def vector_words(path: str, size: int) -> Iterator[str]:
    """Yields the words of a file in its order, which mostly is that of their frequency.

    Args:
      path: the file; of pieces of words, those that begin a word are words.
      size: length of a vector, as `vector_size` gives it.

    Raises:
      UserError: the file cannot be read, or is not of its format.
    """
    _check_file(path)
    if _is_array(path):
        words = _words_beside(path)
        if words.endswith(".json"):
            yield from Pieces(words, len(open_array(path))).words()
        else:
            yield from (line.rstrip("\r\n") for _, line in numbered_lines(words, "\n"))
    elif _is_word2vec(path):
        yield from (word for word, _ in word2vec_vectors(path, size))
    else:
        yield from (word for _, word, _ in _text_lines(path, size))


def with_pretrained(vocabulary: list[bytes], config: Config) -> dict[bytes, bool]:
    """Adds words of the file of --pretrained_embeddings to a vocabulary, until it is full.

    Returns the tokens in their order, and whether each was read from the file, whose words are read
    in its order until there are --vocab_size tokens.

    Args:
      vocabulary: distinct tokens.
      config: settled config.

    Raises:
      UserError: the file cannot be read, or is not of its format.
    """
    tokens = dict.fromkeys(vocabulary, False)
    if path := config.model.pretrained_embeddings:
        words = vector_words(path, config.model.embedding_dim)
        unread = single_tokens(words, config.text.tokenizer)
        while len(tokens) < config.text.vocab_size and (token := next(unread, None)):
            tokens[token] = True
    return tokens


def read_vectors(path: str, vocabulary: list[bytes], size: int) -> Vectors:
    """Reads the vectors of a vocabulary's tokens; if a token occurs twice, the first one counts.

    Only the vectors of the vocabulary are held in memory.

    Args:
      path: the file.
      vocabulary: the token of each id.
      size: length of a vector, as `vector_size` gives it.

    Raises:
      UserError: the file cannot be read, or a vector has another length or a number in it that is
        not finite.
    """
    ids = {token.decode("utf-8", "replace"): token_id for token_id, token in enumerate(vocabulary)}
    if _is_array(path):
        found = _array_vectors(path, ids, size)
    elif _is_word2vec(path):
        found = _first_of_each(path, word2vec_vectors(path, size), ids)
    else:
        found = _first_of_each(path, _text_vectors(path, ids, size), ids)
    token_ids = np.array(sorted(found), np.int64)
    values = np.zeros((len(found), size), np.float32)
    for row, token_id in enumerate(token_ids):
        values[row] = found[token_id]
    return Vectors(token_ids, values)


def checksum(path: str) -> str:
    """The SHA-256 of a file of vectors and of its words beside it, in hexadecimal digits.

    Raises:
      UserError: a file cannot be read.
    """
    _check_file(path)
    digest = hashlib.sha256()
    for each in [path, _words_beside(path)] if _is_array(path) else [path]:
        try:
            with open(each, "rb") as file:
                hashlib.file_digest(file, lambda: digest)
        except OSError as error:
            raise UserError(f"--pretrained_embeddings={each}: {error.strerror}") from error
    return digest.hexdigest()


def _check_file(path: str) -> None:
    try:
        if not stat.S_ISREG(pathlib.Path(path).stat().st_mode):
            raise UserError(f"--pretrained_embeddings={path}: expected a file")
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise UserError(f"--pretrained_embeddings={path}: {reason}") from error


def _is_array(path: str) -> bool:
    return path.endswith((".npy", ".safetensors"))


def _is_word2vec(path: str) -> bool:
    return path.endswith((".bin", ".bin.gz"))


def _words_beside(path: str) -> str:
    """The file of the words of an array: `x.txt` beside `x.npy`, or else `tokenizer.json`.

    Raises:
      UserError: there is neither.
    """
    words = pathlib.Path(path).with_suffix(".txt")
    tokenizer = words.with_name("tokenizer.json")
    for each in (words, tokenizer):
        if each.is_file():
            return str(each)
    raise UserError(
        f"--pretrained_embeddings={path}: expected its words beside it, one a line in {words}, or "
        f"its pieces in {tokenizer}"
    )


def _array_vectors(path: str, ids: dict[str, int], size: int) -> dict[int, np.ndarray]:
    """The vectors of an array's words, by token id; a word of pieces has their mean."""
    array, words = np.asarray(open_array(path)), _words_beside(path)
    if array.shape[1] != size:
        raise UserError(f"{path}: expected vectors of {size}, found {array.shape[1]}")
    rows = (
        _rows_by_pieces(words, ids, len(array))
        if words.endswith(".json")
        else _rows_by_words(words, ids, len(array))
    )
    vectors = ((word, array[row].mean(0, np.float64)) for word, row in rows.items())
    return _first_of_each(path, vectors, ids)


def _rows_by_pieces(path: str, ids: dict[str, int], num_rows: int) -> dict[str, list[int]]:
    pieces = Pieces(path, num_rows)
    rows = {token: pieces.rows_of(token) for token in ids if token.encode() not in SPECIAL_TOKENS}
    return {token: found for token, found in rows.items() if found}


def _rows_by_words(path: str, ids: dict[str, int], num_rows: int) -> dict[str, list[int]]:
    rows: dict[str, list[int]] = {}
    number = 0
    for number, line in numbered_lines(path, "\n"):
        word = line.rstrip("\r\n")
        if word in ids:
            rows.setdefault(word, [number - 1])
    if number != num_rows:
        raise UserError(f"{path}: expected {num_rows:,} words, a line each; found {number:,}")
    return rows


def _first_of_each(
    path: str, vectors: Iterable[tuple[str, np.ndarray]], ids: dict[str, int]
) -> dict[int, np.ndarray]:
    """The first vector of each token of a vocabulary, by token id."""
    found: dict[int, np.ndarray] = {}
    for word, vector in vectors:
        token_id = ids.get(word)
        if token_id is None or token_id in found:
            continue
        with np.errstate(over="ignore"):  # becomes infinity
            found[token_id] = vector.astype(np.float32)
        if not np.isfinite(found[token_id]).all():
            raise UserError(f"{path}: the vector of {word!r} holds NaN or infinity")
    return found


def _text_vectors(path: str, ids: dict[str, int], size: int) -> Iterator[tuple[str, np.ndarray]]:
    """Yields the words of a text file that a vocabulary has, with their vectors."""
    for number, token, numbers in _text_lines(path, size):
        if token not in ids:
            continue
        try:
            vector = np.array(numbers, np.float32)
        except ValueError as error:
            raise UserError(f"{path}:{number}: not a vector ({error})") from error
        if not np.isfinite(vector).all():
            raise UserError(f"{path}:{number}: expected finite numbers")
        yield token, vector


def _text_lines(path: str, size: int) -> Iterator[tuple[int, str, list[str]]]:
    """Yields the lines of a text file: its number, its word and the numbers of its vector.

    A line is a word and `size` numbers, separated by single spaces. A first line with the number
    of vectors and their size, as word2vec and fastText write it and GloVe does not, is skipped.
    """
    for number, line in numbered_lines(path, "\n"):
        line = line.rstrip()
        if not line or (number == 1 and _header_size(line)):
            continue
        word, *numbers = line.rsplit(" ", size)  # a word in GloVe's files may hold spaces
        if len(numbers) < size or (" " in word and _is_number(word.rsplit(" ", 1)[1])):
            raise UserError(
                f"{path}:{number}: expected a word and {size} numbers, as the first line says; "
                f"found {line.count(' ')}"
            )
        yield number, word, numbers


def _text_size(path: str) -> int:
    """The length of the vectors in a text file, by its first line."""
    for number, line in numbered_lines(path, "\n"):
        fields = line.rstrip().split(" ")
        if not fields[-1]:
            continue
        if number == 1 and (size := _header_size(line)):
            return size
        numbers = list(itertools.takewhile(_is_number, reversed(fields[1:])))
        if not numbers:
            raise UserError(f"{path}:{number}: expected a word and numbers")
        return len(numbers)
    raise UserError(f"{path}: expected vectors, found nothing")


def _header_size(line: str) -> int:
    """The size that a line gives which holds a number of vectors and their size; 0 = another."""
    match = re.fullmatch(r"[0-9]{1,12} ([0-9]{1,12})", line.rstrip())
    return int(match[1]) if match else 0


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
