"""Options: bounds, JSON round trips, and what a resumed run may change."""

import dataclasses
import json
import pathlib
import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tf_textrnn.base.errors import UserError
from tf_textrnn.base.formats import FORMAT
from tf_textrnn.base.version import __version__
from tf_textrnn.config import Config, ModelConfig, option_fields

ROOT = pathlib.Path(__file__).parents[1]


def valid_value(field: dataclasses.Field) -> st.SearchStrategy:
    bounds = field.metadata
    if bounds["choices"]:
        return st.sampled_from(bounds["choices"])
    if field.type is bool:
        return st.booleans()
    if field.type is str:
        text = st.text(st.characters(exclude_categories=["Cs"]))
        return text.filter(lambda path: path[:1] != "~") if bounds["is_path"] else text
    if field.type is int:
        return st.integers(bounds["minimum"], bounds["maximum"])
    low = bounds["above"] if bounds["above"] is not None else bounds["minimum"]
    return st.floats(
        low,
        bounds["maximum"],
        exclude_min=bounds["above"] is not None,
        allow_nan=False,
        allow_infinity=False,
    )


def with_their_cell(options: dict) -> dict:
    """Options of the vanilla cell go with no other."""
    return options | ({"cell": "rnn"} if {"activation", "leak"} & options.keys() else {})


any_options = st.fixed_dictionaries(
    {}, optional={name: valid_value(field) for name, field in option_fields().items()}
).map(with_their_cell)


@given(any_options)
def test_json_gives_back_every_option(options):
    config = Config().replace(**options)
    assert Config.from_json(config.to_json(), "config.json") == config
    assert config.options().items() >= options.items()


@given(st.text() | st.recursive(st.none() | st.booleans() | st.floats() | st.text(),
                                lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner))
       .map(json.dumps))  # fmt: skip
def test_foreign_json_is_refused_or_a_config(text):
    try:
        assert isinstance(Config.from_json(text, "config.json"), Config)
    except UserError as error:
        assert str(error).startswith("config.json: ")


@pytest.mark.parametrize(
    ("option", "value", "allowed"),
    [
        ("hidden_size", 0, "a whole number, at least 1"),
        ("hidden_size", 1.5, "a whole number"),
        ("hidden_size", True, "a whole number"),
        ("cell", "elman", "one of lstm, gru, rnn"),
        ("keep_prob", 0.0, "a number, above 0, at most 1"),
        ("learning_rate", float("nan"), "a number, above 0"),
        ("bidirectional", "yes", "true or false"),
        ("train_file", 3, "a path"),
    ],
)
def test_bad_value_names_flag_value_and_what_is_allowed(option, value, allowed):
    with pytest.raises(UserError) as error:
        Config().replace(**{option: value})
    assert str(error.value).startswith(f"flag --{option}={value}: expected {allowed}")


def test_unknown_option_is_refused_with_a_near_one():
    with pytest.raises(UserError, match="--hiden_size is not an option; did you mean --hidden_siz"):
        Config().replace(hiden_size=3)


def test_option_names_are_unique_across_sections():
    sections = [dataclasses.fields(field.default_factory) for field in dataclasses.fields(Config)]
    assert len(option_fields()) == sum(map(len, sections))


def test_resume_refuses_another_model_and_lets_a_run_go_on_longer():
    saved = Config()
    saved.check_resume({"num_epochs": 99, "hidden_size": saved.model.hidden_size})
    with pytest.raises(UserError, match="flag --hidden_size=64: the run to resume has 128"):
        saved.check_resume({"hidden_size": 64})


def test_resume_accepts_automatic_values_and_what_they_came_to():
    saved = Config().settled()
    assert saved.options().items() >= {"tokenizer": "char", "ngrams": 4}.items()
    for options in (
        {"tokenizer": "auto", "ngrams": -1, "dataset": ""},
        {"tokenizer": "char", "ngrams": 4, "dataset": "languages"},
    ):
        saved.check_resume(options)
    chosen = Config(model=ModelConfig(ngrams=3)).settled()
    with pytest.raises(UserError, match="flag --ngrams=-1: the run to resume has 3"):
        chosen.check_resume({"ngrams": -1})
    with pytest.raises(UserError, match="flag --max_len=7: the run to resume has 400;"):
        saved.check_resume({"max_len": 7})


def test_a_run_from_before_words_were_read_by_their_stems_goes_on_without():
    content = json.loads(Config().to_json())
    del content["text"]["stem_unknown_words"]
    assert not Config.from_json(json.dumps(content), "config.json").text.stem_unknown_words


@pytest.mark.parametrize(
    ("tokenizer", "asked", "comes_to"),
    [("word", True, True), ("word", False, False), ("char", True, False)],
)
def test_words_alone_have_stems(tokenizer, asked, comes_to):
    config = Config().replace(tokenizer=tokenizer, stem_unknown_words=asked).settled()
    assert config.text.reads_stems == comes_to


def test_the_format_of_0_1_is_read_and_a_newer_one_refused():
    config = Config().replace(hidden_size=7)
    content = json.loads(config.to_json())
    assert content.pop("format") == FORMAT == 2
    assert Config.from_json(json.dumps(content), "config.json") == config
    with pytest.raises(UserError) as error:
        Config.from_json(json.dumps({"format": 3, **content, "later": {}}), "config.json")
    assert str(error.value) == (
        f"config.json: its format is 3, which a newer tf_textrnn wrote; this is {__version__} and "
        f"reads up to 2; expected a newer tf_textrnn"
    )
    for wrong in ("2", 0, True, None, 2.0):
        with pytest.raises(UserError, match=r"config\.json: expected a format from 1 to 2, found"):
            Config.from_json(json.dumps({**content, "format": wrong}), "config.json")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"training": {"learning_rate": 1e400}}', "--learning_rate=inf: expected a number"),
        (f'{{"training": {{"learning_rate": 1{"0" * 400}}}}}', "0: expected a number, above 0"),
        ('{"training": {"learning_rate": NaN}}', "--learning_rate=nan: expected a number"),
        (f'{{"training": {{"seed": 1{"0" * 5_000}}}}}', "config.json: not JSON"),
        ('{"training": {"seed": 1e400}}', "--seed=inf: expected a whole number"),
        (r'{"data": {"text_column": "\ud800"}}', r"--text_column=\ud800: expected text that UTF-8"),
        (r'{"data": {"train_file": "a\udcff"}}', r"--train_file=a\udcff: expected text that UTF-8"),
    ],
)
def test_numbers_and_texts_that_no_run_has_are_one_line(text, message):
    with pytest.raises(UserError) as error:
        Config.from_json(text, "config.json")
    assert str(error.value).startswith("config.json: ") and message in str(error.value)
    assert str(error.value).isprintable()


def test_the_documented_table_is_that_of_the_fields():
    command = [sys.executable, "scripts/options.py"]
    printed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    assert (ROOT / "docs" / "options.md").read_text() == printed
