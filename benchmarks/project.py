"""Contestant: this project, its own loop over its own batches."""

import tempfile

import numpy as np

from benchmarks import contest
from tf_textrnn.startup import load_tensorflow

load_tensorflow()
import keras  # noqa: E402
import tensorflow as tf  # noqa: E402

from tf_textrnn.config import Config  # noqa: E402
from tf_textrnn.data.batches import Split  # noqa: E402
from tf_textrnn.data.corpus import Corpus  # noqa: E402
from tf_textrnn.data.datasets import examples_source  # noqa: E402
from tf_textrnn.data.splits import Data  # noqa: E402
from tf_textrnn.runs import RunFolder  # noqa: E402
from tf_textrnn.training.distribution import Workers  # noqa: E402
from tf_textrnn.training.loop import Trainer  # noqa: E402


def main() -> None:
    args = contest.arguments(__doc__)
    data = contest.read(args.input)
    config = Config().replace(
        ngrams=0,  # the peers have none
        word_dropout=0.0,
        output_dropout="steps",
        label_smoothing=0.0,
        average_decay=0.0,
        embedding_dim=contest.EMBEDDING_DIM,
        hidden_size=args.hidden_size,
        batch_size=args.batch_size,
        keep_prob=contest.KEEP_PROB,
        max_grad_norm=contest.MAX_GRAD_NORM,
        bidirectional=not args.unidirectional,
        optimizer="sgd" if args.sgd else "adam",
        max_len=args.max_len,
        checkpoint_minutes=0.0,
        gradients_every=1 if args.summaries else 0,
    )
    vocabulary = [str(token_id).encode() for token_id in range(data.vocab_size)]
    labels = [str(label) for label in range(data.num_classes)]
    corpus = Corpus(
        source=examples_source("contest", []),
        fingerprint="contest",
        types=vocabulary,
        label_names=labels,
        type_ids=data.token_ids,
        offsets=data.offsets,
        labels=data.classes,
    )
    identity = np.arange(data.vocab_size, dtype=np.int32)
    rows = np.arange(len(data.classes))
    split = Split(corpus, rows, identity, identity[: data.num_classes], args.max_len)
    tf.config.experimental.enable_op_determinism()
    keras.utils.set_random_seed(1)
    with tempfile.TemporaryDirectory() as folder:
        trainer = Trainer(
            config,
            Data(vocabulary, labels, split, split, None, "contest"),
            RunFolder(folder),
            Workers(),
        )
        trainer.restore()  # opens the summaries; there is no checkpoint

        def epoch() -> None:
            trainer.train_epoch()
            trainer.progress.batch = 0

        contest.compete(epoch, args, len(rows))


if __name__ == "__main__":
    main()
