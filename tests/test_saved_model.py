"""The exported model answers like the trained one, in any loader, to any text."""

import gc
import json
import pathlib
import random
import subprocess
import sys

import numpy as np
import pytest
import tensorflow as tf
from tensorflow.core.protobuf import saved_model_pb2
from tensorflow.python.eager import context
from tensorflow.python.tools import saved_model_cli

from tests.conftest import topic_lines
from tf_textrnn.config import ModelConfig
from tf_textrnn.exporting.signatures import ServedTextRNN
from tf_textrnn.network.model import TextRNN
from tf_textrnn.predictor.predictor import open_runtime
from tf_textrnn.runs.loaded import load_run
from tf_textrnn.text import TextEncoder

ROOT = pathlib.Path(__file__).parents[1]
LIBRARY = pathlib.Path(tf.sysconfig.get_lib()) / "libtensorflow_cc.so.2"
TEXTS = [line.partition("\t")[2] for line in topic_lines(40, seed=9)] + [
    "",
    "unseen words",
    "🐴 马 ",
]
SIGNATURES = ("serving_default", "classify", "embedded", "embedded_batch_major", "explain")


@pytest.fixture(scope="module")
def path(exported):
    return exported.export / "1"


@pytest.fixture(scope="module")
def model(path):
    return tf.saved_model.load(str(path))


@pytest.fixture(scope="module")
def trainer_scores(exported):
    """Returns float32[texts, classes], the scores of the run's own model for `TEXTS`."""
    run = load_run(exported)
    encoder = TextEncoder(str(exported.vocabulary), run.config.text.tokenizer, 400)
    return run.model(encoder(tf.constant(TEXTS))).numpy()


@pytest.fixture(scope="module")
def trainer_probability(exported, trainer_scores):
    """Returns the same scores, divided by the temperature that the run fitted."""
    temperature = load_run(exported).best["temperature"]
    assert abs(temperature - 1) > 0.01
    return softmax(trainer_scores / temperature)


def softmax(scores):
    exponentials = np.exp(scores - scores.max(axis=1, keepdims=True))
    return exponentials / exponentials.sum(axis=1, keepdims=True)


def example(text):
    feature = tf.train.Feature(bytes_list=tf.train.BytesList(value=[text.encode()]))
    features = tf.train.Features(feature={"text": feature})
    return tf.train.Example(features=features).SerializeToString()


def test_serving_default_answers_as_the_trainer_does(
    exported, model, trainer_scores, trainer_probability
):
    outputs = model.signatures["serving_default"](text=tf.constant(TEXTS))
    np.testing.assert_allclose(outputs["scores"], trainer_scores, atol=1e-5)
    np.testing.assert_allclose(outputs["probability"], trainer_probability, atol=1e-5)
    np.testing.assert_array_equal(outputs["prediction"], trainer_scores.argmax(axis=1))
    labels = exported.labels.read_text().split()
    assert [x.decode() for x in outputs["label"].numpy()] == [
        labels[i] for i in outputs["prediction"].numpy()
    ]


def test_classify_reads_examples_and_names_every_label(exported, model, trainer_probability):
    inputs = tf.constant([example(text) for text in TEXTS])
    outputs = model.signatures["classify"](inputs=inputs)
    np.testing.assert_allclose(outputs["scores"], trainer_probability, atol=1e-5)
    labels = exported.labels.read_bytes().split()
    assert outputs["classes"].numpy().tolist() == [labels] * len(TEXTS)


def tf1_scores(weights, embedded, mask):
    """Computes the TF1 graph, unrolled as the class does it, with the formula of `BasicLSTMCell`.

    Args:
      weights: of a one-way, one-layer LSTM in this project's names and order of gates.
      embedded: float32[batch, time, embedding_dim].
      mask: float32[time, batch].
    """
    kernel = np.concatenate(
        [weights["lstm_0/forward/kernel"], weights["lstm_0/forward/recurrent_kernel"]]
    )
    units = kernel.shape[1] // 4
    order = np.r_[0:units, 2 * units : 3 * units, units : 2 * units, 3 * units : 4 * units]
    kernel, bias = kernel[:, order], weights["lstm_0/forward/bias"][order]  # i, j, f, o
    with tf.Graph().as_default(), tf.compat.v1.Session() as session:
        embedded_x = tf.compat.v1.placeholder(tf.float32, [None, *embedded.shape[1:]])
        mask_x = tf.compat.v1.placeholder(tf.float32, [len(mask), None])
        c = h = tf.zeros([len(embedded), units])
        outputs = []
        for step in range(len(mask)):
            gates = tf.matmul(tf.concat([embedded_x[:, step], h], 1), kernel) + bias
            i, j, f, o = tf.split(gates, 4, 1)
            c = c * tf.sigmoid(f + 0.0) + tf.sigmoid(i) * tf.tanh(j)
            h = tf.tanh(c) * tf.sigmoid(o)
            outputs.append(h)
        masked = tf.stack(outputs) * mask_x[:, :, None]
        pooled = tf.reduce_sum(masked, 0) / tf.reduce_sum(mask_x, 0)[:, None]
        scores = tf.matmul(pooled, weights["softmax_w"]) + weights["softmax_b"]
        return session.run(scores, {embedded_x: embedded, mask_x: mask})


