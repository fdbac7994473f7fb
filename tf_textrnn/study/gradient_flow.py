"""Measures how gradients vanish or explode on their way back through time.

    textrnn study gradients                   measures cells at initialization, and remedies
    textrnn study gradients --run_dir=runs/R  measures a trained model, on its validation texts

`tf_textrnn.network.gradient_flow` says what is measured, and how; the article's section 4.
"""

import dataclasses
import functools
import pathlib
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from tf_textrnn.base.options import option
from tf_textrnn.config import ModelConfig
from tf_textrnn.study.output import (
    StudyOptions,
    markdown_table,
    progress_bar,
    run_all,
    write_figure,
)

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from tf_textrnn.data.batches import Batch
    from tf_textrnn.network.gradient_flow import Flow
    from tf_textrnn.network.model import TextRNN

TITLE = "Gradients: vanishing, exploding, and the remedies"
MAX_GRAD_NORM = 5.0  # the default of training; flows of a greater norm are also shown clipped
TABLE_DISTANCES = (0, 1, 5, 10, 20, 50)
INITIAL_TEXTS, INITIAL_STEPS, INITIAL_WORDS, INITIAL_CLASSES = 32, 61, 1_000, 4
PENALTY_STEPS, QUICK_PENALTY_STEPS, PENALTY_RATE = 200, 50, 0.003

# One layer of 128 units, the loss at its last step, weights uniform in ± init_scale as in TF1.
_INITIAL = {"cell": "rnn", "init_scale": 0.1, "bidirectional": False, "pooling": "last"}
INITIAL_CELLS: dict[str, dict[str, Any]] = {
    "rnn": {},
    "rnn, large weights": {"init_scale": 0.3},
    "gru": {"cell": "gru"},
    "lstm, forget bias 0": {"cell": "lstm", "forget_bias": 0.0},
    "lstm, forget bias 1": {"cell": "lstm", "forget_bias": 1.0},
    "lstm, forget bias 5": {"cell": "lstm", "forget_bias": 5.0},
}
TRUNCATION = {"rnn, truncated at 16": {"bptt_truncate": 16}}


@dataclasses.dataclass(frozen=True)
class FlowOptions(StudyOptions):
    """Options of `textrnn study gradients`."""

    run_dir: str = option(
        "", "Run folder whose best model is measured; empty = cells at initialization", is_path=True
    )
    output: str = option(
        "",
        "PNG file of the plot; empty = study_gradients.png in --output_dir, run_gradients.png of a "
        "run",
        is_path=True,
    )


def experiments(quick: bool) -> Mapping[str, Callable[[], "Flow"]]:
    """The untrained cells by name, each to be measured on texts of random words.

    Args:
      quick: whether the regularizer has only some steps.
    """
    from tf_textrnn.study.remedies import REGULARIZED, REMEDIES

    steps = QUICK_PENALTY_STEPS if quick else PENALTY_STEPS
    cells = {**INITIAL_CELLS, **TRUNCATION}
    plain = {name: functools.partial(initial_flow, options) for name, options in cells.items()}
    return plain | {
        name: functools.partial(initial_flow, {}, make_cell, steps if name == REGULARIZED else 0)
        for name, make_cell in REMEDIES.items()
    }


def initial_flow(
    options: Mapping[str, Any],
    make_cell: Callable[[int], Any] | None = None,
    penalty_steps: int = 0,
) -> "Flow":
    """Measures the flow in an untrained cell, on texts of random words.

    Args:
      options: of the model, where they are not those of `_INITIAL`.
      make_cell: makes a Keras cell of so many units, instead of the model's own.
      penalty_steps: gradient steps that are taken before, down the regularizer alone.
    """
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
    keras.utils.set_random_seed(1)
    config = ModelConfig(**{**_INITIAL, **options})
    model = TextRNN(config, INITIAL_WORDS, INITIAL_CLASSES)
    if make_cell:
        layer = keras.layers.RNN(make_cell(config.hidden_size), return_sequences=True)
        model.recurrent.recurrent_layers = [[layer]]
    model.build()
    if penalty_steps:
        _regularize(model, batch, penalty_steps)
    (flow,) = measure(model, batch)
    return flow


