"""The classifier: embedding → recurrent layers → pooling → affine layer."""

import dataclasses
import itertools
import math
from typing import Any

import keras
import tensorflow as tf

from tf_textrnn.config import ModelConfig
from tf_textrnn.network.dropout import dropout, word_dropout
from tf_textrnn.network.embedding import TokenEmbedding, is_pair, pad_ids
from tf_textrnn.network.keras_model import KerasTextModel
from tf_textrnn.network.ngrams import COUNTED, NgramScores
from tf_textrnn.network.pooling import MaskedPooling
from tf_textrnn.network.recurrent import RecurrentStack
from tf_textrnn.text import PADDING_ID

DTYPES = ("float32", "float64", "mixed_bfloat16", "mixed_float16")


@keras.saving.register_keras_serializable("tf_textrnn")
class TextRNN(KerasTextModel):
    """A recurrent text classifier, an ordinary Keras model from token ids to scores.

    With its defaults it is the article's Text-RNN (section 8); `configs/source.flags` makes it
    the class of section 9.

    Under a mixed policy the recurrent layers work in the short dtype; embedding, pooling, scores
    and n-grams, and the steps of an LSTM off the GPU, stay in float32. XLA has no kernels for
    that LSTM and for the n-grams, so `compile(jit_compile=True)` is refused.

    Args:
      config: sizes and kinds.
      vocab_size: number of different token ids.
      num_classes: number of classes.
      num_ngrams: number of n-grams that the linear classifier beside the network knows; 0 = no
        such classifier.
      has_counts: whether that classifier holds the counts of the n-grams, to leave each text out
        in training (`NgramScores`).
      **kwargs: `name`, `dtype` and `trainable`, as of any Keras layer.

    Raises:
      ValueError: the dtype is not one of `DTYPES`, or n-grams have no order.

    Example:
      >>> import tensorflow as tf
      >>> from tf_textrnn.config import ModelConfig
      >>> from tf_textrnn.network.model import TextRNN
      >>> model = TextRNN(ModelConfig(hidden_size=8), vocab_size=100, num_classes=3)
      >>> token_ids = tf.constant([[7, 8, 9], [5, 0, 0]])  # 0 is padding
      >>> model(token_ids).shape
      TensorShape([2, 3])
      >>> lengths = tf.constant([3, 1])
      >>> bool(tf.reduce_all(model((token_ids, lengths)) == model(token_ids)))
      True
    """

    def __init__(
        self,
        config: ModelConfig,
        vocab_size: int,
        num_classes: int,
        num_ngrams: int = 0,
        has_counts: bool = False,
        **kwargs: Any,
    ):
        super().__init__(**kwargs)
        if self.dtype_policy.name not in DTYPES:
            raise ValueError(
                f"TextRNN: expected a dtype of {', '.join(DTYPES)}, found {self.dtype_policy.name}"
            )
        if num_ngrams and config.ngrams < 1:
            raise ValueError(
                f"TextRNN: expected config.ngrams of 1 to 4 with num_ngrams={num_ngrams}, "
                f"found {config.ngrams}"
            )
        self.config = config
        self.vocab_size = vocab_size
        self.num_classes = num_classes
        self.num_ngrams = num_ngrams
        self.has_counts = has_counts
        self.autocast = False  # token ids that come as floats would lose digits
        self.supports_jit = False

        exact = self.variable_dtype

        def initializer(default: str) -> keras.initializers.Initializer | str:
            # One for each weight: an initializer draws the same numbers whenever it is called.
            scale = config.init_scale
            return keras.initializers.RandomUniform(-scale, scale) if scale else default

        self.embedding = TokenEmbedding(
            vocab_size,
            config.embedding_dim,
            embeddings_initializer=initializer("uniform"),
            dtype=exact,
            name="embedding",
        )
        self.recurrent = RecurrentStack(
            cell=config.cell, hidden_size=config.hidden_size, num_layers=config.num_layers,
            bidirectional=config.bidirectional, keep_prob=config.keep_prob,
            init_scale=config.init_scale, forget_bias=config.forget_bias,
            activation=config.activation, leak=config.leak, bptt_truncate=config.bptt_truncate,
            drops_last=config.output_dropout == "steps", dtype=self.dtype_policy, name="recurrent",
        )  # fmt: skip
        self.pooling = MaskedPooling(
            config.pooling, config.bidirectional, dtype=exact, name="pooling"
        )
        self.softmax = keras.layers.Dense(
            num_classes,
            kernel_initializer=initializer("glorot_uniform"),
            bias_initializer=initializer("zeros"),
            dtype=exact,
            name="softmax",
        )
        self.ngrams = None
        if num_ngrams:
            self.ngrams = NgramScores(
                config.ngrams, num_ngrams, vocab_size, num_classes, has_counts,
                dtype=exact, name="ngrams",
            )  # fmt: skip
        self.seed_generator = keras.random.SeedGenerator()
        self._frozen_layers: list[str] = []  # those that `build` freezes

    def build(self, input_shape: Any = None) -> None:
        """Makes the weights; their shapes do not depend on the input's.

        Args:
          input_shape: (batch, time) of token ids, or that and (batch,) of lengths; `export` takes
            inputs of this kind.
        """
        self.takes_lengths = is_pair(input_shape)
        ids_shape = (None, None)
        self.embedding.build(ids_shape)
        embedded_shape = self.embedding.compute_output_shape(ids_shape)
        self.recurrent.build(embedded_shape)
        outputs_shape = self.recurrent.compute_output_shape(embedded_shape)
        self.pooling.build(outputs_shape)
        self.softmax.build(self.pooling.compute_output_shape(outputs_shape))
        if self.ngrams:
            self.ngrams.build(ids_shape)
        # Keras thaws no weight that was made frozen, so they are frozen now.
        for layer in self._all_layers():
            if layer.name in self._frozen_layers:
                layer.trainable = False

    def _all_layers(self) -> list[keras.Layer]:
        """The layers, and those inside the recurrent one; their names differ."""
        return [*self.layers, *itertools.chain(*self.recurrent.recurrent_layers)]

    def call(
        self, inputs: Any, training: bool = False, dropout_seed: tf.Tensor | None = None
    ) -> tf.Tensor:
        """Scores texts.

        Args:
          inputs: token ids int[batch, time], ragged or padded on the right; or those and lengths
            int[batch], past which a token id changes nothing. Without lengths a text ends at its
            last id that is not 0. A model with counts takes, as a third, float[batch, classes + 1]:
            what to take from the counts of each text's n-grams (`Batch.left_out`).
          training: whether to drop units.
          dropout_seed: int32[2], decides the dropout masks; None draws one.

        Returns:
          float[batch, num_classes], the logits, in the dtype of the weights.
        """
        return tf.add_n(self.branch_scores(inputs, training, dropout_seed))

    def branch_scores(
        self, inputs: Any, training: bool = False, dropout_seed: tf.Tensor | None = None
    ) -> list[tf.Tensor]:
        """The network's scores, and those of the linear classifier where there is one.

        Arguments as `call`'s; float[batch, num_classes] each. Their sum is what `call` returns.
        """
        config = self.config
        if training and dropout_seed is None:
            dropout_seed = tf.cast(self.seed_generator.next(), tf.int32)
        with tf.name_scope("token_ids"):
            token_ids, lengths, left_out = pad_ids(inputs)
            mask = tf.sequence_mask(lengths, tf.shape(token_ids)[1])
            token_ids = read_ids = tf.where(mask, token_ids, PADDING_ID)
            if training and config.word_dropout:
                read_ids = word_dropout(token_ids, config.word_dropout, dropout_seed)
            embedded, mask = self.embedding(read_ids), tf.cast(mask, tf.float32)
        branches = [self.score_embedded(embedded, mask, training, dropout_seed)]
        if self.ngrams:
            with tf.name_scope("ngram_scores"):
                branches.append(self.ngrams(token_ids, left_out))
        return branches

    def score_embedded(
        self,
        embedded: tf.Tensor,
        mask: tf.Tensor,
        training: bool = False,
        dropout_seed: tf.Tensor | None = None,
    ) -> tf.Tensor:
        """Scores embedded texts, as the source's class does with its `embedded_chars`.

        Args:
          embedded: float[batch, time, embedding_dim].
          mask: float32[batch, time], 1 at real steps, 0 at the padding to their right.
          training: whether to drop units.
          dropout_seed: int32[2], decides the dropout masks; None draws one.

        Returns:
          float[batch, num_classes], the logits.
        """
        config = self.config
        if training and dropout_seed is None:
            dropout_seed = tf.cast(self.seed_generator.next(), tf.int32)
        with tf.name_scope("embedded_chars"):
            embedded = tf.cast(embedded, self.compute_dtype)
            if training and config.keep_prob < 1:
                embedded = dropout(embedded, config.keep_prob, dropout_seed, place=0)
        # The source's names of scopes, which TensorBoard's graph shows.
        with tf.name_scope(f"{config.cell.upper()}_layer"):
            lengths = tf.cast(tf.reduce_sum(mask, axis=1), tf.int32)
            outputs = self.recurrent(
                embedded, lengths, training=training, dropout_seed=dropout_seed
            )
        with tf.name_scope(f"{config.pooling}_pooling_layer"):
            pooled = self.pooling(outputs, mask)
            if training and config.keep_prob < 1 and config.output_dropout == "pooled":
                pooled = dropout(pooled, config.keep_prob, dropout_seed, place=config.num_layers)
        with tf.name_scope("Softmax_layer_and_output"):
            return self.softmax(pooled)

    def named_weights(self) -> dict[str, keras.Variable]:
        """The weights by readable names; `softmax_w` and `softmax_b` are the source's.

        Frozen weights are among them; the n-grams' keys and counts, which nothing trains, are not.
        """
        weights = {"embedding": self.embedding.embeddings, **self.recurrent.named_weights()}
        if self.pooling.query is not None:
            weights[self.pooling.query.name] = self.pooling.query
        weights |= {"softmax_w": self.softmax.kernel, "softmax_b": self.softmax.bias}
        if self.ngrams:
            weights |= {"ngrams/kernel": self.ngrams.kernel, "ngrams/bias": self.ngrams.bias}
            if self.has_counts:
                weights["ngrams/trust"] = self.ngrams.trust
        return weights

    def named_trainable_weights(self) -> dict[str, keras.Variable]:
        """Those of `named_weights` that are not frozen, as Keras sees it, in the same order."""
        trainable = {id(weight) for weight in self.trainable_weights}
        return {name: w for name, w in self.named_weights().items() if id(w) in trainable}

    @property
    def num_parameters(self) -> int:
        """Number of weights with which the model scores; the trust is part of others in the end."""
        weights = self.named_weights()
        weights.pop("ngrams/trust", None)
        return sum(math.prod(weight.shape) for weight in weights.values())

    def saved_weights(self) -> dict[str, keras.Variable]:
        """All that tells this model from another of its kind: `named_weights` and the n-grams."""
        names = (["keys"] if self.ngrams else []) + list(COUNTED) * self.has_counts
        return self.named_weights() | {f"ngrams/{n}": getattr(self.ngrams, n) for n in names}

    def without_counts(self) -> "TextRNN":
        """A model that scores the same and holds no counts: their ratios are in its kernel."""
        model = TextRNN.from_config({**self.get_config(), "has_counts": False})
        model.build()
        weights = self.saved_weights()
        for name, weight in model.saved_weights().items():
            weight.assign(weights[name])
        if self.ngrams and self.has_counts:
            model.saved_weights()["ngrams/kernel"].assign(self.ngrams.folded_kernel())
        return model

    def get_config(self) -> dict[str, Any]:
        """The arguments of `__init__`, and the names of the layers that are frozen."""
        frozen = [layer.name for layer in self._all_layers() if not layer.trainable]
        return {
            **super().get_config(),
            "frozen_layers": frozen if self.built else self._frozen_layers,
            "config": dataclasses.asdict(self.config),
            "vocab_size": self.vocab_size,
            "num_classes": self.num_classes,
            "num_ngrams": self.num_ngrams,
            "has_counts": self.has_counts,
        }

    @classmethod
    def from_config(cls, config: dict[str, Any], custom_objects: Any = None) -> "TextRNN":
        """The model of a config that `get_config` gave, which stays as it is."""
        options = {**config, "config": ModelConfig(**config["config"])}
        frozen = options.pop("frozen_layers", [])
        model = cls(**options)
        model._frozen_layers = list(frozen)
        return model


def min_weights(config: ModelConfig, vocab_size: int) -> int:
    """A lower bound of the numbers that a model's weights hold, known before it is made."""
    return vocab_size * config.embedding_dim + config.num_layers * config.hidden_size**2
