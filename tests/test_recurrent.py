"""Recurrent layers and pooling, against Keras's masked layers."""

import itertools

import hypothesis
import hypothesis.strategies as st
import keras
import numpy as np
import pytest
import tensorflow as tf

from tf_textrnn.config import POOLINGS, ModelConfig
from tf_textrnn.network.dropout import dropout, dropout_mask
from tf_textrnn.network.model import TextRNN
from tf_textrnn.network.pooling import MaskedPooling
from tf_textrnn.network.recurrent import RecurrentStack

CELLS = {"lstm": keras.layers.LSTM, "gru": keras.layers.GRU, "rnn": keras.layers.SimpleRNN}
TIME, INPUTS, HIDDEN = 6, 3, 4
LENGTHS = {
    "no step": [0, 0, 0],
    "one step": [1, 1, 1],
    "mixed": [0, 3, 6, 1, 5, 2],
    "full": [6, 6, 6],
}


def randomize(layer: keras.layers.Layer, seed: int = 1) -> None:
    """Gives every weight, including biases, a value far from zero."""
    random = np.random.default_rng(seed)
    layer.set_weights([random.uniform(-0.8, 0.8, weight.shape) for weight in layer.weights])


def make_stack(cell: str, layers: int, bidirectional: bool, **options) -> RecurrentStack:
    stack = RecurrentStack(cell, HIDDEN, layers, bidirectional, **options)
    stack.build((None, None, INPUTS))
    for index, layer in enumerate(itertools.chain(*stack.recurrent_layers)):
        randomize(layer, index)
    return stack


