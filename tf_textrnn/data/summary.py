"""Sums up the texts of a run, before it trains on them."""

import dataclasses
from typing import Any

import numpy as np

from tf_textrnn.config import TextConfig
from tf_textrnn.data.batches import Split
from tf_textrnn.data.findings import Finding, find, quantiles, whole_lengths
from tf_textrnn.data.parts import fold_of
from tf_textrnn.data.splits import Data
from tf_textrnn.data.type_counts import count_types
from tf_textrnn.text import UNKNOWN_ID

_MAX_LINES, _MIN_NOTES = 6, 2  # in all; of notes, where there are findings too
_EXAMPLES_SHOWN = 3


@dataclasses.dataclass(frozen=True)
class Summary:
    """What there is to say of the texts of a run.

    Attributes:
      notes: how files were read, where a user should be told of it, each a line.
      splits: by split, the number of texts and tokens, how many are cut, lost, unknown and empty,
        and the `QUANTILES` of the texts' lengths in tokens.
      findings: what stands out, the most important first.
    """

    notes: list[str]
    splits: dict[str, dict[str, Any]]
    findings: list[Finding]

    @property
    def values(self) -> dict[str, Any]:
        """What `report.json` holds of it."""
        return dataclasses.asdict(self)

    def lines(self) -> list[str]:
        """At most six lines for people; the last says how many are left out."""
        findings = [finding.shown(_EXAMPLES_SHOWN) for finding in self.findings]
        num_notes = max(_MAX_LINES - len(findings), _MIN_NOTES)
        lines = [*self.notes[:num_notes], *findings]
        left_out = len(self.notes) + len(findings) - _MAX_LINES
        if left_out <= 0:
            return lines
        return [*lines[: _MAX_LINES - 1], f"and {left_out + 1} more; `textrnn check` shows all"]


def summarize(data: Data, config: TextConfig) -> Summary:
    """Sums up the texts of a run.

    Args:
      data: the texts.
      config: settled options of the texts.
    """
    splits = data.splits
    # As the model reads it that is measured on it.
    valid = data.valid if data.folds is None else fold_of(data, 0).valid
    if "valid" in splits:
        splits["valid"] = valid
    notes = [note for split in splits.values() for note in split.corpus.notes]
    return Summary(
        list(dict.fromkeys(notes)),
        {name: _numbers(split) for name, split in splits.items()},
        find(data, valid, config),
    )


def _numbers(split: Split) -> dict[str, Any]:
    lengths = whole_lengths(split)
    counts = count_types(split.corpus, split.rows, split.max_len)
    return {
        "texts": len(split),
        "tokens": int(lengths.sum()),
        "cut_texts": int((lengths > split.max_len).sum()),
        "lost_tokens": int(np.maximum(lengths - split.max_len, 0).sum()),
        "unknown_tokens": int(counts[split.id_of_type == UNKNOWN_ID].sum()),
        "empty_texts": int((lengths == 0).sum()),
        "length_quantiles": [int(length) for length in quantiles(lengths)],
    }
