"""Learns to spell by back-propagation through time, in NumPy: which character comes next?

The article's sections 3 and 5. `reference.VanillaRNN` reads a short text character by character;
the error of each prediction goes back through time, to the start or no more than some steps, and
plain gradient descent does the rest.
"""

import dataclasses
import functools
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

import numpy as np

from tf_textrnn.study.reference import VanillaRNN

if TYPE_CHECKING:
    from matplotlib.figure import Figure

TITLE = "Spelling: back-propagation through time, truncated"
TEXT = (
    "a network reads a word, and then a word, and keeps a state of all that it has heard. "
    "the state is squashed and mixed at every beat: a tanh, a matrix, a word, and repeat. "
    "to learn, the error runs the other way, from the last word of all to the first of the day, "
    "and each step behind is a product once more, so it fades to a whisper or grows to a roar. "
)
CHARACTERS = sorted(set(TEXT))
TRUNCATIONS = {"1 step": 1, "4 steps": 4, "16 steps": 16, "not truncated": None}
STEPS, QUICK_STEPS = 1_000, 100
HIDDEN, TIME, INIT_SCALE, LEARNING_RATE, MAX_GRAD_NORM = 32, 32, 0.1, 0.15, 6.4
_SHOWN = 50  # characters that it spells when it has learned
_PARTS = 50  # of the training, between the points of its curve


@dataclasses.dataclass(frozen=True)
class Spelling:
    """What a network has learned.

    Attributes:
      losses: float64[points], the loss of a character of the whole text in nats, at the start and
        then after each part of the steps.
      steps: train steps in all.
      sample: what it spells after "a", always the likeliest character.
    """

    losses: np.ndarray
    steps: int
    sample: str


def experiments(quick: bool) -> Mapping[str, Callable[[], Spelling]]:
    """The trainings, by how far back the gradient of a prediction goes.

    Args:
      quick: whether they train for some steps only.
    """
    steps = QUICK_STEPS if quick else STEPS
    return {
        name: functools.partial(learn, truncation, steps)
        for name, truncation in TRUNCATIONS.items()
    }


def learn(bptt_truncate: int | None, steps: int = STEPS) -> Spelling:
    """Trains a network on pieces of the text.

    Args:
      bptt_truncate: steps that the gradient of a prediction goes back; None = to the start.
      steps: train steps, one piece of text each.
    """
    random = np.random.default_rng(1)
    words = len(CHARACTERS)
    network = VanillaRNN(
        U=random.uniform(-INIT_SCALE, INIT_SCALE, [HIDDEN, words]),
        V=random.uniform(-INIT_SCALE, INIT_SCALE, [words, HIDDEN]),
        W=random.uniform(-INIT_SCALE, INIT_SCALE, [HIDDEN, HIDDEN]),
        bptt_truncate=bptt_truncate,
    )
    ids = np.array([CHARACTERS.index(character) for character in TEXT])
    losses = []
    for number in range(steps + 1):
        if number % (steps // _PARTS) == 0:
            losses.append(network.loss(ids[:-1], ids[1:]) / (len(ids) - 1))
        start = random.integers(0, len(ids) - TIME)
        inputs, targets = ids[start : start + TIME], ids[start + 1 : start + TIME + 1]
        gradients = network.bptt(inputs, targets)
        norm = np.sqrt(sum(np.sum(gradient**2) for gradient in gradients))
        # The rate falls to zero, and the gradient is clipped, as the source's are.
        rate = LEARNING_RATE * (1 - number / steps) * min(1.0, MAX_GRAD_NORM / norm)
        for weight, gradient in zip((network.U, network.V, network.W), gradients, strict=True):
            weight -= rate * gradient
    return Spelling(np.array(losses), steps, _spell(network))


def _spell(network: VanillaRNN) -> str:
    ids = [CHARACTERS.index("a")]
    while len(ids) < _SHOWN:
        probabilities, _ = network.forward(np.array(ids))
        ids.append(int(probabilities[-1].argmax()))
    return "".join(CHARACTERS[index] for index in ids)


def table(found: Mapping[str, Spelling]) -> list[list[str]]:
    """Rows of a table: the loss at the start, half way and at the end, and what each spells."""
    header = ["gradient goes back", "loss at first", "half way", "at the end", "what it spells"]
    rows = []
    for name, spelling in found.items():
        losses = [spelling.losses[place] for place in (0, _PARTS // 2, -1)]
        rows.append([name, *(f"{loss:.2f}" for loss in losses), spelling.sample])
    return [header, *rows]


def figure(found: Mapping[str, Spelling]) -> "Figure":
    """Draws the loss by step, a line for each training."""
    from matplotlib.figure import Figure

    plot = Figure(figsize=(8, 5), layout="constrained")
    axes = plot.subplots()
    for name, spelling in found.items():
        axes.plot(np.linspace(0, spelling.steps, _PARTS + 1), spelling.losses, label=name)
    axes.set_xlabel("train step")
    axes.set_ylabel("loss of a character, nats")
    axes.set_title("learning to spell: how far back the gradient goes")
    axes.grid(alpha=0.3)
    axes.legend()
    return plot
