"""Where a run stands, and what a person sees of it: a bar on a terminal, else a line an epoch."""

import dataclasses
import sys
from typing import Any

import tqdm


@dataclasses.dataclass
class Progress:
    """Where a run stands; all of it is in every checkpoint.

    Attributes:
      epoch: the epoch under way, from 0.
      batch: batches of it that are done.
      loss_sum: the sum of their examples' losses.
      correct: how many of those examples were right.
      clipped: batches whose gradient was clipped.
      seconds: the time that the epoch's steps took.
      best: the metrics of the best epoch so far.
      history: the metrics of every finished epoch.
    """

    epoch: int = 0
    batch: int = 0
    loss_sum: float = 0.0
    correct: int = 0
    clipped: int = 0
    seconds: float = 0.0
    best: dict[str, Any] = dataclasses.field(default_factory=dict)
    history: list[dict[str, Any]] = dataclasses.field(default_factory=list)


class EpochBar:
    """The bar of one epoch; silent where stderr is no terminal.

    Args:
      epoch: from 0.
      num_epochs: the most there will be.
      examples: of the epoch.
      done: examples that are already behind.
    """

    def __init__(self, epoch: int, num_epochs: int, examples: int, done: int):
        self._bar = tqdm.tqdm(
            desc=f"epoch {epoch + 1}/{num_epochs}",
            total=examples,
            initial=done,
            unit=" examples",
            leave=False,
            dynamic_ncols=True,
            mininterval=0.2,
            disable=not sys.stderr.isatty(),
        )

    def update(self, examples: int, loss: float, accuracy: float) -> None:
        """Moves on by `examples`; loss and accuracy are those of the epoch so far."""
        self._bar.set_postfix_str(f"loss {loss:.4f} accuracy {accuracy:.4f}", refresh=False)
        self._bar.update(examples)

    def close(self) -> None:
        """Takes the bar off the terminal."""
        self._bar.close()


def print_epoch(metrics: dict[str, Any], num_epochs: int, is_best: bool) -> None:
    """Prints the line of a finished epoch."""
    print(
        f"epoch {metrics['epoch'] + 1:3d}/{num_epochs}"
        f"  train loss {metrics['train_loss']:.4f} accuracy {metrics['train_accuracy']:.4f}"
        f"  valid loss {metrics['valid_loss']:.4f} accuracy {metrics['valid_accuracy']:.4f}"
        f"  {metrics['examples_per_second']:7,.0f} examples/s{'  *' if is_best else ''}",
        flush=True,
    )
