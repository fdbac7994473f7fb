"""Every option of a run, once: name, type, default, meaning and allowed values.

The flags of `textrnn train`, a run's `config.json` and the tables of `docs/options.md` come from
these dataclasses. Standard library only.
"""

import dataclasses

from tf_textrnn.base.errors import UserError
from tf_textrnn.base.options import BASIC, SOURCE, CheckedOptions, option

POOLINGS = ("mean", "max", "last", "attention")  # `network.pooling` computes each
EXPORT_FORMATS = ("savedmodel", "onnx", "both")
MAX_TEXT_TOKENS = 65_536  # more of one text is never kept, whatever `max_len` says
MAX_EMBEDDING_DIM = 65_536


@dataclasses.dataclass(frozen=True)
class DataConfig(CheckedOptions):
    """Where the labeled texts come from."""

    dataset: str = option(
        "",
        "Named texts: languages (built in), imdb, reuters or tfds:<name>; empty = --train_file, "
        "or languages",
    )
    train_file: str = option(
        "",
        "Labeled texts to train on: a file, several with commas or * between, a folder with a "
        "folder a label, or - for standard input",
        is_path=True,
        on_resume=True,
        group=BASIC,
    )
    valid_file: str = option(
        "",
        "Labeled texts to choose the best epoch on; empty = a share of --train_file",
        is_path=True,
        on_resume=True,
        group=BASIC,
    )
    test_file: str = option(
        "",
        "Labeled texts to report on; empty = those of validation",
        is_path=True,
        on_resume=True,
        group=BASIC,
    )
    valid_fraction: float = option(
        0.1,
        "Share of each label's training texts to validate on without --valid_file",
        above=0,
        maximum=0.5,
    )
    folds: int = option(
        -1,
        "Number of folds of --train_file, each of which a model scores that has not seen it; the "
        "last model trains on all; 1 = a fold of --valid_fraction; 0 = none, that share is "
        "validated on; -1 = 0, or 1 where texts are too few for --min_epoch_steps, on one device "
        "without --valid_file, --init_from and --learning_curve",
        minimum=-1,
        maximum=1_000,
    )
    multi_label: bool | str = option(
        "auto",
        "Whether a text has a set of labels, any number of them, and not exactly one; auto = where "
        "--train_file gives lists, or 1 % of its texts have several",
        choices=(False, True, "auto"),
    )
    strict_labels: bool = option(
        False,
        "Refuses a label of --valid_file or --test_file that --train_file lacks; otherwise each "
        "such text counts as a mistake",
    )


@dataclasses.dataclass(frozen=True)
class FileConfig(CheckedOptions):
    """How labeled files are read."""

    format: str = option(
        "auto",
        "Format of the files; tsv = a line is a row, quotes are plain characters; csv = quotes "
        "enclose cells; auto = by content",
        choices=("auto", "tsv", "csv", "jsonl", "json", "fasttext", "parquet", "folder"),
    )
    encoding: str = option(
        "auto", "Encoding of the files, such as cp1252; auto = UTF-8, or what the bytes tell"
    )
    delimiter: str = option(
        "auto", "What separates the columns of a table, such as ; or tab; auto = found"
    )
    header: str = option(
        "auto",
        "Whether the first line of a table names its columns; auto = where it names those asked "
        "for",
        choices=("auto", "yes", "no"),
    )
    text_column: str = option(
        "text",
        "Column of a table, by name or number from 1, or key of a JSON object (a.b = b inside a), "
        "that holds the text; several, as in title,body, are joined with a space",
        group=BASIC,
    )
    label_column: str = option(
        "label",
        "Column of a table, by name or number from 1, or key of a JSON object, that holds the "
        "label",
        group=BASIC,
    )
    weight_column: str = option(
        "",
        "Column of a table, by name or number from 1, or key of a JSON object, that holds how much "
        "a text to train on counts; empty = all alike",
    )
    label_separator: str = option(
        "",
        "What separates several labels of one text, such as |; json = they are a JSON list; "
        "empty = a cell is one label",
    )
    missing_labels: str = option(
        "", "Labels that stand for none, separated by commas, such as nan,NULL"
    )
    skip_unlabeled: bool = option(False, "Passes over texts without a label")


