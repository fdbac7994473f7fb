"""Row-sparse updates and the running average, against plain NumPy over whole tables."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from tf_textrnn.config import TrainingConfig
from tf_textrnn.network.ngrams import SCALE
from tf_textrnn.training.average import WeightAverage
from tf_textrnn.training.optimizers import (
    NGRAM_RATE,
    NgramSteps,
    RowSparseAdam,
    make_optimizer,
    sum_rows,
)


def rows(values, indices, size=6):
    return tf.IndexedSlices(
        tf.constant(values, tf.float32), tf.constant(indices), tf.constant([size, 2])
    )


def test_sum_rows_names_each_row_once():
    gradient = rows([[1, 2], [3, 4], [10, 20]], [4, 1, 4])
    summed = sum_rows(gradient)
    assert sorted(summed.indices.numpy()) == [1, 4]
    np.testing.assert_array_equal(
        tf.convert_to_tensor(summed), tf.convert_to_tensor(gradient).numpy()
    )


def test_adam_on_all_rows_is_keras_adam():
    start = np.random.default_rng(0).normal(size=(6, 2)).astype(np.float32)
    sparse, dense = keras.Variable(start), keras.Variable(start)
    ours, theirs = RowSparseAdam(0.1), keras.optimizers.Adam(0.1)
    ours.build([sparse])
    theirs.build([dense])
    for step in range(5):
        gradient = np.random.default_rng(step).normal(size=(6, 2)).astype(np.float32)
        ours.apply([rows(gradient[::-1], [5, 4, 3, 2, 1, 0])], [sparse])
        theirs.apply([tf.constant(gradient)], [dense])
    np.testing.assert_allclose(sparse.numpy(), dense.numpy(), atol=1e-6)


def test_adam_moves_a_named_row_by_the_sum_of_its_gradients_and_no_other():
    table, twin = keras.Variable(tf.ones([6, 2])), keras.Variable(tf.ones([1, 2]))
    ours, theirs = RowSparseAdam(0.1), keras.optimizers.Adam(0.1)
    ours.build([table])
    theirs.build([twin])
    for _ in range(3):
        ours.apply_gradients([(rows([[1, -2], [3, 1]], [4, 4]), table)])
        theirs.apply([tf.constant([[4.0, -1.0]])], [twin])
    np.testing.assert_allclose(table.numpy()[4], twin.numpy()[0], atol=1e-6)
    np.testing.assert_array_equal(np.delete(table.numpy(), 4, axis=0), np.ones((5, 2)))


@pytest.mark.parametrize("name", ["sgd", "adam"])
def test_the_learning_rate_can_be_assigned(name):
    optimizer = make_optimizer(TrainingConfig(optimizer=name, learning_rate=0.5))
    weight = keras.Variable([1.0])
    optimizer.build([weight])

    @tf.function
    def step():
        optimizer.apply([tf.constant([1.0])], [weight])

    step()
    optimizer.learning_rate = 0.0
    before = weight.numpy()
    step()
    np.testing.assert_array_equal(weight.numpy(), before)


def test_the_average_of_rows_is_that_of_the_whole_table():
    random = np.random.default_rng(1)
    table = keras.Variable(random.normal(size=(6, 2)).astype(np.float32))
    bias = keras.Variable(random.normal(size=3).astype(np.float32))
    weights = {"table": table, "bias": bias}
    average = WeightAverage(weights, tables=["table"], decay=0.9)
    expected = {name: weight.numpy().astype(np.float64) for name, weight in weights.items()}
    for step in range(200):
        indices = random.choice(6, size=2, replace=False)
        if step > 100:
            indices = indices[indices > 1]  # two rows do not change for long
        gradients = [rows(random.normal(size=(len(indices), 2)), indices), tf.ones(3)]
        average.before_update(gradients)
        table.value.scatter_sub(gradients[0])
        bias.value.assign_sub(gradients[1])
        average.after_update(gradients, tf.constant(step))
        decay = min(0.9, (1 + step) / (10 + step))
        for name, weight in weights.items():
            expected[name] = decay * expected[name] + (1 - decay) * weight.numpy()
        if step % 50 == 0:
            for name, value in average.values().items():
                np.testing.assert_allclose(value, expected[name], rtol=1e-4, atol=1e-4)
    for name, value in average.values().items():
        np.testing.assert_allclose(value, expected[name], rtol=1e-4, atol=1e-4)


def test_plain_steps_on_ngrams_are_bounded_and_grow_where_classes_are_many():
    shares = np.array([1.0, 1 / 64, 1e-5], np.float32)
    values = np.random.default_rng(0).normal(size=(2, 3)).astype(np.float32)
    class_shares = np.array([0.5, 0.3, 0.2], np.float32)
    kernel = tf.Variable(tf.zeros([3, 3]))
    steps = NgramSteps(shares, class_shares, batch_size=64)
    steps.apply(kernel, tf.IndexedSlices(values, tf.constant([0, 2]), [3, 3]), tf.constant(2e-3))
    wanted = NGRAM_RATE * 2e-3 / (4 * class_shares * (1 - class_shares))
    bound = 2 / SCALE**2  # of an n-gram that every text holds; one in 64 has 64 times that
    assert (bound < wanted).all()
    assert (wanted < 64 * bound).all()
    np.testing.assert_allclose(kernel[0], -bound * values[0], rtol=1e-5)
    np.testing.assert_allclose(kernel[1], [0, 0, 0])
    np.testing.assert_allclose(kernel[2], -wanted * values[1], rtol=1e-5)


@pytest.mark.parametrize("num_classes", [2, 5])
def test_plain_steps_on_ngrams_never_raise_the_loss(num_classes):
    """At the bound, with texts that hold all the same n-grams: the steepest loss there is."""
    random = np.random.default_rng(0)
    texts, ngrams = 8, 6
    labels = random.integers(0, num_classes, texts)
    features = tf.fill([texts, ngrams], 1.0 / np.sqrt(ngrams))
    kernel = tf.Variable(random.normal(size=(ngrams, num_classes)).astype(np.float32))
    class_shares = np.full(num_classes, 1.0 / num_classes, np.float32)
    steps = NgramSteps(np.ones(ngrams, np.float32), class_shares, texts)
    losses = []
    for _ in range(20):
        with tf.GradientTape() as tape:
            scores = SCALE * tf.cast(features, tf.float32) @ kernel
            loss = tf.reduce_mean(tf.nn.sparse_softmax_cross_entropy_with_logits(labels, scores))
        gradient = tf.IndexedSlices(tape.gradient(loss, kernel), tf.range(ngrams))
        steps.apply(kernel, gradient, tf.constant(1e3))
        losses.append(float(loss))
    assert losses == sorted(losses, reverse=True)
