"""What can be done with a run that has ended: commands to paste."""

import pathlib
from typing import NamedTuple

from tf_textrnn.base import invocation


class NextStep(NamedTuple):
    """A command.

    Attributes:
      purpose: what it is for, as in "to classify text".
      command: a line for the shell.
    """

    purpose: str
    command: str


def next_steps(run: pathlib.Path, export: pathlib.Path | None) -> list[NextStep]:
    """The commands to go on with.

    Args:
      run: the run's folder.
      export: the exported version's folder; None where nothing was exported.
    """
    steps = [
        NextStep("to see it learn", invocation.other_program("tensorboard", "--logdir", str(run)))
    ]
    if export:
        predict = invocation.command_line("predict", f"--model={export}", "your text")
        steps.append(NextStep("to classify text", predict))
    return steps
