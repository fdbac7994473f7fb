"""Tables: any delimiter, header, order of columns and way to quote; what is unclear is refused."""

import csv
import io

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.labeled_files import mistake, pairs, source
from tf_textrnn.data.sources import Example

EXPECTED = [("pos", "a fine film"), ("neg", "dull"), ("pos", "so good")]
HEADER = ("label", "text")


def table(rows, delimiter=",", **options) -> str:
    buffer = io.StringIO(newline="")
    csv.writer(buffer, delimiter=delimiter, **options).writerows(rows)
    return buffer.getvalue()


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
@pytest.mark.parametrize("name", ["x.csv", "x.tsv", "x.txt", "x"])
def test_the_delimiter_is_found(tmp_path, delimiter, name):
    assert pairs(tmp_path / name, table([HEADER, *EXPECTED], delimiter)) == EXPECTED


@pytest.mark.parametrize("name", ["x.csv", "x.tsv"])
def test_a_delimiter_can_be_named(tmp_path, name):
    content = "".join(f"{label}~{text}\n" for label, text in EXPECTED)
    assert pairs(tmp_path / name, content, delimiter="~", header="no") == EXPECTED
    error = mistake(tmp_path / name, content, delimiter="~~")
    assert error == (
        "--delimiter=~~: expected one character, tab or \\t or comma or semicolon or pipe"
    )


@pytest.mark.parametrize("line", ["sep=;\n", '"sep=;"\r\n', "SEP=;\n"])
def test_a_line_of_a_spreadsheet_names_the_delimiter(tmp_path, line):
    content = line + table([HEADER, *EXPECTED], ";")
    assert next(source(tmp_path / "x.csv", content).read()) == Example(*EXPECTED[0], 3)


@pytest.mark.parametrize("first", ["Label,TEXT", "label, text", " Label ,text", "label,\ttext "])
def test_case_of_names_and_blanks_around_them_are_forgiven(tmp_path, first):
    assert pairs(tmp_path / "x.csv", f"{first}\npos,fine\n") == [("pos", "fine")]


def test_the_exact_name_goes_before_one_of_other_case(tmp_path):
    assert pairs(tmp_path / "x.csv", "label,Text,text\npos,no,yes\n") == [("pos", "yes")]
    error = mistake(tmp_path / "x.csv", "label,Text,TEXT\npos,no,yes\n")
    assert error == "x.csv:1: two columns are named 'text'; expected one, or its number"


def test_blanks_after_delimiters_are_no_part_of_cells_where_the_header_has_them(tmp_path):
    content = 'label, text\npos, "fine, and ""good"""\n'
    assert pairs(tmp_path / "x.csv", content) == [("pos", 'fine, and "good"')]


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"label_column": "1", "text_column": "3"}, ["one", "two", "three"]),
        ({"label_column": "1", "text_column": "2,3"}, ["A one", "two", "C three"]),
        ({"label_column": "1", "text_column": "3,2"}, ["one A", "two", "three C"]),
    ],
)
def test_columns_by_number(tmp_path, options, expected):
    content = '"2","A","one"\n"1","","two"\n"2","C","three"\n'
    found = pairs(tmp_path / "x.csv", content, **options)
    assert found == list(zip(["2", "1", "2"], expected, strict=True))


def test_several_columns_of_text_are_joined_by_a_space(tmp_path):
    content = "title,class,body\nNews,a,of today\n,b,alone\n"
    options = {"label_column": "class", "text_column": "title, body"}
    assert pairs(tmp_path / "x.csv", content, **options) == [("a", "News of today"), ("b", "alone")]
    content = '"title,body",label\nwhole,a\n'
    assert pairs(tmp_path / "x.csv", content, text_column="title,body") == [("a", "whole")]


@pytest.mark.parametrize("name", ["x.tsv", "train.txt", "SMSSpamCollection"])
def test_lines_of_label_and_text_are_read_whatever_the_name(tmp_path, name):
    content = 'ham\tsee you\nspam\tWIN\ta "prize"\nham\t"ok" then\n'
    expected = [("ham", "see you"), ("spam", 'WIN\ta "prize"'), ("ham", '"ok" then')]
    assert pairs(tmp_path / name, content) == expected


def test_a_header_is_no_example(tmp_path):
    assert pairs(tmp_path / "x.tsv", "label\ttext\npos\tfine\n") == [("pos", "fine")]
    assert pairs(tmp_path / "x.tsv", "Text\tLabel\nfine\tpos\n") == [("pos", "fine")]
    options = {"text_column": "sentence"}
    assert pairs(tmp_path / "x.tsv", "sentence\tlabel\nfine\tpos\n", **options) == [("pos", "fine")]


def test_a_line_that_may_be_a_header_is_asked_about(tmp_path):
    content = "sentiment\treview\npos\tfine\nneg\tdull\npos\tgood\n"
    assert mistake(tmp_path / "x.tsv", content) == (
        "x.tsv:1: the first line, 'sentiment', 'review', has a label that stands nowhere else; "
        "expected --header=yes if it names the columns, or --header=no"
    )
    assert pairs(tmp_path / "x.tsv", content, header="no")[0] == ("sentiment", "review")
    numbers = {"label_column": "1", "text_column": "2", "header": "yes"}
    assert pairs(tmp_path / "x.tsv", content, **numbers)[0] == ("pos", "fine")
    # Where all labels stand once, the first is like the others.
    assert len(pairs(tmp_path / "x.tsv", "a\tone\nb\ttwo\nc\tthree\n")) == 3


