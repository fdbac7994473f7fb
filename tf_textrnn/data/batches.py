"""Chooses the texts of each batch; their order is a pure function of (seed, epoch)."""

import dataclasses
import functools
import itertools
from collections.abc import Iterator
from concurrent import futures
from typing import NamedTuple

import numpy as np
import tensorflow as tf
from scipy import sparse

from tf_textrnn.config import TrainingConfig
from tf_textrnn.data.corpus import Corpus
from tf_textrnn.data.own_counts import OwnCounts
from tf_textrnn.predictor.encoder import TokenIds
from tf_textrnn.text import PADDING_ID, UNKNOWN_ID

SMALL_BATCH = 16  # texts of a batch, where an epoch of larger ones would have too few steps
POOL_BATCHES = 50  # batches in a pool, which is sorted by length before it is cut
EVALUATION_TOKENS = 16_384  # in an evaluation batch, padding included


class Batch(NamedTuple):
    """Texts, padded on the right to the longest of them.

    Attributes:
      token_ids: int32[batch, time], 0 where there is no token.
      lengths: int32[batch], number of tokens of each text.
      labels: int32[batch], class of each text.
      weights: float32[batch], factor of each text's loss.
      left_out: float32[batch, classes + 1], what leaving each text out takes from the counts of
        its n-grams (`data.own_counts`); float32[0, 0] = nothing.
      label_rows: float32[batch, classes], 1 for each label of a set; `labels` is 0 then.
        float32[0, 0] = each text has the one label.
    """

    token_ids: tf.Tensor
    lengths: tf.Tensor
    labels: tf.Tensor
    weights: tf.Tensor
    left_out: tf.Tensor = np.zeros((0, 0), np.float32)
    label_rows: tf.Tensor = np.zeros((0, 0), np.float32)


BATCH_SPEC = Batch(
    tf.TensorSpec([None, None], tf.int32),
    tf.TensorSpec([None], tf.int32),
    tf.TensorSpec([None], tf.int32),
    tf.TensorSpec([None], tf.float32),
    tf.TensorSpec([None, None], tf.float32),
    tf.TensorSpec([None, None], tf.float32),
)


@dataclasses.dataclass(frozen=True)
class Split:
    """Texts of a corpus, encoded by a vocabulary.

    Attributes:
      corpus: the corpus that holds the texts.
      rows: int64[texts], the index of each text in the corpus.
      id_of_type: int32[types], the token id of each type of the corpus.
      class_of_label: int32[label names], the class of each label of the corpus.
      max_len: maximum number of tokens of a text; the rest is cut.
      weights: float32[texts], factor of each text's loss; None = 1 for every text.
      own_counts: what leaving a text out takes from the counts of its n-grams; None = nothing.
      set_size: number of classes of which a text has a set; 0 = each text has one label.
    """

    corpus: Corpus
    rows: np.ndarray
    id_of_type: np.ndarray
    class_of_label: np.ndarray
    max_len: int
    weights: np.ndarray | None = None
    own_counts: OwnCounts | None = None
    set_size: int = 0

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def lengths(self) -> np.ndarray:
        """int64[texts], number of tokens of each text after the cut."""
        offsets = self.corpus.offsets
        return np.minimum(offsets[self.rows + 1] - offsets[self.rows], self.max_len)

    @functools.cached_property
    def are_known(self) -> np.ndarray:
        """bool[texts], whether at least one token that is read, and half of them, are known."""
        is_known = self.id_of_type[self.corpus.type_ids] > UNKNOWN_ID
        known_before = np.concatenate([[0], np.cumsum(is_known)])
        starts, lengths = self.corpus.offsets[self.rows], self.lengths
        num_known = known_before[starts + lengths] - known_before[starts]
        return (num_known > 0) & (2 * num_known >= lengths)

    def read_with(self, ids: TokenIds) -> "Split":
        """The same texts with other ids of tokens."""
        return dataclasses.replace(self, id_of_type=ids_of_types(self.corpus, ids))

    def some(self, is_in: np.ndarray) -> "Split":
        """The texts that are in, by bool[texts]."""
        weights = None if self.weights is None else self.weights[is_in]
        return dataclasses.replace(self, rows=self.rows[is_in], weights=weights)

    @property
    def classes(self) -> np.ndarray:
        """int32[texts], the class of each text, where each has one label."""
        return self.class_of_label[self.corpus.labels[self.rows]]

    def label_sets(self, num_classes: int) -> sparse.csr_array:
        """float32[texts, classes], 1 for each label of a text, whether it has one or several.

        Args:
          num_classes: number of classes, those of unknown labels among them where there are such.
        """
        return self.corpus.label_table(self.rows, self.class_of_label, num_classes)

    @property
    def set_rows(self) -> np.ndarray:
        """bool[texts, classes and then unknown labels], the labels of each text's set."""
        return self.label_sets(self._num_labels).toarray() > 0

    @property
    def _num_labels(self) -> int:
        return max(self.set_size, int(self.class_of_label.max(initial=0)) + 1)

    @functools.cached_property
    def _label_rows(self) -> sparse.csr_array:
        return self.label_sets(self._num_labels)[:, : self.set_size]

    def batch(self, indices: np.ndarray) -> Batch:
        """Returns the batch of some texts, as NumPy arrays.

        Args:
          indices: int[batch], the texts' indices in this split.
        """
        rows = self.rows[indices]
        starts = self.corpus.offsets[rows]
        lengths = np.minimum(self.corpus.offsets[rows + 1] - starts, self.max_len)
        time = np.arange(max(int(lengths.max(initial=0)), 1))
        is_token = time < lengths[:, None]  # [batch, time]
        token_ids = np.full(is_token.shape, PADDING_ID, np.int32)
        types = self.corpus.type_ids[(starts[:, None] + time)[is_token]]
        token_ids[is_token] = self.id_of_type[types]
        if self.set_size:
            labels = np.zeros(len(rows), np.int32)
        else:
            labels = self.class_of_label[self.corpus.labels[rows]]
        weights = np.ones(len(rows), np.float32) if self.weights is None else self.weights[indices]
        batch = Batch(token_ids, lengths.astype(np.int32), labels, weights)
        if self.set_size:
            batch = batch._replace(label_rows=self._label_rows[indices].toarray())
        return batch._replace(left_out=self.own_counts.of(indices)) if self.own_counts else batch


