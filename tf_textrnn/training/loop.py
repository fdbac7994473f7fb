"""The training loop: epochs, batches, step, record, save, validate, stop."""

import dataclasses
import pathlib
import statistics
import time
from collections.abc import Callable
from typing import Any

import numpy as np

from tf_textrnn.base import signals, terminal
from tf_textrnn.base.errors import DivergedError, UserError
from tf_textrnn.config import Config, TrainingConfig
from tf_textrnn.data import embeddings
from tf_textrnn.data.batches import passes_of_an_epoch, training_batches
from tf_textrnn.data.splits import Data
from tf_textrnn.network.gradient_flow import measure_longest
from tf_textrnn.runs import checkpoints, report
from tf_textrnn.runs.best import Named, read_named_best
from tf_textrnn.runs.folder import RunFolder
from tf_textrnn.runs.measures import measure, per_class_report
from tf_textrnn.runs.plots import gradient_flow_figure
from tf_textrnn.runs.saver import BackgroundSaver
from tf_textrnn.runs.summaries import Summaries
from tf_textrnn.training.distribution import Workers
from tf_textrnn.training.recorder import Progress, Recorder
from tf_textrnn.training.replicas import Replicas, StopOrSave
from tf_textrnn.training.saved_state import SavedState, read_state
from tf_textrnn.training.start import start_from_pretrained, with_own_counts
from tf_textrnn.training.validation import SplitScorer

FAR_ABOVE_GUESSING = 20.0  # times the loss of guessing, the mean of an epoch: a divergence


def learning_rate(config: TrainingConfig, epoch: int) -> float:
    """The source's schedule: constant up to `max_decay_epoch`, then a factor an epoch."""
    return config.learning_rate * config.lr_decay ** max(epoch - config.max_decay_epoch, 0)


