"""The command line: flag files, mistakes in one line, help without TensorFlow."""

import pathlib
import subprocess
import sys

import pytest

from tf_textrnn.base.errors import UserError
from tf_textrnn.base.flags import parse, parse_tool
from tf_textrnn.config import Config, option_fields

ROOT = pathlib.Path(__file__).parents[1]


def test_only_the_flags_given_are_returned():
    assert parse(["train.py"], "") == {}
    argv = ["train.py", "--hidden_size=7", "--nobidirectional", "--keep_prob", "0.25", "--cell=gru"]
    assert parse(argv, "") == {
        "hidden_size": 7,
        "bidirectional": False,
        "keep_prob": 0.25,
        "cell": "gru",
    }


def test_source_flags_are_the_hyper_parameters_of_the_tf1_driver():
    given = parse(["train.py", f"--flagfile={ROOT / 'configs' / 'source.flags'}"], "")
    config = Config().replace(**given)
    model, training = config.model, config.training
    assert (model.cell, model.num_layers, model.bidirectional) == ("lstm", 1, False)
    assert (model.hidden_size, model.embedding_dim, model.pooling) == (128, 128, "mean")
    assert (model.keep_prob, model.init_scale, model.forget_bias) == (0.5, 0.1, 0.0)
    assert (training.optimizer, training.learning_rate, training.batch_size) == ("sgd", 0.1, 64)
    assert (training.lr_decay, training.max_decay_epoch, training.num_epochs) == (0.6, 30, 60)
    assert (training.max_grad_norm, training.average_decay, training.patience) == (5.0, 0.0, 0)
    assert (model.output_dropout, model.word_dropout, model.ngrams) == ("steps", 0.0, 0)
    assert (training.label_smoothing, training.class_weights) == (0.0, "none")
    assert (config.text.vocab_size, config.text.max_len) == (20_000, 40)


@pytest.mark.parametrize(
    ("argument", "message"),
    [
        ("--hidden_size=many", "flag --hidden_size=many: expected a whole number, at least 1"),
        ("--keep_prob=half", "flag --keep_prob=half: expected a number, above 0, at most 1"),
        ("--bidirectional=maybe", "flag --bidirectional=maybe: expected true or false"),
        ("--hiden_size=3", "Unknown command line flag 'hiden_size'. Did you mean: hidden_size ?"),
        ("--hidden_size", "Missing value for flag --hidden_size"),
        ("--nobidirectional=3", "--nobidirectional=3 does not take an argument"),
        ("reviews.tsv", "'reviews.tsv' is not a flag; flags look like --name=value"),
        ("--flagfile=nowhere.flags", "Unable to open flagfile: [Errno 2]"),
    ],
)
def test_a_mistake_is_one_line_that_names_it(argument, message):
    with pytest.raises(UserError) as error:
        parse(["train.py", argument], "")
    assert message in str(error.value)
    assert "\n" not in str(error.value)


def train(*arguments: str) -> subprocess.CompletedProcess:
    command = [sys.executable, "-X", "importtime", "train.py", *arguments]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)


def test_help_names_every_option_without_loading_tensorflow():
    shown = train("--help")
    assert shown.returncode == 0
    assert "tensorflow" not in shown.stderr
    for name, field in option_fields().items():
        assert f"--{name}=" in shown.stdout
        assert field.metadata["meaning"] in shown.stdout


def test_mistakes_in_flags_exit_with_2_before_tensorflow_loads():
    for argument in ("--cell=elman", "--cel=lstm"):
        shown = train(argument)
        assert shown.returncode == 2
        assert "tensorflow" not in shown.stderr
        assert shown.stderr.splitlines()[-1].startswith("error: ")


def test_a_tool_has_flags_of_its_own(capsys):
    options = {"input": ("", "what to read"), "count": (3, "how many"), "run_dir": ("r", "where")}
    given = ["tool", "--input=a=b", "--count=5"]
    assert parse_tool(given, "", options) == {"input": "a=b", "count": 5, "run_dir": "r"}
    for mistake, message in (
        ("--inptu=x", "inptu"),
        ("--count=many", "--count=many"),
        ("stray", "'stray' is not a flag"),
    ):
        with pytest.raises(UserError, match=message) as error:
            parse_tool(["tool", mistake], "", options)
        assert "\n" not in str(error.value)
    with pytest.raises(SystemExit) as done:
        parse_tool(["tool", "--help"], "A tool.", options)
    assert not done.value.code
    assert "A tool.\n  --input=\n      what to read\n  --count=3" in capsys.readouterr().out
