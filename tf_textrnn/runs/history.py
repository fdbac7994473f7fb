"""What a run's epochs have come to: which one it keeps, and whether another follows."""

import json
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

from tf_textrnn.config import TrainingConfig

LEAST_GAIN = 0.01  # share of the loss; less than that is no reason to train on


def read_history(path: pathlib.Path) -> list[dict[str, Any]]:
    """The lines of a run's `metrics.jsonl`; none where there is no such file yet."""
    try:
        text = (path / "metrics.jsonl").read_text(encoding="utf-8")
    except FileNotFoundError:
        return []
    return [json.loads(line) for line in text.splitlines()]


def kept_epoch(history: Sequence[Mapping[str, Any]]) -> Mapping[str, Any]:
    """The epoch that a run keeps, as `training.loop` has it: the first of the least loss."""
    return min(history, key=lambda epoch: epoch["valid_loss"])


def is_trained(history: Sequence[Mapping[str, Any]], training: TrainingConfig) -> bool:
    """Whether a run has come to its last epoch, or its patience to an end.

    Patience waits for gains: for a validation loss that is `LEAST_GAIN` below that of the last
    gain. A loss that creeps on is none; the best of these epochs is kept all the same.

    Args:
      history: the metrics of every finished epoch.
      training: with `num_epochs` and `patience`.
    """
    if len(history) >= training.num_epochs:
        return True
    least, without_gain = float("inf"), 0
    for epoch in history:
        is_gain = epoch["valid_loss"] < (1.0 - LEAST_GAIN) * least
        least = epoch["valid_loss"] if is_gain else least
        without_gain = 0 if is_gain else without_gain + 1
    return 0 < training.patience <= without_gain
