"""Imports a checkpoint of the TF1 model as a run, to evaluate, predict with and export.

    textrnn import-tf1 --checkpoint=model.ckpt-6000 --run_dir=runs/old

It reads these variables, under any scope,

    LSTM_layer/multi_rnn_cell/cell_N/basic_lstm_cell/kernel  [input + hidden, 4 * hidden]
    LSTM_layer/multi_rnn_cell/cell_N/basic_lstm_cell/bias    [4 * hidden]
    softmax_w                                                [hidden, classes]
    softmax_b                                                [classes]
    embedding, if there is one                               [rows, input]

and ignores optimizer slots, step and learning rate; `docs/porting.md` explains the vocabulary.
"""

import dataclasses
import pathlib
import re
from typing import Any

import numpy as np

from tf_textrnn.base.errors import UserError
from tf_textrnn.base.files import read_lines, write_lines
from tf_textrnn.base.options import CheckedOptions, option
from tf_textrnn.config import Config

# TF 1.0 names them weights and biases; one layer without MultiRNNCell has no cell_N.
_LSTM_NAME = re.compile(r"(?:^|/)(?:cell_(\d+)/)?basic_lstm_cell/(?:(kernel|weights)|bias(?:es)?)$")
_OTHER_NAME = re.compile(r"(?:^|/)(embedding|softmax_w|softmax_b)$")


@dataclasses.dataclass(frozen=True)
class ImportOptions(CheckedOptions):
    """Options of `textrnn import-tf1`."""

    checkpoint: str = option(
        "",
        "Prefix of the TF1 checkpoint, without .index, or the folder that holds it",
        is_path=True,
        required=True,
    )
    run_dir: str = option("", "Folder of the new run", is_path=True, required=True)
    vocabulary: str = option(
        "", "File with the word of each row of `embedding`; empty = unknown", is_path=True
    )
    unknown_token: str = option(
        "", "Line of --vocabulary that stands for all other words; empty = the mean of all rows"
    )
    labels: str = option("", "File with the label of each class; empty = 0, 1, …", is_path=True)
    tokenizer: str = option("word", "How texts are split", choices=("word", "char"))
    max_len: int = option(40, "Maximum number of tokens of a text: the graph's num_step", minimum=1)


@dataclasses.dataclass(frozen=True)
class SourceWeights:
    """The variables of the TF1 model.

    Attributes:
      kernels: float32[input + hidden, 4 * hidden] of each layer, gates i, j, f, o.
      biases: float32[4 * hidden] of each layer.
      softmax_w: float32[hidden, classes].
      softmax_b: float32[classes].
      embedding: float32[rows, input]; None if words were embedded outside the graph.
    """

    kernels: list[np.ndarray]
    biases: list[np.ndarray]
    softmax_w: np.ndarray
    softmax_b: np.ndarray
    embedding: np.ndarray | None = None

    @property
    def hidden_size(self) -> int:
        return len(self.softmax_w)

    @property
    def embedding_dim(self) -> int:
        return len(self.kernels[0]) - self.hidden_size

    def named_weights(self) -> dict[str, np.ndarray]:
        """Returns these by their names in `TextRNN.named_weights`, without the embedding."""
        weights = {"softmax_w": self.softmax_w, "softmax_b": self.softmax_b}
        for index, (kernel, bias) in enumerate(zip(self.kernels, self.biases, strict=True)):
            layer = f"lstm_{index}/forward"
            kernel = reorder_gates(kernel)
            weights[f"{layer}/kernel"] = kernel[: -self.hidden_size]
            weights[f"{layer}/recurrent_kernel"] = kernel[-self.hidden_size :]
            weights[f"{layer}/bias"] = reorder_gates(bias)
        return weights


def reorder_gates(array: np.ndarray) -> np.ndarray:
    """Reorders BasicLSTMCell's gates i, j, f, o along the last axis to Keras's i, f, j, o."""
    i, j, f, o = np.split(array, 4, axis=-1)
    return np.concatenate([i, f, j, o], axis=-1)


