"""Measures explanations: whether they add up, whether they are right, how long they take.

    python -m benchmarks.explanations --run RUN --input FILE [--json F]
    python -m benchmarks.explanations --planted FILE [--json F]

FILE has lines of label<TAB>text. The first explains texts by a run that has both exports. The
second trains models on texts of random words of FILE in which a planted word, or the order of two,
decides the label. `docs/explain.md` has the figures.
"""

import argparse
import json
import pathlib
import random
import statistics
import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from tf_textrnn import TextClassifier
from tf_textrnn.predictor.explain import Explanation
from tf_textrnn.predictor.predictor import Predictor

MOST_TEXTS, TAKEN_OUT = 1_000, 3
TRAINED, TESTED = 3_000, 500
WORDS = {
    "word": {"a": ["zork"], "b": ["blip"]},
    "pair": {"a": ["not", "good"], "b": ["good", "not"]},
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--run", help="folder of a run with both exports")
    parser.add_argument("--input", help="labeled texts that it has not seen")
    parser.add_argument("--planted", help="labeled texts whose words fill the planted ones")
    parser.add_argument("--json", help="write the figures here")
    args = parser.parse_args()
    figures: dict[str, Any] = {}
    if args.planted:
        figures |= planted(read_texts(args.planted))
    if args.run:
        texts = read_texts(args.input)[:MOST_TEXTS]
        run = pathlib.Path(args.run)
        figures |= {"texts": len(texts), "sums": sums(run, texts)}
        figures |= {"taken_out": taken_out(Predictor(run), texts), "p50_ms": speed(run, texts)}
    print(json.dumps(figures, indent=2))
    if args.json:
        pathlib.Path(args.json).write_text(json.dumps(figures, indent=2) + "\n")


def read_texts(path: str) -> list[str]:
    lines = pathlib.Path(path).read_text("utf-8").splitlines()
    return [line.partition("\t")[2] for line in lines]


def sums(run: pathlib.Path, texts: Sequence[str]) -> dict[str, float]:
    """Largest distance of the sum of shares from what the scores differ by, of either export."""
    import tensorflow as tf

    [version] = sorted((run / "export").iterdir(), key=lambda path: int(path.name))[-1:]
    score = tf.saved_model.load(str(version)).signatures["serving_default"]
    scores = score(text=tf.constant(["", *texts]))["scores"].numpy()
    found = {}
    for name in ("export", "export_onnx"):
        explained = Predictor(run / name).explain_all(texts)
        total = [explanation.shares.sum(axis=0) for explanation in explained]
        found[name] = float(np.abs(np.array(total) - (scores[1:] - scores[0])).max())
    return found


def taken_out(predictor: Predictor, texts: Sequence[str]) -> dict[str, float]:
    """By how much the answer's probability falls on average as three words are taken out."""
    chooser = np.random.default_rng(1)
    rankings: dict[str, Callable[[Explanation], np.ndarray]] = {
        "strongest": lambda e: e.shares,
        "of the n-grams": lambda e: e.ngram_shares,
        "of the network": lambda e: e.network_shares,
        "random": lambda e: chooser.random(e.shares.shape),
    }
    answers, before = [], []
    without: dict[str, list[str]] = {name: [] for name in rankings}
    for e in predictor.explain_all(texts):
        if len(e.tokens) <= TAKEN_OUT:
            continue
        answer = int(e.probability.argmax())
        answers.append(answer)
        before.append(" ".join(e.tokens))
        for name, shares_of in rankings.items():
            ranked = np.argsort(-shares_of(e)[:, answer], kind="stable")
            gone = set(ranked[:TAKEN_OUT].tolist())
            without[name].append(" ".join(t for i, t in enumerate(e.tokens) if i not in gone))

    def probabilities(some: Sequence[str]) -> np.ndarray:
        return predictor(some).probability[np.arange(len(answers)), answers]

    whole = probabilities(before)
    falls = {name: whole - probabilities(some) for name, some in without.items()}
    beyond = falls["strongest"] - falls["of the n-grams"]
    return {
        "explained": len(answers),
        **{name: float(fall.mean()) for name, fall in falls.items()},
        "strongest beyond the n-grams'": float(beyond.mean()),
        "its standard error": float(beyond.std() / np.sqrt(len(beyond))),
    }


def speed(run: pathlib.Path, texts: Sequence[str]) -> dict[str, float]:
    """Milliseconds of one explanation, the median, by runtime and number of words."""
    words = " ".join(texts).split()
    found = {}
    for name in ("export", "export_onnx"):
        predictor = Predictor(run / name)
        for length, times in ((20, 50), (400, 7)):
            seconds = []
            for index in range(times):
                text = " ".join(words[index * length : (index + 1) * length])
                start = time.perf_counter()
                predictor.explain(text)
                seconds.append(time.perf_counter() - start)
            found[f"{name}, {length} words"] = statistics.median(seconds[2:]) * 1e3
    return found


def planted(texts: Sequence[str]) -> dict[str, Any]:
    """How often the planted words are those that speak most for the answer."""
    fillers = " ".join(texts).split()
    figures = {}
    for kind, words_of in WORDS.items():
        planted_words = {word for words in words_of.values() for word in words}
        others = [word for word in fillers if word not in planted_words]
        chooser = random.Random(1)

        def text_with(words: list[str], others: list[str], chooser: random.Random) -> str:
            filled = chooser.choices(others, k=chooser.randint(6, 14))
            place = chooser.randint(0, len(filled))
            return " ".join([*filled[:place], *words, *filled[place:]])

        labels = chooser.choices(sorted(words_of), k=TRAINED + TESTED)
        made = [text_with(words_of[label], others, chooser) for label in labels]
        for ngrams in (0, 2):
            classifier = TextClassifier(
                hidden_size=64, embedding_dim=64, ngrams=ngrams, num_epochs=8
            )
            classifier.fit(made[:TRAINED], labels[:TRAINED])
            tested = list(zip(made[TRAINED:], labels[TRAINED:], strict=True))
            first = right = 0
            for text, label in tested:
                explanation = classifier.explain(text)
                answer = int(explanation.probability.argmax())
                right += explanation.labels[answer] == label
                best = np.argsort(-explanation.shares[:, answer])[: len(words_of[label])]
                first += {explanation.tokens[i] for i in best} == set(words_of[label])
            figures[f"{kind}, ngrams={ngrams}"] = {
                "accuracy": right / len(tested),
                "first": first / len(tested),
            }
    return figures


if __name__ == "__main__":
    main()
