"""The versions of a model: the one that is served, and the one that takes over."""

import gc
import pathlib
import threading
import time
from typing import NamedTuple

from tf_textrnn.base.terminal import note, warn
from tf_textrnn.predictor.predictor import find_export, open_runtime
from tf_textrnn.predictor.runtime import Runtime, newest_version
from tf_textrnn.predictor.server.errors import ApiError

LABEL = "stable"  # names the served version, as in export/serving/models.config
KEPT_STATES = 16  # versions of which it is told what became of them
LONGEST_END = 20.0  # seconds to wait for a version that is being loaded
LONGEST_WAIT = 60.0  # seconds until a version that failed is tried again


class Version(NamedTuple):
    """A version that is loaded; requests under way keep it until they are answered."""

    number: int
    path: pathlib.Path
    runtime: Runtime


class Versions:
    """The newest version of the model in a folder.

    Args:
      model: what `--model` names.
      name: of the model.

    Attributes:
      current: the version that requests are answered by.

    Raises:
      UserError: there is no model of this project.
    """

    def __init__(self, model: str, name: str):
        self._model, self._name = pathlib.Path(model), name
        self.current = _load(find_export(model))
        self._states = {self.current.number: ("AVAILABLE", "")}
        self._failed: tuple[pathlib.Path, float, float] | None = None  # path, wait, next try
        self._has_retired = False
        self._ended = threading.Event()
        self._thread: threading.Thread | None = None

    def watch(self, seconds: float) -> None:
        """Starts a thread that looks for another version every so many seconds."""

        def looking() -> None:
            while not self._ended.wait(seconds):
                self.look()

        self._thread = threading.Thread(target=looking, daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Ends the thread of `watch`; a library that loads at the interpreter's end would abort."""
        self._ended.set()
        if self._thread:
            self._thread.join(LONGEST_END)

    def look(self) -> None:
        """Loads the folder's newest version, if it is another one, and lets it take over.

        A version that cannot be loaded costs a warning, and is tried again later; the one that is
        served goes on. So it does where the folder holds none any more.
        """
        if self._has_retired:
            self._has_retired = False
            gc.collect()  # it holds itself, and there may be no other reason to collect for long
        path = newest_version(self._model)
        if path is None or path == self.current.path:
            return
        wait = 1.0
        if self._failed and self._failed[0] == path:
            _, wait, next_try = self._failed
            if time.monotonic() < next_try:
                return
        self._note_state(_number(path), "LOADING")
        try:
            version = _load(path)
        except Exception as error:  # the served version must go on
            reason = " ".join(str(error).split())[:300]
            self._note_state(_number(path), "END", reason)
            if not self._failed or self._failed[0] != path:
                warn(f"version {path.name} is not served: {reason}")
            next_wait = min(2 * wait, LONGEST_WAIT)
            self._failed = (path, next_wait, time.monotonic() + wait)
            return
        last, self.current, self._failed = self.current, version, None
        self._has_retired = True
        self._note_state(last.number, "END")
        self._note_state(version.number, "AVAILABLE")
        note(f"version {version.number} took over from version {last.number}")

    def find(self, name: str, number: int | None = None, label: str = "") -> Version:
        """The loaded version that a request asks for.

        Raises:
          ApiError: there is no such model, version or label, as TF Serving's ServerCore says it.
        """
        current = self.current
        if name == self._name and label and label != LABEL:
            raise ApiError(400, f"Unrecognized servable version label: {label[:100]}")
        if name != self._name or number not in (None, current.number):
            asked = (
                f"Latest({name[:100]})" if number is None else f"Specific({name[:100]}, {number})"
            )
            raise ApiError(404, f"Servable not found for request: {asked}")
        return current

    def states(
        self, name: str, number: int | None = None, label: str = ""
    ) -> list[tuple[int, str, str]]:
        """Number, state and error of the versions that a request asks for, the newest first."""
        if name != self._name:
            raise ApiError(404, f"Could not find any versions of model {name[:100]}")
        if label:
            number = self.find(name, label=label).number
        states = dict(self._states)
        if number is None:
            return [(key, *states[key]) for key in sorted(states, reverse=True)]
        if number not in states:
            raise ApiError(404, f"Could not find version {number} of model {name[:100]}")
        return [(number, *states[number])]

    def _note_state(self, number: int, state: str, error: str = "") -> None:
        states = {key: value for key, value in self._states.items() if key != number}
        states[number] = (state, error)
        while len(states) > KEPT_STATES:
            del states[next(key for key in states if key != self.current.number)]
        self._states = states


def _load(path: pathlib.Path) -> Version:
    """Loads a version, and has it answer, so that the first request does not wait for that."""
    runtime = open_runtime(path)
    runtime.run([b"a"])
    return Version(_number(path), path, runtime)


def _number(path: pathlib.Path) -> int:
    """The number of a version, by its folder; 1 where that has none."""
    name = path.resolve().name
    return int(name) if name.isdecimal() else 1
