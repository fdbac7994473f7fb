"""The command line: what each command does, and the status that it ends with.

`textrnn …`, `python -m tf_textrnn.cli …`; in a checkout `python train.py` is `textrnn train`.
A command's modules load when it runs: help and mistakes in flags answer at once.
"""

import dataclasses
import difflib
import sys
from collections.abc import Callable, Mapping, Sequence
from types import ModuleType
from typing import Any, NamedTuple, TypeVar

from tf_textrnn.base import invocation, signals
from tf_textrnn.base.errors import UserError
from tf_textrnn.base.exits import end_with, status_of
from tf_textrnn.base.options import CheckedOptions
from tf_textrnn.base.startup import load_tensorflow
from tf_textrnn.base.terminal import show
from tf_textrnn.base.version import __version__

Options = TypeVar("Options", bound=CheckedOptions)


def main(*command: str) -> None:
    """Runs the command that the command line names, and ends the process with its status.

    Args:
      command: words of the command that the program has for its own, before the command line's.
    """
    invocation.record(" ".join(command))
    end_with(lambda: _run([*command, *sys.argv[1:]]))


def run(arguments: Sequence[str]) -> int:
    """Runs a command.

    Args:
      arguments: the command's words, its flags and texts.

    Returns:
      The exit status, as of `status_of`.
    """
    return status_of(lambda: _run(list(arguments)))


def _run(arguments: list[str]) -> None:
    from tf_textrnn.base.flags import HelpRequested

    try:
        _run_command(arguments)
    except HelpRequested as page:
        print(page)


def _run_command(arguments: list[str]) -> None:
    from tf_textrnn.base.flags import HelpRequested

    if not arguments or arguments[0] in ("--help", "-h", "--helpfull"):
        raise HelpRequested(_overview())
    if arguments[0] == "--version":
        print(f"tf_textrnn {__version__}")
        return
    for words in (2, 1):
        if (name := " ".join(arguments[:words])) in COMMANDS:
            COMMANDS[name].run(arguments[words:])
            return
    given = arguments[0]
    near = difflib.get_close_matches(given, COMMANDS, n=1, cutoff=0.4)
    raise UserError(
        f"{given!r} is not a command"
        + (f"; did you mean {near[0]}?" if near else "")
        + f" (expected one of {', '.join(COMMANDS)})"
    )


def _overview() -> str:
    width = max(map(len, COMMANDS))
    lines = [
        f"usage: {invocation.command_line('COMMAND')} [--flag=value …]",
        "",
        "Text classification with recurrent networks.",
        "",
        *(f"  {name:<{width}}  {command.summary}" for name, command in COMMANDS.items()),
        "",
        f"`{invocation.command_line('COMMAND')} --help` shows a command's flags, `--version` the "
        f"version.",
    ]
    return "\n".join(lines)


def train_options(arguments: Sequence[str]) -> dict[str, Any]:
    """The options of a run that a command line gives, by name, checked.

    Raises:
      HelpRequested: it asks for help.
      UserError: a mistake in flags.
    """
    from tf_textrnn.base import flags
    from tf_textrnn.config import check_options

    page = flags.Page("train", f"{COMMANDS['train'].summary}.", _run_sections())
    given, _ = flags.parse(arguments, page)
    return check_options(given)


def _run_sections() -> tuple[type[CheckedOptions], ...]:
    """The options of a run."""
    from tf_textrnn.config import Config

    return tuple(section.default_factory for section in dataclasses.fields(Config))  # type: ignore[misc]


def train(options: Mapping[str, Any]) -> None:
    """Trains, reports, exports, and says how to go on from there.

    Args:
      options: those that the caller named, by name.
    """
    from tf_textrnn.api import train_on
    from tf_textrnn.runs.next_steps import next_steps

    signals.advise(lambda: "nothing is trained yet; start again")
    run = train_on(options)
    if run is None:  # the chief reports and exports
        return
    page = run.page if run.page.exists() else run.path / "report.txt"
    show(f"report: {page}   confusion matrix: {run.path / 'confusion_matrix.png'}")
    for purpose, command in next_steps(run.path, run.export):
        show(f"{purpose + ':':<17} {command}")


def _train(arguments: list[str]) -> None:
    train(train_options(arguments))


def _parsed(
    arguments: list[str], command: str, module: ModuleType, options: type[Options], takes: str = ""
) -> tuple[Options, list[str]]:
    """A command's options and what of its line is no flag; its module's docstring is its help."""
    from tf_textrnn.base import flags

    page = flags.Page(command, module.__doc__ or "", (options,), takes)
    given, rest = flags.parse(arguments, page)
    return options(**given), rest


