"""Takes the pictures of the page at `/` of `textrnn serve` in a real browser.

Usage: `python scripts/page_screenshot.py MODEL [--dark]`, where MODEL is the folder of an export;
that of the docs was trained on film reviews. Writes docs/images/page.png or page_dark.png.
Needs `pip install playwright`, Debian's package `chromium` and the extra `server`.
"""

import pathlib
import re
import subprocess
import sys

from playwright.sync_api import Page, sync_playwright

IMAGES = pathlib.Path(__file__).parents[1] / "docs" / "images"
TEXTS = (
    "Two hours of shouting, and not one idea.",
    "A plain little story, told with patience and a good ear.",
    "The jokes are tired and the plot is a mess, but the two leads are warm, funny and moving.",
)


def take(page: Page, address: str, is_dark: bool) -> None:
    """Types the texts, one after the other, points at a word, and saves what is seen."""
    page.emulate_media(color_scheme="dark" if is_dark else "light")
    page.goto(address)
    for number, text in enumerate(TEXTS, start=1):
        page.get_by_label("A text", exact=True).fill(text)
        page.locator(f"#history > li:nth-child({number})").wait_for()
    page.locator("[role=option]", has_text="moving").hover()
    page.locator("#card summary").evaluate("summary => summary.click()")
    IMAGES.mkdir(exist_ok=True)
    name = "page_dark.png" if is_dark else "page.png"
    page.screenshot(path=IMAGES / name, full_page=True)


def main(model: str, *flags: str) -> None:
    command = [sys.executable, "-m", "tf_textrnn.cli", "serve", f"--model={model}", "--port=0"]
    with (
        subprocess.Popen(command, text=True, stdout=subprocess.PIPE) as server,
        sync_playwright() as playwright,
    ):
        try:
            assert server.stdout
            address = re.search(r"http://\S+$", server.stdout.readline())
            assert address, "the server did not start"
            browser = playwright.chromium.launch(
                executable_path="/usr/bin/chromium", args=["--no-sandbox", "--disable-quic"]
            )
            page = browser.new_page(viewport={"width": 900, "height": 700})
            take(page, address.group(), is_dark="--dark" in flags)
            browser.close()
        finally:
            server.terminate()


if __name__ == "__main__":
    main(*sys.argv[1:])
