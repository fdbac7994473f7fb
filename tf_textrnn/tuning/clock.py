"""The time of a tuning over all of its starts, and what it has decided, in `state.json`."""

import json
import pathlib
import time
from typing import Any

from tf_textrnn.base.errors import UserError
from tf_textrnn.base.files import atomic_write

_SAVE_SECONDS = 2.0


class Clock:
    """Adds up seconds, and keeps them with the decisions of a tuning.

    Args:
      path: of `state.json`, which need not be there.
      minutes: that the tuning may take.
      started: when this process began, by `time.monotonic`.

    Attributes:
      total: seconds that the tuning may take.
      seconds: those of each run, by its name.
      trained: those until the last epoch of each run.
      chosen: number of the trial that the search has found; None = the search is not over.
      kept: that of the trial that is trained at the end; None = not yet decided.

    Raises:
      UserError: the file is damaged.
    """

    def __init__(self, path: pathlib.Path, minutes: float, started: float):
        self._path = path
        self._started = self._saved = started
        self.total = 60 * minutes
        self._before = 0.0
        self.seconds: dict[str, float] = {}
        self.trained: dict[str, float] = {}
        self.chosen: int | None = None
        self.kept: int | None = None
        if not path.exists():
            return
        try:
            state = json.loads(path.read_text(encoding="utf-8"))
            self._before = float(state["spent"])
            self.seconds = {str(run): float(time) for run, time in state["seconds"].items()}
            self.trained = {str(run): float(time) for run, time in state["trained"].items()}
            self.chosen, self.kept = (_number(state[name]) for name in ("chosen", "kept"))
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise UserError(
                f"{path}: damaged ({error!r:.100}); expected the state of a tuning, or a new folder"
            ) from error

    @property
    def spent(self) -> float:
        """Seconds since the tuning began, but for those in which it did not run."""
        return self._before + time.monotonic() - self._started

    def tick(self) -> None:
        """Saves every now and then, so that a kill loses a moment."""
        if time.monotonic() - self._saved > _SAVE_SECONDS:
            self.save()

    def save(self) -> None:
        """Writes the file."""
        self._saved = time.monotonic()
        names = ("spent", "seconds", "trained", "chosen", "kept")
        state = {name: getattr(self, name) for name in names}
        with atomic_write(self._path) as file:
            file.write(json.dumps(state, indent=1).encode() + b"\n")


def _number(value: Any) -> int | None:
    return None if value is None else int(value)
