"""Measures whether `suspicious.tsv` finds labels that are wrong.

    python -m benchmarks.suspicious --input FILE [--share 0.05] [--seed 1]

FILE has lines of label<TAB>text. A share of the labels is replaced by others at random, and
`textrnn check --deep` looks for them. Precision and recall are of its first rows, as many as there
are wrong labels; a random list of as many has the share itself as both. The set's own mistakes
count as found in vain.
"""

import argparse
import json
import pathlib
import random
import subprocess
import sys
import tempfile
import time


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--input", required=True, help="labeled texts")
    parser.add_argument("--share", type=float, default=0.05, help="of the labels, to be replaced")
    parser.add_argument("--seed", type=int, default=1, help="of the choice")
    args = parser.parse_args()
    lines = pathlib.Path(args.input).read_text("utf-8").splitlines()
    chooser = random.Random(args.seed)
    wrong = set(chooser.sample(range(len(lines)), round(args.share * len(lines))))
    labels = sorted({line.partition("\t")[0] for line in lines})
    for row in sorted(wrong):
        label, _, text = lines[row].partition("\t")
        lines[row] = f"{chooser.choice([x for x in labels if x != label])}\t{text}"
    with tempfile.TemporaryDirectory() as scratch:
        folder = pathlib.Path(scratch)
        (folder / "train.tsv").write_text("\n".join(lines) + "\n", "utf-8")
        command = [sys.executable, "-m", "tf_textrnn.cli", "check", "--deep",
                   "--train_file=train.tsv", "--format=tsv", "--cache_dir=cache"]  # fmt: skip
        began = time.monotonic()
        subprocess.run(command, cwd=folder, check=True, stdout=subprocess.DEVNULL)
        seconds = time.monotonic() - began
        (path,) = folder.glob("runs/*/suspicious.tsv")
        rows = path.read_text("utf-8").splitlines()[1:]
    found = [int(row.partition("\t")[0]) - 1 in wrong for row in rows]
    first = sum(found[: len(wrong)])
    figures = {
        "texts": len(lines),
        "wrong": len(wrong),
        "rows": len(rows),
        "precision": first / min(len(wrong), len(rows)),
        "recall": first / len(wrong),
        "precision_of_all_rows": sum(found) / len(rows),
        "recall_of_all_rows": sum(found) / len(wrong),
        "random": len(wrong) / len(lines),
        "seconds": seconds,
    }
    print(json.dumps(figures, indent=2))


if __name__ == "__main__":
    main()
