"""The whole model: every kind trains and comes back; Keras's own ways work too."""

import itertools
import warnings

import keras
import numpy as np
import pytest
import tensorflow as tf

from tf_textrnn.config import POOLINGS, ModelConfig, TrainingConfig
from tf_textrnn.data.batches import Batch
from tf_textrnn.network.model import TextRNN
from tf_textrnn.runs import checkpoints
from tf_textrnn.training.optimizers import make_optimizer
from tf_textrnn.training.step import StepSettings, train_step

VOCABULARY, CLASSES = 9, 3
BATCH = Batch(
    np.random.default_rng(1).integers(0, VOCABULARY, [8, 4]).astype(np.int32),
    np.array([4, 0, 1, 2, 3, 4, 4, 4], np.int32),
    np.array([0, 1, 2, 0, 1, 2, 0, 1], np.int32),
    np.ones(8, np.float32),
)
TEXTS = (tf.constant(BATCH.token_ids), tf.constant(BATCH.lengths))
KINDS = [
    {"cell": cell, "bidirectional": bidirectional, "pooling": pooling, "num_layers": layers}
    for cell, bidirectional, pooling, layers in itertools.product(
        ("lstm", "gru", "rnn"), (False, True), POOLINGS, (1, 2)
    )
]


def kind_name(kind) -> str:
    return "-".join(map(str, kind.values()))


def make_model(**options) -> TextRNN:
    keras.utils.set_random_seed(1)
    model = TextRNN(ModelConfig(embedding_dim=4, hidden_size=4, **options), VOCABULARY, CLASSES)
    model.build()
    return model


def values(model: TextRNN) -> dict[str, np.ndarray]:
    return {name: weight.numpy() for name, weight in model.named_weights().items()}


TRUNCATED_KINDS = [
    {**kind, "bptt_truncate": 2}
    for kind in KINDS
    if (kind["pooling"], kind["num_layers"]) == ("mean", 2)
]


@pytest.mark.parametrize("kind", KINDS + TRUNCATED_KINDS, ids=kind_name)
def test_every_kind_trains_saves_and_restores(kind, tmp_path) -> None:
    model = make_model(**kind)
    optimizer = make_optimizer(TrainingConfig(learning_rate=0.02))
    optimizer.build([weight.value for weight in model.named_weights().values()])
    start = values(model)
    result = train_step(
        model, optimizer, Batch(*map(tf.constant, BATCH)), StepSettings([0, 0], 5.0)
    )
    assert np.isfinite(result.loss)
    assert all(np.any(start[name] != value) for name, value in values(model).items())
    path = tmp_path / "model.npz"
    checkpoints.write(path, values(model), {})
    restored = make_model(**kind, forget_bias=3.0)
    arrays, _ = checkpoints.read(path)
    weights = {name: weight.value for name, weight in restored.named_weights().items()}
    checkpoints.assign(path, arrays, weights)
    np.testing.assert_array_equal(restored(TEXTS), model(TEXTS))


def test_keras_fits_it() -> None:
    model = make_model(keep_prob=1.0, word_dropout=0.0)
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.Adam(0.1), loss, jit_compile=False)  # XLA compiles for long
    history = model.fit(TEXTS, tf.constant(BATCH.labels), epochs=20, verbose=0).history
    assert history["loss"][-1] < 0.8 * history["loss"][0]


@pytest.mark.parametrize("bptt_truncate", [0, 2])
def test_keras_saves_and_loads_it(tmp_path, bptt_truncate) -> None:
    model = make_model(num_layers=2, pooling="attention", bptt_truncate=bptt_truncate)
    with warnings.catch_warnings():
        # NumPy 2 complains of how Keras turns its variables into arrays.
        warnings.filterwarnings("ignore", "__array__ implementation", DeprecationWarning)
        model.save(tmp_path / "model.keras")
        loaded = keras.models.load_model(tmp_path / "model.keras")
    np.testing.assert_array_equal(loaded(TEXTS), model(TEXTS))
    assert loaded.config == model.config
    assert values(loaded).keys() == values(model).keys()


def test_init_scale_draws_every_weight_anew() -> None:
    """Uniform in ± init_scale, all but the cells' biases, and no two weights the same numbers."""
    model = make_model(init_scale=0.1, num_layers=2, forget_bias=0.0)
    drawn = []
    for name, value in values(model).items():
        if name.endswith("/bias"):
            np.testing.assert_array_equal(value, 0)
        else:
            assert 0.03 < np.abs(value).max() <= 0.1
            drawn.append(value.ravel()[:CLASSES])
    for one, other in itertools.combinations(drawn, 2):
        assert np.abs(one - other).max() > 1e-3


@pytest.mark.parametrize("kind", KINDS[::5] + TRUNCATED_KINDS[:1], ids=kind_name)
def test_texts_without_a_step_score_the_bias(kind) -> None:
    model = make_model(**kind)
    model.softmax.bias.assign([1.0, 2.0, 3.0])
    for time in (0, 2):
        scores = model((tf.zeros([2, time], tf.int32), tf.zeros([2], tf.int32)))
        np.testing.assert_array_equal(scores, [[1, 2, 3]] * 2)


def test_embedded_texts_score_as_their_tokens() -> None:
    model = make_model(bidirectional=True)
    mask = tf.sequence_mask(BATCH.lengths, BATCH.token_ids.shape[1], tf.float32)
    embedded = tf.gather(model.embedding.embeddings.value, BATCH.token_ids)
    np.testing.assert_array_equal(model.score_embedded(embedded, mask), model(TEXTS))


def test_attention_starts_as_the_mean() -> None:
    attention, mean = make_model(pooling="attention"), make_model(pooling="mean")
    random = np.random.default_rng(3)
    for name, weight in mean.named_weights().items():
        weight.assign(random.uniform(-1, 1, weight.shape))
        attention.named_weights()[name].assign(weight)
    np.testing.assert_allclose(attention(TEXTS), mean(TEXTS), atol=1e-6)
    attention.pooling.query.assign(np.linspace(-3, 3, 8))
    assert np.abs(attention(TEXTS) - mean(TEXTS)).max() > 1e-3
