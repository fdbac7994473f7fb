"""The training loop: epochs, batches, step, record, save, validate, stop."""

import dataclasses
import time
from collections.abc import Callable, Sequence
from typing import Any

import keras
import numpy as np

from tf_textrnn.base import signals
from tf_textrnn.base.errors import DivergedError, UserError
from tf_textrnn.config import Config, TrainingConfig
from tf_textrnn.data import embeddings
from tf_textrnn.data.batches import plan_epoch, training_batches
from tf_textrnn.data.splits import Data
from tf_textrnn.runs import checkpoints
from tf_textrnn.runs.answered import Answered
from tf_textrnn.runs.best import Named
from tf_textrnn.runs.folder import RunFolder
from tf_textrnn.runs.history import is_trained
from tf_textrnn.runs.metric import measure_metric
from tf_textrnn.runs.saver import BackgroundSaver
from tf_textrnn.runs.summaries import Summaries
from tf_textrnn.training.distribution import Workers
from tf_textrnn.training.initial import Initial
from tf_textrnn.training.recorder import Progress, Recorder
from tf_textrnn.training.replicas import Replicas, StopOrSave
from tf_textrnn.training.saved_state import SavedState, read_state
from tf_textrnn.training.start import start_from_pretrained, with_own_counts
from tf_textrnn.training.validation import SplitScorer, Weighed

FAR_ABOVE_GUESSING = 20.0  # times the loss of guessing, the mean of an epoch: a divergence


def learning_rate(config: TrainingConfig, epoch: int) -> float:
    """The source's schedule: constant up to `max_decay_epoch`, then a factor an epoch."""
    return config.learning_rate * config.lr_decay ** max(epoch - config.max_decay_epoch, 0)


