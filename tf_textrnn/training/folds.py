"""Folds: each training text is scored by a model that has not seen it (Stone 1974).

One model a fold trains on the texts outside of it, each in `folds/<fold>` of the run, and chooses
its best epoch on those inside. The scores of all texts together give the weights of the branches
and the temperature, and the folds the number of epochs, with which the last model trains on all
texts.
"""

import contextlib
import gc
import statistics
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from tf_textrnn.base import locks
from tf_textrnn.base.errors import UserError
from tf_textrnn.base.terminal import show, warn
from tf_textrnn.config import Config
from tf_textrnn.data.batches import plan_epoch
from tf_textrnn.data.parts import fold_of
from tf_textrnn.data.splits import Data
from tf_textrnn.runs import checkpoints
from tf_textrnn.runs.folder import RunFolder
from tf_textrnn.runs.history import read_history
from tf_textrnn.training.distribution import Workers
from tf_textrnn.training.ending import read_best_epoch
from tf_textrnn.training.loop import Trainer
from tf_textrnn.training.saved_state import is_of_epoch
from tf_textrnn.training.validation import Weighed, weigh_on

_SCORES, _DATA, _BEST = "scores", "data", "best"  # what the file of a fold that has ended holds


class FoldTrainer(Trainer):
    """Keeps of its best epoch the scores of the texts held out: nobody needs its weights."""

    def best_arrays(self, weighed: Weighed) -> dict[str, np.ndarray]:
        """What is kept of the best epoch: float32[texts, branches, classes], before weighing."""
        return {_SCORES: weighed.branches}


class LastTrainer(Trainer):
    """Trains on all texts, as the folds say; its last epoch is its best, and none is validated.

    Args:
      config: settled.
      data: of the run, with folds.
      folder: of the run.
      workers: the one worker.
      out_of_fold: what the folds have come to.
      on_step: as of `Trainer`.
    """

    validates = False

    def __init__(
        self,
        config: Config,
        data: Data,
        folder: RunFolder,
        workers: Workers,
        out_of_fold: "OutOfFold",
        on_step: Callable[[int], None] | None = None,
    ):
        self._num_folds = config.data.folds
        config = config.replace(num_epochs=out_of_fold.num_epochs, patience=0)
        super().__init__(config, data, folder, workers, on_step)
        self._weighed = out_of_fold.weighed

    @property
    def shown_history(self) -> Sequence[dict[str, Any]]:
        """The metrics of the epochs that the report draws: of one fold, those that chose."""
        if self._num_folds > 1:
            return super().shown_history
        return read_history(self.folder.fold(0).path)

    def weigh(self) -> Weighed:
        """Weighs the branches as the models of the folds are weighed together."""
        self.scorer.apply(self._weighed)
        return self._weighed

    def is_better(self, metrics: dict[str, Any], best: dict[str, Any]) -> bool:
        """Whether the epoch is better than those before: each is, as the folds have chosen it."""
        return True

    def valid_scores(self) -> np.ndarray:
        """Returns float32[texts, classes], the scores of the models that have not seen a text."""
        return self._weighed.scores.astype(np.float32)

    def valid_branches(self) -> np.ndarray:
        """Returns float32[texts, branches, classes], of the models that have not seen a text."""
        return self._weighed.branches


class OutOfFold(NamedTuple):
    """What the folds have come to.

    Attributes:
      weighed: the branches on the texts in folds, each scored by the model that has not seen it.
      num_epochs: the median of the folds' best epochs, counted from 1; of two, the higher.
    """

    weighed: Weighed
    num_epochs: int


def train_folds(
    config: Config,
    data: Data,
    folder: RunFolder,
    workers: Workers,
    train: Callable[[Trainer], None],
    on_step: Callable[[int], None] | None = None,
) -> OutOfFold:
    """Trains a model for each fold that has not ended yet.

    Args:
      config: settled.
      data: of the run, with folds.
      folder: of the run.
      workers: the one worker.
      train: restores a trainer and trains to the end.
      on_step: as of `Trainer`.

    Raises:
      UserError: a fold is of other texts, or a file cannot be read.
      DivergedError: a training lost its way.
    """
    assert data.folds is not None
    branches = np.zeros(_shape(config, data), np.float32)
    fold_of_text = data.folds[data.folds >= 0]
    best_epochs = []
    for fold in range(config.data.folds):
        ended = train_part(fold_part(config, data, folder, fold), workers, train, on_step)
        num_branches = ended.scores.shape[1]  # a fold may have no n-gram
        branches[fold_of_text == fold, :num_branches] = ended.scores
        best_epochs.append(ended.best["epoch"] + 1)
    num_epochs = statistics.median_high(best_epochs)
    best = f"best epoch{'s' if len(best_epochs) > 1 else ''} {', '.join(map(str, best_epochs))}"
    show(f"{best}: trains on all {len(data.train):,} texts for {num_epochs}")
    return OutOfFold(weigh_on(branches, data.valid, config.threshold_rule), num_epochs)


