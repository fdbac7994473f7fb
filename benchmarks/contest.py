"""What the speed benchmark's contestants share: their input, and how they report.

Each runs in a process of its own as `python -m benchmarks.<contestant> INPUT [flags]`, reads the
same encoded texts, trains, and prints one line of JSON.
"""

import argparse
import json
import resource
import statistics
import time
from collections.abc import Callable
from typing import NamedTuple

import numpy as np

EMBEDDING_DIM = 128
KEEP_PROB = 0.5
MAX_GRAD_NORM = 5.0


class Contest(NamedTuple):
    """The texts: token ids end to end, where each text starts, its class; sizes."""

    token_ids: np.ndarray
    offsets: np.ndarray
    classes: np.ndarray
    vocab_size: int
    num_classes: int

    @property
    def lengths(self) -> np.ndarray:
        """int64[texts], tokens of each text."""
        return np.diff(self.offsets)

    def padded(self, rows: np.ndarray, width: int) -> np.ndarray:
        """int32[rows, width]: these texts' ids, cut or padded with 0."""
        ids = np.zeros((len(rows), width), np.int32)
        for place, row in enumerate(rows):
            text = self.token_ids[self.offsets[row] : self.offsets[row + 1]][:width]
            ids[place, : len(text)] = text
        return ids


def arguments(description: str) -> argparse.Namespace:
    """The contestant's command line."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("input", help="the contest's .npz")
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--unidirectional", action="store_true")
    parser.add_argument("--sgd", action="store_true", help="gradient descent at 0.1; else Adam")
    parser.add_argument("--max_len", type=int, default=400)
    parser.add_argument("--hidden_size", type=int, default=128)
    parser.add_argument("--batch_size", type=int, default=64)
    parser.add_argument("--summaries", action="store_true", help="of the gradients, at every step")
    return parser.parse_args()


def read(path: str) -> Contest:
    """The contest's texts."""
    with np.load(path) as file:
        return Contest(*(file[name] for name in Contest._fields[:3]),
                       *(int(file[name]) for name in Contest._fields[3:]))  # fmt: skip


def compete(epoch: Callable[[], object], args: argparse.Namespace, examples: int) -> None:
    """Runs epochs and prints examples/s (the median after the first epoch) and peak memory.

    Args:
      epoch: trains on every example once.
      args: how many epochs, of which the first is a warm-up, and the batch size.
      examples: in an epoch.
    """
    seconds = []
    for _ in range(args.epochs):
        start = time.perf_counter()
        epoch()
        seconds.append(time.perf_counter() - start)
    typical = statistics.median(seconds[1:] or seconds)
    figures = {
        "examples_per_second": examples / typical,
        "step_milliseconds": 1e3 * typical / -(-examples // args.batch_size),
        "peak_megabytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
    }
    print(json.dumps(figures), flush=True)
