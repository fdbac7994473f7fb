"""Words → the rows of their pieces, by a `tokenizer.json` of Hugging Face's tokenizers.

A word that is no piece is cut greedily: each piece is the longest one that fits (WordPiece: Wu et
al. 2016). BPE and Unigram tokenizers mostly cut the same way; where they do not, the vector is of
another cut of the same word.
"""

import json

from tf_textrnn.base.errors import UserError

_START = "▁"  # begins a word, in BPE and Unigram
_MAX_WORD = 100  # characters; a longer word has no pieces, as in WordPiece


class Pieces:
    """The pieces of a tokenizer.

    Args:
      path: of a `tokenizer.json` with a model of WordPiece, BPE or Unigram.
      num_rows: number of vectors; a piece's id is the row of its vector.

    Raises:
      UserError: the file cannot be read, or has other pieces.
    """

    def __init__(self, path: str, num_rows: int):
        try:
            with open(path, encoding="utf-8") as file:
                model = json.load(file)["model"]
            self._rows = model["vocab"]
            if isinstance(self._rows, list):  # Unigram: pairs of a piece and its score
                self._rows = {piece: row for row, (piece, _) in enumerate(self._rows)}
            is_wordpiece = model.get("type") == "WordPiece"
            # What begins a word's first piece, and what begins the others.
            self._first = "" if is_wordpiece else _START
            self._inner = (
                str(model.get("continuing_subword_prefix") or "##") if is_wordpiece else ""
            )
            has_start = any(piece.startswith(self._first) for piece in self._rows)
            rows = self._rows.values()
        except OSError as error:
            raise UserError(f"{path}: {error.strerror}") from error
        except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
            raise UserError(
                f"{path}: expected a tokenizer.json with `model` and its `vocab`"
            ) from error
        if not has_start:
            raise UserError(
                f"{path}: expected WordPiece's pieces, or some that begin with {_START}"
            )
        if not all(type(row) is int and 0 <= row < num_rows for row in rows):
            raise UserError(f"{path}: expected a row of the {num_rows:,} vectors for each piece")
        self._longest = max(map(len, self._rows))

    def words(self) -> list[str]:
        """The pieces that begin a word, without what marks that, in the order of their rows."""
        pieces = sorted(self._rows, key=self._rows.__getitem__)
        begin = [piece for piece in pieces if not (self._inner and piece.startswith(self._inner))]
        return [x.removeprefix(self._first) for x in begin if x.startswith(self._first)]

    def rows_of(self, word: str) -> list[int]:
        """The rows of a word's pieces; none where some of it is no piece."""
        if len(word) > _MAX_WORD:
            return []
        rows, rest, prefix = [], self._first + word, 0
        while len(rest) > prefix:
            longest = min(len(rest), self._longest)
            ends = (end for end in range(longest, prefix, -1) if rest[:end] in self._rows)
            end = next(ends, 0)
            if not end:
                return []
            rows.append(self._rows[rest[:end]])
            rest, prefix = self._inner + rest[end:], len(self._inner)
        return rows
