"""Knows files that are no text by their first bytes."""

UNPACK = "unpack it first"
_AS_CSV = "save it as csv"
_AS_TEXT = "save its texts as csv, tsv or JSON lines"
_EXPECTED = "expected labeled texts"
_BY_FIRST_BYTES = {  # what each is, and what to do
    b"\x89PNG\r\n": f"a PNG image; {_EXPECTED}",
    b"\xff\xd8\xff": f"a JPEG image; {_EXPECTED}",
    b"GIF87a": f"a GIF image; {_EXPECTED}",
    b"GIF89a": f"a GIF image; {_EXPECTED}",
    b"II*\0": f"a TIFF image; {_EXPECTED}",
    b"MM\0*": f"a TIFF image; {_EXPECTED}",
    b"OggS\0": f"a sound; {_EXPECTED}",
    b"ID3\x03": f"a sound; {_EXPECTED}",
    b"ID3\x04": f"a sound; {_EXPECTED}",
    b"\x7fELF": f"a program; {_EXPECTED}",
    b"MZ\x90\0": f"a program; {_EXPECTED}",
    b"%PDF-": f"a PDF document; {_AS_TEXT}",
    b"{\\rtf": f"a rich text document; {_AS_TEXT}",
    b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1": f"an old Excel or Word file; {_AS_CSV}",
    b"SQLite format 3\0": f"an SQLite database; {_AS_TEXT}",
    b"\x93NUMPY": f"a NumPy array; {_AS_TEXT}",
    b"\x89HDF\r\n": f"an HDF5 file; {_AS_TEXT}",
    b"ARROW1\0\0": f"an Arrow file; {_AS_TEXT}",
    b"Obj\x01": f"an Avro file; {_AS_TEXT}",
    b"\x80\x02": f"a Python pickle; {_AS_TEXT}",
    b"\x80\x03": f"a Python pickle; {_AS_TEXT}",
    b"\x80\x04": f"a Python pickle; {_AS_TEXT}",
    b"\x80\x05": f"a Python pickle; {_AS_TEXT}",
    b"7z\xbc\xaf\x27\x1c": f"a 7z archive; {UNPACK}",
    b"Rar!\x1a\x07": f"a rar archive; {UNPACK}",
    b"\x1f\x9d": f"data compressed by `compress`; {UNPACK}",
    b"\x04\x22\x4d\x18": f"lz4 data; {UNPACK}",
    b"version https://git-lfs.github.com/": "a pointer of Git LFS; `git lfs pull` fetches the file",
}
_RIFF = (b"WAVE", b"AVI ", b"WEBP")
_BY_MEMBER = {  # start of the name of a member of a zip
    "xl/": f"an Excel spreadsheet; {_AS_CSV}",
    "word/": f"a Word document; {_AS_TEXT}",
    "ppt/": f"a PowerPoint document; {_AS_TEXT}",
    "[Content_Types].xml": f"an Office document; {_AS_CSV}",
    "META-INF/manifest.xml": f"an OpenDocument file; {_AS_CSV}",
}


def what_is_no_text(head: bytes) -> str:
    """Returns what a file is that is no text, and what to do about it; "" where it may be one.

    Args:
      head: the first bytes of the file, 512 or more.
    """
    for magic, found in _BY_FIRST_BYTES.items():
        if head.startswith(magic):
            return found
    if head[257:262] == b"ustar":
        return f"a tar archive; {UNPACK}"
    if head[4:8] == b"ftyp" or (head[:4] == b"RIFF" and head[8:12] in _RIFF):
        return f"a sound, picture or film; {_EXPECTED}"
    return ""


def what_is_no_archive(names: list[str]) -> str:
    """Returns what a zip is, by the names of its members; "" where it is an archive of files."""
    for start, found in _BY_MEMBER.items():
        if any(name.startswith(start) for name in names):
            return found
    if names and all(name.endswith(".npy") for name in names):
        return f"an archive of NumPy arrays; {_AS_TEXT}"
    return ""
