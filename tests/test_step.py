"""The arithmetic of the train step."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from scipy import sparse

from tf_textrnn.config import ModelConfig, TrainingConfig
from tf_textrnn.data.batches import Batch
from tf_textrnn.data.weights import balanced_weights
from tf_textrnn.network.model import TextRNN
from tf_textrnn.training.optimizers import make_optimizer
from tf_textrnn.training.step import StepSettings, mean_loss, train_step

RATE = 0.5
BATCH = Batch(
    # The words of a batch repeat, within a text and between texts.
    tf.constant([[2, 3, 2, 2], [3, 4, 0, 0], [0, 0, 0, 0]]),
    tf.constant([4, 2, 0]),
    tf.constant([1, 0, 2]),
    tf.ones(3),
)


def make(**options):
    sizes = {"embedding_dim": 3, "hidden_size": 4, "init_scale": 0.8, "word_dropout": 0.0}
    model = TextRNN(ModelConfig(**{**sizes, **options}), 6, 3)
    model.build()
    optimizer = make_optimizer(TrainingConfig(optimizer="sgd", learning_rate=RATE))
    optimizer.build([weight.value for weight in model.named_weights().values()])
    return model, optimizer


def dense_gradients(model: TextRNN) -> tuple[float, list[np.ndarray]]:
    """Computes loss and gradients with the embedding as a plain matrix product."""
    weights = [weight.value for weight in model.named_weights().values()]
    mask = tf.sequence_mask(BATCH.lengths, BATCH.token_ids.shape[1], tf.float32)
    with tf.GradientTape() as tape:
        embedded = tf.one_hot(BATCH.token_ids, 6) @ weights[0]
        scores = model.score_embedded(embedded, mask)
        log_probability = tf.nn.log_softmax(scores)
        loss = -tf.reduce_mean(tf.gather(log_probability, BATCH.labels, batch_dims=1))
    return float(loss), [gradient.numpy() for gradient in tape.gradient(loss, weights)]


@pytest.mark.parametrize("max_grad_norm", [0.0, 0.05, 50.0])
def test_a_step_is_plain_gradient_descent_clipped(max_grad_norm: float) -> None:
    model, optimizer = make(keep_prob=1.0)
    loss, gradients = dense_gradients(model)
    norm = np.sqrt(sum((gradient**2).sum() for gradient in gradients))
    factor = min(1.0, max_grad_norm / norm) if max_grad_norm else 1.0
    assert (factor < 1) == (max_grad_norm == 0.05)
    start = [weight.numpy() for weight in model.named_weights().values()]
    scores = model((BATCH.token_ids, BATCH.lengths)).numpy()
    correct = np.count_nonzero(scores.argmax(axis=1) == BATCH.labels.numpy())
    result = train_step(model, optimizer, BATCH, StepSettings(tf.constant([0, 0]), max_grad_norm))
    assert float(result.loss) == pytest.approx(loss, rel=1e-5)
    assert float(result.grad_norm) == pytest.approx(norm, rel=1e-5)
    assert int(result.correct) == correct
    for weight, before, gradient, applied in zip(
        model.named_weights().values(), start, gradients, result.gradients, strict=True
    ):
        np.testing.assert_allclose(tf.convert_to_tensor(applied), gradient * factor, atol=1e-6)
        np.testing.assert_allclose(weight, before - RATE * factor * gradient, atol=1e-6)


def test_clipping_holds_an_explosion() -> None:
    """A vanilla RNN with large recurrent weights: one unclipped step throws the weights far off."""
    random = np.random.default_rng(2)
    texts = Batch(
        tf.constant(random.integers(0, 6, [4, 60]), tf.int32),
        tf.fill([4], 60),
        tf.constant([0, 1, 2, 0]),
        tf.ones(4),
    )
    moved, norm = {}, {}
    for max_grad_norm in (0.0, 5.0):
        keras.utils.set_random_seed(1)
        model, optimizer = make(
            cell="rnn",
            bidirectional=False,
            pooling="last",
            keep_prob=1.0,
            init_scale=0.3,
            embedding_dim=128,
            hidden_size=128,
        )
        weights = model.named_weights().values()
        start = [weight.numpy() for weight in weights]
        result = train_step(
            model, optimizer, texts, StepSettings(tf.constant([0, 0]), max_grad_norm)
        )
        norm[max_grad_norm] = float(result.grad_norm)
        moved[max_grad_norm] = np.sqrt(
            sum(((w.numpy() - before) ** 2).sum() for w, before in zip(weights, start, strict=True))
        )
    assert norm[0.0] == norm[5.0] > 100  # before clipping
    assert moved[0.0] == pytest.approx(RATE * norm[0.0], rel=1e-3)
    assert moved[5.0] == pytest.approx(RATE * 5.0, rel=1e-3)


@pytest.mark.parametrize("smoothing", [0.0, 0.1, 0.9])
def test_label_smoothing_is_cross_entropy_to_a_mixed_target(smoothing: float) -> None:
    scores = np.random.default_rng(1).normal(size=[5, 3])
    labels = np.array([0, 2, 1, 1, 0])
    target = (1 - smoothing) * np.eye(3)[labels] + smoothing / 3
    log_probability = scores - np.log(np.exp(scores).sum(axis=1, keepdims=True))
    expected = -np.mean(np.sum(target * log_probability, axis=1))
    found = mean_loss(tf.constant(scores), tf.constant(labels), 5.0, smoothing)
    np.testing.assert_allclose(found, expected, rtol=1e-6)


def test_balanced_weights_give_each_class_the_same_part_of_the_loss() -> None:
    labels = np.array([0] * 6 + [1] * 3 + [2] * 1)
    weights = balanced_weights(sparse.csr_array(np.eye(3, dtype=np.float32)[labels]))
    np.testing.assert_allclose(weights[[0, 6, 9]], [10 / 18, 10 / 9, 10 / 3], rtol=1e-6)
    scores = np.random.default_rng(2).normal(size=[10, 3]).astype(np.float32)
    losses = [
        mean_loss(tf.constant(scores[labels == c]), labels[labels == c], np.sum(labels == c))
        for c in range(3)
    ]
    found = mean_loss(tf.constant(scores), tf.constant(labels), 10.0, 0.0, weights)
    np.testing.assert_allclose(found, np.mean(losses), rtol=1e-5)


def test_the_network_alone_is_smoothed_and_each_branch_learns_by_itself() -> None:
    config = ModelConfig(
        embedding_dim=3, hidden_size=4, ngrams=1, word_dropout=0.0, keep_prob=1.0,
        init_scale=0.8,
    )  # fmt: skip
    model = TextRNN(config, 6, 3, num_ngrams=2)
    model.build()
    model.ngrams.keys.assign([2, 3])
    weights = [weight.value for weight in model.named_weights().values()]
    with tf.GradientTape() as tape:
        network, linear = model.branch_scores((BATCH.token_ids, BATCH.lengths))
        loss = mean_loss(network, BATCH.labels, 3.0, 0.3) + mean_loss(linear, BATCH.labels, 3.0)
    expected = tape.gradient(loss, weights)
    optimizer = make_optimizer(TrainingConfig(optimizer="sgd", learning_rate=RATE))
    optimizer.build(weights)
    result = train_step(model, optimizer, BATCH, StepSettings(tf.constant([1, 1]), 0.0, 0.3))
    for found, gradient in zip(result.gradients, expected, strict=True):
        np.testing.assert_allclose(
            tf.convert_to_tensor(found), tf.convert_to_tensor(gradient), atol=1e-6
        )


def test_dropout_is_a_pure_function_of_its_seed() -> None:
    found = []
    for seed in ([1, 1], [1, 1], [1, 2]):
        keras.utils.set_random_seed(1)
        model, optimizer = make(keep_prob=0.5)
        train_step(model, optimizer, BATCH, StepSettings(tf.constant(seed), 5.0))
        found.append([weight.numpy() for weight in model.named_weights().values()])
    for first, again in zip(*found[:2], strict=True):
        np.testing.assert_array_equal(first, again)
    assert any(np.any(first != other) for first, other in zip(found[0], found[2], strict=True))


def test_each_half_of_a_batch_drops_by_a_seed_of_its_own(monkeypatch) -> None:
    original, seeds = TextRNN.branch_scores, []

    def recording(self, inputs, training, dropout_seed):
        seeds.append(tuple(dropout_seed.numpy()))
        return original(self, inputs, training, dropout_seed)

    monkeypatch.setattr(TextRNN, "branch_scores", recording)
    model, optimizer = make(keep_prob=0.5)
    train_step(model, optimizer, BATCH, StepSettings(tf.constant([1, 1]), 5.0))
    assert len(set(seeds)) == 2


def test_shares_of_a_batch_sum_to_it_and_an_empty_one_to_nothing() -> None:
    texts = [tensor.numpy() for tensor in BATCH[:4]]
    found = []
    for rows in ([0, 1, 2], [0, 2], [1], []):
        share = Batch(*(tf.constant(array[rows]) for array in texts))
        keras.utils.set_random_seed(1)
        model, optimizer = make(keep_prob=1.0)
        sums: list = []

        def all_reduce(values, sums=sums):
            sums.extend([*values[:2], *map(tf.convert_to_tensor, values[2])])
            return values

        settings = StepSettings(
            tf.constant([0, 0]), 5.0, 0.1, num_texts=tf.constant(3.0), all_reduce=all_reduce
        )
        train_step(model, optimizer, share, settings)
        found.append([value.numpy().astype(float) for value in sums])
    for whole, first, second, none in zip(*found, strict=True):
        np.testing.assert_allclose(first + second, whole, atol=1e-6)
        assert np.any(whole)
        assert not np.any(none)
