"""Contestant: this project, its own loop over its own batches."""

import tempfile

from benchmarks import contest
from tf_textrnn.base.startup import load_tensorflow

load_tensorflow()
import keras  # noqa: E402
import tensorflow as tf  # noqa: E402

from benchmarks.encoded import as_data  # noqa: E402
from tf_textrnn.config import Config  # noqa: E402
from tf_textrnn.runs.folder import RunFolder  # noqa: E402
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
    tf.config.experimental.enable_op_determinism()
    keras.utils.set_random_seed(1)
    with tempfile.TemporaryDirectory() as folder:
        trainer = Trainer(config, as_data(data, args.max_len), RunFolder(folder), Workers())
        trainer.restore()  # opens the summaries; there is no checkpoint

        def epoch() -> None:
            trainer.train_epoch()
            trainer.progress.batch = 0

        contest.compete(epoch, args, len(data.classes))


if __name__ == "__main__":
    main()
