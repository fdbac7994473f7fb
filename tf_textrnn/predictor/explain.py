"""What each token of a text adds to the score of each label. Needs NumPy alone.

`docs/explain.md` has the formulas. The network's share of a token is the mean of what it adds as
the text grows from the left, and as it grows from the right; both sum to the difference between
the scores of the text and of an empty one. An n-gram's weight is shared evenly among the places
where it stands, and at each of them among its tokens.

`exporting/explain_graph.py` and `NgramScores.token_shares` are the same in a SavedModel.
"""

import unicodedata
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from tf_textrnn.base.errors import UserError
from tf_textrnn.base.tables import tab_separated

MAX_SPANS = 255  # so that a text has at most 512 parts, the empty and the whole one twice
MAX_STEPS = 1 << 18  # of all parts together, each counted as long as the text
BATCH_STEPS = 1 << 14  # of the parts that are scored together, padding included
STRONGEST = 3  # words that are named


class NoExplanationsError(UserError):
    """The export is of a version that had no explanations."""


class Shares(NamedTuple):
    """What a runtime finds of a text; `Explanation` has the same with names.

    Attributes:
      tokens: those that were read.
      base_scores: float32[classes], the scores of an empty text.
      ngram_shares: float32[tokens, classes].
      network_shares: float32[tokens, classes].
    """

    tokens: list[str]
    base_scores: np.ndarray
    ngram_shares: np.ndarray
    network_shares: np.ndarray


class Explanation(NamedTuple):
    """What each token of a text adds to the score of each label.

    Attributes:
      text: the text.
      labels: the label of each class.
      probability: float32[classes].
      accepted: bool[classes], the labels that the text is taken to have.
      tokens: those that were read, as the tokenizer makes them.
      places: where each begins and ends in the text, in characters.
      base_scores: float32[classes], the scores of an empty text.
      ngram_shares: float32[tokens, classes], what each token adds by the n-grams it is in.
      network_shares: float32[tokens, classes], what it adds by the network.
      span: the tokens of a long text whose share of the network is measured together, and divided
        evenly; 1 = each has its own.
      is_cut: whether the text goes on after these tokens.
    """

    text: str
    labels: list[Any]
    probability: np.ndarray
    accepted: np.ndarray
    tokens: list[str]
    places: list[tuple[int, int]]
    base_scores: np.ndarray
    ngram_shares: np.ndarray
    network_shares: np.ndarray
    span: int
    is_cut: bool

    @property
    def shares(self) -> np.ndarray:
        """float32[tokens, classes], both together: the scores less those of an empty text."""
        shares: np.ndarray = self.ngram_shares + self.network_shares
        return shares

    @property
    def answers(self) -> list[int]:
        """The classes to explain: those accepted, or the most probable one where none is."""
        found: list[int] = np.flatnonzero(self.accepted).tolist()
        return found or [int(self.probability.argmax())]

    def strongest(self, answer: int, count: int = STRONGEST) -> list[tuple[str, float]]:
        """The tokens that speak most for a class, then those that speak most against it.

        They add most to its score, or take most from it; one that stands in several places is one.

        Args:
          answer: the class.
          count: most tokens of each kind.
        """
        found: dict[str, float] = {}
        for token, share in zip(self.tokens, self.shares[:, answer].tolist(), strict=True):
            if not token.isspace():
                found[token] = found.get(token, 0.0) + share
        ranked = sorted(found.items(), key=lambda item: -item[1])
        speak_for = [item for item in ranked if item[1] > 0][:count]
        return speak_for + [item for item in reversed(ranked) if item[1] < 0][:count]

    def line(self) -> str:
        """The strongest tokens of each answer, on one line; empty for a text without tokens."""
        words = {answer: self.strongest(answer) for answer in self.answers}
        return "; ".join(
            f"{self.labels[answer]}: " + " ".join(f"{token} {share:+.2f}" for token, share in found)
            for answer, found in words.items()
            if found
        )

    def ordered(self, classes: np.ndarray, labels: list[Any]) -> "Explanation":
        """The same with the classes in another order, and of other names."""
        names = ("probability", "accepted", "base_scores", "ngram_shares", "network_shares")
        values = {name: getattr(self, name)[..., classes] for name in names}
        return self._replace(labels=labels, **values)

    def as_json(self) -> dict[str, Any]:
        """All numbers, for JSON."""

        def by_label(values: np.ndarray) -> dict[str, Any]:
            rounded = np.round(values.astype(np.float64), 6)
            return {str(label): rounded[..., i].tolist() for i, label in enumerate(self.labels)}

        return {
            "tokens": self.tokens,
            "places": [list(place) for place in self.places],
            "base_scores": by_label(self.base_scores),
            "ngram_shares": by_label(self.ngram_shares),
            "network_shares": by_label(self.network_shares),
            "span": self.span,
            "is_cut": self.is_cut,
        }

    def __str__(self) -> str:
        lines = []
        for answer in self.answers:
            lines.append(f"{self.labels[answer]}  {self.probability[answer]:.4f}")
            lines += [f"  {share:+.2f}  {token}" for token, share in self.strongest(answer)]
        if self.span > 1:
            lines.append(f"(the network read {self.span} tokens at a time)")
        return "\n".join(map(tab_separated, lines))


