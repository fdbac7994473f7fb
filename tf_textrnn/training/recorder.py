"""Records training: on disk, on TensorBoard and on the terminal.

After each step: the sums of the epoch, TensorBoard, the progress bar. After each epoch: a line of
`metrics.jsonl`, TensorBoard, a line on the terminal.
"""

import contextlib
import dataclasses
import json
import time
from collections.abc import Iterator
from concurrent import futures
from typing import Any

import numpy as np
from tqdm import auto

from tf_textrnn.base.errors import DivergedError
from tf_textrnn.base.files import atomic_write
from tf_textrnn.base.terminal import show, shows_bars
from tf_textrnn.config import Config
from tf_textrnn.runs.folder import RunFolder
from tf_textrnn.runs.summaries import Summaries
from tf_textrnn.training.step import StepResult


@dataclasses.dataclass
class Progress:
    """State of a run, beside its variables; every checkpoint holds it.

    Attributes:
      epoch: index of the current epoch, from 0.
      batch: number of batches of the epoch that are done.
      texts: number of texts in those batches.
      loss_sum: sum of the losses of those texts.
      correct: number of those texts that were predicted right.
      clipped: number of those batches whose gradient was clipped.
      seconds: time that the steps of the epoch took.
      best: metrics of the best epoch so far.
      history: metrics of every finished epoch.
    """

    epoch: int = 0
    batch: int = 0
    texts: int = 0
    loss_sum: float = 0.0
    correct: int = 0
    clipped: int = 0
    seconds: float = 0.0
    best: dict[str, Any] = dataclasses.field(default_factory=dict)
    history: list[dict[str, Any]] = dataclasses.field(default_factory=list)

    def start_epoch(self) -> None:
        """Starts the next epoch."""
        self.epoch += 1
        self.batch = self.texts = self.correct = self.clipped = 0
        self.loss_sum = self.seconds = 0.0


class Recorder:
    """Records the steps and the epochs of a run.

    Args:
      config: config of the run.
      folder: folder of the run.
      summaries: TensorBoard summaries of the run.
      num_texts: number of texts in an epoch.
      is_chief: whether this worker writes and shows the records; the others only sum.
    """

    def __init__(
        self,
        config: Config,
        folder: RunFolder,
        summaries: Summaries,
        num_texts: int,
        is_chief: bool,
    ):
        self._config = config
        self._folder = folder
        self._summaries = summaries
        self._num_texts = num_texts
        self._is_chief = is_chief
        self._noted: futures.Future[None] | None = None
        self.progress = Progress()

    @contextlib.contextmanager
    def epoch(self, learning_rate: float) -> Iterator[None]:
        """Opens the current epoch at this learning rate; `step` records its steps inside."""
        self._learning_rate = learning_rate
        progress = self.progress
        with (
            auto.tqdm(
                desc=f"epoch {progress.epoch + 1}/{self._config.training.num_epochs}",
                total=self._num_texts,
                initial=progress.texts,
                unit=" examples",
                leave=False,
                dynamic_ncols=True,
                mininterval=0.2,
                disable=not (self._is_chief and shows_bars()),
            ) as self._bar,
            futures.ThreadPoolExecutor(1, "notes") as self._thread,
        ):
            self._clock = time.monotonic()
            yield
            self.wait()

    def step(self, step: int, num_texts: int, result: StepResult) -> None:
        """Records a step; a thread reads its results while the next step runs.

        Args:
          step: number of steps done, including this one.
          num_texts: number of texts in the step's batch.
          result: result of the step.

        Raises:
          DivergedError: the loss or the gradient of the previous step is not finite.
        """
        self.wait()
        self._noted = self._thread.submit(self._note, step, num_texts, result)
        now = time.monotonic()
        self.progress.seconds += now - self._clock
        self._clock = now

    def wait(self) -> None:
        """Waits until the last step is recorded.

        Raises:
          DivergedError: the loss or the gradient of that step is not finite.
        """
        noted, self._noted = self._noted, None
        if noted:
            noted.result()

    def _note(self, step: int, num_texts: int, result: StepResult) -> None:
        progress, max_grad_norm = self.progress, self._config.training.max_grad_norm
        loss, correct = float(result.loss), int(result.correct)
        grad_norm = float(result.grad_norm)
        if not (np.isfinite(loss) and np.isfinite(grad_norm)):
            raise DivergedError(
                f"the loss is {loss:g} at step {step} (learning rate {self._learning_rate:g}, "
                f"gradient norm {grad_norm:g})"
            )
        progress.batch += 1
        progress.texts += num_texts
        progress.loss_sum += loss * num_texts
        progress.correct += correct
        progress.clipped += 0 < max_grad_norm < grad_norm
        if self._is_chief:
            self._summaries.step(step, loss, correct / num_texts, grad_norm, result.gradients)
            loss, accuracy = progress.loss_sum / progress.texts, progress.correct / progress.texts
            self._bar.set_postfix_str(f"loss {loss:.4f} accuracy {accuracy:.4f}", refresh=False)
            self._bar.update(num_texts)

    def finish_epoch(self, metrics: dict[str, Any], per_class: dict[str, Any]) -> None:
        """Records the metrics of the current epoch.

        Args:
          metrics: the epoch's line of `metrics.jsonl`.
          per_class: `f1` and other measures of each label on the validation texts; empty where the
            epoch is not validated.
        """
        progress = self.progress
        progress.history.append(metrics)
        if not self._is_chief:
            return
        with atomic_write(self._folder.metrics) as file:
            file.writelines(json.dumps(epoch).encode() + b"\n" for epoch in progress.history)
        self._summaries.epoch(metrics, progress.clipped / progress.batch, per_class)
        loss, accuracy = metrics["valid_loss"], metrics["valid_accuracy"]
        valid = f"  valid loss {loss:.4f} accuracy {accuracy:.4f}" if per_class else ""
        show(
            f"epoch {metrics['epoch'] + 1:3d}/{self._config.training.num_epochs}"
            f"  train loss {metrics['train_loss']:.4f} accuracy {metrics['train_accuracy']:.4f}"
            f"{valid}  {metrics['examples_per_second']:7,.0f} examples/s"
            f"{'  *' if per_class and metrics is progress.best else ''}"
        )
