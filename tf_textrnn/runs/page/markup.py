"""Markup, made so that no text of a stranger becomes any."""

import html

from tf_textrnn.base.tables import tab_separated


class Html(str):
    """Markup; any other string is a text, which is escaped where it becomes markup."""

    __slots__ = ()


def html_of(content: str) -> Html:
    r"""The markup that shows a text; markup stays as it is.

    Control characters and turns of direction are shown as spaces and U+FFFD.

    Example:
      >>> html_of("a <b>\u202e")
      'a &lt;b&gt;�'
    """
    return content if isinstance(content, Html) else Html(html.escape(tab_separated(content)))


def joined(*contents: str) -> Html:
    """Contents one after another."""
    return Html("".join(map(html_of, contents)))


def tag(name: str, *contents: str, **attributes: str | float | None) -> Html:
    """An element, which is not one of those that HTML never closes.

    Args:
      name: of the element.
      contents: texts and markup.
      attributes: "_" stands for "-"; one at the end is dropped, as of `class_`; None = absent.

    Example:
      >>> tag("td", "<7>", class_="q1", data_label='"x"')
      '<td class="q1" data-label="&quot;x&quot;">&lt;7&gt;</td>'
    """
    words = [name]
    for key, value in attributes.items():
        if value is not None:
            attribute = key.rstrip("_").replace("_", "-")
            words.append(f'{attribute}="{html_of(str(value))}"')
    return joined(Html(f"<{' '.join(words)}>"), *contents, Html(f"</{name}>"))


def section(title: str, *contents: str) -> Html:
    """A part of the page, with its heading."""
    return tag("section", tag("h2", title), *contents)


def table(caption: str, heads: list[str], rows: list[list[str]], class_: str = "sortable") -> Html:
    """A table, whose first column names its rows.

    Args:
      caption: what it shows.
      heads: of the columns.
      rows: the cells of each row.
      class_: "sortable" where a click on a head sorts it.
    """
    head = tag("tr", *[tag("th", text, scope="col") for text in heads])
    body = [
        tag("tr", tag("th", row[0], scope="row"), *[tag("td", cell) for cell in row[1:]])
        for row in rows
    ]
    return tag(
        "div",
        tag("table", tag("caption", caption), tag("thead", head), tag("tbody", *body),
            class_=class_),
        class_="scroll", tabindex="0", role="region", aria_label=caption,
    )  # fmt: skip
