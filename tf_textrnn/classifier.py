"""`TextClassifier`: training and prediction as scikit-learn's estimators do them."""

import contextlib
import io
import json
import logging
import os
import pathlib
import shutil
import tempfile
import weakref
from collections.abc import Iterable, Iterator
from itertools import compress
from typing import Any

import numpy as np
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.metrics import accuracy_score
from sklearn.utils import Tags
from sklearn.utils.metadata_routing import UNUSED
from sklearn.utils.validation import check_is_fitted

from tf_textrnn.api import train_on
from tf_textrnn.base.errors import UserError
from tf_textrnn.base.options import checked
from tf_textrnn.config import INHERITED, option_fields
from tf_textrnn.data.memory import (
    as_label_sets,
    as_labels,
    as_weights,
    class_names,
    memory_source,
)
from tf_textrnn.exporting.versions import scratch_folder, take_next_version
from tf_textrnn.predictor.explain import Explanation
from tf_textrnn.predictor.predictor import Predictor, as_texts
from tf_textrnn.predictor.runtime import Array
from tf_textrnn.predictor.saved_model import VALUES_FILE
from tf_textrnn.runs.folder import RunFolder, trained_run

_IN_MEMORY = "texts in memory"  # what `config.json` has as their data set


class TextClassifier(ClassifierMixin, BaseEstimator):  # type: ignore[misc]
    """A recurrent text classifier with the interface of scikit-learn's estimators.

    `cross_val_score`, `GridSearchCV` and `Pipeline` take it; texts go in as strings. It trains
    through the same code as `textrnn train`, on one device, and predicts with what that exports.
    A share `valid_fraction` of the texts is set apart to choose the best epoch on, at least one; of
    few texts (`folds=-1`) a second training learns all. With `folds=5` five models score a fifth
    each, and the one that predicts trains on all.

    With `init_from`, the `run_dir` of an earlier one, `fit` goes on from what that has learned. Its
    labels are in `classes_` too. The parameters that shape its network are the earlier one's where
    they have their defaults.

    A text may have any number of labels: `fit` takes a list of them for each text, or a matrix of 0
    and 1 with a column for each label, as scikit-learn has it; `predict` returns such a matrix.

    While `fit` runs, TensorFlow's ops are deterministic in the whole process. Its global seed and
    Keras's are `seed` from then on.

    Args:
      verbose: print what `textrnn train` prints.
      run_dir: where the run's folder is made, for TensorBoard and the report; it must not hold a
        run. Empty = in a temporary folder, which goes with the classifier, or when Python ends.
      **options: the flags of `textrnn train` by the same names; `docs/options.md` has their
        meanings.

    Attributes:
      classes_: the different labels, ascending; strings as objects.
      report_: what the run's `report.json` holds.

    Example:
      >>> texts, labels = ["a fine film", "a dull film"] * 20, ["good", "bad"] * 20
      >>> classifier = tf_textrnn.TextClassifier(hidden_size=8, num_epochs=2).fit(texts, labels)
      >>> classifier.predict(["a fine film"])
      array(['good'], dtype=object)
      >>> classifier.score(texts, labels)
      1.0
    """

    # To scikit-learn's metadata routing: what others call X and y.
    __metadata_request__fit = {"texts": UNUSED, "labels": UNUSED}  # noqa: RUF012
    __metadata_request__predict = {"texts": UNUSED}  # noqa: RUF012
    __metadata_request__predict_proba = {"texts": UNUSED}  # noqa: RUF012
    __metadata_request__score = {"texts": UNUSED, "labels": UNUSED}  # noqa: RUF012

    def __init__(
        self,
        *,
        valid_fraction: float = 0.1,
        folds: int = -1,
        tokenizer: str = "auto",
        vocab_size: int = 20_000,
        stem_unknown_words: bool = True,
        max_len: int = 400,
        cell: str = "lstm",
        hidden_size: int = 128,
        num_layers: int = 1,
        bidirectional: bool = True,
        pooling: str = "mean",
        embedding_dim: int = 128,
        pretrained_embeddings: str | os.PathLike[str] = "",
        init_from: str | os.PathLike[str] = "",
        keep_prob: float = 0.4,
        output_dropout: str = "pooled",
        init_scale: float = 0.0,
        forget_bias: float = 1.0,
        activation: str = "tanh",
        leak: float = 1.0,
        word_dropout: float = 0.2,
        ngrams: int = -1,
        bptt_truncate: int = 0,
        batch_size: int = 64,
        num_epochs: int = 16,
        min_epoch_steps: int = 50,
        optimizer: str = "adam",
        learning_rate: float = 2e-3,
        lr_decay: float = 0.75,
        max_decay_epoch: int = 8,
        max_grad_norm: float = 5.0,
        label_smoothing: float = 0.1,
        tune_embeddings_epoch: int = 0,
        class_weights: str = "none",
        threshold: str = "auto",
        average_decay: float = 0.998,
        patience: int = 4,
        seed: int = 1,
        run_dir: str | os.PathLike[str] = "",
        verbose: bool = False,
    ):
        # scikit-learn wants every parameter by name here, and nothing but the parameters set.
        self.valid_fraction = valid_fraction
        self.folds = folds
        self.tokenizer = tokenizer
        self.vocab_size = vocab_size
        self.stem_unknown_words = stem_unknown_words
        self.max_len = max_len
        self.cell = cell
        self.hidden_size = hidden_size
        self.num_layers = num_layers
        self.bidirectional = bidirectional
        self.pooling = pooling
        self.embedding_dim = embedding_dim
        self.pretrained_embeddings = pretrained_embeddings
        self.init_from = init_from
        self.keep_prob = keep_prob
        self.output_dropout = output_dropout
        self.init_scale = init_scale
        self.forget_bias = forget_bias
        self.activation = activation
        self.leak = leak
        self.word_dropout = word_dropout
        self.ngrams = ngrams
        self.bptt_truncate = bptt_truncate
        self.batch_size = batch_size
        self.num_epochs = num_epochs
        self.min_epoch_steps = min_epoch_steps
        self.optimizer = optimizer
        self.learning_rate = learning_rate
        self.lr_decay = lr_decay
        self.max_decay_epoch = max_decay_epoch
        self.max_grad_norm = max_grad_norm
        self.label_smoothing = label_smoothing
        self.tune_embeddings_epoch = tune_embeddings_epoch
        self.class_weights = class_weights
        self.threshold = threshold
        self.average_decay = average_decay
        self.patience = patience
        self.seed = seed
        self.run_dir = run_dir
        self.verbose = verbose

    def fit(
        self,
        texts: Iterable[str],
        labels: Iterable[Any],
        sample_weight: Iterable[float] | None = None,
    ) -> "TextClassifier":
        """Trains on labeled texts; what was learned before is forgotten.

        Args:
          texts: strings, in a list, an array or a pandas Series.
          labels: the label of each: strings, whole numbers or truth values; or a list of labels for
            each, or int[texts, classes] of 0 and 1.
          sample_weight: how much each text counts in the training loss beside the others, at
            least 0; a text of 0 is left out. None = all alike. Validation counts all alike.

        Raises:
          TypeError: a text that is no string, labels of several kinds, or no list of them.
          ValueError: fewer than two labels, no label on a text with a weight above 0, more texts
            than labels or fewer, or several columns.
          UserError: a parameter that is not allowed, or a folder that cannot be written.
        """
        texts = as_texts(texts)
        sets = as_label_sets(labels, len(texts))
        if sets is None:
            classes, indices = np.unique(as_labels(labels, len(texts)), return_inverse=True)
            rows = np.eye(len(classes), dtype=bool)[indices]
        else:
            classes, rows = sets
        weights = as_weights(sample_weight, len(texts))
        if not rows[weights > 0].any():
            raise ValueError("labels: no text with a weight above 0 has one")
        texts, rows = [texts[i] for i in np.flatnonzero(weights)], rows[weights > 0]
        weights = weights[weights > 0] / weights.mean(where=weights > 0)
        counts = rows.sum(axis=0)
        if sets is None:
            classes, rows, counts = classes[counts > 0], rows[:, counts > 0], counts[counts > 0]
        if self.init_from:
            classes, rows = _with_known_labels(self.init_from, classes, rows)
            counts = rows.sum(axis=0)
        names = class_names(classes)
        if counts.max() == 1:
            raise ValueError(
                f"labels: found {len(classes)} classes of one text each; expected more texts, as "
                f"one is set apart"
            )
        scratch = _ScratchFolder()
        options = self.get_params(deep=False)
        is_verbose = options.pop("verbose")
        # So that pretrained vectors have their own size, and a model to start from its shape.
        for name in INHERITED if self.init_from else ("embedding_dim",):
            if options.get(name) == option_fields()[name].default:
                del options[name]
        options["dataset"] = _IN_MEMORY
        options["strategy"] = "one"
        options["cache_dir"] = scratch.path / "cache"
        options["run_dir"] = self.run_dir or scratch.path / "run"
        # So much sets one text apart, of the label that has the most.
        asked = checked(option_fields()["valid_fraction"], self.valid_fraction)
        options["valid_fraction"] = max(asked, 0.51 / counts.max())
        options["multi_label"] = sets is not None
        source = memory_source(_IN_MEMORY, texts, [list(compress(names, row)) for row in rows])
        with contextlib.nullcontext() if is_verbose else _quiet():
            run = train_on(options, {"train": source}, weights)
        assert run and run.export  # one worker, which exports
        if classes.dtype != object:  # an export's labels are strings
            order = [names.index(label) for label in RunFolder(str(run.path)).read_labels()]
            content = json.dumps(classes[order].tolist())
            for file in (run.export / VALUES_FILE, run.path / "classes.json"):
                file.write_text(content, "utf-8")
        self.classes_ = classes
        self.report_ = run.report
        self._has_sets = sets is not None
        self._folder = scratch
        self._export = run.export
        self._predictor: Predictor | None = None
        return self

    def predict(self, texts: Iterable[str]) -> Array:
        """The label of each text, of `classes_`; of sets, int[texts, classes], 1 for its labels.

        Args:
          texts: strings, in a list, an array or a pandas Series.

        Raises:
          NotFittedError: `fit` comes first.
          TypeError, ValueError: as `fit`.
        """
        predictor = self._loaded()
        found, places = predictor(as_texts(texts)), self._places(predictor)
        if not self._has_sets:
            return self.classes_[places[found.classes]]
        rows = np.zeros((len(found.classes), len(self.classes_)), int)
        rows[:, places] = found.accepted
        return rows

    def predict_proba(self, texts: Iterable[str]) -> Array:
        """float32[texts, classes]: the probability of each label, in the order of `classes_`.

        Args and errors are those of `predict`.
        """
        predictor = self._loaded()
        found = predictor.predict_proba(texts)
        probability = np.zeros((len(found), len(self.classes_)), np.float32)
        probability[:, self._places(predictor)] = found
        return probability

    def score(
        self, texts: Iterable[str], labels: Any, sample_weight: Iterable[float] | None = None
    ) -> float:
        """The share of the texts that get their label; of sets, their labels and no others.

        Args:
          texts: strings, in a list, an array or a pandas Series.
          labels: as those of `fit`.
          sample_weight: how much each text counts; None = all alike.
        """
        predicted = self.predict(texts)
        if not self._has_sets:
            return float(accuracy_score(labels, predicted, sample_weight=sample_weight))
        expected = as_label_sets(labels, len(predicted))
        if expected is None:
            raise ValueError("labels: found one for each text; expected a list of labels for each")
        is_right = [
            set(expected.classes[row]) == set(self.classes_[found > 0])
            for row, found in zip(expected.rows, predicted, strict=True)
        ]
        ones = np.ones(len(is_right), bool)
        return float(accuracy_score(ones, is_right, sample_weight=sample_weight))

    def explain(self, text: str) -> Explanation:
        """Tells what each word of a text adds to the score of each label.

        Returns:
          Numbers, with labels in the order of `classes_`; printed, the words that speak most for
          the answer and against it.

        Raises:
          NotFittedError: `fit` comes first.
          TypeError: it is no string.
        """
        predictor = self._loaded()
        places = self._places(predictor)
        order = np.argsort(places)
        return predictor.explain(text).ordered(order, self.classes_[places[order]].tolist())

    def save(self, folder: str | os.PathLike[str]) -> None:
        """Writes the model as the next version in a folder, for `tf_textrnn.load` or TF Serving.

        Args:
          folder: made where it is missing; older versions in it stay.

        Raises:
          NotFittedError: `fit` comes first.
          UserError: the folder cannot be written.
        """
        check_is_fitted(self, "classes_")
        folder = pathlib.Path(folder)
        try:
            folder.mkdir(parents=True, exist_ok=True)
            with scratch_folder(folder) as scratch:
                shutil.copytree(self._export, scratch, dirs_exist_ok=True)
                take_next_version(scratch, folder)
        except OSError as error:
            raise UserError(f"{folder}: cannot be written ({error.strerror})") from error

    def _loaded(self) -> Predictor:
        check_is_fitted(self, "classes_")
        if self._predictor is None:
            self._predictor = Predictor(self._export)
        return self._predictor

    def _places(self, predictor: Predictor) -> Array:
        """int64[labels]: the place in `classes_` of each label of the predictor."""
        names = class_names(self.classes_)
        return np.array([names.index(label) for label in predictor.labels])

    def __getstate__(self) -> dict[str, Any]:
        """The parameters, and the bytes of the exported files where it is fitted."""
        state = dict(super().__getstate__())
        if "classes_" in state:
            del state["_folder"], state["_predictor"]
            files = [file for file in self._export.rglob("*") if file.is_file()]
            state["_export"] = {
                file.relative_to(self._export).as_posix(): file.read_bytes() for file in files
            }
        return state

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(state)
        if "classes_" in state:
            self._folder = _ScratchFolder()
            self._export = self._folder.path / "1"
            self._predictor = None
            for name, content in state["_export"].items():
                file = self._export / name
                file.parent.mkdir(parents=True, exist_ok=True)
                file.write_bytes(content)

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        tags.input_tags.string = tags.input_tags.one_d_array = True
        tags.input_tags.two_d_array = False
        tags.classifier_tags.multi_label = True
        return tags


