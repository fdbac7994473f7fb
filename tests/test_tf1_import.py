"""TF1 checkpoints as runs."""

import pathlib
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from tests.oracle import Oracle
from tests.tf1_graph import CLASSES, EMBEDDING, HIDDEN, VOCABULARY, checkpoint_cases
from tf_textrnn.base.errors import UserError
from tf_textrnn.runs.folder import RunFolder
from tf_textrnn.runs.loaded import load_run
from tf_textrnn.study import tf1_import
from tf_textrnn.text import TextEncoder

KERNEL = "LSTM_layer/multi_rnn_cell/cell_0/basic_lstm_cell/kernel"
BIAS = "LSTM_layer/multi_rnn_cell/cell_0/basic_lstm_cell/bias"


def write_checkpoint(folder: pathlib.Path, arrays: dict[str, np.ndarray]) -> str:
    """Writes variables as TF1's `Saver` does; returns the prefix."""
    v1 = tf.compat.v1
    with tf.Graph().as_default(), v1.Session() as session:
        for name, array in arrays.items():
            v1.get_variable(name, initializer=array)
        session.run(v1.global_variables_initializer())
        return str(v1.train.Saver().save(session, str(folder / "model.ckpt")))


@pytest.fixture
def arrays() -> dict[str, np.ndarray]:
    """Returns the variables of a small model of one layer, with an embedding of 5 words."""
    random = np.random.default_rng(1)
    shapes = {
        "embedding": (5, 3),
        KERNEL: (3 + 2, 8),
        BIAS: (8,),
        "softmax_w": (2, 4),
        "softmax_b": (4,),
    }
    return {name: random.normal(size=shape).astype(np.float32) for name, shape in shapes.items()}


def import_run(tmp_path: pathlib.Path, checkpoint: str, **options: Any) -> RunFolder:
    folder = tmp_path / "run"
    given = {"checkpoint": checkpoint, "run_dir": str(folder), **options}
    tf1_import.import_checkpoint(tf1_import.ImportOptions(**given))
    return RunFolder(str(folder))


@pytest.mark.parametrize("name", checkpoint_cases())
def test_scores_equal_the_graph(oracle: Oracle, tmp_path: pathlib.Path, name: str) -> None:
    case = oracle[name]
    run = load_run(import_run(tmp_path, str(oracle.folder / name)))
    assert (run.config.model.hidden_size, run.config.model.embedding_dim) == (HIDDEN, EMBEDDING)
    assert run.config.model.num_layers == int(name.split("_")[1])
    assert run.labels == [str(n) for n in range(CLASSES)]
    if "embedding" in name:
        assert len(run.vocabulary) == VOCABULARY + 2
        scores = run.model((tf.constant(case["inputs"] + 2), tf.constant(case["lengths"])))
    else:
        mask = tf.sequence_mask(case["lengths"], case["inputs"].shape[1], tf.float32)
        scores = run.model.score_embedded(tf.constant(case["inputs"]), mask)
    assert np.abs(scores - case["scores"]).max() <= 1e-5


def test_a_vocabulary_makes_texts_readable(tmp_path: pathlib.Path, arrays) -> None:
    words = tmp_path / "words.txt"
    words.write_text("<unk>\nthe\ncat\nsat\nmat\n")
    labels = tmp_path / "labels.txt"
    labels.write_text("a\nb\nc\nd\n")
    folder = import_run(
        tmp_path,
        write_checkpoint(tmp_path, arrays),
        vocabulary=str(words),
        labels=str(labels),
        unknown_token="<unk>",
        max_len=7,
    )
    run = load_run(folder)
    assert run.labels == ["a", "b", "c", "d"]
    assert (run.config.text.tokenizer, run.config.text.max_len) == ("word", 7)
    assert not run.config.text.stem_unknown_words
    encoder = TextEncoder(
        str(folder.vocabulary), run.config.text.tokenizer, run.config.text.max_len
    )
    token_ids, lengths = encoder(tf.constant(["the CAT xyzzy"]))
    embedded = run.model.embedding(token_ids).numpy()[0]
    np.testing.assert_array_equal(embedded, arrays["embedding"][[1, 2, 0]])
    assert np.isfinite(run.model((token_ids, lengths))).all()


def test_without_unknown_token_the_mean_row_stands_in(tmp_path: pathlib.Path, arrays) -> None:
    words = tmp_path / "words.txt"
    words.write_text("a\nb\nc\nd\ne\n")
    folder = import_run(tmp_path, write_checkpoint(tmp_path, arrays), vocabulary=str(words))
    embedding = load_run(folder).model.embedding.embeddings.numpy()
    np.testing.assert_allclose(embedding[1], arrays["embedding"].mean(axis=0), rtol=1e-6)
    np.testing.assert_array_equal(embedding[2:], arrays["embedding"])


def test_a_vocabulary_with_special_tokens_stays(tmp_path: pathlib.Path, arrays) -> None:
    words = tmp_path / "words.txt"
    words.write_text("[PAD]\n[UNK]\nc\nd\ne\n")
    folder = import_run(tmp_path, write_checkpoint(tmp_path, arrays), vocabulary=str(words))
    assert folder.vocabulary.read_text() == words.read_text()
    embedding = load_run(folder).model.embedding.embeddings.numpy()
    np.testing.assert_array_equal(embedding, arrays["embedding"])


