"""Lines, tables and messages for people do nothing to a terminal, and labels stay apart in them."""

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tf_textrnn.base import terminal
from tf_textrnn.base.tables import can_be_label, display_width, pad, shown_labels
from tf_textrnn.runs.evaluation import label_table

FORGED = "a\x1b[2J\x9b\x07\r\b\u202e\u2066\u2028\x00"
texts = st.text(
    st.characters(exclude_categories=["Cs"]) | st.sampled_from("aàà\u200c\u00a0\\x1bаο")
)


@pytest.mark.parametrize(("say", "stream"), [("show", "out"), ("note", "err"), ("warn", "err")])
def test_nothing_drives_the_terminal(capsys, say, stream):
    getattr(terminal, say)(f"one\n\ttwo {FORGED} می\u200cخواهم 多")
    said = getattr(capsys.readouterr(), stream)
    assert said.endswith(
        "one\n\ttwo a\\x1b[2J\\x9b\\x07\\r\\x08\\u202e\\u2066\\u2028\\x00 می\u200cخواهم 多\n"
    )


@given(st.lists(texts, unique=True))
def test_labels_are_shown_printable_and_apart(labels):
    shown = shown_labels(labels)
    assert list(shown) == labels
    assert len(set(shown.values())) == len(labels)
    assert all(text.isprintable() for text in shown.values())


@pytest.mark.parametrize(
    ("labels", "shown"),
    [
        (["ok", "新闻", "فارسی"], ["ok", "新闻", "فارسی"]),
        (["خانه\u200cها", "a\u00a0b"], ["خانه\\u200cها", "a\\xa0b"]),
        (["Спорт", "Cпорт"], [r"\u0421\u043f\u043e\u0440\u0442", r"C\u043f\u043e\u0440\u0442"]),
        (["é", "e\u0301", "\\xe9"], [r"\xe9", r"e\u0301", r"\\xe9"]),
        (["a b", "a\u3000b", "a\\u3000b"], ["a b", r"a\u3000b", r"a\\u3000b"]),
    ],
)
def test_shown_labels(labels, shown):
    assert list(shown_labels(labels).values()) == shown


@given(st.text(), st.integers(0, 99))
def test_a_padded_text_has_its_width(text, width):
    assert display_width(pad(text, width)) == max(width, display_width(text))


def test_columns_align_whatever_the_labels():
    labels = ["a", "体育新闻", "कि", "cafe\u0301", "a\u200cb", "한국어" * 9]
    row = {"precision": 1.0, "recall": 0.5, "f1": 0.25, "support": 7}
    lines = label_table(dict.fromkeys(labels, row)).split("\n")
    assert len({display_width(line) for line in lines}) == 1
    assert lines[2].startswith("体育新闻 ") and lines[5].startswith("a\\u200cb ")


@given(st.characters())
def test_what_a_label_may_hold(character):
    refused = unicodedata.category(character) in ("Cc", "Cs", "Zl", "Zp")
    assert can_be_label(f"a{character}b") is not refused
