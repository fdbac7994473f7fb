"""Measures the accuracy of the recipe, `python train.py` with only the files, on labeled sets.

    python -m benchmarks.quality --data_dir D [--seeds 3] [--json F] [-- FLAG ...]

Each folder of D holds train.tsv, valid.tsv and test.tsv. Texts without spaces, like Chinese ones,
get `--tokenizer=char`; nothing else differs. The baseline is TF-IDF with logistic regression on the
same training texts. valid.tsv decides the epoch; test.tsv is read once, by the report. Flags after
`--` go to train.py: `-- --ngrams=0` is an ablation.
"""

import argparse
import json
import pathlib
import random
import statistics
import subprocess
import sys
import tempfile
import time
from typing import Any

from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import accuracy_score, f1_score
from sklearn.pipeline import make_pipeline

MEASURES = ("accuracy", "macro_f1", "error", "error_raw", "seconds")
SPLITS = ("train", "valid", "test")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data_dir", required=True, help="folder of the data sets' folders")
    parser.add_argument(
        "--sets", default="", help="names of folders, separated by commas; empty = all"
    )
    parser.add_argument(
        "--seeds", type=int, default=3, help="number of runs of each set, with seeds 1, 2, …"
    )
    parser.add_argument(
        "--share", type=float, default=1.0, help="fraction of the training texts to use"
    )
    parser.add_argument("--nobaseline", action="store_true", help="leave out the linear baseline")
    parser.add_argument("--json", help="write the figures here")
    parser.add_argument("flags", nargs="*", help="flags of train.py, after --")
    args = parser.parse_args()
    folders = sorted(path.parent for path in pathlib.Path(args.data_dir).glob("*/train.tsv"))
    chosen = args.sets.split(",") if args.sets else [folder.name for folder in folders]
    figures: dict[str, dict[str, Any]] = {}
    for folder in folders:
        if folder.name not in chosen:
            continue
        with tempfile.TemporaryDirectory() as scratch:
            files = {split: folder / f"{split}.tsv" for split in SPLITS}
            if args.share < 1:
                files["train"] = take_share(files["train"], args.share, pathlib.Path(scratch))
            figures[folder.name] = {}
            if not args.nobaseline:
                figures[folder.name]["TF-IDF + logistic regression"] = [linear_baseline(files)]
            flags = args.flags if has_words(files["train"]) else ["--tokenizer=char", *args.flags]
            figures[folder.name]["recipe"] = [
                train(files, pathlib.Path(scratch), seed, flags)
                for seed in range(1, args.seeds + 1)
            ]
        for name, runs in figures[folder.name].items():
            print_row(folder.name, name, runs)
        if args.json:
            pathlib.Path(args.json).write_text(json.dumps(figures, indent=2) + "\n")


def take_share(path: pathlib.Path, share: float, scratch: pathlib.Path) -> pathlib.Path:
    """Writes this fraction of a file's lines, always the same; 10 % contain those of 5 %."""
    lines = path.read_text(encoding="utf-8").splitlines(keepends=True)
    random.Random(0).shuffle(lines)
    target = scratch / path.name
    target.write_text("".join(lines[: round(share * len(lines))]), encoding="utf-8")
    return target


def has_words(path: pathlib.Path) -> bool:
    """Returns whether the texts of a file have spaces between words."""
    lines = path.read_text(encoding="utf-8").splitlines()
    return statistics.median(line.count(" ") for line in lines) > 2


def train(
    files: dict[str, pathlib.Path], scratch: pathlib.Path, seed: int, flags: list[str]
) -> dict[str, float]:
    """Runs train.py and returns measures from its report."""
    run_dir = scratch / str(seed)
    command = [sys.executable, "train.py", f"--run_dir={run_dir}", f"--seed={seed}", "--noexport"]
    command += [f"--cache_dir={scratch / 'cache'}"]
    command += [f"--{split}_file={path}" for split, path in files.items()]
    start = time.monotonic()
    subprocess.run([*command, *flags], check=True, stdout=subprocess.DEVNULL)
    seconds = time.monotonic() - start
    report = json.loads((run_dir / "report.json").read_text())
    return {
        "accuracy": report["accuracy"],
        "macro_f1": report["macro_f1"],
        "error": report["calibration_error"],
        "error_raw": report["calibration_error_raw"],
        "seconds": seconds,
        "valid_accuracy": report["valid_accuracy"],
        "best_epoch": report["best_epoch"],
        "epochs": report["epochs"],
        "examples_per_second": report["train_examples_per_second"],
        "temperature": report["temperature"],
    }


def linear_baseline(files: dict[str, pathlib.Path]) -> dict[str, float]:
    """Measures TF-IDF of 1–2 words, or of 1–3 characters in texts without words, with C = 10."""
    rows = {
        split: [line.partition("\t") for line in path.read_text(encoding="utf-8").splitlines()]
        for split, path in files.items()
    }
    texts = {split: [text.lower() for _, _, text in rows[split]] for split in files}
    labels = {split: [label for label, _, _ in rows[split]] for split in files}
    start = time.monotonic()
    features = (
        TfidfVectorizer(token_pattern=r"\S+", ngram_range=(1, 2))
        if has_words(files["train"])
        else TfidfVectorizer(analyzer="char", ngram_range=(1, 3))
    )
    model = make_pipeline(features, LogisticRegression(C=10, max_iter=1_000))
    model.fit(texts["train"], labels["train"])
    predictions = model.predict(texts["test"])
    return {
        "accuracy": float(accuracy_score(labels["test"], predictions)),
        "macro_f1": float(f1_score(labels["test"], predictions, average="macro")),
        "seconds": time.monotonic() - start,
    }


def print_row(folder: str, name: str, runs: list[dict[str, float]]) -> None:
    """Prints means and, if there are several runs, standard deviations."""
    cells = []
    for measure in MEASURES:
        if measure in runs[0]:
            values = [run[measure] for run in runs]
            deviation = f" ± {statistics.pstdev(values):.4f}" if len(values) > 1 else ""
            digits = 1 if measure == "seconds" else 4
            cells.append(f"{measure} {statistics.mean(values):.{digits}f}{deviation}")
    print(f"{folder:10s} {name:30s} {'  '.join(cells)}", flush=True)


if __name__ == "__main__":
    main()
