"""Runs a real TensorBoard on loopback and queries its HTTP API."""

import contextlib
import json
import pathlib
import re
import subprocess
import sys
import time
import urllib.parse
import urllib.request
from collections.abc import Iterator


class TensorBoard:
    """TensorBoard on loopback.

    Args:
      address: of its pages.
    """

    def __init__(self, address: str):
        self._address = address

    def get(self, route: str, **query: str):
        """Returns the answer of a route, parsed if it is JSON."""
        url = f"{self._address}data/{route}?{urllib.parse.urlencode(query)}"
        with urllib.request.urlopen(url, timeout=60) as response:
            content = response.read()
            is_json = response.headers.get_content_type() == "application/json"
        return json.loads(content) if is_json else content

    def post(self, route: str, body: dict):
        """Posts a JSON body; returns the JSON answer."""
        request = urllib.request.Request(
            f"{self._address}data/{route}",
            json.dumps(body).encode(),
            {"Content-Type": "application/json"},
        )
        with urllib.request.urlopen(request, timeout=60) as response:
            return json.load(response)

    def wait_until_read(self) -> None:
        """Waits until TensorBoard has read the last thing that a run writes."""
        deadline = time.monotonic() + 60
        while "worst_mistakes" not in self.get("plugin/text/tags").get("run", []):
            assert time.monotonic() < deadline
            time.sleep(0.2)


@contextlib.contextmanager
def serve(folder: pathlib.Path, log: pathlib.Path, *flags: str) -> Iterator[TensorBoard]:
    """Runs TensorBoard over a folder; its output goes to `log`."""
    command = [sys.executable, "-m", "tensorboard.main", f"--logdir={folder}"]
    command += ["--host=127.0.0.1", "--port=0", *flags]
    with (
        open(log, "wb") as output,
        subprocess.Popen(command, stdout=output, stderr=output) as process,
    ):
        try:
            deadline = time.monotonic() + 60
            while not (found := re.search(r"http://127\.0\.0\.1:\d+/", log.read_text())):
                assert process.poll() is None, log.read_text()
                assert time.monotonic() < deadline, log.read_text()
                time.sleep(0.2)
            yield TensorBoard(found.group())
        finally:
            process.terminate()
