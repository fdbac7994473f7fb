"""The parts of `report.html`, from the values of `report.json`."""

from collections.abc import Mapping, Sequence
from typing import Any

from tf_textrnn.base.tables import shown_labels
from tf_textrnn.runs.next_steps import NextStep
from tf_textrnn.runs.page.markup import Html, joined, section, table, tag
from tf_textrnn.runs.page.svg import Axis, Line, axis_over, chart
from tf_textrnn.runs.report import HELD_OUT, measured_on
from tf_textrnn.runs.words import branches_text

LABELS_SHOWN = 1_000  # in the table of labels
WORDS_OF_LABELS = 200  # labels whose words are shown

_LABEL_COLUMNS = {
    "precision": "precision",
    "recall": "recall",
    "f1": "F1",
    "support": "texts",
    "roc_auc": "ROC-AUC",
    "average_precision": "average precision",
    "threshold": "threshold",
}
_EVALUATED_ON = {
    "test": "the test texts",
    "valid": "the validation texts (there is no test file)",
    HELD_OUT: "the validation texts, by a model that had not learned them (there is no test file)",
    "folds": "every text, each by a model that has not seen it (there is no test file)",
}


def answer_section(values: Mapping[str, Any], lines: Sequence[str], before: str) -> Html:
    """How good the model is.

    Args:
      values: of `report.json`.
      lines: what `report.txt` says of it.
      before: what the model that training started from had; empty where there was none.
    """
    has_sets = "per_text_f1" in values
    low, high = values["accuracy_interval"]
    f1_low, f1_high = values["macro_f1_interval"]
    micro = f"; micro F1 {values['micro_f1']:.3f}" if has_sets else ""  # else it is the accuracy
    figures = [
        ("whole sets right" if has_sets else "accuracy", f"{values['accuracy']:.1%}",
         f"95 % interval {low:.1%} to {high:.1%}"),
        ("macro F1", f"{values['macro_f1']:.3f}",
         f"95 % interval {f1_low:.3f} to {f1_high:.3f}{micro}"),
        ("best epoch", str(values["best_epoch"]), f"of {values['epochs']}"),
    ]  # fmt: skip
    items = [
        tag("div", tag("dt", name), tag("dd", tag("strong", number), " ", tag("small", more)))
        for name, number, more in figures
    ]
    told = "\n".join(lines).splitlines()
    return joined(
        tag("dl", *items, class_="figures"),
        tag("p", f"Measured on {_EVALUATED_ON[measured_on(values)]}."),
        tag("p", f"{before[0].upper()}{before[1:]}.") if before else "",
        tag("details", tag("summary", "all measures"), *[tag("p", line) for line in told]),
    )


def data_section(data: Mapping[str, Any]) -> Html:
    """What was seen in the texts before training."""
    heads = ["texts of", "texts", "tokens", "cut texts", "lost tokens", "unknown tokens",
             "empty texts", "median tokens", "most tokens"]  # fmt: skip
    names = ("texts", "tokens", "cut_texts", "lost_tokens", "unknown_tokens", "empty_texts")
    rows = [
        [split, *(f"{found[name]:,}" for name in names),
         *(f"{found['length_quantiles'][place]:,}" for place in (2, -1))]
        for split, found in data["splits"].items()
    ]  # fmt: skip
    findings = [_finding(finding) for finding in data["findings"]]
    return section(
        "The data",
        table("numbers of texts and tokens", heads, rows, ""),
        *[tag("p", note) for note in data["notes"]],
        tag("h3", "What stands out"),
        tag("ul", *findings) if findings else tag("p", "Nothing."),
    )


def _finding(finding: Mapping[str, Any]) -> Html:
    examples, advice = finding["examples"], finding["advice"]
    more = ["…"] if len(examples) < finding["count"] else []
    shown = tag("ul", *[tag("li", example) for example in [*examples, *more]])
    summary = tag("summary", finding["line"])
    return tag(
        "li",
        tag("details", summary, shown) if examples else finding["line"],
        tag("p", tag("code", advice)) if advice else "",
    )


