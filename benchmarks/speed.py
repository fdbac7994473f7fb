"""Measures training speed beside the TF1 source graph and the stock Keras recipe.

    python -m benchmarks.speed [--data_dir D] [--rounds 5] [--json F]

Contestants take turns, each in a process of its own; a figure is the median of the rounds.
"""

import argparse
import json
import os
import pathlib
import statistics
import subprocess
import sys
import tempfile
import time
from typing import Any

import numpy as np

from benchmarks import contest
from tf_textrnn.base.startup import load_tensorflow

# name: (contestant, flags). A setting has the project and its peers, which do the same work. In one
# direction they train by gradient descent on texts cut at 40 tokens, in both directions by Adam.
SETTINGS: dict[str, dict[str, tuple[str, ...]]] = {
    "one-direction": {
        "project": ("project", "--unidirectional", "--sgd", "--max_len=40"),
        "TF1 source graph": ("source_graph", "--unidirectional", "--sgd", "--max_len=40"),
    },
    "one-direction-summaries": {
        "project": ("project", "--unidirectional", "--sgd", "--max_len=40", "--summaries"),
        "TF1 source graph": (
            "source_graph",
            "--unidirectional",
            "--sgd",
            "--max_len=40",
            "--summaries",
        ),
    },
    "both-directions": {
        "project": ("project",),
        "stock Keras": ("stock_keras",),
    },
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--data_dir", help="folder with train.tsv and valid.tsv; default: the built-in set"
    )
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--settings", nargs="+", choices=SETTINGS, default=list(SETTINGS))
    parser.add_argument("--json", help="write the figures here")
    args = parser.parse_args()
    # Copied before this project sets its threads: a peer runs as its users run it.
    environment = dict(os.environ)
    with tempfile.TemporaryDirectory() as folder:
        path = str(pathlib.Path(folder) / "contest.npz")
        write_contest(path, args.data_dir)
        figures: dict[str, Any] = {"gflops": rates(path)}
        product, lstm = figures["gflops"].values()
        print(f"GFLOP/s a core: product {product:.0f}, LSTM {lstm:.0f} ({lstm / product:.2f})")
        for setting in args.settings:
            contestants = SETTINGS[setting]
            rounds: dict[str, list[dict[str, float]]] = {name: [] for name in contestants}
            for _ in range(args.rounds):
                for name, (module, *flags) in contestants.items():
                    command = [sys.executable, "-m", f"benchmarks.{module}", path, *flags]
                    command.append(f"--epochs={args.epochs}")
                    done = subprocess.run(
                        command, check=True, capture_output=True, text=True, env=environment
                    )
                    rounds[name].append(json.loads(done.stdout.splitlines()[-1]))
            figures[setting] = summarize(setting, rounds)
    if args.json:
        pathlib.Path(args.json).write_text(json.dumps(figures, indent=2) + "\n")


def summarize(setting: str, rounds: dict[str, list[dict[str, float]]]) -> dict[str, Any]:
    """Prints the table of a setting and returns its medians."""
    print(f"\n{setting}\n{'':20s} examples/s   ms a step   peak MB   ratio")
    medians = {
        name: {key: statistics.median(figures[key] for figures in found) for key in found[0]}
        for name, found in rounds.items()
    }
    ours = medians["project"]["examples_per_second"]
    for name, row in medians.items():
        row["project_is_faster_by"] = ours / row["examples_per_second"]
        print(
            f"{name:20s} {row['examples_per_second']:10,.0f} {row['step_milliseconds']:11.2f}"
            f" {row['peak_megabytes']:9,.0f} {row['project_is_faster_by']:7.2f}",
            flush=True,
        )
    return medians


def write_contest(path: str, data_dir: str | None) -> None:
    """Encodes the training texts of a folder or of the built-in set, for all contestants."""
    load_tensorflow()
    from tf_textrnn.config import Config
    from tf_textrnn.data import splits

    files = {}
    if data_dir:
        folder = pathlib.Path(data_dir)
        files = {f"{split}_file": str(folder / f"{split}.tsv") for split in ("train", "valid")}
    data = splits.load(Config().replace(**files).settled())
    train = data.train
    lengths = train.lengths
    token_ids = [train.batch(np.array([i])).token_ids[0, : lengths[i]] for i in range(len(train))]
    np.savez(
        path,
        token_ids=np.concatenate(token_ids),
        offsets=np.concatenate([[0], np.cumsum(lengths)]),
        classes=train.classes,
        vocab_size=len(data.vocabulary),
        num_classes=len(data.labels),
    )


def rates(path: str) -> dict[str, float]:
    """Measures the GFLOP/s of a core, in the LSTM of a train step and in its largest product alone.

    The LSTM runs in both directions, forward and back, on a batch as long as the median text. The
    time is processor time, summed over threads.
    """
    import tensorflow as tf

    from tf_textrnn.network.recurrent import RecurrentStack

    steps = int(np.median(contest.read(path).lengths))
    texts, units = 64, contest.EMBEDDING_DIM
    product_flops = 2 * texts * steps * units * 4 * units
    layer = RecurrentStack(hidden_size=units)
    layer.build((None, None, units))
    inputs = tf.random.normal([texts, steps, units])
    lengths = tf.fill([texts], steps)
    left, right = tf.random.normal([texts * steps, units]), tf.random.normal([units, 4 * units])

    @tf.function
    def lstm() -> list[tf.Tensor]:
        with tf.GradientTape() as tape:
            tape.watch(inputs)
            outputs = layer(inputs, lengths, training=True)
        return tape.gradient(outputs, [inputs, *(w.value for w in layer.trainable_variables)])

    product = tf.function(lambda: tf.matmul(left, right))
    # A direction multiplies by the inputs and by the outputs, and each of these products has two
    # more in its gradient.
    work = {"product": (product, product_flops), "lstm": (lstm, 2 * 2 * 3 * product_flops)}
    found: dict[str, list[float]] = {name: [] for name in work}
    for _ in range(40):
        for name, (function, flops) in work.items():
            function()
            start = time.process_time()
            for _ in range(5):
                function()
            found[name].append(5 * flops / (time.process_time() - start) / 1e9)
    return {name: statistics.median(figures) for name, figures in found.items()}


if __name__ == "__main__":
    main()
