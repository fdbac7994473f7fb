"""Charts of lines, as SVG."""

import itertools
import math
from collections.abc import Callable, Sequence
from typing import NamedTuple

from tf_textrnn.runs.page.markup import Html, joined, table, tag

WIDTH, HEIGHT = 460, 300
_LEFT, _RIGHT, _TOP, _BOTTOM = 52, 12, 12, 44  # margins
_DOTS = 40  # a line of more points has none


_ENDS = ("x1", "y1", "x2", "y2")


class Line(NamedTuple):
    """A line of a chart.

    Attributes:
      name: of the line.
      points: (x, y) each; those that are not finite are left out.
    """

    name: str
    points: Sequence[tuple[float, float]]


class Axis(NamedTuple):
    """An axis.

    Attributes:
      name: what it shows.
      low: where it begins.
      high: where it ends.
      is_whole: whether its numbers are whole.
    """

    name: str
    low: float
    high: float
    is_whole: bool = False

    def place(self, value: float, start: float, end: float) -> float:
        """Where a value is, between the pixels where the axis begins and ends."""
        share = (value - self.low) / ((self.high - self.low) or 1.0)
        return round(start + min(max(share, 0.0), 1.0) * (end - start), 1)

    def ticks(self) -> list[float]:
        """At most seven round numbers."""
        room = (self.high - self.low) or 1.0
        power = 10.0 ** math.floor(math.log10(room))
        step = next(power * f for f in (0.2, 0.5, 1, 2) if room / (power * f) <= 6)
        step = max(step, 1.0) if self.is_whole else step
        first = math.ceil(self.low / step - 1e-9)
        last = math.floor(self.high / step + 1e-9)
        return [index * step for index in range(first, last + 1)]


def axis_over(name: str, values: Sequence[float]) -> Axis:
    """An axis that has room for all values that are finite."""
    finite = [value for value in values if math.isfinite(value)] or [0.0]
    low, high = min(finite), max(finite)
    room = (high - low) * 0.05 or abs(high) * 0.05 or 0.05
    return Axis(name, max(low - room, 0.0) if low >= 0 else low - room, high + room)


def chart(
    title: str,
    x: Axis,
    y: Axis,
    lines: Sequence[Line],
    marked: float | None = None,
    is_diagonal: bool = False,
) -> Html:
    """A chart with its legend, and its numbers in a table.

    Args:
      title: what it shows.
      x: the horizontal axis.
      y: the vertical one.
      lines: at most three.
      marked: a value of x that a vertical line marks; None = none.
      is_diagonal: whether a line goes where both are equal.
    """
    lines = [line._replace(points=_finite(line.points)) for line in lines]
    drawn = [*_grid(x, _column, True), *_grid(y, _row, False)]
    if is_diagonal:
        drawn.append(_path([(x.low, y.low), (x.high, y.high)], x, y, "diagonal"))
    if marked is not None:
        drawn.append(_path([(marked, y.low), (marked, y.high)], x, y, "marked"))
    for number, line in enumerate(lines):
        drawn += _drawn(line, x, y, number)
    names = [line.name for line in lines]
    svg = tag("svg", *drawn, viewBox=f"0 0 {WIDTH} {HEIGHT}", role="img",
              aria_label=f"{title}: {y.name} by {x.name}; {', '.join(names)}. "
              "The numbers follow.")  # fmt: skip
    legend = [
        tag("li", tag("span", class_=f"key line{number}"), name)
        for number, name in enumerate(names)
    ]
    numbers = tag("details", tag("summary", "numbers"), _numbers(title, x, lines))
    caption = tag("figcaption", tag("h3", title), tag("ul", *legend, class_="legend"))
    return tag("figure", caption, svg, numbers)


def thinned(points: Sequence[tuple[float, float]], most: int = 200) -> list[tuple[float, float]]:
    """At most so many of the points, evenly spaced, and the last one."""
    step = -(-len(points) // most) or 1
    return [*points[:-1:step], *points[-1:]]


def _finite(points: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
    return [point for point in points if all(map(math.isfinite, point))]


def _column(x: Axis, value: float) -> float:
    return x.place(value, _LEFT, WIDTH - _RIGHT)


def _row(y: Axis, value: float) -> float:
    return y.place(value, HEIGHT - _BOTTOM, _TOP)


def _grid(axis: Axis, place: Callable[[Axis, float], float], is_x: bool) -> list[Html]:
    bottom, right = HEIGHT - _BOTTOM, WIDTH - _RIGHT
    drawn = []
    for value in axis.ticks():
        at = place(axis, value)
        ends = (at, _TOP, at, bottom) if is_x else (_LEFT, at, right, at)
        drawn.append(tag("line", class_="grid", **dict(zip(_ENDS, ends, strict=True))))
        spot = {"x": at, "y": bottom + 16} if is_x else {"x": _LEFT - 6, "y": at + 4}
        drawn.append(tag("text", f"{value:.6g}", class_="tick" if is_x else "tick end", **spot))
    middle = ((_LEFT + right) / 2, HEIGHT - 8) if is_x else (13, (bottom + _TOP) / 2)
    transform = "translate({} {})".format(*middle) + ("" if is_x else " rotate(-90)")
    return [*drawn, tag("text", axis.name, class_="axis", transform=transform)]


def _path(points: Sequence[tuple[float, float]], x: Axis, y: Axis, class_: str) -> Html:
    places = " ".join(f"{_column(x, a)},{_row(y, b)}" for a, b in points)
    return tag("polyline", points=places, class_=class_)


def _drawn(line: Line, x: Axis, y: Axis, number: int) -> list[Html]:
    dots = [
        tag("circle", tag("title", f"{line.name}: {b:.4g} at {a:.4g}"),
            cx=_column(x, a), cy=_row(y, b), r=3, class_=f"line{number}")
        for a, b in line.points
    ]  # fmt: skip
    return [_path(line.points, x, y, f"line line{number}"), *(dots if len(dots) <= _DOTS else [])]


def _numbers(title: str, x: Axis, lines: Sequence[Line]) -> Html:
    """The numbers of a chart: a table of all lines where they share their points' x."""
    columns = [dict(line.points) for line in lines]
    places = sorted(set(itertools.chain.from_iterable(columns)))
    if all(len(column) == len(places) for column in columns):
        heads = [x.name, *(line.name for line in lines)]
        rows = [[f"{a:.4g}", *(f"{c[a]:.4g}" for c in columns)] for a in places]
        return table(f"{title}, in numbers", heads, rows, "")
    return joined(
        *[
            table(f"{title}: {line.name}", [x.name, line.name],
                  [[f"{a:.4g}", f"{b:.4g}"] for a, b in line.points], "")
            for line in lines
        ]
    )  # fmt: skip
