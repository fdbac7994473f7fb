"""Measures training on several processes, and predicts the speed of more.

    unshare -rn sh -c 'ip link set lo up; exec python -m benchmarks.scaling'

Each process trains on a core of its own, with one thread, on texts of random words (Zipf). The
bytes of a step are those of the loopback interface, so the benchmark runs in a network namespace of
its own. It prints JSON; `docs/distributed.md` explains the prediction.
"""

import argparse
import json
import os
import pathlib
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any

import numpy as np

WARM_UP_STEPS, STEPS = 20, 100
TEXTS_PER_WORKER = 64  # in a batch
CLASSES, WORDS = 10, 20_000
CLUSTER_SIZES = (1, 2, 4, 8, 16, 32, 64, 128, 256)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--vocab_size", type=int, default=WORDS)
    parser.add_argument("--worker", type=int, help="index of the worker to run as")
    parser.add_argument("--port", type=int, default=31_000)
    args = parser.parse_args()
    if args.worker is not None:
        print(json.dumps(work(args.worker, args.vocab_size)))
        return
    alone = run(args, 1)[0]
    two = run(args, 2)[0]
    print(json.dumps({"alone": alone, "two": two, **predict(alone, two)}, indent=1))


def run(args: argparse.Namespace, count: int) -> list[dict[str, float]]:
    """Runs `count` workers and returns what each measured."""
    processes = []
    for index in range(count):
        environment = {**os.environ, "TF_NUM_INTEROP_THREADS": "1", "TF_NUM_INTRAOP_THREADS": "1"}
        if count > 1:
            addresses = [f"127.0.0.1:{args.port + i}" for i in range(count)]
            task = {"type": "worker", "index": index}
            environment["TF_CONFIG"] = json.dumps({"cluster": {"worker": addresses}, "task": task})
        command = [sys.executable, "-m", "benchmarks.scaling", f"--worker={index}"]
        command.append(f"--vocab_size={args.vocab_size}")
        processes.append(subprocess.Popen(command, env=environment, stdout=subprocess.PIPE))
    outputs = [process.communicate()[0] for process in processes]
    return [json.loads(output.splitlines()[-1]) for output in outputs]


