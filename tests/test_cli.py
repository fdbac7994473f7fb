"""The command `textrnn`: its commands, exit statuses, and the lines that it prints to be pasted."""

import os
import pathlib
import shutil
import signal
import subprocess
import sys

import pytest

import tf_textrnn
from tf_textrnn import cli
from tf_textrnn.base import invocation, signals
from tf_textrnn.base.errors import DivergedError, UserError

ROOT = pathlib.Path(__file__).parents[1]
SCRIPT = f"#!{sys.executable}\nfrom tf_textrnn.cli import main\nmain()\n"  # as pip writes it


def shell(line, cwd, **environment):
    """Runs a line in a shell."""
    return subprocess.run(
        ["bash", "-c", line], cwd=cwd, capture_output=True, text=True, check=False,
        env={**os.environ, "PYTHONPATH": str(ROOT), **environment},
    )  # fmt: skip


@pytest.fixture
def state(monkeypatch):
    """Restores after the test how the process was called."""
    monkeypatch.setattr(invocation, "_state", invocation._State())


def test_the_overview_lists_the_commands_and_loads_nothing_heavy(tmp_path):
    module = [sys.executable, "-X", "importtime", "-m", "tf_textrnn.cli"]
    for arguments in ([], ["--help"]):
        shown = subprocess.run(
            [*module, *arguments], cwd=ROOT, capture_output=True, text=True, check=True
        )
        for name in ("train", "predict", "export", "ask", "import-tf1", "study gradients"):
            assert f"\n  {name} " in shown.stdout
        loaded = {line.rpartition("|")[2].strip() for line in shown.stderr.splitlines()}
        assert "tf_textrnn.base.signals" in loaded
        assert not {name.partition(".")[0] for name in loaded} & {
            "tensorflow", "keras", "numpy", "sklearn", "matplotlib", "babel", "tqdm",
        }  # fmt: skip


def test_the_version_is_told(capsys):
    assert cli.run(["--version"]) == 0
    assert capsys.readouterr().out == f"tf_textrnn {tf_textrnn.__version__}\n"


def test_help_of_each_command_and_its_mistakes_load_no_tensorflow():
    asked = [[*name.split(), "--help"] for name in cli.COMMANDS]
    refused = [["train", "--cell=elman"], ["train", "--cel=gru"], ["export"], ["predict", "a"]]
    code = (
        "import sys\nfrom tf_textrnn import cli\n"
        f"print([cli.run(line) for line in {asked + refused}], 'tensorflow' in sys.modules)"
    )
    shown = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    statuses = [0] * len(asked) + [2] * len(refused)
    assert shown.stdout.splitlines()[-1] == f"{statuses} False"
    assert [line.partition(":")[0] for line in shown.stderr.splitlines()] == ["error"] * 4
    for line in asked:
        assert f"usage: textrnn {' '.join(line[:-1])} [--flag=value …]" in shown.stdout


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("trian --num_epochs=3", "'trian' is not a command; did you mean train? (expected one of"),
        ("pediction", "did you mean predict?"),
        ("study gradeints", "study gradeints: expected a section, one of spelling, gradients"),
        ("import-tf2", "did you mean import-tf1?"),
        ("zzz", "'zzz' is not a command (expected one of train, check, predict, export, serve"),
        ("--num_epochs=3", "'--num_epochs=3' is not a command"),
    ],
)
def test_an_unknown_command_is_one_line_with_what_is_near(line, message, capsys):
    assert cli.run(line.split()) == 2
    out, err = capsys.readouterr()
    assert (out, err.count("\n")) == ("", 1)
    assert message in err


