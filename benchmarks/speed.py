"""Training speed beside the TF1 source graph and the stock Keras recipe.

    python -m benchmarks.speed [--data_dir D] [--rounds 5] [--json F]

Contestants run in processes of their own, alternated; a figure is the median of the rounds.
"""

import argparse
import json
import os
import pathlib
import statistics
import subprocess
import sys
import tempfile
from typing import Any

import numpy as np

from tf_textrnn.startup import load_tensorflow

# name: (contestant, flags); a setting is a project and the peers that do the same work. In one
# direction they train by gradient descent on texts cut at 40 tokens, in both by Adam.
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
    parser.add_argument("--data_dir", help="folder with train.tsv; default: the built-in set")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--settings", nargs="+", choices=SETTINGS, default=list(SETTINGS))
    parser.add_argument("--json", help="write the figures here")
    args = parser.parse_args()
    environment = dict(os.environ)  # without the project's threads: a peer runs as its users run it
    with tempfile.TemporaryDirectory() as folder:
        path = str(pathlib.Path(folder) / "contest.npz")
        write_contest(path, args.data_dir)
        limit = matrix_product_limit()
        figures: dict[str, Any] = {"matrix_product_gflops": limit}
        print(f"matrix products of the LSTM's shape: {limit:.0f} GFLOP/s")
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
    """Prints a setting's table and returns its medians."""
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
    """Encodes the training texts of a folder, or of the built-in set, for all contestants."""
    load_tensorflow()
    from tf_textrnn.config import Config
    from tf_textrnn.data import splits

    files = {}
    if data_dir:
        folder = pathlib.Path(data_dir)
        files = {f"{split}_file": str(folder / f"{split}.tsv") for split in ("train", "valid")}
    data = splits.load(splits.resolve(Config().replace(**files)))
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


def matrix_product_limit() -> float:
    """GFLOP/s of [64 texts × 21 steps, 128] · [128, 512], the LSTM's largest product."""
    import time

    import tensorflow as tf

    left, right = tf.random.normal([64 * 21, 128]), tf.random.normal([128, 512])
    product = tf.function(lambda: tf.matmul(left, right))
    product()
    seconds = []
    for _ in range(200):
        start = time.perf_counter()
        product()
        seconds.append(time.perf_counter() - start)
    return 2 * 64 * 21 * 128 * 512 / statistics.median(seconds) / 1e9


if __name__ == "__main__":
    main()
