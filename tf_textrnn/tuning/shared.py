"""What the stages of a tuning share: its folder, options and time, and how they run trainings."""

import json
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

from tf_textrnn.base.processes import pause, stop_all, trainings_at_once
from tf_textrnn.base.startup import usable_cores
from tf_textrnn.config import Config
from tf_textrnn.runs.history import kept_epoch
from tf_textrnn.tuning.clock import Clock
from tf_textrnn.tuning.plan import Times
from tf_textrnn.tuning.process import TrainProcess
from tf_textrnn.tuning.progress import Bar

DEFAULT, FINAL = "trials/0", "final"


class Tuning:
    """A tuning under way.

    Args:
      root: its folder.
      given: the options that the caller named, but for the folder.
      clock: its time and its decisions.
      bar: shows it.
    """

    def __init__(self, root: pathlib.Path, given: Mapping[str, Any], clock: Clock, bar: Bar):
        self.root = root
        self.given = dict(given)
        self.clock = clock
        self.bar = bar
        self.asked = Config().replace(**given)
        self.metric = self.asked.metric
        self.slots = trainings_at_once()

    def trial_options(self, varied: Mapping[str, Any], **more: Any) -> dict[str, Any]:
        """The options of a run that is no last one: it reads no test file, and trains once."""
        options = {name: value for name, value in self.given.items() if name != "test_file"}
        return {**options, "folds": 0, **varied, **more}

    def start(self, name: str, options: Mapping[str, Any], num_others: int = 0) -> TrainProcess:
        """Starts a run, or goes on with it.

        Args:
          name: its folder in that of the tuning.
          options: of it.
          num_others: number of runs beside it, with which it shares the cores.
        """
        threads = usable_cores() // (1 + num_others) if num_others else 0
        return TrainProcess(self.root, name, options, self.clock, threads)

    def run(
        self, jobs: Sequence[tuple[str, dict[str, Any]]], until: float | None = None
    ) -> list[TrainProcess]:
        """Runs trainings, as many side by side as the cores allow.

        Args:
          jobs: name and options of each.
          until: seconds since the tuning began, after which they are stopped; None = never.

        Returns:
          Those that were started, all of them ended.
        """
        waiting, running = list(jobs), list[TrainProcess]()
        started = list[TrainProcess]()
        num_others = min(self.slots, len(jobs)) - 1
        try:
            while (waiting or running) and (until is None or self.clock.spent < until):
                while waiting and len(running) < self.slots:
                    running.append(self.start(*waiting.pop(0), num_others))
                    started.append(running[-1])
                running = [process for process in running if process.look()]
                self.show(running)
                if running:
                    pause()
        finally:
            stop_all(running)
            self.clock.save()
        return started

    def show(self, running: Sequence[TrainProcess]) -> None:
        """Shows and keeps how far the tuning is."""
        self.clock.tick()
        words = [f"{run.name} epoch {len(run.history) + 1}" for run in running]
        self.bar.update(self.clock.spent, ", ".join(words))

    def value(self, history: Sequence[Mapping[str, Any]]) -> float:
        """What a run has by the metric: that of the epoch that it keeps."""
        return kept_epoch(history)[self.metric.field]

    def times(self, name: str) -> Times:
        """What a run has taken; of one whose clock a kill has lost, all of the time is a bound."""
        seconds = self.clock.seconds.get(name, self.clock.spent)
        return Times(self.clock.trained.get(name, seconds), seconds)

    def report(self, name: str) -> dict[str, Any]:
        """What `report.json` of a run that has ended holds."""
        return json.loads((self.root / name / "report.json").read_text(encoding="utf-8"))
