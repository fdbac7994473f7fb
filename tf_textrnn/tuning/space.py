"""Which settings a tuning varies, and how far: what `docs/quality.md` and `docs/notes.md` found.

Settings that change which texts are validated, as the seed and the tokenizer do, are not among
them, so that all trials are judged on the same texts. What the caller names is left as it is.
"""

from collections.abc import Mapping
from typing import Any, NamedTuple

from optuna.distributions import BaseDistribution, FloatDistribution, IntDistribution

from tf_textrnn.config import INHERITED, Config

VARIED = ("learning_rate", "keep_prob", "word_dropout", "label_smoothing", "ngrams")
MANY_TEXTS = 20_000  # THUCNews has 50,000, and lost by what was better on the 5,000 of TREC


class Space(NamedTuple):
    """What a tuning tries.

    Attributes:
      distributions: of each setting that it varies.
      default: their values in the run that the caller's options make.
      known: values to try first, which did well on some data.
    """

    distributions: dict[str, BaseDistribution]
    default: dict[str, Any]
    known: list[dict[str, Any]]


def space_of(given: Mapping[str, Any], config: Config, num_texts: int, num_labels: int) -> Space:
    """The space of a data set.

    Args:
      given: the options that the caller named.
      config: settled, of the default.
      num_texts: number of training texts.
      num_labels: number of labels.
    """
    is_large = num_texts >= MANY_TEXTS
    rate, is_char = config.training.learning_rate, config.text.tokenizer == "char"
    ngrams = (3, 4) if is_char else (2, 3) if is_large else (1, 2)
    # Ranges hold the default, whatever the caller's other options make of it.
    every = {
        # The n-grams' steps are proportional to it: a fifth of them was best on mr, two times on
        # trec. Adam's own rate was not measured.
        "learning_rate": FloatDistribution(rate / 4, rate * 4, log=True),
        # Weaker dropout was better on trec and mr, and worse on the many texts of THUCNews.
        "keep_prob": FloatDistribution(0.3, 0.5 if is_large else 0.8, step=0.1),
        "word_dropout": FloatDistribution(0.1 if is_large else 0.0, 0.3, step=0.1),
        # Worth .0047 on r8, with eight labels of unlike size, and nothing on two labels.
        "label_smoothing": FloatDistribution(0.0, 0.2, step=0.05),
        # Triples of words lost .018 on trec; pairs are the default.
        "ngrams": IntDistribution(*ngrams),
    }
    left_out = settled_names(given) | (set() if num_labels > 2 else {"label_smoothing"})
    distributions = {name: every[name] for name in VARIED if name not in left_out}
    options = config.options()
    default = {name: options[name] for name in distributions}
    known = [] if is_large else [{"keep_prob": 0.6, "word_dropout": 0.1}]
    known += [{"learning_rate": rate / 2}, {"learning_rate": rate * 2}]
    return Space(
        distributions,
        default,
        [{**default, **values} for values in known if values.keys() <= default.keys()],
    )


def settled_names(given: Mapping[str, Any]) -> set[str]:
    """Names of options that are not varied: those given, and those of the model of `init_from`."""
    return set(given) | (set(INHERITED) if given.get("init_from") else set())


def as_options(params: Mapping[str, Any]) -> dict[str, Any]:
    """Values of a trial as options, with the digits that a person would write.

    Example:
      >>> as_options({"learning_rate": 0.0012739, "keep_prob": 0.30000000000000004, "ngrams": 2})
      {'learning_rate': 0.0013, 'keep_prob': 0.3, 'ngrams': 2}
    """
    return {
        name: float(f"{value:.2g}") if isinstance(value, float) else value
        for name, value in params.items()
    }
