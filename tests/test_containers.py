"""Compressed files and standard input are read as their text; what is no text is refused."""

import io
import os
import pathlib
import pickle
import re
import subprocess
import sys
import tracemalloc

import numpy as np
import pyarrow
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pyarrow import parquet

from tests.containers import CONTAINERS, zipped
from tf_textrnn.base.errors import UserError
from tf_textrnn.config import FileConfig
from tf_textrnn.data import containers
from tf_textrnn.data.containers import container_note, local_path, open_bytes
from tf_textrnn.data.encodings import numbered_lines
from tf_textrnn.data.sources import file_source

ROOT = pathlib.Path(__file__).parents[1]
TEXT = "".join(f"label {i % 3}\ttext {i} of many\n" for i in range(200)).encode()


def read(path) -> bytes:
    with open_bytes(str(path)) as file:
        return file.read()


def refusal(path) -> str:
    with pytest.raises(UserError) as caught:
        read(path)
    return str(caught.value).replace(str(path), "PATH")


@pytest.mark.parametrize("name", ["x.tsv", "x.gz", "x.zip", "x"])
@pytest.mark.parametrize("kind", [*CONTAINERS, "plain"])
def test_content_tells_the_container_and_a_contradiction_is_said(tmp_path, kind, name):
    path = tmp_path / name
    path.write_bytes(CONTAINERS[kind](TEXT) if kind != "plain" else TEXT)
    assert read(path) == TEXT
    named = {".gz": "gzip", ".zip": "zip"}.get(path.suffix)
    note = container_note(str(path))
    if named in (None, kind):
        assert note == ""
    else:
        read_as = "it is" if kind == "plain" else kind
        assert note == f"{path}: it is no {named} data, as its name says; read as {read_as}"


@pytest.mark.parametrize("kind", ["gzip", "bzip2", "xz", "zstd"])
def test_pieces_that_were_joined_are_read_whole(tmp_path, kind):
    path = tmp_path / "x"
    path.write_bytes(CONTAINERS[kind](TEXT) + CONTAINERS[kind](b"b\tmore\n"))
    assert read(path) == TEXT + b"b\tmore\n"


@pytest.mark.parametrize("kind", CONTAINERS)
@settings(
    suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=40
)
@given(data=st.data())
def test_damage_is_never_read_as_text(tmp_path, kind, data):
    whole = CONTAINERS[kind](TEXT)
    cut = data.draw(st.integers(0, len(whole) - 1))
    path = tmp_path / "x"
    path.write_bytes(whole[: max(cut, 8)])
    assert re.match(rf"PATH:\d+: broken {kind} data \(.", refusal(path))
    path.write_bytes(whole[:cut] + bytes([whole[cut] ^ 255]) + whole[cut + 1 :])
    try:
        assert read(path) in (TEXT, path.read_bytes())  # harmless, or no longer a container
    except UserError as error:
        assert str(path) in str(error)


def test_broken_data_names_the_line_where_it_breaks(tmp_path):
    path = tmp_path / "x.tsv"
    noise = np.random.default_rng(1).integers(32, 127, (100_000, 10), np.uint8)
    noise[:, -1] = ord("\n")
    path.write_bytes(CONTAINERS["gzip"](noise.tobytes())[:-9])
    lines = 0
    with pytest.raises(
        UserError, match=r"x\.tsv:(\d+): broken gzip data \(Compressed file"
    ) as caught:
        for number, _ in numbered_lines(str(path), "\n"):
            lines = number
    line = int(str(caught.value).split(":")[1])
    assert lines < line < lines + 30_000 and line > 60_000


@pytest.mark.parametrize("kind", CONTAINERS)
def test_a_bomb_is_refused_before_it_fills_the_memory(tmp_path, kind, monkeypatch):
    monkeypatch.setattr(containers, "_BOMB_BYTES", 1 << 20)
    path = tmp_path / "x.tsv"
    path.write_bytes(CONTAINERS[kind](bytes(1 << 25)))
    tracemalloc.start()
    try:
        with open_bytes(str(path)) as file, pytest.raises(UserError, match="over 200 times"):
            while file.read(1 << 16):
                pass
        assert tracemalloc.get_traced_memory()[1] < 24 << 20
    finally:
        tracemalloc.stop()


