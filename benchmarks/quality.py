"""Measures the accuracy of the recipe, `python train.py` with only the files, on labeled sets.

    python -m benchmarks.quality --data_dir D [--texts_per_label 8 32 128 all] [-- FLAG ...]

A set is a folder of D with train.tsv, test.tsv and perhaps valid.tsv, or files of D whose names
begin alike: NAME.train.tsv, NAME.test.tsv. Each line is a label, a tab and a text.

With a number of texts a label, that many are drawn from train.tsv, or all where a label has fewer,
and nothing else but test.tsv is read: who has few texts has no validation file. With `all`, the
recipe also has valid.tsv, which decides the epoch; the other classifiers train on train.tsv alone.
Test texts are read once, to report. Flags after `--` go to train.py: `-- --ngrams=0` is an
ablation.

Figures are means over draws (over seeds, for `all`), with 95 % intervals of the t distribution.
They hold the chance of draws, of seeds and of threads, but not that of the test texts.
"""

import argparse
import collections
import itertools
import json
import pathlib
import random
import statistics
import subprocess
import sys
import tempfile
import time
from typing import Any

from scipy.stats import t as student
from sklearn.metrics import accuracy_score, f1_score

from benchmarks.baselines import BASELINES, DETERMINISTIC, Baseline

RECIPE = "tf_textrnn"
MEASURES = {  # and their headings
    "accuracy": "accuracy",
    "macro_f1": "macro F1",
    "calibration_error": "error",
    "calibration_error_raw": "error raw",
    "seconds": "seconds",
}
OF_REPORT = (
    "accuracy",
    "macro_f1",
    "calibration_error",
    "calibration_error_raw",
    "valid_accuracy",
    "best_epoch",
    "epochs",
    "train_examples_per_second",
    "temperature",
)
KEY = ("set", "texts_per_label", "draw", "classifier")
Files = dict[str, pathlib.Path]  # of the splits train, valid and test
Row = dict[str, Any]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data_dir", required=True, help="folder of the sets")
    parser.add_argument("--sets", default="", help="names, separated by commas; empty = all")
    parser.add_argument(
        "--texts_per_label",
        nargs="+",
        type=number_or_all,
        default=["all"],
        help="numbers of training texts of each label, and all",
    )
    parser.add_argument("--draws", type=int, default=5, help="number of runs with few texts")
    parser.add_argument("--seeds", type=int, default=3, help="number of runs with all texts")
    parser.add_argument("--nobaseline", action="store_true", help="leave out other classifiers")
    parser.add_argument(
        "--rows",
        type=pathlib.Path,
        help="add each run to this file, as a line of JSON; a run that it has is not run again",
    )
    parser.add_argument("--curves", help="draw accuracy by number of texts a label in this PNG")
    parser.add_argument("flags", nargs="*", help="flags of train.py, after --")
    args = parser.parse_args()
    sets = find_sets(pathlib.Path(args.data_dir))
    names = args.sets.split(",") if args.sets else list(sets)
    if not names or set(names) - set(sets):
        parser.error(f"--data_dir has the sets {', '.join(sets) or 'of no name'}")
    classifiers = [" ".join([RECIPE, *args.flags]), *([] if args.nobaseline else BASELINES)]
    if not args.nobaseline and "fastText" not in BASELINES:
        print("fastText is not installed: pip install fasttext", file=sys.stderr)
    rows = read_rows(args.rows)
    groups: dict[tuple[str, int | str, str], list[Row]] = {}
    print_cells("set", "texts", "classifier", *MEASURES.values())
    for name, size, classifier in itertools.product(names, args.texts_per_label, classifiers):
        num_runs = args.draws if size != "all" else args.seeds
        if size == "all" and classifier in DETERMINISTIC:
            num_runs = 1
        runs = groups[name, size, classifier] = []
        for draw in range(1, 1 + num_runs):
            key = (name, size, draw, classifier)
            if key not in rows:
                rows[key] = dict(zip(KEY, key, strict=True))
                rows[key] |= measure(sets[name], size, draw, classifier, args.flags)
                keep(rows[key], args.rows)
            runs.append(rows[key])
        cells = [with_interval(runs, column) for column in MEASURES]
        print_cells(name, size, classifier, *cells)
    if args.curves:
        draw_curves(groups, args.curves)


def number_or_all(value: str) -> int | str:
    if value != "all" and int(value) < 1:
        raise ValueError
    return value if value == "all" else int(value)


def find_sets(folder: pathlib.Path) -> dict[str, Files]:
    """Returns the files of each set in a folder, by the set's name."""
    sets = {}
    for path in sorted([*folder.glob("*/train.tsv"), *folder.glob("*.train.tsv")]):
        beginning = str(path).removesuffix("train.tsv")
        files = {split: pathlib.Path(f"{beginning}{split}.tsv") for split in ("train", "valid")}
        files = {split: path for split, path in files.items() if path.exists()}
        name = pathlib.Path(beginning).name.removesuffix(".")
        sets[name] = {**files, "test": pathlib.Path(f"{beginning}test.tsv")}
    return sets


def read_rows(path: pathlib.Path | None) -> dict[tuple[Any, ...], Row]:
    """Returns the runs that a file holds, by what they measured."""
    if not path or not path.exists():
        return {}
    rows = map(json.loads, path.read_text(encoding="utf-8").splitlines())
    return {tuple(row[name] for name in KEY): row for row in rows}


def keep(row: Row, path: pathlib.Path | None) -> None:
    if path:
        with path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(row) + "\n")