def _tune(arguments: list[str]) -> None:
    from tf_textrnn.base import flags
    from tf_textrnn.config import check_options
    from tf_textrnn.tuning import tune

    page = flags.Page("tune", tune.__doc__ or "", (tune.TuneOptions, *_run_sections()))
    given, _ = flags.parse(arguments, page)
    own = {name: given.pop(name) for name in ("minutes",) if name in given}
    tune.tune(tune.TuneOptions(**own), check_options(given))


def _predict(arguments: list[str]) -> None:
    from tf_textrnn.predicting import predict

    predict.predict(*_parsed(arguments, "predict", predict, predict.PredictOptions, "[TEXT …]"))


def _check(arguments: list[str]) -> None:
    from tf_textrnn.base import flags
    from tf_textrnn.config import Config, check_options
    from tf_textrnn.data import check

    page = flags.Page("check", check.__doc__ or "", check.SECTIONS)
    given, _ = flags.parse(arguments, page)
    is_deep = given.pop("deep", False)
    if is_deep and given.get("valid_file"):
        raise UserError(
            f"--deep and --valid_file={given['valid_file']}: expected one of the two, as --deep "
            f"validates in folds"
        )
    if is_deep and given.setdefault("folds", check.DEEP_FOLDS) < 2:
        raise UserError(
            f"--deep and --folds={given['folds']}: expected at least 2 folds, or no --folds"
        )
    settled = check.check(Config().replace(**given))
    if is_deep:
        if settled.has_label_sets:
            raise UserError("--deep: expected texts with one label each, found sets of labels")
        train(check_options({**given, "export": False}))


def _export(arguments: list[str]) -> None:
    from tf_textrnn.exporting import formats

    options, _ = _parsed(arguments, "export", formats, formats.ExportOptions)
    formats.check_installed(options.export_format)
    load_tensorflow()
    is_int8 = options.quantize == "int8"
    for path in formats.export_run(
        options.run_dir, options.export_format, is_int8, options.max_megabytes
    ):
        print(path)


def _ask(arguments: list[str]) -> None:
    from tf_textrnn.predictor.clients import ask

    takes = f"{'|'.join(ask.CALLS)} [TEXT …]"
    ask.ask(*_parsed(arguments, "ask", ask, ask.AskOptions, takes))


def _serve(arguments: list[str]) -> None:
    from tf_textrnn.predictor.server import serve
    from tf_textrnn.predictor.server.options import ServeOptions

    serve.serve(_parsed(arguments, "serve", serve, ServeOptions)[0])


def _compare(arguments: list[str]) -> None:
    from tf_textrnn.runs import compare

    compare.compare(*_parsed(arguments, "compare", compare, compare.CompareOptions, "RUN RUN"))


def _import_tf1(arguments: list[str]) -> None:
    from tf_textrnn.study import tf1_import

    options, _ = _parsed(arguments, "import-tf1", tf1_import, tf1_import.ImportOptions)
    load_tensorflow()
    tf1_import.import_checkpoint(options)


def _study_gradients(arguments: list[str]) -> None:
    from tf_textrnn.study import gradient_flow, sections

    options, _ = _parsed(arguments, "study gradients", gradient_flow, gradient_flow.FlowOptions)
    load_tensorflow()
    if options.run_dir or options.output:
        gradient_flow.study(options)
    else:
        sections.study(options, ["gradients"])


def _study(arguments: list[str]) -> None:
    from tf_textrnn.study import sections
    from tf_textrnn.study.output import StudyOptions

    options, names = _parsed(arguments, "study", sections, StudyOptions, "[SECTION …]")
    sections.check_names(names)
    load_tensorflow()
    sections.study(options, names)


class Command(NamedTuple):
    """A command: one line that says what it does, and what runs it with the rest of the line."""

    summary: str
    run: Callable[[list[str]], None]


COMMANDS = {
    "train": Command(
        "Trains a text classifier on labeled texts and reports how good it is", _train
    ),
    "check": Command(
        "Says how labeled files are read and what stands out in them, without training", _check
    ),
    "predict": Command(
        "Classifies texts, or scores a labeled file, with a trained model", _predict
    ),
    "export": Command(
        "Writes a run's best model as a SavedModel for TF Serving, or for ONNX Runtime", _export
    ),
    "serve": Command("Serves a trained model over HTTP, as TF Serving does and for people", _serve),
    "ask": Command("Asks a model that serve or TF Serving serves", _ask),
    "tune": Command("Finds settings for your texts in a given time, and trains with them", _tune),
    "compare": Command("Says whether one of two runs is better, on the same texts", _compare),
    "import-tf1": Command("Makes a run of a checkpoint of the TF1 model", _import_tf1),
    "study gradients": Command(
        "Measures how gradients vanish or explode in time", _study_gradients
    ),
    "study": Command(
        "Runs small experiments for the sections of the article, and draws them", _study
    ),
}


if __name__ == "__main__":
    main()
