"""Names of labels in the confusion matrix: in a font that has them, else by number."""

import io

import numpy as np
import pytest
from matplotlib import font_manager

from tf_textrnn.runs.fonts import fonts_for
from tf_textrnn.runs.plots import confusion_figure, f1_figure, numbered_labels

STIX_LETTER = "\u1d81"  # STIX has it, which comes with matplotlib; DejaVu Sans has not


@pytest.fixture(autouse=True)
def _bundled_fonts(monkeypatch):
    """Only the fonts that come with matplotlib."""
    manager = font_manager.fontManager
    bundled = [font for font in manager.ttflist if "mpl-data" in str(font.fname)]
    monkeypatch.setattr(manager, "ttflist", bundled)
    fonts_for.cache_clear()
    yield
    fonts_for.cache_clear()


def names_of(labels):
    classes = np.arange(len(labels))
    figure = confusion_figure(classes, classes, labels)
    figure.savefig(io.BytesIO(), format="png")  # a warning of a missing glyph is an error
    return [text.get_text() for text in figure.axes[0].get_yticklabels()]


@pytest.mark.parametrize(
    ("labels", "names", "lines"),
    [
        (["bad", "good", "$x$ \\frac"], ["bad", "good", "$x$ \\\\frac"], ""),
        (["ja", "ДА", STIX_LETTER], ["ja", "ДА", STIX_LETTER], ""),
        (["ok", "体育", "a\u200c🤖"], ["ok", "#2", "#3"], "  #2 = 体育\n  #3 = a\\u200c🤖\n"),
        (
            ["long " * 9 + "a", "long " * 9 + "b", "W" * 300],
            ["#1", "#2", "W" * 19 + "…"],
            f"  #1 = {'long ' * 9}a\n  #2 = {'long ' * 9}b\n",
        ),
    ],
)
def test_names_of_labels(labels, names, lines):
    assert names_of(labels) == names
    assert numbered_labels(labels).partition("matrix:\n")[2] == lines


def test_a_font_comes_after_the_default_one_and_the_one_with_most_characters_first():
    assert fonts_for(frozenset("abcДА")) == ([], frozenset())
    families, missing = fonts_for(frozenset(f"a{STIX_LETTER}体"))
    assert families == ["STIXGeneral"] and missing == {"体"}


def test_a_matrix_of_many_labels_has_no_names():
    labels = [f"标签{number}" for number in range(101)]
    assert numbered_labels(labels) == ""
    assert not set(labels) & set(names_of(labels))


def test_f1_by_epoch_has_a_row_for_each_label_the_lowest_on_top():
    f1 = np.array([[0.9, 0.1, 0.2], [0.9, 0.5, 0.3]])
    (axes, _) = f1_figure([3, 4], f1, ["good", "体", "$bad$"]).axes
    (image,) = axes.get_images()
    np.testing.assert_array_equal(image.get_array(), [[0.2, 0.3], [0.1, 0.5], [0.9, 0.9]])
    names = [text.get_text() for text in axes.get_yticklabels()]
    assert names == ["$bad$", "#2", "good"]
    left, right, bottom, top = image.get_extent()
    assert (left, right) == (2.5, 4.5) and bottom > top  # epochs to the right, labels downwards


def test_a_font_that_is_gone_is_passed_over(monkeypatch):
    font = font_manager.FontEntry("/nowhere/x.ttf", "Nowhere", "normal", "normal", 400, "normal")
    monkeypatch.setattr(font_manager.fontManager, "ttflist", [font])
    assert fonts_for(frozenset("体")) == ([], {"体"})
