"""Memory as a task: what does a cell still know of the start of a text, by its length?

The article's sections 4 and 7. Two tasks of Hochreiter & Schmidhuber 1997, in small: "which symbol
came first", where later symbols are of the same kind and have to be ignored, and the adding
problem, where two marked numbers have to be added. Each cell trains once on texts of every length
and is then asked by lag, the steps from the first symbol to the end.
"""

import dataclasses
import functools
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

import keras
import numpy as np
import tensorflow as tf

from tf_textrnn.study.remedies import REGULARIZED, REMEDIES, flow_penalty, gru, lstm, rnn

if TYPE_CHECKING:
    from matplotlib.figure import Figure

TITLE = "Memory: which symbol came first, and the adding problem"
CELLS: dict[str, Callable[[int], keras.layers.Layer]] = {
    "rnn": rnn,
    **REMEDIES,
    "gru": gru,
    "lstm, forget bias 0": functools.partial(lstm, forget_bias=0.0),
    "lstm, forget bias 1": functools.partial(lstm, forget_bias=1.0),
}
LAGS = (5, 10, 20, 30, 40, 50)
LONGEST_LAG = 60  # in training
UNITS, TEXTS, ASKED_TEXTS, MAX_GRAD_NORM = 32, 32, 500, 1.0
PENALTY_WEIGHT = 1.0
QUICK_STEPS = 10


@dataclasses.dataclass(frozen=True)
class Task:
    """A task.

    Attributes:
      make: texts of a lag, from a generator, their number and the lag: inputs
        float32[texts, lag + 1, size] and targets float32[texts].
      size: of the inputs of a step.
      symbols: how many classes there are; 0 where a number is asked for.
      chance: share of right answers without any memory.
      learning_rate: of Adam.
      steps: train steps.
    """

    make: Callable[[np.random.Generator, int, int], tuple[np.ndarray, np.ndarray]]
    size: int
    symbols: int
    chance: float
    learning_rate: float
    steps: int

    def loss(self, outputs: tf.Tensor, targets: tf.Tensor) -> tf.Tensor:
        """The loss float[] of outputs float[texts, symbols or 1]."""
        if not self.symbols:
            return tf.reduce_mean((outputs[:, 0] - targets) ** 2)
        classes = tf.cast(targets, tf.int32)
        return tf.reduce_mean(tf.nn.sparse_softmax_cross_entropy_with_logits(classes, outputs))

    def accuracy(self, outputs: np.ndarray, targets: np.ndarray) -> float:
        """The share of right answers: the likeliest symbol, or a sum within 0.1."""
        if not self.symbols:
            return float(np.mean(np.abs(outputs[:, 0] - targets) < 0.1))
        return float(np.mean(outputs.argmax(axis=1) == targets))


def first_symbol(
    random: np.random.Generator, texts: int, lag: int
) -> tuple[np.ndarray, np.ndarray]:
    """Texts of eight symbols at random; the target is the one at the start."""
    symbols = random.integers(0, 8, [texts, lag + 1])
    return np.eye(8, dtype=np.float32)[symbols], symbols[:, 0].astype(np.float32)


def adding(random: np.random.Generator, texts: int, lag: int) -> tuple[np.ndarray, np.ndarray]:
    """Texts of numbers from 0 to 1, the first and a later one marked; the target is their sum."""
    inputs = np.zeros([texts, lag + 1, 2], np.float32)
    inputs[:, :, 0] = random.random([texts, lag + 1])
    inputs[:, 0, 1] = 1.0
    inputs[np.arange(texts), random.integers(1, lag + 1, texts), 1] = 1.0
    return inputs, inputs.prod(axis=2).sum(axis=1)


TASKS = {
    "first symbol": Task(first_symbol, 8, 8, 1 / 8, 0.01, 2_000),
    # Whoever always says 1 is within 0.1 in 19 % of the cases.
    "adding": Task(adding, 2, 0, 0.19, 0.005, 1_600),
}


