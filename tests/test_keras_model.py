"""`TextRNN` as a Keras user expects it."""

import copy
import warnings

import keras
import numpy as np
import pytest
import tensorflow as tf

from tf_textrnn.config import ModelConfig, TrainingConfig
from tf_textrnn.data.batches import Batch
from tf_textrnn.network.model import TextRNN
from tf_textrnn.training.optimizers import make_optimizer
from tf_textrnn.training.step import StepSettings, train_step

VOCABULARY, CLASSES = 9, 3
TOKEN_IDS = np.array([[3, 4, 5, 0], [2, 0, 0, 0], [6, 0, 7, 8], [0, 0, 0, 0]], np.int32)
LENGTHS = np.array([3, 1, 4, 0], np.int32)
LABELS = np.array([0, 1, 2, 0])
RAGGED = tf.RaggedTensor.from_tensor(tf.constant(TOKEN_IDS), lengths=LENGTHS)
INPUTS = {
    "int32": TOKEN_IDS,
    "int64": TOKEN_IDS.astype(np.int64),
    "ragged": RAGGED,
    "ragged int64": tf.cast(RAGGED, tf.int64),
    "with lengths": (TOKEN_IDS, LENGTHS),
    "int64 with lengths": [TOKEN_IDS.astype(np.int64), LENGTHS.astype(np.int64)],
}
KINDS = {
    "lstm": {},
    "gru": {"cell": "gru", "pooling": "attention"},
    "rnn": {"cell": "rnn", "pooling": "max"},
    "leaky": {"cell": "rnn", "activation": "relu", "leak": 0.5},
    "truncated": {"bptt_truncate": 2, "pooling": "last", "num_layers": 2},
}


@pytest.fixture(autouse=True)
def seeded() -> None:
    """Dropout could take all of these few units."""
    keras.utils.set_random_seed(1)


def make(kind: str = "lstm", keep_prob: float = 0.5, **options) -> TextRNN:
    """Returns a model with weights far from zero, whose scores differ from text to text."""
    config = ModelConfig(
        embedding_dim=4, hidden_size=4, ngrams=2, keep_prob=keep_prob, word_dropout=0.0,
        **KINDS[kind],
    )  # fmt: skip
    model = TextRNN(config, VOCABULARY, CLASSES, num_ngrams=20, **options)
    model.build()
    draws = np.random.default_rng(1)
    for weight in model.named_weights().values():
        weight.assign(draws.uniform(-0.8, 0.8, weight.shape))
    model.ngrams.keys.assign(range(1, 21))
    return model


def compiled(model: keras.Model, **options) -> keras.Model:
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    # Eager steps take less time than tracing one.
    model.compile(keras.optimizers.Adam(0.01), loss, **{"run_eagerly": True, **options})
    return model


def saved_and_loaded(model: keras.Model, path) -> keras.Model:
    with warnings.catch_warnings():
        # NumPy 2 complains of how Keras turns its variables into arrays.
        warnings.filterwarnings("ignore", "__array__ implementation", DeprecationWarning)
        model.save(path / "model.keras")
        return keras.models.load_model(path / "model.keras")


def summary(model: keras.Model) -> str:
    lines: list[str] = []
    model.summary(print_fn=lines.append, line_length=120)
    return "\n".join(lines)


@pytest.mark.parametrize("name", INPUTS)
def test_every_kind_of_input_scores_the_same(name: str) -> None:
    model = make()
    expected = model((tf.constant(TOKEN_IDS), tf.constant(LENGTHS)))
    np.testing.assert_array_equal(model(INPUTS[name]), expected)
    config = ModelConfig(embedding_dim=4, hidden_size=4, ngrams=2)
    built_by_call = TextRNN(config, VOCABULARY, CLASSES, num_ngrams=20)
    assert built_by_call(INPUTS[name]).shape == (4, CLASSES)
    inputs = INPUTS[name]
    shape = tuple(inputs.shape) if name in ("int32", "int64") else (4, None)
    if isinstance(inputs, (tuple, list)):
        shape = ((4, 4), (4,))
    assert model.compute_output_shape(shape) == (4, CLASSES)


def test_an_id_past_a_texts_length_changes_nothing() -> None:
    model = make()
    filled = np.where(np.arange(4) < LENGTHS[:, None], TOKEN_IDS, 7).astype(np.int32)
    for training in (False, True):
        seed = tf.constant([1, 2])
        scores = model((TOKEN_IDS, LENGTHS), training=training, dropout_seed=seed)
        again = model((filled, LENGTHS), training=training, dropout_seed=seed)
        np.testing.assert_array_equal(again, scores)
    assert np.any(model((filled, np.array([4] * 4))) != model((TOKEN_IDS, LENGTHS)))


