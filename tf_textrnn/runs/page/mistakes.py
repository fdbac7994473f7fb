"""The worst mistakes, and labels that may be wrong, with their words marked."""

from collections.abc import Sequence

from tf_textrnn.base.errors import printable
from tf_textrnn.data.quotes import QUOTE_CHARACTERS
from tf_textrnn.runs.marks import Mark, strongest
from tf_textrnn.runs.page.markup import Html, joined, section, tag
from tf_textrnn.runs.report import Mistake
from tf_textrnn.runs.suspicious import Suspicious

_LEVELS = 4
_LEAST = 0.2  # share of the strongest word's; weaker words are not marked


def mistakes_section(
    mistakes: Sequence[Mistake], quotes: Sequence[str], marks: Sequence[Sequence[Mark]]
) -> Html:
    """The part of the page that quotes texts.

    Args:
      mistakes: the worst ones, most confident first.
      quotes: the start of each text.
      marks: those of each quote; none where its words are not explained.
    """
    if not mistakes:
        return section("Mistakes", tag("p", "There are none."))
    items = [_mistake(*of_one) for of_one in zip(mistakes, quotes, marks, strict=True)]
    legend = (
        "Words are marked that spoke ", tag("mark", "for the mistake", class_="for2"), " or ",
        tag("mark", "against it", class_="against2"), ", the stronger the deeper; point at one for "
        "its number: what it adds to the label that was given, less what it adds to the true one.",
    )  # fmt: skip
    return section(
        "Mistakes",
        tag("p", "The surest first; those and more are in mistakes.tsv."),
        tag("p", *legend) if any(marks) else "",
        tag("ol", *items, class_="mistakes"),
    )


def _mistake(mistake: Mistake, quote: str, marks: Sequence[Mark]) -> Html:
    label, prediction = map(_label, (mistake.label, mistake.prediction))
    head = label, " taken for ", prediction, f" ({mistake.probability:.2f})"
    return _quoted(head, quote, marks)


def suspicious_section(suspicious: Sequence[Suspicious], count: int) -> Html:
    """The labels that may be wrong.

    Args:
      suspicious: those that are shown, the surest first.
      count: of all.
    """
    items = [
        _quoted(
            (tag("bdi", printable(row.place)), ": ",
             _label(row.label), f" ({row.probability:.2f}) is given, ",
             _label(row.suggested), f" ({row.suggested_probability:.2f}) suggested"),
            row.quote, row.marks,
        )
        for row in suspicious
    ]  # fmt: skip
    return section(
        "Labels that may be wrong",
        tag("p", f"{count:,} texts of which models that have not seen them are surer of another "
            "label (confident learning); the surest first, all in suspicious.tsv. Words are marked "
            "that speak for the suggested label, or against it, to the exported model, which has "
            "learned these texts."),
        tag("ol", *items, class_="mistakes"),
    )  # fmt: skip


def _label(name: str) -> Html:
    return tag("strong", tag("bdi", printable(name) or "no label"))


def _quoted(head: Sequence[Html | str], quote: str, marks: Sequence[Mark]) -> Html:
    more = "…" if len(quote) >= QUOTE_CHARACTERS else ""
    return tag(
        "li",
        tag("p", *head),
        tag("blockquote", *_marked(quote, marks), more, dir="auto"),
        _strongest(quote, marks),
    )


def _marked(quote: str, marks: Sequence[Mark]) -> list[Html | str]:
    """The quote in pieces, those that are marked as such."""
    most = max((abs(mark.share) for mark in marks), default=0.0)
    pieces: list[Html | str] = []
    end = 0
    for mark in marks:
        if most and abs(mark.share) >= _LEAST * most:
            level = min(1 + int(abs(mark.share) / most * _LEVELS), _LEVELS)
            class_ = f"{'for' if mark.share > 0 else 'against'}{level}"
            word = quote[mark.start : mark.end]
            pieces += [quote[end : mark.start]]
            pieces += [tag("mark", word, class_=class_, title=f"{mark.share:+.2f}")]
            end = mark.end
    return [*pieces, quote[end:]]


def _strongest(quote: str, marks: Sequence[Mark]) -> Html:
    """The same for those who see no colors."""
    sides = {"for": strongest(marks), "against": strongest(marks, -1)}
    told = [
        joined(f"{side}: ", *[_named(quote, mark) for mark in found], " ")
        for side, found in sides.items()
        if found
    ]
    return tag("p", *told, class_="strongest") if told else Html()


def _named(quote: str, mark: Mark) -> Html:
    return joined(tag("bdi", quote[mark.start : mark.end]), f" {mark.share:+.2f} ")
