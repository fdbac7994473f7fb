"""What stands out in the texts of a run, each in a line that says what to do about it."""

import dataclasses
import itertools
import re
import shlex
import unicodedata
from collections import Counter
from collections.abc import Iterable

import numpy as np

from tf_textrnn.base.errors import printable
from tf_textrnn.base.tables import joined_labels, shown_labels
from tf_textrnn.config import MAX_TEXT_TOKENS, TextConfig
from tf_textrnn.data.batches import Split
from tf_textrnn.data.copies import Copies
from tf_textrnn.data.corpus import Corpus
from tf_textrnn.data.splits import Data
from tf_textrnn.data.type_counts import count_types
from tf_textrnn.data.unspaced import unspaced_share
from tf_textrnn.text import UNKNOWN_ID

EXAMPLES_KEPT = 10
QUANTILES = (0, 0.25, 0.5, 0.75, 0.99, 1)  # of the lengths of texts
_FEW_TEXTS = 5
_NOTABLE_CUT, _NOTABLE_UNKNOWN, _NOTABLE_UNSPACED = 0.01, 0.1, 0.1  # shares
_SAMPLE_TEXTS = 1_000
_MISSING = re.compile(r"(#?n/?a|<na>|nan|nil|null|none|missing|unknown|undefined|[-?.]+)", re.I)


@dataclasses.dataclass(frozen=True)
class Finding:
    """Something about the texts that a user should know.

    Attributes:
      kind: one word for programs.
      count: number of examples that there are.
      line: what it is, for people.
      examples: the first of them, safe for a terminal; empty where none can be named.
      advice: flags to paste; empty where none help.
    """

    kind: str
    count: int
    line: str
    examples: list[str] = dataclasses.field(default_factory=list)
    advice: str = ""

    def shown(self, num_examples: int) -> str:
        """One line, with so many examples at most."""
        some = self.examples[:num_examples]
        more = ", …" if some and len(some) < self.count else ""
        line = f"{self.line}: {', '.join(some)}{more}" if some else self.line
        return f"{line}; {self.advice}" if self.advice else line

    def block(self) -> list[str]:
        """Several lines, an example each."""
        examples = [f"  {example}" for example in self.examples]
        more = ["  …"] if examples and len(examples) < self.count else []
        return [self.shown(0), *examples, *more]


def find(data: Data, valid: Split, config: TextConfig) -> list[Finding]:
    """Returns what stands out in the texts of a run, the most important first.

    Args:
      data: the texts.
      valid: those to validate on, as a model reads them that has not seen them.
      config: settled options of the texts.
    """
    splits = data.splits
    copies = Copies(list(splits.values()))
    counts = count_labels(splits.values())
    found = [
        _cut(splits, config.max_len),
        _unknown_labels(data, counts),
        _leaks(copies),
        _contradictions(copies),
        _missing(counts),
        _alike(counts),
        _rare(data.train.corpus),
        _unspaced(data.train, config.tokenizer),
        _unknown(valid, len(data.vocabulary)),
        _empty(splits),
    ]
    return [finding for finding in found if finding]


def count_labels(splits: Iterable[Split]) -> Counter[str]:
    """Returns the number of texts of each label, in all of these splits."""
    total: Counter[str] = Counter()
    for split in splits:
        names = split.corpus.label_names
        labels, _ = split.corpus.label_sets(split.rows)
        counts = np.bincount(labels, minlength=len(names))
        total.update(dict(zip(names, counts.tolist(), strict=True)))
    return +total


def whole_lengths(split: Split) -> np.ndarray:
    """int64[texts], number of tokens of each text before the cut."""
    return np.diff(split.corpus.offsets)[split.rows]


def quantiles(lengths: np.ndarray) -> np.ndarray:
    """The lengths at `QUANTILES`, each that of a text; arguments and result int64."""
    return np.quantile(lengths, QUANTILES, method="higher")


