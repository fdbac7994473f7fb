"""Classifying texts with an exported model, from the command line and as a library."""

import json
import os
import pathlib
import subprocess
import sys

import numpy as np
import pytest
import tensorflow as tf

from tests.conftest import SILENT, topic_lines
from tests.test_export import WritesAFile
from tf_textrnn import cli
from tf_textrnn.base.errors import UserError
from tf_textrnn.predictor import texts
from tf_textrnn.predictor.batches import BATCH_TEXTS
from tf_textrnn.predictor.predictor import Predictor

ROOT = pathlib.Path(__file__).parents[1]
TEXTS = [line.partition("\t")[2] for line in topic_lines(300, seed=21)]


@pytest.fixture(scope="module")
def predictor(exported):
    return Predictor(str(exported.export))


@pytest.fixture
def command(exported, capsys):
    """Runs the command line in this process; returns exit status, stdout and stderr."""

    def run(*arguments, model=exported.export / "1"):
        status = cli.run(["predict", f"--model={model}", *map(str, arguments)])
        return status, *capsys.readouterr()

    return run


def test_batches_keep_the_order_and_the_answers_of_single_texts(predictor):
    assert len(TEXTS) > 2 * BATCH_TEXTS
    together = predictor(TEXTS)
    for index in range(0, len(TEXTS), 23):
        alone = predictor([TEXTS[index]])
        np.testing.assert_allclose(together.probability[index], alone.probability[0], atol=1e-5)
        assert together.classes[index] == alone.classes[0]


def test_one_line_a_text_in_the_order_of_the_file(command, tmp_path, monkeypatch, predictor):
    monkeypatch.setattr(texts, "WINDOW_TEXTS", 64)
    lines = [*TEXTS, "", "with\ttab", "wolf \N{WOLF FACE} 狼"]
    path = tmp_path / "texts.txt"
    path.write_bytes("\ufeff".encode() + "\r\n".join(lines).encode() + b"\n\xff\xfe broken\n")
    status, out, err = command("--input", path)
    assert status == 0
    assert err == f"{path}: 2 places are not utf-8 (first at line 304); U+FFFD stands for them\n"
    rows = [line.split("\t") for line in out.splitlines()]
    assert [row[2] for row in rows] == [*TEXTS, "", "with tab", lines[-1], "\ufffd\ufffd broken"]
    expected = predictor(TEXTS)
    assert [row[0] for row in rows[: len(TEXTS)]] == [predictor.labels[c] for c in expected.classes]
    assert [row[1] for row in rows[: len(TEXTS)]] == [
        f"{p.max():.4f}" for p in expected.probability
    ]


def test_json_lines_hold_the_probabilities_surest_first(command, predictor):
    status, out, _ = command("--format=jsonl", "wolf and dog", "seven")
    assert status == 0
    for line, probability in zip(
        out.splitlines(), predictor(["wolf and dog", "seven"]).probability, strict=True
    ):
        record = json.loads(line)
        found = record["probabilities"]
        assert list(found.values()) == sorted(found.values(), reverse=True)
        np.testing.assert_allclose([found[x] for x in predictor.labels], probability, atol=1e-5)
        assert record["label"] == next(iter(found))
    _, out, _ = command("--format=jsonl", "--top_k=2", "wolf")
    assert len(json.loads(out)["probabilities"]) == 2


def test_evaluates_to_the_trainers_report(command, exported, topics):
    report = json.loads(exported.report_json.read_text())
    status, out, _ = command("--evaluate", "--format=jsonl", "--input", topics / "test.tsv")
    found = json.loads(out)
    assert status == 0
    assert found["accuracy"] == report["test_accuracy"]
    assert found["texts"] == 60
    np.testing.assert_allclose(found["macro_f1"], report["test_macro_f1"], atol=1e-12)
    for label, row in report["per_class"].items():
        assert found["per_class"][label] == pytest.approx(row)
    _, out, _ = command("--evaluate", "--input", topics / "test.tsv")
    assert f"accuracy {report['test_accuracy']:.4f}" in out


def test_needs_neither_model_nor_trainer_and_answers_while_the_pipe_is_open(exported, tmp_path):
    script = tmp_path / "alone.py"
    script.write_text(
        "import runpy, sys\n"
        "for name in ('network', 'training', 'exporting', 'text'):\n"
        "    sys.modules[f'tf_textrnn.{name}'] = None\n"
        "for name in ('sklearn', 'tqdm', 'matplotlib', 'babel'):\n"
        "    sys.modules[name] = None\n"
        "runpy.run_module('tf_textrnn.cli', run_name='__main__')\n"
    )
    process = subprocess.Popen(
        [sys.executable, script, "predict", f"--model={exported.export / '1'}"],
        cwd=ROOT, env={**os.environ, "PYTHONPATH": str(ROOT)}, text=True,
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip
    answers = []
    for text in ("wolf and dog", "seven of nine"):
        process.stdin.write(text + "\n")
        process.stdin.flush()
        answers.append(process.stdout.readline().split("\t"))
    rest, err = process.communicate(timeout=120)
    assert [(label, text) for label, _, text in answers] == [
        ("animals", "wolf and dog\n"),
        ("numbers", "seven of nine\n"),
    ]
    assert (process.returncode, rest, err) == (0, "", "")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("animals\twolf\n\nred\n", "f.tsv:3: expected label<TAB>text, found no tab"),
        ("", "f.tsv: no labeled texts"),
    ],
)
def test_a_mistake_in_a_labeled_file_names_the_line(command, tmp_path, content, message):
    path = tmp_path / "f.tsv"
    path.write_text(content)
    status, out, err = command("--evaluate", "--input", path)
    assert (status, out, err.count("\n")) == (2, "", 1)
    assert message in err


