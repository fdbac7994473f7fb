"""Chooses the texts that are held out: a share of each label, or all, one fold after the other."""

from collections.abc import Sequence

import numpy as np
from scipy import sparse

from tf_textrnn.data.hashes import members


def stratified_split(
    labels: np.ndarray, fraction: float, seed: int, hashes: np.ndarray | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Splits off a fraction of the texts of each label; at least one text of each label stays.

    Copies of a text stay on one side, unless over half of the texts of a label would be split off
    so. Texts that stand under several labels are not split off, unless nothing else is.

    Args:
      labels: int[texts], the label of each text.
      fraction: fraction to split off.
      seed: seed of the choice.
      hashes: uint64[texts], equal for copies; None = there are none.

    Returns:
      The indices that stay and those split off, both ascending.
    """
    order = _generator(seed).permutation(len(labels))
    order = order[np.argsort(labels[order], kind="stable")]  # by label, shuffled within each
    apart = []
    for indices in np.split(order, np.flatnonzero(np.diff(labels[order])) + 1):
        count = min(int(len(indices) * fraction + 0.5), len(indices) - 1)
        if hashes is None:
            apart.append(indices[:count])
        else:
            apart.append(indices[_with_copies(hashes[indices], count)])
    is_apart = np.zeros(len(labels), bool)
    is_apart[np.concatenate(apart)] = True
    if hashes is not None:
        has_one_label = ~_stands_under_several(hashes, labels)
        if (is_apart & has_one_label).any():
            is_apart &= has_one_label
    return np.flatnonzero(~is_apart), np.flatnonzero(is_apart)


def _with_copies(hashes: np.ndarray, count: int) -> np.ndarray:
    """Returns bool[texts]: the first texts that are at most `count` with all their copies.

    Where there are none, it is the text with the fewest copies, if they are at most half of all;
    else they are the first `count`.
    """
    found = np.unique(hashes, return_index=True, return_inverse=True, return_counts=True)
    _, firsts, groups, sizes = found
    first = np.arange(len(hashes)) < count
    if len(sizes) == len(hashes):
        return first
    is_taken = np.zeros(len(sizes), bool)
    for group in np.argsort(firsts):
        if sizes[group] <= count:
            is_taken[group] = True
            count -= sizes[group]
    if not is_taken.any() and first.any() and sizes.min() <= len(hashes) / 2:
        is_taken[sizes.argmin()] = True
    return is_taken[groups] if is_taken.any() else first


def _stands_under_several(hashes: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Returns bool[texts]: whether a copy of the text has another label."""
    _, groups = np.unique(hashes, return_inverse=True)
    lowest = np.full(groups.max() + 1, labels.max())
    highest = np.zeros_like(lowest)
    np.minimum.at(lowest, groups, labels)
    np.maximum.at(highest, groups, labels)
    return (lowest != highest)[groups]


def assign_folds(
    labels: np.ndarray, num_folds: int, seed: int, hashes: np.ndarray | None = None
) -> np.ndarray:
    """Deals the texts of each label out to folds, one after the other; copies share a fold.

    Texts without copies lie evenly: the folds' numbers of texts differ by one at most, those of a
    label too. With copies they differ by as many texts as the most copied one has.

    Args:
      labels: int[texts], the label of each text.
      num_folds: number of folds; each gets a text where there are so many different ones.
      seed: seed of the choice.
      hashes: uint64[texts], equal for copies; None = there are none.

    Returns:
      int64[texts], the fold of each text, from 0.
    """
    texts = np.arange(len(labels), dtype=np.uint64) if hashes is None else hashes
    _, firsts, groups, sizes = np.unique(
        texts, return_index=True, return_inverse=True, return_counts=True
    )
    order = _generator(seed).permutation(len(firsts))
    # By label, a text of many copies first, shuffled within each.
    order = order[np.lexsort((-sizes[order], labels[firsts[order]]))]
    fold_of_group = np.empty(len(order), np.int64)
    fold_of_group[order] = np.arange(len(order)) % num_folds
    return fold_of_group[groups]


def deal_sets(
    label_sets: sparse.csr_array, shares: Sequence[float], seed: int, hashes: np.ndarray
) -> np.ndarray:
    """Deals texts with sets of labels out to parts, so that each label is spread as all texts are.

    Iterative stratification (Sechidis, Tsoumakas & Vlahavas 2011): the label with the fewest texts
    left comes first, and each of its texts goes to the part that lacks most texts of it; of those
    that lack as many, to the one that lacks most texts, else to the first. Copies share a part.

    Args:
      label_sets: float32[texts, labels], 1 for each label of a text.
      shares: of each part in all texts.
      seed: seed of the order of a label's texts.
      hashes: uint64[texts], equal for copies.

    Returns:
      int64[texts], the part of each text.
    """
    is_in = members(hashes)
    groups = is_in.indices
    of_group = sparse.csr_array(is_in.T @ label_sets)
    sizes, order = np.bincount(groups), _generator(seed).permutation(is_in.shape[1])
    by_label = sparse.csc_array(of_group[order])
    left = np.asarray(of_group.sum(axis=0))
    lacking = np.outer(shares, left)  # [parts, labels]
    lacking_texts = np.array(shares) * len(groups)
    part_of_group = np.full(len(sizes), -1)

    def deal(group: int, wanted: np.ndarray) -> None:
        """Gives a group to a part of those where `wanted` float[parts] is largest."""
        most = np.where(wanted > wanted.max() - 1e-6, lacking_texts, -np.inf)
        part = np.flatnonzero(most > most.max() - 1e-6)[0]
        part_of_group[group] = part
        row = slice(of_group.indptr[group], of_group.indptr[group + 1])
        lacking[part, of_group.indices[row]] -= of_group.data[row]
        left[of_group.indices[row]] -= of_group.data[row]
        lacking_texts[part] -= sizes[group]

    while (left > 0).any():
        label = np.where(left > 0, left, np.inf).argmin()
        for place in by_label.indices[by_label.indptr[label] : by_label.indptr[label + 1]]:
            if part_of_group[order[place]] < 0:
                deal(order[place], lacking[:, label])
    for group in order[part_of_group[order] < 0]:  # without a label
        deal(group, lacking_texts)
    return part_of_group[groups]


def _generator(seed: int) -> np.random.Generator:
    return np.random.Generator(np.random.Philox(key=[seed, 2**63]))  # a key that no epoch has