def read_checkpoint(prefix: str) -> SourceWeights:
    """Reads the TF1 model's variables from a checkpoint.

    Args:
      prefix: prefix that `tf.compat.v1.train.Saver.save` returned, or the checkpoint's folder.

    Raises:
      UserError: there is no checkpoint, or it is of another model; the message names the variable.
    """
    import tensorflow as tf

    try:
        reader = tf.train.load_checkpoint(prefix)
        names = reader.get_variable_to_shape_map()
        found = {
            role: (name, np.asarray(reader.get_tensor(name), np.float32))
            for role, name in _roles(prefix, names).items()
        }
    except UserError:  # a ValueError that has its message
        raise
    except (ValueError, TypeError, tf.errors.OpError) as error:
        raise UserError(
            f"--checkpoint={prefix}: cannot be read; expected the prefix of a TF1 checkpoint, "
            f"without .index ({' '.join(str(error).split())})"
        ) from error
    layers = len([role for role in found if role.startswith("kernel")])
    expected_roles = ["softmax_w", "softmax_b"]
    expected_roles += [f"{kind}_{n}" for n in range(max(layers, 1)) for kind in ("kernel", "bias")]
    for role in expected_roles:
        if role not in found:
            kind, _, layer = role.partition("_")
            name = role if role.startswith("softmax") else f"cell_{layer}/basic_lstm_cell/{kind}"
            raise UserError(
                f"--checkpoint={prefix}: no variable …{name}; found {', '.join(sorted(names))}"
            )
    _check_shapes(prefix, found, layers)
    arrays = {role: array for role, (_, array) in found.items()}
    return SourceWeights(
        [arrays[f"kernel_{n}"] for n in range(layers)],
        [arrays[f"bias_{n}"] for n in range(layers)],
        arrays["softmax_w"],
        arrays["softmax_b"],
        arrays.get("embedding"),
    )


def _roles(prefix: str, names: dict[str, Any]) -> dict[str, str]:
    """Returns the variable of each role, such as kernel_0."""
    roles: dict[str, str] = {}
    for name in sorted(names):
        if match := _LSTM_NAME.search(name):
            role = f"{'kernel' if match[2] else 'bias'}_{int(match[1] or 0)}"
        elif match := _OTHER_NAME.search(name):
            role = match[1]
        else:
            continue
        if role in roles:
            raise UserError(
                f"--checkpoint={prefix}: holds both {roles[role]} and {name}; expected one model"
            )
        roles[role] = name
    return roles


def _check_shapes(prefix: str, found: dict[str, tuple[str, np.ndarray]], layers: int) -> None:
    softmax_w = found["softmax_w"][1]
    hidden, classes = softmax_w.shape if softmax_w.ndim == 2 else (0, 0)
    embedding_dim = len(np.atleast_1d(found["kernel_0"][1])) - hidden
    expected: dict[str, tuple[int | None, ...]] = {
        "softmax_w": (hidden or None, classes or None),
        "softmax_b": (classes,),
    }
    for n in range(layers):
        inputs = hidden if n else max(embedding_dim, 1)
        expected[f"kernel_{n}"] = (inputs + hidden, 4 * hidden)
        expected[f"bias_{n}"] = (4 * hidden,)
    expected["embedding"] = (None, embedding_dim)
    for role, shape in expected.items():
        if role not in found:
            continue
        name, array = found[role]
        fits = array.ndim == len(shape) and all(
            size == wanted or (wanted is None and size > 0)
            for size, wanted in zip(array.shape, shape, strict=True)
        )
        if not fits:
            wanted = ", ".join("any" if size is None else str(size) for size in shape)
            raise UserError(
                f"--checkpoint={prefix}: {name} is {list(array.shape)}, expected [{wanted}] "
                f"beside softmax_w {list(softmax_w.shape)}"
            )


