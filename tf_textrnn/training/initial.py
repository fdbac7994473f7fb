"""The trained model of another run, from which a run starts: `--init_from`."""

import dataclasses
import os
from typing import Any

import numpy as np

from tf_textrnn.base.errors import UserError
from tf_textrnn.base.terminal import show, warn
from tf_textrnn.config import Config
from tf_textrnn.data.findings import count_labels
from tf_textrnn.data.splits import Data, Known
from tf_textrnn.data.type_counts import count_types
from tf_textrnn.network.model import TextRNN
from tf_textrnn.network.ngram_counts import EarlierTexts, find_keys, keys_of_more_tokens
from tf_textrnn.runs import checkpoints
from tf_textrnn.runs.answered import answered
from tf_textrnn.runs.folder import RunFolder, read_report, trained_run
from tf_textrnn.runs.loaded import LoadedRun, load_run
from tf_textrnn.training.distribution import Workers
from tf_textrnn.training.saved_state import SavedState
from tf_textrnn.training.validation import SplitScorer

_SHOWN = 5  # labels of a warning


@dataclasses.dataclass(frozen=True)
class Initial:
    """The trained model that a run starts from.

    Attributes:
      path: the run's folder, as `--init_from` names it.
      run: its best model, which keeps the counts of its n-grams.
      sha256: checksum of its best weights.
      num_texts: number of texts that it was trained on, those of models before it among them.
    """

    path: str
    run: LoadedRun
    sha256: str
    num_texts: int

    @property
    def known(self) -> Known:
        """The words and labels that the new run takes over."""
        return Known(self.run.vocabulary, self.run.labels)

    def columns(self, data: Data) -> list[int]:
        """The class in the new run of each class of the old one."""
        return [data.labels.index(label) for label in self.run.labels]

    def earlier_texts(self, data: Data) -> EarlierTexts | None:
        """The texts that the model has counted, in the words and labels of the new run.

        None where it has no n-grams.
        """
        ngrams = self.run.model.ngrams
        if ngrams is None:
            return None
        keys = self._keys(data)
        columns, num_classes = self.columns(data), len(data.labels)
        counts = np.zeros((len(keys), num_classes + 1), np.float32)
        counts[:, [*columns, num_classes]] = ngrams.counts.numpy()
        of_class = np.zeros(num_classes, np.float32)
        of_class[columns] = ngrams.text_shares.numpy() * self.num_texts
        return EarlierTexts(keys, counts, of_class, self.num_texts)

    def _keys(self, data: Data) -> np.ndarray:
        """The keys int64[n-grams] of the model's n-grams among the words of the new run."""
        return keys_of_more_tokens(
            self.run.model.saved_weights()["ngrams/keys"].numpy(),
            self.run.config.model.ngrams,
            len(self.run.vocabulary),
            len(data.vocabulary),
        )

    def give_weights(self, model: TextRNN, data: Data) -> None:
        """Writes the weights into a new model; words and labels that are new stay as they start.

        They are those of the best epoch, as they were before the branches were weighed. Where texts
        have sets of labels, the n-grams' bias has taken up what the labels have in both branches.
        In training each branch is to have it, so the new bias stays.

        Args:
          model: built, with its n-grams.
          data: of the run.
        """
        columns, old = self.columns(data), self.run.model.named_weights()
        weights = model.named_weights()
        if data.train.set_size:
            weights.pop("ngrams/bias", None)
        for name in weights.keys() & old.keys():
            found, value = old[name].numpy() / self._factor(name), weights[name].numpy()
            if name == "embedding":
                value[: len(found)] = found
            elif name == "ngrams/kernel":
                keys = model.saved_weights()["ngrams/keys"].numpy()
                rows, are_kept = find_keys(keys, self._keys(data))
                value[np.ix_(rows[are_kept], columns)] = found[are_kept]
            elif name in ("softmax_w", "softmax_b", "ngrams/bias"):
                value[..., columns] = found
            else:
                value = found
            weights[name].assign(value)

    def _factor(self, name: str) -> float:
        """What weighing the branches has multiplied a weight by."""
        if name in ("softmax_w", "softmax_b"):
            return self.run.branch_weights[0]
        return self.run.branch_weights[-1] if name.startswith("ngrams/") else 1.0

    def measure(self, data: Data, workers: Workers) -> dict[str, Any]:
        """Says how good the model is on the texts that the run's report is on.

        It reads them as it would in use, and each text of a label that it lacks is a mistake.

        Args:
          data: of the new run.
          workers: all that train together; each scores a part.

        Returns:
          `init_from` of `report.json`; {} at a worker that is not the chief.
        """
        run, split = self.run, data.test or data.valid
        labels = [*run.labels, *(label for label in data.all_labels if label not in run.labels)]
        classes = [labels.index(name) for name in split.corpus.label_names]
        of_old = dataclasses.replace(
            split.read_with(run.token_ids),
            class_of_label=np.array(classes, np.int32),
            set_size=len(run.labels) if split.set_size else 0,
        )
        scores = SplitScorer(run.model, workers).score(of_old)
        if not workers.is_chief:  # which reports
            return {}
        found = answered(of_old, scores, run.temperature, labels, run.thresholds).evaluation()
        measured = {name: found[name] for name in ("accuracy", "macro_f1")}
        self._show(data, measured)
        return {"run": self.path, "texts": self.num_texts, **measured}

    def _show(self, data: Data, measured: dict[str, float]) -> None:
        num_old, num_words, train = len(self.run.vocabulary), len(data.vocabulary), data.train
        show(
            f"starts from {self.path}: {num_old:,} of {num_words:,} token ids, "
            f"{len(self.run.labels)} of {len(data.labels)} labels; on the texts of the report it "
            f"has accuracy {measured['accuracy']:.4f}, macro F1 {measured['macro_f1']:.4f}"
        )
        if num_old == num_words:
            counts = count_types(train.corpus, train.rows, train.max_len)
            known, types = set(data.vocabulary), zip(train.corpus.types, counts, strict=True)
            if any(count and token not in known for token, count in types):
                warn(
                    f"{self.path} has {num_old:,} token ids, and new words get none; expected a "
                    f"larger --vocab_size"
                )
        has_texts = count_labels([train])
        if lacking := [label for label in self.run.labels if label not in has_texts]:
            more = f" and {len(lacking) - _SHOWN:,} more" if len(lacking) > _SHOWN else ""
            warn(
                f"no new text has {', '.join(lacking[:_SHOWN])}{more}: what was learned of a label "
                f"is lost in part without texts of it"
            )


