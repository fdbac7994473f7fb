"""Exports for ONNX Runtime that are small: int8, and of at most a given size.

A model of few words and n-grams is fitted anew to the validation texts where it was fitted to them
before: in the weights of its branches, its temperature and thresholds. With folds the model has
learned those texts too, and is surer of them than of others; so all of that stays, and the form is
taken whose probabilities are the nearest.
"""

import bisect
import dataclasses
import math
import pathlib
import platform
from typing import TYPE_CHECKING

import numpy as np

from tf_textrnn.base import terminal
from tf_textrnn.base.errors import UserError
from tf_textrnn.data.batches import Split, evaluation_batches
from tf_textrnn.exporting.onnx_parts import Parts, file_contents, parts_of, sizes_of_keys
from tf_textrnn.predictor.encoder import NgramTable, TokenIds
from tf_textrnn.predictor.onnx_run import open_session
from tf_textrnn.predictor.runtime import ONNX
from tf_textrnn.runs.answered import Answered, answered
from tf_textrnn.runs.best import read_best
from tf_textrnn.runs.loaded import own_data
from tf_textrnn.text import UNKNOWN_ID
from tf_textrnn.training.validation import weigh_on

if TYPE_CHECKING:
    from tf_textrnn.runs.folder import RunFolder
    from tf_textrnn.runs.loaded import LoadedRun

LOSS_OF_ACCURACY = 0.005  # beyond it, a warning
_SHARES = (1.0, 0.7, 0.5, 0.35, 0.25, 0.18, 0.12, 0.08, 0.05, 0.03)  # of the words that are tried


def rounded(folder: "RunFolder", run: "LoadedRun") -> dict[str, bytes]:
    """Returns the files of a run's model as int8, and says what that costs, where it can be told.

    Args:
      folder: of the run.
      run: from that folder.
    """
    parts = parts_of(run)
    contents = file_contents(run, parts, is_int8=True)
    try:
        valid = own_data(folder).valid
    except UserError as error:
        terminal.warn(f"the answers are not compared with those of the float form: {error}")
        return contents
    _compare(_float_answers(run, valid), _answers(run, parts, contents[ONNX], valid), run)
    return contents


def fit(folder: "RunFolder", run: "LoadedRun", max_bytes: int) -> dict[str, bytes]:
    """Returns the files of the best form that takes at most so many bytes.

    Ten sizes of the vocabulary are tried, its most frequent tokens first. What they leave goes to
    the n-grams that say most: by how far apart their weights are, times the root of the number of
    training texts that hold them.

    Args:
      folder: of the run.
      run: from that folder.
      max_bytes: of all files.

    Raises:
      UserError: the validation texts are not here, or no form is so small.
    """
    valid = own_data(folder).valid
    parts = parts_of(run)
    counts = read_best(folder).arrays.get("ngrams/counts")
    if counts is not None:
        parts = dataclasses.replace(parts, worth=parts.worth * np.sqrt(counts[:, -1]))
    expected = _float_answers(run, valid)
    tried, smallest = [], math.inf
    for share in _SHARES:
        words = parts.with_words(max(UNKNOWN_ID + 1, int(share * len(parts.vocabulary))))
        fewer, size = _within(run, words, max_bytes)
        smallest = min(smallest, size)
        if fewer and _has_learned(run):
            tried.append((_distance(run, fewer, expected), run, fewer))
        elif fewer:
            tried.append(_refitted(run, fewer, valid))
    if not tried:
        raise UserError(
            f"--max_megabytes: the smallest form takes {smallest / 1e6:.2f} MB; expected as much, "
            f"or a run of smaller layers"
        )
    _, form, parts = min(tried, key=lambda one: one[0])
    contents = file_contents(form, parts, is_int8=True)
    terminal.show(f"{len(parts.vocabulary):,} token ids and {len(parts.keys):,} n-grams are kept")
    _compare(expected, _answers(form, parts, contents[ONNX], valid), run)
    return contents


def _has_learned(run: "LoadedRun") -> bool:
    """Whether the model has learned its validation texts too, as the last one of folds has."""
    return run.config.data.folds > 0


def _compare(expected: Answered, found: Answered, run: "LoadedRun") -> None:
    """Says what a form of a model costs.

    Args:
      expected: the answers of the float form.
      found: those of the form, on the same texts.
      run: whose model it is.
    """
    differ = (found.accepted != expected.accepted).any(axis=1).mean()
    accuracy, was = found.measures().accuracy, expected.measures().accuracy
    learned = ", which the model has learned," if _has_learned(run) else ""
    terminal.show(
        f"on {len(found.split):,} validation texts{learned} accuracy {accuracy:.4f}, as floats "
        f"{was:.4f}; {differ:.2%} of the answers differ (CPU: {_cpu()})"
    )
    if was - accuracy > LOSS_OF_ACCURACY:
        terminal.warn(f"the small form loses {was - accuracy:.4f} of the accuracy")


