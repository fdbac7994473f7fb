"""The training loop: epochs, validation, the best weights, checkpoints, the report at the end."""

import contextlib
import dataclasses
import json
import statistics
import time
from collections.abc import Iterator
from typing import Any

import numpy as np
import tensorflow as tf

from tf_textrnn import gradient_flow
from tf_textrnn.calibration import fit_branch_weights
from tf_textrnn.config import Config, TrainingConfig
from tf_textrnn.data.batches import BATCH_SPEC, Batch, training_batches
from tf_textrnn.data.splits import Data
from tf_textrnn.errors import DivergedError, UserError
from tf_textrnn.evaluation import (
    make_branch_scorer,
    make_scorer,
    measure,
    per_class_report,
    score_split,
)
from tf_textrnn.files import written_whole
from tf_textrnn.optimizers import WeightAverage, make_optimizer
from tf_textrnn.runs import RunFolder, read_best
from tf_textrnn.summaries import Summaries
from tf_textrnn.training import checkpoints, signals
from tf_textrnn.training.progress import EpochBar, print_epoch
from tf_textrnn.training.report import write_report
from tf_textrnn.training.start import balanced_weights, new_model, start_from_pretrained
from tf_textrnn.training.step import StepResult, train_step

TABLES = ("embedding", "ngrams/kernel")  # weights whose gradients come as rows


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


def learning_rate(config: TrainingConfig, epoch: int) -> float:
    """The source's schedule: constant up to `max_decay_epoch`, then a factor an epoch."""
    return config.learning_rate * config.lr_decay ** max(epoch - config.max_decay_epoch, 0)


def other_texts(folder: RunFolder) -> UserError:
    """The error of a run folder whose texts have changed."""
    return UserError(
        f"--run_dir={folder.path}: the texts are not those that this run began with; expected the "
        f"same files, or a new run"
    )


