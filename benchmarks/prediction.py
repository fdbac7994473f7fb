"""Measures prediction, many texts and one at a time, beside the stock Keras recipe on raw texts.

    python -m benchmarks.prediction --model RUN/export --input FILE [--rounds 5] [--json F]

FILE has one text on each line. Contestants take turns, each in a process of its own; a figure is
the median of the rounds. The Keras model is not trained, which does not change its speed.
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

import numpy as np

SINGLE_TEXTS = 300


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", required=True)
    parser.add_argument("--input", required=True)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--json", help="write the figures here")
    parser.add_argument("--contestant", choices=CONTESTANTS, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.contestant:
        texts = pathlib.Path(args.input).read_text("utf-8").splitlines()
        print(json.dumps(CONTESTANTS[args.contestant](args.model, texts)))
        return
    rounds: dict[str, list[dict[str, float]]] = {name: [] for name in CONTESTANTS}
    for _ in range(args.rounds):
        for name, found in rounds.items():
            command = [sys.executable, "-m", "benchmarks.prediction", f"--contestant={name}"]
            command += [f"--model={args.model}", f"--input={args.input}"]
            done = subprocess.run(command, check=True, capture_output=True, text=True)
            found.append(json.loads(done.stdout.splitlines()[-1]))
    figures = {
        name: {key: statistics.median(figure[key] for figure in found) for key in found[0]}
        for name, found in rounds.items()
    }
    print(f"{'':10s} {'texts/s':>10s} {'one text, p50':>14s} {'p99':>8s}  ms")
    for name, row in figures.items():
        print(f"{name:10s} {row['texts_per_second']:10,.0f} {row['p50']:14.2f} {row['p99']:8.2f}")
    if args.json:
        pathlib.Path(args.json).write_text(json.dumps(figures, indent=2) + "\n")


def project(model: str, texts: Sequence[str]) -> dict[str, float]:
    """Measures `textrnn predict` without its printing."""
    from tf_textrnn.predictor.predictor import Predictor
    from tf_textrnn.predictor.texts import WINDOW_TEXTS

    predictor = Predictor(model)

    def predict_all() -> None:
        for start in range(0, len(texts), WINDOW_TEXTS):
            predictor(texts[start : start + WINDOW_TEXTS])

    return measure(predict_all, lambda text: predictor([text]), texts)


def keras(model: str, texts: Sequence[str]) -> dict[str, float]:
    """Measures TextVectorization → Embedding → Bidirectional LSTM → pooling.

    Its SavedModel predicts the single texts.
    """
    import tensorflow as tf
    from keras import Input, Model, layers

    vectorize = layers.TextVectorization(20_000)
    vectorize.adapt(texts)
    inputs = Input((), dtype="string")
    embedded = layers.Embedding(20_000, 128, mask_zero=True)(vectorize(inputs))
    hidden = layers.Bidirectional(layers.LSTM(128, return_sequences=True))(embedded)
    pooled = layers.GlobalAveragePooling1D()(hidden)
    classifier = Model(inputs, layers.Dense(2, activation="softmax")(pooled))
    tensors = tf.constant(texts)
    with tempfile.TemporaryDirectory() as folder:
        classifier.export(folder, verbose=False)
        served = tf.saved_model.load(folder)
        return measure(
            lambda: classifier.predict(tensors, batch_size=128, verbose=0),
            lambda text: served.serve(tf.constant([text])).numpy(),
            texts,
        )


CONTESTANTS = {"project": project, "keras": keras}


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