def word_table(
    source: SourceWeights, words: list[bytes] | None, unknown_token: str
) -> tuple[list[bytes], np.ndarray]:
    """Makes the vocabulary and the embedding of the run.

    Padding and unknown come first, as in every run, so a row's token id is its TF1 id + 2; a
    vocabulary that begins with them stays as it is. Unknown values are NaN, and so is every score
    that depends on one.

    Args:
      source: the TF1 model.
      words: the word of each row of its embedding; None = unknown.
      unknown_token: the word whose row stands for all other words; "" = the mean of all rows. Not
        used if the words begin with padding and unknown.

    Returns:
      The token of each id, and float32[ids, embedding_dim].
    """
    from tf_textrnn.text import SPECIAL_TOKENS

    embedding = source.embedding
    if embedding is None:
        embedding = np.zeros([0, source.embedding_dim], np.float32)
    if words is None:
        # The encoder makes no token like these, so every word of a text is unknown.
        words = [f"[row {row}]".encode() for row in range(len(embedding))]
        unknown_row = np.full(source.embedding_dim, np.nan, np.float32)
    elif tuple(words[: len(SPECIAL_TOKENS)]) == SPECIAL_TOKENS:
        return words, embedding
    else:
        unknown_row = embedding.mean(axis=0)
    if unknown_token:
        unknown_row = embedding[words.index(unknown_token.encode())]
    padding_row = np.zeros_like(unknown_row)  # never read
    return [*SPECIAL_TOKENS, *words], np.concatenate([[padding_row, unknown_row], embedding])


def _read_names(flag: str, path: str, count: int, what: str) -> list[bytes] | None:
    """Returns the lines of a file of `count` names; None if `path` is empty."""
    if not path:
        return None
    lines = read_lines(pathlib.Path(path))
    if len(lines) != count:
        raise UserError(f"--{flag}={path}: {len(lines)} lines, expected {count}, one for {what}")
    return lines


def import_checkpoint(options: ImportOptions) -> None:
    """Writes the run folder.

    Args:
      options: options of the command.

    Raises:
      UserError: an option is wrong, or a file does not fit the others; nothing is written.
    """
    from tf_textrnn.runs import checkpoints
    from tf_textrnn.runs.folder import RunFolder

    folder = RunFolder(options.run_dir)
    folder.check_new()
    source = read_checkpoint(options.checkpoint)
    rows = 0 if source.embedding is None else len(source.embedding)
    if options.vocabulary and not rows:
        raise UserError(f"--vocabulary: {options.checkpoint} has no `embedding` for its words")
    words = _read_names("vocabulary", options.vocabulary, rows, "each row of `embedding`")
    if options.unknown_token and options.unknown_token.encode() not in (words or []):
        raise UserError(f"--unknown_token={options.unknown_token}: not in --vocabulary")
    classes = len(source.softmax_b)
    labels = _read_names("labels", options.labels, classes, "each column of softmax_w")
    vocabulary, embedding = word_table(source, words, options.unknown_token)
    config = Config().replace(
        tokenizer=options.tokenizer,
        stem_unknown_words=False,
        vocab_size=max(len(vocabulary), 3),
        max_len=options.max_len,
        hidden_size=source.hidden_size,
        num_layers=len(source.kernels),
        bidirectional=False,
        embedding_dim=source.embedding_dim,
        init_scale=0.1,
        forget_bias=0.0,
        keep_prob=0.5,
        output_dropout="steps",
        word_dropout=0.0,
        ngrams=0,
        label_smoothing=0.0,
        run_dir=options.run_dir,
    )
    folder.make()
    weights = {"embedding": embedding, **source.named_weights()}
    state = {"imported_from": options.checkpoint}
    checkpoints.write(folder.best / checkpoints.LONE_BEST, weights, state)
    write_lines(folder.vocabulary, vocabulary)
    write_lines(folder.labels, labels or [str(n).encode() for n in range(classes)])
    folder.write_config(config)
    print(
        f"{options.checkpoint}: LSTM layers {len(source.kernels)}, hidden size "
        f"{source.hidden_size}, input size {source.embedding_dim}, classes {classes}\n"
        f"run: {options.run_dir}"
    )
    if words is None:
        missing = "no --vocabulary" if rows else "no `embedding` in the checkpoint"
        print(
            f"{missing}: texts score NaN; the `embedded` signature"
            f"{' and token ids (row + 2)' if rows else ''} can be used"
        )
    elif not options.unknown_token and vocabulary is not words:
        print("no --unknown_token: a word outside the vocabulary gets the mean of all rows")
