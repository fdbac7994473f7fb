"""Flags: those given, flag files, one-line errors, and what help lists, in which order."""

import dataclasses
import pathlib

import pytest

from tf_textrnn.base.errors import UserError
from tf_textrnn.base.flags import SOURCE_HEADING, HelpRequested, Page, parse
from tf_textrnn.base.options import BASIC, SOURCE, CheckedOptions, option
from tf_textrnn.cli import train_options
from tf_textrnn.config import Config, option_fields

ROOT = pathlib.Path(__file__).parents[1]


@dataclasses.dataclass(frozen=True)
class ToolOptions(CheckedOptions):
    """Options of a tool that the tests make up."""

    input: str = option("", "File to read", is_path=True, required=True)
    count: int = option(3, "Number of lines", minimum=1)
    run_dir: str = option("r", "Folder", is_path=True)


TOOL = Page("tool", "Counts.", (ToolOptions,), "[TEXT …]")


def test_only_the_flags_given_are_returned():
    assert train_options([]) == {}
    given = ["--hidden_size=7", "--nobidirectional", "--keep_prob", "0.25", "--cell=gru"]
    assert train_options(given) == {
        "hidden_size": 7,
        "bidirectional": False,
        "keep_prob": 0.25,
        "cell": "gru",
    }


def test_source_flags_are_the_hyper_parameters_of_the_tf1_driver():
    given = train_options([f"--flagfile={ROOT / 'configs' / 'source.flags'}"])
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
        ("--hidden_size=many", "flag --hidden_size=many: expected a whole number, at least 1, at"),
        ("--vocab_size=1", "flag --vocab_size=1: expected a whole number, at least 3, at most 50,"),
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
        train_options([argument])
    assert message in str(error.value)
    assert "\n" not in str(error.value)


def test_a_tool_has_flags_of_its_own():
    given = ["a text", "--input=a=b", "--count=5", "--", "--count=text"]
    assert parse(given, TOOL) == ({"input": "a=b", "count": 5}, ["a text", "--count=text"])
    with pytest.raises(UserError, match="flag --count=many: expected a whole number, at least 1"):
        parse(["--count=many"], TOOL)
    with pytest.raises(UserError, match="--input: expected a path, found nothing"):
        ToolOptions()
    with pytest.raises(HelpRequested) as page:
        parse(["--help"], TOOL)
    lines = str(page.value).splitlines()
    assert lines[:3] == ["usage: textrnn tool [--flag=value …] [TEXT …]", "", "Counts."]
    assert "  --count=3               Number of lines (a whole number, at least 1)" in lines


def test_home_is_expanded_in_every_path_and_nowhere_else(monkeypatch):
    monkeypatch.setenv("HOME", "/home/of")
    paths = {name for name, field in option_fields().items() if field.metadata["is_path"]}
    assert paths == {
        "train_file", "valid_file", "test_file", "pretrained_embeddings", "init_from", "run_dir",
        "cache_dir", "class_weights",
    }  # fmt: skip
    for name in paths:
        assert train_options([f"--{name}=~/f g"]) == {name: "/home/of/f g"}
        assert Config().replace(**{name: "~/f"}).options()[name] == "/home/of/f"
        assert train_options([f"--{name}=a~b"]) == {name: "a~b"}
    assert train_options(["--text_column=~"]) == {"text_column": "~"}
    assert ToolOptions(input="~").input == "/home/of"


def shown_flags(text: str) -> list[str]:
    """Returns the flags that a help page lists, in order."""
    return [
        line.strip().partition("=")[0].removeprefix("--")
        for line in text.splitlines()
        if line.startswith("  --")
    ]


def test_help_shows_twelve_flags_and_helpfull_all_those_of_the_source_last():
    fields = option_fields()
    groups = {name: field.metadata["group"] for name, field in fields.items()}
    with pytest.raises(HelpRequested) as short:
        train_options(["--help"])
    basic = [name for name, group in groups.items() if group == BASIC]
    assert shown_flags(str(short.value)) == basic
    assert len(basic) == 12
    assert len(str(short.value).splitlines()) <= 30
    assert max(map(len, str(short.value).splitlines())) <= 84
    assert f"--helpfull shows all {len(fields)} flags" in str(short.value)

    with pytest.raises(HelpRequested) as full:
        train_options(["--helpfull"])
    text = str(full.value)
    source = [name for name, group in groups.items() if group == SOURCE]
    assert shown_flags(text) == [name for name in fields if name not in source] + source
    assert shown_flags(text.partition(SOURCE_HEADING)[2]) == source
    together = " ".join(text.split())
    for name, field in fields.items():
        assert " ".join(field.metadata["meaning"].split()) in together, name
    headings = [section.default_factory.__doc__ for section in dataclasses.fields(Config)]
    assert [text.index(f"\n{heading}\n") for heading in headings] == sorted(
        text.index(f"\n{heading}\n") for heading in headings
    )


def test_only_the_source_needs_the_flags_that_stand_last():
    """Each option is set by a file for the TF1 model, by one for its article, or by none."""
    recipes = set()
    for path in (ROOT / "configs").glob("*.flags"):
        if path.name not in ("source.flags", "plain.flags"):
            recipes |= train_options([f"--flagfile={path}"]).keys()
    source = {name for name, field in option_fields().items() if field.metadata["group"] == SOURCE}
    assert not recipes & source
