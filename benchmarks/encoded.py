"""Passes texts that are already encoded to the project's trainer."""

import numpy as np

from benchmarks.contest import Contest
from tf_textrnn.data.batches import Split
from tf_textrnn.data.corpus import Corpus, Quotes
from tf_textrnn.data.datasets import examples_source
from tf_textrnn.data.splits import Data


def as_data(texts: Contest, max_len: int) -> Data:
    """Returns the texts, to train and validate on; a token id is its own token."""
    vocabulary = [str(token_id).encode() for token_id in range(texts.vocab_size)]
    labels = [str(label) for label in range(texts.num_classes)]
    corpus = Corpus(
        source=examples_source("encoded", []),
        fingerprint="encoded",
        types=vocabulary,
        label_names=labels,
        type_ids=texts.token_ids,
        offsets=texts.offsets,
        labels=texts.classes,
        places=np.zeros(len(texts.classes), np.int64),
        files=np.zeros(len(texts.classes), np.int32),
        quotes=Quotes(np.zeros(0, np.uint8), np.zeros(len(texts.classes), np.int32)),
    )
    identity = np.arange(texts.vocab_size, dtype=np.int32)
    rows = np.arange(len(texts.classes))
    split = Split(corpus, rows, identity, identity[: texts.num_classes], max_len)
    is_pretrained = np.zeros(len(vocabulary), bool)
    return Data(vocabulary, labels, [], split, split, None, "encoded", is_pretrained)
