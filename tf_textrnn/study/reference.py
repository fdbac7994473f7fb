"""Recurrent networks in NumPy, forward and back through time, to read beside the article.

The code is slow and does not use TensorFlow. `VanillaRNN` is the network of the article's section
3, `lstm_forward` and `lstm_backward` are the layer of its section 7. Arrays keep their dtype; the
tests compare these networks in float64 with central differences, and with the TensorFlow layers.
"""
# ruff: noqa: N803, N806 - the article calls the weights U, V and W.

from typing import NamedTuple

import numpy as np


def softmax(scores: np.ndarray) -> np.ndarray:
    """Returns probabilities along the last axis."""
    exponentials = np.exp(scores - scores.max(axis=-1, keepdims=True))
    return exponentials / exponentials.sum(axis=-1, keepdims=True)


def sigmoid(inputs: np.ndarray) -> np.ndarray:
    """Returns the logistic function of the inputs."""
    return 1.0 / (1.0 + np.exp(-inputs))


class VanillaRNN:
    """A network that predicts a word at every step from the words so far (Elman 1990).

        s_t = tanh(U[:, x_t] + W s_{t-1}), s_{-1} = 0
        o_t = softmax(V s_t)
        loss = - Σ_t log o_t[y_t]

    Args:
      U: float[hidden, words], weights from a word to the state.
      V: float[words, hidden], weights from the state to the scores.
      W: float[hidden, hidden], weights from the state to the next one.
      bptt_truncate: number of steps that the gradient of an output goes back; None = to the start.
    """

    def __init__(
        self,
        U: np.ndarray,
        V: np.ndarray,
        W: np.ndarray,
        bptt_truncate: int | None = None,
    ):
        self.U, self.V, self.W = U, V, W
        self.bptt_truncate = bptt_truncate

    def forward(self, words: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Predicts the next word at each step.

        Args:
          words: int[time].

        Returns:
          Probabilities float[time, words] and states float[time, hidden].
        """
        states = np.zeros([len(words), len(self.W)], self.W.dtype)
        state = np.zeros(len(self.W), self.W.dtype)
        for t, word in enumerate(words):
            state = states[t] = np.tanh(self.U[:, word] + self.W @ state)
        return softmax(states @ self.V.T), states

    def loss(self, words: np.ndarray, targets: np.ndarray) -> float:
        """Returns the cross-entropy, summed over the steps.

        Args:
          words: int[time].
          targets: int[time], the word to predict at each step.
        """
        probabilities, _ = self.forward(words)
        return float(-np.log(probabilities[np.arange(len(targets)), targets]).sum())

    def bptt(
        self, words: np.ndarray, targets: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Computes gradients by back-propagation through time (Werbos 1990).

        The error of each output goes back on its own, so that it can stop after `bptt_truncate`
        steps; the cost is therefore quadratic in time.

        Args:
          words: int[time].
          targets: int[time], the word to predict at each step.

        Returns:
          The gradients of the loss with respect to U, V and W.
        """
        probabilities, states = self.forward(words)
        before = np.vstack([np.zeros_like(states[:1]), states[:-1]])  # s_{t-1}
        d_scores = probabilities
        d_scores[np.arange(len(targets)), targets] -= 1.0
        d_U, d_W = np.zeros_like(self.U), np.zeros_like(self.W)
        d_V = d_scores.T @ states
        for t in range(len(words)):
            first = 0 if self.bptt_truncate is None else max(t - self.bptt_truncate, 0)
            d_state = self.V.T @ d_scores[t]
            for step in range(t, first - 1, -1):
                d_sum = d_state * (1.0 - states[step] ** 2)  # before the tanh
                d_W += np.outer(d_sum, before[step])
                d_U[:, words[step]] += d_sum
                d_state = self.W.T @ d_sum
        return d_U, d_V, d_W


class LSTMWeights(NamedTuple):
    """Weights of an LSTM layer, or their gradients; gates i, f, g, o along the last axis.

    Attributes:
      kernel: float[inputs, 4 * hidden].
      recurrent_kernel: float[hidden, 4 * hidden].
      bias: float[4 * hidden].
    """

    kernel: np.ndarray
    recurrent_kernel: np.ndarray
    bias: np.ndarray


class LSTMStep(NamedTuple):
    """Values of a forward step that `lstm_backward` needs; arrays float[batch, ...]."""

    inputs: np.ndarray
    hidden_before: np.ndarray
    cell_before: np.ndarray
    i: np.ndarray
    f: np.ndarray
    g: np.ndarray
    o: np.ndarray
    cell: np.ndarray


def lstm_forward(inputs: np.ndarray, weights: LSTMWeights) -> tuple[np.ndarray, list[LSTMStep]]:
    """Runs an LSTM layer (Hochreiter & Schmidhuber 1997, with the forget gate of Gers 2000).

        i, f, g, o = x_t kernel + h_{t-1} recurrent_kernel + bias
        c_t = σ(f) c_{t-1} + σ(i) tanh(g),  h_t = σ(o) tanh(c_t),  h_{-1} = c_{-1} = 0

    Args:
      inputs: float[batch, time, inputs].
      weights: weights of the layer.

    Returns:
      h float[batch, time, hidden], and the values of each step that `lstm_backward` needs.
    """
    size = len(weights.recurrent_kernel)
    hidden = cell = np.zeros([len(inputs), size], inputs.dtype)
    outputs, steps = [], []
    for step_inputs in np.swapaxes(inputs, 0, 1):
        gates = step_inputs @ weights.kernel + hidden @ weights.recurrent_kernel + weights.bias
        i, f, g, o = np.split(gates, 4, axis=-1)
        i, f, g, o = sigmoid(i), sigmoid(f), np.tanh(g), sigmoid(o)
        cell_before, hidden_before = cell, hidden
        cell = f * cell_before + i * g
        hidden = o * np.tanh(cell)
        outputs.append(hidden)
        steps.append(LSTMStep(step_inputs, hidden_before, cell_before, i, f, g, o, cell))
    return np.stack(outputs, axis=1), steps


def lstm_backward(
    d_outputs: np.ndarray,
    steps: list[LSTMStep],
    weights: LSTMWeights,
    bptt_truncate: int = 0,
) -> tuple[np.ndarray, LSTMWeights, np.ndarray]:
    """Computes the gradients of an LSTM layer.

    Args:
      d_outputs: float[batch, time, hidden], the direct gradient of the loss with respect to each
        h_t.
      steps: steps as `lstm_forward` returns them.
      weights: weights of the layer.
      bptt_truncate: length of the chunks of steps; no gradient goes from a chunk into the one
        before. 0 = one chunk.

    Returns:
      The gradients with respect to the inputs float[batch, time, inputs], to the weights, and to
      each h_t float[batch, time, hidden]; the last is the total of the direct gradient and those
      through all later steps.
    """
    gradients = LSTMWeights(*(np.zeros_like(weight) for weight in weights))
    d_hidden = np.zeros_like(d_outputs[:, 0])
    d_cell = np.zeros_like(d_hidden)
    d_inputs, d_states = [], []
    for t in reversed(range(len(steps))):
        inputs, hidden_before, cell_before, i, f, g, o, cell = steps[t]
        d_hidden = d_hidden + d_outputs[:, t]
        d_states.append(d_hidden)
        d_cell = d_cell + d_hidden * o * (1.0 - np.tanh(cell) ** 2)
        d_gates = np.concatenate(
            [
                d_cell * g * i * (1.0 - i),
                d_cell * cell_before * f * (1.0 - f),
                d_cell * i * (1.0 - g**2),
                d_hidden * np.tanh(cell) * o * (1.0 - o),
            ],
            axis=-1,
        )
        gradients.kernel[...] += inputs.T @ d_gates
        gradients.recurrent_kernel[...] += hidden_before.T @ d_gates
        gradients.bias[...] += d_gates.sum(axis=0)
        d_inputs.append(d_gates @ weights.kernel.T)
        d_hidden = d_gates @ weights.recurrent_kernel.T
        d_cell = d_cell * f
        if bptt_truncate and t % bptt_truncate == 0:
            d_hidden, d_cell = np.zeros_like(d_hidden), np.zeros_like(d_cell)
    return np.stack(d_inputs[::-1], axis=1), gradients, np.stack(d_states[::-1], axis=1)
