"""Loads training, validation and test texts, and the vocabulary and labels they share."""

import dataclasses
import hashlib
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from scipy import sparse

from tf_textrnn.base.errors import UserError
from tf_textrnn.base.ordering import natural_order
from tf_textrnn.config import Config
from tf_textrnn.data import datasets
from tf_textrnn.data.batches import Split, ids_of_types
from tf_textrnn.data.corpus import Corpus, open_corpus
from tf_textrnn.data.embeddings import with_pretrained
from tf_textrnn.data.holdout import assign_folds, deal_sets, stratified_split
from tf_textrnn.data.sources import Source, file_source
from tf_textrnn.data.type_counts import count_types
from tf_textrnn.data.weights import loss_weights
from tf_textrnn.predictor.encoder import TokenIds
from tf_textrnn.text import SPECIAL_TOKENS, build_vocabulary

MAX_SCORES = 1 << 28  # texts × labels of a scored split; scoring takes about 5 GiB


@dataclasses.dataclass(frozen=True)
class Data:
    """The texts of a run, with their vocabulary and labels.

    Attributes:
      vocabulary: the token of each id.
      labels: the label of each class.
      unknown_labels: labels that `train` lacks and `valid` or `test` has. Their numbers follow
        those of the classes; no prediction has them, so that each such text is a mistake.
      train: texts to train on.
      valid: texts that decide which epoch is the best; with folds they are those texts of `train`
        that are in one, each of which a model scores that has not seen it.
      test: texts that the report scores; None = it scores `valid`.
      fingerprint: hash of everything else.
      is_pretrained: bool[tokens], whether --pretrained_embeddings makes a token known, whatever
        texts are trained on.
      folds: int64[texts], the fold of each text of `train`, from 0; -1 = it is in none, as most
        are where one fold is held out. None = there are no folds.
      stem_unknown_words: whether words that the vocabulary lacks are read by their stems.
    """

    vocabulary: list[bytes]
    labels: list[str]
    unknown_labels: list[str]
    train: Split
    valid: Split
    test: Split | None
    fingerprint: str
    is_pretrained: np.ndarray
    folds: np.ndarray | None = None
    stem_unknown_words: bool = False

    @property
    def token_ids(self) -> TokenIds:
        """The ids by which texts are read."""
        return TokenIds(self.vocabulary, self.stem_unknown_words)

    @property
    def all_labels(self) -> list[str]:
        """The label of each class, and then the unknown labels."""
        return self.labels + self.unknown_labels

    @property
    def is_scored_whole(self) -> bool:
        """Whether a model scores each text of `train` that has not seen it."""
        return self.folds is not None and bool((self.folds >= 0).all())

    @property
    def splits(self) -> dict[str, Split]:
        """The splits that there are, by name; no text is in two of them."""
        train = self.train
        if self.folds is not None and not self.is_scored_whole:
            train = train.some(self.folds < 0)
        valid = None if self.is_scored_whole else self.valid
        named = {"train": train, "valid": valid, "test": self.test}
        return {name: split for name, split in named.items() if split}


class Known(NamedTuple):
    """What a model knows from which a run starts, and keeps beside what the run's texts add.

    Attributes:
      vocabulary: the token of each id, which stays its id.
      labels: labels, which are classes with or without a text to train on.
    """

    vocabulary: Sequence[bytes] = SPECIAL_TOKENS
    labels: Sequence[str] = ()


def load(
    config: Config,
    sources: Mapping[str, Source] | None = None,
    sample_weights: np.ndarray | None = None,
    saved_labels: Sequence[str] = (),
    known: Known | None = None,
) -> Data:
    """Reads the texts of a run, or takes them from the cache.

    Args:
      config: settled config.
      sources: labeled texts by split; None = the files or data set that `config` names.
      sample_weights: float[texts], factor of the loss of each text of `train`, in the source's
        order; None = 1 for every text.
      saved_labels: labels of the run to go on with, which keep their order.
      known: what the model of `--init_from` knows; None = the run starts anew.

    Raises:
      UserError: the files have a mistake; the message names file and line.
    """
    corpora = {
        split: open_corpus(source, config.text.tokenizer, config.run.cache_dir)
        for split, source in (sources or open_sources(config)).items()
    }
    train_corpus, known = corpora["train"], known or Known()
    labels = natural_order({*train_corpus.label_names, *known.labels})
    if sorted(labels) == sorted(saved_labels):
        labels = list(saved_labels)
    if len(labels) < 2:
        raise UserError(
            f"{train_corpus.source.name}: expected at least two labels, found only {labels[0]!r}"
        )
    found = {name for corpus in corpora.values() for name in corpus.label_names}
    unknown_labels = natural_order(found - set(labels))
    for corpus in corpora.values():
        _check_labels(corpus, labels, train_corpus.source.name, config.data.strict_labels)

    rows = {split: np.arange(len(corpus)) for split, corpus in corpora.items()}
    folds = _folds(config, corpora) if config.data.folds else None
    if folds is not None:
        corpora["valid"], rows["valid"] = train_corpus, np.flatnonzero(folds >= 0)
    elif "valid" not in corpora:
        corpora["valid"] = train_corpus
        rows["train"], rows["valid"] = _held_out(config, train_corpus)

    for split in ("valid", "test"):
        if len(rows.get(split, ())) * len(labels) > MAX_SCORES:
            raise UserError(
                f"{corpora[split].source.name}: expected at most {MAX_SCORES // len(labels):,} "
                f"texts to score with {len(labels):,} labels, found {len(rows[split]):,}"
            )
    max_len = config.text.max_len
    vocabulary = build_vocabulary(
        train_corpus.types,
        count_types(train_corpus, rows["train"], max_len),
        config.text.vocab_size,
        known.vocabulary,
    )
    tokens = with_pretrained(vocabulary, config)
    vocabulary = list(tokens)
    ids = TokenIds(vocabulary, config.text.reads_stems)
    class_of_name = {name: index for index, name in enumerate(labels + unknown_labels)}
    splits = {
        split: Split(
            corpus,
            rows[split],
            ids_of_types(corpus, ids),
            np.array([class_of_name[name] for name in corpus.label_names], np.int32),
            max_len,
            set_size=len(labels) if config.has_label_sets else 0,
        )
        for split, corpus in corpora.items()
    }
    train = splits["train"]
    of_texts = train_corpus.weights
    weights = loss_weights(
        config.training.class_weights,
        labels,
        train.label_sets(len(labels)),
        None if of_texts is None else of_texts[train.rows],
    )
    if sample_weights is not None:
        weights *= sample_weights[train.rows].astype(np.float32)
    train = dataclasses.replace(train, weights=weights)
    digest = hashlib.sha256(b"\n".join(vocabulary) + "\n".join(labels).encode())
    for split in ("train", "valid", "test"):
        if split in splits:
            digest.update(corpora[split].fingerprint.encode() + rows[split].tobytes())
    if folds is not None:
        digest.update(folds.tobytes())
    if sample_weights is not None or config.training.class_weights not in ("none", "balanced"):
        digest.update(weights.tobytes())
    return Data(
        vocabulary,
        labels,
        unknown_labels,
        train,
        splits["valid"],
        splits.get("test"),
        digest.hexdigest(),
        np.fromiter(tokens.values(), bool),
        folds,
        config.text.reads_stems,
    )


