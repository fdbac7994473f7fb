"""Trains parts of a run's texts side by side: folds, or the shares of a learning curve.

Each trains in a process of its own (`training/part_process.py`), as many at once as the cores take,
and leaves in its folder what it has come to. The run finds such a part done when it comes to it,
and trains itself what no process has done.
"""

import tensorflow as tf

from tf_textrnn.base.exits import DIVERGED, USER_ERROR
from tf_textrnn.base.processes import MODULE, OwnProcess, pause, stop_all, trainings_at_once
from tf_textrnn.base.terminal import show, warn
from tf_textrnn.config import Config
from tf_textrnn.data.sources import reads_standard_input
from tf_textrnn.runs.folder import RunFolder
from tf_textrnn.training.learning_curve import SHARES

PROGRAM = (*MODULE, "tf_textrnn.training.part_process")
LOG = "train.log"  # in a part's folder: what its processes have printed


class _PartProcess(OwnProcess):
    """Trains one part."""

    def __init__(self, name: str, config: Config, folder: RunFolder, num_others: int):
        self._name = name
        folder.make()
        words = [*PROGRAM, *name.split()]
        super().__init__(words, folder.path / LOG, num_others, config.to_json())

    def look(self) -> bool:
        """Shows what it has printed; returns whether it goes on."""
        goes_on = self.goes_on
        if self.status in (USER_ERROR, DIVERGED):
            raise self.error()
        for line in self.new_lines():
            if not line.startswith("error: "):  # which becomes the run's
                show(f"{self._name}, {line}" if line.startswith("epoch") else line)
        if self.status:
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
    parts = {f"fold {fold + 1}": folder.fold(fold) for fold in range(config.data.folds)}
    if config.run.learning_curve:
        parts |= {f"share {share}": folder.share(share) for share in SHARES}
    waiting = [(name, part) for name, part in parts.items() if not part.scores.exists()]
    most = trainings_at_once()
    has_gpu = tf.config.list_physical_devices("GPU")  # whose memory this process holds
    if most == 1 or not waiting or has_gpu or reads_standard_input(config.data):
        return
    # One alone trains in a process too: bits depend on the threads of an op, which differ here.
    num_at_once = min(most, len(waiting))
    if num_at_once > 1:
        show(f"trains {num_at_once} models side by side")
    running = list[_PartProcess]()
    try:
        while waiting or running:
            while waiting and len(running) < num_at_once:
                name, part = waiting.pop(0)
                running.append(_PartProcess(name, config, part, num_at_once - 1))
            pause()
            running = [process for process in running if process.look()]
    finally:
        stop_all(running)
