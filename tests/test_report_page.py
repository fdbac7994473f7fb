"""`report.html`: its numbers, that it loads nothing, strangers' texts, many labels, sets."""

import base64
import hashlib
import html.parser
import json
import re
import types

import numpy as np
import pytest

from tf_textrnn.runs.answered import AnsweredLabels, AnsweredSets
from tf_textrnn.runs.marks import Mark, directions_of_mistakes, mark_words
from tf_textrnn.runs.next_steps import next_steps
from tf_textrnn.runs.page import page, sections
from tf_textrnn.runs.page.confusion import NOTHING, confusion_section, confusions
from tf_textrnn.runs.page.markup import tag
from tf_textrnn.runs.page.mistakes import mistakes_section
from tf_textrnn.runs.page.svg import Axis, Line, chart
from tf_textrnn.runs.report import Mistake
from tf_textrnn.runs.suspicious import Suspicious
from tf_textrnn.training import ending, runner

HOSTILE = "<script>x</script></style>\"'&\u202eevil\x00$body"


class Parsed(html.parser.HTMLParser):
    """The elements of a page, which must close what they open."""

    def __init__(self, text):
        super().__init__()
        self.elements, self.content, self._open = [], {}, []
        self.feed(text)
        self.close()
        assert not self._open

    def handle_starttag(self, name, attributes):
        self.elements.append((name, dict(attributes)))
        if name != "meta":
            self._open.append(name)

    def handle_endtag(self, name):
        assert self._open.pop() == name

    def handle_data(self, data):
        if self._open:
            self.content.setdefault(self._open[-1], []).append(data)

    def all_of(self, name):
        return [attributes for found, attributes in self.elements if found == name]


def read_page(folder):
    return folder.report_page.read_bytes().decode()


@pytest.mark.parametrize("name", ["finished", "exported_sets"])
def test_the_page_has_the_numbers_of_the_report(name, request):
    folder = request.getfixturevalue(name)
    text, report = read_page(folder), json.loads(folder.report_json.read_text())
    low, high = report["accuracy_interval"]
    assert f"<strong>{report['accuracy']:.1%}</strong>" in text
    assert f"95 % interval {low:.1%} to {high:.1%}" in text
    for label, row in report["per_class"].items():
        cells = [f"<td>{row[key]:.3f}</td>" for key in ("precision", "recall", "f1")]
        assert f'<th scope="row">{label}</th>{"".join(cells)}<td>{row["support"]}</td>' in text
    for line in folder.metrics.read_text().splitlines():
        epoch = json.loads(line)
        losses = f"<td>{epoch['train_loss']:.4g}</td><td>{epoch['valid_loss']:.4g}</td>"
        assert f'<th scope="row">{epoch["epoch"] + 1}</th>{losses}' in text
    for found in report["words"]["labels"].values():
        for word, share in found.items():
            assert f"<bdi>{word}</bdi> <small>{share:+.2f}</small>" in text


@pytest.mark.parametrize("name", ["finished", "exported_sets"])
def test_the_page_is_one_file_that_may_run_its_own_script_alone(name, request):
    text = read_page(request.getfixturevalue(name))
    parsed = Parsed(text)
    assert page.PRIVACY in "".join(parsed.content["p"][:1])
    assert not re.search(r"https?:|url\(|@import", text)
    names = {attribute for _, attributes in parsed.elements for attribute in attributes}
    assert not {x for x in names if x.startswith("on")} | names & {"src", "href", "style"}
    (policy,) = [x["content"] for x in parsed.all_of("meta") if "http-equiv" in x]
    rules = dict(rule.split(" ", 1) for rule in policy.split("; "))
    assert rules["default-src"] == "'none'"
    for element, rule in (("script", "script-src"), ("style", "style-src")):
        digest = hashlib.sha256("".join(parsed.content[element]).encode()).digest()
        assert rules[rule] == f"'sha256-{base64.b64encode(digest).decode()}'"
        assert len(parsed.all_of(element)) == 1
    assert all(x["aria-label"] for x in parsed.all_of("svg"))


