"""Finds settings for your texts within so many minutes, and trains with the best.

The first trial has the flags as given; what they leave open is varied. The same command goes on
with a tuning that was stopped.
"""

import contextlib
import dataclasses
import hashlib
import json
import os
import pathlib
import shutil
import time
from collections.abc import Iterator, Mapping
from typing import Any

from tf_textrnn.base import invocation, locks, signals
from tf_textrnn.base.errors import DivergedError, UserError
from tf_textrnn.base.files import atomic_write
from tf_textrnn.base.formats import FORMAT, check_format
from tf_textrnn.base.options import BASIC, CheckedOptions, option, shown
from tf_textrnn.base.terminal import optional, show
from tf_textrnn.config import Config, option_fields
from tf_textrnn.data.sources import standard_input_flag
from tf_textrnn.tuning.clock import Clock

COMMAND, STATE, JOURNAL, LOCK = "tune.json", "state.json", "study.journal", ".lock"


@dataclasses.dataclass(frozen=True)
class TuneOptions(CheckedOptions):
    """How long it takes."""

    minutes: float = option(
        10.0,
        "Minutes of the whole tuning, the last training with the best settings among them",
        above=0,
        maximum=100_000,
        group=BASIC,
    )


def tune(options: TuneOptions, given: Mapping[str, Any]) -> None:
    """Tunes, trains with what was found, and says what came of it.

    Args:
      options: of the command.
      given: the options of a run that the caller named, checked.

    Raises:
      UserError: a mistake in flags or files, a library that is missing, too little time, or a
        folder of another command.
      DivergedError: the default, or the last training, lost its way.
    """
    started = time.monotonic()
    _check(given)
    given = dict(given)
    root = pathlib.Path(given.pop("run_dir", "") or _folder_of(given))
    words = [f"--minutes={options.minutes:g}"]
    words += [f"--{name}={shown(value)}" for name, value in {**given, "run_dir": root}.items()]
    is_new = not (root / COMMAND).exists()
    with _locked(root):
        _check_command(root, given)
        clock = Clock(root / STATE, options.minutes, started)
        signals.advise(lambda: f"to go on: {invocation.command_line('tune', *words)}")
        _write_command(root, given)
        try:
            _tune(root, given, clock)
        except (UserError, DivergedError):
            if is_new and not (root / JOURNAL).exists():
                _remove(root)
            raise
        finally:
            if (root / COMMAND).exists():
                clock.save()


def _check(given: Mapping[str, Any]) -> None:
    """Checks what can be told before anything is made.

    Raises:
      UserError: a flag that tuning does not take, flags that contradict one another, or Optuna is
        missing.
    """
    config = Config().replace(**given).settled()
    if "resume" in given:
        raise UserError(
            "--resume: expected no such flag; the same command goes on with a tuning by itself"
        )
    if given.get("folds", 0) > 0:
        raise UserError(
            f"--folds={given['folds']}: expected --valid_file or a share of the texts, as trials "
            f"are judged after each epoch"
        )
    if given.get("learning_curve"):
        raise UserError(
            "--learning_curve: expected no such flag, as each trial would train on shares too; "
            "give it with best.flags to textrnn train"
        )
    if flag := standard_input_flag(config.data):
        raise UserError(f"--{flag}={given[flag]}: expected a file, as each trial reads it")
    if os.environ.get("TF_CONFIG"):
        raise UserError("TF_CONFIG: expected none, as tuning runs on one machine")
    try:
        import optuna  # noqa: F401
    except ImportError as error:
        raise UserError("optuna is not installed; pip install 'tf_textrnn[tune]'") from error
    from tf_textrnn.tuning.space import VARIED, settled_names

    if set(VARIED) <= settled_names(given):
        raise UserError(
            f"{', '.join(f'--{name}' for name in VARIED)}: all that tuning varies is given; "
            f"expected at least one of them to be left out"
        )