def ids_of_types(corpus: Corpus, ids: TokenIds) -> np.ndarray:
    """Returns int32[types], the token id of each type of the corpus."""
    names = (token.decode("utf-8", "surrogateescape") for token in corpus.types)
    return np.fromiter((ids[name] for name in names), np.int32, len(corpus.types))


class Epoch(NamedTuple):
    """What an epoch is made of.

    Attributes:
      batch_size: number of texts in a batch.
      passes: how often it goes over the texts.
    """

    batch_size: int
    passes: int

    def min_steps(self, num_texts: int) -> int:
        """The `min_epoch_steps` with which `plan_epoch` plans the same for fewer texts."""
        steps = -(-num_texts // self.batch_size)
        return (self.passes - 1) * steps + 1


def plan_epoch(num_texts: int, training: TrainingConfig) -> Epoch:
    """Plans an epoch with enough steps: of smaller batches, then of several passes.

    Args:
      num_texts: number of texts in a pass.
      training: with `batch_size`, the largest number of texts in a batch, and `min_epoch_steps`.
    """
    min_steps = training.min_epoch_steps
    batch_size = min(training.batch_size, max(num_texts // min_steps, SMALL_BATCH))
    steps = -(-num_texts // batch_size)
    return Epoch(batch_size, -(-min_steps // steps))


def pass_batches(lengths: np.ndarray, batch_size: int, seed: int, index: int) -> list[np.ndarray]:
    """Returns the batches of a pass: every text once, texts of similar length together.

    The texts are shuffled, cut into pools, sorted by length inside each pool and cut into batches;
    then the order of the batches is shuffled. So a batch has little padding, and both the order of
    the batches and the texts that share one differ from pass to pass.

    Args:
      lengths: int[texts], number of tokens of each text.
      batch_size: number of texts in a batch; one batch holds the remainder.
      seed: seed of the run.
      index: index of the pass, from 0, over all epochs.

    Returns:
      One array of text indices for each batch.
    """
    random = np.random.Generator(np.random.Philox(key=[seed, index]))
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
    passes: int,
    first_batch: int,
    replicas: range = range(1),
    num_replicas: int = 1,
) -> Iterator[tuple[int, tuple[Batch, ...]]]:
    """Yields an epoch's batches from `first_batch` on, each made while the previous step runs.

    Args:
      split: the training texts.
      batch_size: number of texts in a batch, over all replicas.
      seed: seed of the run.
      epoch: index of the epoch, from 0.
      passes: number of times that an epoch goes over the texts.
      first_batch: index of the first batch to yield.
      replicas: indices of the replicas that train here. Each takes every `num_replicas`-th text of
        a batch, so that the replicas' texts are of similar length.
      num_replicas: number of replicas of all workers.

    Yields:
      The number of texts in the batch over all replicas, and the share of each of `replicas`; a
      share can be empty.
    """
    indices = range(epoch * passes, (epoch + 1) * passes)
    orders = (pass_batches(split.lengths, batch_size, seed, index) for index in indices)
    batches = list(itertools.chain(*orders))[first_batch:]
    shares = [
        _prefetched(split, [batch[replica::num_replicas] for batch in batches])
        for replica in replicas
    ]
    return zip(map(len, batches), zip(*shares, strict=True), strict=True)


def evaluation_batches(
    split: Split, worker: int = 0, num_workers: int = 1
) -> Iterator[tuple[np.ndarray, Batch]]:
    """Yields the batches of a worker's share of the texts, longest texts first.

    Args:
      split: the texts of all workers.
      worker: index of the worker.
      num_workers: number of workers.

    Yields:
      int64[batch], the texts' indices in the split, and their batch.
    """
    lengths = split.lengths
    order = np.argsort(-lengths, kind="stable")
    batches = []
    start = 0
    while start < len(order):
        size = max(1, EVALUATION_TOKENS // max(int(lengths[order[start]]), 1))
        batches.append(order[start : start + size])
        start += size
    batches = batches[worker::num_workers]
    yield from zip(batches, _prefetched(split, batches), strict=True)


def _prefetched(split: Split, batches: list[np.ndarray]) -> Iterator[Batch]:
    """Yields the batches of these texts; a thread makes the next one while the caller uses one.

    `tf.data.Dataset.from_generator` takes four times as long for each batch.
    """
    with futures.ThreadPoolExecutor(1) as thread:
        following = None
        for indices in batches:
            batch, following = following, thread.submit(split.batch, indices)
            if batch:
                yield batch.result()
        if following:
            yield following.result()
