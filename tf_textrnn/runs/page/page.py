"""Writes `report.html`: the report of a run for a browser, in one file that loads nothing."""

import base64
import dataclasses
import hashlib
import pathlib
import string
from collections.abc import Sequence
from typing import Any

from tf_textrnn.base.files import atomic_write
from tf_textrnn.base.version import __version__
from tf_textrnn.runs.answered import Answered
from tf_textrnn.runs.coverage import risk_coverage
from tf_textrnn.runs.folder import RunFolder
from tf_textrnn.runs.marks import Mark
from tf_textrnn.runs.next_steps import NextStep
from tf_textrnn.runs.page import sections
from tf_textrnn.runs.page.confusion import confusion_section, confusions
from tf_textrnn.runs.page.markup import Html, html_of, joined, section, tag
from tf_textrnn.runs.page.mistakes import mistakes_section, suspicious_section
from tf_textrnn.runs.page.svg import Axis, Line, chart, thinned
from tf_textrnn.runs.report import Mistake, initial_text, total_lines
from tf_textrnn.runs.suspicious import Suspicious

MISTAKES_SHOWN = 50
SUSPICIOUS_SHOWN = 100
_HERE = pathlib.Path(__file__).parent
PRIVACY = (
    "This page quotes texts of the data; it is for those who may read them, and stays in the run."
)


@dataclasses.dataclass(frozen=True)
class Contents:
    """What the page shows.

    Attributes:
      values: of `report.json`.
      history: the metrics of each epoch, as in `metrics.jsonl`.
      answers: what the model says of the scored texts.
      mistakes: the worst ones, most confident first.
      quotes: the start of the text of each.
      marks: those of each quote.
      steps: commands to go on with.
      suspicious: the labels that may be wrong, the surest first.
    """

    values: dict[str, Any]
    history: Sequence[dict[str, Any]]
    answers: Answered
    mistakes: Sequence[Mistake]
    quotes: Sequence[str]
    marks: Sequence[Sequence[Mark]]
    steps: Sequence[NextStep]
    suspicious: Sequence[Suspicious] = ()


def write_page(folder: RunFolder, contents: Contents) -> None:
    """Writes `report.html`."""
    page = page_of(f"Report of {folder.path.name}", contents)
    with atomic_write(folder.report_page) as file:
        file.write(page.encode())


def page_of(title: str, contents: Contents) -> str:
    """The page.

    Its policy lets it run its own script and use its own style, known by their hashes, and load
    nothing at all.

    Args:
      title: of the page.
      contents: what it shows.
    """
    style, script = _file("page.css"), _file("page.js")
    template = string.Template(_file("page.html"))
    return template.substitute(
        policy=html_of(
            f"default-src 'none'; script-src {_source(script)}; style-src {_source(style)}; "
            "base-uri 'none'; form-action 'none'"
        ),
        title=html_of(title),
        privacy=html_of(PRIVACY),
        version=html_of(__version__),
        style=style,
        script=script,
        body=_body(contents),
    )


def _file(name: str) -> str:
    return (_HERE / name).read_text(encoding="utf-8")


def _source(content: str) -> str:
    """How a Content-Security-Policy names a script or style (CSP level 2, 4.2.5)."""
    digest = hashlib.sha256(content.encode()).digest()
    return f"'sha256-{base64.b64encode(digest).decode()}'"


def _body(contents: Contents) -> Html:
    values = contents.values
    return joined(
        sections.answer_section(values, total_lines(values), initial_text(values)),
        sections.data_section(values["data"]),
        sections.curves_section(
            contents.history, values["best_epoch"], values["config"]["folds"] == 1
        ),
        sections.texts_section(values["learning_curve"]) if "learning_curve" in values else "",
        confusion_section(confusions(contents.answers)),
        _trust_section(contents.answers),
        sections.labels_section(values["per_class"]),
        sections.words_section(values["words"]) if "words" in values else "",
        mistakes_section(contents.mistakes, contents.quotes, contents.marks),
        suspicious_section(contents.suspicious[:SUSPICIOUS_SHOWN], len(contents.suspicious))
        if contents.suspicious
        else "",
        sections.commands_section(contents.steps),
    )


def _trust_section(answers: Answered) -> Html:
    """How far its probabilities can be trusted."""
    curves = []
    for name, is_calibrated in (("without a temperature", False), ("as answered", True)):
        found = answers.reliability(is_calibrated)
        filled = found.texts > 0
        points = zip(
            found.confidence[filled].tolist(), found.accuracy[filled].tolist(), strict=True
        )
        curves.append(Line(f"{name}: error {found.error:.3f}", list(points)))
    probability = Axis("probability of the prediction", 0, 1)
    reliability = chart(
        "Reliability", probability, Axis("share that is right", 0, 1), curves, is_diagonal=True
    )
    coverage, risk = risk_coverage(answers.confidence, answers.is_top_right)
    line = Line("wrong", thinned(list(zip(coverage.tolist(), risk.tolist(), strict=True))))
    risk_axis = Axis("share that is wrong", 0, max(float(risk.max()) * 1.1, 0.01))
    share = Axis("share of texts answered, the surest first", 0, 1)
    return section(
        "How far to trust a probability",
        tag("p", "Left: on the dashed line it is right as often as it says. Right: how many of the "
            "most probable labels are wrong where only the surest texts are answered."),
        tag("div", reliability, chart("Risk and coverage", share, risk_axis, [line]),
            class_="charts"),
    )  # fmt: skip
