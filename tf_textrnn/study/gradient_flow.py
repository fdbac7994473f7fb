"""Measures how gradients vanish or explode on their way back through time.

    textrnn study gradients                   measures cells at initialization
    textrnn study gradients --run_dir=runs/R  measures a trained model, on its validation texts

`tf_textrnn.network.gradient_flow` says what is measured, and how.
"""

import dataclasses
import pathlib
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from tf_textrnn.base.errors import UserError
from tf_textrnn.base.files import atomic_write
from tf_textrnn.base.options import CheckedOptions, option
from tf_textrnn.config import ModelConfig

if TYPE_CHECKING:
    from tf_textrnn.network.gradient_flow import Flow

MAX_GRAD_NORM = 5.0  # the default of training; flows of a greater norm are also shown clipped
TABLE_DISTANCES = (0, 1, 5, 10, 20, 50)
INITIAL_TEXTS, INITIAL_STEPS, INITIAL_WORDS, INITIAL_CLASSES = 32, 61, 1_000, 4

# One layer of 128 units, the loss at its last step, weights uniform in ± init_scale as in TF1.
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
class FlowOptions(CheckedOptions):
    """Options of `textrnn study gradients`."""

    run_dir: str = option(
        "", "Run folder whose best model is measured; empty = cells at initialization", is_path=True
    )
    output: str = option("gradient_flow.png", "PNG file of the plot", is_path=True)


def initial_flows() -> list["Flow"]:
    """Measures the flow in untrained cells, on texts of random words."""
    import keras

    from tf_textrnn.data.batches import Batch
    from tf_textrnn.network.gradient_flow import measure
    from tf_textrnn.network.model import TextRNN

    random = np.random.default_rng(1)
    batch = Batch(
        random.integers(0, INITIAL_WORDS, [INITIAL_TEXTS, INITIAL_STEPS], np.int32),
        np.full(INITIAL_TEXTS, INITIAL_STEPS, np.int32),
        random.integers(0, INITIAL_CLASSES, INITIAL_TEXTS, np.int32),
        np.ones(INITIAL_TEXTS, np.float32),
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


def run_flows(run_dir: str) -> list["Flow"]:
    """Measures the flow in a run's best model, on its longest validation texts.

    Args:
      run_dir: folder of the run.

    Raises:
      UserError: there is no run, or its files no longer give the vocabulary and labels that it was
        trained with.
    """
    from tf_textrnn.network.gradient_flow import measure_longest
    from tf_textrnn.runs.folder import RunFolder
    from tf_textrnn.runs.loaded import load_run, own_data

    folder = RunFolder(run_dir)
    return measure_longest(load_run(folder).model, own_data(folder).valid)


def table(flows: Sequence["Flow"]) -> str:
    """Returns a Markdown table: norms at some distances, the last over the first, `grad_norm`."""
    distances = [d for d in TABLE_DISTANCES if any(d < len(flow.norms) for flow in flows)]
    header = ["layer", *(f"distance {d}" for d in distances), f"{distances[-1]} / 0", "gradient"]
    rows = [header, ["---", *["---:"] * (len(header) - 1)]]
    for flow in flows:
        norms = [flow.norms[d] if d < len(flow.norms) else np.nan for d in distances]
        values = [*norms, norms[-1] / norms[0], flow.grad_norm]
        rows.append([flow.name, *("" if np.isnan(v) else f"{v:.2g}" for v in values)])
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def study(options: FlowOptions) -> None:
    """Prints a table of the flows and plots them.

    Raises:
      UserError: as for `run_flows`, or the plot cannot be written.
    """
    from tf_textrnn.runs.plots import gradient_flow_figure

    flows = run_flows(options.run_dir) if options.run_dir else initial_flows()
    try:
        with atomic_write(pathlib.Path(options.output)) as file:
            gradient_flow_figure(flows).savefig(file, format="png", dpi=120)
    except OSError as error:
        raise UserError(f"--output={options.output}: cannot be written ({error})") from error
    print(f"{table(flows)}\n\nplot: {options.output}")
