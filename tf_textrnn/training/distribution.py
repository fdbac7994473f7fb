"""The processes that train together, on `tf.distribute`: how they meet, and what they exchange.

A *worker* is a process, a *replica* a device of one, with a model of its own on it. Every replica
starts from the chief's variables and applies the same summed gradients, so all stay alike; nothing
else crosses the network in a step. `docs/distributed.md` has the use.
"""

import contextlib
import json
import math
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any, TypeVar

import numpy as np
import tensorflow as tf

# The coordination service that tf.distribute starts has no public name.
from tensorflow.python.eager import context as eager_context

from tf_textrnn.base import signals
from tf_textrnn.base.errors import PeerLostError, UserError
from tf_textrnn.config import RunConfig
from tf_textrnn.training.cluster import Cluster, read_cluster
from tf_textrnn.training.joining import meet
from tf_textrnn.training.optimizers import Gradient, sum_rows

# A worker that dies is noticed by its connection, or by its heartbeats, which end too where all of
# it stands still. One that lives and yet keeps the others waiting inside a step hangs. (The timeout
# of TensorFlow's collectives is no help: each leaves a thread asleep for so long, every step.)
HEARTBEAT_SECONDS = 20
CONNECT_SECONDS = 120  # that TensorFlow has to connect those who have met; usually a second
_NO_ROW = -1

T = TypeVar("T")


class Workers:
    """All that train together; by default this process alone, on its default device.

    Args:
      strategy: what connects the replicas; None = there is one.
      index: of this worker.
      count: workers.

    Attributes:
      index: of this worker; the chief is 0, and alone writes what the run leaves behind.
      count: workers.
      devices: of this worker; a replica is on each.
      replicas: their indices among all replicas.
      num_replicas: all.
    """

    def __init__(
        self, strategy: tf.distribute.Strategy | None = None, index: int = 0, count: int = 1
    ):
        self._strategy: Any = strategy
        self.index = index
        self.count = count
        self.devices = strategy.extended.worker_devices if strategy else ("",)
        local = len(self.devices)
        self.replicas = range(index * local, (index + 1) * local)
        self.num_replicas = count * local
        self._step_seconds = self._deadline = math.inf
        if count > 1:
            threading.Thread(target=self._watch, daemon=True).start()

    @property
    def is_chief(self) -> bool:
        """Whether this worker is the one that writes."""
        return self.index == 0

    def wait(self) -> None:
        """Waits until all workers are here, however long the work of one takes.

        Raises:
          tf.errors.OpError: one of them is lost.
        """
        self.sum_arrays(np.zeros([], np.int32))

    def broadcast(self, make: Callable[[], T]) -> T:
        """What `make` returns at the chief, something JSON-able; others wait for it.

        Raises:
          UserError: the chief's, at every worker.
        """
        if self.count == 1:
            return make()
        message: dict[str, Any] = {}
        if self.is_chief:
            try:
                message["value"] = make()
            except UserError as error:
                message["error"] = str(error)
        # Of all summands, only the chief's are not zeros.
        content = json.dumps(message).encode() if self.is_chief else b""
        size = int(self.sum_arrays(np.array(len(content), np.int32)))
        characters = np.frombuffer(content.ljust(size, b"\0"), np.uint8).astype(np.int32)
        message = json.loads(self.sum_arrays(characters).astype(np.uint8).tobytes())
        if "error" in message:
            with contextlib.suppress(tf.errors.OpError):  # the chief stays until all have read it
                self.wait()
            raise UserError(message["error"])
        return message["value"]

    def in_turn(self, load: Callable[[], T]) -> T:
        """`load()` at the chief, then at the others, who find what it has put in a shared cache."""
        loaded = []
        self.broadcast(lambda: loaded.append(load()))
        return loaded[0] if loaded else load()

    def run(self, step: Callable[[int], T]) -> T:
        """Calls `step` with the place, from 0, of each of this worker's replicas, on its device.

        For use inside a `tf.function`. Returns what the first of them returns.
        """
        if self._strategy is None:
            return step(0)

        def in_replica() -> T:
            replica = tf.distribute.get_replica_context().replica_id_in_sync_group
            return step(int(tf.get_static_value(replica)) - self.replicas[0])

        results = self._strategy.run(in_replica)
        return tf.nest.map_structure(
            lambda result: self._strategy.experimental_local_results(result)[0], results
        )

    def all_reduce(self, values: Any) -> Any:
        """Sums tensors, float32 or int32, and row gradients over all replicas, inside `run`.

        Row gradients cross the network as rows, each replica's summed beforehand.
        """
        floats = tf.nest.map_structure(_as_sent, values)
        context = tf.distribute.get_replica_context()
        summed = context.all_reduce(tf.distribute.ReduceOp.SUM, floats)
        return tf.nest.map_structure(_as_received, values, summed)

    def share_variables(self, replicas: Sequence[Sequence[tf.Variable]]) -> None:
        """Sets the variables of all replicas to those of the chief's first, bit for bit.

        Args:
          replicas: the variables of each of this worker's replicas, in the same order.
        """
        first, *others = replicas
        if self.count > 1:
            for variable in first:
                # As whole numbers: beside the chief's, the others' are zeros, and nothing is lost.
                bits = tf.bitcast(variable, {4: tf.int32, 8: tf.int64}[variable.dtype.size])
                bits = self._sum(bits if self.is_chief else tf.zeros_like(bits))
                variable.assign(tf.bitcast(bits, variable.dtype))
        for variables in others:
            for source, variable in zip(first, variables, strict=True):
                variable.assign(source)

    def sum_arrays(self, array: np.ndarray) -> np.ndarray:
        """The sum of all workers' arrays, which have the same shape; waits for the slowest."""
        if self.count == 1:
            return array
        return self._sum(tf.constant(array)).numpy()

    def _sum(self, value: tf.Tensor) -> tf.Tensor:
        return self._strategy.reduce(tf.distribute.ReduceOp.SUM, value, axis=None)

    @contextlib.contextmanager
    def in_step(self, seconds: float) -> Iterator[None]:
        """Inside, no worker may keep the others waiting for longer."""
        self._step_seconds = seconds
        self._deadline = time.monotonic() + seconds
        try:
            yield
        finally:
            self._deadline = math.inf

    def _watch(self) -> None:
        while time.monotonic() < self._deadline:
            time.sleep(1)
        reason = f"a step takes over {self._step_seconds:g} s"
        eager_context.context().abort_collective_ops(tf.errors.UNAVAILABLE, reason)

    @contextlib.contextmanager
    def watched(self) -> Iterator[None]:
        """Inside, what TensorFlow raises when a worker is lost becomes a `PeerLostError`."""
        try:
            yield
        except _LOST as error:
            if self.count == 1:
                raise
            raise PeerLostError(
                f"worker {self.index} of {self.count}: another worker died or hangs "
                f"({type(error).__name__}); the same command, at all workers, goes on from the "
                f"last checkpoint"
            ) from error


