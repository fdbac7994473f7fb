"""The classifier: embedding → recurrent layers → pooling → affine layer."""

import dataclasses
import os
from typing import Any

import keras
import tensorflow as tf

from tf_textrnn.base.errors import UserError
from tf_textrnn.config import ModelConfig
from tf_textrnn.network.dropout import dropout, word_dropout
from tf_textrnn.network.ngrams import NgramScores
from tf_textrnn.network.pooling import MaskedPooling
from tf_textrnn.network.recurrent import RecurrentStack


@keras.saving.register_keras_serializable("tf_textrnn")
class TextRNN(keras.Model):
    """A recurrent text classifier, an ordinary Keras model from token ids to scores.

    With its defaults it is the article's Text-RNN (section 8); `configs/source.flags` makes it
    the class of section 9.

    Args:
      config: sizes and kinds.
      vocab_size: different token ids.
      num_classes: classes.
      num_ngrams: n-grams that the linear classifier beside the network knows; 0 = there is none.
    """

    def __init__(
        self,
        config: ModelConfig,
        vocab_size: int,
        num_classes: int,
        num_ngrams: int = 0,
        **kwargs: Any,
    ):
        super().__init__(**kwargs)
        self.config = config
        self.vocab_size = vocab_size
        self.num_classes = num_classes
        self.num_ngrams = num_ngrams

        def initializer(default: str) -> keras.initializers.Initializer | str:
            # One for each weight: an initializer draws the same numbers whenever it is called.
            scale = config.init_scale
            return keras.initializers.RandomUniform(-scale, scale) if scale else default

        self.embedding = keras.layers.Embedding(
            vocab_size,
            config.embedding_dim,
            embeddings_initializer=initializer("uniform"),
            name="embedding",
        )
        self.recurrent = RecurrentStack(
            config.cell,
            config.hidden_size,
            config.num_layers,
            config.bidirectional,
            config.keep_prob,
            config.init_scale,
            config.forget_bias,
            config.bptt_truncate,
            config.output_dropout == "steps",
            name="recurrent",
        )
        self.pooling = MaskedPooling(config.pooling, config.bidirectional, name="pooling")
        self.softmax = keras.layers.Dense(
            num_classes,
            kernel_initializer=initializer("glorot_uniform"),
            bias_initializer=initializer("zeros"),
            name="softmax",
        )
        self.ngrams = None
        if num_ngrams:
            self.ngrams = NgramScores(
                config.ngrams, num_ngrams, vocab_size, num_classes, name="ngrams"
            )
        self.seed_generator = keras.random.SeedGenerator()

    def build(self, input_shape: Any = None) -> None:
        """Makes the weights; their shapes do not depend on the input's.

        Raises:
          UserError: they are more than this machine's memory holds.
        """
        config = self.config
        numbers = self.vocab_size * config.embedding_dim + config.num_layers * config.hidden_size**2
        memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
        if 4 * numbers > memory:
            raise UserError(
                f"a model of --num_layers={config.num_layers} --hidden_size={config.hidden_size} "
                f"--embedding_dim={config.embedding_dim} and {self.vocab_size:,} token ids: takes "
                f"over {4 * numbers >> 30:,} GiB, found {memory >> 30:,} GiB of memory"
            )
        self.embedding.build(None)
        embedded_shape = (None, None, self.config.embedding_dim)
        self.recurrent.build(embedded_shape)
        outputs_shape = self.recurrent.compute_output_shape(embedded_shape)
        self.pooling.build(outputs_shape)
        self.softmax.build((None, outputs_shape[-1]))
        if self.ngrams:
            self.ngrams.build()
        self.built = True

    def call(
        self,
        inputs: tuple[tf.Tensor, tf.Tensor],
        training: bool = False,
        dropout_seed: tf.Tensor | None = None,
    ) -> tf.Tensor:
        """Scores texts.

        Args:
          inputs: token ids int32[batch, time], padded on the right, and lengths int32[batch].
          training: whether to drop units.
          dropout_seed: int32[2], decides the dropout masks; None draws one.

        Returns:
          float32[batch, num_classes], the logits.
        """
        return tf.add_n(self.branch_scores(inputs, training, dropout_seed))

    def branch_scores(
        self,
        inputs: tuple[tf.Tensor, tf.Tensor],
        training: bool = False,
        dropout_seed: tf.Tensor | None = None,
    ) -> list[tf.Tensor]:
        """The network's scores, and those of the linear classifier where there is one.

        Arguments as `call`'s; float32[batch, num_classes] each. Their sum is what `call` returns.
        """
        token_ids, lengths = inputs
        # Keras's layers need a step, even where no text of the batch has one.
        missing_steps = tf.cast(tf.equal(tf.shape(token_ids)[1], 0), tf.int32)
        token_ids = tf.pad(token_ids, [[0, 0], [0, missing_steps]])
        branches = [] if self.ngrams is None else [self.ngrams(token_ids)]
        mask = tf.sequence_mask(lengths, tf.shape(token_ids)[1], tf.float32)
        if training and dropout_seed is None:
            dropout_seed = tf.cast(self.seed_generator.next(), tf.int32)
        if training and self.config.word_dropout:
            token_ids = word_dropout(token_ids, self.config.word_dropout, dropout_seed)
        network = self.score_embedded(self.embed(token_ids), mask, training, dropout_seed)
        return [network, *branches]

    def embed(self, token_ids: tf.Tensor) -> tf.Tensor:
        """float32[..., embedding_dim] of token ids int32[...].

        Keras's layer reads the whole table first, which is a copy of it at every step.
        """
        return tf.gather(self.embedding.embeddings.value, token_ids)

    def score_embedded(
        self,
        embedded: tf.Tensor,
        mask: tf.Tensor,
        training: bool = False,
        dropout_seed: tf.Tensor | None = None,
    ) -> tf.Tensor:
        """Scores embedded texts, as the source's class does with its `embedded_chars`.

        Args:
          embedded: float32[batch, time, embedding_dim].
          mask: float32[batch, time], 1 at real steps, 0 at the padding to their right.
          training: whether to drop units.
          dropout_seed: int32[2], decides the dropout masks; None draws one.

        Returns:
          float32[batch, num_classes], the logits.
        """
        config = self.config
        if training and dropout_seed is None:
            dropout_seed = tf.cast(self.seed_generator.next(), tf.int32)
        if training and config.keep_prob < 1:
            embedded = dropout(embedded, config.keep_prob, dropout_seed, place=0)
        lengths = tf.cast(tf.reduce_sum(mask, axis=1), tf.int32)
        outputs = self.recurrent(embedded, lengths, training=training, dropout_seed=dropout_seed)
        pooled = self.pooling(outputs, mask)
        if training and config.keep_prob < 1 and config.output_dropout == "pooled":
            pooled = dropout(pooled, config.keep_prob, dropout_seed, place=config.num_layers)
        return self.softmax(pooled)

    def named_weights(self) -> dict[str, keras.Variable]:
        """The trainable weights by readable names; `softmax_w` and `softmax_b` are the source's."""
        return {
            "embedding": self.embedding.embeddings,
            **self.recurrent.named_weights(),
            **{weight.name: weight for weight in self.pooling.trainable_variables},
            "softmax_w": self.softmax.kernel,
            "softmax_b": self.softmax.bias,
            **(
                {"ngrams/kernel": self.ngrams.kernel, "ngrams/bias": self.ngrams.bias}
                if self.ngrams
                else {}
            ),
        }

    def saved_weights(self) -> dict[str, keras.Variable]:
        """All that tells this model from another of its kind: `named_weights` and the n-grams."""
        return self.named_weights() | ({"ngrams/keys": self.ngrams.keys} if self.ngrams else {})

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "config": dataclasses.asdict(self.config),
            "vocab_size": self.vocab_size,
            "num_classes": self.num_classes,
            "num_ngrams": self.num_ngrams,
        }

    @classmethod
    def from_config(cls, config: dict[str, Any], custom_objects: Any = None) -> "TextRNN":
        return cls(ModelConfig(**config.pop("config")), **config)
