"""Labels of small files are read as they were written, or refused; a guess never changes one."""

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.test_encodings import CASES
from tf_textrnn.base.errors import UserError
from tf_textrnn.config import FileConfig
from tf_textrnn.data.encodings import find_encodings
from tf_textrnn.data.sources import file_source

WORDS = {
    encoding: sorted({word for line in lines for word in line.split()}) for encoding, lines in CASES
}
LETTERS = {
    encoding: sorted({letter for word in words for letter in word if letter.isalpha()} | {"€"})
    for encoding, words in WORDS.items()
}


def labels_of(path, **options) -> list[str]:
    source = file_source(str(path), FileConfig(**options), "train_file")
    return [example.label for example in source.read()]


@st.composite
def tables(draw):
    """An encoding, and rows of labels and texts of a language, or of a few of its letters."""
    # Not euc_jp: in it kana alone are the letters of Korean in cp949, which is tried first.
    encoding = draw(st.sampled_from(sorted(WORDS.keys() - {"euc_jp"})))
    words = st.sampled_from(WORDS[encoding])
    letters = st.text(st.sampled_from(LETTERS[encoding]), min_size=1, max_size=4)
    texts = st.one_of(letters, st.lists(words, max_size=3).map(" ".join))
    names = draw(st.lists(st.one_of(letters, words), min_size=1, max_size=3))
    rows = draw(st.lists(st.tuples(st.sampled_from(names), texts), min_size=1, max_size=5))
    return encoding, rows


@settings(
    suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=150
)
@given(tables())
def test_labels_are_read_right_or_refused_with_the_flag(tmp_path, table):
    encoding, rows = table
    content = "".join(f"{label}\t{text}\n" for label, text in rows).encode(encoding, "ignore")
    path = tmp_path / "x.tsv"
    path.write_bytes(content)
    options = {"format": "tsv", "header": "no"}
    try:
        expected = labels_of(path, encoding=encoding, **options)
    except UserError:  # a label of nothing but what the encoding lacks
        return
    try:
        # It may happen to be UTF-8, but for a quarter of its characters at most.
        if find_encodings(str(path)).candidates != ("utf-8",):
            assert labels_of(path, **options) == expected
    except UserError as error:
        assert "--encoding" in str(error)


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("x.csv", "label,text\npos,a€\npos,€\ncafé,x\n"),
        (
            "x.jsonl",
            '{"label": "a", "text": "aa€"}\n{"label": "a", "text": "ßéß"}\n'
            '{"label": "café", "text": ""}\n',
        ),
    ],
)
def test_a_label_in_a_few_bytes_is_shown_in_several_encodings(tmp_path, name, content):
    path = tmp_path / name
    path.write_bytes(content.encode("cp1252"))
    with pytest.raises(UserError, match=r"depend on the encoding; .* cp1252: café; .*koi8_r: caf"):
        labels_of(path)
    path.write_bytes(content.replace("café", "cafe").encode("cp1252"))
    assert "cafe" in labels_of(path)
