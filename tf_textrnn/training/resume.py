"""What a run begins with: a new folder, one to go on with, or one that has come to its end."""

import json
import pathlib
from collections.abc import Callable, Mapping
from typing import Any

from tf_textrnn.base import invocation
from tf_textrnn.base.errors import UserError
from tf_textrnn.config import Config
from tf_textrnn.data.embeddings import vector_size
from tf_textrnn.data.settling import settle
from tf_textrnn.data.sources import Source, is_there
from tf_textrnn.data.splits import Data
from tf_textrnn.predictor.runtime import card_file, newest_version
from tf_textrnn.runs import checkpoints
from tf_textrnn.runs.best import read_best
from tf_textrnn.runs.folder import RunFolder, new_run_dir, read_report, trained_run
from tf_textrnn.runs.history import is_trained, kept_epoch, read_history
from tf_textrnn.training.distribution import Workers
from tf_textrnn.training.initial import warn_of_same_texts
from tf_textrnn.training.loop import Trainer
from tf_textrnn.training.saved_state import SavedState


def training_to_end(
    config: Config, folder: RunFolder, workers: Workers
) -> Callable[[Trainer], None]:
    """What restores a trainer of a run, or of a part of it, and trains to the end.

    Args:
      config: of the run.
      folder: of the run.
      workers: all that train together.
    """

    def train(trainer: Trainer) -> None:
        trainer.restore()
        if config.run.resume:  # nothing refuses the new options any more
            workers.broadcast(lambda: folder.write_config(config))
        trainer.train()

    return train


def open_run(
    given: Mapping[str, Any], workers: Workers, sources: Mapping[str, Source] | None
) -> tuple[Config, Mapping[str, Source] | None]:
    """The run's config, its folder named; a resumed run keeps the options that it began with.

    Args:
      given: the options that the caller named, by name.
      workers: all that train together. Where they are several, which schedulers restart by the same
        command, `--resume=auto` is the default with a `--run_dir`.
      sources: as in `splits.load`.

    Returns:
      The config, and the sources where they had to be opened to make it, else as they were given.

    Raises:
      UserError: the folder does not hold what `--resume` says, the options are of another run, or
        the first training texts have a mistake.
    """
    run_dir = given.get("run_dir", "")
    resume = given.get("resume", "auto" if workers.count > 1 and run_dir else False)
    if resume and not run_dir:
        raise UserError("--resume: expected --run_dir, the folder of the run to go on with")
    if resume == "auto":
        resume = RunFolder(run_dir).config.exists()
    given = {**given, "resume": resume}
    if not resume:
        asked = Config().replace(**given)
        if asked.data.folds < 0 and workers.num_replicas > 1:
            asked = asked.replace(folds=0)  # folds train on one device
        if path := asked.model.pretrained_embeddings:
            asked = asked.with_vectors(given, vector_size(path))
        if path := asked.model.init_from:
            old = trained_run(path).read_config().settled()
            asked = asked.with_model_of(given, old)
        asked.settled()  # flags that contradict one another come before the folder
        if run_dir:
            RunFolder(run_dir).check_new()
        are_in_files = sources is None
        config, sources = settle(asked, sources)
        if config.model.init_from and are_in_files:
            warn_of_same_texts(config, old)
        return config.replace(run_dir=run_dir or new_run_dir()), sources
    saved = RunFolder(run_dir).read_config(is_resumed=True)
    saved.check_resume(given)
    if given.get("valid_file") and not saved.data.valid_file:
        raise UserError(
            f"--valid_file={given['valid_file']}: the run to resume began without one; expected "
            f"none, or a new run"
        )
    # The cache is this machine's matter: a run folder from elsewhere must not say where to write.
    config = saved.replace(**{"cache_dir": "", **given}).settled(
        saved.text.tokenizer, saved.has_label_sets, saved.data.folds
    )
    return config, sources


def check_files(given: Mapping[str, Any], config: Config) -> None:
    """Checks that the files are there which a run began with and the caller did not name anew.

    Raises:
      UserError: one is not; the message names its flag.
    """
    for flag in ("train_file", "valid_file", "test_file"):
        path = getattr(config.data, flag)
        if path and flag not in given and not is_there(path):
            raise UserError(
                f"--{flag}={path}: the run began with this file, which is not there now; expected "
                f"--{flag} with its new path"
            )


def check_texts(folder: RunFolder, data: Data) -> None:
    """Checks that a run that has ended is one over these texts.

    Raises:
      UserError: it is not.
    """
    checkpoint = checkpoints.newest(folder.checkpoints)
    if checkpoint and SavedState.parse(checkpoint).data != data.fingerprint:
        raise folder.other_texts()


def read_end(folder: RunFolder, config: Config) -> tuple[dict[str, Any], str] | None:
    """What a run has ended with that has nothing left to do.

    Args:
      folder: of a run to go on with.
      config: what it is to go on with.

    Returns:
      What `report.json` holds, and the export's folder, of two the SavedModel's, "" with
      `--noexport`. None where epochs are left to train, or one of the last files is missing,
      damaged or of an earlier end.
    """
    if not folder.report_text.exists():  # the last file of an end
        return None
    try:
        report = read_report(folder)
        history = read_history(folder.path)
        folds = config.data.folds
        best = history[-1] if folds else kept_epoch(history)
        kept = read_best(folder).state
        ends = {(each["epoch"] + 1, each["valid_accuracy"]) for each in (best, kept)}
        ends.add((report["best_epoch"], report["valid_accuracy"]))
        cards = _newest_cards(folder, config) if config.run.export else {}
        for card in cards.values():
            exported = _read_json(card)["metrics"]
            ends.add((exported["best_epoch"], exported["valid_accuracy"]))
        is_whole = len(ends) == 1 and report["epochs"] == len(history)
        is_over = folds or is_trained(history, config.training)
    except (OSError, ValueError, KeyError, TypeError, IndexError, RecursionError):
        return None
    return (report, next(iter(cards), "")) if is_whole and is_over else None


def _newest_cards(folder: RunFolder, config: Config) -> dict[str, pathlib.Path]:
    """The model card of each kind of export that a run asks for, by the version's folder.

    Raises:
      FileNotFoundError: there is no export of a kind.
    """
    cards = {}
    for kind, parent in (("savedmodel", folder.export), ("onnx", folder.export_onnx)):
        if config.run.export_format in (kind, "both"):
            version = newest_version(parent)
            if version is None:
                raise FileNotFoundError(parent)
            cards[str(version)] = card_file(version)
    return cards


def how_to_go_on(given: Mapping[str, Any], folder: RunFolder) -> str:
    """The command that goes on with a run, for whoever reads why it has stopped."""
    cache = [f"--cache_dir={given['cache_dir']}"] if "cache_dir" in given else []
    return invocation.command_line("train", "--resume", f"--run_dir={folder.path}", *cache)


def advice(given: Mapping[str, Any], folder: RunFolder) -> str:
    """What to do with a run that a signal ends: how to go on, and how to export what there is."""
    words = f"to go on: {how_to_go_on(given, folder)}"
    if checkpoints.own_files(folder.best):
        export = invocation.command_line("export", f"--run_dir={folder.path}")
        words += f"; to export the best epoch so far: {export}"
    return words


def _read_json(path: pathlib.Path) -> Any:
    return json.loads(path.read_text(encoding="utf-8"))
