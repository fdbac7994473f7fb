"""Every option of a run, once: name, type, default, meaning and allowed values.

The flags (`flags.py`), a run's `config.json` and the table in the README come from these
dataclasses. Standard library only.
"""

import dataclasses
import difflib
import json
import os
import pathlib
from collections.abc import Mapping
from typing import Any

from tf_textrnn.base.errors import UserError
from tf_textrnn.base.options import CheckedOptions, check_option, option

MAX_TEXT_TOKENS = 65_536  # more of one text is never kept, whatever `max_len` says


@dataclasses.dataclass(frozen=True)
class DataConfig(CheckedOptions):
    """Where the labelled texts come from."""

    dataset: str = option(
        "", "languages (built in), imdb, reuters or tfds:<name>; empty = --train_file, or languages"
    )
    train_file: str = option("", "labelled texts to train on: .tsv .csv .jsonl .txt, also .gz")
    valid_file: str = option("", "labelled texts to choose the best epoch on")
    test_file: str = option("", "labelled texts for the report; empty = report on valid")
    valid_fraction: float = option(
        0.1,
        "share of each label's training texts set apart without --valid_file",
        above=0,
        maximum=0.5,
    )
    format: str = option(
        "auto",
        "file format; auto = by extension",
        choices=("auto", "tsv", "csv", "jsonl", "fasttext"),
    )
    text_column: str = option("text", "csv column or jsonl key that holds the text")
    label_column: str = option("label", "csv column or jsonl key that holds the label")


@dataclasses.dataclass(frozen=True)
class TextConfig(CheckedOptions):
    """How a text becomes token ids."""

    tokenizer: str = option(
        "auto",
        "word, or char = one token a character; auto = char for languages, word for the rest",
        choices=("auto", "word", "char"),
    )
    vocab_size: int = option(
        20_000, "most token ids, padding and unknown among them", minimum=3, maximum=50_000_000
    )
    max_len: int = option(
        400, "tokens of a text that are read; the rest is cut", minimum=1, maximum=MAX_TEXT_TOKENS
    )


@dataclasses.dataclass(frozen=True)
class ModelConfig(CheckedOptions):
    """The network: embedding, recurrent layers, pooling, affine layer."""

    cell: str = option("lstm", "recurrent cell", choices=("lstm", "gru", "rnn"))
    hidden_size: int = option(
        128, "units in each recurrent layer and direction", minimum=1, maximum=65_536
    )
    num_layers: int = option(1, "recurrent layers", minimum=1, maximum=64)
    bidirectional: bool = option(True, "read each text in both directions")
    pooling: str = option(
        "mean",
        "how the outputs of a text's steps become one vector",
        choices=("mean", "max", "last", "attention"),
    )
    embedding_dim: int = option(128, "size of a token's vector", minimum=1, maximum=65_536)
    pretrained_embeddings: str = option(
        "", "word vectors to start from: word2vec, GloVe or fastText text, also .gz"
    )
    keep_prob: float = option(
        0.4,
        "share of a layer's inputs, and of what the last gives, kept in training; 1 = no dropout",
        above=0,
        maximum=1,
    )
    output_dropout: str = option(
        "pooled",
        "what the last layer gives is dropped at each step, or once, when pooled",
        choices=("pooled", "steps"),
    )
    init_scale: float = option(
        0.0, "weights start uniform in ± this; 0 = Keras's initializers", minimum=0
    )
    forget_bias: float = option(1.0, "start of the LSTM's forget-gate bias")
    word_dropout: float = option(
        0.2, "share of tokens read as unknown ones in training; 0 = none", minimum=0, maximum=0.9
    )
    ngrams: int = option(
        -1,
        "longest n-grams of a linear classifier beside the network; -1 = 2 words or 4 characters; "
        "0 = none",
        minimum=-1,
        maximum=4,
    )
    bptt_truncate: int = option(
        0, "steps after which the gradient through time stops; 0 = never", minimum=0
    )


