"""What TensorBoard's HParams compares runs by.

TensorBoard takes the columns from all runs that it shows. Of the options those whose values differ
come first, then it goes by name; measures go by name; and it opens on the first five of each. The
parallel coordinates leave out a run that has not written one of their options. So each run writes
all of its options, and names its measures in the order of their worth.
"""

import dataclasses
from collections.abc import Mapping
from typing import Any

from tf_textrnn.config import Config

MEASURES = ("accuracy", "log_loss", "macro_f1", "valid_accuracy", "valid_loss")
SET_MEASURES = ("micro_f1", "per_text_f1", "average_precision")  # more, of label sets
TRAINING = ("best_epoch", "train_examples_per_second")  # their tags come after the measures'


def compared_options(config: Config) -> dict[str, Any]:
    """The options that shape a model: not those of `run`, nor the files of validation and test.

    Args:
      config: settled config.

    Example:
      >>> config = Config().replace(train_file="a.tsv", hidden_size=64).settled()
      >>> options = compared_options(config)
      >>> options["hidden_size"], options["keep_prob"], "run_dir" in options
      (64, 0.4, False)
    """
    aside = {"valid_file", "test_file", *dataclasses.asdict(config.run)}
    return {name: value for name, value in config.options().items() if name not in aside}


def compared_measures(report: Mapping[str, Any]) -> dict[str, float]:
    """The numbers of a run by tag, as `report/accuracy`.

    Args:
      report: values of `report.json`.
    """
    measures = MEASURES + (SET_MEASURES if "per_text_f1" in report else ())
    tags = [("report", name) for name in measures] + [("training", name) for name in TRAINING]
    return {f"{group}/{name}": report[name] for group, name in tags if name in report}
