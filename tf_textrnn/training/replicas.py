"""Trains a model on each device, with its optimizer and its running average."""

import contextlib
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf

from tf_textrnn.config import Config
from tf_textrnn.data.batches import BATCH_SPEC, Batch
from tf_textrnn.data.splits import Data
from tf_textrnn.training.average import WeightAverage
from tf_textrnn.training.distribution import Workers
from tf_textrnn.training.initial import Initial
from tf_textrnn.training.optimizers import make_optimizer
from tf_textrnn.training.start import new_model
from tf_textrnn.training.step import StepResult, StepSettings, train_step

TABLES = ("embedding", "ngrams/kernel")  # weights with row-sparse gradients


class StopOrSave(NamedTuple):
    """What a worker asks for after a step.

    Attributes:
      stop: whether to end the run.
      save: whether to write a checkpoint.
    """

    stop: bool
    save: bool


class Replica:
    """A model in training.

    Args:
      config: settled config.
      data: data of the run.
      initial: the trained model to start from; None = the run starts anew.
    """

    def __init__(self, config: Config, data: Data, initial: Initial | None):
        self.model, self.ngram_steps = new_model(config, data, initial)
        self.weights = self.model.named_trainable_weights()
        self.optimizer = make_optimizer(config.training)
        apart = {"ngrams/kernel"} if self.ngram_steps else set()
        self.optimizer.build([w for name, w in self.weights.items() if name not in apart])
        decay = config.training.average_decay
        tables = [name for name in TABLES if name in self.weights]
        self.average = WeightAverage(self.weights, tables, decay) if decay else None

    @property
    def variables(self) -> dict[str, tf.Variable]:
        """Every variable of the run, by name."""
        weights = self.model.saved_weights()
        variables = {f"model/{name}": weight.value for name, weight in weights.items()}
        for variable in self.optimizer.variables:
            slot = variable.path.partition("/")[2]  # without the optimizer's own name
            variables[f"optimizer/{slot}"] = variable.value
        if self.average:
            variables |= {f"average/{k}": v for k, v in self.average.state.items()}
        return variables

    @contextlib.contextmanager
    def averaged_weights(self) -> Iterator[None]:
        """Replaces the weights by their averages, and restores them at the end."""
        last = {name: weight.numpy() for name, weight in self.weights.items()}
        averages = self.average.values() if self.average else {}
        for name, value in averages.items():
            self.weights[name].assign(value)
        try:
            yield
        finally:
            for name, value in last.items():
                self.weights[name].assign(value)


class Replicas:
    """This worker's replicas, which are equal after every step; the first one is read and saved.

    Args:
      config: settled config.
      data: data of the run.
      workers: the workers that train together.
      initial: the trained model to start from; None = the run starts anew.
    """

    def __init__(
        self, config: Config, data: Data, workers: Workers, initial: Initial | None = None
    ):
        self._config = config
        self._workers = workers
        self._replicas = []
        for device in workers.devices:
            with tf.device(device):
                self._replicas.append(Replica(config, data, initial))
        self.first = self._replicas[0]
        self._embedding_rate = tf.Variable(1.0) if config.model.pretrained_embeddings else None
        shares = (BATCH_SPEC,) * len(workers.devices)
        # A concrete function is called in half the Python time.
        self._step = tf.function(self._traced_step).get_concrete_function(
            tf.TensorSpec([]), tf.TensorSpec([2]), shares
        )

    @property
    def graph(self) -> tf.Graph:
        """The graph of a step."""
        return self._step.graph

    @property
    def steps(self) -> int:
        """Number of steps done since the run began."""
        return int(self.first.optimizer.iterations.numpy())

    def share(self) -> None:
        """Makes every replica equal to the first one of the chief."""
        self._workers.share_variables([list(r.variables.values()) for r in self._replicas])

    def set_rates(self, learning_rate: float, tunes_embeddings: bool) -> None:
        """Sets what depends on the epoch.

        Args:
          learning_rate: the learning rate.
          tunes_embeddings: whether pretrained embeddings are trained.
        """
        for replica in self._replicas:
            replica.optimizer.learning_rate = learning_rate
        if self._embedding_rate is not None:
            self._embedding_rate.assign(float(tunes_embeddings))

    def step(
        self, num_texts: int, shares: tuple[Batch, ...], wishes: StopOrSave
    ) -> tuple[StepResult, StopOrSave]:
        """Takes a train step, in which the workers also agree on what to do after it.

        Args:
          num_texts: number of texts in the batch, over all replicas.
          shares: share of the batch that each of this worker's replicas takes.
          wishes: what this worker asks for.

        Returns:
          The result of the step, and what at least one worker asks for.
        """
        with self._workers.in_step(self._config.run.step_seconds):
            result, wished = self._step(np.float32(num_texts), np.array(wishes, np.float32), shares)
            stop, save = wished.numpy()
        return result, StopOrSave(bool(stop), bool(save))

    def _traced_step(
        self, num_texts: tf.Tensor, wishes: tf.Tensor, shares: tuple[Batch, ...]
    ) -> tuple[StepResult, tf.Tensor]:
        """Takes the step in the graph; it returns the sum of the workers' wishes float32[2]."""
        return self._workers.run(
            lambda place: self._replica_step(place, num_texts, wishes, shares[place])
        )

    def _replica_step(
        self, place: int, num_texts: tf.Tensor, wishes: tf.Tensor, share: Batch
    ) -> tuple[StepResult, tf.Tensor]:
        replica, training = self._replicas[place], self._config.training
        with tf.name_scope("dropout_seed/"):
            step = tf.cast(replica.optimizer.iterations.value, tf.int32)
            seed = tf.stack([training.seed, step])
        all_reduce = None
        if self._workers.num_replicas > 1:
            seed = tf.random.experimental.stateless_fold_in(seed, self._workers.replicas[place])

            def all_reduce(sums: Any) -> Any:
                nonlocal wishes
                wishes, sums = self._workers.all_reduce((wishes, sums))
                return sums

        rate = self._embedding_rate
        settings = StepSettings(
            dropout_seed=seed,
            max_grad_norm=training.max_grad_norm,
            label_smoothing=training.label_smoothing,
            has_sets=self._config.has_label_sets,
            gradient_scales={} if rate is None else {"embedding": rate},
            num_texts=num_texts,
            ngram_steps=replica.ngram_steps,
            average=replica.average,
            all_reduce=all_reduce,
        )
        return train_step(replica.model, replica.optimizer, share, settings), wishes