def curves_section(
    history: Sequence[Mapping[str, Any]], best_epoch: int, is_of_first: bool
) -> Html:
    """Loss and accuracy by epoch.

    Args:
      history: the metrics of each epoch.
      best_epoch: which is marked, counted from 1.
      is_of_first: whether a second training on all texts has followed.
    """
    charts = []
    for measure in ("loss", "accuracy"):
        lines = [
            Line(name, [(m["epoch"] + 1, m[key]) for m in history if m.get(key) is not None])
            for name, key in (("training", f"train_{measure}"), ("validation", f"valid_{measure}"))
        ]
        values = [y for line in lines for _, y in line.points]
        x, y = Axis("epoch", 1, max(len(history), 2), True), axis_over(measure, values)
        charts.append(chart(f"{measure.title()} by epoch", x, y, lines, marked=best_epoch))
    note = "The upright line marks the best epoch" + (
        ". The exported model has trained for as many epochs on all texts."
        if is_of_first
        else ", whose weights are kept."
    )
    return section("How it learned", tag("p", note), tag("div", *charts, class_="charts"))


def texts_section(curve: Sequence[Mapping[str, float]]) -> Html:
    """How good the model is by the number of texts that it was trained on."""
    bounds = {"accuracy": "accuracy", "low": "95 % interval, from", "high": "to"}
    lines = [
        Line(name, [(point["texts"], point[key]) for point in curve])
        for key, name in bounds.items()
    ]
    x = Axis("texts trained on", 0, curve[-1]["texts"])
    y = axis_over("accuracy", [value for line in lines for _, value in line.points])
    gain = curve[-1]["accuracy"] - curve[-2]["accuracy"]
    return section(
        "Would more texts help?",
        tag("p", f"On the validation texts; the last doubling brought {gain:+.4f}."),
        tag("div", chart("Accuracy by number of texts", x, y, lines), class_="charts"),
    )


def labels_section(per_class: Mapping[str, Mapping[str, float]]) -> Html:
    """How good the model is on each label."""
    shown = shown_labels(per_class)
    columns = {
        key: name
        for key, name in _LABEL_COLUMNS.items()
        if any(key in row for row in per_class.values())
    }
    rows = [
        [shown[label], *(_number(row.get(key)) for key in columns)]
        for label, row in list(per_class.items())[:LABELS_SHOWN]
    ]
    return section(
        "Each label",
        table("measures of each label", ["label", *columns.values()], rows),
        _left_out(len(per_class) - LABELS_SHOWN, "Labels"),
    )


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:,}" if isinstance(value, int) else f"{value:.3f}"


def _left_out(count: int, what: str) -> Html:
    return (
        tag("p", f"{what} left out here: {count:,}; report.json has all.") if count > 0 else Html()
    )


def words_section(words: Mapping[str, Any]) -> Html:
    """The words that speak most for each label."""
    shown = shown_labels(words["labels"])
    rows = [
        tag("tr", tag("th", shown[label], scope="row"), tag("td", *_words(found)))
        for label, found in list(words["labels"].items())[:WORDS_OF_LABELS]
    ]
    return section(
        "Words that speak for a label",
        tag("p", f"What a word adds to the label's score, on average ({branches_text(words)}; "
            f"measured in {words['texts']:,} texts)."),
        tag("table", tag("caption", "words of each label"), tag("tbody", *rows), class_="words"),
        _left_out(len(shown) - WORDS_OF_LABELS, "Labels"),
    )  # fmt: skip


def _words(found: Mapping[str, float]) -> list[Html]:
    return [
        joined(tag("span", tag("bdi", word), " ", tag("small", f"{share:+.2f}")), " ")
        for word, share in found.items()
    ]


def commands_section(steps: Sequence[NextStep]) -> Html:
    """What to do next."""
    items = [
        joined(tag("dt", step.purpose), tag("dd", tag("pre", tag("code", step.command))))
        for step in steps
    ]
    return section("Next", tag("dl", *items))
