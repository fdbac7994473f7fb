"""Which examples make batch k of epoch e: a pure function of (seed, epoch)."""

import dataclasses
from collections.abc import Iterator
from concurrent import futures
from typing import NamedTuple

import numpy as np
import tensorflow as tf

from tf_textrnn.data.corpus import Corpus
from tf_textrnn.text import PADDING_ID, UNKNOWN_ID

POOL_BATCHES = 50  # batches of like length are cut from pools of this many
EVALUATION_TOKENS = 16_384  # tokens, padding included, in a batch that only reads the model


class Batch(NamedTuple):
    """Examples, padded on the right to the longest of them.

    Attributes:
      token_ids: int32[batch, time], 0 where there is no token.
      lengths: int32[batch], tokens of each text.
      labels: int32[batch], the class of each.
      weights: float32[batch], the factor of each text's loss.
    """

    token_ids: tf.Tensor
    lengths: tf.Tensor
    labels: tf.Tensor
    weights: tf.Tensor


BATCH_SPEC = Batch(
    tf.TensorSpec([None, None], tf.int32),
    tf.TensorSpec([None], tf.int32),
    tf.TensorSpec([None], tf.int32),
    tf.TensorSpec([None], tf.float32),
)


@dataclasses.dataclass(frozen=True)
class Split:
    """Some texts of a corpus, seen through a vocabulary.

    Attributes:
      corpus: where they are.
      rows: int64[examples], their indices in the corpus.
      id_of_type: int32[types], the token id of each of the corpus's types.
      class_of_label: int32[label names], the class of each of the corpus's labels.
      max_len: tokens of a text that are read.
      weights: float32[examples], the factor of each text's loss; None = all count alike.
    """

    corpus: Corpus
    rows: np.ndarray
    id_of_type: np.ndarray
    class_of_label: np.ndarray
    max_len: int
    weights: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def lengths(self) -> np.ndarray:
        """int64[examples], tokens of each text after the cut."""
        offsets = self.corpus.offsets
        return np.minimum(offsets[self.rows + 1] - offsets[self.rows], self.max_len)

    @property
    def classes(self) -> np.ndarray:
        """int32[examples], the class of each text."""
        return self.class_of_label[self.corpus.labels[self.rows]]

    def batch(self, examples: np.ndarray) -> Batch:
        """The batch of these examples (indices in this split), as NumPy arrays."""
        rows = self.rows[examples]
        starts = self.corpus.offsets[rows]
        lengths = np.minimum(self.corpus.offsets[rows + 1] - starts, self.max_len)
        time = np.arange(max(int(lengths.max(initial=0)), 1))
        is_token = time < lengths[:, None]  # [batch, time]
        token_ids = np.full(is_token.shape, PADDING_ID, np.int32)
        types = self.corpus.type_ids[(starts[:, None] + time)[is_token]]
        token_ids[is_token] = self.id_of_type[types]
        labels = self.class_of_label[self.corpus.labels[rows]]
        weights = np.ones(len(rows), np.float32) if self.weights is None else self.weights[examples]
        return Batch(token_ids, lengths.astype(np.int32), labels, weights)


def ids_of_types(corpus: Corpus, vocabulary: list[bytes]) -> np.ndarray:
    """int32[types]: the token id of each of the corpus's types."""
    ids = {token: token_id for token_id, token in enumerate(vocabulary)}
    return np.array([ids.get(token, UNKNOWN_ID) for token in corpus.types], np.int32)


def epoch_batches(lengths: np.ndarray, batch_size: int, seed: int, epoch: int) -> list[np.ndarray]:
    """The order of an epoch: every example once, texts of like length together.

    The examples are shuffled, cut into pools, sorted by length inside each pool and cut into
    batches, whose order is then shuffled. So a batch is nearly free of padding, and neither the
    order of batches nor who meets whom repeats.

    Args:
      lengths: int[examples], tokens of each text.
      batch_size: examples in a batch; one batch holds what is left over.
      seed: of the run.
      epoch: from 0.

    Returns:
      The examples' indices, a batch an array.
    """
    random = np.random.Generator(np.random.Philox(key=[seed, epoch]))
    order = random.permutation(len(lengths))
    pool = batch_size * POOL_BATCHES
    for start in range(0, len(order), pool):
        part = order[start : start + pool]
        order[start : start + pool] = part[np.argsort(lengths[part], kind="stable")]
    batches = [order[start : start + batch_size] for start in range(0, len(order), batch_size)]
    return [batches[index] for index in random.permutation(len(batches))]


def training_batches(
    split: Split,
    batch_size: int,
    seed: int,
    epoch: int,
    first_batch: int,
    replicas: range = range(1),
    num_replicas: int = 1,
) -> Iterator[tuple[int, tuple[Batch, ...]]]:
    """An epoch's batches from `first_batch` on, each made while the step before runs.

    Args:
      split: the examples.
      batch_size: examples in a batch, over all replicas.
      seed: of the run.
      epoch: from 0.
      first_batch: batches of the epoch that are left out.
      replicas: those that train here; each takes every `num_replicas`-th example of a batch, so
        that their texts are of like length.
      num_replicas: all that train together.

    Yields:
      A batch's examples over all replicas, and the shares of `replicas`, which can be empty.
    """
    batches = epoch_batches(split.lengths, batch_size, seed, epoch)[first_batch:]
    shares = [
        _ahead(split, [batch[replica::num_replicas] for batch in batches]) for replica in replicas
    ]
    return zip(map(len, batches), zip(*shares, strict=True), strict=True)


def evaluation_batches(
    split: Split, worker: int = 0, num_workers: int = 1
) -> Iterator[tuple[np.ndarray, Batch]]:
    """(indices in the split, batch) for all of a worker's examples, longest texts first."""
    lengths = split.lengths
    order = np.argsort(-lengths, kind="stable")
    batches = []
    start = 0
    while start < len(order):
        size = max(1, EVALUATION_TOKENS // max(int(lengths[order[start]]), 1))
        batches.append(order[start : start + size])
        start += size
    batches = batches[worker::num_workers]
    yield from zip(batches, _ahead(split, batches), strict=True)


def _ahead(split: Split, batches: list[np.ndarray]) -> Iterator[Batch]:
    """The batches of these examples, in NumPy arrays; a thread makes the next one meanwhile.

    A `tf.data.Dataset.from_generator` costs four times as much a batch.
    """
    with futures.ThreadPoolExecutor(1) as thread:
        following = None
        for examples in batches:
            batch, following = following, thread.submit(split.batch, examples)
            if batch:
                yield batch.result()
        if following:
            yield following.result()
