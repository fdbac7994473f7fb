"""Texts with any number of labels: read, split, measured, trained, exported and predicted."""

import json

import numpy as np
import pytest
import sklearn.metrics
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import sparse

from tests.conftest import TOPICS, weights
from tests.labeled_files import source
from tests.test_saved_model import answers_of_the_c_library
from tf_textrnn import cli
from tf_textrnn.base.errors import UserError
from tf_textrnn.config import Config
from tf_textrnn.data import holdout, splits
from tf_textrnn.data.corpus import open_corpus
from tf_textrnn.data.own_counts import OwnCounts
from tf_textrnn.data.settling import has_label_sets, settle
from tf_textrnn.network.ngram_counts import count_ngrams
from tf_textrnn.predictor.predictor import Predictor
from tf_textrnn.runs.set_evaluation import SetEvaluation
from tf_textrnn.runs.set_measures import set_losses, sigmoid
from tf_textrnn.training import runner
from tf_textrnn.training.set_weights import fit_set_weights
from tf_textrnn.training.step import mean_set_loss


@pytest.mark.parametrize(
    ("name", "content", "given"),
    [
        ("x.jsonl", '{"label": ["b", "a", "b"], "text": "x"}\n{"label": [], "text": "y"}\n', {}),
        ("x.ft", "__label__b __label__a x\n__label__c y\n", {}),
        ("x.csv", "label,text\nb|a,x\nc,y\n", {"label_separator": "|"}),
        ("x.csv", 'label,text\n"[""b"", ""a""]",x\n[],y\n', {"label_separator": "json"}),
    ],
)
def test_each_format_gives_sets_and_auto_finds_them(tmp_path, name, content, given):
    found = source(tmp_path / name, content, **given)
    assert has_label_sets(found)
    examples = list(found.with_sets(takes_unlabeled=False).read())
    assert examples[0].labels == ("b", "a")
    assert examples[1].labels in ((), ("c",))
    corpus = open_corpus(found.with_sets(False), "word", str(tmp_path / "cache"))
    assert [corpus.labels_of(row) for row in (0, 1)] == [["b", "a"], list(examples[1].labels)]


def test_texts_of_one_label_each_are_no_sets(tmp_path):
    assert not has_label_sets(source(tmp_path / "x.csv", "label,text\na,x\nb,y\n"))
    assert not has_label_sets(source(tmp_path / "x.ft", "__label__a x\n__label__b y\n"))


def settled(path, content, **given):
    path.write_text(content)
    asked = Config().replace(train_file=str(path), cache_dir=str(path.parent / "c"), **given)
    config, sources = settle(asked, None)
    return splits.load(config, sources)


MISTAKES = [
    ("a x\n" * 150, "__label__a __label__b y\n", {}, "x:151: 1 of 151 text has several labels"),
    ("b y\n", "__label__a __label__b y\n", {"multi_label": False}, "2 labels ('a', 'b')"),
    ("b y\n" * 9, "y\n", {"format": "fasttext"}, "x:10: a text without a label (line 10)"),
]


@pytest.mark.parametrize(("first", "last", "given", "expected"), MISTAKES)
def test_what_is_no_file_of_sets_is_one_line(tmp_path, first, last, given, expected):
    content = "".join(f"__label__{line}\n" for line in first.splitlines()) + last
    with pytest.raises(UserError) as error:
        settled(tmp_path / "x", content, **given)
    assert expected in str(error.value)
    assert "\n" not in str(error.value)


def test_a_separator_that_no_label_has_is_refused(tmp_path):
    with pytest.raises(UserError, match=r"--label_separator=;: no label of .*x.csv has it"):
        settled(tmp_path / "x.csv", "label,text\na|b,x\nc,y\n", label_separator=";")


