"""Guesses the encoding of a text that is not UTF-8, by what it says in each."""

import re
from collections import Counter
from typing import NamedTuple

MAX_BAD = 0.01  # share of the characters beyond ASCII that may be broken: texts cut by bytes
_MAX_MESS = 0.3
_MIN_SENSE = 0.9
_MANY_RUNS = 10  # of bytes beyond ASCII; so many are hardly ever right by chance
# A text is known by so many characters beyond ASCII in words that differ, and by so much sense.
_MANY_CHARACTERS, _CLEAR_SENSE = 60, 0.95
_WORD = re.compile(r"[A-Za-z]*[^\0-\x7f](?:[^\0-\x7f]|[A-Za-z])*")
_MAX_UNSURE = 3  # encodings, as each costs a pass over the file
_CONTRAST = "koi8_r"  # reads anything, and nearly nothing as the others do
# Where several read a text equally well, the one that more people use stands first.
# Encodings of two bytes a character put the common ones first: those with a first byte up to this
# one, and with a second byte from that one. Text of one is common in those after it too, if at all.
_COMMON = {
    "cp932": (0x97, 0x40),
    "cp949": (0xC8, 0xA1),
    "euc_jp": (0xCF, 0xA1),
    "big5hkscs": (0xC6, 0x40),
    "gb18030": (0xD7, 0xA1),
}
_ENCODINGS = (
    *_COMMON,
    *("cp1252", "cp1251", "cp1250", "koi8_r", "cp1254", "cp1253", "cp1256", "cp1255", "cp1257"),
    *("cp1258", "cp874", "iso8859_15", "iso8859_2", "iso8859_5", "iso8859_6", "iso8859_7"),
    *("mac_roman", "mac_cyrillic", "koi8_u", "cp866", "cp855", "cp850", "cp437"),
)
# The letters beyond ASCII of languages in Latin script: a text has those of one language. Without
# this, `año` in cp1252 is `ańo` in cp1250 with the same right.
_ALPHABETS = [
    "äöüß",  # German
    "àâæçéèêëîïôœùûüÿ",  # French
    "áéíóúüñªº",  # Spanish
    "áâãàçéêíóôõúüªº",  # Portuguese
    "àèéìíîòóùúª",  # Italian
    "àçèéíïòóúü",  # Catalan
    "áâäçéèêëïíîóöôúüû",  # Dutch
    "æøåäöéèüàô",  # Danish, Norwegian, Swedish
    "äöåšž",  # Finnish
    "áðéíóúýþæö",  # Icelandic
    "äöõüšž",  # Estonian
    "ąćęłńóśźż",  # Polish
    "áäčďéěíĺľňóôŕřšťúůýž",  # Czech, Slovak
    "áéíóöőúüű",  # Hungarian
    "ăâîşţșț",  # Romanian
    "čćđšž",  # Croatian, Slovenian
    "çğıİöşüâîû",  # Turkish
    "āčēģīķļņšūž",  # Latvian
    "ąčęėįšųūž",  # Lithuanian
    "àáâãèéêìíòóôõùúýăđơư\u0300\u0301\u0303\u0309\u0323",  # Vietnamese
    "ëç",  # Albanian
    "àâäáåçéèêëíîïñóöôøúü",  # English, with names and words of its neighbours
]
_SIGNS = set("\u00a0“”‘’‚„–—…•«»‹›€£°§©®™·¡¿½¼¾²³´×")
_LATIN = "A-Za-z\u00c0-\u024f"
_OTHER = "\u0370-\u1fff\u2e80-\ud7ff\uf900-\uffdf"
_MIXED = re.compile(f"(?<=[{_LATIN}])[{_OTHER}]|[{_OTHER}](?=[{_LATIN}])")


class _Reading(NamedTuple):
    """A sample, as an encoding reads it.

    Attributes:
      sense: share of the characters beyond ASCII that are where a text has them, to hundredths.
      likeness: how much charset-normalizer takes it for a language's text; 0 in Latin script, where
        `sense` knows more.
    """

    encoding: str
    sense: float
    likeness: float