@pytest.mark.parametrize(
    ("raised", "status", "line"),
    [
        (UserError("that file"), 2, "error: that file\n"),
        (DivergedError("the loss is nan"), 1, "error: the loss is nan\n"),
        (signals.Stopped(signal.SIGTERM, ""), 143, "stopped by SIGTERM\n"),
        (signals.Stopped(signal.SIGINT, "go on so"), 130, "stopped by SIGINT; go on so\n"),
    ],
)
def test_exit_statuses(raised, status, line, monkeypatch, capsys):
    def fail(_):
        raise raised

    monkeypatch.setitem(cli.COMMANDS, "train", cli.Command("", fail))
    assert cli.run(["train"]) == status
    assert capsys.readouterr() == ("", line)


def test_a_lost_worker_is_75_and_a_fault_of_ours_1_with_its_traceback():
    for raised, status in (("errors.PeerLostError('w')", 75), ("KeyError('w')", 1)):
        code = (
            "from tf_textrnn import cli\nfrom tf_textrnn.base import errors\n"
            f"def fail(_): raise {raised}\n"
            "cli.COMMANDS['train'] = cli.Command('', fail)\n"
            "cli.main('train')"
        )
        done = subprocess.run(
            [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False
        )
        assert done.returncode == status
        assert ("Traceback" in done.stderr) is (status == 1)


def test_a_reader_that_has_enough_ends_a_command_quietly(tmp_path, exported):
    line = f"{sys.executable} -m tf_textrnn.cli %s | head -n 1; echo ${{PIPESTATUS[0]}}"
    shown = shell(line % "train --helpfull", ROOT)
    assert (shown.stdout.splitlines()[-1], shown.stderr) == ("0", "")
    texts = tmp_path / "texts.txt"
    texts.write_text("wolf and dog\n" * 20_000)
    shown = shell(line % f"predict --model={exported.path} --input={texts}", ROOT)
    assert [line.split("\t")[0] for line in shown.stdout.splitlines()] == ["animals", "0"]
    assert shown.stderr == ""


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="Linux has it")  # noqa: PTH110
def test_a_full_disk_under_the_output_is_one_line():
    shown = shell(f"{sys.executable} -m tf_textrnn.cli train --helpfull > /dev/full", ROOT)
    assert (shown.returncode, shown.stderr) == (
        2, "error: the output: cannot be written (No space left on device)\n",
    )  # fmt: skip


def test_commands_are_printed_as_we_were_called(state, monkeypatch, tmp_path):
    def called(orig_argv, command=""):
        monkeypatch.setattr(sys, "orig_argv", orig_argv)
        monkeypatch.setattr(sys, "argv", orig_argv[-2:])  # the program and one argument
        invocation.record(command)
        return [
            invocation.command_line(name, "--run_dir=a b") for name in ("train", "study gradients")
        ]

    monkeypatch.chdir(tmp_path)
    flag = "'--run_dir=a b'"
    module = ["python3", "-m", "tf_textrnn.cli", "train"]
    gradients = f"python3 -m tf_textrnn.cli study gradients {flag}"
    assert called(module) == [f"python3 -m tf_textrnn.cli train {flag}", gradients]
    assert called(["python3", "my tree/train.py", "--x"], "train") == [
        f"python3 'my tree/train.py' {flag}", gradients,
    ]  # fmt: skip
    assert called(["python3", "-m", "export.predict", "--x"], "predict")[0] == (
        f"python3 -m tf_textrnn.cli train {flag}"
    )
    script = tmp_path / "bin" / "textrnn"
    script.parent.mkdir()
    script.write_text(SCRIPT)
    script.chmod(0o755)
    assert called(["/usr/bin/python3", str(script), "train"]) == [
        f"bin/textrnn train {flag}", f"bin/textrnn study gradients {flag}",
    ]  # fmt: skip
    monkeypatch.setenv("PATH", str(script.parent), prepend=os.pathsep)
    assert called(["/usr/bin/python3", str(script), "train"])[0] == f"textrnn train {flag}"
    monkeypatch.setenv("TEXTRNN_CALLED_AS", "../tree/scripts/train")
    assert called(["/usr/bin/python3", str(script), "train"]) == [
        f"../tree/scripts/train {flag}", f"textrnn study gradients {flag}",
    ]  # fmt: skip
    assert called(["python3", "train.py", "--x"], "train")[0] == f"python3 train.py {flag}"


