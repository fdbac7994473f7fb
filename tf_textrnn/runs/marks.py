"""The words of mistakes, marked by what they add to what is wrong."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from tf_textrnn.predictor.explain import locate
from tf_textrnn.runs.answered import Answered, AnsweredLabels
from tf_textrnn.runs.words import ScoreTexts, ShareTokens, steps_of, token_shares

_STRONGEST = 3
MAX_STEPS = 50_000  # of the network, which take a second or two


class Mark(NamedTuple):
    """A word of a quote.

    Attributes:
      start: where it begins in the quote, in characters.
      end: where it ends.
      share: what it adds to the score of one label, less what it adds to that of another.
    """

    start: int
    end: int
    share: float


def given_labels(answers: Answered) -> np.ndarray:
    """bool[texts, classes], the labels that are given to each text, sure or not."""
    if isinstance(answers, AnsweredLabels):
        return answers.predictions[:, None] == np.arange(answers.num_classes)
    return answers.accepted


def directions_of_mistakes(answers: Answered, texts: np.ndarray) -> np.ndarray:
    """float32[n, classes], of some texts: 1 for a label wrongly given, -1 for one missed."""
    given = given_labels(answers)[texts].astype(np.float32)
    return given - answers.rows[texts, : answers.num_classes]


def strongest(marks: Sequence[Mark], sign: int = 1) -> list[Mark]:
    """The words that speak most for a label (sign 1), or against it (-1)."""
    ranked = sorted(marks, key=lambda mark: -sign * mark.share)
    return [mark for mark in ranked if sign * mark.share > 0][:_STRONGEST]


def mark_words(
    answers: Answered,
    texts: np.ndarray,
    quotes: Sequence[str],
    directions: np.ndarray,
    score_network: ScoreTexts,
    share_ngrams: ShareTokens | None,
) -> list[list[Mark]]:
    """The marks of each quote; none of the texts from where on they would take too long.

    Args:
      answers: what the model says of the scored texts.
      texts: int[n], which of them.
      quotes: their quotes.
      directions: float32[n, classes], which label's score counts for each text, and which against.
      score_network: as of `words.strongest_words`.
      share_ngrams: as there.
    """
    split, num_classes = answers.split, answers.num_classes
    steps = np.cumsum([steps_of(length) for length in split.lengths[texts].tolist()])
    texts = texts[: int(np.searchsorted(steps, MAX_STEPS, side="right"))]
    _, shares = token_shares(split, texts, num_classes, score_network, share_ngrams)
    marks = [
        _located(quote, _tokens(answers, text), share @ direction)
        for text, quote, share, direction in zip(texts, quotes, shares, directions, strict=False)
    ]
    return marks + [[] for _ in quotes[len(marks) :]]


def _tokens(answers: Answered, text: int) -> list[str]:
    """The tokens of a text that are read, as the tokenizer has made them."""
    corpus, row = answers.split.corpus, answers.split.rows[text]
    start = corpus.offsets[row]
    types = corpus.type_ids[start : start + answers.split.lengths[text]].tolist()
    return [corpus.types[index].decode("utf-8", "replace") for index in types]


def _located(quote: str, tokens: list[str], shares: np.ndarray) -> list[Mark]:
    """The marks up to where the quote ends, or to a token that is not found where it should be."""
    marks = []
    for token, (start, end), share in zip(tokens, locate(quote, tokens), shares, strict=True):
        if token == " ":
            continue
        if quote[start:end].lower() != token.lower():
            break
        marks.append(Mark(start, end, float(share)))
    return marks
