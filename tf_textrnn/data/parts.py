"""Parts of a run's training texts, each with what it is measured on: folds, and shares."""

import dataclasses
import hashlib

import numpy as np

from tf_textrnn.data.batches import Split
from tf_textrnn.data.holdout import assign_folds, deal_sets
from tf_textrnn.data.splits import Data
from tf_textrnn.data.type_counts import count_types
from tf_textrnn.text import UNKNOWN_ID


def fold_of(data: Data, fold: int) -> Data:
    """The data of the model that does not see one fold: it validates on that, trains on the rest.

    Vocabulary and labels are those of all folds; a word that the rest lacks is read as unknown.

    Args:
      data: with folds.
      fold: index of the fold, from 0.
    """
    assert data.folds is not None
    train, is_held_out = data.train, data.folds == fold
    counts = count_types(train.corpus, train.rows[~is_held_out], train.max_len)
    id_of_type = np.where(counts > 0, train.id_of_type, np.int32(UNKNOWN_ID))

    def part(is_in: np.ndarray) -> Split:
        weights = None if train.weights is None else train.weights[is_in]
        return dataclasses.replace(
            train, rows=train.rows[is_in], id_of_type=id_of_type, weights=weights
        )

    fingerprint = hashlib.sha256(f"{data.fingerprint} {fold}".encode()).hexdigest()
    return dataclasses.replace(
        data, train=part(~is_held_out), valid=part(is_held_out), test=None, folds=None,
        fingerprint=fingerprint,
    )  # fmt: skip


def eighths(data: Data, seed: int, has_sets: bool) -> np.ndarray:
    """Returns int64[texts], which eighth each training text is in; copies are in the same one.

    Args:
      data: without folds.
      seed: of the choice.
      has_sets: whether a text has a set of labels.
    """
    train = data.train
    hashes = train.corpus.text_hashes[train.rows]
    if has_sets:
        return deal_sets(train.label_sets(len(data.labels)), [1 / 8] * 8, seed, hashes)
    return assign_folds(train.classes, 8, seed, hashes)


def share_of(data: Data, is_in: np.ndarray) -> Data:
    """The data of a model that trains on some of the texts, and is validated on the same ones.

    A word that these texts lack is read as unknown.

    Args:
      data: without folds.
      is_in: bool[texts], which texts it trains on.
    """
    train = data.train
    counts = count_types(train.corpus, train.rows[is_in], train.max_len)
    is_seen = np.zeros(len(data.vocabulary), bool)
    is_seen[train.id_of_type[counts > 0]] = True

    def ids(split: Split) -> np.ndarray:
        return np.where(is_seen[split.id_of_type], split.id_of_type, np.int32(UNKNOWN_ID))

    weights = None if train.weights is None else train.weights[is_in]
    part = dataclasses.replace(
        train, rows=train.rows[is_in], id_of_type=ids(train), weights=weights
    )
    fingerprint = hashlib.sha256(f"{data.fingerprint} share".encode() + is_in.tobytes())
    return dataclasses.replace(
        data, train=part, valid=dataclasses.replace(data.valid, id_of_type=ids(data.valid)),
        test=None, fingerprint=fingerprint.hexdigest(),
    )  # fmt: skip
