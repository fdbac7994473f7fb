"""Measures training speed as one size grows and the others stay: a figure and JSON.

    python -m benchmarks.growth [--output docs/images/growth.png] [--json F]

The texts are random and of equal length, 23 tokens unless the length grows. A point is the median
of the rounds. Each round is a process of its own, and the points of a curve take turns.
"""

import argparse
import json
import os
import pathlib
import statistics
import subprocess
import sys
import tempfile
from typing import NamedTuple

import matplotlib
import numpy as np


class Setting(NamedTuple):
    """Sizes of a run; each curve changes one of them."""

    texts: int = 4096
    length: int = 23
    vocabulary: int = 20_000
    batch_size: int = 64
    hidden_size: int = 128
    threads: int = os.cpu_count() or 1


CURVES = {
    "length": (10, 25, 50, 100, 200, 400),
    "batch_size": (16, 32, 64, 128, 256),
    "hidden_size": (64, 128, 256, 512),
    "vocabulary": (20_000, 50_000, 100_000, 200_000, 500_000),
    "texts": (2_000, 20_000, 100_000),
    "threads": tuple(2**power for power in range((os.cpu_count() or 1).bit_length())),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--curves", nargs="+", choices=CURVES, default=list(CURVES))
    parser.add_argument("--output", default="docs/images/growth.png")
    parser.add_argument("--json", help="write the figures here")
    args = parser.parse_args()
    figures: dict[str, dict[int, float]] = {}
    for curve in args.curves:
        rates: dict[int, list[float]] = {value: [] for value in CURVES[curve]}
        for _ in range(args.rounds):
            for value, found in rates.items():
                found.append(tokens_per_second(Setting()._replace(**{curve: value})))
        figures[curve] = {value: statistics.median(found) for value, found in rates.items()}
        print(curve, {value: round(rate) for value, rate in figures[curve].items()}, flush=True)
    if args.json:
        pathlib.Path(args.json).write_text(json.dumps(figures, indent=2) + "\n")
    plot(figures, args.output)


def tokens_per_second(setting: Setting) -> float:
    """Measures training on random texts, in a process of its own."""
    random = np.random.default_rng(0)
    with tempfile.TemporaryDirectory() as folder:
        path = str(pathlib.Path(folder) / "contest.npz")
        np.savez(
            path,
            token_ids=random.integers(2, setting.vocabulary, setting.texts * setting.length),
            offsets=np.arange(setting.texts + 1) * setting.length,
            classes=random.integers(0, 2, setting.texts),
            vocab_size=setting.vocabulary,
            num_classes=2,
        )
        command = [sys.executable, "-m", "benchmarks.project", path, "--epochs=3"]
        command += [f"--{name}={getattr(setting, name)}" for name in ("batch_size", "hidden_size")]
        threads = {"TF_NUM_INTEROP_THREADS": str(setting.threads), "TF_NUM_INTRAOP_THREADS": "1"}
        done = subprocess.run(
            command, check=True, capture_output=True, text=True, env=os.environ | threads
        )
    return json.loads(done.stdout.splitlines()[-1])["examples_per_second"] * setting.length


def plot(figures: dict[str, dict[int, float]], path: str) -> None:
    """Draws a panel for each curve: tokens/s over the size."""
    matplotlib.use("Agg")
    from matplotlib import pyplot

    columns = min(3, len(figures))
    rows = -(-len(figures) // columns)
    figure, axes = pyplot.subplots(rows, columns, figsize=(4 * columns, 3 * rows), squeeze=False)
    for axis, (curve, points) in zip(axes.flat, figures.items(), strict=False):
        axis.plot(list(points), [rate / 1e3 for rate in points.values()], marker="o")
        axis.set(xscale="log", xlabel=curve.replace("_", " "), ylabel="thousand tokens/s")
        axis.set_xticks(list(points), [f"{value:,}" for value in points], fontsize=7, minor=False)
        axis.minorticks_off()
        axis.set_ylim(0, 1.1e-3 * max(points.values()))
        axis.grid(alpha=0.3)
    figure.tight_layout()
    figure.savefig(path, dpi=100)
    pyplot.close(figure)


if __name__ == "__main__":
    main()