class Trainer:
    """A run in training.

    Args:
      config: settled.
      data: what to train, validate and test on.
      folder: where the run lives; the chief alone reads and writes it.
      workers: all that train together.
      on_step: is called with the number of steps done, after each.
    """

    def __init__(
        self,
        config: Config,
        data: Data,
        folder: RunFolder,
        workers: Workers,
        on_step: Callable[[int], None] | None = None,
    ):
        self._config = config
        self._data = data
        self._train = with_own_counts(config, data)
        self._folder = folder
        self._workers = workers
        self._on_step = on_step
        self.replicas = Replicas(config, data, workers)
        self.model, weights = self.replicas.first.model, self.replicas.first.weights
        self._scorer = SplitScorer(self.model, workers)
        self._saver = BackgroundSaver(folder)
        self._best: Named | None = None
        self._vectors = ""
        self._saved = time.monotonic()
        self._summaries = Summaries(folder.tensorboard, weights, config.run.gradients_every)
        training = config.training
        self._passes = passes_of_an_epoch(
            len(data.train), training.batch_size, training.min_epoch_steps
        )
        self._epoch_texts = self._passes * len(data.train)
        self._recorder = Recorder(
            config, folder, self._summaries, self._epoch_texts, workers.is_chief
        )

    @property
    def progress(self) -> Progress:
        """Where the run stands."""
        return self._recorder.progress

    def train(self) -> None:
        """Trains until the last epoch, or until `patience` is at its end.

        Raises:
          DivergedError: the loss or the gradient is not finite.
          Stopped: a signal has come; the checkpoint is that of the last step.
        """
        if self._workers.is_chief:
            self._summaries.start(self._config, self.replicas.graph)
        self._workers.wait()
        with signals.deferred():
            try:
                while not self.progress.is_over(self._config.training):
                    self.train_epoch()
                    self._validate()
                    self.save()
            except signals.Stopped:
                self.save()
                raise
            finally:
                self._saver.wait()

    def train_epoch(self) -> None:
        """Trains on what is left of the epoch under way."""
        config, epoch = self._config.training, self.progress.epoch
        rate = learning_rate(config, epoch)
        self.replicas.set_rates(rate, 0 <= config.tune_embeddings_epoch <= epoch)
        batches = training_batches(
            self._train,
            config.batch_size,
            config.seed,
            epoch,
            self._passes,
            self.progress.batch,
            self._workers.replicas,
            self._workers.num_replicas,
        )
        with self._recorder.epoch(rate):
            for step, (num_texts, shares) in enumerate(batches, self.replicas.steps + 1):
                wishes = StopOrSave(stop=signals.received(), save=self._is_save_due())
                result, agreed = self.replicas.step(num_texts, shares, wishes)
                self._recorder.step(step, num_texts, result)
                if self._on_step:
                    self._on_step(step)
                if agreed.save:
                    self.save()
                if agreed.stop:
                    self._recorder.wait()
                    signals.stop()

    def _validate(self) -> None:
        """Ends the epoch under way: measures it, keeps the best weights, moves on to the next."""
        self._check_finite()
        self._check_loss()
        progress, num_texts = self.progress, self._epoch_texts
        with self.replicas.first.averaged_weights():
            scores, temperature = self._scorer.weigh_branches(self._data.valid)
            valid = measure(scores / temperature, self._data.valid.classes)
            metrics = {
                "epoch": progress.epoch,
                "step": self.replicas.steps,
                "train_loss": progress.loss_sum / num_texts,
                "train_accuracy": progress.correct / num_texts,
                "valid_loss": valid.loss,
                "valid_accuracy": valid.accuracy,
                "temperature": temperature,
                **self._trust(),
                "learning_rate": learning_rate(self._config.training, progress.epoch),
                "examples_per_second": num_texts / progress.seconds,
            }
            metrics = self._workers.broadcast(lambda: metrics)
            if not progress.best or metrics["valid_loss"] < progress.best["valid_loss"]:
                progress.best = metrics
                if self._workers.is_chief:
                    self._save_best(metrics)
        predictions = scores.argmax(axis=1)
        per_class = per_class_report(self._data.valid.classes, predictions, self._data.labels)
        self._recorder.finish_epoch(metrics, per_class)
        progress.start_epoch()

    def _trust(self) -> dict[str, float]:
        """The trust that the log-count ratios have come to; nothing without n-grams."""
        ngrams = self.model.ngrams
        return {"trust": float(ngrams.trust.numpy())} if ngrams else {}

    def _save_best(self, metrics: dict[str, Any]) -> None:
        """Writes the model's weights as those of the best epoch; the next checkpoint names them."""
        self._saver.wait()  # it removes best files that no checkpoint names
        weights = self.model.saved_weights()
        arrays = {name: weight.numpy() for name, weight in weights.items()}
        path = checkpoints.step_file(self._folder.best, metrics["step"])
        self._best = Named(path.name, checkpoints.write(path, arrays, metrics))

    def _check_loss(self) -> None:
        """Checks the epoch's loss: one far above that of guessing is a divergence, if finite."""
        loss = self.progress.loss_sum / self._epoch_texts
        guessing = np.log(len(self._data.labels))
        if loss > FAR_ABOVE_GUESSING * guessing:
            raise DivergedError(
                f"the mean loss of epoch {self.progress.epoch + 1} is {loss:g}, where guessing "
                f"has {guessing:.2f}"
            )

    def close(self) -> None:
        """Closes the run's files."""
        self._summaries.close()

    def restore(self) -> None:
        """Goes on from the newest checkpoint, where there is one."""
        self._recorder.progress = Progress(**self._workers.broadcast(self._restore))
        self.replicas.share()

    def _restore(self) -> dict[str, Any]:
        if path := self._config.model.pretrained_embeddings:
            self._vectors = embeddings.checksum(path)
        checkpoint = checkpoints.newest(self._folder.checkpoints)
        if checkpoint is None:
            if self._vectors:
                start_from_pretrained(self.model, self._config, self._data)
                if average := self.replicas.first.average:
                    average.restart()
            self._summaries.open({})
            return dataclasses.asdict(Progress())
        saved = read_state(checkpoint, self._folder)
        if saved.data != self._data.fingerprint:
            raise self._folder.other_texts()
        if saved.vectors != self._vectors:
            raise UserError(
                f"--pretrained_embeddings={path}: not the vectors that this run began with; "
                f"expected the same file, or a new run"
            )
        checkpoints.assign(checkpoint.path, checkpoint.arrays, self.replicas.first.variables)
        self._best = saved.best
        self._summaries.open(saved.summaries)
        return dataclasses.asdict(saved.progress)

    def _is_save_due(self) -> bool:
        minutes = self._config.run.checkpoint_minutes
        return self._workers.is_chief and 0 < 60 * minutes < time.monotonic() - self._saved

    def save(self) -> None:
        """Begins to write a checkpoint, once the one before is on disk.

        Raises:
          DivergedError: the weights are not finite.
          OSError: the one before cannot be written.
        """
        self._recorder.wait()
        self._saver.wait()
        self._check_finite()
        if self._workers.is_chief:
            state = SavedState(
                self.progress,
                self._data.fingerprint,
                self._vectors,
                self._summaries.flush(),
                self._best,
            )
            variables = self.replicas.first.variables
            self._saver.save(self.replicas.steps, variables, state.to_json())
        self._saved = time.monotonic()
        self._workers.wait()

    def _check_finite(self) -> None:
        for name, variable in self.replicas.first.variables.items():
            if not np.isfinite(variable.numpy()).all():
                raise DivergedError(f"{name} is no longer finite at step {self.replicas.steps}")

    def report(
        self, summary: dict[str, Any], export: Callable[[str], pathlib.Path] | None = None
    ) -> tuple[dict[str, Any], pathlib.Path | None]:
        """Evaluates the best weights; then writes numbers, export, texts and pictures.

        Args:
          summary: what is known of the texts before training.
          export: makes the next version of what a folder's run exports; None = nothing does.

        Returns:
          What `report.json` holds, and the export; {} and None at a worker that is not the chief.
        """
        best = self._workers.broadcast(self._read_best)
        self.replicas.share()
        history, data = self.progress.history, self._data
        rates = [epoch["examples_per_second"] for epoch in history[1:] or history]
        split, temperature = data.test or data.valid, best["temperature"]
        scores = self._scorer.score(split)
        if not self._workers.is_chief:
            return {}, None
        learned = {
            "valid_accuracy": best["valid_accuracy"],
            "best_epoch": best["epoch"] + 1,
            "epochs": len(history),
            "train_examples_per_second": statistics.median(rates),
            "parameters": self.model.num_parameters,
        }
        values = report.report_values(self._config, data, scores, temperature, learned, summary)
        self._folder.report_text.unlink(missing_ok=True)  # it comes last, and marks the end
        report.write_values(self._folder, values)
        exported = export(str(self._folder.path)) if export else None
        mistakes = report.worst_mistakes(split, scores / temperature, data.all_labels)
        report.write_predictions(self._folder, split, scores, temperature, data.all_labels)
        figures = report.draw_report(self._folder, split, scores, temperature, data.all_labels)
        with terminal.optional("the picture of the gradient flow"):
            if flows := measure_longest(self.model, data.valid):
                figures["gradient_flow"] = gradient_flow_figure(flows)
        with terminal.optional(str(self._folder.tensorboard)):
            table = [dataclasses.astuple(mistake) for mistake in mistakes]
            self._summaries.report(self.replicas.steps, values, figures, table, data.vocabulary)
        report.show_report(self._folder, values, mistakes)
        return values, exported

    def _read_best(self) -> dict[str, Any]:
        if self._best is None:
            raise UserError(f"{self._folder.best}: holds no weights; expected at least one epoch")
        best = read_named_best(self._folder, self._best, self._folder.checkpoints)
        weights = {name: weight.value for name, weight in self.model.saved_weights().items()}
        checkpoints.assign(best.path, best.arrays, weights)
        return best.state