def _cut(splits: dict[str, Split], max_len: int) -> Finding | None:
    lengths = np.concatenate([whole_lengths(split) for split in splits.values()])
    num_cut = int((lengths > max_len).sum())
    lost = np.maximum(lengths - max_len, 0).sum() / max(lengths.sum(), 1)
    if num_cut < _NOTABLE_CUT * len(lengths) and lost < _NOTABLE_CUT:
        return None
    common, longest = quantiles(lengths)[-2:].tolist()
    enough = longest if longest <= 2 * common or common <= max_len else common
    step = 10 ** max(len(str(enough)) - 2, 0)
    enough = min(-(-enough // step) * step, MAX_TEXT_TOKENS)
    return Finding(
        "cut",
        num_cut,
        f"{num_cut:,} of {len(lengths):,} texts are cut at {max_len:,} tokens, which loses "
        f"{lost:.1%} of all tokens",
        advice=f"--max_len={enough}" if enough > max_len else "",
    )


def _leaks(copies: Copies) -> Finding | None:
    pairs = copies.in_two_splits()
    if not len(pairs):
        return None
    return Finding(
        "leaks",
        len(pairs),
        f"{len(pairs):,} of {copies.num_measured:,} texts to measure on stand in another split too",
        [
            " = ".join(itertools.starmap(Corpus.place_name, copies.texts(pair)))
            for pair in pairs[:EXAMPLES_KEPT]
        ],
    )


def _contradictions(copies: Copies) -> Finding | None:
    pairs = copies.with_two_labels()
    if not len(pairs):
        return None

    def shown(corpus: Corpus, row: int) -> str:
        labels = joined_labels(corpus.labels_of(row))
        return f"{corpus.place_name(row)} ({printable(labels)})"

    return Finding(
        "contradictions",
        len(pairs),
        f"{_number(len(pairs), 'text')} with different labels in different places",
        [
            " = ".join(itertools.starmap(shown, copies.texts(pair)))
            for pair in pairs[:EXAMPLES_KEPT]
        ],
    )


def _number(count: int, noun: str) -> str:
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


def _with_counts(counts: dict[str, int]) -> list[str]:
    """The first labels, each with the number of its texts."""
    shown = shown_labels(counts)
    return [f"{shown[name]} ({count:,})" for name, count in list(counts.items())[:EXAMPLES_KEPT]]


def _rare(corpus: Corpus) -> Finding | None:
    counts = np.bincount(corpus.labels, minlength=len(corpus.label_names))
    rare = {
        name: count
        for name, count in zip(corpus.label_names, counts.tolist(), strict=True)
        if count < _FEW_TEXTS
    }
    if not rare:
        return None
    have = "label has" if len(rare) == 1 else "labels have"
    return Finding(
        "rare_labels",
        len(rare),
        f"{len(rare):,} {have} fewer than {_FEW_TEXTS} texts",
        _with_counts(dict(sorted(rare.items(), key=lambda pair: pair[1]))),
    )


def _missing(counts: Counter[str]) -> Finding | None:
    missing = {name: count for name, count in counts.items() if _MISSING.fullmatch(name)}
    if not missing:
        return None
    flag = shlex.quote(f"--missing_labels={','.join(missing)}")
    look = "label looks like a missing value" if len(missing) == 1 else "labels look like missing"
    return Finding(
        "missing_labels",
        len(missing),
        f"{len(missing):,} {look}{'' if len(missing) == 1 else ' values'}",
        _with_counts(missing),
        f"to pass over their texts: {flag} --skip_unlabeled",
    )


def _unknown_labels(data: Data, counts: Counter[str]) -> Finding | None:
    unknown = {label: counts[label] for label in data.unknown_labels}
    if not unknown:
        return None
    have = "label is" if len(unknown) == 1 else "labels are"
    return Finding(
        "unknown_labels",
        len(unknown),
        f"{len(unknown):,} {have} not in {data.train.corpus.source.name}, and each text of such a "
        "label is a mistake",
        _with_counts(unknown),
    )


def _alike(counts: Counter[str]) -> Finding | None:
    groups: dict[str, dict[str, int]] = {}
    for name, count in counts.items():
        key = "".join(unicodedata.normalize("NFKC", name).casefold().split())
        groups.setdefault(key, {})[name] = count
    alike = [group for group in groups.values() if len(group) > 1]
    if not alike:
        return None
    examples = [" and ".join(_with_counts(group)) for group in alike[:EXAMPLES_KEPT]]
    line = f"{sum(map(len, alike)):,} labels differ only in case, blanks or forms of letters"
    return Finding("alike_labels", len(alike), line, examples)


def _unknown(split: Split, vocab_size: int) -> Finding | None:
    counts = count_types(split.corpus, split.rows, split.max_len)
    unknown, read = int(counts[split.id_of_type == UNKNOWN_ID].sum()), int(counts.sum())
    if unknown < _NOTABLE_UNKNOWN * max(read, 1):
        return None
    return Finding(
        "unknown_tokens",
        unknown,
        f"{unknown / read:.1%} of the tokens to validate on are read as unknown; the vocabulary "
        f"has {vocab_size:,} token ids",
    )


def _unspaced(split: Split, tokenizer: str) -> Finding | None:
    if tokenizer != "word":
        return None
    quotes = split.corpus.quotes.of(split.rows[:_SAMPLE_TEXTS].tolist())
    share = unspaced_share(quotes)
    if share < _NOTABLE_UNSPACED:
        return None
    return Finding(
        "unspaced",
        sum(unspaced_share([quote]) > 0 for quote in quotes),
        f"{share:.0%} of the letters are of scripts without spaces between words",
        advice="compare with --tokenizer=char",
    )


def _empty(splits: dict[str, Split]) -> Finding | None:
    examples: list[str] = []
    count = 0
    for split in splits.values():
        empty = np.flatnonzero(whole_lengths(split) == 0)
        count += len(empty)
        few = empty[: EXAMPLES_KEPT - len(examples)]
        examples += [split.corpus.place_name(int(row)) for row in split.rows[few]]
    if not count:
        return None
    line = f"{_number(count, 'text')} {'is' if count == 1 else 'are'} empty"
    return Finding("empty", count, line, examples)