class Trainer:
    """A model in training.

    Args:
      config: resolved.
      data: what to train, validate and test on.
      folder: where the run lives.
    """

    def __init__(self, config: Config, data: Data, folder: RunFolder):
        self._config = config
        self._data = data
        self._folder = folder
        self.progress = Progress()
        self.model = new_model(config, data)
        self._weights = self.model.named_weights()
        self.optimizer = make_optimizer(config.training)
        self.optimizer.build(list(self._weights.values()))
        decay = config.training.average_decay
        tables = [name for name in TABLES if name in self._weights]
        self._average = WeightAverage(self._weights, tables, decay) if decay else None
        self._scorer = make_scorer(self.model)
        self._branch_scorer = make_branch_scorer(self.model)
        self._saver = checkpoints.BackgroundSaver()
        self._summaries = Summaries(folder.tensorboard, self._weights, config.run.gradients_every)
        self._embedding_rate = tf.Variable(1.0) if config.model.pretrained_embeddings else None
        self._class_weights = None
        if config.training.class_weights == "balanced":
            self._class_weights = balanced_weights(data.train.classes, len(data.labels))
        self._step = tf.function(self._train_step, input_signature=BATCH_SPEC)

    def _train_step(
        self, token_ids: tf.Tensor, lengths: tf.Tensor, labels: tf.Tensor
    ) -> StepResult:
        step = tf.cast(self.optimizer.iterations.value, tf.int32)
        return train_step(
            self.model,
            self.optimizer,
            self._average,
            Batch(token_ids, lengths, labels),
            self._config.training.max_grad_norm,
            dropout_seed=tf.stack([self._config.training.seed, step]),
            label_smoothing=self._config.training.label_smoothing,
            class_weights=self._class_weights,
            embedding_rate=self._embedding_rate,
        )

    @property
    def _variables(self) -> dict[str, tf.Variable]:
        """Every variable of the run, by name."""
        weights = self.model.saved_weights()
        variables = {f"model/{name}": weight.value for name, weight in weights.items()}
        for variable in self.optimizer.variables:
            slot = variable.path.partition("/")[2]  # without the optimizer's own name
            variables[f"optimizer/{slot}"] = variable.value
        if self._average:
            variables |= {f"average/{k}": v for k, v in self._average.state.items()}
        return variables

    def restore(self) -> None:
        """Goes on from the newest checkpoint, where there is one."""
        checkpoint = checkpoints.newest(self._folder.checkpoints)
        if checkpoint is None:
            if self._config.model.pretrained_embeddings:
                start_from_pretrained(self.model, self._config, self._data)
                if self._average:
                    self._average.restart()
            self._summaries.open({})
            return
        try:
            fingerprint = checkpoint.state["data"]
            progress = Progress(**checkpoint.state["progress"])
            kept_events = dict(checkpoint.state["summaries"])
        except (KeyError, TypeError) as error:
            raise UserError(f"{checkpoint.path}: not a checkpoint of a training") from error
        if fingerprint != self._data.fingerprint:
            raise other_texts(self._folder)
        checkpoints.assign(checkpoint.path, checkpoint.arrays, self._variables)
        self.progress = progress
        self._summaries.open(kept_events)

    def save(self) -> None:
        """Begins to write a checkpoint, once the one before is on disk.

        Raises:
          DivergedError: the weights are not finite.
          OSError: the one before cannot be written.
        """
        self._saver.wait()
        self._check_finite()
        state = {
            "progress": dataclasses.asdict(self.progress),
            "data": self._data.fingerprint,
            "summaries": self._summaries.flush(),
        }
        self._saver.save(self._folder.checkpoints, self._steps, self._variables, state)

    @property
    def _steps(self) -> int:
        """Steps done since the run began."""
        return int(self.optimizer.iterations.numpy())

    def _check_finite(self) -> None:
        for name, variable in self._variables.items():
            if not np.isfinite(variable.numpy()).all():
                raise DivergedError(f"{name} is no longer finite at step {self._steps}")

    def train(self) -> None:
        """Trains until the last epoch, or until `patience` is at its end.

        Raises:
          DivergedError: the loss or the gradient is not finite.
          Stopped: a signal has come; the checkpoint is that of the last step.
        """
        config, progress = self._config.training, self.progress
        self._summaries.start(self._config, self._step.get_concrete_function().graph)
        with signals.deferred():
            try:
                while progress.epoch < config.num_epochs and not self._is_out_of_patience():
                    self.optimizer.learning_rate = learning_rate(config, progress.epoch)
                    if self._embedding_rate is not None:
                        tunes = 0 <= config.tune_embeddings_epoch <= progress.epoch
                        self._embedding_rate.assign(float(tunes))
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
            self._data.train, config.batch_size, config.seed, progress.epoch, progress.batch
        )
        examples = min(progress.batch * config.batch_size, len(self._data.train))
        bar = EpochBar(progress.epoch, config.num_epochs, len(self._data.train), examples)
        minutes = self._config.run.checkpoint_minutes
        saved = clock = time.monotonic()
        for batch in batches:
            result = self._step(*batch)
            loss, size, correct = float(result.loss), len(batch[2]), int(result.correct)
            grad_norm = float(result.grad_norm)
            if not (np.isfinite(loss) and np.isfinite(grad_norm)):
                raise DivergedError(
                    f"the loss is {loss:g} at step {self._steps} "
                    f"(learning rate {float(self.optimizer.learning_rate.numpy()):g}, gradient "
                    f"norm {grad_norm:g})"
                )
            progress.batch += 1
            progress.loss_sum += loss * size
            progress.correct += correct
            progress.clipped += 0 < config.max_grad_norm < grad_norm
            examples += size
            self._summaries.step(self._steps, loss, correct / size, grad_norm, result.gradients)
            bar.update(size, progress.loss_sum / examples, progress.correct / examples)
            now = time.monotonic()
            progress.seconds += now - clock
            if minutes and now - saved > 60 * minutes:
                self.save()
                saved = now = time.monotonic()
            clock = now
            signals.check()
        bar.close()

    def _finish_epoch(self) -> None:
        """Validates, keeps the best weights, and moves on to the next epoch."""
        self._check_finite()
        progress, examples = self.progress, len(self._data.train)
        with self._averaged_weights():
            classes, labels = self._data.valid.classes, self._data.labels
            scores, temperature = self._score_valid()
            valid = measure(scores / temperature, classes)
            metrics = {
                "epoch": progress.epoch,
                "step": self._steps,
                "train_loss": progress.loss_sum / examples,
                "train_accuracy": progress.correct / examples,
                "valid_loss": valid.loss,
                "valid_accuracy": valid.accuracy,
                "temperature": temperature,
                "learning_rate": float(self.optimizer.learning_rate.numpy()),
                "examples_per_second": examples / progress.seconds,
            }
            is_best = not progress.best or valid.loss < progress.best["valid_loss"]
            if is_best:
                progress.best = metrics
                weights = {
                    name: weight.numpy() for name, weight in self.model.saved_weights().items()
                }
                checkpoints.write(self._folder.best, weights, metrics)
        progress.history.append(metrics)
        with written_whole(self._folder.metrics) as file:
            file.writelines(json.dumps(epoch).encode() + b"\n" for epoch in progress.history)
        per_class = per_class_report(classes, scores.argmax(axis=1), labels)
        self._summaries.epoch(metrics, progress.clipped / progress.batch, per_class)
        print_epoch(metrics, self._config.training.num_epochs, is_best)
        progress.epoch += 1
        progress.batch = progress.correct = progress.clipped = 0
        progress.loss_sum = progress.seconds = 0.0

    def _score_valid(self) -> tuple[np.ndarray, float]:
        """Weighs the n-grams against the network, whose scores stay as they are.

        Returns:
          float32[texts, classes], the scores of the validation texts, and their temperature.
        """
        valid, classes, ngrams = self._data.valid, len(self._data.labels), self.model.ngrams

        def scorer(token_ids: tf.Tensor, lengths: tf.Tensor) -> tf.Tensor:
            signals.check()
            return self._branch_scorer(token_ids, lengths)

        branches = 2 if ngrams else 1
        scores = score_split(scorer, valid, branches * classes).reshape(-1, branches, classes)
        weights = fit_branch_weights(scores, valid.classes)
        weights, temperature = weights / weights[0], float(1.0 / weights[0])
        if ngrams:
            for weight in ngrams.trainable_variables:
                weight.assign(weight * weights[1])
        return np.einsum("b,tbc->tc", weights, scores), temperature

    @contextlib.contextmanager
    def _averaged_weights(self) -> Iterator[None]:
        """Puts the averages in the weights' place, and the weights back afterwards."""
        last = {name: weight.numpy() for name, weight in self._weights.items()}
        averages = self._average.values() if self._average else {}
        for name, value in averages.items():
            self._weights[name].assign(value)
        try:
            yield
        finally:
            for name, value in last.items():
                self._weights[name].assign(value)

    def report(self) -> None:
        """Evaluates the best weights and writes the report's files."""
        arrays, best = read_best(self._folder)
        weights = {name: weight.value for name, weight in self.model.saved_weights().items()}
        checkpoints.assign(self._folder.best, arrays, weights)
        history = self.progress.history
        rates = [epoch["examples_per_second"] for epoch in history[1:] or history]
        data = self._data
        scores = score_split(self._scorer, data.test or data.valid, len(data.labels))
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
        self._summaries.report(self._steps, report.values, figures, mistakes, data.vocabulary)