def test_mistakes_in_flags_are_one_line(command, tmp_path):
    for arguments, message in (
        (("--input=/no/such/file",), "--input=/no/such/file: No such file or directory"),
        (("--format=jsonl", "--top_k=-1", "a"), "--top_k=-1: expected a whole number, at least 0"),
        (("--top_k=1", "a"), "--top_k=1: expected --format=jsonl"),
        (("--input=x", "a"), "expected one of them"),
        (("--inptu=x",), "Unknown command line flag 'inptu'. Did you mean: input"),
    ):
        status, out, err = command(*arguments)
        assert (status, out, err.count("\n")) == (2, "", 1)
        assert message in err
    status, _, err = command("a", model=tmp_path)
    assert status == 2
    assert err == (
        f"error: --model={tmp_path}: found another folder; expected the folder of a run "
        f"(config.json) or of an exported model (saved_model.pb or model.onnx)\n"
    )
    status, _, err = command("a", model=tmp_path / "nothing")
    assert (status, "/nothing: found nothing; expected the folder of a run" in err) == (2, True)


def test_a_runs_folder_stands_for_its_export(command, exported, tmp_path):
    assert command("wolf", model=exported.path) == command("wolf")
    (tmp_path / "config.json").touch()
    status, _, err = command("wolf", model=tmp_path)
    assert status == 2
    assert f"--model={tmp_path}: this run has no model yet; go on with " in err
    (tmp_path / "best").mkdir()
    (tmp_path / "best" / "0000000001.npz").touch()
    status, _, err = command("wolf", model=tmp_path)
    assert status == 2
    assert f"--model={tmp_path}: this run has no export; make one with " in err


def test_no_field_of_a_line_breaks_it(command):
    text = "\x1b[31mred\x07\x9b\x00\u2028wolf\x85\udcff\v"
    status, out, _ = command("--", text, "--red")
    rows = [line.split("\t") for line in out.split("\n")[:-1]]
    assert status == 0
    assert [row[2] for row in rows] == ["\ufffd[31mred\ufffd\ufffd\ufffd wolf \ufffd ", "--red"]


def test_a_model_that_writes_files_is_not_loaded(command, tmp_path):
    written, path = tmp_path / "written", tmp_path / "model"
    module = WritesAFile(str(written))
    tf.saved_model.save(module, str(path), signatures={"serving_default": module.predict})
    (path / "assets" / "labels.txt").write_text("a\nb\n")
    status, _, err = command("some text", model=path)
    assert (status, err.count("\n")) == (2, 1)
    assert "'WriteFile' does more than compute" in err
    assert not written.exists()


def test_a_damaged_model_is_one_line(exported, tmp_path):
    for name, content in (("saved_model.pb", b"\xff\xff"), ("saved_model.pb", b"")):
        (tmp_path / name).write_bytes(content)
        with pytest.raises(UserError, match="not a model of this project"):
            Predictor(str(tmp_path))
    (tmp_path / "saved_model.pb").write_bytes((exported.export / "1/saved_model.pb").read_bytes())
    with pytest.raises(UserError, match="not a model of this project") as error:
        Predictor(str(tmp_path))
    assert "\n" not in str(error.value)


def test_the_newest_version_is_taken(exported, tmp_path):
    for version in ("2", "10"):
        (tmp_path / version).symlink_to(exported.export / "1")
    (tmp_path / "11").mkdir()  # nothing in it
    assert Predictor(str(tmp_path)).labels == ["animals", "colours", "numbers"]


@pytest.mark.slow
@pytest.mark.parametrize("closed", [(0,), (1,), (2,)])
def test_streams_that_are_closed(exported, closed):
    command = ["-m", "tf_textrnn.cli", "predict", f"--model={exported.path}", "a horse"]
    done = subprocess.run(
        [sys.executable, "-c", SILENT.format(closed=closed), *command],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    told = "error: there is no standard output; expected --output\n" if 1 in closed else ""
    assert (done.returncode, done.stderr) == (2 if told else 0, told)
    assert done.stdout.startswith("" if told else "animals\t")


@pytest.mark.parametrize(
    ("stream", "texts", "told"),
    [
        ("stdin", [], "there is no standard input; expected texts, or --input"),
        ("stdout", ["a horse"], "there is no standard output; expected --output"),
    ],
)
def test_streams_that_are_not_there_are_named(exported, monkeypatch, capsys, stream, texts, told):
    monkeypatch.setattr(sys, stream, None)
    assert cli.run(["predict", f"--model={exported.path}", *texts]) == 2
    assert capsys.readouterr().err == f"error: {told}\n"


def test_probabilities_that_are_no_numbers_are_not_measured(command, topics, monkeypatch):
    answer = Predictor.__call__

    def spoiled(self, texts):
        found = answer(self, texts)
        return found._replace(probability=np.full_like(found.probability, np.nan))

    monkeypatch.setattr(Predictor, "__call__", spoiled)
    status, _, err = command("--evaluate", "--input", topics / "test.tsv")
    assert (status, err.count("\n")) == (2, 1)
    assert "its probabilities are not finite numbers" in err
