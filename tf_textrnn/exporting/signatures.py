"""The served model: raw texts in, labels and probabilities out, in ops of stock TensorFlow."""

from collections.abc import Sequence

import tensorflow as tf

from tf_textrnn.exporting.explain_graph import explain
from tf_textrnn.network.model import TextRNN
from tf_textrnn.text import UNKNOWN_ID, TextEncoder, tokenize

TEXT_FEATURE = "text"  # of the tf.Examples that `classify` reads


class ServedTextRNN:
    """A trained model with its vocabulary and labels, and the signatures that it is served by.

    The model traces ops that every machine has, as it does wherever it does not train.

    `resources` is what the signatures read: weights, and the text files, which become the
    SavedModel's assets. The Keras model itself stays out of it.

    Args:
      model: with the weights to serve.
      vocabulary_file: the token of each id.
      labels_file: the label of each class.
      tokenizer: "word" or "char".
      max_len: tokens of a text that are read.
      temperature: probabilities are the softmax, or the sigmoid, of the scores divided by this.
      thresholds: float[classes], least probability of an accepted label; None = none.
      has_sets: whether a text has a set of labels: sigmoid, and any number are accepted.
      stems_file: of the words, as `TextEncoder` takes it.
    """

    def __init__(
        self,
        model: TextRNN,
        vocabulary_file: str,
        labels_file: str,
        tokenizer: str,
        max_len: int,
        temperature: float = 1.0,
        thresholds: Sequence[float] | None = None,
        has_sets: bool = False,
        stems_file: str | None = None,
    ):
        self._has_sets = has_sets
        self._model = model
        self._thresholds = thresholds
        self._temperature = temperature
        self._encoder = TextEncoder(vocabulary_file, tokenizer, max_len, stems_file)
        self._labels = tf.lookup.StaticHashTable(
            tf.lookup.TextFileInitializer(
                labels_file,
                tf.int64,
                tf.lookup.TextFileIndex.LINE_NUMBER,
                tf.string,
                tf.lookup.TextFileIndex.WHOLE_LINE,
            ),
            default_value="",
        )
        # Of two signatures each, so that they are traced once.
        self._predict = tf.function(self.predict)
        self._score_embedded = tf.function(self.score_embedded_batch_major)
        self.resources = tf.Module()
        self.resources.weights = [weight.value for weight in model.saved_weights().values()]
        self.resources.encoder = self._encoder
        self.resources.labels = self._labels

    @property
    def signatures(self) -> dict[str, tf.types.experimental.ConcreteFunction]:
        """The signatures by name."""
        embedding_dim = self._model.config.embedding_dim
        return {
            "serving_default": self._predict.get_concrete_function(
                tf.TensorSpec([None], tf.string, "text")
            ),
            "classify": tf.function(self.classify).get_concrete_function(
                tf.TensorSpec([None], tf.string, "inputs")
            ),
            "explain": tf.function(self.explain, autograph=False).get_concrete_function(
                tf.TensorSpec([None], tf.string, "text")
            ),
            "embedded": tf.function(self.score_embedded).get_concrete_function(
                tf.TensorSpec([None, None, embedding_dim], tf.float32, "embedded_chars"),
                tf.TensorSpec([None, None], tf.float32, "mask_x"),
            ),
            "embedded_batch_major": self._score_embedded.get_concrete_function(
                tf.TensorSpec([None, None, embedding_dim], tf.float32, "embedded_chars"),
                tf.TensorSpec([None, None], tf.float32, "mask"),
            ),
        }

    def predict(self, text: tf.Tensor) -> dict[str, tf.Tensor]:
        """Classifies texts.

        Args:
          text: string[n].

        Returns:
          `label` string[n] and `prediction` int64[n], the most probable label; `scores`
          float32[n, classes], `probability` float32[n, classes]; `accepted` bool[n, classes],
          whether the text is taken to have the label: of none where no token of it is known or,
          with thresholds, fewer than half of them are;
          `num_tokens` int32[n], the number of tokens that were read, `num_known` int32[n], those of
          them that were not read as unknown, and `is_cut` bool[n], whether the text has
          more of them.
        """
        token_ids, lengths, is_cut = self._encoder.encode(text)
        scores = self._model((token_ids, lengths), training=False)
        num_known = tf.reduce_sum(tf.cast(token_ids > UNKNOWN_ID, tf.int32), axis=1)
        is_known = num_known > 0
        if self._thresholds is not None:
            is_known &= 2 * num_known >= lengths
        outputs = self._outputs(scores, is_known)
        return {
            "label": self._labels.lookup(outputs["prediction"]),
            **outputs,
            "num_tokens": lengths,
            "num_known": num_known,
            "is_cut": is_cut,
        }

    def explain(self, text: tf.Tensor) -> dict[str, tf.Tensor]:
        """Tells what each token adds to the score of each label.

        Args:
          text: string[n].

        Returns:
          `tokens` string[n, time], those that were read, and `num_tokens` int32[n], how many these
          are of each text; `base_scores` float32[n, classes], those of an empty text;
          `ngram_shares` and `network_shares` float32[n, time, classes], what each token adds by
          either branch.
        """
        tokens = tokenize(text, self._encoder.tokenizer, self._encoder.max_len)
        token_ids, lengths, _ = self._encoder.encode(text)
        base, ngrams, network = explain(self._model, token_ids, lengths)
        return {
            "tokens": tokens.to_tensor(""),
            "num_tokens": lengths,
            "base_scores": base,
            "ngram_shares": ngrams,
            "network_shares": network,
        }

    def classify(self, inputs: tf.Tensor) -> dict[str, tf.Tensor]:
        """Classifies as TF Serving's Classify call wants it.

        Args:
          inputs: string[n], each a serialized tf.Example with the bytes feature `text`.

        Returns:
          `classes` string[n, classes], every label in the order of the labels file, and `scores`
          float32[n, classes], their probabilities.
        """
        feature = tf.io.FixedLenFeature([], tf.string)
        texts = tf.io.parse_example(inputs, {TEXT_FEATURE: feature})[TEXT_FEATURE]
        probability = self._predict(texts)["probability"]
        labels = self._labels.lookup(tf.range(self._model.num_classes, dtype=tf.int64))
        return {"classes": tf.tile(labels[None], [tf.size(texts), 1]), "scores": probability}

    def score_embedded(self, embedded_chars: tf.Tensor, mask_x: tf.Tensor) -> dict[str, tf.Tensor]:
        """Classifies embedded texts given as the source's class takes them.

        By the network alone: n-grams have no place without words. TF Serving's batching joins
        inputs along their first dimensions, which differ here: a server with batching refuses
        this signature, and has `score_embedded_batch_major`.

        Args:
          embedded_chars: float32[n, time, embedding_dim].
          mask_x: float32[time, n], 1 at real steps, 0 at the padding that follows them.

        Returns:
          `prediction`, `scores`, `probability` and `accepted`, as in `predict`.
        """
        outputs: dict[str, tf.Tensor] = self._score_embedded(embedded_chars, tf.transpose(mask_x))
        return outputs

    def score_embedded_batch_major(
        self, embedded_chars: tf.Tensor, mask: tf.Tensor
    ) -> dict[str, tf.Tensor]:
        """Classifies embedded texts as `score_embedded` does; each input has the text first.

        Args:
          embedded_chars: float32[n, time, embedding_dim].
          mask: float32[n, time], 1 at real steps, 0 at the padding that follows them.

        Returns:
          `prediction`, `scores`, `probability` and `accepted`, as in `predict`.
        """
        scores = self._model.score_embedded(embedded_chars, mask)
        return self._outputs(scores, tf.reduce_any(mask > 0, axis=1))

    def _outputs(self, scores: tf.Tensor, is_known: tf.Tensor) -> dict[str, tf.Tensor]:
        """What is told of n texts; `is_known` bool[n] says which may have a label accepted."""
        prediction, scaled = tf.argmax(scores, axis=1), scores / self._temperature
        probability = tf.sigmoid(scaled) if self._has_sets else tf.nn.softmax(scaled)
        accepted = is_known[:, None]
        if not self._has_sets:
            num_classes = self._model.num_classes
            accepted &= tf.one_hot(prediction, num_classes, True, False, dtype=tf.bool)
        if self._thresholds is not None:
            accepted &= probability >= tf.constant(self._thresholds, tf.float32)
        return {
            "prediction": prediction,
            "scores": scores,
            "probability": probability,
            "accepted": accepted,
        }
