"""Guesses a word that is missing from a sentence: from its left, its right, and from both sides.

The article's section 6: why bidirectional. In "two old dogs behind the barn barked" the words left
of "dogs" tell how many there are, and those right of it what they are; only both tell the word.
"""

import dataclasses
import functools
import itertools
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

import keras
import numpy as np
import tensorflow as tf

if TYPE_CHECKING:
    from matplotlib.figure import Figure

TITLE = "Both sides: a missing word"
SOUNDS = {"dog": "barked", "cat": "purred", "horse": "neighed", "cow": "mooed", "bird": "sang",
          "lion": "roared", "owl": "hooted", "pig": "grunted"}  # fmt: skip
ADJECTIVES, PREPOSITIONS = ("big", "small", "young", "tired"), ("behind", "near", "above")
PLACES = ("barn", "river", "house", "hill", "road")
PARTS = ("number", "adjective", "animal", "preposition", "the", "place", "verb")
SIDES = {"left": (True, False), "right": (False, True), "both sides": (True, True)}
UNITS, SENTENCES, LEARNING_RATE = 32, 64, 0.01
STEPS, QUICK_STEPS = 800, 200


@dataclasses.dataclass(frozen=True)
class Guesses:
    """How often a missing word is guessed, over all sentences of the grammar.

    Attributes:
      accuracy: float64[parts], by the part of the sentence that is missing, as in `PARTS`.
    """

    accuracy: np.ndarray


def sentences() -> np.ndarray:
    """All sentences of the grammar, str[sentences, parts]."""
    return np.array(
        [
            (number, adjective, animal + "s" * (number == "two"), preposition, "the", place, sound)
            for number, adjective, (animal, sound), preposition, place in itertools.product(
                ("one", "two"), ADJECTIVES, SOUNDS.items(), PREPOSITIONS, PLACES
            )
        ]
    )


def experiments(quick: bool) -> Mapping[str, Callable[[], Guesses]]:
    """The trainings, by the side that the network reads.

    Args:
      quick: whether they train for some steps only.
    """
    steps = QUICK_STEPS if quick else STEPS
    return {name: functools.partial(guess, *sides, steps) for name, sides in SIDES.items()}


def guess(reads_left: bool, reads_right: bool, steps: int = STEPS) -> Guesses:
    """Trains a network on sentences at random, and asks it for each word of every sentence.

    Args:
      reads_left: whether an LSTM reads what stands before the missing word.
      reads_right: whether another reads what stands after it, from the end.
      steps: train steps.
    """
    keras.utils.set_random_seed(1)
    words, ids = np.unique(sentences(), return_inverse=True)
    ids = ids.reshape(-1, len(PARTS)).astype(np.int32)
    embedding = keras.layers.Embedding(len(words), UNITS)
    forward, backward = (keras.layers.LSTM(UNITS, return_sequences=True) for _ in range(2))
    head = keras.layers.Dense(len(words))

    def scores_of(token_ids: tf.Tensor) -> tf.Tensor:
        """Scores of the words [sentences, parts, words], each part from those around it."""
        inputs = embedding(token_ids)
        states = []
        if reads_left:  # the state before each word; zeros before the first
            states.append(tf.pad(forward(inputs)[:, :-1], [[0, 0], [1, 0], [0, 0]]))
        if reads_right:  # the state after each word, of the reversed sentence
            read = backward(inputs[:, ::-1])[:, ::-1]
            states.append(tf.pad(read[:, 1:], [[0, 0], [0, 1], [0, 0]]))
        return head(tf.concat(states, axis=-1))

    scores_of(tf.constant(ids[:1]))  # makes the weights
    layers = [embedding, *[forward] * reads_left, *[backward] * reads_right, head]
    variables = [variable for layer in layers for variable in layer.trainable_variables]
    optimizer = keras.optimizers.Adam(LEARNING_RATE)
    optimizer.build(variables)

    @tf.function(input_signature=[tf.TensorSpec([None, len(PARTS)], tf.int32)])
    def step(token_ids: tf.Tensor) -> None:
        with tf.GradientTape() as tape:
            losses = tf.nn.sparse_softmax_cross_entropy_with_logits(token_ids, scores_of(token_ids))
            loss = tf.reduce_mean(losses)
        values = [variable.value for variable in variables]
        optimizer.apply(tape.gradient(loss, values), variables)

    random = np.random.default_rng(1)
    for _ in range(steps):
        step(random.choice(ids, SENTENCES))
    guessed = scores_of(tf.constant(ids)).numpy().argmax(axis=-1)
    return Guesses((guessed == ids).mean(axis=0))


def table(found: Mapping[str, Guesses]) -> list[list[str]]:
    """Rows of a table: the share of right guesses by the part that is missing."""
    rows = [["reads", *PARTS, "all"]]
    for name, guesses in found.items():
        shares = [*guesses.accuracy, guesses.accuracy.mean()]
        rows.append([name, *(f"{share:.2f}" for share in shares)])
    return rows


def figure(found: Mapping[str, Guesses]) -> "Figure":
    """Draws the share of right guesses, a group of bars for each part of the sentence."""
    from matplotlib.figure import Figure

    plot = Figure(figsize=(9, 4), layout="constrained")
    axes = plot.subplots()
    width = 0.8 / len(found)
    for number, (name, guesses) in enumerate(found.items()):
        left = np.arange(len(PARTS)) + (number - (len(found) - 1) / 2) * width
        axes.bar(left, guesses.accuracy, width, label=name)
    axes.set_xticks(
        range(len(PARTS)),
        [f"{part}\n{word}" for part, word in zip(PARTS, sentences()[-1], strict=True)],
    )
    axes.set_ylabel("share of right guesses")
    axes.set_title("which word is missing?")
    axes.set_ylim(0, 1.2)
    axes.legend(loc="upper center", ncols=len(found))
    return plot
