"""Measures resident memory, open files and traces of a long training; growth means a leak.

    python -m benchmarks.memory

trains a tiny model for 20,000 steps, with validation and checkpoints, prints JSON and draws
docs/images/memory.png.
"""

import argparse
import json
import os
import pathlib
import random
import tempfile

from tf_textrnn.base.startup import load_tensorflow

WARM_UP = 1_000  # steps
EVERY = 50  # steps between measurements


def resident_mebibytes() -> float:
    """Returns the resident memory of this process, in MiB."""
    pages = int(pathlib.Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


def open_files() -> int:
    """Counts the open file descriptors of this process."""
    return len(list(pathlib.Path("/proc/self/fd").iterdir()))


def measure(steps: int, folder: pathlib.Path) -> dict[str, list]:
    """Trains, and measures every 50 steps: step, MiB, open files and traces so far."""
    from tf_textrnn.training import replicas, runner

    chooser = random.Random(1)
    lines = []
    for _ in range(8_000):
        label = chooser.choice("ab")
        words = [f"{label}{chooser.randrange(500)}" for _ in range(chooser.randint(1, 40))]
        lines.append(f"{label}\t{' '.join(words)}\n")
    (folder / "train.tsv").write_text("".join(lines))

    seen: dict[str, list] = {"step": [], "mebibytes": [], "open_files": [], "traces": []}
    train_step = replicas.train_step
    traces = 0

    def counted_train_step(*args):  # type: ignore[no-untyped-def]
        nonlocal traces
        traces += 1
        return train_step(*args)

    def look(step: int) -> None:
        if step % EVERY == 0:
            values = (step, resident_mebibytes(), open_files(), traces)
            for name, value in zip(seen, values, strict=True):
                seen[name].append(value)

    replicas.train_step = counted_train_step
    steps_an_epoch = -(-7_200 // 8)
    runner.run(
        {
            "train_file": str(folder / "train.tsv"),
            "run_dir": str(folder / "run"),
            "cache_dir": str(folder / "cache"),
            "hidden_size": 8,
            "embedding_dim": 8,
            "batch_size": 8,
            "num_epochs": -(-steps // steps_an_epoch),
            "patience": 0,
            "checkpoint_minutes": 0.05,
        },
        on_step=look,
    )
    return seen


def draw(seen: dict[str, list], path: pathlib.Path) -> None:
    """Draws memory and open files over the steps."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8, 4), layout="constrained")
    axes = figure.subplots()
    axes.plot(seen["step"], seen["mebibytes"], label="resident memory")
    axes.axvline(WARM_UP, color="grey", linewidth=0.8, linestyle=":")
    axes.set(xlabel="step", ylabel="MiB", ylim=(0, 1.2 * max(seen["mebibytes"])))
    right = axes.twinx()
    right.plot(seen["step"], seen["open_files"], color="tab:orange", label="open files")
    right.set(ylabel="open files", ylim=(0, 2 * max(seen["open_files"])))
    figure.legend(loc="outside upper right", ncols=2)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=110)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.memory", description=__doc__)
    parser.add_argument("--steps", type=int, default=20_000)
    parser.add_argument("--plot", type=pathlib.Path, default="docs/images/memory.png")
    arguments = parser.parse_args()
    load_tensorflow()
    with tempfile.TemporaryDirectory() as folder:
        seen = measure(arguments.steps, pathlib.Path(folder))
    draw(seen, arguments.plot)
    warm = [i for i, step in enumerate(seen["step"]) if step >= WARM_UP]
    memory = [seen["mebibytes"][i] for i in warm]
    files = [seen["open_files"][i] for i in warm]
    result = {
        "steps": seen["step"][-1],
        "mebibytes_after_warm_up": round(memory[0], 1),
        "mebibytes_least": round(min(memory), 1),
        "mebibytes_most": round(max(memory), 1),
        "mebibytes_at_the_end": round(memory[-1], 1),
        "growth_percent": round(100 * (memory[-1] / memory[0] - 1), 2),
        "open_files_least": min(files),
        "open_files_most": max(files),
        "traces_of_the_train_step": seen["traces"][-1],
    }
    print(json.dumps(result, indent=2))


if __name__ == "__main__":
    main()
