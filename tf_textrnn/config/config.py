"""All options of a run in one object: changed, settled, written and read as JSON."""

import dataclasses
import difflib
import json
import os
import pathlib
from collections.abc import Mapping
from typing import Any

from tf_textrnn.base.errors import UserError
from tf_textrnn.base.formats import FORMAT, check_format
from tf_textrnn.base.options import checked
from tf_textrnn.config.metric import Metric, read_metric
from tf_textrnn.config.sections import (
    DataConfig,
    FileConfig,
    ModelConfig,
    RunConfig,
    TextConfig,
    TrainingConfig,
)
from tf_textrnn.config.threshold import ThresholdRule, threshold_rule

# What the model of `--init_from` decides: the weights fit nothing else.
INHERITED = (
    "multi_label", "tokenizer", "max_len", "cell", "hidden_size", "num_layers", "bidirectional",
    "activation", "leak", "pooling", "embedding_dim", "ngrams",
)  # fmt: skip
_AUTOMATIC = ("auto", -1)
_EARLIER = {"stem_unknown_words": False}  # what versions before an option did


@dataclasses.dataclass(frozen=True)
class Config:
    """All options of a run, by section; option names are unique across sections.

    Example:
      >>> config = tf_textrnn.Config().replace(cell="gru", num_epochs=3)
      >>> config.model.cell, config.training.num_epochs, config.training.seed
      ('gru', 3, 1)
      >>> config == tf_textrnn.Config.from_json(config.to_json(), "config.json")
      True
    """

    data: DataConfig = dataclasses.field(default_factory=DataConfig)
    files: FileConfig = dataclasses.field(default_factory=FileConfig)
    text: TextConfig = dataclasses.field(default_factory=TextConfig)
    model: ModelConfig = dataclasses.field(default_factory=ModelConfig)
    training: TrainingConfig = dataclasses.field(default_factory=TrainingConfig)
    run: RunConfig = dataclasses.field(default_factory=RunConfig)

    def replace(self, **options: Any) -> "Config":
        """A copy with these options, named as their flags, changed.

        Raises:
          UserError: one of them does not exist, or its value is not allowed.
        """
        for name, value in options.items():
            # JSON may hold a lone surrogate, and Python makes them of a file's name that is not
            # UTF-8; no file of a run could hold it.
            if isinstance(value, str) and any("\ud800" <= c <= "\udfff" for c in value):
                raise UserError(f"flag --{name}={value}: expected text that UTF-8 can hold")
        sections = {}
        for section in dataclasses.fields(self):
            current = getattr(self, section.name)
            names = {field.name for field in dataclasses.fields(current)}
            changes = {name: options.pop(name) for name in names & options.keys()}
            sections[section.name] = dataclasses.replace(current, **changes)
        if options:
            raise UserError(_unknown_option(next(iter(options))))
        return Config(**sections)

    def with_vectors(self, given: Mapping[str, Any], size: int) -> "Config":
        """A copy that starts from pretrained vectors, whose size it has.

        Args:
          given: the options that the caller named, by name.
          size: length of the vectors of `--pretrained_embeddings`.

        Raises:
          UserError: `--embedding_dim` is given and differs.
        """
        if (asked := given.get("embedding_dim", size)) != size:
            raise UserError(
                f"--embedding_dim={asked}: the vectors of --pretrained_embeddings="
                f"{self.model.pretrained_embeddings} have {size} numbers; expected the same, or "
                f"no --embedding_dim"
            )
        return self.replace(embedding_dim=size)

    def with_model_of(self, given: Mapping[str, Any], old: "Config") -> "Config":
        """A copy that starts from the model of another run, whose shape it has.

        Args:
          given: the options that the caller named, by name.
          old: the settled config of the run of `--init_from`.

        Raises:
          UserError: one of `INHERITED` is given and differs.
        """
        inherited = {name: old.options()[name] for name in INHERITED}
        for name, value in inherited.items():
            if (asked := given.get(name, value)) not in (value, *_AUTOMATIC):
                raise UserError(
                    f"--{name}={asked}: the run of --init_from={self.model.init_from} has {value}; "
                    f"expected the same, or no --{name}"
                )
        return self.replace(**inherited)

    def settled(
        self, file_tokenizer: str = "word", file_multi_label: bool = False, file_folds: int = 0
    ) -> "Config":
        """A copy in which every automatic value is decided.

        Args:
          file_tokenizer: what `--tokenizer=auto` comes to for texts that are not the built-in ones.
          file_multi_label: what `--multi_label=auto` comes to for them.
          file_folds: what `--folds=-1` comes to for them where nothing else speaks against folds.

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
        if data.folds > 0 and self.run.learning_curve:
            raise UserError(f"--folds={data.folds} and --learning_curve: expected one of the two")
        if data.folds > 0 and data.valid_file:
            raise UserError(
                f"--folds={data.folds} and --valid_file={data.valid_file}: expected one of the two"
            )
        folds = data.folds
        if folds < 0:
            is_free = not (data.valid_file or self.model.init_from or self.run.learning_curve)
            folds = max(file_folds, 0) if is_free else 0
        asked = self.options() | {"folds": folds}
        for flag in ("folds", "learning_curve", "pretrained_embeddings"):
            if self.model.init_from and (value := asked[flag]):
                raise UserError(
                    f"--{flag}={value} and --init_from={self.model.init_from}: expected one of "
                    f"the two"
                )
        dataset = data.dataset or ("" if data.train_file else "languages")
        tokenizer = self.text.tokenizer
        if tokenizer == "auto":
            tokenizer = "char" if dataset == "languages" else file_tokenizer
        ngrams = self.model.ngrams
        if ngrams < 0:
            ngrams = 4 if tokenizer == "char" else 2
        multi_label = file_multi_label if data.multi_label == "auto" else data.multi_label
        is_auto = threshold_rule(self.training.threshold) is None
        read_metric(self.run.metric)
        return self.replace(
            dataset=dataset,
            folds=folds,
            multi_label=multi_label,
            threshold="f1" if multi_label and is_auto else self.training.threshold,
            tokenizer=tokenizer,
            ngrams=ngrams,
            cache_dir=self.run.cache_dir or default_cache_dir(),
        )

    @property
    def has_label_sets(self) -> bool:
        """Whether a text has a set of labels, and not exactly one; of a settled config."""
        return self.data.multi_label is True

    @property
    def threshold_rule(self) -> ThresholdRule | None:
        """How labels are accepted; None = the predicted one is; of a settled config."""
        return threshold_rule(self.training.threshold)

    @property
    def metric(self) -> Metric:
        """What measures the validation texts beside loss and accuracy."""
        return read_metric(self.run.metric)

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
            if not (fields[name].metadata["on_resume"] or self._comes_to(name, value)):
                raise UserError(
                    f"flag --{name}={value}: the run to resume has {saved[name]}; expected the "
                    f"same, or a new run"
                )

    def _comes_to(self, name: str, value: Any) -> bool:
        """Whether an option, once it is settled beside the others, is what it is in this config."""
        saved = self.options()[name]
        if value == saved:
            return True
        try:
            settled = self.replace(**{name: value}).settled(
                self.text.tokenizer, self.has_label_sets, self.data.folds
            )
            return settled.options()[name] == saved
        except UserError:  # it contradicts another
            return False

    def to_json(self) -> str:
        """The options as JSON text, by section, and `format`, the version of this format."""
        content = {"format": FORMAT, **dataclasses.asdict(self)}
        return json.dumps(content, indent=2, ensure_ascii=False) + "\n"

    @classmethod
    def from_json(cls, text: str, source: str, is_resumed: bool = False) -> "Config":
        """The config that `to_json` wrote.

        An option that is absent has its default, or what versions before it did.

        Args:
          text: JSON.
          source: the file's name, for errors.
          is_resumed: whether the run is to go on.

        Raises:
          UserError: the text is not JSON or of a newer format, or an option is unknown or not
            allowed, or the run cannot go on.
        """
        try:
            sections = json.loads(text)
        except (ValueError, RecursionError) as error:
            raise UserError(f"{source}: not JSON ({error})") from error
        if isinstance(sections, dict):
            check_format(source, sections.pop("format", 1), is_resumed)  # 0.1 wrote none
        known = {section.name for section in dataclasses.fields(cls)}
        if (
            not isinstance(sections, Mapping)
            or not sections.keys() <= known
            or not all(isinstance(section, Mapping) for section in sections.values())
        ):
            raise UserError(f"{source}: expected an object with the sections {sorted(known)}")
        try:
            saved = {name: v for part in sections.values() for name, v in part.items()}
            return cls().replace(**(_EARLIER | saved))
        except UserError as error:
            raise UserError(f"{source}: {error}") from error


def check_options(given: Mapping[str, Any]) -> dict[str, Any]:
    """The options that a caller gave, by name, each checked, and `~` in a path made the home.

    Raises:
      UserError: one of them does not exist, or its value is not allowed.
    """
    fields = option_fields()
    for name in given:
        if name not in fields:
            raise UserError(_unknown_option(name))
    return {name: checked(fields[name], value) for name, value in given.items()}


def default_cache_dir() -> str:
    """The folder of encoded texts in the user's cache folder.

    Raises:
      UserError: the user has no home folder.
    """
    try:
        caches = os.environ.get("XDG_CACHE_HOME") or pathlib.Path("~/.cache").expanduser()
    except RuntimeError as error:
        raise UserError("--cache_dir: expected a folder, as this user has no home") from error
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
