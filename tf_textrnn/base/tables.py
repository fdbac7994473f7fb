"""Lines of tab-separated fields."""

import re

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
