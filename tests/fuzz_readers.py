"""Fuzzes the readers with atheris: any bytes give either examples or one clear error line.

    pip install atheris && python tests/fuzz_readers.py -max_total_time=600

A finding becomes a case of tests/test_hostile_texts.py.
"""

import gzip
import pathlib
import sys
import tempfile

import atheris

with atheris.instrument_imports():
    from tf_textrnn.base.errors import UserError
    from tf_textrnn.base.files import read_lines
    from tf_textrnn.config import Config, FileConfig
    from tf_textrnn.data import sources

sources.MAX_LINE = 2_000  # so that its bound is met
FOLDER = pathlib.Path(tempfile.mkdtemp())
FORMATS = ("tsv", "csv", "jsonl", "fasttext")


def try_input(data: bytes) -> None:
    kind, content = data[:1], data[1:]
    choice = kind[0] if kind else 0
    suffix = ".gz" if choice & 64 else ""
    path = FOLDER / f"x{suffix}"
    path.write_bytes(gzip.compress(content, 1) if choice & 128 else content)
    try:
        if choice & 32:
            Config.from_json(content.decode("utf-8", "replace"), "config.json").to_json()
        elif choice & 16:
            b"\n".join(read_lines(path)).decode()
        else:
            config = FileConfig(format=FORMATS[choice % 4])
            for label, text, line in sources.file_source(str(path), config, "train_file").read():
                assert label == label.strip() != "" and label.isprintable(), label
                assert "\0" not in text
                text.encode()
                assert line >= 1
    except UserError as error:
        assert str(error).isprintable(), str(error)


if __name__ == "__main__":
    atheris.Setup(sys.argv, try_input)
    atheris.Fuzz()
