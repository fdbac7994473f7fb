"""How this process was called, so that every command that it prints can be pasted.

Called from the library, where there is no command line, a command begins with `textrnn`.
"""

import dataclasses
import os
import pathlib
import shlex
import shutil
import sys

CALLED_AS = "TEXTRNN_CALLED_AS"  # environment: what `scripts/train` was called as


@dataclasses.dataclass
class _State:
    program: tuple[str, ...] = ("textrnn",)  # runs any command, named after it
    own_command: str = ""  # what runs without being named, as `train` by `python train.py`
    own_program: tuple[str, ...] = ()


_state = _State()


def record(command: str) -> None:
    """Remembers how the process was called.

    Args:
      command: what the program runs without being told, as `python train.py` runs "train"; "" for
        a program whose first argument names the command.
    """
    called = sys.orig_argv[: len(sys.orig_argv) - len(sys.argv) + 1]
    path = pathlib.Path(sys.argv[0])
    _state.program, _state.own_command, _state.own_program = tuple(called), command, ()
    if command:
        _state.program = (called[0], "-m", "tf_textrnn.cli")
        _state.own_program = tuple(called)
    elif path.stem == "textrnn":  # the script that pip installs, with its interpreter before it
        _state.program = (_shortest(path),)
        if CALLED_AS in os.environ:
            _state.own_command, _state.own_program = "train", (os.environ[CALLED_AS],)


def command_line(command: str, *arguments: str) -> str:
    """A line for the shell that runs one of our commands, called as this process was.

    Args:
      command: its words, such as "train" or "study gradients".
      arguments: flags and texts, not quoted.
    """
    named = [*_state.program, *command.split()]
    words = _state.own_program if command == _state.own_command else named
    return shlex.join([*words, *arguments])


def other_program(name: str, *arguments: str) -> str:
    """A line for the shell that runs another program of this interpreter's environment."""
    path = pathlib.Path(sys.executable).with_name(name)
    return shlex.join([_shortest(path) if path.exists() else name, *arguments])


def _shortest(path: pathlib.Path) -> str:
    """The shortest word by which the shell finds a program from this folder."""
    found = shutil.which(path.name)
    if found and path.exists() and path.samefile(found):
        return path.name
    path = pathlib.Path(os.path.abspath(path))  # noqa: PTH100 - a link stays
    here = pathlib.Path.cwd()
    return str(path.relative_to(here) if path.is_relative_to(here) else path)