def _with_known_labels(
    init_from: str | os.PathLike[str], classes: Array, rows: Array
) -> tuple[Array, Array]:
    """The classes of a fit and the labels of its texts, with the labels of the run to start from.

    Args:
      init_from: the run's folder.
      classes: the different labels of the texts, ascending.
      rows: bool[texts, classes], the labels of each text.

    Raises:
      UserError: there is no run.
      TypeError: its labels are of another kind.
    """
    folder = trained_run(str(pathlib.Path(init_from).expanduser()))
    names = folder.read_labels()
    labels = [*classes.tolist(), *(folder.read_values(len(names)) or names)]
    merged, places = np.unique(as_labels(labels, len(labels)), return_inverse=True)
    merged_rows = np.zeros((len(rows), len(merged)), bool)
    merged_rows[:, places[: len(classes)]] = rows
    return merged, merged_rows


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Inside, neither the trainer prints nor TensorFlow warns: each fit traces its graphs anew."""
    logger = logging.getLogger("tensorflow")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with contextlib.redirect_stdout(io.StringIO()):
            yield
    finally:
        logger.setLevel(level)


class _ScratchFolder:
    """A temporary folder that goes with the last reference to it, or when Python ends."""

    def __init__(self) -> None:
        self.path = pathlib.Path(tempfile.mkdtemp(prefix="tf_textrnn-"))
        weakref.finalize(self, shutil.rmtree, self.path, ignore_errors=True)
