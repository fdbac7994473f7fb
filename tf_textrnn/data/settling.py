"""What the automatic options come to that the training texts decide."""

import itertools
from collections.abc import Mapping

from tf_textrnn.base.errors import UserError
from tf_textrnn.config import Config, TrainingConfig
from tf_textrnn.data.sources import Source
from tf_textrnn.data.splits import open_sources, with_sets
from tf_textrnn.data.unspaced import best_tokenizer

_SHOWN_PLACES = 3
_MIN_SHARE = 0.01  # of the texts that have several labels, where no file gives lists


def settle(
    asked: Config, sources: Mapping[str, Source] | None
) -> tuple[Config, Mapping[str, Source] | None]:
    """A config in which every automatic value is decided, and the sources of its texts.

    Args:
      asked: as the caller gave it.
      sources: labeled texts by split; None = the files or data set that it names.

    Returns:
      The config, and the sources where they had to be opened, else as they were given.

    Raises:
      UserError: flags that contradict one another, or a file has a mistake.
    """
    config = asked.settled()
    if not (sources or config.data.train_file):
        return config, sources
    sources = sources or open_sources(config)
    has_sets = config.has_label_sets
    if asked.data.multi_label == "auto" and has_label_sets(sources["train"]):
        sources, has_sets = with_sets(sources, takes_unlabeled=False), True
    tokenizer, folds = asked.text.tokenizer, asked.data.folds
    if tokenizer == "auto":
        tokenizer = best_tokenizer(sources["train"])
    if folds < 0:
        is_alone = "valid" not in sources
        folds = int(is_alone and has_few_texts(sources["train"], asked.training))
    return asked.settled(tokenizer, has_sets, folds), sources


def has_few_texts(source: Source, training: TrainingConfig) -> bool:
    """Whether there are fewer than `training.enough_texts`; no more are read.

    Args:
      source: the training texts.
      training: says what is enough.

    Raises:
      UserError: one of them is not a labeled text.
    """
    texts = itertools.islice(source.read(), training.enough_texts)
    return sum(1 for _ in texts) < training.enough_texts


def has_label_sets(source: Source) -> bool:
    """Whether the texts have sets of labels: a file gives lists, or 1 % of them have several.

    Args:
      source: the training texts. Only files in which a text may have several are read for it.

    Raises:
      UserError: fewer have several, or a file has a mistake.
    """
    if not any(file.may_have_sets for file in source.files):
        return False
    num_texts = num_several = 0
    places: list[str] = []
    for file in source.files:
        for record in file.records():
            if record.is_list:
                return True
            num_texts += bool(record.labels)
            if len(record.labels) > 1:
                num_several += 1
                if len(places) < _SHOWN_PLACES:
                    places.append(file.place_name(record.place))
    if 0 < num_several < _MIN_SHARE * num_texts:
        have = "text has" if num_several == 1 else "texts have"
        more = ", …" if num_several > len(places) else ""
        raise UserError(
            f"{', '.join(places)}{more}: {num_several:,} of {num_texts:,} {have} several labels; "
            f"expected --multi_label where a text may have several, or one label for each"
        )
    return num_several > 0
