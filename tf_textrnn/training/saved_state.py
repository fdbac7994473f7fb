"""What a checkpoint says beside its arrays: where a training stands, and what it goes with."""

import dataclasses
import math
import pathlib
from collections.abc import Mapping
from typing import Any, NamedTuple

from tf_textrnn.base.errors import UserError
from tf_textrnn.runs import checkpoints
from tf_textrnn.runs.best import Named, are_branch_weights, parse_best, read_named_best
from tf_textrnn.runs.folder import RunFolder
from tf_textrnn.training.recorder import Progress

_COUNTS = ("epoch", "batch", "texts", "correct", "clipped")
_SUMS = ("loss_sum", "seconds")
_EPOCH_COUNTS = ("epoch", "step")
_EPOCH_NUMBERS = (
    "train_loss",
    "train_accuracy",
    "valid_loss",
    "valid_accuracy",
    "temperature",
    "learning_rate",
    "examples_per_second",
)


class SavedState(NamedTuple):
    """The state of a checkpoint; `docs/formats.md` has its keys.

    Attributes:
      progress: where the run stands.
      data: the fingerprint of its texts.
      vectors: the checksum of the file of `--pretrained_embeddings`; empty without one.
      summaries: the sizes of the event files.
      best: the file of the best weights; None before the first epoch.
      init_from: the checksum of the best weights of `--init_from`; empty without one.
    """

    progress: Progress
    data: str
    vectors: str
    summaries: dict[str, int]
    best: Named | None
    init_from: str

    def to_json(self) -> dict[str, Any]:
        """What `parse` reads."""
        return {
            **self._asdict(),
            "progress": dataclasses.asdict(self.progress),
            "best": self.best and self.best._asdict(),
        }

    @classmethod
    def parse(cls, checkpoint: checkpoints.Checkpoint) -> "SavedState":
        """The state of a checkpoint, which a stranger may have written.

        Raises:
          UserError: it is not that of a training.
        """
        state = checkpoint.state
        try:
            saved = cls(
                Progress(**state["progress"]),
                state["data"],
                state["vectors"],
                dict(state["summaries"]),
                parse_best(state),
                state.get("init_from", ""),
            )
            reason = _fault(saved)
        except (KeyError, TypeError, ValueError, checkpoints.DamagedError) as error:
            raise not_of_a_training(checkpoint.path, str(error)) from error
        if reason:
            raise not_of_a_training(checkpoint.path, reason)
        return saved


def read_state(checkpoint: checkpoints.Checkpoint, folder: RunFolder) -> SavedState:
    """The state of a checkpoint, once its best weights are found to be there, and the right ones.

    Raises:
      UserError: the state is not of a training, or the best weights are missing or others.
    """
    saved = SavedState.parse(checkpoint)
    if saved.best:
        read_named_best(folder, saved.best, checkpoint.path)
    return saved


def not_of_a_training(path: pathlib.Path, reason: str) -> UserError:
    """The error of a whole file that no training of ours wrote."""
    return UserError(f"{path}: not a checkpoint of a training ({reason[:200]})")


def is_of_epoch(metrics: Any) -> bool:
    """Whether something read from a file is the metrics of an epoch."""
    return (
        isinstance(metrics, Mapping)
        and all(_is_count(metrics.get(name)) for name in _EPOCH_COUNTS)
        and all(type(metrics.get(name)) in (int, float) for name in _EPOCH_NUMBERS)
        and math.isfinite(metrics["temperature"])
        and metrics["temperature"] > 0
        and are_branch_weights(metrics.get("branch_weights"))
    )


def _is_count(value: Any) -> bool:
    return type(value) is int and 0 <= value < 2**63


def _fault(saved: SavedState) -> str:
    """What no training writes, in words; empty where all is well."""
    progress = saved.progress
    for name in _COUNTS:
        if not _is_count(getattr(progress, name)):
            return f"{name} is {getattr(progress, name)!r}"
    for name in _SUMS:
        value = getattr(progress, name)
        if type(value) not in (int, float) or not math.isfinite(value):
            return f"{name} is {value!r}"
    history = progress.history
    if not isinstance(history, list) or not all(map(is_of_epoch, history)):
        return "its history is not the metrics of epochs"
    if len(history) != progress.epoch:
        return f"it holds the metrics of {len(history)} epochs, expected {progress.epoch}"
    if progress.best not in [{}, *history]:
        return "its best epoch is not one of its epochs"
    fingerprints = (saved.data, saved.vectors, saved.init_from)
    if not all(isinstance(each, str) for each in fingerprints):
        return "its fingerprints are not texts"
    for name, size in saved.summaries.items():
        if not isinstance(name, str) or not _is_count(size):
            return f"the event file {name!r} has the size {size!r}"
    return ""