def test_embedded_equals_the_tf1_graph(tmp_path):
    config = ModelConfig(bidirectional=False, hidden_size=6, embedding_dim=5, forget_bias=0.0)
    network = TextRNN(config, 3, 4)
    network.build()
    draws = np.random.default_rng(3)
    for weight in network.named_weights().values():
        weight.assign(draws.uniform(-1, 1, weight.shape))
    (tmp_path / "vocabulary.txt").write_text("[PAD]\n[UNK]\na\n")
    (tmp_path / "labels.txt").write_text("w\nx\ny\nz\n")
    files = str(tmp_path / "vocabulary.txt"), str(tmp_path / "labels.txt")
    served = ServedTextRNN(network, *files, "word", 10)
    tf.saved_model.save(served.resources, str(tmp_path / "1"), signatures=served.signatures)
    embedded = draws.normal(size=[7, 9, 5]).astype(np.float32)
    lengths = np.array([9, 1, 4, 5, 2, 9, 3])
    mask = (np.arange(9)[:, None] < lengths).astype(np.float32)  # [time, batch]
    loaded = tf.saved_model.load(str(tmp_path / "1"))
    outputs = loaded.signatures["embedded"](
        embedded_chars=tf.constant(embedded), mask_x=tf.constant(mask)
    )
    weights = {name: weight.numpy() for name, weight in network.named_weights().items()}
    expected = tf1_scores(weights, embedded, mask)
    np.testing.assert_allclose(outputs["scores"], expected, atol=1e-5)
    np.testing.assert_allclose(outputs["probability"], softmax(expected), atol=1e-5)
    np.testing.assert_array_equal(outputs["prediction"], expected.argmax(axis=1))
    batch_major = loaded.signatures["embedded_batch_major"](
        embedded_chars=tf.constant(embedded), mask=tf.constant(mask.T)
    )
    assert set(batch_major) == set(outputs)
    for name, value in outputs.items():
        np.testing.assert_array_equal(batch_major[name], value)


