"""Parts of a run's training texts, each with what it is measured on: folds, and shares."""

import dataclasses
import hashlib

import numpy as np

from tf_textrnn.data.batches import Split
from tf_textrnn.data.holdout import assign_folds, deal_sets
from tf_textrnn.data.splits import Data
from tf_textrnn.data.type_counts import count_types


def fold_of(data: Data, fold: int) -> Data:
    """The data of the model that does not see one fold: it validates on that, trains on the rest.

    Vocabulary and labels are those of all folds; a word that the rest lacks is an unknown one,
    unless it `is_pretrained`.

    Args:
      data: with folds.
      fold: index of the fold, from 0.
    """
    assert data.folds is not None
    is_held_out = data.folds == fold
    held_out = data.train.some(is_held_out)
    return _part(data, ~is_held_out, held_out, str(fold).encode())


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

    A word that these texts lack is an unknown one, unless it `is_pretrained`.

    Args:
      data: without folds.
      is_in: bool[texts], which texts it trains on.
    """
    return _part(data, is_in, data.valid, b"share" + is_in.tobytes())


def _part(data: Data, is_in: np.ndarray, valid: Split, name: bytes) -> Data:
    """The data of a model that trains on some of the texts, and knows no word of only the others.

    Args:
      data: of the run.
      is_in: bool[texts], which texts it trains on.
      valid: the texts that it is validated on.
      name: tells the part from others, in its fingerprint.
    """
    train = data.train.some(is_in)
    counts = count_types(train.corpus, train.rows, train.max_len)
    is_known = data.is_pretrained.copy()
    is_known[train.id_of_type[counts > 0]] = True
    fingerprint = hashlib.sha256(f"{data.fingerprint} ".encode() + name).hexdigest()
    ids = data.token_ids.among(is_known)
    return dataclasses.replace(
        data, train=train, valid=valid.read_with(ids), test=None, folds=None,
        fingerprint=fingerprint,
    )  # fmt: skip
