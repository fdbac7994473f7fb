"""Containers of a text, as tests write them."""

import bz2
import functools
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
            archive.writestr(zipfile.ZipInfo(name), content, zipfile.ZIP_DEFLATED)
    return buffer.getvalue()


# Without the time of day, which names of tests would hold: all workers of pytest need the same.
CONTAINERS: dict[str, Callable[[bytes], bytes]] = {
    "gzip": functools.partial(gzip.compress, mtime=0),
    "bzip2": bz2.compress,
    "xz": lzma.compress,
    "zstd": zstandard.ZstdCompressor(write_checksum=True).compress,
    "zip": lambda content: zipped({"texts": content}),
}