def _tune(root: pathlib.Path, given: Mapping[str, Any], clock: Clock) -> None:
    from tf_textrnn.tuning import ending, events, repeats
    from tf_textrnn.tuning.progress import Bar
    from tf_textrnn.tuning.search import Search
    from tf_textrnn.tuning.shared import FINAL, Tuning
    from tf_textrnn.tuning.trials import Trials, open_space, train_default

    bar = Bar(clock.total, clock.spent)
    tuning = Tuning(root, given, clock, bar)
    table = root / ending.TABLE
    if table.exists():
        show(f"nothing is left to do: the tuning in {root} has ended")
        ending.show_end(tuning, table.read_text(encoding="utf-8"))
        return
    with bar.shown():
        side = "one trial" if tuning.slots == 1 else f"{tuning.slots} trials"
        minutes = f"{clock.total / 60:g} minute{'' if clock.total == 60 else 's'}"
        bar.tell(f"tuning for {minutes}, {side} at a time: {root}")
        train_default(tuning)
        space, metric = open_space(tuning), tuning.metric
        search = Search(root / JOURNAL, space, metric.sign > 0, tuning.asked.training.seed)
        trials = Trials(tuning, search)
        with optional("what TensorBoard shows of the tuning"):
            events.write_settings(root, space.distributions, metric)
        if clock.chosen is None:
            trials.run()
            clock.chosen = trials.best.number
            clock.save()
        options = search.options_of(clock.chosen)
        if clock.kept is None:
            pairs = repeats.repeat(tuning, trials.plan, options)
            found = repeats.gain(pairs, metric.sign)
            clock.kept = 0 if found and found.mean < 0 else clock.chosen
            clock.save()
        final_options = {**given, **(options if clock.kept else {}), **trials.last_options}
        ending.write_flags(root / ending.FLAGS, final_options, metric, trials.value_of(clock.kept))
        (final,) = tuning.run([(FINAL, final_options)])
        if final.status:
            raise final.error()
        with optional("what TensorBoard shows of the tuning"):
            for run in [*root.glob("trials/*"), *root.glob("repeats/*"), root / FINAL]:
                events.write_values(run, metric)
    text = ending.table(tuning, search, repeats.pairs_of(tuning), clock.kept)
    with atomic_write(table) as file:
        file.write(text.encode())
    ending.show_end(tuning, text)


def _folder_of(given: Mapping[str, Any]) -> str:
    """The folder of a command without --run_dir, which is the same when it is given again."""
    digest = hashlib.sha256(json.dumps(given, sort_keys=True).encode()).hexdigest()
    return str(pathlib.Path("runs") / f"tune-{digest[:8]}")


@contextlib.contextmanager
def _locked(root: pathlib.Path) -> Iterator[None]:
    """Makes the folder, and keeps other tunings from it meanwhile.

    Raises:
      UserError: another process holds it, or it cannot be written or locked.
    """
    if (root / "config.json").exists():
        raise UserError(f"--run_dir={root} already holds a run; expected a new folder")
    for name in ("trials", "repeats", "final"):
        if (root / name).exists() and not (root / COMMAND).exists():
            raise UserError(f"--run_dir={root} already holds {name}; expected a new folder")
    made = [path for path in (root, *root.parents) if not path.exists()]
    try:
        root.mkdir(parents=True, exist_ok=True)
        lock = locks.take(root / LOCK, wait=False)
    except BlockingIOError as error:
        raise UserError(
            f"--run_dir={root}: another process tunes there; expected one at a time"
        ) from error
    except OSError as error:
        raise UserError(f"--run_dir={root}: cannot be written ({error.strerror})") from error
    try:
        with lock:
            yield
    finally:
        if not (root / COMMAND).exists():
            (root / LOCK).unlink(missing_ok=True)
            for path in made:
                with contextlib.suppress(OSError):  # somebody else's file is there
                    path.rmdir()


def _check_command(root: pathlib.Path, given: Mapping[str, Any]) -> None:
    """Checks that a folder with a tuning has one of the same command; --minutes may be others.

    Raises:
      UserError: it does not, or its file is damaged.
    """
    path = root / COMMAND
    if not path.exists():
        return
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        check_format(str(path), content["format"])
        saved = dict(content["given"])
    except UserError:
        raise
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UserError(f"{path}: damaged ({error!r:.100}); expected a new folder") from error
    for name in option_fields():
        if given.get(name) != saved.get(name):
            now, then = (
                f"--{name}={shown(options[name])}" if name in options else f"no --{name}"
                for options in (given, saved)
            )
            raise UserError(
                f"{now}: the tuning in --run_dir={root} has {then}; expected the same command, or "
                f"a new folder"
            )


def _write_command(root: pathlib.Path, given: Mapping[str, Any]) -> None:
    with atomic_write(root / COMMAND) as file:
        file.write(json.dumps({"format": FORMAT, "given": given}, indent=1).encode() + b"\n")


def _remove(root: pathlib.Path) -> None:
    """Removes what a tuning of which nothing came has made."""
    shutil.rmtree(root / "trials", ignore_errors=True)
    for name in (COMMAND, STATE):
        (root / name).unlink(missing_ok=True)
