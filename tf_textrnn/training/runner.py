"""A run from its flags to its report."""

import contextlib
import pathlib
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf

from tf_textrnn.base import signals
from tf_textrnn.base.errors import DivergedError, UserError
from tf_textrnn.base.files import read_lines, write_lines
from tf_textrnn.base.terminal import show
from tf_textrnn.config import Config
from tf_textrnn.data import splits
from tf_textrnn.data.sources import Source
from tf_textrnn.data.splits import Data
from tf_textrnn.data.summary import summarize
from tf_textrnn.runs.folder import RunFolder
from tf_textrnn.runs.metric import check_metric
from tf_textrnn.training.distribution import Workers, connect
from tf_textrnn.training.ending import end_run
from tf_textrnn.training.folds import LastTrainer, train_folds
from tf_textrnn.training.initial import Initial, check_initial, read_initial
from tf_textrnn.training.learning_curve import train_shares
from tf_textrnn.training.loop import Trainer
from tf_textrnn.training.resume import (
    advice,
    check_files,
    check_texts,
    how_to_go_on,
    open_run,
    read_end,
    training_to_end,
)
from tf_textrnn.training.side_by_side import train_side_by_side


class Finished(NamedTuple):
    """A run that has ended.

    Attributes:
      folder: where it lives.
      config: its options, all of them settled.
      report: what `report.json` holds.
      export: the exported version's folder; None where nothing was exported.
    """

    folder: RunFolder
    config: Config
    report: dict[str, Any]
    export: pathlib.Path | None


def run(
    given: Mapping[str, Any],
    on_step: Callable[[int], None] | None = None,
    sources: Mapping[str, Source] | None = None,
    sample_weights: np.ndarray | None = None,
    export: Callable[[str], pathlib.Path] | None = None,
) -> Finished | None:
    """Trains, evaluates and reports.

    Args:
      given: the options that the caller named, by name.
      on_step: is called with the number of steps done, after each.
      sources: as in `splits.load`.
      sample_weights: as in `splits.load`.
      export: exports the run in a folder, before the report is drawn; None, or `--noexport`, =
        nothing does.

    Returns:
      What the run came to; None in a worker that is not the chief.

    Raises:
      UserError: a mistake in flags or files, or a file that cannot be written.
      DivergedError: training lost its way.
      PeerLostError: another worker did.
    """
    are_in_files = sources is None
    workers = connect(Config().replace(**given).run)
    with workers.watched():
        config, sources = _shared_config(given, workers, sources)
        folder = RunFolder(config.run.run_dir)
        saved = workers.broadcast(folder.read_labels) if config.run.resume else []

        def load() -> tuple[Data, Initial | None]:
            if config.run.resume:
                check_files(given, config)
            path = config.model.init_from
            initial = read_initial(path) if path else None
            if config.run.resume and workers.is_chief and initial:
                check_initial(folder, initial)
            known = initial.known if initial else None
            return splits.load(config, sources, sample_weights, saved, known), initial

        end = workers.broadcast(lambda: read_end(folder, config)) if config.run.resume else None
        if end:
            if workers.broadcast(lambda: folder.read_config().data != config.data):
                data, _ = workers.in_turn(load)
                workers.broadcast(lambda: check_texts(folder, data))
            workers.wait()
            return _nothing_left(folder, config, *end) if workers.is_chief else None

        train_to_end = training_to_end(config, folder, workers)

        def train(data: Data, initial: Initial | None, summary: dict[str, Any]) -> Finished:
            known = {"data": summary}
            if initial:
                known["init_from"] = initial.measure(data, workers)
            curve = []
            if are_in_files and on_step is None:
                train_side_by_side(config, folder)
            if config.run.learning_curve:
                curve = train_shares(config, data, folder, workers, train_to_end, on_step)
            if data.folds is None:
                trainer = Trainer(config, data, folder, workers, on_step, initial)
            else:
                scored = train_folds(config, data, folder, workers, train_to_end, on_step)
                trainer = LastTrainer(config, data, folder, workers, scored, on_step)
            with contextlib.closing(trainer):
                train_to_end(trainer)
                export_end = export if config.run.export else None
                report, exported = end_run(trainer, config, known, export_end, curve)
            workers.wait()
            return Finished(folder, config, report, exported)

        try:
            finished = _run(given, folder, config, workers, load, train)
        finally:
            if not given.get("run_dir"):
                folder.remove_if_empty()
    return finished if workers.is_chief else None


