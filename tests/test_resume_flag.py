"""`--resume`: bare, or auto to begin or go on; and a run that has nothing left to do."""

import json
import shutil

import pytest

import tf_textrnn
from tests.conftest import weights
from tf_textrnn.base.errors import UserError
from tf_textrnn.cli import train_options
from tf_textrnn.config import Config
from tf_textrnn.runs.folder import RunFolder
from tf_textrnn.training import resume, runner
from tf_textrnn.training.distribution import Workers


@pytest.mark.parametrize(
    ("argument", "value"),
    [
        ("--resume", True),
        ("--resume=true", True),
        ("--resume=auto", "auto"),
        ("--noresume", False),
        ("--resume=false", False),
    ],
)
def test_the_flag_stands_alone_or_has_a_value(argument, value):
    assert train_options([argument, "--run_dir=r"]) == {"resume": value, "run_dir": "r"}
    assert Config().replace(resume=value).run.resume is value


@pytest.mark.parametrize("value", ["maybe", "", "Auto", 1, None])
def test_another_value_is_refused(value):
    line = f"flag --resume={value}: expected one of false, true, auto"
    with pytest.raises(UserError) as error:
        Config().replace(resume=value)
    assert str(error.value) == line
    if isinstance(value, str):
        with pytest.raises(UserError) as error:
            train_options([f"--resume={value}"])
        assert str(error.value) == line


def test_what_a_run_begins_with(finished, tmp_path):
    new, held = str(tmp_path / "new"), str(finished.path)

    def resumes(run_dir, is_cluster=False, **given):
        workers = Workers()
        workers.count = 2 if is_cluster else 1
        config, _ = resume.open_run({"run_dir": run_dir, **given}, workers, None)
        return config.run.resume

    assert resumes(new, resume="auto") is False
    assert resumes(held, resume="auto") is True
    assert resumes(held, resume=True) is True
    assert resumes(new, is_cluster=True) is False
    assert resumes(held, is_cluster=True) is True  # by itself: all are started by one command
    assert resumes("", is_cluster=True) is False
    for is_cluster, given in ((False, {}), (True, {"resume": False}), (False, {"resume": False})):
        with pytest.raises(UserError, match="already holds a run; expected a new folder, or --re"):
            resumes(held, is_cluster, **given)
    for word in (True, "auto"):
        with pytest.raises(UserError, match="--resume: expected --run_dir"):
            resumes("", resume=word)
    with pytest.raises(UserError, match="holds no run"):
        resumes(new, is_cluster=True, resume=True)


class Killed(Exception):  # noqa: N818 - no error
    """In place of a kill."""


def test_auto_begins_and_goes_on_with_the_same_command(small_options, finished, tmp_path):
    def kill(step):
        raise Killed

    command = {**small_options, "run_dir": str(tmp_path / "run"), "resume": "auto"}
    with pytest.raises(Killed):
        runner.run({**command, "checkpoint_minutes": 1e-6}, on_step=kill)
    run = runner.run(command)
    assert run.config.run.resume is True
    assert weights(run.folder) == weights(finished)


@pytest.fixture(scope="module")
def ended(exported, tmp_path_factory):
    """The folder of a run that has come to its end, and its config."""
    folder = RunFolder(str(tmp_path_factory.mktemp("ended") / "r"))
    shutil.copytree(exported.path, folder.path)
    for version in folder.export.iterdir():
        if version.name != "1":  # other tests export too
            shutil.rmtree(version)
    return folder, folder.read_config().replace(resume=True)


def contents(folder):
    return {
        path.relative_to(folder.path): (path.read_bytes(), path.stat().st_mtime_ns)
        for path in folder.path.rglob("*")
        if path.is_file()
    }


@pytest.mark.parametrize("word", [True, "auto"])
def test_a_run_with_nothing_left_to_do_says_so_and_leaves_all_as_it_is(ended, capsys, word):
    folder, _ = ended
    before = contents(folder)
    run = tf_textrnn.train(run_dir=str(folder.path), resume=word)
    assert capsys.readouterr().out == (
        f"run: {folder.path}\n"
        "nothing is left to do: it has ended after epoch 3 (--num_epochs=3, --patience=4)\n"
    )
    assert contents(folder) == before
    assert run.report == json.loads(folder.report_json.read_text())
    assert run.export == folder.export / "1"


def change_json(path, **changes):
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


def forget_an_epoch(folder):
    folder.metrics.write_text("".join(folder.metrics.read_text().splitlines(keepends=True)[:-1]))


def export_of_another_epoch(folder):
    path = folder.export / "1" / "assets.extra" / "model_card.json"
    metrics = json.loads(path.read_text())["metrics"]
    change_json(path, metrics={**metrics, "best_epoch": metrics["best_epoch"] + 1})


@pytest.mark.parametrize(
    "change",
    [
        lambda folder: folder.report_text.unlink(),
        lambda folder: folder.report_json.unlink(),
        lambda folder: folder.report_json.write_text("[" * 100_000),
        lambda folder: folder.report_json.write_text("5"),
        lambda folder: change_json(folder.report_json, epochs=2),
        lambda folder: change_json(folder.report_json, best_epoch=99),
        lambda folder: change_json(folder.report_json, valid_accuracy=0.123),
        lambda folder: folder.metrics.unlink(),
        lambda folder: folder.metrics.write_text("5\n"),
        lambda folder: folder.metrics.write_bytes(b"\xff\n"),
        forget_an_epoch,
        lambda folder: shutil.rmtree(folder.export),
        export_of_another_epoch,
    ],
)
def test_a_run_that_lacks_one_of_its_last_files_goes_on(ended, tmp_path, change):
    folder, config = ended
    report, export = resume.read_end(folder, config)
    assert report["epochs"] == 3
    assert export == str(folder.export / "1")
    shutil.copytree(folder.path, tmp_path / "r")
    changed = RunFolder(str(tmp_path / "r"))
    change(changed)
    assert resume.read_end(changed, config) is None


def test_more_epochs_more_patience_or_no_export_is_another_end(ended):
    folder, config = ended
    assert resume.read_end(folder, config.replace(num_epochs=4)) is None
    losses = [json.loads(line)["valid_loss"] for line in folder.metrics.read_text().splitlines()]
    last_gain = 0
    for epoch, loss in enumerate(losses):
        if loss < 0.99 * losses[last_gain]:
            last_gain = epoch
    left = 2 - last_gain  # epochs without a gain
    if left:
        assert resume.read_end(folder, config.replace(num_epochs=9, patience=left))
    assert resume.read_end(folder, config.replace(num_epochs=9, patience=left + 1)) is None
    _, export = resume.read_end(folder, config.replace(export=False))
    assert export == ""


@pytest.mark.slow
def test_a_run_that_was_not_exported_is_exported(ended, tmp_path, capsys):
    folder, _ = ended
    shutil.copytree(folder.path, tmp_path / "r")
    shutil.rmtree(tmp_path / "r" / "export")
    run = tf_textrnn.train(run_dir=tmp_path / "r", resume=True)
    assert "nothing is left to do" not in capsys.readouterr().out
    assert run.export == tmp_path / "r" / "export" / "1"
