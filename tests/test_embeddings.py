"""Pretrained word vectors: three text formats, bad lines, and whether training changes them."""

import gzip

import numpy as np
import pytest

from tf_textrnn.base.errors import UserError
from tf_textrnn.data.embeddings import read_vectors
from tf_textrnn.runs.folder import load_run
from tf_textrnn.training import runner

VOCABULARY = [b"[PAD]", b"[UNK]", b"cat", b"dog", "köln".encode(), b". ."]
LINES = "dog 1 2.5 -3e-1\nzebra 0 0 0\nköln 4 5 6\n. . 7 8 9\ndog 9 9 9\n"


@pytest.mark.parametrize("header", ["", "5 3\n"])
@pytest.mark.parametrize("ending", ["txt", "vec.gz"])
def test_the_vectors_of_the_vocabulary_are_found(tmp_path, header, ending):
    path = tmp_path / f"vectors.{ending}"
    content = (header + LINES).encode()
    path.write_bytes(gzip.compress(content) if ending.endswith("gz") else content)
    found = read_vectors(str(path), VOCABULARY, 3)
    assert found.token_ids.tolist() == [3, 4, 5]
    np.testing.assert_allclose(found.values, [[1, 2.5, -0.3], [4, 5, 6], [7, 8, 9]], rtol=1e-6)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("cat 1 2", ":2: expected a token and --embedding_dim=3 numbers, found 2"),
        ("cat 1 2 3 4", ":2: expected a token and --embedding_dim=3 numbers, found 4"),
        ("cat 1 2 x", ":2: not a vector"),
        ("cat 1 2 nan", ":2: expected finite numbers"),
    ],
)
def test_a_bad_line_is_named(tmp_path, line, message):
    path = tmp_path / "vectors.txt"
    path.write_text(f"dog 1 2 3\n{line}\n")
    with pytest.raises(UserError) as error:
        read_vectors(str(path), VOCABULARY, 3)
    assert str(error.value).startswith(f"{path}{message}")


def test_a_file_that_is_not_there_is_named():
    with pytest.raises(UserError, match=r"nowhere\.vec: No such file"):
        read_vectors("nowhere.vec", VOCABULARY, 3)


@pytest.mark.parametrize(("epoch", "is_tuned"), [(-1, False), (0, True), (1, True), (2, False)])
def test_vectors_are_tuned_from_their_epoch_on(small_options, tmp_path, capsys, epoch, is_tuned):
    path = tmp_path / "vectors.txt"
    vector = np.linspace(-1, 1, 8)
    path.write_text(f"horse {' '.join(map(str, vector))}\n")
    options = {"pretrained_embeddings": str(path), "tune_embeddings_epoch": epoch, "num_epochs": 2}
    options |= {"average_decay": 0.0, "run_dir": str(tmp_path / "run"), "learning_rate": 1e-3}
    run = load_run(runner.run({**small_options, **options}).folder)
    embeddings = run.model.embedding.embeddings.numpy()
    found = embeddings[run.vocabulary.index(b"horse")]
    assert np.allclose(found, vector, atol=1e-6) != is_tuned
    printed = capsys.readouterr().out
    assert f"{path}: vectors of 1 of {len(run.vocabulary)} token ids, which are " in printed


def test_a_run_goes_on_with_the_vectors_that_it_began_with_alone(small_options, tmp_path):
    path = tmp_path / "vectors.txt"
    path.write_text("horse 1 2 3 4 5 6 7 8\n")
    options = {"pretrained_embeddings": str(path), "num_epochs": 1}
    folder = runner.run({**small_options, **options, "run_dir": str(tmp_path / "run")}).folder
    again = {"run_dir": str(folder.path), "resume": True}
    runner.run({**again, "num_epochs": 2})
    path.write_text("horse 1 2 3 4 5 6 7 9\n")
    with pytest.raises(UserError, match=r"--pretrained_embeddings=.*: not the vectors that this"):
        runner.run({**again, "num_epochs": 3})
    path.unlink()
    with pytest.raises(UserError, match=r"--pretrained_embeddings=.*: No such file"):
        runner.run({**again, "num_epochs": 3})
