"""`--init_from`: new texts, words and labels for a model that has learned already."""

import dataclasses
import itertools
import json
import pathlib
import random
import shutil

import numpy as np
import pytest
import tensorflow as tf

from tests.conftest import topic_lines, weights
from tf_textrnn import TextClassifier
from tf_textrnn.base.errors import UserError
from tf_textrnn.data import splits
from tf_textrnn.network.ngram_counts import count_ngrams, find_keys, keys_of_more_tokens
from tf_textrnn.network.ngrams import ngram_keys
from tf_textrnn.runs import checkpoints
from tf_textrnn.runs.loaded import own_data
from tf_textrnn.text import build_vocabulary
from tf_textrnn.training import resume, runner
from tf_textrnn.training.distribution import Workers
from tf_textrnn.training.initial import read_initial
from tf_textrnn.training.start import new_model

SHAPE = ("hidden_size", "embedding_dim", "bidirectional")
BUSHES = 8  # of the test texts


def lines_of_bushes(count: int, seed: int) -> list[str]:
    chooser = random.Random(seed)
    return [
        f"bushes\tthe {' '.join(chooser.choices(['oak', 'elm', 'moss', 'fern'], k=2))}"
        for _ in range(count)
    ]


def read(path) -> list[tuple[str, list[str]]]:
    lines = [line.split("\t") for line in path.read_text().splitlines()]
    return [(label, text.split()) for label, text in lines]


@pytest.fixture(scope="module")
def options(small_options, topics, finished, tmp_path_factory):
    """Options of a run that starts from `finished`: a label has no new text, and one is new."""
    folder = tmp_path_factory.mktemp("new")
    lines = [line for line in topic_lines(100, 7) if not line.startswith("numbers")]
    (folder / "train.tsv").write_text("\n".join(lines + lines_of_bushes(30, 8)) + "\n")
    test = (topics / "test.tsv").read_text().splitlines() + lines_of_bushes(BUSHES, 9)
    (folder / "test.tsv").write_text("\n".join(test) + "\n")
    files = {f"{name}_file": str(folder / f"{name}.tsv") for name in ("train", "test")}
    others = {name: value for name, value in small_options.items() if name not in SHAPE}
    return {**others, **files, "min_epoch_steps": 8, "init_from": str(finished.path)}


@pytest.fixture(scope="module")
def initial(finished):
    return read_initial(str(finished.path))


@pytest.fixture(scope="module")
def begun(options, initial):
    """The config, data and model of such a run before its first step."""
    config, _ = resume.open_run({**options, "run_dir": "unused"}, Workers(), None)
    data = splits.load(config, known=initial.known)
    return config, data, new_model(config, data, initial)[0]


@pytest.fixture(scope="module")
def started(options, tmp_path_factory):
    return runner.run({**options, "run_dir": str(tmp_path_factory.mktemp("started") / "run")})


def test_old_words_and_labels_stay_and_new_ones_are_added(begun, initial):
    config, data, model = begun
    assert config.model == dataclasses.replace(initial.run.config.model, init_from=initial.path)
    num_old = len(initial.run.vocabulary)
    assert data.vocabulary[:num_old] == initial.run.vocabulary
    assert sorted(data.vocabulary[num_old:]) == [b"elm", b"fern", b"moss", b"oak"]
    assert data.labels == ["animals", "bushes", "colours", "numbers"]
    assert (model.vocab_size, model.num_classes) == (num_old + 4, 4)


def test_before_the_first_step_the_network_scores_what_the_old_one_did(begun, initial):
    _, data, model = begun
    of_network, of_ngrams = initial.run.best["branch_weights"]
    assert of_network + of_ngrams == pytest.approx(1)
    texts = data.test.batch(np.arange(len(data.test) - BUSHES))
    inputs = (tf.constant(texts.token_ids), tf.constant(texts.lengths))
    found = model.branch_scores(inputs)[0].numpy()
    expected = initial.run.model.branch_scores(inputs)[0].numpy() / of_network
    np.testing.assert_allclose(found[:, initial.columns(data)], expected, atol=1e-5)
    assert np.abs(expected).max() > 0.1
    factors = {"ngrams/bias": of_ngrams, "ngrams/trust": of_ngrams, "softmax_b": of_network}
    for name, factor in factors.items():
        old, new = (each.named_weights()[name].numpy() for each in (initial.run.model, model))
        np.testing.assert_allclose(new[initial.columns(data)] if new.ndim else new, old / factor)