def keras_outputs(stack: RecurrentStack, inputs: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """Returns what Keras's masked layers compute with the same weights."""
    outputs = tf.constant(inputs)
    for forward, *backward in stack.recurrent_layers:
        layer = CELLS[stack.cell](HIDDEN, return_sequences=True)
        if backward:
            layer = keras.layers.Bidirectional(layer)
        layer.build((None, None, outputs.shape[-1]))
        layer.set_weights(forward.get_weights() + [w for b in backward for w in b.get_weights()])
        outputs = layer(outputs, mask=tf.constant(mask))
    return outputs.numpy()


def pooled(
    kind: str, outputs: np.ndarray, mask: np.ndarray, bidirectional: bool, query: np.ndarray
) -> np.ndarray:
    """Pools one text at a time, over its own steps only."""
    rows = []
    for text, is_step in zip(outputs, mask, strict=True):
        steps = text[is_step]
        if not len(steps):
            rows.append(np.zeros(text.shape[-1]))
        elif kind == "mean":
            rows.append(steps.mean(axis=0))
        elif kind == "max":
            rows.append(steps.max(axis=0))
        elif kind == "last":
            last = steps[-1].copy()
            if bidirectional:
                last[HIDDEN:] = steps[0, HIDDEN:]
            rows.append(last)
        elif kind == "attention":
            weights = np.exp(steps @ query)
            rows.append(weights @ steps / weights.sum())
        else:
            raise AssertionError(f"no oracle for {kind}")
    return np.array(rows)


def test_a_kind_of_pooling_that_is_not_there_is_refused() -> None:
    with pytest.raises(ValueError, match=r"expected one of .*'attention'.*found 'min'"):
        MaskedPooling("min")


@pytest.mark.parametrize("bptt_truncate", [0, 4])
@pytest.mark.parametrize("layers", [1, 2])
@pytest.mark.parametrize("bidirectional", [False, True])
@pytest.mark.parametrize("cell", CELLS)
def test_every_kind_equals_keras(
    cell: str, bidirectional: bool, layers: int, bptt_truncate: int
) -> None:
    stack = make_stack(cell, layers, bidirectional, bptt_truncate=bptt_truncate)
    random = np.random.default_rng(2)
    for lengths in LENGTHS.values():
        mask = np.arange(TIME) < np.array(lengths)[:, None]
        inputs = random.normal(size=[len(lengths), TIME, INPUTS]).astype(np.float32)
        outputs = stack(tf.constant(inputs), tf.constant(lengths))
        expected = keras_outputs(stack, inputs, mask)
        np.testing.assert_allclose(outputs.numpy()[mask], expected[mask], atol=1e-5)
        for kind in POOLINGS:
            pooling = MaskedPooling(kind, bidirectional)
            pooling.build(outputs.shape)
            query = random.normal(size=outputs.shape[-1])
            if kind == "attention":
                pooling.set_weights([query])
            found = pooling(outputs, tf.constant(mask, tf.float32))
            wanted = pooled(kind, expected, mask, bidirectional, query)
            np.testing.assert_allclose(found, wanted, atol=1e-5)


def make_model(**options) -> TextRNN:
    model = TextRNN(ModelConfig(embedding_dim=INPUTS, hidden_size=HIDDEN, **options), 11, 3)
    model.build()
    random = np.random.default_rng(3)
    for weight in model.named_weights().values():
        weight.assign(random.uniform(-0.8, 0.8, weight.shape))
    return model


MODELS = {
    (cell, bidirectional, pooling): make_model(
        cell=cell, num_layers=2, bidirectional=bidirectional, pooling=pooling
    )
    for cell, bidirectional, pooling in itertools.product(CELLS, (False, True), POOLINGS)
}


@hypothesis.given(st.data())
@hypothesis.settings(max_examples=40, deadline=None)
def test_a_text_scores_alone_as_in_any_batch(data: st.DataObject) -> None:
    """Padding, its values and the other texts do not change the scores of a text."""
    model = MODELS[data.draw(st.sampled_from(sorted(MODELS)))]
    text = data.draw(st.lists(st.integers(0, 10), max_size=5))
    others = data.draw(st.lists(st.lists(st.integers(0, 10), max_size=8), max_size=3))
    padding = data.draw(st.integers(0, 3))
    filler = data.draw(st.integers(0, 10))
    alone = model((tf.constant([text], tf.int32), tf.constant([len(text)])))
    place = data.draw(st.integers(0, len(others)))
    texts = [*others[:place], text, *others[place:]]
    time = max(map(len, texts)) + padding
    token_ids = tf.constant([t + [filler] * (time - len(t)) for t in texts], tf.int32)
    scores = model((token_ids, tf.constant([len(t) for t in texts])))
    np.testing.assert_allclose(scores[place], alone[0], atol=1e-5)


@pytest.mark.parametrize("cell", CELLS)
@pytest.mark.parametrize("bidirectional", [False, True])
def test_the_gradient_stops_at_chunks(cell: str, bidirectional: bool) -> None:
    """The output of a step depends on the inputs of its chunk, and on none before.

    Chunks are counted in reading order; for the backward direction from a text's own end.
    """
    lengths = tf.constant([TIME, 5])
    inputs = tf.constant(np.random.default_rng(4).normal(size=[2, TIME, INPUTS]), tf.float32)
    stack = make_stack(cell, 1, bidirectional, bptt_truncate=2)
    with tf.GradientTape(persistent=True) as tape:
        tape.watch(inputs)
        outputs = stack(inputs, lengths)
        parts = {
            (text, step, direction): tf.reduce_sum(part)
            for text in range(2)
            for step in range(int(lengths[text]))
            for direction, part in enumerate(
                tf.split(outputs[text, step], 1 + bidirectional, axis=-1)
            )
        }
    for (text, step, direction), part in parts.items():
        gradient = tape.gradient(part, inputs).numpy()[text]
        reached = set(np.flatnonzero(np.abs(gradient).sum(axis=-1)))
        if direction == 0:
            expected = set(range(step - step % 2, step + 1))
        else:
            read = int(lengths[text]) - 1 - step  # steps read before this one
            expected = set(range(step, step + read % 2 + 1))
        assert reached == expected


@pytest.mark.parametrize("cell", CELLS)
def test_truncation_at_the_length_is_none(cell: str) -> None:
    inputs = tf.constant(np.random.default_rng(5).normal(size=[3, TIME, INPUTS]), tf.float32)
    lengths = tf.constant([TIME, 2, 4])
    found = {}
    for bptt_truncate in (0, TIME, TIME - 1):
        stack = make_stack(cell, 2, True, bptt_truncate=bptt_truncate)
        pooling = MaskedPooling("last", True)
        with tf.GradientTape() as tape:
            outputs = stack(inputs, lengths)
            mask = tf.sequence_mask(lengths, TIME, tf.float32)
            loss = tf.reduce_sum(tf.square(pooling(outputs, mask)))
        weights = [weight.value for weight in stack.named_weights().values()]
        found[bptt_truncate] = tape.gradient(loss, weights)
    for name, whole, same, shorter in zip(stack.named_weights(), *found.values(), strict=True):
        np.testing.assert_allclose(same, whole, atol=1e-6)
        assert np.abs(whole - shorter).max() > 1e-5, name


@pytest.mark.parametrize("cell", CELLS)
def test_dropout_spares_the_state(cell: str) -> None:
    """In training an output is zero or scaled up, so the recurrent state was not dropped."""
    stack = make_stack(cell, 1, True, keep_prob=0.5)
    inputs = tf.constant(np.random.default_rng(6).normal(size=[50, TIME, INPUTS]), tf.float32)
    lengths = tf.fill([50], TIME)
    clean = stack(inputs, lengths, training=False).numpy()
    seeds = [tf.constant([1, 1]), tf.constant([1, 2])]
    dropped = [stack(inputs, lengths, training=True, dropout_seed=s).numpy() for s in seeds]
    masks = []
    for outputs in dropped:
        mask = outputs != 0
        np.testing.assert_allclose(outputs, np.where(mask, clean / 0.5, 0), rtol=1e-5, atol=1e-6)
        assert abs(mask.mean() - 0.5) < 0.05
        # Each text, step and unit has a new mask, so any two masks agree half of the time.
        for one, other in (
            (mask[:, 1:], mask[:, :-1]),
            (mask[1:], mask[:-1]),
            (mask[..., 1:], mask[..., :-1]),
        ):
            assert abs((one == other).mean() - 0.5) < 0.05
        masks.append(mask)
    assert abs((masks[0] == masks[1]).mean() - 0.5) < 0.05
    again = stack(inputs, lengths, training=True, dropout_seed=seeds[0]).numpy()
    np.testing.assert_array_equal(again, dropped[0])


def test_dropout_falls_on_the_input_and_on_every_layer() -> None:
    """A dropped unit passes no gradient back, which shows where it is."""
    options = {"bidirectional": False, "keep_prob": 0.5, "output_dropout": "steps"}
    model = make_model(num_layers=2, **options)
    embedded = tf.constant(np.random.default_rng(7).normal(size=[200, TIME, INPUTS]), tf.float32)
    mask = tf.ones([200, TIME])
    seed = tf.constant([3, 4])
    with tf.GradientTape(persistent=True) as tape:
        tape.watch(embedded)
        scores = model.score_embedded(embedded, mask, training=True, dropout_seed=seed)
    is_kept = tape.gradient(scores, embedded).numpy() != 0
    assert abs(is_kept.mean() - 0.5) < 0.05
    assert abs((is_kept[:, 1:] == is_kept[:, :-1]).mean() - 0.5) < 0.05
    single = make_model(num_layers=1, **options)
    # The mask of the first layer is neither that of the input nor that of the second layer.
    lengths = tf.fill([200], TIME)
    first = single.recurrent(embedded, lengths, training=True, dropout_seed=seed).numpy() != 0
    second = model.recurrent(embedded, lengths, training=True, dropout_seed=seed).numpy() != 0
    assert abs((first == second).mean() - 0.5) < 0.05
    assert abs((first[..., :INPUTS] == is_kept).mean() - 0.5) < 0.05


def test_pooled_dropout_falls_on_the_pooled_vector_once() -> None:
    model = make_model(num_layers=2, bidirectional=False, keep_prob=0.5)
    embedded = tf.constant(np.random.default_rng(7).normal(size=[200, TIME, INPUTS]), tf.float32)
    lengths, seed = tf.fill([200], TIME), tf.constant([3, 4])
    outputs = model.recurrent(embedded, lengths, training=True, dropout_seed=seed).numpy()
    assert np.all(outputs != 0)
    # With one class's weights at 1 and the bias at 0, its score is the sum of what is left.
    model.softmax.kernel.assign(tf.ones_like(model.softmax.kernel))
    model.softmax.bias.assign(tf.zeros_like(model.softmax.bias))
    mask = tf.ones([200, TIME])
    dropped_inputs = dropout(embedded, 0.5, seed, place=0)
    steps = model.recurrent(dropped_inputs, lengths, training=True, dropout_seed=seed)
    pooled = dropout(model.pooling(steps, mask), 0.5, seed, place=2)
    scores = model.score_embedded(embedded, mask, training=True, dropout_seed=seed)
    np.testing.assert_allclose(scores[:, 0], tf.reduce_sum(pooled, axis=1), atol=1e-5)
    assert abs(np.mean(pooled.numpy() == 0) - 0.5) < 0.05


@pytest.mark.parametrize("forget_bias", [0.0, 1.0, 2.5])
def test_forget_bias_starts_the_forget_gate_only(forget_bias: float) -> None:
    stack = RecurrentStack("lstm", HIDDEN, forget_bias=forget_bias)
    stack.build((None, None, INPUTS))
    for name, weight in stack.named_weights().items():
        if name.endswith("bias"):
            expected = np.repeat([0, forget_bias, 0, 0], HIDDEN)
            np.testing.assert_array_equal(weight.numpy(), expected)


@pytest.mark.parametrize("keep_prob", [1e-6, 0.999999])
def test_dropout_near_its_bounds_drops_neither_all_nor_nothing(keep_prob):
    mask = dropout_mask([64, 8_192], keep_prob, tf.constant([1, 2]), 0).numpy()
    assert 0 < np.count_nonzero(mask) < mask.size
