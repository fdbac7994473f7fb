"""How the gradient fares on its way back through time: vanishing and exploding, measured.

    python -m tf_textrnn.study.gradient_flow                   cells at initialisation
    python -m tf_textrnn.study.gradient_flow --run_dir=runs/R  a trained model, on its valid texts

The loss enters at one step, the last that a direction reads, and the measure is the norm of
∂loss/∂h_t at the steps before it: the total derivative, through all that follows (Bengio 1994;
Pascanu 2013). It is had by adding a zero to the state inside the cell and differentiating by it.
"""

import dataclasses
import pathlib
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from tf_textrnn.base import flags
from tf_textrnn.base.errors import UserError
from tf_textrnn.base.files import atomic_write
from tf_textrnn.base.startup import load_tensorflow
from tf_textrnn.config import ModelConfig

if TYPE_CHECKING:
    import tensorflow as tf
    from matplotlib.figure import Figure

    from tf_textrnn.data.batches import Batch, Split
    from tf_textrnn.network.model import TextRNN

OPTIONS: dict[str, tuple[Any, str]] = {
    "run_dir": ("", "the run whose best model is measured; empty = cells at initialisation"),
    "output": ("gradient_flow.png", "the plot, a PNG"),
}
MAX_GRAD_NORM = 5.0  # where clipping is shown: the default of training
TABLE_DISTANCES = (0, 1, 5, 10, 20, 50)
RUN_TEXTS = 64  # the longest validation texts of a run
INITIAL_TEXTS, INITIAL_STEPS, INITIAL_WORDS, INITIAL_CLASSES = 32, 61, 1_000, 4

# One layer read to its end, 128 units, every weight uniform in ± init_scale as in the source.
_INITIAL = {"init_scale": 0.1, "bidirectional": False, "pooling": "last"}
INITIAL_CELLS: dict[str, dict[str, Any]] = {
    "rnn": {"cell": "rnn"},
    "rnn, large weights": {"cell": "rnn", "init_scale": 0.3},
    "gru": {"cell": "gru"},
    "lstm, forget bias 0": {"cell": "lstm", "forget_bias": 0.0},
    "lstm, forget bias 1": {"cell": "lstm", "forget_bias": 1.0},
    "lstm, forget bias 5": {"cell": "lstm", "forget_bias": 5.0},
}


@dataclasses.dataclass(frozen=True)
class Flow:
    """The gradient on its way back through one layer.

    Attributes:
      name: of the layer, or of the cell.
      norms: float64[distance], ‖∂loss/∂h_t‖ by how many steps t lies before the step where the
        loss enters, averaged over the texts that are long enough.
      grad_norm: the norm of the layer's gradient, all its weights together.
    """

    name: str
    norms: np.ndarray
    grad_norm: float

    def clipped(self, max_grad_norm: float) -> "Flow":
        """The flow after the layer's gradient is clipped at this norm."""
        factor = min(1.0, max_grad_norm / self.grad_norm) if self.grad_norm else 1.0
        name = f"{self.name}, clipped"
        return Flow(name, self.norms * factor, self.grad_norm * factor)


def measure(model: "TextRNN", batch: "Batch") -> list[Flow]:
    """The gradient flow in the top layer of a model, a `Flow` for each direction.

    The loss is the model's own, through its own pooling, but enters each direction only at the
    step that it reads last.

    Args:
      model: built.
      batch: texts with their classes; those without a step do not count.
    """
    import tensorflow as tf

    from tf_textrnn.network.recurrent import DIRECTIONS

    token_ids, lengths, labels = (tf.convert_to_tensor(part) for part in batch)
    time = token_ids.shape[1]
    inputs = model.embedding(token_ids)
    for index in range(model.recurrent.num_layers - 1):
        inputs = model.recurrent.run_layer(index, inputs, lengths)
    top = model.recurrent.recurrent_layers[-1]
    weights = [[weight.value for weight in layer.weights] for layer in top]
    zeros = [tf.zeros([len(labels), time, model.recurrent.hidden_size]) for _ in top]
    is_last = tf.one_hot(lengths - 1, time)[:, :, None]
    with tf.GradientTape() as tape:
        tape.watch(zeros)
        outputs = []
        for direction, layer in enumerate(top):
            read = tf.reverse_sequence(inputs, lengths, seq_axis=1) if direction else inputs
            states = _perturbed_states(layer, read, zeros[direction])
            states = is_last * states + (1.0 - is_last) * tf.stop_gradient(states)
            if direction:
                states = tf.reverse_sequence(states, lengths, seq_axis=1)
            outputs.append(states)
        mask = tf.sequence_mask(lengths, time, tf.float32)
        scores = model.softmax(model.pooling(tf.concat(outputs, axis=-1), mask))
        losses = tf.nn.sparse_softmax_cross_entropy_with_logits(labels, scores)
        loss = tf.reduce_mean(losses)
    state_gradients, weight_gradients = tape.gradient(loss, [zeros, weights])
    return [
        Flow(
            f"{model.config.cell} {direction}",
            # A text's own loss has len(labels) times its share of the mean's gradient.
            _by_distance(tf.norm(states, axis=-1).numpy() * len(labels), lengths.numpy()),
            float(tf.linalg.global_norm(gradients)),
        )
        for direction, states, gradients in zip(
            DIRECTIONS, state_gradients, weight_gradients, strict=False
        )
    ]


