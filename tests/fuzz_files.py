"""Fuzzes containers and encodings with atheris: any bytes give either lines or one clear error.

    pip install atheris && python -m tests.fuzz_files -max_total_time=600

Half of the inputs are the content of a container, the other half are the container itself; each is
read in the encodings that are found for it, and in one that is asked for. A finding becomes a case
of tests/test_containers.py or tests/test_encodings.py.
"""

import pathlib
import sys
import tempfile

import atheris

with atheris.instrument_imports(include=["tf_textrnn", "zipfile", "gzip", "_compression"]):
    from tests.containers import CONTAINERS
    from tf_textrnn.base.errors import UserError
    from tf_textrnn.data import containers, encodings, guesses

encodings.MAX_LINE = 2_000  # so that these bounds are met
encodings._BLOCK = 512
containers._BOMB_BYTES = 1 << 12
PATH = pathlib.Path(tempfile.mkdtemp(), "x")
KINDS = [*CONTAINERS, "plain"]
ENCODINGS = [
    "utf-8",
    "utf-16",
    "utf-32",
    *guesses._ENCODINGS,
    "iso2022_jp",
    "iso2022_kr",
    "hex",
    "utf-7",
    "idna",
]
COUNTS: dict[str, int] = {}


def try_input(data: bytes) -> None:
    if len(data) < 2:
        return
    kind = KINDS[data[0] % len(KINDS)]
    asked = ENCODINGS[data[1] % len(ENCODINGS)]
    content = data[2:]
    PATH.write_bytes(CONTAINERS[kind](content) if kind != "plain" else content)
    for find in (encodings.find_encodings, lambda path: encodings.check_encoding(path, asked)):
        try:
            found = find(str(PATH))
            assert found.candidates and bool(found.num_bad) <= bool(found.first_bad_line)
            for encoding in found.candidates:
                last = 0
                for number, line in encodings.numbered_lines(str(PATH), "\n", encoding):
                    assert number == last + 1 and line and "\0" not in line
                    line.encode()
                    last = number
            result = "read"
        except UserError as error:
            assert str(error).isprintable(), str(error)
            assert str(error).startswith((str(PATH), "--encoding=")), str(error)
            result = "refused"
        COUNTS[f"{kind} {result}"] = COUNTS.get(f"{kind} {result}", 0) + 1


if __name__ == "__main__":
    atheris.Setup(sys.argv, try_input)
    atheris.Fuzz()
