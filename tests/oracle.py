"""Runs the TF1 graph as an oracle, for the tests of several modules."""

import os
import pathlib
import subprocess
import sys

import numpy as np

SCRIPT = pathlib.Path(__file__).with_name("tf1_graph.py")


class Oracle:
    """What the TF1 graph computed.

    Attributes:
      folder: holds a folder with a checkpoint for each case whose name begins with `saved`.
    """

    def __init__(self, folder: pathlib.Path):
        self.folder = folder
        with np.load(folder / "oracle.npz") as file:
            self._arrays = dict(file)

    def __getitem__(self, case: str) -> dict[str, np.ndarray]:
        """Returns the arrays of a case, by quantity."""
        return part(self._arrays, case)

    def cases(self, kind: str) -> list[str]:
        """Returns the names of the cases that begin with `kind`."""
        return sorted({name.split("/")[0] for name in self._arrays if name.startswith(kind)})


def part(arrays: dict[str, np.ndarray], prefix: str) -> dict[str, np.ndarray]:
    """Returns the arrays under `prefix/`, by name without the prefix."""
    return {
        name.removeprefix(f"{prefix}/"): array
        for name, array in arrays.items()
        if name.startswith(f"{prefix}/")
    }


def run_oracle(folder: pathlib.Path) -> Oracle:
    """Runs the TF1 graph in a process of its own: its legacy cells need the old Keras."""
    environment = {**os.environ, "TF_USE_LEGACY_KERAS": "1"}
    subprocess.run([sys.executable, str(SCRIPT), str(folder)], check=True, env=environment)
    return Oracle(folder)
