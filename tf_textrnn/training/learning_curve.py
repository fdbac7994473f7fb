"""`--learning_curve`: how good the model is with an eighth, a quarter and half of the texts.

Each share holds the one before, and the labels in like parts. The models choose their best epoch on
the validation texts of the run, and are measured on them, as the model of all texts is.
"""

from collections.abc import Callable

import numpy as np

from tf_textrnn.config import Config
from tf_textrnn.data.parts import eighths, share_of
from tf_textrnn.data.splits import Data
from tf_textrnn.runs.curve import CurvePoint, curve_point
from tf_textrnn.runs.folder import RunFolder
from tf_textrnn.training.distribution import Workers
from tf_textrnn.training.folds import Part, train_part
from tf_textrnn.training.loop import Trainer
from tf_textrnn.training.validation import weigh_on

SHARES = {8: "an eighth", 4: "a quarter", 2: "half"}


def train_shares(
    config: Config,
    data: Data,
    folder: RunFolder,
    workers: Workers,
    train: Callable[[Trainer], None],
    on_step: Callable[[int], None] | None = None,
) -> list[CurvePoint]:
    """Trains a model for each share that has not ended yet; arguments as of `folds.train_folds`."""
    of_text = eighths(data, config.training.seed, config.has_label_sets)
    points = []
    for parts in SHARES:
        part = share_part(config, data, folder, of_text, parts)
        ended = train_part(part, workers, train, on_step)
        weighed = weigh_on(ended.scores, part.data.valid, config.threshold_rule)
        accuracy = weighed.answers(part.data.valid, data.all_labels).measures().accuracy
        points.append(curve_point(len(part.data.train), accuracy, len(part.data.valid)))
    return points


def share_part(
    config: Config, data: Data, folder: RunFolder, of_text: np.ndarray, parts: int
) -> Part:
    """The training on one of so many parts of the texts.

    Args:
      config: settled.
      data: of the run.
      folder: of the run.
      of_text: int64[texts], as of `eighths`.
      parts: a key of `SHARES`.
    """
    part = share_of(data, of_text < 8 // parts)
    name = f"{SHARES[parts]} of the texts, {len(part.train):,}"
    return Part(name, config, part, folder.share(parts))
