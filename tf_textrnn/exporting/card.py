"""What lies beside a served model, in `assets.extra`: the model card and warm-up requests."""

import datetime
import json
import pathlib
import platform
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from tf_textrnn.base import invocation
from tf_textrnn.base.files import atomic_write
from tf_textrnn.config import Config, option_fields
from tf_textrnn.exporting.warm_up import warm_up_requests
from tf_textrnn.runs.folder import RunFolder, read_report
from tf_textrnn.runs.loaded import LoadedRun

NOT_OF_THE_MODEL = (
    "run_dir", "resume", "cache_dir", "checkpoint_minutes", "export", "export_format",
    "join_minutes", "step_seconds",
)  # fmt: skip
OF_OTHERS = "models that had not learned these texts; this one has learned all of them"


def write(folder: pathlib.Path, run_folder: RunFolder, run: LoadedRun) -> None:
    """Writes the model card, the warm-up requests and, where they are numbers, the labels.

    Args:
      folder: `assets.extra` of the SavedModel; made here.
      run_folder: of the run.
      run: what was exported.
    """
    folder.mkdir()
    write_card(folder, run_folder, run)
    if run.values:
        (folder / "classes.json").write_text(json.dumps(run.values), "utf-8")
    with tf.io.TFRecordWriter(str(folder / "tf_serving_warmup_requests")) as writer:
        for request in warm_up_requests(run.config.model.embedding_dim):
            writer.write(request)


def write_card(folder: pathlib.Path, run_folder: RunFolder, run: LoadedRun) -> None:
    """Writes the model card, for programs and for people; arguments as of `write`."""
    card = model_card(run_folder, run)
    with atomic_write(folder / "model_card.json") as file:
        file.write(json.dumps(card, indent=2, ensure_ascii=False).encode() + b"\n")
    with atomic_write(folder / "model_card.md") as file:
        file.write(card_text(card).encode())


def model_card(folder: RunFolder, run: LoadedRun) -> dict[str, Any]:
    """What is known of a model, as `model_card.json` holds it; `docs/formats.md` has the keys."""
    report = _report_of(folder, run.best)
    data = run.config.data
    scored_by = "valid_scored_by" if report.get("evaluated_on") == "test" else "scored_by"
    return {
        "multi_label": run.config.has_label_sets,
        "data": {
            "dataset": data.dataset,
            **{name: getattr(data, name) for name in ("train_file", "valid_file", "test_file")},
            "texts": report.get("texts"),
        },
        "sizes": {
            "parameters": run.model.num_parameters,
            "token_ids": len(run.vocabulary),
            "labels": len(run.labels),
            "max_len": run.config.text.max_len,
        },
        "metrics": {
            name: report[name]
            for name in (
                "best_epoch",
                "valid_accuracy",
                "evaluated_on",
                "accuracy",
                "macro_f1",
                "micro_f1",
                "average_precision",
                "coverage",
                "precision",
                "test_accuracy",
                "test_macro_f1",
            )
            if name in report
        }
        | ({scored_by: OF_OTHERS} if report and data.folds > 0 else {}),
        "per_class": report.get("per_class"),
        "versions": {
            "tensorflow": tf.__version__,
            "keras": keras.__version__,
            "numpy": np.__version__,
            "python": platform.python_version(),
        },
        "exported": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        **_origin(run),
    }


def _report_of(folder: RunFolder, best: dict[str, Any]) -> dict[str, Any]:
    """The run's report; {} where there is none, a damaged one, or one of other weights.

    A resumed run that is still training holds the report of its first end.
    """
    report = read_report(folder)
    is_of_these = "epoch" in best and (report.get("best_epoch"), report.get("valid_accuracy")) == (
        best["epoch"] + 1,
        best["valid_accuracy"],
    )
    return report if is_of_these else {}


def _origin(run: LoadedRun) -> dict[str, str]:
    """How to train the model again, or what it was imported from."""
    if "imported_from" in run.best:
        return {"imported_from": run.best["imported_from"]}
    return {"train_again": invocation.command_line("train", *training_flags(run.config))}


def training_flags(config: Config) -> list[str]:
    """The flags that train this model again: every option of it that is not its default."""
    flags = []
    options = config.options()
    for name, field in option_fields().items():
        value = options[name]
        if name in NOT_OF_THE_MODEL or value == field.default:
            continue
        if isinstance(value, bool):
            flags.append(f"--{name}" if value else f"--no{name}")
        else:
            flags.append(f"--{name}={value}")
    return flags


def card_text(card: dict[str, Any]) -> str:
    """The card for people, in Markdown."""
    kind = "A text has any number of labels." if card["multi_label"] else "A text has one label."
    lines = ["# Model card", "", f"Exported {card['exported']}. {kind}", "", "| | |", "|---|---|"]
    for section in ("data", "sizes", "metrics", "versions"):
        for name, value in card[section].items():
            if isinstance(value, dict):
                value = ", ".join(f"{key} {count:,}" for key, count in value.items())
            if value not in ("", None):
                shown = f"{value:.4f}" if isinstance(value, float) else value
                lines.append(f"| {name.replace('_', ' ')} | {_cell(shown)} |")
    if card["per_class"]:
        lines += ["", "| label | precision | recall | F1 | texts |", "|---|---|---|---|---|"]
        for label, row in card["per_class"].items():
            lines.append(
                f"| {_cell(label)} | {row['precision']:.3f} | {row['recall']:.3f} "
                f"| {row['f1']:.3f} | {row['support']} |"
            )
    if "train_again" in card:
        lines += ["", "To train it again:", "", f"    {card['train_again']}", ""]
    else:
        lines += ["", f"Imported from {_cell(card['imported_from'])}.", ""]
    return "\n".join(lines)


def _cell(value: Any) -> str:
    return str(value).replace("|", "\\|")
