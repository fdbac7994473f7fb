"""Tells what a file of text is: by its content first, by its name where that says too little."""

import io
import json
import pathlib
import re

from tf_textrnn.config import FileConfig
from tf_textrnn.data.dialects import has_header
from tf_textrnn.data.objects import text_blocks
from tf_textrnn.data.texts import FASTTEXT_LABEL

_ENDINGS = {".tsv": "tsv", ".tab": "tsv", ".csv": "csv", ".jsonl": "jsonl", ".ndjson": "jsonl",
            ".json": "jsonl", ".ft": "fasttext", ".fasttext": "fasttext",
            ".parquet": "parquet"}  # fmt: skip
_CONTAINER_ENDINGS = (".gz", ".bz2", ".xz", ".zst", ".zip")
_SAMPLE = 1 << 20  # characters from which the format is told
_SAMPLE_LINES = 100  # of these to tell whether they are fastText's


def format_of_name(path: str) -> str:
    """The format that a file's name says; empty if it says none."""
    suffixes = [suffix.lower() for suffix in pathlib.Path(path).suffixes]
    if suffixes and suffixes[-1] in _CONTAINER_ENDINGS:
        suffixes.pop()
    return _ENDINGS.get(suffixes[-1], "") if suffixes else ""


def first_lines(path: str, encoding: str) -> tuple[list[str], bool]:
    """Returns the first lines, with their ends, and whether they are the whole file."""
    text = ""
    for block in text_blocks(path, encoding):
        text += block
        if len(text) > _SAMPLE:
            break
    lines = io.StringIO(text, newline="").readlines()
    is_whole = len(text) <= _SAMPLE
    return (lines if is_whole or len(lines) == 1 else lines[:-1]), is_whole


def format_of_content(lines: list[str], hint: str, config: FileConfig, needs_label: bool) -> str:
    """Returns jsonl, json or fasttext by the first lines of a file; else "table"."""
    if config.delimiter != "auto" or config.header != "auto":
        return "table"
    full = [line for line in lines if line.strip()][:_SAMPLE_LINES]
    if not full:
        return hint or "lines"
    first = full[0].strip()
    if first.startswith("{"):
        if hint == "jsonl" or _is_json(first) or (needs_label and re.match(r'\{\s*("|$)', first)):
            return "jsonl"
    elif first == "[" or re.match(r"\[\s*(\{|\]\s*$)", "".join(full).strip()):
        return "json"
    num_labeled = sum(bool(FASTTEXT_LABEL.search(line)) for line in full)
    if num_labeled * 2 > len(full) and not has_header(lines, config, needs_label):
        return "fasttext"
    return "jsonl" if hint == "jsonl" and first[0] in '[{"' else "table"


def _is_json(line: str) -> bool:
    try:
        return isinstance(json.loads(line), dict)
    except (ValueError, RecursionError):
        return False