def test_counts_are_those_of_the_old_texts_and_the_new_ones(begun, topics, options, initial):
    _, data, model = begun
    texts = read(topics / "train.tsv") + read(pathlib.Path(options["train_file"]))
    expected: dict[tuple[str, ...], np.ndarray] = {}
    for label, words in texts:
        for ngram in {*zip(words), *itertools.pairwise(words)}:
            counts = expected.setdefault(ngram, np.zeros(5, np.float32))
            counts[[data.labels.index(label), 4]] += 1
    words = [word.decode() for word in data.vocabulary]
    found = {}
    for key, counts in zip(model.ngrams.keys.numpy(), model.ngrams.counts.numpy(), strict=True):
        first, last = divmod(int(key), len(words))
        found[(words[first], words[last]) if first else (words[last],)] = counts
    assert found.keys() == expected.keys()
    assert all(np.array_equal(found[ngram], expected[ngram]) for ngram in expected)
    of_label = [sum(label == each for each, _ in texts) for label in data.labels]
    np.testing.assert_allclose(model.ngrams.text_shares, np.array(of_label) / len(texts), rtol=1e-6)
    assert initial.num_texts == 300


def test_n_grams_keep_their_weights_and_new_ones_have_none(begun, initial):
    _, data, model = begun
    old = initial.run.model.ngrams
    rows, are_kept = find_keys(model.ngrams.keys.numpy(), initial.earlier_texts(data).keys)
    assert are_kept.all()
    kernel = np.zeros((model.num_ngrams, 4), np.float32)
    factor = initial.run.best["branch_weights"][1]
    kernel[np.ix_(rows, initial.columns(data))] = old.kernel.numpy() / factor
    np.testing.assert_allclose(model.ngrams.kernel.numpy(), kernel, rtol=1e-6)
    assert kernel.any(axis=1).sum() > 100


def test_the_limit_of_n_grams_holds_over_old_and_new_texts(begun, initial, monkeypatch):
    config, data, model = begun
    order, size = config.model.ngrams, len(data.vocabulary)
    monkeypatch.setattr("tf_textrnn.network.ngram_counts.MAX_NGRAMS", 20)
    found = count_ngrams(data.train, order, size, 4, initial.earlier_texts(data))
    totals = np.sort(model.ngrams.counts.numpy()[:, -1])
    assert sorted(found.counts[:, -1]) == totals[-20:].tolist()
    assert found.held.max() <= 1.0


def test_keys_mean_the_same_n_grams_among_more_words():
    token_ids = np.random.default_rng(1).integers(1, 7, [5, 9]).astype(np.int32)
    for order in (1, 2, 4):
        small = np.unique(ngram_keys(token_ids, order, 7))
        large = keys_of_more_tokens(small, order, 7, 11)
        assert np.array_equal(large, np.unique(ngram_keys(token_ids, order, 11)))


def test_known_tokens_keep_their_ids_and_are_never_left_out():
    tokens, counts, known = [b"a", b"b", b"c"], np.array([1, 3, 2]), [b"[PAD]", b"[UNK]", b"c"]
    assert build_vocabulary(tokens, counts, 4, known) == [*known, b"b"]
    assert build_vocabulary(tokens, counts, 2, known) == known


def test_new_words_and_labels_are_learned(started, initial):
    assert started.report["per_class"]["bushes"]["recall"] > 0.9
    assert started.report["accuracy"] > started.report["init_from"]["accuracy"]
    # A run that starts from this one knows how many texts there were.
    assert read_initial(str(started.folder.path)).num_texts == (
        initial.num_texts + started.report["texts"]["train"]
    )
    assert own_data(started.folder).vocabulary[-1] in (b"elm", b"fern", b"moss", b"oak")


