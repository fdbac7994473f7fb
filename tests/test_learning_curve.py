"""`--learning_curve`: shares of the texts, each within the next, measured on the same texts."""

import numpy as np
import pytest
from sklearn.metrics import accuracy_score

from tests.conftest import topic_lines, weights
from tf_textrnn.base.errors import UserError
from tf_textrnn.config import Config
from tf_textrnn.data import splits
from tf_textrnn.data.parts import eighths, share_of
from tf_textrnn.runs import checkpoints
from tf_textrnn.runs.curve import CurvePoint, curve_point, curve_text
from tf_textrnn.runs.measures import accuracy_interval
from tf_textrnn.training import runner
from tf_textrnn.training.learning_curve import SHARES


@pytest.fixture(scope="module")
def options(tmp_path_factory):
    folder = tmp_path_factory.mktemp("curve")
    for name, seed in (("train", 1), ("valid", 2)):
        (folder / f"{name}.tsv").write_text("\n".join(topic_lines(80, seed)) + "\n", "utf-8")
    return {
        "train_file": str(folder / "train.tsv"), "valid_file": str(folder / "valid.tsv"),
        "cache_dir": str(folder / "cache"), "hidden_size": 4, "embedding_dim": 4,
        "bidirectional": False, "num_epochs": 1, "min_epoch_steps": 1, "export": False,
    }  # fmt: skip


def test_a_share_holds_those_before_it_and_every_label(options):
    data = splits.load(Config().replace(**options).settled())
    of_text = eighths(data, seed=1, has_sets=False)
    assert (np.bincount(of_text) == 10).all()
    for parts in SHARES:
        part = share_of(data, of_text < 8 // parts)
        assert len(part.train) == 80 // parts
        of_label = np.bincount(part.train.classes, minlength=3) * parts
        assert (abs(of_label - np.bincount(data.train.classes)) <= parts).all()
        ids = part.train.batch(np.arange(len(part.train))).token_ids
        of_valid = part.valid.batch(np.arange(len(part.valid))).token_ids
        assert set(of_valid.ravel()) <= {0, 1, *ids.ravel()}  # other words are unknown
        np.testing.assert_array_equal(part.valid.rows, data.valid.rows)


def test_the_report_has_the_accuracy_of_each_share_and_of_all(options, tmp_path):
    done = runner.run({**options, "learning_curve": True, "run_dir": str(tmp_path / "run")})
    points = [CurvePoint(**point) for point in done.report["learning_curve"]]
    assert [point.texts for point in points] == [10, 20, 40, 80]
    for point in points:
        expected = accuracy_interval(round(point.accuracy * 80), 80)
        assert (point.low, point.high) == expected
    assert points[-1].accuracy == done.report["valid_accuracy"]
    data = splits.load(done.config)
    scores = checkpoints.read(done.folder.share(8).scores)[0]["scores"]
    assert scores.shape == (80, 2, 3)
    predicted = scores.sum(axis=1).argmax(axis=1)  # weighing changes few of them
    assert accuracy_score(data.valid.classes, predicted) == pytest.approx(
        points[0].accuracy, abs=0.1
    )
    assert done.folder.learning_curve.read_bytes().startswith(b"\x89PNG")
    assert curve_text(points) in done.folder.report_text.read_text("utf-8")
    assert "Would more texts help?" in done.folder.report_page.read_text("utf-8")


@pytest.mark.slow
def test_the_model_of_all_texts_has_the_bits_that_it_has_without_a_curve_stopped_or_not(
    options, tmp_path
):
    plain = runner.run({**options, "run_dir": str(tmp_path / "plain")})
    run_dir = str(tmp_path / "run")

    class Killed(Exception):  # noqa: N818
        """In place of a kill."""

    def kill(step):
        raise Killed

    with pytest.raises(Killed):
        runner.run({**options, "learning_curve": True, "run_dir": run_dir}, on_step=kill)
    done = runner.run({"run_dir": run_dir, "resume": True, "export": False})
    assert len(done.report["learning_curve"]) == 4
    assert weights(done.folder) == weights(plain.folder)


def test_folds_have_no_validation_texts_for_a_curve(options):
    given = {name: value for name, value in options.items() if name != "valid_file"}
    with pytest.raises(UserError, match="--folds=2 and --learning_curve: expected one of the two"):
        Config().replace(**given, folds=2, learning_curve=True).settled()


@pytest.mark.parametrize("num_texts", [7, 8, 13, 15, 17])
def test_the_accuracy_lies_within_its_interval_where_all_or_none_are_right(num_texts):
    for accuracy in (0.0, 1.0):
        point = curve_point(10, accuracy, num_texts)
        assert 0 <= point.low <= accuracy <= point.high <= 1


def test_the_last_doubling_is_told():
    points = [curve_point(n, a, 100) for n, a in ((10, 0.5), (20, 0.625))]
    assert curve_text(points).endswith("the last doubling of the texts brought +0.1250\n")