@dataclasses.dataclass(frozen=True)
class TrainingConfig(CheckedOptions):
    """The optimization."""

    batch_size: int = option(64, "examples in a step, over all workers", minimum=1)
    num_epochs: int = option(16, "most passes over the training texts", minimum=1, on_resume=True)
    optimizer: str = option("adam", "update rule", choices=("adam", "sgd"))
    learning_rate: float = option(2e-3, "step size before any decay", above=0, on_resume=True)
    lr_decay: float = option(
        0.75,
        "factor of the learning rate each epoch past --max_decay_epoch; 1 = constant",
        above=0,
        maximum=1,
        on_resume=True,
    )
    max_decay_epoch: int = option(
        8, "last epoch, from 0, at the full learning rate", minimum=0, on_resume=True
    )
    max_grad_norm: float = option(
        5.0, "clip gradients at this global norm; 0 = off", minimum=0, on_resume=True
    )
    label_smoothing: float = option(
        0.1,
        "share of the network's target that goes to all classes alike; 0 = none",
        minimum=0,
        maximum=0.9,
    )
    tune_embeddings_epoch: int = option(
        0,
        "first epoch, from 0, that trains --pretrained_embeddings; -1 = they stay as they are",
        minimum=-1,
        on_resume=True,
    )
    class_weights: str = option(
        "none",
        "balanced = a text's loss weighs as much as its label is rare",
        choices=("none", "balanced"),
    )
    average_decay: float = option(
        0.998,
        "decay of the running average of weights that is evaluated; 0 = off",
        minimum=0,
        maximum=0.999999,
    )
    patience: int = option(
        4,
        "epochs without a better validation loss before stopping; 0 = never",
        minimum=0,
        on_resume=True,
    )
    seed: int = option(1, "of all that is random", minimum=0, maximum=2**31 - 1)


@dataclasses.dataclass(frozen=True)
class RunConfig(CheckedOptions):
    """Where a run lives and what it does beside training."""

    run_dir: str = option("", "the run's folder; empty = a new one under runs/", on_resume=True)
    resume: bool = option(False, "go on with the run in --run_dir", on_resume=True)
    cache_dir: str = option(
        "",
        "where encoded files are kept; empty = tf_textrnn in the user's cache folder",
        on_resume=True,
    )
    strategy: str = option(
        "auto",
        "devices: one, mirrored = all GPUs of this machine, multiworker = TF_CONFIG's processes; "
        "auto = what is there",
        choices=("auto", "one", "mirrored", "multiworker"),
        on_resume=True,
    )
    export: bool = option(
        True, "write <run>/export/<version>, to serve, at the end", on_resume=True
    )
    checkpoint_minutes: float = option(
        5.0,
        "minutes between checkpoints inside an epoch; 0 = only at its end",
        minimum=0,
        on_resume=True,
    )
    gradients_every: int = option(
        50,
        "steps between histograms of the gradients in TensorBoard; 1 = every step, 0 = none",
        minimum=0,
        on_resume=True,
    )