def test_what_strangers_write_is_text(finished):
    report = json.loads(finished.report_json.read_text())
    report["per_class"] = dict.fromkeys([HOSTILE, "b"], report["per_class"]["animals"])
    report["words"]["labels"] = {HOSTILE: {HOSTILE: 1.0}}
    report["data"]["notes"] = [HOSTILE]
    finding = {"line": HOSTILE, "examples": [HOSTILE], "advice": HOSTILE, "count": 2}
    report["data"]["findings"] = [finding]
    answers = labels_answered([0, 1], [1, 0], [HOSTILE, "b"])
    mistake = Mistake(HOSTILE, HOSTILE, 0.9, HOSTILE)
    contents = page.Contents(
        report, [{"epoch": 0, "train_loss": 1.0}], answers, [mistake], [HOSTILE],
        [[Mark(0, 8, 1.0), Mark(9, 10, -1.0)]], next_steps(finished.path, finished.path / "<x>"),
        [Suspicious(HOSTILE, HOSTILE, HOSTILE, 0.1, 0.9, HOSTILE, [Mark(0, 8, 1.0)])],
    )  # fmt: skip
    text = page.page_of(HOSTILE, contents)
    parsed = Parsed(text)
    assert [len(parsed.all_of(name)) for name in ("script", "style", "main")] == [1, 1, 1]
    assert "<script>x" not in text and "\u202e" not in text and "\x00" not in text
    assert text.count("&lt;script&gt;x") > 10
    assert tag("a", title='"<') == '<a title="&quot;&lt;"></a>'


def labels_answered(classes, predictions, labels):
    scores = np.eye(len(labels), dtype=np.float32)[predictions]
    split = types.SimpleNamespace(classes=np.array(classes))
    return AnsweredLabels(split, scores, 1.0, labels)


@pytest.mark.parametrize("count", [40, 70])
def test_a_matrix_of_many_labels_begins_with_the_most_confused(count):
    labels = [f"label {i}" for i in range(count)]
    classes = np.repeat(np.arange(count), 4)
    predictions = classes.copy()
    predictions[28:32] = [7, 9, 9, 9]
    predictions[80] = 21
    found = confusions(labels_answered(classes, predictions, labels))
    assert found.names[:3] == ["label 7", "label 9", "label 20"]
    assert len(found.names) == min(count, 50)
    assert found.counts.sum() == 4 * min(count, 50)
    assert found.counts[0].tolist()[:3] == [1, 3, 0]
    assert found.pairs()[0] == (0, 1) and len(found.pairs()) == 2
    text = confusion_section(found)
    Parsed(text)
    assert 'title="label 7 taken for label 9: 3 of 4 texts (75.0%)">3</td>' in text
    assert f"{min(count, 50)} of {count} labels" in text or count == 40


def test_of_sets_it_tells_what_is_missed_beside_what():
    rows = np.array([[1, 0, 0], [1, 1, 0], [0, 0, 1], [0, 1, 0]], bool)
    accepted = np.array([[0, 1, 0], [1, 0, 0], [0, 1, 1], [0, 1, 0]], bool)
    split = types.SimpleNamespace(
        set_rows=rows, are_known=np.ones(4, bool), label_sets=lambda n: None
    )
    probability = np.where(accepted, 2.0, -2.0).astype(np.float32)
    found = confusions(AnsweredSets(split, probability, 1.0, ["a", "b", "c"], [0.5] * 3))
    assert found.names == ["b", "a", "c", NOTHING]
    assert found.counts.tolist() == [[1, 0, 0, 1], [1, 1, 0, 0], [0, 0, 1, 0], [1, 0, 0, 0]]
    text = confusion_section(found)
    assert "a taken for b: 1 of 2 texts (50.0%)" in text
    assert "b missed, with nothing in its place: 1 of 2 texts (50.0%)" in text
    assert "b given beside all that is right: 1 times" in text