def test_the_report_says_what_the_old_model_had(started, finished, begun, initial, topics):
    config, _, _ = begun
    old = json.loads(finished.report_json.read_text())
    found = started.report["init_from"]
    assert found["run"] == str(finished.path)
    assert found["texts"] == 300
    right = old["accuracy"] * 60
    assert found["accuracy"] == pytest.approx(right / (60 + BUSHES))
    config = config.replace(test_file=str(topics / "test.tsv"))
    same = initial.measure(splits.load(config, known=initial.known), Workers())
    assert (same["accuracy"], same["macro_f1"]) == (old["accuracy"], old["macro_f1"])
    line = (
        f"efore training, the model of {finished.path} had accuracy {found['accuracy']:.4f} and "
        f"macro F1 {found['macro_f1']:.4f} on the same texts"
    )
    assert f"\nb{line}\n" in started.folder.report_text.read_text()
    assert f"<p>B{line}.</p>" in started.folder.report_page.read_text()


def test_a_run_that_was_cut_short_ends_with_the_same_bits(options, finished, started, tmp_path):
    old = tmp_path / "old"
    shutil.copytree(finished.path, old)

    def kill(step):
        if step == 11:
            raise KeyboardInterrupt

    given = {**options, "init_from": str(old), "run_dir": str(tmp_path / "run")}
    with pytest.raises(KeyboardInterrupt):
        runner.run({**given, "checkpoint_minutes": 1e-9}, on_step=kill)
    resumed = runner.run({**given, "resume": True})
    assert weights(resumed.folder) == weights(started.folder)
    assert {**resumed.report["init_from"], "run": ""} == {**started.report["init_from"], "run": ""}
    before = sorted(tmp_path.rglob("*"))
    again = {"run_dir": given["run_dir"], "resume": True, "num_epochs": 4}
    (old / "config.json").rename(tmp_path / "config.json")
    with pytest.raises(UserError, match=r"^--init_from=.*/old: holds no run"):
        runner.run(again)
    (tmp_path / "config.json").rename(old / "config.json")
    assert sorted(tmp_path.rglob("*")) == before
    shutil.rmtree(old / "checkpoints")  # so that none names the best weights
    path = checkpoints.own_files(old / "best")[-1]
    arrays, state = checkpoints.read(path)
    checkpoints.write(path, {**arrays, "softmax_b": arrays["softmax_b"] + 1}, state)
    with pytest.raises(UserError, match=r"^--init_from=.*/old: not the model that this run began"):
        runner.run(again)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"tokenizer": "char"}, "--tokenizer=char: the run of --init_from={old} has word; expected "
         "the same, or no --tokenizer"),
        ({"hidden_size": 128}, "--hidden_size=128: the run of --init_from={old} has 16; expected "
         "the same, or no --hidden_size"),
        ({"multi_label": True}, "--multi_label=True: the run of --init_from={old} has False; "
         "expected the same, or no --multi_label"),
        ({"folds": 2, "valid_file": ""}, "--folds=2 and --init_from={old}: expected one of the "
         "two"),
        ({"init_from": "nowhere"}, "--init_from=nowhere: holds no run (no config.json); expected "
         "the folder of a run that has ended, which its --run_dir names"),
    ],
)  # fmt: skip
def test_what_cannot_be_is_told_in_a_line_and_leaves_nothing(
    options, finished, tmp_path, given, message
):
    run_dir = tmp_path / "run"
    with pytest.raises(UserError) as error:
        runner.run({**options, **given, "run_dir": str(run_dir)})
    assert str(error.value) == message.format(old=finished.path)
    assert not run_dir.exists()


def test_pretrained_vectors_are_refused(options, finished, tmp_path):
    (tmp_path / "vectors.txt").write_text("oak 1 2 3 4 5 6 7 8\n")
    given = {**options, "pretrained_embeddings": str(tmp_path / "vectors.txt")}
    with pytest.raises(UserError, match=r"txt and --init_from=.*: expected one of the two$"):
        runner.run({**given, "run_dir": str(tmp_path / "run")})
    assert not (tmp_path / "run").exists()


def test_a_run_that_has_not_ended_or_is_damaged_is_refused(options, finished, initial, tmp_path):
    old = tmp_path / "old"
    shutil.copytree(finished.path, old)
    given = {**options, "init_from": str(old), "run_dir": str(tmp_path / "run")}
    path = old / "best" / initial.run.weights.name
    path.write_bytes(path.read_bytes()[:-1000])
    with pytest.raises(UserError, match=r"best/.*\.npz: cannot be read"):
        runner.run(given)
    (old / "report.json").unlink()
    with pytest.raises(UserError, match=r"old: holds no whole report\.json; expected a run that"):
        runner.run(given)
    assert not (tmp_path / "run").exists()


