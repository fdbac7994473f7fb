"""Word tokens of scripts without spaces, held to a loop over code points, and to the old rule."""

import unicodedata

import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from tf_textrnn.text import tokenize

BLOCKS = [  # Thai, Lao; Myanmar; Khmer; Khmer Symbols; Myanmar Extended-B, -A
    *(range(0x0E00, 0x0F00), range(0x1000, 0x10A0), range(0x1780, 0x1800)),
    *(range(0x19E0, 0x1A00), range(0xA9E0, 0xAA00), range(0xAA60, 0xAA80)),
]
UNSPACED = [chr(code) for block in BLOCKS for code in block if unicodedata.name(chr(code), "")]
MARKS = "\u0e33\u0eb3\u200c\u200d"  # beside those that Unicode calls marks
BINDERS = "\u17d2\u1039"
OTHERS = "ab1. \u200b\u00a0多あ\u0301\u093e\u0f40\u0f0b한"


def word_tokens(texts):
    rows = tokenize(tf.constant(texts), "word", 999).to_list()
    return [[token.decode() for token in row] for row in rows]


def is_letter(character):
    scripts = ("THAI", "LAO", "KHMER", "MYANMAR")
    return (
        unicodedata.category(character)[0] == "L"
        and unicodedata.name(character).startswith(scripts)
        and character not in MARKS
    )


def expected_tokens(text):
    tokens, is_open, place = [], False, 0
    while place < len(text):
        start, character = place, text[place]
        place += 1
        category = unicodedata.category(character)
        if category in ("Cc", "Zs", "Zl", "Zp") or character == "\u200b":
            is_open = False
        elif is_letter(character):
            while place < len(text):
                if text[place] in BINDERS and is_letter(text[place + 1 : place + 2] or " "):
                    place += 2
                elif text[place] in MARKS or unicodedata.category(text[place])[0] == "M":
                    place += 1
                else:
                    break
            tokens.append(text[start:place])
            is_open = False
        elif category[0] in "PS" or character in "多あ":
            tokens.append(character)
            is_open = False
        elif is_open:
            tokens[-1] += character
        else:
            tokens.append(character)
            is_open = True
    return tokens


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("ที่บริการ น้ำใจ ๒๕๖๗ๆ", "ที่ บ ริ ก า ร น้ำ ใ จ ๒๕๖๗ ๆ"),
        ("ພາສາລາວ ນ້ຳ", "ພ າ ສ າ ລ າ ວ ນ້ຳ"),
        ("ភាសាខ្មែរ\u200bស្រី ឱ្យ", "ភា សា ខ្មែ រ ស្រី ឱ្យ"),
        ("ပြည်ထောင်စု သင်္ဘော က္က", "ပြ ည် ထော င် စု သ င်္ဘော က္က"),
        ("གླིང་ཡིག", "གླིང ་ ཡིག"),
        ("abกa1 กำำ", "ab ก a1 กำำ"),
    ],
)
def test_a_letter_stands_alone_with_its_marks(text, expected):
    assert word_tokens([text]) == [expected.split()] == [expected_tokens(text)]


def test_every_character_of_the_blocks_before_and_after_others():
    texts = [
        text
        for character in UNSPACED
        for other in [*MARKS, *BINDERS, *"a1.กກកက\u0301"]
        for text in (character + other, other + character, "ក" + character + other)
    ]
    assert word_tokens(texts) == [expected_tokens(text) for text in texts]


@settings(max_examples=200, deadline=None)
@given(st.text(st.sampled_from(UNSPACED) | st.sampled_from(MARKS + BINDERS + OTHERS)))
def test_texts_of_mixed_scripts(text):
    assert word_tokens([text]) == [expected_tokens(text)]


@settings(max_examples=200, deadline=None)
@given(st.text())
def test_texts_of_other_scripts_have_the_tokens_that_they_had(text):
    text = "".join(c for c in text if c not in UNSPACED and c != "\u200b")
    text = text.encode("utf-8", "replace").decode()
    spaced = tf.strings.regex_replace([text], r"[\p{Cc}\p{Z}]+", " ")
    lowered = tf.strings.lower(spaced, encoding="utf-8")
    alone = r"[\p{P}\p{S}\p{Han}\p{Hiragana}\p{Katakana}]"
    tokens = tf.strings.split(tf.strings.regex_replace(lowered, alone, r" \0 "))
    assert word_tokens([text]) == [[token.decode() for token in tokens.to_list()[0]]]
