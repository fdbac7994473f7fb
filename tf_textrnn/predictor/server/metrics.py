"""What is counted, in Prometheus' text format. Standard library and NumPy.

https://prometheus.io/docs/instrumenting/exposition_formats/#text-based-format
"""

import bisect
import collections
import itertools
import threading
from collections.abc import Sequence

from tf_textrnn.predictor.runtime import Predictions

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
BATCH_TEXTS = (1, 2, 4, 8, 16, 32, 64, 128)
_ESCAPED = str.maketrans({"\\": r"\\", '"': r"\"", "\n": r"\n"})


class Histogram:
    """Counts of values up to each of some bounds."""

    def __init__(self, bounds: Sequence[float]):
        self._bounds = bounds
        self._counts = [0] * (len(bounds) + 1)
        self._sum = 0.0

    def add(self, value: float) -> None:
        """Counts a value."""
        self._counts[bisect.bisect_left(self._bounds, value)] += 1
        self._sum += value

    def lines(self, name: str, label: str = "") -> list[str]:
        """The samples; `label` is one beside the bounds, such as `page="predict"`."""
        totals = list(itertools.accumulate(self._counts))
        own = f"{{{label}}}" if label else ""
        bounds = [*(f"{bound:g}" for bound in self._bounds), "+Inf"]
        return [
            *(
                f'{name}_bucket{{{label}{"," if label else ""}le="{bound}"}} {total}'
                for bound, total in zip(bounds, totals, strict=True)
            ),
            f"{name}_sum{own} {self._sum:.9g}",
            f"{name}_count{own} {totals[-1]}",
        ]


class Metrics:
    """All counts of a server; for several threads at once.

    Attributes:
      waiting: number of requests under way.
    """

    def __init__(self) -> None:
        self.waiting = 0
        self._lock = threading.Lock()
        self._requests: collections.Counter[tuple[str, int]] = collections.Counter()
        self._labels: collections.Counter[str] = collections.Counter()
        self._seconds: dict[str, Histogram] = {}
        self._batches = Histogram(BATCH_TEXTS)
        self._texts = self._explained = self._unsure = self._cut = self._tokens = self._unknown = 0

    def request(self, page: str, status: int, seconds: float) -> None:
        """Counts a request that has its answer.

        Args:
          page: which of our pages it was for.
          status: of the answer.
          seconds: that it took.
        """
        with self._lock:
            self._requests[page, status] += 1
            self._seconds.setdefault(page, Histogram(SECONDS)).add(seconds)

    def batch(self, size: int) -> None:
        """Counts a batch of so many texts."""
        with self._lock:
            self._batches.add(size)

    def explained(self, count: int) -> None:
        """Counts texts that are explained."""
        with self._lock:
            self._explained += count

    def answers(self, labels: Sequence[str], found: Predictions) -> None:
        """Counts what the model said of the texts of a request."""
        by_class = found.accepted.sum(axis=0).tolist()
        unsure = int((~found.accepted.any(axis=1)).sum())
        tokens, known = int(found.num_tokens.sum()), int(found.num_known.sum())
        with self._lock:
            self._texts += len(found.classes)
            self._unsure += unsure
            self._cut += int(found.is_cut.sum())
            self._tokens += tokens
            self._unknown += tokens - known
            for label, count in zip(labels, by_class, strict=True):
                if count:
                    self._labels[label] += count

    def text(self, version: int) -> str:
        """All of it.

        Args:
          version: the number of the one that is served.
        """
        with self._lock:
            requests = [
                f'textrnn_requests_total{{page="{page}",status="{status}"}} {count}'
                for (page, status), count in sorted(self._requests.items())
            ]
            labels = [
                f'textrnn_labels_total{{label="{label.translate(_ESCAPED)}"}} {count}'
                for label, count in sorted(self._labels.items())
            ]
            seconds = [
                line
                for page, histogram in sorted(self._seconds.items())
                for line in histogram.lines("textrnn_request_seconds", f'page="{page}"')
            ]
            families = [
                ("requests_total", "counter", "Answered requests", requests),
                ("request_seconds", "histogram", "Time from headers to answer",
                 seconds),
                ("batch_texts", "histogram", "Texts classified together",
                 self._batches.lines("textrnn_batch_texts")),
                ("requests_waiting", "gauge", "Requests under way", self.waiting),
                ("texts_total", "counter", "Texts that were classified", self._texts),
                ("explained_texts_total", "counter", "Texts that were explained", self._explained),
                ("unsure_texts_total", "counter", "Texts without an accepted label", self._unsure),
                ("cut_texts_total", "counter", "Texts longer than the model reads", self._cut),
                ("tokens_total", "counter", "Tokens that were read", self._tokens),
                ("unknown_tokens_total", "counter", "Tokens that were read as unknown",
                 self._unknown),
                ("labels_total", "counter", "Texts that were taken to have the label", labels),
                ("model_version", "gauge", "The version that is served", version),
            ]  # fmt: skip
        lines = []
        for name, kind, meaning, samples in families:
            lines += [f"# HELP textrnn_{name} {meaning}.", f"# TYPE textrnn_{name} {kind}"]
            lines += samples if isinstance(samples, list) else [f"textrnn_{name} {samples}"]
        return "\n".join(lines) + "\n"