class Part(NamedTuple):
    """A training on some of the texts of a run.

    Attributes:
      name: what it is called.
      config: of the training, settled.
      data: the texts that it trains on, and those that it chooses its best epoch on.
      folder: of the training.
    """

    name: str
    config: Config
    data: Data
    folder: RunFolder


def fold_part(config: Config, data: Data, folder: RunFolder, fold: int) -> Part:
    """The training that does not see a fold, with the batches and passes of one on all texts.

    Args:
      config: settled.
      data: of the run, with folds.
      folder: of the run.
      fold: index of the fold, from 0.
    """
    part = fold_of(data, fold)
    epoch = plan_epoch(len(data.train), config.training)
    least = epoch.min_steps(len(part.train))
    config = config.replace(batch_size=epoch.batch_size, min_epoch_steps=least)
    num_folds = config.data.folds
    name = f"fold {fold + 1} of {num_folds}" if num_folds > 1 else "first training"
    return Part(name, config, part, folder.fold(fold))


class Ended(NamedTuple):
    """What a fold has come to.

    Attributes:
      scores: float32[texts, branches, classes], those of its texts.
      best: the metrics of its best epoch.
    """

    scores: np.ndarray
    best: dict[str, Any]


def _shape(config: Config, data: Data) -> tuple[int, int, int]:
    """Of the branches' scores of validation texts; without a token there are no n-grams."""
    has_ngrams = config.model.ngrams > 0 and data.train.lengths.any()
    return len(data.valid), 2 if has_ngrams else 1, len(data.labels)


def train_part(
    part: Part,
    workers: Workers,
    train: Callable[[Trainer], None],
    on_step: Callable[[int], None] | None = None,
) -> Ended:
    """Trains the model of some of the texts, unless it has ended already.

    Args:
      part: the training.
      workers: the one worker.
      train: as of `train_folds`.
      on_step: as of `Trainer`.

    Returns:
      The scores of the texts of `part.data.valid`, and the metrics of the best epoch.

    Raises:
      UserError: the folder is of other texts, or a file cannot be read.
      DivergedError: the training lost its way.
    """
    name, config, data, folder = part
    shape = _shape(config, data)
    folder.make()
    with locks.take(folder.lock, wait=True):  # the process of a trainer that is gone may be saving
        folder.remove_leftovers()
        ended = read_ended(folder, data, shape)
        show(f"{name}: {len(data.valid):,} texts to score" if ended is None else f"{name}: done")
        if ended is None:
            ended = _end(FoldTrainer(config, data, folder, workers, on_step), train, shape)
            gc.collect()  # a model and its graphs refer to one another; the next takes their place
        folder.remove_checkpoints()
    return ended


def _end(trainer: FoldTrainer, train: Callable[[Trainer], None], shape: tuple[int, ...]) -> Ended:
    """Trains the model of a fold, and writes what it has come to, which outlasts checkpoints."""
    with contextlib.closing(trainer):
        train(trainer)
    path, arrays, best = read_best_epoch(trainer.folder, trainer.best)
    try:
        ended = _checked(arrays, best, shape)
    except checkpoints.DamagedError as error:
        raise UserError(f"{path}: {error}") from error
    state = {_DATA: trainer.data.fingerprint, _BEST: ended.best}
    checkpoints.write(trainer.folder.scores, {_SCORES: ended.scores}, state)
    return ended


def read_ended(folder: RunFolder, data: Data, shape: tuple[int, ...]) -> Ended | None:
    """What a fold has come to; None where it has not ended or, with a warning, where it is damaged.

    Args:
      folder: of the fold.
      data: of the fold.
      shape: of its scores.

    Raises:
      UserError: it is of other texts.
    """
    if not folder.scores.exists():
        return None
    try:
        arrays, state = checkpoints.read(folder.scores)
        if state.get(_DATA) != data.fingerprint:
            raise folder.other_texts()
        return _checked(arrays, state.get(_BEST), shape)
    except checkpoints.DamagedError as error:
        warn(f"{folder.scores} is damaged ({error}); it is trained again")
        return None


def _checked(arrays: Mapping[str, np.ndarray], best: Any, shape: tuple[int, ...]) -> Ended:
    """What a file holds, which a stranger may have written.

    Raises:
      DamagedError: it is not what a fold has come to.
    """
    scores = arrays.get(_SCORES, np.zeros(0))
    is_whole = scores.shape == shape and scores.dtype == np.float32
    if not (is_whole and np.isfinite(scores).all() and is_of_epoch(best)):
        raise checkpoints.DamagedError("it does not hold the scores of such a training")
    return Ended(scores, best)