def test_an_equal_value_or_an_automatic_one_is_no_contradiction(options, tmp_path):
    given = {"hidden_size": 16, "tokenizer": "auto", "ngrams": -1, "run_dir": str(tmp_path / "run")}
    config, _ = resume.open_run({**options, **given}, Workers(), None)
    assert (config.model.hidden_size, config.text.tokenizer, config.model.ngrams) == (16, "word", 2)


def test_texts_that_were_learned_already_are_told(options, topics, tmp_path, capsys):
    given = {**options, "run_dir": str(tmp_path / "run")}
    resume.open_run(given, Workers(), None)
    assert capsys.readouterr().err == ""
    resume.open_run({**given, "train_file": str(topics / "train.tsv")}, Workers(), None)
    assert "train.tsv: the run of --init_from=" in capsys.readouterr().err


def test_a_full_vocabulary_and_a_label_without_a_new_text_are_told(begun, initial, capsys):
    config, _, _ = begun
    data = splits.load(config.replace(vocab_size=9), known=initial.known)
    assert data.vocabulary == initial.run.vocabulary
    initial.measure(data, Workers())
    told = capsys.readouterr().err
    assert "new words get none; expected a larger --vocab_size" in told
    assert "no new text has numbers: what was learned of a label" in told


def test_branches_of_label_sets_begin_with_the_log_odds_of_all_texts(
    set_options, exported_sets, tmp_path
):
    lines = [{"text": f"the oak and cat {i}", "label": ["bushes", "animals"]} for i in range(30)]
    path = tmp_path / "new.jsonl"
    path.write_text("".join(f"{json.dumps(line)}\n" for line in lines))
    others = {name: value for name, value in set_options.items() if name not in SHAPE}
    given = {**others, "train_file": str(path), "init_from": str(exported_sets.path)}
    config, sources = resume.open_run({**given, "run_dir": str(tmp_path / "r")}, Workers(), None)
    initial = read_initial(given["init_from"])
    data = splits.load(config, sources, known=initial.known)
    model, _ = new_model(config, data, initial)
    assert data.labels == ["animals", "bushes", "colours", "numbers"]
    num_old, num_new = initial.num_texts, len(data.train)
    shares = initial.run.model.ngrams.text_shares.numpy() * num_old
    shares = np.insert(shares, 1, 0) + num_new * np.array([1, 1, 0, 0])
    shares /= num_old + num_new
    bias = np.log(shares / (1 - shares))
    np.testing.assert_allclose(model.ngrams.bias, bias, rtol=1e-5)
    old = initial.run.model.softmax.bias.numpy() / initial.run.best["branch_weights"][0]
    np.testing.assert_allclose(model.softmax.bias, np.insert(old, 1, bias[1]), rtol=1e-5)
    assert initial.measure(data, Workers())["accuracy"] > 0.5


def test_an_estimator_goes_on_from_a_run(finished, tmp_path):
    texts, labels = ["the oak", "a cat", "an elm"] * 12, ["bushes", "animals", "bushes"] * 12
    options = {"init_from": finished.path, "num_epochs": 2, "learning_rate": 0.01}
    with pytest.raises(TypeError, match="found int and str"):
        TextClassifier(**options).fit(texts, [3, 4, 3] * 12)
    classifier = TextClassifier(**options, min_epoch_steps=8, run_dir=tmp_path / "run")
    classifier.fit(texts, labels)
    assert classifier.classes_.tolist() == ["animals", "bushes", "colours", "numbers"]
    assert classifier.report_["config"]["hidden_size"] == 16
    assert classifier.predict_proba(["seven"]).shape == (1, 4)
    assert classifier.predict(["an oak", "a cat"]).tolist() == ["bushes", "animals"]
    with pytest.raises(UserError, match="--num_layers=2: the run of --init_from"):
        TextClassifier(**options, num_layers=2).fit(texts, labels)