def _folds(config: Config, corpora: Mapping[str, Corpus]) -> np.ndarray:
    """Returns int64[texts], the fold of each training text; -1 = it is in none."""
    num_folds, corpus = config.data.folds, corpora["train"]
    if "valid" in corpora:
        raise UserError(
            f"--folds={num_folds}: expected no texts to validate on, found those of "
            f"{corpora['valid'].source.name}"
        )
    if num_folds == 1:
        folds = np.full(len(corpus), -1)
        folds[_held_out(config, corpus)[1]] = 0
        return folds
    hashes = corpus.text_hashes
    if (num_texts := len(np.unique(hashes))) < num_folds:
        raise UserError(
            f"--folds={num_folds} of {corpus.source.name}: expected at least {num_folds} different "
            f"texts, found {num_texts}"
        )
    seed = config.training.seed
    if config.has_label_sets:
        return deal_sets(corpus_sets(corpus), [1 / num_folds] * num_folds, seed, hashes)
    return assign_folds(corpus.labels, num_folds, seed, hashes)


def _held_out(config: Config, corpus: Corpus) -> tuple[np.ndarray, np.ndarray]:
    """Returns int64[texts] twice: the rows of the texts to train on, and to validate on."""
    fraction, seed, hashes = config.data.valid_fraction, config.training.seed, corpus.text_hashes
    if config.has_label_sets:
        parts = deal_sets(corpus_sets(corpus), [1 - fraction, fraction], seed, hashes)
        train, valid = np.flatnonzero(parts == 0), np.flatnonzero(parts == 1)
    else:
        train, valid = stratified_split(corpus.labels, fraction, seed, hashes)
    if not len(valid):
        raise UserError(
            f"--valid_fraction={fraction:g} of {corpus.source.name} leaves no text to validate on; "
            f"expected more texts, or --valid_file"
        )
    return train, valid


def corpus_sets(corpus: Corpus) -> sparse.csr_array:
    """Returns float32[texts, label names], 1 for each label of a text of a corpus."""
    num_labels = len(corpus.label_names)
    return corpus.label_table(np.arange(len(corpus)), np.arange(num_labels), num_labels)


def open_sources(config: Config) -> dict[str, Source]:
    """Returns the labeled texts that a settled config names, by split.

    Raises:
      UserError: a file cannot be read, or a data set is not there.
    """
    data = config.data
    if data.train_file:
        sources = {
            split: file_source(getattr(data, f"{split}_file"), config.files, f"{split}_file")
            for split in ("train", "valid", "test")
            if getattr(data, f"{split}_file")
        }
        return with_sets(sources, takes_unlabeled=True) if config.has_label_sets else sources
    if data.dataset == "languages":
        from tf_textrnn.data import languages  # imports Babel, which only this set needs

        return languages.splits()
    return datasets.splits(data.dataset)


def with_sets(sources: Mapping[str, Source], takes_unlabeled: bool) -> dict[str, Source]:
    """Sources of texts with sets of labels; arguments as those of `Source.with_sets`."""
    return {split: source.with_sets(takes_unlabeled) for split, source in sources.items()}


def _check_labels(corpus: Corpus, labels: list[str], source: str, is_strict: bool) -> None:
    """Checks that labels to validate or test on are known: all if strict, else at least one."""
    unknown = set(corpus.label_names) - set(labels)
    if not unknown or (not is_strict and len(unknown) < len(corpus.label_names)):
        return
    example, label = next(
        (e, label) for e in corpus.source.read() for label in e.labels if label in unknown
    )
    what = (
        f"the label {label!r} is not in {source}"
        if is_strict
        else f"no label of this file is in {source}, such as {label!r}"
    )
    raise UserError(f"{corpus.source.place(example.line, example.file)}: {what}")