def answers_of_the_c_library(
    path: pathlib.Path, texts: list[str], output: str, name: str = "serving_default"
) -> np.ndarray:
    """An output of a signature for some texts, from TensorFlow's C library alone."""
    saved_model = saved_model_pb2.SavedModel()
    saved_model.ParseFromString((path / "saved_model.pb").read_bytes())
    signature = saved_model.meta_graphs[0].signature_def[name]
    text_name = signature.inputs["text"].name.partition(":")[0]
    name, _, index = signature.outputs[output].name.partition(":")
    done = subprocess.run(
        [sys.executable, "tests/c_api_client.py", LIBRARY, path, text_name, name, index],
        input=json.dumps(texts), capture_output=True, text=True, cwd=ROOT,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    return np.reshape(found["values"], found["shape"])


def test_answers_without_pythons_tensorflow(path, trainer_scores):
    found = answers_of_the_c_library(path, TEXTS, "scores")
    np.testing.assert_allclose(found, trainer_scores, atol=1e-5)
    names = ("ngram_shares", "network_shares")
    shares = [answers_of_the_c_library(path, TEXTS, name, "explain").sum(axis=1) for name in names]
    np.testing.assert_allclose(sum(shares), found - found[TEXTS.index("")], atol=1e-4)


def test_saved_model_cli_shows_and_runs_each_signature(
    path, capsys, monkeypatch, tmp_path, trainer_scores, trainer_probability
):
    def run(*arguments):
        monkeypatch.setattr(sys, "argv", ["saved_model_cli", *arguments])
        with pytest.raises(SystemExit) as done:
            saved_model_cli.main()
        assert not done.value.code
        return capsys.readouterr().out

    shown = run("show", "--dir", str(path), "--all")
    classify = shown[
        shown.index("signature_def['classify']") : shown.index("signature_def['embedded']")
    ]
    assert "Method name is: tensorflow/serving/classify" in classify
    for signature in SIGNATURES:
        assert f"signature_def['{signature}']" in shown
    embedded = np.ones([2, 3, 8], np.float32)
    arrays = {"embedded_chars": embedded, "mask": np.ones([2, 3], np.float32)}
    arrays["mask_x"] = arrays["mask"].T
    np.savez(tmp_path / "inputs.npz", **arrays)

    def given_arrays(*names):
        return "--inputs", ";".join(f"{name}={tmp_path}/inputs.npz[{name}]" for name in names)

    inputs = {
        "serving_default": ("--input_exprs", f"text=[{TEXTS[0]!r}]"),
        "classify": ("--input_examples", f'inputs=[{{"text":[{TEXTS[0].encode()!r}]}}]'),
        "embedded": given_arrays("embedded_chars", "mask_x"),
        "embedded_batch_major": given_arrays("embedded_chars", "mask"),
        "explain": ("--input_exprs", f"text=[{TEXTS[0]!r}]"),
    }
    for signature, given in inputs.items():
        out = tmp_path / signature
        empty = ("--inputs=", "--input_exprs=", "--input_examples=")  # the flags are global
        run("run", "--dir", str(path), "--tag_set", "serve", "--signature_def", signature, *empty,
            *given, "--outdir", str(out))  # fmt: skip
    found = np.load(tmp_path / "serving_default" / "scores.npy")
    np.testing.assert_allclose(found, trainer_scores[:1], atol=1e-5)
    found = np.load(tmp_path / "classify" / "scores.npy")
    np.testing.assert_allclose(found, trainer_probability[:1], atol=1e-5)
    of_each = [np.load(tmp_path / name / "scores.npy") for name in SIGNATURES[2:4]]
    assert of_each[0].shape == (2, 3)
    np.testing.assert_array_equal(*of_each)
    assert np.load(tmp_path / "explain" / "network_shares.npy").shape[0] == 1


def hostile_texts(count: int) -> list[bytes]:
    """Texts that nobody would write."""
    chooser = random.Random(5)
    planes = [range(p << 16, (p + 1) << 16) for p in range(17)]
    odd = (
        "\u200b\u200c\u200d\u200e\u200f\u202a\u202e\u2066\u2069\ufeff\u0301\u05d0\u0627\u0000\r\n\t"
    )
    makers = (
        lambda n: chooser.randbytes(n),
        lambda n: "".join(
            chr(c) for c in chooser.choices(chooser.choice(planes), k=n) if not 0xD800 <= c < 0xE000
        ).encode(),
        lambda n: "".join(chooser.choices(odd + "ab", k=n)).encode(),
        lambda n: b"\xed\xa0\x80" * n,  # surrogates
        lambda n: chooser.choice([b"", b" ", b"\0", b"\xff", b"a\xcc", b"\xf4\x90\x80\x80"]),
    )
    texts = [makers[i % len(makers)](chooser.randrange(60)) for i in range(count)]
    return [*texts, b"x" * (1 << 20), b"word " * (1 << 18), "语".encode() * (1 << 20)]


def check_hostile(model, count):
    texts = hostile_texts(count)
    signature = model.signatures["serving_default"]
    for start in range(-1, len(texts), 100):
        batch = texts[start : start + 100] if start >= 0 else [b""]
        probability = signature(text=tf.constant(batch))["probability"].numpy()
        assert np.isfinite(probability).all()
        np.testing.assert_allclose(probability.sum(axis=1), 1, atol=1e-5)


def test_a_version_that_is_gone_leaves_nothing_behind(path):
    """Gradients of our own in a SavedModel would stay, and with them all functions."""
    counts = []
    for _ in range(3):
        runtime = open_runtime(pathlib.Path(path))
        runtime.run([b"a"])
        del runtime
        gc.collect()
        counts.append(len(context.context().list_function_names()))
    assert counts[1] == counts[2]


def test_hostile_texts(model):
    check_hostile(model, 300)


@pytest.mark.slow
def test_ten_thousand_hostile_texts(model):
    check_hostile(model, 10_000)
