"""Reads word vectors in files that are no text: `.npy`, `.safetensors`, word2vec's `.bin`.

Formats: NumPy's NEP 1; safetensors' header, https://github.com/huggingface/safetensors#format;
`word2vec.c` of Mikolov et al. 2013. Arrays stay on disk but for the rows that are asked for.
"""

import json
import math
import pathlib
import struct
from collections.abc import Iterator
from typing import Any, BinaryIO

import numpy as np

from tf_textrnn.base.errors import UserError
from tf_textrnn.data.containers import open_bytes

_FLOATS = {"F16": "<f2", "F32": "<f4", "F64": "<f8"}  # of safetensors
_MAX_HEADER = 100_000_000  # bytes; what the format allows
_MAX_WORD = 10_000  # bytes
_BLOCK = 1 << 20


def open_array(path: str) -> np.ndarray:
    """Opens a `.npy` or `.safetensors` file of vectors.

    Returns:
      float[rows, size] of 2, 4 or 8 bytes, mapped into memory: read when it is used.

    Raises:
      UserError: the file cannot be read, is cut, or holds another array.
    """
    try:
        array = _open_safetensors(path) if path.endswith(".safetensors") else _open_npy(path)
    except OSError as error:
        raise UserError(f"{path}: {error.strerror or error}") from error
    if array.ndim != 2 or array.dtype not in ("f2", "f4", "f8") or not array.size:
        raise UserError(
            f"{path}: expected an array of floats, a row a word; found {array.dtype} "
            f"{list(array.shape)}"
        )
    return array


def _open_npy(path: str) -> np.ndarray:
    try:
        return np.lib.format.open_memmap(path, mode="r")
    except OSError:
        raise
    except Exception as error:  # a damaged header makes errors of any kind
        reason = str(error).split("\n")[0][:200] or type(error).__name__
        raise UserError(f"{path}: no whole NumPy array ({reason})") from error


def _open_safetensors(path: str) -> np.ndarray:
    size = pathlib.Path(path).stat().st_size
    with open(path, "rb") as file:
        head = file.read(8)
        length = struct.unpack("<Q", head)[0] if len(head) == 8 else size
        if length > min(size - 8, _MAX_HEADER):
            raise UserError(f"{path}: no whole safetensors file (its header is cut)")
        try:
            header = json.loads(file.read(length))
            tensors = {n: _tensor(each) for n, each in header.items() if n != "__metadata__"}
        except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
            raise UserError(f"{path}: not the header of a safetensors file") from error
    tables = [tensor for tensor in tensors.values() if len(tensor[1]) == 2]
    if len(tables) != 1 or tables[0][0] not in _FLOATS:
        found = ", ".join(f"{dtype} {list(shape)}" for dtype, shape, _, _ in tables[:5]) or "none"
        raise UserError(
            f"{path}: expected one tensor of two dimensions, {', '.join(_FLOATS)}; found {found}"
        )
    name, shape, begin, end = tables[0]
    dtype = np.dtype(_FLOATS[name])
    num_bytes = math.prod(shape) * dtype.itemsize
    if not 0 < num_bytes == end - begin <= size - 8 - length - begin:
        raise UserError(
            f"{path}: no whole safetensors file (its tensor, {name} {list(shape)}, is cut or empty)"
        )
    return np.memmap(path, dtype, "r", offset=8 + length + begin, shape=shape)


def _tensor(entry: Any) -> tuple[str, tuple[int, ...], int, int]:
    """A header's entry: dtype, shape, and where the data begins and ends after the header."""
    shape, (begin, end) = tuple(entry["shape"]), entry["data_offsets"]
    if not all(type(each) is int and each >= 0 for each in (*shape, begin, end)):
        raise ValueError(shape)
    return str(entry["dtype"])[:20], shape, begin, end


def word2vec_size(path: str) -> int:
    """The length of the vectors in a `.bin` file of word2vec, which may be compressed.

    Raises:
      UserError: the file cannot be read, or does not begin as such a file does.
    """
    with open_bytes(path) as file:
        return _word2vec_header(path, file)[1]


def word2vec_vectors(path: str, size: int) -> Iterator[tuple[str, np.ndarray]]:
    """Yields the words of a `.bin` file of word2vec, and the vector float32[size] of each.

    Raises:
      UserError: the file cannot be read, is cut, goes on after its vectors, or has others.
    """
    with open_bytes(path) as file:
        count, found = _word2vec_header(path, file)
        if found != size:
            raise UserError(f"{path}:1: expected vectors of {size:,} numbers, found {found:,}")
        data, at = b"", 0
        for number in range(1, count + 1):
            if len(data) - at < _MAX_WORD + 4 * size:
                data, at = data[at:] + file.read(_BLOCK + 4 * size), 0
            space = data.find(b" ", at, at + _MAX_WORD)
            end = space + 1 + 4 * size
            if space < 0 or end > len(data):
                raise UserError(
                    f"{path}: expected a word, a space and {size:,} floats, {count:,} times; "
                    f"number {number:,} is cut or no such thing"
                )
            word = data[at:space].lstrip(b"\n")  # word2vec.c ends a vector's line, others do not
            yield word.decode("utf-8", "replace"), np.frombuffer(data, "<f4", size, space + 1)
            at = end
        if (data[at:] + file.read(1)).strip():
            raise UserError(f"{path}: goes on after the {count:,} vectors that its first line says")


def _word2vec_header(path: str, file: BinaryIO) -> tuple[int, int]:
    """Reads the number of vectors, and their size."""
    line = file.readline(100)
    fields = line.split()
    if not line.endswith(b"\n") or len(fields) != 2 or not all(map(bytes.isdigit, fields)):
        raise UserError(
            f"{path}:1: expected word2vec's first line, the number of vectors and their size; of "
            f"fastText's models, give the .vec file"
        )
    return int(fields[0]), int(fields[1])