def _regularize(model: "TextRNN", batch: "Batch", steps: int) -> None:
    """Takes steps down the regularizer alone, with Adam; the loss itself is not learned."""
    import keras
    import tensorflow as tf

    from tf_textrnn.study.remedies import flow_penalty

    layer = model.recurrent.recurrent_layers[0][0]
    kernel = layer.cell.recurrent_kernel
    token_ids, _, labels, _ = map(tf.convert_to_tensor, batch[:4])
    optimizer = keras.optimizers.Adam(PENALTY_RATE)
    optimizer.build([kernel])

    @tf.function
    def step() -> None:
        states = layer(model.embedding(token_ids))
        last = states[:, -1]
        with tf.GradientTape() as tape:
            tape.watch(last)
            loss = tf.nn.sparse_softmax_cross_entropy_with_logits(labels, model.softmax(last))
        d_last = tape.gradient(loss, last)
        with tf.GradientTape() as tape:
            penalty = flow_penalty(kernel.value, states, d_last)
        optimizer.apply([tape.gradient(penalty, kernel.value)], [kernel])

    for _ in range(steps):
        step()


def _named(found: Mapping[str, "Flow"]) -> list["Flow"]:
    """The flows under the names of their cells, and the clipped one after each that is too long."""
    shown = []
    for name, flow in found.items():
        shown.append(dataclasses.replace(flow, name=name))
        if flow.grad_norm > MAX_GRAD_NORM:
            shown.append(shown[-1].clipped(MAX_GRAD_NORM))
    return shown


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


def table(found: Mapping[str, "Flow"]) -> list[list[str]]:
    """Rows of a table of cells: norms at some distances, the last over the first, `grad_norm`."""
    return _rows(_named(found))


def _rows(flows: Sequence["Flow"]) -> list[list[str]]:
    distances = [d for d in TABLE_DISTANCES if any(d < len(flow.norms) for flow in flows)]
    header = ["layer", *(f"distance {d}" for d in distances), f"{distances[-1]} / 0", "gradient"]
    rows = [header]
    for flow in flows:
        norms = [flow.norms[d] if d < len(flow.norms) else np.nan for d in distances]
        values = [*norms, norms[-1] / norms[0], flow.grad_norm]
        rows.append([flow.name, *("" if np.isnan(v) else f"{v:.2g}" for v in values)])
    return rows


def figure(found: Mapping[str, "Flow"]) -> "Figure":
    """Draws the norms by distance: cells on the left, the vanilla cell's remedies on the right."""
    from matplotlib.figure import Figure

    from tf_textrnn.runs.plots import draw_flows

    cells = {name: flow for name, flow in found.items() if name in INITIAL_CELLS}
    others = {name: flow for name, flow in found.items() if name not in INITIAL_CELLS}
    plot = Figure(figsize=(13, 5), layout="constrained")
    left, right = plot.subplots(ncols=2, sharey=True)
    draw_flows(left, _named(cells), "cells as they start")
    draw_flows(right, _named({"rnn": found["rnn"], **others}), "remedies of the vanilla cell")
    return plot


def study(options: FlowOptions) -> None:
    """Prints a table of the flows and plots them.

    Raises:
      UserError: as for `run_flows`, or the plot cannot be written.
    """
    from tf_textrnn.runs.plots import gradient_flow_figure

    name = "run_gradients.png" if options.run_dir else "study_gradients.png"
    path = pathlib.Path(options.output) if options.output else options.output_path(name)
    if options.run_dir:
        flows = run_flows(options.run_dir)
        plot = gradient_flow_figure(flows)
    else:
        cells = experiments(options.quick)
        with progress_bar(len(cells)) as bar:
            found = run_all("gradients", cells, bar)
        flows, plot = _named(found), figure(found)
    write_figure(plot, path, f"--output={path}" if options.output else options.output_flag)
    print(f"{markdown_table(_rows(flows))}\n\nplot: {path}")