def work(index: int, vocab_size: int) -> dict[str, float]:
    """Trains as one of the workers and measures."""
    os.sched_setaffinity(0, {index})
    from tf_textrnn.base.startup import load_tensorflow

    load_tensorflow()
    import tensorflow as tf

    from tf_textrnn.config import Config, RunConfig
    from tf_textrnn.data.batches import training_batches
    from tf_textrnn.training.distribution import connect
    from tf_textrnn.training.replicas import Replicas, StopOrSave

    workers = connect(RunConfig())
    config = Config().replace(batch_size=TEXTS_PER_WORKER * workers.count, ngrams=0)
    data = make_data(vocab_size, (2 * WARM_UP_STEPS + 2 * STEPS) * config.training.batch_size)
    replicas = Replicas(config, data, workers)
    replicas.share()

    def batches() -> Any:
        order = (data.train, config.training.batch_size, 1, 0, 1, 0)
        return training_batches(*order, workers.replicas, workers.num_replicas)

    stream = batches()
    results: list[Any] = []

    def step() -> None:
        size, shares = next(stream)
        results[:] = [replicas.step(size, shares, StopOrSave(stop=False, save=False))[0]]
        float(results[0].loss)

    inputs = batches()
    figures = {"step": seconds(step), "input": seconds(lambda: next(inputs))}
    sent = bytes_sent()
    for _ in range(STEPS):
        step()
    workers.wait()
    figures["bytes_sent"] = (bytes_sent() - sent) / STEPS / workers.count
    gradients = results[0].gradients
    rows = [g for g in gradients if isinstance(g, tf.IndexedSlices)]
    dense = [g for g in gradients if not isinstance(g, tf.IndexedSlices)]
    figures["dense_bytes"] = float(sum(4 * tf.size(g).numpy() for g in dense))
    figures["row_bytes"] = 4.0 * rows[0].values.shape[1] + 4.0
    if workers.count == 1:
        figures |= seconds_by_rows(replicas, rows[0])
        return figures

    def exchange(values: Any) -> Callable[[], Any]:
        function = tf.function(lambda: workers.run(lambda place: workers.all_reduce(values)))
        return lambda: tf.nest.flatten(function(), expand_composites=True)[0].numpy()

    share = [tf.IndexedSlices(g.values[:half], g.indices[:half], g.dense_shape)
             for g in rows for half in [g.indices.shape[0] // workers.count]]  # fmt: skip
    none = [tf.IndexedSlices(g.values[:1], g.indices[:1], g.dense_shape) for g in rows]
    figures["exchange"] = seconds(exchange([*dense, *share]))
    figures["latency"] = seconds(exchange([tf.zeros([]), *none]))
    return figures


def seconds_by_rows(replicas: Any, gradient: Any) -> dict[str, float]:
    """Measures the seconds it takes to sum and apply each row received from other workers."""
    import tensorflow as tf

    from tf_textrnn.training.optimizers import sum_rows

    first = replicas.first
    variable = first.weights["embedding"].value

    def apply(times: int) -> Callable[[], Any]:
        @tf.function
        def update() -> None:
            values, indices = (
                tf.repeat(x[None], times, 0) for x in (gradient.values, gradient.indices)
            )
            received = tf.IndexedSlices(
                tf.reshape(values, [-1, values.shape[-1]]),
                tf.reshape(indices, [-1]) * times % variable.shape[0],
                gradient.dense_shape,
            )
            rows = sum_rows(received)
            first.optimizer.update_step(rows, variable, 1e-6)

        return update

    few, many = (seconds(apply(times)) for times in (1, 17))
    return {"seconds_a_row": (many - few) / 16 / gradient.indices.shape[0]}


def make_data(vocab_size: int, count: int) -> Any:
    """Makes random texts of 5 to 40 words, the same words for every vocabulary size."""
    from benchmarks.contest import Contest
    from benchmarks.encoded import as_data

    random = np.random.default_rng(1)
    lengths = random.integers(5, 41, count)
    frequency = 1.0 / np.arange(1, WORDS - 1)
    ids = random.choice(WORDS - 2, lengths.sum(), p=frequency / frequency.sum()) + 2
    classes = random.integers(0, CLASSES, count)
    offsets = np.concatenate([[0], np.cumsum(lengths)])
    texts = Contest(ids.astype(np.int32), offsets, classes.astype(np.int32), vocab_size, CLASSES)
    return as_data(texts, max_len=400)


def seconds(call: Callable[[], Any]) -> float:
    """Measures the median time of a call."""
    times = []
    for number in range(WARM_UP_STEPS + STEPS):
        start = time.perf_counter()
        call()
        if number >= WARM_UP_STEPS:
            times.append(time.perf_counter() - start)
    return float(np.median(times))


def bytes_sent() -> int:
    """Counts the bytes that the loopback interface has sent."""
    for line in pathlib.Path("/proc/net/dev").read_text().splitlines():
        name, _, counters = line.partition(":")
        if name.strip() == "lo":
            return int(counters.split()[8])
    return 0


def predict(alone: dict[str, float], two: dict[str, float]) -> dict[str, Any]:
    """Predicts the examples/s of N workers, each with 64 texts of the batch."""

    def step_seconds(workers: int, bytes_a_second: float) -> float:
        others = workers - 1
        row_bytes = others * (two["bytes_sent"] - two["dense_bytes"])
        sent = 2 * others / workers * two["dense_bytes"] + row_bytes
        work = alone["step"] + row_bytes / two["row_bytes"] * alone["seconds_a_row"]
        return work + others * two["latency"] + sent / bytes_a_second

    def examples(workers: int, bytes_a_second: float) -> float:
        return workers * TEXTS_PER_WORKER / step_seconds(workers, bytes_a_second)

    loopback = two["bytes_sent"] / max(two["exchange"] - two["latency"], 1e-6)
    return {
        "examples_per_second": {
            "1": TEXTS_PER_WORKER / alone["step"],
            "2": 2 * TEXTS_PER_WORKER / two["step"],
            "2, predicted": examples(2, loopback),
        },
        "network_share": two["exchange"] / two["step"],
        "predicted": {
            f"{gigabits} Gbit/s": {n: round(examples(n, gigabits * 1e9 / 8)) for n in CLUSTER_SIZES}
            for gigabits in (10, 100)
        },
    }


if __name__ == "__main__":
    main()
