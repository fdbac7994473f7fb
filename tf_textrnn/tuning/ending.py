"""What a tuning leaves: `best.flags`, and the table of its trials and seeds."""

import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

from optuna.trial import TrialState

from tf_textrnn.base import invocation
from tf_textrnn.base.files import atomic_write
from tf_textrnn.base.tables import aligned
from tf_textrnn.base.terminal import show
from tf_textrnn.config import Metric
from tf_textrnn.runs.history import kept_epoch, read_history
from tf_textrnn.tuning.events import measured_names
from tf_textrnn.tuning.process import flags
from tf_textrnn.tuning.repeats import Pair, gain
from tf_textrnn.tuning.search import Search
from tf_textrnn.tuning.shared import FINAL, Tuning
from tf_textrnn.tuning.trials import trial_name, words_of

FLAGS, TABLE = "best.flags", "tune.txt"
_ENDED = {TrialState.COMPLETE: "trained", TrialState.PRUNED: "stopped", TrialState.FAIL: "failed"}


def write_flags(
    path: pathlib.Path, options: Mapping[str, Any], metric: Metric, value: float
) -> None:
    """Writes options for `textrnn train --flagfile`, a line each.

    Args:
      path: the file.
      options: those of the last run.
      metric: by which they were found.
      value: what they have by it.
    """
    lines = [
        f"# Found by textrnn tune: {metric.kind} {value:.4f} on the validation texts.",
        *flags(options),
    ]
    with atomic_write(path) as file:
        file.write("".join(f"{line}\n" for line in lines).encode())


def table(tuning: Tuning, search: Search, pairs: Sequence[Pair], kept: int) -> str:
    """Lines for people: each trial, the best first, and the default and the best by seed.

    Args:
      tuning: whose search is over.
      search: its trials.
      pairs: the default and the best trial on other seeds.
      kept: number of the trial that is trained at the end.
    """
    complete = search.complete_trials()
    others = [trial for trial in search.ended() if trial.state != TrialState.COMPLETE]
    columns = measured_names(tuning.metric)
    rows = [["trial", *columns, "epochs", "seconds", "  ended"]]
    settings = ["settings"]
    for trial in [*complete, *others]:
        history = read_history(tuning.root / trial_name(trial.number))
        kept_line = kept_epoch(history) if history else {}
        measures = [f"{kept_line[name]:.4f}" if history else "-" for name in columns.values()]
        seconds = f"{tuning.times(trial_name(trial.number)).seconds:.0f}"
        number = f"{trial.number}{' *' if trial.number == kept else ''}"
        rows.append([number, *measures, str(len(history)), seconds, _ENDED[trial.state]])
        settings.append(words_of(search.options_of(trial.number)) or "as given")
    lines = [f"{line}  {words}" for line, words in zip(aligned(rows), settings, strict=True)]
    lines += ["", *_verdict(tuning, complete[0].number, pairs, kept)]
    return "".join(f"{line}\n" for line in lines)


def _verdict(tuning: Tuning, best: int, pairs: Sequence[Pair], kept: int) -> list[str]:
    """What is kept, and what other seeds say of it."""
    metric = tuning.metric
    if not best:
        return ["no trial is better than the default, which is kept"]
    name = f"trial {best}"
    found = gain(pairs, metric.sign)
    if found is None:
        return [f"{name} is kept; one seed, as there was no time for others: no gain is claimed"]
    rows = [[f"{metric.kind}, seed", "default", name]]
    rows += [[str(p.seed), f"{p.default:.4f}", f"{p.best:.4f}"] for p in pairs]
    seeds = f"{len(pairs)} other seed{'' if len(pairs) == 1 else 's'}"
    words = f"gain of {name} over the default: {found.mean:+.4f} in the mean of {seeds}"
    if len(pairs) > 1:
        words += f" (95 % interval {found.low:+.4f} to {found.high:+.4f})"
    if kept != best:
        return [*aligned(rows), f"{words}; the default is kept"]
    return [*aligned(rows), words if found.low > 0 else f"{words}; none is claimed"]


def show_end(tuning: Tuning, text: str) -> None:
    """Prints the table, how good the last model is, and how to go on from there."""
    report, final = tuning.report(FINAL), tuning.root / FINAL
    show(
        f"{text}\n{final} ({report['evaluated_on']}): accuracy {report['accuracy']:.4f}, macro F1 "
        f"{report['macro_f1']:.4f}; {tuning.clock.spent / 60:.1f} minutes"
    )
    board = invocation.other_program("tensorboard", "--logdir", str(tuning.root))
    show(f"report: {final / 'report.html'}   flags: {tuning.root / FLAGS}")
    show(f"to see the trials: {board}")
    if tuning.asked.run.export:
        predict = invocation.command_line("predict", f"--model={final}", "your text")
        show(f"to classify text:  {predict}")
