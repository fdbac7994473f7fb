"""`TextClassifier` by scikit-learn's rules.

`check_estimator` runs nothing on an estimator of texts; its API checks are here, one by one.
"""

import copy
import dataclasses
import gc
import inspect
import os
import pathlib
import pickle
import subprocess
import sys

import joblib
import numpy as np
import pytest
from sklearn.base import clone, is_classifier
from sklearn.exceptions import NotFittedError
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer
from sklearn.utils import get_tags
from sklearn.utils.validation import has_fit_parameter
from tensorflow.python.framework import config as tf_config

import tf_textrnn
from tests.conftest import topic_lines
from tf_textrnn import TextClassifier
from tf_textrnn.base.errors import UserError
from tf_textrnn.config import Config, FileConfig, option_fields
from tf_textrnn.exporting.formats import export_run

ROOT = pathlib.Path(__file__).parents[1]
SMALL = {"hidden_size": 8, "embedding_dim": 8, "cell": "rnn", "num_epochs": 2}
SMALL |= {"batch_size": 16, "min_epoch_steps": 1}
LABELS, TEXTS = map(list, zip(*(line.split("\t") for line in topic_lines(80, seed=7)), strict=True))
FILMS = ["a fine film", "a dull film"] * 12
ONE_SPLIT = [(np.arange(16), np.arange(16, 24))]


@pytest.fixture(scope="module")
def fitted():
    estimator = TextClassifier(**SMALL)
    assert estimator.fit(TEXTS, LABELS) is estimator
    return estimator


def test_parameters_are_flags_with_their_defaults():
    parameters = inspect.signature(TextClassifier).parameters
    defaults = {name: parameter.default for name, parameter in parameters.items()}
    assert defaults.pop("verbose") is False
    flags = Config().options()
    assert defaults == {name: flags[name] for name in defaults}
    for section in ("text", "model", "training"):
        assert set(vars(getattr(Config(), section))) <= set(defaults)
    assert set(option_fields()) - set(defaults) == {
        "dataset", "train_file", "valid_file", "test_file", "multi_label", "strict_labels",
        *(field.name for field in dataclasses.fields(FileConfig)), "resume", "cache_dir",
        "strategy", "export", "export_format", "checkpoint_minutes", "gradients_every",
        "join_minutes", "step_seconds", "metric", "learning_curve",
    }  # fmt: skip


def test_init_sets_the_parameters_and_nothing_else():
    given = {name: object() for name in inspect.signature(TextClassifier).parameters}
    assert vars(TextClassifier(**given)) == given
    assert TextClassifier(**given).get_params() == given


def test_parameters_are_set_and_cloned(fitted):
    estimator = TextClassifier().set_params(hidden_size=3, optimizer="sgd")
    assert (estimator.hidden_size, estimator.optimizer) == (3, "sgd")
    copied = clone(estimator)
    assert copied is not estimator
    assert copied.get_params() == estimator.get_params()
    assert repr(copied) == "TextClassifier(hidden_size=3, optimizer='sgd')"
    assert vars(clone(fitted)) == fitted.get_params()
    with pytest.raises(ValueError, match="Invalid parameter 'hiden_size'"):
        estimator.set_params(hiden_size=3)


def test_tags_say_texts():
    tags = get_tags(TextClassifier())
    assert is_classifier(TextClassifier())
    assert tags.input_tags.string
    assert tags.input_tags.one_d_array
    assert not tags.input_tags.two_d_array
    assert tags.target_tags.required
    assert has_fit_parameter(TextClassifier(), "sample_weight")
    requests = TextClassifier().get_metadata_routing()
    assert list(requests.fit.requests) == list(requests.score.requests) == ["sample_weight"]
    assert not requests.predict.requests


def test_before_fit_there_is_nothing_to_predict_with(tmp_path):
    for action in (
        lambda: TextClassifier().predict(["a"]),
        lambda: TextClassifier().predict_proba(["a"]),
        lambda: TextClassifier().save(tmp_path / "saved"),
    ):
        with pytest.raises(NotFittedError):
            action()
    assert not (tmp_path / "saved").exists()


def test_it_learns_and_answers_in_the_order_of_its_classes(fitted):
    assert fitted.classes_.tolist() == ["animals", "colours", "numbers"]
    assert fitted.classes_.dtype == object
    predicted, probability = fitted.predict(TEXTS), fitted.predict_proba(TEXTS)
    assert (predicted.dtype, predicted.shape) == (object, (80,))
    assert (probability.dtype, probability.shape) == (np.float32, (80, 3))
    np.testing.assert_allclose(probability.sum(axis=1), 1, atol=1e-6)
    assert predicted.tolist() == fitted.classes_[probability.argmax(axis=1)].tolist()
    assert fitted.score(TEXTS, LABELS) == np.mean(predicted == LABELS) > 0.9
    assert fitted.report_["texts"] == {"train": 72, "valid": 8}


def test_no_text_gives_empty_arrays(fitted):
    assert fitted.predict([]).shape == (0,)
    assert fitted.predict_proba([]).shape == (0, 3)


def test_one_string_is_not_taken_for_texts(fitted):
    for action in (fitted.predict, fitted.predict_proba):
        with pytest.raises(TypeError, match="texts: found one string; expected a list of strings"):
            action("a fine film")


@pytest.mark.slow
def test_fitting_again_gives_the_same_bits_and_leaves_generators_alone(fitted, capfd):
    tf_config.disable_op_determinism()  # which other tests leave on
    np.random.seed(5)
    expected = np.random.random(3)
    np.random.seed(5)
    first, again = np.random.random(), clone(fitted).set_params(verbose=True).fit(TEXTS, LABELS)
    assert "epoch   1/2" in capfd.readouterr().out
    np.testing.assert_array_equal([first, *np.random.random(2)], expected)
    assert again.predict_proba(TEXTS).tobytes() == fitted.predict_proba(TEXTS).tobytes()
    assert not tf_config.is_op_determinism_enabled()