def _within(run: "LoadedRun", parts: Parts, max_bytes: int) -> tuple[Parts | None, float]:
    """The parts with as many n-grams as fit, if one does; and the size of the files with one."""
    if run.model.ngrams and not len(parts.keys):  # too few words for any
        return None, math.inf
    order = np.argsort(-parts.worth, kind="stable")
    least = parts.with_ngrams(order[:1])
    size = sum(map(len, file_contents(run, least, is_int8=True).values()))
    num_classes = len(run.labels)

    def fits(count: int) -> bool:
        keys = np.sort(parts.keys[order[:count]])
        return size + int(sizes_of_keys(keys).sum()) + num_classes * count <= max_bytes

    if size > max_bytes or (len(order) and not fits(1)):
        return None, size
    count = bisect.bisect_left(range(1, len(order) + 1), True, key=lambda count: not fits(count))
    return parts.with_ngrams(np.sort(order[:count])), size


def _refitted(run: "LoadedRun", parts: Parts, valid: Split) -> tuple[float, "LoadedRun", Parts]:
    """The validation loss of a form that is fitted to the texts, and the form."""
    content = file_contents(run, parts, is_int8=True)[ONNX]
    outputs = _outputs(run, parts, content, valid, ["network_scores", "ngram_scores"])
    were = np.array(run.branch_weights[: outputs.shape[1]])
    branches = (outputs / were[:, None]).astype(np.float32)
    weighed = weigh_on(branches, valid, run.config.threshold_rule)
    weights = dict(parts.weights)
    if len(parts.keys):
        of_branches = (("softmax_w", "softmax_b"), ("ngrams/kernel", "ngrams/bias"))
        for weight, names in zip(weighed.weights / were, of_branches, strict=True):
            weights |= {name: weights[name] * np.float32(weight) for name in names}
    if weighed.offsets is not None:
        bias = "ngrams/bias" if len(parts.keys) else "softmax_b"
        weights[bias] = weights[bias] + weighed.offsets.astype(np.float32)
    best = {**run.best, "temperature": weighed.temperature}
    if weighed.thresholds is not None:
        best["thresholds"] = weighed.thresholds.tolist()
    loss = weighed.answers(valid, run.labels).measures().loss
    return loss, dataclasses.replace(run, best=best), dataclasses.replace(parts, weights=weights)


def _distance(run: "LoadedRun", parts: Parts, expected: Answered) -> float:
    """How far the probabilities of a form are from those of the float one, on average."""
    content = file_contents(run, parts, is_int8=True)[ONNX]
    found = _answers(run, parts, content, expected.split)
    return float(np.abs(found.probability - expected.probability).mean())


def _float_answers(run: "LoadedRun", valid: Split) -> Answered:
    """What the float form says of the validation texts."""
    parts = parts_of(run)
    return _answers(run, parts, file_contents(run, parts, is_int8=False)[ONNX], valid)


def _answers(run: "LoadedRun", parts: Parts, content: bytes, valid: Split) -> Answered:
    """What a form says of the validation texts."""
    scores = _outputs(run, parts, content, valid, ["scores"])[:, 0]
    thresholds = None if run.thresholds is None else np.array(run.thresholds)
    return answered(valid, scores, run.temperature, run.labels, thresholds)


def _outputs(
    run: "LoadedRun", parts: Parts, content: bytes, split: Split, names: list[str]
) -> np.ndarray:
    """float32[texts, outputs, classes]: outputs of a graph, of those that it has."""
    session = open_session(content)
    has = {output.name for output in session.get_outputs()}
    names = [name for name in names if name in has]
    table = NgramTable(parts.keys, run.config.model.ngrams, len(parts.vocabulary))
    outputs = np.zeros((len(split), len(names), len(run.labels)), np.float32)
    ids = TokenIds(parts.vocabulary, run.config.text.reads_stems)
    for texts, batch in evaluation_batches(split.read_with(ids)):
        inputs = {"token_ids": batch.token_ids, "lengths": batch.lengths}
        if len(parts.keys):
            inputs["ngram_rows"] = table(inputs["token_ids"])
        outputs[texts] = np.stack(session.run(names, inputs), axis=1)
    return outputs


def _cpu() -> str:
    """The name of the processor."""
    try:
        for line in pathlib.Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()