def test_texts_that_repeat_themselves_are_no_bomb(tmp_path, monkeypatch):
    monkeypatch.setattr(containers, "_BOMB_BYTES", 0)
    path = tmp_path / "x.tsv"
    path.write_bytes(CONTAINERS["xz"](TEXT))
    assert read(path) == TEXT


def test_a_zip_holds_one_file_beside_those_of_macos(tmp_path):
    path = tmp_path / "x.zip"
    path.write_bytes(
        zipped({"d/x.tsv": TEXT, "__MACOSX/d/._x": b"?", "d/": b"", "d/.DS_Store": b"?"})
    )
    assert read(path) == TEXT
    path.write_bytes(zipped({"a.tsv": TEXT, "b\n.tsv": TEXT}))
    assert refusal(path) == r"PATH: expected a zip with one file, found 2: a.tsv, b\n.tsv"
    path.write_bytes(zipped({f"{i}.tsv": b"" for i in range(99)}))
    assert "found 99: 0.tsv, 1.tsv, " in refusal(path) and refusal(path).endswith("9.tsv, …")
    path.write_bytes(zipped({}))
    assert refusal(path) == "PATH: expected a zip with one file, found 0"


def test_an_encrypted_zip(tmp_path):
    path = tmp_path / "x.zip"
    content = bytearray(zipped({"x": TEXT}))
    content[content.index(b"PK\1\2") + 8] |= 1
    path.write_bytes(content)
    assert refusal(path) == "PATH: x is encrypted; unpack it first"


def test_a_zip_that_names_its_file_with_nothing(tmp_path):
    path = tmp_path / "x.zip"
    content = bytearray(zipped({"x": TEXT}))
    content[content.index(b"PK\1\2") + 46] = 0
    path.write_bytes(content)
    assert refusal(path).startswith("PATH:1: broken zip data (")


def arrays() -> bytes:
    buffer = io.BytesIO()
    np.savez(buffer, x=np.arange(9))
    return buffer.getvalue()


def array() -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, np.arange(9))
    return buffer.getvalue()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"\x89PNG\r\n\x1a\n" + bytes(99), "this is a PNG image; expected labeled texts"),
        (b"\xff\xd8\xff\xe0\0\x10JFIF", "this is a JPEG image; expected labeled texts"),
        (b"GIF89a" + bytes(99), "this is a GIF image; expected labeled texts"),
        (b"RIFF\x24\0\0\0WAVEfmt ", "this is a sound, picture or film; expected labeled texts"),
        (b"\0\0\0\x20ftypisom", "this is a sound, picture or film; expected labeled texts"),
        (b"%PDF-1.7\n", "this is a PDF document; save its texts as csv, tsv or JSON lines"),
        (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "this is an old Excel or Word file; save it as csv"),
        (
            zipped({"[Content_Types].xml": b"", "xl/workbook.xml": b""}),
            "this is an Excel spreadsheet; save it as csv",
        ),
        (
            zipped({"[Content_Types].xml": b"", "word/document.xml": b""}),
            "this is a Word document; save its texts as csv, tsv or JSON lines",
        ),
        (
            zipped({"mimetype": b"", "META-INF/manifest.xml": b""}),
            "this is an OpenDocument file; save it as csv",
        ),
        (pickle.dumps(["a"]), "this is a Python pickle; save its texts as csv, tsv or JSON lines"),
        (array(), "this is a NumPy array; save its texts as csv, tsv or JSON lines"),
        (
            arrays(),
            "this is an archive of NumPy arrays; save its texts as csv, tsv or JSON lines",
        ),
        (b"SQLite format 3\0", "this is an SQLite database; save its texts as csv"),
        (b"7z\xbc\xaf\x27\x1c\0", "this is a 7z archive; unpack it first"),
        (b"Rar!\x1a\x07\x01\0", "this is a rar archive; unpack it first"),
        (b"x.tsv".ljust(257, b"\0") + b"ustar\x0000", "this is a tar archive; unpack it first"),
        (
            CONTAINERS["gzip"](b"x.tsv".ljust(257, b"\0") + b"ustar\x0000"),
            "the gzip data holds a tar archive; unpack it first",
        ),
        (CONTAINERS["zip"](CONTAINERS["xz"](TEXT)), "the zip data holds xz data; unpack it first"),
        (pathlib.Path(sys.executable).read_bytes()[:999], "this is a program; expected"),
        (
            b"version https://git-lfs.github.com/spec/v1\noid",
            "a pointer of Git LFS; `git lfs pull`",
        ),
    ],
)
def test_what_is_no_text_is_refused_by_its_kind(tmp_path, content, message):
    path = tmp_path / "x.tsv"
    path.write_bytes(content)
    assert refusal(path).startswith("PATH: ") and message in refusal(path)