def test_marks_are_what_words_add_to_what_is_wrong_up_to_the_cap(monkeypatch):
    tokens = [b"good", b"the", b"film"]
    corpus = types.SimpleNamespace(
        types=tokens, type_ids=np.array([0, 1, 2, 2]), offsets=np.array([0, 3, 4])
    )
    split = types.SimpleNamespace(
        corpus=corpus, rows=np.arange(2), lengths=np.array([3, 1]), classes=np.array([0, 0])
    )
    split.batch = lambda texts: types.SimpleNamespace(
        token_ids=np.array([[2, 3, 4], [4, 0, 0]])[texts], lengths=split.lengths[texts]
    )
    scores = np.array([[0, 1], [0, 1]], np.float32)
    answers = AnsweredLabels(split, scores, 1.0, ["bad", "good"])
    of_token = np.array([[0, 0], [0, 0], [1, 4], [0, 0], [2, 1]], np.float32)

    def marks():
        quotes = ["Good,\tthe  film", "FILM"]
        texts = np.arange(2)
        directions = directions_of_mistakes(answers, texts)
        return mark_words(
            answers, texts, quotes, directions, lambda ids, _: of_token[ids].sum(axis=1), None
        )

    assert marks()[0] == [Mark(0, 4, 3.0)]  # "," is no token of the text: what follows is unsure
    corpus.types = [b"good,", b"the", b"film"]
    assert marks() == [
        [Mark(0, 5, 3.0), Mark(6, 9, 0.0), Mark(11, 15, -1.0)],
        [Mark(0, 4, -1.0)],
    ]
    monkeypatch.setattr("tf_textrnn.runs.marks.MAX_STEPS", 12)
    assert [len(of_text) for of_text in marks()] == [3, 0]


def test_a_marked_word_is_escaped_and_tells_its_number():
    quote = "Good  <film>"
    marks = [[Mark(0, 4, 2.0), Mark(6, 7, -0.01), Mark(7, 11, -1.0)]]
    text = mistakes_section([Mistake("a", "", 0.5, quote)], [quote], marks)
    assert '<mark class="for4" title="+2.00">Good</mark>  &lt;<mark class="against3"' in text
    assert "no label" in text


def test_numbers_that_are_not_finite_are_left_out_of_a_chart():
    lines = [Line("a", [(1, float("nan")), (2, 0.5), (3, float("inf"))]), Line("b", [])]
    text = chart("t", Axis("x", 1, 3, True), Axis("y", 0, 1), lines)
    Parsed(text)
    assert "nan" not in text and "inf" not in text and "0.5" in text


def test_labels_beyond_those_shown_are_counted(monkeypatch):
    monkeypatch.setattr(sections, "LABELS_SHOWN", 2)
    row = {"precision": 1.0, "recall": 1.0, "f1": 1.0, "support": 3}
    text = sections.labels_section(dict.fromkeys("abc", row))
    assert "left out here: 1;" in text and ">c<" not in text


def test_a_page_or_marks_that_cannot_be_made_cost_a_warning(
    small_options, tmp_path, monkeypatch, capsys
):
    def fail(*_args):
        raise RuntimeError("no room")

    monkeypatch.setattr(ending, "mark_words", fail)
    monkeypatch.setattr(page, "atomic_write", fail)
    options = {**small_options, "num_epochs": 1, "run_dir": str(tmp_path / "run")}
    folder = runner.run(options).folder
    warnings = [x for x in capsys.readouterr().err.splitlines() if x.startswith("warning: ")]
    assert [warning.split(": ")[1] for warning in warnings] == [
        "the marked words of mistakes",
        str(folder.report_page),
    ]
    assert not folder.report_page.exists() and folder.report_text.exists()
