"""Texts of requests that come together are classified together, those of like length."""

import collections
import concurrent.futures
import threading
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

from tf_textrnn.predictor.batches import batches_of
from tf_textrnn.predictor.runtime import Predictions, Runtime

LONGEST_END = 5.0  # seconds to wait for batches that nobody waits for any more


class _Job:
    """The texts of one request, whose answers may come from several batches."""

    def __init__(self, size: int, num_classes: int):
        self.found = Predictions.empty(size, num_classes)
        self.future: concurrent.futures.Future[Predictions] = concurrent.futures.Future()
        self._missing = size
        self._lock = threading.Lock()

    def add(self, places: Sequence[int], part: Predictions) -> None:
        """Takes the answers to the texts at these places; the last ones make the future's."""
        self.found.put(places, part)
        with self._lock:
            self._missing -= len(places)
            is_whole = not self._missing
        if is_whole and self.future.set_running_or_notify_cancel():
            self.future.set_result(self.found)

    def fail(self, error: Exception) -> None:
        with self._lock:
            if not self.future.done() and self.future.set_running_or_notify_cancel():
                self.future.set_exception(error)


class _Text(NamedTuple):
    job: _Job
    place: int
    content: bytes


class _Batch(NamedTuple):
    runtime: Runtime
    texts: list[_Text]


class Batcher:
    """Threads that classify whatever has come while they were busy.

    A thread that is free takes all texts that wait, sorts them by length and cuts them into
    batches; the others share these. So a text alone is answered at once, and batches grow with
    the load, without a wait for company.

    Args:
      num_threads: of them, each runs one batch at a time.
      on_batch: is told the number of texts of each batch.
    """

    def __init__(self, num_threads: int, on_batch: Callable[[int], None]):
        self._on_batch = on_batch
        self._changed = threading.Condition()
        self._waiting: dict[int, tuple[Runtime, list[_Text]]] = {}  # by the runtime's id
        self._batches: collections.deque[_Batch] = collections.deque()
        self._is_closed = False
        self._threads = [
            threading.Thread(target=self._work, daemon=True) for _ in range(num_threads)
        ]
        for thread in self._threads:
            thread.start()

    def submit(
        self, runtime: Runtime, texts: Sequence[bytes]
    ) -> concurrent.futures.Future[Predictions]:
        """Classifies texts; a future that is cancelled takes no more of the threads' time."""
        job = _Job(len(texts), len(runtime.labels))
        if not texts:
            job.add([], job.found)
            return job.future
        with self._changed:
            _, waiting = self._waiting.setdefault(id(runtime), (runtime, []))
            waiting += [_Text(job, place, content) for place, content in enumerate(texts)]
            self._changed.notify()
        return job.future

    def close(self) -> None:
        """Ends the threads, once they are free; it waits for that a while."""
        with self._changed:
            self._is_closed = True
            self._changed.notify_all()
        for thread in self._threads:
            thread.join(LONGEST_END)

    def _work(self) -> None:
        while self._run_next():  # nothing of a batch stays here while the thread waits
            pass

    def _run_next(self) -> bool:
        """Runs a batch, once there is one; False when all is over."""
        batch = self._next_batch()
        if batch is None:
            return False
        try:
            self._run(batch)
        except Exception as error:  # whatever it is, the next batch is not its
            for text in batch.texts:
                text.job.fail(error)
        return True

    def _next_batch(self) -> _Batch | None:
        while True:
            with self._changed:
                while not (self._batches or self._waiting or self._is_closed):
                    self._changed.wait()
                if self._batches:
                    return self._batches.popleft()
                if not self._waiting:
                    return None
                window, self._waiting = self._waiting, {}
            made = [batch for runtime, texts in window.values() for batch in _cut(runtime, texts)]
            with self._changed:
                self._batches.extend(made)
                self._changed.notify_all()

    def _run(self, batch: _Batch) -> None:
        texts = [text for text in batch.texts if not text.job.future.cancelled()]
        if not texts:
            return
        self._on_batch(len(texts))
        found = batch.runtime.run([text.content for text in texts])
        rows: dict[_Job, list[int]] = collections.defaultdict(list)
        for row, text in enumerate(texts):
            rows[text.job].append(row)
        for job, of_job in rows.items():
            job.add([texts[row].place for row in of_job], found.of(of_job))


def _cut(runtime: Runtime, texts: Sequence[_Text]) -> list[_Batch]:
    """Batches of like length; the texts of whoever gave up are left out."""
    texts = [text for text in texts if not text.job.future.cancelled()]
    if not texts:
        return []
    contents = [text.content for text in texts]
    decoded = [content.decode("utf-8", "replace") for content in contents]
    batches = batches_of(decoded, contents)
    return [_Batch(runtime, [texts[i] for i in np.asarray(batch).tolist()]) for batch in batches]
