"""Fuzzes the readers with atheris: any bytes give either examples or one clear error line.

    pip install atheris && python -m tests.fuzz_readers -max_total_time=600

The first bytes of an input choose the options, the name of the file and how it is opened. A finding
becomes a case of tests/test_hostile_texts.py. tests/fuzz_files.py fuzzes containers and encodings.
"""

import pathlib
import sys
import tempfile

import atheris

with atheris.instrument_imports(include=["tf_textrnn", "csv", "json"]):
    from tf_textrnn.base.errors import UserError
    from tf_textrnn.base.files import read_lines
    from tf_textrnn.config import Config, FileConfig
    from tf_textrnn.data import contents, encodings, labels, objects, readers, sources, tables

for module in (encodings, objects, tables):
    module.MAX_LINE = 2_000  # so that its bound is met
objects._BLOCK = 64
contents._SAMPLE = 500
FOLDER = pathlib.Path(tempfile.mkdtemp())
CHOICES: dict[str, list] = {
    "format": ["auto", "auto", "tsv", "csv", "jsonl", "json", "fasttext", "parquet"],
    "delimiter": ["auto", "auto", ",", "tab", ";", "|", " ", "a"],
    "header": ["auto", "yes", "no"],
    "text_column": ["text", "2", "text,b", "a.b", "1,3"],
    "label_column": ["label", "1", "a.c"],
    "label_separator": ["", "", "|", "json"],
    "missing_labels": ["", "nan,-"],
    "skip_unlabeled": [False, True],
}
NAMES = ["x", "x.csv", "x.tsv", "x.json", "x.txt"]
COUNTS: dict[str, int] = {}


def read(path: pathlib.Path, config: FileConfig, is_labeled: bool) -> int:
    count = 0
    if is_labeled:
        for label, text, line, *_ in sources.file_source(str(path), config, "train_file").read():
            assert label == label.strip()
            labels.check_label(label)
            assert "\ufffd" not in label
            assert "\0" not in text
            text.encode()
            assert line >= 1
            count += 1
        return count
    opened = readers.open_file(str(path), config, "input", needs_label=False)
    for record in opened.records():
        record.text.encode()
        if isinstance(record.cells, list) and opened.header:
            assert len(record.cells) == len(opened.header)
        count += 1
    return count


def try_input(data: bytes) -> None:
    if len(data) < len(CHOICES) + 2:
        return
    *choices, name, how = data[: len(CHOICES) + 2]
    content = data[len(CHOICES) + 2 :]
    path = FOLDER / NAMES[name % len(NAMES)]
    path.write_bytes(content)
    options = {
        option: values[choice % len(values)]
        for (option, values), choice in zip(CHOICES.items(), choices, strict=True)
    }
    result = "read"
    try:
        if how % 16 == 0:
            Config.from_json(content.decode("utf-8", "replace"), "config.json").to_json()
        elif how % 16 == 1:
            b"\n".join(read_lines(path)).decode()
        else:
            read(path, FileConfig(**options), bool(how % 2))
    except UserError as error:
        assert str(error).isprintable(), str(error)
        result = "refused"
    COUNTS[result] = COUNTS.get(result, 0) + 1


if __name__ == "__main__":
    atheris.Setup(sys.argv, try_input)
    atheris.Fuzz()
