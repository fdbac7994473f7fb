"""A run's folder: its files and its report."""

import contextlib
import itertools
import json
import pathlib
import tempfile
import time
from collections.abc import Iterator
from typing import Any

from tf_textrnn.base import locks
from tf_textrnn.base.errors import UserError
from tf_textrnn.base.files import atomic_write, fsync_folder, read_lines, written_name
from tf_textrnn.base.tables import can_be_label
from tf_textrnn.base.terminal import warn
from tf_textrnn.config import Config
from tf_textrnn.runs import checkpoints

WORDS = "words.tsv"  # those of TensorBoard's projector


class RunFolder:
    """The paths of a run; `docs/formats.md` describes the files.

    Raises:
      UserError: the path is empty; `pathlib` would take it for the folder of this process.
    """

    def __init__(self, path: str):
        if not path:
            raise UserError("--run_dir: expected a folder, found nothing")
        self.path = pathlib.Path(path)
        self.config = self.path / "config.json"
        self.vocabulary = self.path / "vocabulary.txt"
        self.labels = self.path / "labels.txt"
        self.classes = self.path / "classes.json"  # labels that are numbers, of a TextClassifier
        self.checkpoints = self.path / "checkpoints"
        self.best = self.path / "best"
        self.tensorboard = self.path / "tensorboard"
        self.metrics = self.path / "metrics.jsonl"
        self.report_json = self.path / "report.json"
        self.report_text = self.path / "report.txt"
        self.report_page = self.path / "report.html"
        self.confusion_matrix = self.path / "confusion_matrix.png"
        self.reliability = self.path / "reliability.png"
        self.risk_coverage = self.path / "risk_coverage.png"
        self.mistakes = self.path / "mistakes.tsv"
        self.predictions = self.path / "predictions.tsv"
        self.suspicious = self.path / "suspicious.tsv"  # of folds
        self.export = self.path / "export"
        self.export_onnx = self.path / "export_onnx"
        self.learning_curve = self.path / "learning_curve.png"
        self.shares = self.path / "shares"  # of the learning curve
        self.folds = self.path / "folds"
        self.scores = self.path / "scores.npz"  # of a fold that has ended
        self.lock = self.path / ".lock"

    def check_new(self) -> None:
        """Checks that a new run can be made here, and leaves nothing behind.

        Raises:
          UserError: the folder cannot be written, or already holds a run.
        """
        if self.config.exists():
            raise UserError(
                f"--run_dir={self.path} already holds a run; expected a new folder, or --resume"
            )
        existing = next(
            path for path in [self.path, *self.path.absolute().parents] if path.exists()
        )
        try:
            with tempfile.TemporaryFile(dir=existing):
                pass
        except OSError as error:
            raise UserError(
                f"--run_dir={self.path}: {existing} cannot be written ({error.strerror})"
            ) from error

    def fold(self, fold: int) -> "RunFolder":
        """The folder of a fold, counted from 0: that of a training, without config and report."""
        return RunFolder(str(self.folds / str(fold + 1)))

    def share(self, parts: int) -> "RunFolder":
        """The folder of a model of one of so many parts of the texts, as that of a fold."""
        return RunFolder(str(self.shares / f"1_of_{parts}"))

    def remove_checkpoints(self) -> None:
        """Removes the checkpoints, and what they name."""
        for folder in (self.checkpoints, self.best):
            for path in checkpoints.own_files(folder):
                path.unlink()
            with contextlib.suppress(OSError):  # it is gone, or holds a file of somebody else
                folder.rmdir()

    def other_texts(self, vectors: str = "") -> UserError:
        """The error of a run whose texts have changed, or the file of vectors with their words."""
        or_vectors = f", or the words of --pretrained_embeddings={vectors}," if vectors else ""
        return UserError(
            f"--run_dir={self.path}: the texts{or_vectors} are not those that this run began with; "
            f"expected the same files (--train_file, --valid_file and --test_file name them), or a "
            f"new run"
        )

    def make(self) -> None:
        """Makes the folders of a run, where they are missing."""
        for folder in (self.checkpoints, self.best):
            folder.mkdir(parents=True, exist_ok=True)
        for folder in (self.path, self.path.absolute().parent):
            fsync_folder(folder)

    def remove_if_empty(self) -> None:
        """Removes the folder that `new_run_dir` made, where nothing came of the run."""
        with contextlib.suppress(OSError):
            self.path.rmdir()

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """Makes the folder and locks it, so that no other process trains there meanwhile.

        The lock ends with the process, however that ends.

        Raises:
          UserError: another process holds it, or the folder cannot be written or locked.
        """
        try:
            self.make()
            lock = locks.take(self.lock, wait=False)
        except BlockingIOError as error:
            raise UserError(
                f"--run_dir={self.path}: another process trains there; expected one at a time"
            ) from error
        except OSError as error:
            raise UserError(
                f"--run_dir={self.path}: cannot be written ({error.strerror})"
            ) from error
        with lock:
            yield

    def remove_leftovers(self) -> None:
        """Removes the files that a killed trainer was writing. The folder must be locked."""
        own_names = {path.name for path in vars(self).values()} | {WORDS}
        for folder in (self.path, self.checkpoints, self.best, self.tensorboard / "run"):
            for scratch in folder.glob(".*.tmp"):
                name = written_name(scratch)
                if name in own_names or checkpoints.is_own_name(name):
                    scratch.unlink()

    def read_config(self, is_resumed: bool = False) -> Config:
        """The run's config.

        Args:
          is_resumed: whether the run is to go on.

        Raises:
          UserError: there is no run here, its config is damaged, the folder leads elsewhere, or
            the run cannot go on.
        """
        for path in self.path.rglob("*"):
            if path.is_symlink() or not (path.is_file() or path.is_dir()):
                raise UserError(f"{path}: expected a file or a folder of this run, found a link")
        try:
            text = self.config.read_text(encoding="utf-8")
        except FileNotFoundError as error:
            raise UserError(f"--run_dir={self.path}: holds no run (no config.json)") from error
        except (OSError, UnicodeDecodeError) as error:
            raise UserError(f"{self.config}: cannot be read ({error})") from error
        return Config.from_json(text, str(self.config), is_resumed)

    def write_config(self, config: Config) -> None:
        """Writes the config that the run goes on with."""
        with atomic_write(self.config) as file:
            file.write(config.to_json().encode())

    def read_labels(self) -> list[str]:
        """The label of each class.

        Raises:
          UserError: the file is missing, or damaged.
        """
        labels = [line.decode() for line in read_lines(self.labels)]
        for label in labels:
            if not can_be_label(label):
                raise UserError(f"{self.labels}: expected printable labels, found {label[:40]!r}")
        return labels

    def read_values(self, count: int) -> list[Any]:
        """The labels as numbers or truth values, where a `TextClassifier` has such; else nothing.

        Args:
          count: number of labels.

        Raises:
          UserError: the file is damaged.
        """
        path = self.classes
        try:
            values = json.loads(path.read_text("utf-8")) if path.exists() else []
        except (OSError, ValueError, RecursionError) as error:
            raise UserError(f"{path}: cannot be read ({error})") from error
        if values == []:
            return []
        if not isinstance(values, list) or {*map(type, values)} not in ({int}, {bool}):
            raise UserError(f"{path}: expected a list of whole numbers or of truth values")
        if len(values) != count:
            raise UserError(
                f"{path}: {len(values):,} values, expected {count:,}, one for each label"
            )
        return values