def read_initial(path: str) -> Initial:
    """The model of `--init_from`.

    Args:
      path: the run's folder.

    Raises:
      UserError: there is no run, it has not ended, or a file of it is missing or damaged.
    """
    folder = trained_run(path)
    report = read_report(folder)
    if not report:
        raise UserError(
            f"--init_from={path}: holds no whole report.json; expected a run that has ended"
        )
    run = load_run(folder, keeps_counts=True)
    if run.model.ngrams and not run.model.has_counts:
        raise UserError(
            f"--init_from={path}: its n-grams have no counts, as in a run of tf_textrnn 0.1; "
            f"expected a run of a newer one"
        )
    texts = report["texts"]
    num_texts = texts["train"] + report.get("init_from", {"texts": 0})["texts"]
    if run.config.data.folds == 1:
        num_texts += texts["valid"]
    return Initial(path, run, checkpoints.checksum(run.weights), num_texts)


def check_initial(folder: RunFolder, initial: Initial) -> None:
    """Checks that a run to go on with began with this model.

    Raises:
      UserError: it began with another one.
    """
    checkpoint = checkpoints.newest(folder.checkpoints)
    if checkpoint and SavedState.parse(checkpoint).init_from != initial.sha256:
        raise UserError(
            f"--init_from={initial.path}: not the model that this run began with; expected the "
            f"same best weights, or a new run"
        )


def warn_of_same_texts(config: Config, old: Config) -> None:
    """Warns where a run trains on the very texts that the model has learned already.

    Args:
      config: of the run.
      old: of the run of `--init_from`.
    """
    named, learned = (
        (each.data.dataset, each.data.train_file and os.path.realpath(each.data.train_file))
        for each in (config, old)
    )
    if named == learned:
        warn(
            f"{config.data.train_file or config.data.dataset}: the run of --init_from="
            f"{config.model.init_from} has learned from it already; expected new texts, as one "
            f"that comes again is counted twice, and so teaches itself"
        )
