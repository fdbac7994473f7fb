"""What the quality benchmark compares with: classifiers that a user would try first.

Each is a function of training texts, their labels and test texts, and returns the labels that it
predicts. Each has the defaults of its library, but for the tokens of texts without spaces between
words, and but for `tuned_regression`.
"""

import importlib.util
import pathlib
import tempfile
from collections.abc import Callable
from typing import Any

from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.naive_bayes import ComplementNB
from sklearn.pipeline import make_pipeline

from tf_textrnn.base.startup import load_tensorflow
from tf_textrnn.data.unspaced import unspaced_share

Baseline = Callable[[list[str], list[str], list[str]], list[str]]

_LABEL = "__label__"


def regression(texts: list[str], labels: list[str], test_texts: list[str]) -> list[str]:
    """TF-IDF of words, or of 1–3 characters, with logistic regression."""
    model = make_pipeline(_tfidf(texts), LogisticRegression(max_iter=1_000))
    return model.fit(texts, labels).predict(test_texts).tolist()


def tuned_regression(texts: list[str], labels: list[str], test_texts: list[str]) -> list[str]:
    """TF-IDF of 1–2 words, or of 1–3 characters, with logistic regression and C = 10."""
    features = _tfidf(texts, token_pattern=r"\S+", ngram_range=(1, 2))
    model = make_pipeline(features, LogisticRegression(C=10, max_iter=1_000))
    return model.fit(texts, labels).predict(test_texts).tolist()


def naive_bayes(texts: list[str], labels: list[str], test_texts: list[str]) -> list[str]:
    """TF-IDF of words, or of 1–3 characters, with complement naive Bayes (Rennie et al. 2003)."""
    model = make_pipeline(_tfidf(texts), ComplementNB())
    return model.fit(texts, labels).predict(test_texts).tolist()


def fasttext(texts: list[str], labels: list[str], test_texts: list[str]) -> list[str]:
    """FastText (Joulin et al. 2017) of the words or characters that `tf_textrnn` would read."""
    return _fasttext(texts, labels, test_texts, {})


def autotuned_fasttext(
    texts: list[str],
    labels: list[str],
    test_texts: list[str],
    valid: tuple[list[str], list[str]],
    seconds: int,
) -> list[str]:
    """As `fasttext`, with the settings that its `autotune` finds on `valid`, texts and labels."""
    return _fasttext(texts, labels, test_texts, {"autotuneDuration": seconds}, valid)


def _fasttext(
    texts: list[str],
    labels: list[str],
    test_texts: list[str],
    options: dict[str, Any],
    valid: tuple[list[str], list[str]] | None = None,
) -> list[str]:
    import fasttext  # the only baseline that may be missing

    names = sorted(set(labels))  # a label may hold spaces; its number has none
    tokenizer = "char" if _is_unspaced(texts) else "word"
    with tempfile.TemporaryDirectory() as scratch:

        def write(name: str, texts: list[str], labels: list[str]) -> str:
            lines = [
                f"{_LABEL}{names.index(label)} {text}\n"
                for label, text in zip(labels, _tokens(texts, tokenizer), strict=True)
            ]
            path = pathlib.Path(scratch, name)
            path.write_text("".join(lines), encoding="utf-8")
            return str(path)

        if valid:
            options = {**options, "autotuneValidationFile": write("valid.txt", *valid)}
        # 12 threads are the default of its command. The first weights are drawn in ten blocks, a
        # thread each, so that with fewer than ten some stay whatever lay in memory: NaN, often.
        train = write("train.txt", texts, labels)
        model = fasttext.train_supervised(train, thread=12, verbose=0, **options)
    answers, _ = model.predict(_tokens(test_texts, tokenizer))
    return [names[int(answer[0].removeprefix(_LABEL))] for answer in answers]


BASELINES: dict[str, Baseline] = {
    "logistic regression": regression,
    "logistic regression, tuned": tuned_regression,
    "complement naive Bayes": naive_bayes,
}
DETERMINISTIC = frozenset(BASELINES)  # the same texts give the same predictions
if importlib.util.find_spec("fasttext"):
    BASELINES["fastText"] = fasttext


def _is_unspaced(texts: list[str]) -> bool:
    return unspaced_share(texts) > 0.5


def _tfidf(texts: list[str], **options: Any) -> TfidfVectorizer:
    """Returns features: of words, with these options, or of 1–3 characters."""
    if _is_unspaced(texts):
        return TfidfVectorizer(analyzer="char", ngram_range=(1, 3))
    return TfidfVectorizer(**options)


def _tokens(texts: list[str], tokenizer: str) -> list[str]:
    """Returns the tokens of each text, with spaces between them."""
    load_tensorflow()
    from tf_textrnn.text import tokenize

    return [
        b" ".join(token for token in tokens if token != b" ").decode()
        for tokens in tokenize(texts, tokenizer, None).to_list()
    ]
