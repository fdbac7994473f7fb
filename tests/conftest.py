"""Small labeled files and runs that the tests share."""

import json
import os
import pathlib
import random
import sys
from collections.abc import Iterable

import numpy as np
import pytest

from tests import posixless
from tests.oracle import Oracle, run_oracle

# CONTRIBUTING.md explains this way to run the suite.
WITHOUT_POSIX = os.environ.get("WITHOUT_POSIX") == "1"
if WITHOUT_POSIX:
    posixless.take_away()

import tf_textrnn  # noqa: E402
from tf_textrnn.base.startup import load_tensorflow  # noqa: E402

load_tensorflow()

TOPICS = {
    "animals": ["cat", "dog", "horse", "cow", "sheep", "goat", "mouse", "bird", "fish", "wolf"],
    "colours": [
        "red",
        "green",
        "blue",
        "white",
        "black",
        "yellow",
        "purple",
        "orange",
        "brown",
        "grey",
    ],
    "numbers": ["one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten"],
}
# A program that closes some standard streams, then becomes Python with the words that it was given.
SILENT = """
import os, sys
for descriptor in {closed}:
    os.close(descriptor)
os.environ.pop("HOME", None)
os.execv(sys.executable, [sys.executable, *sys.argv[1:]])
"""
FILLERS = ["the", "a", "of", "and", "with", "under", "over", "near"]
# The texts of the run in folds: of topics, of words of their own, and the one whose label is wrong.
NUM_TOPIC_TEXTS, NUM_OWN_TEXTS, WRONG_TEXT = 90, 30, 9


def topic_lines(count: int, seed: int) -> list[str]:
    """Returns `label<TAB>text` lines; some words of a text give its label away."""
    chooser = random.Random(seed)
    lines = []
    for _ in range(count):
        label = chooser.choice(sorted(TOPICS))
        words = chooser.choices(FILLERS, k=chooser.randint(0, 8))
        words += chooser.choices(TOPICS[label], k=chooser.randint(1, 3))
        chooser.shuffle(words)
        lines.append(f"{label}\t{' '.join(words)}")
    return lines


def options_over(folder: pathlib.Path, lines: Iterable[str]) -> dict[str, object]:
    """Writes lines to train on, and returns options of a run over them that keeps each epoch.

    Nothing else validates; tests add what they are about.
    """
    (folder / "train.tsv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return {
        "train_file": str(folder / "train.tsv"), "cache_dir": str(folder / "cache"),
        "hidden_size": 8, "embedding_dim": 8, "bidirectional": False, "learning_rate": 0.01,
        "checkpoint_minutes": 1e-9,
    }  # fmt: skip


def lines_of_sets(count: int, seed: int) -> list[str]:
    """Returns JSON objects: every label has a word in the text, and a text has none to three."""
    chooser = random.Random(seed)
    lines = []
    for _ in range(count):
        chosen = [name for name in sorted(TOPICS) if chooser.random() < 0.4]
        words = [chooser.choice(TOPICS[name]) for name in chosen] + ["the", "of"]
        chooser.shuffle(words)
        lines.append(json.dumps({"text": " ".join(words), "label": chosen}))
    return lines


def weights(folder) -> dict[str, bytes]:
    """Returns the bytes of the best weights of a run."""
    from tf_textrnn.runs.best import read_best

    return {name: array.tobytes() for name, array in read_best(folder).arrays.items()}