def trained_run(path: str) -> RunFolder:
    """The folder of `--init_from`.

    Raises:
      UserError: there is no run.
    """
    folder = RunFolder(path)
    if not folder.config.is_file():
        raise UserError(
            f"--init_from={path}: holds no run (no config.json); expected the folder of a run "
            f"that has ended, which its --run_dir names"
        )
    return folder


def read_report(folder: RunFolder) -> dict[str, Any]:
    """What `report.json` holds; nothing where a run has none, or, with a warning, a damaged one."""
    try:
        report = json.loads(folder.report_json.read_text(encoding="utf-8"))
    except FileNotFoundError:  # a run that is still training
        return {}
    except (OSError, ValueError, RecursionError) as error:
        report, reason = None, " ".join(str(error).split())[:200]
    else:
        reason = "it is not the report of a run"
    report = _of_today(report)
    if _is_report(report):
        return report
    warn(f"{folder.report_json} is damaged ({reason}); going without")
    return {}


def _of_today(report: Any) -> Any:
    """A report of 0.1 by today's names: its measures were called those of a test without one."""
    if not isinstance(report, dict) or "accuracy" in report:
        return report
    names = {name: name.removeprefix("test_") for name in report}
    names |= {"test_loss": "log_loss"}
    today = {names[name]: value for name, value in report.items()}
    if report.get("evaluated_on") != "test":
        return {**today, "evaluated_on": "valid"}
    of_test = {name: report[name] for name in ("test_accuracy", "test_macro_f1") if name in report}
    return {**today, **of_test}


def _is_report(report: Any) -> bool:
    match report:
        case {"texts": {"train": _} as texts, "per_class": dict(per_class), "evaluated_on": str()}:
            measures = ("precision", "recall", "f1", "support")
            totals = ("best_epoch", "valid_accuracy", "accuracy", "macro_f1")
            of_test = ("test_accuracy", "test_macro_f1")
            of_old = ("texts", "accuracy", "macro_f1")
            old = report.get("init_from", dict.fromkeys(of_old, 0))
            return all(
                type(number) in (int, float)
                for number in [
                    *texts.values(),
                    *(
                        isinstance(row, dict) and row.get(name)
                        for row in per_class.values()
                        for name in measures
                    ),
                    *(report.get(name, 0) for name in totals + of_test),
                    *(isinstance(old, dict) and old.get(name) for name in of_old),
                ]
            )
    return False


def new_run_dir() -> str:
    """Makes a folder under `runs/` that no other run has, and returns its path.

    Raises:
      UserError: it cannot be made.
    """
    name = pathlib.Path("runs") / time.strftime("%Y%m%d-%H%M%S")
    candidates = (name.with_name(f"{name.name}-{i}") for i in itertools.count(2))
    try:
        name.parent.mkdir(exist_ok=True)
        for path in itertools.chain([name], candidates):
            with contextlib.suppress(FileExistsError):
                path.mkdir()
                return str(path)
    except OSError as error:
        raise UserError(
            f"{error.filename}: cannot be made ({error.strerror}); expected --run_dir, a folder "
            f"elsewhere"
        ) from error
    raise AssertionError
