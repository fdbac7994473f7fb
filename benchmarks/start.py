"""Measures the time from the command to the first training step, and the memory.

    python -m benchmarks.start [--texts 2000000] [--lines FILE] [train.py's flags]

With --lines, FILE's lines (label<TAB>text) are repeated to make a training file of that many texts.
train.py starts twice; the second start finds the encoded texts in the cache.
"""

import argparse
import itertools
import json
import pathlib
import resource
import subprocess
import sys
import tempfile
import time


def main() -> None:
    if sys.argv[1:2] == ["--child"]:
        start_once(float(sys.argv[2]), sys.argv[3:])
        return
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--texts", type=int, default=2_000_000)
    parser.add_argument("--lines", help="file whose lines the training file repeats")
    args, flags = parser.parse_known_args()
    with tempfile.TemporaryDirectory() as folder:
        flags = [*flags, f"--cache_dir={folder}/cache"]
        if args.lines:
            path = pathlib.Path(folder) / "train.tsv"
            lines = pathlib.Path(args.lines).read_bytes().splitlines(keepends=True)
            with open(path, "wb") as file:
                file.writelines(itertools.islice(itertools.cycle(lines), args.texts))
            flags = [*flags, f"--train_file={path}"]
        for attempt in ("first", "second"):
            command = [sys.executable, "-m", "benchmarks.start", "--child", str(time.time())]
            command += [*flags, f"--run_dir={folder}/{attempt}"]
            done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
            print(json.dumps({"start": attempt, **json.loads(done.stdout.splitlines()[-1])}))


def start_once(began: float, flags: list[str]) -> None:
    """Trains until the first step is done; prints seconds since `began` and peak memory."""
    from tf_textrnn import cli
    from tf_textrnn.base.startup import load_tensorflow

    given = cli.train_options(flags)
    load_tensorflow()
    from tf_textrnn.training import runner

    def stop(step: int) -> None:
        print(
            json.dumps(
                {
                    "seconds": round(time.time() - began, 2),
                    "peak_megabytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024,
                }
            )
        )
        sys.exit()

    runner.run(given, on_step=stop)


if __name__ == "__main__":
    main()
