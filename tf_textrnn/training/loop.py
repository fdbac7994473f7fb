"""The training loop: epochs, validation, the best weights, checkpoints, the report at the end."""

import dataclasses
import json
import statistics
import time
from concurrent import futures
from typing import Any

import numpy as np

from tf_textrnn.base import signals
from tf_textrnn.base.errors import DivergedError, UserError
from tf_textrnn.base.files import atomic_write
from tf_textrnn.config import Config, TrainingConfig
from tf_textrnn.data.batches import training_batches
from tf_textrnn.data.splits import Data
from tf_textrnn.runs import checkpoints
from tf_textrnn.runs.evaluation import measure, per_class_report
from tf_textrnn.runs.folder import RunFolder, read_best
from tf_textrnn.runs.report import write_report
from tf_textrnn.runs.summaries import Summaries
from tf_textrnn.study import gradient_flow
from tf_textrnn.training.distribution import Workers
from tf_textrnn.training.progress import EpochBar, Progress, print_epoch
from tf_textrnn.training.replicas import Replicas
from tf_textrnn.training.scoring import SplitScorer
from tf_textrnn.training.start import start_from_pretrained
from tf_textrnn.training.step import StepResult


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
    """

    def __init__(self, config: Config, data: Data, folder: RunFolder, workers: Workers):
        self._config = config
        self._data = data
        self._folder = folder
        self._workers = workers
        self.progress = Progress()
        self.replicas = Replicas(config, data, workers)
        self.model, weights = self.replicas.first.model, self.replicas.first.weights
        self._scorer = SplitScorer(self.model, workers)
        self._saver = checkpoints.BackgroundSaver()
        self._summaries = Summaries(folder.tensorboard, weights, config.run.gradients_every)

    def restore(self) -> None:
        """Goes on from the newest checkpoint, where there is one."""
        self.progress = Progress(**self._workers.broadcast(self._restore))
        self.replicas.share()

    def _restore(self) -> dict[str, Any]:
        checkpoint = checkpoints.newest(self._folder.checkpoints)
        if checkpoint is None:
            if self._config.model.pretrained_embeddings:
                start_from_pretrained(self.model, self._config, self._data)
                if average := self.replicas.first.average:
                    average.restart()
            self._summaries.open({})
            return dataclasses.asdict(Progress())
        try:
            fingerprint = checkpoint.state["data"]
            progress = Progress(**checkpoint.state["progress"])
            kept_events = dict(checkpoint.state["summaries"])
        except (KeyError, TypeError) as error:
            raise UserError(f"{checkpoint.path}: not a checkpoint of a training") from error
        if fingerprint != self._data.fingerprint:
            raise self._folder.other_texts()
        checkpoints.assign(checkpoint.path, checkpoint.arrays, self.replicas.first.variables)
        self._summaries.open(kept_events)
        return dataclasses.asdict(progress)

    def save(self) -> None:
        """Begins to write a checkpoint, once the one before is on disk.

        Raises:
          DivergedError: the weights are not finite.
          OSError: the one before cannot be written.
        """
        self._saver.wait()
        self._check_finite()
        if self._workers.is_chief:
            state = {
                "progress": dataclasses.asdict(self.progress),
                "data": self._data.fingerprint,
                "summaries": self._summaries.flush(),
            }
            variables = self.replicas.first.variables
            self._saver.save(self._folder.checkpoints, self.replicas.steps, variables, state)
        self._workers.wait()

    def _check_finite(self) -> None:
        for name, variable in self.replicas.first.variables.items():
            if not np.isfinite(variable.numpy()).all():
                raise DivergedError(f"{name} is no longer finite at step {self.replicas.steps}")

    def train(self) -> None:
        """Trains until the last epoch, or until `patience` is at its end.

        Raises:
          DivergedError: the loss or the gradient is not finite.
          Stopped: a signal has come; the checkpoint is that of the last step.
        """
        config, progress = self._config.training, self.progress
        if self._workers.is_chief:
            self._summaries.start(self._config, self.replicas.step.graph)
        self._workers.wait()
        with signals.deferred():
            try:
                while progress.epoch < config.num_epochs and not self._is_out_of_patience():
                    tunes = 0 <= config.tune_embeddings_epoch <= progress.epoch
                    self.replicas.set_rates(learning_rate(config, progress.epoch), tunes)
                    self.train_epoch()
                    self._finish_epoch()
                    self.save()
            except signals.Stopped:
                self.save()
                raise
            finally:
                self._saver.wait()

    def _is_out_of_patience(self) -> bool:
        patience, progress = self._config.training.patience, self.progress
        return bool(patience and progress.best) and (
            progress.epoch - 1 - progress.best["epoch"] >= patience
        )

    def train_epoch(self) -> None:
        """Trains on what is left of the epoch under way."""
        config, progress = self._config.training, self.progress
        batches = training_batches(
            self._data.train,
            config.batch_size,
            config.seed,
            progress.epoch,
            progress.batch,
            self._workers.replicas,
            self._workers.num_replicas,
        )
        examples, done = len(self._data.train), self._examples_done()
        bar = EpochBar(progress.epoch, config.num_epochs, examples, done)
        saved = clock = time.monotonic()
        with futures.ThreadPoolExecutor(1, "notes") as thread:
            noted = thread.submit(lambda: None)
            for step, (size, shares) in enumerate(batches, self.replicas.steps + 1):
                # Workers agree in the step itself on what comes after it.
                asked = np.array([signals.received(), self._is_save_due(clock - saved)], np.float32)
                with self._workers.in_step():
                    result, answer = self.replicas.step(np.float32(size), asked, shares)
                    stops, saves = answer.numpy()
                noted.result()
                # Noted while the next step runs.
                noted = thread.submit(self._note, step, size, result, bar)
                now = time.monotonic()
                progress.seconds += now - clock
                if stops or saves:
                    noted.result()
                if saves:
                    self.save()
                    saved = now = time.monotonic()
                clock = now
                if stops:
                    signals.stop()
            noted.result()
        bar.close()

    def _note(self, step: int, size: int, result: StepResult, bar: EpochBar) -> None:
        """Takes what a step on so many examples told into progress, summaries and bar.

        Raises:
          DivergedError: the loss or the gradient is not finite.
        """
        config, progress = self._config.training, self.progress
        loss, correct = float(result.loss), int(result.correct)
        grad_norm = float(result.grad_norm)
        if not (np.isfinite(loss) and np.isfinite(grad_norm)):
            raise DivergedError(
                f"the loss is {loss:g} at step {step} (learning rate "
                f"{learning_rate(config, progress.epoch):g}, gradient norm {grad_norm:g})"
            )
        progress.batch += 1
        progress.loss_sum += loss * size
        progress.correct += correct
        progress.clipped += 0 < config.max_grad_norm < grad_norm
        if self._workers.is_chief:
            self._summaries.step(step, loss, correct / size, grad_norm, result.gradients)
            done = self._examples_done()
            bar.update(size, progress.loss_sum / done, progress.correct / done)

    def _examples_done(self) -> int:
        """Examples of the epoch under way that are done."""
        done = self.progress.batch * self._config.training.batch_size
        return min(done, len(self._data.train))

    def _is_save_due(self, seconds: float) -> bool:
        minutes = self._config.run.checkpoint_minutes
        return self._workers.is_chief and 0 < 60 * minutes < seconds

    def _finish_epoch(self) -> None:
        """Validates, keeps the best weights, and moves on to the next epoch."""
        self._check_finite()
        progress, examples = self.progress, len(self._data.train)
        with self.replicas.first.averaged_weights():
            classes, labels = self._data.valid.classes, self._data.labels
            scores, temperature = self._scorer.weigh_branches(self._data.valid)
            valid = measure(scores / temperature, classes)
            metrics = {
                "epoch": progress.epoch,
                "step": self.replicas.steps,
                "train_loss": progress.loss_sum / examples,
                "train_accuracy": progress.correct / examples,
                "valid_loss": valid.loss,
                "valid_accuracy": valid.accuracy,
                "temperature": temperature,
                "learning_rate": float(self.replicas.first.optimizer.learning_rate.numpy()),
                "examples_per_second": examples / progress.seconds,
            }
            metrics = self._workers.broadcast(lambda: metrics)
            is_best = not progress.best or metrics["valid_loss"] < progress.best["valid_loss"]
            if is_best:
                progress.best = metrics
                if self._workers.is_chief:
                    weights = self.model.saved_weights()
                    arrays = {name: weight.numpy() for name, weight in weights.items()}
                    checkpoints.write(self._folder.best, arrays, metrics)
        progress.history.append(metrics)
        if self._workers.is_chief:
            with atomic_write(self._folder.metrics) as file:
                file.writelines(json.dumps(epoch).encode() + b"\n" for epoch in progress.history)
            per_class = per_class_report(classes, scores.argmax(axis=1), labels)
            self._summaries.epoch(metrics, progress.clipped / progress.batch, per_class)
            print_epoch(metrics, self._config.training.num_epochs, is_best)
        progress.epoch += 1
        progress.batch = progress.correct = progress.clipped = 0
        progress.loss_sum = progress.seconds = 0.0

    def report(self) -> dict[str, Any]:
        """Evaluates the best weights and writes the report's files; returns `report.json`."""
        best = self._workers.broadcast(self._read_best)
        self.replicas.share()
        history = self.progress.history
        rates = [epoch["examples_per_second"] for epoch in history[1:] or history]
        data = self._data
        scores = self._scorer.score(data.test or data.valid)
        if not self._workers.is_chief:
            return {}
        report = write_report(
            self._folder,
            self._config,
            data,
            scores,
            best["temperature"],
            {
                "valid_accuracy": best["valid_accuracy"],
                "best_epoch": best["epoch"] + 1,
                "epochs": len(history),
                "train_examples_per_second": statistics.median(rates),
                "parameters": self.model.count_params(),
            },
        )
        mistakes = [dataclasses.astuple(mistake) for mistake in report.mistakes]
        figures = dict(report.figures)
        if flows := gradient_flow.measure_longest(self.model, data.valid):
            figures["gradient_flow"] = gradient_flow.figure(flows)
        self._summaries.report(
            self.replicas.steps, report.values, figures, mistakes, data.vocabulary
        )
        return report.values

    def _read_best(self) -> dict[str, Any]:
        arrays, best = read_best(self._folder)
        weights = {name: weight.value for name, weight in self.model.saved_weights().items()}
        checkpoints.assign(self._folder.best, arrays, weights)
        return best
