"""Labels to measure on that the training texts lack: each such text is a mistake, and named."""

import csv

import numpy as np
import pytest

from tests.conftest import topic_lines
from tf_textrnn.base.errors import UserError
from tf_textrnn.config import Config
from tf_textrnn.data import splits
from tf_textrnn.runs.measures import measure
from tf_textrnn.training import runner


@pytest.fixture
def files(tmp_path):
    """Options that name files; valid and test have a label that the training texts lack."""
    known = topic_lines(90, seed=1)
    for name, lines in {
        "train": known[:60],
        "valid": [*known[60:75], "planets\tred mars"],
        "test": [*known[75:], "zebras\ta zebra", "planets\tblue earth", "planets\tbig moon"],
    }.items():
        (tmp_path / f"{name}.tsv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    options = {f"{name}_file": str(tmp_path / f"{name}.tsv") for name in ("train", "valid", "test")}
    return {**options, "cache_dir": str(tmp_path / "cache")}


def test_such_texts_are_mistakes_and_the_report_names_their_labels(files, tmp_path, capsys):
    sizes = {"hidden_size": 4, "embedding_dim": 4, "bidirectional": False, "num_epochs": 1}
    done = runner.run({**files, **sizes, "run_dir": str(tmp_path / "run")})
    printed = capsys.readouterr().out
    assert "2 labels are not in" in printed
    assert "planets (3), zebras (1)" in printed
    assert "labels that the model lacks, all mistakes: planets (2), zebras (1)" in printed
    assert done.report["unknown_labels"] == ["planets", "zebras"]
    with open(done.folder.predictions, encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file, delimiter="\t"))
    right = [row["label"] == row["prediction"] for row in rows]
    assert len(rows) == 18
    assert done.report["accuracy"] == pytest.approx(np.mean(right))
    assert done.folder.labels.read_text("utf-8").split() == ["animals", "colours", "numbers"]


def test_they_have_no_part_in_the_loss():
    scores = np.array([[2.0, 0.0], [0.0, 3.0], [1.0, 0.0]], np.float32)
    with_unknown, without = measure(scores, np.array([0, 1, 2])), measure(scores[:2], np.arange(2))
    assert with_unknown.loss == pytest.approx(without.loss)
    assert (with_unknown.accuracy, without.accuracy) == (pytest.approx(2 / 3), 1.0)


def test_strict_labels_refuses_them(files):
    with pytest.raises(UserError, match=r"valid\.tsv:16: the label 'planets' is not in "):
        splits.load(Config().replace(**files, strict_labels=True).settled())
