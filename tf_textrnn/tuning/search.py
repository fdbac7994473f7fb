"""The trials of a tuning in Optuna's journal: what to try next, and which trials to stop early.

Values are proposed by Optuna's tree-structured Parzen estimator (Bergstra 2011). A trial goes on
past 3, 6 and 12 epochs while it is among the better half there, by asynchronous successive halving
(Li 2020).
"""

import os
import pathlib
from collections.abc import Sequence
from typing import Any

import optuna
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend
from optuna.trial import FrozenTrial, Trial, TrialState

from tf_textrnn.base.errors import UserError
from tf_textrnn.tuning.space import Space, as_options

FIRST_RUNG = 3  # epochs; the next rungs are at twice as many each
RANDOM_TRIALS = 6  # before the estimator proposes


class _NoLock:
    """Optuna's lock file would outlast a kill; the lock of the tuning's folder holds anyway."""

    def acquire(self) -> bool:
        return True

    def release(self) -> None:
        pass


class Search:
    """The trials of a tuning; they outlast its processes.

    Args:
      path: of the journal, made where it is missing.
      space: what is tried; trial 0 has its default.
      is_maximized: whether more is better.
      seed: of what is proposed.

    Raises:
      UserError: the journal is damaged.
    """

    def __init__(self, path: pathlib.Path, space: Space, is_maximized: bool, seed: int):
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        self._distributions = space.distributions
        self._default = as_options(space.default)
        self._sign = 1 if is_maximized else -1
        _cut_torn_line(path)
        try:
            self._study = optuna.create_study(
                storage=JournalStorage(JournalFileBackend(str(path), lock_obj=_NoLock())),
                study_name="tune",
                pruner=optuna.pruners.SuccessiveHalvingPruner(FIRST_RUNG, reduction_factor=2),
                direction="maximize" if is_maximized else "minimize",
                load_if_exists=True,
            )
            trials = self._study.trials
        except Exception as error:  # a damaged file fails in many ways
            raise UserError(
                f"{path}: damaged ({error!r:.100}); expected Optuna's journal of a tuning, or a "
                f"new folder"
            ) from error
        # A sampler of the same seed would propose the same again after a restart.
        self._study.sampler = optuna.samplers.TPESampler(
            n_startup_trials=RANDOM_TRIALS, seed=(seed + len(trials)) % 2**32
        )
        if not trials:
            for values in (space.default, *space.known):
                self._study.enqueue_trial(values)

    def begin(self) -> Trial:
        """The next trial to run."""
        return self._study.ask(self._distributions)

    def unfinished(self) -> list[Trial]:
        """Trials under way when the tuning was killed; one that has no settings yet has failed."""
        trials = []
        for frozen in self._study.get_trials(states=[TrialState.RUNNING]):
            trial = Trial(self._study, frozen._trial_id)
            if frozen.params.keys() == self._distributions.keys():
                trials.append(trial)
            else:
                self.fail(trial)
        return trials

    def report(self, trial: Trial, values: Sequence[float]) -> bool:
        """Tells of a trial's epochs; returns whether it is to be stopped after one of them.

        Args:
          trial: under way.
          values: of each epoch so far; those told before are passed over.
        """
        told = self._frozen(trial).intermediate_values
        is_stopped = False
        for step, value in enumerate(values, 1):
            if step not in told:
                trial.report(value, step)
                is_stopped = is_stopped or trial.should_prune()
        return is_stopped

    def complete(self, trial: Trial, value: float) -> None:
        """Ends a trial that was trained to its end."""
        self._study.tell(trial, value)

    def prune(self, trial: Trial) -> None:
        """Ends a trial that was stopped."""
        self._study.tell(trial, state=TrialState.PRUNED)

    def fail(self, trial: Trial) -> None:
        """Ends a trial of which nothing has come."""
        self._study.tell(trial, state=TrialState.FAIL)

    def ended(self) -> list[FrozenTrial]:
        """The trials that have ended, by number."""
        states = [TrialState.COMPLETE, TrialState.PRUNED, TrialState.FAIL]
        return self._study.get_trials(states=states)

    def complete_trials(self) -> list[FrozenTrial]:
        """Those that were trained to their end, the best first."""
        trials = self._study.get_trials(states=[TrialState.COMPLETE])
        return sorted(trials, key=lambda trial: -self._sign * trial.value)

    def options_of(self, number: int) -> dict[str, Any]:
        """The options of a trial that are not those of trial 0."""
        options = as_options(self._study.trials[number].params)
        return {name: v for name, v in options.items() if v != self._default[name]}

    def _frozen(self, trial: Trial) -> FrozenTrial:
        return self._study.trials[trial.number]


def _cut_torn_line(path: pathlib.Path) -> None:
    """Cuts off a last line that was not written whole, as after a power failure."""
    if not path.exists():
        return
    content = path.read_bytes()
    whole = content.rfind(b"\n") + 1
    if whole < len(content):
        os.truncate(path, whole)