def measure(files: Files, size: int | str, draw: int, classifier: str, flags: list[str]) -> Row:
    """Trains a classifier on all training texts, or on some of each label, and tests it.

    Args:
      files: those of a set.
      size: number of texts of each label, or "all".
      draw: which of these draws; it is also the seed of the recipe.
      classifier: name of a baseline; any other name is the recipe.
      flags: more flags of the recipe.

    Returns:
      Its measures; how many training texts and labels it had.
    """
    with tempfile.TemporaryDirectory() as name:
        scratch = pathlib.Path(name)
        if size != "all":
            drawn = draw_lines(read_lines(files["train"]), int(size), draw)
            files = {"train": scratch / "train.tsv", "test": files["test"]}
            files["train"].write_bytes("".join(line + "\n" for line in drawn).encode())
        texts = read_lines(files["train"])
        figures = {"texts": len(texts), "labels": len({label_of(line) for line in texts})}
        start = time.monotonic()
        if classifier in BASELINES:
            figures |= test(BASELINES[classifier], files)
        else:
            figures |= train(files, scratch, draw, flags)
        return {**figures, "seconds": time.monotonic() - start}


def read_lines(path: pathlib.Path) -> list[str]:
    return path.read_bytes().decode().removesuffix("\n").split("\n")


def label_of(line: str) -> str:
    return line.partition("\t")[0]


def draw_lines(lines: list[str], texts_per_label: int, draw: int) -> list[str]:
    """Draws so many lines of each label; a larger number takes those of a smaller one, too."""
    shuffled = lines.copy()
    random.Random(draw).shuffle(shuffled)
    taken: collections.Counter[str] = collections.Counter()
    drawn = []
    for line in shuffled:
        taken[label_of(line)] += 1
        if taken[label_of(line)] <= texts_per_label:
            drawn.append(line)
    return drawn


def train(files: Files, scratch: pathlib.Path, seed: int, flags: list[str]) -> Row:
    """Runs train.py and returns measures from its report."""
    run_dir = scratch / "run"
    command = [sys.executable, "train.py", f"--run_dir={run_dir}", f"--seed={seed}", "--noexport"]
    command += [f"--cache_dir={scratch / 'cache'}"]
    command += [f"--{split}_file={path}" for split, path in files.items()]
    subprocess.run([*command, *flags], check=True, stdout=subprocess.DEVNULL)
    report = json.loads((run_dir / "report.json").read_text())
    return {name: report[name] for name in OF_REPORT}


def test(baseline: Baseline, files: Files) -> Row:
    """Trains a baseline on the training texts, and returns its measures on the test texts.

    The macro F1 is that of the report: the mean over the labels that were tested.
    """
    rows = {
        split: [line.partition("\t") for line in read_lines(files[split])]
        for split in ("train", "test")
    }
    texts = {split: [text for _, _, text in rows[split]] for split in rows}
    labels = {split: [label for label, _, _ in rows[split]] for split in rows}
    predictions = baseline(texts["train"], labels["train"], texts["test"])
    tested = sorted(set(labels["test"]))
    f1 = f1_score(labels["test"], predictions, labels=tested, average="macro", zero_division=0)
    return {
        "accuracy": float(accuracy_score(labels["test"], predictions)),
        "macro_f1": float(f1),
    }


def interval(values: list[float]) -> float:
    """Returns half the width of the 95 % interval of a mean, by the t distribution; 0 for one."""
    if len(values) < 2:
        return 0.0
    error = statistics.stdev(values) / len(values) ** 0.5
    return float(student.ppf(0.975, len(values) - 1) * error)


def with_interval(runs: list[Row], measure: str) -> str:
    """Returns the mean of a measure, and its interval if there are several runs."""
    if measure not in runs[0]:
        return "–"
    values = [run[measure] for run in runs]
    digits = 1 if measure == "seconds" else 4
    half = f" ± {interval(values):.{digits}f}" if len(values) > 1 else ""
    return f"{statistics.mean(values):.{digits}f}{half}"


def print_cells(name: str, size: int | str, classifier: str, *measures: str) -> None:
    cells = "".join(f"{cell:17s}" for cell in measures)
    print(f"{name:10s} {size:>5} {classifier:28s} {cells}".rstrip(), flush=True)


def draw_curves(groups: dict[tuple[str, int | str, str], list[Row]], path: str) -> None:
    """Draws accuracy by number of texts a label: a panel for each set, a line a classifier."""
    from matplotlib.figure import Figure

    lines: dict[str, dict[str, list[tuple[float, float, float]]]] = {}
    for (name, size, classifier), runs in groups.items():
        number = runs[0]["texts"] / runs[0]["labels"] if size == "all" else float(size)
        accuracies = [run["accuracy"] for run in runs]
        point = (number, statistics.mean(accuracies), interval(accuracies))
        lines.setdefault(name, {}).setdefault(classifier, []).append(point)
    columns = min(3, len(lines))
    rows = -(-len(lines) // columns)
    figure = Figure(figsize=(1 + 4 * columns, 1 + 3.2 * rows), layout="constrained")
    panels = figure.subplots(rows, columns, squeeze=False).flat
    for (name, curves), axes in zip(lines.items(), panels, strict=False):
        for classifier, points in curves.items():
            numbers, means, halves = zip(*sorted(points), strict=True)
            axes.errorbar(
                numbers,
                means,
                yerr=halves,
                label=classifier,
                capsize=2,
                marker="o",
                markersize=3,
                linewidth=2.5 if classifier.startswith(RECIPE) else 1,
            )
        axes.set_xscale("log", base=2)
        axes.set_xticks(numbers, [f"{number:,.0f}" for number in numbers])
        axes.minorticks_off()
        axes.grid(alpha=0.3)
        axes.set(title=name, xlabel="texts a label", ylabel="test accuracy")
    for axes in panels:  # those that are left
        axes.set_axis_off()
    handles, labels = figure.axes[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=columns)
    figure.savefig(path, dpi=120)


if __name__ == "__main__":
    main()