def test_an_empty_cell_is_a_text_without_labels_where_sets_are_asked_for(tmp_path):
    content = "label,text\n" + "".join(f"a|b,x{i}\n,y{i}\nb,z{i}\n" for i in range(10))
    asked = {"label_separator": "|", "valid_fraction": 0.5, "folds": 0}
    data = settled(tmp_path / "x.csv", content, multi_label=True, **asked)
    assert len(data.train) + len(data.valid) == 30
    skipped = settled(tmp_path / "x.csv", content, skip_unlabeled=True, **asked)
    assert len(skipped.train) + len(skipped.valid) == 20
    with pytest.raises(UserError, match="without a label"):
        settled(tmp_path / "x.csv", content, **asked)


drawn_sets = st.lists(st.sets(st.integers(0, 5)), min_size=60, max_size=200)


@settings(deadline=None, max_examples=30)
@given(drawn_sets, st.integers(0, 2**31 - 1))
def test_the_rarest_label_is_spread_as_all_texts_are_and_none_is_missing(sets, seed):
    rows = np.array([[label in one for label in range(6)] for one in sets], np.float32)
    hashes = np.arange(len(rows), dtype=np.uint64)
    parts = holdout.deal_sets(sparse.csr_array(rows), [0.8, 0.2], seed, hashes)
    assert abs((parts == 1).sum() - 0.2 * len(rows)) <= 6
    texts = np.where(rows.any(axis=0), rows.sum(axis=0), np.inf)
    if rows.any():  # the others of a text of this label, which comes first, go with it
        apart = rows[parts == 1, texts.argmin()].sum()
        assert abs(apart - 0.2 * texts.min()) <= 1
    assert (rows[parts == 0].any(axis=0) == rows.any(axis=0)).all()


@pytest.mark.parametrize("seed", range(5))
def test_each_label_is_spread_as_all_texts_are(seed):
    shares = [0.02, 0.05, 0.1, 0.3, 0.5, 0.9]
    rows = (np.random.default_rng(seed).random([500, 6]) < shares).astype(np.float32)
    hashes = np.arange(len(rows), dtype=np.uint64)
    parts = holdout.deal_sets(sparse.csr_array(rows), [0.8, 0.2], seed, hashes)
    np.testing.assert_allclose(rows[parts == 1].sum(axis=0), 0.2 * rows.sum(axis=0), atol=2)


