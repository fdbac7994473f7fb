"""Lines of tab-separated fields, and JSON, that do nothing to a terminal."""

import json
import re
from typing import Any

_SEPARATOR = re.compile("[\t\n\v\f\r\x1c-\x1e\x85\u2028\u2029]")
# Control characters, what turns the direction of a line, and surrogates.
_UNPRINTABLE = re.compile("[\x00-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")


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