@pytest.fixture(scope="session", autouse=True)
def _own_cache(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Keeps the tests away from the user's cache."""
    os.environ["XDG_CACHE_HOME"] = str(tmp_path_factory.mktemp("user_cache"))


@pytest.fixture(scope="session", autouse=True)
def _same_way_for_children(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Passes this process's settings on to the processes that tests start."""
    if WITHOUT_POSIX:
        posixless.take_away_from_children(tmp_path_factory.mktemp("posixless"))
    if sys.flags.warn_default_encoding:
        package = pathlib.Path(tf_textrnn.__file__).parent
        files = [path.relative_to(package.parent) for path in package.rglob("*.py")]
        modules = [".".join(path.with_suffix("").parts) for path in files]
        ours = [f"error::EncodingWarning:{module}" for module in modules]
        os.environ["PYTHONWARNINGS"] = ",".join(["ignore::EncodingWarning", *ours])


@pytest.fixture(scope="session")
def topics(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    """A folder with train.tsv, valid.tsv and test.tsv: three easy classes."""
    folder = tmp_path_factory.mktemp("topics")
    for name, count, seed in (("train", 300, 1), ("valid", 60, 2), ("test", 60, 3)):
        (folder / f"{name}.tsv").write_text("\n".join(topic_lines(count, seed)) + "\n")
    return folder


@pytest.fixture(scope="session")
def small_options(
    topics: pathlib.Path, tmp_path_factory: pytest.TempPathFactory
) -> dict[str, object]:
    """Options of a run over `topics` that takes a second; tracing costs most of it.

    So the network reads in one direction. A test in which the other matters asks for both.
    """
    return {
        "train_file": str(topics / "train.tsv"),
        "valid_file": str(topics / "valid.tsv"),
        "test_file": str(topics / "test.tsv"),
        "cache_dir": str(tmp_path_factory.mktemp("cache")),
        "hidden_size": 16,
        "embedding_dim": 8,
        "bidirectional": False,
        "batch_size": 32,
        "num_epochs": 3,
        "min_epoch_steps": 1,
        "learning_rate": 0.01,
    }


@pytest.fixture(scope="session")
def oracle(tmp_path_factory: pytest.TempPathFactory) -> Oracle:
    """What the TF1 graph computes."""
    return run_oracle(tmp_path_factory.mktemp("oracle"))


@pytest.fixture(scope="session")
def finished(small_options: dict[str, object], tmp_path_factory: pytest.TempPathFactory):
    """The folder of a finished run over `topics`, for all to read."""
    from tf_textrnn.training import runner

    return runner.run(
        {**small_options, "run_dir": str(tmp_path_factory.mktemp("finished") / "r")}
    ).folder


@pytest.fixture(scope="session")
def exported(small_options: dict[str, object], tmp_path_factory: pytest.TempPathFactory):
    """The folder of a finished run over `topics` with version 1 of its SavedModel."""
    from tf_textrnn.exporting.saved_model import export_run
    from tf_textrnn.training import runner

    folder = runner.run(
        {**small_options, "run_dir": str(tmp_path_factory.mktemp("exported") / "r")}
    ).folder
    export_run(str(folder.path))
    return folder


@pytest.fixture(scope="session")
def set_options(
    small_options: dict[str, object], tmp_path_factory: pytest.TempPathFactory
) -> dict[str, object]:
    """Options of a small run over texts that have any number of labels."""
    folder = tmp_path_factory.mktemp("sets")
    for name, count, seed in (("train", 400, 1), ("test", 100, 2)):
        (folder / f"{name}.jsonl").write_text("\n".join(lines_of_sets(count, seed)) + "\n")
    files = {f"{name}_file": str(folder / f"{name}.jsonl") for name in ("train", "test")}
    return {**small_options, "valid_file": "", **files}


@pytest.fixture(scope="session")
def exported_sets(set_options: dict[str, object], tmp_path_factory: pytest.TempPathFactory):
    """The folder of a finished run over sets of labels, with version 1 of its SavedModel."""
    from tf_textrnn.exporting.saved_model import export_run
    from tf_textrnn.training import runner

    folder = tmp_path_factory.mktemp("exported_sets") / "r"
    return runner.run({**set_options, "run_dir": str(folder)}, export=export_run).folder


@pytest.fixture(scope="session")
def folds_options(tmp_path_factory: pytest.TempPathFactory) -> dict[str, object]:
    """Options of a run of two folds, over texts of topics and texts that share no word.

    One label is wrong.
    """
    folder = tmp_path_factory.mktemp("folds")
    labels = np.random.default_rng(1).choice(["animals", "colours", "numbers"], NUM_OWN_TEXTS)
    own = [f"{label}\t{' '.join(f'own{i}x{j}' for j in 'abc')}" for i, label in enumerate(labels)]
    lines = topic_lines(NUM_TOPIC_TEXTS, 1) + own
    lines[WRONG_TEXT] = "animals\t" + lines[WRONG_TEXT].split("\t")[1]
    return {**options_over(folder, lines), "folds": 2, "batch_size": 32, "num_epochs": 3}


@pytest.fixture(scope="session")
def folds_run(folds_options: dict[str, object], tmp_path_factory: pytest.TempPathFactory):
    """A finished run of two folds that nothing disturbed."""
    from tf_textrnn.exporting.saved_model import export_run
    from tf_textrnn.training import runner

    run_dir = str(tmp_path_factory.mktemp("whole") / "run")
    return runner.run({**folds_options, "run_dir": run_dir}, export=export_run)