def guess(sample: bytes) -> list[str]:
    """Returns the encodings that a text may have, the most plausible one first.

    Where too little tells them apart, those that read all of the text come after the plausible
    ones, so that what depends on the encoding differs somewhere.

    Args:
      sample: lines of it that hold bytes beyond ASCII.
    """
    texts = _texts(sample)
    readings = sorted(_readings(texts), key=lambda reading: -5 * reading.sense - reading.likeness)
    senses = {reading.encoding: reading.sense for reading in readings}
    plausible = _two_byte(sample, senses) or [
        reading.encoding
        for reading in readings
        if (
            (reading.sense > readings[0].sense - 0.1)
            and (reading.likeness > readings[0].likeness - 0.25)
        )
        or (reading.encoding in _COMMON and reading.sense >= _CLEAR_SENSE)
    ]
    if not plausible:
        return []
    words = "".join(set(_WORD.findall(texts[plausible[0]])))
    num_characters = len(words) - len(words.encode("ascii", "ignore"))
    if num_characters >= _MANY_CHARACTERS and senses[plausible[0]] >= _CLEAR_SENSE:
        return plausible
    whole = [encoding for encoding, text in texts.items() if "\ufffd" not in text]
    whole.sort(key=lambda encoding: encoding != "cp1252")
    few = list(dict.fromkeys([*plausible[:2], *whole]))[:_MAX_UNSURE]
    return list(dict.fromkeys([*few, _CONTRAST]))


def _two_byte(sample: bytes, senses: dict[str, float]) -> list[str]:
    """Returns the encoding of two bytes a character in which a text makes sense, if there is one.

    Nearly any bytes make some sense in an encoding of one byte.
    """
    if len(re.findall(rb"[\x80-\xff]+", sample)) < _MANY_RUNS:
        return []
    best = max(senses.get(encoding, 0) for encoding in _COMMON)
    least = max(best - 0.03, _MIN_SENSE)
    return [encoding for encoding in _COMMON if senses.get(encoding, 0) >= least][:1]


def _texts(sample: bytes) -> dict[str, str]:
    """Returns what a sample says in each encoding that can read it; but once what is the same."""
    encodings: dict[str, str] = {}
    for encoding in _ENCODINGS:
        text = sample.decode(encoding, "replace")
        beyond_ascii = len(text) - len(text.encode("ascii", "ignore"))
        if text.count("\ufffd") <= MAX_BAD * beyond_ascii + 1:
            encodings.setdefault(text, encoding)
    return {encoding: text for text, encoding in encodings.items()}


def _readings(texts: dict[str, str]) -> list[_Reading]:
    from charset_normalizer import from_bytes  # takes a while to load

    readings = []
    for encoding, text in texts.items():
        clean = text.replace("\ufffd", "").encode(encoding, "ignore")
        found = from_bytes(
            clean, threshold=_MAX_MESS, cp_isolation=[encoding], preemptive_behaviour=False
        ).best()
        sense, is_latin = _sense(text, encoding)
        mess, coherence = (found.chaos, found.coherence) if found else (_MAX_MESS, 0.0)
        likeness = 0.0 if is_latin else coherence - 5 * mess
        if found or (encoding in _COMMON and sense > _MIN_SENSE):
            readings.append(_Reading(encoding, sense, likeness))
    return readings


def _sense(text: str, encoding: str) -> tuple[float, bool]:
    counts = Counter(re.sub("[\0-\x7f]+", "", text))
    misplaced = len(_MIXED.findall(text)) + sum(
        character.isupper() for character in re.findall("(?<=[a-z])[^\0-\x7f]", text)
    )
    latin = max(
        sum(count for character, count in counts.items() if character.lower() in alphabet)
        for alphabet in _ALPHABETS
    )
    if encoding in _COMMON:
        others = sum(counts[character] for character in counts if _is_common(character, encoding))
        known = others
    else:
        others = len(re.findall(f"[{_OTHER}]", text))
        known = latin + others + sum(counts[sign] for sign in _SIGNS)
    return round((known - misplaced) / max(1, counts.total()), 2), latin >= others


def _is_common(character: str, encoding: str) -> bool:
    first, second = _COMMON[encoding]
    encoded = character.encode(encoding, "ignore")
    return len(encoded) == 2 and encoded[0] <= first and encoded[1] >= second
