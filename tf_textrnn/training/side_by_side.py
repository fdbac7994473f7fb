"""Trains parts of a run's texts side by side: folds, or the shares of a learning curve.

Each trains in a process of its own (`training/part_process.py`), as many at once as the cores take,
and leaves in its folder what it has come to. The run finds such a part done when it comes to it,
and trains itself what no process has done.
"""

from typing import NamedTuple

import tensorflow as tf

from tf_textrnn.base.processes import LOG, MODULE, OwnProcess, pause, stop_all, trainings_at_once
from tf_textrnn.base.startup import usable_cores
from tf_textrnn.base.terminal import note, show, warn
from tf_textrnn.config import Config
from tf_textrnn.data.sources import standard_input_flag
from tf_textrnn.runs.folder import RunFolder
from tf_textrnn.training.learning_curve import SHARES

PROGRAM = (*MODULE, "tf_textrnn.training.part_process")


class _Part(NamedTuple):
    """A training on some of the texts: what people call it, its process's words, its folder."""

    name: str
    words: tuple[str, str]
    folder: RunFolder


class _PartProcess(OwnProcess):
    """Trains one part."""

    def __init__(self, part: _Part, config: Config, threads: int):
        self._name = part.name
        part.folder.make()
        words = [*PROGRAM, *part.words]
        super().__init__(words, part.folder.path / LOG, threads, config.to_json())

    def look(self) -> bool:
        """Shows epochs and warnings that it has printed; returns whether it goes on.

        Raises:
          UserError, DivergedError: those that it has told of.
        """
        goes_on = self.goes_on
        for line in self.new_lines():
            if line.startswith("epoch"):
                show(f"{self._name}, {line}")
            elif line.startswith("warning: "):
                note(line)
        if self.status:
            if error := self.error():
                raise error
            warn(
                f"{self._name}: its process has ended with status {self.status}; the run trains it "
                f"itself"
            )
        return goes_on


def train_side_by_side(config: Config, folder: RunFolder) -> None:
    """Trains the parts that have not ended, if the cores take several at once.

    Args:
      config: settled; its texts are in files, or are a data set.
      folder: of the run.

    Raises:
      UserError: a mistake that one of the processes has found.
      DivergedError: a training lost its way.
    """
    parts = [
        _Part(f"fold {number}", ("fold", str(number)), folder.fold(number - 1))
        for number in range(1, 1 + config.data.folds)
    ]
    if config.run.learning_curve:
        parts += [
            _Part(name, ("share", str(share)), folder.share(share))
            for share, name in SHARES.items()
        ]
    num_at_once = min(trainings_at_once(), len(parts))
    # A GPU's memory is held by this process.
    is_alone = tf.config.list_physical_devices("GPU") or standard_input_flag(config.data)
    if num_at_once < 2 or is_alone:
        return
    # Where one is left it trains in a process too: bits may depend on the threads that an op has.
    waiting = [part for part in parts if not part.folder.scores.exists()]
    if len(waiting) > 1:
        show(f"trains {min(num_at_once, len(waiting))} models side by side")
    threads, running = usable_cores() // num_at_once, list[_PartProcess]()
    try:
        while waiting or running:
            while waiting and len(running) < num_at_once:
                running.append(_PartProcess(waiting.pop(0), config, threads))
            pause()
            running = [process for process in running if process.look()]
    finally:
        stop_all(running)
