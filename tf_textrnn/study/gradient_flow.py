"""How the gradient fares on its way back through time: vanishing and exploding, measured.

    python -m tf_textrnn.study.gradient_flow                   cells at initialisation
    python -m tf_textrnn.study.gradient_flow --run_dir=runs/R  a trained model, on its valid texts

What is measured, and how, is in `tf_textrnn.network.gradient_flow`.
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
    from tf_textrnn.network.gradient_flow import Flow

OPTIONS: dict[str, tuple[Any, str]] = {
    "run_dir": ("", "the run whose best model is measured; empty = cells at initialisation"),
    "output": ("gradient_flow.png", "the plot, a PNG"),
}
MAX_GRAD_NORM = 5.0  # where clipping is shown: the default of training
TABLE_DISTANCES = (0, 1, 5, 10, 20, 50)
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


def initial_flows() -> list["Flow"]:
    """The flow in cells that have learned nothing, on texts of random words."""
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
    """The flow in a run's best model, on its longest validation texts.

    Raises:
      UserError: there is no run, or its texts are no longer those that it was trained on.
    """
    from tf_textrnn.data import splits
    from tf_textrnn.network.gradient_flow import measure_longest
    from tf_textrnn.runs.folder import RunFolder, load_run

    run = load_run(RunFolder(run_dir))
    data = splits.load(run.config.settled())
    if data.vocabulary != run.vocabulary or data.labels != run.labels:
        raise UserError(
            f"--run_dir={run_dir}: its vocabulary or labels are not those of its training texts; "
            f"expected a run that was trained here, on the same files"
        )
    return measure_longest(run.model, data.valid)


def table(flows: Sequence["Flow"]) -> str:
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
    from tf_textrnn.runs.plots import gradient_flow_figure

    flows = run_flows(options["run_dir"]) if options["run_dir"] else initial_flows()
    try:
        with atomic_write(pathlib.Path(options["output"])) as file:
            gradient_flow_figure(flows).savefig(file, format="png", dpi=120)
    except OSError as error:
        raise UserError(f"--output={options['output']}: cannot be written ({error})") from error
    print(f"{table(flows)}\n\nplot: {options['output']}")


if __name__ == "__main__":
    flags.run(main, __doc__ or "", OPTIONS)
