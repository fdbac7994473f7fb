"""Stands for `textrnn train` where a test wants trainings of milliseconds.

It writes the files that a tuning reads, and heeds the same signals. The loss of an epoch follows
from the options, so that a test knows which trial is best.
"""

import json
import os
import pathlib
import sys
import time

from tf_textrnn.base import locks, signals
from tf_textrnn.base.errors import UserError
from tf_textrnn.base.files import write_lines
from tf_textrnn.cli import train_options
from tf_textrnn.config import Config

EPOCH_SECONDS = "TUNE_TRAINER_EPOCH_SECONDS"  # environment
TEXTS = 1_000


def loss(options: dict, epoch: int) -> float:
    """Least at a word dropout of .3, a little by seed; it falls from epoch to epoch."""
    seed = options.get("seed", 1)
    away = abs(options.get("word_dropout", 0.2) - 0.3) + abs(options.get("keep_prob", 0.4) - 0.4)
    return 0.5 + 0.1 * away + 0.001 * (seed % 3) + 0.2 / (epoch + 1)


def main() -> None:
    signals.install()
    options = train_options(sys.argv[2:])
    path = pathlib.Path(options["run_dir"])
    try:
        if "bad" in options["train_file"]:
            raise UserError(f"{options['train_file']}:3: expected a label")
        if "diverging" in options["train_file"] and {"learning_rate", "keep_prob"} & options.keys():
            print("error: the loss is nan", file=sys.stderr)
            sys.exit(1)
        with locks.take(path / ".lock", wait=False):
            train(path, options)
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)
    except signals.Stopped as stopped:
        sys.exit(stopped.status)


def train(path: pathlib.Path, options: dict) -> None:
    config = Config().replace(**options).settled(file_folds=1)  # its texts are few
    (path / "config.json").write_text(config.to_json(), encoding="utf-8")
    (path / "labels.txt").write_text("a\nb\nc\n", encoding="utf-8")
    file = path / "metrics.jsonl"
    lines = file.read_text(encoding="utf-8").splitlines() if file.exists() else []
    for epoch in range(len(lines), options["num_epochs"]):
        time.sleep(float(os.environ.get(EPOCH_SECONDS, "0.01")))
        value = loss(options, epoch)
        line = {"epoch": epoch, "step": 10 * epoch + 10, "valid_loss": value}
        lines.append(json.dumps({**line, "valid_accuracy": 1 - value}))
        with signals.deferred():
            write_lines(file, [line.encode() for line in lines])
    accuracy = 1 - loss(options, options["num_epochs"] - 1)
    report = {"texts": {"train": TEXTS, "valid": 100}, "accuracy": accuracy, "macro_f1": accuracy,
              "evaluated_on": "test" if options.get("test_file") else "valid"}  # fmt: skip
    (path / "report.json").write_text(json.dumps(report), encoding="utf-8")
    (path / "report.txt").write_text("done\n", encoding="utf-8")


if __name__ == "__main__":
    main()
