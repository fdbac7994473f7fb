"""Text-RNN with each pooling: from the states of a text's steps to one vector, by length of text.

The article's section 8. `TextRNN`, bidirectional, reads names character by character and tells
their language: ten of the built-in set's languages that share the Latin script. A text is some
names of one language in a row; those of more names than in training ask what a pooling makes of
texts longer than it has learned from.
"""

import collections
import dataclasses
import functools
import itertools
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

import keras
import numpy as np
import tensorflow as tf

from tf_textrnn.config import POOLINGS, ModelConfig
from tf_textrnn.data import languages
from tf_textrnn.network.model import TextRNN

if TYPE_CHECKING:
    from matplotlib.figure import Figure

TITLE = "Pooling: Text-RNN on names of ten languages, by length of text"
LANGUAGES = ("de", "nl", "sv", "da", "fi", "fr", "es", "it", "pt", "pl")
NAMES_TRAINED, NAMES_ASKED = (1, 2, 4), (1, 2, 4, 8, 16)  # names in a text
UNITS, TEXTS, ASKED_TEXTS, LEARNING_RATE, MAX_GRAD_NORM = 32, 64, 1_000, 0.005, 5.0
STEPS, QUICK_STEPS = 600, 10


@dataclasses.dataclass(frozen=True)
class Pooled:
    """What a trained network tells of texts made of test names.

    Attributes:
      accuracy: float64[groups], by the number of names, as in `NAMES_ASKED`.
      characters: float64[groups], the mean length of a text.
    """

    accuracy: np.ndarray
    characters: np.ndarray


class Names:
    """Names by their language, and the characters in them.

    Args:
      by_language: the names of each of `LANGUAGES`.
    """

    def __init__(self, by_language: Mapping[str, Sequence[str]]):
        self.by_language = by_language
        names = itertools.chain.from_iterable(by_language.values())
        self.characters = ["", *sorted(set(" ".join(names)))]  # an id each; 0 is padding

    def texts(
        self, random: np.random.Generator, texts: int, num_names: int, characters: list[str]
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Draws texts of so many names.

        Args:
          random: what draws.
          texts: how many.
          num_names: names in each text.
          characters: the characters by their ids.

        Returns:
          Token ids int32[texts, time], lengths int32[texts] and labels int32[texts], places in
          `LANGUAGES`. A character that is not among the given ones has the id 0.
        """
        labels = random.integers(0, len(LANGUAGES), texts).astype(np.int32)
        drawn = [
            " ".join(random.choice(self.by_language[LANGUAGES[label]], num_names))
            for label in labels
        ]
        lengths = np.array([len(text) for text in drawn], np.int32)
        ids = {character: number for number, character in enumerate(characters)}
        token_ids = np.zeros([texts, lengths.max()], np.int32)
        for row, text in zip(token_ids, drawn, strict=True):
            row[: len(text)] = [ids.get(character, 0) for character in text]
        return token_ids, lengths, labels


@functools.cache
def names() -> dict[str, Names]:
    """The built-in set's names in `LANGUAGES`, by split."""
    found: dict[str, dict[str, list[str]]] = collections.defaultdict(
        lambda: {language: [] for language in LANGUAGES}
    )
    for concept, example in languages.names():
        if example.label in LANGUAGES:
            found[languages.split_of(concept)][example.label].append(example.text)
    return {split: Names(by_language) for split, by_language in found.items()}


def experiments(quick: bool) -> Mapping[str, Callable[[], Pooled]]:
    """The trainings, by the pooling.

    Args:
      quick: whether they train for some steps only.
    """
    steps = QUICK_STEPS if quick else STEPS
    return {pooling: functools.partial(train, pooling, steps) for pooling in POOLINGS}


def train(pooling: str, steps: int = STEPS) -> Pooled:
    """Trains a network and scores it on the test texts.

    Args:
      pooling: one of `POOLINGS`.
      steps: train steps.
    """
    keras.utils.set_random_seed(1)
    train_names, test_names = names()["train"], names()["test"]
    characters = train_names.characters
    config = ModelConfig(hidden_size=UNITS, embedding_dim=UNITS, pooling=pooling)
    model = TextRNN(config, len(characters), len(LANGUAGES))
    model.build()
    variables = model.trainable_variables
    optimizer = keras.optimizers.Adam(LEARNING_RATE, global_clipnorm=MAX_GRAD_NORM)
    optimizer.build(variables)
    signature = [tf.TensorSpec(shape, tf.int32) for shape in ([None, None], [None], [None])]

    @tf.function(input_signature=signature)
    def step(token_ids: tf.Tensor, lengths: tf.Tensor, labels: tf.Tensor) -> None:
        with tf.GradientTape() as tape:
            scores = model((token_ids, lengths), training=True)
            losses = tf.nn.sparse_softmax_cross_entropy_with_logits(labels, scores)
            loss = tf.reduce_mean(losses)
        values = [variable.value for variable in variables]
        optimizer.apply(tape.gradient(loss, values), variables)

    random = np.random.default_rng(1)
    for _ in range(steps):
        step(*train_names.texts(random, TEXTS, int(random.choice(NAMES_TRAINED)), characters))
    random = np.random.default_rng(2)
    accuracy, lengths_asked = [], []
    for num_names in NAMES_ASKED:
        token_ids, lengths, labels = test_names.texts(random, ASKED_TEXTS, num_names, characters)
        scores = model((token_ids, lengths)).numpy()
        accuracy.append(np.mean(scores.argmax(axis=1) == labels))
        lengths_asked.append(lengths.mean())
    return Pooled(np.array(accuracy), np.array(lengths_asked))


def table(found: Mapping[str, Pooled]) -> list[list[str]]:
    """Rows of a table: the accuracy by the number of names in a text."""
    header = ["pooling", *(f"names: {n}" for n in NAMES_ASKED)]
    rows = [[name, *(f"{a:.3f}" for a in pooled.accuracy)] for name, pooled in found.items()]
    return [header, *rows]


def figure(found: Mapping[str, Pooled]) -> "Figure":
    """Draws the accuracy by the length of a text, a line for each pooling."""
    from matplotlib.figure import Figure

    plot = Figure(figsize=(8, 5), layout="constrained")
    axes = plot.subplots()
    for name, pooled in found.items():
        axes.plot(pooled.characters, pooled.accuracy, marker="o", label=name)
    places = pooled.characters
    axes.set_xscale("log")
    axes.set_xticks(
        places, [f"{length:.0f}\n({n})" for length, n in zip(places, NAMES_ASKED, strict=True)]
    )
    axes.minorticks_off()
    axes.axvspan(places[0], places[len(NAMES_TRAINED) - 1], color="grey", alpha=0.1)
    axes.set_xlabel("length of a text, in characters (and in names); grey: as in training")
    axes.set_ylabel("accuracy")
    axes.set_title("one vector of a text's states, by pooling")
    axes.grid(alpha=0.3)
    axes.legend()
    return plot
