"""The process of `training/side_by_side.py`: trains one part of a run's texts.

Its words are `fold` or `share` and the number of one; it reads the run's settled options from
standard input.
"""

import sys

from tf_textrnn.base.exits import end_with
from tf_textrnn.base.startup import load_tensorflow


def _train() -> None:
    tf = load_tensorflow()
    from tf_textrnn.config import Config
    from tf_textrnn.data import splits
    from tf_textrnn.data.parts import eighths
    from tf_textrnn.runs.folder import RunFolder
    from tf_textrnn.training.distribution import Workers
    from tf_textrnn.training.folds import fold_part, train_part
    from tf_textrnn.training.learning_curve import share_part
    from tf_textrnn.training.resume import training_to_end

    kind, number = sys.argv[1:]
    config = Config.from_json(sys.stdin.buffer.read().decode(), "standard input")
    folder = RunFolder(config.run.run_dir)
    data = splits.load(config, saved_labels=folder.read_labels())
    tf.config.experimental.enable_op_determinism()  # earlier, it tokenizes on one core
    if kind == "fold":
        part = fold_part(config, data, folder, int(number) - 1)
    else:
        of_text = eighths(data, config.training.seed, config.has_label_sets)
        part = share_part(config, data, folder, of_text, int(number))
    workers = Workers()
    train_part(part, workers, training_to_end(config, folder, workers))


if __name__ == "__main__":
    end_with(_train)
