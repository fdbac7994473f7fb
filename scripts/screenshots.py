"""Takes the screenshots of docs/tensorboard.md and of `report.html` in a real browser.

Usage: `python scripts/screenshots.py RUN [report] [TAB ...]`, where RUN is the folder of a run.
Those of the docs were trained on film reviews; that of `images`, which wants more than ten labels,
on 120 of the built-in names of each language. `hparams` shows the runs beside RUN too. Needs
`pip install playwright` and Debian's package `chromium`.
"""

import pathlib
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Sequence

from playwright.sync_api import Page, sync_playwright

IMAGES = pathlib.Path(__file__).parents[1] / "docs" / "images"
BROWSER = [
    "--no-sandbox",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--use-gl=angle",  # the projector draws with WebGL, here without a GPU
    "--use-angle=swiftshader",
    "--enable-unsafe-swiftshader",
]
DRAWING_SECONDS = 8
ALL = ("report", "scalars", "custom_scalars", "histograms", "projector", "graphs", "hparams")
HEIGHTS = {"custom_scalars": 1300, "images": 1250, "graphs": 700, "hparams": 600}


def filter_tags(page: Page, pattern: str) -> None:
    """Shows only the charts whose tags match a pattern."""
    page.locator("tf-tag-filterer input:visible").fill(pattern)


def search_word(page: Page, word: str) -> None:
    """Selects a word in the projector, which shows its nearest neighbors."""
    page.wait_for_timeout(20_000)  # the projector computes its principal components
    projector = page.frames[-1]
    projector.locator("#search-box input").fill(word)
    projector.locator("vz-projector-inspector-panel").get_by_text(word, exact=True).click()
    page.mouse.move(700, 900)  # away from elements with a tooltip


def take(page: Page, address: str, tab: str) -> None:
    """Saves one tab to `docs/images`."""
    page.goto(f"{address}#{tab}")
    page.reload()  # a change of the fragment alone loads nothing
    page.wait_for_load_state("networkidle")
    page.set_viewport_size({"width": 1600, "height": HEIGHTS.get(tab, 1000)})
    if tab == "scalars":  # the browser remembers the choice for the custom scalars
        page.get_by_text("Ignore outliers in chart scaling").locator("visible=true").click()
        filter_tags(page, "^(loss|accuracy|gradient_norm)$|f1/|embedding/.*sparsity|_fraction")
    elif tab == "histograms":
        filter_tags(page, "embedding|forward/kernel|softmax_w|ngrams/kernel")
    elif tab == "images":
        filter_tags(page, "f1_of_each_label")
        page.get_by_text("Show actual image size").locator("visible=true").click()
    elif tab == "projector":
        search_word(page, "dull")
    page.wait_for_timeout(1_000 * DRAWING_SECONDS)
    page.screenshot(path=IMAGES / f"{tab}.png")


def take_report(page: Page, run: pathlib.Path) -> None:
    """Saves a part of a run's report to `docs/images`."""
    page.set_viewport_size({"width": 1200, "height": 1200})
    page.goto((run / "report.html").as_uri())
    page.locator("h2", has_text="trust").evaluate("heading => heading.scrollIntoView()")
    page.screenshot(path=IMAGES / "report.png")


def main(run: pathlib.Path, tabs: Sequence[str]) -> None:
    IMAGES.mkdir(exist_ok=True)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path="/usr/bin/chromium", args=BROWSER, chromium_sandbox=False
        )
        page = browser.new_page()
        if "report" in tabs:
            take_report(page, run)
        of_run = [tab for tab in tabs if tab not in ("report", "hparams")]
        for logdir, shown in (("tensorboard", of_run), ("..", {"hparams"} & {*tabs})):
            if shown:
                take_tabs(page, run, logdir, shown)
        browser.close()


def take_tabs(page: Page, run: pathlib.Path, logdir: str, tabs: Iterable[str]) -> None:
    """Saves tabs of TensorBoard to `docs/images`; `logdir` is seen from the run's folder."""
    command = [sys.executable, "-m", "tensorboard.main", f"--logdir={logdir}"]
    command += ["--host=127.0.0.1", "--port=0"]
    with (
        tempfile.NamedTemporaryFile("r") as log,
        open(log.name, "w") as output,
        subprocess.Popen(command, cwd=run, stdout=output, stderr=output) as server,
    ):
        try:
            while not (address := re.search(r"http://\S+", pathlib.Path(log.name).read_text())):
                time.sleep(1)
            time.sleep(DRAWING_SECONDS)  # for TensorBoard to read the run
            for tab in tabs:
                take(page, address.group(), tab)
        finally:
            server.terminate()


if __name__ == "__main__":
    main(pathlib.Path(sys.argv[1]).absolute(), sys.argv[2:] or ALL)