@dataclasses.dataclass(frozen=True)
class Memory:
    """What a trained cell remembers.

    Attributes:
      accuracy: float64[lags], of the answers, by the lags of `LAGS`.
      steps: train steps.
    """

    accuracy: np.ndarray
    steps: int


def experiments(quick: bool) -> Mapping[str, Callable[[], Memory]]:
    """The trainings, each of one cell on one task, by the names of both.

    Args:
      quick: whether they train for some steps only.
    """
    return {
        f"{task}: {cell}": functools.partial(
            train, cell, TASKS[task], QUICK_STEPS if quick else TASKS[task].steps
        )
        for task in TASKS
        for cell in CELLS
    }


def train(cell: str, task: Task, steps: int) -> Memory:
    """Trains a cell on a task and asks it by lag.

    Args:
      cell: one of `CELLS`.
      task: the task.
      steps: train steps, each on texts of one lag, drawn from 1 to `LONGEST_LAG`.
    """
    keras.utils.set_random_seed(1)
    layer = keras.layers.RNN(CELLS[cell](UNITS), return_sequences=True)
    head = keras.layers.Dense(task.symbols or 1)
    layer.build([None, None, task.size])
    head.build([None, UNITS])
    variables = layer.trainable_variables + head.trainable_variables
    optimizer = keras.optimizers.Adam(task.learning_rate, global_clipnorm=MAX_GRAD_NORM)
    optimizer.build(variables)
    signature = [tf.TensorSpec([None, None, task.size]), tf.TensorSpec([None])]

    @tf.function(input_signature=signature[:1])
    def answer(inputs: tf.Tensor) -> tf.Tensor:
        return head(layer(inputs)[:, -1])

    @tf.function(input_signature=signature)
    def step(inputs: tf.Tensor, targets: tf.Tensor) -> None:
        values = [variable.value for variable in variables]
        with tf.GradientTape(persistent=True) as tape:
            states = layer(inputs)
            last = states[:, -1]
            loss = task.loss(head(last), targets)
            if cell == REGULARIZED:
                with tape.stop_recording():
                    d_last = tape.gradient(loss, last)
                kernel = layer.cell.recurrent_kernel.value
                loss += PENALTY_WEIGHT * flow_penalty(kernel, states, d_last)
        optimizer.apply(tape.gradient(loss, values), variables)

    random = np.random.default_rng(1)
    for _ in range(steps):
        step(*task.make(random, TEXTS, int(random.integers(1, LONGEST_LAG + 1))))
    accuracy = []
    for lag in LAGS:
        inputs, targets = task.make(np.random.default_rng(2), ASKED_TEXTS, lag)
        accuracy.append(task.accuracy(answer(inputs).numpy(), targets))
    return Memory(np.array(accuracy), steps)


def table(found: Mapping[str, Memory]) -> list[list[str]]:
    """Rows of a table: the share of right answers by lag."""
    header = ["task: cell", *(f"lag {lag}" for lag in LAGS)]
    rows = [[name, *(f"{a:.2f}" for a in memory.accuracy)] for name, memory in found.items()]
    return [header, *rows]


def figure(found: Mapping[str, Memory]) -> "Figure":
    """Draws the share of right answers as colors, cells by lags, a panel for each task."""
    from matplotlib.figure import Figure

    plot = Figure(figsize=(13, 4.5), layout="constrained")
    for axes, (name, task) in zip(plot.subplots(ncols=len(TASKS)), TASKS.items(), strict=True):
        shares = np.array([found[f"{name}: {cell}"].accuracy for cell in CELLS])
        axes.imshow(shares, cmap="Blues", vmin=0, vmax=1, aspect="auto")
        for (row, column), share in np.ndenumerate(shares):
            color = "white" if share > 0.5 else "black"
            axes.text(column, row, f"{share:.2f}", ha="center", va="center", color=color)
        axes.set_xticks(range(len(LAGS)), LAGS)
        axes.set_yticks(range(len(CELLS)), CELLS)
        axes.set_xlabel("lag, in steps")
        axes.set_title(f"{name}: right answers (by chance {task.chance:.3f})")
    return plot