@settings(deadline=None, max_examples=30)
@given(drawn_sets, st.integers(0, 2**31 - 1))
def test_copies_of_a_text_share_a_part(sets, seed):
    rows = np.array([[label in one for label in range(6)] for one in sets], np.float32)
    hashes = np.arange(len(rows), dtype=np.uint64) // 3
    parts = holdout.deal_sets(sparse.csr_array(rows), [0.25] * 4, seed, hashes)
    assert (parts.reshape(-1) == parts[(np.arange(len(rows)) // 3) * 3]).all()
    assert set(parts.tolist()) == set(range(4))


def test_the_loss_of_sets_is_that_of_numpy():
    random = np.random.default_rng(0)
    scores = random.normal(size=[5, 3]).astype(np.float32) * 3
    rows = (random.random([5, 3]) < 0.5).astype(np.float32)
    target = 0.9 * rows + 0.1 * rows.mean(axis=1, keepdims=True)
    p = 1 / (1 + np.exp(-scores.astype(np.float64)))
    weight = np.array([1, 2, 0, 1, 1], np.float32)
    losses = -(target * np.log(p) + (1 - target) * np.log(1 - p)).sum(axis=1)
    found = mean_set_loss(tf.constant(scores), tf.constant(rows), 7.0, 0.1, weight)
    np.testing.assert_allclose(found, losses @ weight / 7, rtol=1e-5)
    plain = -np.log(np.where(rows > 0, p, 1 - p)).sum(axis=1)
    np.testing.assert_allclose(set_losses(scores, rows), plain, rtol=1e-12)


def test_what_a_text_adds_to_the_counts_of_its_ngrams_is_its_set(tmp_path):
    content = "__label__a __label__b x\n__label__a __label__b x\n__label__b y\n" * 6
    path = tmp_path / "x.ft"
    path.write_text(content + "z z\n")
    config = Config().replace(train_file=str(path), cache_dir=str(tmp_path), multi_label=True)
    train = splits.load(config.replace(valid_fraction=0.3, ngrams=1).settled()).train
    ngrams = count_ngrams(train, 1, 9, 2)
    hashes = train.corpus.text_hashes[train.rows]
    own = OwnCounts(train.label_sets(2), hashes, np.ones(len(train), bool))
    for index in range(len(train)):
        batch = train.batch(np.array([index]))
        counted = ngrams.counts[ngrams.keys == batch.token_ids[0, 0]]
        # All texts of this n-gram are copies of this one.
        np.testing.assert_array_equal(own.of(np.array([index])), counted)
        np.testing.assert_array_equal(counted[0, :2] > 0, batch.label_rows[0] > 0)


def test_branches_are_weighed_so_that_sets_are_as_probable_as_they_are():
    random = np.random.default_rng(1)
    true = random.normal(size=[20_000, 3]) * 1.5 - [0, 2, 4]
    rows = random.random(true.shape) < sigmoid(true)
    noise = random.normal(size=true.shape) * [0.1, 0.1, 0.1]
    branches = np.stack([2.0 * true, noise], axis=1).astype(np.float32)
    found, offsets = fit_set_weights(branches, rows)
    scores = np.einsum("b,tbc->tc", found, branches) + offsets
    np.testing.assert_allclose(sigmoid(scores).mean(axis=0), rows.mean(axis=0), rtol=0.02)
    np.testing.assert_allclose(found[0], 0.5, atol=0.03)


@settings(deadline=None, max_examples=30)
@given(st.integers(0, 2**31 - 1), st.integers(2, 6), st.integers(5, 60))
def test_measures_of_sets_are_those_of_scikit_learn(seed, num_labels, num_texts):
    random = np.random.default_rng(seed)
    rows = random.random([num_texts, num_labels]) < 0.4
    rows[0], rows[1] = True, False  # each label has a text, and lacks one
    probability = random.random(rows.shape).astype(np.float32)
    accepted = probability > 0.5
    evaluation = SetEvaluation([f"l{i}" for i in range(num_labels)])
    for part in (slice(0, 3), slice(3, None)):
        evaluation.add(rows[part], probability[part], accepted[part])
    found = evaluation.report()

    def f1(average, zero=0.0):
        return sklearn.metrics.f1_score(rows, accepted, average=average, zero_division=zero)

    def average_precision(average):
        return sklearn.metrics.average_precision_score(rows, probability, average=average)

    expected = {
        "accuracy": sklearn.metrics.accuracy_score(rows, accepted),
        "macro_f1": f1("macro"),
        "micro_f1": f1("micro"),
        "weighted_f1": f1("weighted"),
        "per_text_f1": f1("samples", 1.0),
        "average_precision": average_precision("macro"),
        "micro_average_precision": average_precision("micro"),
        "ranking_loss": sklearn.metrics.label_ranking_loss(rows, probability),
        "label_cardinality": rows.sum(axis=1).mean(),
        "predicted_label_cardinality": accepted.sum(axis=1).mean(),
    }
    for name, value in expected.items():
        assert found[name] == pytest.approx(value, abs=1e-12), name
    precision, recall, each, support = sklearn.metrics.precision_recall_fscore_support(
        rows, accepted, zero_division=0.0
    )
    for i, row in enumerate(found["per_class"].values()):
        of_label = [row[name] for name in ("precision", "recall", "f1", "support")]
        assert of_label == pytest.approx([precision[i], recall[i], each[i], support[i]], abs=1e-12)


def test_a_label_that_the_model_lacks_is_a_mistake():
    evaluation = SetEvaluation(["a", "b"])
    rows = evaluation.rows([("a",), ("a", "new"), ()])
    evaluation.add(rows, np.array([[0.9, 0.1]] * 3), np.array([[1, 0], [1, 0], [0, 0]]) > 0)
    report = evaluation.report()
    assert report["accuracy"] == 2 / 3
    assert report["unknown_labels"] == ["new"]
    assert report["per_class"]["new"]["recall"] == 0


def test_a_run_over_sets_learns_them_and_its_export_accepts_them(exported_sets, capsys):
    report = json.loads(exported_sets.report_json.read_text())
    assert report["accuracy"] > 0.9
    assert report["config"]["multi_label"] is True
    assert set(report["per_class"]) == set(TOPICS)
    predictor = Predictor(exported_sets.path)
    texts = ["the cat of red", "the of", "xyzzy"]
    said = predictor(texts)
    np.testing.assert_array_equal(said.accepted, [[1, 1, 0], [0, 0, 0], [0, 0, 0]])
    card = json.loads((exported_sets.export / "1" / "assets.extra" / "model_card.json").read_text())
    assert card["multi_label"] is True
    cli.run(["predict", f"--model={exported_sets.path}", "--unsure_label=-", *texts])
    lines = [line.split("\t") for line in capsys.readouterr().out.splitlines()]
    assert [line[0] for line in lines] == ["animals|colours", "-", "-"]
    cli.run(["predict", f"--model={exported_sets.path}", "--format=jsonl", *texts[:2]])
    answers = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [answer["label"] for answer in answers] == [["animals", "colours"], []]


def test_the_export_measures_what_the_report_has(set_options, exported_sets, capsys):
    report = json.loads(exported_sets.report_json.read_text())
    command = ["predict", f"--model={exported_sets.path}", "--evaluate", "--format=jsonl"]
    assert cli.run([*command, f"--input={set_options['test_file']}"]) == 0
    found = json.loads(capsys.readouterr().out)
    for name in ("accuracy", "micro_f1", "macro_f1", "average_precision", "log_loss"):
        assert found[name] == pytest.approx(report[name], abs=1e-5)
    predictions = [
        line.split("\t") for line in exported_sets.predictions.read_text().splitlines()[1:]
    ]
    right = np.mean([label == prediction for _, label, prediction, _ in predictions])
    assert right == report["accuracy"]


def test_the_c_library_and_classify_answer_as_python_does(exported_sets):
    path = exported_sets.export / "1"
    texts = ["the cat of red", "seven", "xyzzy", ""]
    expected = Predictor(path)(texts).probability
    loaded = tf.saved_model.load(str(path))
    values = [tf.train.BytesList(value=[text.encode()]) for text in texts]
    features = [{"text": tf.train.Feature(bytes_list=value)} for value in values]
    examples = [
        tf.train.Example(features=tf.train.Features(feature=feature)).SerializeToString()
        for feature in features
    ]
    classified = loaded.signatures["classify"](inputs=tf.constant(examples))
    np.testing.assert_allclose(classified["scores"], expected, atol=1e-6)
    found = answers_of_the_c_library(path, texts, "probability")
    np.testing.assert_allclose(found, expected, atol=1e-5)


class StopError(Exception):
    """The run is killed here."""


def test_a_run_over_sets_that_was_stopped_goes_on_with_the_same_bits(
    set_options, exported_sets, tmp_path
):
    def stop(step):
        if step == 17:
            raise StopError

    given = {**set_options, "run_dir": str(tmp_path / "run")}
    with pytest.raises(StopError):
        runner.run(given, on_step=stop)
    resumed = runner.run({**given, "resume": True}).folder
    assert weights(resumed) == weights(exported_sets)


@pytest.mark.slow
def test_folds_of_sets_score_every_text(set_options, tmp_path):
    given = {**set_options, "test_file": "", "folds": 2, "num_epochs": 1}
    run = runner.run({**given, "run_dir": str(tmp_path / "run")})
    assert run.report["evaluated_on"] == "folds"
    assert sum(row["support"] for row in run.report["per_class"].values()) > 400 * 3 * 0.35
    assert run.report["micro_f1"] > 0.8