def test_summary_at_every_stage(tmp_path) -> None:
    config = ModelConfig(embedding_dim=4, hidden_size=4, ngrams=2)
    model = TextRNN(config, VOCABULARY, CLASSES, num_ngrams=20)
    assert "Total params: 0 " in summary(model)
    model.build()
    summary(model)
    counts = sum(np.prod(weight.shape) for weight in model.named_weights().values())
    compiled(model).fit((TOKEN_IDS, LENGTHS), LABELS, verbose=0)
    for stage in (make(), model, saved_and_loaded(model, tmp_path)):
        text = summary(stage)
        assert f"Trainable params: {counts:,} " in text
        for name in ("embedding", "recurrent", "pooling", "softmax", "ngrams"):
            assert f" {name} (" in text
        assert "(None, 8)" in text  # what pooling gives


@pytest.mark.parametrize("kind", ["lstm", "truncated"])
def test_frozen_weights_keep_their_names_and_values(kind: str, tmp_path) -> None:
    model = make(kind)
    names = list(model.named_weights())
    assert list(model.named_trainable_weights()) == names
    model.recurrent.recurrent_layers[0][0].trainable = False
    model.embedding.trainable = False
    frozen = {n for n in names if n == "embedding" or n.startswith(f"{model.config.cell}_0/fo")}
    assert len(frozen) == 4
    assert list(model.named_weights()) == names
    assert list(model.named_trainable_weights()) == [name for name in names if name not in frozen]
    before = {name: weight.numpy() for name, weight in model.named_weights().items()}
    compiled(model).fit((TOKEN_IDS, LENGTHS), LABELS, verbose=0)
    changed = {n for n, w in model.named_weights().items() if np.any(w.numpy() != before[n])}
    assert changed == set(names) - frozen
    loaded = saved_and_loaded(model, tmp_path)
    np.testing.assert_array_equal(loaded(TOKEN_IDS), model(TOKEN_IDS))
    assert list(loaded.named_trainable_weights()) == [name for name in names if name not in frozen]
    loaded.trainable = False
    assert list(loaded.named_trainable_weights()) == []
    assert list(loaded.named_weights()) == names
    loaded.trainable = True
    assert list(loaded.named_trainable_weights()) == names


def test_our_own_step_moves_no_frozen_weight() -> None:
    model = make()
    model.embedding.trainable = model.softmax.trainable = model.ngrams.trainable = False
    before = {name: weight.numpy() for name, weight in model.named_weights().items()}
    optimizer = make_optimizer(TrainingConfig(optimizer="sgd", learning_rate=1.0))
    weights = model.named_trainable_weights()
    optimizer.build(list(weights.values()))
    arrays = (TOKEN_IDS, LENGTHS, LABELS.astype(np.int32), np.ones(4, np.float32))
    batch = Batch(*map(tf.constant, arrays))
    result = train_step(model, optimizer, batch, StepSettings(tf.constant([1, 2])))
    assert len(result.gradients) == len(weights)
    changed = {n for n, w in model.named_weights().items() if np.any(w.numpy() != before[n])}
    assert changed == set(weights) == {name for name in before if name.startswith("lstm_0/")}


def test_fit_leaves_each_text_out_of_the_counts_of_its_ngrams() -> None:
    """Keras's step sees the scores of the counts less the text, and trains the trust by them."""
    config = ModelConfig(embedding_dim=4, hidden_size=4, ngrams=2, keep_prob=1.0, word_dropout=0.0)
    model = TextRNN(config, VOCABULARY, CLASSES, num_ngrams=20, has_counts=True)
    model.build()
    random = np.random.default_rng(3)
    model.ngrams.keys.assign(range(1, 21))
    of_class = random.integers(1, 5, (20, CLASSES))
    counts = np.concatenate([of_class, of_class.sum(axis=1, keepdims=True)], axis=1)
    model.ngrams.counts.assign(counts)
    own = np.concatenate([np.eye(CLASSES)[LABELS], np.ones((len(LABELS), 1))], axis=1)
    scores = {
        "left out": model((TOKEN_IDS, LENGTHS, own.astype(np.float32))),
        "in": model((TOKEN_IDS, LENGTHS)),
    }
    losses = {
        name: float(keras.losses.SparseCategoricalCrossentropy(from_logits=True)(LABELS, found))
        for name, found in scores.items()
    }
    assert losses["left out"] > losses["in"] + 0.01
    for labels, loss in [
        (LABELS, keras.losses.SparseCategoricalCrossentropy(from_logits=True)),
        (np.eye(CLASSES)[LABELS], keras.losses.CategoricalCrossentropy(from_logits=True)),
    ]:
        model.compile(keras.optimizers.SGD(0.0), loss)
        history = model.fit((TOKEN_IDS, LENGTHS), labels, batch_size=len(LABELS), verbose=0)
        assert history.history["loss"] == pytest.approx([losses["left out"]], rel=1e-5)
    np.testing.assert_allclose(
        model.without_counts()((TOKEN_IDS, LENGTHS)), scores["in"], rtol=1e-5, atol=1e-6
    )


def test_from_config_leaves_its_argument_alone() -> None:
    model = make(trainable=False, dtype="mixed_float16", name="mine")
    config = model.get_config()
    before = copy.deepcopy(config)
    again = TextRNN.from_config(config)
    assert config == before == again.get_config()
    assert (again.name, again.trainable, again.dtype_policy.name) == (
        "mine",
        False,
        "mixed_float16",
    )
    assert again.config == model.config