def _perturbed_states(layer: Any, inputs: "tf.Tensor", change: "tf.Tensor") -> "tf.Tensor":
    """The outputs [batch, time, units] of a layer whose h_t is moved by change[:, t] at each t."""
    import tensorflow as tf

    from tf_textrnn.network.recurrent import TruncatedCell

    states = layer.get_initial_state(batch_size=inputs.shape[0])
    place = 1 if isinstance(layer.cell, TruncatedCell) else 0  # of h among the states
    outputs = []
    for t in range(inputs.shape[1]):
        _, states = layer.cell(inputs[:, t], states)
        states = list(states)
        states[place] += change[:, t]
        outputs.append(states[place])
    return tf.stack(outputs, axis=1)


def _by_distance(norms: np.ndarray, lengths: np.ndarray) -> np.ndarray:
    """The mean of norms float[batch, time] at each distance from the last step."""
    longest = int(lengths.max())
    distances = np.arange(longest)
    steps = lengths[:, None] - 1 - distances  # [batch, distance]
    found = np.take_along_axis(norms.astype(np.float64), np.maximum(steps, 0), axis=1)
    return np.average(found, axis=0, weights=steps >= 0)


def initial_flows() -> list[Flow]:
    """The flow in cells that have learned nothing, on texts of random words."""
    import keras

    from tf_textrnn.data.batches import Batch
    from tf_textrnn.network.model import TextRNN

    random = np.random.default_rng(1)
    batch = Batch(
        random.integers(0, INITIAL_WORDS, [INITIAL_TEXTS, INITIAL_STEPS], np.int32),
        np.full(INITIAL_TEXTS, INITIAL_STEPS, np.int32),
        random.integers(0, INITIAL_CLASSES, INITIAL_TEXTS, np.int32),
    )
    flows = []
    for name, options in INITIAL_CELLS.items():
        keras.utils.set_random_seed(1)
        config = ModelConfig(**{**_INITIAL, **options})
        model = TextRNN(config, INITIAL_WORDS, INITIAL_CLASSES)
        model.build()
        (flow,) = measure(model, batch)
        flows.append(dataclasses.replace(flow, name=name))
        if flow.grad_norm > MAX_GRAD_NORM:
            flows.append(flows[-1].clipped(MAX_GRAD_NORM))
    return flows


def run_flows(run_dir: str) -> list[Flow]:
    """The flow in a run's best model, on its longest validation texts.

    Raises:
      UserError: there is no run, or its texts are no longer those that it was trained on.
    """
    from tf_textrnn.data import splits
    from tf_textrnn.runs.folder import RunFolder, load_run

    run = load_run(RunFolder(run_dir))
    data = splits.load(splits.resolve(run.config))
    if data.vocabulary != run.vocabulary or data.labels != run.labels:
        raise UserError(
            f"--run_dir={run_dir}: its vocabulary or labels are not those of its training texts; "
            f"expected a run that was trained here, on the same files"
        )
    return measure_longest(run.model, data.valid)


def measure_longest(model: "TextRNN", split: "Split") -> list[Flow]:
    """The flow in a model, on the longest texts of a split; none where no text has a step."""
    longest = np.argsort(-split.lengths, kind="stable")[:RUN_TEXTS]
    return measure(model, split.batch(longest)) if split.lengths.any() else []


def figure(flows: Sequence[Flow]) -> "Figure":
    """A matplotlib figure: the norms by distance, on a logarithmic scale."""
    from matplotlib.figure import Figure

    plot = Figure(figsize=(8, 5), layout="constrained")
    axes = plot.subplots()
    for flow in flows:
        shown = np.where(flow.norms > 0, flow.norms, np.nan)
        axes.plot(shown, "--" if flow.name.endswith("clipped") else "-", label=flow.name)
    axes.set_yscale("log")
    axes.set_xlabel("steps back from where the loss enters")
    axes.set_ylabel("‖∂loss/∂h‖, mean over texts")
    axes.set_title("gradient flow through time")
    axes.grid(alpha=0.3)
    axes.legend()
    return plot


def table(flows: Sequence[Flow]) -> str:
    """Norms at some distances, what is left at the last of them, and `grad_norm`, in Markdown."""
    distances = [d for d in TABLE_DISTANCES if any(d < len(flow.norms) for flow in flows)]
    header = ["layer", *(f"distance {d}" for d in distances), f"{distances[-1]} / 0", "gradient"]
    rows = [header, ["---", *["---:"] * (len(header) - 1)]]
    for flow in flows:
        norms = [flow.norms[d] if d < len(flow.norms) else np.nan for d in distances]
        values = [*norms, norms[-1] / norms[0], flow.grad_norm]
        rows.append([flow.name, *("" if np.isnan(v) else f"{v:.2g}" for v in values)])
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def main(options: dict[str, Any]) -> None:
    load_tensorflow()
    flows = run_flows(options["run_dir"]) if options["run_dir"] else initial_flows()
    try:
        with atomic_write(pathlib.Path(options["output"])) as file:
            figure(flows).savefig(file, format="png", dpi=120)
    except OSError as error:
        raise UserError(f"--output={options['output']}: cannot be written ({error})") from error
    print(f"{table(flows)}\n\nplot: {options['output']}")


if __name__ == "__main__":
    flags.run(main, __doc__ or "", OPTIONS)
