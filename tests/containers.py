"""Containers of a text, as tests write them."""

import bz2
import gzip
import io
import lzma
import zipfile
from collections.abc import Callable

import zstandard


def zipped(members: dict[str, bytes]) -> bytes:
    """A zip of files, by name."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return buffer.getvalue()


CONTAINERS: dict[str, Callable[[bytes], bytes]] = {
    "gzip": gzip.compress,
    "bzip2": bz2.compress,
    "xz": lzma.compress,
    "zstd": zstandard.ZstdCompressor(write_checksum=True).compress,
    "zip": lambda content: zipped({"texts": content}),
}
