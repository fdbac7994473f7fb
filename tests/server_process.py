"""`textrnn serve` in a process of its own, and requests to it."""

import contextlib
import http.client
import json
import pathlib
import re
import signal
import subprocess
import sys
import threading
import time

from tests.serving_cases import TEXTS

ROOT = pathlib.Path(__file__).parents[1]
# What a machine without TensorFlow lacks.
WITHOUT = ("tensorflow", "keras", "scipy", "sklearn", "matplotlib", "babel", "tqdm", "filelock")
SCRIPT = (
    f"import sys; sys.modules.update(dict.fromkeys({WITHOUT})); "
    "from tf_textrnn import cli; cli.main('serve')"
)


class ServeProcess:
    """`textrnn serve` where TensorFlow cannot be imported, on a free port; killed after a `with`.

    Args:
      model: the folder of an ONNX export.
      flags: more of them.
    """

    def __init__(self, model, *flags):
        self._process = subprocess.Popen(
            [sys.executable, "-c", SCRIPT, f"--model={model}", "--port=0", *flags],
            cwd=ROOT, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        )  # fmt: skip
        self.greeting = self._process.stdout.readline()
        if not self.greeting:
            raise AssertionError(self._process.communicate()[1])
        self.port = int(re.search(r":(\d+)$", self.greeting)[1])
        self.hint = self._process.stdout.readline()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._process.kill()
        self._process.communicate()

    def connect(self):
        return http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)

    def terminate(self):
        self._process.send_signal(signal.SIGTERM)

    def end(self):
        """Waits for the end; returns the exit status and what was written to stderr."""
        _, err = self._process.communicate(timeout=60)
        return self._process.returncode, err


def ask(connection, method, path, body=None, **headers):
    """Returns status, headers and answer, as JSON where it is."""
    connection.request(method, path, body, {k.replace("_", "-"): v for k, v in headers.items()})
    with connection.getresponse() as response:
        content = response.read()
    is_json = response.headers["Content-Type"] == "application/json"
    return response.status, response.headers, json.loads(content) if is_json else content.decode()


class Load:
    """Clients, each with one connection that it keeps, that ask until the server ends."""

    def __init__(self, server, num_clients, labels):
        self._server, self._labels = server, labels
        self.answered, self.failures = 0, []
        self._threads = [threading.Thread(target=self._ask) for _ in range(num_clients)]
        for thread in self._threads:
            thread.start()

    def _ask(self):
        body = json.dumps({"instances": TEXTS})
        try:
            with contextlib.closing(self._server.connect()) as connection:
                while True:
                    status, headers, answer = ask(
                        connection, "POST", "/v1/models/textrnn:predict", body
                    )
                    assert status == 200, answer
                    assert [row["label"] for row in answer["predictions"]] == self._labels
                    self.answered += 1
                    if headers["Connection"] == "close":
                        return
        except Exception as error:
            self.failures.append(error)

    def join(self):
        for thread in self._threads:
            thread.join()


def wait_until(condition):
    for _ in range(600):
        if condition():
            return
        time.sleep(0.05)
    raise AssertionError