@dataclasses.dataclass(frozen=True)
class Config:
    """All options of a run, by section; option names are unique across sections."""

    data: DataConfig = dataclasses.field(default_factory=DataConfig)
    text: TextConfig = dataclasses.field(default_factory=TextConfig)
    model: ModelConfig = dataclasses.field(default_factory=ModelConfig)
    training: TrainingConfig = dataclasses.field(default_factory=TrainingConfig)
    run: RunConfig = dataclasses.field(default_factory=RunConfig)

    def replace(self, **options: Any) -> "Config":
        """A copy with these options, named as their flags, changed."""
        sections = {}
        for section in dataclasses.fields(self):
            current = getattr(self, section.name)
            names = {field.name for field in dataclasses.fields(current)}
            changes = {name: options.pop(name) for name in names & options.keys()}
            sections[section.name] = dataclasses.replace(current, **changes)
        if options:
            raise UserError(_unknown_option(next(iter(options))))
        return Config(**sections)

    def settled(self) -> "Config":
        """A copy in which every automatic value is decided.

        Raises:
          UserError: flags that contradict one another.
        """
        data = self.data
        if data.train_file and data.dataset:
            raise UserError(
                f"--dataset={data.dataset} and --train_file={data.train_file}: expected one of "
                f"the two"
            )
        if (data.valid_file or data.test_file) and not data.train_file:
            flag = "valid_file" if data.valid_file else "test_file"
            raise UserError(f"--{flag}={getattr(data, flag)}: expected --train_file beside it")
        dataset = data.dataset or ("" if data.train_file else "languages")
        tokenizer = self.text.tokenizer
        if tokenizer == "auto":
            tokenizer = "char" if dataset == "languages" else "word"
        ngrams = self.model.ngrams
        if ngrams < 0:
            ngrams = 4 if tokenizer == "char" else 2
        cache_dir = self.run.cache_dir or default_cache_dir()
        return self.replace(
            dataset=dataset, tokenizer=tokenizer, ngrams=ngrams, cache_dir=cache_dir
        )

    def options(self) -> dict[str, Any]:
        """Every option's value by its flat name."""
        return {
            name: value
            for section in dataclasses.asdict(self).values()
            for name, value in section.items()
        }

    def check_resume(self, given: Mapping[str, Any]) -> None:
        """Checks that a run with this config may go on with the options `given`.

        Raises:
          UserError: one of them differs and would make it another run.
        """
        fields, saved = option_fields(), self.options()
        for name, value in given.items():
            if value != saved[name] and not fields[name].metadata["on_resume"]:
                raise UserError(
                    f"flag --{name}={value}: the run to resume has {saved[name]}; expected the "
                    f"same, or a new run"
                )

    def to_json(self) -> str:
        """The options as JSON text, by section."""
        return json.dumps(dataclasses.asdict(self), indent=2, ensure_ascii=False) + "\n"

    @classmethod
    def from_json(cls, text: str, source: str) -> "Config":
        """The config that `to_json` wrote; an option that is absent has its default.

        Args:
          text: JSON.
          source: the file's name, for errors.

        Raises:
          UserError: the text is not JSON, or an option is unknown or not allowed.
        """
        try:
            sections = json.loads(text)
        except (ValueError, RecursionError) as error:
            raise UserError(f"{source}: not JSON ({error})") from error
        known = {section.name for section in dataclasses.fields(cls)}
        if (
            not isinstance(sections, Mapping)
            or not sections.keys() <= known
            or not all(isinstance(section, Mapping) for section in sections.values())
        ):
            raise UserError(f"{source}: expected an object with the sections {sorted(known)}")
        try:
            return cls().replace(**{k: v for part in sections.values() for k, v in part.items()})
        except UserError as error:
            raise UserError(f"{source}: {error}") from error


def check_options(given: Mapping[str, Any]) -> None:
    """Checks options by their flat names, before anything is made of them.

    Raises:
      UserError: one of them does not exist, or its value is not allowed.
    """
    fields = option_fields()
    for name, value in given.items():
        if name not in fields:
            raise UserError(_unknown_option(name))
        check_option(fields[name], value)


def default_cache_dir() -> str:
    """The folder of encoded texts in the user's cache folder."""
    caches = os.environ.get("XDG_CACHE_HOME") or pathlib.Path("~/.cache").expanduser()
    return str(pathlib.Path(caches) / "tf_textrnn")


def option_fields() -> dict[str, dataclasses.Field]:
    """Every option's dataclass field by its flat name, in the order of the sections."""
    return {
        field.name: field
        for section in dataclasses.fields(Config)
        for field in dataclasses.fields(section.default_factory)  # type: ignore[arg-type]
    }


def _unknown_option(name: str) -> str:
    near = difflib.get_close_matches(name, option_fields(), n=1)
    return f"--{name} is not an option" + (f"; did you mean --{near[0]}?" if near else "")
