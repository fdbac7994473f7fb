"""The search: trial 0, which is the default, and trials that others decide to stop or to go on."""

from collections.abc import Mapping, Sequence
from typing import Any

from optuna.trial import FrozenTrial, Trial

from tf_textrnn.base.errors import UserError
from tf_textrnn.base.exits import DIVERGED, USER_ERROR
from tf_textrnn.base.options import shown
from tf_textrnn.base.processes import pause, stop_all
from tf_textrnn.base.terminal import warn
from tf_textrnn.config import Config
from tf_textrnn.runs.history import is_trained, read_history
from tf_textrnn.tuning.plan import Plan, plan
from tf_textrnn.tuning.process import (
    TrainProcess,
    has_ended,
    remove_weights,
)
from tf_textrnn.tuning.search import Search
from tf_textrnn.tuning.shared import DEFAULT, Tuning
from tf_textrnn.tuning.space import Space, space_of

FAILURES = 3  # trials in a row of which nothing came; they end the search


def trial_name(number: int) -> str:
    """The folder of a trial in that of its tuning."""
    return f"trials/{number}"


def train_default(tuning: Tuning) -> None:
    """Trains as the caller's options say.

    Raises:
      UserError: a mistake in options or files, or half of the minutes are over.
      DivergedError: the training lost its way.
    """
    if has_ended(tuning.root / DEFAULT):
        return
    clock = tuning.clock
    for process in tuning.run([(DEFAULT, tuning.trial_options({}))], clock.total / 2):
        if process.status == 0:
            return
        if process.status in (DIVERGED, USER_ERROR) or clock.spent < clock.total / 2:
            raise process.error()
    epochs = len(read_history(tuning.root / DEFAULT))
    raise UserError(
        f"--minutes={clock.total / 60:g}: no time for a single trial: half of it is over, and the "
        f"default has trained {epochs} epoch{'' if epochs == 1 else 's'}; expected more minutes"
    )


def open_space(tuning: Tuning) -> Space:
    """What is varied, by the texts and the settled options of the default's run."""
    file = tuning.root / DEFAULT / "config.json"
    config = Config.from_json(file.read_text(encoding="utf-8"), str(file))
    report = tuning.report(DEFAULT)
    num_labels = len((tuning.root / DEFAULT / "labels.txt").read_bytes().splitlines())
    return space_of(tuning.given, config, report["texts"]["train"], num_labels)


def words_of(options: Mapping[str, Any]) -> str:
    """Options as a person reads them, such as `keep_prob=0.6 ngrams=1`."""
    return " ".join(f"{name}={shown(value)}" for name, value in options.items())


