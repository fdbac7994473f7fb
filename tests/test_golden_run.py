"""The first 50 steps of the built-in set, as recorded: a change of numbers is seen."""

import json
import pathlib

import numpy as np
import pytest

from tests.test_summaries import read_events
from tf_textrnn.runs.folder import RunFolder
from tf_textrnn.training import runner

RECORDED = pathlib.Path(__file__).parent / "data" / "golden_run.json"
STEPS = 50


class EnoughError(Exception):
    """Fifty steps are done."""


def first_steps(folder: pathlib.Path) -> dict[str, list[float]]:
    """Loss and gradient norm of each step at seed 1, with every default."""

    def stop(step):
        if step == STEPS:
            raise EnoughError

    options = {"dataset": "languages", "run_dir": str(folder), "checkpoint_minutes": 0.0}
    with pytest.raises(EnoughError):
        runner.run(options, on_step=stop)
    events = read_events(RunFolder(str(folder)).tensorboard / "train")
    steps = [events[step] for step in range(1, STEPS + 1)]
    return {tag: [step[tag].simple_value for step in steps] for tag in ("loss", "gradient_norm")}


def test_the_first_steps_are_as_recorded(tmp_path):
    """Recorded by `python -m tests.test_golden_run` on x86-64 with AVX-512."""
    recorded = json.loads(RECORDED.read_text(encoding="utf-8"))
    found = first_steps(tmp_path / "run")
    for tag, values in recorded.items():
        np.testing.assert_allclose(found[tag], values, rtol=1e-3, err_msg=tag)


if __name__ == "__main__":
    import tempfile

    with tempfile.TemporaryDirectory() as scratch:
        figures = first_steps(pathlib.Path(scratch) / "run")
    rounded = {tag: [float(f"{value:.6g}") for value in values] for tag, values in figures.items()}
    RECORDED.parent.mkdir(exist_ok=True)
    RECORDED.write_text(json.dumps(rounded, indent=1) + "\n", encoding="utf-8")
