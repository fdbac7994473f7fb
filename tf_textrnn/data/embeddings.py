"""Reads pretrained word vectors: the text formats of word2vec, GloVe and fastText."""

import hashlib
import pathlib
import stat
from typing import NamedTuple

import numpy as np

from tf_textrnn.base.errors import UserError
from tf_textrnn.data.encodings import numbered_lines


class Vectors(NamedTuple):
    """Vectors of those tokens of a vocabulary that a file has.

    Attributes:
      token_ids: int64[found], ascending.
      values: float32[found, size], the vector of each.
    """

    token_ids: np.ndarray
    values: np.ndarray


def read_vectors(path: str, vocabulary: list[bytes], size: int) -> Vectors:
    """Reads the vectors of a vocabulary's tokens; if a token occurs twice, the first one counts.

    A line is a token and `size` numbers, separated by single spaces. A first line with the number
    of vectors and their size, as word2vec and fastText write it and GloVe does not, is skipped.
    Only the vectors of the vocabulary are held in memory.

    Args:
      path: file in UTF-8, which may be compressed.
      vocabulary: the token of each id.
      size: length of a vector.

    Raises:
      UserError: the file cannot be read, or a vector has another length or a number in it that is
        not finite.
    """
    ids = {token.decode("utf-8", "replace"): token_id for token_id, token in enumerate(vocabulary)}
    found: dict[int, np.ndarray] = {}
    for number, line in numbered_lines(path, "\n"):
        line = line.rstrip()
        if not line or (number == 1 and len(line.split(" ")) == 2):
            continue
        token, *numbers = line.rsplit(" ", size)  # a token in GloVe's files may hold spaces
        if len(numbers) < size or (" " in token and _is_number(token.rsplit(" ", 1)[1])):
            raise UserError(
                f"{path}:{number}: expected a token and --embedding_dim={size} numbers, found "
                f"{line.count(' ')}"
            )
        token_id = ids.get(token)
        if token_id is None or token_id in found:
            continue
        try:
            vector = np.array(numbers, np.float32)
        except ValueError as error:
            raise UserError(f"{path}:{number}: not a vector ({error})") from error
        if not np.isfinite(vector).all():
            raise UserError(f"{path}:{number}: expected finite numbers")
        found[token_id] = vector
    token_ids = np.array(sorted(found), np.int64)
    values = np.zeros((len(found), size), np.float32)
    for row, token_id in enumerate(token_ids):
        values[row] = found[token_id]
    return Vectors(token_ids, values)


def checksum(path: str) -> str:
    """The SHA-256 of a file of vectors, in hexadecimal digits.

    Raises:
      UserError: the file cannot be read.
    """
    try:
        if not stat.S_ISREG(pathlib.Path(path).stat().st_mode):
            raise UserError(f"--pretrained_embeddings={path}: expected a file")
        with open(path, "rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise UserError(f"--pretrained_embeddings={path}: {error.strerror}") from error


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