class Trainer:
    """A model in training.

    Attributes `config`, `data`, `folder` and `workers` are as given; `best` names the file of the
    best epoch, None before the first. `validates` says whether it measures each epoch.

    Args:
      config: settled.
      data: what to train, validate and test on.
      folder: where the run lives; the chief alone reads and writes it.
      workers: all that train together.
      on_step: is called with the number of steps done, after each.
      initial: the trained model to start from; None = the run starts anew.
    """

    validates = True

    def __init__(
        self,
        config: Config,
        data: Data,
        folder: RunFolder,
        workers: Workers,
        on_step: Callable[[int], None] | None = None,
        initial: Initial | None = None,
    ):
        self.config = config
        self.data = data
        self._train = with_own_counts(config, data)
        self.folder = folder
        self.workers = workers
        self._on_step = on_step
        keras.utils.set_random_seed(config.training.seed)
        self.replicas = Replicas(config, data, workers, initial)
        self.model, weights = self.replicas.first.model, self.replicas.first.weights
        self.scorer = SplitScorer(self.model, workers)
        self._saver = BackgroundSaver(folder)
        self.best: Named | None = None
        self._vectors = ""
        self._init_from = initial.sha256 if initial else ""
        self._saved = time.monotonic()
        self.summaries = Summaries(folder.tensorboard, weights, config.run.gradients_every)
        self._epoch = plan_epoch(len(data.train), config.training)
        self._epoch_texts = self._epoch.passes * len(data.train)
        self._recorder = Recorder(
            config, folder, self.summaries, self._epoch_texts, workers.is_chief
        )

    @property
    def progress(self) -> Progress:
        """Where the run stands."""
        return self._recorder.progress

    @property
    def shown_history(self) -> Sequence[dict[str, Any]]:
        """The metrics of the epochs that the report draws."""
        return self.progress.history

    def train(self) -> None:
        """Trains until the last epoch, or until `patience` is at its end.

        Raises:
          DivergedError: the loss or the gradient is not finite.
          Stopped: a signal has come; the checkpoint is that of the last step.
        """
        if self.workers.is_chief:
            self.summaries.start(self.config, self.replicas.graph)
        self.workers.wait()
        with signals.deferred():
            try:
                while not is_trained(self.progress.history, self.config.training):
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
        config, epoch = self.config.training, self.progress.epoch
        rate = learning_rate(config, epoch)
        self.replicas.set_rates(rate, 0 <= config.tune_embeddings_epoch <= epoch)
        batches = training_batches(
            self._train,
            self._epoch.batch_size,
            config.seed,
            epoch,
            self._epoch.passes,
            self.progress.batch,
            self.workers.replicas,
            self.workers.num_replicas,
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
        """Ends the epoch under way: measures it, keeps the best one, moves on to the next."""
        self._check_finite()
        self._check_loss()
        progress, num_texts, valid = self.progress, self._epoch_texts, self.data.valid
        with self.replicas.first.averaged_weights():
            weighed = self.weigh()
            answers = weighed.answers(valid, self.data.all_labels)
            measured = answers.measures()
            per_label = answers.per_label() if self.validates else {}
            f1 = [round(measures["f1"], 4) for measures in per_label.values()]
            metrics = {
                "epoch": progress.epoch,
                "step": self.replicas.steps,
                "train_loss": progress.loss_sum / num_texts,
                "train_accuracy": progress.correct / num_texts,
                "valid_loss": measured.loss,
                "valid_accuracy": measured.accuracy,
                **({"valid_f1": f1} if f1 else {}),
                "temperature": weighed.temperature,
                "branch_weights": weighed.weights.tolist(),
                **self._metric(answers),
                **answers.accepting(),
                **self._trust(),
                "learning_rate": learning_rate(self.config.training, progress.epoch),
                "examples_per_second": num_texts / max(progress.seconds, 1e-9),
            }
            metrics = self.workers.broadcast(lambda: metrics)
            if not progress.best or self.is_better(metrics, progress.best):
                progress.best = metrics
                if self.workers.is_chief:
                    self._save_best(metrics, self.best_arrays(weighed))
        self._recorder.finish_epoch(metrics, per_label)
        progress.start_epoch()

    def _metric(self, answers: Answered) -> dict[str, float]:
        """What `--metric` names, where a line of `metrics.jsonl` does not have it anyway."""
        metric = self.config.metric
        if metric.field != "valid_metric":
            return {}
        return {metric.field: measure_metric(metric, answers)}

    def _trust(self) -> dict[str, float]:
        """The trust that the log-count ratios have come to; nothing without n-grams."""
        ngrams = self.model.ngrams
        return {"trust": float(ngrams.trust.numpy())} if ngrams else {}

    def weigh(self) -> Weighed:
        """Weighs the branches of the model against one another, after an epoch."""
        return self.scorer.weigh_branches(self.data.valid, self.config.threshold_rule)

    def is_better(self, metrics: dict[str, Any], best: dict[str, Any]) -> bool:
        """Whether the epoch of these metrics is better than the best one before it."""
        return metrics["valid_loss"] < best["valid_loss"]

    def best_arrays(self, weighed: Weighed) -> dict[str, np.ndarray]:
        """What is kept of the best epoch: the weights."""
        return {name: weight.numpy() for name, weight in self.model.saved_weights().items()}

    def valid_scores(self) -> np.ndarray:
        """Returns float32[texts, classes], the best model's scores of the validation texts."""
        return self.scorer.score(self.data.valid)

    def valid_branches(self) -> np.ndarray:
        """Returns float32[texts, branches, classes], unweighed but for offsets of label sets."""
        weights = np.array(self.progress.best["branch_weights"], np.float32)
        return self.scorer.branch_scores(self.data.valid) / weights[:, None]

    def _save_best(self, metrics: dict[str, Any], arrays: dict[str, np.ndarray]) -> None:
        """Writes what is kept of the best epoch; the next checkpoint names it."""
        self._saver.wait()  # it removes best files that no checkpoint names
        path = checkpoints.step_file(self.folder.best, metrics["step"])
        self.best = Named(path.name, checkpoints.write(path, arrays, metrics))

    def _check_loss(self) -> None:
        """Checks the epoch's loss: one far above that of guessing is a divergence, if finite."""
        loss = self.progress.loss_sum / self._epoch_texts
        num_labels = len(self.data.labels)
        guessing = num_labels * np.log(2) if self.config.has_label_sets else np.log(num_labels)
        if loss > FAR_ABOVE_GUESSING * guessing:
            raise DivergedError(
                f"the mean loss of epoch {self.progress.epoch + 1} is {loss:g}, where guessing "
                f"has {guessing:.2f}"
            )

    def close(self) -> None:
        """Closes the run's files."""
        self.summaries.close()

    def restore(self) -> None:
        """Goes on from the newest checkpoint, where there is one."""
        self._recorder.progress = Progress(**self.workers.broadcast(self._restore))
        self.replicas.share()

    def _restore(self) -> dict[str, Any]:
        if path := self.config.model.pretrained_embeddings:
            self._vectors = embeddings.checksum(path)
        checkpoint = checkpoints.newest(self.folder.checkpoints)
        if checkpoint is None:
            if self._vectors:
                start_from_pretrained(self.model, self.config, self.data)
                if average := self.replicas.first.average:
                    average.restart()
            self.summaries.open({})
            return dataclasses.asdict(Progress())
        saved = read_state(checkpoint, self.folder)
        if saved.data != self.data.fingerprint:
            raise self.folder.other_texts()
        if saved.vectors != self._vectors:
            raise UserError(
                f"--pretrained_embeddings={path}: not the vectors that this run began with; "
                f"expected the same file, or a new run"
            )
        checkpoints.assign(checkpoint.path, checkpoint.arrays, self.replicas.first.variables)
        self.best = saved.best
        self.summaries.open(saved.summaries)
        return dataclasses.asdict(saved.progress)

    def _is_save_due(self) -> bool:
        minutes = self.config.run.checkpoint_minutes
        return self.workers.is_chief and 0 < 60 * minutes < time.monotonic() - self._saved

    def save(self) -> None:
        """Begins to write a checkpoint, once the one before is on disk.

        Raises:
          DivergedError: the weights are not finite.
          OSError: the one before cannot be written.
        """
        self._recorder.wait()
        self._saver.wait()
        self._check_finite()
        if self.workers.is_chief:
            state = SavedState(
                self.progress,
                self.data.fingerprint,
                self._vectors,
                self.summaries.flush(),
                self.best,
                self._init_from,
            )
            variables = self.replicas.first.variables
            self._saver.save(self.replicas.steps, variables, state.to_json())
        self._saved = time.monotonic()
        self.workers.wait()

    def _check_finite(self) -> None:
        for name, variable in self.replicas.first.variables.items():
            if not np.isfinite(variable.numpy()).all():
                raise DivergedError(f"{name} is no longer finite at step {self.replicas.steps}")
