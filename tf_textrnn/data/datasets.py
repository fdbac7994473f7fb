"""Loads public data sets through the libraries that carry them: keras.datasets and TFDS."""

import hashlib
import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from tf_textrnn.base.errors import UserError
from tf_textrnn.data.sources import Example, Source

KERAS_DATASETS = ("imdb", "reuters")
TFDS_PREFIX = "tfds:"
_INDEX_FROM = 3  # keras.datasets: 0 padding, 1 start, 2 unknown; the words' ranks follow


def splits(name: str) -> dict[str, Source]:
    """Returns the sources `train` and, if the data set has them, `valid` and `test`.

    Args:
      name: "imdb", "reuters" or "tfds:<name>".

    Raises:
      UserError: the name is unknown, its library is not installed, or the set cannot be loaded.
    """
    if name in KERAS_DATASETS:
        return _keras_splits(name)
    if name.startswith(TFDS_PREFIX):
        return _tfds_splits(name)
    known = ", ".join(["languages", *KERAS_DATASETS, f"{TFDS_PREFIX}<name>"])
    raise UserError(f"flag --dataset={name}: expected one of {known}")


def _keras_splits(name: str) -> dict[str, Source]:
    import keras

    library = getattr(keras.datasets, name)
    try:
        word_ranks = library.get_word_index()
        (train_ids, train_labels), (test_ids, test_labels) = library.load_data()
        label_names = ("negative", "positive") if name == "imdb" else library.get_label_names()
    except Exception as error:  # the library raises a bare Exception if there is no network
        raise UserError(_no_network(name, error)) from error
    return {
        "train": examples_source(
            f"{name} (train)", words_of_ids(train_ids, train_labels, word_ranks, label_names)
        ),
        "test": examples_source(
            f"{name} (test)", words_of_ids(test_ids, test_labels, word_ranks, label_names)
        ),
    }


def words_of_ids(
    texts: Iterable[Sequence[int]],
    labels: Iterable[int],
    word_ranks: Mapping[str, int],
    label_names: Sequence[str],
) -> list[Example]:
    """Returns examples from the ids of keras.datasets, without padding, start and unknown marks.

    Args:
      texts: the word ids of each text.
      labels: the index in `label_names` of each text's label.
      word_ranks: the rank of each word by frequency, from 1.
      label_names: the name of each label.
    """
    words = {rank + _INDEX_FROM: word for word, rank in word_ranks.items()}
    return [
        Example(label_names[label], " ".join(words[i] for i in ids if i in words))
        for ids, label in zip(texts, labels, strict=True)
    ]


def _tfds_splits(name: str) -> dict[str, Source]:
    # A name with a namespace (`someone:set`) would run its owner's code.
    if not re.fullmatch(r"tfds:[a-z]\w*(/[\w.+-]+)?(:[\d.*]+)?", name, re.ASCII):
        raise UserError(f"flag --dataset={name}: expected tfds:<name>[/<config>][:<version>]")
    try:
        import tensorflow_datasets as tfds
    except ImportError as error:
        raise UserError(
            f"flag --dataset={name}: TFDS is not installed; pip install 'tf_textrnn[datasets]'"
        ) from error
    try:
        sets, info = tfds.load(name.removeprefix(TFDS_PREFIX), with_info=True)
    except Exception as error:  # what TFDS raises depends on the data set's own code
        raise UserError(_no_network(name, error)) from error
    names = {"train": "train", "validation": "valid", "test": "test"}
    return {
        names[split]: examples_source(
            f"{name} ({split})", list(examples_of_tfds(records.as_numpy_iterator(), info, name))
        )
        for split, records in sets.items()
        if split in names
    }


def examples_of_tfds(
    records: Iterable[Mapping[str, Any]], info: Any, name: str
) -> Iterator[Example]:
    """Yields examples from a TFDS split.

    The text is that of all text features, joined by spaces; the label is the one ClassLabel.

    Args:
      records: the split's records, as NumPy values.
      info: the data set's `DatasetInfo`.
      name: name of the data set, for errors.

    Raises:
      UserError: the data set has no text feature, or not exactly one ClassLabel.
    """
    texts = [key for key, feature in info.features.items() if type(feature).__name__ == "Text"]
    labels = [key for key, feature in info.features.items() if hasattr(feature, "int2str")]
    if not texts or len(labels) != 1:
        raise UserError(
            f"flag --dataset={name}: expected a text and one class label, found the features "
            f"{', '.join(info.features)}"
        )
    for record in records:
        text = " ".join(record[key].decode("utf-8", "replace") for key in texts)
        yield Example(info.features[labels[0]].int2str(int(record[labels[0]])), text)


def examples_source(name: str, examples: list[Example]) -> Source:
    """Returns a source over examples in memory; `name` is for messages."""
    # Texts of one label each have the digest that the first release gave them.
    plain = [
        example if example.others or example.weight != 1 else example[:4] for example in examples
    ]
    digest = hashlib.sha256(json.dumps(plain).encode()).hexdigest()
    return Source(name, digest, lambda: iter(examples))


def _no_network(name: str, error: Exception) -> str:
    reason = " ".join(str(error).split())[:200]
    return f"flag --dataset={name}: cannot be loaded; is there a network? ({reason})"