def _nothing_left(folder: RunFolder, config: Config, report: Any, exported: str) -> Finished:
    why = f"--num_epochs={config.training.num_epochs}, --patience={config.training.patience}"
    if config.data.folds == 1:
        why = (
            "as its first training has chosen; a new run with --folds=0 trains once, and can go on"
        )
    elif config.data.folds:
        why = f"as its folds say, --folds={config.data.folds}"
    show(
        f"run: {folder.path}\nnothing is left to do: it has ended after epoch {report['epochs']} "
        f"({why})"
    )
    return Finished(folder, config, report, pathlib.Path(exported) if exported else None)


def _shared_config(
    given: Mapping[str, Any], workers: Workers, sources: Mapping[str, Source] | None
) -> tuple[Config, Mapping[str, Source] | None]:
    """What `open_run` gives the chief; the other workers read the config from its JSON."""
    if workers.count == 1:
        return open_run(given, workers, sources)

    def open_as_chief() -> str:
        nonlocal sources
        config, sources = open_run(given, workers, sources)
        return config.to_json()

    opened = workers.broadcast(open_as_chief)
    return Config.from_json(opened, "the chief's options"), sources


def _run(
    given: Mapping[str, Any],
    folder: RunFolder,
    config: Config,
    workers: Workers,
    load: Callable[[], tuple[Data, Initial | None]],
    train: Callable[[Data, Initial | None, dict[str, Any]], Finished],
) -> Finished:
    asks_parts = f"--folds={config.data.folds}" if config.data.folds else "--learning_curve"
    if (config.data.folds or config.run.learning_curve) and workers.num_replicas > 1:
        raise UserError(
            f"{asks_parts}: expected one device, found {workers.num_replicas}; "
            f"--strategy=one takes one of this machine's"
        )
    resume = how_to_go_on(given, folder)
    if config.run.resume:
        signals.advise(lambda: advice(given, folder))
    data, initial = workers.in_turn(load)
    check_metric(config.metric, data)
    if data.fingerprint != workers.broadcast(lambda: data.fingerprint):
        raise UserError(
            f"worker {workers.index}: the texts are not the chief's; expected the same files "
            f"at every worker"
        )
    try:
        with contextlib.ExitStack() as held:

            def prepare() -> None:
                held.enter_context(folder.locked())
                _prepare(folder, config, data)

            with signals.deferred():
                workers.broadcast(prepare)
                signals.advise(lambda: advice(given, folder))
            tf.config.experimental.enable_op_determinism()  # earlier, it tokenizes on one core
            summary = {}
            if workers.is_chief:
                summary = _show_start(folder, config, data, workers)
            return train(data, initial, summary)
    except OSError as error:
        raise UserError(
            f"{error.filename or 'the output'}: cannot be written ({error.strerror}); what was "
            f"saved is whole; mend this, then: {resume}"
        ) from error
    except DivergedError as error:
        raise DivergedError(
            f"{error}; the last good checkpoint is kept; go on with a smaller --learning_rate, or "
            f"with --max_grad_norm=1: {resume} --learning_rate="
            f"{config.training.learning_rate / 10:g}"
        ) from error


def _prepare(folder: RunFolder, config: Config, data: Data) -> None:
    """Writes what rebuilds the model; a resumed run must find it as it would be written."""
    folder.remove_leftovers()
    if config.run.resume:
        labels = [label.encode() for label in data.labels]
        if read_lines(folder.vocabulary) != data.vocabulary or read_lines(folder.labels) != labels:
            raise folder.other_texts(config.model.pretrained_embeddings)
    else:
        folder.check_new()  # again: another process may have been faster
        write_lines(folder.vocabulary, data.vocabulary)
        write_lines(folder.labels, [label.encode() for label in data.labels])
        folder.write_config(config)


def _show_start(folder: RunFolder, config: Config, data: Data, workers: Workers) -> dict[str, Any]:
    """Says what the run trains on, and returns what the report keeps of that."""
    summary = summarize(data, config.text)
    show(
        f"{data.train.corpus.source.name}: {len(data.splits['train']):,} training texts, "
        + (
            f"in {config.data.folds} folds"
            if data.is_scored_whole
            else f"{len(data.valid):,} to validate on"
        )
        + (f", {len(data.test):,} to test on" if data.test else "")
        + f"; {len(data.labels)} labels, {len(data.vocabulary):,} token ids"
        + (f"; {workers.num_replicas} replicas" if workers.num_replicas > 1 else "")
        + f"\nrun: {folder.path}",
    )
    for line in summary.lines():
        show(line)
    return summary.values
