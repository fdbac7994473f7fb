"""Measures prediction, many texts, one at a time and a whole process, beside stock Keras.

    python -m benchmarks.prediction --input FILE --model RUN/export RUN/export_onnx/1 [--rounds 5]

FILE has one text on each line. Contestants take turns, each in a process of its own; a figure is
the median of the rounds. The Keras model is not trained, which does not change its speed. A whole
process classifies one text: `textrnn predict`, and of an ONNX export its own `predict.py` too.
"""

import argparse
import json
import pathlib
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

SINGLE_TEXTS = 300
KERAS = "stock Keras"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", nargs="+", required=True, help="exports")
    parser.add_argument("--input", required=True)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--json", help="write the figures here")
    parser.add_argument("--contestant", help=argparse.SUPPRESS)
    args = parser.parse_args()
    texts = pathlib.Path(args.input).read_text("utf-8").splitlines()
    if args.contestant:
        print(
            json.dumps(
                keras(texts) if args.contestant == KERAS else project(args.contestant, texts)
            )
        )
        return
    rounds: dict[str, list[dict[str, float]]] = {name: [] for name in [*args.model, KERAS]}
    for _ in range(args.rounds):
        for name, found in rounds.items():
            command = [sys.executable, "-m", "benchmarks.prediction", f"--contestant={name}"]
            command += [f"--model={name}", f"--input={args.input}"]
            found.append(json.loads(_output(command)[0].splitlines()[-1]))
            if name != KERAS:
                found[-1] |= whole_processes(name, texts[0])
    figures = {
        name: {key: statistics.median(figure[key] for figure in found) for key in found[0]}
        for name, found in rounds.items()
    }
    names = {"texts_per_second": ",.0f", "p50": ".3f", "p99": ".3f", "command": ".2f", "own": ".2f"}
    print("| | texts/s | one text, ms: p50 | p99 | process, s: textrnn predict | predict.py |")
    print("|---|---:|---:|---:|---:|---:|")
    for name, row in figures.items():
        cells = [format(row[key], form) if key in row else "" for key, form in names.items()]
        print(f"| {name} | {' | '.join(cells)} |")
    if args.json:
        pathlib.Path(args.json).write_text(json.dumps(figures, indent=2) + "\n")


def whole_processes(model: str, text: str) -> dict[str, float]:
    """Measures the seconds from a command to its end, of each way to run an export."""
    cli = [sys.executable, "-m", "tf_textrnn.cli", "predict", f"--model={model}", text]
    seconds = {"command": _output(cli)[1]}
    runner = pathlib.Path(model) / "predict.py"
    if runner.exists():
        seconds["own"] = _output([sys.executable, str(runner), text])[1]
    return seconds


def _output(command: list[str]) -> tuple[str, float]:
    """What a command prints, and how many seconds it takes."""
    start = time.perf_counter()
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    return done.stdout, time.perf_counter() - start


def project(model: str, texts: Sequence[str]) -> dict[str, float]:
    """Measures `textrnn predict` without its printing."""
    from tf_textrnn.predictor.predictor import Predictor
    from tf_textrnn.predictor.texts import WINDOW_TEXTS

    predictor = Predictor(model)

    def predict_all() -> None:
        for start in range(0, len(texts), WINDOW_TEXTS):
            predictor(texts[start : start + WINDOW_TEXTS])

    return measure(predict_all, lambda text: predictor([text]), texts)


def keras(texts: Sequence[str]) -> dict[str, float]:
    """Measures a stock Keras model; its SavedModel predicts the single texts."""
    import tensorflow as tf

    classifier = keras_classifier(texts, 2)
    tensors = tf.constant(texts)
    with tempfile.TemporaryDirectory() as folder:
        classifier.export(folder, verbose=False)
        served = tf.saved_model.load(folder)
        return measure(
            lambda: classifier.predict(tensors, batch_size=128, verbose=0),
            lambda text: served.serve(tf.constant([text])).numpy(),
            texts,
        )


def keras_classifier(texts: Sequence[str], num_classes: int) -> Any:
    """TextVectorization → Embedding → Bidirectional LSTM → pooling, as one sees it everywhere."""
    from keras import Input, Model, layers

    vectorize = layers.TextVectorization(20_000)
    vectorize.adapt(texts)
    inputs = Input((), dtype="string")
    embedded = layers.Embedding(20_000, 128, mask_zero=True)(vectorize(inputs))
    hidden = layers.Bidirectional(layers.LSTM(128, return_sequences=True))(embedded)
    pooled = layers.GlobalAveragePooling1D()(hidden)
    return Model(inputs, layers.Dense(num_classes, activation="softmax")(pooled))


def measure(
    predict_all: Callable[[], object], predict_one: Callable[[str], object], texts: Sequence[str]
) -> dict[str, float]:
    """Measures texts/s and the milliseconds of one text.

    Args:
      predict_all: predicts all texts; after a warm-up, the faster of two calls counts.
      predict_one: predicts one text.
      texts: the texts.
    """
    seconds = []
    for _ in range(3):
        start = time.perf_counter()
        predict_all()
        seconds.append(time.perf_counter() - start)
    singles = []
    for text in texts[:SINGLE_TEXTS]:
        start = time.perf_counter()
        predict_one(text)
        singles.append(time.perf_counter() - start)
    p50, p99 = np.percentile(singles[10:], [50, 99]) * 1e3
    return {"texts_per_second": len(texts) / min(seconds[1:]), "p50": p50, "p99": p99}


if __name__ == "__main__":
    main()
