"""Labels: which characters they may have, which stand for none, which for the same."""

import json
import unicodedata

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.labeled_files import mistake, notes, pairs
from tf_textrnn.data.labels import LabelError, check_label


@pytest.mark.parametrize(
    "label", ["می\u200cخواهم", "क्\u200dष", "non\xa0food", "a\u2009b", "👩\u200d🚀"]
)
def test_joiners_and_spaces_inside_are_part_of_a_label(tmp_path, label):
    assert pairs(tmp_path / "x.tsv", f"{label}\tx\n{label}\ty\n") == [(label, "x"), (label, "y")]


@settings(deadline=None)
@given(st.characters())
def test_control_characters_ends_of_lines_and_surrogates_are_refused(character):
    refused = unicodedata.category(character) in ("Cc", "Zl", "Zp", "Cs")
    try:
        check_label(f"a{character}b")
    except LabelError as error:
        assert refused, error
    else:
        assert not refused


def test_length(tmp_path):
    assert pairs(tmp_path / "x.tsv", f"{'a' * 1000}\tx\n") == [("a" * 1000, "x")]
    error = mistake(tmp_path / "x.tsv", f"{'a' * 1001}\tx\n")
    assert error.startswith("x.tsv:1: the label: found 1,001 characters")


def test_bytes_that_cannot_be_read_are_refused_in_a_label_and_not_in_a_text(tmp_path):
    # Mostly UTF-8, with a character that was cut.
    text = "où ça, déjà là".encode()
    content = b"caf\xc3\xa9\t" + text + b"\ncaf\xc3\tx" + text + b"\ncaf\xc3\xa9\ty" + text[:2]
    error = mistake(tmp_path / "x.tsv", content)
    assert error.startswith("x.tsv:2: the label: found U+FFFD in 'caf\ufffd'")
    assert error.endswith("expected --encoding")


BLANKS = "label,text\na,one\n,two\nb,three\n \u3000,four\na,five\n"


def test_texts_without_a_label_are_counted_in_one_error(tmp_path):
    assert mistake(tmp_path / "x.csv", BLANKS) == (
        "x.csv:3: 2 texts without a label (lines 3, 5); expected a label, or --skip_unlabeled"
    )
    many = "label,text\n" + "a,one\n,two\n" * 10
    assert "10 texts without a label (lines 3, 5, 7, 9, 11, …)" in mistake(tmp_path / "x.csv", many)


def test_texts_without_a_label_are_passed_over_and_it_is_said(tmp_path):
    path = tmp_path / "x.csv"
    found = pairs(path, BLANKS, skip_unlabeled=True)
    assert found == [("a", "one"), ("b", "three"), ("a", "five")]
    said = notes(path, BLANKS, skip_unlabeled=True)
    assert said == ["x.csv: passes over 2 texts without a label (lines 3, 5)"]
    error = mistake(path, "label,text\n,one\n", skip_unlabeled=True)
    assert error == "x.csv: no labeled texts"


def test_labels_can_stand_for_none(tmp_path):
    path = tmp_path / "x.csv"
    content = "label,text\na,one\nnan,two\nNULL,three\nN/A,four\n"
    assert [label for label, _ in pairs(path, content)] == ["a", "nan", "NULL", "N/A"]
    options = {"missing_labels": "nan, NULL"}
    assert "2 texts without a label (lines 3, 4)" in mistake(path, content, **options)
    found = pairs(path, content, skip_unlabeled=True, **options)
    assert found == [("a", "one"), ("N/A", "four")]


@pytest.mark.parametrize(
    ("labels", "expected"),
    [
        (["1.0", "2.0", "1.0"], ["1", "2", "1"]),
        (["1", "2.0", "1.0"], ["1", "2", "1"]),
        (["1", "2", "1.00"], ["1", "2", "1"]),
        (["-1.0", "+1", ""], ["-1", "+1"]),
        (["1.0", "2.5", "1"], ["1.0", "2.5", "1"]),
        (["1.0", "one", "1"], ["1.0", "one", "1"]),
        (["v1.0", "v1", "1.x"], ["v1.0", "v1", "1.x"]),
        (["01", "1", "1e3"], ["01", "1", "1e3"]),
    ],
)
def test_whole_numbers_are_one_label_however_written_where_all_are_such(tmp_path, labels, expected):
    content = "text,label\n" + "".join(f"x,{label}\n" for label in labels)
    path = tmp_path / "x.csv"
    assert [label for label, _ in pairs(path, content, skip_unlabeled=True)] == expected
    changed = next((label for label in labels if ".0" in label and label not in expected), None)
    said = [note for note in notes(path, content, skip_unlabeled=True) if "numbers" in note]
    assert said == (
        [f"x.csv: all labels are whole numbers; {changed} and the like are read without the point"]
        if changed
        else []
    )


def test_several_labels_of_a_text_are_one_clear_error(tmp_path):
    path = tmp_path / "x.csv"
    content = "label,text\na,one\na | b,two\n"
    assert [label for label, _ in pairs(path, content)] == ["a", "a | b"]
    error = mistake(path, content, label_separator="|")
    assert error == "x.csv:3: 2 labels ('a', 'b'); a text has exactly one with --multi_label=false"
    same = pairs(path, "label,text\na|a|,one\nb,two\n", label_separator="|")
    assert same == [("a", "one"), ("b", "two")]


def test_labels_as_json_lists(tmp_path):
    content = 'label,text\n"[""a""]",one\n"[""a"", ""b""]",two\n'
    error = mistake(tmp_path / "x.csv", content, label_separator="json")
    assert error == "x.csv:3: 2 labels ('a', 'b'); a text has exactly one with --multi_label=false"
    error = mistake(tmp_path / "x.csv", "label,text\na,one\n", label_separator="json")
    assert error == "x.csv:2: the label: expected a JSON list, found 'a'"
    lines = [json.dumps({"label": label, "text": "x"}) for label in (["a"], ["b", 1])]
    error = mistake(tmp_path / "x.jsonl", "\n".join(lines))
    assert (
        error == "x.jsonl:2: 2 labels ('b', '1'); a text has exactly one with --multi_label=false"
    )


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("__label__a some text", ("a", "some text")),
        (" __label__a some text", ("a", "some text")),
        ("__label__a\tsome text", ("a", "some text")),
        ("some text __label__a", ("a", "some text")),
        ("some __label__a text", ("a", "some  text")),
        ("__label__a x__label__b", ("a", "x__label__b")),
        ("__label__a", ("a", "")),
    ],
)
def test_each_token_of_fasttext_is_a_label_wherever_it_stands(tmp_path, line, expected):
    for name in ("x.txt", "x", "x.tsv"):
        assert pairs(tmp_path / name, f"{line}\n{line}\n") == [expected] * 2


@pytest.mark.parametrize("line", ["__label__a __label__b x", "__label__a x __label__b"])
def test_several_labels_of_fasttext_are_never_text(tmp_path, line):
    error = mistake(tmp_path / "x.ft", f"{line}\n")
    assert error == "x.ft:1: 2 labels ('a', 'b'); a text has exactly one with --multi_label=false"
    error = mistake(tmp_path / "x.ft", "__label__a x\n__label__b y\nz\n")
    assert error.startswith("x.ft:3: a text without a label (line 3)")