def span_of(length: int) -> int:
    """How many tokens of a text of this length are measured together."""
    most = min(MAX_SPANS, max(1, MAX_STEPS // (2 * max(length, 1))))
    return max(1, -(-length // most))


def num_parts(length: int) -> int:
    """How many parts of a text of this length are scored, at most 512."""
    return 2 * (-(-length // span_of(length)) + 1)


def parts_of(token_ids: np.ndarray) -> list[np.ndarray]:
    """The parts of a text of s spans whose scores tell what each span adds.

    Args:
      token_ids: int32[tokens].

    Returns:
      2 (s + 1) of them: the first 0 spans, the last 0, the first 1, the last 1, …, all, all.
    """
    edges = _edges(len(token_ids))
    return [
        part
        for first, last in zip(edges, edges[::-1], strict=True)
        for part in (token_ids[:first], token_ids[last:])
    ]


def network_shares(scores: np.ndarray, length: int) -> np.ndarray:
    """What each token adds to scores.

    Args:
      scores: float32[parts, classes], of what `parts_of` returns.
      length: number of tokens.

    Returns:
      float32[tokens, classes].
    """
    sizes = np.diff(_edges(length))
    added = np.diff(scores.reshape(len(sizes) + 1, 2, -1), axis=0)
    of_span = (added[:, 0] + added[::-1, 1]) / 2
    return np.repeat(of_span / sizes[:, None], sizes, axis=0).astype(np.float32)


def _edges(length: int) -> np.ndarray:
    """Where spans begin, and where the last one ends."""
    span = span_of(length)
    return np.minimum(np.arange(-(-length // span) + 1) * span, length)


def score_parts(
    parts: Sequence[np.ndarray], score: Callable[[np.ndarray, np.ndarray], np.ndarray]
) -> np.ndarray:
    """Scores parts of texts, those of like length together.

    Args:
      parts: int32[tokens] each.
      score: takes token ids int32[n, time], padded on the right with 0, of at least one step, and
        lengths int32[n]; returns float32[n, classes].

    Returns:
      float32[parts, classes].
    """
    lengths = np.array([len(part) for part in parts], np.int32)
    order = np.argsort(lengths, kind="stable")
    scores, end = [], len(order)
    while end:
        time = max(1, int(lengths[order[end - 1]]))
        batch = order[max(0, end - max(1, BATCH_STEPS // time)) : end]
        token_ids = np.zeros((len(batch), time), np.int32)
        for row, index in zip(token_ids, batch, strict=True):
            row[: lengths[index]] = parts[index]
        scores.append(score(token_ids, lengths[batch]))
        end -= len(batch)
    whole = np.empty((len(parts), scores[0].shape[1]), np.float32)
    whole[order] = np.concatenate(scores[::-1])
    return whole


def ngram_shares(
    places: Sequence[np.ndarray], absent: int, weigh: Callable[[np.ndarray], np.ndarray]
) -> np.ndarray:
    """What each token adds to scores by the n-grams that it is in.

    Args:
      places: for n-grams of 1, 2, … tokens int[tokens + 1 - n], the row of the one that begins at
        each token.
      absent: stands for a row where the n-gram is not known.
      weigh: returns float32[n, classes], what each of n n-grams, by their rows int[n], adds to the
        scores of a text that holds no other.

    Returns:
      float32[tokens, classes].
    """
    known = np.concatenate([rows[rows < absent] for rows in places])
    rows, counts = np.unique(known, return_counts=True)
    # A text's features have unit length: each of m n-grams counts 1 / √m.
    weights = weigh(rows) / (np.sqrt(max(len(rows), 1)) * counts[:, None])
    shares = np.zeros((len(places[0]), weights.shape[1]))
    for order, found in enumerate(places, start=1):
        starts = np.flatnonzero(found < absent)
        of_token = weights[np.searchsorted(rows, found[starts])] / order
        for offset in range(order):
            shares[starts + offset] += of_token
    return shares.astype(np.float32)


def locate(text: str, tokens: Sequence[str]) -> list[tuple[int, int]]:
    """Where each token begins and ends in its text, in characters.

    Spaces and control characters between tokens are in none of them. A character whose lower case
    is several has all of these.

    Example:
      >>> locate("Fine, fine", ["fine", ",", "fine"])
      [(0, 4), (4, 5), (6, 10)]
    """
    places, end = [], 0
    for token in tokens:
        start = end
        if token == " ":  # of characters: a run of spaces is one
            while end < len(text) and _is_space(text[end]):
                end += 1
        else:
            while start < len(text) and _is_space(text[start]):
                start += 1
            end, found = start, 0
            while end < len(text) and found < len(token):
                found += len(text[end].lower())
                end += 1
        places.append((start, end))
    return places


def _is_space(character: str) -> bool:
    """As `text.SPACE` has them."""
    category = unicodedata.category(character)
    return category == "Cc" or category[0] == "Z" or character == "\u200b"
