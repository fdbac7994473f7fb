"""The default and the best trial on other seeds, where the search has chosen nothing.

The best of many trials on one seed is partly the luckiest. On seeds that the search has not seen,
the two differ by what the settings are worth. Without --valid_file a seed has validation texts of
its own, the same for both.
"""

import math
import statistics
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from scipy import special

from tf_textrnn.base.terminal import warn
from tf_textrnn.runs.history import read_history
from tf_textrnn.tuning.plan import Plan
from tf_textrnn.tuning.process import has_ended, remove_weights
from tf_textrnn.tuning.shared import Tuning

_MAX_SEED = 2**31 - 1
WHICH = ("default", "best")


class Pair(NamedTuple):
    """What a seed has given by the metric."""

    seed: int
    default: float
    best: float


class Gain(NamedTuple):
    """How much better the best trial is than the default, on seeds that the search has not seen.

    Attributes:
      mean: of the differences, above 0 where the best trial is better.
      low: lower bound of its 95 % interval.
      high: upper bound; both are infinite with one seed.
    """

    mean: float
    low: float
    high: float


def repeat(tuning: Tuning, plan: Plan, options: Mapping[str, Any]) -> list[Pair]:
    """Trains the default and the best trial on other seeds, as far as the time goes.

    Args:
      tuning: its search is over.
      plan: how its time is shared.
      options: those of the best trial that the search has set.

    Returns:
      The pairs of which both have ended.
    """
    end = tuning.clock.total - plan.final
    num_done = len(pairs_of(tuning))
    num_fitting = int((end - tuning.clock.spent) / plan.pair) if plan.pair else 0
    jobs = []
    for k in range(1, min(num_done + num_fitting, plan.num_pairs) + 1):
        for which, varied in zip(WHICH, ({}, options), strict=True):
            name, seed = _name(which, seed_of(tuning, k)), seed_of(tuning, k)
            if not has_ended(tuning.root / name):
                jobs.append((name, tuning.trial_options(varied, seed=seed, export=False)))
    for process in tuning.run(jobs, end):
        if process.status and tuning.clock.spent < end:
            warn(f"{process.name} failed: {process.error()}")
        remove_weights(process.path)
    return pairs_of(tuning)


def seed_of(tuning: Tuning, k: int) -> int:
    """The k-th seed after that of the search."""
    return (tuning.asked.training.seed + k) % (_MAX_SEED + 1)


def pairs_of(tuning: Tuning) -> list[Pair]:
    """The seeds, from the first, on which both have been trained to their end."""
    pairs = []
    for k in range(1, 1 + len(list((tuning.root / "repeats").glob("*")))):
        folders = [tuning.root / _name(which, seed_of(tuning, k)) for which in WHICH]
        if all(map(has_ended, folders)):
            values = [tuning.value(read_history(folder)) for folder in folders]
            pairs.append(Pair(seed_of(tuning, k), *values))
    return pairs


def gain(pairs: Sequence[Pair], sign: int) -> Gain | None:
    """The mean difference of pairs, with its 95 % interval of Student's t distribution.

    Args:
      pairs: one a seed.
      sign: 1 where more is better, -1 where less is.

    Returns:
      None without pairs.

    Example:
      >>> gain([Pair(2, 0.5, 0.4), Pair(3, 0.5, 0.42)], sign=-1)  # of losses
      Gain(mean=0.09..., low=-0.03..., high=0.21...)
    """
    if not pairs:
        return None
    differences = [sign * (pair.best - pair.default) for pair in pairs]
    mean = statistics.mean(differences)
    if len(pairs) == 1:
        return Gain(mean, -math.inf, math.inf)
    error = statistics.stdev(differences) / math.sqrt(len(pairs))
    spread = float(special.stdtrit(len(pairs) - 1, 0.975)) * error
    return Gain(mean, mean - spread, mean + spread)


def _name(which: str, seed: int) -> str:
    return f"repeats/{which}-{seed}"