@pytest.mark.parametrize(
    "content", [b"", b"a", b"BZhong guo\n", b"PK\tgoalkeeper\n", b"RIFF raff\n", b"GIF\tpicture\n"]
)
def test_text_that_starts_like_something_else_is_text(tmp_path, content):
    path = tmp_path / "x.tsv"
    path.write_bytes(content)
    assert read(path) == content


def test_zstd_without_its_package_names_the_extra(tmp_path, monkeypatch):
    path = tmp_path / "x"
    path.write_bytes(CONTAINERS["zstd"](TEXT))
    monkeypatch.setitem(sys.modules, "zstandard", None)
    message = "PATH: zstd data needs `zstandard`: pip install 'tf_textrnn[formats]'"
    assert refusal(path) == message


def test_what_cannot_be_opened(tmp_path):
    assert refusal(tmp_path / "none") == "PATH: No such file or directory"
    assert refusal(tmp_path) == "PATH: Is a directory"


STANDARD_INPUT = """
import os
import sys
from tf_textrnn.config import FileConfig
from tf_textrnn.data.containers import local_path, open_bytes
from tf_textrnn.data.sources import file_source
path = local_path("-", "train_file")
for _ in range(2):
    assert local_path("-", "train_file") == path
    with open_bytes(path) as file, open_bytes(path) as other:
        print(len(other.read()), len(file.read()))
for flag in ("valid_file", "train_file"):
    try:
        list(file_source("-", FileConfig(format="tsv", header="no"), flag).read())
    except ValueError as error:
        print(error)
sys.stdout.flush()
os._exit(0)
"""


@pytest.mark.parametrize("kind", ["gzip", "plain"])
def test_standard_input_is_read_as_often_as_needed_by_one_flag(tmp_path, kind):
    content = TEXT + b"no label\n"
    done = subprocess.run(
        [sys.executable, "-c", STANDARD_INPUT],
        cwd=ROOT,
        env={**os.environ, "TMPDIR": str(tmp_path)},
        input=CONTAINERS[kind](content) if kind != "plain" else content,
        capture_output=True,
        check=True,
    )
    assert done.stdout.decode().splitlines() == [
        f"{len(content)} {len(content)}",
        f"{len(content)} {len(content)}",
        "--train_file=- and --valid_file=-: standard input can be read for one flag alone",
        "standard input:201: expected label<TAB>text, found no tab ('no label')",
    ]
    if sys.platform == "linux":  # elsewhere it goes as Python ends
        assert not list(tmp_path.iterdir())


def test_parquet_comes_from_standard_input_too(tmp_path, monkeypatch):
    table = pyarrow.table({"label": ["a", None], "text": ["one", "two"]})
    parquet.write_table(table, tmp_path / "x")
    monkeypatch.setattr(containers, "_spool", None)
    with open(tmp_path / "x", "rb") as file:
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(file))
        source = file_source("-", FileConfig(), "train_file")
        message = r"^standard input:2: a text without a label \(line 2\)"
        with pytest.raises(UserError, match=message):
            list(source.read())


def test_other_paths_are_left_alone_and_no_standard_input_is_an_error(monkeypatch):
    assert local_path("./-", "train_file") == "./-"
    monkeypatch.setattr(sys, "stdin", None)
    with pytest.raises(UserError, match="--train_file=-: there is no standard input"):
        local_path("-", "train_file")
