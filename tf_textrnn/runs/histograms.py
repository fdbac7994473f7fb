"""Computes histograms of tensors, on the device that holds them; rows left out count as zeros.

The buckets are those of TF1's `tf.summary.histogram`: each is a tenth wider than its neighbor
nearer to zero, from 1e-12 to 1e20 on either side, so that small gradients stay apart.
"""

import dataclasses
import functools
import math
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import numpy as np
import tensorflow as tf

if TYPE_CHECKING:
    from tf_textrnn.training.optimizers import Gradient

_SMALLEST, _GROWTH, _SIDE = 1e-12, 1.1, 774  # _SIDE buckets on either side of the one around zero
_EDGES = _SMALLEST * _GROWTH ** np.arange(_SIDE + 1)
_RIGHT_EDGES = np.concatenate([-_EDGES[:-1][::-1], _EDGES])  # of all 2 * _SIDE + 1 buckets


@dataclasses.dataclass(frozen=True)
class Histogram:
    """Statistics of the values of one tensor.

    Attributes:
      size: number of values.
      zeros: number of values that are 0.
      minimum: the smallest value.
      maximum: the largest value.
      total: sum of the values.
      total_squares: sum of the squares of the values.
      counts: int64[buckets], number of values in each bucket.
    """

    size: int
    zeros: int
    minimum: float
    maximum: float
    total: float
    total_squares: float
    counts: np.ndarray

    @property
    def is_finite(self) -> bool:
        """Whether all values are finite."""
        return math.isfinite(self.total_squares)

    @property
    def sparsity(self) -> float:
        """The fraction of values that are 0."""
        return self.zeros / self.size

    def to_proto(self) -> tf.compat.v1.HistogramProto:
        """Returns the proto that TF1 wrote; the last of adjacent empty buckets stands for all."""
        is_kept = self.counts > 0
        is_kept[:-1] |= is_kept[1:]
        return tf.compat.v1.HistogramProto(
            min=self.minimum,
            max=self.maximum,
            num=self.size,
            sum=self.total,
            sum_squares=self.total_squares,
            bucket_limit=_RIGHT_EDGES[is_kept],
            bucket=self.counts[is_kept],
        )


class HistogramMaker:
    """Makes histograms of tensors of fixed sizes, all in one call of a compiled function.

    Args:
      sizes: number of values of each tensor, when dense.
    """

    def __init__(self, sizes: Sequence[int]):
        self._sizes = sizes

    @functools.cached_property
    def _measure(self) -> Callable[[list[tf.Tensor]], Sequence[tf.Tensor]]:
        signature = [tf.TensorSpec(None, tf.float32) for _ in self._sizes]
        # TensorFlow would warn of a function that the trainers of several folds trace when called.
        return tf.function(_measure).get_concrete_function(signature)

    def __call__(self, tensors: Sequence["Gradient"]) -> list[Histogram]:
        """Returns the histogram of each tensor.

        Args:
          tensors: float32 tensors of the sizes given; a `tf.IndexedSlices` names each row at most
            once, and the rows that it does not name count as zeros.
        """
        values = [t.values if isinstance(t, tf.IndexedSlices) else t for t in tensors]
        counts, nonzero, moments = (measured.numpy() for measured in self._measure(values))
        histograms = []
        for index, size in enumerate(self._sizes):
            left_out = size - int(counts[index].sum())
            counts[index, _SIDE] += left_out
            smallest, largest, total, total_squares = moments[index].tolist()
            histograms.append(
                Histogram(
                    size,
                    size - int(nonzero[index]),
                    min(smallest, 0.0) if left_out else smallest,
                    max(largest, 0.0) if left_out else largest,
                    total,
                    total_squares,
                    counts[index],
                )
            )
        return histograms


def _measure(tensors: list[tf.Tensor]) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
    """Measures n tensors.

    Returns:
      Counts int64[n, buckets], number of nonzero values int64[n], and float64[n, 4]: minimum,
      maximum, sum and sum of squares.
    """
    counts, nonzero, moments = [], [], []
    for tensor in tensors:
        values = tf.reshape(tensor, [-1])
        # Number of buckets from the one around zero, which holds all below the smallest edge.
        distance = tf.nn.relu(tf.math.log(tf.abs(values) / _SMALLEST) / math.log(_GROWTH) + 1.0)
        bucket = _SIDE + tf.cast(tf.sign(values) * tf.floor(distance), tf.int32)
        bucket = tf.clip_by_value(bucket, 0, 2 * _SIDE)
        counts.append(tf.math.bincount(bucket, minlength=2 * _SIDE + 1, dtype=tf.int64))
        nonzero.append(tf.math.count_nonzero(values))
        exact = tf.cast(values, tf.float64)
        extremes = tf.cast(tf.stack([tf.reduce_min(values), tf.reduce_max(values)]), tf.float64)
        totals = tf.stack([tf.reduce_sum(exact), tf.reduce_sum(tf.square(exact))])
        moments.append(tf.concat([extremes, totals], axis=0))
    return tf.stack(counts), tf.stack(nonzero), tf.stack(moments)
