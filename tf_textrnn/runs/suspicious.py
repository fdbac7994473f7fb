"""Labels that may be wrong, by confident learning (Northcutt, Jiang & Chuang 2021).

Each text is scored by a model that has not seen it. The threshold of a label is the mean
probability that it has over the texts to which it is given; a text is counted where another label
reaches its threshold, and is more probable than the label that is given. These are the texts off
the diagonal of the confident joint, less those where the model still prefers the given label.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from tf_textrnn.base.files import atomic_write
from tf_textrnn.base.tables import tab_separated
from tf_textrnn.runs.answered import AnsweredLabels
from tf_textrnn.runs.folder import RunFolder
from tf_textrnn.runs.marks import Mark, mark_words, strongest
from tf_textrnn.runs.words import ScoreTexts, ShareTokens


class Suspicious(NamedTuple):
    """A label that may be wrong.

    Attributes:
      place: of the text, as in `predictions.tsv`.
      label: the label that is given.
      suggested: the label that may be right.
      probability: of the given label.
      suggested_probability: of the suggested one.
      quote: start of the text.
      marks: the words that speak for the suggested label or against it, beside the given one.
    """

    place: str
    label: str
    suggested: str
    probability: float
    suggested_probability: float
    quote: str
    marks: Sequence[Mark]


def suspicious_labels(
    classes: np.ndarray, probability: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Which labels may be wrong, the surest first.

    Args:
      classes: int[texts], the given ones.
      probability: float[texts, classes], of models that have not seen the text.

    Returns:
      int64[n], the texts, and int64[n], the class that is suggested for each. They are in the order
      of how much more probable the suggested class is.

    Example:
      >>> classes = np.array([0, 0, 1, 1, 1])
      >>> of_second = np.array([0.1, 0.9, 0.9, 0.8, 0.7])
      >>> suspicious_labels(classes, np.stack([1 - of_second, of_second], axis=1))
      (array([1]), array([1]))
    """
    own = probability[np.arange(len(classes)), classes]
    num_texts = np.bincount(classes, minlength=probability.shape[1])
    totals = np.bincount(classes, own, minlength=probability.shape[1])
    thresholds = np.divide(totals, num_texts, out=np.full(len(totals), np.inf), where=num_texts > 0)
    reaching = np.where(probability >= thresholds, probability, 0.0)
    suggested = reaching.argmax(axis=1)
    margin = reaching.max(axis=1) - own
    texts = np.flatnonzero(margin > 0)
    texts = texts[np.argsort(-margin[texts], kind="stable")]
    return texts, suggested[texts]


def suspicious_texts(
    answers: AnsweredLabels, score_network: ScoreTexts, share_ngrams: ShareTokens | None
) -> list[Suspicious]:
    """The texts whose labels may be wrong, the surest first.

    Args:
      answers: what models that have not seen the texts say of them.
      score_network: as of `words.strongest_words`, of the model that has seen all of them.
      share_ngrams: as there.
    """
    texts, suggested = suspicious_labels(answers.classes, answers.probability)
    given = answers.classes[texts]
    directions = np.eye(answers.num_classes, dtype=np.float32)
    corpus = answers.split.corpus
    quotes = corpus.quotes.of(answers.split.rows[texts].tolist())
    marks = mark_words(
        answers, texts, quotes, directions[suggested] - directions[given], score_network,
        share_ngrams,
    )  # fmt: skip
    return [
        Suspicious(
            corpus.short_place(int(answers.split.rows[text])),
            answers.labels[label],
            answers.labels[other],
            float(answers.probability[text, label]),
            float(answers.probability[text, other]),
            quote,
            of_text,
        )
        for text, label, other, quote, of_text in zip(
            texts.tolist(), given.tolist(), suggested.tolist(), quotes, marks, strict=True
        )
    ]


def write_suspicious(folder: RunFolder, suspicious: Sequence[Suspicious]) -> None:
    """Writes `suspicious.tsv`: place, labels, probabilities, deciding words and start of a text."""
    with atomic_write(folder.suspicious) as file:
        file.write(b"place\tlabel\tsuggested\tprobability\tsuggested_probability\twords\ttext\n")
        for row in suspicious:
            words = " ".join(
                f"{row.quote[mark.start : mark.end]} {mark.share:+.2f}"
                for mark in strongest(row.marks)
            )
            line = tab_separated(
                row.place, row.label, row.suggested, f"{row.probability:.4f}",
                f"{row.suggested_probability:.4f}", words, " ".join(row.quote.split()),
            )  # fmt: skip
            file.write(f"{line}\n".encode())
