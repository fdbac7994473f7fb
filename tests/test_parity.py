"""The port against the TF1 graph, run live: same weights, same batches, same numbers."""

import numpy as np
import pytest
import tensorflow as tf

from tests.oracle import Oracle, part
from tests.tf1_graph import CLASSES, EMBEDDING, HIDDEN, LAYERS, UPDATES, VOCABULARY
from tf_textrnn.config import ModelConfig, TrainingConfig
from tf_textrnn.data.batches import Batch
from tf_textrnn.network.model import TextRNN
from tf_textrnn.study.tf1_import import SourceWeights
from tf_textrnn.training.optimizers import make_optimizer
from tf_textrnn.training.step import StepSettings, train_step

CELL = "LSTM_layer/multi_rnn_cell/cell_{}/basic_lstm_cell/{}"


def to_port(arrays: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Returns weights, or their gradients, by their names in the port."""
    layers = len([name for name in arrays if name.endswith("kernel")])
    source = SourceWeights(
        [arrays[CELL.format(layer, "kernel")] for layer in range(layers)],
        [arrays[CELL.format(layer, "bias")] for layer in range(layers)],
        arrays["softmax_w"],
        arrays["softmax_b"],
    )
    tables = {"embedding": arrays["embedding"]} if "embedding" in arrays else {}
    return {**source.named_weights(), **tables}


def make_model(weights: dict[str, np.ndarray], keep_prob: float = 1.0) -> TextRNN:
    """Makes the port of the TF1 model; it has no embedding if `weights` has none."""
    layers = len([name for name in weights if name.endswith("/kernel")])
    config = ModelConfig(
        hidden_size=HIDDEN,
        num_layers=layers,
        bidirectional=False,
        embedding_dim=EMBEDDING,
        keep_prob=keep_prob,
        forget_bias=0.0,
        output_dropout="steps",
        word_dropout=0.0,
    )
    kind = TextRNN if "embedding" in weights else EmbeddedTextRNN
    model = kind(config, VOCABULARY, CLASSES)
    model.build()
    named = model.named_weights()
    assert named.keys() == weights.keys()
    for name, value in weights.items():
        named[name].assign(value)
    return model


class EmbeddedTextRNN(TextRNN):
    """Takes embedded texts, the input of the TF1 class, so that no embedding is trained."""

    def branch_scores(self, inputs, training=False, dropout_seed=None):
        embedded, lengths, *_ = inputs
        mask = tf.sequence_mask(lengths, tf.shape(embedded)[1], tf.float32)
        return [self.score_embedded(embedded, mask, training, dropout_seed)]

    def named_weights(self):
        weights = super().named_weights()
        del weights["embedding"]
        return weights


def differences(case: dict[str, np.ndarray], max_grad_norm: float) -> dict[str, float]:
    """Returns the largest absolute difference of each quantity over 20 updates."""
    model = make_model(to_port(part(case, "start")))
    optimizer = make_optimizer(TrainingConfig(optimizer="sgd"))
    optimizer.build([weight.value for weight in model.named_weights().values()])
    expected_gradients = part(case, "gradient")
    largest = dict.fromkeys(("scores", "loss", "accuracy", "norm", "gradients"), 0.0)

    def compare(quantity: str, found: tf.Tensor, expected: np.ndarray) -> None:
        assert np.shape(found) == np.shape(expected)
        largest[quantity] = max(largest[quantity], float(np.abs(found - expected).max()))

    for update in range(UPDATES):
        inputs, lengths, labels = (case[key][update] for key in ("inputs", "lengths", "labels"))
        compare("scores", model((inputs, lengths)).numpy(), case["scores"][update])
        optimizer.learning_rate = case["rate"][update]
        batch = Batch(*map(tf.constant, (inputs, lengths, labels)), tf.ones(len(labels)))
        seed = tf.constant([0, update])
        result = train_step(model, optimizer, batch, StepSettings(seed, max_grad_norm))
        compare("loss", result.loss.numpy(), case["loss"][update])
        compare("accuracy", result.correct.numpy() / len(labels), case["accuracy"][update])
        compare("norm", result.grad_norm.numpy(), case["grad_norm"][update])
        expected = to_port({name: values[update] for name, values in expected_gradients.items()})
        for name, gradient in zip(model.named_weights(), result.gradients, strict=True):
            compare("gradients", tf.convert_to_tensor(gradient).numpy(), expected[name])
    end = to_port(part(case, "end"))
    largest["weights"] = max(
        float(np.abs(weight.numpy() - end[name]).max())
        for name, weight in model.named_weights().items()
    )
    start = to_port(part(case, "start"))
    assert all(np.abs(end[name] - start[name]).max() > 2e-4 for name in end), "too little moved"
    return largest


BOUNDS = {"scores": 1e-5, "loss": 1e-5, "accuracy": 1e-6, "norm": 1e-5, "gradients": 1e-5,
          "weights": 1e-4}  # fmt: skip


def check(name: str, largest: dict[str, float]) -> None:
    print(f"\n{name}:", *(f"{quantity} {value:.1e}" for quantity, value in largest.items()))
    assert all(largest[quantity] <= bound for quantity, bound in BOUNDS.items()), largest


@pytest.mark.parametrize("layers", LAYERS)
@pytest.mark.parametrize(
    ("clip", "max_grad_norm"),
    [("bites", 0.05), pytest.param("spares", 100.0, marks=pytest.mark.slow)],
)
def test_twenty_updates_equal_the_graph(
    oracle: Oracle, layers: int, clip: str, max_grad_norm: float
) -> None:
    case = oracle[f"trained_{layers}_{clip}"]
    assert np.all(case["grad_norm"] > max_grad_norm) == (clip == "bites")
    check(f"{layers} layers, clipping {clip}", differences(case, max_grad_norm))


def test_twenty_updates_with_an_embedding_equal_the_graph(oracle: Oracle) -> None:
    check("2 layers, embedding", differences(oracle["trained_embedding"], 0.05))


def spread(scores: np.ndarray) -> np.ndarray:
    """Returns mean and covariance of scores float[draws, classes], in one vector."""
    return np.concatenate([scores.mean(axis=0), np.cov(scores, rowvar=False).ravel()])


@pytest.mark.parametrize("layers", [1, 2])
def test_dropout_spreads_scores_as_in_the_graph(oracle: Oracle, layers: int) -> None:
    """The mean and covariance of the scores show where units are dropped, and how often.

    A hundred groups of draws show how far chance alone moves them.
    """
    case = oracle[f"dropped_{layers}"]
    model = make_model(to_port(part(case, "start")), keep_prob=0.5)
    draws = len(case["training"])
    embedded = tf.constant(np.repeat(case["inputs"], draws, axis=0))
    mask = tf.ones(embedded.shape[:2])

    def distance(scores: np.ndarray) -> float:
        """Returns the largest distance of an entry of mean and covariance, in standard errors."""
        groups = np.stack([spread(group) for group in np.split(case["training"], 100)])
        error = groups.std(axis=0) * np.sqrt(2 / 100)
        return float(np.abs((spread(scores) - spread(case["training"])) / error).max())

    seed = tf.constant([1, 2])
    port = model.score_embedded(embedded, mask, training=True, dropout_seed=seed).numpy()
    assert distance(port) < 5

    # The test can tell: no dropout of the input, or the same at every step, is far off.
    lengths = tf.fill([draws], embedded.shape[1])
    same_masks = tf.nn.dropout(tf.ones([draws, 1, EMBEDDING]), 0.5, seed=1)
    for inputs in (embedded, embedded * same_masks)[: 3 - layers]:  # a second layer blurs the last
        outputs = model.recurrent(inputs, lengths, training=True, dropout_seed=seed)
        assert distance(model.softmax(model.pooling(outputs, mask)).numpy()) > 10


@pytest.mark.parametrize("layers", [1, 2])
def test_evaluation_drops_nothing(oracle: Oracle, layers: int) -> None:
    case = oracle[f"dropped_{layers}"]
    weights = to_port(part(case, "start"))
    mask = tf.ones(case["inputs"].shape[:2])
    dropping = make_model(weights, keep_prob=0.5)
    scores = dropping.score_embedded(tf.constant(case["inputs"]), mask, training=False)
    bare = make_model(weights).score_embedded(tf.constant(case["inputs"]), mask)
    np.testing.assert_array_equal(scores, bare)
    assert case["evaluation"].std() > 0.01, "the original drops its input even here"
