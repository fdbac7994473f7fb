"""What the contestants of the speed benchmark share: their input and their report.

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
    """The texts that contestants train on.

    Attributes:
      token_ids: int32[tokens], the texts end to end.
      offsets: int64[texts + 1], where each text starts in `token_ids`.
      classes: int32[texts], class of each text.
      vocab_size: number of token ids.
      num_classes: number of classes.
    """

    token_ids: np.ndarray
    offsets: np.ndarray
    classes: np.ndarray
    vocab_size: int
    num_classes: int

    @property
    def lengths(self) -> np.ndarray:
        """int64[texts], number of tokens of each text."""
        return np.diff(self.offsets)

    def padded(self, rows: np.ndarray, width: int) -> np.ndarray:
        """Returns int32[rows, width], the ids of these texts, cut or padded with 0."""
        ids = np.zeros((len(rows), width), np.int32)
        for place, row in enumerate(rows):
            text = self.token_ids[self.offsets[row] : self.offsets[row + 1]][:width]
            ids[place, : len(text)] = text
        return ids


def arguments(description: str) -> argparse.Namespace:
    """Parses the command line of a contestant."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("input", help="file of the contest, .npz")
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--unidirectional", action="store_true")
    parser.add_argument(
        "--sgd", action="store_true", help="gradient descent at rate 0.1 instead of Adam"
    )
    parser.add_argument("--max_len", type=int, default=400)
    parser.add_argument("--hidden_size", type=int, default=128)
    parser.add_argument("--batch_size", type=int, default=64)
    parser.add_argument(
        "--summaries", action="store_true", help="write summaries of the gradients at every step"
    )
    return parser.parse_args()


def read(path: str) -> Contest:
    """Reads the texts of a contest."""
    with np.load(path) as file:
        return Contest(*(file[name] for name in Contest._fields[:3]),
                       *(int(file[name]) for name in Contest._fields[3:]))  # fmt: skip


def compete(epoch: Callable[[], object], args: argparse.Namespace, num_texts: int) -> None:
    """Runs epochs and prints examples/s (median of all epochs but the first) and peak memory.

    Args:
      epoch: function that trains on every text once.
      args: gives the number of epochs, of which the first is a warm-up, and the batch size.
      num_texts: number of texts in an epoch.
    """
    seconds = []
    for _ in range(args.epochs):
        start = time.perf_counter()
        epoch()
        seconds.append(time.perf_counter() - start)
    typical = statistics.median(seconds[1:] or seconds)
    figures = {
        "examples_per_second": num_texts / typical,
        "step_milliseconds": 1e3 * typical / -(-num_texts // args.batch_size),
        "peak_megabytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
    }
    print(json.dumps(figures), flush=True)