_LOST = (
    tf.errors.UnavailableError,
    tf.errors.DeadlineExceededError,
    tf.errors.AbortedError,
    tf.errors.CancelledError,
    tf.errors.InternalError,
    tf.errors.FailedPreconditionError,
    tf.errors.UnknownError,
)


def _as_sent(value: Gradient) -> Gradient:
    if not isinstance(value, tf.IndexedSlices):
        return tf.identity(tf.cast(value, tf.float32))  # on the replica's device
    # TensorFlow's gather crashes where no replica has a row: each sends one that is none.
    values = tf.pad(value.values, [[0, 1], [0, 0]])
    indices = tf.pad(value.indices, [[0, 1]], constant_values=_NO_ROW)
    return tf.IndexedSlices(values, indices, value.dense_shape)


def _as_received(sent: Gradient, summed: Gradient) -> Gradient:
    if not isinstance(summed, tf.IndexedSlices):
        return tf.cast(summed, sent.dtype)
    is_row = summed.indices != _NO_ROW
    values, indices = summed.values[is_row], summed.indices[is_row]
    return sum_rows(tf.IndexedSlices(values, indices, sent.dense_shape))


def connect(options: RunConfig) -> Workers:
    """The workers of a run, this one among them, once all are there.

    Args:
      options: --strategy and --join_minutes are read.

    Raises:
      UserError: what was chosen is not there, or TF_CONFIG is mistaken.
      PeerLostError: the other workers have not come in time, or are lost already.
    """
    choice = options.strategy
    if choice in ("auto", "multiworker"):
        cluster = read_cluster()
        if len(cluster.addresses) > 1:
            return _join(cluster, options.join_minutes)
        if choice == "multiworker":
            raise UserError(
                "--strategy=multiworker: expected a cluster of several workers in the environment "
                "variable TF_CONFIG, found none (docs/distributed.md)"
            )
    gpus = tf.config.list_logical_devices("GPU")
    if choice == "mirrored" or (choice == "auto" and len(gpus) > 1):
        devices = gpus or tf.config.list_logical_devices("CPU")
        if len(devices) > 1:
            return Workers(tf.distribute.MirroredStrategy([device.name for device in devices]))
    return Workers()


def _join(cluster: Cluster, minutes: float) -> Workers:
    try:
        meet(cluster, minutes)
    except signals.Stopped as stopped:
        stopped.at_once = True  # nothing is under way; TensorFlow's own end takes a second
        raise
    jobs = {job: len(addresses) for job, addresses in cluster.jobs.items()}
    coordination = tf.compat.v1.ConfigProto().experimental.coordination_config
    for job, tasks in jobs.items():
        coordination.coordinated_job_list.add(name=job, num_tasks=tasks)
    eager_context.context().configure_coordination_service(
        "standalone",
        service_leader=f"/job:{next(iter(jobs))}/task:0",
        cluster_register_timeout_in_ms=1_000 * (CONNECT_SECONDS - 10),
        heartbeat_timeout_in_ms=1_000 * HEARTBEAT_SECONDS,
        coordinated_jobs=list(coordination.coordinated_job_list),
    )
    resolver = tf.distribute.cluster_resolver.TFConfigClusterResolver(rpc_layer="grpc")
    try:
        with signals.left_to_the_system(CONNECT_SECONDS):
            strategy = tf.distribute.MultiWorkerMirroredStrategy(resolver)
    except tf.errors.OpError as error:  # one that had come is gone
        raise PeerLostError(
            f"{cluster}: cannot join the others ({type(error).__name__}); start it again"
        ) from error
    return Workers(strategy, cluster.index, len(cluster.addresses))