@pytest.mark.slow
def test_cross_validation_takes_truth_values():
    labels = [True, False] * 12
    assert cross_val_score(TextClassifier(**SMALL), FILMS, labels, cv=ONE_SPLIT).tolist() == [1.0]


@pytest.mark.slow
def test_a_grid_over_a_pipeline_gives_numbers_for_numbers(tmp_path):
    labels = np.array([10, 9] * 12, np.int16)  # as text, "10" would come first
    pipeline = make_pipeline(FunctionTransformer(lambda x: [t.upper() for t in x]),
                             TextClassifier(**SMALL))  # fmt: skip
    grid = {"textclassifier__hidden_size": np.array([4])}
    best = GridSearchCV(pipeline, grid, cv=ONE_SPLIT, error_score="raise").fit(FILMS, labels)
    assert best.best_score_ == 1
    predicted = best.predict(FILMS)
    assert predicted.dtype == best.classes_.dtype == np.int16
    assert predicted.tolist() == labels.tolist()
    assert best.classes_.tolist() == [9, 10]
    probability = best.predict_proba(FILMS)
    assert (probability.argmax(axis=1) == (labels == 10)).all()
    why = best.best_estimator_[-1].explain("A DULL FILM")
    assert (why.labels, why.answers) == ([9, 10], [int(labels[1] == 10)])
    np.testing.assert_allclose(why.probability, probability[1], atol=1e-6)
    assert why.strongest(0, 1)[0][0] == why.strongest(1, 1)[-1][0] == "dull"  # for and against

    run = best.best_estimator_[-1]._export.parents[1]
    (exported,) = export_run(str(run), "onnx")  # the run itself knows that they are numbers
    assert tf_textrnn.load(exported).classes_.tolist() == [9, 10]
    best.best_estimator_[-1].save(tmp_path)
    loaded = tf_textrnn.load(tmp_path)
    assert loaded.labels == ["9", "10"]
    assert loaded.classes_.tolist() == [9, 10]
    assert loaded.predict(FILMS).tolist() == labels.tolist()


@pytest.mark.slow
def test_a_text_that_weighs_more_is_believed_more():
    texts, labels = ["a film of sorts"] * 24, np.array([0, 1] * 12)
    estimator = TextClassifier(**SMALL | {"num_epochs": 6, "learning_rate": 0.05})
    estimator.fit(texts, labels, sample_weight=np.where(labels, 9, 1))
    assert estimator.predict_proba(texts[:1])[0, 1] > 0.6  # weighed alike, 0.54


def test_a_parameter_that_is_not_allowed_is_named_before_training():
    with pytest.raises(UserError, match="flag --cell=elman: expected one of lstm, gru, rnn"):
        TextClassifier(cell="elman").fit(FILMS, [1, 2] * 12)


@pytest.mark.slow
def test_few_texts_spare_one_to_choose_the_epoch_on_and_nothing_is_printed(capfd):
    tiny = TextClassifier(**SMALL).fit(["wolf", "red", "dog"], ["animal", "colour", "animal"])
    assert tiny.report_["texts"] == {"train": 2, "valid": 1}
    assert set(tiny.predict(["wolf", "red", ""])) <= {"animal", "colour"}
    assert capfd.readouterr() == ("", "")


def test_copies_answer_alike_and_need_no_folder_of_the_first(fitted):
    copied = copy.deepcopy(fitted)
    first = pickle.loads(pickle.dumps(fitted))
    folder = first._folder.path
    second = pickle.loads(pickle.dumps(first))
    assert folder.is_dir()
    del first
    gc.collect()
    assert not folder.exists()  # it went with its classifier
    expected = fitted.predict_proba(TEXTS).tobytes()
    assert copied.predict_proba(TEXTS).tobytes() == expected
    assert second.predict_proba(TEXTS).tobytes() == expected
    assert "classes_" not in vars(pickle.loads(pickle.dumps(clone(fitted))))


def test_a_fresh_process_reads_it_and_leaves_no_folder(fitted, tmp_path):
    joblib.dump(fitted, tmp_path / "classifier.joblib")
    script = (
        "import joblib, sys, tempfile\n"
        "classifier = joblib.load(sys.argv[1])\n"
        "print(*classifier.predict(sys.argv[2:]))\n"
    )
    answer = subprocess.run(
        [sys.executable, "-c", script, tmp_path / "classifier.joblib", *TEXTS],
        env={**os.environ, "PYTHONPATH": str(ROOT), "TMPDIR": str(tmp_path)},
        capture_output=True, text=True, encoding="utf-8", check=True,
    )  # fmt: skip
    assert answer.stdout.split() == fitted.predict(TEXTS).tolist()
    assert answer.stderr == ""
    assert [path.name for path in tmp_path.iterdir()] == ["classifier.joblib"]


def test_saving_again_adds_a_version(fitted, tmp_path):
    fitted.save(tmp_path / "deep" / "saved")
    fitted.save(tmp_path / "deep" / "saved")
    assert sorted(path.name for path in (tmp_path / "deep" / "saved").iterdir()) == ["1", "2"]
    loaded = tf_textrnn.load(tmp_path / "deep" / "saved")
    assert loaded.classes_.tolist() == fitted.classes_.tolist()
    assert loaded.predict_proba(TEXTS).tobytes() == fitted.predict_proba(TEXTS).tobytes()
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="file: cannot be written"):
        fitted.save(tmp_path / "file")
