"""Saves while training goes on."""

import concurrent.futures
from collections.abc import Mapping
from typing import Any

import numpy as np
import tensorflow as tf

from tf_textrnn.runs import best, checkpoints
from tf_textrnn.runs.folder import RunFolder


class BackgroundSaver:
    """Writes the checkpoints of a run in a thread of its own, so that training goes on meanwhile.

    Args:
      folder: of the run.
    """

    def __init__(self, folder: RunFolder) -> None:
        self._folder = folder
        self._thread = concurrent.futures.ThreadPoolExecutor(1, "checkpoint")
        self._under_way: concurrent.futures.Future | None = None

    def save(
        self, step: int, variables: Mapping[str, tf.Variable], state: Mapping[str, Any]
    ) -> None:
        """Begins to save the variables as they are now. One save at a time: `wait` comes before."""
        arrays = {name: variable.numpy() for name, variable in variables.items()}
        self._under_way = self._thread.submit(self._save, step, arrays, state)

    def wait(self) -> None:
        """Returns when the last save is on disk, or raises what it failed with."""
        under_way, self._under_way = self._under_way, None
        if under_way:
            under_way.result()

    def _save(self, step: int, arrays: Mapping[str, np.ndarray], state: Mapping[str, Any]) -> None:
        checkpoints.save_step(self._folder.checkpoints, step, arrays, state)
        best.remove_unnamed(self._folder.best, self._folder.checkpoints)