@dataclasses.dataclass(frozen=True)
class TextConfig(CheckedOptions):
    """How a text becomes token ids."""

    tokenizer: str = option(
        "auto",
        "How texts are split: word, or char = one token a character; auto = char for languages "
        "and where most letters are of scripts without spaces, else word",
        choices=("auto", "word", "char"),
        group=BASIC,
    )
    vocab_size: int = option(
        20_000,
        "Maximum number of token ids, padding and unknown among them",
        minimum=3,
        maximum=50_000_000,
    )
    stem_unknown_words: bool = option(
        True,
        "Reads a word that the vocabulary lacks as the known one with the longest common "
        "beginning, at least two thirds of each and four characters; --tokenizer=word",
    )
    max_len: int = option(
        400,
        "Maximum number of tokens of a text that are read; the rest is cut",
        minimum=1,
        maximum=MAX_TEXT_TOKENS,
    )

    @property
    def reads_stems(self) -> bool:
        """Whether unknown words are read by their stems; characters have none."""
        return self.stem_unknown_words and self.tokenizer == "word"


@dataclasses.dataclass(frozen=True)
class ModelConfig(CheckedOptions):
    """The network: embedding, recurrent layers, pooling, affine layer."""

    cell: str = option("lstm", "Recurrent cell", choices=("lstm", "gru", "rnn"))
    hidden_size: int = option(
        128,
        "Number of units in each recurrent layer and direction",
        minimum=1,
        maximum=65_536,
        group=BASIC,
    )
    num_layers: int = option(1, "Number of recurrent layers", minimum=1, maximum=64)
    bidirectional: bool = option(True, "Reads each text in both directions")
    pooling: str = option(
        "mean",
        "How the outputs of a text's steps become one vector",
        choices=POOLINGS,
    )
    embedding_dim: int = option(
        128,
        "Size of a token's vector; with --pretrained_embeddings, that of its vectors",
        minimum=1,
        maximum=MAX_EMBEDDING_DIM,
    )
    pretrained_embeddings: str = option(
        "",
        "Word vectors to start from: word2vec, GloVe or fastText text, also .gz; word2vec's .bin; "
        "x.npy or x.safetensors, with their words in x.txt or their pieces in tokenizer.json; "
        "their words fill the vocabulary up to --vocab_size",
        is_path=True,
    )
    init_from: str = option(
        "",
        "Folder of a run that has ended, whose model to start from: its words and labels stay, "
        "those of the texts to train on are added; the network and the tokenizer are that run's",
        is_path=True,
    )
    keep_prob: float = option(
        0.4,
        "Share of each layer's inputs, and of the last layer's outputs, that dropout keeps; "
        "1 = no dropout",
        above=0,
        maximum=1,
    )
    output_dropout: str = option(
        "pooled",
        "Where the last layer's outputs are dropped: once, when pooled, or at all steps",
        choices=("pooled", "steps"),
        group=SOURCE,
    )
    init_scale: float = option(
        0.0,
        "Starts every weight uniform in ± this; 0 = Keras's initializers",
        minimum=0,
        group=SOURCE,
    )
    forget_bias: float = option(1.0, "Initial bias of the LSTM's forget gate", group=SOURCE)
    activation: str = option(
        "tanh",
        "Activation of --cell=rnn; with relu its recurrent kernel starts at the identity, unless "
        "--init_scale is given",
        choices=("tanh", "relu"),
        group=SOURCE,
    )
    leak: float = option(
        1.0,
        "How far the state of --cell=rnn moves at each step, of the whole way; below 1 = leaky "
        "units",
        above=0,
        maximum=1,
        group=SOURCE,
    )
    word_dropout: float = option(
        0.2,
        "Share of tokens that are read as unknown in training; 0 = none",
        minimum=0,
        maximum=0.9,
    )
    ngrams: int = option(
        -1,
        "Maximum length of the n-grams of a linear classifier beside the network; -1 = 2 words or "
        "4 characters; 0 = none",
        minimum=-1,
        maximum=4,
    )
    bptt_truncate: int = option(
        0,
        "Number of steps after which the gradient through time stops; 0 = never",
        minimum=0,
        group=SOURCE,
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.init_from:
            return  # the cell is that of the earlier run
        for name, of_others in (("activation", "tanh"), ("leak", 1.0)):
            value = getattr(self, name)
            if self.cell != "rnn" and value != of_others:
                raise UserError(f"--{name}={value} and --cell={self.cell}: expected --cell=rnn")


@dataclasses.dataclass(frozen=True)
class TrainingConfig(CheckedOptions):
    """The optimization."""

    batch_size: int = option(
        64,
        "Number of examples in a step, over all workers; 16 or more where texts are too few for "
        "--min_epoch_steps of them",
        minimum=1,
    )
    num_epochs: int = option(16, "Maximum number of epochs", minimum=1, on_resume=True, group=BASIC)
    min_epoch_steps: int = option(
        50,
        "Minimum number of steps in an epoch: over few texts batches are smaller, then it goes "
        "over them several times; 1 = neither",
        minimum=1,
        maximum=100_000,
    )
    optimizer: str = option("adam", "Update rule", choices=("adam", "sgd"), group=SOURCE)
    learning_rate: float = option(
        2e-3, "Learning rate before any decay", above=0, on_resume=True, group=BASIC
    )
    lr_decay: float = option(
        0.75,
        "Factor of the learning rate for each epoch past --max_decay_epoch; 1 = constant",
        above=0,
        maximum=1,
        on_resume=True,
    )
    max_decay_epoch: int = option(
        8, "Last epoch, counted from 0, at the full learning rate", minimum=0, on_resume=True
    )
    max_grad_norm: float = option(
        5.0, "Clips gradients at this global norm; 0 = off", minimum=0, on_resume=True
    )
    label_smoothing: float = option(
        0.1,
        "Share of the network's target that goes to all classes alike; 0 = none",
        minimum=0,
        maximum=0.9,
    )
    tune_embeddings_epoch: int = option(
        0,
        "First epoch, counted from 0, that trains --pretrained_embeddings; -1 = none does",
        minimum=-1,
        on_resume=True,
    )
    class_weights: str = option(
        "none",
        "Weight of a text's loss: balanced = the rarer its label, the more; none = all alike; else "
        "a file with a label, a tab and its weight in each line",
        is_path=True,
    )
    threshold: str = option(
        "auto",
        "Least probability of an accepted label: a number; f1 = that of the largest F1 on the "
        "validation texts, a label each; precision:0.95 = that at which so many are right; auto = "
        "f1 with sets of labels, else none",
    )
    average_decay: float = option(
        0.998,
        "Decay of the running average of weights that is evaluated; 0 = off",
        minimum=0,
        maximum=0.999999,
    )
    patience: int = option(
        4,
        "Number of epochs without a validation loss lower by a hundredth before training stops; "
        "0 = never",
        minimum=0,
        on_resume=True,
    )
    seed: int = option(1, "Seed of all random numbers", minimum=0, maximum=2**31 - 1, group=BASIC)

    @property
    def enough_texts(self) -> int:
        """Number of texts that make an epoch of `min_epoch_steps` with batches of `batch_size`."""
        return self.min_epoch_steps * self.batch_size


@dataclasses.dataclass(frozen=True)
class RunConfig(CheckedOptions):
    """Where a run lives and what it does beside training."""

    run_dir: str = option(
        "",
        "Folder of the run; empty = a new one under runs/",
        on_resume=True,
        is_path=True,
        group=BASIC,
    )
    resume: bool | str = option(
        False,
        "Goes on with the run in --run_dir; auto = where there is one",
        choices=(False, True, "auto"),
        on_resume=True,
        group=BASIC,
    )
    learning_curve: bool = option(
        False,
        "Also trains on an eighth, a quarter and half of the texts, to tell what more texts bring",
    )
    cache_dir: str = option(
        "",
        "Folder of encoded files; empty = tf_textrnn in the user's cache folder",
        on_resume=True,
        is_path=True,
    )
    strategy: str = option(
        "auto",
        "Devices: one, mirrored = all GPUs of this machine, multiworker = TF_CONFIG's processes; "
        "auto = what is there",
        choices=("auto", "one", "mirrored", "multiworker"),
        on_resume=True,
    )
    join_minutes: float = option(
        10.0,
        "Minutes that a worker of TF_CONFIG waits at most for the others to come",
        above=0,
        on_resume=True,
    )
    step_seconds: float = option(
        45.0,
        "Seconds that workers wait at most for one another inside a step",
        above=0,
        on_resume=True,
    )
    export: bool = option(
        True, "Writes <run>/export/<version>, to serve, at the end", on_resume=True
    )
    export_format: str = option(
        "savedmodel",
        "What is exported: savedmodel, onnx = <run>/export_onnx/<version>, for ONNX Runtime, which "
        "needs no TensorFlow, or both",
        choices=EXPORT_FORMATS,
        on_resume=True,
    )
    metric: str = option(
        "loss",
        "Measure of the validation texts in metrics.jsonl: macro_f1, f1:LABEL or "
        "recall_at_precision:LABEL:0.9 stand there as valid_metric, beside loss and accuracy; it "
        "decides what textrnn tune keeps",
    )
    checkpoint_minutes: float = option(
        5.0,
        "Minutes between checkpoints inside an epoch; 0 = only at its end",
        minimum=0,
        on_resume=True,
    )
    gradients_every: int = option(
        50,
        "Number of steps between histograms of the gradients in TensorBoard; 1 = every step, "
        "0 = none",
        minimum=0,
        on_resume=True,
    )
