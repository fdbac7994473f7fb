"""The end of a run: evaluates its best model; then writes numbers, export, texts and pictures."""

import dataclasses
import pathlib
import statistics
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from tf_textrnn.base import terminal
from tf_textrnn.base.errors import UserError
from tf_textrnn.config import Config
from tf_textrnn.network.gradient_flow import measure_longest
from tf_textrnn.runs import checkpoints, report
from tf_textrnn.runs.answered import AnsweredLabels, answered
from tf_textrnn.runs.best import Named, read_named_best
from tf_textrnn.runs.curve import CurvePoint, curve_point
from tf_textrnn.runs.folder import RunFolder
from tf_textrnn.runs.marks import Mark, directions_of_mistakes, mark_words
from tf_textrnn.runs.next_steps import next_steps
from tf_textrnn.runs.page.page import MISTAKES_SHOWN, Contents, write_page
from tf_textrnn.runs.plots import f1_figure, gradient_flow_figure
from tf_textrnn.runs.summaries import MOST_CURVES
from tf_textrnn.runs.suspicious import Suspicious, suspicious_texts, write_suspicious
from tf_textrnn.runs.words import strongest_words
from tf_textrnn.training.loop import Trainer
from tf_textrnn.training.validation import measure_branches


def end_run(
    trainer: Trainer,
    config: Config,
    known: dict[str, Any],
    export: Callable[[str], pathlib.Path] | None = None,
    curve: Sequence[CurvePoint] = (),
) -> tuple[dict[str, Any], pathlib.Path | None]:
    """Reports on the best weights of a run, and exports them.

    Args:
      trainer: has trained to the end.
      config: of the run.
      known: what the report keeps of the time before training, by its name there.
      export: makes the next version of what a folder's run exports; None = nothing does.
      curve: the learning curve up to the model of all texts; empty = none was asked for.

    Returns:
      What `report.json` holds, and the export; {} and None at a worker that is not the chief.

    Raises:
      UserError: there are no best weights.
    """
    data, folder, workers = trainer.data, trainer.folder, trainer.workers
    best = workers.broadcast(lambda: _read_best(trainer))
    trainer.replicas.share()
    history, temperature = trainer.progress.history, best["temperature"]
    rates = [epoch["examples_per_second"] for epoch in history[1:] or history]
    split = data.test or data.valid
    scores = trainer.scorer.score(data.test) if data.test else trainer.valid_scores()
    branches = trainer.valid_branches()
    if not workers.is_chief:
        return {}, None
    learned = {
        "valid_loss": best["valid_loss"],
        "valid_accuracy": best["valid_accuracy"],
        **{name: best[name] for name in ("valid_coverage",) if name in best},
        "best_epoch": best["epoch"] + 1,
        "epochs": len(history),
        "train_examples_per_second": statistics.median(rates),
        "parameters": trainer.model.num_parameters,
        **measure_branches(branches, data.valid, config.threshold_rule),
    }
    answers = answered(split, scores, temperature, data.all_labels, best.get("thresholds"))
    if curve:
        of_all = curve_point(len(data.train), best["valid_accuracy"], len(data.valid))
        curve = [*curve, of_all]
        learned["learning_curve"] = [point._asdict() for point in curve]
    folder.report_text.unlink(missing_ok=True)  # it comes last, and marks the end
    folder.report_page.unlink(missing_ok=True)
    try:
        values = report.report_values(config, data, answers, temperature, learned, known)
        report.write_values(folder, values)
    except Exception:  # whatever it is, a trained model is worth more
        if export:
            export(str(folder.path))
        raise
    exported = export(str(folder.path)) if export else None
    ngrams = trainer.model.ngrams
    branch_scorers = (
        trainer.scorer.score_network,
        (lambda token_ids: ngrams.token_shares(token_ids).numpy()) if ngrams else None,
    )
    with terminal.optional("the words that speak for each label"):
        words = strongest_words(split, data.vocabulary, data.labels, *branch_scorers)
        report.write_values(folder, values | {"words": words})
        values["words"] = words
    suspicious: list[Suspicious] = []
    if data.is_scored_whole and not data.valid.set_size:
        with terminal.optional(str(folder.suspicious)):
            of_folds = AnsweredLabels(data.valid, trainer.valid_scores(), temperature, data.labels)
            suspicious = suspicious_texts(of_folds, *branch_scorers)
            write_suspicious(folder, suspicious)
            values["suspicious_labels"] = len(suspicious)
            report.write_values(folder, values)
    mistakes: list[report.Mistake] = []
    with terminal.optional(str(folder.mistakes)):
        mistakes = report.worst_mistakes(answers)
    report.write_predictions(folder, answers)
    figures = report.draw_report(folder, answers, curve)
    with terminal.optional("the picture of the gradient flow"):
        if flows := measure_longest(trainer.model, data.valid):
            figures["gradient_flow"] = gradient_flow_figure(flows)
    with terminal.optional("the picture of each label's F1"):
        if len(data.labels) > MOST_CURVES:
            measured = [metrics for metrics in trainer.shown_history if metrics.get("valid_f1")]
            if measured:
                epochs = [metrics["epoch"] + 1 for metrics in measured]
                f1 = np.array([metrics["valid_f1"] for metrics in measured])
                figures["f1_of_each_label"] = f1_figure(epochs, f1, data.labels)
    with terminal.optional(str(folder.tensorboard)):
        table = [dataclasses.astuple(mistake) for mistake in mistakes]
        trainer.summaries.report(trainer.replicas.steps, values, figures, table, data.vocabulary)
    with terminal.optional(str(folder.report_page)):
        shown = slice(MISTAKES_SHOWN)
        texts = report.worst_texts(answers)[shown]
        quotes = split.corpus.quotes.of(split.rows[texts].tolist())
        marks: list[list[Mark]] = [[] for _ in quotes]
        if data.test or data.folds is None:  # else models that are gone have made these mistakes
            with terminal.optional("the marked words of mistakes"):
                towards = directions_of_mistakes(answers, texts)
                marks = mark_words(answers, texts, quotes, towards, *branch_scorers)
        steps = next_steps(folder.path, exported)
        contents = Contents(
            values,
            trainer.shown_history,
            answers,
            mistakes[shown],
            quotes,
            marks,
            steps,
            suspicious,
        )
        write_page(folder, contents)
    report.show_report(folder, values, mistakes, suspicious)
    return values, exported


def _read_best(trainer: Trainer) -> dict[str, Any]:
    """Gives the model the weights of the best epoch, and returns the metrics of that epoch."""
    best = read_best_epoch(trainer.folder, trainer.best)
    weights = {name: weight.value for name, weight in trainer.model.saved_weights().items()}
    checkpoints.assign(best.path, best.arrays, weights)
    return best.state


def read_best_epoch(folder: RunFolder, named: Named | None) -> checkpoints.Checkpoint:
    """What a training has kept of its best epoch, and as its state the metrics of that epoch.

    Raises:
      UserError: there is no such epoch, or the file is missing, damaged or of another training.
    """
    if named is None:
        raise UserError(f"{folder.best}: holds no weights; expected at least one epoch")
    return read_named_best(folder, named, folder.checkpoints)
