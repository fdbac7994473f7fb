"""The words that speak most for each label, over the texts of a report."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from tf_textrnn.base.tables import shown_labels, tab_separated
from tf_textrnn.data.batches import Split
from tf_textrnn.predictor.explain import network_shares, parts_of, score_parts, span_of
from tf_textrnn.text import UNKNOWN_ID

MAX_TEXTS = 500  # evenly spaced ones are explained where there are more
MAX_NUMBERS = 1 << 24  # tokens × classes of them
MAX_STEPS = 150_000  # of the network, which take a few seconds
MIN_TEXTS = 100  # with fewer within these, n-grams alone tell more
WORDS_KEPT, WORDS_SHOWN, LABELS_SHOWN = 10, 6, 20
_TEXTS = 16  # whose n-grams are looked up together

ScoreTexts = Callable[[np.ndarray, np.ndarray], np.ndarray]
ShareTokens = Callable[[np.ndarray], np.ndarray]


def strongest_words(
    split: Split,
    vocabulary: Sequence[bytes],
    labels: Sequence[str],
    score_network: ScoreTexts,
    share_ngrams: ShareTokens | None,
) -> dict[str, Any]:
    """The words that speak most for each label.

    They are ranked by all that they add over n texts times log(n / those that hold them), as
    Spärck Jones (1972) weighs words: one that stands in every text tells labels apart in none. The
    network's share is left out where it takes too long and there are n-grams.

    Args:
      split: the texts of the report.
      vocabulary: the token of each id.
      labels: the label of each class.
      score_network: returns the network's scores float32[n, classes] of token ids int32[n, time]
        and lengths int32[n].
      share_ngrams: returns what each of token ids int32[n, time] adds by n-grams, float32[n, time,
        classes]; None = the model has none.

    Returns:
      `texts`, how many were explained; `branches`, whose shares are counted; and `labels`, for
      each label what its words add to it on average in the texts that hold them.
    """
    most = min(MAX_TEXTS, MAX_NUMBERS // (max(1, int(split.lengths.max(initial=1))) * len(labels)))
    texts = _spread(np.arange(len(split)), max(1, most))
    steps = sum(steps_of(length) for length in split.lengths[texts].tolist())
    affordable = max(1, len(texts) * MAX_STEPS // max(steps, 1))
    has_network = share_ngrams is None or affordable >= min(MIN_TEXTS, len(texts))
    if has_network:
        texts = _spread(texts, affordable)
    ids, shares = token_shares(
        split, texts, len(labels), score_network if has_network else None, share_ngrams
    )
    found = _ranked(ids, shares, vocabulary)
    return {
        "texts": len(texts),
        "branches": ["network"] * has_network + ["ngrams"] * (share_ngrams is not None),
        "labels": dict(zip(labels, found, strict=True)),
    }


def branches_text(words: Mapping[str, Any]) -> str:
    """Whose shares are counted in the strongest words."""
    return " and ".join(words["branches"]).replace("ngrams", "n-grams")


def words_text(words: dict[str, Any]) -> str:
    """What `report.txt` says of the strongest words."""
    shown = shown_labels(words["labels"])
    lines = [
        "",
        f"words that speak most for each label ({branches_text(words)}, {words['texts']:,} texts; "
        "what one adds to the score):",
    ]
    for label, found in list(words["labels"].items())[:LABELS_SHOWN]:
        named = [f"{word} {share:+.2f}" for word, share in list(found.items())[:WORDS_SHOWN]]
        lines.append(tab_separated(f"  {shown[label]}: {', '.join(named)}"))
    if len(shown) > LABELS_SHOWN:
        lines.append(f"  … {len(shown) - LABELS_SHOWN:,} more in report.json")
    return "\n".join(lines) + "\n"


def _spread(texts: np.ndarray, most: int) -> np.ndarray:
    return texts[:: -(-len(texts) // most)]


def steps_of(length: int) -> int:
    """The steps of all parts of a text, which are half as long as it on average."""
    return length * (-(-length // span_of(length)) + 1)


def token_shares(
    split: Split,
    texts: np.ndarray,
    num_classes: int,
    score_network: ScoreTexts | None,
    share_ngrams: ShareTokens | None,
) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """The token ids int32[tokens] of each text, and what each adds, float32[tokens, classes].

    Args:
      split: the texts.
      texts: int[n], which of them.
      num_classes: number of classes.
      score_network: as of `strongest_words`; None = the network's share is left out.
      share_ngrams: as there.
    """
    ids, shares = _ngram_shares(split, texts, num_classes, share_ngrams)
    if score_network and ids:
        parts = [parts_of(text) for text in ids]
        scores = score_parts([part for text in parts for part in text], score_network)
        ends = np.cumsum([len(text) for text in parts])
        for text, of_text, share in zip(ids, np.split(scores, ends[:-1]), shares, strict=True):
            share += network_shares(of_text, len(text))
    return ids, shares


def _ngram_shares(
    split: Split, texts: np.ndarray, num_classes: int, share_ngrams: ShareTokens | None
) -> tuple[list[np.ndarray], list[np.ndarray]]:
    ids, shares = [], []
    for start in range(0, len(texts), _TEXTS):
        batch = split.batch(texts[start : start + _TEXTS])
        shape = (*batch.token_ids.shape, num_classes)
        found = share_ngrams(batch.token_ids) if share_ngrams else np.zeros(shape, np.float32)
        for text, share, length in zip(batch.token_ids, found, batch.lengths, strict=True):
            ids.append(text[:length])
            shares.append(np.array(share[:length]))
    return ids, shares


def _ranked(
    ids: list[np.ndarray], shares: list[np.ndarray], vocabulary: Sequence[bytes]
) -> list[dict[str, float]]:
    """For each class its words, in their order."""
    texts = np.repeat(np.arange(len(ids)), [len(text) for text in ids])
    tokens, index = np.unique(np.concatenate(ids), return_inverse=True)
    totals = np.zeros((len(tokens), shares[0].shape[1]))
    np.add.at(totals, index, np.concatenate(shares))
    pairs = np.unique(np.stack([index, texts]), axis=1)
    num_texts = np.bincount(pairs[0], minlength=len(tokens))
    names = [vocabulary[token].decode("utf-8", "replace") for token in tokens.tolist()]
    can_be_named = np.array([name.strip() != "" for name in names], bool) & (tokens > UNKNOWN_ID)
    ranked = []
    for total in totals.T:
        weight = total * np.log(len(ids) / num_texts) * can_be_named
        order = np.argsort(-weight, kind="stable")[:WORDS_KEPT]
        best = order[weight[order] > 0]
        ranked.append({names[i]: round(float(total[i] / num_texts[i]), 4) for i in best})
    return ranked