def test_what_is_not_known_shows(tmp_path: pathlib.Path, arrays, capsys) -> None:
    """Without an embedding, the scores of a text are NaN, not plausible numbers."""
    del arrays["embedding"]
    run = load_run(import_run(tmp_path, write_checkpoint(tmp_path, arrays)))
    assert run.vocabulary == [b"[PAD]", b"[UNK]"]
    scores = run.model((tf.constant([[1, 1], [0, 0]]), tf.constant([2, 0]))).numpy()
    assert np.isnan(scores[0]).all()
    np.testing.assert_allclose(scores[1], arrays["softmax_b"], rtol=1e-6)
    assert "no `embedding` in the checkpoint: texts score NaN" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("kernel", "bias"),
    [
        ("LSTM_layer/basic_lstm_cell/kernel", "LSTM_layer/basic_lstm_cell/bias"),
        ("model/x/cell_0/basic_lstm_cell/weights", "model/x/cell_0/basic_lstm_cell/biases"),
        ("basic_lstm_cell/kernel", "basic_lstm_cell/bias"),
    ],
)
def test_other_spellings(tmp_path: pathlib.Path, arrays, kernel: str, bias: str) -> None:
    expected = tf1_import.read_checkpoint(write_checkpoint(tmp_path, arrays))
    other = tmp_path / "other"
    other.mkdir()
    arrays[kernel], arrays[bias] = arrays.pop(KERNEL), arrays.pop(BIAS)
    arrays |= {f"{kernel}/Momentum": arrays[kernel] * 0, "global_step": np.int64(3)}
    found = tf1_import.read_checkpoint(write_checkpoint(other, arrays))
    np.testing.assert_array_equal(found.kernels, expected.kernels)
    np.testing.assert_array_equal(found.biases, expected.biases)


@pytest.mark.parametrize(
    ("name", "shape", "message"),
    [
        ("softmax_w", (3, 4), "kernel is [5, 8], expected [5, 12]"),
        ("softmax_b", (3,), "softmax_b is [3], expected [4]"),
        ("embedding", (5, 4), "embedding is [5, 4], expected [any, 3]"),
        (KERNEL, (5, 12), "kernel is [5, 12], expected [5, 8]"),
        (KERNEL, (2, 8), "kernel is [2, 8], expected [3, 8]"),
        (BIAS, (4,), "bias is [4], expected [8]"),
        ("softmax_w", (8,), "softmax_w is [8], expected [any, any]"),
        (
            KERNEL.replace("_0", "_1"),
            (5, 8),
            "cell_1/basic_lstm_cell/kernel is [5, 8], expected [4",
        ),
        (KERNEL.replace("_0", "_2"), (5, 8), "no variable …cell_1/basic_lstm_cell/kernel"),
        (f"twin/{KERNEL}", (5, 8), f"holds both {KERNEL} and twin/{KERNEL}"),
    ],
)
def test_what_does_not_fit_is_named(
    tmp_path: pathlib.Path, arrays, name: str, shape: tuple[int, ...], message: str
) -> None:
    arrays[name] = np.ones(shape, np.float32)
    if "cell_1" in name:
        arrays[BIAS.replace("_0", "_1")] = np.ones(8, np.float32)
    with pytest.raises(UserError) as error:
        import_run(tmp_path, write_checkpoint(tmp_path, arrays))
    assert message in str(error.value)
    assert "\n" not in str(error.value)
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"checkpoint": ""}, "--checkpoint: expected a path, found nothing"),
        ({"run_dir": ""}, "--run_dir: expected a path, found nothing"),
        ({"checkpoint": "nowhere/model.ckpt"}, "--checkpoint=nowhere/model.ckpt: cannot be read"),
        ({"vocabulary": "two.txt"}, "--vocabulary=two.txt: 2 lines, expected 5"),
        ({"labels": "two.txt"}, "--labels=two.txt: 2 lines, expected 4"),
        ({"unknown_token": "<unk>"}, "--unknown_token=<unk>: not in --vocabulary"),
        ({"tokenizer": "bytes"}, "--tokenizer=bytes: expected one of"),
    ],
)
def test_mistakes_are_named(
    tmp_path: pathlib.Path, arrays, monkeypatch, options: dict[str, str], message: str
) -> None:
    monkeypatch.chdir(tmp_path)
    pathlib.Path("two.txt").write_text("a\nb\n")
    checkpoint = write_checkpoint(tmp_path, arrays)
    with pytest.raises(UserError, match=message):
        import_run(tmp_path, **{"checkpoint": checkpoint, **options})
    assert not (tmp_path / "run").exists()


def test_a_missing_variable_is_named(tmp_path: pathlib.Path, arrays) -> None:
    del arrays["softmax_b"]
    with pytest.raises(UserError, match="no variable …softmax_b; found"):
        import_run(tmp_path, write_checkpoint(tmp_path, arrays))