@pytest.mark.parametrize("has_lengths", [False, True])
def test_in_a_functional_model(has_lengths: bool, tmp_path) -> None:
    ids = keras.Input((None,), dtype="int32")
    inputs = (ids, keras.Input((), dtype="int32")) if has_lengths else ids
    texts = (TOKEN_IDS, LENGTHS) if has_lengths else TOKEN_IDS
    text_rnn = make()
    model = keras.Model(inputs, keras.layers.Softmax()(text_rnn(inputs)))
    assert model.output.shape == (None, CLASSES)
    np.testing.assert_allclose(model(texts), tf.nn.softmax(text_rnn(texts)), atol=1e-6)
    model.compile("adam", "sparse_categorical_crossentropy")
    model.fit(texts, LABELS, verbose=0)
    loaded = saved_and_loaded(model, tmp_path)
    np.testing.assert_array_equal(loaded(texts), model(texts))
    assert "text_rnn" in summary(loaded)
    model.export(tmp_path / "1", verbose=False)
    served = tf.saved_model.load(tmp_path / "1")
    arguments = tuple(map(tf.constant, texts)) if has_lengths else tf.constant(texts)
    np.testing.assert_allclose(served.serve(arguments), model(texts), atol=1e-6)


@pytest.mark.parametrize("name", ["int32", "ragged", "with lengths"])
def test_fit_weighs_texts_and_classes(name: str) -> None:
    """A class weight is the weight of every text of the class."""
    found = []
    for weights in (
        {"sample_weight": np.array([2.0, 1.0, 3.0, 2.0])},
        {"class_weight": {0: 2.0, 1: 1.0, 2: 3.0}},
        {},
    ):
        model = compiled(make(keep_prob=1.0))
        model.fit(INPUTS[name], LABELS, verbose=0, **weights)
        found.append(np.concatenate([w.numpy().ravel() for w in model.trainable_weights]))
    np.testing.assert_allclose(found[0], found[1], atol=1e-6)
    assert np.abs(found[0] - found[2]).max() > 1e-3
    assert compiled(make()).predict(INPUTS[name], verbose=0).shape == (4, CLASSES)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("dtype", ["mixed_bfloat16", "mixed_float16", "float64"])
def test_other_dtypes_score_the_same_and_learn(kind: str, dtype: str) -> None:
    model, expected = make(kind, dtype=dtype), make(kind)(TOKEN_IDS)
    scores = model(TOKEN_IDS)
    assert scores.dtype == model.variable_dtype
    atol = {"mixed_bfloat16": 5e-2, "mixed_float16": 5e-3, "float64": 1e-5}[dtype]
    np.testing.assert_allclose(tf.cast(scores, tf.float32), expected, atol=atol)
    ids = keras.Input((None,), dtype="int32")
    assert model(ids).dtype == model.variable_dtype
    with tf.GradientTape() as tape:
        loss = tf.reduce_mean(model(TOKEN_IDS, training=True) ** 2)
    gradients = tape.gradient(loss, model.trainable_weights)
    for weight, gradient in zip(model.trainable_weights, gradients, strict=True):
        values = tf.convert_to_tensor(gradient)
        assert np.any(values), weight.path
        assert np.all(np.isfinite(values)), weight.path


def test_a_mixed_model_comes_back_from_its_file(tmp_path) -> None:
    model = compiled(make(dtype="mixed_bfloat16"))
    assert np.isfinite(model.fit(TOKEN_IDS, LABELS, verbose=0).history["loss"])
    loaded = saved_and_loaded(model, tmp_path)
    assert loaded.recurrent.compute_dtype == "bfloat16"
    np.testing.assert_array_equal(loaded(TOKEN_IDS), model(TOKEN_IDS))


def test_ids_that_come_as_floats_lose_no_digit() -> None:
    model = TextRNN(ModelConfig(embedding_dim=4, hidden_size=4), 400, 2, dtype="mixed_bfloat16")
    ids = np.array([[257, 301]])
    np.testing.assert_array_equal(model(ids.astype(np.float32)), model(ids))


@pytest.mark.parametrize("dtype", ["bfloat16", "float16", "int8_from_float32"])
def test_other_dtypes_are_refused(dtype: str) -> None:
    with pytest.raises(ValueError, match="TextRNN: expected a dtype of float32, float64, mixed_"):
        make(dtype=dtype)


def test_ngrams_without_an_order_are_refused() -> None:
    with pytest.raises(ValueError, match=r"expected config\.ngrams of 1 to 4 with num_ngrams=5"):
        TextRNN(ModelConfig(), VOCABULARY, CLASSES, num_ngrams=5)


def test_xla_is_refused_or_left_alone() -> None:
    with pytest.raises(ValueError, match="TextRNN: expected jit_compile=False"):
        compiled(make(), jit_compile=True, run_eagerly=False)
    model = compiled(make(), jit_compile="auto", run_eagerly=False)
    assert model.jit_compile is False
    assert np.isfinite(model.fit(TOKEN_IDS, LABELS, verbose=0).history["loss"])