class Trials:
    """The trials of a tuning.

    Args:
      tuning: has trained the default.
      search: proposes trials, and says which to stop.

    Attributes:
      last_options: what the last run is told beside the best trial's options, for want of time.
    """

    def __init__(self, tuning: Tuning, search: Search):
        self._tuning = tuning
        self._search = search
        self._failures = 0
        self._last_trainings, self.last_options = 1, dict[str, int]()
        if self._learns_all:
            default, total = tuning.times(DEFAULT), tuning.clock.total
            twice = plan(total, default, None, tuning.slots, last_trainings=2).final
            if default.seconds + twice < total:
                self._last_trainings = 2
            else:
                self.last_options = {"folds": 0}
        if not any(trial.number == 0 for trial in search.ended()):
            self._tell_default()
        self._show_best()

    def _tell_default(self) -> None:
        """Tells the search of the default, unless it was killed before: trial 0."""
        begun = [trial for trial in self._search.unfinished() if trial.number == 0]
        trial = begun[0] if begun else self._search.begin()
        history = read_history(self._tuning.root / DEFAULT)
        self._search.report(trial, self._values(history))
        self._search.complete(trial, self._tuning.value(history))
        self._tell(0, history, "the default")

    @property
    def _learns_all(self) -> bool:
        """Whether the last run, left to itself, learns the share held out by a second training."""
        texts, asked = self._tuning.report(DEFAULT)["texts"], self._tuning.asked
        is_few = texts["train"] + texts["valid"] < asked.training.enough_texts
        return asked.settled(file_folds=int(is_few)).data.folds > 0

    @property
    def best(self) -> FrozenTrial:
        """The best of the trials that were trained to their end; of equals, the earliest."""
        return self._search.complete_trials()[0]

    @property
    def plan(self) -> Plan:
        """How the time is shared, as things stand."""
        number, tuning = self.best.number, self._tuning
        best = tuning.times(trial_name(number)) if number else None
        return plan(
            tuning.clock.total, tuning.times(DEFAULT), best, tuning.slots, self._last_trainings
        )

    def value_of(self, number: int) -> float:
        """What a trial has by the metric."""
        return self._tuning.value(read_history(self._tuning.root / trial_name(number)))

    def run(self) -> None:
        """Runs trials until the time of the search is over."""
        tuning, running = self._tuning, dict[int, tuple[Trial, TrainProcess]]()
        try:
            for trial in self._search.unfinished():
                running[trial.number] = trial, self._start(trial)
            while True:
                while len(running) < tuning.slots and self._has_time():
                    trial = self._search.begin()
                    running[trial.number] = trial, self._start(trial)
                if not running:
                    return
                is_over = tuning.clock.spent >= self.plan.search_end
                running = {
                    number: (trial, process)
                    for number, (trial, process) in running.items()
                    if self._goes_on(trial, process, is_over)
                }
                tuning.show([process for _, process in running.values()])
                pause()
        finally:
            stop_all([process for _, process in running.values()])
            tuning.clock.save()

    def _start(self, trial: Trial) -> TrainProcess:
        tuning = self._tuning
        options = tuning.trial_options(self._search.options_of(trial.number), export=False)
        return tuning.start(trial_name(trial.number), options, tuning.slots - 1)

    def _has_time(self) -> bool:
        """Whether a trial that begins now can come as far as others have."""
        clock = self._tuning.clock
        others = [trial_name(trial.number) for trial in self._search.ended() if trial.number]
        times = [clock.seconds[name] for name in others if name in clock.trained]
        least = min(times, default=self._tuning.times(DEFAULT).trained / 2)
        return self._failures < FAILURES and clock.spent + least < self.plan.search_end

    def _goes_on(self, trial: Trial, process: TrainProcess, is_over: bool) -> bool:
        """Tells the search how a trial does; returns whether it goes on."""
        is_running = process.look()
        is_worse = self._search.report(trial, self._values(process.history))
        is_stopped = is_over or (is_worse and not self._is_trained(process))
        if is_running and not is_stopped:
            return True
        stop_all([process])
        history, trained = process.history, self._is_trained(process)  # it may have ended first
        if trained:
            self._search.complete(trial, self._tuning.value(history))
            self._show_best()
            self._tell(trial.number, history, "*" if self.best.number == trial.number else "")
        elif is_stopped:
            self._search.prune(trial)
            self._tell(trial.number, history, "others were better" if is_worse else "no time left")
        else:
            self._search.fail(trial)
            error = process.error()
            if process.status == USER_ERROR:
                raise error
            warn(f"trial {trial.number} failed: {error}")
        remove_weights(process.path)
        self._failures = 0 if trained or is_stopped else self._failures + 1
        return False

    def _is_trained(self, process: TrainProcess) -> bool:
        return process.status == 0 or is_trained(process.history, self._tuning.asked.training)

    def _values(self, history: Sequence[Mapping[str, Any]]) -> list[float]:
        """What the trial would have by the metric after each of its epochs."""
        return [self._tuning.value(history[:end]) for end in range(1, len(history) + 1)]

    def _show_best(self) -> None:
        best = self.best
        name = f"trial {best.number}" if best.number else "the default"
        self._tuning.bar.best = f"best {self._tuning.metric.kind} {best.value:.4f} ({name})"

    def _tell(self, number: int, history: Sequence[Mapping[str, Any]], note: str) -> None:
        tuning = self._tuning
        value = f"{tuning.value(history):.4f}" if history else "-"
        seconds = tuning.clock.seconds[trial_name(number)]
        parts = [
            f"trial {number:3d}  {tuning.metric.kind} {value}",
            f"{len(history):3d} epochs {seconds:5.0f} s",
            words_of(self._search.options_of(number)),
            note,
        ]
        tuning.bar.tell("  ".join(filter(None, parts)))
