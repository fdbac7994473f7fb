"""Compares `textrnn tune` with fastText's autotune: the same files, the same minutes.

    python -m benchmarks.autotune --data_dir DIR --sets trec,mr [--minutes 10]

DIR is as for `benchmarks.quality`; each set needs a validation file. One after the other, each with
all cores, `tune` and fastText (`pip install fasttext`) look for settings on the validation texts.
Accuracy and macro F1 are of the test texts, which neither has chosen anything by; `default` is the
trial of a tuning that trains by the default settings. fastText keeps no seed: its threads write to
the same weights.
"""

import argparse
import json
import pathlib
import subprocess
import sys
import time

from sklearn.metrics import accuracy_score, f1_score

from benchmarks.baselines import autotuned_fasttext
from benchmarks.quality import Files, find_sets, label_of, read_lines

PROGRAM = [sys.executable, "-m", "tf_textrnn.cli"]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data_dir", required=True, help="the sets")
    parser.add_argument("--sets", required=True, help="their names, separated by commas")
    parser.add_argument("--minutes", type=float, default=10, help="of each")
    parser.add_argument("--run_dir", default="runs/autotune", help="folder of the tunings")
    parser.add_argument("--nofasttext", action="store_true", help="tune alone")
    args = parser.parse_args()
    sets = find_sets(pathlib.Path(args.data_dir))
    for name in args.sets.split(","):
        began = time.monotonic()
        tuned = tune(sets[name], pathlib.Path(args.run_dir, name), args.minutes)
        print(json.dumps({"set": name, **tuned, "seconds": time.monotonic() - began}), flush=True)
        if not args.nofasttext:
            began = time.monotonic()
            found = autotune(sets[name], args.minutes)
            found["seconds"] = time.monotonic() - began
            print(json.dumps({"set": name, "fastText": found}), flush=True)


def tune(files: Files, folder: pathlib.Path, minutes: float) -> dict[str, object]:
    """Runs `textrnn tune`; returns measures of its best and of the default's run."""
    flags = [f"--{split}_file={path}" for split, path in files.items()]
    command = [*PROGRAM, "tune", f"--minutes={minutes}", f"--run_dir={folder}", *flags]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    report = json.loads((folder / "final" / "report.json").read_text("utf-8"))
    evaluate = ["predict", "--evaluate", "--format=jsonl", f"--model={folder / 'trials' / '0'}"]
    shown = subprocess.run(
        [*PROGRAM, *evaluate, f"--input={files['test']}"], check=True, capture_output=True
    )
    default = json.loads(shown.stdout)
    names = ("accuracy", "macro_f1")
    return {
        "tune": {name: report[name] for name in names},
        "default": {name: default[name] for name in names},
        "best_flags": (folder / "best.flags").read_text("utf-8").split("\n")[1:-1],
        "trials": len(list((folder / "trials").iterdir())),
    }


def autotune(files: Files, minutes: float) -> dict[str, float]:
    """Runs fastText's autotune; returns its measures."""
    texts, labels = {}, {}
    for split, path in files.items():
        lines = read_lines(path)
        labels[split] = [label_of(line) for line in lines]
        texts[split] = [line.partition("\t")[2] for line in lines]
    answers = autotuned_fasttext(
        texts["train"], labels["train"], texts["test"], (texts["valid"], labels["valid"]),
        round(60 * minutes),
    )  # fmt: skip
    return {
        "accuracy": float(accuracy_score(labels["test"], answers)),
        "macro_f1": float(f1_score(labels["test"], answers, average="macro", zero_division=0)),
    }


if __name__ == "__main__":
    main()
