"""Pretrained word vectors: which words they make known, and whether training changes them."""

import numpy as np
import pytest

from tf_textrnn import TextClassifier
from tf_textrnn.base.errors import UserError
from tf_textrnn.config import Config
from tf_textrnn.data import splits
from tf_textrnn.data.parts import fold_of
from tf_textrnn.predictor.encoder import UNKNOWN_ID
from tf_textrnn.runs.loaded import load_run
from tf_textrnn.training import runner


def test_the_file_says_the_size_of_the_vectors(small_options, tmp_path):
    path = tmp_path / "vectors.txt"
    path.write_text("horse 1 2 3 4 5\n")
    options = {**small_options, "pretrained_embeddings": str(path), "num_epochs": 1}
    with pytest.raises(UserError) as error:
        runner.run({**options, "run_dir": str(tmp_path / "other")})
    assert str(error.value) == (
        f"--embedding_dim=8: the vectors of --pretrained_embeddings={path} have 5 numbers; "
        f"expected the same, or no --embedding_dim"
    )
    small = {"cell": "rnn", "bidirectional": False, "num_epochs": 1, "min_epoch_steps": 1}
    classifier = TextClassifier(**small, pretrained_embeddings=path, hidden_size=4)
    classifier.fit(["a horse", "a cow"] * 9, ["b", "c"] * 9)
    assert classifier.report_["config"]["embedding_dim"] == 5


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


def test_words_that_only_the_file_has_follow_those_of_the_training_texts(topics, tmp_path):
    words = ["cat", "Lynx", "lynx", "a lynx", "lynx's", "\ufffd", "lynx", "puma", "ocelot"]
    path = tmp_path / "vectors.npy"
    np.save(path, np.zeros((len(words), 8)))
    path.with_suffix(".txt").write_text("\n".join(words))

    def vocabulary(**options):
        given = {"train_file": str(topics / "train.tsv"), "tokenizer": "word", **options}
        return splits.load(Config().replace(**given).settled()).vocabulary

    own = vocabulary()
    vectors = {"pretrained_embeddings": str(path)}
    assert b"cat" in own
    assert vocabulary(**vectors)[len(own) :] == [b"lynx", "\ufffd".encode(), b"puma", b"ocelot"]
    assert vocabulary(**vectors, vocab_size=len(own) + 1)[-1] == b"lynx"
    assert vocabulary(**vectors, vocab_size=len(own) - 1) == own[:-1]


def test_a_fold_knows_words_of_the_file_that_only_its_held_out_texts_have(tmp_path):
    own = [f"own{row}" for row in range(18)]
    lines = [f"{'ab'[row % 2]}\t{word} of all" for row, word in enumerate(own)]
    (tmp_path / "train.tsv").write_text("\n".join(lines))
    path = tmp_path / "vectors.npy"
    np.save(path, np.zeros((2, 8)))
    path.with_suffix(".txt").write_text("own3\nelsewhere")
    options = {"train_file": str(tmp_path / "train.tsv"), "folds": 2, "tokenizer": "word"}
    options["pretrained_embeddings"] = str(path)
    data = splits.load(Config().replace(**options).settled())
    known = set()
    for fold in range(2):
        valid = fold_of(data, fold).valid
        first = valid.batch(np.arange(len(valid))).token_ids[:, 0]
        known |= {own[row] for row in valid.rows[first != UNKNOWN_ID]}
    assert known == {"own3"}


@pytest.mark.slow
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
    path.write_text("horse 1 2 3 4 5 6 7 8\nlynx 1 2 3 4 5 6 7 8\n")
    with pytest.raises(UserError, match=r"the texts, or the words of --pretrained_embed.*"):
        runner.run({**again, "num_epochs": 3})
    path.unlink()
    with pytest.raises(UserError, match=r"--pretrained_embeddings=.*: No such file"):
        runner.run({**again, "num_epochs": 3})