@pytest.mark.parametrize(
    ("name", "content", "error"),
    [
        (
            "x.tsv",
            "sentence\tlabel\nfine\tpos\n",
            "x.tsv:1: no column 'text' (--text_column); the header has 'sentence', 'label'",
        ),
        (
            "x.tsv",
            "id\tsentiment\treview\n1\tpos\tfine\n",
            "x.tsv:1: no column 'text' (--text_column); the first line has 'id', 'sentiment', ",
        ),
        (
            "x.csv",
            "pos,fine\nneg,dull\n",
            "x.csv:1: no column 'text' (--text_column); the first line has 'pos', 'fine'; "
            "expected --text_column and --label_column by name, or by number from 1",
        ),
        ("x.csv", "label,text\na,b\na,b,c\n", "x.csv:3: expected 2 columns, found 3 ('a', 'b'"),
        ("x.csv", "label;text\na;b\na\n", "x.csv:3: expected 2 columns, found 1 ('a')"),
    ],
)
def test_what_the_first_line_looks_like_is_said(tmp_path, name, content, error):
    assert mistake(tmp_path / name, content).startswith(error)


def test_a_number_beyond_the_columns_is_refused(tmp_path):
    options = {"label_column": "1", "text_column": "3", "header": "no"}
    error = mistake(tmp_path / "x.csv", "pos,fine\n", **options)
    assert error.startswith("x.csv:1: no column '3' (--text_column); the first line has 'pos', ")


@pytest.mark.parametrize(
    ("content", "line"),
    [
        ('label,text\na,x\nb,"one\nc,two\nd,three\n', 3),
        ('label,text\na,"one"\nb,"two\nc,"three"\n', 3),
        ('label,text\nb,"say "hi" to"\n', 2),
    ],
)
def test_the_way_to_read_bad_quotes_all_the_same_is_told_and_works(tmp_path, content, line):
    error = mistake(tmp_path / "x.csv", content)
    assert error.startswith(f"x.csv:{line}: ")
    assert error.endswith("; --format=tsv --delimiter=, reads quotes as plain characters")
    assert pairs(tmp_path / "x.csv", content, format="tsv", delimiter=",")


def test_a_label_column_that_is_a_text_or_a_number_of_the_row_is_asked_about(tmp_path):
    rows = [(f"{i}", f"text {i}", "ab"[i % 2]) for i in range(40)]
    content = table([("id", "text", "label"), *rows])
    assert len(pairs(tmp_path / "x.csv", content)) == 40
    for column, first in (("text", "text 0"), ("id", "0")):
        assert mistake(tmp_path / "x.csv", content, label_column=column) == (
            f"x.csv: 40 different labels in 40 texts, such as '{first}'; is "
            f"--label_column={column} right?"
        )
    # A few texts may have a label each.
    assert len(pairs(tmp_path / "x.tsv", "".join(f"{i}\tx\n" for i in range(19)))) == 19


cells = st.lists(
    st.sampled_from(
        [
            "a",
            "b c",
            "é",
            '"',
            "\n",
            "\r\n",
            "\t",
            ",",
            ";",
            "|",
            " ",
            "don't",
            "漢",
            "{",
            "__label__",
        ]
    ),
    max_size=8,
).map("".join)
rows = st.lists(st.tuples(st.sampled_from(["pos", "neg", "café"]), cells), min_size=1, max_size=6)
quoting = st.sampled_from([csv.QUOTE_MINIMAL, csv.QUOTE_ALL, csv.QUOTE_NONNUMERIC])
delimiters = st.sampled_from([",", ";", "\t", "|"])
encodings = st.sampled_from(["utf-8", "utf-8-sig", "utf-16", "utf-32"])


@settings(deadline=None)
@given(rows, delimiters, quoting, st.booleans(), encodings, st.sampled_from([".csv", ".tsv", ""]))
def test_a_table_of_pythons_csv_reads_back(
    tmp_path_factory, rows, delimiter, quoting, has_header, encoding, ending
):
    written = table([("text", "label")] * has_header + [row[::-1] for row in rows], delimiter,
                    quoting=quoting)  # fmt: skip
    options = {}
    if not has_header:
        options = {"header": "no", "label_column": "2", "text_column": "1", "delimiter": delimiter}
    path = tmp_path_factory.mktemp("table") / f"x{ending}"
    assert pairs(path, written.encode(encoding), **options) == rows


@settings(deadline=None)
@given(rows, delimiters, encodings)
def test_a_table_of_pandas_reads_back(tmp_path_factory, rows, delimiter, encoding):
    path = tmp_path_factory.mktemp("table") / "x.csv"
    pd.DataFrame(rows, columns=["label", "text"]).to_csv(path, sep=delimiter, encoding=encoding)
    assert pairs(path) == rows


plain = st.lists(st.sampled_from(["a", " b", '"c"', '"', "\t", ",", "\r"]), max_size=6).map(
    lambda pieces: "".join(["x", *pieces, "y"])
)


@settings(deadline=None)
@given(st.lists(st.tuples(st.sampled_from(["p", "q"]), plain), min_size=3, max_size=6))
def test_lines_of_label_and_text_are_read_as_they_are(tmp_path_factory, rows):
    """Quotes are plain characters; where each line has as many tabs, a flag tells the text."""
    rows = [("p", "a\tb"), ("p", "c"), *rows, ("q", "d")]
    path = tmp_path_factory.mktemp("lines") / "x.tsv"
    assert pairs(path, "".join(f"{label}\t{text}\n" for label, text in rows), header="no") == rows
