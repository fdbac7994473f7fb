"""Installed fonts that have the characters of labels; matplotlib is imported when one is asked."""

import functools
import re
import time

_SECONDS = 3.0  # to look through the installed fonts: about 1 ms each
_NO_LETTERS = re.compile(r"last ?resort|blank|^\.", re.IGNORECASE)  # boxes for every character


@functools.lru_cache(maxsize=8)
def fonts_for(characters: frozenset[str]) -> tuple[list[str], frozenset[str]]:
    """Finds fonts for characters that the default font lacks.

    Returns:
      Families to draw with where the default one lacks a character, the one that has most of them
      first; and the characters that no font has.
    """
    from matplotlib import font_manager

    default = font_manager.findfont(font_manager.FontProperties())
    missing = characters - _characters_of(default, characters)
    found: dict[str, frozenset[str]] = {}
    if missing:
        until = time.monotonic() + _SECONDS
        fonts = font_manager.fontManager.ttflist
        for font in sorted(fonts, key=lambda font: (font.style, font.weight) != ("normal", 400)):
            if time.monotonic() < until and font.name not in found:
                is_of_use = not _NO_LETTERS.search(font.name)
                found[font.name] = _characters_of(font.fname, missing) if is_of_use else frozenset()
    families: list[str] = []
    while missing & frozenset().union(*found.values()):
        family = max(sorted(found), key=lambda name: len(found[name] & missing))
        families.append(family)
        missing -= found[family]
    return families, missing


def _characters_of(path: str, characters: frozenset[str]) -> frozenset[str]:
    """Those of the characters that a font file has."""
    from matplotlib import font_manager

    try:
        glyphs = font_manager.get_font(path).get_charmap()
    except (OSError, RuntimeError):  # removed, or damaged
        return frozenset()
    return frozenset(character for character in characters if ord(character) in glyphs)
