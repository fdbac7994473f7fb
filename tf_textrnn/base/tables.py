"""Tables, lines and JSON for people, which do nothing to a terminal whatever the texts in them."""

import collections
import json
import re
import unicodedata
from collections.abc import Iterable, Sequence
from typing import Any

from tf_textrnn.base.errors import printable

MAX_LABEL = 1_000  # characters
_SEPARATOR = re.compile("[\t\n\v\f\r\x1c-\x1e\x85\u2028\u2029]")
# Control characters, what turns the direction of a line, and surrogates.
_UNPRINTABLE = re.compile("[\x00-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")
_NOT_IN_LABELS = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")
# Cyrillic and Greek letters that look like Latin ones.
_LATIN_OF = str.maketrans(
    "АВЕКМНОРСТУХаеорсухіјѕΑΒΕΖΗΙΚΜΝΟΡΤΥΧο", "ABEKMHOPCTYXaeopcyxijsABEZHIKMNOPTYXo"
)


def joined_labels(labels: Iterable[str]) -> str:
    """The labels of a text in one, such as `anger|fear`; empty without labels."""
    return "|".join(labels)


def split_labels(joined: str) -> list[str]:
    """The labels that `joined_labels` has joined, none of which holds a `|`."""
    return joined.split("|") if joined else []


def tab_separated(*fields: str) -> str:
    r"""One line, without its end, whatever the fields hold.

    A tab or an end of a line in a field becomes a space; another control character or a turn of
    direction, which could drive a terminal, and a lone surrogate, which has no UTF-8, become
    U+FFFD.

    Example:
      >>> tab_separated("pos", "0.9000", "a fine\tfilm\n")
      'pos\t0.9000\ta fine film '
    """
    return "\t".join(_UNPRINTABLE.sub("\ufffd", _SEPARATOR.sub(" ", field)) for field in fields)


def json_text(record: Any, indent: int | None = None) -> str:
    r"""A record as JSON for people: letters of any script as they are.

    What could drive a terminal or turn its text around is escaped, which JSON reads as the same.

    Args:
      record: what `json.dumps` takes.
      indent: spaces for each level, over several lines; None for one line.

    Example:
      >>> json_text({"text": "马 \x9b2J \u202e"})
      '{"text": "马 \\u009b2J \\u202e"}'
    """
    text = json.dumps(record, ensure_ascii=False, indent=indent)
    return "".join(c if c.isprintable() or c == "\n" else _json_escape(c) for c in text)


def _json_escape(character: str) -> str:
    if ord(character) < 0x10000:
        return f"\\u{ord(character):04x}"
    return json.dumps(character)[1:-1]  # two halves


def can_be_label(text: str) -> bool:
    r"""Whether a text holds no control character, end of a line or lone surrogate.

    Example:
      >>> can_be_label("می\u200cخواهم"), can_be_label("a\x1b[2J")
      (True, False)
    """
    return not _NOT_IN_LABELS.search(text)


def shown_labels(labels: Iterable[str]) -> dict[str, str]:
    r"""How each label is shown to people, no two alike.

    What is not printable, such as U+200C, is escaped, and a backslash doubled. So is what is beyond
    ASCII in labels that look the same: by compatible characters (NFKC), or by Cyrillic or Greek
    letters like Latin ones.

    Example:
      >>> shown_labels(["thé", "a\u00a0b", "A", "\u0410"])
      {'thé': 'thé', 'a\xa0b': 'a\\xa0b', 'A': 'A', 'А': '\\u0410'}
    """
    shown = {label: printable(label.replace("\\", "\\\\")) for label in labels}
    alike = collections.Counter(map(_looks, shown.values()))
    return {
        label: text if alike[_looks(text)] == 1 else label.encode("unicode_escape").decode()
        for label, text in shown.items()
    }


def _looks(text: str) -> str:
    return " ".join(unicodedata.normalize("NFKC", text).translate(_LATIN_OF).split())


def display_width(text: str) -> int:
    """Columns that a text takes in a terminal: two for a Chinese character, none for an accent.

    Example:
      >>> display_width("马ab"), display_width("cafe\u0301")
      (4, 4)
    """
    return sum(
        0 if unicodedata.category(c) in ("Mn", "Me", "Cf") else
        2 if unicodedata.east_asian_width(c) in "WF" else 1
        for c in text
    )  # fmt: skip


def pad(text: str, width: int) -> str:
    """The text with spaces after it up to this many columns."""
    return text + " " * (width - display_width(text))


def aligned(rows: Sequence[Sequence[str]]) -> list[str]:
    """Lines of rows, whose columns stand below one another, the first to the left.

    Example:
      >>> aligned([["label", "texts"], ["马", "10"]])
      ['label  texts', '马        10']
    """
    widths = [max(map(display_width, column)) for column in zip(*rows, strict=True)]
    return [
        "  ".join(
            [pad(row[0], widths[0])]
            + [f"{cell:>{width}}" for cell, width in zip(row[1:], widths[1:], strict=True)]
        )
        for row in rows
    ]


def cut_to(text: str, width: int) -> str:
    """The text, or its start and "…" where it takes more columns than `width`.

    Example:
      >>> cut_to("a fine film", 7), cut_to("体育新闻", 7), cut_to("a film", 7)
      ('a fine…', '体育新…', 'a film')
    """
    if display_width(text) <= width:
        return text
    ends = range(len(text), -1, -1)
    return text[: next(end for end in ends if display_width(text[:end]) < width)] + "…"
