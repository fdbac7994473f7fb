"""Says how labeled files are read and what stands out in their texts.

    textrnn check --train_file=reviews.csv         without training
    textrnn check --deep --train_file=reviews.csv  also which labels may be wrong

A deep check takes as long as six trainings, and ends with the report of a run.
"""

import dataclasses
from collections import Counter
from typing import TYPE_CHECKING

from tf_textrnn.base.options import CheckedOptions, option
from tf_textrnn.base.startup import load_tensorflow
from tf_textrnn.base.tables import aligned, shown_labels
from tf_textrnn.base.terminal import show
from tf_textrnn.config import Config, DataConfig, FileConfig, TextConfig

if TYPE_CHECKING:
    from tf_textrnn.data.summary import Summary

DEEP_FOLDS = 5
_LENGTHS = ("shortest", "25%", "median", "75%", "99%", "longest")


@dataclasses.dataclass(frozen=True)
class CheckOptions(CheckedOptions):
    """What decides how the texts are split and where they are kept."""

    seed: int = option(1, "Seed of the split without --valid_file", minimum=0, maximum=2**31 - 1)
    cache_dir: str = option(
        "", "Folder of encoded files; empty = tf_textrnn in the user's cache folder", is_path=True
    )
    deep: bool = option(
        False,
        "Trains too, in folds (--folds=5 if not set), and lists the labels that may be wrong in "
        "suspicious.tsv of a new folder under runs/",
    )


SECTIONS = (DataConfig, FileConfig, TextConfig, CheckOptions)


def check(config: Config) -> Config:
    """Prints how the files of a run are read, and all that there is to say of their texts.

    Args:
      config: options of the run, not yet settled.

    Returns:
      The same, settled.

    Raises:
      UserError: flags that contradict one another, or a file with a mistake.
    """
    config.settled()  # before TensorFlow loads: mistakes are told at once
    load_tensorflow()
    from tf_textrnn.data import splits
    from tf_textrnn.data.findings import count_labels
    from tf_textrnn.data.settling import settle
    from tf_textrnn.data.summary import summarize

    settled, sources = settle(config, None)
    sources = sources or splits.open_sources(settled)
    data = splits.load(settled, sources)
    summary = summarize(data, settled.text)
    reading = [
        line
        for source in sources.values()
        for line in [file.description for file in source.files] or [source.name]
    ]
    num_folds, share = settled.data.folds, settled.data.valid_fraction
    if data.is_scored_whole:
        reading.append(f"valid: each text to train on, in {num_folds} folds (--folds={num_folds})")
    elif "valid" not in sources:
        line = f"valid: {share:.0%} of the texts to train on (--valid_fraction={share:g})"
        also = "; the last model trains on them too (--folds=1)" if num_folds else ""
        reading.append(line + also)
    blocks = [
        reading,
        summary.notes,
        _label_table(
            {name: count_labels([split]) for name, split in data.splits.items()}, data.all_labels
        ),
        [
            *_length_table(summary),
            f"(--tokenizer={settled.text.tokenizer}; what comes after --max_len="
            f"{settled.text.max_len} is cut; {len(data.vocabulary):,} token ids)",
        ],
        [line for finding in summary.findings for line in finding.block()]
        or ["nothing stands out"],
    ]
    show("\n\n".join("\n".join(block) for block in blocks if block))
    return settled


def _label_table(counts: dict[str, Counter[str]], labels: list[str]) -> list[str]:
    """Lines with the number of texts of each label in each split, and in all."""
    shown = shown_labels(labels)
    rows = [
        [shown[label], *(f"{of_split[label]:,}" for of_split in counts.values())]
        for label in labels
    ]
    totals = ["all", *(f"{of_split.total():,}" for of_split in counts.values())]
    return aligned([["texts of a label", *counts], *rows, totals])


def _length_table(summary: "Summary") -> list[str]:
    """Lines with the quantiles of the lengths of the texts of each split."""
    rows = [
        [
            name,
            *(f"{length:,}" for length in numbers["length_quantiles"]),
            f"{numbers['lost_tokens'] / max(numbers['tokens'], 1):.1%}",
            f"{numbers['unknown_tokens'] / max(numbers['tokens'] - numbers['lost_tokens'], 1):.1%}",
        ]
        for name, numbers in summary.splits.items()
    ]
    return aligned([["tokens of a text", *_LENGTHS, "cut", "unknown"], *rows])
