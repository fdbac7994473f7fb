"""What Keras asks of a text classifier beside its scores: shapes, `fit`, `export`."""

from typing import Any

import keras
import tensorflow as tf

from tf_textrnn.network.embedding import is_pair, pad_ids


class KerasTextModel(keras.Model):
    """Base of `TextRNN`, which sets the attributes.

    Attributes:
      num_classes: number of classes.
      has_counts: whether the model leaves each text out of the counts of its n-grams.
      takes_lengths: whether the model was built on token ids and lengths, not on ids alone.
    """

    num_classes: int
    has_counts: bool
    takes_lengths: bool = False

    @property
    def jit_compile(self) -> bool:
        """False; `compile(jit_compile=True)` raises ValueError, "auto" is False."""
        return False

    @jit_compile.setter
    def jit_compile(self, value: bool) -> None:
        if value:
            raise ValueError("TextRNN: expected jit_compile=False; XLA cannot compile its LSTM")

    def compute_output_shape(self, input_shape: Any) -> tuple[int | None, int]:
        """The shape (batch, num_classes) for inputs of a shape as in `build`."""
        ids_shape = input_shape[0] if is_pair(input_shape) else input_shape
        return (ids_shape[0], self.num_classes)

    def compute_output_spec(self, inputs: Any, *_: Any, **__: Any) -> keras.KerasTensor:
        """Shape and dtype of the scores, which have the dtype of the weights."""
        shape = keras.tree.map_structure(lambda tensor: tuple(tensor.shape), inputs)
        return keras.KerasTensor(self.compute_output_shape(shape), self.variable_dtype)

    def train_step(self, data: Any) -> dict[str, Any]:
        """Keras's step of `fit`; a model with counts leaves each text out of them.

        Copies of a text are not known here, and stay in; `textrnn train` leaves them out too.
        """
        if self.has_counts:
            inputs, labels, sample_weight = keras.utils.unpack_x_y_sample_weight(data)
            token_ids, lengths, _ = pad_ids(inputs)
            own = tf.pad(_label_rows(labels, self.num_classes), [[0, 0], [0, 1]], constant_values=1)
            data = ((token_ids, lengths, own), labels, sample_weight)
        return super().train_step(data)

    def export(
        self,
        filepath: Any,
        format: str = "tf_saved_model",
        verbose: bool | None = None,
        input_signature: Any = None,
        **kwargs: Any,
    ) -> None:
        """Exports the model; arguments as of `keras.Model.export`.

        Without an `input_signature` the export takes int32 token ids [batch, time], and int32
        lengths [batch] too where the model was first called with lengths.
        """
        if input_signature is None:
            token_ids = tf.TensorSpec([None, None], tf.int32, "token_ids")
            lengths = tf.TensorSpec([None], tf.int32, "lengths")
            input_signature = [(token_ids, lengths) if self.takes_lengths else token_ids]
        super().export(filepath, format, verbose, input_signature, **kwargs)


def _label_rows(labels: tf.Tensor, num_classes: int) -> tf.Tensor:
    """Returns float32[batch, classes], 1 at the labels of each text.

    Args:
      labels: classes int[batch] or int[batch, 1], or such rows of any dtype already.
      num_classes: number of classes, two or more.
    """
    if labels.shape.rank == 2 and labels.shape[1] == num_classes:
        return tf.cast(labels, tf.float32)
    return tf.one_hot(tf.cast(tf.reshape(labels, [-1]), tf.int32), num_classes)