def test_what_training_prints_can_be_pasted_where_it_was_printed(
    topics, tmp_path, state, monkeypatch, capsys
):
    """Runs in a folder outside the checkout, with names that a shell would split."""
    (tmp_path / "it's here").mkdir()
    shutil.copy(topics / "train.tsv", tmp_path / "it's here" / "my reviews.tsv")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    program = [sys.executable, str(ROOT / "train.py")]
    monkeypatch.setattr(sys, "orig_argv", program)
    monkeypatch.setattr(sys, "argv", program[1:])
    invocation.record("train")
    options = ["--train_file=it's here/my reviews.tsv", "--run_dir=it's a run", "--num_epochs=1"]
    options += ["--cache_dir=~/a cache", "--hidden_size=4", "--embedding_dim=4"]
    options += ["--optimizer=sgd", "--learning_rate=1e38", "--max_grad_norm=0"]
    assert cli.run(["train", *options]) == 1
    errors = capsys.readouterr().err
    assert errors.count("\n") == 1
    resume = errors.partition("--max_grad_norm=1: ")[2].strip()
    assert resume.startswith(f"{' '.join(program)} --resume ")
    trained = shell(f"{resume} --learning_rate=0.1", tmp_path)
    assert (trained.returncode, trained.stderr) == (0, "")
    assert (tmp_path / "home" / "a cache").is_dir()
    assert (tmp_path / "it's a run" / "report.txt").is_file()
    (predict,) = (
        line.partition(": ")[2]
        for line in trained.stdout.splitlines()
        if line.startswith("to classify text: ")
    )
    answer = shell(predict, tmp_path)
    assert (answer.returncode, answer.stderr) == (0, "")
    assert answer.stdout.split("\t")[2] == "your text\n"


def test_scripts_train_keeps_the_callers_folder(tmp_path):
    """Calls it through a relative link, in a checkout whose environment exists."""
    tree = tmp_path / "tree"
    (tree / "scripts").mkdir(parents=True)
    for name in ("scripts/train", "scripts/install", "setup.cfg", "constraints.txt"):
        shutil.copy(ROOT / name, tree / name)
    program = tree / ".venv" / "bin" / "textrnn"
    program.parent.mkdir(parents=True)
    program.write_text(SCRIPT)
    program.chmod(0o755)
    (program.parent / "python").symlink_to("/bin/true")  # instead of pip
    caller = tmp_path / "caller"
    caller.mkdir()
    (caller / "mine.flags").write_text("--cell=elman\n")
    (caller / "go").symlink_to("../tree/scripts/train")
    for called in ("./go", "../tree/scripts/train"):
        shown = shell(f"{called} --help", caller)
        assert (shown.returncode, shown.stderr) == (0, "")
        assert shown.stdout.startswith(f"usage: {called} [--flag=value …]\n")
        shown = shell(f"{called} --flagfile=mine.flags", caller)
        assert (shown.returncode, shown.stderr) == (
            2, "error: flag --cell=elman: expected one of lstm, gru, rnn\n",
        )  # fmt: skip
        assert set(caller.iterdir()) == {caller / "go", caller / "mine.flags"}


def test_export_and_predict_by_their_names_in_a_checkout():
    for module, flag in (("export.predict", "model"), ("export.saved_model", "run_dir")):
        shown = shell(f"{sys.executable} -m {module} --help", ROOT)
        assert shown.stdout.startswith(f"usage: {sys.executable} -m {module} [--flag=value …]")
        shown = shell(f"{sys.executable} -m {module}", ROOT)
        assert (shown.returncode, shown.stdout) == (2, "")
        assert shown.stderr == f"error: --{flag}: expected a path, found nothing\n"
